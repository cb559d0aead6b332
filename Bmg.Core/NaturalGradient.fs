namespace Bmg

open System
open System.ComponentModel
open TorchSharp

/// Linear systems of a population, by products alone.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module ConjugateGradients =

    /// Solves A·s = b for every member at once: rows [P, N], `product` the map v → A·v on rows, A symmetric and positive, block by block of
    /// a member (Hestenes and Stiefel 1952). Every member has its own α and β and stops by itself, when its residual has fallen to
    /// `tolerance`·‖b‖ or its direction meets no curvature; the others go on undisturbed, and at the latest after `iterations` all stop.
    /// b = 0 gives exactly 0. Nothing is differentiated through.
    let solve (product: Tensor -> Tensor) (b: Tensor) (iterations: int) (tolerance: float) : Tensor =
        Check.require "ConjugateGradients.solve" "iterations" "at least 1" iterations (iterations >= 1)

        Check.require
            "ConjugateGradients.solve"
            "tolerance"
            "at least 0 and below 1"
            tolerance
            (tolerance >= 0.0 && tolerance < 1.0)

        Check.shape "ConjugateGradients.solve" "b" "[P, N]" [| -1L; -1L |] b
        use outer = torch.NewDisposeScope()
        let column (t: Tensor) = t.unsqueeze 1L
        let dot (u: Tensor) (v: Tensor) = (u.mul v).sum 1L

        // u/v where `goes`, and exactly 0 elsewhere, without a division by zero anywhere.
        let quotient (goes: Tensor) (u: Tensor) (v: Tensor) =
            torch.where (goes, u.div (torch.where (goes, v, torch.ones_like v)), torch.zeros_like u)

        let b = b.detach ()
        let mutable s = torch.zeros_like b
        let mutable r = b
        let mutable p = b
        let mutable squared = dot r r
        let limit = squared.mul (Scalars.constant (tolerance * tolerance))
        // "Not at most" rather than "greater": a NaN goes on into the result of its member instead of passing for zero.
        let above (t: Tensor) (bound: Tensor) = (t.le bound).logical_not()
        let mutable active = above squared limit
        let mutable left = iterations

        while left > 0 && active.any().item<bool>() do
            use _ = torch.NewDisposeScope()
            let a = product p
            let curvature = dot p a
            let goes = active.logical_and (above curvature (torch.zeros_like curvature))
            let alpha = column (quotient goes squared curvature)
            let nextS = s.plus (alpha.mul p)
            let nextR = r.minus (alpha.mul a)
            let nextSquared = dot nextR nextR
            let beta = column (quotient goes nextSquared squared)
            let nextP = nextR.plus (beta.mul p)
            let nextActive = goes.logical_and (above nextSquared limit)

            for old in [ s; r; p; squared; active ] do
                if not (obj.ReferenceEquals(old, b)) then
                    old.Dispose()

            s <- nextS.MoveToOuterDisposeScope()
            r <- nextR.MoveToOuterDisposeScope()
            p <- nextP.MoveToOuterDisposeScope()
            squared <- nextSquared.MoveToOuterDisposeScope()
            active <- nextActive.MoveToOuterDisposeScope()
            left <- left - 1

        s.MoveToOuterDisposeScope()

/// Linear systems of a population, by products alone: what C# calls.
[<AbstractClass; Sealed>]
type ConjugateGradients =

    /// <summary>Solves A·s = b for every member at once. b = 0 gives exactly 0. Nothing is differentiated through.</summary>
    /// <param name="product">v → A·v on rows [P, N], A symmetric and positive.</param>
    /// <param name="b">[P, N]</param>
    /// <param name="iterations">How many at most, at least 1.</param>
    /// <param name="tolerance">A member stops when its residual is this times ‖b‖; at least 0 and below 1.</param>
    /// <returns>s, [P, N]</returns>
    static member Solve(product: Func<Tensor, Tensor>, b: Tensor, iterations: int, tolerance: float) : Tensor =
        ConjugateGradients.solve product.Invoke b iterations tolerance

/// Steps along F⁻¹∇f instead of ∇f, F being the Fisher matrix of a policy. As the last step of a target matched by KL they undo KL's own
/// geometry: near a match ∇KL = F(x − x̃), so that for an f of the policy alone the meta-gradient tends to the plain one as damping and
/// rate go to 0, and descends f where KL with a plain step may ascend.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module NaturalGradient =

    /// v → F·v at x for every member, without F: F = E_s Jᵀ(diag π − ππᵀ)J is the Hessian of KL(π_stop ‖ π_x) at π_stop = π_x, the mean over
    /// the data's states of the model's categorical output "logits" [P, …, A]; J = ∂logits/∂x. One backward pass a product. `v` has the
    /// learner's names and shapes. The graph lives as long as the current dispose scope.
    let fisherProduct (model: Model<'Data>) (x: Params) (hyper: Params) (data: 'Data) : Params -> Params =
        let x = Params.leaves x
        let logits = (model.Predict.Invoke(x, hyper, data))["logits"]
        let kl = Reduction.apply Reduction.Mean (Categorical.kl (logits.detach ()) logits)
        let slope = Gradients.gradient kl x true

        fun v ->
            let along = Params.dot slope (Params.detach v)

            if along.requires_grad then
                Gradients.gradientKeepingGraph along x
            else
                Params.zerosLike x

    /// x ← x − `rate`·(F + λI)⁻¹∇f(x; hyper, data) (Amari 1998), λ = `damping` > 0, F as in `fisherProduct` on the same data, solved by at most
    /// `iterations` conjugate gradients to a residual of `tolerance`·‖∇f‖ (as in Martens 2010), each member by itself. λ may not be 0: no
    /// policy sees a constant added to its logits, so F alone has no inverse. A parameter that the policy does not depend on moves along
    /// the plain gradient over λ. A zero gradient gives exactly a zero step. It has no state.
    ///
    /// For a step that nothing is differentiated through, as the last of `TargetBootstrap.lookAhead`: Differentiation.Full and FirstOrder are
    /// not supported and throw an ArgumentException, so it cannot be the φ of a meta-gradient.
    let rule
        (lossFunction: LossFunction<'Data>)
        (model: Model<'Data>)
        (rate: float)
        (damping: float)
        (iterations: int)
        (tolerance: float)
        : UpdateRule<'Data> =
        Check.range "NaturalGradient.rule" "rate" 0.0 infinity rate
        Check.range "NaturalGradient.rule" "damping" 0.0 infinity damping
        Check.require "NaturalGradient.rule" "damping" "positive" damping (damping > 0.0)
        Check.require "NaturalGradient.rule" "iterations" "at least 1" iterations (iterations >= 1)

        Check.require
            "NaturalGradient.rule"
            "tolerance"
            "at least 0 and below 1"
            tolerance
            (tolerance >= 0.0 && tolerance < 1.0)

        let damp: Scalar = Scalars.constant damping
        let minusRate: Scalar = Scalars.constant -rate

        let step (learner: LearnerState) (hyper: Params) (data: 'Data) (differentiation: Differentiation) =
            Check.require
                "NaturalGradient.rule"
                "differentiation"
                "None (nothing is differentiated through conjugate gradients)"
                differentiation
                (differentiation = Differentiation.None)

            use _ = torch.NewDisposeScope()
            let x = Params.leaves learner.Parameters
            let loss = lossFunction.Loss.Invoke(x, hyper, data)
            let gradients = Gradients.gradient loss x false
            let fisher = fisherProduct model learner.Parameters hyper data

            let damped (rows: Tensor) =
                (Params.flatten (fisher (Params.unflatten gradients rows))).add(rows, damp)

            let direction = ConjugateGradients.solve damped (Params.flatten gradients) iterations tolerance

            use _ = torch.no_grad ()

            let next =
                Params.map2
                    (fun (x: Tensor) (d: Tensor) -> x.add (d, minusRate))
                    learner.Parameters
                    (Params.unflatten gradients direction)

            {
                Learner = {
                    Parameters = Params.moveToOuterScope next
                    Optimizer = Params.moveToOuterScope (Params.detach learner.Optimizer)
                }
                Loss = loss.detach().MoveToOuterDisposeScope()
            }

        UpdateRule<'Data>
            .Create(
                $"natural gradient on {lossFunction.Name}",
                (fun x -> {
                    Parameters = x
                    Optimizer = Params.Empty
                }),
                (fun learner hyper data differentiation -> step learner hyper data differentiation)
            )

/// Steps along F⁻¹∇f instead of ∇f: what C# calls.
[<AbstractClass; Sealed>]
type NaturalGradient =

    /// <summary>v → F·v at x for every member, F being the Fisher matrix of the model's output "logits". One backward pass a product.</summary>
    /// <param name="model">What puts out "logits", [P, …, A].</param>
    /// <param name="x">Parameters.</param>
    /// <param name="hyper">Hyper-parameters.</param>
    /// <param name="data">The data over whose states F is the mean.</param>
    /// <returns>The map, on sets of the learner's names and shapes.</returns>
    static member FisherProduct(model: Model<'Data>, x: Params, hyper: Params, data: 'Data) : Func<Params, Params> =
        Func<_, _>(NaturalGradient.fisherProduct model x hyper data)

    /// <summary>x ← x − rate·(F + λI)⁻¹∇f, for a step that nothing is differentiated through.</summary>
    /// <param name="lossFunction">f</param>
    /// <param name="model">What puts out "logits".</param>
    /// <param name="rate">At least 0.</param>
    /// <param name="damping">λ, positive.</param>
    /// <param name="iterations">Conjugate gradients at most, at least 1.</param>
    /// <param name="tolerance">Of the residual, relative to ‖∇f‖; at least 0 and below 1.</param>
    /// <returns>φ, of <c>Differentiation.None</c> alone.</returns>
    static member Rule
        (
            lossFunction: LossFunction<'Data>,
            model: Model<'Data>,
            rate: float,
            damping: float,
            iterations: int,
            tolerance: float
        ) : UpdateRule<'Data> =
        NaturalGradient.rule lossFunction model rate damping iterations tolerance
