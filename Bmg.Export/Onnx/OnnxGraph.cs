using Google.Protobuf;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>Nodes and the constants they need: a piece of an ONNX graph.</summary>
/// <param name="Nodes">Operators in an order in which they can be computed.</param>
/// <param name="Initializers">Constants by name.</param>
public sealed record OnnxGraph(IReadOnlyList<NodeProto> Nodes, IReadOnlyList<TensorProto> Initializers)
{
    /// <summary>
    /// The meaning of a network in ONNX, for one member, in float32: input [batch, inputs] → output [batch, outputs]. A pure translation; it
    /// agrees with <c>Network.apply</c>.
    /// </summary>
    /// <param name="network">The architecture.</param>
    /// <param name="parameters">Parameters of one member: weights [1, I, O] and biases [1, 1, O] under the network's own names. Of any
    /// floating-point type and on any device; they are rounded to float32.</param>
    /// <param name="input">Name of the value that goes in.</param>
    /// <param name="output">Name of the value that comes out.</param>
    /// <exception cref="ArgumentException">A parameter is missing or of another shape.</exception>
    /// <exception cref="NotSupportedException">A layer has no translation; the message says which and where.</exception>
    public static OnnxGraph OfNetwork(Network network, Params parameters, string input, string output)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(parameters);
        var nodes = new List<NodeProto>();
        var initializers = new List<TensorProto>();
        var value = input;
        for (var i = 0; i < network.Layers.Length; i++)
        {
            var layer = i;
            var result = i == network.Layers.Length - 1 ? output : $"{network.Name}.{i}";
            nodes.Add(
                network
                    .Layers[i]
                    .Match(
                        (inputs, outputs) =>
                        {
                            var (weight, bias) = (network.WeightName(layer), network.BiasName(layer));
                            initializers.Add(Constant(parameters, weight, [1, inputs, outputs], [inputs, outputs]));
                            initializers.Add(Constant(parameters, bias, [1, 1, outputs], [outputs]));
                            return Node("Gemm", [value, weight, bias], result);
                        },
                        activation => Node(Operator(network, layer, activation), [value], result)
                    )
            );
            value = result;
        }
        if (nodes.Count == 0)
        {
            nodes.Add(Node("Identity", [input], output));
        }
        return new OnnxGraph(nodes, initializers);
    }

    /// <summary>This piece, then another.</summary>
    public OnnxGraph Then(OnnxGraph next)
    {
        ArgumentNullException.ThrowIfNull(next);
        return new OnnxGraph([.. Nodes, .. next.Nodes], [.. Initializers, .. next.Initializers]);
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
        return new OnnxGraph(nodes, [.. Initializers.Where(tensor => needed.Contains(tensor.Name))]);
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

    private static TensorProto Constant(Params parameters, string name, long[] expected, long[] dimensions)
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
        using var scope = torch.NewDisposeScope();
        var values = tensor.detach().to(torch.float32, torch.CPU).contiguous();
        return Constant(name, TensorProto.Types.DataType.Float, dimensions, values.bytes);
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

    // Each computes what Network.activate computes: Elu's α is 1 by default in ONNX too.
    private static string Operator(Network network, int layer, Activation activation) =>
        activation switch
        {
            Activation.Relu => "Relu",
            Activation.Tanh => "Tanh",
            Activation.Sigmoid => "Sigmoid",
            Activation.Softplus => "Softplus",
            Activation.Elu => "Elu",
            _ => throw new NotSupportedException(
                $"Layer {layer} of network '{network.Name}' is the activation {activation}, which has no translation to ONNX."
            ),
        };
}
