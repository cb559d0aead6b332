using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Agents;

/// <summary>Of a population, what a checkpoint holds as numbers rather than tensors; one entry a member.</summary>
public sealed record PopulationState(
    StreamState[][] Streams,
    ulong[][] Actions,
    double[][] Contexts,
    FrozenMember[]? Frozen = null,
    NormalizerState[]? Normalizers = null
);

/// <summary>Consecutive members that learn on one thread at a time.</summary>
public interface IPopulation : IDisposable
{
    /// <summary>How far each member is, in the unit of the experiment: environment steps, or examples.</summary>
    long EnvironmentSteps { get; }

    /// <summary>Members that are frozen.</summary>
    IEnumerable<FrozenMember> Frozen { get; }

    /// <summary>Time spent acting so far, in stopwatch ticks.</summary>
    long ActingTicks { get; }

    /// <summary>Steps after the first and up to the second at which the world changes.</summary>
    IEnumerable<long> Changes(long after, long until);

    /// <summary>Runs one meta-step; values in the order of the agent's metrics.</summary>
    MetaStepReport Advance();

    /// <summary>Everything that a checkpoint holds as tensors, by set; they stay this population's own.</summary>
    IReadOnlyDictionary<string, Params> Tensors();

    /// <summary>Everything that a checkpoint holds as numbers.</summary>
    PopulationState Numbers();

    /// <summary>What a checkpoint must hold as tensors, by set.</summary>
    /// <param name="members">Size of the whole population.</param>
    /// <param name="begun">Whether it has done any steps.</param>
    IReadOnlyDictionary<string, TensorLayout[]> Layout(long members, bool begun);

    /// <summary>Takes over these members' share of a checkpoint whose tensors are as <see cref="Layout"/> says.</summary>
    /// <exception cref="ArgumentException">The numbers are none that there can be.</exception>
    void Restore(Checkpoint checkpoint, PopulationState state);
}

/// <summary>What a configuration describes, as values of Bmg.Core: learner, meta-learner, and what can be exported of them.</summary>
public abstract class Agent : ILearners
{
    protected Agent(RunConfiguration configuration, CancellationToken stop)
    {
        Configuration = configuration;
        Stop = stop;
        World = ConfiguredEnvironment.Describe(configuration);
    }

    /// <summary>Settings, validated.</summary>
    public RunConfiguration Configuration { get; }

    /// <summary>Ends whatever its populations are doing, with an OperationCanceledException.</summary>
    public CancellationToken Stop { get; }

    /// <summary>Where it learns.</summary>
    public EnvironmentDescription World { get; }

    /// <summary>What a meta-step reports; the first is the reward, the second the hyper-parameter that is meta-learned.</summary>
    public abstract IReadOnlyList<Metric> Metrics { get; }

    /// <summary>The hyper-parameters that meta-parameters put out, and their bounds; constants where nothing is learned.</summary>
    public abstract IReadOnlyList<HyperOutput> HyperOutputs { get; }

    /// <summary>Name of each feature of the context; empty where the meta-parameters see none.</summary>
    public abstract IReadOnlyList<string> ContextFeatures { get; }

    /// <summary>What one entry of the context's history is about ("rollouts").</summary>
    public abstract string ContextUnit { get; }

    /// <summary>What of the learner is exported.</summary>
    public abstract PolicyDescription Policy { get; }

    /// <summary>The network from context to the hyper-parameter; null where there is none.</summary>
    public abstract Network? MetaNetwork { get; }

    string ILearners.Subject => Configuration.Environment.Name;

    string ILearners.Unit => Units.EnvironmentSteps;

    bool ILearners.HasContext => ContextFeatures.Count > 0;

    MetaNetworkDescription? ILearners.ContextNetwork =>
        MetaNetwork is not { } network
            ? null
            : new MetaNetworkDescription
            {
                Network = NetworkDescription.Of(network),
                ParameterSet = "meta",
                InputNames = [.. ContextNames()],
                OutputName = HyperOutputs[0].Name,
                Low = HyperOutputs[0].Low,
                High = HyperOutputs[0].High,
                Further =
                    HyperOutputs.Count == 1
                        ? null
                        :
                        [
                            .. HyperOutputs
                                .Skip(1)
                                .Select(each => new MetaOutputDescription(each.Name, each.Low, each.High)),
                        ],
            };

    /// <summary>The agent of a configuration.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="stop">Ends whatever its populations are doing, with an OperationCanceledException.</param>
    public static Agent Create(RunConfiguration configuration, CancellationToken stop = default) =>
        configuration.Learner.Make(AgentKinds.Agent).Create(configuration, stop);

    /// <summary>Name of each number of an observation; its place where it has none.</summary>
    protected string[] ObservationLayout =>
        World.Observation.Names.Count > 0
            ? [.. World.Observation.Names]
            : [.. Enumerable.Range(0, World.Observation.Size).Select(i => FormattableString.Invariant($"{i}"))];

    /// <summary>What each action means.</summary>
    protected string[] ActionMeanings =>
        World.Actions switch
        {
            ActionSpace.Discrete one => [.. one.Names],
            ActionSpace.Several several => ChoiceDescription.Meanings(ActionDescriptions.Of(several)),
            ActionSpace.Continuous continuous => [.. continuous.Actions.Select(action => action.Name)],
            _ => throw new NotSupportedException($"action space '{World.Actions}'"),
        };

    /// <summary>Name of each component of the context, as the meta-network sees them.</summary>
    public IReadOnlyList<string> ContextNames()
    {
        var length = Configuration.Meta.ContextLength;
        return
        [
            .. from feature in ContextFeatures
            from i in Enumerable.Range(0, length)
            select $"{feature}, {length - i} {ContextUnit} ago",
        ];
    }

    /// <summary>Members at the start of their lives.</summary>
    /// <param name="seeds">One a member.</param>
    /// <param name="first">Index of the first of them in the whole experiment.</param>
    public abstract IPopulation CreatePopulation(IReadOnlyList<Seed> seeds, int first);

    /// <summary>Whether the meta-parameters see a context.</summary>
    internal static bool HasContext(MetaSettings meta) =>
        meta.Method != MetaMethod.Fixed && meta.Parameters == MetaParameterKind.Network;

    /// <summary>An empty context; null where there is none.</summary>
    protected RecentContext? CreateContext(int members) =>
        ContextFeatures.Count == 0
            ? null
            : new RecentContext(
                members,
                Configuration.Meta.ContextLength,
                Configuration.Meta.ContextScaling,
                ContextFeatures.Count
            );
}
