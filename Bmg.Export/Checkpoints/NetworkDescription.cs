using System.Text.Json.Serialization;

namespace Bmg.Export.Checkpoints;

/// <summary>One layer as it stands in a file: {"type": "linear", "inputs": 4, "outputs": 16} or {"type": "relu"}.</summary>
/// <param name="Type">"linear", or the name of an activation in lower case.</param>
/// <param name="Inputs">Features in, of a linear layer; null otherwise.</param>
/// <param name="Outputs">Features out, of a linear layer; null otherwise.</param>
public sealed record LayerDescription(
    string Type,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Inputs = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Outputs = null
);

/// <summary>A <see cref="Network"/> as it stands in a file.</summary>
/// <param name="Name">Prefix of the parameters' names.</param>
/// <param name="Layers">Layers from input to output.</param>
public sealed record NetworkDescription(string Name, LayerDescription[] Layers)
{
    private const string Linear = "linear";

    private static readonly Dictionary<string, Activation> Activations = Enum.GetValues<Activation>()
        .ToDictionary(NameOf, StringComparer.Ordinal);

    /// <summary>Describes a network.</summary>
    public static NetworkDescription Of(Network network)
    {
        ArgumentNullException.ThrowIfNull(network);
        var layers = network.Layers.Select(layer =>
            layer.Match(
                (inputs, outputs) => new LayerDescription(Linear, inputs, outputs),
                activation => new LayerDescription(NameOf(activation))
            )
        );
        return new NetworkDescription(network.Name, [.. layers]);
    }

    /// <summary>The network described.</summary>
    /// <exception cref="FormatException">A layer is of an unknown type, or a linear layer lacks a positive size.</exception>
    public Network ToNetwork() => new(Name, [.. Layers.Select(ToLayer)]);

    private Layer ToLayer(LayerDescription layer, int position)
    {
        if (layer.Type == Linear)
        {
            return layer is { Inputs: > 0, Outputs: > 0 }
                ? Layer.NewLinear(layer.Inputs.Value, layer.Outputs.Value)
                : throw new FormatException(
                    $"Layer {position} of network '{Name}' is linear from {layer.Inputs?.ToString() ?? "nothing"} to "
                        + $"{layer.Outputs?.ToString() ?? "nothing"} features; both must be positive."
                );
        }
        return Activations.TryGetValue(layer.Type, out var activation)
            ? Layer.NewActivation(activation)
            : throw new FormatException(
                $"Layer {position} of network '{Name}' is of type '{layer.Type}'; "
                    + $"known types are {Linear}, {string.Join(", ", Activations.Keys)}."
            );
    }

    private static string NameOf(Activation activation) => activation.ToString().ToLowerInvariant();
}
