using Bmg.Export;
using Bmg.Training.Configuration;
using Bmg.Training.Runs;

namespace Bmg.Training.CommandLine;

/// <summary>What <c>evaluate</c> is asked to do.</summary>
/// <param name="Target">A run's directory, or an .onnx file.</param>
/// <param name="Steps">Environment steps of each member to play.</param>
/// <param name="Provider">Where an .onnx file is run.</param>
public sealed record EvaluateOptions(string Target, long Steps, DeviceKind Provider);

/// <summary>What <c>bench</c> is asked to do.</summary>
/// <param name="Members">Population sizes to measure.</param>
/// <param name="Seconds">Time for each measurement.</param>
/// <param name="Device">Where tensors live.</param>
/// <param name="Threads">Threads of the tensor library; 0 for all cores.</param>
public sealed record BenchOptions(IReadOnlyList<int> Members, double Seconds, DeviceKind Device, int Threads);

/// <summary>What the command line is made of, so that a test can put its own in: the parts of the program, and the outside world.</summary>
public sealed record TrainingHost
{
    private readonly TextWriter? output;

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

    /// <summary>Whether standard output is a terminal.</summary>
    public bool Interactive { get; init; } = !Console.IsOutputRedirected;

    /// <summary>Asks a run to stop; null to listen to the process's signals.</summary>
    public CancellationToken? Stop { get; init; }

    /// <summary>Date and time.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;
}
