using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Catalogues;
using Bmg.Training.Data;
using Bmg.Training.Environments;
using Bmg.Training.Experiments;
using Bmg.Training.Supervised;

namespace Bmg.Training.Library;

/// <summary>What the library brings, registered as anybody registers a part.</summary>
public static class LibraryParts
{
    /// <summary>A catalogue of these parts alone.</summary>
    public static Catalogue Catalogue()
    {
        var catalogue = new Catalogue();
        AddTo(catalogue);
        return catalogue;
    }

    /// <summary>Registers these parts.</summary>
    public static void AddTo(Catalogue catalogue)
    {
        catalogue.Add(
            ExperimentKinds.Experiment,
            "reinforcement-learning",
            new ReinforcementLearningSettings(),
            _ => new ReinforcementLearning()
        );
        catalogue.Add(ExperimentKinds.Experiment, "supervised", new SupervisedSettings(), s => new SupervisedKind(s));

        catalogue.Add(DataKinds.Data, "spirals", new SpiralsSettings(), Spirals.Create);
        catalogue.Add(DataKinds.Data, "digits", new DigitsSettings(), Digits.Read);

        void Environment<T>(string name, T defaults, Func<T, Seed, IEnvironment> make)
            where T : class =>
            catalogue.Add(
                EnvironmentKinds.Environment,
                name,
                defaults,
                s => new MakeEnvironment(seed => make(s, seed))
            );

        Environment("two-colors", new TwoColorsSettings(), (s, _) => new TwoColorsEnvironment(s));
        Environment("switching-mdps", new SwitchingMdpsSettings(), (s, seed) => new SwitchingMdpsEnvironment(s, seed));
        Environment("cartpole", new CartPoleSettings(), (s, _) => new CartPole(s));
        Environment("pendulum", new PendulumSettings(), (s, _) => new Pendulum(s));
        Environment("pixels", new PixelsSettings(), (s, _) => new Pixels(s));
        Environment("toggles", new TogglesSettings(), (s, _) => new Toggles(s));

        void Wrapper<T>(string name, T defaults, Func<T, IEnvironment, IEnvironment> wrap)
            where T : class =>
            catalogue.Add(
                EnvironmentKinds.Wrapper,
                name,
                defaults,
                s => new Func<IEnvironment, IEnvironment>(inner => wrap(s, inner))
            );

        Wrapper("time-limit", new TimeLimitSettings(), (s, inner) => new TimeLimit(inner, s.Steps));
        Wrapper("frame-stack", new FrameStackSettings(), (s, inner) => new FrameStack(inner, s.Frames));
        Wrapper("action-repeat", new ActionRepeatSettings(), (s, inner) => new ActionRepeat(inner, s.Times));
        Wrapper("sticky-actions", new StickyActionsSettings(), (s, inner) => new StickyActions(inner, s.Probability));

        catalogue.Add(AgentKinds.Agent, "actor-critic", new ActorCriticSettings(), s => new ActorCriticKind(s));
        catalogue.Add(AgentKinds.Agent, "q-lambda", new QLambdaSettings(), s => new QLambdaKind(s));

        catalogue.Add(AgentKinds.Optimizer, "sgd", new SgdSettings(), s => Optimizers.Sgd(s.LearningRate));
        catalogue.Add(
            AgentKinds.Optimizer,
            "momentum",
            new MomentumSettings(),
            s => Optimizers.Momentum(s.LearningRate, s.Decay)
        );
        catalogue.Add(
            AgentKinds.Optimizer,
            "rmsprop",
            new RmsPropSettings(),
            s => Optimizers.RmsProp(s.LearningRate, s.Decay, s.Epsilon, s.EpsilonRoot)
        );
        catalogue.Add(
            AgentKinds.Optimizer,
            "adam",
            new AdamSettings(),
            s => Optimizers.Adam(s.LearningRate, s.Beta1, s.Beta2, s.Epsilon, s.EpsilonRoot)
        );

        catalogue.Add(
            AgentKinds.UpdateRule,
            "gradient",
            new GradientSettings(),
            _ => context => UpdateRule.Gradient(context.Loss, context.Optimizer)
        );

        catalogue.Add(AgentKinds.Target, "look-ahead", new LookAheadSettings(), s => context => LookAhead(s, context));

        AddMatching(catalogue);
        AddLayers(catalogue);
        AddFeatures(catalogue);
    }

    private static void AddFeatures(Catalogue catalogue)
    {
        void Moments(string name, Func<bool, IContextFeature> make) =>
            catalogue.Add(AgentKinds.Feature, name, new MomentsFeatureSettings(), s => make(s.Deviation));
        void Plain(string name, IContextFeature feature) =>
            catalogue.Add(AgentKinds.Feature, name, new NoSettings(), _ => feature);

        Moments("reward", ContextFeatures.Reward);
        Moments("value", ContextFeatures.Value);
        Moments("td-error", ContextFeatures.TdError);
        Plain("action-probabilities", ContextFeatures.ActionProbabilities);
        Plain("step-cosine", ContextFeatures.StepCosine);
        Plain("previous-hyper-parameters", ContextFeatures.PreviousHyperParameters);
    }

    private static void AddLayers(Catalogue catalogue)
    {
        void Layer<T>(string name, T defaults, Func<T, NetworkBuilder, NetworkBuilder> add)
            where T : class =>
            catalogue.Add(AgentKinds.Layer, name, defaults, s => new AddLayer(network => add(s, network)));

        Layer("linear", new LinearSettings(), (s, n) => n.Linear(s.Units));
        Layer(
            "convolution",
            new ConvolutionSettings(),
            (s, n) => n.Convolution(s.Channels, s.Kernel, s.Stride, s.Padding)
        );
        Layer("max-pooling", new PoolingSettings(), (s, n) => n.MaxPooling(s.Kernel, s.Stride));
        Layer("average-pooling", new PoolingSettings(), (s, n) => n.AveragePooling(s.Kernel, s.Stride));
        Layer("layer-normalization", new NoSettings(), (_, n) => n.LayerNormalization());
        Layer("flatten", new NoSettings(), (_, n) => n.Flatten());
        Layer("activation", new ActivationSettings(), (s, n) => n.Activation(s.Function));
        Layer(
            "residual",
            new ResidualSettings(),
            (s, n) =>
                n.Residual(inner => s.Layers.Aggregate(inner, (built, layer) => layer.Make(AgentKinds.Layer)(built)))
        );
    }

    private static TargetBootstrap<Rollout> LookAhead(LookAheadSettings settings, TargetContext context) =>
        settings.Optimizer is { } own
            ? TargetBootstrap.LookAhead(
                context.Steps,
                context.Descend(settings.Loss, own.Make(AgentKinds.Optimizer)),
                LastStepState.Fresh
            )
            : TargetBootstrap.LookAhead(
                context.Steps,
                context.Descend(settings.Loss, context.Optimizer),
                LastStepState.Learners
            );

    private static void AddMatching(Catalogue catalogue)
    {
        void Add(string name, Func<MatchingContext, MatchingFunction> make) =>
            catalogue.Add(AgentKinds.Matching, name, new NoSettings(), _ => make);

        Add("kl", c => Matching.KlOf(c.Distribution, c.Reduction));
        Add("reverse-kl", c => Matching.ReverseKlOf(c.Distribution, c.Reduction));
        Add("parameter-l2", _ => Matching.ParameterL2(0.5));
        Add("jensen-shannon", c => Matching.JensenShannonOf(c.Distribution, c.Reduction));
        Add("jeffreys", c => Matching.JeffreysOf(c.Distribution, c.Reduction));
        Add("squared-hellinger", c => Matching.SquaredHellingerOf(c.Distribution, c.Reduction));
        Add("logit-l2", c => Matching.LogitL2(c.Reduction));
        Add("fisher-quadratic", c => Matching.FisherQuadratic(c.Reduction));
    }
}
