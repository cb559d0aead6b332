using System.Text.Json;
using Bmg.Training.Configuration;

namespace Bmg.Training.Runs;

/// <summary>What the run itself must remember with a checkpoint, so that one that goes on writes what one never stopped would have.</summary>
/// <param name="MetricsBytes">Length of metrics.jsonl at that moment; what lies beyond was written later and is cut off.</param>
/// <param name="Seconds">Training time so far.</param>
/// <param name="PeakMemoryBytes">Largest resident memory of the process so far.</param>
/// <param name="TotalReward">Sum of all rewards, one number a member, or of the first metric times the length.</param>
/// <param name="Interval">The unfinished interval.</param>
/// <param name="Events">Where TensorBoard's event files were; null of a run that was checkpointed by a version that did not say.</param>
/// <param name="Best">Score of the best checkpoint so far; null where none is kept, or none had a score.</param>
public sealed record HostState(
    long MetricsBytes,
    double Seconds,
    long PeakMemoryBytes,
    IReadOnlyList<double> TotalReward,
    Interval Interval,
    EventPosition? Events = null,
    double? Best = null
)
{
    /// <summary>The start of a run.</summary>
    public static HostState Start(int metrics, int members) =>
        new(0, 0, 0, new double[members], Interval.Empty(metrics, members), new EventPosition("", 0));

    /// <summary>One line of JSON; doubles keep every bit.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, ConfigurationJson.OneLine);

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <param name="json">The text.</param>
    /// <param name="checkpoint">Where it comes from, for messages.</param>
    /// <param name="metrics">How many are measured.</param>
    /// <param name="members">Size of the population.</param>
    /// <exception cref="UsageException">It did not write this, or for other metrics and members.</exception>
    public static HostState Parse(string json, string checkpoint, int metrics, int members)
    {
        try
        {
            HostState state =
                JsonSerializer.Deserialize<HostState>(json, ConfigurationJson.OneLine)
                ?? throw new JsonException("found null");
            bool fits =
                state is { MetricsBytes: >= 0, Seconds: >= 0, PeakMemoryBytes: >= 0, Interval.Steps: >= 0 }
                && state.TotalReward?.Count == members
                && Fits(state.Interval.Sums)
                && Fits(state.Interval.Weights);
            return fits
                ? state
                : throw new JsonException($"expected numbers of {members} members, {metrics} of each in the interval");
        }
        catch (JsonException e)
        {
            throw new UsageException($"Checkpoint {checkpoint}: holds no state of this run: {e.Message}", e);
        }

        bool Fits(double[][]? rows) => rows?.Length == metrics && rows.All(row => row?.Length == members);
    }
}
