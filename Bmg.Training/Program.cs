using Bmg.Training;
using Bmg.Training.CommandLine;

OpenMp.SleepWhenIdle();
return TrainingCli.Run(args, ProgramHost.Create());
