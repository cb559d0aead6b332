namespace Bmg

open System
open TorchSharp

/// One batch of experience: data to learn from, and the context in which it was gathered ([P, C], or null).
[<ReferenceEquality>]
type Experience<'Data> = { Data: 'Data; Context: Tensor | null }

/// How a target bootstrap lets the learner live on. Nothing it does is differentiated.
[<ReferenceEquality>]
type Life<'Data> = {
    /// Gathers experience with these parameters; the stream goes on where it was.
    Collect: Func<Params, Experience<'Data>>
    /// Hyper-parameters, constants, for a context.
    Hyper: Func<Tensor | null, Params>
    /// One step of φ without a graph. The caller disposes learners that it has no further use for.
    Step: Func<LearnerState, Experience<'Data>, LearnerState>
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
}

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

    /// A target bootstrap from its parts, claiming all there is to claim.
    static member Create
        (name: string, bootstrap: Func<LearnerState, Life<'Data>, Target<'Data>>)
        : TargetBootstrap<'Data> = {
        Name = name
        Claims = TargetClaims.All
        Bootstrap = bootstrap
    }

    /// A target bootstrap from its parts.
    static member Create
        (name: string, claims: TargetClaims, bootstrap: Func<LearnerState, Life<'Data>, Target<'Data>>)
        : TargetBootstrap<'Data> = {
        Name = name
        Claims = claims
        Bootstrap = bootstrap
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
[<RequireQualifiedAccess>]
module TargetBootstrap =

    /// Lives `steps` steps of φ on; superseded learners and experiences are freed at once, so memory does not grow with `steps`.
    let private live (steps: int) (start: LearnerState) (life: Life<'Data>) : LearnerState =
        let mutable learner = start

        for _ in 1..steps do
            use _ = torch.NewDisposeScope()
            let next = life.Step.Invoke(learner, life.Collect.Invoke learner.Parameters)
            Params.moveToOuterScope next.Parameters |> ignore
            Params.moveToOuterScope next.Optimizer |> ignore

            if not (obj.ReferenceEquals(learner, start)) then
                learner.Dispose()

            learner <- next

        learner

    /// The paper's default (BMG, section 4): `steps` − 1 further steps of φ, then one last step of another rule, which makes
    /// x̃ = x⁽ᴷ⁺ᴸ⁻¹⁾ − α∇f(x⁽ᴷ⁺ᴸ⁻¹⁾) and is not part of the learner's own life. `steps` = L ≥ 1. The last step starts from a fresh
    /// optimizer state, or goes on from the learner's (`LastStepState.Learners`: both rules must then share an optimizer).
    let lookAhead (steps: int) (last: UpdateRule<'Data>) (state: LastStepState) : TargetBootstrap<'Data> =
        Check.require "TargetBootstrap.lookAhead" "steps" "at least 1" steps (steps >= 1)

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
