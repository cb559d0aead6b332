using System.Text.Json;
using System.Text.Json.Serialization;
using Bmg.Export;
using Bmg.Training.Acting;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>What came of a point of a grid.</summary>
public sealed record SweepPoint
{
    /// <summary>Its place in the grid, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>Seeds.</summary>
    public required int Seeds { get; init; }

    /// <summary>Environment steps that each seed did; that were asked for, where there is a problem.</summary>
    public required long Steps { get; init; }

    /// <summary>Members that were frozen, since their numbers were not finite: NaN in the results, and left out of means and intervals.</summary>
    public IReadOnlyList<FrozenMember> Frozen { get; init; } = [];

    /// <summary>Sum of all rewards, one number a seed; where there are episodes, the mean return of all; empty where there is a problem.</summary>
    public required IReadOnlyList<double> TotalReward { get; init; }

    /// <summary>Reward an environment step over the last tenth of the run, one number a seed.</summary>
    public required IReadOnlyList<double> FinalRewardRate { get; init; }

    /// <summary>Whether there are episodes, so that results are returns.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool HasEpisodes { get; init; }

    /// <summary>Training time in seconds.</summary>
    public required double Seconds { get; init; }

    /// <summary>Git commit of the library, where known.</summary>
    public string? Commit { get; init; }

    /// <summary>Why there are no numbers: some did not stay finite.</summary>
    public string? Problem { get; init; }

    /// <summary>Of a finished run.</summary>
    public static SweepPoint Of(int index, RunSummary summary) =>
        new()
        {
            Index = index,
            Seeds = summary.Seeds.Count,
            Steps = summary.EnvironmentSteps,
            Frozen = summary.Frozen,
            TotalReward = summary.MeanReturn ?? summary.TotalReward,
            FinalRewardRate = summary.FinalReturn ?? summary.FinalRewardRate,
            HasEpisodes = summary.MeanReturn is not null,
            Seconds = summary.Seconds,
            Commit = summary.Provenance.Commit,
        };

    /// <summary>Of a run whose numbers did not stay finite.</summary>
    public static SweepPoint Failed(int index, RunConfiguration configuration, string problem) =>
        new()
        {
            Index = index,
            Seeds = configuration.Members,
            Steps = configuration.EnvironmentSteps,
            TotalReward = [],
            FinalRewardRate = [],
            Seconds = double.NaN,
            Commit = Provenance.Here.Commit,
            Problem = problem,
        };
}

/// <summary>The results of one shard of a sweep, in a file that can be joined with those of the others.</summary>
/// <param name="Sweep">The whole sweep.</param>
/// <param name="Shard">Which part of it.</param>
/// <param name="Points">The part's points.</param>
public sealed record SweepPart(StudyRecord Sweep, Shard Shard, IReadOnlyList<SweepPoint> Points)
{
    private static readonly JsonSerializerOptions Json = new(ConfigurationJson.Indented)
    {
        NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <summary>Folder of the parts in a sweep's directory.</summary>
    public const string Folder = "parts";

    /// <summary>Writes the part into a sweep's directory; returns the file.</summary>
    public string Write(string output)
    {
        string folder = Path.Combine(output, Folder);
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, $"part-{Shard.Index}-of-{Shard.Count}.json");
        AtomicFile.WriteText(path, JsonSerializer.Serialize(this, Json) + "\n");
        return path;
    }

    /// <summary>Reads a part.</summary>
    /// <exception cref="UsageException">The file is something else.</exception>
    public static SweepPart Read(string path)
    {
        try
        {
            SweepPart? part = ConfigurationJson.Read<SweepPart>(InputFile.ReadText(path), Json);
            return part is { Sweep.Grid: not null, Shard: not null, Points: not null }
                ? part
                : throw new JsonException("something is missing");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"Part {path}: cannot be read: {e.Message}", e);
        }
        catch (JsonException e)
        {
            throw new UsageException($"Part {path}: not a part of a sweep: {e.Message.Split('\n')[0]}", e);
        }
    }
}
