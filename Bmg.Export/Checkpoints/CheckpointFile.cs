using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
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
    private const string FormatFamily = "bmg-checkpoint/";
    private const int FormatVersion = 1;
    private const string Metadata = "__metadata__";
    private const int LengthBytes = sizeof(ulong);

    // The limit of safetensors itself.
    private const int MaximumHeader = 100_000_000;

    // How every header of ours begins: the digest's place in the file is therefore fixed.
    private static ReadOnlySpan<byte> HeaderStart => "{\"__metadata__\":{\"sha256\":\""u8;

    private static readonly string NoDigest = new('0', 2 * SHA256.HashSizeInBytes);
    private static readonly UTF8Encoding StrictUtf8 = new(
        encoderShouldEmitUTF8Identifier: false,
        throwOnInvalidBytes: true
    );

    private static readonly JsonSerializerOptions ManifestOptions = new(JsonSerializerDefaults.Web)
    {
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private static readonly (string Code, torch.ScalarType Type, int Size)[] Types =
    [
        ("F32", torch.ScalarType.Float32, sizeof(float)),
        ("F64", torch.ScalarType.Float64, sizeof(double)),
        ("I64", torch.ScalarType.Int64, sizeof(long)),
    ];

    private sealed record Entry(string Set, string Name, torch.ScalarType Type, long[] Shape, long Begin, long End);

    /// <summary>
    /// Writes a checkpoint aside, flushes it to the disk and renames it over <paramref name="path"/>. On any failure the file that was there
    /// before is untouched. Tensors may lie on any device and are not changed.
    /// </summary>
    /// <exception cref="IOException">The file cannot be written; the message has the path and the free space.</exception>
    /// <exception cref="ArgumentException">A tensor is neither float32, float64 nor int64, or larger than 2 GB; or a name is no valid
    /// Unicode.</exception>
    public static void Write(string path, Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var tensors = checkpoint
            .Sets.SelectMany(set =>
                set.Value.Names.Zip(set.Value.Tensors, (name, tensor) => (Set: set.Key, name, tensor))
            )
            .ToArray();
        var entries = Place(tensors);
        var header = Header(checkpoint, entries);
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
                foreach (var i in ByPosition(entries))
                {
                    using var scope = torch.NewDisposeScope();
                    Put(tensors[i].tensor.detach().cpu().contiguous().bytes);
                }
                stream.Position = LengthBytes + HeaderStart.Length;
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

        if (stream.Length < LengthBytes)
        {
            throw Fault($"has {stream.Length} bytes, too few for a checkpoint: it is truncated or something else.");
        }
        Span<byte> lengthBytes = stackalloc byte[LengthBytes];
        stream.ReadExactly(lengthBytes);
        var headerLength = BinaryPrimitives.ReadUInt64LittleEndian(lengthBytes);
        if (headerLength is < 2 or > MaximumHeader)
        {
            throw Fault($"is not in the safetensors layout: its header would have {headerLength} bytes.");
        }
        if ((ulong)(stream.Length - LengthBytes) < headerLength)
        {
            throw Fault($"is truncated: its header has {headerLength} bytes, the whole file {stream.Length}.");
        }
        var header = new byte[headerLength];
        stream.ReadExactly(header);

        string manifestText;
        string[] setNames;
        Entry[] entries;
        try
        {
            using var json = JsonDocument.Parse(header);
            (manifestText, setNames) = ReadMetadata(json.RootElement, Fault);
            entries = ReadEntries(json.RootElement, setNames);
        }
        catch (Exception exception)
            when (exception
                    is JsonException
                        or FormatException
                        or InvalidOperationException
                        or KeyNotFoundException
                        or OverflowException
            )
        {
            throw Fault($"has a header that cannot be read: {exception.Message}", exception);
        }

        var data = entries.Length == 0 ? 0 : entries.Max(e => e.End);
        var expected = LengthBytes + (long)headerLength + data;
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

        CheckpointManifest manifest;
        try
        {
            manifest =
                JsonSerializer.Deserialize<CheckpointManifest>(manifestText, ManifestOptions)
                ?? throw new JsonException("it is null");
        }
        catch (JsonException exception)
        {
            throw Fault($"has a manifest that cannot be read: {exception.Message}", exception);
        }
        return new Checkpoint(manifest, ReadSets(stream, LengthBytes + (long)headerLength, setNames, entries));
    }

    // Offsets in the data section: wide elements first, so that every tensor is aligned; the order of the header stays that of the sets.
    private static Entry[] Place((string Set, string Name, torch.Tensor Tensor)[] tensors)
    {
        var entries = new Entry[tensors.Length];
        var sizes = new int[tensors.Length];
        for (var i = 0; i < tensors.Length; i++)
        {
            var (set, name, tensor) = tensors[i];
            var type = Types.FirstOrDefault(t => t.Type == tensor.dtype);
            if (type.Code is null)
            {
                throw new ArgumentException(
                    $"CheckpointFile.Write: tensor '{set}/{name}' must be float32, float64 or int64, found {tensor.dtype}.",
                    nameof(tensors)
                );
            }
            if (tensor.NumberOfElements > int.MaxValue / type.Size)
            {
                throw new ArgumentException(
                    $"CheckpointFile.Write: tensor '{set}/{name}' must have less than 2 GB, found {tensor.NumberOfElements} elements.",
                    nameof(tensors)
                );
            }
            entries[i] = new Entry(set, name, tensor.dtype, tensor.shape, 0, 0);
            sizes[i] = type.Size;
        }
        var position = 0L;
        foreach (var i in Enumerable.Range(0, entries.Length).OrderByDescending(i => sizes[i]))
        {
            var end = position + Elements(entries[i].Shape) * sizes[i];
            entries[i] = entries[i] with { Begin = position, End = end };
            position = end;
        }
        return entries;
    }

    private static IEnumerable<int> ByPosition(Entry[] entries) =>
        Enumerable.Range(0, entries.Length).OrderBy(i => entries[i].Begin).ThenBy(i => entries[i].End);

    private static byte[] Header(Checkpoint checkpoint, Entry[] entries)
    {
        var buffer = new ArrayBufferWriter<byte>();
        // The length comes first; it is filled in at the end.
        buffer.Write(stackalloc byte[LengthBytes]);
        using (
            var json = new Utf8JsonWriter(
                buffer,
                new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }
            )
        )
        {
            json.WriteStartObject();
            json.WriteStartObject(Metadata);
            json.WriteString("sha256", NoDigest);
            json.WriteString("format", FormatFamily + FormatVersion.ToString(CultureInfo.InvariantCulture));
            json.WriteString("sets", JsonSerializer.Serialize(checkpoint.Sets.Keys, ManifestOptions));
            json.WriteString("manifest", JsonSerializer.Serialize(checkpoint.Manifest, ManifestOptions));
            json.WriteEndObject();
            foreach (var entry in entries)
            {
                json.WriteStartObject(Unicode($"{entry.Set}/{entry.Name}"));
                json.WriteString("dtype", Types.Single(t => t.Type == entry.Type).Code);
                json.WriteStartArray("shape");
                foreach (var size in entry.Shape)
                {
                    json.WriteNumberValue(size);
                }
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(entry.Begin);
                json.WriteNumberValue(entry.End);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (buffer.WrittenCount % LengthBytes != 0)
        {
            buffer.Write(" "u8);
        }
        var header = buffer.WrittenSpan.ToArray();
        BinaryPrimitives.WriteUInt64LittleEndian(header, (ulong)(header.Length - LengthBytes));
        return header;
    }

    private static string Unicode(string name)
    {
        // Throws an ArgumentException (EncoderFallbackException) on half a surrogate pair, which JSON would silently replace.
        StrictUtf8.GetByteCount(name);
        return name;
    }

    private static (string Manifest, string[] Sets) ReadMetadata(
        JsonElement header,
        Func<string, Exception?, CheckpointException> fault
    )
    {
        string? Text(string key) =>
            header.ValueKind == JsonValueKind.Object
            && header.TryGetProperty(Metadata, out var metadata)
            && metadata.ValueKind == JsonValueKind.Object
            && metadata.TryGetProperty(key, out var value)
            && value.ValueKind == JsonValueKind.String
                ? value.GetString()
                : null;

        var format = Text("format");
        if (format is null || !format.StartsWith(FormatFamily, StringComparison.Ordinal))
        {
            throw fault(
                $"was not written by Bmg: its format is {(format is null ? "not given" : $"'{format}'")}, expected '{FormatFamily}{FormatVersion}'.",
                null
            );
        }
        if (
            !int.TryParse(format.AsSpan(FormatFamily.Length), NumberStyles.None, null, out var version)
            || version != FormatVersion
        )
        {
            throw fault(
                $"is of format '{format}', and this Bmg ({LibraryVersion.Current}) reads '{FormatFamily}{FormatVersion}'. "
                    + "Use the version of Bmg that wrote it, or a newer one.",
                null
            );
        }
        var manifest = Text("manifest") ?? throw new FormatException("it has no manifest.");
        var sets = JsonSerializer.Deserialize<string[]>(Text("sets") ?? "null");
        return sets is null || sets.Any(string.IsNullOrEmpty) || sets.Distinct().Count() != sets.Length
            ? throw new FormatException("it has no list of distinct sets.")
            : (manifest, sets);
    }

    private static Entry[] ReadEntries(JsonElement header, string[] sets)
    {
        var entries = new List<Entry>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var property in header.EnumerateObject().Where(p => p.Name != Metadata))
        {
            var slash = property.Name.IndexOf('/', StringComparison.Ordinal);
            if (slash < 0 || !sets.Contains(property.Name[..slash]) || !names.Add(property.Name))
            {
                throw new FormatException($"tensor '{property.Name}' stands twice, or in no set.");
            }
            var code = property.Value.GetProperty("dtype").GetString();
            var type = Types.FirstOrDefault(t => t.Code == code);
            var shape = property.Value.GetProperty("shape").EnumerateArray().Select(s => s.GetInt64()).ToArray();
            var offsets = property
                .Value.GetProperty("data_offsets")
                .EnumerateArray()
                .Select(o => o.GetInt64())
                .ToArray();
            if (
                type.Code is null
                || shape.Any(s => s < 0)
                || offsets.Length != 2
                || offsets[0] < 0
                || offsets[1] - offsets[0] != checked(Elements(shape) * type.Size)
            )
            {
                throw new FormatException(
                    $"tensor '{property.Name}' has type {code}, shape [{string.Join(", ", shape)}] and data at [{string.Join(", ", offsets)}]."
                );
            }
            entries.Add(
                new Entry(
                    property.Name[..slash],
                    property.Name[(slash + 1)..],
                    type.Type,
                    shape,
                    offsets[0],
                    offsets[1]
                )
            );
        }
        var all = entries.ToArray();
        var position = 0L;
        foreach (var i in ByPosition(all))
        {
            if (all[i].Begin != position)
            {
                throw new FormatException($"the data has a gap or an overlap at byte {position}.");
            }
            position = all[i].End;
        }
        return all;
    }

    private static OrderedDictionary<string, Params> ReadSets(
        Stream stream,
        long dataStart,
        string[] sets,
        Entry[] entries
    )
    {
        var tensors = new torch.Tensor[entries.Length];
        try
        {
            stream.Position = dataStart;
            foreach (var i in ByPosition(entries))
            {
                tensors[i] = torch.empty(entries[i].Shape, dtype: entries[i].Type).DetachFromDisposeScope();
                stream.ReadExactly(tensors[i].bytes);
            }
            var result = new OrderedDictionary<string, Params>(StringComparer.Ordinal);
            foreach (var set in sets)
            {
                var own = Enumerable.Range(0, entries.Length).Where(i => entries[i].Set == set).ToArray();
                result.Add(
                    set,
                    Params.Create([.. own.Select(i => entries[i].Name)], [.. own.Select(i => tensors[i])])!
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
        var place = HeaderStart.Length..(HeaderStart.Length + NoDigest.Length);
        if (header.Length < place.End.Value || !header.AsSpan().StartsWith(HeaderStart))
        {
            return false;
        }
        var found = header[place];
        header.AsSpan(place).Fill((byte)'0');
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> length = stackalloc byte[LengthBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(length, (ulong)header.Length);
        hash.AppendData(length);
        hash.AppendData(header);
        stream.Position = LengthBytes + header.Length;
        var block = new byte[1 << 16];
        for (int read; (read = stream.Read(block)) > 0; )
        {
            hash.AppendData(block.AsSpan(0, read));
        }
        return Digest(hash).AsSpan().SequenceEqual(found);
    }

    private static byte[] Digest(IncrementalHash hash) =>
        Encoding.ASCII.GetBytes(Convert.ToHexStringLower(hash.GetHashAndReset()));

    private static long Elements(long[] shape) => shape.Aggregate(1L, (product, size) => checked(product * size));
}
