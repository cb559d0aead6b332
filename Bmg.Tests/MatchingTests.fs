/// Matching functions against plain numbers and each other, at their edges too; targets against plain arithmetic.
module Bmg.Tests.MatchingTests

open System
open Bmg
open Expecto
open TorchSharp
open Bmg.Tests.Tolerances
open Bmg.Tests.Generators

let private scalar (v: float) : Scalar = Scalars.constant v

// Matching functions.

/// One side of a match from what is given of it.
let private side (x: Params) (logits: Tensor) (values: Tensor) : Prediction =
    Prediction(x, lazy (Params.Create([| "logits"; "values" |], [| logits; values |])))

let private ofLogits (logits: Tensor) : Prediction =
    side (Params.Single("x", logits)) logits (logits.select (-1L, 0L))

/// Logits [P, T, A], values [P, T] and parameters of a case.
let private drawn (case: Case) (purpose: string) : Prediction =
    let rng = stream case purpose
    let p, t, a = case.Members, case.Steps, case.Actions

    side
        (Params.Create([| "a"; "b" |], [| normal rng [ p; 2; 3 ]; normal rng [ p; 4 ] |]))
        ((normal rng [ p; t; a ]).mul(scalar 3.0))
        (normal rng [ p; t ])

let private softmax (z: float[]) =
    let e = z |> Array.map (fun v -> exp (v - Array.max z))
    e |> Array.map (fun v -> v / Array.sum e)

/// Matching functions on logits, with what they are for one state in plain numbers: target's logits → learner's logits → μ.
let private formulas: (string * (Reduction -> MatchingFunction) * (float[] -> float[] -> float)) list =
    let onPolicies (f: float -> float -> float) z x =
        Array.map2 f (softmax z) (softmax x) |> Array.sum

    [
        "kl", Matching.kl, onPolicies (fun p q -> p * log (p / q))
        "reverse kl", Matching.reverseKl, onPolicies (fun p q -> q * log (q / p))
        "jensen-shannon",
        Matching.jensenShannon,
        onPolicies (fun p q ->
            let m = (p + q) / 2.0
            0.5 * p * log (p / m) + 0.5 * q * log (q / m))
        "jeffreys", Matching.jeffreys, onPolicies (fun p q -> p * log (p / q) + q * log (q / p))
        "squared hellinger", Matching.squaredHellinger, (fun z x -> 1.0 - onPolicies (fun p q -> sqrt (p * q)) z x)
        "logit l2", Matching.logitL2, (fun z x -> Array.map2 (fun a b -> 0.5 * (a - b) * (a - b)) z x |> Array.sum)
        "fisher quadratic",
        Matching.fisherQuadratic,
        (fun z x ->
            let p = softmax z
            let d = Array.map2 (-) z x
            let mean = Array.map2 (*) p d |> Array.sum
            0.5 * (Array.map2 (fun p d -> p * d * d) p d |> Array.sum) - 0.5 * mean * mean)
    ]

let private bregmanKl reduction =
    Matching.bregman "kl" Coordinates.probabilities (Potentials.negativeEntropy reduction)

let private bregmanReverseKl reduction =
    Matching.bregman "reverse kl" (Coordinates.output "logits") (Potentials.logSumExp reduction)

let private bregmanL2 coordinates =
    Matching.bregman "l2" coordinates Potentials.halfSquaredNorm

let private compare (mu: MatchingFunction) (target: Prediction) (learner: Prediction) =
    mu.Compare.Invoke(target, learner)

/// The same side, all of it leaves.
let private leaves (p: Prediction) : Prediction * Params =
    let all =
        Params.leaves (Params.merge [| Params.prefix "x/" p.Parameters; Params.prefix "out/" p.Outputs |])

    Prediction(Params.sub "x/" all, lazy (Params.sub "out/" all)), all

let private closedForms =
    testList "closed forms" [
        for name, make, formula in formulas do
            property 100 name (cases id) (fun case ->
                let target, learner = drawn case "target", drawn case "learner"

                let states (p: Prediction) =
                    numbers p["logits"]
                    |> Array.chunkBySize case.Actions
                    |> Array.chunkBySize case.Steps

                let each = Array.map2 (Array.map2 formula) (states target) (states learner)

                near
                    rounding
                    "mean"
                    (each |> Array.map Array.average)
                    (numbers (compare (make Reduction.Mean) target learner))

                near
                    rounding
                    "sum"
                    (each |> Array.map Array.sum)
                    (numbers (compare (make Reduction.Sum) target learner)))

        property 100 "values" (cases id) (fun case ->
            let target, learner = drawn case "target", drawn case "learner"

            let each =
                Array.map2 (fun a b -> 0.5 * (a - b) * (a - b)) (numbers target["values"]) (numbers learner["values"])
                |> Array.chunkBySize case.Steps

            near
                rounding
                "mean"
                (each |> Array.map Array.average)
                (numbers (compare (Matching.valueMatching Reduction.Mean) target learner))

            near
                rounding
                "sum"
                (each |> Array.map Array.sum)
                (numbers (compare (Matching.valueMatching Reduction.Sum) target learner)))

        scoped "policies that have nothing in common" (fun () ->
            let target = ofLogits (tensor [ 1; 1; 2 ] [| 1000; -1000 |])
            let learner = ofLogits (tensor [ 1; 1; 2 ] [| -1000; 1000 |])

            let value make =
                numbers (compare (make Reduction.Mean) target learner)

            near rounding "jensen-shannon" [| log 2.0 |] (value Matching.jensenShannon)
            near rounding "squared hellinger" [| 1.0 |] (value Matching.squaredHellinger)
            near rounding "jeffreys" [| 4000.0 |] (value Matching.jeffreys)
            // The target never takes the other action.
            near rounding "fisher quadratic" [| 0.0 |] (value Matching.fisherQuadratic))

        scoped "the root of jeffreys is no metric, and it does not claim so" (fun () ->
            let at (p: float) =
                ofLogits (tensor [ 1; 1; 2 ] [| log p; log (1.0 - p) |])

            let root a b =
                let value = numbers (compare (Matching.jeffreys Reduction.Mean) (at a) (at b))
                sqrt value[0]

            Expect.isGreaterThan
                (root 0.8 0.001)
                (root 0.8 0.05 + root 0.05 0.001 + 0.3)
                "the direct way is the longer"

            Expect.isFalse ((Matching.jeffreys Reduction.Mean).Has MatchingClaims.RootMetric) "what it claims")
    ]

let private bregman =
    let same (name: string) (direct: MatchingFunction) (bregman: MatchingFunction) =
        property 100 name (cases id) (fun case ->
            let target = drawn case "target"

            let of' (mu: MatchingFunction) =
                let learner, all = leaves (drawn case "learner")
                let value = compare mu target learner
                numbers value, numbersOf (Gradients.gradient value all false)

            let value, slope = of' direct
            let found, foundSlope = of' bregman
            near rounding "μ" value found
            near rounding "∇μ" slope foundSlope)

    testList "bregman divergences" [
        same "negative entropy over probabilities is kl" (Matching.kl Reduction.Mean) (bregmanKl Reduction.Mean)
        same "summed" (Matching.kl Reduction.Sum) (bregmanKl Reduction.Sum)
        same "log Σ exp over logits is reverse kl" (Matching.reverseKl Reduction.Mean) (bregmanReverseKl Reduction.Mean)
        same "½‖x‖² over parameters is parameter l2" (Matching.parameterL2 0.5) (bregmanL2 Coordinates.parameters)
        same "½‖z‖² over logits is logit l2" (Matching.logitL2 Reduction.Sum) (bregmanL2 (Coordinates.output "logits"))
        same
            "½‖v‖² over values is value matching"
            (Matching.valueMatching Reduction.Sum)
            (bregmanL2 (Coordinates.output "values"))

        property 50 "a potential of one's own, Σ x⁴, with or without a graph" (cases id) (fun case ->
            let fourth (p: Params) =
                p.Tensors
                |> Seq.map (fun t -> Params.sumPerMember (t.squared().squared()))
                |> Seq.reduce (fun a b -> a.plus b)

            let mu = Matching.bregman "fourth powers" Coordinates.parameters fourth
            let target, learner = drawn case "target", drawn case "learner"

            let expected =
                Array.init case.Members (fun i ->
                    let own (p: Prediction) =
                        numbersOf (Params.ofMember (int64 i) p.Parameters)

                    Array.map2
                        (fun (a: float) (b: float) -> a ** 4.0 - b ** 4.0 - 4.0 * b ** 3.0 * (a - b))
                        (own target)
                        (own learner)
                    |> Array.sum)

            near rounding "of constants" expected (numbers (compare mu target learner))
            let constant = compare mu target learner
            Expect.isFalse constant.requires_grad "constants give a constant"

            let quietly =
                use _ = torch.no_grad ()
                numbers (compare mu target learner)

            near rounding "where no graph is recorded" expected quietly
            near rounding "of leaves" expected (numbers (compare mu target (fst (leaves learner)))))
    ]

/// Every matching function there is on outputs, by name.
let private onOutputs: (string * MatchingFunction) list = [
    for name, make, _ in formulas do
        name, make Reduction.Mean
    "values", Matching.valueMatching Reduction.Mean
    "bregman, negative entropy", bregmanKl Reduction.Mean
    "bregman, log Σ exp", bregmanReverseKl Reduction.Mean
    "bregman, ½‖z‖²", bregmanL2 (Coordinates.output "logits")
]

let private edges =
    let policies = [
        "uniform", [| 0.0; 0.0; 0.0 |]
        "certain", [| 1000.0; -1000.0; 0.0 |]
        "certain of another", [| -1000.0; 1000.0; 0.0 |]
        "certain beyond measure", [| 1e6; -1e6; 3e5 |]
        "nearly certain", [| 40.0; -40.0; 0.0 |]
        "at the end of what a probability can be", [| 0.0; -744.0; -229.0 |]
    ]

    testList "value, first and second derivatives are finite" [
        for name, mu in onOutputs do
            scoped name (fun () ->
                for (there, z), (here, x) in List.allPairs policies policies do
                    let what = $"{name}, target {there}, learner {here}"
                    let target = ofLogits (tensor [ 1; 1; 3 ] z)
                    let leaf = Params.leaves (Params.Single("z", tensor [ 1; 1; 3 ] x))
                    let value = compare mu target (ofLogits leaf["z"])
                    let slope = Gradients.gradient value leaf true
                    finite what (numbers value)
                    finite $"{what}: ∇μ" (numbersOf slope)

                    if z = x then
                        zero 1e-13 $"{what}: μ at a match" (numbers value)
                        zero 1e-13 $"{what}: ∇μ at a match" (numbersOf slope)

                    for v in [ [| 1.0; 0.0; 0.0 |]; [| -2.0; 1.0; 0.5 |] ] do
                        let along = Params.dot slope (Params.Single("z", tensor [ 1; 1; 3 ] v))

                        if along.requires_grad then
                            finite $"{what}: ∇²μ·v" (numbersOf (Gradients.gradientKeepingGraph along leaf)))
    ]

// Natural gradients.

let private policy (case: Case) : Model<Rollout> = ActorCritic.model (agent case)

/// The Fisher matrix of every member from the whole Jacobian of the logits, [P, N, N].
let private fisherMatrix (case: Case) (x: Params) (data: Rollout) : Tensor =
    let x = Params.leaves x
    let logits = ActorCritic.logits (agent case) x data
    let p = numbers (Categorical.probabilities logits)
    let members, states, actions = case.Members, case.Steps, case.Actions

    let row t a =
        let unit = torch.zeros_like (logits.detach ())
        unit.select(2L, int64 a).select(1L, int64 t).fill_(scalar 1.0) |> ignore

        Gradients.vectorJacobian (Params.Single("z", logits)) (Params.Single("z", unit)) x true
        |> Params.flatten
        |> numbers

    let rows = Array.init states (fun t -> Array.init actions (row t))
    let n = (Params.flatten x).shape[1] |> int

    tensor [ members; n; n ] [|
        for m in 0 .. members - 1 do
            for i in 0 .. n - 1 do
                for j in 0 .. n - 1 do
                    let mutable sum = 0.0

                    for t in 0 .. states - 1 do
                        let p a = p[(m * states + t) * actions + a]
                        let own = rows[t]
                        let entry a k = Array.item (m * n + k) own[a]
                        let mutable both, one, other = 0.0, 0.0, 0.0

                        for a in 0 .. actions - 1 do
                            both <- both + p a * entry a i * entry a j
                            one <- one + p a * entry a i
                            other <- other + p a * entry a j

                        sum <- sum + both - one * other

                    sum / float states
    |]

let private times (matrix: Tensor) (rows: Tensor) =
    matrix.matmul(rows.unsqueeze 2L).squeeze 2L

let private small (case: Case) = {
    case with
        Features = min 2 case.Features
        Hidden = case.Hidden |> List.truncate 1
}

let private naturalGradients =
    testList "natural gradients" [
        property 30 "a product with the Fisher matrix, against the matrix" (cases small) (fun case ->
            let x, data = parameters case "x", (batch case 0).Data
            let v = normalLike (stream case "v") 1.0 x
            let product = NaturalGradient.fisherProduct (policy case) x Params.Empty data

            near
                accumulated
                "F·v"
                (numbers (times (fisherMatrix case x data) (Params.flatten v)))
                (numbers (Params.flatten (product v))))

        property 30 "a step, against a dense solve" (cases small) (fun case ->
            let rate, damping = 0.3, 0.05
            let x, data = parameters case "x", (batch case 0).Data
            let lossFunction = smoothLoss (agent case) false
            let rule = NaturalGradient.rule lossFunction (policy case) rate damping 60 1e-14

            let made = rule.Step.Invoke(rule.Init.Invoke x, Params.Empty, data, Differentiation.None)

            let leaf = Params.leaves x
            let loss = lossFunction.Loss.Invoke(leaf, Params.Empty, data)
            let g = Params.flatten (Gradients.gradient loss leaf false)
            let n = g.shape[1]

            let damped = (fisherMatrix case x data).add(torch.eye (n, dtype = torch.float64), scalar damping)

            let solved = torch.linalg.solve(damped, g.unsqueeze 2L).squeeze 2L

            near
                accumulated
                "x"
                (numbers ((Params.flatten x).minus(solved.mul (scalar rate))))
                (numbers (Params.flatten made.Learner.Parameters))

            near rounding "loss" (numbers loss) (numbers made.Loss))

        property
            30
            "matched by kl, a small natural step gives the plain gradient of a loss of the policy"
            (cases small)
            (fun case ->
                // A state for each action and no hidden layer, so that every direction of the policy is there to be seen.
                let case = { case with Hidden = []; Steps = 1 }
                let x, data = parameters case "x", (batch case 0).Data
                let lossFunction = ActorCritic.policyLoss (agent case) 0.0
                let rate = 1e-4
                let rule = NaturalGradient.rule lossFunction (policy case) rate 1e-9 60 1e-14

                let target =
                    rule.Step.Invoke(rule.Init.Invoke x, Params.Empty, data, Differentiation.None).Learner.Parameters

                let slope f =
                    let leaf = Params.leaves x
                    numbersOf (Gradients.gradient (f leaf) leaf false)

                let logits x =
                    ofLogits (ActorCritic.logits (agent case) x data)

                let plain = slope (fun x -> lossFunction.Loss.Invoke(x, Params.Empty, data))

                let matched = slope (fun x -> compare (Matching.kl Reduction.Mean) (logits target) (logits x))

                near
                    {
                        Name = "first order in the rate"
                        Relative = 2e-2
                        Floor = 1e-4
                    }
                    "∇KL over the rate"
                    plain
                    (matched |> Array.map (fun v -> v / rate)))

        property 50 "conjugate gradients on a population are those of its members" (cases id) (fun case ->
            let n, members = 3 + case.Features, 4
            let rng = stream case "systems"

            let matrices =
                let m = normal rng [ members; n; n ]
                let square = m.matmul (m.transpose (1L, 2L))
                let own = square.add (torch.eye (n, dtype = torch.float64), scalar 0.5)
                // The first is done after one step, long before the others.
                torch.cat ([| torch.eye(n, dtype = torch.float64).unsqueeze 0L; own.narrow (0L, 1L, 3L) |], 0L)

            let b =
                let b = normal rng [ members; n ]
                // The second has nothing to do at all.
                torch.cat (
                    [|
                        b.narrow (0L, 0L, 1L)
                        torch.zeros_like (b.narrow (0L, 1L, 1L))
                        b.narrow (0L, 2L, 2L)
                    |],
                    0L
                )

            for iterations, tolerance in [ 2, 0.0; 3, 1e-2; 50, 1e-12 ] do
                let solve (matrices: Tensor) (b: Tensor) =
                    ConjugateGradients.solve (times matrices) b iterations tolerance

                let together = solve matrices b

                for i in 0L .. int64 members - 1L do
                    near
                        accumulated
                        $"member {i}, {iterations} iterations"
                        (numbers (solve (matrices.narrow (0L, i, 1L)) (b.narrow (0L, i, 1L))))
                        (numbers (together.narrow (0L, i, 1L)))

                near exact "nothing to do" (Array.zeroCreate n) (numbers (together.narrow (0L, 1L, 1L)))

            let solved = ConjugateGradients.solve (times matrices) b 50 1e-13
            near accumulated "A·s" (numbers b) (numbers (times matrices solved)))

        scoped "no curvature ends it without a division by zero" (fun () ->
            let b = tensor [ 2; 2 ] [| 1; 2; 3; 4 |]
            let product (v: Tensor) = v.mul (tensor [ 2; 1 ] [| 0; 2 |])
            near rounding "s" [| 0; 0; 1.5; 2 |] (numbers (ConjugateGradients.solve product b 5 1e-10)))

        property 20 "a zero gradient is a zero step, to the bit" (cases small) (fun case ->
            let x, data = parameters case "x", (batch case 0).Data

            let nothing =
                LossFunction<Rollout>.Create("nothing", (fun x _ _ -> (Params.squaredNorm x).mul(scalar 0.0)))

            let rule = NaturalGradient.rule nothing (policy case) 0.5 0.1 10 1e-8
            let made = rule.Step.Invoke(rule.Init.Invoke x, Params.Empty, data, Differentiation.None)
            near exact "x" (numbersOf x) (numbersOf made.Learner.Parameters))

        property 3 "differentiation through it and settings out of range are refused by name" (cases small) (fun case ->
            let lossFunction = smoothLoss (agent case) false
            let rule = NaturalGradient.rule lossFunction (policy case) 0.5 0.1 10 1e-8

            for asked in [ Differentiation.Full; Differentiation.FirstOrder ] do
                refuses [ "NaturalGradient.rule"; "'differentiation'"; "found " + string asked ] (fun () ->
                    rule.Step.Invoke(rule.Init.Invoke(parameters case "x"), Params.Empty, (batch case 0).Data, asked)
                    |> ignore)

            refuses [ "NaturalGradient.rule"; "'damping'"; "positive" ] (fun () ->
                NaturalGradient.rule lossFunction (policy case) 0.5 0.0 10 1e-8 |> ignore)

            refuses [ "NaturalGradient.rule"; "'iterations'" ] (fun () ->
                NaturalGradient.rule lossFunction (policy case) 0.5 0.1 0 1e-8 |> ignore))
    ]

// Targets, on a life by hand: batch number n is the number n, and a step adds n·(member + 1) to x.

let private start (members: int) : LearnerState = {
    Parameters = Params.Single("x", tensor [ members; 1 ] (Array.init members (fun i -> 10.0 * float i)))
    Optimizer = Params.Single("h", tensor [ members; 1 ] (Array.zeroCreate members))
}

let private lifeOf (members: int) (taken: int ref) : Life<int> =
    Life<int>
        .Create(
            (fun _ ->
                taken.Value <- taken.Value + 1
                { Data = taken.Value; Context = null }),
            (fun _ -> Params.Empty),
            (fun learner experience ->
                let by = tensor [ members; 1 ] (Array.init members (fun i -> float (experience.Data * (i + 1))))

                {
                    Parameters = learner.Parameters |> Params.map (fun x -> x.plus by)
                    Optimizer = learner.Optimizer |> Params.map (fun h -> h.plus (scalar 1.0))
                })
        )

/// What a target makes of the life by hand, and the batches it took. The learner goes first, as its owner may let it.
let private make (members: int) (target: TargetBootstrap<int>) =
    let taken = ref 0
    let from = start members
    let before = numbersOf from.Parameters

    let made =
        use outer = torch.NewDisposeScope()
        let made = target.Bootstrap.Invoke(from, lifeOf members taken)

        // What is given back belongs to this scope: moved out of it, it lives.
        for p in [ made.Parameters; made.Learner.Parameters; made.Learner.Optimizer ] do
            if
                not (
                    obj.ReferenceEquals(p, from.Parameters)
                    || obj.ReferenceEquals(p, from.Optimizer)
                )
            then
                Params.moveToOuterScope p |> ignore

        made

    near exact "where it started" before (numbersOf from.Parameters)
    let learner = numbersOf made.Learner.Parameters
    let steps = numbersOf made.Learner.Optimizer
    made.Learner.Dispose()
    numbersOf made.Parameters, learner, steps[0], made.Evaluation.Data, taken.Value

/// x of each member after the first `steps` batches.
let private after (members: int) (steps: int) =
    Array.init members (fun i -> 10.0 * float i + float (i + 1) * float (steps * (steps + 1) / 2))

let private scored (scores: float[]) : LossFunction<int> =
    LossFunction<int>.Create("score", (fun _ _ _ -> tensor [ scores.Length ] scores))

let private byHand =
    testList "targets by hand" [
        for steps in [ 1; 2; 5 ] do
            scoped $"ahead only, {steps} steps" (fun () ->
                let target, learner, lived, judged, taken = make 3 (TargetBootstrap.aheadOnly steps)
                near exact "x̃" (after 3 steps) target
                near exact "the learner that lives on" (after 3 steps) learner
                Expect.equal (lived, judged, taken) (float steps, steps, steps) "steps, batch that judges, batches")

            scoped $"moving average, {steps} steps" (fun () ->
                let decay = 0.7
                let target, learner, lived, judged, taken = make 3 (TargetBootstrap.movingAverage steps decay)

                let expected =
                    [ 1..steps ]
                    |> List.fold
                        (fun average k -> Array.map2 (fun a x -> decay * a + (1.0 - decay) * x) average (after 3 k))
                        (after 3 0)

                near rounding "x̃" expected target
                near exact "the learner that lives on" (after 3 steps) learner
                Expect.equal (lived, judged, taken) (float steps, steps, steps) "steps, batch that judges, batches")

            for scores, best in
                [
                    [| 3.0; 1.0; 2.0 |], 1
                    [| 2.0; 1.0; 1.0 |], 1
                    [| -1.0; 0.0; -1.0 |], 0
                    [| nan; 5.0; 4.0 |], 2
                    [| infinity; nan; infinity |], 0
                    [| nan; nan; nan |], 0
                ] do
                scoped $"best member, {steps} steps, scores %A{scores}" (fun () ->
                    let target, learner, lived, judged, taken =
                        make 3 (TargetBootstrap.bestMember steps (scored scores))

                    near exact "x̃" (Array.replicate 3 (Array.item best (after 3 (steps - 1)))) target
                    near exact "the learner that lives on" (after 3 (steps - 1)) learner

                    Expect.equal
                        (lived, judged, taken)
                        (float (steps - 1), steps, steps)
                        "steps, batch that judges, batches")

            scoped $"teacher, {steps} steps" (fun () ->
                // Sees the learner of that moment and the batch.
                let teach (learner: LearnerState) (experience: Experience<int>) =
                    learner.Parameters
                    |> Params.map (fun x -> x.neg().plus(scalar (float experience.Data)))

                let target, learner, lived, judged, taken = make 3 (TargetBootstrap.teacher steps teach)
                near exact "x̃" (after 3 (steps - 1) |> Array.map (fun x -> float steps - x)) target
                near exact "the learner that lives on" (after 3 (steps - 1)) learner

                Expect.equal
                    (lived, judged, taken)
                    (float (steps - 1), steps, steps)
                    "steps, batch that judges, batches")

        scoped "one teacher for all, whose tensors stay its own" (fun () ->
            let own = Params.Single("x", tensor [ 1; 1 ] [| 7 |])
            let target = TargetBootstrap.teacher 1 (fun _ _ -> own)
            let made = target.Bootstrap.Invoke(start 3, lifeOf 3 (ref 0))
            near exact "x̃" [| 7; 7; 7 |] (numbersOf made.Parameters)
            Params.dispose made.Parameters
            near exact "the teacher" [| 7 |] (numbersOf own))

        scoped "a decay of 0 is the learner itself, of 1 where it started" (fun () ->
            let x decay =
                (let target, _, _, _, _ = make 2 (TargetBootstrap.movingAverage 3 decay) in target)

            near rounding "0" (after 2 3) (x 0.0)
            near exact "1" (after 2 0) (x 1.0))

        scoped "what does not fit is refused by name" (fun () ->
            refuses [ "TargetBootstrap.aheadOnly"; "'steps'"; "found 0" ] (fun () ->
                make 1 (TargetBootstrap.aheadOnly 0) |> ignore)

            refuses [ "TargetBootstrap.movingAverage"; "'decay'"; "found 1.5" ] (fun () ->
                make 1 (TargetBootstrap.movingAverage 1 1.5) |> ignore)

            refuses [ "TargetBootstrap.bestMember"; "'lossFunction'"; "[2]" ] (fun () ->
                make 3 (TargetBootstrap.bestMember 1 (scored [| 1; 2 |])) |> ignore)

            refuses [ "TargetBootstrap.teacher"; "'teach'"; "[3, 2]" ] (fun () ->
                let wrong = Params.Single("x", tensor [ 3; 2 ] (Array.zeroCreate 6))
                make 3 (TargetBootstrap.teacher 1 (fun _ _ -> wrong)) |> ignore))
    ]

// Memory, on a network all of whose parameters the loss touches: see `MemoryTests` for what libtorch's handles count otherwise.

let private memory =
    let network = Network.Mlp("policy", 3, [| 4 |], 2, Activation.Tanh)

    let logits (x: Params) (states: Tensor) = Network.apply network x states

    let loss =
        LossFunction<Tensor>.Create("entropy", (fun x _ states -> (Losses.negativeEntropy (logits x states)).neg()))

    let model = Model<Tensor>.Create("policy", (fun x _ states -> Params.Single("logits", logits x states)))

    let plain = UpdateRule.gradient loss (Optimizers.momentum 0.1 0.5)
    let natural = NaturalGradient.rule loss model 0.1 0.1 5 1e-8

    let live () =
        DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount

    /// The most tensors live while experience was gathered, and those left once the target is made: more than there were before.
    let lives (rule: UpdateRule<Tensor>) (target: TargetBootstrap<Tensor>) =
        use _ = scope ()
        let seeds = Seed.Population(0L, 2)

        let from = rule.Init.Invoke(Network.init network Initialization.Uniform seeds torch.float64 torch.CPU)

        let before = live ()
        let mutable most = 0L

        let life =
            Life<Tensor>
                .Create(
                    (fun _ ->
                        most <- max most (live () - before)

                        {
                            Data = torch.ones ([| 2L; 5L; 3L |], dtype = torch.float64)
                            Context = null
                        }),
                    (fun _ -> Params.Empty),
                    (fun learner experience ->
                        rule.Step.Invoke(learner, Params.Empty, experience.Data, Differentiation.None).Learner)
                )

        let made = target.Bootstrap.Invoke(from, life)
        finite "x̃" (numbersOf made.Parameters)
        finite "the learner" (numbersOf made.Learner.Parameters)
        most, live () - before

    let targets: (string * UpdateRule<Tensor> * (int -> TargetBootstrap<Tensor>)) list = [
        "ahead only", plain, TargetBootstrap.aheadOnly
        "moving average", plain, (fun steps -> TargetBootstrap.movingAverage steps 0.9)
        "best member", plain, (fun steps -> TargetBootstrap.bestMember steps loss)
        "teacher", plain, (fun steps -> TargetBootstrap.teacher steps (fun l _ -> l.Parameters))
        "look-ahead, natural gradient",
        plain,
        (fun steps -> TargetBootstrap.lookAhead steps natural LastStepState.Fresh)
        "natural gradients alone", natural, TargetBootstrap.aheadOnly
    ]

    testList "what is live does not grow with L" [
        for name, rule, target in targets do
            test name {
                let counts = [ for steps in [ 2; 4; 16 ] -> lives rule (target steps) ]
                Expect.allEqual counts counts.Head "live tensors while gathering and at the end, L = 2, 4, 16"
            }
    ]

let tests =
    testList "matching and targets" [ closedForms; bregman; edges; naturalGradients; byHand; memory ]
