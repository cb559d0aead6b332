using System.Diagnostics;
using Bmg.Training.Configuration;
using Bmg.Training.Experiments;

namespace Bmg.Training.Benchmarks;

/// <summary>What was measured of a configuration.</summary>
/// <param name="Name">The configuration's name.</param>
/// <param name="Members">P.</param>
/// <param name="Unit">What is counted, a plural.</param>
/// <param name="StepsPerSecond">Of these a second, all members together.</param>
/// <param name="MillisecondsPerMetaStep">Median time of a meta-step.</param>
/// <param name="ActingShare">Share of the time spent acting; null where nobody acts.</param>
/// <param name="PeakMemoryBytes">Largest resident size of the process during this measurement.</param>
public sealed record ProblemMeasurement(
    string Name,
    int Members,
    string Unit,
    double StepsPerSecond,
    double MillisecondsPerMetaStep,
    double? ActingShare,
    long PeakMemoryBytes
);

/// <summary>Times meta-steps of any configuration, as it trains.</summary>
public static class ProblemBenchmark
{
    /// <summary>CartPole: eight copies, perceptrons, BMG.</summary>
    public const string CartPole = """
        {
          "name": "cartpole", "members": 10, "environment": { "name": "cartpole" },
          "learner": { "hidden": [64, 64], "activation": "tanh", "copies": 8, "rolloutLength": 16, "returns": "lambda", "traceDecay": 0.95,
                       "optimizer": { "name": "adam", "learningRate": 0.001 }, "innerSteps": 1, "targetSteps": 4 },
          "meta": { "method": "bmg", "entropyWeight": { "initial": 0.01, "high": 0.2 },
                    "hyperParameters": [{ "name": "discount", "low": 0.9, "high": 1 }] }
        }
        """;

    /// <summary>The pixel world: sixteen copies, a convolution of 16 channels and a layer of 128, BMG.</summary>
    public const string Pixels = """
        {
          "name": "pixels", "members": 10, "environment": { "name": "pixels" },
          "learner": { "torso": [{ "name": "convolution", "channels": 16 }, { "name": "activation" }, { "name": "flatten" }], "hidden": [128],
                       "copies": 16, "rolloutLength": 8, "returns": "lambda", "traceDecay": 0.95,
                       "optimizer": { "name": "adam", "learningRate": 0.001 }, "innerSteps": 1, "targetSteps": 4 },
          "meta": { "method": "bmg", "entropyWeight": { "initial": 0.01, "high": 0.2 },
                    "hyperParameters": [{ "name": "discount", "low": 0.9, "high": 1 }] }
        }
        """;

    /// <summary>Trains for a while and measures.</summary>
    /// <param name="configuration">What is trained, validated; it fits into memory.</param>
    /// <param name="seconds">How long to measure, after a warm-up; at least one meta-step.</param>
    public static ProblemMeasurement Measure(RunConfiguration configuration, double seconds)
    {
        PeakMemory.Reset();
        using var experiment = new ExperimentFactory().Create(configuration);
        var acting = experiment as PopulationExperiment;
        var times = new List<double>();
        long warm = Stopwatch.GetTimestamp();
        do
        {
            experiment.Advance();
        } while (Stopwatch.GetElapsedTime(warm).TotalSeconds < Math.Min(2, seconds / 2));

        long ticks = acting?.ActingTicks ?? 0,
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
        return new ProblemMeasurement(
            configuration.Name,
            experiment.Seeds.Count,
            experiment.Unit,
            (experiment.EnvironmentSteps - steps) * (double)experiment.Seeds.Count / elapsed,
            times[times.Count / 2],
            acting is { Unit: Units.EnvironmentSteps }
                ? (acting.ActingTicks - ticks) / (elapsed * Stopwatch.Frequency * acting.Parts)
                : null,
            PeakMemory.Bytes
        );
    }
}
