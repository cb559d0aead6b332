using System.Text.Json;
using Bmg.Export;
using Bmg.Training.Acting;
using Bmg.Training.Agents;

namespace Bmg.Training.Runs;

/// <summary>Writes metrics as they come: a line of JSON each interval, and TensorBoard scalars.</summary>
/// <param name="lines">metrics.jsonl, unbuffered, at its end.</param>
/// <param name="events">TensorBoard's event files.</param>
/// <param name="metrics">What is measured.</param>
/// <param name="seeds">Seed of each member.</param>
internal sealed class MetricsWriter(
    Stream lines,
    EventWriter events,
    IReadOnlyList<Metric> metrics,
    IReadOnlyList<long> seeds
) : IDisposable
{
    /// <summary>Bytes in metrics.jsonl.</summary>
    public long Length => lines.Position;

    /// <summary>Opens metrics.jsonl and cuts off what was written after a checkpoint, a torn line included.</summary>
    public static FileStream Open(string path, long length)
    {
        InputFile.RequireNoLink(path);
        FileStream stream = new(path, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read, bufferSize: 0);
        if (stream.Length < length)
        {
            long found = stream.Length;
            stream.Dispose();
            throw new UsageException(
                $"{path}: found {found} bytes, expected at least the {length} that the checkpoint knows of."
            );
        }
        stream.SetLength(length);
        stream.Position = length;
        return stream;
    }

    /// <summary>Writes an interval's values, [metric][member].</summary>
    public void Write(long environmentSteps, double seconds, double[][] values)
    {
        // In one piece, so that a stop leaves at most one torn line, the last.
        using MemoryStream line = new();
        using (Utf8JsonWriter json = new(line))
        {
            json.WriteStartObject();
            json.WriteNumber("environmentSteps", environmentSteps);
            json.WriteNumber("seconds", Math.Round(seconds, 3));
            for (int i = 0; i < metrics.Count; i++)
            {
                json.WriteStartArray(metrics[i].Name);
                foreach (double value in values[i])
                {
                    if (double.IsFinite(value))
                    {
                        json.WriteNumberValue(value);
                    }
                    else
                    {
                        json.WriteNullValue();
                    }
                }
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        line.WriteByte((byte)'\n');
        lines.Write(line.GetBuffer().AsSpan(0, (int)line.Length));
        lines.Flush();
        events.Write(environmentSteps, Points(values));
    }

    /// <summary>Marks members that were frozen.</summary>
    public void Mark(long environmentSteps, IEnumerable<FrozenMember> frozen) =>
        events.Write(environmentSteps, frozen.Select(mark => ($"frozen/{MemberName.Of(mark.Member, mark.Seed)}", 1.0)));

    /// <summary>Makes sure that all lines and events are on the disk.</summary>
    public void Settle()
    {
        (lines as FileStream)?.Flush(flushToDisk: true);
        events.Settle();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lines.Dispose();
        events.Dispose();
    }

    private IEnumerable<(string Tag, double Value)> Points(double[][] values)
    {
        for (int i = 0; i < metrics.Count; i++)
        {
            string name = metrics[i].Name;
            yield return ($"{name}/mean", Spread.Of(values[i]).Mean);
            for (int member = 0; member < values[i].Length; member++)
            {
                yield return ($"{name}/{MemberName.Of(member, seeds[member])}", values[i][member]);
            }
        }
    }
}
