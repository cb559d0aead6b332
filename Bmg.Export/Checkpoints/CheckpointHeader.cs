using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using TorchSharp;

namespace Bmg.Export.Checkpoints;

/// <summary>Where a tensor of a checkpoint lies: <paramref name="Begin"/> and <paramref name="End"/> are bytes of the data section.</summary>
internal sealed record TensorEntry(string Set, string Name, torch.ScalarType Type, long[] Shape, long Begin, long End);

/// <summary>The header of a checkpoint file, with the eight bytes of its length before it: see <see cref="CheckpointFile"/>.</summary>
internal static class CheckpointHeader
{
    private const string FormatFamily = "bmg-checkpoint/";
    private const int FormatVersion = 1;
    private const string Metadata = "__metadata__";
    private const int MostAxes = 16;
    public const int LengthBytes = sizeof(ulong);

    // The limit of safetensors itself.
    public const int Maximum = 100_000_000;

    // How every header of ours begins: the digest's place in the file is therefore fixed.
    public static ReadOnlySpan<byte> Start => "{\"__metadata__\":{\"sha256\":\""u8;

    public static readonly string NoDigest = new('0', 2 * SHA256.HashSizeInBytes);
    private static readonly UTF8Encoding StrictUtf8 = new(
        encoderShouldEmitUTF8Identifier: false,
        throwOnInvalidBytes: true
    );

    public static readonly JsonSerializerOptions ManifestOptions = new(JsonSerializerDefaults.Web)
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
        ("U8", torch.ScalarType.Byte, sizeof(byte)),
    ];

    // Offsets in the data section: wide elements first, so that every tensor is aligned; the order of the header stays that of the sets.
    public static TensorEntry[] Place((string Set, string Name, torch.Tensor Tensor)[] tensors)
    {
        var entries = new TensorEntry[tensors.Length];
        var sizes = new int[tensors.Length];
        for (var i = 0; i < tensors.Length; i++)
        {
            var (set, name, tensor) = tensors[i];
            var type = Types.FirstOrDefault(t => t.Type == tensor.dtype);
            if (type.Code is null)
            {
                throw new ArgumentException(
                    $"CheckpointFile.Write: tensor '{set}/{name}' must be float32, float64, int64 or uint8, found {tensor.dtype}.",
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
            entries[i] = new TensorEntry(set, name, tensor.dtype, tensor.shape, 0, 0);
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

    public static IEnumerable<int> ByPosition(TensorEntry[] entries) =>
        Enumerable.Range(0, entries.Length).OrderBy(i => entries[i].Begin).ThenBy(i => entries[i].End);

    public static byte[] Build(Checkpoint checkpoint, TensorEntry[] entries)
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
        if (buffer.WrittenCount - LengthBytes > Maximum)
        {
            throw new ArgumentException(
                $"CheckpointFile.Write: names and manifest must fit into {Maximum} bytes, found {buffer.WrittenCount}.",
                nameof(checkpoint)
            );
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

    /// <summary>The manifest's text, the sets' names and the tensors' places.</summary>
    /// <param name="header">The header without its length.</param>
    /// <param name="fault">Makes the exception from what is wrong with the file.</param>
    public static (string Manifest, string[] Sets, TensorEntry[] Tensors) Parse(
        byte[] header,
        Func<string, Exception?, CheckpointException> fault
    )
    {
        try
        {
            using var json = JsonDocument.Parse(header);
            var (manifest, sets) = ReadMetadata(json.RootElement, fault);
            return (manifest, sets, ReadEntries(json.RootElement, sets));
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
            throw fault($"has a header that cannot be read: {exception.Message}", exception);
        }
    }

    /// <summary>The library version that a manifest names, where it is newer than this one; null otherwise, and where there is none to be
    /// found.</summary>
    public static string? NewerThanThis(string manifest)
    {
        try
        {
            using var json = JsonDocument.Parse(manifest);
            var written = json.RootElement.GetProperty("libraryVersion").GetString();
            return Number(written) is { } theirs && Number(LibraryVersion.Current) is { } ours && theirs > ours
                ? written
                : null;
        }
        catch (Exception exception)
            when (exception is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            return null; // Whoever reads the whole of it says what is wrong.
        }

        // "0.1.0-preview+commit": what counts are the numbers.
        static Version? Number(string? version) =>
            Version.TryParse(version?.Split('+', '-')[0], out var number) ? number : null;
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

    private static TensorEntry[] ReadEntries(JsonElement header, string[] sets)
    {
        var entries = new List<TensorEntry>();
        var known = sets.ToHashSet(StringComparer.Ordinal);
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var property in header.EnumerateObject().Where(p => p.Name != Metadata))
        {
            var slash = property.Name.IndexOf('/', StringComparison.Ordinal);
            if (slash < 0 || !known.Contains(property.Name[..slash]) || !names.Add(property.Name))
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
                || shape.Length > MostAxes
                || shape.Any(s => s < 0)
                // Sizes of an axis count although another is 0: libtorch multiplies them all the same.
                || Elements([.. shape.Select(s => Math.Max(s, 1))]) > int.MaxValue / type.Size
                || offsets.Length != 2
                || offsets[0] < 0
                || offsets[1] - offsets[0] != Elements(shape) * type.Size
            )
            {
                throw new FormatException(
                    $"tensor '{property.Name}' has type {code}, shape [{string.Join(", ", shape)}] and data at [{string.Join(", ", offsets)}]."
                );
            }
            entries.Add(
                new TensorEntry(
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

    private static long Elements(long[] shape) => shape.Aggregate(1L, (product, size) => checked(product * size));
}
