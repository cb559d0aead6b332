namespace Bmg.Export.Onnx;

/// <summary>
/// What must hold in a model before ONNX Runtime is given it: names that are distinct, data as long as its shape says, and data in files of
/// its own only beside the model.
/// </summary>
internal static class OnnxChecks
{
    private const string Location = "location";
    private const string Offset = "offset";
    private const string Length = "length";

    /// <summary>Bits of an element; a type that is not listed is left to ONNX Runtime.</summary>
    private static readonly Dictionary<int, int> Bits = new()
    {
        [(int)TensorProto.Types.DataType.Float] = 32,
        [(int)TensorProto.Types.DataType.Uint8] = 8,
        [(int)TensorProto.Types.DataType.Int8] = 8,
        [(int)TensorProto.Types.DataType.Uint16] = 16,
        [(int)TensorProto.Types.DataType.Int16] = 16,
        [(int)TensorProto.Types.DataType.Int32] = 32,
        [(int)TensorProto.Types.DataType.Int64] = 64,
        [(int)TensorProto.Types.DataType.Bool] = 8,
        [(int)TensorProto.Types.DataType.Float16] = 16,
        [(int)TensorProto.Types.DataType.Double] = 64,
        [(int)TensorProto.Types.DataType.Uint32] = 32,
        [(int)TensorProto.Types.DataType.Uint64] = 64,
        [(int)TensorProto.Types.DataType.Complex64] = 64,
        [(int)TensorProto.Types.DataType.Complex128] = 128,
        [(int)TensorProto.Types.DataType.Bfloat16] = 16,
    };

    /// <summary>Refuses a model that breaks one of these.</summary>
    /// <param name="model">The model.</param>
    /// <param name="source">What messages call it, its path usually.</param>
    /// <param name="folder">The folder that its data may lie in; null where it was given as bytes and has none.</param>
    /// <exception cref="OnnxFileException">What is wrong, and where.</exception>
    public static void Require(ModelProto model, string source, string? folder)
    {
        var graph = model.Graph;
        RequireDistinct(source, "metadata key", model.MetadataProps.Select(entry => entry.Key));
        RequireDistinct(source, "input", graph.Input.Select(value => value.Name));
        RequireDistinct(source, "output", graph.Output.Select(value => value.Name));
        RequireDistinct(source, "constant", graph.Initializer.Select(tensor => tensor.Name));
        foreach (var tensor in Tensors(graph).Concat(model.Functions.SelectMany(f => f.Node).SelectMany(Tensors)))
        {
            RequireData(tensor, source, folder);
        }
    }

    private static void RequireDistinct(string source, string what, IEnumerable<string> names)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var name in names)
        {
            if (name.Length == 0 || !seen.Add(name))
            {
                throw new OnnxFileException(
                    name.Length == 0
                        ? $"'{source}': {what}: found one without a name, expected a name each."
                        : $"'{source}': {what} '{name}': found twice, expected distinct names."
                );
            }
        }
    }

    private static IEnumerable<TensorProto> Tensors(GraphProto graph) =>
        graph.Initializer.Concat(graph.SparseInitializer.SelectMany(Parts)).Concat(graph.Node.SelectMany(Tensors));

    private static IEnumerable<TensorProto> Tensors(NodeProto node) =>
        node.Attribute.SelectMany(attribute =>
            new[] { attribute.T }
                .Concat(attribute.Tensors)
                .OfType<TensorProto>()
                .Concat(
                    new[] { attribute.SparseTensor }
                        .Concat(attribute.SparseTensors)
                        .OfType<SparseTensorProto>()
                        .SelectMany(Parts)
                )
                .Concat(new[] { attribute.G }.Concat(attribute.Graphs).OfType<GraphProto>().SelectMany(Tensors))
        );

    private static IEnumerable<TensorProto> Parts(SparseTensorProto tensor) =>
        new[] { tensor.Values, tensor.Indices }.OfType<TensorProto>();

    private static void RequireData(TensorProto tensor, string source, string? folder)
    {
        OnnxFileException Fault(string found, string expected) =>
            new($"'{source}': tensor '{tensor.Name}': found {found}, expected {expected}.");

        var shape = $"[{string.Join(", ", tensor.Dims)}]";
        var elements = 1L;
        foreach (var size in tensor.Dims)
        {
            if (size < 0 || (size > 0 && elements > int.MaxValue / size))
            {
                throw Fault($"the shape {shape}", $"sizes of at least 0 and at most {int.MaxValue} elements");
            }
            elements *= size;
        }
        if (!Bits.TryGetValue(tensor.DataType, out var bits))
        {
            if (tensor.DataLocation == TensorProto.Types.DataLocation.External)
            {
                throw Fault($"data of type {tensor.DataType} in a file of its own", "a type of known size");
            }
            return;
        }
        var bytes = elements * bits / 8;
        var type = ((TensorProto.Types.DataType)tensor.DataType).ToString().ToLowerInvariant();
        if (tensor.DataLocation == TensorProto.Types.DataLocation.External)
        {
            RequireFile(tensor, bytes, folder, Fault);
        }
        else if (tensor.RawData.Length > 0)
        {
            if (tensor.RawData.Length != bytes)
            {
                throw Fault($"{tensor.RawData.Length} bytes", $"{bytes}, for {type} {shape}");
            }
        }
        else if (Numbers(tensor) is var numbers && numbers != elements * (IsComplex(tensor) ? 2 : 1))
        {
            throw Fault($"{numbers} numbers", $"{elements}, for {type} {shape}");
        }
    }

    private static bool IsComplex(TensorProto tensor) =>
        (TensorProto.Types.DataType)tensor.DataType
            is TensorProto.Types.DataType.Complex64
                or TensorProto.Types.DataType.Complex128;

    /// <summary>How many numbers the field holds that belongs to the tensor's type.</summary>
    private static int Numbers(TensorProto tensor) =>
        (TensorProto.Types.DataType)tensor.DataType switch
        {
            TensorProto.Types.DataType.Float or TensorProto.Types.DataType.Complex64 => tensor.FloatData.Count,
            TensorProto.Types.DataType.Double or TensorProto.Types.DataType.Complex128 => tensor.DoubleData.Count,
            TensorProto.Types.DataType.Int64 => tensor.Int64Data.Count,
            TensorProto.Types.DataType.Uint32 or TensorProto.Types.DataType.Uint64 => tensor.Uint64Data.Count,
            _ => tensor.Int32Data.Count,
        };

    private static void RequireFile(
        TensorProto tensor,
        long bytes,
        string? folder,
        Func<string, string, OnnxFileException> fault
    )
    {
        string? Entry(string key) => tensor.ExternalData.LastOrDefault(entry => entry.Key == key)?.Value;
        long Number(string key, long standard) =>
            Entry(key) is not { } text ? standard
            : long.TryParse(text, System.Globalization.NumberStyles.None, null, out var number) ? number
            : throw fault($"data with {key} '{text}'", "a whole number of at least 0");

        var location = Entry(Location) ?? "";
        if (folder is null)
        {
            throw fault(
                $"data in the file '{location}'",
                "data inside of the model, since this one was given as bytes and lies in no folder"
            );
        }
        if (
            location.Length == 0
            || location.Contains('\0', StringComparison.Ordinal)
            || Path.IsPathRooted(location)
            || location.Split('/', '\\').Contains("..")
        )
        {
            throw fault($"data in the file '{location}'", "the name of a file beside the model");
        }
        var file = new FileInfo(Path.Combine(folder, location));
        // Through a link the data would come from anywhere.
        for (FileSystemInfo? part = file; part is not null && part.FullName != folder; part = Parent(part))
        {
            if (part.LinkTarget is { } target)
            {
                throw fault($"data behind a symbolic link to '{target}'", "a file beside the model");
            }
        }
        if (!file.Exists)
        {
            throw fault($"no file '{location}'", $"it in '{folder}', with {bytes} bytes of data");
        }
        var offset = Number(Offset, 0);
        var length = Number(Length, bytes);
        if (length != bytes || offset > file.Length - length)
        {
            throw fault(
                $"{length} bytes from {offset} in '{location}', which has {file.Length}",
                $"{bytes}, for its shape and type"
            );
        }

        static FileSystemInfo? Parent(FileSystemInfo part) =>
            part is FileInfo inside ? inside.Directory : ((DirectoryInfo)part).Parent;
    }
}
