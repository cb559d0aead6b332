namespace Bmg

open System
open TorchSharp

/// What a learner descends: a loss as a function of its parameters, one number a member.
[<ReferenceEquality>]
type LossFunction<'Data> = {
    Name: string
    /// (x, hyper-parameters, data) → loss [P].
    Loss: Func<Params, Params, 'Data, Tensor>
} with

    /// <summary>A loss function from its parts.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="loss">(x, hyper-parameters, data) → loss [P].</param>
    /// <returns>The loss function.</returns>
    static member Create(name: string, loss: Func<Params, Params, 'Data, Tensor>) : LossFunction<'Data> = {
        Name = name
        Loss = loss
    }

/// Loss functions made of others.
[<RequireQualifiedAccess>]
module LossFunction =

    let private checkParts (fn: string) (parts: LossFunction<'Data>[]) =
        Check.require fn "parts" "at least one" parts.Length (parts.Length > 0)

    let private total (weights: Tensor[]) (losses: Tensor[]) : Tensor =
        Array.map2 (fun (w: Tensor) (loss: Tensor) -> loss.mul w) weights losses
        |> Array.reduce (fun a b -> a.plus b)

    let private losses (parts: LossFunction<'Data>[]) x hyper data =
        parts |> Array.map (fun p -> p.Loss.Invoke(x, hyper, data))

    /// <summary>Σ weightᵢ·fᵢ with constant weights of any sign.</summary>
    /// <param name="weights">One a part.</param>
    /// <param name="parts">At least one.</param>
    /// <returns>The sum.</returns>
    [<CompiledName "Sum">]
    let sum (weights: float[]) (parts: LossFunction<'Data>[]) : LossFunction<'Data> =
        checkParts "LossFunction.sum" parts

        Check.require
            "LossFunction.sum"
            "weights"
            $"{parts.Length} numbers"
            weights.Length
            (weights.Length = parts.Length)

        let scalars: Scalar[] = weights |> Array.map (fun w -> Scalars.constant w)

        LossFunction<'Data>
            .Create(
                Array.map2 (fun (w: float) (p: LossFunction<'Data>) -> $"{w}·{p.Name}") weights parts
                |> String.concat " + ",
                (fun x hyper data ->
                    Array.map2 (fun (w: Scalar) (loss: Tensor) -> loss.mul w) scalars (losses parts x hyper data)
                    |> Array.reduce (fun a b -> a.plus b))
            )

    /// <summary>Σ wᵢ·fᵢ with wᵢ the hyper-parameter of the i-th name, [P] (or [1], shared), taken as it is.</summary>
    /// <param name="names">Names of hyper-parameters, one a part.</param>
    /// <param name="parts">At least one.</param>
    /// <returns>The sum.</returns>
    [<CompiledName "Weighted">]
    let weighted (names: string[]) (parts: LossFunction<'Data>[]) : LossFunction<'Data> =
        checkParts "LossFunction.weighted" parts
        Check.require "LossFunction.weighted" "names" $"{parts.Length} names" names.Length (names.Length = parts.Length)

        LossFunction<'Data>
            .Create(
                Array.map2 (fun name (p: LossFunction<'Data>) -> $"{name}·{p.Name}") names parts
                |> String.concat " + ",
                (fun x hyper data -> total (names |> Array.map (fun name -> hyper[name])) (losses parts x hyper data))
            )

    /// <summary>Σ softmax(w)ᵢ·fᵢ: a mixture whose weights are positive and add up to 1, with wᵢ the hyper-parameter of the i-th name, any number,
    /// [P] (or [1], shared).</summary>
    /// <param name="names">As many as parts, or one fewer: then the last part's w is 0, so that two parts and one name give
    /// σ(w)·f₁ + (1 − σ(w))·f₂.</param>
    /// <param name="parts">At least one.</param>
    /// <returns>The mixture.</returns>
    [<CompiledName "Mixture">]
    let mixture (names: string[]) (parts: LossFunction<'Data>[]) : LossFunction<'Data> =
        checkParts "LossFunction.mixture" parts

        Check.require
            "LossFunction.mixture"
            "names"
            $"{parts.Length} names, or one fewer but at least one"
            names.Length
            (names.Length > 0
             && (names.Length = parts.Length || names.Length = parts.Length - 1))

        LossFunction<'Data>
            .Create(
                "mixture of " + (parts |> Array.map (fun p -> p.Name) |> String.concat ", "),
                (fun x hyper data ->
                    let given = names |> Array.map (fun name -> hyper[name])
                    let members = given |> Array.map (fun w -> w.shape[0]) |> Array.max
                    let given = given |> Array.map (fun w -> w.expand members)

                    let all =
                        if given.Length = parts.Length then
                            given
                        else
                            Array.append given [| torch.zeros_like given[0] |]

                    total (torch.stack(all).softmax(0L).unbind 0) (losses parts x hyper data))
            )

/// A learner: its parameters x, and h, whatever else its update rule carries from step to step.
[<ReferenceEquality>]
type LearnerState = {
    /// x
    Parameters: Params
    /// h: moments, traces.
    Optimizer: Params
} with

    /// The same learner cut out of any graph; storage is shared.
    member this.Detach() : LearnerState = {
        Parameters = Params.detach this.Parameters
        Optimizer = Params.detach this.Optimizer
    }

    /// Disposes every tensor.
    member this.Dispose() : unit =
        this.Parameters.Dispose()
        this.Optimizer.Dispose()

    interface IDisposable with
        member this.Dispose() = this.Dispose()

/// What one step of an update rule gives: the next learner, and the loss it descended, [P].
[<ReferenceEquality>]
type UpdateStep = {
    Learner: LearnerState
    Loss: Tensor
} with

    /// Disposes the next learner and the loss.
    member this.Dispose() : unit =
        this.Learner.Dispose()
        this.Loss.Dispose()

    interface IDisposable with
        member this.Dispose() = this.Dispose()

/// Whether a step records how its result depends on what went in.
type Differentiation =
    /// The result is a constant. Memory does not grow from step to step.
    | None = 0
    /// The result can be differentiated by the parameters and the hyper-parameters that went in.
    | Full = 1
    /// As Full, but with the loss's gradient taken to be constant in x (first-order MAML; Finn et al. 2017, section 5.2): the result
    /// depends on x as x itself does, and on the hyper-parameters in every way. No second derivative in x is taken.
    | FirstOrder = 2

/// φ: one learner step under hyper-parameters.
[<ReferenceEquality>]
type UpdateRule<'Data> = {
    Name: string
    /// Parameters → first learner state.
    Init: Func<Params, LearnerState>
    /// (learner, hyper-parameters, data, differentiation) → next learner and the loss.
    Step: Func<LearnerState, Params, 'Data, Differentiation, UpdateStep>
} with

    /// <summary>An update rule from its parts.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="init">Parameters → first learner state.</param>
    /// <param name="step">(learner, hyper-parameters, data, differentiation) → next learner and the loss [P]. Nothing is written in place.</param>
    /// <returns>φ</returns>
    static member Create
        (
            name: string,
            init: Func<Params, LearnerState>,
            step: Func<LearnerState, Params, 'Data, Differentiation, UpdateStep>
        ) : UpdateRule<'Data> = {
        Name = name
        Init = init
        Step = step
    }

/// Update rules.
[<RequireQualifiedAccess>]
module UpdateRule =

    /// <summary>One gradient step on a loss under an optimizer: x ← x − α·T(∇f(x; hyper, data)).</summary>
    /// <param name="lossFunction">f</param>
    /// <param name="optimizer">α and T.</param>
    /// <returns>φ</returns>
    [<CompiledName "Gradient">]
    let gradient (lossFunction: LossFunction<'Data>) (optimizer: Optimizer) : UpdateRule<'Data> =
        let step (learner: LearnerState) (hyper: Params) (data: 'Data) (differentiation: Differentiation) =
            let build = (differentiation <> Differentiation.None)

            // A step without a graph starts from leaves of its own, so that nothing of the past is reached. One with a graph goes on
            // from whatever x is: a leaf at the first step, the result of the step before at any other.
            let x =
                if
                    build
                    && learner.Parameters.TensorArray |> Array.forall (fun t -> t.requires_grad)
                then
                    learner.Parameters
                else
                    Params.leaves learner.Parameters

            // Taken at leaves cut from x, the gradient keeps its dependence on the hyper-parameters and loses that on x.
            let at =
                if differentiation = Differentiation.FirstOrder then
                    Params.leaves x
                else
                    x

            let loss = lossFunction.Loss.Invoke(at, hyper, data)
            let gradients = Gradients.gradient loss at build

            let advance (from: Params) =
                let struct (next, state) = Optimizers.apply optimizer from learner.Optimizer gradients hyper

                {
                    Learner = { Parameters = next; Optimizer = state }
                    Loss = loss.detach ()
                }

            if build then
                advance x
            else
                use _ = torch.no_grad ()
                advance learner.Parameters

        UpdateRule<'Data>
            .Create(
                $"{optimizer.Name} on {lossFunction.Name}",
                (fun x -> {
                    Parameters = x
                    Optimizer = Optimizers.init optimizer x
                }),
                (fun learner hyper data differentiation -> step learner hyper data differentiation)
            )
