using Bmg.Training.CommandLine;

return TrainingCli.Run(args, ProgramHost.Create());
