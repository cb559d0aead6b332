using Bmg.Training.CommandLine;
using Bmg.Training.Configuration;
using Bmg.Training.Experiments;
using Bmg.Training.Runs;

return TrainingCli.Run(
    args,
    new TrainingHost
    {
        Experiments = new Unfinished(),
        Finish = (_, _, _) => FinishOutcome.Nothing,
        Evaluate = (_, _) => throw new NotSupportedException("evaluate: not there yet."),
        Bench = (_, _) => throw new NotSupportedException("bench: not there yet."),
    }
);

internal sealed class Unfinished : IExperimentFactory
{
    public IExperiment Create(RunConfiguration configuration) =>
        throw new NotSupportedException("train: not there yet.");
}
