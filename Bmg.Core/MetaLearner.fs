namespace Bmg

open System
open System.ComponentModel
open TorchSharp

/// What judges the meta-parameters: the one field in which a meta-gradient and a bootstrapped one differ.
[<RequireQualifiedAccess; ReferenceEquality>]
type MetaObjective<'Data> =
    /// No meta-learning: w stays as it is.
    | Fixed
    /// The learner's own loss after K steps, on one more batch of experience, which is also the first of the next window (Xu et al. 2018).
    | MetaGradient of OuterLoss: LossFunction<'Data>
    /// The match of the learner after K steps with a target that it bootstraps itself (Flennerhag et al. 2022).
    | Bootstrapped of Target: TargetBootstrap<'Data> * Matching: MatchingFunction

/// How the meta-gradient gets through the K steps of φ. The first three give the same numbers (truncated where it reaches back over all
/// K); they differ in what they cost.
[<RequireQualifiedAccess>]
type ThroughSteps =
    /// Reverse mode through all K steps. Memory grows with K; time does not depend on the number of meta-parameters.
    | Reverse
    /// Reverse mode through the last `steps` of the K steps, at least one; the dependence of those before on w is left out (Shaban et al.
    /// 2019, truncated back-propagation).
    | Truncated of Steps: int
    /// Forward mode: the tangents of x and h by each entry of w are carried from step to step (Franceschi et al. 2017, forward
    /// hyper-gradients), each step's by differentiating its vector-Jacobian product once more. Memory does not grow with K; time grows with
    /// the number of meta-parameters.
    | Forward
    /// Reverse mode in which ∇f is taken to be constant in x at every step (first-order MAML; Finn et al. 2017, section 5.2). Exact for one
    /// step from an x that w does not reach.
    | FirstOrder

/// All that a meta-learner carries from one meta-step to the next.
[<ReferenceEquality>]
type MetaState<'Data> = {
    Learner: LearnerState
    /// w
    MetaParameters: Params
    /// State of the meta-optimizer.
    MetaOptimizer: Params
    /// Experience gathered but not yet learned from, or null: the batch on which a meta-gradient judged the learner.
    Pending: Experience<'Data> | null
} with

    /// Disposes the learner, w, the meta-optimizer's state and what is pending, where its data are disposable. A state whose meta-step was
    /// made shares with the next one what the meta-step left alone: see `DisposeExcept`.
    member this.Dispose() : unit =
        this.Learner.Dispose()
        this.MetaParameters.Dispose()
        this.MetaOptimizer.Dispose()

        match this.Pending with
        | null -> ()
        | pending -> pending.Dispose()

    /// Disposes all but what `next` holds as well: a state that `next` supersedes.
    member this.DisposeExcept(next: MetaState<'Data>) : unit =
        let shared (a: obj | null) (b: obj | null) = obj.ReferenceEquals(a, b)

        let release (mine: Params) (theirs: Params) =
            if not (shared mine theirs) then
                mine.Dispose()

        release this.Learner.Parameters next.Learner.Parameters
        release this.Learner.Optimizer next.Learner.Optimizer
        release this.MetaParameters next.MetaParameters
        release this.MetaOptimizer next.MetaOptimizer

        match this.Pending with
        | null -> ()
        | pending ->
            if not (shared pending next.Pending) then
                pending.Dispose()

    interface IDisposable with
        member this.Dispose() = this.Dispose()

/// Numbers that a meta-step reports, one a member; empty arrays where there is no meta-learning.
[<ReferenceEquality>]
type MetaStepLog = {
    /// μ, or the outer loss of a plain meta-gradient.
    MetaObjective: float[]
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
    MetaObjective: Tensor | null
    /// x⁽ᴷ⁾, the learner after its K steps, constants: what μ or the outer loss judged.
    AfterInnerSteps: LearnerState
    /// The learner that lives on, constants: x⁽ᴷ⁾ itself under a plain meta-gradient, and whatever the target bootstrap went on to
    /// otherwise, x⁽ᴷ⁺ᴸ⁻¹⁾ by default.
    NextLearner: LearnerState
    /// x̃, or the empty set for a plain meta-gradient.
    Target: Params
    /// Experience gathered but not yet learned from, or null.
    Pending: Experience<'Data> | null
    /// Where μ or the outer loss was evaluated; null where there is no meta-learning.
    Evaluation: Experience<'Data> | null
    /// The learner's losses, [steps, P]; null where there was no step.
    Losses: Tensor | null
} with

    /// Disposes every tensor of the result. Experience stays its collector's.
    member this.Dispose() : unit =
        this.Gradient.Dispose()
        this.AfterInnerSteps.Dispose()
        this.NextLearner.Dispose()
        this.Target.Dispose()

        for t in [| this.MetaObjective; this.Losses |] do
            match t with
            | null -> ()
            | t -> t.Dispose()

    interface IDisposable with
        member this.Dispose() = this.Dispose()

/// A learner that tunes its own update rule. A meta-step runs K steps of φ with a graph, lets ξ make a target without one, measures μ
/// and moves w along the meta-gradient. It is handed experience by a function of the learner's parameters and of w, and so knows
/// nothing of environments.
[<ReferenceEquality>]
type MetaLearner<'Data> = {
    UpdateRule: UpdateRule<'Data>
    /// K ≥ 0. With K = 0 nothing is differentiated through the learner; w must reach μ through the model.
    InnerSteps: int
    MetaParameters: MetaParameters
    MetaObjective: MetaObjective<'Data>
    Model: Model<'Data>
    MetaOptimizer: Optimizer
    /// How the meta-gradient gets through the K steps.
    Through: ThroughSteps
} with

    /// <summary>A meta-learner that differentiates in reverse mode through all of its steps.</summary>
    /// <param name="updateRule">φ</param>
    /// <param name="innerSteps">K, at least 0.</param>
    /// <param name="metaParameters">w, and what φ gets from it.</param>
    /// <param name="metaObjective">What judges w.</param>
    /// <param name="model">What μ compares; a plain meta-gradient does not ask it.</param>
    /// <param name="metaOptimizer">What moves w.</param>
    /// <returns>The meta-learner.</returns>
    static member Create
        (
            updateRule: UpdateRule<'Data>,
            innerSteps: int,
            metaParameters: MetaParameters,
            metaObjective: MetaObjective<'Data>,
            model: Model<'Data>,
            metaOptimizer: Optimizer
        ) : MetaLearner<'Data> =
        Check.require "MetaLearner.Create" "innerSteps" "at least 0" innerSteps (innerSteps >= 0)

        {
            UpdateRule = updateRule
            InnerSteps = innerSteps
            MetaParameters = metaParameters
            MetaObjective = metaObjective
            Model = model
            MetaOptimizer = metaOptimizer
            Through = ThroughSteps.Reverse
        }

    /// The same, differentiating in another way.
    member this.With(through: ThroughSteps) : MetaLearner<'Data> = { this with Through = through }

/// Meta-steps.
[<RequireQualifiedAccess;
  EditorBrowsable(EditorBrowsableState.Never);
  CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
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
            Pending = null
        }

    /// Moves a learner that must outlive the current scope to the one outside.
    let private keepLearner (learner: LearnerState) : LearnerState =
        Params.moveToOuterScope learner.Parameters |> ignore
        Params.moveToOuterScope learner.Optimizer |> ignore
        learner

    /// The learner after K steps, and how it depends on w: by a graph, or by tangents.
    [<RequireQualifiedAccess; ReferenceEquality; NoComparison>]
    type private Reached =
        | ByGraph of LearnerState
        /// For each entry of w, the derivative of x by it.
        | ByTangents of LearnerState * Params[]

    /// The unit directions of w: one for each entry that a member has. Members do not touch each other, so a direction covers them all.
    let private directions (w: Params) : Params[] =
        let rows = Params.flatten w
        let size = rows.shape[1]

        Array.init (int size) (fun j ->
            let direction = torch.zeros_like rows
            direction.select(1L, int64 j).fill_(Scalars.constant 1.0) |> ignore
            Params.unflatten w direction)

    /// Forward mode over one step: from tangents of (x, h) to those of the next. The vector-Jacobian product is linear in its vector v, so its
    /// derivative by v, along the tangents that went in, is the Jacobian-vector product.
    let private pushForward
        (step: LearnerState -> Params -> UpdateStep)
        (learner: LearnerState)
        (w: Params)
        (units: Params[])
        (tangents: Params[])
        : LearnerState * Params[] * Tensor =
        let together (l: LearnerState) =
            Params.merge [| Params.prefix "x/" l.Parameters; Params.prefix "h/" l.Optimizer |]

        let w = Params.leaves w
        let x = Params.leaves learner.Parameters
        let h = Params.leaves learner.Optimizer
        let made = step { Parameters = x; Optimizer = h } w
        let outputs = together made.Learner

        let inputs = Params.merge [| together { Parameters = x; Optimizer = h }; Params.prefix "w/" w |]

        let vector = outputs |> Params.map (fun t -> (torch.zeros_like t).requires_grad_ true)

        let products = Gradients.vectorJacobian outputs vector inputs true

        let next =
            Array.map2
                (fun (unit: Params) (tangent: Params) ->
                    let along = Params.merge [| tangent; Params.prefix "w/" unit |]

                    // A shared w has one row for all members: the sum below counts it once for each, as it should.
                    let slope =
                        Array.map2
                            (fun (p: Tensor) (t: Tensor) -> (p.mul t).sum())
                            products.TensorArray
                            along.TensorArray
                        |> Array.reduce (fun a b -> a.plus b)

                    if slope.requires_grad then
                        Gradients.gradientKeepingGraph slope vector
                    else
                        Params.zerosLike vector)
                units
                tangents

        made.Learner.Detach(), next, made.Loss

    /// The meta-gradient at w, with everything that was computed on the way. Tensors belong to the current dispose scope.
    /// `collect` gathers one batch of experience with given learner parameters and meta-parameters.
    let metaGradient
        (learner: MetaLearner<'Data>)
        (state: MetaState<'Data>)
        (collect: Params -> Params -> Experience<'Data>)
        : MetaGradientResult<'Data> =
        let constantW = state.MetaParameters

        let w =
            match learner.MetaObjective with
            | MetaObjective.Fixed -> constantW
            | _ -> Params.leaves constantW

        let hyper (context: Tensor | null) =
            learner.MetaParameters.Apply.Invoke(w, context)

        let constantHyper (context: Tensor | null) =
            learner.MetaParameters.Apply.Invoke(constantW, context)

        let losses = ResizeArray<Tensor>()
        let mutable pending = state.Pending

        let log (loss: Tensor) =
            losses.Add(loss.detach().DetachFromDisposeScope())

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
            | null -> collect x constantW
            | experience ->
                pending <- null
                experience

        let constantStep (from: LearnerState) (experience: Experience<'Data>) =
            let step =
                learner.UpdateRule.Step.Invoke(
                    from,
                    constantHyper experience.Context,
                    experience.Data,
                    Differentiation.None
                )

            log step.Loss
            step.Learner

        /// Steps without a graph; what is superseded is freed at once.
        let constantSteps (count: int) (start: LearnerState) =
            let mutable x = start

            for _ in 1..count do
                use _ = torch.NewDisposeScope()
                let after = keepLearner (constantStep x (next x.Parameters))

                if not (obj.ReferenceEquals(x, start)) then
                    x.Dispose()

                x <- after

            x

        let graphSteps (differentiation: Differentiation) (count: int) (start: LearnerState) =
            let mutable x = start

            for _ in 1..count do
                let experience = next x.Parameters

                let step = learner.UpdateRule.Step.Invoke(x, hyper experience.Context, experience.Data, differentiation)

                log step.Loss
                x <- step.Learner

            x

        let forwardSteps (count: int) (start: LearnerState) =
            let units = directions constantW

            let still () =
                Params.merge [|
                    Params.prefix "x/" (Params.zerosLike start.Parameters)
                    Params.prefix "h/" (Params.zerosLike start.Optimizer)
                |]

            let mutable x = start
            let mutable tangents = units |> Array.map (fun _ -> still ())

            for _ in 1..count do
                use _ = torch.NewDisposeScope()
                let experience = next x.Parameters

                let after, pushed, loss =
                    pushForward
                        (fun from w ->
                            learner.UpdateRule.Step.Invoke(
                                from,
                                learner.MetaParameters.Apply.Invoke(w, experience.Context),
                                experience.Data,
                                Differentiation.Full
                            ))
                        x
                        constantW
                        units
                        tangents

                log loss
                let after = keepLearner after

                for t in tangents do
                    Params.dispose t

                if not (obj.ReferenceEquals(x, start)) then
                    x.Dispose()

                tangents <- pushed |> Array.map Params.moveToOuterScope
                x <- after

            x, tangents |> Array.map (Params.sub "x/")

        let compute () =
            match learner.MetaObjective with
            | MetaObjective.Fixed ->
                let x = constantSteps (max 1 learner.InnerSteps) state.Learner

                {
                    Gradient = Params.Empty
                    MetaObjective = null
                    AfterInnerSteps = x
                    NextLearner = x
                    Target = Params.Empty
                    Pending = pending
                    Evaluation = null
                    Losses = gathered ()
                }
            | metaObjective ->
                let reached =
                    match learner.Through with
                    | ThroughSteps.Reverse ->
                        Reached.ByGraph(graphSteps Differentiation.Full learner.InnerSteps state.Learner)
                    | ThroughSteps.FirstOrder ->
                        Reached.ByGraph(graphSteps Differentiation.FirstOrder learner.InnerSteps state.Learner)
                    | ThroughSteps.Truncated steps ->
                        Check.require
                            "MetaLearner.metaGradient"
                            "Through"
                            "truncated to at least 1 step"
                            steps
                            (steps >= 1)

                        let last = min steps learner.InnerSteps

                        Reached.ByGraph(
                            graphSteps
                                Differentiation.Full
                                last
                                (constantSteps (learner.InnerSteps - last) state.Learner)
                        )
                    | ThroughSteps.Forward -> Reached.ByTangents(forwardSteps learner.InnerSteps state.Learner)

                // The point at which μ is differentiated: the result of the graph, or a leaf whose gradient meets the tangents.
                let x =
                    match reached with
                    | Reached.ByGraph x -> x
                    | Reached.ByTangents(x, _) -> {
                        x with
                            Parameters = Params.leaves x.Parameters
                      }

                // Handles of their own: what a graph made stays part of it.
                let after = x.Detach()

                let value, goesOn, target, evaluation, (left: Experience<'Data> | null) =
                    match metaObjective with
                    | MetaObjective.MetaGradient outer ->
                        let experience = next x.Parameters
                        let loss = outer.Loss.Invoke(x.Parameters, hyper experience.Context, experience.Data)
                        loss, after, Params.Empty, experience, experience
                    | MetaObjective.Bootstrapped(bootstrap, matching) ->
                        let life = Life<'Data>.Create(next, constantHyper, constantStep)

                        let made = bootstrap.Bootstrap.Invoke(after, life)
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
                            matching.Compare.Invoke(
                                Prediction(frozen, frozenOutputs),
                                Prediction(x.Parameters, outputs)
                            )

                        mu, made.Learner.Detach(), frozen, made.Evaluation, null
                    | MetaObjective.Fixed -> invalidOp "unreachable"

                // Shared meta-parameters are moved by the mean over the members, a member's own by its own.
                let shared = w.Members = 1L && value.NumberOfElements > 1L
                let total = if shared then value.mean () else value

                let gradient =
                    match reached with
                    | Reached.ByGraph _ -> Gradients.gradient total w false
                    | Reached.ByTangents(_, tangents) ->
                        let both = Params.merge [| Params.prefix "x/" x.Parameters; Params.prefix "w/" w |]

                        let slopes = Gradients.gradient total both false
                        let byX = Params.sub "x/" slopes

                        // One column an entry of w, [P, N]; a shared w takes what all members say.
                        let columns = torch.stack (tangents |> Array.map (fun t -> Params.dot byX t), 1L)

                        let through =
                            if w.Members = 1L then
                                columns.sum (0L, keepdim = true)
                            else
                                columns

                        Params.add (Params.sub "w/" slopes) (Params.unflatten constantW through)

                {
                    Gradient = gradient
                    MetaObjective = value.detach ()
                    AfterInnerSteps = after
                    NextLearner = goesOn
                    Target = target
                    Pending = left
                    Evaluation = evaluation
                    Losses = gathered ()
                }

        try
            compute ()
        with _ ->
            // Whoever threw, what was kept outside of all scopes goes.
            for loss in losses do
                loss.Dispose()

            reraise ()

    let private numbers (t: Tensor) : float[] =
        use cpu = t.``to`` (torch.float64, torch.CPU)
        cpu.data<float>().ToArray()

    /// One meta-step. The new state owns its tensors; the old one is left as it was, for its owner to dispose.
    /// `keep` takes the pending experience, if there is any, out of the scope of the meta-step.
    let step
        (learner: MetaLearner<'Data>)
        (state: MetaState<'Data>)
        (collect: Params -> Params -> Experience<'Data>)
        (keep: Experience<'Data> -> unit)
        : struct (MetaState<'Data> * MetaStepLog) =
        use _ = torch.NewDisposeScope()
        let result = metaGradient learner state collect

        let losses =
            match result.Losses with
            | null -> [||]
            | losses -> Array.chunkBySize (int losses.shape[1]) (numbers losses)

        let goesOn = {
            Parameters = Params.detachFromScope result.NextLearner.Parameters
            Optimizer = Params.detachFromScope result.NextLearner.Optimizer
        }

        match learner.MetaObjective with
        | MetaObjective.Fixed ->
            let next = {
                state with
                    Learner = goesOn
                    Pending = result.Pending
            }

            struct (next,
                    {
                        MetaObjective = [||]
                        MetaGradientNorm = [||]
                        Losses = losses
                    })
        | _ ->
            match result.Pending with
            | null -> ()
            | pending -> keep pending

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
                        MetaObjective =
                            (match result.MetaObjective with
                             | null -> [||]
                             | value -> numbers value)
                        MetaGradientNorm = numbers ((Params.squaredNorm result.Gradient).sqrt())
                        Losses = losses
                    })

    /// Names of the hyper-parameters whose meta-gradient is exactly 0 on this experience: `hyper` holds a value for each that φ and the
    /// model read, [P]. All of them where nothing is meta-learned. A zero may be chance (a unit that is off): ask for several draws.
    let unreached
        (learner: MetaLearner<'Data>)
        (x: Params)
        (hyper: Params)
        (collect: Params -> Params -> Experience<'Data>)
        : string[] =
        use _ = torch.NewDisposeScope()

        let direct = {
            learner with
                MetaParameters =
                    MetaParameters.Create("hyper-parameters themselves", 0, [||], (fun _ _ _ -> hyper), (fun w _ -> w))
        }

        let state = {
            Learner = learner.UpdateRule.Init.Invoke x
            MetaParameters = hyper
            MetaOptimizer = Params.Empty
            Pending = null
        }

        let gradient =
            try
                (metaGradient direct state collect).Gradient
            with :? ArgumentException as e when e.ParamName = "loss" ->
                // What is judged is no function of w at all.
                Params.Empty

        hyper.NameArray
        |> Array.filter (fun name ->
            not (gradient.Contains name)
            || gradient[name].eq(Scalars.constant 0.0).all().ToBoolean())

/// Meta-steps as members: what C# calls.
type MetaLearner<'Data> with

    /// <summary>The first state.</summary>
    /// <param name="x">Learner parameters, owned by the state from here on.</param>
    /// <param name="w">Meta-parameters, owned by the state from here on.</param>
    /// <returns>The state; dispose it, or with <c>DisposeExcept</c> when a meta-step has made the next.</returns>
    member this.Init(x: Params, w: Params) : MetaState<'Data> = MetaLearner.init this x w

    /// <summary>The meta-gradient at w, with everything that was computed on the way.</summary>
    /// <param name="state">Where it is taken; left as it was.</param>
    /// <param name="collect">(learner parameters, w) → one batch of experience gathered with them.</param>
    /// <returns>Tensors that belong to the current dispose scope.</returns>
    member this.MetaGradient
        (state: MetaState<'Data>, collect: Func<Params, Params, Experience<'Data>>)
        : MetaGradientResult<'Data> =
        MetaLearner.metaGradient this state (fun x w -> collect.Invoke(x, w))

    /// <summary>One meta-step: K steps of φ, a target, the meta-gradient, a step of the meta-optimizer.</summary>
    /// <param name="state">Where it starts; left as it was, for its owner to dispose.</param>
    /// <param name="collect">(learner parameters, w) → one batch of experience gathered with them.</param>
    /// <param name="keep">Takes the pending experience, if there is any, out of the dispose scope of the meta-step.</param>
    /// <returns>The next state, which owns its tensors, and the numbers that the meta-step reports.</returns>
    member this.Step
        (state: MetaState<'Data>, collect: Func<Params, Params, Experience<'Data>>, keep: Action<Experience<'Data>>)
        : struct (MetaState<'Data> * MetaStepLog) =
        MetaLearner.step this state (fun x w -> collect.Invoke(x, w)) keep.Invoke

    /// <summary>Names of the hyper-parameters whose meta-gradient is exactly 0 on this experience. A zero may be chance: ask for several
    /// draws.</summary>
    /// <param name="x">Learner parameters.</param>
    /// <param name="hyper">A value for each hyper-parameter that φ and the model read, [P].</param>
    /// <param name="collect">(learner parameters, hyper-parameters) → one batch of experience.</param>
    /// <returns>Names, in the order of <paramref name="hyper"/>; all where nothing is meta-learned.</returns>
    member this.Unreached(x: Params, hyper: Params, collect: Func<Params, Params, Experience<'Data>>) : string[] =
        MetaLearner.unreached this x hyper (fun x w -> collect.Invoke(x, w))
