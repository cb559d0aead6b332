namespace Bmg

open System
open TorchSharp

/// Whether derivatives are rehearsed on this thread.
[<AbstractClass; Sealed>]
type private Rehearsal() =
    [<ThreadStatic; DefaultValue>]
    static val mutable private depth: int

    static member Depth
        with get () = Rehearsal.depth
        and set (value: int) = Rehearsal.depth <- value

/// Derivatives of losses over `Params`. This is the only place that calls libtorch's autograd: an error inside it ends the process
/// instead of raising an exception, so every input is checked here first.
[<RequireQualifiedAccess>]
module Gradients =

    /// Until the result is disposed, every derivative taken on this thread is rehearsed first, so that an error inside libtorch (a tensor
    /// written in place that a derivative needs, an operation without one) is an exception here rather than the end of the process.
    /// Each derivative costs a second backward pass: for judging functions one does not trust yet, not for training.
    let rehearsed () : IDisposable =
        Rehearsal.Depth <- Rehearsal.Depth + 1

        {
            new IDisposable with
                member _.Dispose() = Rehearsal.Depth <- Rehearsal.Depth - 1
        }

    /// libtorch's `backward` catches its errors where its `grad` does not.
    let private rehearse (fn: string) (outputs: Tensor[]) (weights: Tensor[] | null) =
        try
            match weights with
            | null -> torch.autograd.backward (outputs, retain_graph = true)
            | weights -> torch.autograd.backward (outputs, weights, retain_graph = true)
        with :? System.Runtime.InteropServices.ExternalException as e ->
            let first = e.Message.Split('\n')[0]

            raise (
                ArgumentException(
                    $"{fn}: 'loss' cannot be differentiated (was a tensor on the way written in place?): {first}",
                    "loss",
                    e
                )
            )

    let private differentiate
        (fn: string)
        (outputs: Tensor[])
        (weights: Tensor[] | null)
        (inputs: Params)
        (createGraph: bool)
        (retainGraph: bool)
        : Params =
        for output in outputs do
            if not output.requires_grad then
                Check.fail
                    fn
                    "loss"
                    "a function of the parameters it is differentiated by"
                    "a tensor detached from them (was it computed under no_grad, or from detached values?)"

            if isNull weights && output.NumberOfElements <> 1L then
                Check.fail fn "loss" "a scalar" (Check.describe output)

        for i in 0 .. inputs.Count - 1 do
            if not (inputs.TensorArray[i].requires_grad) then
                Check.fail
                    fn
                    "parameters"
                    "leaves or results of a graph (see Params.leaves)"
                    $"'{inputs.NameArray[i]}' without gradient"

        if Rehearsal.Depth > 0 then
            rehearse fn outputs weights

        let gradients =
            torch.autograd.grad (
                outputs,
                inputs.TensorArray,
                weights,
                retain_graph = (retainGraph || createGraph),
                create_graph = createGraph,
                allow_unused = true
            )

        inputs.WithTensors(
            Array.init inputs.Count (fun i ->
                let g = gradients[i]
                // A parameter that the loss does not touch comes back as an invalid handle: its gradient is zero.
                if isNull g || g.IsInvalid then
                    torch.zeros_like inputs.TensorArray[i]
                else
                    g)
        )

    /// ∇ Σₚ loss. `loss` is one number a member [P] or a scalar; members do not touch each other, so the sum's gradient holds each
    /// member's own. With `createGraph` the result can be differentiated again, and the graph is kept.
    let gradient (loss: Tensor) (parameters: Params) (createGraph: bool) : Params =
        let total = if loss.NumberOfElements = 1L then loss else loss.sum ()
        differentiate "Gradients.gradient" [| total |] null parameters createGraph false

    /// As `gradient`, keeping the graph of `loss` for a later derivative without recording the gradient itself.
    let gradientKeepingGraph (loss: Tensor) (parameters: Params) : Params =
        let total = if loss.NumberOfElements = 1L then loss else loss.sum ()
        differentiate "Gradients.gradientKeepingGraph" [| total |] null parameters false true

    /// vᵀ·∂y/∂x for outputs y and weights v of the same shapes.
    let vectorJacobian (outputs: Params) (vector: Params) (parameters: Params) (createGraph: bool) : Params =
        let reached =
            Array.zip outputs.TensorArray vector.TensorArray
            |> Array.filter (fun (y, _) -> y.requires_grad)

        if reached.Length = 0 then
            Params.zerosLike parameters
        else
            differentiate
                "Gradients.vectorJacobian"
                (Array.map fst reached)
                (Array.map snd reached)
                parameters
                createGraph
                createGraph

    /// H·v, with H the Hessian of `loss` (given as a function of the parameters) at `at`, per member.
    let hessianVector (loss: Func<Params, Tensor>) (at: Params) (vector: Params) : Params =
        let x = Params.leaves at
        let g = gradient (loss.Invoke x) x true
        let product = Params.dot g (Params.detach vector)

        if product.requires_grad then
            gradient product x false
        else
            Params.zerosLike x
