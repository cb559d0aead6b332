using System.Text.Json;
using Bmg.Export;
using Bmg.Training.Experiments;
using TorchSharp.Modules;
using static TorchSharp.torch.utils;

namespace Bmg.Training.Runs;

/// <summary>Writes metrics as they come: a line of JSON each interval, and TensorBoard scalars.</summary>
/// <param name="lines">metrics.jsonl, unbuffered, at its end.</param>
/// <param name="tensorBoard">Folder of the event file.</param>
/// <param name="metrics">What is measured.</param>
internal sealed class MetricsWriter(Stream lines, string tensorBoard, IReadOnlyList<Metric> metrics) : IDisposable
{
    private readonly SummaryWriter events = tensorboard.SummaryWriter(tensorBoard);

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
        WriteEvents(environmentSteps, values);
    }

    /// <summary>Makes sure that all lines are on the disk.</summary>
    public void Settle() => (lines as FileStream)?.Flush(flushToDisk: true);

    /// <inheritdoc/>
    public void Dispose() => lines.Dispose();

    private void WriteEvents(long environmentSteps, double[][] values)
    {
        int step = (int)Math.Min(environmentSteps, int.MaxValue);
        for (int i = 0; i < metrics.Count; i++)
        {
            string name = metrics[i].Name;
            Add($"{name}/mean", values[i].Where(double.IsFinite).DefaultIfEmpty(double.NaN).Average());
            for (int member = 0; member < values[i].Length; member++)
            {
                Add($"{name}/member {member}", values[i][member]);
            }
        }

        void Add(string tag, double value)
        {
            if (double.IsFinite(value))
            {
                events.add_scalar(tag, (float)value, step);
            }
        }
    }
}
