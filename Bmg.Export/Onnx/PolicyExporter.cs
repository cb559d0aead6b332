using System.Text.Json;
using Bmg.Export.Checkpoints;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>
/// Policies as ONNX, from <c>observation</c> [batch, components], or of images [batch, channels, height, width], float32. When asked for,
/// every kind but action values and predictions gives <c>value</c> [batch] float32, too. Fewer outputs can be chosen, see <see cref="ExportOptions"/>.
/// </summary>
/// <remarks>
/// <list type="bullet">
/// <item>One discrete action: <c>logits</c> and <c>probabilities</c> [batch, actions] float32, <c>action</c> [batch] int64 (the greedy one;
/// the first of equals).</item>
/// <item>Several discrete actions at once: <c>logits</c> and <c>probabilities</c> [batch, choices of all] float32, those of the first
/// action, then of the second, …, each with a softmax of its own; <c>action</c> [batch, actions] int64, the index of each.</item>
/// <item>Actions that are numbers: <c>mean</c> and <c>deviation</c> [batch, actions] float32 in the policy's own range, in which −1 and 1
/// are the bounds, and <c>action</c> [batch, actions] float32 within the bounds: the mean, clipped and stretched. To draw, add the deviation
/// times a normal number to the mean, then clip and stretch (<see cref="NumberDescription.Stretch"/>).</item>
/// <item>Action values: <c>values</c> [batch, actions] float32 and <c>action</c> [batch] int64 alone.</item>
/// <item>Predictions of numbers, from regression: <c>predictions</c> [batch, numbers] float32 alone.</item>
/// <item>Where some choices are not always allowed, a second input <c>mask</c> [batch, choices of all] bool, true where allowed, at least one
/// of each action. Logits are as the network gives them; probabilities and action are of what is allowed. A model of logits alone has no
/// mask.</item>
/// </list>
/// </remarks>
public static class PolicyExporter
{
    /// <summary>Name of the input.</summary>
    public const string Observation = "observation";

    /// <summary>Name of the second input, where there is one.</summary>
    public const string Mask = "mask";

    /// <summary>Name of the output before the softmax.</summary>
    public const string Logits = "logits";

    /// <summary>Name of the output after the softmax.</summary>
    public const string Probabilities = "probabilities";

    /// <summary>Name of the output of a network of action values.</summary>
    public const string ActionValues = "values";

    /// <summary>Name of the output that holds the means of numbers.</summary>
    public const string Mean = "mean";

    /// <summary>Name of the output that holds the deviations of numbers.</summary>
    public const string Deviation = "deviation";

    /// <summary>Name of the output of a network that predicts numbers.</summary>
    public const string Predictions = "predictions";

    /// <summary>Name of the output that holds the greedy action.</summary>
    public const string Action = "action";

    /// <summary>Name of the output that holds the observation's value.</summary>
    public const string Value = "value";

    /// <summary>Name of the output that is the network's own; of a distribution of numbers, its means.</summary>
    public static string OutputOf(PolicyKind kind) =>
        kind switch
        {
            PolicyKind.Logits or PolicyKind.SeveralLogits => Logits,
            PolicyKind.Values => ActionValues,
            PolicyKind.Predictions => Predictions,
            PolicyKind.Gaussian => Mean,
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
            policy.Normalization is null
                ? checkpoint.Set(policy.ParameterSet)
                : Params.Merge([checkpoint.Set(policy.ParameterSet), checkpoint.Set(NormalizationDescription.Set)]),
            member,
            includeValue,
            CheckpointMetadata.Of(checkpoint.Manifest, member),
            options
        );
    }

    /// <summary>The policy of one member.</summary>
    /// <param name="policy">What the policy is; its metadata goes into the model.</param>
    /// <param name="parameters">Parameters of its networks, for a population of P, and mean and scale of its normalisation where it has one
    /// (<see cref="NormalizationDescription"/>); they must live as long as the model is checked.</param>
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
        if (network.OutputShape.Length != 1)
        {
            throw new ArgumentException(
                $"The policy's network '{network.Name}' must put out a row of numbers, found [{string.Join(", ", network.OutputShape)}]."
            );
        }
        if (policy.ActionFlaw(network.Outputs) is { } flaw)
        {
            throw new ArgumentException($"The policy's description has {flaw}.");
        }
        if (policy.Normalization?.Flaw is { } unsound)
        {
            throw new ArgumentException($"The policy's description has {unsound}.");
        }
        var head = ActionHead.Of(policy);
        if (policy.Kind == PolicyKind.Predictions && (includeValue || torso is not null))
        {
            throw new ArgumentException("A network that predicts numbers has no value and no torso to export.");
        }
        if (policy.Kind == PolicyKind.Values && includeValue)
        {
            throw new ArgumentException(
                "A network of action values has no further value to export; its outputs are the values."
            );
        }
        var value = includeValue ? ValueNetwork(policy, network, torso, options?.Layers) : null;

        using var scope = torch.NewDisposeScope();
        var own = NetworkExporter.OneMember(parameters, member);
        const string Shared = "torso.features";
        const string Normal = "observation.normal";
        var seen = policy.Normalization is null ? Observation : Normal;
        var heads = torso is null ? seen : Shared;
        var graph = OfNetwork(network, heads, head.Raw);
        if (torso is not null)
        {
            graph = OfNetwork(torso, seen, Shared).Then(graph);
        }
        if (policy.Normalization is { } normalization)
        {
            graph = Normalized(normalization, own, input, Normal).Then(graph);
        }
        graph = head.After(graph);
        List<ValueInfoProto> outputs = [.. head.Outputs];
        if (value is not null)
        {
            const string Column = "value.column";
            graph = graph.Then(OfNetwork(value, heads, Column)).ThenSqueeze(Column, Value);
            outputs.Add(OnnxModel.Value(Value, TensorProto.Types.DataType.Float));
        }
        List<ValueInfoProto> inputs =
        [
            OnnxModel.Value(Observation, TensorProto.Types.DataType.Float, NetworkExporter.Axes(input)),
        ];
        if (policy.Masked && ExportOptions.Choose(options, outputs).Any(o => o.Name is Probabilities or Action))
        {
            inputs.Add(OnnxModel.Value(Mask, TensorProto.Types.DataType.Bool, network.Outputs));
        }
        var onnx = OnnxModel.Assemble(
            network.Name,
            graph,
            inputs,
            outputs,
            Described(policy, head.Kind, metadata),
            options
        );
        return new ExportableModel(
            onnx,
            policy.ObservationLayout.Length,
            (x, mask) =>
            {
                var one = NetworkExporter.OneMember(parameters, member);
                x = policy.Normalization?.Apply(one, x) ?? x;
                var features = torso is null ? x : NetworkExporter.Apply(torso, one, x);
                var result = head.Evaluate(NetworkExporter.Apply(network, one, features), mask);
                if (value is not null)
                {
                    result[Value] = NetworkExporter.Apply(value, one, features).squeeze(-1);
                }
                return result;
            }
        )
        {
            Policy = policy,
            Moments = policy.Normalization is null
                ? null
                : (
                    own[NormalizationDescription.Mean].data<float>().ToArray(),
                    own[NormalizationDescription.Scale].reciprocal().data<float>().ToArray()
                ),
        };

        OnnxGraph OfNetwork(Network part, string from, string to) =>
            OnnxGraph.OfNetwork(part, own, from, to, options?.Forms);
    }

    /// <summary>From the observation as it is to what the networks take.</summary>
    private static OnnxGraph Normalized(NormalizationDescription normalization, Params own, int[] input, string output)
    {
        long[] axes = [1, .. input.Select(axis => (long)axis)];
        long numbers = input.Aggregate(1L, (product, axis) => product * axis);
        return new OnnxGraph([], [])
            .Then(
                OnnxGraph.Node("Sub", [Observation, NormalizationDescription.Mean], "observation.centered"),
                OnnxGraph.Constant(own, NormalizationDescription.Mean, [1, numbers], axes)
            )
            .Then(
                OnnxGraph.Node("Mul", ["observation.centered", NormalizationDescription.Scale], "observation.scaled"),
                OnnxGraph.Constant(own, NormalizationDescription.Scale, [1, numbers], axes)
            )
            .Then(
                OnnxGraph.Node("Max", ["observation.scaled", "observation.least"], "observation.raised"),
                OnnxGraph.Constant("observation.least", -normalization.Limit)
            )
            .Then(
                OnnxGraph.Node("Min", ["observation.raised", "observation.most"], output),
                OnnxGraph.Constant("observation.most", normalization.Limit)
            );
    }

    /// <summary>What a deployer needs to know, beside what was given.</summary>
    private static Dictionary<string, string> Described(
        PolicyDescription policy,
        string kind,
        IReadOnlyDictionary<string, string>? metadata
    )
    {
        var described = new Dictionary<string, string>(metadata ?? new Dictionary<string, string>())
        {
            [MetadataKeys.Kind] = kind,
            [MetadataKeys.Environment] = policy.Environment,
            [MetadataKeys.InputLayout] = JsonSerializer.Serialize(policy.ObservationLayout),
            [MetadataKeys.ActionMeanings] = JsonSerializer.Serialize(policy.ActionMeanings),
        };
        if (policy.Several is not null)
        {
            described[MetadataKeys.ActionChoices] = JsonSerializer.Serialize(policy.Several, ModelMetadata.Json);
        }
        if (policy.Numbers is not null)
        {
            described[MetadataKeys.ActionBounds] = JsonSerializer.Serialize(policy.Numbers, ModelMetadata.Json);
        }
        if (policy.Masked)
        {
            described[MetadataKeys.Masked] = ModelMetadata.True;
        }
        return described;
    }

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
