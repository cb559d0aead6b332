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
                    Categorical.LogProbabilities(p["logits"]).mul(Scalars.Constant(0.5)).exp();
                var apart = Root(target.Stopped).Minus(Root(learner)).Squared().sum(-1);
                return Reduction.Mean.Apply(apart.mul(Scalars.Constant(0.5)));
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
                var ahead = TargetBootstrap.AheadOnly<Rollout>(given.Steps).Bootstrap.Invoke(start, life);
                var both = start.Parameters.Add(ahead.Parameters);
                return new(both.Map(t => t.mul(Scalars.Constant(0.5))), ahead.Learner, ahead.Evaluation);
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
                var there = Categorical.Probabilities(target.Stopped["logits"]);
                var here = Categorical.Probabilities(learner["logits"]);
                return Reduce(there.Minus(here).Squared().sum(-1).mul(Scalars.Constant(0.5)));
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
                var ahead = TargetBootstrap.AheadOnly<Rollout>(given.Steps).Bootstrap.Invoke(start, life);
                var step = ahead.Parameters.Subtract(start.Parameters);
                var half = step.Map(t => t.mul(Scalars.Constant(0.5)));
                return new(ahead.Parameters.Add(half), ahead.Learner, ahead.Evaluation);
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
                    new(gradients.Map(g => g.div(g.Squared().Plus(Scalars.Constant(1)).sqrt())), state)
            )
        );

    // endregion

    // region shrinking
    /// <summary>An update rule: a gradient step whose rate is learned, and which shrinks the parameters by a learned share of it.</summary>
    public static UpdateRule<Rollout> Shrinking(LossFunction<Rollout> lossFunction) =>
        UpdateRule.Gradient(
            LossFunction<Rollout>.Create(
                $"{lossFunction.Name} + shrinkage",
                (x, hyper, data) =>
                    lossFunction
                        .Loss.Invoke(x, hyper, data)
                        .Plus(x.SquaredNorm().mul(hyper["shrinkage"]).mul(Scalars.Constant(0.5)))
            ),
            Optimizers.Momentum(0.1, 0.5).WithLearnedRate("rate")
        );

    /// <summary>The update rule with what puts out its hyper-parameters.</summary>
    public static Subject ShrinkingSubject { get; } =
        Subject
            .Of("shrinking", Shrinking)
            .WithMetaParameters(_ =>
                MetaParameters.Merge([
                    MetaParameters.BoundedScalar("rate", 0.01, 0.5, 0.1),
                    MetaParameters.BoundedScalar("shrinkage", 0, 1, 0.1),
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
                        .Probabilities(target["logits"])
                        .Minus(Categorical.Probabilities(learner["logits"]))
                        .Squared()
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
                        .Probabilities(target.Stopped["logits"])
                        .mul(Categorical.Probabilities(learner["logits"]))
                        .sum(-1)
                )
        );

    // endregion

    private static Tensor Reduce(Tensor perState) => Reduction.Mean.Apply(perState);
}
