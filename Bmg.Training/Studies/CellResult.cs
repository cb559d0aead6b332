using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Bmg.Export;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>Where a result was computed.</summary>
/// <param name="System">Operating system and architecture.</param>
/// <param name="Runtime">.NET runtime.</param>
/// <param name="TorchSharp">Version of TorchSharp.</param>
/// <param name="Device">Where tensors lived.</param>
/// <param name="Threads">Threads of the tensor library.</param>
/// <param name="Processors">Processors that the process could use when the result was written.</param>
public sealed record Machine(
    string System,
    string Runtime,
    string TorchSharp,
    DeviceKind Device,
    int Threads,
    int Processors
);

/// <summary>The result of a cell: all that its row of the table and its plots are made of. Numbers have six significant digits.</summary>
public sealed record CellResult
{
    private static readonly JsonSerializerOptions Json = new(ConfigurationJson.OneLine)
    {
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <summary>Name of the study.</summary>
    public required string Study { get; init; }

    /// <summary>Name of the cell.</summary>
    public required string Cell { get; init; }

    /// <summary>What the cell is.</summary>
    public required string Label { get; init; }

    /// <summary>What was published, in the study's unit.</summary>
    public PublishedNumber? Published { get; init; }

    /// <summary>File of the configuration, relative to the study's.</summary>
    public required string Config { get; init; }

    /// <summary>Environment steps that each seed did.</summary>
    public required long Steps { get; init; }

    /// <summary>The seeds.</summary>
    public required IReadOnlyList<long> Seeds { get; init; }

    /// <summary>Members that were frozen, since their numbers were not finite: NaN in the results, and left out of means and intervals.</summary>
    public IReadOnlyList<FrozenMember> Frozen { get; init; } = [];

    /// <summary>Sum of all rewards, one number a seed; where there are episodes, the mean return of all.</summary>
    public required IReadOnlyList<double> TotalReward { get; init; }

    /// <summary>Reward an environment step over the last tenth of the run, one number a seed; where there are episodes, their mean return.</summary>
    public required IReadOnlyList<double> FinalRewardRate { get; init; }

    /// <summary>Whether there are episodes, so that results are returns.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool HasEpisodes { get; init; }

    /// <summary>Training time in seconds.</summary>
    public required double Seconds { get; init; }

    /// <summary>Environment steps of all seeds together, a second of training time.</summary>
    public required double StepsPerSecond { get; init; }

    /// <summary>Version of the library.</summary>
    public required string Version { get; init; }

    /// <summary>Git commit that it was built from, where known.</summary>
    public string? Commit { get; init; }

    /// <summary>Where it was computed.</summary>
    public required Machine Machine { get; init; }

    /// <summary>When the run was started for the last time.</summary>
    public required DateTimeOffset Date { get; init; }

    /// <summary>Name of the exploration metric; null where there is none.</summary>
    public string? Exploration { get; init; }

    /// <summary>The learning curve.</summary>
    public required Curves Learning { get; init; }

    /// <summary>What happens around swaps; null where the run is too short for that.</summary>
    public Curves? AroundSwaps { get; init; }

    /// <summary>What the learned meta-network answers; null where there is none that sees rewards.</summary>
    public IReadOnlyList<ContextProbe>? Probes { get; init; }

    /// <summary>The resolved configuration.</summary>
    public required RunConfiguration Configuration { get; init; }

    /// <summary>The file of a cell's result.</summary>
    public static string PathOf(string results, string cell) => Path.Combine(results, $"{cell}.json");

    /// <summary>Condenses a finished run.</summary>
    public static CellResult Of(StudyDescription study, CellDescription cell, RunDirectory run, RunSummary summary)
    {
        RunRecord record = RunRecord.Read(run);
        MetricsLog log = MetricsLog.Read(run.Metrics, record.Metrics);
        string reward = record.Score;
        string? exploration = CurveReader.ExplorationMetric(record);
        return new CellResult
        {
            Study = study.Name,
            Cell = cell.Id,
            Label = cell.Label,
            Published = cell.Published,
            Config = cell.Config,
            Steps = summary.EnvironmentSteps,
            Seeds = summary.Seeds,
            Frozen = summary.Frozen,
            TotalReward = [.. (summary.MeanReturn ?? summary.TotalReward).Select(Digits.Six)],
            FinalRewardRate = [.. (summary.FinalReturn ?? summary.FinalRewardRate).Select(Digits.Six)],
            HasEpisodes = record.HasEpisodes,
            Seconds = Digits.Six(summary.Seconds),
            StepsPerSecond = Digits.Six(summary.EnvironmentStepsPerSecond),
            Version = summary.Provenance.Version,
            Commit = summary.Provenance.Commit,
            Machine = new Machine(
                summary.Provenance.System,
                summary.Provenance.Runtime,
                summary.Provenance.TorchSharp,
                summary.Device,
                summary.Threads,
                Environment.ProcessorCount
            ),
            Date = record.Started[^1],
            Exploration = exploration,
            Learning = CurveReader.Learning(log, reward, exploration),
            AroundSwaps = CurveReader.AroundSwaps(log, record.Changes, reward, exploration),
            Probes = summary.MetaNetwork is not null
                ? ContextProbes.Read(run.Checkpoint, summary.Configuration.Meta.ContextScaling, summary.Frozen)
                : null,
            Configuration = summary.Configuration,
        };
    }

    /// <summary>Reads a cell's result; null where there is none.</summary>
    /// <exception cref="UsageException">The file is something else.</exception>
    public static CellResult? Read(string results, string cell)
    {
        string path = PathOf(results, cell);
        try
        {
            if (!File.Exists(path))
            {
                return null;
            }
            CellResult result =
                ConfigurationJson.Read<CellResult>(InputFile.ReadText(path), Json)
                ?? throw new JsonException("found null");
            return result.Cell == cell
                ? result
                : throw new JsonException($"it is that of cell \"{result.Cell}\", expected \"{cell}\"");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"Result {path}: cannot be read: {e.Message}", e);
        }
        catch (JsonException e)
        {
            throw new UsageException($"Result {path}: not a cell's result: {e.Message.Split('\n')[0]}", e);
        }
    }

    /// <summary>Writes the result, a line a property; the old one stays until the new one is whole.</summary>
    public void Write(string results)
    {
        JsonObject all = JsonSerializer.SerializeToNode(this, Json)!.AsObject();
        IEnumerable<string> lines = all.Select(pair => $"  \"{pair.Key}\": {pair.Value?.ToJsonString(Json) ?? "null"}");
        Directory.CreateDirectory(results);
        AtomicFile.WriteText(PathOf(results, Cell), $"{{\n{string.Join(",\n", lines)}\n}}\n");
    }
}
