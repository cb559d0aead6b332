using Bmg.Training;
using Bmg.Training.Benchmarks;
using Bmg.Training.CommandLine;
using Bmg.Training.Evaluation;
using Bmg.Training.Experiments;

OpenMp.SleepWhenIdle();
return TrainingCli.Run(
    args,
    new TrainingHost
    {
        Experiments = new ExperimentFactory(),
        Finish = ExportAndPlay.Finish,
        Evaluate = EvaluateAction.Run,
        Bench = BenchAction.Run,
    }
);
