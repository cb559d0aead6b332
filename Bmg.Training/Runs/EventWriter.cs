using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using Google.Protobuf;

namespace Bmg.Training.Runs;

/// <summary>Up to where event files belong to a checkpoint.</summary>
/// <param name="File">Name of the last event file; empty where there was none yet.</param>
/// <param name="Bytes">Its length.</param>
public sealed record EventPosition(string File, long Bytes);

/// <summary>
/// Writes TensorBoard's event files: records of TensorFlow's TFRecord format (length and content, each with a masked CRC-32C), each an
/// Event message. A session's file appears with its first point, under a name that sorts behind all that are there.
/// </summary>
/// <remarks>
/// Of event.proto and summary.proto only these are written: Event.wall_time = 1 (double, Unix seconds), Event.step = 2 (int64),
/// Event.file_version = 3 (string), Event.summary = 5; Summary.value = 1; Summary.Value.tag = 1 (string), Summary.Value.simple_value = 2
/// (float).
/// </remarks>
/// <param name="directory">Folder of the event files.</param>
/// <param name="clock">Wall time.</param>
internal sealed class EventWriter(string directory, TimeProvider clock) : IDisposable
{
    private const string Prefix = "events.out.tfevents.";
    private const string FileVersion = "brain.Event:2";

    private FileStream? file;

    /// <summary>Where the next point is written.</summary>
    public EventPosition Position =>
        file is not null ? new EventPosition(Path.GetFileName(file.Name), file.Position)
        : Files() is [.., var last] ? new EventPosition(Path.GetFileName(last), new FileInfo(last).Length)
        : new EventPosition("", 0);

    /// <summary>Cuts off what was written after a checkpoint: a file that is longer, and files that came later.</summary>
    /// <param name="position">Where the checkpoint was.</param>
    public void Rewind(EventPosition position)
    {
        foreach (string path in Files())
        {
            int order = string.CompareOrdinal(Path.GetFileName(path), position.File);
            if (order > 0)
            {
                File.Delete(path);
            }
            else if (order == 0 && new FileInfo(path).Length > position.Bytes)
            {
                using FileStream longer = new(path, FileMode.Open, FileAccess.Write, FileShare.Read);
                longer.SetLength(position.Bytes);
            }
        }
    }

    /// <summary>Writes points of one step, in one piece; values that are not finite are left out.</summary>
    /// <param name="step">Environment steps of each member.</param>
    /// <param name="points">Name and value of each.</param>
    public void Write(long step, IEnumerable<(string Tag, double Value)> points)
    {
        byte[] summary = Message(output =>
        {
            foreach ((string tag, double value) in points)
            {
                if (double.IsFinite(value))
                {
                    output.WriteTag(1, WireFormat.WireType.LengthDelimited);
                    output.WriteBytes(
                        ByteString.CopyFrom(
                            Message(inner =>
                            {
                                inner.WriteTag(1, WireFormat.WireType.LengthDelimited);
                                inner.WriteString(tag);
                                inner.WriteTag(2, WireFormat.WireType.Fixed32);
                                inner.WriteFloat((float)value);
                            })
                        )
                    );
                }
            }
        });
        if (summary.Length > 0)
        {
            file ??= Open();
            file.Write(
                Record(output =>
                {
                    output.WriteTag(2, WireFormat.WireType.Varint);
                    output.WriteInt64(step);
                    output.WriteTag(5, WireFormat.WireType.LengthDelimited);
                    output.WriteBytes(ByteString.CopyFrom(summary));
                })
            );
        }
    }

    /// <summary>Makes sure that all points are on the disk.</summary>
    public void Settle() => file?.Flush(flushToDisk: true);

    /// <inheritdoc/>
    public void Dispose() => file?.Dispose();

    /// <summary>A file that sorts behind those there are: at least a second later, whatever the clock says.</summary>
    private FileStream Open()
    {
        Directory.CreateDirectory(directory);
        string[] files = Files();
        long seconds = Math.Max(
            clock.GetUtcNow().ToUnixTimeSeconds(),
            files.Select(path => SecondsOf(Path.GetFileName(path)) + 1).DefaultIfEmpty(0).Max()
        );
        string name = FormattableString.Invariant(
            $"{Prefix}{seconds:D10}.{Environment.MachineName}.{Environment.ProcessId}.{files.Length}"
        );
        FileStream stream = new(
            Path.Combine(directory, name),
            FileMode.CreateNew,
            FileAccess.Write,
            FileShare.Read,
            bufferSize: 0
        );
        stream.Write(
            Record(output =>
            {
                output.WriteTag(3, WireFormat.WireType.LengthDelimited);
                output.WriteString(FileVersion);
            })
        );
        return stream;
    }

    private string[] Files() =>
        Directory.Exists(directory)
            ? [.. Directory.GetFiles(directory, Prefix + "*").OrderBy(Path.GetFileName, StringComparer.Ordinal)]
            : [];

    private static long SecondsOf(string name) =>
        long.TryParse(
            name[Prefix.Length..].Split('.')[0],
            NumberStyles.None,
            CultureInfo.InvariantCulture,
            out long seconds
        )
            ? seconds
            : 0;

    /// <summary>An event with the time of now, framed.</summary>
    private byte[] Record(Action<CodedOutputStream> write)
    {
        byte[] content = Message(output =>
        {
            output.WriteTag(1, WireFormat.WireType.Fixed64);
            output.WriteDouble(clock.GetUtcNow().ToUnixTimeMilliseconds() / 1000.0);
            write(output);
        });
        byte[] record = new byte[content.Length + 16];
        BinaryPrimitives.WriteUInt64LittleEndian(record, (ulong)content.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(8), MaskedCrc(record.AsSpan(0, 8)));
        content.CopyTo(record, 12);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(12 + content.Length), MaskedCrc(content));
        return record;
    }

    private static byte[] Message(Action<CodedOutputStream> write)
    {
        using MemoryStream content = new();
        using (CodedOutputStream output = new(content, leaveOpen: true))
        {
            write(output);
        }
        return content.ToArray();
    }

    /// <summary>CRC-32C, rotated and shifted as TFRecord wants it, so that checksums of data that holds checksums stay good.</summary>
    private static uint MaskedCrc(ReadOnlySpan<byte> data)
    {
        uint crc = uint.MaxValue;
        foreach (byte each in data)
        {
            crc = BitOperations.Crc32C(crc, each);
        }
        return BitOperations.RotateRight(~crc, 15) + 0xa282ead8;
    }
}
