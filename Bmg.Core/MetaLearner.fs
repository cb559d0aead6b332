namespace Bmg

open System
open TorchSharp

/// What judges the meta-parameters: the one field in which a meta-gradient and a bootstrapped one differ.
[<RequireQualifiedAccess; ReferenceEquality>]
type MetaObjective<'Data> =
    /// No meta-learning: w stays as it is.
    | Fixed
    /// The learner's own loss after K steps, on one more batch of experience, which is also the first of the next window (Xu et al. 2018).
    | MetaGradient of outerLoss: Objective<'Data>
    /// The match of the learner after K steps with a target that it bootstraps itself (Flennerhag et al. 2022).
    | Bootstrapped of target: TargetBootstrap<'Data> * matching: MatchingFunction

/// All that a meta-learner carries from one meta-step to the next.
[<ReferenceEquality>]
type MetaState<'Data> = {
    Learner: LearnerState
    /// w
    MetaParameters: Params
    /// State of the meta-optimizer.
    MetaOptimizer: Params
    /// Experience gathered but not yet learned from, or nothing: the batch on which a meta-gradient judged the learner.
    Pending: Experience<'Data> voption
}

/// Numbers that a meta-step reports, one a member; empty arrays where there is no meta-learning.
[<ReferenceEquality>]
type MetaStepLog = {
    /// μ, or the outer loss of a plain meta-gradient.
    Objective: float[]
    /// Euclidean norm of the meta-gradient; one number in all where w is shared.
    MetaGradientNorm: float[]
    /// The learner's losses at its steps, [step][member].
    Losses: float[][]
}

/// The derivative of a meta-objective and all that came with it.
[<ReferenceEquality>]
type MetaGradientResult<'Data> = {
    /// ∇_w, or the empty set where there is no meta-learning.
    Gradient: Params
    /// μ or the outer loss, [P].
    Objective: Tensor | null
    /// The learner that goes on living, constants.
    Learner: LearnerState
    /// x̃, or the empty set for a plain meta-gradient.
    Target: Params
    Pending: Experience<'Data> voption
    /// The learner's losses, [steps, P]; null where there was no step.
    Losses: Tensor | null
}

/// A learner that tunes its own update rule. A meta-step runs K steps of φ with a graph, lets ξ make a target without one, measures μ
/// and moves w along the meta-gradient. It is handed experience by a function of the learner's parameters and of w, and so knows
/// nothing of environments.
[<ReferenceEquality>]
type MetaLearner<'Data> = {
    UpdateRule: UpdateRule<'Data>
    /// K ≥ 0. With K = 0 nothing is differentiated through the learner; w must reach μ through the model.
    InnerSteps: int
    MetaParameters: MetaParameters
    Objective: MetaObjective<'Data>
    Model: Model<'Data>
    MetaOptimizer: Optimizer
}

/// Meta-steps.
[<RequireQualifiedAccess>]
module MetaLearner =

    /// The first state: learner parameters x and meta-parameters w, both owned by the state from here on.
    let init (learner: MetaLearner<'Data>) (x: Params) (w: Params) : MetaState<'Data> =
        use _ = torch.NewDisposeScope()
        let start = learner.UpdateRule.Init.Invoke x

        {
            Learner = {
                Parameters = Params.detachFromScope x
                Optimizer = Params.detachFromScope start.Optimizer
            }
            MetaParameters = Params.detachFromScope w
            MetaOptimizer = Params.detachFromScope (Optimizers.init learner.MetaOptimizer w)
            Pending = ValueNone
        }

    /// The meta-gradient at w, with everything that was computed on the way. Tensors belong to the current dispose scope.
    /// `collect` gathers one batch of experience with given learner parameters and meta-parameters.
    let metaGradient
        (learner: MetaLearner<'Data>)
        (state: MetaState<'Data>)
        (collect: Func<Params, Params, Experience<'Data>>)
        : MetaGradientResult<'Data> =
        let constantW = state.MetaParameters

        let w =
            match learner.Objective with
            | MetaObjective.Fixed -> constantW
            | _ -> Params.leaves constantW

        let hyper (context: Tensor | null) =
            learner.MetaParameters.Apply.Invoke(w, context)

        let constantHyper (context: Tensor | null) =
            learner.MetaParameters.Apply.Invoke(constantW, context)

        let losses = ResizeArray<Tensor>()
        let mutable pending = state.Pending

        // Steps may run in scopes of their own that the target bootstrap opens, so losses are kept outside of all until the end.
        let gathered () : Tensor | null =
            if losses.Count = 0 then
                null
            else
                let all = torch.stack (losses.ToArray())

                for loss in losses do
                    loss.Dispose()

                all

        let next (x: Params) =
            match pending with
            | ValueSome experience ->
                pending <- ValueNone
                experience
            | ValueNone -> collect.Invoke(x, constantW)

        let constantStep (from: LearnerState) (experience: Experience<'Data>) =
            let step =
                learner.UpdateRule.Step.Invoke(
                    from,
                    constantHyper experience.Context,
                    experience.Data,
                    Differentiation.None
                )

            losses.Add(step.Loss.detach().DetachFromDisposeScope())
            step.Learner

        match learner.Objective with
        | MetaObjective.Fixed ->
            let mutable x = state.Learner

            for _ in 1 .. max 1 learner.InnerSteps do
                use _ = torch.NewDisposeScope()
                let after = constantStep x (next x.Parameters)
                Params.moveToOuterScope after.Parameters |> ignore
                Params.moveToOuterScope after.Optimizer |> ignore

                if not (obj.ReferenceEquals(x, state.Learner)) then
                    x.Dispose()

                x <- after

            {
                Gradient = Params.Empty
                Objective = null
                Learner = x
                Target = Params.Empty
                Pending = pending
                Losses = gathered ()
            }
        | objective ->
            let mutable x = state.Learner

            for _ in 1 .. learner.InnerSteps do
                let experience = next x.Parameters

                let step =
                    learner.UpdateRule.Step.Invoke(x, hyper experience.Context, experience.Data, Differentiation.Full)

                losses.Add(step.Loss.detach().DetachFromDisposeScope())
                x <- step.Learner

            let value, goesOn, target, left =
                match objective with
                | MetaObjective.MetaGradient outer ->
                    let experience = next x.Parameters
                    let loss = outer.Loss.Invoke(x.Parameters, hyper experience.Context, experience.Data)
                    loss, x.Detach(), Params.Empty, ValueSome experience
                | MetaObjective.Bootstrapped(bootstrap, matching) ->
                    let life: Life<'Data> = {
                        Collect = Func<_, _>(fun x -> next x)
                        Hyper = Func<_, _>(constantHyper)
                        Step = Func<_, _, _>(constantStep)
                    }

                    let made = bootstrap.Bootstrap.Invoke(x.Detach(), life)
                    // Nothing reaches w through the target: x̃ and what the model puts out under it are constants.
                    let frozen = Params.detach made.Parameters
                    let context = made.Evaluation.Context
                    let data = made.Evaluation.Data

                    let frozenOutputs =
                        lazy
                            (use _ = torch.no_grad ()
                             learner.Model.Predict.Invoke(frozen, constantHyper context, data))

                    let outputs = lazy (learner.Model.Predict.Invoke(x.Parameters, hyper context, data))

                    let mu =
                        matching.Compare.Invoke(Prediction(frozen, frozenOutputs), Prediction(x.Parameters, outputs))

                    mu, made.Learner.Detach(), frozen, ValueNone
                | MetaObjective.Fixed -> invalidOp "unreachable"

            // Shared meta-parameters are moved by the mean over the members, a member's own by its own.
            let total =
                if w.Members = 1L && value.NumberOfElements > 1L then
                    value.mean ()
                else
                    value

            {
                Gradient = Gradients.gradient total w false
                Objective = value.detach ()
                Learner = goesOn
                Target = target
                Pending = left
                Losses = gathered ()
            }

    let private numbers (t: Tensor) : float[] =
        use cpu = t.``to`` (torch.float64, torch.CPU)
        cpu.data<float>().ToArray()

    /// One meta-step. The new state owns its tensors; the old one is left as it was, for its owner to dispose.
    /// `keep` takes the pending experience, if there is any, out of the scope of the meta-step.
    let step
        (learner: MetaLearner<'Data>)
        (state: MetaState<'Data>)
        (collect: Func<Params, Params, Experience<'Data>>)
        (keep: Action<Experience<'Data>>)
        : struct (MetaState<'Data> * MetaStepLog) =
        use _ = torch.NewDisposeScope()
        let result = metaGradient learner state collect

        let losses =
            match result.Losses with
            | null -> [||]
            | losses -> Array.chunkBySize (int losses.shape[1]) (numbers losses)

        let goesOn = {
            Parameters = Params.detachFromScope result.Learner.Parameters
            Optimizer = Params.detachFromScope result.Learner.Optimizer
        }

        match learner.Objective with
        | MetaObjective.Fixed ->
            let next = {
                state with
                    Learner = goesOn
                    Pending = result.Pending
            }

            struct (next,
                    {
                        Objective = [||]
                        MetaGradientNorm = [||]
                        Losses = losses
                    })
        | _ ->
            result.Pending |> ValueOption.iter keep.Invoke
            use _ = torch.no_grad ()

            let struct (w, optimizer) =
                Optimizers.apply
                    learner.MetaOptimizer
                    state.MetaParameters
                    state.MetaOptimizer
                    result.Gradient
                    Params.Empty

            let next = {
                Learner = goesOn
                MetaParameters = Params.detachFromScope w
                MetaOptimizer = Params.detachFromScope optimizer
                Pending = result.Pending
            }

            struct (next,
                    {
                        Objective =
                            (match result.Objective with
                             | null -> [||]
                             | value -> numbers value)
                        MetaGradientNorm = numbers ((Params.squaredNorm result.Gradient).sqrt())
                        Losses = losses
                    })
