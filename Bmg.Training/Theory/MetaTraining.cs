using Bmg.Training.Environments;
using Bmg.Training.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace Bmg.Training.Theory;

/// <summary>What tunes the rates.</summary>
/// <param name="TargetSteps">L; null for a plain meta-gradient.</param>
/// <param name="Matching">μ; null for a plain meta-gradient.</param>
public sealed record TheoryMethod(int? TargetSteps, MatchKind? Matching)
{
    /// <summary>Name of the cells whose rates were left as they start.</summary>
    public const string Untrained = "untrained";

    /// <summary>As in "MG" or "BMG, L = 4, kl".</summary>
    public string Name =>
        TargetSteps is { } steps ? $"BMG, L = {steps}, {(Matching == MatchKind.Kl ? "KL" : "L2")}" : "MG";

    /// <summary>All methods of a study, the plain meta-gradient first.</summary>
    public static IReadOnlyList<TheoryMethod> Of(TheoryConfiguration configuration) =>
        [
            new(null, null),
            .. configuration.Matching.SelectMany(matching =>
                configuration.TargetSteps.Select(steps => new TheoryMethod(steps, matching))
            ),
        ];
}

/// <summary>What a method came to at one condition number.</summary>
/// <param name="Method">Its name.</param>
/// <param name="ConditionNumber">κ.</param>
/// <param name="Rates">Rates after meta-training, one row a seed, one number a rate.</param>
/// <param name="Loss">f after each horizon as a fraction of f at the start: geometric mean over seeds, no seed counted below 1e-16.</param>
/// <param name="Lowest">The smallest over seeds after each horizon.</param>
/// <param name="Highest">The largest over seeds after each horizon.</param>
public sealed record TheoryCell(
    string Method,
    double ConditionNumber,
    double[][] Rates,
    double[] Loss,
    double[] Lowest,
    double[] Highest
);

/// <summary>Trains and judges one method, all condition numbers and seeds side by side as the members of one population.</summary>
internal static class MetaTraining
{
    private const double Floor = 1e-16;
    private const string Rate = "rate";
    private const string Prefix = "rate/";

    /// <summary>Trains with a method; without one the rates stay where they start.</summary>
    /// <param name="configuration">The study.</param>
    /// <param name="method">What tunes the rates.</param>
    /// <param name="alive">Called at every step.</param>
    /// <param name="stop">Asks to stop at the next step.</param>
    /// <returns>A cell for every condition number; null where it was asked to stop before the end.</returns>
    public static TheoryCell[]? Run(
        TheoryConfiguration configuration,
        TheoryMethod? method,
        Action alive,
        CancellationToken stop
    )
    {
        double[] conditions =
        [
            .. configuration.ConditionNumbers.SelectMany(c => Enumerable.Repeat(c, configuration.Seeds)),
        ];
        using Landscape landscape = new(configuration.Problem, configuration.Dimensions, conditions);
        MetaLearner<Observation> learner = Learner(configuration, method, landscape);
        Seed[] seeds = Seed.Population(configuration.Seed, configuration.Seeds);
        using DisposeScope scope = NewDisposeScope();
        MetaParameters rates = learner.MetaParameters;
        Params w = rates.Init.Invoke(new Seed[conditions.Length], ScalarType.Float64, CPU);
        if (method is not null)
        {
            w = Train(configuration, method, learner, landscape, seeds, w.DetachFromScope(), alive, stop);
        }
        Params hyper = rates.Apply.Invoke(w, null);
        double[][] found = [.. hyper.Tensors.Select(t => t.data<double>().ToArray())];
        double[][] losses = Evaluate(configuration, learner.UpdateRule, landscape, hyper, seeds, alive, stop);
        if (method is not null)
        {
            w.Dispose();
        }
        if (stop.IsCancellationRequested)
        {
            return null;
        }
        return
        [
            .. configuration.ConditionNumbers.Select(
                (condition, k) =>
                {
                    Range members = (k * configuration.Seeds)..((k + 1) * configuration.Seeds);
                    double[][] ofSeeds = [.. losses.Select(row => row[members])];
                    return new TheoryCell(
                        method?.Name ?? TheoryMethod.Untrained,
                        condition,
                        [
                            .. Enumerable
                                .Range(0, configuration.Seeds)
                                .Select(s => found.Select(row => row[members][s]).ToArray()),
                        ],
                        [.. ofSeeds.Select(row => Math.Exp(row.Average(v => Math.Log(Math.Max(v, Floor)))))],
                        [.. ofSeeds.Select(row => row.Min())],
                        [.. ofSeeds.Select(row => row.Max())]
                    );
                }
            ),
        ];
    }

    private static MetaLearner<Observation> Learner(
        TheoryConfiguration configuration,
        TheoryMethod? method,
        Landscape landscape
    )
    {
        RateSettings rate = configuration.Rate;
        bool one = rate.Kind == RateKind.One;
        MetaParameters Bounded(string name) => MetaParameters.BoundedScalar(name, rate.Low, rate.High, rate.Initial);
        Optimizer descent = Optimizers.Sgd(1);
        UpdateRule<Observation> rule = UpdateRule.Gradient(
            landscape.LossFunction,
            one ? descent.WithLearnedRate(Rate) : descent.WithRatePerTensor(Prefix)
        );
        return MetaLearner<Observation>.Create(
            rule,
            configuration.InnerSteps,
            one ? Bounded(Rate) : MetaParameters.Merge([.. landscape.Names.Select(name => Bounded(Prefix + name))]),
            method?.TargetSteps is { } steps
                ? MetaObjective<Observation>.NewBootstrapped(
                    // The target's last step is one more of the learner's own: f is all there is to descend.
                    TargetBootstrap.LookAhead(steps, rule, LastStepState.Fresh),
                    method.Matching == MatchKind.Kl ? Landscape.GaussianKl : Matching.ParameterL2(0.5)
                )
                : MetaObjective<Observation>.NewMetaGradient(landscape.LossFunction),
            landscape.Model,
            configuration.Meta.Optimizer == MetaOptimizerKind.Adam
                ? Optimizers.Adam(configuration.Meta.LearningRate, 0.9, 0.999, 1e-8)
                : Optimizers.Sgd(configuration.Meta.LearningRate)
        );
    }

    /// <summary>w after all meta-steps, or those before it was asked to stop, the caller's to dispose; takes ownership of the first w.</summary>
    private static Params Train(
        TheoryConfiguration configuration,
        TheoryMethod method,
        MetaLearner<Observation> learner,
        Landscape landscape,
        Seed[] seeds,
        Params first,
        Action alive,
        CancellationToken stop
    )
    {
        Rng[] starts = Generators(seeds, "start");
        Rng[] noise = Generators(seeds, "noise");
        int lived = 0;
        MetaState<Observation> state = learner.Init(landscape.Start(starts), first);
        // The last step of a target is not part of the learner's own life.
        int livesOn = configuration.InnerSteps + (method.TargetSteps ?? 1) - 1;
        for (int i = 0; i < configuration.MetaSteps && !stop.IsCancellationRequested; i++)
        {
            alive();
            if (lived >= configuration.LearnerSteps)
            {
                lived = 0;
                state.Learner.Dispose();
                state = new MetaState<Observation>(
                    learner.UpdateRule.Init.Invoke(landscape.Start(starts)),
                    state.MetaParameters,
                    state.MetaOptimizer,
                    state.Pending
                );
            }
            (MetaState<Observation> next, _) = learner.Step(
                state,
                (_, _) => new Experience<Observation>(landscape.Observe(configuration.Noise, noise), null),
                pending => pending.Data.Noise?.DetachFromDisposeScope()
            );
            state.Learner.Dispose();
            state.MetaParameters.Dispose();
            state.MetaOptimizer.Dispose();
            Forget(state.Pending);
            state = next;
            lived += livesOn;
        }
        state.Learner.Dispose();
        state.MetaOptimizer.Dispose();
        Forget(state.Pending);
        return state.MetaParameters;
    }

    private static void Forget(Experience<Observation>? pending) => pending?.Data.Noise?.Dispose();

    /// <summary>f after each horizon as a fraction of f at the start, one row a horizon, one number a member; starts that training never saw.</summary>
    private static double[][] Evaluate(
        TheoryConfiguration configuration,
        UpdateRule<Observation> rule,
        Landscape landscape,
        Params hyper,
        Seed[] seeds,
        Action alive,
        CancellationToken stop
    )
    {
        Rng[] noise = Generators(seeds, "evaluation noise");
        LearnerState learner = rule.Init.Invoke(landscape.Start(Generators(seeds, "evaluation")));
        double[] start = landscape.Loss(learner.Parameters);
        List<double[]> rows = [];
        for (int step = 1; step <= configuration.Horizons[^1] && !stop.IsCancellationRequested; step++)
        {
            alive();
            using DisposeScope scope = NewDisposeScope();
            Observation seen = landscape.Observe(configuration.Noise, noise);
            LearnerState next = rule.Step.Invoke(learner, hyper, seen, Differentiation.None).Learner;
            next.Parameters.DetachFromScope();
            learner.Dispose();
            learner = next;
            if (configuration.Horizons.Contains(step))
            {
                rows.Add([.. landscape.Loss(learner.Parameters).Zip(start, (end, begin) => end / begin)]);
            }
        }
        learner.Dispose();
        return [.. rows];
    }

    private static Rng[] Generators(Seed[] seeds, string purpose) =>
        [.. seeds.Select(seed => seed.For(purpose).Generator())];
}
