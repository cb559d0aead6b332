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

/// ξ: makes a target from the learner after its K steps.
[<ReferenceEquality>]
type TargetBootstrap<'Data> = {
    Name: string
    /// (learner after K steps, cut out of the graph; its further life) → target.
    Bootstrap: Func<LearnerState, Life<'Data>, Target<'Data>>
} with

    /// A target bootstrap from its parts.
    static member Create
        (name: string, bootstrap: Func<LearnerState, Life<'Data>, Target<'Data>>)
        : TargetBootstrap<'Data> = { Name = name; Bootstrap = bootstrap }

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

    /// The paper's default (BMG, section 4): `steps` − 1 further steps of φ, then one last step of `optimizer` on `objective`, which
    /// makes x̃ = x⁽ᴷ⁺ᴸ⁻¹⁾ − α∇f(x⁽ᴷ⁺ᴸ⁻¹⁾) and is not part of the learner's own life. `steps` = L ≥ 1.
    let lookAhead (steps: int) (objective: Objective<'Data>) (optimizer: Optimizer) : TargetBootstrap<'Data> =
        Check.require "TargetBootstrap.lookAhead" "steps" "at least 1" steps (steps >= 1)
        let greedy = UpdateRule.gradient objective optimizer

        TargetBootstrap<'Data>
            .Create(
                $"{steps - 1} steps, then {greedy.Name}",
                (fun start life ->
                    let learner = live (steps - 1) start life
                    let last = life.Collect.Invoke learner.Parameters

                    let target =
                        greedy.Step.Invoke(
                            greedy.Init.Invoke learner.Parameters,
                            life.Hyper.Invoke last.Context,
                            last.Data,
                            Differentiation.None
                        )

                    {
                        Parameters = target.Learner.Parameters
                        Learner = learner
                        Evaluation = last
                    })
            )

    /// A target given as plain numbers, on one batch of experience gathered with the learner as it is.
    let given (parameters: Params) : TargetBootstrap<'Data> =
        TargetBootstrap<'Data>
            .Create(
                "given",
                (fun learner life -> {
                    Parameters = Params.detach parameters
                    Learner = learner
                    Evaluation = life.Collect.Invoke learner.Parameters
                })
            )
