using System.Text.Json.Serialization;

namespace Bmg.Export.Checkpoints;

/// <summary>One layer as it stands in a file: {"type": "linear", "inputs": 4, "outputs": 16} or {"type": "relu"}. Fields that its type does
/// not have are null.</summary>
/// <param name="Type">"linear", "convolution", "maxPooling", "averagePooling", "batchNormalization", "layerNormalization", "flatten",
/// "residual", "custom", or the name of an activation in lower case.</param>
/// <param name="Inputs">Features, or channels, in: of a linear layer and of a convolution.</param>
/// <param name="Outputs">Features, or channels, out: of a linear layer and of a convolution.</param>
/// <param name="Kernel">Width of a window: of a convolution and of pooling.</param>
/// <param name="Stride">Step from window to window: of a convolution and of pooling.</param>
/// <param name="Padding">Zeros around: of a convolution.</param>
/// <param name="Inner">Inner layers of a residual block.</param>
/// <param name="Shortcut">Layers of a residual block's shortcut; null where it is the input itself.</param>
/// <param name="Name">Name of a custom layer (see <see cref="CustomLayers"/>).</param>
/// <param name="Settings">Settings of a custom layer.</param>
public sealed record LayerDescription(
    string Type,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Inputs = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Outputs = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Kernel = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Stride = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int? Padding = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] LayerDescription[]? Inner = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] LayerDescription[]? Shortcut = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Name = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] Dictionary<string, double>? Settings = null
);

/// <summary>A <see cref="Network"/> as it stands in a file.</summary>
/// <param name="Name">Prefix of the parameters' names.</param>
/// <param name="Layers">Layers from input to output.</param>
/// <param name="InputShape">Axes of an input, [features] or [channels, height, width]; null where the first linear layer tells.</param>
public sealed record NetworkDescription(
    string Name,
    LayerDescription[] Layers,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] int[]? InputShape = null
)
{
    private const string Linear = "linear";
    private const string Convolution = "convolution";
    private const string MaxPooling = "maxPooling";
    private const string AveragePooling = "averagePooling";
    private const string BatchNormalization = "batchNormalization";
    private const string LayerNormalization = "layerNormalization";
    private const string Flatten = "flatten";
    private const string Residual = "residual";
    private const string Custom = "custom";

    private static readonly Dictionary<string, Activation> Activations = Enum.GetValues<Activation>()
        .ToDictionary(NameOf, StringComparer.Ordinal);

    private static readonly string[] Known =
    [
        Linear,
        .. Activations.Keys,
        Convolution,
        MaxPooling,
        AveragePooling,
        BatchNormalization,
        LayerNormalization,
        Flatten,
        Residual,
        Custom,
    ];

    /// <summary>Describes a network.</summary>
    public static NetworkDescription Of(Network network)
    {
        ArgumentNullException.ThrowIfNull(network);
        var layers = Describe(network.Layers);
        var told = FirstLinear(layers);
        return new NetworkDescription(
            network.Name,
            layers,
            network.IsPerceptron && told is not null ? null : network.InputShape
        );
    }

    /// <summary>The network described.</summary>
    /// <param name="custom">Layers that a file may name; null for none.</param>
    /// <exception cref="FormatException">A layer is of an unknown type, lacks a size, or does not fit the one before.</exception>
    public Network ToNetwork(CustomLayers? custom = null)
    {
        var layers = ToLayers(Layers, "", custom ?? new CustomLayers());
        var told = FirstLinear(Layers);
        int[] input =
            InputShape
            ?? (
                told is { } features
                    ? [features]
                    : throw new FormatException(
                        $"Network '{Name}' has neither an input shape nor a linear layer that would tell it."
                    )
            );
        try
        {
            return Network.Create(Name, input, layers);
        }
        catch (ArgumentException exception)
        {
            throw new FormatException(exception.Message.Split(" (Parameter '")[0], exception);
        }
    }

    private static LayerDescription[] Describe(Layer[] layers) =>
        [
            .. layers.Select(layer =>
                layer.Match(
                    (inputs, outputs) => new LayerDescription(Linear, inputs, outputs),
                    activation => new LayerDescription(NameOf(activation)),
                    (inputs, outputs, kernel, stride, padding) =>
                        new LayerDescription(Convolution, inputs, outputs, kernel, stride, padding),
                    (kernel, stride) => new LayerDescription(MaxPooling, Kernel: kernel, Stride: stride),
                    (kernel, stride) => new LayerDescription(AveragePooling, Kernel: kernel, Stride: stride),
                    () => new LayerDescription(BatchNormalization),
                    () => new LayerDescription(LayerNormalization),
                    () => new LayerDescription(Flatten),
                    (inner, shortcut) =>
                        new LayerDescription(
                            Residual,
                            Inner: Describe(inner),
                            Shortcut: shortcut.Length == 0 ? null : Describe(shortcut)
                        ),
                    own => new LayerDescription(Custom, Name: own.Name, Settings: new(own.Settings))
                )
            ),
        ];

    private Layer[] ToLayers(LayerDescription?[] layers, string place, CustomLayers custom) =>
        [.. layers.Select((layer, i) => ToLayer(layer, place + i, custom))];

    private Layer ToLayer(LayerDescription? layer, string place, CustomLayers custom)
    {
        if (layer is null)
        {
            throw new FormatException($"Layer {place} of network '{Name}' is null, expected a layer.");
        }
        FormatException Lacks(string what) =>
            new($"Layer {place} of network '{Name}' is of type '{layer.Type}' and has no {what}.");

        switch (layer.Type)
        {
            case Linear:
                return layer is { Inputs: > 0, Outputs: > 0 }
                    ? Layer.NewLinear(layer.Inputs.Value, layer.Outputs.Value)
                    : throw new FormatException(
                        $"Layer {place} of network '{Name}' is linear from {layer.Inputs?.ToString() ?? "nothing"} to "
                            + $"{layer.Outputs?.ToString() ?? "nothing"} features; both must be positive."
                    );
            case Convolution:
                return Layer.NewConvolution(
                    layer.Inputs ?? throw Lacks("inputs"),
                    layer.Outputs ?? throw Lacks("outputs"),
                    layer.Kernel ?? throw Lacks("kernel"),
                    layer.Stride ?? throw Lacks("stride"),
                    layer.Padding ?? throw Lacks("padding")
                );
            case MaxPooling:
                return Layer.NewMaxPooling(
                    layer.Kernel ?? throw Lacks("kernel"),
                    layer.Stride ?? throw Lacks("stride")
                );
            case AveragePooling:
                return Layer.NewAveragePooling(
                    layer.Kernel ?? throw Lacks("kernel"),
                    layer.Stride ?? throw Lacks("stride")
                );
            case BatchNormalization:
                return Layer.BatchNormalization;
            case LayerNormalization:
                return Layer.LayerNormalization;
            case Flatten:
                return Layer.Flatten;
            case Residual:
                return Layer.NewResidual(
                    ToLayers(layer.Inner ?? throw Lacks("inner layers"), place + ".inner.", custom),
                    ToLayers(layer.Shortcut ?? [], place + ".shortcut.", custom)
                );
            case Custom:
                var name = layer.Name ?? throw Lacks("name");
                try
                {
                    return Layer.NewCustom(custom.Make(name, layer.Settings ?? new Dictionary<string, double>()));
                }
                catch (FormatException exception)
                {
                    throw new FormatException($"Layer {place} of network '{Name}': {exception.Message}.", exception);
                }
            default:
                return Activations.TryGetValue(layer.Type, out var activation)
                    ? Layer.NewActivation(activation)
                    : throw new FormatException(
                        $"Layer {place} of network '{Name}' is of type '{layer.Type}'; "
                            + $"known types are {string.Join(", ", Known)}."
                    );
        }
    }

    private static int? FirstLinear(LayerDescription[] layers) =>
        layers.FirstOrDefault(layer => layer.Type == Linear)?.Inputs;

    private static string NameOf(Activation activation) => activation.ToString().ToLowerInvariant();
}
