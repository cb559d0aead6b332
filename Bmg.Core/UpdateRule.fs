namespace Bmg

open System
open TorchSharp

/// A function to minimise: one number a member.
[<ReferenceEquality>]
type Objective<'Data> = {
    Name: string
    /// (x, hyper-parameters, data) → loss [P].
    Loss: Func<Params, Params, 'Data, Tensor>
} with

    /// An objective from a name and a loss.
    static member Create(name: string, loss: Func<Params, Params, 'Data, Tensor>) : Objective<'Data> = {
        Name = name
        Loss = loss
    }

/// Objectives made of others.
[<RequireQualifiedAccess>]
module Objective =

    let private checkParts (fn: string) (parts: Objective<'Data>[]) =
        Check.require fn "parts" "at least one" parts.Length (parts.Length > 0)

    let private total (weights: Tensor[]) (losses: Tensor[]) : Tensor =
        Array.map2 (fun (w: Tensor) (loss: Tensor) -> loss.mul w) weights losses
        |> Array.reduce (fun a b -> a.plus b)

    let private losses (parts: Objective<'Data>[]) x hyper data =
        parts |> Array.map (fun p -> p.Loss.Invoke(x, hyper, data))

    /// Σ weightᵢ·fᵢ with constant weights of any sign, as many as there are parts.
    let sum (weights: float[]) (parts: Objective<'Data>[]) : Objective<'Data> =
        checkParts "Objective.sum" parts
        Check.require "Objective.sum" "weights" $"{parts.Length} numbers" weights.Length (weights.Length = parts.Length)
        let scalars: Scalar[] = weights |> Array.map (fun w -> Scalars.constant w)

        Objective<'Data>
            .Create(
                Array.map2 (fun (w: float) (p: Objective<'Data>) -> $"{w}·{p.Name}") weights parts
                |> String.concat " + ",
                (fun x hyper data ->
                    Array.map2 (fun (w: Scalar) (loss: Tensor) -> loss.mul w) scalars (losses parts x hyper data)
                    |> Array.reduce (fun a b -> a.plus b))
            )

    /// Σ wᵢ·fᵢ with wᵢ the hyper-parameter of the i-th name, [P] (or [1], shared), taken as it is; as many names as parts.
    let weighted (names: string[]) (parts: Objective<'Data>[]) : Objective<'Data> =
        checkParts "Objective.weighted" parts
        Check.require "Objective.weighted" "names" $"{parts.Length} names" names.Length (names.Length = parts.Length)

        Objective<'Data>
            .Create(
                Array.map2 (fun name (p: Objective<'Data>) -> $"{name}·{p.Name}") names parts
                |> String.concat " + ",
                (fun x hyper data -> total (names |> Array.map (fun name -> hyper[name])) (losses parts x hyper data))
            )

    /// Σ softmax(w)ᵢ·fᵢ: a mixture whose weights are positive and add up to 1, with wᵢ the hyper-parameter of the i-th name, any number,
    /// [P] (or [1], shared). As many names as parts, or one fewer: then the last part's w is 0, so that two parts and one name give
    /// σ(w)·f₁ + (1 − σ(w))·f₂.
    let mixture (names: string[]) (parts: Objective<'Data>[]) : Objective<'Data> =
        checkParts "Objective.mixture" parts

        Check.require
            "Objective.mixture"
            "names"
            $"{parts.Length} names, or one fewer but at least one"
            names.Length
            (names.Length > 0
             && (names.Length = parts.Length || names.Length = parts.Length - 1))

        Objective<'Data>
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
        Params.dispose this.Parameters
        Params.dispose this.Optimizer

    interface IDisposable with
        member this.Dispose() = this.Dispose()

/// What one step of an update rule gives: the next learner, and the loss it descended, [P].
[<ReferenceEquality>]
type UpdateStep = { Learner: LearnerState; Loss: Tensor }

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

    /// An update rule from its parts.
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

    /// One gradient step on an objective under an optimizer: x ← x − α·T(∇f(x; hyper, data)).
    let gradient (objective: Objective<'Data>) (optimizer: Optimizer) : UpdateRule<'Data> =
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

            let loss = objective.Loss.Invoke(at, hyper, data)
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
                $"{optimizer.Name} on {objective.Name}",
                (fun x -> {
                    Parameters = x
                    Optimizer = Optimizers.init optimizer x
                }),
                (fun learner hyper data differentiation -> step learner hyper data differentiation)
            )
