namespace Bmg.Verify

open System
open Bmg
open TorchSharp

/// What the parts beside the one under judgement are made of, small enough that a case takes milliseconds.
[<RequireQualifiedAccess>]
module Ingredients =

    let internal scalar (v: float) : Scalar = Scalars.constant v

    /// Features of a context in the cases.
    [<Literal>]
    let ContextSize = 3

    /// Name of the learned learning rate.
    [<Literal>]
    let LearningRate = "learningRate"

    let find (what: string) (entries: (string * 'T) list) (name: string) : 'T =
        match entries |> List.tryFind (fun (n, _) -> n = name) with
        | Some(_, value) -> value
        | None ->
            let known = String.Join(", ", entries |> List.map fst)
            invalidArg what $"CaseSpec: '{what}' must be one of {known}, found '{name}'."

    /// With a constant learning rate.
    let optimizers: (string * Optimizer) list = [
        "sgd", Optimizers.sgd 0.3
        "momentum", Optimizers.momentum 0.2 0.8
        "adam", Optimizers.adam 0.05 0.9 0.99 1e-2 1e-16
    ]

    /// All look at what the model puts out.
    let matchings: (string * MatchingFunction) list = [
        "kl", Matching.kl Reduction.Mean
        "kl-sum", Matching.kl Reduction.Sum
        "reverse-kl", Matching.reverseKl Reduction.Mean
    ]

    /// Each puts out "entropyWeight".
    let metaParameters: (string * MetaParameters) list = [
        "scalar", MetaParameters.boundedScalar ActorCritic.EntropyWeight 0.0 1.0 0.3
        "bounded", MetaParameters.boundedScalar ActorCritic.EntropyWeight 0.1 0.9 0.4
        "contextual",
        MetaParameters.contextual
            ActorCritic.EntropyWeight
            (Network.Mlp("meta", ContextSize, [| 2 |], 1, Activation.Tanh))
            0.0
            1.0
            0.4
            Initialization.Uniform
            0
    ]

    let activations: (string * Activation) list = [
        "tanh", Activation.Tanh
        "sigmoid", Activation.Sigmoid
        "softplus", Activation.Softplus
        "relu", Activation.Relu
        "elu", Activation.Elu
        "leaky relu", Activation.LeakyRelu
        "gelu", Activation.Gelu
        "silu", Activation.Silu
    ]

    /// "logits" [P, T, A] and "values" [P, T] at the states acted in.
    let private outputs (agent: ActorCritic) (x: Params) (rollout: Rollout) =
        let logits = ActorCritic.logits agent x rollout

        let values = Rollout.Rows((ActorCritic.values agent x rollout).narrow(2L, 0L, rollout.Steps))

        logits, values

    /// Both networks, and both with a temperature through which w reaches the outputs by itself.
    let models: (string * (ActorCritic -> Model<Rollout>)) list = [
        "policy",
        (fun agent ->
            Model<Rollout>
                .Create(
                    "policy and values",
                    (fun x _ rollout ->
                        let logits, values = outputs agent x rollout
                        Params.Create([| "logits"; "values" |], [| logits; values |]))
                ))
        "tempered",
        (fun agent ->
            Model<Rollout>
                .Create(
                    "tempered policy and values",
                    (fun x hyper rollout ->
                        let logits, values = outputs agent x rollout
                        let temperature = hyper[ActorCritic.EntropyWeight].plus(scalar 0.5)
                        let scaled (t: Tensor) = t.mul (Params.broadcast temperature t)
                        Params.Create([| "logits"; "values" |], [| scaled logits; scaled values |]))
                ))
    ]

    /// A loss without stopped gradients, so that finite differences see all that its derivative sees: rewards stand for advantages and
    /// value targets alike. −E[r log π] + ¼·E[(r − v)²], plus α_ent·L_entropy where w may enter.
    let loss (agent: ActorCritic) (withEntropy: bool) : LossFunction<Rollout> =
        LossFunction<Rollout>
            .Create(
                (if withEntropy then "loss with entropy" else "loss"),
                (fun x hyper rollout ->
                    let logits, values = outputs agent x rollout
                    let rewards = Rollout.Rows rollout.Rewards
                    let policy = Losses.policyGradient logits (Rollout.Rows rollout.Actions) rewards
                    let value = Losses.squaredError (rewards.minus values)
                    let plain = policy.add (value, scalar 0.5)

                    if withEntropy then
                        plain.addcmul (hyper[ActorCritic.EntropyWeight], Losses.negativeEntropy logits, scalar 1.0)
                    else
                        plain)
            )

    /// A learning rate that is a meta-parameter.
    let learnedRate: MetaParameters = MetaParameters.boundedScalar LearningRate 0.01 0.6 0.1

/// What a target bootstrap of one's own may be made of in a case.
[<ReferenceEquality>]
type TargetIngredients = {
    /// L
    Steps: int
    /// f, the plain loss: of the learner's parameters and data alone.
    Loss: LossFunction<Rollout>
    /// The networks.
    Agent: ActorCritic
    /// Puts out "logits" [P, T, A] and "values" [P, T].
    Model: Model<Rollout>
    /// Other parameters of the learner's shapes: a teacher's, say.
    Other: Params
}

/// Targets that may stand beside another part under judgement.
[<RequireQualifiedAccess>]
module Targets =

    /// `Steps` − 1 steps of φ and a last one of `optimizer`, from a fresh state, on the plain loss.
    let lookAhead (optimizer: Optimizer) (given: TargetIngredients) : TargetBootstrap<Rollout> =
        TargetBootstrap.lookAhead given.Steps (UpdateRule.gradient given.Loss optimizer) LastStepState.Fresh

    let all: (string * (TargetIngredients -> TargetBootstrap<Rollout>)) list = [
        "look-ahead", lookAhead (Optimizers.sgd 0.5)
        "look-ahead-rmsprop", lookAhead (Optimizers.rmsProp 0.03 0.9 1e-3 1e-16)
        "given", (fun given -> TargetBootstrap.given given.Other)
    ]
