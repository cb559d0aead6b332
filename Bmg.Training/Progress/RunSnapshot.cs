using Bmg.Training.Agents;

namespace Bmg.Training.Progress;

/// <summary>A run at one moment: immutable, so that any thread may show it.</summary>
/// <param name="Name">Name of the run.</param>
/// <param name="EnvironmentSteps">How far each member is, in the unit of the experiment.</param>
/// <param name="TargetSteps">How far each member is to go.</param>
/// <param name="Members">Members of the population.</param>
/// <param name="SessionSteps">How far each member went since this process took up the run.</param>
/// <param name="SessionSeconds">Training time of this process.</param>
/// <param name="Phase">What is being done when it is not training; empty otherwise.</param>
/// <param name="Figures">The latest interval's metrics, each the mean over members.</param>
public sealed record RunSnapshot(
    string Name,
    long EnvironmentSteps,
    long TargetSteps,
    int Members,
    long SessionSteps,
    double SessionSeconds,
    string Phase,
    IReadOnlyList<(Metric Metric, double Mean)> Figures
)
{
    /// <summary>The metrics of <see cref="Figures"/> so far, [metric][cell] over the whole length of the run; NaN where there is nothing yet.</summary>
    public IReadOnlyList<double[]> Trail { get; init; } = [];

    /// <summary>The first metric's latest interval, one number a member.</summary>
    public IReadOnlyList<double> Latest { get; init; } = [];

    /// <summary>Where the world changes.</summary>
    public IReadOnlyList<long> Changes { get; init; } = [];

    /// <summary>What is counted, a plural (see <see cref="Units"/>).</summary>
    public string Unit { get; init; } = Units.EnvironmentSteps;

    /// <summary>Share that is done, 0 to 1.</summary>
    public double Done => TargetSteps == 0 ? 0 : Math.Min(1, EnvironmentSteps / (double)TargetSteps);

    /// <summary>Of all members together, a second.</summary>
    public double StepsPerSecond => SessionSeconds > 0 ? SessionSteps * Members / SessionSeconds : 0;

    /// <summary>Time left at the speed so far; null while there is none.</summary>
    public TimeSpan? Left =>
        SessionSteps == 0
            ? null
            : TimeSpan.FromSeconds(
                Math.Min(1e9, Math.Max(0, TargetSteps - EnvironmentSteps) * SessionSeconds / SessionSteps)
            );
}
