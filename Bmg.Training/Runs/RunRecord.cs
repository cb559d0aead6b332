using System.Text.Json;
using System.Text.Json.Serialization;
using Bmg.Export;
using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;

namespace Bmg.Training.Runs;

/// <summary>How far a run is.</summary>
public enum RunState
{
    /// <summary>Under way; or its process was killed.</summary>
    Running,

    /// <summary>Stopped on request, with a checkpoint.</summary>
    Interrupted,

    /// <summary>Stopped by an error; the last good checkpoint is kept.</summary>
    Failed,

    /// <summary>Complete.</summary>
    Finished,
}

/// <summary>run.json: what a run was made with, and what a reader of its metrics needs to know.</summary>
public sealed record RunRecord
{
    private const string EpisodeReturn = "episodeReturn";

    /// <summary>How far the run is.</summary>
    public RunState State { get; init; }

    /// <summary>What went wrong, where something did.</summary>
    public string? Problem { get; init; }

    /// <summary>How far each member is, as of the last write of this file.</summary>
    public long EnvironmentSteps { get; init; }

    /// <summary>What that counts, a plural (see <see cref="Units"/>).</summary>
    public string Unit { get; init; } = Units.EnvironmentSteps;

    /// <summary>When the run started, and was resumed.</summary>
    public IReadOnlyList<DateTimeOffset> Started { get; init; } = [];

    /// <summary>Instructions of the processor at each start, in the order of <see cref="Started"/> (see <see cref="InstructionSet"/>); those of
    /// starts before this was noted are missing.</summary>
    public IReadOnlyList<string> Instructions { get; init; } = [];

    /// <summary>The parts of the configuration and the assemblies that brought them at the last start; none of runs before this was
    /// noted.</summary>
    public IReadOnlyList<UsedPart> Parts { get; init; } = [];

    /// <summary>The checkpoint whose parameters the run started with; null of one that started with none.</summary>
    public string? From { get; init; }

    /// <summary>Command line of the last start.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>Versions of what ran it.</summary>
    public Provenance Provenance { get; init; } = Provenance.Here;

    /// <summary>Where tensors lived.</summary>
    public DeviceKind Device { get; init; }

    /// <summary>Threads of the tensor library.</summary>
    public int Threads { get; init; }

    /// <summary>Seed of each member.</summary>
    public IReadOnlyList<long> Seeds { get; init; } = [];

    /// <summary>Members that were frozen, as of the last write of this file.</summary>
    public IReadOnlyList<FrozenMember> Frozen { get; init; } = [];

    /// <summary>What metrics.jsonl holds.</summary>
    public IReadOnlyList<Metric> Metrics { get; init; } = [];

    /// <summary>Name of the metric that says how well a member does: its return where there are episodes, its reward a step otherwise.</summary>
    [JsonIgnore]
    public string Score =>
        Metrics.Any(metric => metric.Name == EpisodeReturn) ? EpisodeReturn
        : Metrics.Count > 0 ? Metrics[0].Name
        : "reward";

    /// <summary>Whether there are episodes.</summary>
    [JsonIgnore]
    public bool HasEpisodes => Score == EpisodeReturn;

    /// <summary>Where the world changes.</summary>
    public IReadOnlyList<long> Changes { get; init; } = [];

    /// <summary>Reads a run's record. One that says complete, of fewer steps than the configuration asks for, is that of a run that is to
    /// be lengthened and has not gone on yet: the moment in which its configuration was written is the one that decided.</summary>
    /// <exception cref="UsageException">There is none, or it is not one.</exception>
    public static RunRecord Read(RunDirectory run)
    {
        try
        {
            RunRecord record =
                JsonSerializer.Deserialize<RunRecord>(InputFile.ReadText(run.Record), ConfigurationJson.Indented)
                ?? throw new JsonException("found null");
            if (
                record
                is { Started: null }
                    or { Instructions: null }
                    or { Parts: null }
                    or { Seeds: null }
                    or { Metrics: null }
                    or { Changes: null }
            )
            {
                throw new JsonException("found null, expected a list");
            }
            bool lengthened =
                record.State == RunState.Finished
                && ConfigurationReader.ReadResolved(run.Configuration).EnvironmentSteps > record.EnvironmentSteps;
            return lengthened ? record with { State = RunState.Interrupted } : record;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{run.Record}: cannot be read: {e.Message}", e);
        }
        catch (JsonException e)
        {
            throw new UsageException($"{run.Record}: not the record of a run: {e.Message}", e);
        }
    }

    /// <summary>Writes the record of a run.</summary>
    public void Write(RunDirectory run) =>
        AtomicFile.WriteText(run.Record, JsonSerializer.Serialize(this, ConfigurationJson.Indented) + "\n");
}
