using Bmg.Export;
using Bmg.Training.Benchmarks;
using Bmg.Training.Catalogues;
using Bmg.Training.Evaluation;
using Bmg.Training.Experiments;
using Bmg.Training.Library;

namespace Bmg.Training.CommandLine;

/// <summary>The program as it is shipped.</summary>
public static class ProgramHost
{
    /// <summary>All parts in place.</summary>
    /// <param name="output">Standard output; null for the process's own, which may be a terminal.</param>
    /// <param name="error">Standard error; null for the process's own.</param>
    /// <param name="stop">Asks a run to stop; null to listen to the process's signals.</param>
    /// <param name="catalogue">The parts that configurations can name; null for the library's.</param>
    public static TrainingHost Create(
        TextWriter? output = null,
        TextWriter? error = null,
        CancellationToken? stop = null,
        Catalogue? catalogue = null
    ) =>
        new()
        {
            Out = output ?? StandardOutput.Writer,
            Error = error ?? Console.Error,
            Stop = stop,
            Interactive = output is null && TrainingHost.IsTerminal,
            Catalogue = catalogue ?? LibraryParts.Catalogue(),
            Experiments = new ExperimentFactory(),
            Finish = ExportAndPlay.Finish,
            Evaluate = EvaluateAction.Run,
            Bench = BenchAction.Run,
        };
}
