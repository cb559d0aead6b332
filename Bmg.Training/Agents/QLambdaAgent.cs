using Bmg.Export.Checkpoints;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Agents;

/// <summary>The papers' Q(λ) learner, which meta-learns its rate of exploration ε.</summary>
public sealed class QLambdaAgent : Agent
{
    private QLambdaAgent(RunConfiguration configuration, QLambda learner, CancellationToken stop)
        : base(configuration, stop)
    {
        Settings = configuration.Learner.As<QLambdaSettings>();
        var meta = configuration.Meta;
        var bounds = meta.Exploration;
        Learner = learner;
        ContextFeatures =
            !HasContext(meta) ? []
            : meta.Context == ContextKind.Rich ? ["reward", "value", "TD error"]
            : ["reward"];
        MetaParameters = meta.Method switch
        {
            MetaMethod.Fixed => MetaParameters.Constant(HyperParameters.Epsilon, bounds.Initial),
            _ when meta.Parameters == MetaParameterKind.Scalar => MetaParameters.BoundedScalar(
                HyperParameters.Epsilon,
                bounds.Low,
                bounds.High,
                bounds.Initial
            ),
            _ => MetaParameters.Contextual(
                HyperParameters.Epsilon,
                Network.Mlp("meta", ContextFeatures.Count * meta.ContextLength, [.. meta.Hidden], 1, meta.Activation),
                bounds.Low,
                bounds.High,
                bounds.Initial,
                Settings.Initialization,
                meta.PretrainingSteps,
                stop.ThrowIfCancellationRequested
            ),
        };
    }

    /// <summary>Settings of the learner.</summary>
    public QLambdaSettings Settings { get; }

    /// <summary>Network and λ.</summary>
    public QLambda Learner { get; }

    /// <summary>w → ε.</summary>
    public MetaParameters MetaParameters { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<Metric> Metrics =>
        [
            new("reward", "reward", "per environment step", Aggregation.PerEnvironmentStep),
            .. HyperOutputs.Select(hyper => Metric.Of(hyper, Configuration.Meta.Method != MetaMethod.Fixed)),
            new("mu", "matching function μ", "nats", Aggregation.Mean),
            new("metaGradientNorm", "meta-gradient norm", "", Aggregation.Mean),
            new("loss", "squared error of q, halved", "", Aggregation.Mean),
            .. World.Ends ? EpisodeTally.Metrics : [],
        ];

    /// <inheritdoc/>
    public override IReadOnlyList<HyperOutput> HyperOutputs => MetaParameters.Outputs;

    /// <inheritdoc/>
    public override IReadOnlyList<string> ContextFeatures { get; }

    /// <inheritdoc/>
    public override string ContextUnit => "steps";

    /// <inheritdoc/>
    public override PolicyDescription Policy =>
        new()
        {
            Environment = Configuration.Environment.Name,
            Kind = PolicyKind.Values,
            Network = NetworkDescription.Of(Learner.Values),
            ParameterSet = "learner",
            ObservationLayout = ObservationLayout,
            ActionMeanings = ActionMeanings,
        };

    /// <inheritdoc/>
    public override Network? MetaNetwork => MetaParameters.Network;

    /// <summary>φ as Bmg.Core defines it.</summary>
    public UpdateRule<Rollout> UpdateRule
    {
        get
        {
            var adam = Settings.Optimizer.As<AdamSettings>();
            return Learner.Learner(
                Optimizers.Adam(adam.LearningRate, adam.Beta1, adam.Beta2, adam.Epsilon, adam.EpsilonRoot)
            );
        }
    }

    /// <summary>The agent of a configuration.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="stop">Ends whatever its populations are doing, with an OperationCanceledException.</param>
    public static new QLambdaAgent Create(RunConfiguration configuration, CancellationToken stop = default)
    {
        var world = ConfiguredEnvironment.Describe(configuration);
        var learner = configuration.Learner.As<QLambdaSettings>();
        return new QLambdaAgent(
            configuration,
            QLambda.Create(
                Network.Mlp(
                    "values",
                    world.Observation.Size,
                    [.. learner.Hidden],
                    world.Actions.MaskSize,
                    Activation.Relu
                ),
                learner.Discount,
                learner.TraceDecay
            ),
            stop
        );
    }

    /// <summary>The meta-learner: K = 0, KL from the greedy target to the ε-greedy learner, Adam.</summary>
    /// <param name="target">ξ: <c>QLambda.Target</c> of Bmg.Core, or one that does the same faster.</param>
    public MetaLearner<Rollout> MetaLearnerWith(TargetBootstrap<Rollout> target)
    {
        var meta = Configuration.Meta;
        Optimizer optimizer = Optimizers.Adam(meta.LearningRate, meta.Beta1, meta.Beta2, meta.Epsilon);
        return MetaLearner<Rollout>.Create(
            UpdateRule,
            0,
            MetaParameters,
            meta.Method == MetaMethod.Fixed
                ? MetaObjective<Rollout>.Fixed
                : MetaObjective<Rollout>.NewBootstrapped(target, QLambda.GreedyKl(Configuration.Matching.Reduction)),
            Learner.Model(),
            meta.GradientClip is { } clip ? optimizer.Before(Transformations.ClipByGlobalNorm(clip)) : optimizer
        );
    }

    /// <inheritdoc/>
    public override IPopulation CreatePopulation(IReadOnlyList<Seed> seeds, int first) =>
        new QLambdaPopulation(this, seeds, CreateContext(seeds.Count), first);
}
