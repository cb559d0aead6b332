namespace Bmg

open System
open TorchSharp

/// What a gradient transformation puts out: a direction to descend along, and its state for the next call.
[<ReferenceEquality>]
type TransformationStep = { Direction: Params; State: Params }

/// A pure map from gradients to a descent direction, with state: clipping, momentum, preconditioning. Differentiable.
[<ReferenceEquality>]
type GradientTransformation = {
    Name: string
    /// Parameters → first state.
    Init: Func<Params, Params>
    /// Gradients, state → direction, next state.
    Update: Func<Params, Params, TransformationStep>
} with

    /// A transformation from its parts.
    static member Create
        (name: string, init: Func<Params, Params>, update: Func<Params, Params, TransformationStep>)
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

/// A learning rate and a gradient transformation: x ← x − rate · direction.
[<ReferenceEquality>]
type Optimizer = {
    Name: string
    LearningRate: Setting
    Transformation: GradientTransformation
}

/// Gradient transformations. Roots carry an epsilon inside as well as outside: the derivative of √v at v = 0 is infinite, and a
/// meta-gradient through a parameter that got no gradient yet would be NaN.
[<RequireQualifiedAccess>]
module Transformations =

    let private scalar (v: float) : Scalar = Scalar.op_Implicit v

    /// The gradient itself.
    let identity: GradientTransformation =
        GradientTransformation.Create("identity", (fun _ -> Params.Empty), (fun g s -> { Direction = g; State = s }))

    /// First one, then the other.
    let compose (first: GradientTransformation) (second: GradientTransformation) : GradientTransformation =
        GradientTransformation.Create(
            $"{first.Name}, {second.Name}",
            (fun x ->
                Params.merge [|
                    Params.prefix "1/" (first.Init.Invoke x)
                    Params.prefix "2/" (second.Init.Invoke x)
                |]),
            (fun g s ->
                let a = first.Update.Invoke(g, Params.sub "1/" s)
                let b = second.Update.Invoke(a.Direction, Params.sub "2/" s)

                {
                    Direction = b.Direction
                    State = Params.merge [| Params.prefix "1/" a.State; Params.prefix "2/" b.State |]
                })
        )

    /// Heavy-ball momentum, m ← d·m + g, direction m (Polyak 1964, in the form without dampening).
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

    /// √(v + εᵢ) + εₒ. With εᵢ = 0 and no graph this is the usual √v + ε.
    let private root (epsilonInRoot: Scalar) (epsilon: Scalar) (v: Tensor) = v.add(epsilonInRoot).sqrt().add epsilon

    /// RMSProp (Tieleman and Hinton 2012): v ← d·v + (1 − d)·g², direction g / (√(v + εᵢ) + ε).
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

    /// Adam (Kingma and Ba 2015, algorithm 1): moments with bias correction, direction m̂ / (√(v̂ + εᵢ) + ε).
    /// State: "m/…", "v/…" and "count" [P].
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
                let zeros = Params.zerosLike x
                let first = x.TensorArray[0]

                Params.merge [|
                    Params.prefix "m/" zeros
                    Params.prefix "v/" (Params.zerosLike x)
                    Params.Single("count", torch.zeros ([| x.Members |], dtype = first.dtype, device = first.device))
                |]),
            (fun g state ->
                let m = Params.map2 (fun g m -> m.mul(b1).add(g, rest1)) g (Params.sub "m/" state)

                let v = Params.map2 (fun g v -> v.mul(b2).addcmul(g, g, rest2)) g (Params.sub "v/" state)

                let count = state["count"].add one
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

    /// Scales each member's whole gradient down to norm `maximum` where it is longer (Pascanu et al. 2013), per member.
    /// The norm's derivative is defined at zero: an epsilon of 1e-24 stands inside the root.
    let clipByGlobalNorm (maximum: float) : GradientTransformation =
        Check.require "Transformations.clipByGlobalNorm" "maximum" "positive" maximum (maximum > 0.0)
        let limit, one, tiny = scalar maximum, scalar 1.0, scalar 1e-24

        GradientTransformation.Create(
            $"clip({maximum})",
            (fun _ -> Params.Empty),
            (fun g s ->
                let norm = (Params.squaredNorm g).add(tiny).sqrt()
                let factor = norm.reciprocal().mul(limit).clamp_max one

                {
                    Direction = Params.map (fun t -> t.mul (Params.broadcast factor t)) g
                    State = s
                })
        )

/// Optimizers: compositions of transformations with a learning rate.
[<RequireQualifiedAccess>]
module Optimizers =

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

    /// RMSProp without momentum, not centered.
    let rmsProp (learningRate: float) (decay: float) (epsilon: float) : Optimizer =
        make "rmsprop" learningRate (Transformations.rmsProp decay epsilon 1e-16)

    /// Adam.
    let adam (learningRate: float) (beta1: float) (beta2: float) (epsilon: float) : Optimizer =
        make "adam" learningRate (Transformations.adam beta1 beta2 epsilon 1e-16)

    /// The optimizer with a transformation before its own: `before clip (sgd 0.1)`.
    let before (first: GradientTransformation) (optimizer: Optimizer) : Optimizer = {
        optimizer with
            Name = $"{first.Name}, {optimizer.Name}"
            Transformation = Transformations.compose first optimizer.Transformation
    }

    /// The optimizer with its learning rate taken from the hyper-parameter `name`, [P].
    let withLearnedRate (name: string) (optimizer: Optimizer) : Optimizer = {
        optimizer with
            LearningRate = Setting.Learned name
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
        let step = optimizer.Transformation.Update.Invoke(gradients, state)

        let next =
            match optimizer.LearningRate with
            | Setting.Constant rate ->
                use minus: Scalar = Scalar.op_Implicit -rate
                Params.map2 (fun x d -> x.add (d, minus)) x step.Direction
            | Setting.Learned name ->
                let rate = hyper[name]
                Params.map2 (fun x d -> x.sub (d.mul (Params.broadcast rate d))) x step.Direction

        struct (next, step.State)
