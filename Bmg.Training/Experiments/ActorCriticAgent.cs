using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Experiments;

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
        Networks = networks;
        MetaLearner = metaLearner;
        ContextFeatures = contextFeatures;
    }

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
    /// <param name="derived">What follows from them.</param>
    /// <param name="around">Wrapped around every update rule, the learner's and the target's last step; to time them, say.</param>
    /// <param name="stop">Ends whatever its populations are doing, with an OperationCanceledException.</param>
    public static ActorCriticAgent Create(
        RunConfiguration configuration,
        DerivedSettings derived,
        Func<UpdateRule<Rollout>, UpdateRule<Rollout>>? around = null,
        CancellationToken stop = default
    )
    {
        around ??= rule => rule;
        var learner = configuration.Learner;
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
        var optimizer = Clipped(OptimizerOf(learner.Optimizer), learner.GradientClip);
        IReadOnlyList<string> features =
            !HasContext(meta) ? []
            : meta.Context == ContextKind.Rich ? RolloutCollector.RichFeatures
            : ["mean reward"];
        var metaParameters = MetaParametersOf(meta, learner, features.Count, stop);
        var metaLearner = MetaLearner<Rollout>
            .Create(
                around(RuleOf(networks, learner, optimizer)),
                learner.InnerSteps,
                metaParameters,
                meta.Method switch
                {
                    MetaMethod.Fixed => MetaObjective<Rollout>.Fixed,
                    MetaMethod.Mg => MetaObjective<Rollout>.NewMetaGradient(
                        ActorCriticModule.policyObjective(networks, meta.OuterEntropyWeight)
                    ),
                    MetaMethod.Bmg => MetaObjective<Rollout>.NewBootstrapped(
                        TargetOf(configuration, derived, networks, around),
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

    internal override IPopulation CreatePopulation(IReadOnlyList<Seed> seeds, int first) =>
        new Population(this, seeds, CreateContext(seeds.Count), first);

    /// <summary>Whether steps are plain SGD, which has a faster closed form for the steps that nothing is differentiated through.</summary>
    private static bool IsPlain(OptimizerSettings optimizer, double? clip) =>
        optimizer.Name == OptimizerKind.Sgd && clip is null;

    private static UpdateRule<Rollout> RuleOf(ActorCritic networks, LearnerSettings learner, Optimizer optimizer) =>
        IsPlain(learner.Optimizer, learner.GradientClip)
            ? ActorCriticDescent.learner(networks, learner.Optimizer.LearningRate)
            : UpdateRule.gradient(ActorCriticModule.objective(networks), optimizer);

    internal static Optimizer OptimizerOf(OptimizerSettings settings) =>
        settings.Name switch
        {
            OptimizerKind.Sgd => Optimizers.sgd(settings.LearningRate),
            OptimizerKind.Momentum => Optimizers.momentum(settings.LearningRate, settings.Decay),
            OptimizerKind.RmsProp => Optimizers.rmsProp(settings.LearningRate, settings.Decay, settings.Epsilon),
            OptimizerKind.Adam => Optimizers.adam(
                settings.LearningRate,
                settings.Beta1,
                settings.Beta2,
                settings.Epsilon
            ),
            _ => throw new NotSupportedException($"optimizer '{settings.Name}'"),
        };

    private static Optimizer Clipped(Optimizer optimizer, double? maximum) =>
        maximum is { } norm ? Optimizers.before(Transformations.clipByGlobalNorm(norm), optimizer) : optimizer;

    private static MetaParameters MetaParametersOf(
        MetaSettings meta,
        LearnerSettings learner,
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

    private static TargetBootstrap<Rollout> TargetOf(
        RunConfiguration configuration,
        DerivedSettings derived,
        ActorCritic networks,
        Func<UpdateRule<Rollout>, UpdateRule<Rollout>> around
    )
    {
        var settings = derived.TargetOptimizer;
        var own = configuration.Target.Optimizer is not null;
        var clip = own ? null : configuration.Learner.GradientClip;
        var optimizer = Clipped(OptimizerOf(settings), clip);
        var last = configuration.Target.Loss switch
        {
            TargetLoss.Policy when IsPlain(settings, clip) => ActorCriticDescent.greedy(
                networks,
                settings.LearningRate
            ),
            TargetLoss.Policy => UpdateRule.gradient(ActorCriticModule.policyObjective(networks, 0), optimizer),
            TargetLoss.Full when IsPlain(settings, clip) => ActorCriticDescent.learner(networks, settings.LearningRate),
            TargetLoss.Full => UpdateRule.gradient(ActorCriticModule.objective(networks), optimizer),
            _ => throw new NotSupportedException($"target.loss '{configuration.Target.Loss}'"),
        };
        return TargetBootstrap.lookAhead(
            configuration.Learner.TargetSteps,
            around(last),
            own ? LastStepState.Fresh : LastStepState.Learners
        );
    }

    private static ThroughSteps ThroughOf(MetaSettings meta) =>
        meta.Differentiation switch
        {
            DifferentiationKind.Reverse => ThroughSteps.Reverse,
            DifferentiationKind.Truncated => ThroughSteps.NewTruncated(meta.TruncateAfter),
            DifferentiationKind.Forward => ThroughSteps.Forward,
            DifferentiationKind.FirstOrder => ThroughSteps.FirstOrder,
            _ => throw new NotSupportedException($"meta.differentiation '{meta.Differentiation}'"),
        };

    private static MatchingFunction MatchingOf(MatchingSettings settings) =>
        Matching.weightedSum(
            [.. settings.Functions.Select(f => f.Weight)],
            [
                .. settings.Functions.Select(f =>
                    f.Name switch
                    {
                        MatchingKind.Kl => Matching.kl(settings.Reduction),
                        MatchingKind.ReverseKl => Matching.reverseKl(settings.Reduction),
                        MatchingKind.ParameterL2 => Matching.parameterL2(0.5),
                        MatchingKind.JensenShannon => Matching.jensenShannon(settings.Reduction),
                        MatchingKind.Jeffreys => Matching.jeffreys(settings.Reduction),
                        MatchingKind.SquaredHellinger => Matching.squaredHellinger(settings.Reduction),
                        MatchingKind.LogitL2 => Matching.logitL2(settings.Reduction),
                        MatchingKind.FisherQuadratic => Matching.fisherQuadratic(settings.Reduction),
                        _ => throw new NotSupportedException($"matching function '{f.Name}'"),
                    }
                ),
            ]
        );
}
