using System.Text.Json;
using Bmg.Export.Checkpoints;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>
/// Policies as ONNX: <c>observation</c> [batch, components] float32 → <c>logits</c> and <c>probabilities</c> [batch, actions] float32,
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
        CheckpointContents.RequirePolicy(checkpoint, member);
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
        var network = policy.Network.ToNetwork();
        Agree(network.Inputs, policy.ObservationLayout.Length, "inputs", "names in the observation's layout");
        Agree(network.Outputs, policy.ActionMeanings.Length, "outputs", "action meanings");
        if (policy.Kind != PolicyKind.Logits)
        {
            return includeValue
                    ? throw new ArgumentException(
                        policy.Kind == PolicyKind.Values
                            ? "A network of action values has no further value to export; its outputs are the values."
                            : "A network that predicts numbers has no value to export."
                    )
                : policy.Kind == PolicyKind.Values
                    ? OfActionValues(policy, network, parameters, member, metadata, options)
                : OfPredictions(policy, network, parameters, member, metadata, options);
        }
        var value = includeValue ? ValueNetwork(policy, network.Inputs) : null;

        using var scope = torch.NewDisposeScope();
        var own = NetworkExporter.OneMember(parameters, member);
        var graph = OnnxGraph
            .OfNetwork(network, own, Observation, Logits)
            .Then(OnnxGraph.Node("Softmax", [Logits], Probabilities, ("axis", 1)))
            .Then(OnnxGraph.Node("ArgMax", [Logits], Action, ("axis", 1), ("keepdims", 0)));
        List<ValueInfoProto> outputs =
        [
            OnnxModel.Value(Logits, TensorProto.Types.DataType.Float, network.Outputs),
            OnnxModel.Value(Probabilities, TensorProto.Types.DataType.Float, network.Outputs),
            OnnxModel.Value(Action, TensorProto.Types.DataType.Int64),
        ];
        if (value is not null)
        {
            const string Column = "value.column";
            graph = graph.Then(OnnxGraph.OfNetwork(value, own, Observation, Column)).ThenSqueeze(Column, Value);
            outputs.Add(OnnxModel.Value(Value, TensorProto.Types.DataType.Float));
        }
        var onnx = OnnxModel.Assemble(
            network.Name,
            graph,
            [OnnxModel.Value(Observation, TensorProto.Types.DataType.Float, network.Inputs)],
            outputs,
            Described(policy, ModelKinds.Policy, metadata),
            options
        );
        return new ExportableModel(
            onnx,
            network.Inputs,
            x =>
            {
                var one = NetworkExporter.OneMember(parameters, member);
                var logits = NetworkExporter.Apply(network, one, x);
                var result = new Dictionary<string, torch.Tensor>
                {
                    [Logits] = logits,
                    [Probabilities] = Categorical.probabilities(logits),
                    [Action] = logits.argmax(-1),
                };
                if (value is not null)
                {
                    result[Value] = NetworkExporter.Apply(value, one, x).squeeze(-1);
                }
                return result;
            }
        );
    }

    /// <summary>Action values and the action of the greatest.</summary>
    private static ExportableModel OfActionValues(
        PolicyDescription policy,
        Network network,
        Params parameters,
        int member,
        IReadOnlyDictionary<string, string>? metadata,
        ExportOptions? options
    )
    {
        using var scope = torch.NewDisposeScope();
        var graph = OnnxGraph
            .OfNetwork(network, NetworkExporter.OneMember(parameters, member), Observation, ActionValues)
            .Then(OnnxGraph.Node("ArgMax", [ActionValues], Action, ("axis", 1), ("keepdims", 0)));
        var onnx = OnnxModel.Assemble(
            network.Name,
            graph,
            [OnnxModel.Value(Observation, TensorProto.Types.DataType.Float, network.Inputs)],
            [
                OnnxModel.Value(ActionValues, TensorProto.Types.DataType.Float, network.Outputs),
                OnnxModel.Value(Action, TensorProto.Types.DataType.Int64),
            ],
            Described(policy, ModelKinds.ActionValues, metadata),
            options
        );
        return new ExportableModel(
            onnx,
            network.Inputs,
            x =>
            {
                var values = NetworkExporter.Apply(network, NetworkExporter.OneMember(parameters, member), x);
                return new Dictionary<string, torch.Tensor> { [ActionValues] = values, [Action] = values.argmax(-1) };
            }
        );
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

    private static Network ValueNetwork(PolicyDescription policy, int inputs)
    {
        var network =
            policy.ValueNetwork?.ToNetwork()
            ?? throw new ArgumentException("The policy has no value network, so its value cannot be exported.");
        return network.Inputs == inputs && network.Outputs == 1
            ? network
            : throw new ArgumentException(
                $"Value network '{network.Name}' must map {inputs} inputs to 1 output, "
                    + $"found {network.Inputs} to {network.Outputs}."
            );
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
