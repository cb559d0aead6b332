using Bmg.Export;
using Bmg.Training.Benchmarks;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;
using Bmg.Training.Evaluation;
using Bmg.Training.Experiments;
using Bmg.Training.Runs;

namespace Bmg.Training.CommandLine;

/// <summary>What the command line is made of, so that a test can put its own in: the parts of the program, and the outside world.</summary>
public sealed record TrainingHost
{
    private readonly TextWriter? output;

    /// <summary>The parts that configurations can name.</summary>
    public required Catalogue Catalogue { get; init; }

    /// <summary>Reads configurations.</summary>
    public ConfigurationReader Reader => new(Catalogue, Resolution.Broken);

    /// <summary>Makes experiments.</summary>
    public required IExperimentFactory Experiments { get; init; }

    /// <summary>Exports what was trained.</summary>
    public required FinishRun Finish { get; init; }

    /// <summary>Plays a policy; returns the exit code.</summary>
    public required Func<EvaluateOptions, TextWriter, int> Evaluate { get; init; }

    /// <summary>Measures training; returns the exit code.</summary>
    public required Func<BenchOptions, TextWriter, int> Bench { get; init; }

    /// <summary>Standard output.</summary>
    public TextWriter Out
    {
        get => output ?? StandardOutput.Writer;
        init => output = value;
    }

    /// <summary>Standard error.</summary>
    public TextWriter Error { get; init; } = Console.Error;

    /// <summary>Whether standard output is a terminal that a display can be renewed on.</summary>
    public bool Interactive { get; init; } = IsTerminal;

    /// <summary>Whether the process's standard output is one; TERM=dumb asks for plain lines.</summary>
    internal static bool IsTerminal =>
        !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";

    /// <summary>Asks a run to stop; null to listen to the process's signals.</summary>
    public CancellationToken? Stop { get; init; }

    /// <summary>Date and time.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;
}
