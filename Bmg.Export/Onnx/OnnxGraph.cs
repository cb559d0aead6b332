using Google.Protobuf;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>Nodes and the constants they need: a piece of an ONNX graph.</summary>
/// <param name="Nodes">Operators in an order in which they can be computed.</param>
/// <param name="Initializers">Constants by name.</param>
public sealed record OnnxGraph(IReadOnlyList<NodeProto> Nodes, IReadOnlyList<TensorProto> Initializers)
{
    /// <summary>From which version of the standard set on an operator does what is meant here, where the library does not know it.</summary>
    public IDictionary<string, int> Since { get; init; } = new Dictionary<string, int>(StringComparer.Ordinal);

    /// <summary>
    /// The meaning of a network in ONNX, for one member, in float32: input [batch, …InputShape] → output [batch, …OutputShape]. A pure
    /// translation; it agrees with <c>Network.ApplyStored</c>, which without batch normalisation is <c>Network.Apply</c>.
    /// </summary>
    /// <param name="network">The architecture.</param>
    /// <param name="parameters">Parameters of one member under the network's own names, [1, …] each, and the stored statistics of its batch
    /// normalisations. Of any floating-point type and on any device; they are rounded to float32.</param>
    /// <param name="input">Name of the value that goes in.</param>
    /// <param name="output">Name of the value that comes out.</param>
    /// <param name="forms">Forms of custom layers; null for none.</param>
    /// <exception cref="ArgumentException">A parameter or a statistic is missing or of another shape.</exception>
    /// <exception cref="NotSupportedException">A layer has no translation; the message says which and where.</exception>
    public static OnnxGraph OfNetwork(
        Network network,
        Params parameters,
        string input,
        string output,
        OnnxForms? forms = null
    )
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(parameters);
        return new LayerTranslation(network, parameters, forms).Translate(input, output);
    }

    /// <summary>This piece, then another.</summary>
    public OnnxGraph Then(OnnxGraph next)
    {
        ArgumentNullException.ThrowIfNull(next);
        var since = new Dictionary<string, int>(Since, StringComparer.Ordinal);
        foreach (var (type, version) in next.Since)
        {
            since[type] = Math.Max(version, since.GetValueOrDefault(type));
        }
        return new OnnxGraph([.. Nodes, .. next.Nodes], [.. Initializers, .. next.Initializers]) { Since = since };
    }

    /// <summary>This piece, then one operator of the standard set and the constants it needs.</summary>
    public OnnxGraph Then(NodeProto node, params TensorProto[] initializers) =>
        Then(new OnnxGraph([node], initializers));

    /// <summary>This piece, then a column [batch, 1] made a row [batch].</summary>
    public OnnxGraph ThenSqueeze(string column, string row)
    {
        var axes = row + ".axes";
        return Then(Node("Squeeze", [column, axes], row), Constant(axes, [1L]));
    }

    /// <summary>This piece without what none of these values needs.</summary>
    public OnnxGraph Only(IEnumerable<string> outputs)
    {
        var needed = new HashSet<string>(outputs, StringComparer.Ordinal);
        var nodes = new List<NodeProto>();
        foreach (var node in Nodes.Reverse())
        {
            if (node.Output.Any(needed.Contains))
            {
                needed.UnionWith(node.Input);
                nodes.Add(node);
            }
        }
        nodes.Reverse();
        return this with
        {
            Nodes = nodes,
            Initializers = [.. Initializers.Where(tensor => needed.Contains(tensor.Name))],
        };
    }

    /// <summary>An operator of the standard set, with attributes that are integers.</summary>
    public static NodeProto Node(
        string type,
        IEnumerable<string> inputs,
        string output,
        params (string Name, long Value)[] attributes
    )
    {
        ArgumentNullException.ThrowIfNull(attributes);
        var node = new NodeProto { OpType = type, Name = $"{type}/{output}" };
        node.Input.AddRange(inputs);
        node.Output.Add(output);
        foreach (var (name, value) in attributes)
        {
            node.Attribute.Add(
                new AttributeProto
                {
                    Name = name,
                    Type = AttributeProto.Types.AttributeType.Int,
                    I = value,
                }
            );
        }
        return node;
    }

    /// <summary>An operator of the standard set, with attributes that are rows of integers.</summary>
    internal static NodeProto Node(
        string type,
        IEnumerable<string> inputs,
        string output,
        (string Name, long[] Values)[] attributes
    )
    {
        var node = Node(type, inputs, output);
        foreach (var (name, values) in attributes)
        {
            var attribute = new AttributeProto { Name = name, Type = AttributeProto.Types.AttributeType.Ints };
            attribute.Ints.AddRange(values);
            node.Attribute.Add(attribute);
        }
        return node;
    }

    /// <summary>A float32 scalar.</summary>
    public static TensorProto Constant(string name, float value) =>
        Constant(name, TensorProto.Types.DataType.Float, [], BitConverter.GetBytes(value));

    /// <summary>A row of int64 numbers.</summary>
    public static TensorProto Constant(string name, long[] values)
    {
        ArgumentNullException.ThrowIfNull(values);
        return Constant(
            name,
            TensorProto.Types.DataType.Int64,
            [values.Length],
            [.. values.SelectMany(BitConverter.GetBytes)]
        );
    }

    /// <summary>A parameter of one member, float32, with other axes for the same numbers.</summary>
    /// <param name="parameters">Where it stands.</param>
    /// <param name="name">Its name, there and in the graph.</param>
    /// <param name="expected">The axes that it must have, [1, …].</param>
    /// <param name="dimensions">The axes that it is given.</param>
    /// <exception cref="ArgumentException">It is missing, or of other axes.</exception>
    internal static TensorProto Constant(Params parameters, string name, long[] expected, long[] dimensions)
    {
        var tensor = parameters[name];
        if (!tensor.shape.SequenceEqual(expected))
        {
            throw new ArgumentException(
                $"Parameter '{name}' of one member must be of shape [{string.Join(", ", expected)}], "
                    + $"found [{string.Join(", ", tensor.shape)}].",
                nameof(parameters)
            );
        }
        return Constant(name, tensor, dimensions);
    }

    /// <summary>The numbers of a tensor, rounded to float32, with its axes or with others.</summary>
    public static TensorProto Constant(string name, torch.Tensor values, params long[] dimensions)
    {
        ArgumentNullException.ThrowIfNull(values);
        ArgumentNullException.ThrowIfNull(dimensions);
        using var scope = torch.NewDisposeScope();
        var rounded = values.detach().to(torch.float32, torch.CPU).contiguous();
        return Constant(
            name,
            TensorProto.Types.DataType.Float,
            dimensions.Length == 0 ? rounded.shape : dimensions,
            rounded.bytes
        );
    }

    private static TensorProto Constant(
        string name,
        TensorProto.Types.DataType type,
        long[] dimensions,
        ReadOnlySpan<byte> littleEndian
    )
    {
        var tensor = new TensorProto
        {
            Name = name,
            DataType = (int)type,
            RawData = ByteString.CopyFrom(littleEndian),
        };
        tensor.Dims.AddRange(dimensions);
        return tensor;
    }
}
