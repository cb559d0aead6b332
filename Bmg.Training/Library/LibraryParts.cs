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

        catalogue.Add(EnvironmentKinds.Environment, "two-colors", new TwoColorsSettings(), s => s);
        catalogue.Add(EnvironmentKinds.Environment, "switching-mdps", new SwitchingMdpsSettings(), s => s);

        catalogue.Add(AgentKinds.Agent, "actor-critic", new ActorCriticSettings(), s => new ActorCriticKind(s));
        catalogue.Add(AgentKinds.Agent, "q-lambda", new QLambdaSettings(), s => new QLambdaKind(s));

        catalogue.Add(AgentKinds.Optimizer, "sgd", new SgdSettings(), s => Optimizers.sgd(s.LearningRate));
        catalogue.Add(
            AgentKinds.Optimizer,
            "momentum",
            new MomentumSettings(),
            s => Optimizers.momentum(s.LearningRate, s.Decay)
        );
        catalogue.Add(
            AgentKinds.Optimizer,
            "rmsprop",
            new RmsPropSettings(),
            s => Optimizers.rmsProp(s.LearningRate, s.Decay, s.Epsilon)
        );
        catalogue.Add(
            AgentKinds.Optimizer,
            "adam",
            new AdamSettings(),
            s => Optimizers.adam(s.LearningRate, s.Beta1, s.Beta2, s.Epsilon)
        );

        catalogue.Add(
            AgentKinds.UpdateRule,
            "gradient",
            new GradientSettings(),
            _ => context => UpdateRule.gradient(context.Objective, context.Optimizer)
        );

        catalogue.Add(AgentKinds.Target, "look-ahead", new LookAheadSettings(), s => context => LookAhead(s, context));

        AddMatching(catalogue);
    }

    private static TargetBootstrap<Rollout> LookAhead(LookAheadSettings settings, TargetContext context) =>
        settings.Optimizer is { } own
            ? TargetBootstrap.lookAhead(
                context.Steps,
                context.Descend(settings.Loss, own.Make(AgentKinds.Optimizer)),
                LastStepState.Fresh
            )
            : TargetBootstrap.lookAhead(
                context.Steps,
                context.Descend(settings.Loss, context.Optimizer),
                LastStepState.Learners
            );

    private static void AddMatching(Catalogue catalogue)
    {
        void Add(string name, Func<Reduction, MatchingFunction> make) =>
            catalogue.Add(AgentKinds.Matching, name, new PlainMatchingSettings(), _ => make);

        Add("kl", Matching.kl);
        Add("reverse-kl", Matching.reverseKl);
        Add("parameter-l2", _ => Matching.parameterL2(0.5));
        Add("jensen-shannon", Matching.jensenShannon);
        Add("jeffreys", Matching.jeffreys);
        Add("squared-hellinger", Matching.squaredHellinger);
        Add("logit-l2", Matching.logitL2);
        Add("fisher-quadratic", Matching.fisherQuadratic);
    }
}
