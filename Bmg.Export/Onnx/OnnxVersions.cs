using System.Globalization;

namespace Bmg.Export.Onnx;

/// <summary>
/// Versions of the standard operator set and of the file format: the lowest that a graph needs, since readers refuse what is newer than
/// they are. An operator keeps its meaning from the version named here up to <see cref="Highest"/>.
/// </summary>
public static class OnnxVersions
{
    /// <summary>The lowest operator set that is written. Its file format, 4, is the first in which constants need not be inputs.</summary>
    public const int Lowest = 9;

    /// <summary>The highest operator set that can be asked for.</summary>
    public const int Highest = 22;

    // From which version on an operator does what the exporters mean by it.
    private static readonly Dictionary<string, int> Since = new(StringComparer.Ordinal)
    {
        ["Identity"] = 1,
        ["Softplus"] = 1,
        ["Conv"] = 1,
        // All axes but the first made one.
        ["Flatten"] = 1,
        // Along the last of two axes, which is the same in every version.
        ["Softmax"] = 1,
        ["Concat"] = 4,
        ["Relu"] = 6,
        ["Tanh"] = 6,
        ["Sigmoid"] = 6,
        ["Elu"] = 6,
        ["LeakyRelu"] = 6,
        ["Exp"] = 6,
        // Operands are broadcast without an attribute.
        ["Gemm"] = 7,
        ["Add"] = 7,
        ["Mul"] = 7,
        ["Sub"] = 7,
        ["AveragePool"] = 7,
        ["MaxPool"] = 8,
        // Operands are broadcast.
        ["Max"] = 8,
        ["Min"] = 8,
        ["Erf"] = 9,
        ["Where"] = 9,
        // By given statistics; later versions differ in training alone.
        ["BatchNormalization"] = 9,
        // Starts, ends and axes are inputs.
        ["Slice"] = 10,
        // The first of equals is the documented choice.
        ["ArgMax"] = 12,
        // Axes are an input.
        ["Squeeze"] = 13,
        ["LayerNormalization"] = 17,
    };

    /// <summary>The lowest operator set that a graph needs.</summary>
    /// <exception cref="NotSupportedException">A node's operator is none of those that are known here.</exception>
    public static int LowestFor(OnnxGraph graph)
    {
        ArgumentNullException.ThrowIfNull(graph);
        return graph
            .Nodes.Select(node =>
                Since.TryGetValue(node.OpType, out var version) || graph.Since.TryGetValue(node.OpType, out version)
                    ? version
                    : throw new NotSupportedException(
                        $"Node '{node.Name}' is the operator '{node.OpType}', whose lowest version is not known."
                    )
            )
            .Append(Lowest)
            .Max();
    }

    /// <summary>The operator set that is written: the one asked for, or the lowest.</summary>
    /// <exception cref="ArgumentException">The graph needs a higher one, or there is none so high.</exception>
    public static int Choose(OnnxGraph graph, int? asked)
    {
        var lowest = LowestFor(graph);
        return asked is null ? lowest
            : asked >= lowest && asked <= Highest ? asked.Value
            : throw new ArgumentException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Opset must be from {lowest}, the lowest with the operators {string.Join(", ", Operators(graph))}, to {Highest}, found {asked}."
                )
            );
    }

    /// <summary>The file format that was published with an operator set (ONNX's table of released versions).</summary>
    public static int IrVersionOf(int opset) =>
        opset switch
        {
            >= 21 => 10,
            >= 19 => 9,
            >= 15 => 8,
            >= 12 => 7,
            11 => 6,
            10 => 5,
            _ => 4,
        };

    private static IEnumerable<string> Operators(OnnxGraph graph) =>
        graph.Nodes.Select(node => node.OpType).Distinct().Order(StringComparer.Ordinal);
}
