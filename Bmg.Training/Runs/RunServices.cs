using Bmg.Training.Configuration;
using Bmg.Training.Experiments;
using Bmg.Training.Progress;

namespace Bmg.Training.Runs;

/// <summary>What came of a finished run's export.</summary>
/// <param name="Policy">The policy's file; null where none was exported.</param>
/// <param name="MetaNetwork">The meta-network's file; null where there is none.</param>
/// <param name="ExportMaxAbsDifference">Largest difference between the exported policy and the trained one on the same inputs.</param>
/// <param name="Lines">What a user should read about it, a line each.</param>
public sealed record FinishOutcome(
    string? Policy,
    string? MetaNetwork,
    double? ExportMaxAbsDifference,
    IReadOnlyList<string> Lines
)
{
    /// <summary>Nothing exported.</summary>
    public static FinishOutcome Nothing { get; } = new(null, null, null, []);
}

/// <summary>Exports what a run has trained, reading its last checkpoint. Called on the training thread once the experiment is disposed.</summary>
/// <param name="run">The run; its checkpoint and configuration are complete.</param>
/// <param name="configuration">The run's configuration.</param>
/// <param name="finalRewardRate">Reward an environment step over the last tenth of the run, one number a member: whom to export.</param>
public delegate FinishOutcome FinishRun(
    RunDirectory run,
    RunConfiguration configuration,
    IReadOnlyList<double> finalRewardRate
);

/// <summary>What a run needs from outside.</summary>
/// <param name="Reader">Reads configurations.</param>
/// <param name="Experiments">Makes the experiment.</param>
/// <param name="Finish">Exports when training is complete.</param>
/// <param name="Reporter">Tells the user.</param>
public sealed record RunServices(
    ConfigurationReader Reader,
    IExperimentFactory Experiments,
    FinishRun Finish,
    RunReporter Reporter
)
{
    /// <summary>Date and time.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;

    /// <summary>How long a run that was asked to stop waits for the meta-step under way; one that takes longer is given up.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Opens metrics.jsonl, cut to a length, for writing at its end.</summary>
    public Func<string, long, Stream> OpenMetrics { get; init; } = MetricsWriter.Open;
}
