namespace Bmg.Verify

open System
open System.Collections.Generic
open Bmg

/// Everything in Bmg that the laws are held against, each once: a new part is put under every law by one line here.
[<RequireQualifiedAccess>]
module Library =

    let matchings: Subject[] = [|
        Subject.Of(Matching.kl Reduction.Mean).ReadingOutputs()
        Subject.Of(Matching.kl Reduction.Sum).ReadingOutputs().Named "kl, summed"
        Subject.Of(Matching.reverseKl Reduction.Mean).ReadingOutputs()
        Subject.Of(Matching.parameterL2 0.5)
        Subject.Of(Matching.jensenShannon Reduction.Mean).ReadingOutputs()
        Subject.Of(Matching.jeffreys Reduction.Mean).ReadingOutputs()
        Subject.Of(Matching.squaredHellinger Reduction.Mean).ReadingOutputs()
        Subject.Of(Matching.logitL2 Reduction.Mean).ReadingOutputs()
        Subject.Of(Matching.valueMatching Reduction.Mean).ReadingOutputs()
        Subject.Of(Matching.fisherQuadratic Reduction.Mean).ReadingOutputs()
        Subject
            .Of(
                (Matching.bregman
                    "bregman, negative entropy"
                    Coordinates.probabilities
                    (Potentials.negativeEntropy Reduction.Mean))
                    .Claiming(MatchingClaims.ShiftInvariant ||| MatchingClaims.MatchesMoments)
                    .WithFisher(1.0, Reduction.Mean)
            )
            .ReadingOutputs()
        Subject
            .Of(
                (Matching.bregman
                    "bregman, log Σ exp"
                    (Coordinates.output "logits")
                    (Potentials.logSumExp Reduction.Sum))
                    .Claiming(MatchingClaims.ShiftInvariant)
                    .WithFisher(1.0, Reduction.Sum)
            )
            .ReadingOutputs()
        Subject.Of(
            (Matching.bregman "bregman, ½‖x‖²" Coordinates.parameters Potentials.halfSquaredNorm)
                .Claiming(MatchingClaims.Symmetric ||| MatchingClaims.RootMetric)
        )
        Subject
            .Of(
                Matching.weightedSum [| 0.7; 0.2; 0.3 |] [|
                    Matching.kl Reduction.Mean
                    Matching.reverseKl Reduction.Sum
                    Matching.parameterL2 0.5
                |]
            )
            .Named("weighted sum")
    |]

    let private target (name: string) (make: TargetIngredients -> TargetBootstrap<Rollout>) = Subject.Of(name, make)

    let targets: Subject[] = [|
        Subject.Of("look-ahead", Targets.lookAhead (Optimizers.sgd 0.5))
        Subject.Of("look-ahead, rmsprop", Targets.lookAhead (Optimizers.rmsProp 0.03 0.9 1e-3 1e-16))
        Subject.Of("given", (fun (given: TargetIngredients) -> TargetBootstrap.given given.Other))
        target "look-ahead, natural gradient" (fun given ->
            let last = NaturalGradient.rule given.Loss given.Model 0.5 0.1 20 1e-12
            TargetBootstrap.lookAhead given.Steps last LastStepState.Fresh)
        target "ahead only" (fun given -> TargetBootstrap.aheadOnly given.Steps)
        target "moving average" (fun given -> TargetBootstrap.movingAverage given.Steps 0.7)
        target "best member" (fun given -> TargetBootstrap.bestMember given.Steps given.Loss)
        target "teacher" (fun given ->
            (TargetBootstrap.teacher given.Steps (fun _ _ -> given.Other)).Claiming(TargetClaims.MembersIndependent))
    |]

    let private clip = Transformations.clipByGlobalNorm

    let private ofRate (name: string) (optimizer: Optimizer) = Subject.Of(optimizer).Named name

    let optimizers: Subject[] = [|
        Subject.Of(Optimizers.sgd 0.3).AsSmooth()
        Subject.Of(Optimizers.momentum 0.2 0.8).AsSmooth()
        Subject.Of(Optimizers.nesterov 0.2 0.8).AsSmooth()
        Subject.Of(Optimizers.rmsProp 0.05 0.9 1e-2 1e-16)
        ofRate "rmsprop, small ε" (Optimizers.rmsProp 0.01 0.9 1e-8 1e-16)
        Subject.Of(Optimizers.centeredRmsProp 0.05 0.9 1e-2 1e-16)
        ofRate
            "rmsprop, momentum"
            (Optimizers.after (Transformations.momentum 0.7) (Optimizers.rmsProp 0.05 0.9 1e-2 1e-16))
        Subject.Of(Optimizers.adam 0.05 0.9 0.99 1e-2 1e-16)
        ofRate "adam, small ε" (Optimizers.adam 0.05 0.9 0.999 1e-8 1e-16)
        ofRate "adamw" (Optimizers.adamW 0.05 0.9 0.99 1e-2 1e-16 0.1)
        Subject.Of(Optimizers.adagrad 0.1 1e-2 1e-16)
        Subject.Of(Optimizers.before (clip 0.4) (Optimizers.sgd 0.3))
        ofRate
            "clip, momentum, clip"
            (Optimizers.after (clip 0.9) (Optimizers.before (clip 0.6) (Optimizers.momentum 0.3 0.7)))
        ofRate
            "sgd, warmup, cosine"
            (Optimizers.withSchedule
                (Schedules.product [| Schedules.warmup 2; Schedules.cosine 0.1 5 |])
                (Optimizers.sgd 0.3))
        // Its end lies just beyond what float32 can count.
        (ofRate "sgd, linear" (Optimizers.withSchedule (Schedules.linear 1.0 0.0 (pown 2 24 + 8)) (Optimizers.sgd 0.3)))
            .AsSmooth()
    |]

    let private gradient (optimizer: Optimizer) (f: LossFunction<Rollout>) : UpdateRule<Rollout> =
        UpdateRule.gradient f optimizer

    /// A pull towards zero, for losses of several parts.
    let private shrinking: LossFunction<Rollout> =
        LossFunction<Rollout>.Create("½‖x‖²", (fun x _ _ -> (Params.squaredNorm x).mul(Ingredients.scalar 0.5)))

    let private mixed (names: string[]) (combine: LossFunction<Rollout>[] -> LossFunction<Rollout>) =
        let number name = MetaParameters.constant name 0.3
        let learned = MetaParameters.merge (names |> Array.map number)

        fun (name: string) ->
            Subject
                .Of(name, (fun f -> UpdateRule.gradient (combine [| f; shrinking |]) (Optimizers.momentum 0.1 0.5)))
                .WithMetaParameters(fun _ -> learned)

    let updateRules: Subject[] = [|
        Subject
            .Of("learned rate", gradient (Optimizers.withLearnedRate Ingredients.LearningRate (Optimizers.sgd 0.1)))
            .WithMetaParameters(fun _ -> Ingredients.learnedRate)
            .AsSmooth()
        Subject
            .Of(
                "learned rate, adam",
                gradient (Optimizers.withLearnedRate Ingredients.LearningRate (Optimizers.adam 0.1 0.9 0.99 1e-2 1e-16))
            )
            .WithMetaParameters(fun _ -> Ingredients.learnedRate)
        Subject
            .Of(
                "learned clip",
                gradient (Optimizers.before (Transformations.clipByLearnedNorm "clip") (Optimizers.momentum 0.2 0.5))
            )
            .WithMetaParameters(fun _ -> MetaParameters.boundedScalar "clip" 0.1 2.0 0.6)
        Subject
            .Of("rate per tensor", gradient (Optimizers.withRatePerTensor "rate/" (Optimizers.momentum 0.1 0.5)))
            .WithMetaParameters(fun x -> MetaParameters.ratePerTensor "rate/" x 0.1)
        Subject
            .Of("rate per parameter (Meta-SGD)", gradient (Optimizers.withRatePerTensor "rate/" (Optimizers.sgd 0.1)))
            .WithMetaParameters(fun x -> MetaParameters.ratePerParameter "rate/" x 0.1)
        mixed [| "w1"; "w2" |] (LossFunction.weighted [| "w1"; "w2" |]) "learned loss weights"
        mixed [| "w1" |] (LossFunction.mixture [| "w1" |]) "learned loss mixing"
    |]

    let metaParameters: Subject[] =
        Ingredients.metaParameters
        |> List.map (fun (name, w) -> Subject.Of(w).Named name)
        |> Array.ofList

    /// y = sin(w·x), w a number a feature: a layer of one's own.
    let sine: CustomLayer =
        CustomLayer.Create(
            "sine",
            Dictionary<string, float>(),
            id,
            (fun shape -> [| LayerParameter.Weight("frequency", shape, 1) |]),
            (fun parameters x -> (x.mul ((parameters["frequency"]).unsqueeze 1L)).sin())
        )

    let private network (name: string) (input: int[]) (build: NetworkBuilder -> NetworkBuilder) =
        Subject.OfNetwork(name, fun network actions -> (build (Network.Build(network, input))).Linear(actions).Build())

    let private tanh (b: NetworkBuilder) = b.Activation Activation.Tanh

    let layers: Subject[] = [|
        for name, f in Ingredients.activations do
            Subject.Of(name, f)

        network "convolution" [| 2; 3; 3 |] (fun b -> b.Convolution(2, 2, 1, 0) |> tanh)
        network "convolution, stride, padding" [| 1; 4; 3 |] (fun b -> b.Convolution(2, 3, 2, 1) |> tanh)
        network "max pooling" [| 1; 3; 4 |] (fun b -> b.Convolution(2, 2, 1, 0).MaxPooling(2, 1))
        network "average pooling" [| 1; 4; 4 |] (fun b -> b.AveragePooling(2, 2).Convolution(2, 2, 1, 0) |> tanh)
        network "batch normalisation" [| 2 |] (fun b -> b.Linear(2).BatchNormalization() |> tanh)
        network "batch normalisation of images" [| 1; 3; 4 |] (fun b ->
            b.Convolution(2, 2, 1, 0).BatchNormalization() |> tanh)
        network "layer normalisation" [| 2 |] (fun b -> b.Linear(3).LayerNormalization() |> tanh)
        network "layer normalisation of images" [| 1; 2; 3 |] (fun b ->
            b.Convolution(2, 2, 1, 0).LayerNormalization() |> tanh)
        network "residual" [| 2 |] (fun b -> b.Residual(fun inner -> inner.Linear(2) |> tanh))
        network "residual of images" [| 1; 2; 3 |] (fun b ->
            b.Residual(
                (fun inner -> inner.Convolution(2, 3, 1, 1) |> tanh),
                (fun shortcut -> shortcut.Convolution(2, 1, 1, 0))
            ))
        network "custom" [| 2 |] (fun b -> b.Linear(2).Then(Layer.Custom sine))
    |]

    /// All of them.
    let all: Subject[] =
        // Targets are frozen where differences are taken, so that what they do is not in their way.
        let smooth = Array.map (fun (s: Subject) -> s.AsSmooth())

        Array.concat [
            smooth matchings
            smooth targets
            optimizers
            updateRules
            smooth metaParameters
            layers
        ]
        |> Array.map (fun s -> s.Trusted())
