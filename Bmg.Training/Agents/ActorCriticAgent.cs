using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Agents;

/// <summary>The papers' actor-critic, which meta-learns the weight of its entropy term.</summary>
public sealed class ActorCriticAgent : Agent
{
    private ActorCriticAgent(
        RunConfiguration configuration,
        ActorCritic networks,
        MetaLearner<Rollout> metaLearner,
        IReadOnlyList<string> contextFeatures,
        CancellationToken stop
    )
        : base(configuration, stop)
    {
        Settings = configuration.Learner.As<ActorCriticSettings>();
        Networks = networks;
        MetaLearner = metaLearner;
        ContextFeatures = contextFeatures;
    }

    /// <summary>Settings of the learner.</summary>
    public ActorCriticSettings Settings { get; }

    /// <summary>Policy and value networks.</summary>
    public ActorCritic Networks { get; }

    /// <summary>φ, ξ, μ, w and how w learns.</summary>
    public MetaLearner<Rollout> MetaLearner { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<Metric> Metrics { get; } =
    [
        new("reward", "reward", "per environment step", Aggregation.PerEnvironmentStep),
        new("entropyWeight", "entropy weight", "", Aggregation.Mean),
        new("mu", "matching function μ", "", Aggregation.Mean),
        new("metaGradientNorm", "meta-gradient norm", "", Aggregation.Mean),
        new("loss", "learner loss", "", Aggregation.Mean),
    ];

    /// <inheritdoc/>
    public override string Hyper => ActorCriticModule.EntropyWeight;

    /// <inheritdoc/>
    public override (double Low, double High) Bounds =>
        (Configuration.Meta.EntropyWeight.Low, Configuration.Meta.EntropyWeight.High);

    /// <inheritdoc/>
    public override IReadOnlyList<string> ContextFeatures { get; }

    /// <inheritdoc/>
    public override string ContextUnit => "rollouts";

    /// <inheritdoc/>
    public override PolicyDescription Policy =>
        new()
        {
            Environment = World.Name,
            Network = NetworkDescription.Of(Networks.Policy),
            ValueNetwork = NetworkDescription.Of(Networks.Value),
            ParameterSet = "learner",
            ObservationLayout = [.. World.ObservationLayout],
            ActionMeanings = [.. World.ActionMeanings],
        };

    /// <inheritdoc/>
    public override Network? MetaNetwork => MetaLearner.MetaParameters.Network;

    /// <summary>The agent of a configuration.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="around">Wrapped around every update rule, the learner's and the target's last step; to time them, say.</param>
    /// <param name="stop">Ends whatever its populations are doing, with an OperationCanceledException.</param>
    public static ActorCriticAgent Create(
        RunConfiguration configuration,
        Func<UpdateRule<Rollout>, UpdateRule<Rollout>>? around = null,
        CancellationToken stop = default
    )
    {
        around ??= rule => rule;
        var learner = configuration.Learner.As<ActorCriticSettings>();
        var meta = configuration.Meta;
        var world = Worlds.Describe(configuration);
        var networks = ActorCritic
            .Create(
                Network.Mlp(
                    "policy",
                    world.ObservationSize,
                    [.. learner.Hidden],
                    world.ActionCount,
                    learner.Activation
                ),
                Network.Mlp("value", world.ObservationSize, [.. learner.Hidden], 1, learner.Activation)
            )
            .WithDiscount(Setting.NewConstant(learner.Discount))
            .WithTraceDecay(Setting.NewConstant(learner.Returns == ReturnKind.Lambda ? learner.TraceDecay : 0))
            .WithValueWeight(Setting.NewConstant(learner.ValueWeight));
        var optimizer = Clipped(learner.Optimizer.Make(AgentKinds.Optimizer), learner.GradientClip);
        IReadOnlyList<string> features =
            !HasContext(meta) ? []
            : meta.Context == ContextKind.Rich ? RolloutCollector.RichFeatures
            : ["mean reward"];
        var metaLearner = MetaLearner<Rollout>
            .Create(
                around(RuleOf(networks, learner, optimizer)),
                learner.InnerSteps,
                MetaParametersOf(meta, learner, features.Count, stop),
                meta.Method switch
                {
                    MetaMethod.Fixed => MetaObjective<Rollout>.Fixed,
                    MetaMethod.Mg => MetaObjective<Rollout>.NewMetaGradient(
                        ActorCriticModule.policyObjective(networks, meta.OuterEntropyWeight)
                    ),
                    MetaMethod.Bmg => MetaObjective<Rollout>.NewBootstrapped(
                        configuration.Target.Make(AgentKinds.Target)(
                            new TargetContext
                            {
                                Steps = learner.TargetSteps,
                                Optimizer = optimizer,
                                Objective = ActorCriticModule.objective(networks),
                                PolicyObjective = ActorCriticModule.policyObjective(networks, 0),
                                Descend = (loss, last) => around(Descend(networks, loss, last)),
                            }
                        ),
                        MatchingOf(configuration.Matching)
                    ),
                    _ => throw new NotSupportedException($"meta.method '{meta.Method}'"),
                },
                ActorCriticModule.model(networks),
                Clipped(Optimizers.adam(meta.LearningRate, meta.Beta1, meta.Beta2, meta.Epsilon), meta.GradientClip)
            )
            .With(ThroughOf(meta));
        return new ActorCriticAgent(configuration, networks, metaLearner, features, stop);
    }

    /// <inheritdoc/>
    public override IPopulation CreatePopulation(IReadOnlyList<Seed> seeds, int first) =>
        new Population(this, seeds, CreateContext(seeds.Count), first);

    /// <summary>The step size of plain SGD, which has a faster closed form for the steps that nothing is differentiated through; null of any
    /// other optimizer.</summary>
    private static double? PlainRate(Optimizer optimizer) =>
        ReferenceEquals(optimizer.Transformation, Transformations.identity)
        && optimizer.LearningRate is Setting.Constant rate
            ? rate.Item
            : null;

    /// <summary>φ. The closed form takes the place of the library's own gradient step alone.</summary>
    private static UpdateRule<Rollout> RuleOf(ActorCritic networks, ActorCriticSettings learner, Optimizer optimizer) =>
        learner.UpdateRule.Settings is GradientSettings && PlainRate(optimizer) is { } rate
            ? ActorCriticDescent.learner(networks, rate)
            : learner.UpdateRule.Make(AgentKinds.UpdateRule)(
                new UpdateRuleContext(ActorCriticModule.objective(networks), optimizer)
            );

    private static UpdateRule<Rollout> Descend(ActorCritic networks, TargetLoss loss, Optimizer optimizer) =>
        (loss, PlainRate(optimizer)) switch
        {
            (TargetLoss.Policy, { } rate) => ActorCriticDescent.greedy(networks, rate),
            (TargetLoss.Policy, null) => UpdateRule.gradient(ActorCriticModule.policyObjective(networks, 0), optimizer),
            (TargetLoss.Full, { } rate) => ActorCriticDescent.learner(networks, rate),
            (TargetLoss.Full, null) => UpdateRule.gradient(ActorCriticModule.objective(networks), optimizer),
            _ => throw new NotSupportedException($"target.loss '{loss}'"),
        };

    internal static Optimizer Clipped(Optimizer optimizer, double? maximum) =>
        maximum is { } norm ? Optimizers.before(Transformations.clipByGlobalNorm(norm), optimizer) : optimizer;

    private static MetaParameters MetaParametersOf(
        MetaSettings meta,
        ActorCriticSettings learner,
        int features,
        CancellationToken stop
    )
    {
        var weight = meta.EntropyWeight;
        if (meta.Method == MetaMethod.Fixed)
        {
            return MetaParametersModule.constant(ActorCriticModule.EntropyWeight, weight.Initial);
        }

        return meta.Parameters switch
        {
            MetaParameterKind.Scalar => MetaParametersModule.boundedScalar(
                ActorCriticModule.EntropyWeight,
                weight.Low,
                weight.High,
                weight.Initial
            ),
            MetaParameterKind.Network => MetaParametersModule.contextualWatched(
                stop.ThrowIfCancellationRequested,
                ActorCriticModule.EntropyWeight,
                Network.Mlp("meta", features * meta.ContextLength, [.. meta.Hidden], 1, meta.Activation),
                weight.Low,
                weight.High,
                weight.Initial,
                learner.Initialization,
                meta.PretrainingSteps
            ),
            _ => throw new NotSupportedException($"meta.parameters '{meta.Parameters}'"),
        };
    }

    internal static ThroughSteps ThroughOf(MetaSettings meta) =>
        meta.Differentiation switch
        {
            DifferentiationKind.Reverse => ThroughSteps.Reverse,
            DifferentiationKind.Truncated => ThroughSteps.NewTruncated(meta.TruncateAfter),
            DifferentiationKind.Forward => ThroughSteps.Forward,
            DifferentiationKind.FirstOrder => ThroughSteps.FirstOrder,
            _ => throw new NotSupportedException($"meta.differentiation '{meta.Differentiation}'"),
        };

    internal static MatchingFunction MatchingOf(MatchingSettings settings) =>
        Matching.weightedSum(
            [.. settings.Functions.Select(term => term.Weight)],
            [.. settings.Functions.Select(term => term.Function.Make(AgentKinds.Matching)(settings.Reduction))]
        );
}
