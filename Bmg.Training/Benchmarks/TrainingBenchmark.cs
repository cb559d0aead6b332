using System.Diagnostics;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Experiments;
using static TorchSharp.torch;

namespace Bmg.Training.Benchmarks;

/// <summary>What was measured of one population at one K and L.</summary>
/// <param name="Members">P.</param>
/// <param name="InnerSteps">K.</param>
/// <param name="TargetSteps">L.</param>
/// <param name="StepsPerSecond">Environment steps a second, all members together.</param>
/// <param name="MillisecondsPerMetaStep">Median time of a meta-step.</param>
/// <param name="ActingShare">Share of the time spent acting.</param>
/// <param name="LearningShare">Share spent in steps of φ, the target's among them.</param>
/// <param name="MetaShare">The rest: μ, the meta-gradient, the meta-optimizer.</param>
/// <param name="OperationsPerStep">Counted multiply-adds × 2 of one environment step.</param>
/// <param name="FirstStep">When the first meta-step was done, local time.</param>
/// <param name="PeakMemoryBytes">Largest resident size of the process during this measurement.</param>
public sealed record TrainingMeasurement(
    int Members,
    int InnerSteps,
    int TargetSteps,
    double StepsPerSecond,
    double MillisecondsPerMetaStep,
    double ActingShare,
    double LearningShare,
    double MetaShare,
    double OperationsPerStep,
    long PeakMemoryBytes,
    DateTime FirstStep
)
{
    /// <summary>Counted operations a second.</summary>
    public double OperationsPerSecond => StepsPerSecond * OperationsPerStep;
}

/// <summary>Times the two-colors BMG step as it trains.</summary>
public static class TrainingBenchmark
{
    /// <summary>What is trained.</summary>
    internal static RunConfiguration Configuration(
        ConfigurationReader reader,
        int members,
        int innerSteps,
        int targetSteps,
        DeviceKind device,
        int threads
    ) =>
        reader.Read(
            """{ "meta": { "parameters": "network", "context": "reward" } }""",
            "bench",
            $"members={members}",
            $"device={ConfigurationJson.Spell(device)}",
            $"threads={threads}",
            $"learner.innerSteps={innerSteps}",
            $"learner.targetSteps={targetSteps}"
        );

    /// <summary>Trains for a while and measures.</summary>
    /// <param name="reader">Reads the configuration.</param>
    /// <param name="members">P.</param>
    /// <param name="innerSteps">K.</param>
    /// <param name="targetSteps">L.</param>
    /// <param name="seconds">How long to measure, after a warm-up.</param>
    /// <param name="device">Where to train.</param>
    /// <param name="threads">Threads; 0 for what training would take.</param>
    public static TrainingMeasurement Measure(
        ConfigurationReader reader,
        int members,
        int innerSteps,
        int targetSteps,
        double seconds,
        DeviceKind device,
        int threads
    )
    {
        var configuration = Configuration(reader, members, innerSteps, targetSteps, device, threads);
        PeakMemory.Reset();
        var derived = DerivedSettings.Of(configuration);
        long learningTicks = 0;
        var agent = ActorCriticAgent.Create(
            configuration,
            rule =>
                UpdateRule<Rollout>.Create(
                    rule.Name,
                    rule.Init,
                    (learner, hyper, data, differentiation) =>
                    {
                        var began = Stopwatch.GetTimestamp();
                        var step = rule.Step.Invoke(learner, hyper, data, differentiation);
                        Synchronize(device);
                        Interlocked.Add(ref learningTicks, Stopwatch.GetTimestamp() - began);
                        return step;
                    }
                )
        );
        using var experiment = new PopulationExperiment(derived, agent);
        var times = new List<double>();
        experiment.Advance();
        var firstStep = DateTime.Now;
        long warm = Stopwatch.GetTimestamp();
        do
        {
            experiment.Advance();
        } while (Stopwatch.GetElapsedTime(warm).TotalSeconds < Math.Min(2, seconds / 2));

        learningTicks = 0;
        long acting = experiment.ActingTicks,
            steps = experiment.EnvironmentSteps,
            start = Stopwatch.GetTimestamp();
        double elapsed;
        do
        {
            var began = Stopwatch.GetTimestamp();
            experiment.Advance();
            times.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            elapsed = Stopwatch.GetElapsedTime(start).TotalSeconds;
        } while (elapsed < seconds);

        times.Sort();
        var ticks = elapsed * Stopwatch.Frequency * experiment.Parts;
        var actingShare = (experiment.ActingTicks - acting) / ticks;
        var learningShare = learningTicks / ticks;
        return new TrainingMeasurement(
            members,
            innerSteps,
            targetSteps,
            (experiment.EnvironmentSteps - steps) * members / elapsed,
            times[times.Count / 2],
            actingShare,
            learningShare,
            1 - actingShare - learningShare,
            OperationCount.Of(agent.Networks, innerSteps, targetSteps).Total,
            PeakMemory.Bytes,
            firstStep
        );
    }

    private static void Synchronize(DeviceKind device)
    {
        if (device == DeviceKind.Cuda)
        {
            cuda.synchronize();
        }
    }
}
