namespace Bmg

open System
open System.ComponentModel
open System.Runtime.InteropServices
open TorchSharp

/// What a gradient transformation puts out: a direction to descend along, and its state for the next call.
[<ReferenceEquality>]
type TransformationStep = { Direction: Params; State: Params }

/// A pure map from gradients to a descent direction, with state: clipping, momentum, preconditioning, decay, schedules. Differentiable.
[<ReferenceEquality>]
type GradientTransformation = {
    Name: string
    /// Parameters → first state.
    Init: Func<Params, Params>
    /// (gradients, state, parameters x, hyper-parameters) → direction, next state. The gradients are those of the loss, or the direction
    /// of the transformation before.
    Update: Func<Params, Params, Params, Params, TransformationStep>
} with

    /// <summary>A transformation of gradients and state alone.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="init">Parameters → first state.</param>
    /// <param name="update">(gradients, state) → direction and next state.</param>
    /// <returns>The transformation.</returns>
    static member Create
        (name: string, init: Func<Params, Params>, update: Func<Params, Params, TransformationStep>)
        : GradientTransformation = {
        Name = name
        Init = init
        Update = Func<_, _, _, _, _>(fun gradients state _ _ -> update.Invoke(gradients, state))
    }

    /// <summary>A transformation that also reads the parameters or the hyper-parameters.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="init">Parameters → first state.</param>
    /// <param name="update">(gradients, state, x, hyper-parameters) → direction and next state.</param>
    /// <returns>The transformation.</returns>
    static member CreateAt
        (name: string, init: Func<Params, Params>, update: Func<Params, Params, Params, Params, TransformationStep>)
        : GradientTransformation = {
        Name = name
        Init = init
        Update = update
    }

/// Where a number comes from that a meta-learner may tune.
[<RequireQualifiedAccess>]
type Setting =
    | Constant of float
    /// The hyper-parameter of this name, [P], put out by the meta-parameters.
    | Learned of string
    /// For each tensor of the parameters a hyper-parameter of its own, named by this prefix and the tensor's name: one number a member,
    /// [P], or the tensor's own shape, [P, …], and then element by element. The population axis is at P, or at 1 where it is shared.
    | LearnedPerTensor of Prefix: string

/// Names of the hyper-parameters that the library's agents and optimizers read where a setting is learned and nothing else is said.
[<RequireQualifiedAccess>]
module HyperParameters =

    /// γ, the factor of what comes a step later, in [0, 1].
    [<Literal>]
    let Discount = "discount"

    /// λ of λ-returns and traces, in [0, 1].
    [<Literal>]
    let TraceDecay = "traceDecay"

    /// Weight of the entropy term, in units of the loss per nat.
    [<Literal>]
    let EntropyWeight = "entropyWeight"

    /// Weight of the value loss, ½E[(target − v)²]: the ½ is not part of the weight.
    [<Literal>]
    let ValueWeight = "valueWeight"

    /// Size of a learner's step, positive.
    [<Literal>]
    let LearningRate = "learningRate"

    /// Largest norm of a member's whole gradient, positive.
    [<Literal>]
    let GradientClip = "gradientClip"

    /// ε, the rate of exploration, in [0, 1].
    [<Literal>]
    let Epsilon = "epsilon"

/// What settings mean.
[<RequireQualifiedAccess>]
module internal Settings =

    /// Refuses a setting that is not one number a member, or a constant outside [low, high].
    let check (fn: string) (argument: string) (low: float) (high: float) (setting: Setting) : unit =
        match setting with
        | Setting.Constant value -> Check.range fn argument low high value
        | Setting.Learned _ -> ()
        | Setting.LearnedPerTensor prefix ->
            Check.fail fn argument "a constant or one hyper-parameter" $"one for each tensor, '{prefix}…'"

    /// The number of a setting, [P] or [1], to go with tensors like `like` [P, …]: a constant or the hyper-parameter.
    let value (setting: Setting) (hyper: Params) (like: Tensor) : Tensor =
        match setting with
        | Setting.Constant value ->
            torch.full ([| like.shape[0] |], Scalars.constant value, dtype = like.dtype, device = like.device)
        | Setting.Learned name -> hyper[name]
        | Setting.LearnedPerTensor prefix ->
            Check.fail
                "Settings.value"
                "setting"
                "a constant or one hyper-parameter"
                $"one for each tensor, '{prefix}…'"

    /// loss + setting · term, [P] each.
    let addTo (loss: Tensor) (setting: Setting) (hyper: Params) (term: Tensor) : Tensor =
        match setting with
        | Setting.Constant value -> loss.add (term, Scalars.constant value)
        | learned -> loss.addcmul (value learned hyper term, term, Scalars.constant 1.0)

    /// The name that a setting reads, or nothing.
    let name (setting: Setting) : string voption =
        match setting with
        | Setting.Constant _ -> ValueNone
        | Setting.Learned name
        | Setting.LearnedPerTensor name -> ValueSome name

    /// setting · p, tensor by tensor. Throws an ArgumentException where a hyper-parameter is missing or does not fit its tensor.
    let scale (setting: Setting) (hyper: Params) (p: Params) : Params =
        match setting with
        | Setting.Constant value ->
            use factor: Scalar = Scalar.op_Implicit value
            Params.map (fun t -> t.mul factor) p
        | Setting.Learned name ->
            let value = hyper[name]
            Params.map (fun t -> t.mul (Params.broadcast value t)) p
        | Setting.LearnedPerTensor prefix ->
            p.WithTensors(
                Array.map2
                    (fun (name: string) (t: Tensor) ->
                        let value = hyper[prefix + name]

                        if value.shape.Length = 1 then
                            t.mul (Params.broadcast value t)
                        else
                            let shape = Array.copy t.shape
                            shape[0] <- value.shape[0]

                            Check.shape
                                "Setting.LearnedPerTensor"
                                (prefix + name)
                                "[P], or that of its tensor"
                                shape
                                value

                            t.mul value)
                    p.NameArray
                    p.TensorArray
            )

/// How steps grow or shrink with the number of steps made: a factor of the direction.
[<ReferenceEquality>]
type Schedule = {
    Name: string
    /// Steps made before this one, [P] (0 at the first), float64 → factor, [P]. Counts are constants: no gradient passes through them.
    Factor: Func<Tensor, Tensor>
} with

    /// <summary>A schedule from a function.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="factor">Steps made before this one, [P], float64 → factor of the direction, [P].</param>
    /// <returns>The schedule.</returns>
    static member Create(name: string, factor: Func<Tensor, Tensor>) : Schedule = { Name = name; Factor = factor }

/// A learning rate and a gradient transformation: x ← x − rate · direction.
[<ReferenceEquality>]
type Optimizer = {
    Name: string
    LearningRate: Setting
    Transformation: GradientTransformation
}

/// Schedules. t is the number of steps made before the one that is scaled: 0 at the first.
[<RequireQualifiedAccess>]
module Schedules =

    let private scalar (v: float) : Scalar = Scalars.constant v
    let private one = scalar 1.0

    /// min(1, t/steps).
    let private progress (steps: int) (t: Tensor) : Tensor =
        t.div(scalar (float steps)).clamp_max one

    let private checkSteps (fn: string) (steps: int) =
        Check.require fn "steps" "at least 1" steps (steps >= 1)

    /// <summary>The same `factor` at every step.</summary>
    /// <param name="factor">At least 0.</param>
    /// <returns>The schedule.</returns>
    [<CompiledName "Constant">]
    let constant (factor: float) : Schedule =
        Check.range "Schedules.constant" "factor" 0.0 infinity factor
        Schedule.Create($"constant({factor})", (fun t -> torch.full_like (t, scalar factor)))

    /// <summary>From `first` at t = 0 in a line to `last` at t = `steps`, and `last` from there on.</summary>
    /// <param name="first">The factor at the first step, at least 0.</param>
    /// <param name="last">The factor from <paramref name="steps"/> on, at least 0.</param>
    /// <param name="steps">At least 1.</param>
    /// <returns>The schedule.</returns>
    [<CompiledName "Linear">]
    let linear (first: float) (last: float) (steps: int) : Schedule =
        Check.range "Schedules.linear" "first" 0.0 infinity first
        Check.range "Schedules.linear" "last" 0.0 infinity last
        checkSteps "Schedules.linear" steps
        let span, start = scalar (last - first), scalar first
        Schedule.Create($"linear({first}, {last}, {steps})", (fun t -> (progress steps t).mul(span).plus start))

    /// <summary>decayᵗ, with `decay` > 0: 0.99 takes one per cent off at every step.</summary>
    /// <param name="decay">Positive.</param>
    /// <returns>The schedule.</returns>
    [<CompiledName "Exponential">]
    let exponential (decay: float) : Schedule =
        Check.range "Schedules.exponential" "decay" 0.0 infinity decay
        Check.require "Schedules.exponential" "decay" "positive" decay (decay > 0.0)
        let rate = scalar (log decay)
        Schedule.Create($"exponential({decay})", (fun t -> t.mul(rate).exp()))

    /// <summary>From 1 at t = 0 to `last` at t = `steps` along half a cosine, last + (1 − last)·½(1 + cos(πt/steps)), and `last` from there on
    /// (Loshchilov and Hutter 2017, eq. 5, without restarts).</summary>
    /// <param name="last">The factor at the end, in [0, 1].</param>
    /// <param name="steps">At least 1.</param>
    /// <returns>The schedule.</returns>
    [<CompiledName "Cosine">]
    let cosine (last: float) (steps: int) : Schedule =
        Check.range "Schedules.cosine" "last" 0.0 1.0 last
        checkSteps "Schedules.cosine" steps
        let pi, half, floor = scalar Math.PI, scalar (0.5 * (1.0 - last)), scalar last

        Schedule.Create(
            $"cosine({last}, {steps})",
            (fun t -> (progress steps t).mul(pi).cos().plus(one).mul(half).plus floor)
        )

    /// <summary>min(1, (t + 1)/steps): in a line up to 1 at the step number `steps`, and 1 from there on. The first step is not lost.</summary>
    /// <param name="steps">At least 1.</param>
    /// <returns>The schedule.</returns>
    [<CompiledName "Warmup">]
    let warmup (steps: int) : Schedule =
        checkSteps "Schedules.warmup" steps
        Schedule.Create($"warmup({steps})", (fun t -> progress steps (t.plus one)))

    /// <summary>The product of several schedules, at least one: `product [| warmup 100; cosine 0.0 10_000 |]`.</summary>
    /// <param name="schedules">At least one.</param>
    /// <returns>The schedule.</returns>
    [<CompiledName "Product">]
    let product (schedules: Schedule[]) : Schedule =
        Check.require "Schedules.product" "schedules" "at least one" schedules.Length (schedules.Length > 0)

        Schedule.Create(
            schedules |> Array.map (fun s -> s.Name) |> String.concat " · ",
            (fun t ->
                schedules
                |> Array.map (fun s -> s.Factor.Invoke t)
                |> Array.reduce (fun a b -> a.mul b))
        )

/// Gradient transformations. Roots carry an epsilon inside as well as outside: the derivative of √v at v = 0 is infinite, and a
/// meta-gradient through a parameter that got no gradient yet would be NaN.
[<RequireQualifiedAccess>]
module Transformations =

    let private scalar (v: float) : Scalar = Scalars.constant v

    /// The gradient itself.
    [<CompiledName "Identity">]
    let identity: GradientTransformation =
        GradientTransformation.Create("identity", (fun _ -> Params.Empty), (fun g s -> { Direction = g; State = s }))

    /// <summary>One after the other, in order: each takes the direction of the one before for its gradients. None at all is the identity.
    /// State: that of part i (from 1) under "i/".</summary>
    /// <param name="parts">In the order in which gradients go through them.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "Chain">]
    let chain (parts: GradientTransformation[]) : GradientTransformation =
        let parts = Array.copy parts
        let prefixes = Array.init parts.Length (fun i -> $"{i + 1}/")

        match parts with
        | [||] -> identity
        | [| only |] -> only
        | _ ->
            GradientTransformation.CreateAt(
                parts |> Array.map (fun p -> p.Name) |> String.concat ", ",
                (fun x ->
                    Params.merge (
                        Array.map2
                            (fun prefix (p: GradientTransformation) -> Params.prefix prefix (p.Init.Invoke x))
                            prefixes
                            parts
                    )),
                (fun g state x hyper ->
                    let mutable direction = g
                    let states = Array.zeroCreate<Params> parts.Length

                    for i in 0 .. parts.Length - 1 do
                        let step = parts[i].Update.Invoke(direction, Params.sub prefixes[i] state, x, hyper)
                        direction <- step.Direction
                        states[i] <- Params.prefix prefixes[i] step.State

                    {
                        Direction = direction
                        State = Params.merge states
                    })
            )

    /// <summary>First one, then the other.</summary>
    /// <param name="first">What gradients go through first.</param>
    /// <param name="second">What its direction goes through.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "Compose">]
    let compose (first: GradientTransformation) (second: GradientTransformation) : GradientTransformation =
        chain [| first; second |]

    /// Steps made, none so far: [P] of a type, on the parameters' device.
    let private zeroCount (dtype: torch.ScalarType) (x: Params) : Params =
        let first = x.TensorArray[0]
        Params.Single("count", torch.zeros ([| x.Members |], dtype = dtype, device = first.device))

    /// <summary>The direction times a schedule's factor. State: "count" [P], steps made so far, float64 whatever the parameters' type: float32 counts
    /// to 2²⁴ and stays there.</summary>
    /// <param name="schedule">Steps made → factor.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "Scheduled">]
    let scheduled (schedule: Schedule) : GradientTransformation =
        let one = scalar 1.0

        GradientTransformation.Create(
            schedule.Name,
            zeroCount torch.float64,
            (fun g state ->
                // A state saved by an earlier version counts in the parameters' type.
                let count = state["count"].``to`` torch.float64
                let factor = (schedule.Factor.Invoke count).``to`` g.TensorArray[0].dtype

                {
                    Direction = Params.map (fun t -> t.mul (Params.broadcast factor t)) g
                    State = Params.Single("count", count.plus one)
                })
        )

    /// <summary>Adds λ·x to the direction. After an optimizer's own transformation this is weight decay decoupled from the gradient (Loshchilov and
    /// Hutter 2019, algorithm 2, λ in units of the learning rate, as PyTorch has it): x ← x − rate·(direction + λ·x). Before it, it is the
    /// gradient of ½λ‖x‖². It moves parameters that get no gradient, and its result depends on x by itself.</summary>
    /// <param name="decay">λ, at least 0: a constant, or a hyper-parameter.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "WeightDecay">]
    let weightDecay (decay: Setting) : GradientTransformation =
        match decay with
        | Setting.Constant value -> Check.range "Transformations.weightDecay" "decay" 0.0 infinity value
        | _ -> ()

        let name =
            match decay with
            | Setting.Constant value -> $"decay({value})"
            | Setting.Learned name -> $"decay({name})"
            | Setting.LearnedPerTensor prefix -> $"decay({prefix}…)"

        GradientTransformation.CreateAt(
            name,
            (fun _ -> Params.Empty),
            (fun g state x hyper -> {
                Direction = Params.add g (Settings.scale decay hyper x)
                State = state
            })
        )

    /// <summary>Heavy-ball momentum, m ← d·m + g, direction m (Polyak 1964, in the form without dampening).</summary>
    /// <param name="decay">d in [0, 1].</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "Momentum">]
    let momentum (decay: float) : GradientTransformation =
        Check.range "Transformations.momentum" "decay" 0.0 1.0 decay
        let d = scalar decay

        GradientTransformation.Create(
            $"momentum({decay})",
            (fun x -> Params.zerosLike x),
            (fun g m ->
                let next = Params.map2 (fun g m -> g.add (m, d)) g m
                { Direction = next; State = next })
        )

    /// <summary>Nesterov momentum (Sutskever et al. 2013, eq. 3 and 4, in PyTorch's form about the point looked ahead to): m ← d·m + g, direction
    /// g + d·m.</summary>
    /// <param name="decay">d in [0, 1].</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "Nesterov">]
    let nesterov (decay: float) : GradientTransformation =
        Check.range "Transformations.nesterov" "decay" 0.0 1.0 decay
        let d = scalar decay

        GradientTransformation.Create(
            $"nesterov({decay})",
            (fun x -> Params.zerosLike x),
            (fun g m ->
                let next = Params.map2 (fun g m -> g.add (m, d)) g m

                {
                    Direction = Params.map2 (fun g m -> g.add (m, d)) g next
                    State = next
                })
        )

    /// √(v + εᵢ) + εₒ. With εᵢ = 0 and no graph this is the usual √v + ε.
    let private root (epsilonInRoot: Scalar) (epsilon: Scalar) (v: Tensor) =
        v.plus(epsilonInRoot).sqrt().plus epsilon

    /// <summary>RMSProp (Tieleman and Hinton 2012): v ← d·v + (1 − d)·g², direction g / (√(v + εᵢ) + ε).</summary>
    /// <param name="decay">d in [0, 1].</param>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0; 1e-16 is what optimizers take.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "RmsProp">]
    let rmsProp (decay: float) (epsilon: float) (epsilonInRoot: float) : GradientTransformation =
        Check.range "Transformations.rmsProp" "decay" 0.0 1.0 decay
        Check.range "Transformations.rmsProp" "epsilon" 0.0 infinity epsilon
        Check.range "Transformations.rmsProp" "epsilonInRoot" 0.0 infinity epsilonInRoot
        let d, rest = scalar decay, scalar (1.0 - decay)
        let inside, outside = scalar epsilonInRoot, scalar epsilon

        GradientTransformation.Create(
            $"rmsprop({decay})",
            (fun x -> Params.zerosLike x),
            (fun g v ->
                let next = Params.map2 (fun g v -> v.mul(d).addcmul(g, g, rest)) g v

                {
                    Direction = Params.map2 (fun g v -> g.div (root inside outside v)) g next
                    State = next
                })
        )

    /// <summary>Centered RMSProp (Graves 2013, eq. 38 to 41): m ← d·m + (1 − d)·g, v ← d·v + (1 − d)·g², direction g / (√(v − m² + εᵢ) + ε).
    /// s = v − m² is carried itself, as s ← d·s + d(1 − d)·(g − m)² with the m before: the same number, but never negative, and without
    /// the digits that a difference of near equals loses. State: "mean/…", "variance/…".</summary>
    /// <param name="decay">d in [0, 1].</param>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0; 1e-16 is what optimizers take.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "CenteredRmsProp">]
    let centeredRmsProp (decay: float) (epsilon: float) (epsilonInRoot: float) : GradientTransformation =
        Check.range "Transformations.centeredRmsProp" "decay" 0.0 1.0 decay
        Check.range "Transformations.centeredRmsProp" "epsilon" 0.0 infinity epsilon
        Check.range "Transformations.centeredRmsProp" "epsilonInRoot" 0.0 infinity epsilonInRoot
        let d, rest, both = scalar decay, scalar (1.0 - decay), scalar (decay * (1.0 - decay))
        let inside, outside = scalar epsilonInRoot, scalar epsilon

        GradientTransformation.Create(
            $"centered rmsprop({decay})",
            (fun x ->
                Params.merge [|
                    Params.prefix "mean/" (Params.zerosLike x)
                    Params.prefix "variance/" (Params.zerosLike x)
                |]),
            (fun g state ->
                let mean = Params.sub "mean/" state
                let deviation = Params.map2 (fun g m -> g.minus m) g mean

                let variance =
                    Params.map2 (fun e s -> s.mul(d).addcmul(e, e, both)) deviation (Params.sub "variance/" state)

                {
                    Direction = Params.map2 (fun g s -> g.div (root inside outside s)) g variance
                    State =
                        Params.merge [|
                            Params.prefix "mean/" (Params.map2 (fun e m -> m.add (e, rest)) deviation mean)
                            Params.prefix "variance/" variance
                        |]
                })
        )

    /// <summary>Adagrad (Duchi et al. 2011, figure 1, diagonal): s ← s + g², direction g / (√(s + εᵢ) + ε).</summary>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0; 1e-16 is what optimizers take.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "Adagrad">]
    let adagrad (epsilon: float) (epsilonInRoot: float) : GradientTransformation =
        Check.range "Transformations.adagrad" "epsilon" 0.0 infinity epsilon
        Check.range "Transformations.adagrad" "epsilonInRoot" 0.0 infinity epsilonInRoot
        let inside, outside, one = scalar epsilonInRoot, scalar epsilon, scalar 1.0

        GradientTransformation.Create(
            "adagrad",
            (fun x -> Params.zerosLike x),
            (fun g s ->
                let next = Params.map2 (fun (g: Tensor) s -> s.addcmul (g, g, one)) g s

                {
                    Direction = Params.map2 (fun g s -> g.div (root inside outside s)) g next
                    State = next
                })
        )

    /// <summary>Adam (Kingma and Ba 2015, algorithm 1): moments with bias correction, direction m̂ / (√(v̂ + εᵢ) + ε).
    /// State: "m/…", "v/…" and "count" [P], of the parameters' type. In float32 the count stays at 2²⁴ steps, where 1 − βᵗ is 1 for every
    /// β up to 1 − 2e-6; a β nearer to 1 needs float64, if only because float32 has few numbers left between the two.</summary>
    /// <param name="beta1">Decay of the first moment, in [0, 1).</param>
    /// <param name="beta2">Decay of the second moment, in [0, 1).</param>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0; 1e-16 is what optimizers take.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "Adam">]
    let adam (beta1: float) (beta2: float) (epsilon: float) (epsilonInRoot: float) : GradientTransformation =
        Check.range "Transformations.adam" "beta1" 0.0 0.999999999 beta1
        Check.range "Transformations.adam" "beta2" 0.0 0.999999999 beta2
        Check.range "Transformations.adam" "epsilon" 0.0 infinity epsilon
        Check.range "Transformations.adam" "epsilonInRoot" 0.0 infinity epsilonInRoot
        let b1, rest1, log1 = scalar beta1, scalar (1.0 - beta1), scalar (log beta1)
        let b2, rest2, log2 = scalar beta2, scalar (1.0 - beta2), scalar (log beta2)
        let inside, outside, one = scalar epsilonInRoot, scalar epsilon, scalar 1.0

        GradientTransformation.Create(
            $"adam({beta1}, {beta2})",
            (fun x ->
                Params.merge [|
                    Params.prefix "m/" (Params.zerosLike x)
                    Params.prefix "v/" (Params.zerosLike x)
                    zeroCount x.TensorArray[0].dtype x
                |]),
            (fun g state ->
                let m = Params.map2 (fun g m -> m.mul(b1).add(g, rest1)) g (Params.sub "m/" state)

                let v = Params.map2 (fun g v -> v.mul(b2).addcmul(g, g, rest2)) g (Params.sub "v/" state)

                let count = state["count"].plus one
                // 1 − βᵗ, written as −expm1(t·log β) so that it keeps its digits for β near 1.
                let correction (log: Scalar) = count.mul(log).expm1().neg()
                let c1, c2 = correction log1, correction log2

                let direction =
                    Params.map2
                        (fun m v ->
                            let mHat = m.div (Params.broadcast c1 m)
                            let vHat = v.div (Params.broadcast c2 v)
                            mHat.div (root inside outside vHat))
                        m
                        v

                {
                    Direction = direction
                    State =
                        Params.merge [| Params.prefix "m/" m; Params.prefix "v/" v; Params.Single("count", count) |]
                })
        )

    /// Gradients whose longest norm is what `limited` makes of 1 / norm, [P]: limit / norm. Hyper-parameters are its second argument.
    let private clipped (name: string) (limited: Tensor -> Params -> Tensor) : GradientTransformation =
        let one, tiny = scalar 1.0, scalar 1e-24

        GradientTransformation.CreateAt(
            name,
            (fun _ -> Params.Empty),
            (fun g s _ hyper ->
                let norm = (Params.squaredNorm g).plus(tiny).sqrt()
                let factor = (limited (norm.reciprocal ()) hyper).clamp_max one

                {
                    Direction = Params.map (fun t -> t.mul (Params.broadcast factor t)) g
                    State = s
                })
        )

    /// <summary>Scales each member's whole gradient down to norm `maximum` where it is longer (Pascanu et al. 2013), per member.
    /// The norm's derivative is defined at zero: an epsilon of 1e-24 stands inside the root.</summary>
    /// <param name="maximum">Longest norm, positive.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "ClipByGlobalNorm">]
    let clipByGlobalNorm (maximum: float) : GradientTransformation =
        Check.require "Transformations.clipByGlobalNorm" "maximum" "positive" maximum (maximum > 0.0)
        let limit = scalar maximum
        clipped $"clip({maximum})" (fun inverse _ -> inverse.mul limit)

    /// <summary>`clipByGlobalNorm` with its maximum taken from the hyper-parameter `name`, [P]. The maximum has a derivative where the gradient is
    /// longer than it, and none, exactly 0, where nothing is clipped.</summary>
    /// <param name="name">The hyper-parameter's name, [P]; positive.</param>
    /// <returns>The transformation.</returns>
    [<CompiledName "ClipByLearnedNorm">]
    let clipByLearnedNorm (name: string) : GradientTransformation =
        clipped $"clip({name})" (fun inverse hyper -> inverse.mul hyper[name])

/// Optimizers: compositions of transformations with a learning rate.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module Optimizers =

    /// What stands inside roots where nothing else is asked for: small beside any second moment that counts, and enough that √v has a finite
    /// derivative at v = 0.
    [<Literal>]
    let EpsilonInRoot = 1e-16

    let private make (name: string) (rate: float) (transformation: GradientTransformation) : Optimizer =
        Check.range $"Optimizers.{name}" "learningRate" 0.0 infinity rate

        {
            Name = name
            LearningRate = Setting.Constant rate
            Transformation = transformation
        }

    /// x − α·g.
    let sgd (learningRate: float) : Optimizer =
        make "sgd" learningRate Transformations.identity

    /// SGD with heavy-ball momentum.
    let momentum (learningRate: float) (decay: float) : Optimizer =
        make "momentum" learningRate (Transformations.momentum decay)

    /// SGD with Nesterov momentum.
    let nesterov (learningRate: float) (decay: float) : Optimizer =
        make "nesterov" learningRate (Transformations.nesterov decay)

    /// RMSProp without momentum, not centered. With momentum: `after (Transformations.momentum 0.9) (rmsProp …)`. `epsilon` stands outside
    /// the root, `epsilonInRoot` inside: `EpsilonInRoot` unless there is a reason.
    let rmsProp (learningRate: float) (decay: float) (epsilon: float) (epsilonInRoot: float) : Optimizer =
        make "rmsprop" learningRate (Transformations.rmsProp decay epsilon epsilonInRoot)

    /// RMSProp with the mean taken off: by the gradients' deviation rather than their size.
    let centeredRmsProp (learningRate: float) (decay: float) (epsilon: float) (epsilonInRoot: float) : Optimizer =
        make "centered rmsprop" learningRate (Transformations.centeredRmsProp decay epsilon epsilonInRoot)

    /// Adagrad.
    let adagrad (learningRate: float) (epsilon: float) (epsilonInRoot: float) : Optimizer =
        make "adagrad" learningRate (Transformations.adagrad epsilon epsilonInRoot)

    /// Adam.
    let adam (learningRate: float) (beta1: float) (beta2: float) (epsilon: float) (epsilonInRoot: float) : Optimizer =
        make "adam" learningRate (Transformations.adam beta1 beta2 epsilon epsilonInRoot)

    /// The optimizer with a transformation before its own: `before clip (sgd 0.1)`.
    let before (first: GradientTransformation) (optimizer: Optimizer) : Optimizer = {
        optimizer with
            Name = $"{first.Name}, {optimizer.Name}"
            Transformation = Transformations.compose first optimizer.Transformation
    }

    /// The optimizer with a transformation after its own: `after (Transformations.momentum 0.9) (rmsProp 0.01 0.99 1e-8 EpsilonInRoot)`.
    let after (last: GradientTransformation) (optimizer: Optimizer) : Optimizer = {
        optimizer with
            Name = $"{optimizer.Name}, {last.Name}"
            Transformation = Transformations.compose optimizer.Transformation last
    }

    /// The optimizer with steps scaled by a schedule, weight decay that it already has included.
    let withSchedule (schedule: Schedule) (optimizer: Optimizer) : Optimizer =
        after (Transformations.scheduled schedule) optimizer

    /// The optimizer with weight decay decoupled from the gradient: x ← x − rate·(direction + λ·x), `decay` = λ ≥ 0.
    let withWeightDecay (decay: float) (optimizer: Optimizer) : Optimizer =
        after (Transformations.weightDecay (Setting.Constant decay)) optimizer

    /// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).
    let adamW
        (learningRate: float)
        (beta1: float)
        (beta2: float)
        (epsilon: float)
        (epsilonInRoot: float)
        (weightDecay: float)
        : Optimizer =
        withWeightDecay weightDecay (adam learningRate beta1 beta2 epsilon epsilonInRoot)

    /// The optimizer with its learning rate taken from the hyper-parameter `name`, [P].
    let withLearnedRate (name: string) (optimizer: Optimizer) : Optimizer = {
        optimizer with
            LearningRate = Setting.Learned name
    }

    /// The optimizer with a learning rate for each tensor, or for each single parameter (Meta-SGD), from the hyper-parameters named
    /// `prefix` + the tensor's name (see `Setting.LearnedPerTensor`).
    let withRatePerTensor (prefix: string) (optimizer: Optimizer) : Optimizer = {
        optimizer with
            LearningRate = Setting.LearnedPerTensor prefix
    }

    /// First state of the optimizer for parameters x.
    let init (optimizer: Optimizer) (x: Params) : Params = optimizer.Transformation.Init.Invoke x

    /// One step: (x, state, gradients, hyper-parameters) → x − rate·direction and the next state. Builds a graph where one is being
    /// recorded; writes nothing in place.
    let apply
        (optimizer: Optimizer)
        (x: Params)
        (state: Params)
        (gradients: Params)
        (hyper: Params)
        : struct (Params * Params) =
        let step = optimizer.Transformation.Update.Invoke(gradients, state, x, hyper)

        let next =
            match optimizer.LearningRate with
            | Setting.Constant rate ->
                use minus: Scalar = Scalar.op_Implicit -rate
                Params.map2 (fun x d -> x.add (d, minus)) x step.Direction
            | learned -> Params.subtract x (Settings.scale learned hyper step.Direction)

        struct (next, step.State)

/// Optimizers: what C# calls. A rate or a setting out of its range is an ArgumentException.
[<AbstractClass; Sealed>]
type Optimizers =

    /// <summary>Stochastic gradient descent: x − α·g.</summary>
    /// <param name="learningRate">α, at least 0.</param>
    /// <returns>The optimizer.</returns>
    static member Sgd(learningRate: float) : Optimizer = Optimizers.sgd learningRate

    /// <summary>SGD with heavy-ball momentum: m ← d·m + g, x − α·m.</summary>
    /// <param name="learningRate">α, at least 0.</param>
    /// <param name="decay">d in [0, 1].</param>
    /// <returns>The optimizer.</returns>
    static member Momentum(learningRate: float, decay: float) : Optimizer = Optimizers.momentum learningRate decay

    /// <summary>SGD with Nesterov momentum: m ← d·m + g, x − α·(g + d·m).</summary>
    /// <param name="learningRate">α, at least 0.</param>
    /// <param name="decay">d in [0, 1].</param>
    /// <returns>The optimizer.</returns>
    static member Nesterov(learningRate: float, decay: float) : Optimizer = Optimizers.nesterov learningRate decay

    /// <summary>RMSProp without momentum, not centered: v ← d·v + (1 − d)·g², x − α·g/(√(v + εᵢ) + ε).</summary>
    /// <param name="learningRate">α, at least 0.</param>
    /// <param name="decay">d in [0, 1].</param>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0. With 0 a meta-gradient is NaN wherever a second moment is 0.</param>
    /// <returns>The optimizer.</returns>
    static member RmsProp
        (
            learningRate: float,
            decay: float,
            epsilon: float,
            [<Optional; DefaultParameterValue(1e-16)>] epsilonInRoot: float
        ) : Optimizer =
        Optimizers.rmsProp learningRate decay epsilon epsilonInRoot

    /// <summary>RMSProp with the mean taken off: by the gradients' deviation rather than their size.</summary>
    /// <param name="learningRate">α, at least 0.</param>
    /// <param name="decay">d in [0, 1].</param>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0. With 0 a meta-gradient is NaN wherever a second moment is 0.</param>
    /// <returns>The optimizer.</returns>
    static member CenteredRmsProp
        (
            learningRate: float,
            decay: float,
            epsilon: float,
            [<Optional; DefaultParameterValue(1e-16)>] epsilonInRoot: float
        ) : Optimizer =
        Optimizers.centeredRmsProp learningRate decay epsilon epsilonInRoot

    /// <summary>Adagrad: s ← s + g², x − α·g/(√(s + εᵢ) + ε).</summary>
    /// <param name="learningRate">α, at least 0.</param>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0. With 0 a meta-gradient is NaN wherever a second moment is 0.</param>
    /// <returns>The optimizer.</returns>
    static member Adagrad
        (learningRate: float, epsilon: float, [<Optional; DefaultParameterValue(1e-16)>] epsilonInRoot: float)
        : Optimizer =
        Optimizers.adagrad learningRate epsilon epsilonInRoot

    /// <summary>Adam: x − α·m̂/(√(v̂ + εᵢ) + ε), with moments corrected for their start at 0.</summary>
    /// <param name="learningRate">α, at least 0.</param>
    /// <param name="beta1">Decay of the first moment, in [0, 1).</param>
    /// <param name="beta2">Decay of the second moment, in [0, 1).</param>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0. With 0 a meta-gradient is NaN wherever a second moment is 0.</param>
    /// <returns>The optimizer.</returns>
    static member Adam
        (
            learningRate: float,
            beta1: float,
            beta2: float,
            epsilon: float,
            [<Optional; DefaultParameterValue(1e-16)>] epsilonInRoot: float
        ) : Optimizer =
        Optimizers.adam learningRate beta1 beta2 epsilon epsilonInRoot

    /// <summary>AdamW: Adam with weight decay decoupled from the gradient.</summary>
    /// <param name="learningRate">α, at least 0.</param>
    /// <param name="beta1">Decay of the first moment, in [0, 1).</param>
    /// <param name="beta2">Decay of the second moment, in [0, 1).</param>
    /// <param name="epsilon">Added outside the root, at least 0.</param>
    /// <param name="weightDecay">λ, at least 0, in units of the learning rate.</param>
    /// <param name="epsilonInRoot">Added inside the root, at least 0.</param>
    /// <returns>The optimizer.</returns>
    static member AdamW
        (
            learningRate: float,
            beta1: float,
            beta2: float,
            epsilon: float,
            weightDecay: float,
            [<Optional; DefaultParameterValue(1e-16)>] epsilonInRoot: float
        ) : Optimizer =
        Optimizers.adamW learningRate beta1 beta2 epsilon epsilonInRoot weightDecay

/// What is done with an optimizer, as members: what C# calls.
type Optimizer with

    /// <summary>The optimizer with a transformation of the gradients before its own: clipping, say.</summary>
    /// <param name="first">What gradients go through first.</param>
    /// <returns>The optimizer.</returns>
    member this.Before(first: GradientTransformation) : Optimizer = Optimizers.before first this

    /// <summary>The optimizer with a transformation of its direction after its own.</summary>
    /// <param name="last">What directions go through last.</param>
    /// <returns>The optimizer.</returns>
    member this.After(last: GradientTransformation) : Optimizer = Optimizers.after last this

    /// <summary>The optimizer with steps scaled by a schedule, weight decay that it already has included.</summary>
    /// <param name="schedule">Steps made → factor.</param>
    /// <returns>The optimizer.</returns>
    member this.WithSchedule(schedule: Schedule) : Optimizer = Optimizers.withSchedule schedule this

    /// <summary>The optimizer with weight decay decoupled from the gradient: x ← x − α·(direction + λ·x).</summary>
    /// <param name="decay">λ, at least 0.</param>
    /// <returns>The optimizer.</returns>
    member this.WithWeightDecay(decay: float) : Optimizer = Optimizers.withWeightDecay decay this

    /// <summary>The optimizer with its learning rate taken from a hyper-parameter.</summary>
    /// <param name="name">The hyper-parameter's name, [P].</param>
    /// <returns>The optimizer.</returns>
    member this.WithLearnedRate(name: string) : Optimizer = Optimizers.withLearnedRate name this

    /// <summary>The optimizer with a learning rate for each tensor, or for each single parameter (Meta-SGD).</summary>
    /// <param name="prefix">Hyper-parameters are named by it and the tensor's name.</param>
    /// <returns>The optimizer.</returns>
    member this.WithRatePerTensor(prefix: string) : Optimizer =
        Optimizers.withRatePerTensor prefix this

    /// <summary>First state for parameters.</summary>
    /// <param name="x">The parameters.</param>
    /// <returns>Moments and counts; the empty set where there are none.</returns>
    member this.Init(x: Params) : Params = Optimizers.init this x

    /// <summary>One step. Builds a graph where one is being recorded; writes nothing in place.</summary>
    /// <param name="x">Parameters.</param>
    /// <param name="state">The optimizer's state.</param>
    /// <param name="gradients">Of the names and shapes of the parameters.</param>
    /// <param name="hyper">Hyper-parameters by name, where the optimizer reads some; else <c>Params.Empty</c>.</param>
    /// <returns>The next parameters and the next state.</returns>
    member this.Apply(x: Params, state: Params, gradients: Params, hyper: Params) : struct (Params * Params) =
        Optimizers.apply this x state gradients hyper
