using Bmg.Training.Agents;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;

namespace Bmg.Training.Experiments;

/// <summary>A trained network of one member, parameters and all.</summary>
/// <param name="inputs">Rows of inputs, one after the other.</param>
/// <param name="rows">How many.</param>
/// <param name="outputs">Takes what the network puts out, row after row.</param>
public delegate void TrainedNetwork(ReadOnlySpan<float> inputs, int rows, Span<float> outputs);

/// <summary>A number that a trained network is judged by.</summary>
/// <param name="Label">What it is ("test accuracy").</param>
/// <param name="Value">The number.</param>
public readonly record struct Measurement(string Label, double Value);

/// <summary>A kind of experiment, with its settings: what checks a configuration, makes the experiment, and judges what it trained.</summary>
public interface IExperimentKind
{
    /// <summary>What the length of its runs counts, a plural (see <see cref="Units"/>).</summary>
    string Unit => Units.EnvironmentSteps;

    /// <summary>What in a configuration does not go together with this experiment.</summary>
    /// <param name="configuration">Settings, each in its range.</param>
    IEnumerable<BrokenRule> Broken(RunConfiguration configuration) => [];

    /// <summary>Memory that it needs in any case; see <see cref="MemoryNeed"/>.</summary>
    IEnumerable<MemoryNeed> Needs(RunConfiguration configuration) => [];

    /// <summary>The experiment of a configuration.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="derived">What follows from them.</param>
    /// <param name="abandon">Ends set-up, or a meta-step under way, with an OperationCanceledException; nothing can be saved from there on.</param>
    IExperiment Create(RunConfiguration configuration, DerivedSettings derived, CancellationToken abandon);

    /// <summary>Inputs on which an exported network is compared in any case, row after row; null where none are known.</summary>
    float[]? KnownInputs(RunConfiguration configuration) => null;

    /// <summary>What a trained network is worth on data that it never learned from; null where networks are played in an environment instead.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="inputs">Numbers that the network takes.</param>
    /// <param name="outputs">Numbers that it puts out.</param>
    /// <param name="network">The network.</param>
    /// <exception cref="UsageException">The network is not one of this experiment.</exception>
    IReadOnlyList<Measurement>? Judge(
        RunConfiguration configuration,
        int inputs,
        int outputs,
        TrainedNetwork network
    ) => null;
}

/// <summary>The kinds of part that this floor brings.</summary>
public static class ExperimentKinds
{
    /// <summary>Experiments.</summary>
    public static PartKind<IExperimentKind> Experiment { get; } = new("experiment", "AddExperiment");

    /// <summary>The kind of experiment of a configuration.</summary>
    internal static IExperimentKind Of(RunConfiguration configuration) => configuration.Experiment.Make(Experiment);
}
