using Bmg.Training.Agents;
using static TorchSharp.torch;

namespace Bmg.Examples.OwnRule;

/// <summary>An update rule, an optimizer, a target bootstrap and a matching function of one's own.</summary>
public static class Parts
{
    /// <summary>φ: a gradient step on the learner's loss plus half the squared norm of its parameters.</summary>
    public static UpdateRule<Rollout> Shrinking(ShrinkingSettings settings, UpdateRuleContext context)
    {
        var half = Scalars.Constant(settings.Shrinkage / 2);
        return UpdateRule.Gradient(
            LossFunction<Rollout>.Create(
                $"{context.Loss.Name} + shrinkage",
                (x, hyper, data) => context.Loss.Loss.Invoke(x, hyper, data).Plus(x.SquaredNorm().mul(half))
            ),
            context.Optimizer
        );
    }

    /// <summary>Every number of the gradient over the root of one plus its square. It can be differentiated twice, as the meta-gradient
    /// needs.</summary>
    public static Optimizer Softsign(SoftsignSettings settings) =>
        new(
            "softsign",
            Setting.NewConstant(settings.LearningRate),
            GradientTransformation.Create(
                "softsign",
                _ => Params.Empty,
                (gradients, state) => new(gradients.Map(g => g.div(g.square().Plus(Scalars.Constant(1)).sqrt())), state)
            )
        );

    /// <summary>ξ: so many times the way to where L further steps of φ lead.</summary>
    public static TargetBootstrap<Rollout> Farther(FartherSettings settings, TargetContext context) =>
        TargetBootstrap<Rollout>.Create(
            "farther",
            (start, life) =>
            {
                var ahead = TargetBootstrap.AheadOnly<Rollout>(context.Steps).Bootstrap.Invoke(start, life);
                var rest = Scalars.Constant(settings.Times - 1);
                var step = ahead.Parameters.Subtract(start.Parameters).Map(t => t.mul(rest));
                return new(ahead.Parameters.Add(step), ahead.Learner, ahead.Evaluation);
            }
        );

    /// <summary>μ: the squared distance between the probabilities of target and learner (Brier 1950).</summary>
    public static MatchingFunction Brier(BrierSettings settings, MatchingContext context) =>
        MatchingFunction.Create(
            "brier",
            MatchingClaims.Divergence | MatchingClaims.Symmetric | MatchingClaims.ShiftInvariant,
            (target, learner) =>
            {
                var there = softmax(target.Stopped["logits"], -1);
                var here = softmax(learner["logits"], -1);
                var distance = there.Minus(here).square().sum(-1).mul(Scalars.Constant(settings.Scale));
                return learner.Reduce(context.Reduction, distance);
            }
        );
}
