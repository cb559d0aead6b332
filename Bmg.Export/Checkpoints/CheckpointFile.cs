using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using TorchSharp;

namespace Bmg.Export.Checkpoints;

/// <summary>
/// Checkpoints on disk, one file each, in the layout of safetensors, so that Python's safetensors reads the tensors too: the length of
/// the header (8 bytes, little-endian), a header in JSON, then raw little-endian data. A tensor is named "set/name".
/// </summary>
/// <remarks>
/// The header's "__metadata__" holds
/// <list type="bullet">
/// <item>sha256: digest of the whole file, computed with these 64 digits as zeros;</item>
/// <item>format: "bmg-checkpoint/1";</item>
/// <item>sets: the sets' names in order, empty ones too, as a JSON array;</item>
/// <item>manifest: the <see cref="CheckpointManifest"/> as JSON.</item>
/// </list>
/// </remarks>
public static class CheckpointFile
{
    /// <summary>
    /// Writes a checkpoint aside, flushes it to the disk and renames it over <paramref name="path"/>. On any failure the file that was there
    /// before is untouched. Tensors may lie on any device and are not changed.
    /// </summary>
    /// <exception cref="IOException">The file cannot be written; the message has the path and the free space.</exception>
    /// <exception cref="ArgumentException">A tensor is neither float32, float64, int64 nor uint8, or larger than 2 GB; or a name is no valid
    /// Unicode.</exception>
    public static void Write(string path, Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var tensors = checkpoint
            .Sets.SelectMany(set =>
                set.Value.Names.Zip(set.Value.Tensors, (name, tensor) => (Set: set.Key, name, tensor))
            )
            .ToArray();
        var entries = CheckpointHeader.Place(tensors);
        var header = CheckpointHeader.Build(checkpoint, entries);
        AtomicFile.Write(
            path,
            stream =>
            {
                using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
                void Put(ReadOnlySpan<byte> bytes)
                {
                    hash.AppendData(bytes);
                    stream.Write(bytes);
                }

                Put(header);
                foreach (var i in CheckpointHeader.ByPosition(entries))
                {
                    using var scope = torch.NewDisposeScope();
                    Put(tensors[i].tensor.detach().cpu().contiguous().bytes);
                }
                stream.Position = CheckpointHeader.LengthBytes + CheckpointHeader.Start.Length;
                stream.Write(Digest(hash));
            }
        );
    }

    /// <summary>Reads a checkpoint: tensors on the CPU that belong to no dispose scope, sets and names in the order written.</summary>
    /// <exception cref="CheckpointException">The file is missing, truncated, damaged, of a newer format, or no checkpoint of Bmg.</exception>
    public static Checkpoint Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
            return Read(stream, path);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CheckpointException($"There is no checkpoint '{path}'.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"Cannot read checkpoint '{path}': {exception.Message}", exception);
        }
    }

    private static Checkpoint Read(FileStream stream, string path)
    {
        CheckpointException Fault(string what, Exception? inner = null)
        {
            var message = $"Checkpoint '{path}' {what}";
            return inner is null ? new CheckpointException(message) : new CheckpointException(message, inner);
        }

        if (stream.Length < CheckpointHeader.LengthBytes)
        {
            throw Fault($"has {stream.Length} bytes, too few for a checkpoint: it is truncated or something else.");
        }
        Span<byte> lengthBytes = stackalloc byte[CheckpointHeader.LengthBytes];
        stream.ReadExactly(lengthBytes);
        var headerLength = BinaryPrimitives.ReadUInt64LittleEndian(lengthBytes);
        if (headerLength is < 2 or > CheckpointHeader.Maximum)
        {
            throw Fault($"is not in the safetensors layout: its header would have {headerLength} bytes.");
        }
        if ((ulong)(stream.Length - CheckpointHeader.LengthBytes) < headerLength)
        {
            throw Fault($"is truncated: its header has {headerLength} bytes, the whole file {stream.Length}.");
        }
        var header = new byte[headerLength];
        stream.ReadExactly(header);

        var (manifestText, setNames, entries) = CheckpointHeader.Parse(header, Fault);
        var data = entries.Length == 0 ? 0 : entries.Max(e => e.End);
        var expected = CheckpointHeader.LengthBytes + (long)headerLength + data;
        if (stream.Length != expected)
        {
            throw Fault(
                stream.Length < expected
                    ? $"is truncated: {stream.Length} of {expected} bytes are there."
                    : $"has {stream.Length - expected} bytes more than its header speaks of."
            );
        }
        if (!DigestMatches(stream, header))
        {
            throw Fault("is damaged: its content does not match its SHA-256 checksum.");
        }

        if (CheckpointHeader.NewerThanThis(manifestText) is { } newer)
        {
            throw Fault(
                $"was written by Bmg {newer}, and this is Bmg {LibraryVersion.Current}. Use the version of Bmg that wrote it, or a newer one."
            );
        }
        CheckpointManifest manifest;
        try
        {
            manifest =
                JsonSerializer.Deserialize<CheckpointManifest>(manifestText, CheckpointHeader.ManifestOptions)
                ?? throw new JsonException("it is null");
        }
        catch (JsonException exception)
        {
            throw Fault($"has a manifest that cannot be read: {exception.Message}", exception);
        }
        return new Checkpoint(
            manifest,
            ReadSets(stream, CheckpointHeader.LengthBytes + (long)headerLength, setNames, entries)
        )
        {
            Source = path,
        };
    }

    private static OrderedDictionary<string, Params> ReadSets(
        Stream stream,
        long dataStart,
        string[] sets,
        TensorEntry[] entries
    )
    {
        var tensors = new torch.Tensor[entries.Length];
        try
        {
            stream.Position = dataStart;
            foreach (var i in CheckpointHeader.ByPosition(entries))
            {
                tensors[i] = torch.empty(entries[i].Shape, dtype: entries[i].Type).DetachFromDisposeScope();
                stream.ReadExactly(tensors[i].bytes);
            }
            var own = Enumerable.Range(0, entries.Length).ToLookup(i => entries[i].Set, StringComparer.Ordinal);
            var result = new OrderedDictionary<string, Params>(StringComparer.Ordinal);
            foreach (var set in sets)
            {
                result.Add(
                    set,
                    Params.Create([.. own[set].Select(i => entries[i].Name)], [.. own[set].Select(i => tensors[i])])!
                );
            }
            return result;
        }
        catch
        {
            foreach (var tensor in tensors)
            {
                tensor?.Dispose();
            }
            throw;
        }
    }

    private static bool DigestMatches(Stream stream, byte[] header)
    {
        var place = CheckpointHeader.Start.Length..(CheckpointHeader.Start.Length + CheckpointHeader.NoDigest.Length);
        if (header.Length < place.End.Value || !header.AsSpan().StartsWith(CheckpointHeader.Start))
        {
            return false;
        }
        var found = header[place];
        header.AsSpan(place).Fill((byte)'0');
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> length = stackalloc byte[CheckpointHeader.LengthBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
        hash.AppendData(length);
        hash.AppendData(header);
        stream.Position = CheckpointHeader.LengthBytes + header.Length;
        var block = new byte[1 << 16];
        for (int read; (read = stream.Read(block)) > 0; )
        {
            hash.AppendData(block.AsSpan(0, read));
        }
        return Digest(hash).AsSpan().SequenceEqual(found);
    }

    private static byte[] Digest(IncrementalHash hash) =>
        Encoding.ASCII.GetBytes(Convert.ToHexStringLower(hash.GetHashAndReset()));
}
