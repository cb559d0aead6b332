using System.Text.Json;
using Bmg.Export.Checkpoints;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>
/// A meta-parameter computed from context, as ONNX: <c>context</c> [batch, components] float32 → the meta-parameter under its own name,
/// [batch] float32, low + (high − low)·sigmoid(network(context)).
/// </summary>
public static class MetaNetworkExporter
{
    /// <summary>Name of the input.</summary>
    public const string Context = "context";

    /// <summary>The meta-network of one member of a checkpoint; one that all members share serves each of them.</summary>
    /// <param name="checkpoint">The checkpoint; it must live as long as the model is checked.</param>
    /// <param name="member">Which member, 0 … P − 1.</param>
    /// <param name="options">The operator set; null for the lowest.</param>
    /// <exception cref="CheckpointException">The checkpoint has no meta-network, or not its parameters, or some that are not finite.</exception>
    /// <exception cref="ArgumentException">See the other overload.</exception>
    public static ExportableModel Build(Checkpoint checkpoint, int member, ExportOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var manifest = checkpoint.Manifest;
        var meta =
            manifest.MetaNetwork
            ?? throw checkpoint.Fault($"of experiment '{manifest.Experiment}' has no meta-network to export.");
        CheckpointContents.RequireMetaNetwork(checkpoint, member, options?.Layers);
        var parameters = checkpoint.Set(meta.ParameterSet);
        var metadata = CheckpointMetadata.Of(manifest, member);
        return Build(meta, parameters, parameters.Members == 1 ? 0 : member, metadata, options);
    }

    /// <summary>The meta-network of one member.</summary>
    /// <param name="meta">What the meta-network is.</param>
    /// <param name="parameters">Its parameters, for a population of P; they must live as long as the model is checked.</param>
    /// <param name="member">Which member, 0 … P − 1.</param>
    /// <param name="metadata">Further entries for the file's metadata.</param>
    /// <param name="options">The operator set; null for the lowest.</param>
    /// <exception cref="ArgumentException">There is no such member, a parameter is missing or of another shape, the description contradicts
    /// itself, or the options ask for what there is not.</exception>
    /// <exception cref="FormatException">The description holds a layer that does not exist.</exception>
    /// <exception cref="NotSupportedException">A layer has no translation to ONNX.</exception>
    public static ExportableModel Build(
        MetaNetworkDescription meta,
        Params parameters,
        int member,
        IReadOnlyDictionary<string, string>? metadata = null,
        ExportOptions? options = null
    )
    {
        ArgumentNullException.ThrowIfNull(meta);
        var network = meta.Network.ToNetwork(options?.Layers);
        if (
            network.InputShape is not [_]
            || network.Inputs != meta.InputNames.Length
            || network.OutputShape is not [var count]
            || count != meta.Outputs.Count
        )
        {
            throw new ArgumentException(
                $"Meta-network '{network.Name}' must map {meta.InputNames.Length} named inputs to {meta.Outputs.Count} output{(meta.Outputs.Count == 1 ? "" : "s")}, "
                    + $"found {network.Inputs} to {network.Outputs}.",
                nameof(meta)
            );
        }
        foreach (var output in meta.Outputs)
        {
            if (
                !(double.IsFinite(output.Low) && double.IsFinite(output.High) && output.Low < output.High)
                || output.Name is "" or Context
            )
            {
                throw new ArgumentException(
                    $"Meta-parameter '{output.Name}' must have finite bounds, the lower first, and a name other than '{Context}', "
                        + $"found bounds {output.Low} and {output.High}.",
                    nameof(meta)
                );
            }
        }

        const string Raw = "meta.raw";
        const string Unit = "meta.unit";
        const string Scaled = "meta.scaled";
        const string Bounded = "meta.bounded";
        const string Low = "meta.low";
        const string Width = "meta.width";
        using var scope = torch.NewDisposeScope();
        var graph = OnnxGraph
            .OfNetwork(network, NetworkExporter.OneMember(parameters, member), Context, Raw, options?.Forms)
            .Then(OnnxGraph.Node("Sigmoid", [Raw], Unit));
        if (meta.Outputs is [var only])
        {
            graph = graph
                .Then(
                    OnnxGraph.Node("Mul", [Unit, Width], Scaled),
                    OnnxGraph.Constant(Width, (float)(only.High - only.Low))
                )
                .Then(OnnxGraph.Node("Add", [Scaled, Low], Bounded), OnnxGraph.Constant(Low, (float)only.Low))
                .ThenSqueeze(Bounded, only.Name);
        }
        else
        {
            // One column an output, each on its own scale.
            for (var i = 0; i < meta.Outputs.Count; i++)
            {
                var output = meta.Outputs[i];
                string Of(string name) => $"{name}.{i}";
                graph = graph
                    .Then(
                        OnnxGraph.Node("Gather", [Unit, Of("meta.column")], Of(Unit), ("axis", 1L)),
                        OnnxGraph.Constant(Of("meta.column"), [(long)i])
                    )
                    .Then(
                        OnnxGraph.Node("Mul", [Of(Unit), Of(Width)], Of(Scaled)),
                        OnnxGraph.Constant(Of(Width), (float)(output.High - output.Low))
                    )
                    .Then(
                        OnnxGraph.Node("Add", [Of(Scaled), Of(Low)], Of(Bounded)),
                        OnnxGraph.Constant(Of(Low), (float)output.Low)
                    )
                    .ThenSqueeze(Of(Bounded), output.Name);
            }
        }

        var onnx = OnnxModel.Assemble(
            network.Name,
            graph,
            [OnnxModel.Value(Context, TensorProto.Types.DataType.Float, network.Inputs)],
            [.. meta.Outputs.Select(output => OnnxModel.Value(output.Name, TensorProto.Types.DataType.Float))],
            new Dictionary<string, string>(metadata ?? new Dictionary<string, string>())
            {
                [MetadataKeys.Kind] = ModelKinds.MetaNetwork,
                [MetadataKeys.InputLayout] = JsonSerializer.Serialize(meta.InputNames),
            },
            options
        );
        // What training computes, not the formula once more: the graph above is judged by it.
        var trained = MetaParameters.ContextualMany(
            [.. meta.Outputs.Select(output => output.Name)],
            network,
            [.. meta.Outputs.Select(output => output.Low)],
            [.. meta.Outputs.Select(output => output.High)],
            [.. meta.Outputs.Select(output => output.Low / 2 + output.High / 2)],
            Initialization.Uniform,
            0
        );
        return new ExportableModel(
            onnx,
            network.Inputs,
            x =>
            {
                var given = trained.Apply.Invoke(NetworkExporter.OneMember(parameters, member), x);
                return meta.Outputs.ToDictionary(output => output.Name, output => given[output.Name]);
            }
        );
    }
}
