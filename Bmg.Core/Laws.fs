namespace Bmg

open System
open TorchSharp

/// Something that must hold of a part of a meta-update, as a predicate over cases. What a part of the case throws passes through: whoever runs
/// a law turns it into a failure.
[<ReferenceEquality>]
type Law<'Data> = {
    /// Short, for a column and a command line.
    Name: string
    /// The law in a sentence.
    Statement: string
    /// What it is asked of.
    Parts: Parts
    Judge: Func<Trial<'Data>, Judgement>
} with

    /// <summary>A law from its parts.</summary>
    /// <param name="name">Short, for a column and a command line.</param>
    /// <param name="statement">The law in a sentence.</param>
    /// <param name="parts">What it is asked of.</param>
    /// <param name="judge">A case under judgement → what the law says of it.</param>
    /// <returns>The law.</returns>
    static member Create
        (name: string, statement: string, parts: Parts, judge: Func<Trial<'Data>, Judgement>)
        : Law<'Data> = {
        Name = name
        Statement = statement
        Parts = parts
        Judge = judge
    }

/// The laws of meta-updates. Derivatives are judged in float64, with data and targets held fixed; one law compares float32 with that.
[<RequireQualifiedAccess>]
module Laws =

    let private numbers = Judgement.numbers
    let private numbersOf = Judgement.numbersOf
    let private scalar (v: float) : Scalar = Scalars.constant v

    let private valueOf (result: MetaGradientResult<'Data>) : float[] =
        match result.MetaObjective with
        | null -> [||]
        | t -> numbers t

    let private needsSteps (trial: Trial<'Data>) (judge: unit -> Judgement) : Judgement =
        if trial.InnerSteps = 0 then
            Judgement.doesNotApply "there are no inner steps"
        else
            judge ()

    let private claims (holds: bool) (what: string) (judge: unit -> Judgement) : Judgement =
        if holds then
            judge ()
        else
            Judgement.doesNotApply $"it does not claim {what}"

    // 1: what a matching function says of itself.

    let private showing (z: Params) (x: Params) (j: Judgement) =
        j.Showing("target x̃", (fun () -> numbersOf z)).Showing("learner x", (fun () -> numbersOf x))

    /// Two values of μ that should be equal, and both sides' parameters if they are not.
    let private same (what: string) (z: Params) (x: Params) (a: Tensor) (b: Tensor) =
        Judgement.near Tolerance.Rounding what (numbers a) (numbers b) |> showing z x

    let private divergence (trial: Trial<'Data>) =
        let case = trial.Case

        claims case.Matching.IsDivergence "to be a divergence" (fun () ->
            let data = case.Batches[0]
            let predict x = trial.Predict(x, trial.W, data)
            let z, x = case.Others[0], case.Others[1]
            let apart = numbers (case.Matching.Compare.Invoke(predict z, predict x))
            let same = Params.leaves z
            let together = case.Matching.Compare.Invoke(predict z, predict same)
            // Rounding of terms of the size that they have a little way off.
            let limit = 1e-13 * (1.0 + Array.max apart)

            Judgement.worst [
                Judgement.within "μ(x̃, x) ≥ 0" limit (max 0.0 -(Array.min apart)) (fun () -> $"μ is {Array.min apart}")
                |> showing z x
                Judgement.zero limit "μ(z, z)" (numbers together) |> showing z z
                Judgement.zero limit "∇ₓμ(z, x) at x = z" (numbersOf (Gradients.gradient together same false))
                |> showing z z
            ])

    let private symmetric (trial: Trial<'Data>) =
        let case = trial.Case

        claims (case.Matching.Has MatchingClaims.Symmetric) "to be symmetric" (fun () ->
            let predict x =
                trial.Predict(x, trial.W, case.Batches[0])

            let a, b = case.Others[0], case.Others[1]

            let compare x y =
                case.Matching.Compare.Invoke(predict x, predict y)

            same "μ(a, b) = μ(b, a)" a b (compare a b) (compare b a))

    let private triangle (trial: Trial<'Data>) =
        let case = trial.Case

        claims (case.Matching.Has MatchingClaims.RootMetric) "that its root is a metric" (fun () ->
            let predict x =
                trial.Predict(x, trial.W, case.Batches[0])

            let root x y =
                numbers (case.Matching.Compare.Invoke(predict x, predict y))
                |> Array.map (fun v -> sqrt (max 0.0 v))

            let a, b, c = case.Others[0], case.Others[1], case.Others[2]

            Judgement.worst [
                for a, b, c in [ a, b, c; b, c, a; c, a, b ] do
                    let excess =
                        Array.map3 (fun ac ab bc -> ac - ab - bc) (root a c) (root a b) (root b c)
                        |> Array.max

                    let direct = Array.max (root a c)

                    (Judgement.within
                        "√μ(a, c) ≤ √μ(a, b) + √μ(b, c)"
                        (1e-12 * (1.0 + direct))
                        (max 0.0 excess)
                        (fun () -> $"longer by {excess}"))
                        .Showing("a", (fun () -> numbersOf a))
                        .Showing("b", (fun () -> numbersOf b))
                        .Showing("c", (fun () -> numbersOf c))
            ])

    let private shiftInvariant (trial: Trial<'Data>) =
        let case = trial.Case

        claims (case.Matching.Has MatchingClaims.ShiftInvariant) "to be blind to a constant added to logits" (fun () ->
            let data = case.Batches[0]
            let z, x = case.Others[0], case.Others[1]

            let shifted (purpose: string) (p: Params) =
                let plain = trial.Predict(p, trial.W, data)

                Prediction(
                    p,
                    lazy
                        (let logits = plain["logits"]
                         let one = logits.narrow (-1L, 0L, 1L)
                         let offset = trial.Normal(purpose, Params.Single("offset", one))["offset"]

                         plain.Outputs
                         |> Params.mapNamed (fun name t -> if name = "logits" then t.plus offset else t))
                )

            let plain =
                case.Matching.Compare.Invoke(trial.Predict(z, trial.W, data), trial.Predict(x, trial.W, data))

            same
                "μ with a constant added to each state's logits"
                z
                x
                plain
                (case.Matching.Compare.Invoke(shifted "target shift" z, shifted "learner shift" x)))

    /// What the Fisher matrix summed over states is multiplied with, for these logits [P, …, A].
    let private fisherFactor (mu: MatchingFunction) (logits: Tensor) : float =
        let shape = logits.shape
        let states = logits.NumberOfElements / (shape[0] * shape[shape.Length - 1])

        match mu.FisherReduction with
        | Reduction.Sum -> mu.FisherMultiple.Value
        | _ -> mu.FisherMultiple.Value / float states

    let private moments (trial: Trial<'Data>) =
        let case = trial.Case
        let mu = case.Matching

        claims (mu.Has MatchingClaims.MatchesMoments) "to match moments" (fun () ->
            if not mu.FisherMultiple.HasValue then
                Judgement.fails "it claims to match moments, but not by what multiple (WithFisher)"
            else
                let data = case.Batches[0]
                let z, x = case.Others[0], case.Others[1]
                let frozen = trial.Predict(z, trial.W, data)
                let outputs = (trial.Predict(x, trial.W, data)).Outputs
                let logits = outputs["logits"].detach().requires_grad_ true

                let leaf = outputs |> Params.mapNamed (fun name t -> if name = "logits" then logits else t)

                let value = mu.Compare.Invoke(frozen, Prediction(x, lazy leaf))

                if not value.requires_grad then
                    Judgement.fails "μ does not depend on the learner's logits"
                else
                    let slope = Gradients.gradient value (Params.Single("logits", logits)) false

                    let difference =
                        (Categorical.probabilities logits).minus(Categorical.probabilities frozen["logits"])

                    let factor = fisherFactor mu logits

                    Judgement.near
                        Tolerance.Rounding
                        "∂μ/∂logits, against π_x − π_x̃"
                        (numbers difference |> Array.map (fun v -> factor * v))
                        (numbersOf slope)
                    |> showing z x)

    // 2: nothing is differentiated through the target.

    /// Handed a target that is part of a graph, μ must not let a gradient through to it.
    let private stops (trial: Trial<'Data>) =
        let case = trial.Case
        let data = case.Batches[0]
        let z = Params.leaves case.Others[0]
        let x = Params.leaves case.Others[1]

        let value =
            case.Matching.Compare.Invoke(trial.Predict(z, trial.W, data), trial.Predict(x, trial.W, data))

        if not value.requires_grad then
            Judgement.fails "μ does not depend on the learner"
        else
            Judgement.zero 0.0 "the gradient of μ by the target" (numbersOf (Gradients.gradient value z false))
            |> showing z x

    let private stoppedTarget (trial: Trial<'Data>) =
        let case = trial.Case
        let made = trial.Bootstrapped
        let saved = made.Target.TensorArray |> Array.map numbers

        let loaded =
            made.Target.WithTensors(
                Array.map2
                    (fun (t: Tensor) (values: float[]) -> torch.tensor(values, dtype = torch.float64).reshape t.shape)
                    made.Target.TensorArray
                    saved
            )

        let again =
            Trial {
                case with
                    Target = TargetBootstrap.given loaded
                    Batches = Array.append case.Batches[.. trial.InnerSteps - 1] [| (nonNull made.Evaluation) |]
            }

        let given = again.Bootstrapped

        Judgement.worst [
            Judgement.near Tolerance.Rounding "μ with x̃ saved and loaded" (valueOf given) (valueOf made)
            (Judgement.near
                Tolerance.Rounding
                "the meta-gradient with x̃ saved and loaded"
                (numbersOf given.Gradient)
                (numbersOf made.Gradient))
                .Showing("w", (fun () -> numbersOf trial.W))
        ]

    // 3: a plain meta-gradient is the simplest bootstrapped one.

    let private simplest (trial: Trial<'Data>) =
        needsSteps trial (fun () ->
            let bmg, mg = trial.ByOneStep, trial.Plain

            let norm (p: Params) =
                numbersOf p |> Array.sumBy (fun v -> v * v) |> sqrt

            // x̃ − x⁽ᴷ⁾ = −αg is a difference of numbers of size ‖x‖: its relative error is ε‖x‖/(α‖g‖).
            let x = bmg.NextLearner.Parameters
            let step = norm (Params.subtract bmg.Target x)

            let tolerance = {
                Tolerance.Rounding with
                    Name = "cancellation in x̃ − x"
                    Relative = 10.0 * 2.2e-16 * norm x / step + 1e-12
            }

            if step < 1e-12 then
                Judgement.rejected "the loss is flat here"
            else
                (Judgement.near tolerance "the meta-gradient" (numbersOf mg.Gradient) (numbersOf bmg.Gradient))
                    .Showing("w", (fun () -> numbersOf trial.W)))

    // 4: where the learner is at rest, there is nothing to learn.

    let private fixedPoint (trial: Trial<'Data>) =
        needsSteps trial (fun () ->
            match trial.Case.AtRest with
            | null -> Judgement.doesNotApply "there is no case at rest"
            | atRest ->
                claims (trial.Case.Target.Has TargetClaims.RestsAtFixedPoint) "to rest with the learner" (fun () ->
                    claims trial.Case.Matching.IsDivergence "to be a divergence" (fun () ->
                        let still = Trial(atRest.Invoke())
                        let x = still.Case.State.Learner.Parameters
                        let moved = numbersOf (still.Live(still.InnerSteps, still.W)).Parameters

                        if moved <> numbersOf x then
                            Judgement.doesNotApply "φ moves where there is no gradient"
                        else
                            // How large the meta-gradient is with a target elsewhere tells what zero means.
                            let elsewhere = TargetBootstrap.given still.Case.Others[0]

                            let size =
                                (still.Under(MetaObjective.Bootstrapped(elsewhere, Matching.parameterL2 0.5)))
                                    .Gradient
                                |> numbersOf
                                |> Array.map abs
                                |> Array.max

                            if size < 1e-9 then
                                Judgement.rejected "the learner does not depend on w here"
                            else
                                let limit = 1e-12 * max 1.0 size

                                let target =
                                    let gap = Params.subtract still.Bootstrapped.Target x
                                    Judgement.zero 1e-13 "x̃ − x" (numbersOf gap)

                                Judgement.worst [
                                    target
                                    Judgement.zero
                                        limit
                                        "the bootstrapped meta-gradient"
                                        (numbersOf still.Bootstrapped.Gradient)

                                    if
                                        trial.Case.Part &&& (Parts.MatchingFunction ||| Parts.Target) = Parts.None
                                    then
                                        Judgement.zero limit "the meta-gradient" (numbersOf still.Plain.Gradient)
                                ])))

    // Finite differences, for laws 5 and 6.

    /// Central differences of fourth order along a direction, one number a member (or one in all for a shared w), at a distance that the
    /// result is asked for. Values are computed once, whoever asks.
    let private slopes (value: Func<Params, Tensor>) (w: Params) (direction: Params) : float -> float[] =
        let known = Collections.Generic.Dictionary<float, float[]>()

        let at (distance: float) =
            match known.TryGetValue distance with
            | true, values -> values
            | _ ->
                use _ = torch.NewDisposeScope()
                let step = scalar distance
                let there = Params.map2 (fun w d -> w.add (d, step)) w direction
                let values = numbers (value.Invoke there)

                let values =
                    if w.Members = 1L then
                        [| Array.average values |]
                    else
                        values

                known[distance] <- values
                values

        fun h ->
            let near, minusNear, far, minusFar = at h, at -h, at (2.0 * h), at (-2.0 * h)
            Array.init near.Length (fun i -> (8.0 * (near[i] - minusNear[i]) - (far[i] - minusFar[i])) / (12.0 * h))

    /// Distances tried, each half of the one before. A function that is stiff over one may be smooth over the next.
    let private distances = [ 1e-3; 5e-4; 2.5e-4; 1.25e-4 ]

    /// How near differences over a distance and over its half must be to be believed.
    let private among = {
        Tolerance.Differences with
            Relative = 1e-6
            Floor = 1e-10
    }

    /// Differences that agree among themselves over a distance and its half; nothing where there is a kink within reach.
    let private settled (smooth: bool) (value: Func<Params, Tensor>) (w: Params) (direction: Params) : float[] option =
        let slope = slopes value w direction

        if smooth then
            Some(slope distances.Head)
        else
            distances
            |> List.pairwise
            |> List.tryPick (fun (far, near) ->
                let a, b = slope far, slope near

                if (Judgement.near among "" a b).Verdict = Verdict.Holds then
                    Some b
                else
                    None)

    let private kink = "a kink lies within reach of the finite differences"

    // 5: what one meta-step does to the loss.

    /// The derivative of x⁽ᴷ⁾ by each entry of w, by central differences of fourth order on forward steps; nothing where differences over a
    /// distance and over its half disagree.
    let private jacobian (trial: Trial<'Data>) : Params[] option =
        let w = trial.W
        let rows = Params.flatten w

        let along (j: int64) (h: float) =
            let at (distance: float) =
                let shifted = rows.clone ()
                let entry = shifted.select (1L, j)
                entry.add_ (scalar distance, scalar 1.0) |> ignore
                Params.detach (trial.Live(trial.InnerSteps, Params.unflatten w shifted)).Parameters

            let odd h = Params.subtract (at h) (at -h)

            let scaled (factor: float) (p: Params) =
                let factor = scalar factor
                Params.map (fun t -> t.mul factor) p

            Params.subtract (scaled (8.0 / (12.0 * h)) (odd h)) (scaled (1.0 / (12.0 * h)) (odd (2.0 * h)))

        let columns =
            Array.init (int rows.shape[1]) (fun j ->
                let far = along (int64 j) 1e-3

                if trial.Case.Smooth then
                    Some far
                else
                    let near = along (int64 j) 5e-4

                    if (Judgement.near among "" (numbersOf far) (numbersOf near)).Verdict = Verdict.Holds then
                        Some near
                    else
                        None)

        if columns |> Array.forall Option.isSome then
            Some(columns |> Array.map Option.get)
        else
            None

    /// (Jᵀg, Jᵀ∇ₓμ + ∂μ/∂w) by that Jacobian, one row a member, or one in all for a shared w: no derivative passes through φ.
    let private productsByJacobian (trial: Trial<'Data>) (columns: Params[]) =
        let case = trial.Case
        let made = trial.Bootstrapped
        let shared = trial.W.Members = 1L
        let x = Params.leaves (trial.Live(trial.InnerSteps, trial.W)).Parameters
        let last = case.Batches[trial.InnerSteps]

        let through (slope: Params) =
            let perMember = torch.stack (columns |> Array.map (fun c -> Params.dot c slope), 1L)

            if shared then
                perMember.mean ([| 0L |], keepdim = true)
            else
                perMember

        let g = Gradients.gradient (case.Loss.Loss.Invoke(x, trial.Hyper(trial.W, last), last.Data)) x false

        let w = Params.leaves trial.W
        let evaluation = (nonNull made.Evaluation)
        let frozen = trial.Predict(made.Target, trial.W, evaluation)
        let mu = case.Matching.Compare.Invoke(frozen, trial.Predict(x, w, evaluation))
        let both = Params.merge [| Params.prefix "x/" x; Params.prefix "w/" w |]
        let slopes = Gradients.gradient mu both false
        let direct = Params.flatten (Params.sub "w/" slopes)
        // The sum's gradient by a w that members share counts each of them once.
        let direct =
            if shared then
                direct.div (scalar (float x.Members))
            else
                direct

        through g, (through (Params.sub "x/" slopes)).plus direct

    let private localGain (trial: Trial<'Data>) =
        needsSteps trial (fun () ->
            let d = trial.Bootstrapped.Gradient
            let norm = (Params.squaredNorm d).sqrt()

            if (numbers norm |> Array.min) < 1e-9 then
                Judgement.rejected "there is no meta-gradient to follow"
            elif (Params.flatten trial.W).shape[1] > 2L then
                Judgement.doesNotApply "the Jacobian is taken by differences where w is one or two numbers"
            else
                // Δf = −β⟨Jᵀg, Jᵀ∇μ⟩ for a step −βd. Measured along the unit vector of the d that the meta-learner gives, so that every
                // case is judged at the same distance; predicted without it.
                let unit = d |> Params.map (fun t -> t.div (Params.broadcast norm t))

                match settled trial.Case.Smooth trial.Outer trial.W unit, jacobian trial with
                | Some measured, Some columns ->
                    let byLoss, byMatch = productsByJacobian trial columns
                    let predicted = numbers ((byLoss.mul byMatch).sum 1L)
                    let measured = Array.map2 (*) measured (numbers norm)
                    let size = numbers ((byLoss.mul byLoss).sum 1L) |> Array.max |> sqrt

                    Judgement.worst [
                        Judgement.near
                            {
                                Tolerance.Differences with
                                    Floor = 1e-9 * (1e-3 + size * Array.max (numbers norm))
                            }
                            "change of the loss along the meta-gradient, against (Jᵀg)·(Jᵀ∇μ)"
                            predicted
                            measured
                        // μ = ‖x̃ − x‖²/(2α) with a plain gradient step: Δf = −β‖Jᵀg‖², which is never above zero, whatever φ.
                        if trial.Case.Part &&& (Parts.MatchingFunction ||| Parts.Target) = Parts.None then
                            let product = numbers (Params.dot trial.Plain.Gradient trial.ByOneStep.Gradient)

                            Judgement.within
                                "squared L2 with a plain gradient step does not ascend"
                                (1e-9 * size * size + 1e-15)
                                (max 0.0 -(Array.min product))
                                (fun () -> $"the product of both gradients is {Array.min product}")
                    ]
                | _ -> Judgement.rejected kink)

    // 6: finite differences.

    let private finiteDifferences (trial: Trial<'Data>) =
        let made = trial.Bootstrapped
        let direction = trial.Normal("direction", trial.W)
        let derivative = numbers (Params.dot made.Gradient direction)
        let metaObjective = trial.MetaObjective(made.Target, (nonNull made.Evaluation))

        match settled trial.Case.Smooth metaObjective trial.W direction with
        | None -> Judgement.rejected kink
        | Some found ->
            (Judgement.near Tolerance.Differences "the meta-gradient along a direction" found derivative)
                .Showing("w", (fun () -> numbersOf trial.W))
                .Showing("direction", (fun () -> numbersOf direction))

    // 7: members do not touch each other, and their order means nothing.

    let private ofMember (i: int) (p: Params) = numbersOf (Params.ofMember (int64 i) p)

    let private vectorising (trial: Trial<'Data>) =
        let case = trial.Case
        let members = int case.State.Learner.Parameters.Members

        claims (case.Target.Has TargetClaims.MembersIndependent) "that members are independent" (fun () ->
            if members = 1 then
                Judgement.doesNotApply "there is one member"
            else
                let together = trial.Bootstrapped

                let single i =
                    (Trial(case.Select.Invoke [| i |])).Bootstrapped

                let judge i (single: MetaGradientResult<'Data>) = [
                    if trial.W.Members > 1L then
                        Judgement.near
                            Tolerance.Accumulated
                            $"the meta-gradient of member {i}"
                            (numbersOf single.Gradient)
                            (ofMember i together.Gradient)

                    Judgement.near Tolerance.Accumulated $"μ of member {i}" (valueOf single) [|
                        (valueOf together)[i]
                    |]

                    Judgement.near
                        Tolerance.Accumulated
                        $"the learner of member {i}"
                        (numbersOf single.NextLearner.Parameters)
                        (ofMember i together.NextLearner.Parameters)
                ]

                if trial.W.Members = 1L then
                    // A shared w hears all members, so all are needed.
                    let singles = Array.init members single
                    let rows = singles |> Array.map (fun s -> numbersOf s.Gradient) |> Array.transpose

                    Judgement.worst [
                        Judgement.near
                            Tolerance.Accumulated
                            "the meta-gradient of a shared w, against the mean of its members'"
                            (rows |> Array.map Array.average)
                            (numbersOf together.Gradient)
                        yield! singles |> Seq.mapi judge |> Seq.concat
                    ]
                else
                    let i = (trial.Stream "member").Next members
                    Judgement.worst (judge i (single i)))

    let private permutation (trial: Trial<'Data>) =
        let case = trial.Case
        let members = int case.State.Learner.Parameters.Members

        if members = 1 then
            Judgement.doesNotApply "there is one member"
        else
            let order = Array.init members (fun i -> (i + 1) % members)
            let turned = (Trial(case.Select.Invoke order)).Bootstrapped
            let made = trial.Bootstrapped

            let pick (p: Params) =
                order |> Array.map (fun i -> ofMember i p) |> Array.concat

            let rows (p: Params) =
                Array.init members (fun i -> ofMember i p) |> Array.concat

            Judgement.worst [
                if trial.W.Members = 1L then
                    Judgement.near
                        Tolerance.Accumulated
                        "the meta-gradient of a shared w"
                        (numbersOf made.Gradient)
                        (numbersOf turned.Gradient)
                else
                    Judgement.near
                        Tolerance.Accumulated
                        "the meta-gradient, permuted"
                        (pick made.Gradient)
                        (rows turned.Gradient)
                Judgement.near
                    Tolerance.Accumulated
                    "μ, permuted"
                    (order |> Array.map (fun i -> (valueOf made)[i]))
                    (valueOf turned)
            ]

    // 8: near a match, μ is the quadratic form of the Fisher matrix.

    let private fisher (trial: Trial<'Data>) =
        let case = trial.Case
        let mu = case.Matching

        claims mu.FisherMultiple.HasValue "a Fisher matrix" (fun () ->
            let data = case.Batches[0]
            let z = case.Others[0]
            let direction = trial.Normal("fisher", z)
            let frozen = trial.Predict(z, trial.W, data)

            let logits (x: Params) =
                (trial.Predict(x, trial.W, data))["logits"]

            let at (step: float) =
                Params.map2 (fun x d -> x.add (d, scalar step)) z direction

            let value (step: float) =
                let x = Params.leaves (at step)
                let mu = mu.Compare.Invoke(frozen, trial.Predict(x, trial.W, data))
                numbers mu, numbersOf (Gradients.gradient mu x false)

            // Odd and even parts at a step, then one step of Richardson's extrapolation.
            let parts (h: float) =
                let above, slopeAbove = value h
                let below, slopeBelow = value -h

                Array.map2 (fun a b -> (a + b) / (2.0 * h * h)) above below,
                Array.map2 (fun a b -> (a - b) / (2.0 * h)) slopeAbove slopeBelow

            let extrapolate = Array.map2 (fun (far: float) near -> (4.0 * near - far) / 3.0)
            let h = 4e-3
            let quadraticFar, linearFar = parts h
            let quadraticNear, linearNear = parts (h / 2.0)

            // u = ∂logits·d by differences, Fd = Jᵀ(diag π − ππᵀ)u by one vector-Jacobian product.
            let tangent =
                let slope h =
                    (logits (at h)).minus(logits (at -h)).mul(scalar (1.0 / (2.0 * h)))

                (slope (h / 2.0)).mul(scalar (4.0 / 3.0)).minus((slope h).mul(scalar (1.0 / 3.0)))

            let x = Params.leaves z
            let outputs = logits x
            let p = Categorical.probabilities (outputs.detach ())
            let centred = tangent.minus ((p.mul tangent).sum(-1L, keepdim = true))
            let weighted = p.mul centred

            let multiple = fisherFactor mu weighted
            let form = (weighted.mul tangent) |> Params.sumPerMember |> numbers

            let product =
                Gradients.vectorJacobian (Params.Single("logits", outputs)) (Params.Single("logits", weighted)) x false

            Judgement.worst [
                Judgement.near
                    Tolerance.Differences
                    "μ(z, z + εd)/ε², against ½c·dᵀFd"
                    (form |> Array.map (fun v -> 0.5 * multiple * v))
                    (extrapolate quadraticFar quadraticNear)
                Judgement.near
                    Tolerance.Differences
                    "∇ₓμ(z, z + εd)/ε, against c·Fd"
                    (numbersOf product |> Array.map (fun v -> multiple * v))
                    (extrapolate linearFar linearNear)
            ])

    // What follows from μ being a number that is differentiated.

    let private scaling (trial: Trial<'Data>) =
        // One of a few, so that the scalars that are kept for them stay few.
        let factor = 0.25 * float (1 + (trial.Stream "scale").Next 12)
        let scaled = trial.Matched(Matching.weightedSum [| factor |] [| trial.Case.Matching |])

        Judgement.near
            Tolerance.Accumulated
            "the meta-gradient of c·μ, against c times that of μ"
            (numbersOf trial.Bootstrapped.Gradient |> Array.map (fun v -> factor * v))
            (numbersOf scaled.Gradient)

    let private sum (trial: Trial<'Data>) =
        needsSteps trial (fun () ->
            let other = Matching.parameterL2 0.5
            let one, two = trial.Bootstrapped, trial.Matched other
            let both = trial.Matched(Matching.weightedSum [| 1.0; 1.0 |] [| trial.Case.Matching; other |])

            Judgement.near
                Tolerance.Accumulated
                "the meta-gradient of a sum, against the sum of meta-gradients"
                (Array.map2 (+) (numbersOf one.Gradient) (numbersOf two.Gradient))
                (numbersOf both.Gradient))

    let private ignored (trial: Trial<'Data>) =
        let name = "ignored by φ"
        let meta = trial.Case.Learner.MetaParameters
        let extra = torch.full ([| trial.W.Members |], scalar 0.3, dtype = torch.float64)
        let own (w: Params) = w |> Params.only (fun n -> n <> name)

        let widened = {
            meta with
                Apply =
                    Func<_, _, _>(fun w context ->
                        Params.merge [| meta.Apply.Invoke(own w, context); Params.Single(name, w[name]) |])
        }

        let case = trial.Case

        let wider =
            (Trial {
                case with
                    Learner = {
                        case.Learner with
                            MetaParameters = widened
                    }
                    State = {
                        case.State with
                            MetaParameters = Params.merge [| trial.W; Params.Single(name, extra) |]
                    }
            })
                .Bootstrapped

        Judgement.worst [
            Judgement.zero 0.0 "the meta-gradient of a number that φ ignores" (numbers wider.Gradient[name])
            Judgement.near
                Tolerance.Rounding
                "the rest of the meta-gradient"
                (numbersOf trial.Bootstrapped.Gradient)
                (numbersOf (own wider.Gradient))
        ]

    // What functions owe their callers.

    let private repeatable (trial: Trial<'Data>) =
        let again, made = trial.Rerun.Result, trial.Bootstrapped

        Judgement.worst [
            Judgement.near Tolerance.Exact "x̃, once more from the seed" (numbersOf made.Target) (numbersOf again.Target)
            Judgement.near
                Tolerance.Exact
                "the meta-gradient, once more from the seed"
                (numbersOf made.Gradient)
                (numbersOf again.Gradient)
        ]

    let private pure' (trial: Trial<'Data>) =
        let run = trial.Rerun

        let judge (what: string) =
            run.Inputs.TensorArray
            |> Array.mapi (fun i t -> i, numbers t)
            |> Array.tryFind (fun (i, after) -> after <> run.Before[i])
            |> function
                | None -> Judgement.within what 0.0 0.0 (fun () -> "")
                | Some(i, after) -> {
                    Judgement.fails $"{what} wrote to '{run.Inputs.NameArray[i]}'" with
                        Evidence = [|
                            {
                                Name = "before"
                                Values = run.Before[i]
                            }
                            { Name = "after"; Values = after }
                        |]
                  }

        let afterMeta = judge "the meta-step"
        // Forward steps start from what is no leaf, where nothing stops a function from writing in place.
        (Trial run.Case).Live(1, run.Case.State.MetaParameters) |> ignore
        Judgement.worst [ afterMeta; judge "a step without a graph" ]

    let private edges (trial: Trial<'Data>) =
        let case = trial.Case

        Judgement.worst [
            // One of them each time: over many cases, all are visited often.
            for edge in case.Edges.Invoke((trial.Stream "edge").NextDouble()) do
                let at = Trial edge.Case

                let made =
                    try
                        at.Bootstrapped
                    with :? FaultyFunctionException as e ->
                        raise (
                            FaultyFunctionException(
                                e.FunctionName,
                                e.Message.Substring(e.FunctionName.Length + 1) + $" ({edge.Name})",
                                e
                            )
                        )

                Judgement.finite $"the meta-gradient ({edge.Name})" (numbersOf made.Gradient)
                Judgement.finite $"the learner ({edge.Name})" (numbersOf made.NextLearner.Parameters)

                // What μ does where the two match, and where they do not.
                let targets =
                    if case.Part = Parts.MatchingFunction then
                        [
                            "at a match", edge.Case.State.Learner.Parameters
                            "apart", edge.Case.Others[0]
                        ]
                    else
                        []

                for where, z in targets do
                    let data = edge.Case.Batches[0]
                    let frozen = at.Predict(z, at.W, data)
                    let x = edge.Case.State.Learner.Parameters
                    let vector = at.Normal("curvature", x)

                    let curvature =
                        Gradients.hessianVector
                            (fun x -> case.Matching.Compare.Invoke(frozen, at.Predict(x, at.W, data)))
                            x
                            vector

                    Judgement.finite $"second derivatives of μ ({edge.Name}, {where})" (numbersOf curvature)

            match case.Judged with
            | null -> ()
            | optimizer ->
                let x = case.State.Learner.Parameters
                let zero = Params.leaves (Params.zerosLike x)
                let hyper = trial.Hyper(trial.W, case.Batches[0])
                let state = Optimizers.init optimizer x
                let step = optimizer.Transformation.Update.Invoke(zero, state, x, hyper)
                let along = Params.dot step.Direction (trial.Normal("first", x))

                if along.requires_grad then
                    let first = Gradients.gradient along zero true
                    Judgement.finite "first derivatives at a zero gradient" (numbersOf first)
                    let again = Params.dot first (trial.Normal("second", x))

                    if again.requires_grad then
                        Judgement.finite
                            "second derivatives at a zero gradient"
                            (numbersOf (Gradients.gradient again zero false))
        ]

    let private life (trial: Trial<'Data>) =
        let made = trial.Bootstrapped

        let lived =
            match made.Losses with
            | null -> 0
            | t -> int t.shape[0]

        if lived < trial.InnerSteps then
            Judgement.fails $"the learner took {lived} steps; K = {trial.InnerSteps} of them were asked for"
        else
            let expected = trial.Live(lived, trial.W)

            Judgement.worst [
                Judgement.near
                    Tolerance.Accumulated
                    $"x after {lived} steps of φ"
                    (numbersOf expected.Parameters)
                    (numbersOf made.NextLearner.Parameters)
                Judgement.near
                    Tolerance.Accumulated
                    $"h after {lived} steps of φ"
                    (numbersOf expected.Optimizer)
                    (numbersOf made.NextLearner.Optimizer)
            ]

    let private carries (trial: Trial<'Data>) =
        match trial.Case.Judged with
        | null -> Judgement.doesNotApply "there is no optimizer by itself"
        | optimizer ->
            let x = trial.Case.State.Learner.Parameters
            let state = Optimizers.init optimizer x

            if state.Count = 0 then
                Judgement.doesNotApply "it has no state"
            else
                let hyper = trial.Hyper(trial.W, trial.Case.Batches[0])
                let step = optimizer.Transformation.Update.Invoke(trial.Normal("gradients", x), state, x, hyper)

                if numbersOf step.State = numbersOf state then
                    Judgement.fails
                        "its state is the same before and after a step with a gradient: nothing is carried on"
                else
                    Judgement.within "its state moves" 0.0 0.0 (fun () -> "")

    // In float32.

    /// Half the gap from 1 to the next float32.
    let private unitRoundoff = 6e-8

    /// How near float32 must come to float64: 32 units of roundoff of 1 and of the largest entry, and 32 times what it makes in float64 that
    /// the numbers going in are a unit of roundoff off (`nearby`), so that a computation that amplifies rounding is allowed to.
    let private toRounding (exact: float[]) (nearby: float[]) : Tolerance =
        let shift = Array.map2 (fun (a: float) b -> abs (a - b)) exact nearby |> Array.fold max 0.0

        {
            Name = "float32 rounding"
            Relative = 32.0 * unitRoundoff
            Floor = 32.0 * (unitRoundoff + shift)
        }

    /// Numbers a unit of roundoff away: t + ε(1 + |t|)·n, n standard normal. Infinities stay.
    let private nudged (trial: Trial<'Data>) (purpose: string) (p: Params) : Params =
        Params.map2
            (fun (t: Tensor) (n: Tensor) ->
                let size = t.abs().plus(scalar 1.0).mul(scalar unitRoundoff)
                torch.where (t.isfinite (), t.plus (size.mul n), t))
            p
            (trial.Normal(purpose, p))

    let private telling (where: string) (f: unit -> 'T) : 'T =
        try
            f ()
        with :? FaultyFunctionException as e ->
            raise (
                FaultyFunctionException(
                    e.FunctionName,
                    e.Message.Substring(e.FunctionName.Length + 1) + $" ({where})",
                    e
                )
            )

    let private single = torch.float32

    /// One side of a match in one set: parameters under "x/", what the model puts out under "out/".
    let private shown (trial: Trial<'Data>) (x: Params) : Params =
        let outputs = (trial.Predict(x, trial.W, trial.Case.Batches[0])).Outputs
        Params.detach (Params.merge [| Params.prefix "x/" x; Params.prefix "out/" outputs |])

    let private side (all: Params) : Prediction =
        Prediction(Params.sub "x/" all, lazy (Params.sub "out/" all))

    let private inSingle (trial: Trial<'Data>) (purpose: string) (like: Params) : Params =
        trial.Normal(purpose, like) |> Params.map (fun t -> t.``to`` single)

    /// The same side with everything this far away.
    let private apart (trial: Trial<'Data>) (distance: float) (all: Params) : Params =
        Params.map2 (fun (t: Tensor) (n: Tensor) -> t.add (n, scalar distance)) all (inSingle trial "apart" all)

    /// Distances of almost equal sides.
    let private near = [ for k in 1..8 -> 0.1 ** float k ]

    /// What is a divergence in float64 is not below zero in float32 however near the sides are.
    let private notBelowZero (narrow: Trial<'Data>) : Judgement =
        let mu = narrow.Case.Matching
        use _ = torch.no_grad ()
        let z = shown narrow narrow.Case.Others[0]

        Judgement.worst [
            for distance in near do
                let x = apart narrow distance z

                let least (z: Params) (x: Params) =
                    numbers (mu.Compare.Invoke(side z, side x)) |> Array.min

                let found = least z x
                let double = Params.convert torch.float64 torch.CPU

                if not (found < 0.0 && least (double z) (double x) < 0.0) then
                    (Judgement.within $"μ ≥ 0 in float32, {distance} apart" 0.0 (max 0.0 -found) (fun () ->
                        $"μ is {found}"))
                        .Showing("target", (fun () -> numbersOf z))
                        .Showing("learner", (fun () -> numbersOf x))
        ]

    /// μ on one pair of sides in float32, against float64 on the same numbers.
    let private matchedSingly
        (trial: Trial<'Data>)
        (accurate: bool)
        (where: string)
        (target: Params)
        (learner: Params)
        =
        let mu = trial.Case.Matching

        let wide = Params.convert torch.float64 torch.CPU

        // μ, ∇μ by all that the learner shows, and ∇²μ·v.
        let judged (curved: bool) (target: Params) (learner: Params) =
            let leaf = Params.leaves learner
            let value = telling where (fun () -> mu.Compare.Invoke(side target, side leaf))

            if not value.requires_grad then
                numbers value, [||], [||]
            else
                let slope = Gradients.gradient value leaf true

                let curvature =
                    if curved then
                        let v = trial.Normal("curvature", leaf)

                        let along =
                            Params.dot slope (Params.map2 (fun (v: Tensor) (t: Tensor) -> v.``to`` t.dtype) v leaf)

                        if along.requires_grad then
                            numbersOf (Gradients.gradient along leaf false)
                        else
                            [||]
                    else
                        [||]

                numbers value, numbersOf slope, curvature

        let value, slope, curvature = judged true target learner
        let exact, exactSlope, _ = judged false (wide target) (wide learner)

        Judgement.worst [
            Judgement.finite $"μ in float32 ({where})" value
            Judgement.finite $"∇μ in float32 ({where})" slope
            Judgement.finite $"second derivatives of μ in float32 ({where})" curvature

            if mu.IsDivergence then
                // What is negative in float64 as well, or not zero, is another law's.
                let below =
                    Array.map2 (fun v e -> if e >= 0.0 then max 0.0 -v else 0.0) value exact
                    |> Array.max

                Judgement.within $"μ ≥ 0 in float32 ({where})" 0.0 below (fun () ->
                    $"μ is {Array.min value}, in float64 {Array.min exact}")

                if
                    obj.ReferenceEquals(target, learner)
                    && (exact |> Array.forall (fun v -> abs v <= 1e-13))
                then
                    Judgement.zero 0.0 $"μ(z, z) in float32 ({where})" value

            if accurate then
                let nearby, nearbySlope, _ =
                    judged
                        false
                        (nudged trial "target nudged" (wide target))
                        (nudged trial "learner nudged" (wide learner))

                Judgement.near (toRounding exact nearby) $"μ in float32, against float64 ({where})" exact value

                Judgement.near
                    (toRounding exactSlope nearbySlope)
                    $"∇μ in float32, against float64 ({where})"
                    exactSlope
                    slope
        ]

    /// Two pairs of sides for a matching function in float32, and whether it can be accurate there: the case's own, or almost equal, or equal;
    /// and one of extreme or masked logits. Over many cases, all kinds are visited often.
    let private pairs (narrow: Trial<'Data>) : (bool * string * Params * Params) list =
        let case = narrow.Case
        let z, x = shown narrow case.Others[0], shown narrow case.Others[1]

        let onLogits (f: Tensor -> Tensor) =
            Params.mapNamed (fun name t -> if name = "out/logits" then f t else t)

        let extreme (size: float) (purpose: string) =
            onLogits (fun t ->
                let z = (inSingle narrow purpose (Params.Single("z", t)))["z"]
                z.sign().mul(scalar size))

        let stream = narrow.Stream "pairs"
        let one (options: 'T list) = options[stream.Next options.Length]
        let distance = one near
        let almost = apart narrow distance z
        let size = one [ 1e4; 1e10; 1e30; 3e38 ]
        let far, farther = extreme size "target sign" z, extreme size "learner sign" z

        // The same action on both sides.
        let mask =
            let action = stream.Next 2

            fun (p: Params) ->
                p
                |> onLogits (fun t ->
                    let t = t.clone ()
                    (t.select (-1L, int64 action)).fill_(scalar -infinity) |> ignore
                    t)

        let maskedZ = mask z

        [
            one [
                true, "the case's own", z, x
                true, $"{distance} apart", z, almost
                true, $"{distance} apart", z, almost
                true, "equal", z, z
            ]
            one [
                size <= 1e4, $"logits of ±{size}", far, farther
                false, $"equal logits of ±{size}", far, far
                true, "an action masked", maskedZ, mask x
                true, "an action masked, equal", maskedZ, maskedZ
                false, $"an action masked, logits of ±{size}", mask far, mask farther
            ]
        ]

    let private matchesSingly (narrow: Trial<'Data>) : Judgement =
        Judgement.worst [
            if narrow.Case.Matching.IsDivergence then
                notBelowZero narrow

            for accurate, where, target, learner in pairs narrow do
                matchedSingly narrow accurate where target learner
        ]

    /// Directions in float32 against float64 after more steps than float32 can count: what counts steps starts a little below 2²⁴.
    let private countsOn (narrow: Trial<'Data>) (wide: Trial<'Data>) (optimizer: Optimizer) : Judgement =
        let late (trial: Trial<'Data>) =
            let x = trial.Case.State.Learner.Parameters
            let like = x.TensorArray[0].dtype

            let gradients = trial.Normal("late", x) |> Params.map (fun t -> (t.``to`` single).``to`` like)

            let hyper = trial.Hyper(trial.W, trial.Case.Batches[0])

            let step (state: Params) =
                optimizer.Transformation.Update.Invoke(gradients, state, x, hyper)

            let first = Optimizers.init optimizer x

            let counts (before: Tensor) (after: Tensor) =
                before.shape.Length = 1
                && (numbers before |> Array.forall (fun v -> v = 0.0))
                && (numbers after |> Array.forall (fun v -> v = 1.0))

            let second = (step first).State

            if not (Array.exists2 counts first.TensorArray second.TensorArray) then
                None
            else
                let mutable state =
                    Params.map2
                        (fun (a: Tensor) b ->
                            if counts a b then
                                torch.full_like (a, scalar (2.0 ** 24.0 - 2.0))
                            else
                                a)
                        first
                        second

                let mutable direction = gradients

                for _ in 1..5 do
                    let made = step state
                    state <- made.State
                    direction <- made.Direction

                Some(numbersOf direction)

        match late narrow, late wide with
        | Some found, Some expected ->
            Judgement.near
                // Relative to itself alone: a schedule near its end makes small steps.
                {
                    toRounding expected expected with
                        Floor = 1e-30
                }
                "the direction in float32 after 2²⁴ steps, against float64"
                expected
                found
        | _ -> Judgement.within "it counts nothing" 0.0 0.0 (fun () -> "")

    let private singlePrecision (trial: Trial<'Data>) =
        let case = trial.Case
        let narrow, wide = Trial(case.Rounded.Invoke single), Trial(case.Rounded.Invoke torch.float64)
        let made, exact = telling "float32" (fun () -> narrow.Bootstrapped), wide.Bootstrapped

        let nearby =
            let state = wide.Case.State

            Trial {
                wide.Case with
                    State = {
                        state with
                            Learner = {
                                state.Learner with
                                    Parameters = nudged wide "x nudged" state.Learner.Parameters
                            }
                            MetaParameters = nudged wide "w nudged" state.MetaParameters
                    }
            }

        let same (what: string) (read: MetaGradientResult<'Data> -> float[]) =
            let expected = read exact

            Judgement.near
                (toRounding expected (read nearby.Bootstrapped))
                $"{what} in float32, against float64"
                expected
                (read made)

        Judgement.worst [
            same "μ" valueOf
            same "the meta-gradient" (fun r -> numbersOf r.Gradient)
            same "the target" (fun r -> numbersOf r.Target)
            same "the learner" (fun r -> numbersOf r.NextLearner.Parameters)

            // In every second case: float64 has judged them already.
            let draw = (trial.Stream "edge in float32").NextDouble()

            if draw < 0.5 then
                for edge in narrow.Case.Edges.Invoke(2.0 * draw) do
                    let at = Trial edge.Case
                    let made = telling $"{edge.Name}, float32" (fun () -> at.Bootstrapped)
                    Judgement.finite $"the meta-gradient in float32 ({edge.Name})" (numbersOf made.Gradient)
                    Judgement.finite $"the learner in float32 ({edge.Name})" (numbersOf made.NextLearner.Parameters)

            if case.Part = Parts.MatchingFunction then
                matchesSingly narrow

            match case.Judged with
            | null -> ()
            | optimizer -> countsOn narrow wide optimizer
        ]

    // Ways to get through K steps.

    let private through (trial: Trial<'Data>) (way: ThroughSteps) =
        trial.With(fun learner -> learner.With way)

    let private forward (trial: Trial<'Data>) =
        needsSteps trial (fun () ->
            if (Params.flatten trial.W).shape[1] > 6L then
                Judgement.doesNotApply "forward mode is for few meta-parameters"
            else
                Judgement.near
                    Tolerance.Accumulated
                    "the meta-gradient in forward mode, against reverse mode"
                    (numbersOf trial.Bootstrapped.Gradient)
                    (numbersOf (through trial ThroughSteps.Forward).Gradient))

    let private truncated (trial: Trial<'Data>) =
        needsSteps trial (fun () ->
            let k = trial.InnerSteps

            if k = 1 || (trial.Stream "truncation").NextDouble() < 0.5 then
                Judgement.near
                    Tolerance.Rounding
                    "the meta-gradient truncated at K, against reverse mode"
                    (numbersOf trial.Bootstrapped.Gradient)
                    (numbersOf (through trial (ThroughSteps.Truncated k)).Gradient)
            else
                // One step fewer is a full meta-step that starts one step later.
                let case = trial.Case

                let later =
                    Trial {
                        case with
                            Learner = { case.Learner with InnerSteps = k - 1 }
                            State = {
                                case.State with
                                    Learner = trial.Live(1, trial.W)
                            }
                            Batches = case.Batches[1..]
                    }

                Judgement.near
                    Tolerance.Accumulated
                    "the meta-gradient truncated at K − 1, against one that starts a step later"
                    (numbersOf later.Bootstrapped.Gradient)
                    (numbersOf (through trial (ThroughSteps.Truncated(k - 1))).Gradient))

    let private firstOrder (trial: Trial<'Data>) =
        if trial.InnerSteps <> 1 then
            Judgement.doesNotApply "it is exact for one step alone"
        else
            Judgement.near
                Tolerance.Accumulated
                "the first-order meta-gradient of one step, against reverse mode"
                (numbersOf trial.Bootstrapped.Gradient)
                (numbersOf (through trial ThroughSteps.FirstOrder).Gradient)

    let private law name parts statement (judge: Trial<'Data> -> Judgement) : Law<'Data> =
        Law<'Data>.Create(name, statement, parts, judge)

    /// Every law, in the order in which they are reported.
    [<CompiledName "All">]
    let all<'Data> () : Law<'Data>[] =
        let mu = Parts.MatchingFunction
        let rules = Parts.Optimizer ||| Parts.UpdateRule
        let steps = rules ||| Parts.MetaParameters ||| Parts.Layer

        [|
            law "divergence" mu "μ ≥ 0, μ(z, z) = 0 and ∇ₓμ(z, x) = 0 at x = z" divergence
            law "symmetry" mu "μ(a, b) = μ(b, a)" symmetric
            law "triangle" mu "√μ obeys the triangle inequality" triangle
            law "shift" mu "a constant added to a state's logits changes nothing" shiftInvariant
            law "moments" mu "the gradient by the learner's logits is π_x − π_x̃" moments
            law "stops" mu "no gradient passes to a target, even to one that is part of a graph" stops
            law
                "stopped-target"
                (mu ||| Parts.Target)
                "the meta-gradient is the one with x̃ saved as plain numbers and loaded again"
                stoppedTarget
            law
                "mg-is-bmg"
                steps
                "with μ = ‖x̃ − x‖²/(2α) and one plain gradient step as target, the meta-gradient is the plain one"
                simplest
            law
                "fixed-point"
                (mu ||| Parts.Target ||| rules)
                "where the learner is at rest, the meta-gradient is zero"
                fixedPoint
            law
                "local-gain"
                (mu ||| Parts.Target ||| rules)
                "a small meta-step changes the loss by −β⟨Jᵀg, Jᵀ∇μ⟩; squared L2 with a plain step never ascends"
                localGain
            law "differences" Parts.All "the meta-gradient agrees with central differences, x̃ frozen" finiteDifferences
            law "members" Parts.All "a population gives what its members give one by one" vectorising
            law "permutation" Parts.All "permuting members permutes results" permutation
            law "fisher" mu "near a match, μ is ½c·dᵀFd and its gradient c·Fd, F the policy's Fisher matrix" fisher
            law "scaling" (mu ||| Parts.Target) "scaling μ by c scales the meta-gradient by c" scaling
            law "sum" (mu ||| Parts.Target) "a sum of matching functions has the sum of the meta-gradients" sum
            law
                "ignored"
                (Parts.Target ||| rules ||| Parts.MetaParameters)
                "a part of w that φ ignores gets a zero meta-gradient"
                ignored
            law "repeatable" Parts.All "a seed fixes everything" repeatable
            law "pure" Parts.All "nothing that goes in is written to" pure'
            law
                "edges"
                Parts.All
                "meta-gradients and second derivatives are finite where gradients vanish, policies are equal or certain"
                edges
            law
                "life"
                (Parts.Target ||| rules)
                "the learner that lives on is what plain steps of φ make of it, whatever judges w"
                life
            law "carries" Parts.Optimizer "an optimizer that has a state moves it" carries
            law
                "float32"
                Parts.All
                "in float32 it is what it is in float64, to rounding: no NaN, no divergence below zero, at extreme and masked logits too"
                singlePrecision
            law "forward" steps "forward mode gives the numbers of reverse mode" forward
            law
                "truncated"
                steps
                "truncated at K is reverse mode; truncated at K − 1 is reverse mode from one step later"
                truncated
            law "first-order" steps "for one step, first-order is exact" firstOrder
        |]
