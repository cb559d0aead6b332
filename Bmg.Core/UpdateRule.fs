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
            let build = (differentiation = Differentiation.Full)

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

            let loss = objective.Loss.Invoke(x, hyper, data)
            let gradients = Gradients.gradient loss x build

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
