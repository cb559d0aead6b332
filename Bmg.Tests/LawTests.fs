/// What must hold for any update rule φ, target ξ and matching function μ. Derivatives are judged in float64, with data and targets held
/// fixed.
module Bmg.Tests.LawTests

open System
open Bmg
open Expecto
open FsCheck
open TorchSharp
open Bmg.Tests.Tolerances
open Bmg.Tests.Generators

/// One property for each entry of a list, with that entry's name held fast.
let private forEach (count: int) (entries: Catalog.Entry<'T> list) (pin: string -> Case -> Case) law =
    entries |> List.map (fun entry -> law count entry.Name (cases (pin entry.Name)))

let private scalar (v: float) : Scalar = Scalar.op_Implicit v

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

let private outer (s: Setup) (objective: Objective<Rollout>) (w: Params) : Tensor =
    let last = s.Batches[s.Case.InnerSteps]
    objective.Loss.Invoke((live s s.Case.InnerSteps w).Parameters, hyper s w last, last.Data)

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

let private divergence =
    testList "1: a matching function that claims to be a divergence is one" [
        for entry in Catalog.matchings do
            let mu = entry.Value.Function

            test $"{entry.Name} claims it" { Expect.isTrue mu.IsDivergence "every entry of the catalog claims it" }

            property 100 entry.Name (cases id) (fun case ->
                let s = setup case
                let data = s.Batches[0]
                let h = hyper s s.State.MetaParameters data

                let prediction (x: Params) =
                    Prediction(x, lazy (s.Learner.Model.Predict.Invoke(x, h, data.Data)))

                let z = parameters case "z"
                let x = Params.leaves (parameters case "x")

                for value in numbers (mu.Compare.Invoke(prediction z, prediction x)) do
                    Expect.isGreaterThan value 0.0 "μ of different learners"

                let same = Params.leaves z
                let atMatch = mu.Compare.Invoke(prediction z, prediction same)
                zero 1e-14 "μ(z, z)" (numbers atMatch)
                zero 1e-14 "∇ₓμ at x = z" (numbersOf (Gradients.gradient atMatch same false)))

        test "a weighted sum claims it only where all its parts do and no weight is negative" {
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
    testList "2: nothing reaches w through the target" [
        yield!
            Catalog.targets
            |> List.map (fun entry ->
                property
                    60
                    $"{entry.Name}: as with the target saved and loaded again"
                    (cases (fun c -> { c with Target = entry.Name }))
                    (fun case ->
                        let s = setup case
                        let result, prepared = s.MetaGradient()
                        let saved = result.Target.Tensors |> Seq.map numbers |> Array.ofSeq

                        let loaded =
                            Params.Create(
                                Array.ofSeq result.Target.Names,
                                Array.init saved.Length (fun i ->
                                    tensor (result.Target.Tensors[i].shape |> Array.map int |> List.ofArray) saved[i])
                            )

                        let again = {
                            s.With(MetaObjective.Bootstrapped(TargetBootstrap.given loaded, s.Matching)) with
                                Batches = Array.append s.Batches[.. case.InnerSteps - 1] [| prepared.Last |]
                        }

                        let given, _ = again.MetaGradient()
                        near exact "the target" (numbersOf result.Target) (numbersOf given.Target)
                        near rounding "μ" (numbers (nonNull result.Objective)) (numbers (nonNull given.Objective))
                        near rounding "meta-gradient" (numbersOf result.Gradient) (numbersOf given.Gradient)

                        for t in Seq.append result.Target.Tensors result.Learner.Parameters.Tensors do
                            Expect.isFalse t.requires_grad "targets and the learner that lives on are constants"))

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
                        nonNull result.Objective)
                    w
                    direction
                    [ width ]
                |> List.head

            near differences "with x̃ frozen" frozen derivative
            Expect.isFalse (agree differences moving derivative) "with x̃ moving"
            Expect.isGreaterThan (abs derivative[0]) 1e-6 "the meta-gradient is worth comparing")
    ]

let private simplest =
    testList "3: a meta-gradient is the simplest bootstrapped one" [
        yield!
            forEach
                40
                Catalog.optimizers
                (fun name c -> {
                    c with
                        Optimizer = name
                        InnerSteps = max 1 c.InnerSteps
                })
                (fun count name arbitrary ->
                    property count name arbitrary (fun case ->
                        let s = setup case
                        let f = smoothLoss s.Agent false
                        let rate = 0.05
                        let target = Catalog.lookAhead 1 f (Optimizers.sgd rate)

                        let bmg, _ =
                            (s.With(MetaObjective.Bootstrapped(target, Matching.parameterL2 (1.0 / (2.0 * rate)))))
                                .MetaGradient()

                        let mg, _ = (s.With(MetaObjective.MetaGradient f)).MetaGradient()

                        // x̃ − x⁽ᴷ⁾ = −αg is a difference of numbers of size ‖x‖: its relative error is ε‖x‖/(α‖g‖).
                        let norm (p: Params) =
                            (numbersOf p) |> Array.sumBy (fun v -> v * v) |> sqrt

                        let x = bmg.Learner.Parameters
                        let step = norm (Params.subtract bmg.Target x)

                        near
                            {
                                rounding with
                                    Relative = 10.0 * 2.2e-16 * norm x / step + 1e-12
                            }
                            "meta-gradient"
                            (numbersOf mg.Gradient)
                            (numbersOf bmg.Gradient)))
    ]

/// A learner at rest at w, and only at this w: φ descends ½‖x − c − (α(w) − α₀)·v‖² from x = c, with α₀ = α at w. So g = 0 and
/// J = ∂x⁽ᴷ⁾/∂w ≠ 0.
let private atRest (case: Case) : Setup * Objective<Rollout> =
    let at = parameters case "learner"
    let towards = parameters case "towards"
    let s = setup { case with Past = 0 }
    let rest = s.State.MetaParameters

    let pull name (shift: Params -> Rollout -> Tensor voption) =
        Objective<Rollout>
            .Create(
                name,
                (fun x hyper data ->
                    let away =
                        match shift hyper data with
                        | ValueNone -> Params.subtract x at
                        | ValueSome factor ->
                            Params.map2
                                (fun d v -> d.sub (v.mul (Params.broadcast factor v)))
                                (Params.subtract x at)
                                towards

                    (Params.squaredNorm away).mul(scalar 0.5))
            )

    let restValue = (s.Learner.MetaParameters.Apply.Invoke(rest, null))[ActorCritic.EntropyWeight]

    let moving =
        pull "pull that moves with w" (fun h _ -> ValueSome(h[ActorCritic.EntropyWeight].sub restValue))

    let plain = pull "pull" (fun _ _ -> ValueNone)
    let rule = UpdateRule.gradient moving (optimizer case)

    {
        s with
            Learner = { s.Learner with UpdateRule = rule }
            State = {
                s.State with
                    Learner = rule.Init.Invoke at
            }
    },
    plain

let private fixedPoint =
    testList "4: where the learner is at rest, the meta-gradient is zero" [
        yield!
            forEach
                25
                Catalog.optimizers
                (fun name c -> {
                    c with
                        Optimizer = name
                        InnerSteps = max 1 c.InnerSteps
                        MetaParameters = "bounded scalar"
                        Model = "policy"
                })
                (fun count name arbitrary ->
                    property count name arbitrary (fun case ->
                        let s, f = atRest case
                        let ahead = Catalog.lookAhead case.TargetSteps f (Optimizers.sgd 0.5)
                        let still, _ = (s.With(MetaObjective.Bootstrapped(ahead, s.Matching))).MetaGradient()
                        let plain, _ = (s.With(MetaObjective.MetaGradient f)).MetaGradient()
                        near exact "x̃" (numbersOf s.State.Learner.Parameters) (numbersOf still.Target)
                        // How large the meta-gradient is with a target elsewhere tells what zero means.
                        let elsewhere = TargetBootstrap.given (parameters case "elsewhere")

                        let moved, _ =
                            (s.With(MetaObjective.Bootstrapped(elsewhere, Matching.parameterL2 0.5))).MetaGradient()

                        let size = numbersOf moved.Gradient |> Array.map abs |> Array.max
                        Expect.isGreaterThan size 1e-9 "the learner depends on w"
                        zero (1e-12 * max 1.0 size) "bootstrapped meta-gradient" (numbersOf still.Gradient)
                        zero (1e-12 * max 1.0 size) "meta-gradient" (numbersOf plain.Gradient)))
    ]

let private bootstrappedDifferences count name arbitrary =
    propertyWhere count name arbitrary (fun case ->
        let s = setup case
        let result, prepared = s.MetaGradient()
        agreesWithDifferences s (bootstrapped s result.Target prepared.Last) result.Gradient)

let private finiteDifferences =
    testList "6: meta-gradients agree with finite differences" [
        testList
            "optimizers"
            (forEach 30 Catalog.optimizers (fun n c -> { c with Optimizer = n }) bootstrappedDifferences)
        testList "matching functions" [
            yield!
                forEach
                    30
                    Catalog.matchings
                    (fun n c -> {
                        c with
                            Matching = n
                            InnerSteps = max 1 c.InnerSteps
                    })
                    bootstrappedDifferences
        ]
        testList "targets" (forEach 30 Catalog.targets (fun n c -> { c with Target = n }) bootstrappedDifferences)
        testList
            "models"
            (forEach
                30
                Catalog.models
                (fun n c -> {
                    c with
                        Model = n
                        InnerSteps = max 1 c.InnerSteps
                })
                bootstrappedDifferences)
        testList
            "meta-parameters"
            (forEach 30 Catalog.metaParameters (fun n c -> { c with MetaParameters = n }) bootstrappedDifferences)
        testList
            "activations"
            (forEach
                30
                Catalog.activations
                (fun n c -> {
                    c with
                        Activation = n
                        Optimizer = "sgd"
                        Hidden = 3 :: List.truncate 1 c.Hidden
                })
                bootstrappedDifferences)
        testList "inner steps" [
            for k in 0..4 ->
                bootstrappedDifferences
                    30
                    $"K = {k}"
                    (cases (fun c -> {
                        c with
                            InnerSteps = k
                            Optimizer =
                                (if c.Optimizer.StartsWith "clip" then
                                     "momentum"
                                 else
                                     c.Optimizer)
                    }))
        ]
        testList
            "a plain meta-gradient"
            (forEach
                30
                Catalog.optimizers
                (fun n c -> {
                    c with
                        Optimizer = n
                        InnerSteps = max 1 c.InnerSteps
                })
                (fun count name arbitrary ->
                    propertyWhere count name arbitrary (fun case ->
                        let s = setup case
                        // With entropy, so that w enters the outer loss by itself as well.
                        let f = smoothLoss s.Agent true
                        let result, _ = (s.With(MetaObjective.MetaGradient f)).MetaGradient()
                        agreesWithDifferences s (outer s f) result.Gradient)))

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
                        let agent = { agent case with TraceDecay = decay }

                        let s = setupOn (fun _ -> ActorCritic.objective agent) case

                        let target =
                            Catalog.lookAhead
                                case.TargetSteps
                                (ActorCritic.policyObjective agent 0.0)
                                (Optimizers.sgd 0.5)

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

    let target =
        (Catalog.find Catalog.targets s.Case.Target)
            .Value.Invoke(s.Case.TargetSteps, smoothLoss s.Agent false, part other)

    {
        s with
            Target = target
            Learner = {
                s.Learner with
                    Objective =
                        match s.Learner.Objective with
                        | MetaObjective.Bootstrapped(_, matching) -> MetaObjective.Bootstrapped(target, matching)
                        | objective -> objective
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
            let struct (next, log) = MetaLearner.step s.Learner state prepared.Collect (Action<_>(ignore))

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

let private objectives: Catalog.Entry<Setup -> Setup> list = [
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
    testList "7: a population of P is its members one by one" [
        testList "meta-gradients" [
            yield!
                forEach
                    25
                    Catalog.optimizers
                    (fun n c -> {
                        c with
                            Optimizer = n
                            Members = c.Members + 1
                            SharedW = false
                    })
                    (fun count name arbitrary ->
                        property count name arbitrary (fun case ->
                            let s = setup case
                            let together, _ = s.MetaGradient()

                            for i in 0 .. case.Members - 1 do
                                let single, _ = (alone s i).MetaGradient()
                                let own (p: Params) = numbersOf (Params.ofMember (int64 i) p)
                                near rounding "meta-gradient" (numbersOf single.Gradient) (own together.Gradient)

                                near
                                    rounding
                                    "the learner that lives on"
                                    (numbersOf single.Learner.Parameters)
                                    (own together.Learner.Parameters)

                                near
                                    rounding
                                    "its optimizer"
                                    (numbersOf single.Learner.Optimizer)
                                    (own together.Learner.Optimizer)))
        ]

        property
            50
            "a shared w gets the mean of what its members would give"
            (cases (fun c -> {
                c with
                    SharedW = true
                    Members = c.Members + 1
            }))
            (fun case ->
                let s = setup case
                let together, _ = s.MetaGradient()

                let mean =
                    Array.init case.Members (fun i ->
                        let single, _ = (alone s i).MetaGradient()
                        numbersOf single.Gradient)
                    |> Array.transpose
                    |> Array.map Array.average

                near rounding "meta-gradient" mean (numbersOf together.Gradient))

        testList "three meta-steps" [
            for objective in objectives ->
                property
                    25
                    objective.Name
                    (cases (fun c -> {
                        c with
                            Members = c.Members + 1
                            SharedW = false
                            InnerSteps = max 1 c.InnerSteps
                    }))
                    (fun case ->
                        let s = setup case |> enoughBatches 3 |> objective.Value
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

                                near accumulated "logged objective" one.Objective (mine all.Objective)
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
    testList "only the objective differs between fixed, meta-gradient and bootstrapped" [
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
                    near rounding "x" (numbersOf a.Learner.Parameters) (numbersOf b.Learner.Parameters)
                    near rounding "h" (numbersOf a.Learner.Optimizer) (numbersOf b.Learner.Optimizer)

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
                                MetaOptimizer = Optimizers.adam 0.0 0.9 0.99 1e-4
                        }
                }

                let plain = still.With(MetaObjective.MetaGradient(smoothLoss s.Agent false))
                let prepared = plain.Prepared()
                let struct (first, _) = MetaLearner.step plain.Learner plain.State prepared.Collect (Action<_>(ignore))
                Expect.isTrue (ValueOption.isSome first.Pending) "the judging batch waits"
                Expect.equal prepared.Taken (case.InnerSteps + 1) "batches of the first window"
                let struct (second, _) = MetaLearner.step plain.Learner first prepared.Collect (Action<_>(ignore))
                Expect.equal prepared.Taken (2 * case.InnerSteps + 1) "batches of two windows"
                let expected = live still (2 * case.InnerSteps) s.State.MetaParameters

                near
                    rounding
                    "x after two windows"
                    (numbersOf expected.Parameters)
                    (numbersOf second.Learner.Parameters)

                release first second
                release second plain.State)

        property
            60
            "what φ ignores gets no meta-gradient"
            (cases (fun c -> {
                c with
                    InnerSteps = max 1 c.InnerSteps
            }))
            (fun case ->
                let s = setup case
                let ignored = MetaParameters.boundedScalar "ignored" 0.0 2.0 0.5
                let meta = both s.Learner.MetaParameters ignored

                let extra =
                    ignored.Init.Invoke(
                        (if case.SharedW then (seeds case)[..0] else seeds case),
                        torch.float64,
                        torch.CPU
                    )

                let widened = {
                    s with
                        Learner = { s.Learner with MetaParameters = meta }
                        State = {
                            s.State with
                                MetaParameters = Params.merge [| s.State.MetaParameters; extra |]
                        }
                }

                let plain, _ = s.MetaGradient()
                let result, _ = widened.MetaGradient()

                near
                    exact
                    "of what is ignored"
                    [| for _ in 1L .. extra.Members -> 0.0 |]
                    (numbers result.Gradient["ignored"])

                near
                    exact
                    "of the rest"
                    (numbersOf plain.Gradient)
                    (numbersOf (
                        Params.Create(
                            Array.ofSeq plain.Gradient.Names,
                            plain.Gradient.Names |> Seq.map (fun n -> result.Gradient[n]) |> Array.ofSeq
                        )
                    )))

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
                            finite "x" (numbersOf result.Learner.Parameters)

                            near
                                exact
                                "what gets no gradient"
                                (numbers silent["unused"])
                                (numbers result.Learner.Parameters["unused"])

                            let plain, _ =
                                (still.With(MetaObjective.MetaGradient(smoothLoss s.Agent true))).MetaGradient()

                            finite "plain meta-gradient" (numbersOf plain.Gradient))
    ]

let tests =
    testList "laws" [
        divergence
        stoppedTarget
        simplest
        fixedPoint
        finiteDifferences
        vectorising
        oneField
        edges
    ]
