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
[<RequireQualifiedAccess; ComponentModel.EditorBrowsable(ComponentModel.EditorBrowsableState.Never)>]
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
    let hessianVector (loss: Params -> Tensor) (at: Params) (vector: Params) : Params =
        let x = Params.leaves at
        let g = gradient (loss x) x true
        let product = Params.dot g (Params.detach vector)

        if product.requires_grad then
            gradient product x false
        else
            Params.zerosLike x

/// Derivatives of losses over `Params`: what C# calls. Errors are those of the functions of the same name.
[<AbstractClass; Sealed>]
type Gradients =

    /// <summary>∇ Σₚ loss: each member's own gradient, since members do not touch each other.</summary>
    /// <param name="loss">One number a member, [P], or a scalar.</param>
    /// <param name="parameters">What it is differentiated by: leaves or results of a graph.</param>
    /// <param name="createGraph">Whether the result can be differentiated again; the graph is then kept.</param>
    /// <returns>A gradient of the names and shapes of the parameters, zero where the loss does not depend on one.</returns>
    static member Gradient(loss: Tensor, parameters: Params, createGraph: bool) : Params =
        Gradients.gradient loss parameters createGraph

    /// <summary>As <c>Gradient</c>, keeping the graph of the loss for a later derivative without recording the gradient itself.</summary>
    /// <param name="loss">One number a member, [P], or a scalar.</param>
    /// <param name="parameters">What it is differentiated by.</param>
    /// <returns>The gradient.</returns>
    static member GradientKeepingGraph(loss: Tensor, parameters: Params) : Params =
        Gradients.gradientKeepingGraph loss parameters

    /// <summary>vᵀ·∂y/∂x.</summary>
    /// <param name="outputs">y</param>
    /// <param name="vector">v, of the shapes of the outputs.</param>
    /// <param name="parameters">x</param>
    /// <param name="createGraph">Whether the result can be differentiated again.</param>
    /// <returns>A set of the names and shapes of the parameters.</returns>
    static member VectorJacobian(outputs: Params, vector: Params, parameters: Params, createGraph: bool) : Params =
        Gradients.vectorJacobian outputs vector parameters createGraph

    /// <summary>H·v, with H the Hessian of a loss, per member.</summary>
    /// <param name="loss">Parameters → loss, [P] or a scalar.</param>
    /// <param name="at">Where.</param>
    /// <param name="vector">v, of the names and shapes of the parameters.</param>
    /// <returns>A set of the same names and shapes.</returns>
    static member HessianVector(loss: Func<Params, Tensor>, at: Params, vector: Params) : Params =
        Gradients.hessianVector loss.Invoke at vector

    /// <summary>Until the result is disposed, derivatives taken on this thread are rehearsed first, so that an error inside libtorch is an
    /// exception rather than the end of the process. Each costs a second backward pass.</summary>
    static member Rehearsed() : IDisposable = Gradients.rehearsed ()
