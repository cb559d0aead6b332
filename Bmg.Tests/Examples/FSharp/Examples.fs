/// Parts of one's own, in F#: what the tutorials show, region by region (`samples --code --write`). The tests run every law on each.
module Bmg.Examples.FSharp

open Bmg
open Bmg.Verify
open TorchSharp

// region hellinger
/// A matching function: the squared Hellinger distance between two policies.
let hellinger =
    MatchingFunction.Create(
        "my squared-hellinger",
        MatchingClaims.Divergence ||| MatchingClaims.Symmetric, // the laws hold it to that
        fun target learner ->
            let root (p: Prediction) =
                (Categorical.logProbabilities p["logits"]).mul(Scalars.constant 0.5).exp()

            let apart = (root target.Stopped).minus(root learner).squared().sum -1L
            Reduction.apply Reduction.Mean (apart.mul (Scalars.constant 0.5))
    )
// endregion

// region halfway
/// A target bootstrap: half the way to where L further steps of φ lead.
let halfway (given: TargetIngredients) =
    TargetBootstrap<Rollout>
        .Create(
            "half the way",
            fun start life ->
                let ahead = (TargetBootstrap.aheadOnly given.Steps).Bootstrap.Invoke(start, life)
                let middle (a: Tensor) (b: Tensor) = a.plus(b).mul(Scalars.constant 0.5)

                {
                    ahead with
                        Parameters = Params.map2 middle start.Parameters ahead.Parameters
                }
        )
// endregion

// region squashed
/// An optimizer: steps of at most the learning rate in each parameter.
let squashed =
    let squash = Params.map (fun g -> g.tanh ())

    {
        Optimizers.sgd 0.3 with
            Name = "squashed sgd"
            Transformation =
                GradientTransformation.Create(
                    "tanh",
                    (fun _ -> Params.Empty),
                    (fun gradients state -> {
                        Direction = squash gradients
                        State = state
                    })
                )
    }
// endregion

// region shrinking
/// An update rule: a gradient step whose rate is learned, and which shrinks the parameters by a learned share of it.
let shrinking (lossFunction: LossFunction<Rollout>) =
    let half = Scalars.constant 0.5

    UpdateRule.gradient
        (LossFunction<Rollout>
            .Create(
                $"{lossFunction.Name} + shrinkage",
                fun x hyper data ->
                    let penalty = (Params.squaredNorm x).mul(hyper["shrinkage"]).mul half
                    lossFunction.Loss.Invoke(x, hyper, data).plus penalty
            ))
        (Optimizers.withLearnedRate "rate" (Optimizers.momentum 0.1 0.5))

/// The update rule with what puts out its hyper-parameters.
let shrinkingSubject =
    Subject
        .Of("shrinking", fun lossFunction -> shrinking lossFunction)
        .WithMetaParameters(fun _ ->
            MetaParameters.merge [|
                MetaParameters.boundedScalar "rate" 0.01 0.5 0.1
                MetaParameters.boundedScalar "shrinkage" 0.0 1.0 0.1
            |])
// endregion

// region extragradient
/// An update rule: the extragradient method, which steps along the gradient of the point that a plain step would reach, with a learned rate.
let extragradient (lossFunction: LossFunction<Rollout>) =
    let step (learner: LearnerState) (hyper: Params) data differentiation =
        let differentiated = differentiation <> Differentiation.None
        let rate = hyper["rate"]

        let x =
            if differentiated then
                learner.Parameters
            else
                Params.leaves learner.Parameters

        let x = if x.Tensors[0].requires_grad then x else Params.leaves x
        let loss = lossFunction.Loss.Invoke(x, hyper, data)

        let descend gradients =
            Params.map2 (fun (x: Tensor) g -> x.minus (g.mul (Params.broadcast rate g))) x gradients

        let ahead = descend (Gradients.gradient loss x differentiated)
        let ahead = if differentiated then ahead else Params.leaves ahead

        let next =
            descend (Gradients.gradient (lossFunction.Loss.Invoke(ahead, hyper, data)) ahead differentiated)

        {
            Learner = {
                learner with
                    Parameters = (if differentiated then next else Params.detach next)
            }
            Loss = loss.detach ()
        }

    UpdateRule<Rollout>
        .Create(
            "extragradient",
            (fun x -> {
                Parameters = x
                Optimizer = Params.Empty
            }),
            (fun l h d way -> step l h d way)
        )

/// The extragradient method with what puts out its rate.
let extragradientSubject =
    Subject
        .Of("extragradient", fun lossFunction -> extragradient lossFunction)
        .WithMetaParameters(fun _ -> MetaParameters.boundedScalar "rate" 0.01 0.5 0.1)
// endregion

// region wrong
/// Wrong on purpose: it does not stop the target, so a target that is part of a graph would be differentiated through.
let forgetful =
    MatchingFunction.Create(
        "forgetful-kl",
        MatchingClaims.Divergence,
        fun target learner -> Reduction.apply Reduction.Mean (Categorical.kl target["logits"] learner["logits"])
    )

/// Wrong on purpose: a cross-entropy is no divergence, for it is not zero at a match.
let crossEntropy =
    MatchingFunction.Create(
        "cross-entropy",
        MatchingClaims.Divergence,
        fun target learner ->
            let p = Categorical.probabilities target.Stopped["logits"]
            Reduction.apply Reduction.Mean ((p.mul (Categorical.logProbabilities learner["logits"])).sum(-1L).neg())
    )
// endregion

// region meta-learner
/// A meta-learner that is put together from such parts.
let metaLearner rule (innerSteps: int) w lastStep model adam =
    MetaLearner<Rollout>
        .Create(
            rule,
            innerSteps,
            w,
            MetaObjective.Bootstrapped(TargetBootstrap.lookAhead 8 lastStep LastStepState.Fresh, hellinger),
            model,
            adam
        )
// endregion

// region quartic
let fourth (values: Params) =
    Reduction.apply Reduction.Mean (values["values"].squared().squared())

let quartic = Matching.bregman "fourth powers" (Coordinates.output "values") fourth
// endregion

/// A look-ahead whose last step is corrected by RMSProp.
let correctedTarget (policyLoss: LossFunction<Rollout>) =
    // region corrected
    let corrected = UpdateRule.gradient policyLoss (Optimizers.rmsProp 1e-3 0.99 1e-4 1e-16)
    let target = TargetBootstrap.lookAhead 8 corrected LastStepState.Fresh
    // endregion
    target

/// A look-ahead whose last step is a natural gradient.
let naturalTarget (policyLoss: LossFunction<Rollout>) model =
    // region natural
    // rate 0.1, damping 0.1, at most 10 conjugate gradients, or until the residual is 1e-6 of the gradient
    let natural = NaturalGradient.rule policyLoss model 0.1 0.1 10 1e-6
    let target = TargetBootstrap.lookAhead 8 natural LastStepState.Fresh
    // endregion
    target

/// Every law on parts of one's own.
let judge () =
    // region judge-matching
    printfn "%O" (Verify.Matching hellinger)
    // endregion
    // region judge-target
    printfn "%O" (Verify.Target("half the way", halfway))
    // endregion
    // region judge-rule
    printfn "%O" (Verify.Run shrinkingSubject)
    // endregion
    // region judge-optimizer
    printfn "%O" (Verify.Optimizer squashed)
// endregion
