using System.Text.Json;
using Bmg.Training.Configuration;

namespace Bmg.Training.Runs;

/// <summary>What the run itself must remember with a checkpoint, so that one that goes on writes what one never stopped would have.</summary>
/// <param name="MetricsBytes">Length of metrics.jsonl at that moment; what lies beyond was written later and is cut off.</param>
/// <param name="Seconds">Training time so far.</param>
/// <param name="PeakMemoryBytes">Largest resident memory of the process so far.</param>
/// <param name="TotalReward">Sum of all rewards, one number a member.</param>
/// <param name="Interval">The unfinished interval.</param>
/// <param name="Events">Where TensorBoard's event files were; null of a run that was checkpointed by a version that did not say.</param>
public sealed record HostState(
    long MetricsBytes,
    double Seconds,
    long PeakMemoryBytes,
    IReadOnlyList<double> TotalReward,
    Interval Interval,
    EventPosition? Events = null
)
{
    /// <summary>The start of a run.</summary>
    public static HostState Start(int metrics, int members) =>
        new(0, 0, 0, new double[members], Interval.Empty(metrics, members), new EventPosition("", 0));

    /// <summary>One line of JSON; doubles keep every bit.</summary>
    public string ToJson() => JsonSerializer.Serialize(this, ConfigurationJson.OneLine);

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="UsageException">It did not.</exception>
    public static HostState Parse(string json, string checkpoint)
    {
        try
        {
            return JsonSerializer.Deserialize<HostState>(json, ConfigurationJson.OneLine)
                ?? throw new JsonException("found null");
        }
        catch (JsonException e)
        {
            throw new UsageException($"Checkpoint {checkpoint}: holds no state of a run: {e.Message}", e);
        }
    }
}
