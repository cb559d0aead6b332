using Bmg.Training.Benchmarks;
using Bmg.Training.Evaluation;
using Bmg.Training.Experiments;

namespace Bmg.Training.CommandLine;

/// <summary>The program as it is shipped.</summary>
public static class ProgramHost
{
    /// <summary>All parts in place; standard output and error may be replaced.</summary>
    public static TrainingHost Create() =>
        new()
        {
            Experiments = new ExperimentFactory(),
            Finish = ExportAndPlay.Finish,
            Evaluate = EvaluateAction.Run,
            Bench = BenchAction.Run,
        };
}
