namespace Bmg.Export.Onnx;

/// <summary>Keys of the metadata in exported models. Lists are JSON arrays of strings; numbers are in invariant culture.</summary>
public static class MetadataKeys
{
    /// <summary>What the model is: one of <see cref="ModelKinds"/>.</summary>
    public const string Kind = "bmg.kind";

    /// <summary>Version of the library that trained the parameters.</summary>
    public const string LibraryVersion = "bmg.libraryVersion";

    /// <summary>Name of the experiment.</summary>
    public const string Experiment = "bmg.experiment";

    /// <summary>Name of the environment.</summary>
    public const string Environment = "bmg.environment";

    /// <summary>Name of each component of the input (observation or context), a list.</summary>
    public const string InputLayout = "bmg.inputLayout";

    /// <summary>What each action means, a list: each choice of one discrete action; each choice of each of several, as in "steer.left"; each
    /// number.</summary>
    public const string ActionMeanings = "bmg.actionMeanings";

    /// <summary>Of several discrete actions the name and the choices, a list of {"name": …, "choices": […]}.</summary>
    public const string ActionChoices = "bmg.actionChoices";

    /// <summary>Of actions that are numbers the name and the bounds, a list of {"name": …, "low": …, "high": …}.</summary>
    public const string ActionBounds = "bmg.actionBounds";

    /// <summary>"true" where a mask says which choices are allowed; not there otherwise.</summary>
    public const string Masked = "bmg.masked";

    /// <summary>The resolved configuration of the run, JSON.</summary>
    public const string Configuration = "bmg.configuration";

    /// <summary>Index of the member in its population.</summary>
    public const string Member = "bmg.member";

    /// <summary>Seed of the member.</summary>
    public const string Seed = "bmg.seed";

    /// <summary>Environment steps that the member had done.</summary>
    public const string EnvironmentSteps = "bmg.environmentSteps";

    /// <summary>Inputs on which ONNX Runtime and TorchSharp were compared before the file was written.</summary>
    public const string ParityObservations = "bmg.parityObservations";

    /// <summary>The largest absolute difference found then.</summary>
    public const string ParityMaxAbsDifference = "bmg.parityMaxAbsDifference";
}

/// <summary>Values of <see cref="MetadataKeys.Kind"/>.</summary>
public static class ModelKinds
{
    /// <summary>Any network: one input, one output.</summary>
    public const string Network = "network";

    /// <summary>A policy: see <see cref="PolicyExporter"/>.</summary>
    public const string Policy = "policy";

    /// <summary>Action values and the greedy action: see <see cref="PolicyExporter"/>.</summary>
    public const string ActionValues = "action-values";

    /// <summary>Predictions of numbers: see <see cref="PolicyExporter"/>.</summary>
    public const string Predictions = "predictions";

    /// <summary>Several discrete actions at once: see <see cref="PolicyExporter"/>.</summary>
    public const string SeveralActions = "several-actions";

    /// <summary>Actions that are numbers: see <see cref="PolicyExporter"/>.</summary>
    public const string NumberActions = "number-actions";

    /// <summary>The kinds that act.</summary>
    internal static IReadOnlyList<string> Policies { get; } = [Policy, ActionValues, SeveralActions, NumberActions];

    /// <summary>The kinds that <see cref="PolicyExporter"/> makes.</summary>
    internal static IReadOnlyList<string> Exported { get; } = [.. Policies, Predictions];

    /// <summary>Whether a model is a policy that acts.</summary>
    internal static bool IsPolicy(string? kind) => kind is not null && Policies.Contains(kind);

    /// <summary>Whether a model is of a kind that <see cref="PolicyExporter"/> makes.</summary>
    internal static bool IsExported(string? kind) => kind is not null && Exported.Contains(kind);

    /// <summary>A meta-parameter computed from context: see <see cref="MetaNetworkExporter"/>.</summary>
    public const string MetaNetwork = "meta-network";
}
