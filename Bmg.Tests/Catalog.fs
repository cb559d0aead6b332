/// What tests of optimizers, acting, memory and several meta-steps in a row draw their parts from. Bmg.Verify's Library is what every law is
/// held against.
module Bmg.Tests.Catalog

open System
open Bmg
open TorchSharp

/// Something of the library under its name. `Smooth` is false where its derivative jumps or turns within a finite step of a meta-parameter:
/// finite differences are compared only where they agree with themselves there.
type Entry<'T> = {
    Name: string
    Smooth: bool
    Value: 'T
}

let private smooth (name: string) (value: 'T) = {
    Name = name
    Smooth = true
    Value = value
}

let private kinked (name: string) (value: 'T) = {
    smooth name value with
        Smooth = false
}

let find (entries: Entry<'T> list) (name: string) : Entry<'T> =
    entries |> List.find (fun e -> e.Name = name)

let names (entries: Entry<'T> list) : string list = entries |> List.map (fun e -> e.Name)

/// With a constant learning rate; each is also tried with a learned one.
let optimizers: Entry<Optimizer> list = [
    smooth "sgd" (Optimizers.sgd 0.3)
    smooth "momentum" (Optimizers.momentum 0.2 0.8)
    smooth "nesterov" (Optimizers.nesterov 0.2 0.8)
    kinked "centered rmsprop" (Optimizers.centeredRmsProp 0.05 0.9 1e-2 1e-16)
    kinked "adagrad" (Optimizers.adagrad 0.1 1e-2 1e-16)
    kinked "rmsprop" (Optimizers.rmsProp 0.05 0.9 1e-2 1e-16)
    kinked "rmsprop, small epsilon" (Optimizers.rmsProp 0.01 0.9 1e-8 1e-16)
    kinked "adam" (Optimizers.adam 0.05 0.9 0.99 1e-2 1e-16)
    kinked "adam, small epsilon" (Optimizers.adam 0.05 0.9 0.999 1e-8 1e-16)
    kinked "clip, sgd" (Optimizers.before (Transformations.clipByGlobalNorm 0.4) (Optimizers.sgd 0.3))
    kinked
        "clip, adam"
        (Optimizers.before (Transformations.clipByGlobalNorm 0.4) (Optimizers.adam 0.05 0.9 0.99 1e-2 1e-16))
    kinked "clip, momentum, clip" {
        Optimizers.before (Transformations.clipByGlobalNorm 0.6) (Optimizers.momentum 0.3 0.7) with
            Transformation =
                Transformations.compose
                    (Transformations.compose (Transformations.clipByGlobalNorm 0.6) (Transformations.momentum 0.7))
                    (Transformations.clipByGlobalNorm 0.9)
    }
]

/// A matching function, and whether it looks at what the model puts out: with no inner steps only such a one can reach w.
[<ReferenceEquality>]
type Match = {
    Function: MatchingFunction
    ReadsOutputs: bool
}

let private outputs name f =
    smooth name { Function = f; ReadsOutputs = true }

let matchings: Entry<Match> list = [
    outputs "kl" (Matching.kl Reduction.Mean)
    outputs "kl, summed" (Matching.kl Reduction.Sum)
    outputs "reverse kl" (Matching.reverseKl Reduction.Mean)
    outputs "squared hellinger, of the examples" Bmg.Examples.FSharp.hellinger
    smooth "parameter l2" {
        Function = Matching.parameterL2 0.5
        ReadsOutputs = false
    }
    outputs
        "weighted sum"
        (Matching.weightedSum [| 0.7; 0.2; 0.3 |] [|
            Matching.kl Reduction.Mean
            Matching.reverseKl Reduction.Sum
            Matching.parameterL2 0.5
        |])
]

/// `steps` − 1 steps of φ and a last one of `optimizer`, from a fresh state, on `lossFunction`.
let lookAhead (steps: int) (lossFunction: LossFunction<Rollout>) (optimizer: Optimizer) : TargetBootstrap<Rollout> =
    TargetBootstrap.lookAhead steps (UpdateRule.gradient lossFunction optimizer) LastStepState.Fresh

/// (L, the plain loss, other parameters of the learner's shape) → target bootstrap.
let targets: Entry<int -> LossFunction<Rollout> -> Params -> TargetBootstrap<Rollout>> list = [
    smooth "look ahead" (fun steps lossFunction _ -> lookAhead steps lossFunction (Optimizers.sgd 0.5))
    smooth "look ahead, last step rmsprop" (fun steps lossFunction _ ->
        lookAhead steps lossFunction (Optimizers.rmsProp 0.03 0.9 1e-3 1e-16))
    smooth "given" (fun _ _ other -> TargetBootstrap.given other)
]

/// Features of a context in the cases.
[<Literal>]
let ContextSize = 3

/// Each puts out "entropyWeight".
let metaParameters: Entry<MetaParameters> list = [
    smooth "bounded scalar" (MetaParameters.boundedScalar ActorCritic.EntropyWeight 0.0 1.0 0.3)
    smooth "bounded scalar in (0.1, 0.9)" (MetaParameters.boundedScalar ActorCritic.EntropyWeight 0.1 0.9 0.4)
    smooth
        "contextual"
        (MetaParameters.contextual
            ActorCritic.EntropyWeight
            (Network.Mlp("meta", ContextSize, [| 4 |], 1, Activation.Tanh))
            0.0
            1.0
            0.4
            Initialization.Uniform
            0)
]

/// The policy alone, and a policy that w reaches by itself, through a temperature.
let models: Entry<ActorCritic -> Model<Rollout>> list = [
    smooth "policy" ActorCritic.model
    smooth "tempered policy" (fun agent ->
        Model<Rollout>
            .Create(
                "tempered policy",
                (fun x hyper rollout ->
                    let logits = ActorCritic.logits agent x rollout
                    let temperature = hyper[ActorCritic.EntropyWeight].plus(Scalars.constant 0.5)
                    Params.Single("logits", logits.mul (Params.broadcast temperature logits)))
            ))
]

let activations: Entry<Activation> list = [
    smooth "tanh" Activation.Tanh
    smooth "sigmoid" Activation.Sigmoid
    smooth "softplus" Activation.Softplus
    kinked "relu" Activation.Relu
    kinked "elu" Activation.Elu
    kinked "leaky relu" Activation.LeakyRelu
    smooth "gelu" Activation.Gelu
    smooth "silu" Activation.Silu
]
