using Bmg.Verify;
using static TorchSharp.torch;

namespace Bmg.Examples;

/// <summary>Parts of one's own, in C#: what the tutorials show, region by region (<c>samples --code --write</c>). The tests run every law on
/// each.</summary>
public static class CSharp
{
    // region hellinger
    /// <summary>A matching function: the squared Hellinger distance between two policies.</summary>
    public static MatchingFunction Hellinger { get; } =
        MatchingFunction.Create(
            "my squared-hellinger",
            MatchingClaims.Divergence | MatchingClaims.Symmetric, // the laws hold it to that
            (target, learner) =>
            {
                static Tensor Root(Prediction p) =>
                    Categorical.logProbabilities(p["logits"]).mul(Scalars.constant(0.5)).exp();
                var apart = Root(target.Stopped).minus(Root(learner)).squared().sum(-1);
                return ReductionModule.apply(Reduction.Mean, apart.mul(Scalars.constant(0.5)));
            }
        );

    // endregion

    // region halfway
    /// <summary>A target bootstrap: half the way to where L further steps of φ lead.</summary>
    public static TargetBootstrap<Rollout> Halfway(TargetIngredients given) =>
        TargetBootstrap<Rollout>.Create(
            "half the way",
            (start, life) =>
            {
                var ahead = TargetBootstrap.aheadOnly<Rollout>(given.Steps).Bootstrap.Invoke(start, life);
                var both = ParamsModule.add(start.Parameters, ahead.Parameters);
                return new(both.Map(t => t.mul(Scalars.constant(0.5))), ahead.Learner, ahead.Evaluation);
            }
        );

    // endregion

    // region brier
    /// <summary>A matching function: half the squared distance between probabilities (Brier 1950).</summary>
    public static MatchingFunction Brier { get; } =
        MatchingFunction.Create(
            "brier",
            MatchingClaims.Divergence
                | MatchingClaims.Symmetric
                | MatchingClaims.RootMetric
                | MatchingClaims.ShiftInvariant, // the laws hold it to that
            (target, learner) =>
            {
                var there = Categorical.probabilities(target.Stopped["logits"]);
                var here = Categorical.probabilities(learner["logits"]);
                return Reduce(there.minus(here).squared().sum(-1).mul(Scalars.constant(0.5)));
            }
        );

    // endregion

    // region farther
    /// <summary>A target bootstrap: one and a half times the way to where L further steps of φ lead.</summary>
    public static TargetBootstrap<Rollout> Farther(TargetIngredients given) =>
        TargetBootstrap<Rollout>.Create(
            "farther",
            (start, life) =>
            {
                var ahead = TargetBootstrap.aheadOnly<Rollout>(given.Steps).Bootstrap.Invoke(start, life);
                var step = ParamsModule.subtract(ahead.Parameters, start.Parameters);
                var half = step.Map(t => t.mul(Scalars.constant(0.5)));
                return new(ParamsModule.add(ahead.Parameters, half), ahead.Learner, ahead.Evaluation);
            }
        );

    // endregion

    // region softsign
    /// <summary>An optimizer: every gradient divided by the root of one plus its square.</summary>
    public static Optimizer Softsign { get; } =
        new(
            "softsign",
            Setting.NewConstant(0.3),
            GradientTransformation.Create(
                "softsign",
                _ => Params.Empty,
                (gradients, state) =>
                    new(gradients.Map(g => g.div(g.squared().plus(Scalars.constant(1)).sqrt())), state)
            )
        );

    // endregion

    // region shrinking
    /// <summary>An update rule: a gradient step whose rate is learned, and which shrinks the parameters by a learned share of it.</summary>
    public static UpdateRule<Rollout> Shrinking(Objective<Rollout> objective) =>
        UpdateRule.gradient(
            Objective<Rollout>.Create(
                $"{objective.Name} + shrinkage",
                (x, hyper, data) =>
                    objective
                        .Loss.Invoke(x, hyper, data)
                        .plus(ParamsModule.squaredNorm(x).mul(hyper["shrinkage"]).mul(Scalars.constant(0.5)))
            ),
            Optimizers.withLearnedRate("rate", Optimizers.momentum(0.1, 0.5))
        );

    /// <summary>The update rule with what puts out its hyper-parameters.</summary>
    public static Subject ShrinkingSubject { get; } =
        Subject
            .Of("shrinking", Shrinking)
            .WithMetaParameters(_ =>
                MetaParametersModule.merge([
                    MetaParametersModule.boundedScalar("rate", 0.01, 0.5, 0.1),
                    MetaParametersModule.boundedScalar("shrinkage", 0, 1, 0.1),
                ])
            );

    // endregion

    // region wrong
    /// <summary>Wrong on purpose: it does not stop the target, so a target that is part of a graph would be differentiated through.</summary>
    public static MatchingFunction Forgetful { get; } =
        MatchingFunction.Create(
            "forgetful-brier",
            MatchingClaims.Divergence,
            (target, learner) =>
                Reduce(
                    Categorical
                        .probabilities(target["logits"])
                        .minus(Categorical.probabilities(learner["logits"]))
                        .squared()
                        .sum(-1)
                )
        );

    /// <summary>Wrong on purpose: the overlap of two policies is not zero at a match.</summary>
    public static MatchingFunction Overlap { get; } =
        MatchingFunction.Create(
            "overlap",
            MatchingClaims.Divergence,
            (target, learner) =>
                Reduce(
                    Categorical
                        .probabilities(target.Stopped["logits"])
                        .mul(Categorical.probabilities(learner["logits"]))
                        .sum(-1)
                )
        );

    // endregion

    private static Tensor Reduce(Tensor perState) => ReductionModule.apply(Reduction.Mean, perState);
}
