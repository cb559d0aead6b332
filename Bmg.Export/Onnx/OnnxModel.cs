using Google.Protobuf;

namespace Bmg.Export.Onnx;

/// <summary>Whole ONNX models: putting them together and reading them back.</summary>
public static class OnnxModel
{
    /// <summary>Version of the file format that is written.</summary>
    public const int IrVersion = 10;

    /// <summary>Version of the standard operator set that is written.</summary>
    public const int Opset = 21;

    /// <summary>Name of the first axis of every input and output, whose size is open.</summary>
    public const string BatchAxis = "batch";

    /// <summary>A model from a graph and the values that go into it and come out of it.</summary>
    public static ModelProto Assemble(
        string name,
        OnnxGraph graph,
        IEnumerable<ValueInfoProto> inputs,
        IEnumerable<ValueInfoProto> outputs,
        IEnumerable<KeyValuePair<string, string>> metadata
    )
    {
        ArgumentNullException.ThrowIfNull(graph);
        ArgumentNullException.ThrowIfNull(metadata);
        var model = new ModelProto
        {
            IrVersion = IrVersion,
            ProducerName = "Bmg",
            ProducerVersion = LibraryVersion.Current,
            Graph = new GraphProto { Name = name },
        };
        model.OpsetImport.Add(new OperatorSetIdProto { Version = Opset });
        model.Graph.Node.AddRange(graph.Nodes);
        model.Graph.Initializer.AddRange(graph.Initializers);
        model.Graph.Input.AddRange(inputs);
        model.Graph.Output.AddRange(outputs);
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

    /// <summary>The content of a file.</summary>
    /// <exception cref="OnnxFileException">The file is missing or unreadable.</exception>
    internal static byte[] ReadBytes(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new OnnxFileException($"There is no file '{path}'.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new OnnxFileException($"Cannot read '{path}': {exception.Message}", exception);
        }
    }

    private static ModelProto Parse(byte[] bytes, string source)
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
}
