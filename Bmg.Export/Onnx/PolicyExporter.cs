using System.Text.Json;
using Bmg.Export.Checkpoints;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>
/// Policies as ONNX: <c>observation</c> [batch, components], or of images [batch, channels, height, width], float32 → <c>logits</c> and <c>probabilities</c> [batch, actions] float32,
/// <c>action</c> [batch] int64 (the greedy one; the first of equals) and, when asked for, <c>value</c> [batch] float32. A network of action
/// values gives <c>values</c> [batch, actions] float32 and <c>action</c> alone, one of regression <c>predictions</c> [batch, numbers] float32. Fewer outputs can be chosen, see <see cref="ExportOptions"/>.
/// </summary>
public static class PolicyExporter
{
    /// <summary>Name of the input.</summary>
    public const string Observation = "observation";

    /// <summary>Name of the output before the softmax.</summary>
    public const string Logits = "logits";

    /// <summary>Name of the output after the softmax.</summary>
    public const string Probabilities = "probabilities";

    /// <summary>Name of the output of a network of action values.</summary>
    public const string ActionValues = "values";

    /// <summary>Name of the output of a network that predicts numbers.</summary>
    public const string Predictions = "predictions";

    /// <summary>Name of the output that holds the greedy action.</summary>
    public const string Action = "action";

    /// <summary>Name of the output that holds the observation's value.</summary>
    public const string Value = "value";

    /// <summary>Name of the output that is the network's own.</summary>
    public static string OutputOf(PolicyKind kind) =>
        kind switch
        {
            PolicyKind.Logits => Logits,
            PolicyKind.Values => ActionValues,
            PolicyKind.Predictions => Predictions,
            _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "expected a defined kind"),
        };

    /// <summary>The policy of one member of a checkpoint, with what a deployer needs to know as metadata.</summary>
    /// <param name="checkpoint">The checkpoint; it must live as long as the model is checked.</param>
    /// <param name="member">Which member, 0 … P − 1.</param>
    /// <param name="includeValue">Whether the model also gives the value, where the options do not say which outputs.</param>
    /// <param name="options">Outputs and operator set; null for all but the value, and the lowest.</param>
    /// <exception cref="CheckpointException">The checkpoint has no such parameters, or some that are not finite.</exception>
    /// <exception cref="ArgumentException">See the other overload.</exception>
    public static ExportableModel Build(
        Checkpoint checkpoint,
        int member,
        bool includeValue = false,
        ExportOptions? options = null
    )
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        CheckpointContents.RequirePolicy(checkpoint, member, options?.Layers);
        var policy = checkpoint.Manifest.Policy;
        return Build(
            policy,
            checkpoint.Set(policy.ParameterSet),
            member,
            includeValue,
            CheckpointMetadata.Of(checkpoint.Manifest, member),
            options
        );
    }

    /// <summary>The policy of one member.</summary>
    /// <param name="policy">What the policy is; its metadata goes into the model.</param>
    /// <param name="parameters">Parameters of its networks, for a population of P; they must live as long as the model is checked.</param>
    /// <param name="member">Which member, 0 … P − 1.</param>
    /// <param name="includeValue">Whether the model also gives the value, where the options do not say which outputs.</param>
    /// <param name="metadata">Further entries for the file's metadata.</param>
    /// <param name="options">Outputs and operator set; null for all but the value, and the lowest.</param>
    /// <exception cref="ArgumentException">There is no such member, a parameter is missing or of another shape, a value is asked for where
    /// there is none, the description contradicts its networks, or the options ask for what there is not.</exception>
    /// <exception cref="FormatException">The description holds a layer that does not exist.</exception>
    /// <exception cref="NotSupportedException">A layer has no translation to ONNX.</exception>
    public static ExportableModel Build(
        PolicyDescription policy,
        Params parameters,
        int member,
        bool includeValue = false,
        IReadOnlyDictionary<string, string>? metadata = null,
        ExportOptions? options = null
    )
    {
        ArgumentNullException.ThrowIfNull(policy);
        includeValue = options?.Outputs?.Contains(Value) ?? includeValue;
        var torso = policy.Torso?.ToNetwork(options?.Layers);
        var network = policy.Network.ToNetwork(options?.Layers);
        var input = (torso ?? network).InputShape;
        RequireInput(network, torso, torso?.OutputShape ?? input);
        Agree(
            (torso ?? network).Inputs,
            policy.ObservationLayout.Length,
            "inputs",
            "names in the observation's layout"
        );
        Agree(network.Outputs, policy.ActionMeanings.Length, "outputs", "action meanings");
        if (network.OutputShape.Length != 1)
        {
            throw new ArgumentException(
                $"The policy's network '{network.Name}' must put out one number an action, found [{string.Join(", ", network.OutputShape)}]."
            );
        }
        if (policy.Kind == PolicyKind.Predictions)
        {
            return includeValue || torso is not null
                ? throw new ArgumentException("A network that predicts numbers has no value and no torso to export.")
                : OfPredictions(policy, network, parameters, member, metadata, options);
        }
        var ofValues = policy.Kind == PolicyKind.Values;
        if (ofValues && includeValue)
        {
            throw new ArgumentException(
                "A network of action values has no further value to export; its outputs are the values."
            );
        }
        var value = includeValue ? ValueNetwork(policy, network, torso, options?.Layers) : null;
        var first = ofValues ? ActionValues : Logits;

        using var scope = torch.NewDisposeScope();
        var own = NetworkExporter.OneMember(parameters, member);
        const string Shared = "torso.features";
        var heads = torso is null ? Observation : Shared;
        var graph = OfNetwork(network, heads, first);
        if (torso is not null)
        {
            graph = OfNetwork(torso, Observation, Shared).Then(graph);
        }
        List<ValueInfoProto> outputs = [OnnxModel.Value(first, TensorProto.Types.DataType.Float, network.Outputs)];
        if (!ofValues)
        {
            graph = graph.Then(OnnxGraph.Node("Softmax", [Logits], Probabilities, ("axis", 1)));
            outputs.Add(OnnxModel.Value(Probabilities, TensorProto.Types.DataType.Float, network.Outputs));
        }
        graph = graph.Then(OnnxGraph.Node("ArgMax", [first], Action, ("axis", 1), ("keepdims", 0)));
        outputs.Add(OnnxModel.Value(Action, TensorProto.Types.DataType.Int64));
        if (value is not null)
        {
            const string Column = "value.column";
            graph = graph.Then(OfNetwork(value, heads, Column)).ThenSqueeze(Column, Value);
            outputs.Add(OnnxModel.Value(Value, TensorProto.Types.DataType.Float));
        }
        var onnx = OnnxModel.Assemble(
            network.Name,
            graph,
            [OnnxModel.Value(Observation, TensorProto.Types.DataType.Float, NetworkExporter.Axes(input))],
            outputs,
            Described(policy, ofValues ? ModelKinds.ActionValues : ModelKinds.Policy, metadata),
            options
        );
        return new ExportableModel(
            onnx,
            policy.ObservationLayout.Length,
            x =>
            {
                var one = NetworkExporter.OneMember(parameters, member);
                var features = torso is null ? x : NetworkExporter.Apply(torso, one, x);
                var scores = NetworkExporter.Apply(network, one, features);
                var result = new Dictionary<string, torch.Tensor> { [first] = scores, [Action] = scores.argmax(-1) };
                if (!ofValues)
                {
                    result[Probabilities] = Categorical.probabilities(scores);
                }
                if (value is not null)
                {
                    result[Value] = NetworkExporter.Apply(value, one, features).squeeze(-1);
                }
                return result;
            }
        );

        OnnxGraph OfNetwork(Network part, string from, string to) =>
            OnnxGraph.OfNetwork(part, own, from, to, options?.Forms);
    }

    /// <summary>Predictions alone.</summary>
    private static ExportableModel OfPredictions(
        PolicyDescription policy,
        Network network,
        Params parameters,
        int member,
        IReadOnlyDictionary<string, string>? metadata,
        ExportOptions? options
    )
    {
        using var scope = torch.NewDisposeScope();
        var graph = OnnxGraph.OfNetwork(
            network,
            NetworkExporter.OneMember(parameters, member),
            Observation,
            Predictions
        );
        var onnx = OnnxModel.Assemble(
            network.Name,
            graph,
            [OnnxModel.Value(Observation, TensorProto.Types.DataType.Float, network.Inputs)],
            [OnnxModel.Value(Predictions, TensorProto.Types.DataType.Float, network.Outputs)],
            Described(policy, ModelKinds.Predictions, metadata),
            options
        );
        return new ExportableModel(
            onnx,
            network.Inputs,
            x => new Dictionary<string, torch.Tensor>
            {
                [Predictions] = NetworkExporter.Apply(network, NetworkExporter.OneMember(parameters, member), x),
            }
        );
    }

    /// <summary>What a deployer needs to know, beside what was given.</summary>
    private static Dictionary<string, string> Described(
        PolicyDescription policy,
        string kind,
        IReadOnlyDictionary<string, string>? metadata
    ) =>
        new(metadata ?? new Dictionary<string, string>())
        {
            [MetadataKeys.Kind] = kind,
            [MetadataKeys.Environment] = policy.Environment,
            [MetadataKeys.InputLayout] = JsonSerializer.Serialize(policy.ObservationLayout),
            [MetadataKeys.ActionMeanings] = JsonSerializer.Serialize(policy.ActionMeanings),
        };

    private static Network ValueNetwork(PolicyDescription policy, Network actions, Network? torso, CustomLayers? layers)
    {
        var network =
            policy.ValueNetwork?.ToNetwork(layers)
            ?? throw new ArgumentException("The policy has no value network, so its value cannot be exported.");
        RequireInput(network, torso, actions.InputShape);
        return network.OutputShape is [1]
            ? network
            : throw new ArgumentException(
                $"Value network '{network.Name}' must map {actions.Inputs} inputs to 1 output, "
                    + $"found {network.Inputs} to {network.Outputs}."
            );
    }

    private static void RequireInput(Network network, Network? torso, int[] expected)
    {
        if (!network.InputShape.AsSpan().SequenceEqual(expected))
        {
            throw new ArgumentException(
                $"Network '{network.Name}' takes [{string.Join(", ", network.InputShape)}], expected [{string.Join(", ", expected)}], as "
                    + (torso is null ? "the policy's takes." : $"the torso '{torso.Name}' puts out.")
            );
        }
    }

    private static void Agree(int network, int described, string what, string names)
    {
        if (network != described)
        {
            throw new ArgumentException(
                $"The policy's network has {network} {what}, its description {described} {names}; they must agree."
            );
        }
    }
}
