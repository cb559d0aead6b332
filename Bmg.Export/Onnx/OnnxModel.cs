using Google.Protobuf;

namespace Bmg.Export.Onnx;

/// <summary>Whole ONNX models: putting them together and reading them back.</summary>
public static class OnnxModel
{
    // What a message of protobuf can hold; larger models keep their data in files of their own.
    private const int MostBytes = int.MaxValue - 64;

    /// <summary>Name of the first axis of every input and output, whose size is open.</summary>
    public const string BatchAxis = "batch";

    /// <summary>A model from a graph and the values that go into it and may come out of it.</summary>
    /// <param name="name">Name of the graph.</param>
    /// <param name="graph">Nodes and constants; those that no chosen output needs are left out.</param>
    /// <param name="inputs">What goes in.</param>
    /// <param name="outputs">What can come out.</param>
    /// <param name="metadata">Entries of the file's metadata.</param>
    /// <param name="options">Which of the outputs, and which operator set; null for all, and the lowest.</param>
    /// <exception cref="ArgumentException">The options ask for what there is not.</exception>
    public static ModelProto Assemble(
        string name,
        OnnxGraph graph,
        IEnumerable<ValueInfoProto> inputs,
        IReadOnlyList<ValueInfoProto> outputs,
        IEnumerable<KeyValuePair<string, string>> metadata,
        ExportOptions? options = null
    )
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(metadata);
        var chosen = ExportOptions.Choose(options, outputs);
        graph = graph.Only(chosen.Select(output => output.Name));
        var opset = OnnxVersions.Choose(graph, options?.Opset);
        var model = new ModelProto
        {
            IrVersion = OnnxVersions.IrVersionOf(opset),
            ProducerName = "Bmg",
            ProducerVersion = LibraryVersion.Current,
            Graph = new GraphProto { Name = name },
        };
        model.OpsetImport.Add(new OperatorSetIdProto { Version = opset });
        model.Graph.Node.AddRange(graph.Nodes);
        model.Graph.Initializer.AddRange(graph.Initializers);
        model.Graph.Input.AddRange(inputs);
        model.Graph.Output.AddRange(chosen);
        model.MetadataProps.AddRange(
            metadata.Select(entry => new StringStringEntryProto { Key = entry.Key, Value = entry.Value })
        );
        return model;
    }

    /// <summary>A value [batch, …] of an input or output.</summary>
    public static ValueInfoProto Value(string name, TensorProto.Types.DataType type, params long[] furtherAxes)
    {
        var shape = new TensorShapeProto();
        shape.Dim.Add(new TensorShapeProto.Types.Dimension { DimParam = BatchAxis });
        shape.Dim.AddRange(furtherAxes.Select(size => new TensorShapeProto.Types.Dimension { DimValue = size }));
        return new ValueInfoProto
        {
            Name = name,
            Type = new TypeProto
            {
                TensorType = new TypeProto.Types.Tensor { ElemType = (int)type, Shape = shape },
            },
        };
    }

    /// <summary>Reads any ONNX file.</summary>
    /// <exception cref="OnnxFileException">The file is missing, unreadable, or no ONNX model.</exception>
    public static ModelProto Read(string path) => Parse(ReadBytes(path), path);

    /// <summary>A model from the content of a file.</summary>
    /// <exception cref="OnnxFileException">It is no ONNX model.</exception>
    internal static ModelProto Parse(byte[] bytes, string source)
    {
        try
        {
            var model = ModelProto.Parser.ParseFrom(bytes);
            return model is { IrVersion: > 0, Graph: not null }
                ? model
                : throw new OnnxFileException($"'{source}' is not an ONNX model: it has no graph.");
        }
        catch (InvalidProtocolBufferException exception)
        {
            throw new OnnxFileException($"'{source}' is not an ONNX model: {exception.Message}", exception);
        }
    }

    /// <summary>The content of a file.</summary>
    /// <exception cref="OnnxFileException">The file is missing or unreadable.</exception>
    internal static byte[] ReadBytes(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        try
        {
            return InputFile.ReadBytes(path, MostBytes);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new OnnxFileException($"There is no file '{path}'.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new OnnxFileException(
                Directory.Exists(path)
                    ? $"'{path}' is a directory, expected an ONNX file."
                    : $"Cannot read '{path}': {exception.Message}",
                exception
            );
        }
    }
}
