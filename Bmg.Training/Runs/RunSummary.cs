using System.Text.Json;
using System.Text.Json.Serialization;
using Bmg.Export;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;

namespace Bmg.Training.Runs;

/// <summary>A number for each member, with their mean and sample deviation.</summary>
/// <param name="Mean">Mean over members, those that were frozen left out.</param>
/// <param name="Deviation">Sample standard deviation over members; 0 for one.</param>
public sealed record Spread(double Mean, double Deviation)
{
    /// <summary>Of those of some numbers that are finite: what was not measured, or of a member that was frozen, is NaN. NaN of none.</summary>
    public static Spread Of(IReadOnlyList<double> all)
    {
        double[] values = [.. all.Where(double.IsFinite)];
        if (values.Length == 0)
        {
            return new Spread(double.NaN, double.NaN);
        }
        double mean = values.Average();
        double squares = values.Sum(value => (value - mean) * (value - mean));
        return new Spread(mean, values.Length > 1 ? Math.Sqrt(squares / (values.Length - 1)) : 0);
    }
}

/// <summary>summary.json: the results of a finished run.</summary>
public sealed record RunSummary
{
    private static readonly JsonSerializerOptions Json = new(ConfigurationJson.Indented)
    {
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <summary>Seed of each member.</summary>
    public required IReadOnlyList<long> Seeds { get; init; }

    /// <summary>How far each member went, in the unit of the experiment.</summary>
    public required long EnvironmentSteps { get; init; }

    /// <summary>Members that were frozen, since their numbers were not finite; results are NaN of them, and means are over the others.</summary>
    public IReadOnlyList<FrozenMember> Frozen { get; init; } = [];

    /// <summary>Sum of all rewards, one number a member; of an experiment whose first metric is a mean, that mean times the length of the run.</summary>
    public required IReadOnlyList<double> TotalReward { get; init; }

    /// <summary>Mean and deviation of <see cref="TotalReward"/> over members.</summary>
    public required Spread TotalRewardSpread { get; init; }

    /// <summary>Reward an environment step, or whatever the experiment's first metric is, over the last tenth of the run, to the nearest interval of the metrics; one number a member.</summary>
    public required IReadOnlyList<double> FinalRewardRate { get; init; }

    /// <summary>Mean and deviation of <see cref="FinalRewardRate"/> over members.</summary>
    public required Spread FinalRewardRateSpread { get; init; }

    /// <summary>Mean return of the episodes of the whole run, to the nearest interval of the metrics; one number a member. Null in an environment
    /// without episodes.</summary>
    public IReadOnlyList<double>? MeanReturn { get; init; }

    /// <summary>The same over the last tenth of the run.</summary>
    public IReadOnlyList<double>? FinalReturn { get; init; }

    /// <summary>Training time in seconds, without start-up and export.</summary>
    public required double Seconds { get; init; }

    /// <summary>Environment steps, or what else the experiment counts, of all members together, a second of training time.</summary>
    public required double EnvironmentStepsPerSecond { get; init; }

    /// <summary>Largest resident memory of the training process, in bytes.</summary>
    public required long PeakMemoryBytes { get; init; }

    /// <summary>The exported policy; null where the export failed.</summary>
    public string? Policy { get; init; }

    /// <summary>The exported meta-network, where there is one.</summary>
    public string? MetaNetwork { get; init; }

    /// <summary>Largest difference between the exported policy and the trained one on the same inputs.</summary>
    public double? ExportMaxAbsDifference { get; init; }

    /// <summary>Where tensors lived.</summary>
    public required DeviceKind Device { get; init; }

    /// <summary>Threads of the tensor library.</summary>
    public required int Threads { get; init; }

    /// <summary>Versions of what ran it.</summary>
    public required Provenance Provenance { get; init; }

    /// <summary>The resolved configuration.</summary>
    public required RunConfiguration Configuration { get; init; }

    /// <summary>Writes the results of a run.</summary>
    public void Write(RunDirectory run) =>
        AtomicFile.WriteText(run.Summary, JsonSerializer.Serialize(this, Json) + "\n");

    /// <summary>Reads the results of a run; null where it has none yet.</summary>
    /// <exception cref="UsageException">The file is something else.</exception>
    public static RunSummary? Read(RunDirectory run)
    {
        try
        {
            return File.Exists(run.Summary)
                ? ConfigurationJson.Read<RunSummary>(InputFile.ReadText(run.Summary), Json)
                : null;
        }
        catch (JsonException e)
        {
            throw new UsageException($"{run.Summary}: not the summary of a run: {e.Message}", e);
        }
    }
}
