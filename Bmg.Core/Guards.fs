namespace Bmg

open System
open TorchSharp

/// A function that somebody handed in threw, or gave back something of the wrong kind. The message starts with the function's name.
[<Sealed>]
type FaultyFunctionException(functionName: string, message: string, inner: exn | null) =
    inherit Exception($"{functionName} {message}", inner)

    /// Which function, as in "matching function 'hellinger'".
    member _.FunctionName = functionName

/// The same parts with every result checked: shapes, names, finite numbers, and that what should depend on the learner does. For judging
/// functions one does not trust yet. `numbers` says whether what is handed on from step to step is read back to see that it is finite,
/// which costs a few operations a tensor.
[<RequireQualifiedAccess>]
module Guards =

    let private faulty (name: string) (message: string) : 'T =
        raise (FaultyFunctionException(name, message, null))

    /// Runs a function of the user's; what it throws is told under its name.
    let private call (name: string) (f: unit -> 'T) : 'T =
        try
            let result = f ()

            if obj.ReferenceEquals(box result, null) then
                faulty name "gave back nothing (null)"

            result
        with
        | :? FaultyFunctionException -> reraise ()
        | e ->
            let first = e.Message.Split('\n')[0]
            raise (FaultyFunctionException(name, $"threw {e.GetType().Name}: {first}", e))

    let private checkFinite (name: string) (what: string) (t: Tensor) =
        use _ = torch.no_grad ()
        use fine = t.isfinite().all()

        if not (fine.item<bool>()) then
            faulty name $"gave back {what} with a NaN or an infinity in it"

    let private checkLike (numbers: bool) (name: string) (what: string) (expected: Params) (found: Params) =
        if obj.ReferenceEquals(found, null) then
            faulty name $"gave back no {what} (null)"

        let names (p: Params) = String.Join(", ", p.Names)

        if names expected <> names found then
            faulty name $"gave back {what} named {names found}; expected {names expected}"

        for i in 0 .. expected.Count - 1 do
            let wanted, got = expected.TensorArray[i], found.TensorArray[i]

            if wanted.shape <> got.shape then
                faulty
                    name
                    $"gave back {what} of which '{expected.NameArray[i]}' has the shape {Check.describe got}; expected {Check.describe wanted}"

            if numbers then
                checkFinite name $"{what} '{expected.NameArray[i]}'" got

    let private inGraph (p: Params) =
        p.TensorArray |> Array.exists (fun t -> t.requires_grad)

    /// <summary>μ must give one finite number a member, and depend on the learner where the learner is part of a graph.</summary>
    /// <param name="matching">μ</param>
    /// <returns>The same, checked.</returns>
    [<CompiledName "Matching">]
    let matching (matching: MatchingFunction) : MatchingFunction =
        let name = $"matching function '{matching.Name}'"

        let compare (target: Prediction) (learner: Prediction) =
            let mu = call name (fun () -> matching.Compare.Invoke(target, learner))

            let members = learner.Parameters.Members

            if mu.shape <> [| members |] then
                faulty
                    name
                    $"gave back a tensor of shape {Check.describe mu}; expected one number a member, [{members}]"

            checkFinite name "a value" mu

            if inGraph learner.Parameters && not mu.requires_grad then
                faulty name "gave back a tensor detached from the learner: no gradient can reach w through it"

            mu

        {
            matching with
                Compare = Func<_, _, _>(compare)
        }

    /// <summary>ξ must make parameters of the learner's names and shapes, and a learner that goes on living.</summary>
    /// <param name="target">ξ</param>
    /// <returns>The same, checked.</returns>
    [<CompiledName "Target">]
    let target (target: TargetBootstrap<'Data>) : TargetBootstrap<'Data> =
        let name = $"target bootstrap '{target.Name}'"

        let bootstrap (learner: LearnerState) (life: Life<'Data>) =
            let made = call name (fun () -> target.Bootstrap.Invoke(learner, life))
            checkLike true name "a target" learner.Parameters made.Parameters

            if
                obj.ReferenceEquals(box made.Learner, null)
                || obj.ReferenceEquals(box made.Evaluation, null)
            then
                faulty
                    name
                    "gave back a target without a learner that lives on, or without where μ is to be evaluated (null)"

            if inGraph made.Parameters || inGraph made.Learner.Parameters then
                faulty
                    name
                    "gave back a target or a learner that is part of a graph: nothing may be differentiated through it"

            checkLike false name "a learner" learner.Parameters made.Learner.Parameters
            checkLike false name "a learner's optimizer state" learner.Optimizer made.Learner.Optimizer
            made

        {
            target with
                Bootstrap = Func<_, _, _>(bootstrap)
        }

    /// <summary>φ must give back parameters and state of the names and shapes that went in, depending on them where that is asked for.</summary>
    /// <param name="numbers">Whether what is handed on from step to step is read back to see that it is finite.</param>
    /// <param name="rule">φ</param>
    /// <returns>The same, checked.</returns>
    [<CompiledName "UpdateRule">]
    let updateRule (numbers: bool) (rule: UpdateRule<'Data>) : UpdateRule<'Data> =
        let name = $"update rule '{rule.Name}'"

        let init (x: Params) =
            let first = call name (fun () -> rule.Init.Invoke x)
            checkLike numbers name "first parameters" x first.Parameters
            first

        let step (learner: LearnerState) (hyper: Params) (data: 'Data) (differentiation: Differentiation) =
            let made = call name (fun () -> rule.Step.Invoke(learner, hyper, data, differentiation))

            checkLike numbers name "parameters" learner.Parameters made.Learner.Parameters
            checkLike numbers name "an optimizer state" learner.Optimizer made.Learner.Optimizer

            if
                differentiation <> Differentiation.None
                && (inGraph learner.Parameters || inGraph hyper)
                && not (inGraph made.Learner.Parameters)
            then
                faulty
                    name
                    $"gave back parameters detached from what went in, though {differentiation} differentiation was asked for"

            made

        {
            rule with
                Init = Func<_, _>(init)
                Step = Func<_, _, _, _, _>(step)
        }

    /// <summary>A gradient transformation must put out a direction of the gradients' names and shapes, and a state like the one that went in.</summary>
    /// <param name="numbers">Whether what is handed on from step to step is read back to see that it is finite.</param>
    /// <param name="optimizer">The optimizer.</param>
    /// <returns>The same, checked.</returns>
    [<CompiledName "Optimizer">]
    let optimizer (numbers: bool) (optimizer: Optimizer) : Optimizer =
        let name = $"optimizer '{optimizer.Name}'"
        let inner = optimizer.Transformation

        let update (gradients: Params) (state: Params) (x: Params) (hyper: Params) =
            let made = call name (fun () -> inner.Update.Invoke(gradients, state, x, hyper))
            checkLike numbers name "a direction" gradients made.Direction
            checkLike numbers name "a state" state made.State
            made

        {
            optimizer with
                Transformation = {
                    inner with
                        Init = Func<_, _>(fun x -> call name (fun () -> inner.Init.Invoke x))
                        Update = Func<_, _, _, _, _>(update)
                }
        }
