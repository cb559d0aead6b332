namespace Bmg

open System
open System.ComponentModel
open System.Runtime.InteropServices
open TorchSharp

/// One batch of experience: data to learn from, and the context in which it was gathered ([P, C], or null).
[<ReferenceEquality>]
type Experience<'Data> = {
    Data: 'Data
    Context: Tensor | null
} with

    /// Disposes the data, where they are disposable, and the context.
    member this.Dispose() : unit =
        match box this.Data with
        | :? IDisposable as data -> data.Dispose()
        | _ -> ()

        match this.Context with
        | null -> ()
        | context -> context.Dispose()

    interface IDisposable with
        member this.Dispose() = this.Dispose()

/// How a target bootstrap lets the learner live on. Nothing it does is differentiated.
[<ReferenceEquality>]
type Life<'Data> = {
    /// Gathers experience with these parameters; the stream goes on where it was.
    Collect: Func<Params, Experience<'Data>>
    /// Hyper-parameters, constants, for a context.
    Hyper: Func<Tensor | null, Params>
    /// One step of the learner's own life: φ without a graph. The caller disposes learners that it has no further use for.
    Step: Func<LearnerState, Experience<'Data>, LearnerState>
} with

    /// <summary>A life from its parts.</summary>
    /// <param name="collect">Parameters → experience gathered with them.</param>
    /// <param name="hyper">Context or null → hyper-parameters, constants.</param>
    /// <param name="step">(learner, experience) → the learner after a step without a graph.</param>
    /// <returns>The life.</returns>
    static member Create
        (
            collect: Func<Params, Experience<'Data>>,
            hyper: Func<Tensor | null, Params>,
            step: Func<LearnerState, Experience<'Data>, LearnerState>
        ) : Life<'Data> = {
        Collect = collect
        Hyper = hyper
        Step = step
    }

/// What a target bootstrap makes.
[<ReferenceEquality>]
type Target<'Data> = {
    /// x̃, constants.
    Parameters: Params
    /// The learner that goes on living: x⁽ᴷ⁺ᴸ⁻¹⁾ for the default target.
    Learner: LearnerState
    /// Where μ is evaluated: the last experience.
    Evaluation: Experience<'Data>
} with

    /// Disposes x̃ and the learner that goes on living. The experience stays its collector's.
    member this.Dispose() : unit =
        this.Parameters.Dispose()
        this.Learner.Dispose()

    interface IDisposable with
        member this.Dispose() = this.Dispose()

/// What a target bootstrap says of itself; the laws hold it to that.
[<Flags>]
type TargetClaims =
    | None = 0
    /// Where the learner is at rest (no gradient, and φ moves nothing), the target is the learner itself.
    | RestsAtFixedPoint = 1
    /// A member's target depends on that member alone.
    | MembersIndependent = 2
    /// Both.
    | All = 3

/// ξ: makes a target from the learner after its K steps.
[<ReferenceEquality>]
type TargetBootstrap<'Data> = {
    Name: string
    /// What the laws hold it to.
    Claims: TargetClaims
    /// (learner after K steps, cut out of the graph; its further life) → target.
    Bootstrap: Func<LearnerState, Life<'Data>, Target<'Data>>
} with

    /// <summary>A target bootstrap from its parts, claiming all there is to claim.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="bootstrap">(learner after K steps, cut out of the graph; its further life) → target.</param>
    /// <returns>ξ</returns>
    static member Create
        (name: string, bootstrap: Func<LearnerState, Life<'Data>, Target<'Data>>)
        : TargetBootstrap<'Data> = {
        Name = name
        Claims = TargetClaims.All
        Bootstrap = bootstrap
    }

    /// <summary>A target bootstrap from its parts.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="claims">What the laws hold it to.</param>
    /// <param name="bootstrap">(learner after K steps, cut out of the graph; its further life) → target.</param>
    /// <returns>ξ</returns>
    static member Create
        (name: string, claims: TargetClaims, bootstrap: Func<LearnerState, Life<'Data>, Target<'Data>>)
        : TargetBootstrap<'Data> = {
        Name = name
        Claims = claims
        Bootstrap = bootstrap
    }

    /// The same, claiming these as well.
    member this.Claiming(claims: TargetClaims) : TargetBootstrap<'Data> = {
        this with
            Claims = this.Claims ||| claims
    }

    /// Whether it claims all of these.
    member this.Has(claims: TargetClaims) : bool = this.Claims &&& claims = claims

/// Which optimizer state the last step of a target starts from.
type LastStepState =
    /// A first state, as at the beginning of training.
    | Fresh = 0
    /// The learner's own moments of that moment.
    | Learners = 1

/// Target bootstraps of the library.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module TargetBootstrap =

    /// One step of φ whose result belongs to the current scope; all else it makes is freed, and so is the learner it supersedes, unless
    /// that is the caller's own `start`.
    let private advance
        (start: LearnerState)
        (life: Life<'Data>)
        (learner: LearnerState)
        (experience: Experience<'Data>)
        : LearnerState =
        use _ = torch.NewDisposeScope()
        let next = life.Step.Invoke(learner, experience)
        Params.moveToOuterScope next.Parameters |> ignore
        Params.moveToOuterScope next.Optimizer |> ignore

        if not (obj.ReferenceEquals(learner, start)) then
            learner.Dispose()

        next

    /// Lives `steps` steps of φ on, and shows the learner after each; superseded learners and experiences are freed at once, so memory does
    /// not grow with `steps`.
    let private liveSeen
        (seen: LearnerState -> unit)
        (steps: int)
        (start: LearnerState)
        (life: Life<'Data>)
        : LearnerState =
        let mutable learner = start

        for _ in 1..steps do
            let next =
                use _ = torch.NewDisposeScope()
                let next = advance start life learner (life.Collect.Invoke learner.Parameters)
                Params.moveToOuterScope next.Parameters |> ignore
                Params.moveToOuterScope next.Optimizer |> ignore
                next

            learner <- next
            seen learner

        learner

    let private live (steps: int) (start: LearnerState) (life: Life<'Data>) : LearnerState =
        liveSeen ignore steps start life

    /// As `liveSeen`, for at least one step, keeping the experience of the last.
    let private liveKeeping
        (seen: LearnerState -> unit)
        (steps: int)
        (start: LearnerState)
        (life: Life<'Data>)
        : struct (LearnerState * Experience<'Data>) =
        let before = liveSeen seen (steps - 1) start life
        let experience = life.Collect.Invoke before.Parameters
        let learner = advance start life before experience
        seen learner
        struct (learner, experience)

    let private checkSteps (fn: string) (steps: int) =
        Check.require fn "steps" "at least 1" steps (steps >= 1)

    /// The paper's default (BMG, section 4): `steps` − 1 further steps of φ, then one last step of another rule, which makes
    /// x̃ = x⁽ᴷ⁺ᴸ⁻¹⁾ − α∇f(x⁽ᴷ⁺ᴸ⁻¹⁾) and is not part of the learner's own life. `steps` = L ≥ 1. The last step starts from a fresh
    /// optimizer state, or goes on from the learner's (`LastStepState.Learners`: both rules must then share an optimizer).
    let lookAhead (steps: int) (last: UpdateRule<'Data>) (state: LastStepState) : TargetBootstrap<'Data> =
        checkSteps "TargetBootstrap.lookAhead" steps

        TargetBootstrap<'Data>
            .Create(
                $"{steps - 1} steps, then {last.Name}",
                (fun start life ->
                    let learner = live (steps - 1) start life
                    let experience = life.Collect.Invoke learner.Parameters

                    let from =
                        match state with
                        | LastStepState.Learners -> learner
                        | _ -> last.Init.Invoke learner.Parameters

                    let hyper = life.Hyper.Invoke experience.Context
                    let target = last.Step.Invoke(from, hyper, experience.Data, Differentiation.None)

                    {
                        Parameters = target.Learner.Parameters
                        Learner = learner
                        Evaluation = experience
                    })
            )

    /// A target given as plain numbers, on one batch of experience gathered with the learner as it is.
    let given (parameters: Params) : TargetBootstrap<'Data> =
        TargetBootstrap<'Data>
            .Create(
                "given",
                TargetClaims.MembersIndependent,
                (fun learner life -> {
                    Parameters = Params.detach parameters
                    Learner = learner
                    Evaluation = life.Collect.Invoke learner.Parameters
                })
            )

    /// The learner itself, `steps` = L ≥ 1 steps of φ on: x̃ = x⁽ᴷ⁺ᴸ⁾, with no last step of another rule: the paper's default without it. That very
    /// learner lives on. L batches are taken, each learned from; μ is evaluated on the last of them, so that no experience is spent on
    /// judging alone. What φ itself does wrong, this target does wrong as well: w is judged by where φ under w leads, not by a loss.
    let aheadOnly (steps: int) : TargetBootstrap<'Data> =
        checkSteps "TargetBootstrap.aheadOnly" steps

        TargetBootstrap<'Data>
            .Create(
                $"{steps} steps",
                (fun start life ->
                    let struct (learner, experience) = liveKeeping ignore steps start life

                    {
                        // Handles of its own: who disposes the learner leaves the target alone.
                        Parameters = Params.detach learner.Parameters
                        Learner = learner
                        Evaluation = experience
                    })
            )

    /// An exponential moving average of the learner's own path (Polyak and Juditsky 1992; as a teacher, Tarvainen and Valpola 2017): from
    /// x̃ = x⁽ᴷ⁾, after each of `steps` = L ≥ 1 steps of φ, x̃ ← d·x̃ + (1 − d)·x, with d = `decay` in [0, 1]. d = 0 is `aheadOnly`, d = 1 the
    /// learner after K steps. The learner that lives on is x⁽ᴷ⁺ᴸ⁾. L batches are taken, each learned from; μ is evaluated on the last.
    let movingAverage (steps: int) (decay: float) : TargetBootstrap<'Data> =
        checkSteps "TargetBootstrap.movingAverage" steps
        Check.range "TargetBootstrap.movingAverage" "decay" 0.0 1.0 decay
        let share: Scalar = Scalars.constant (1.0 - decay)

        TargetBootstrap<'Data>
            .Create(
                $"average of {steps} steps, decay {decay}",
                (fun start life ->
                    let mutable average = Params.detach start.Parameters

                    // x̃ + (1 − d)·(x − x̃): where nothing moves, not one bit of x̃ does.
                    let follow (learner: LearnerState) =
                        use _ = torch.NewDisposeScope()
                        use _ = torch.no_grad ()

                        let next =
                            Params.map2
                                (fun (a: Tensor) (x: Tensor) -> a.add (x.minus a, share))
                                average
                                learner.Parameters

                        Params.dispose average
                        average <- Params.moveToOuterScope next

                    let struct (learner, experience) = liveKeeping follow steps start life

                    {
                        Parameters = average
                        Learner = learner
                        Evaluation = experience
                    })
            )

    /// The position of the lowest number, the first of several; what is no number counts as the highest.
    let private lowest (losses: Tensor) : int64 =
        use cut = losses.detach ()
        use converted = cut.``to`` (torch.float64, torch.CPU)
        use packed = converted.contiguous ()
        let values = packed.data<float>().ToArray()
        let mutable best = 0

        for i in 1 .. values.Length - 1 do
            if
                values[i] < values[best]
                || (System.Double.IsNaN values[best] && not (System.Double.IsNaN values[i]))
            then
                best <- i

        int64 best

    /// Every member of a population with the same parameters, of which the set holds one.
    let private forAll (members: int64) (one: Params) : Params =
        one
        |> Params.map (fun t ->
            let shape = Array.copy t.shape
            shape[0] <- members
            t.expand shape)

    /// Learners that teach each other: `steps` − 1 steps of φ, `steps` = L ≥ 1, then one batch gathered with the learner as it is, on which
    /// `lossFunction` gives each member a loss [P]. Every member's target is the parameters of the member with the lowest loss, the first of
    /// several; a loss that is NaN never wins. L batches are taken; the last is scored and μ is evaluated on it, and no step learns from
    /// it, so that it may judge the policy that gathered it. The learner that lives on is x⁽ᴷ⁺ᴸ⁻¹⁾. A member's target depends on the
    /// others, and where all are at rest the worse are still drawn to the best: it claims nothing. (After the deep mutual learning of
    /// Zhang et al. 2018 and the copying of population based training, Jaderberg et al. 2017.)
    let bestMember (steps: int) (lossFunction: LossFunction<'Data>) : TargetBootstrap<'Data> =
        checkSteps "TargetBootstrap.bestMember" steps

        TargetBootstrap<'Data>
            .Create(
                $"{steps - 1} steps, then the member of the lowest {lossFunction.Name}",
                TargetClaims.None,
                (fun start life ->
                    let learner = live (steps - 1) start life
                    let experience = life.Collect.Invoke learner.Parameters
                    let members = learner.Parameters.Members

                    let best =
                        use _ = torch.NewDisposeScope()
                        use _ = torch.no_grad ()
                        let hyper = life.Hyper.Invoke experience.Context
                        let losses = lossFunction.Loss.Invoke(learner.Parameters, hyper, experience.Data)
                        Check.shape "TargetBootstrap.bestMember" "lossFunction" "[P]" [| members |] losses
                        lowest losses

                    {
                        Parameters = forAll members (Params.ofMember best (Params.detach learner.Parameters))
                        Learner = learner
                        Evaluation = experience
                    })
            )

    /// A teacher: `steps` − 1 steps of φ, `steps` = L ≥ 1, then one batch gathered with the learner as it is, which with that learner is put
    /// before `teach`; x̃ is what it gives, of the learner's names and shapes, or with a population axis of 1 for one teacher of all. x̃ is
    /// cut out of any graph and may be the teacher's own tensors, which stay the teacher's. L batches are taken; no step learns from the
    /// last, on which μ is evaluated. The learner that lives on is x⁽ᴷ⁺ᴸ⁻¹⁾. It claims nothing; `Claiming` says what is true of a teacher.
    let teacher (steps: int) (teach: LearnerState -> Experience<'Data> -> Params) : TargetBootstrap<'Data> =
        checkSteps "TargetBootstrap.teacher" steps

        TargetBootstrap<'Data>
            .Create(
                $"{steps - 1} steps, then a teacher",
                TargetClaims.None,
                (fun start life ->
                    let learner = live (steps - 1) start life
                    let experience = life.Collect.Invoke learner.Parameters
                    let taught = teach learner experience
                    let members = learner.Parameters.Members

                    // Names and shapes, checked tensor by tensor; `map2` refuses other names.
                    let taught =
                        Params.map2
                            (fun (x: Tensor) (t: Tensor) ->
                                if t.shape[0] = members then
                                    Check.shape "TargetBootstrap.teacher" "teach" "the learner's" x.shape t
                                    t.detach ()
                                else
                                    let shape = Array.copy x.shape
                                    shape[0] <- 1L
                                    Check.shape "TargetBootstrap.teacher" "teach" "the learner's, or 1 member" shape t
                                    t.detach().expand x.shape)
                            learner.Parameters
                            taught

                    {
                        Parameters = taught
                        Learner = learner
                        Evaluation = experience
                    })
            )

/// Target bootstraps of the library: what C# calls. Nothing that they do is differentiated.
[<AbstractClass; Sealed>]
type TargetBootstrap =

    /// <summary>The paper's default: L − 1 further steps of φ, then one last step of another rule, which makes x̃ and is not part of the
    /// learner's own life.</summary>
    /// <param name="steps">L, at least 1.</param>
    /// <param name="last">The rule of the last step.</param>
    /// <param name="state">Which optimizer state the last step starts from.</param>
    /// <returns>ξ</returns>
    static member LookAhead
        (
            steps: int,
            last: UpdateRule<'Data>,
            [<Optional; DefaultParameterValue(LastStepState.Fresh)>] state: LastStepState
        ) : TargetBootstrap<'Data> =
        TargetBootstrap.lookAhead steps last state

    /// <summary>A target given as plain numbers, on one batch of experience gathered with the learner as it is.</summary>
    /// <param name="parameters">x̃, of the learner's names and shapes.</param>
    /// <returns>ξ</returns>
    static member Given<'Data>(parameters: Params) : TargetBootstrap<'Data> = TargetBootstrap.given parameters

    /// <summary>The learner itself, L steps of φ on, with no last step of another rule. That very learner lives on.</summary>
    /// <param name="steps">L, at least 1.</param>
    /// <returns>ξ</returns>
    static member AheadOnly<'Data>(steps: int) : TargetBootstrap<'Data> = TargetBootstrap.aheadOnly steps

    /// <summary>An exponential moving average of the learner's own path over L steps of φ.</summary>
    /// <param name="steps">L, at least 1.</param>
    /// <param name="decay">d in [0, 1]: x̃ ← d·x̃ + (1 − d)·x after each step.</param>
    /// <returns>ξ</returns>
    static member MovingAverage<'Data>(steps: int, decay: float) : TargetBootstrap<'Data> =
        TargetBootstrap.movingAverage steps decay

    /// <summary>Learners that teach each other: L − 1 steps of φ, then every member's target is the member of the lowest loss. It claims
    /// nothing.</summary>
    /// <param name="steps">L, at least 1.</param>
    /// <param name="lossFunction">What members are compared by, [P], on the last batch.</param>
    /// <returns>ξ</returns>
    static member BestMember(steps: int, lossFunction: LossFunction<'Data>) : TargetBootstrap<'Data> =
        TargetBootstrap.bestMember steps lossFunction

    /// <summary>A teacher: L − 1 steps of φ, then x̃ is what it makes of the learner and one more batch. It claims nothing.</summary>
    /// <param name="steps">L, at least 1.</param>
    /// <param name="teach">(learner, experience) → x̃ of the learner's names and shapes, or with a population axis of 1.</param>
    /// <returns>ξ</returns>
    static member Teacher(steps: int, teach: Func<LearnerState, Experience<'Data>, Params>) : TargetBootstrap<'Data> =
        TargetBootstrap.teacher steps (fun learner experience -> teach.Invoke(learner, experience))
