using Bmg.Export.Checkpoints;

namespace Bmg.Export.Onnx;

/// <summary>How a model is written.</summary>
public sealed record ExportOptions
{
    /// <summary>Version of the standard operator set; null for the lowest that the graph needs.</summary>
    public int? Opset { get; init; }

    /// <summary>Names of the outputs, in order; null for all. What no output needs is left out.</summary>
    public IReadOnlyList<string>? Outputs { get; init; }

    /// <summary>Custom layers that a checkpoint's networks may have; null for none.</summary>
    public CustomLayers? Layers { get; init; }

    /// <summary>ONNX forms of custom layers; null for none.</summary>
    public OnnxForms? Forms { get; init; }

    /// <summary>The outputs asked for of those there are, in the order asked for.</summary>
    /// <exception cref="ArgumentException">One is unknown or stands twice, or there is none.</exception>
    internal static IReadOnlyList<ValueInfoProto> Choose(ExportOptions? options, IReadOnlyList<ValueInfoProto> all)
    {
        if (options?.Outputs is not { } asked)
        {
            return all;
        }
        var known = string.Join(", ", all.Select(output => output.Name));
        if (asked.Count == 0)
        {
            throw new ArgumentException($"Outputs must be some of {known}, found none.");
        }
        var chosen = new List<ValueInfoProto>();
        foreach (var name in asked)
        {
            var output =
                all.FirstOrDefault(value => value.Name == name)
                ?? throw new ArgumentException($"Outputs must be some of {known}, found '{name}'.");
            if (chosen.Contains(output))
            {
                throw new ArgumentException($"Outputs must be distinct, found '{name}' twice.");
            }
            chosen.Add(output);
        }
        return chosen;
    }
}
