using System.Text.Json.Serialization;
using TorchSharp;

namespace Bmg.Export.Checkpoints;

/// <summary>What a checkpoint says about itself, beside its tensors.</summary>
public sealed record CheckpointManifest
{
    /// <summary>Version of the library that wrote it (see <see cref="Bmg.Export.LibraryVersion"/>).</summary>
    public required string LibraryVersion { get; init; }

    /// <summary>Name of the experiment, as in "two-colors".</summary>
    public required string Experiment { get; init; }

    /// <summary>Environment steps that each member has done.</summary>
    public required long EnvironmentSteps { get; init; }

    /// <summary>One seed a member.</summary>
    public required long[] Seeds { get; init; }

    /// <summary>Indices of members that were frozen, since their numbers were not finite; their parameters are the last good ones.</summary>
    public int[] Frozen { get; init; } = [];

    /// <summary>The resolved configuration of the run, JSON text.</summary>
    public required string Configuration { get; init; }

    /// <summary>The parts of the configuration and who brought each, as in: environment "corridor" of corridor 1.0.0. None in checkpoints
    /// before this was noted.</summary>
    public string[] Parts { get; init; } = [];

    /// <summary>The policy: what can be exported from here without its environment.</summary>
    public required PolicyDescription Policy { get; init; }

    /// <summary>The network that computes a meta-parameter from context, or null where there is none.</summary>
    public MetaNetworkDescription? MetaNetwork { get; init; }

    /// <summary>State of the host, opaque here.</summary>
    public required string Host { get; init; }

    /// <summary>State of the experiment that is no tensor (generators, environments), opaque here.</summary>
    public required string State { get; init; }

    /// <summary>How a member is named, as in "member 5 (seed 6)", and "frozen" where it is.</summary>
    /// <param name="member">Its index, from 0.</param>
    public string NameOf(int member) =>
        MemberName.Of(member, Seeds[member])
        + (Frozen.Contains(member) ? ", frozen since its numbers were not finite" : "");
}

/// <summary>What a policy's network puts out.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<PolicyKind>))]
public enum PolicyKind
{
    /// <summary>Logits of the actions' probabilities.</summary>
    Logits,

    /// <summary>Action values; the policy takes the action of the greatest.</summary>
    Values,

    /// <summary>Predictions of numbers, from regression: no action is taken.</summary>
    Predictions,

    /// <summary>Logits of several discrete actions at once, side by side (see <c>Distributions.Categoricals</c>).</summary>
    SeveralLogits,

    /// <summary>Of actions that are numbers the means, and then the logarithms of the deviations (see <c>Distributions.Gaussian</c>), in
    /// the policy's own range, in which −1 and 1 are the bounds.</summary>
    Gaussian,
}

/// <summary>A policy π: from an observation to the logits, or the values, of discrete actions, or to a distribution of numbers. A network of
/// supervised training is one, too: its observations are examples, its actions classes, or the numbers that it predicts.</summary>
public sealed record PolicyDescription
{
    /// <summary>Name of the environment that it acts in, or of the data set.</summary>
    public required string Environment { get; init; }

    /// <summary>What the network puts out; logits where a checkpoint does not say.</summary>
    public PolicyKind Kind { get; init; }

    /// <summary>From observation to what both other networks take, or null where they take the observation itself.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public NetworkDescription? Torso { get; init; }

    /// <summary>From observation, or from what the torso puts out, to what <see cref="Kind"/> says.</summary>
    public required NetworkDescription Network { get; init; }

    /// <summary>From observation, or from what the torso puts out, to one value, or null where there is none.</summary>
    public NetworkDescription? ValueNetwork { get; init; }

    /// <summary>The checkpoint's set that holds all these networks' parameters, as in "learner", and the stored statistics of
    /// their batch normalisations, where they have any, under the names of <c>Network.InitialStatistics</c>.</summary>
    public required string ParameterSet { get; init; }

    /// <summary>Name of each component of an observation, in order.</summary>
    public required string[] ObservationLayout { get; init; }

    /// <summary>What each action means, in order: each choice of one discrete action, each choice of each of several
    /// (<see cref="ChoiceDescription.Meanings"/>), each number.</summary>
    public required string[] ActionMeanings { get; init; }

    /// <summary>The actions of a policy of <see cref="PolicyKind.SeveralLogits"/>; null of any other.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ChoiceDescription[]? Several { get; init; }

    /// <summary>The actions of a policy of <see cref="PolicyKind.Gaussian"/>; null of any other.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public NumberDescription[]? Numbers { get; init; }

    /// <summary>Whether a mask says which choices are allowed; only where there are logits.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Masked { get; init; }

    /// <summary>What observations go through before the networks; null where nothing.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public NormalizationDescription? Normalization { get; init; }

    /// <summary>Choices of each discrete action; none where actions are numbers.</summary>
    [JsonIgnore]
    internal int[] Choices =>
        Kind switch
        {
            PolicyKind.Gaussian => [],
            PolicyKind.SeveralLogits => [.. Several!.Select(action => action.Choices.Length)],
            _ => [ActionMeanings.Length],
        };

    /// <summary>What its actions say that contradicts itself, or the network; null where nothing does.</summary>
    /// <param name="outputs">Outputs of the network.</param>
    internal string? ActionFlaw(int outputs)
    {
        if ((Several is not null) != (Kind == PolicyKind.SeveralLogits))
        {
            return $"{(Several is null ? "no " : "")}several actions in a policy of kind {Kind}, expected them in one of kind {PolicyKind.SeveralLogits} alone";
        }
        if ((Numbers is not null) != (Kind == PolicyKind.Gaussian))
        {
            return $"{(Numbers is null ? "no " : "")}numbers as actions in a policy of kind {Kind}, expected them in one of kind {PolicyKind.Gaussian} alone";
        }
        if (Masked && Kind is not (PolicyKind.Logits or PolicyKind.SeveralLogits))
        {
            return $"a mask in a policy of kind {Kind}, expected one only where there are logits";
        }
        if (Several is not null && ChoiceDescription.Flaw(Several) is var (found, expected))
        {
            return $"several actions, {found}, expected {expected}";
        }
        if (Numbers is not null && NumberDescription.Flaw(Numbers) is var (flawed, sound))
        {
            return $"numbers as actions, {flawed}, expected {sound}";
        }
        var meanings =
            Several is not null ? ChoiceDescription.Meanings(Several)
            : Numbers is not null ? [.. Numbers.Select(number => number.Name)]
            : ActionMeanings;
        var takes = Numbers is null ? meanings.Length : 2L * meanings.Length;
        if (takes != outputs)
        {
            return Several is null && Numbers is null
                ? $"{meanings.Length} meanings of its actions, expected {outputs} by its network"
                : $"actions that take {takes} outputs, expected {outputs} by its network";
        }
        return ActionMeanings.Any(name => name is null) || !ActionMeanings.AsSpan().SequenceEqual(meanings)
            ? $"{ActionMeanings.Length} meanings of its actions, some null or others than its actions have, expected {meanings.Length}, a name each"
            : null;
    }
}

/// <summary>
/// Each number of an observation before it goes into the networks: (o − mean)·scale, held within ±Limit. Mean and scale, [P, O] each in float32,
/// are the tensors <see cref="Mean"/> and <see cref="Scale"/> of the checkpoint's set <see cref="Set"/>.
/// </summary>
/// <param name="Limit">Largest magnitude.</param>
public sealed record NormalizationDescription(float Limit)
{
    /// <summary>Name of the set.</summary>
    public const string Set = "normalization";

    /// <summary>Name of the means.</summary>
    public const string Mean = "observation.mean";

    /// <summary>Name of what differences to the means are multiplied by.</summary>
    public const string Scale = "observation.scale";

    /// <summary>What is wrong with it; null where nothing is.</summary>
    internal string? Flaw => Limit > 0 ? null : $"a normalisation within ±{Limit}, expected a limit greater than 0";

    /// <summary>What goes into one member's networks, from observations as they are; the caller's dispose scope owns it.</summary>
    /// <param name="oneMember">Its mean and scale, [1, O] each, on the CPU.</param>
    /// <param name="observations">[…, O]</param>
    public torch.Tensor Apply(Params oneMember, torch.Tensor observations)
    {
        ArgumentNullException.ThrowIfNull(oneMember);
        ArgumentNullException.ThrowIfNull(observations);
        using var scope = torch.NewDisposeScope();
        return observations
            .sub(oneMember[Mean].squeeze(0))
            .mul(oneMember[Scale].squeeze(0))
            .clamp(-Limit, Limit)
            .MoveToOuterDisposeScope();
    }
}

/// <summary>A further meta-parameter of a network that puts out several.</summary>
/// <param name="Name">Its name, as in "discount".</param>
/// <param name="Low">Least value.</param>
/// <param name="High">Greatest value.</param>
public sealed record MetaOutputDescription(string Name, double Low, double High);

/// <summary>A meta-parameter computed from context: Low + (High − Low)·sigmoid(network(context)).</summary>
public sealed record MetaNetworkDescription
{
    /// <summary>From context to one number.</summary>
    public required NetworkDescription Network { get; init; }

    /// <summary>The checkpoint's set that holds its parameters, as in "meta". The set's population may be 1: shared by all members.</summary>
    public required string ParameterSet { get; init; }

    /// <summary>Name of each component of the context, in order.</summary>
    public required string[] InputNames { get; init; }

    /// <summary>Name of the meta-parameter, as in "entropyWeight".</summary>
    public required string OutputName { get; init; }

    /// <summary>Least value of the meta-parameter.</summary>
    public required double Low { get; init; }

    /// <summary>Greatest value of the meta-parameter.</summary>
    public required double High { get; init; }

    /// <summary>Those that the network's further outputs are, in order; null where there is one alone.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public MetaOutputDescription[]? Further { get; init; }

    /// <summary>All of them, in the order of the network's outputs.</summary>
    [JsonIgnore]
    public IReadOnlyList<MetaOutputDescription> Outputs => [new(OutputName, Low, High), .. Further ?? []];
}
