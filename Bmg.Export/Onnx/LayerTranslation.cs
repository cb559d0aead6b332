using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>From the layers of one network to nodes and constants. Each computes what <c>Network.ApplyStored</c> computes.</summary>
internal sealed class LayerTranslation(Network network, Params parameters, OnnxForms? forms)
{
    private readonly List<NodeProto> _nodes = [];
    private readonly List<TensorProto> _initializers = [];
    private readonly Dictionary<string, int> _since = new(StringComparer.Ordinal);

    public OnnxGraph Translate(string input, string output)
    {
        if (Chain(network.Sites, input, output) == input)
        {
            Add("Identity", [input], output);
        }
        return new OnnxGraph(_nodes, _initializers) { Since = _since };
    }

    /// <summary>Layers one after the other; the name of what comes out, which is that of the input where there are none.</summary>
    /// <param name="sites">The layers.</param>
    /// <param name="input">Name of what goes in.</param>
    /// <param name="output">Name of what comes out of the last; null for the last one's path.</param>
    private string Chain(LayerSite[] sites, string input, string? output)
    {
        var value = input;
        for (var i = 0; i < sites.Length; i++)
        {
            var result = output is not null && i == sites.Length - 1 ? output : sites[i].Path;
            Translate(sites[i], value, result);
            value = result;
        }
        return value;
    }

    private void Translate(LayerSite site, string input, string output) =>
        site.Layer.Match<object?>(
            (inputs, outputs) => Add("Gemm", [input, Parameter(site, 0), Parameter(site, 1, outputs)], output),
            activation => Activate(site, activation, input, output),
            (inputs, outputs, kernel, stride, padding) =>
                Add(
                    "Conv",
                    [input, Parameter(site, 0), Parameter(site, 1)],
                    output,
                    ("kernel_shape", [kernel, kernel]),
                    ("strides", [stride, stride]),
                    ("pads", [padding, padding, padding, padding])
                ),
            (kernel, stride) => Pool("MaxPool", kernel, stride, input, output),
            (kernel, stride) => Pool("AveragePool", kernel, stride, input, output),
            () =>
            {
                var (mean, variance) = site.StatisticsNames;
                Add(
                    "BatchNormalization",
                    [input, Parameter(site, 0), Parameter(site, 1), Statistic(site, mean), Statistic(site, variance)],
                    output
                );
                return null;
            },
            () =>
            {
                _nodes.Add(
                    OnnxGraph.Node(
                        "LayerNormalization",
                        [input, Parameter(site, 0), Parameter(site, 1)],
                        output,
                        ("axis", 1)
                    )
                );
                return null;
            },
            () => Add("Flatten", [input], output),
            (_, _) =>
                Add("Add", [Chain(site.Inner, input, output: null), Chain(site.Shortcut, input, output: null)], output),
            layer => Own(site, layer, input, output)
        );

    private object? Activate(LayerSite site, Activation activation, string input, string output)
    {
        switch (activation)
        {
            case Activation.Relu:
                return Add("Relu", [input], output);
            case Activation.Tanh:
                return Add("Tanh", [input], output);
            case Activation.Sigmoid:
                return Add("Sigmoid", [input], output);
            case Activation.Softplus:
                return Add("Softplus", [input], output);
            // α is 1 by default in ONNX too.
            case Activation.Elu:
                return Add("Elu", [input], output);
            // α is 0.01 by default in ONNX too.
            case Activation.LeakyRelu:
                return Add("LeakyRelu", [input], output);
            // ONNX has an operator of its own only from version 20 on.
            case Activation.Gelu:
                var (scaled, erf, sum, half) = (
                    site.Path + ".scaled",
                    site.Path + ".erf",
                    site.Path + ".sum",
                    site.Path + ".half"
                );
                Add("Mul", [input, Scalar(site, "root", MathF.Sqrt(0.5f))], scaled);
                Add("Erf", [scaled], erf);
                Add("Add", [erf, Scalar(site, "one", 1)], sum);
                Add("Mul", [input, Scalar(site, "factor", 0.5f)], half);
                return Add("Mul", [half, sum], output);
            case Activation.Silu:
                var gate = site.Path + ".gate";
                Add("Sigmoid", [input], gate);
                return Add("Mul", [input, gate], output);
            default:
                throw new NotSupportedException(
                    $"Layer {Place(site)} is the activation {activation}, which has no translation to ONNX."
                );
        }
    }

    private object? Pool(string type, int kernel, int stride, string input, string output) =>
        Add(type, [input], output, ("kernel_shape", [kernel, kernel]), ("strides", [stride, stride]));

    private object? Own(LayerSite site, CustomLayer layer, string input, string output)
    {
        var form =
            forms?.Find(layer.Name)
            ?? throw new NotSupportedException(
                $"Layer {Place(site)} is the custom layer '{layer.Name}', which has no translation to ONNX; add one to the export's forms."
            );
        var own = Params.Create(
            [.. site.Parameters.Select(parameter => parameter.Name)],
            [.. site.ParameterNames.Select(name => parameters[name])]
        );
        var graph = form(site, layer, own, input, output);
        _nodes.AddRange(graph.Nodes);
        _initializers.AddRange(graph.Initializers);
        foreach (var (type, version) in graph.Since)
        {
            _since[type] = Math.Max(version, _since.GetValueOrDefault(type));
        }
        return null;
    }

    /// <summary>A parameter of the layer as a constant without the axis of the population, or with the axes given.</summary>
    private string Parameter(LayerSite site, int index, params long[] dimensions)
    {
        var name = site.ParameterNames[index];
        long[] axes = [.. site.Parameters[index].Shape.Select(axis => (long)axis)];
        _initializers.Add(
            OnnxGraph.Constant(parameters, name, [1, .. axes], dimensions.Length == 0 ? axes : dimensions)
        );
        return name;
    }

    private string Statistic(LayerSite site, string name)
    {
        if (!parameters.Contains(name))
        {
            throw new ArgumentException(
                $"Layer {Place(site)} normalises by batches: stored statistics '{name}' must stand among the parameters, found none."
            );
        }
        long channels = site.InputShape[0];
        _initializers.Add(OnnxGraph.Constant(parameters, name, [1, channels], [channels]));
        return name;
    }

    private string Scalar(LayerSite site, string name, float value)
    {
        var constant = OnnxGraph.Constant($"{site.Path}.{name}", value);
        _initializers.Add(constant);
        return constant.Name;
    }

    private object? Add(string type, string[] inputs, string output, params (string Name, long[] Values)[] attributes)
    {
        _nodes.Add(OnnxGraph.Node(type, inputs, output, attributes));
        return null;
    }

    private string Place(LayerSite site) => $"{site.Path[(network.Name.Length + 1)..]} of network '{network.Name}'";
}
