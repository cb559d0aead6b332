/// What the laws of Bmg.Core, which VerificationTests holds the library to, do not reach: the actor-critic's own losses with their stopped
/// parts, several meta-steps in a row, what is logged, float32.
module Bmg.Tests.LawTests

open System
open Bmg
open Expecto
open FsCheck
open TorchSharp
open Bmg.Tests.Tolerances
open Bmg.Tests.Generators

let private scalar (v: float) : Scalar = Scalars.constant v

// The meta-objective once more, from forward steps alone: no graph, no meta-learner.

let private hyper (s: Setup) (w: Params) (experience: Experience<Rollout>) =
    s.Learner.MetaParameters.Apply.Invoke(w, experience.Context)

let private live (s: Setup) (steps: int) (w: Params) : LearnerState =
    let mutable learner = s.State.Learner

    for k in 0 .. steps - 1 do
        learner <-
            s.Learner.UpdateRule.Step
                .Invoke(learner, hyper s w s.Batches[k], s.Batches[k].Data, Differentiation.None)
                .Learner

    learner

let private bootstrapped (s: Setup) (target: Params) (evaluation: Experience<Rollout>) : Params -> Tensor =
    let predict x h =
        s.Learner.Model.Predict.Invoke(x, h, evaluation.Data)

    let frozen = predict target (hyper s s.State.MetaParameters evaluation)

    fun w ->
        let x = (live s s.Case.InnerSteps w).Parameters

        s.Matching.Compare.Invoke(
            Prediction(target, lazy frozen),
            Prediction(x, lazy (predict x (hyper s w evaluation)))
        )

/// Central differences of fourth order along a direction, one number a member (or one in all for a shared w), for each of several steps.
let private slopes (value: Params -> Tensor) (w: Params) (direction: Params) (steps: float list) : float[] list =
    let known = System.Collections.Generic.Dictionary<float, float[]>()

    let at (distance: float) =
        match known.TryGetValue distance with
        | true, values -> values
        | _ ->
            use _ = torch.NewDisposeScope()

            let values = numbers (value (Params.map2 (fun w d -> w.add (d, scalar distance)) w direction))

            let values =
                if w.Members = 1L then
                    [| Array.average values |]
                else
                    values

            known[distance] <- values
            values

    steps
    |> List.map (fun h ->
        let near, minusNear, far, minusFar = at h, at -h, at (2.0 * h), at (-2.0 * h)

        Array.init near.Length (fun i -> (8.0 * (near[i] - minusNear[i]) - (far[i] - minusFar[i])) / (12.0 * h)))

let private width = 1e-3

/// The check that a gradient agrees with differences of `value` along a direction; nothing where the function has a kink within reach of
/// the step: there, differences over a step and over half of it disagree among themselves. A smooth case is never rejected.
let private agreesWithDifferences (s: Setup) (value: Params -> Tensor) (gradient: Params) : (unit -> unit) option =
    let w = s.State.MetaParameters
    let direction = normalLike (stream s.Case "direction") 1.0 w
    let derivative = numbers (Params.dot gradient direction)

    let found = slopes value w direction (if s.IsSmooth then [ width ] else [ width; width / 2.0 ])

    let among = {
        differences with
            Relative = 1e-6
            Floor = 1e-10
    }

    if found |> List.forall (agree among found.Head) then
        Some(fun () -> near differences "meta-gradient along a direction" found.Head derivative)
    else
        None

// The laws.

let private claims =
    testList "what a weighted sum claims" [
        test "a divergence only where all its parts are and no weight is negative" {
            let part = Matching.kl Reduction.Mean
            let none = MatchingFunction.Create("none", MatchingClaims.None, part.Compare)

            let claims weights (parts: MatchingFunction[]) =
                (Matching.weightedSum weights parts).IsDivergence

            Expect.isTrue (claims [| 1.0; 0.0 |] [| part; part |]) "two divergences"
            Expect.isFalse (claims [| 1.0; 1.0 |] [| part; none |]) "one part is none"
            Expect.isFalse (claims [| 1.0; -0.5 |] [| part; part |]) "a negative weight"
        }
    ]

let private stoppedTarget =
    testList "nothing reaches w through the target" [
        scoped "the target depends on w, and that dependence is left out" (fun () ->
            // x̃ = ξ(x⁽ᴷ⁾(w)) moves with w, so differences that let it move give another number.
            let case = {
                Seed = 5
                Members = 1
                Features = 2
                Hidden = [ 3 ]
                Actions = 3
                Steps = 4
                Past = 0
                InnerSteps = 2
                TargetSteps = 3
                Activation = "tanh"
                Optimizer = "sgd"
                LearnedRate = true
                Matching = "kl"
                Target = "look ahead"
                Model = "policy"
                MetaParameters = "bounded scalar"
                SharedW = false
            }

            let s = setup case
            let result, prepared = s.MetaGradient()
            let w = s.State.MetaParameters
            let direction = normalLike (stream case "direction") 1.0 w
            let derivative = numbers (Params.dot result.Gradient direction)

            let frozen =
                slopes (bootstrapped s result.Target prepared.Last) w direction [ width ]
                |> List.head

            let moving =
                slopes
                    (fun w ->
                        let there = {
                            s with
                                State = { s.State with MetaParameters = w }
                        }

                        let result, _ = there.MetaGradient()
                        nonNull result.MetaObjective)
                    w
                    direction
                    [ width ]
                |> List.head

            near differences "with x̃ frozen" frozen derivative
            Expect.isFalse (agree differences moving derivative) "with x̃ moving"
            Expect.isGreaterThan (abs derivative[0]) 1e-6 "the meta-gradient is worth comparing")
    ]

let private finiteDifferences =
    testList "meta-gradients agree with finite differences" [
        // The actor-critic's own loss holds its advantages and value targets constant. They depend on the value network alone, which w
        // does not reach where it weighs the entropy, the networks share nothing, and no clipping mixes their gradients.
        testList "the actor-critic's own loss" [
            for decay in [ 0.0; 0.9 ] ->
                propertyWhere
                    40
                    $"λ = {decay}"
                    (cases (fun c -> {
                        c with
                            LearnedRate = false
                            Optimizer = (if c.Optimizer.StartsWith "clip" then "sgd" else c.Optimizer)
                    }))
                    (fun case ->
                        let agent = (agent case).WithTraceDecay(Setting.Constant decay)

                        let s = setupOn (fun _ -> ActorCritic.loss agent) case

                        let target =
                            Catalog.lookAhead case.TargetSteps (ActorCritic.policyLoss agent 0.0) (Optimizers.sgd 0.5)

                        let s = s.With(MetaObjective.Bootstrapped(target, s.Matching))
                        let result, prepared = s.MetaGradient()
                        agreesWithDifferences s (bootstrapped s result.Target prepared.Last) result.Gradient)
        ]

        testList "and are far from zero in a typical case" [
            for entry in Catalog.optimizers do
                for matching in Catalog.matchings do
                    scoped $"{entry.Name}, {matching.Name}" (fun () ->
                        let case = {
                            Seed = 11
                            Members = 2
                            Features = 3
                            Hidden = [ 4 ]
                            Actions = 3
                            Steps = 4
                            Past = 1
                            InnerSteps = 2
                            TargetSteps = 2
                            Activation = "tanh"
                            Optimizer = entry.Name
                            LearnedRate = true
                            Matching = matching.Name
                            Target = "look ahead"
                            Model = "policy"
                            MetaParameters = "contextual"
                            SharedW = false
                        }

                        let result, _ = (setup case).MetaGradient()
                        let largest = numbersOf result.Gradient |> Array.map abs |> Array.max
                        Expect.isGreaterThan largest 1e-5 "the largest entry of the meta-gradient")
        ]
    ]

/// The part of a case that belongs to one member, as a population of one.
let private alone (s: Setup) (i: int) : Setup =
    let i = int64 i
    let part (p: Params) = Params.ofMember i p
    let own (w: Params) = if w.Members = 1L then w else part w

    let cut (t: Tensor | null) : Tensor | null =
        match t with
        | null -> null
        | t -> t.narrow (0L, i, 1L)

    let other = parameters s.Case "other"

    let makeTarget = (Catalog.find Catalog.targets s.Case.Target).Value
    let target = makeTarget s.Case.TargetSteps (smoothLoss s.Agent false) (part other)

    {
        s with
            Target = target
            Learner = {
                s.Learner with
                    MetaObjective =
                        match s.Learner.MetaObjective with
                        | MetaObjective.Bootstrapped(_, matching) -> MetaObjective.Bootstrapped(target, matching)
                        | metaObjective -> metaObjective
            }
            State = {
                s.State with
                    Learner = {
                        Parameters = part s.State.Learner.Parameters
                        Optimizer = part s.State.Learner.Optimizer
                    }
                    MetaParameters = own s.State.MetaParameters
                    MetaOptimizer = own s.State.MetaOptimizer
            }
            Batches =
                s.Batches
                |> Array.map (fun b -> {
                    Data = Rollout.OfParams(part (b.Data.ToParams()))
                    Context = cut b.Context
                })
    }

/// Frees what `old` owns and `next` does not.
let private release (old: MetaState<Rollout>) (next: MetaState<Rollout>) =
    let dispose (a: Params) (b: Params) =
        if not (obj.ReferenceEquals(a, b)) then
            Params.dispose a

    dispose old.Learner.Parameters next.Learner.Parameters
    dispose old.Learner.Optimizer next.Learner.Optimizer
    dispose old.MetaParameters next.MetaParameters
    dispose old.MetaOptimizer next.MetaOptimizer

/// Meta-steps in a row; the states in between are freed, and the last is copied into the test's own scope.
let private run (s: Setup) (steps: int) : MetaState<Rollout> * MetaStepLog list =
    let prepared = s.Prepared()
    let mutable state = s.State

    let logs = [
        for _ in 1..steps do
            let struct (next, log) = MetaLearner.step s.Learner state prepared.Collect ignore

            if not (obj.ReferenceEquals(state, s.State)) then
                release state next

            state <- next
            log
    ]

    let kept = {
        state with
            Learner = {
                Parameters = Params.clone state.Learner.Parameters
                Optimizer = Params.clone state.Learner.Optimizer
            }
            MetaParameters = Params.clone state.MetaParameters
            MetaOptimizer = Params.clone state.MetaOptimizer
    }

    release state s.State
    kept, logs

let private metaObjectives: Catalog.Entry<Setup -> Setup> list = [
    {
        Name = "fixed"
        Smooth = true
        Value = fun s -> s.With MetaObjective.Fixed
    }
    {
        Name = "meta-gradient"
        Smooth = true
        Value = fun s -> s.With(MetaObjective.MetaGradient(smoothLoss s.Agent false))
    }
    {
        Name = "bootstrapped"
        Smooth = true
        Value = id
    }
]

let private enoughBatches (steps: int) (s: Setup) = {
    s with
        Batches = Array.init (steps * (s.Case.InnerSteps + s.Case.TargetSteps + 1)) (batch s.Case)
}

let private vectorising =
    testList "a population of P is its members one by one" [
        testList "three meta-steps" [
            for metaObjective in metaObjectives ->
                property
                    25
                    metaObjective.Name
                    (cases (fun c -> {
                        c with
                            Members = c.Members + 1
                            SharedW = false
                            InnerSteps = max 1 c.InnerSteps
                    }))
                    (fun case ->
                        let s = setup case |> enoughBatches 3 |> metaObjective.Value
                        let together, logs = run s 3

                        for i in 0 .. case.Members - 1 do
                            let single, singleLogs = run (alone s i) 3
                            let own (p: Params) = numbersOf (Params.ofMember (int64 i) p)

                            let compare what (a: Params) (b: Params) =
                                if b.Count > 0 then
                                    near accumulated what (numbersOf a) (own b)

                            compare "x" single.Learner.Parameters together.Learner.Parameters
                            compare "h" single.Learner.Optimizer together.Learner.Optimizer
                            compare "w" single.MetaParameters together.MetaParameters
                            compare "the meta-optimizer" single.MetaOptimizer together.MetaOptimizer

                            for one, all in List.zip singleLogs logs do
                                let mine (values: float[]) =
                                    if values.Length = 0 then [||] else [| values[i] |]

                                near accumulated "logged meta-objective" one.MetaObjective (mine all.MetaObjective)
                                near accumulated "logged norm" one.MetaGradientNorm (mine all.MetaGradientNorm)

                                near
                                    accumulated
                                    "logged losses"
                                    (Array.concat one.Losses)
                                    (all.Losses |> Array.map (fun l -> l[i])))
        ]

        property 100 "initial parameters" (cases id) (fun case ->
            for initialization in [ Initialization.TruncatedNormal; Initialization.Uniform ] do
                let all = ActorCritic.init (agent case) initialization (seeds case) torch.float64 torch.CPU

                for i in 0 .. case.Members - 1 do
                    let one =
                        ActorCritic.init (agent case) initialization [| (seeds case)[i] |] torch.float64 torch.CPU

                    near exact "parameters" (numbersOf one) (numbersOf (Params.ofMember (int64 i) all)))

        scoped "pre-trained meta-parameters" (fun () ->
            let network = Network.Mlp("meta", 3, [| 5 |], 1, Activation.Tanh)
            let meta = MetaParameters.contextual "c" network 0.0 1.0 0.5 Initialization.TruncatedNormal 30
            let population = Seed.Population(3L, 3)
            let all = meta.Init.Invoke(population, torch.float64, torch.CPU)

            for i in 0..2 do
                let one = meta.Init.Invoke([| population[i] |], torch.float64, torch.CPU)
                near accumulated "w" (numbersOf one) (numbersOf (Params.ofMember (int64 i) all)))
    ]

let private oneField =
    testList "only the meta-objective differs between fixed, meta-gradient and bootstrapped" [
        property
            60
            "the learner's own life is the same, whatever judges w"
            (cases (fun c -> {
                c with
                    InnerSteps = max 1 c.InnerSteps
                    Target = "look ahead"
            }))
            (fun case ->
                let s = setup case
                let lived = case.InnerSteps + case.TargetSteps - 1
                let bootstrapped, prepared = s.MetaGradient()
                Expect.equal prepared.Taken (lived + 1) "batches that a bootstrapped meta-step takes"

                let fixedOn steps =
                    let s = s.With MetaObjective.Fixed

                    let s = {
                        s with
                            Learner = { s.Learner with InnerSteps = steps }
                    }

                    let result, prepared = s.MetaGradient()
                    Expect.equal prepared.Taken steps "batches that a meta-step without meta-learning takes"
                    Expect.equal result.Gradient.Count 0 "nothing to follow"
                    result

                let compare (a: MetaGradientResult<Rollout>) (b: MetaGradientResult<Rollout>) =
                    near rounding "x" (numbersOf a.NextLearner.Parameters) (numbersOf b.NextLearner.Parameters)
                    near rounding "h" (numbersOf a.NextLearner.Optimizer) (numbersOf b.NextLearner.Optimizer)

                    let losses (r: MetaGradientResult<Rollout>) =
                        match r.Losses with
                        | null -> [||]
                        | l -> numbers l

                    near rounding "losses" (losses a) (losses b)

                compare (fixedOn lived) bootstrapped
                let plain, prepared = (s.With(MetaObjective.MetaGradient(smoothLoss s.Agent false))).MetaGradient()
                Expect.equal prepared.Taken (case.InnerSteps + 1) "batches that a meta-gradient takes"
                compare (fixedOn case.InnerSteps) plain)

        property
            40
            "the batch that judged a meta-gradient is the first of the next window"
            (cases (fun c -> {
                c with
                    InnerSteps = max 1 c.InnerSteps
            }))
            (fun case ->
                // With a meta-learning rate of zero, w stays and two windows of K steps are one life of 2K steps on 2K batches.
                let s = setup case |> enoughBatches 3

                let still = {
                    s with
                        Learner = {
                            s.Learner with
                                MetaOptimizer = Optimizers.adam 0.0 0.9 0.99 1e-4 1e-16
                        }
                }

                let plain = still.With(MetaObjective.MetaGradient(smoothLoss s.Agent false))
                let prepared = plain.Prepared()
                let struct (first, _) = MetaLearner.step plain.Learner plain.State prepared.Collect ignore
                Expect.isTrue (not (isNull first.Pending)) "the judging batch waits"
                Expect.equal prepared.Taken (case.InnerSteps + 1) "batches of the first window"
                let struct (second, _) = MetaLearner.step plain.Learner first prepared.Collect ignore
                Expect.equal prepared.Taken (2 * case.InnerSteps + 1) "batches of two windows"
                let expected = live still (2 * case.InnerSteps) s.State.MetaParameters

                near
                    rounding
                    "x after two windows"
                    (numbersOf expected.Parameters)
                    (numbersOf second.Learner.Parameters)

                release first second
                release second plain.State)

        scoped "a w that reaches nothing is an error that says so" (fun () ->
            let case = {
                Seed = 1
                Members = 1
                Features = 2
                Hidden = []
                Actions = 2
                Steps = 2
                Past = 0
                InnerSteps = 0
                TargetSteps = 1
                Activation = "tanh"
                Optimizer = "sgd"
                LearnedRate = false
                Matching = "kl"
                Target = "look ahead"
                Model = "policy"
                MetaParameters = "bounded scalar"
                SharedW = false
            }

            refuses [ "loss"; "detached" ] (fun () -> (setup case).MetaGradient() |> ignore))
    ]

let private edges =
    testList "edges: meta-gradients are finite where gradients vanish" [
        for entry in Catalog.optimizers do
            for dtype in [ torch.float64; torch.float32 ] do
                for learned in [ false; true ] do
                    let rate = if learned then "learned" else "constant"

                    scoped $"{entry.Name}, {rate} rate, {dtype}" (fun () ->
                        // Rewards of zero, a policy of equal probabilities and values of zero: every gradient vanishes, at every step.
                        let case = {
                            Seed = 2
                            Members = 2
                            Features = 2
                            Hidden = [ 3 ]
                            Actions = 3
                            Steps = 3
                            Past = 0
                            InnerSteps = 3
                            TargetSteps = 2
                            Activation = "relu"
                            Optimizer = entry.Name
                            LearnedRate = learned
                            Matching = "kl"
                            Target = "look ahead"
                            Model = "policy"
                            MetaParameters = "bounded scalar"
                            SharedW = false
                        }

                        let s = setup case
                        let convert = Params.convert dtype torch.CPU
                        let silent = Params.zerosLike (convert s.State.Learner.Parameters)

                        for matching in Catalog.matchings do
                            let still = {
                                s.With(MetaObjective.Bootstrapped(s.Target, matching.Value.Function)) with
                                    State = {
                                        s.State with
                                            Learner = s.Learner.UpdateRule.Init.Invoke silent
                                            MetaParameters = convert s.State.MetaParameters
                                    }
                                    Batches =
                                        s.Batches
                                        |> Array.map (fun b ->
                                            let quiet = {
                                                b.Data with
                                                    Rewards = torch.zeros_like b.Data.Rewards
                                            }

                                            let floats = Params.convert dtype torch.CPU (quiet.ToParams())

                                            {
                                                Context = null
                                                Data = {
                                                    Rollout.OfParams floats with
                                                        Actions = b.Data.Actions
                                                }
                                            })
                            }

                            let result, _ = still.MetaGradient()
                            finite $"meta-gradient ({matching.Name})" (numbersOf result.Gradient)
                            finite "x" (numbersOf result.NextLearner.Parameters)

                            near
                                exact
                                "what gets no gradient"
                                (numbers silent["unused"])
                                (numbers result.NextLearner.Parameters["unused"])

                            let plain, _ =
                                (still.With(MetaObjective.MetaGradient(smoothLoss s.Agent true))).MetaGradient()

                            finite "plain meta-gradient" (numbersOf plain.Gradient))
    ]

let tests = testList "laws" [ claims; stoppedTarget; finiteDifferences; vectorising; oneField; edges ]
