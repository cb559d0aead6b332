using System.Diagnostics;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Experiments;

namespace Bmg.Training.Benchmarks;

/// <summary>What was measured of one population of Q(λ) learners.</summary>
/// <param name="Members">P.</param>
/// <param name="TargetSteps">L.</param>
/// <param name="StepsPerSecond">Environment steps, and so updates, a second, all members together.</param>
/// <param name="BytesPerStep">Counted bytes of one update: weights, traces and both moments, read once and written once.</param>
/// <param name="StateBytes">Size of one member's state.</param>
/// <param name="PeakMemoryBytes">Largest resident size of the process during this measurement.</param>
public sealed record QLambdaMeasurement(
    int Members,
    int TargetSteps,
    double StepsPerSecond,
    double BytesPerStep,
    long StateBytes,
    long PeakMemoryBytes
)
{
    /// <summary>Counted bytes a second.</summary>
    public double BytesPerSecond => StepsPerSecond * BytesPerStep;
}

/// <summary>Times two-colors Q(λ)-BMG with the reward context as it trains.</summary>
public static class QLambdaBenchmark
{
    /// <summary>L that is timed. A meta-step costs about the same whatever L is, so a longer one spreads it over more updates.</summary>
    public const int TargetSteps = 64;

    /// <summary>The configuration that is timed: the paper's network and meta-network.</summary>
    public static RunConfiguration Configuration(
        ConfigurationReader reader,
        int members,
        int targetSteps,
        int threads
    ) =>
        reader.Read(
            """
            {
              "learner": { "agent": "q-lambda", "optimizer": { "learningRate": 3e-5, "epsilon": 1e-4 } },
              "meta": { "parameters": "network", "context": "reward", "contextLength": 100, "hidden": [128, 128] }
            }
            """,
            "bench",
            $"members={members}",
            $"threads={threads}",
            $"learner.targetSteps={targetSteps}"
        );

    /// <summary>Trains for a while and measures.</summary>
    /// <param name="reader">Reads the configuration.</param>
    /// <param name="members">P.</param>
    /// <param name="targetSteps">L.</param>
    /// <param name="seconds">How long to measure, after a warm-up.</param>
    /// <param name="threads">Threads; 0 for what training would take.</param>
    public static QLambdaMeasurement Measure(
        ConfigurationReader reader,
        int members,
        int targetSteps,
        double seconds,
        int threads
    )
    {
        PeakMemory.Reset();
        var configuration = Configuration(reader, members, targetSteps, threads);
        var derived = DerivedSettings.Of(configuration);
        var agent = QLambdaAgent.Create(configuration);
        using var experiment = new PopulationExperiment(derived, agent);
        long warm = Stopwatch.GetTimestamp();
        do
        {
            experiment.Advance();
        } while (Stopwatch.GetElapsedTime(warm).TotalSeconds < Math.Min(1, seconds / 2));

        long steps = experiment.EnvironmentSteps,
            start = Stopwatch.GetTimestamp();
        double elapsed;
        do
        {
            experiment.Advance();
            elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
        } while (elapsed < seconds);

        var stateBytes = new QLambdaKernel(agent.Learner, agent.Settings.Optimizer.As<AdamSettings>()).StateBytes;
        return new QLambdaMeasurement(
            members,
            targetSteps,
            (experiment.EnvironmentSteps - steps) * members / elapsed,
            2.0 * stateBytes,
            stateBytes,
            PeakMemory.Bytes
        );
    }
}
