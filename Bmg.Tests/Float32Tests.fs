/// Numbers at the edges of float32, which training uses: divergences of almost equal policies, extreme and masked logits, long counts,
/// bounded hyper-parameters at their bounds.
module Bmg.Tests.Float32Tests

open System
open System.IO
open Bmg
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Agents
open Bmg.Training.Acting
open Bmg.Training.Experiments
open Bmg.Training.Runs
open Bmg.Verify
open Expecto
open TorchSharp
open Bmg.Tests.Tolerances
open Bmg.Tests.Generators

let private scalar (v: float) : Scalar = Scalars.constant v

/// Half the gap from 1 to the next float32.
let private roundoff = 6e-8

let private single (t: Tensor) = t.``to`` torch.float32
let private wide (t: Tensor) = t.``to`` torch.float64

let private ofType (dtype: torch.ScalarType) (shape: int list) (values: float[]) = (tensor shape values).``to`` dtype

let private read (name: string) (p: Params) : float[] = numbers p[name]

/// Divergences between rows of logits, [.., A] → [..].
let private divergences: (string * (Tensor -> Tensor -> Tensor)) list = [
    "kl", Categorical.kl
    "reverse kl", (fun p q -> Categorical.kl q p)
    "jensen-shannon", Categorical.jensenShannon
    "jeffreys", Categorical.jeffreys
    "squared hellinger", Categorical.squaredHellinger
]

/// Everything that claims to be a divergence on logits, in the library and in the examples.
let private matchings: MatchingFunction list = [
    Matching.kl Reduction.Mean
    Matching.reverseKl Reduction.Sum
    Matching.jensenShannon Reduction.Mean
    Matching.jeffreys Reduction.Mean
    Matching.squaredHellinger Reduction.Mean
    Matching.logitL2 Reduction.Mean
    Matching.fisherQuadratic Reduction.Mean
    Matching.bregman "bregman, negative entropy" Coordinates.probabilities (Potentials.negativeEntropy Reduction.Mean)
    Matching.bregman "bregman, log Σ exp" (Coordinates.output "logits") (Potentials.logSumExp Reduction.Sum)
    Bmg.Examples.FSharp.hellinger
    Bmg.Examples.CSharp.Brier
]

let private compare (mu: MatchingFunction) (z: Tensor) (x: Tensor) =
    let side (t: Tensor) =
        let all = Params.Single("logits", t)
        Prediction(all, lazy all)

    mu.Compare.Invoke(side z, side x)

let private distances = [ for k in 1..8 -> 0.1 ** float k ]

/// Logits [1, 64, 4] of a seed, and others this far away.
let private almostEqual (seed: int) (distance: float) =
    let rng = Rng(uint64 seed)
    let z = (normal rng [ 1; 64; 4 ]).mul(scalar 2.0)
    single z, single (z.add (normal rng [ 1; 64; 4 ], scalar distance))

let private nearMatches =
    testList "almost equal policies" [
        testList "no divergence is below zero, and each is what it is in float64" [
            for name, f in divergences do
                scoped name (fun () ->
                    for seed in 1..20 do
                        for distance in distances do
                            let p, q = almostEqual seed distance
                            let value = numbers (f p q)
                            let exact = numbers (f (wide p) (wide q))
                            Expect.isGreaterThanOrEqual (Array.min value) 0.0 $"{name}, {distance} apart"

                            for v, e in Array.zip value exact do
                                // Rounding of log-probabilities, up to some ten, moves a divergence of size d²/2 by d for each.
                                let allowed = 40.0 * roundoff * (e + sqrt e + roundoff)

                                Expect.isLessThanOrEqual
                                    (abs (v - e))
                                    allowed
                                    $"{name}, {distance} apart: {v}, in float64 {e}")
        ]

        testList "matching functions neither" [
            for mu in matchings do
                scoped mu.Name (fun () ->
                    for seed in 1..10 do
                        for distance in distances do
                            let z, x = almostEqual seed distance
                            let value = numbers (compare mu z x)
                            Expect.isGreaterThanOrEqual value[0] 0.0 $"{distance} apart")
        ]

        testList "exactly 0 at equal logits, of any size" [
            for mu in matchings do
                scoped mu.Name (fun () ->
                    for seed in 1..10 do
                        for size in [ 1.0; 1e4; 1e30 ] do
                            let z, _ = almostEqual seed 1.0
                            let z = z.mul (scalar size)
                            near exact $"times {size}" [| 0.0 |] (numbers (compare mu z (z.clone ()))))
        ]

        testList "KL's derivatives near a match" [
            for distance in 0.0 :: distances do
                scoped $"{distance} apart" (fun () ->
                    let p, q = almostEqual 7 distance
                    let x = Params.leaves (Params.Single("q", q))
                    let slope = Gradients.gradient (Categorical.kl p x["q"]) x true
                    let difference = (Categorical.probabilities (wide q)).minus(Categorical.probabilities (wide p))
                    zero (8.0 * roundoff) "∇, less π_q − π_p" (numbers ((wide (slope["q"].detach())).minus difference))

                    let rng = Rng 3UL
                    let v = normal rng [ 1; 64; 4 ]
                    let along = Params.dot slope (Params.Single("q", single v))
                    let product = Gradients.gradient along x false
                    let pi = Categorical.probabilities (wide q)
                    let centred = v.minus ((pi.mul v).sum(-1L, keepdim = true))

                    zero
                        (64.0 * roundoff)
                        "∇²·v, less (diag π − ππᵀ)v"
                        (numbers ((wide product["q"]).minus(pi.mul centred))))
        ]

        scoped "entropy is not below zero where one action is all but certain" (fun () ->
            for gap in [ 0.0; 1.0; 10.0; 16.0; 17.0; 80.0; 104.0; 1e4; 3e38 ] do
                for actions in 2..6 do
                    let z =
                        ofType torch.float32 [ 1; actions ] (Array.init actions (fun i -> if i = 1 then gap else 0.0))

                    let h = numbers (Categorical.entropy z)
                    Expect.isGreaterThanOrEqual h[0] 0.0 $"gap {gap}, {actions} actions")
    ]

/// Value, slope and a product with the Hessian, by all that is given, each [1, A].
let private derivatives (f: Params -> Tensor) (at: Params) =
    let x = Params.leaves at
    let value = f x
    let slope = Gradients.gradient (value.sum ()) x true
    let rng = Rng 5UL

    let v =
        at
        |> Params.map (fun t -> (normal rng (t.shape |> Array.map int |> List.ofArray)).``to`` t.dtype)

    let along = Params.dot slope v

    numbers value,
    slope,
    if along.requires_grad then
        Gradients.gradient along x false
    else
        Params.zerosLike x

let private functions: (string * (Params -> Tensor)) list = [
    for name, f in divergences do
        name, (fun (x: Params) -> f x["p"] x["q"])
    "entropy", (fun x -> Categorical.entropy x["p"])
    "variance", (fun x -> Categorical.variance x["p"] x["q"])
    "log-probability",
    (fun x ->
        let first = torch.zeros (x["p"].shape[.. x["p"].shape.Length - 2], dtype = torch.int64)
        Categorical.logProbability x["p"] first)
    for mu in matchings do
        $"matching function {mu.Name}, target", (fun x -> compare mu (x["p"].detach()) x["q"])
]

let private extremes =
    testList "finite logits of any size" [
        for dtype, sizes in
            [
                torch.float32, [ 1e4; 1e10; 1e19; 1e30; 3e38 ]
                torch.float64, [ 1e4; 1e30; 3e38; 1e200; 1.7e308 ]
            ] do
            for name, f in functions do
                scoped $"{name}, {dtype}" (fun () ->
                    for size in sizes do
                        for p in [ [| 1.0; -1.0; 0.0 |]; [| 1.0; 1.0; -1.0 |]; [| 0.0; -1.0; -1.0 |] ] do
                            for q in [ [| 1.0; -1.0; 0.0 |]; [| -1.0; 1.0; 1.0 |]; [| -1.0; -1.0; 0.5 |] ] do
                                let row (v: float[]) =
                                    ofType dtype [ 1; 1; 3 ] (v |> Array.map (fun v -> v * size))

                                let value, slope, curvature =
                                    derivatives f (Params.Create([| "p"; "q" |], [| row p; row q |]))

                                let what = $"%A{p} and %A{q} times {size}"
                                finite $"{what}: value" value
                                finite $"{what}: first derivative" (numbersOf slope)
                                finite $"{what}: second derivative" (numbersOf curvature)

                                if name <> "log-probability" then
                                    Expect.isGreaterThanOrEqual value[0] 0.0 what)
    ]

let private masks =
    let masked = [| 0.3; -infinity; -1.2; 0.8 |], [| -0.4; -infinity; 0.1; 1.1 |]
    let allowed (row: float[]) = [| row[0]; row[2]; row[3] |]

    testList "masked actions" [
        for dtype in [ torch.float32; torch.float64 ] do
            for name, f in functions do
                scoped $"the same on both sides are as if they were not there: {name}, {dtype}" (fun () ->
                    let sides (p: float[], q: float[]) =
                        Params.Create(
                            [| "p"; "q" |],
                            [| ofType dtype [ 1; 1; p.Length ] p; ofType dtype [ 1; 1; q.Length ] q |]
                        )

                    let close = if dtype = torch.float32 then singlePrecision else rounding
                    let p, q = masked
                    let value, slope, curvature = derivatives f (sides (p, q))
                    let expected, slopes, _ = derivatives f (sides (allowed p, allowed q))
                    near close "value" expected value
                    finite "first derivative" (numbersOf slope)
                    finite "second derivative" (numbersOf curvature)

                    for side in [ "p"; "q" ] do
                        let own = numbers slope[side]
                        near exact $"gradient at the mask of {side}" [| 0.0 |] [| own[1] |]
                        near close $"gradient by {side}" (numbers slopes[side]) (allowed own)
                        let own = numbers curvature[side]
                        near exact $"second derivative at the mask of {side}" [| 0.0 |] [| own[1] |])

        scoped "an action allowed on one side alone: KL is +∞ where q forbids it, and finite the other way" (fun () ->
            for dtype in [ torch.float32; torch.float64 ] do
                let wide = ofType dtype [ 1; 3 ] [| 0.0; 0.5; 1.0 |]
                let narrow = ofType dtype [ 1; 3 ] [| 0.0; -infinity; 1.0 |]
                let value f (p: Tensor) (q: Tensor) = (numbers (f p q: Tensor))[0]
                Expect.equal (value Categorical.kl wide narrow) infinity "KL(p ‖ q)"
                Expect.equal (value Categorical.jeffreys wide narrow) infinity "Jeffreys"
                Expect.equal (value Categorical.jeffreys narrow wide) infinity "Jeffreys"
                // p is q on the actions that p allows.
                let rest = (Categorical.probabilities wide).select(-1L, 1L)
                let expected = -log(1.0 - (numbers rest)[0])
                near singlePrecision "KL(q ‖ p)" [| expected |] [| value Categorical.kl narrow wide |]

                for f in [ Categorical.jensenShannon; Categorical.squaredHellinger ] do
                    let there = value f wide narrow
                    Expect.isTrue (there > 0.0 && there < log 2.0) "bounded ones are"
                    Expect.equal (value f narrow wide) there "either way")

        scoped "a state in which every action is masked has no policy: NaN, not a uniform one" (fun () ->
            for dtype in [ torch.float32; torch.float64 ] do
                let none = ofType dtype [ 1; 2 ] [| -infinity; -infinity |]

                for t in
                    [
                        Categorical.probabilities none
                        Categorical.logProbabilities none
                        Categorical.entropy none
                        Categorical.kl none none
                        Categorical.jensenShannon none none
                    ] do
                    Expect.isTrue (numbers t |> Array.forall Double.IsNaN) $"{dtype}")
    ]

let private sampling =
    testList "sample of a row that is no distribution gives an action that there is" [
        for row in
            [
                [| 0f; 0f; 0f |]
                [| nanf; nanf; nanf |]
                [| 0.5f; nanf; 0.5f |]
                [| nanf; 0f |]
                [| 0f |]
            ] do
            test $"%A{row}" {
                for u in [ 0.0; 0.3; 0.7; Math.BitDecrement 1.0 ] do
                    let action = Categorical.sample (ReadOnlySpan row, u)
                    Expect.isTrue (action >= 0 && action < row.Length) $"u = {u}: {action}"
            }
    ]

let private closedForm =
    testList "closed-form steps at the edges are those of the definition" [
        for dtype in [ torch.float32; torch.float64 ] do
            for name, biases in
                [
                    "certain", [| 1e4; -1e4; 0.0 |]
                    "as large as can be", [| 3e38; -3e38; 0.0 |]
                    "masked", [| 0.5; -infinity; 0.0 |]
                ] do
                scoped $"{name}, {dtype}" (fun () ->
                    let agent =
                        ActorCritic.Create(
                            Network.Mlp("policy", 2, [||], 3, Activation.Tanh),
                            Network.Mlp("value", 2, [||], 1, Activation.Tanh)
                        )

                    let rng = Rng 9UL
                    let drawn shape = (normal rng shape).``to`` dtype

                    let x =
                        ActorCritic.init agent Initialization.Uniform [| Seed.Of 1L |] dtype torch.CPU
                        |> Params.mapNamed (fun n t ->
                            if n = agent.Policy.BiasName 0 then
                                ofType dtype [ 1; 1; 3 ] biases
                            else
                                t)

                    let rollout =
                        Rollout.Create(
                            drawn [ 1; 5; 2 ],
                            torch.zeros ([| 1L; 4L |], dtype = torch.int64),
                            drawn [ 1; 4 ]
                        )

                    let hyper = Params.Single(ActorCritic.EntropyWeight, ofType dtype [ 1 ] [| 0.3 |])

                    let step (rule: UpdateRule<Rollout>) =
                        rule.Step.Invoke(rule.Init.Invoke x, hyper, rollout, Differentiation.None)

                    let plain = step (UpdateRule.gradient (ActorCritic.loss agent) (Optimizers.sgd 0.3))
                    let closed = step (ActorCriticDescent.learner agent 0.3)
                    finite "loss" (numbers closed.Loss)
                    near singlePrecision "loss" (numbers plain.Loss) (numbers closed.Loss)

                    for i in 0 .. x.Count - 1 do
                        let name = x.Names[i]
                        let a, b = numbers plain.Learner.Parameters[name], numbers closed.Learner.Parameters[name]

                        for a, b, was in Array.zip3 a b (numbers x[name]) do
                            if Double.IsInfinity was then
                                Expect.equal (a, b) (was, was) $"{name}: the mask stays"
                            else
                                near singlePrecision name [| a |] [| b |])
    ]

let private counting =
    // Each test's own: tensors go with the scope that they were made in.
    let x () =
        Params.Single("x", ofType torch.float32 [ 2; 3 ] (Array.init 6 float))

    let late (schedule: Schedule) (count: float) (dtype: torch.ScalarType) =
        let t = Transformations.scheduled schedule
        let state = Params.Single("count", torch.full ([| 2L |], scalar count, dtype = dtype))
        t.Update.Invoke(x (), state, x (), Params.Empty)

    testList "long counts" [
        scoped "a schedule in float32 goes on beyond 2²⁴ steps" (fun () ->
            let schedule = Schedules.linear 1.0 0.0 30_000_000
            let t = Transformations.scheduled schedule
            let mutable state = t.Init.Invoke(x ())
            state <- state |> Params.map (fun c -> torch.full_like (c, scalar (2.0 ** 24.0 - 1.0)))

            for i in 0..3 do
                let made = t.Update.Invoke(x (), state, x (), Params.Empty)
                state <- made.State
                near exact "count" [| 2.0 ** 24.0 + float i; 2.0 ** 24.0 + float i |] (numbers state["count"])
                Expect.equal made.Direction["x"].dtype torch.float32 "the direction's type"

            let made = late schedule 3e7 torch.float64
            near exact "the end" (Array.create 6 0.0) (numbers made.Direction["x"])
            let made = late schedule 27e6 torch.float64
            near singlePrecision "near the end" (Array.init 6 (fun i -> 0.1 * float i)) (numbers made.Direction["x"]))

        scoped "a schedule's state of an earlier version, which counted in float32, goes on" (fun () ->
            let made = late (Schedules.linear 1.0 0.0 30_000_000) 16_777_216.0 torch.float32
            near exact "count" [| 16_777_217.0; 16_777_217.0 |] (numbers made.State["count"]))

        scoped "a meta-gradient in float32 through a schedule, forward and reverse" (fun () ->
            let spec = {
                CaseSpec.Least with
                    Seed = 4L
                    Members = 2
                    Features = 2
                    Steps = 3
                    InnerSteps = 3
            }

            let row = Library.optimizers |> Array.find (fun s -> s.Name = "sgd, linear")
            let case = Cases.ofSpec row spec
            let trial = Trial(case.Rounded.Invoke torch.float32)
            let forward = trial.With(fun learner -> learner.With ThroughSteps.Forward)
            near singlePrecision "meta-gradient" (numbersOf trial.Bootstrapped.Gradient) (numbersOf forward.Gradient)
            Expect.equal trial.Bootstrapped.Gradient.Tensors[0].dtype torch.float32 "its type"
            Expect.equal trial.Bootstrapped.NextLearner.Parameters.Tensors[0].dtype torch.float32 "the learner's type")

        scoped "Adam's bias correction is 1 in float32 where its count stops" (fun () ->
            for beta in [ 0.9; 0.999; 0.9999; 1.0 - 2e-6 ] do
                let adam = Transformations.adam beta beta 1e-8 1e-16
                let g = Params.Single("x", ofType torch.float32 [ 1; 3 ] [| 0.3; -2.0; 1e-3 |])

                let after (count: float) (p: Params) =
                    let state =
                        adam.Init.Invoke p
                        |> Params.mapNamed (fun n t ->
                            if n = "count" then torch.full_like (t, scalar count)
                            elif n.StartsWith "m/" then t.plus (scalar 0.1)
                            else t.plus (scalar 0.2))

                    (adam.Update.Invoke(p, state, p, Params.Empty)).Direction["x"]

                let stopped = after (2.0 ** 24.0) g
                let counted = after 1e9 (Params.map wide g)
                near singlePrecision $"β = {beta}" (numbers counted) (numbers stopped))
    ]

let private bounds =
    let slope (meta: MetaParameters) (name: string) (raw: Tensor) =
        let w = Params.leaves (Params.Single(name, raw))
        let value = (meta.Apply.Invoke(w, null))[name]
        numbers value, read name (Gradients.gradient (value.sum ()) w false)

    testList "bounded hyper-parameters" [
        for dtype in [ torch.float32; torch.float64 ] do
            for low, high in [ 0.0, 1.0; 0.1, 3.0 ] do
                scoped $"between {low} and {high}, {dtype}" (fun () ->
                    let meta = MetaParameters.boundedScalar "a" low high (0.5 * (low + high))
                    let raw = ofType dtype [ 61 ] (Array.init 61 (fun i -> 0.5 * float (i - 30)))
                    let value, found = slope meta "a" raw
                    // The plain formula.
                    let w = Params.leaves (Params.Single("a", raw))

                    let plain =
                        if low = 0.0 && high = 1.0 then
                            w["a"].sigmoid()
                        else
                            w["a"].sigmoid().mul(scalar (high - low)).plus(scalar low)

                    near exact "values within ±15" (numbers plain) value
                    let expected = read "a" (Gradients.gradient (plain.sum ()) w false)
                    near exact "derivatives within ±15" expected found

                    for raw in [ -1e6; -200.0; -20.0; 20.0; 200.0; 1e6 ] do
                        let value, found = slope meta "a" (ofType dtype [ 1 ] [| raw |])
                        let plain = (1.0 / (1.0 + exp -raw)) * (high - low) + low
                        near singlePrecision $"value at {raw}" [| plain |] value
                        let edge = exp -15.0 / (1.0 + exp -15.0) ** 2.0 * (high - low)
                        // 1 − σ(15) is five units in the last place of float32.
                        let close = if dtype = torch.float32 then 0.25 else 1e-9
                        Expect.isLessThan (abs (found[0] / edge - 1.0)) close $"derivative at {raw}: {found[0]}")

        scoped "comes back from its bound when the meta-gradient asks for it" (fun () ->
            let meta = MetaParameters.boundedScalar "a" 0.0 1.0 0.5
            let optimizer = Optimizers.adam 1.0 0.9 0.99 1e-12 1e-16
            let mutable w = Params.Single("a", ofType torch.float32 [ 1 ] [| -120.0 |])
            let mutable state = Optimizers.init optimizer w
            Expect.equal (read "a" (meta.Apply.Invoke(w, null))) [| 0.0 |] "at the bound, in float32 exactly"

            for _ in 1..150 do
                let leaf = Params.leaves w
                let hyper = meta.Apply.Invoke(leaf, null)
                let loss = hyper["a"].neg()

                let struct (next, after) =
                    Optimizers.apply optimizer w state (Gradients.gradient loss leaf false) Params.Empty

                w <- next
                state <- after

            Expect.isGreaterThan
                (Array.head (read "a" (meta.Apply.Invoke(w, null))))
                0.5
                "it moved on to where it was asked to")

        scoped "a network of the context has a gradient at its bound" (fun () ->
            let network = Network.Mlp("meta", 2, [||], 1, Activation.Tanh)
            let meta = MetaParameters.contextual "a" network 0.0 1.0 0.5 Initialization.Uniform 0

            for bias in [ -300.0; 300.0 ] do
                let w =
                    meta.Init.Invoke([| Seed.Of 1L |], torch.float32, torch.CPU)
                    |> Params.mapNamed (fun n t -> if n = network.BiasName 0 then t.plus (scalar bias) else t)
                    |> Params.leaves

                let value = (meta.Apply.Invoke(w, ofType torch.float32 [ 1; 2 ] [| 0.5; -0.5 |]))["a"]
                let slope = Gradients.gradient (value.sum ()) w false
                Expect.isGreaterThan (abs (Array.head (read (network.BiasName 0) slope))) 1e-8 $"bias {bias}")

        scoped "a learned rate does not die out" (fun () ->
            let x = Params.Single("x", torch.zeros ([| 1L; 2L |], dtype = torch.float32))
            let meta = MetaParameters.ratePerTensor "rate/" x 0.1

            for raw in [ -30.0; -5.0; 0.0; 3.0 ] do
                let raw = ofType torch.float32 [ 1 ] [| raw |]
                let value, found = slope meta "rate/x" raw
                let w = Params.leaves (Params.Single("w", raw))
                let plain = Network.activate Activation.Softplus w["w"]
                near exact "value" (numbers plain) value
                near exact "derivative" (read "w" (Gradients.gradient (plain.sum ()) w false)) found

            let _, found = slope meta "rate/x" (ofType torch.float32 [ 1 ] [| -200.0 |])
            Expect.isGreaterThan found[0] 1e-14 "derivative where the rate is 0")

        test "training says it once" {
            let folder = Path.Combine(Path.GetTempPath(), "bmg-tests-" + Guid.NewGuid().ToString "N")
            Directory.CreateDirectory folder |> ignore

            try
                let file = Path.Combine(folder, "small.json")

                File.WriteAllText(
                    file,
                    """{
                      "name": "small", "members": 2, "environmentSteps": 300, "threads": 1,
                      "learner": { "hidden": [4], "rolloutLength": 5, "innerSteps": 1, "targetSteps": 1 },
                      "meta": { "parameters": "scalar", "learningRate": 1e-9, "entropyWeight": { "initial": 0.9999999 } },
                      "run": { "metricsEvery": 50, "checkpointEvery": 300 }
                    }"""
                )

                use said = new StringWriter()

                let code =
                    TrainingCli.Run(
                        [| "train"; file; "--output"; Path.Combine(folder, "run") |],
                        ProgramHost.Create(said, said)
                    )

                Expect.equal code 0 (said.ToString())

                let lines =
                    said.ToString().Split '\n'
                    |> Array.filter (fun l -> l.Contains "of its bound 1,")

                Expect.equal lines.Length 1 (said.ToString())
            finally
                Directory.Delete(folder, true)
        }

        test "a run says when every member sits at one bound, and not otherwise" {
            let metrics isLearned = [|
                Metric("reward", "reward", "per environment step", Aggregation.PerEnvironmentStep)
                Metric.Of(
                    {
                        Name = HyperParameters.EntropyWeight
                        Low = 0.5
                        High = 2.0
                    },
                    isLearned
                )
            |]

            let says isLearned (weights: float list) =
                Saturation.Of(metrics isLearned, [| [| for _ in weights -> 0.5 |]; Array.ofList weights |], 1200L)

            for weights, bound in [ [ 0.5; 0.5000001 ], "0.5"; [ 2.0; nan; 1.9999999 ], "2" ] do
                match says true weights with
                | null -> failtestf "%A: nothing was said" weights
                | line ->
                    Expect.stringContains line "entropy weight" "what"
                    Expect.stringContains line $"bound {bound}," "which bound"
                    Expect.stringContains line "1 200" "when"

            for weights in [ [ 0.5; 2.0 ]; [ 0.5; 0.50001 ]; [ 1.0; 0.5 ]; [ nan; nan ] ] do
                Expect.isNull (says true weights) $"%A{weights}"

            Expect.isNull (says false [ 0.5; 0.5 ]) "where nothing is learned"
        }
    ]

let private law =
    let broken (subject: Subject) =
        use _ = scope ()
        let report = Verify.Run(subject, VerifyOptions(Cases = 12, Seed = 1L))
        Expect.equal (List.ofArray report.Broken) [ "float32" ] (string report)

    let onLogits name (f: Tensor -> Tensor -> Tensor) =
        Subject
            .Of(
                MatchingFunction.Create(
                    name,
                    MatchingClaims.Divergence,
                    fun target learner -> Reduction.apply Reduction.Mean (f target.Stopped["logits"] learner["logits"])
                )
            )
            .ReadingOutputs()

    testList "the law of float32 names what float64 does not show" [
        test "KL by differences of logarithms alone" {
            broken (
                onLogits "differences" (fun p q ->
                    let logp = Categorical.logProbabilities p
                    (logp.exp().mul(logp.minus (Categorical.logProbabilities q))).sum -1L)
            )
        }

        test "one minus an overlap" {
            broken (
                onLogits "overlap" (fun p q ->
                    let root z =
                        (Categorical.logProbabilities z).mul(scalar 0.5).exp()

                    ((root p).mul(root q)).sum(-1L).neg().plus(scalar 1.0))
            )
        }

        test "a divergence that knows no masks" {
            broken (
                onLogits "unmasked" (fun p q ->
                    let logp, logq = p.log_softmax -1L, q.log_softmax -1L
                    ((logp.exp().minus(logq.exp ())).mul(logp.minus logq)).sum -1L)
            )
        }

        test "a counter in the parameters' type" {
            let schedule = Schedules.linear 1.0 0.0 (pown 2 24 + 8)

            let scheduled =
                GradientTransformation.Create(
                    "counts in float32",
                    (fun x -> Params.Single("steps", torch.zeros ([| x.Members |], dtype = x.Tensors[0].dtype))),
                    (fun g state ->
                        let count = state["steps"]
                        let factor = (schedule.Factor.Invoke(wide count)).``to`` count.dtype

                        {
                            Direction = g |> Params.map (fun t -> t.mul (Params.broadcast factor t))
                            State = Params.Single("steps", count.plus (scalar 1.0))
                        })
                )

            broken (
                Subject.Of {
                    Optimizers.sgd 0.3 with
                        Name = "counts in float32"
                        Transformation = scheduled
                }
            )
        }
    ]

let tests =
    testList "float32" [ nearMatches; extremes; masks; sampling; closedForm; counting; bounds; law ]
