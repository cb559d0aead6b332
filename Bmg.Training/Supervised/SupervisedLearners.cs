using Bmg.Export.Checkpoints;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Data;

namespace Bmg.Training.Supervised;

/// <summary>Networks that learn from examples, as values of Bmg.Core.</summary>
public sealed class SupervisedLearners : ILearners
{
    /// <summary>Name of the model's output, whatever it means: logits of classes, or predicted numbers, as matching functions know it.</summary>
    public const string Output = "logits";

    private const string ParameterSet = "learner";

    private SupervisedLearners(
        RunConfiguration configuration,
        SupervisedSettings settings,
        IDataSet data,
        CancellationToken stop
    )
    {
        Configuration = configuration;
        Settings = settings;
        Data = data;
        Stop = stop;
        var description = data.Description;
        Network = NetworkOf(settings, description);
        Metrics =
        [
            description.HasClasses
                ? new Metric("accuracy", $"{Seen(settings)} accuracy", "share of examples", Aggregation.Mean)
                : new Metric("explained", $"{Seen(settings)} variance explained", "share", Aggregation.Mean),
            new Metric(HyperParameters.LearningRate, "learning rate", "", Aggregation.Mean),
            new Metric("mu", "matching function μ", "", Aggregation.Mean),
            new Metric("metaGradientNorm", "meta-gradient norm", "", Aggregation.Mean),
            new Metric("loss", "training loss", description.HasClasses ? "nats" : "", Aggregation.Mean),
        ];
        MetaLearner = MetaLearnerOf();
    }

    /// <inheritdoc/>
    public RunConfiguration Configuration { get; }

    /// <summary>Settings of the experiment.</summary>
    public SupervisedSettings Settings { get; }

    /// <summary>What is learned from.</summary>
    public IDataSet Data { get; }

    /// <summary>Ends whatever populations are doing, with an OperationCanceledException.</summary>
    public CancellationToken Stop { get; }

    /// <summary>The network.</summary>
    public Network Network { get; }

    /// <summary>φ, ξ, μ, w and how w learns.</summary>
    public MetaLearner<ExampleBatch> MetaLearner { get; }

    /// <inheritdoc/>
    public string Subject => Settings.Data.Name;

    /// <inheritdoc/>
    public string Unit => Units.Examples;

    /// <inheritdoc/>
    public IReadOnlyList<Metric> Metrics { get; }

    /// <inheritdoc/>
    public PolicyDescription Policy =>
        new()
        {
            Environment = Subject,
            Kind = Data.Description.HasClasses ? PolicyKind.Logits : PolicyKind.Predictions,
            Network = NetworkDescription.Of(Network),
            ParameterSet = ParameterSet,
            ObservationLayout = [.. Data.Description.Layout],
            ActionMeanings = [.. Data.Description.HasClasses ? Data.Description.Classes : Data.Description.Targets],
        };

    /// <inheritdoc/>
    public MetaNetworkDescription? ContextNetwork => null;

    /// <inheritdoc/>
    public bool HasContext => false;

    /// <summary>The learners of a configuration.</summary>
    /// <param name="configuration">Settings, validated; its experiment is this one.</param>
    /// <param name="stop">Ends whatever populations are doing, with an OperationCanceledException.</param>
    /// <exception cref="DataException">The data cannot be made, or is not what it says.</exception>
    public static SupervisedLearners Create(RunConfiguration configuration, CancellationToken stop = default)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        var settings = configuration.Experiment.As<SupervisedSettings>();
        return new SupervisedLearners(configuration, settings, DataOf(settings), stop);
    }

    /// <inheritdoc/>
    public IPopulation CreatePopulation(IReadOnlyList<Seed> seeds, int first) =>
        new SupervisedPopulation(this, seeds, first);

    /// <summary>The data of some settings, checked.</summary>
    internal static IDataSet DataOf(SupervisedSettings settings) => DataCheck.Make(settings.Data);

    /// <summary>The network of some settings: the one place that knows what it is made of.</summary>
    internal static Network NetworkOf(SupervisedSettings settings, DataDescription data) =>
        Network.Mlp("network", data.InputSize, [.. settings.Hidden], data.OutputSize, settings.Activation);

    /// <summary>The loss of examples under parameters, [P]: cross-entropy in nats, or half the squared error, a mean over examples and targets.</summary>
    public Tensor Loss(Params parameters, Examples examples)
    {
        ArgumentNullException.ThrowIfNull(examples);
        var outputs = Network.Apply(parameters, examples.Inputs);
        return Data.Description.HasClasses
            ? Losses.CrossEntropy(outputs, examples.Labels)
            : Losses.SquaredError(outputs - examples.Labels);
    }

    private static string Seen(SupervisedSettings settings) => settings.HeldOut > 0 ? "held-out" : "training";

    private MetaLearner<ExampleBatch> MetaLearnerOf()
    {
        var meta = Configuration.Meta;
        var fixedRate = Settings.Optimizer.Make(AgentKinds.Optimizer);
        var isFixed = meta.Method == MetaMethod.Fixed;
        var optimizer = isFixed ? fixedRate : fixedRate.WithLearnedRate(HyperParameters.LearningRate);
        var rate = InitialRate(fixedRate) ?? 0;
        var rule = UpdateRule.Gradient(
            LossFunction<ExampleBatch>.Create("loss", (x, _, batch) => Loss(x, batch.Learned)),
            optimizer
        );
        var outer = LossFunction<ExampleBatch>.Create("outer loss", (x, _, batch) => Loss(x, batch.Judged));
        return MetaLearner<ExampleBatch>
            .Create(
                rule,
                Settings.InnerSteps,
                isFixed
                    ? MetaParameters.Constant(HyperParameters.LearningRate, rate)
                    : MetaParameters.LogScalar(
                        HyperParameters.LearningRate,
                        Settings.LearnedRate.Low,
                        Settings.LearnedRate.High,
                        rate,
                        Settings.LearnedRate.Divided
                    ),
                meta.Method switch
                {
                    MetaMethod.Fixed => MetaObjective<ExampleBatch>.Fixed,
                    MetaMethod.Mg => MetaObjective<ExampleBatch>.NewMetaGradient(outer),
                    MetaMethod.Bmg => MetaObjective<ExampleBatch>.NewBootstrapped(
                        // The last step is one down the outer loss: the loss of examples that were held out.
                        TargetBootstrap.LookAhead(
                            Settings.TargetSteps,
                            UpdateRule.Gradient(outer, optimizer),
                            LastStepState.Learners
                        ),
                        ActorCriticAgent.MatchingOf(Configuration.Matching, Distributions.Categorical(Network.Outputs))
                    ),
                    _ => throw new NotSupportedException($"meta.method '{meta.Method}'"),
                },
                Model<ExampleBatch>.Create(
                    "network",
                    (x, _, batch) => Params.Single(Output, Network.Apply(x, batch.Judged.Inputs))
                ),
                ActorCriticAgent.Clipped(
                    Optimizers.Adam(meta.LearningRate, meta.Beta1, meta.Beta2, meta.Epsilon),
                    meta.GradientClip
                )
            )
            .With(ActorCriticAgent.ThroughOf(meta));
    }

    /// <summary>The learning rate that an optimizer starts with; null of one whose rate is not a constant.</summary>
    internal static double? InitialRate(Optimizer optimizer) =>
        optimizer.LearningRate is Setting.Constant constant ? constant.Item : null;
}
