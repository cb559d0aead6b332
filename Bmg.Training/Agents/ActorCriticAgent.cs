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
        IReadOnlyList<NamedFeature> features,
        CancellationToken stop
    )
        : base(configuration, stop)
    {
        Settings = configuration.Learner.As<ActorCriticSettings>();
        Networks = networks;
        MetaLearner = metaLearner;
        Features = features;
    }

    /// <summary>Settings of the learner.</summary>
    public ActorCriticSettings Settings { get; }

    /// <summary>Policy and value networks.</summary>
    public ActorCritic Networks { get; }

    /// <summary>φ, ξ, μ, w and how w learns.</summary>
    public MetaLearner<Rollout> MetaLearner { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<Metric> Metrics =>
        [
            new("reward", "reward", "per environment step", Aggregation.PerEnvironmentStep),
            .. HyperOutputs.Select(hyper => Metric.Of(hyper, Configuration.Meta.Method != MetaMethod.Fixed)),
            new("mu", "matching function μ", "", Aggregation.Mean),
            new("metaGradientNorm", "meta-gradient norm", "", Aggregation.Mean),
            new("loss", "learner loss", "", Aggregation.Mean),
            .. World.Ends ? EpisodeTally.Metrics : [],
        ];

    /// <inheritdoc/>
    public override IReadOnlyList<HyperOutput> HyperOutputs => MetaLearner.MetaParameters.Outputs;

    /// <inheritdoc/>
    public override IReadOnlyList<string> ContextFeatures => [.. Features.SelectMany(feature => feature.Names)];

    /// <summary>What contexts are made of.</summary>
    internal IReadOnlyList<NamedFeature> Features { get; }

    /// <inheritdoc/>
    public override string ContextUnit => "rollouts";

    /// <inheritdoc/>
    public override PolicyDescription Policy =>
        new()
        {
            Environment = Configuration.Environment.Name,
            Kind = ActionDescriptions.KindOf(World.Actions),
            Torso = Networks.Torso is { } torso ? NetworkDescription.Of(torso) : null,
            Network = NetworkDescription.Of(Networks.Policy),
            ValueNetwork = NetworkDescription.Of(Networks.Value),
            ParameterSet = "learner",
            ObservationLayout = ObservationLayout,
            ActionMeanings = ActionMeanings,
            Several = ActionDescriptions.SeveralOf(World.Actions),
            Numbers = ActionDescriptions.NumbersOf(World.Actions),
            Masked = World.Masks,
            Normalization = Settings.NormalizeObservations ? new NormalizationDescription(Normalizer.Limit) : null,
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
        var world = ConfiguredEnvironment.Describe(configuration);
        var learned = Learned(configuration);
        var judge = NetworksOf(world, learner)
            .WithDiscount(Setting.NewConstant(learner.Discount))
            .WithTraceDecay(Setting.NewConstant(learner.Returns == ReturnKind.Lambda ? learner.TraceDecay : 0))
            .WithValueWeight(Setting.NewConstant(learner.ValueWeight))
            .WithEntropyWeight(
                meta.Method == MetaMethod.Fixed || meta.EntropyWeight.Learned
                    ? Setting.NewLearned(HyperParameters.EntropyWeight)
                    : Setting.NewConstant(meta.EntropyWeight.Initial)
            );
        // What w is judged by does not move with w: γ and λ of the judge are the learner's settings (Xu et al. 2018).
        var networks = judge
            .WithDiscount(Or(HyperParameters.Discount, judge.Discount))
            .WithTraceDecay(Or(HyperParameters.TraceDecay, judge.TraceDecay))
            .WithValueWeight(Or(HyperParameters.ValueWeight, judge.ValueWeight));
        var plain = learner.Optimizer.Make(AgentKinds.Optimizer);
        var rated = learned.Contains(HyperParameters.LearningRate)
            ? plain.WithLearnedRate(HyperParameters.LearningRate)
            : plain;
        var optimizer = learned.Contains(HyperParameters.GradientClip)
            ? rated.Before(Transformations.ClipByLearnedNorm(HyperParameters.GradientClip))
            : Clipped(rated, learner.GradientClip);
        var features = FeaturesOf(configuration);
        var metaLearner = MetaLearner<Rollout>
            .Create(
                around(RuleOf(networks, learner, optimizer)),
                learner.InnerSteps,
                MetaParametersOf(configuration, plain, features.Sum(feature => feature.Count), stop),
                meta.Method switch
                {
                    MetaMethod.Fixed => MetaObjective<Rollout>.Fixed,
                    MetaMethod.Mg => MetaObjective<Rollout>.NewMetaGradient(judge.PolicyLoss(meta.OuterEntropyWeight)),
                    MetaMethod.Bmg => MetaObjective<Rollout>.NewBootstrapped(
                        configuration.Target.Make(AgentKinds.Target)(
                            new TargetContext
                            {
                                Steps = learner.TargetSteps,
                                Optimizer = optimizer,
                                Loss = networks.Loss(),
                                PolicyLoss = judge.PolicyLoss(0),
                                Descend = (loss, last) =>
                                    around(Descend(loss == TargetLoss.Full ? networks : judge, loss, last)),
                            }
                        ),
                        MatchingOf(configuration.Matching, networks.Distribution)
                    ),
                    _ => throw new NotSupportedException($"meta.method '{meta.Method}'"),
                },
                networks.Model(),
                Clipped(Optimizers.Adam(meta.LearningRate, meta.Beta1, meta.Beta2, meta.Epsilon), meta.GradientClip)
            )
            .With(ThroughOf(meta));

        Setting Or(string name, Setting constant) => learned.Contains(name) ? Setting.NewLearned(name) : constant;
        return new ActorCriticAgent(configuration, networks, metaLearner, features, stop);
    }

    /// <summary>The hyper-parameters beside the entropy weight that a configuration says are learned.</summary>
    internal static IReadOnlySet<string> Learned(RunConfiguration configuration) =>
        configuration.Meta.Method == MetaMethod.Fixed
            ? new HashSet<string>()
            : configuration.Meta.HyperParameters.Select(each => each.Name).ToHashSet();

    /// <summary>What contexts are made of; nothing where the meta-parameters see none.</summary>
    internal static IReadOnlyList<NamedFeature> FeaturesOf(RunConfiguration configuration)
    {
        var meta = configuration.Meta;
        if (!HasContext(meta))
        {
            return [];
        }

        var world = ConfiguredEnvironment.Describe(configuration);
        if (meta.Features.Count == 0)
        {
            return meta.Context == ContextKind.None
                ? []
                : NamedFeature.OfRewards(meta.Context == ContextKind.Rich, world);
        }

        string[] learned =
        [
            .. meta.EntropyWeight.Learned ? [HyperParameters.EntropyWeight] : Array.Empty<string>(),
            .. meta.HyperParameters.Select(each => each.Name),
        ];
        return
        [
            .. meta.Features.Select(part => new NamedFeature(part.Name, part.Make(AgentKinds.Feature), world, learned)),
        ];
    }

    /// <summary>Where the learner's own settings have a hyper-parameter; null of one that there is not.</summary>
    internal static double? InitialOf(string name, ActorCriticSettings learner, Optimizer optimizer) =>
        name switch
        {
            HyperParameters.Discount => learner.Discount,
            HyperParameters.TraceDecay => learner.TraceDecay,
            HyperParameters.ValueWeight => learner.ValueWeight,
            HyperParameters.LearningRate => PlainRateOf(optimizer),
            HyperParameters.GradientClip => learner.GradientClip,
            _ => null,
        };

    /// <summary>The networks of an actor-critic.</summary>
    /// <exception cref="ArgumentException">Layers of the torso do not fit; the message names the layer, what it expects and what it finds.</exception>
    internal static ActorCritic NetworksOf(EnvironmentDescription world, ActorCriticSettings learner)
    {
        var distribution = ActionChoice.DistributionOf(world.Actions);
        int[] shape = learner.Torso.Count > 0 ? [.. world.Observation.Shape] : [world.Observation.Size];
        NetworkBuilder Layers(NetworkBuilder network) =>
            learner.Torso.Aggregate(network, (built, layer) => layer.Make(AgentKinds.Layer)(built));

        if (learner.Torso.Count == 0)
        {
            return ActorCritic
                .Create(
                    Network.Mlp("policy", shape[0], [.. learner.Hidden], distribution.Outputs, learner.Activation),
                    Network.Mlp("value", shape[0], [.. learner.Hidden], 1, learner.Activation)
                )
                .WithDistribution(distribution);
        }

        NetworkBuilder Head(NetworkBuilder network, int outputs) =>
            learner
                .Hidden.Aggregate(network, (built, units) => built.Linear(units).Activation(learner.Activation))
                .Linear(outputs);
        if (!learner.SharedTorso)
        {
            return ActorCritic
                .Create(
                    Head(Layers(Network.Build("policy", shape)), distribution.Outputs).Build(),
                    Head(Layers(Network.Build("value", shape)), 1).Build()
                )
                .WithDistribution(distribution);
        }

        var torso = Layers(Network.Build("torso", shape)).Build();
        return ActorCritic
            .Create(
                Head(Network.Build("policy", torso.OutputShape), distribution.Outputs).Build(),
                Head(Network.Build("value", torso.OutputShape), 1).Build()
            )
            .WithTorso(torso)
            .WithDistribution(distribution);
    }

    /// <inheritdoc/>
    public override IPopulation CreatePopulation(IReadOnlyList<Seed> seeds, int first) =>
        new Population(this, seeds, CreateContext(seeds.Count), first);

    /// <summary>The step size of plain SGD, which has a faster closed form for the steps that nothing is differentiated through; null of any
    /// other optimizer.</summary>
    private static double? PlainRate(Optimizer optimizer) =>
        ReferenceEquals(optimizer.Transformation, Transformations.Identity) ? PlainRateOf(optimizer) : null;

    private static double? PlainRateOf(Optimizer optimizer) =>
        optimizer.LearningRate is Setting.Constant rate ? rate.Item : null;

    /// <summary>φ. The closed form takes the place of the library's own gradient step alone.</summary>
    private static UpdateRule<Rollout> RuleOf(ActorCritic networks, ActorCriticSettings learner, Optimizer optimizer) =>
        learner.UpdateRule.Settings is GradientSettings && PlainRate(optimizer) is { } rate
            ? ActorCriticDescent.Learner(networks, rate)
            : learner.UpdateRule.Make(AgentKinds.UpdateRule)(new UpdateRuleContext(networks.Loss(), optimizer));

    private static UpdateRule<Rollout> Descend(ActorCritic networks, TargetLoss loss, Optimizer optimizer) =>
        (loss, PlainRate(optimizer)) switch
        {
            (TargetLoss.Policy, { } rate) => ActorCriticDescent.Greedy(networks, rate),
            (TargetLoss.Policy, null) => UpdateRule.Gradient(networks.PolicyLoss(0), optimizer),
            (TargetLoss.Full, { } rate) => ActorCriticDescent.Learner(networks, rate),
            (TargetLoss.Full, null) => UpdateRule.Gradient(networks.Loss(), optimizer),
            _ => throw new NotSupportedException($"target.loss '{loss}'"),
        };

    internal static Optimizer Clipped(Optimizer optimizer, double? maximum) =>
        maximum is { } norm ? optimizer.Before(Transformations.ClipByGlobalNorm(norm)) : optimizer;

    private static MetaParameters MetaParametersOf(
        RunConfiguration configuration,
        Optimizer optimizer,
        int features,
        CancellationToken stop
    )
    {
        var meta = configuration.Meta;
        var learner = configuration.Learner.As<ActorCriticSettings>();
        var weight = meta.EntropyWeight;
        if (meta.Method == MetaMethod.Fixed)
        {
            return MetaParameters.Constant(HyperParameters.EntropyWeight, weight.Initial);
        }

        (LearnedSettings Settings, double Initial)[] all =
        [
            .. weight.Learned
                ?
                [
                    (
                        new LearnedSettings
                        {
                            Name = HyperParameters.EntropyWeight,
                            Low = weight.Low,
                            High = weight.High,
                        },
                        weight.Initial
                    ),
                ]
                : Array.Empty<(LearnedSettings, double)>(),
            .. meta.HyperParameters.Select(each => (each, InitialOf(each.Name, learner, optimizer)!.Value)),
        ];
        if (meta.Parameters == MetaParameterKind.Network)
        {
            return MetaParameters.ContextualMany(
                [.. all.Select(each => each.Settings.Name)],
                Network.Mlp("meta", features * meta.ContextLength, [.. meta.Hidden], all.Length, meta.Activation),
                [.. all.Select(each => each.Settings.Low)],
                [.. all.Select(each => each.Settings.High)],
                [.. all.Select(each => each.Initial)],
                learner.Initialization,
                meta.PretrainingSteps,
                stop.ThrowIfCancellationRequested
            );
        }

        MetaParameters[] parts =
        [
            .. all.Select(each =>
                each.Settings.Name == HyperParameters.LearningRate
                    ? MetaParameters.LogScalar(
                        each.Settings.Name,
                        each.Settings.Low,
                        each.Settings.High,
                        each.Initial,
                        each.Settings.Divided
                    )
                    : MetaParameters.BoundedScalar(
                        each.Settings.Name,
                        each.Settings.Low,
                        each.Settings.High,
                        each.Initial
                    )
            ),
        ];
        return parts is [var only] ? only : MetaParameters.Merge(parts);
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

    internal static MatchingFunction MatchingOf(MatchingSettings settings, Distribution distribution) =>
        Matching.WeightedSum(
            [.. settings.Functions.Select(term => term.Weight)],
            [
                .. settings.Functions.Select(term =>
                    term.Function.Make(AgentKinds.Matching)(new MatchingContext(settings.Reduction, distribution))
                ),
            ]
        );
}
