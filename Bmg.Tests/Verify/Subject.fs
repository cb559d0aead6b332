namespace Bmg.Verify

open System
open Bmg

/// A part under judgement, and what must be known of it to put it into cases.
[<ReferenceEquality>]
type Subject = {
    Kind: Parts
    /// As it is named in reports.
    Name: string
    Matching: MatchingFunction | null
    Target: Func<TargetIngredients, TargetBootstrap<Rollout>> | null
    Optimizer: Optimizer | null
    /// φ on a loss.
    UpdateRule: Func<LossFunction<Rollout>, UpdateRule<Rollout>> | null
    /// (the learner's parameters) → meta-parameters that put out what an optimizer or an update rule takes from w; or the meta-parameters
    /// under judgement, which must put out "entropyWeight".
    MetaParameters: Func<Params, MetaParameters> | null
    Activation: Nullable<Activation>
    /// (name, outputs) → the policy's network, where a layer is judged that is no activation.
    Network: Func<string, int, Network> | null
    /// Whether all derivatives exist everywhere, so that no case may be rejected for a kink.
    Smooth: bool
    /// Whether every number that it hands on from step to step is checked to be finite (see `Guards`).
    Suspected: bool
    /// Whether a matching function looks at the model's outputs alone, so that w can reach it with no inner step at all.
    ReadsOutputs: bool
} with

    static member private Empty kind name = {
        Kind = kind
        Name = name
        Matching = null
        Target = null
        Optimizer = null
        UpdateRule = null
        MetaParameters = null
        Activation = Nullable()
        Network = null
        Smooth = false
        Suspected = true
        ReadsOutputs = false
    }

    /// A matching function.
    static member Of(matching: MatchingFunction) : Subject = {
        Subject.Empty Parts.MatchingFunction matching.Name with
            Matching = matching
    }

    /// A target bootstrap, as a function of what a case has to make it from.
    static member Of(name: string, target: Func<TargetIngredients, TargetBootstrap<Rollout>>) : Subject = {
        Subject.Empty Parts.Target name with
            Target = target
    }

    /// An optimizer. Where its learning rate is learned, `WithMetaParameters` says what puts it out.
    static member Of(optimizer: Optimizer) : Subject = {
        Subject.Empty Parts.Optimizer optimizer.Name with
            Optimizer = optimizer
    }

    /// An update rule, as a function of the loss it descends.
    static member Of(name: string, updateRule: Func<LossFunction<Rollout>, UpdateRule<Rollout>>) : Subject = {
        Subject.Empty Parts.UpdateRule name with
            UpdateRule = updateRule
    }

    /// Meta-parameters that put out "entropyWeight".
    static member Of(metaParameters: MetaParameters) : Subject = {
        Subject.Empty Parts.MetaParameters metaParameters.Name with
            MetaParameters = Func<_, _>(fun _ -> metaParameters)
    }

    /// An element-wise layer of the learner's networks.
    static member Of(name: string, activation: Activation) : Subject = {
        Subject.Empty Parts.Layer name with
            Activation = Nullable activation
    }

    /// Layers of any kind within a small network, as a function of its name and the number of its outputs. What it takes is drawn for its
    /// input's axes.
    static member OfNetwork(name: string, network: Func<string, int, Network>) : Subject = {
        Subject.Empty Parts.Layer name with
            Network = network
    }

    /// A layer of one's own, on an input of these axes (without P and B): after a linear layer of the same size, where they are one axis, and
    /// before one that puts out the policy.
    static member Of(layer: CustomLayer, [<ParamArray>] inputShape: int[]) : Subject =
        Subject.OfNetwork(
            layer.Name,
            fun network actions ->
                let start = Network.Build(network, inputShape)

                let before =
                    if inputShape.Length = 1 then
                        start.Linear inputShape[0]
                    else
                        start

                before.Then(Layer.Custom layer).Linear(actions).Build()
        )

    /// The same under another name.
    member this.Named(name: string) : Subject = { this with Name = name }

    /// The same with the meta-parameters from which it takes its hyper-parameters, given the learner's parameters.
    member this.WithMetaParameters(make: Func<Params, MetaParameters>) : Subject = { this with MetaParameters = make }

    /// The same, all of whose derivatives exist everywhere.
    member this.AsSmooth() : Subject = { this with Smooth = true }

    /// The same, trusted to hand on finite numbers from step to step; what it gives in the end is still checked.
    member this.Trusted() : Subject = { this with Suspected = false }

    /// The same, looking at the model's outputs alone.
    member this.ReadingOutputs() : Subject = { this with ReadsOutputs = true }

    /// What kind of thing it is, in words.
    member this.KindName =
        match this.Kind with
        | Parts.MatchingFunction -> "matching function"
        | Parts.Target -> "target bootstrap"
        | Parts.Optimizer -> "optimizer"
        | Parts.UpdateRule -> "update rule"
        | Parts.MetaParameters -> "meta-parameters"
        | _ -> "layer"
