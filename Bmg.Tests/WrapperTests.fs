/// Wrappers over an environment that counts, against what they say they do.
module Bmg.Tests.WrapperTests

open System
open Bmg
open Bmg.Training.Environments
open Expecto
open FsCheck
open FsCheck.FSharp
open Bmg.Tests.Counting

/// An honest counter with episodes of some length, truncated or terminated.
let private episodes (length: int) (truncated: bool) = {
    honest with
        Ends = fun at -> at >= length && not truncated, at >= length && truncated
        Mask = fun _ -> [| true; true; true |]
        OnStep = fun _ _ -> ()
        Restore =
            fun reader ->
                let at = reader.ReadInt32()
                let total = reader.ReadInt32()
                at, total, reader.ReadSingle()
}

type private Limits = {
    Length: int
    Limit: int
    Truncated: bool
    Seed: uint64
}

let private limits =
    Arb.fromGen (
        gen {
            let! length = Gen.choose (1, 12)
            let! limit = Gen.choose (1, 12)
            let! truncated = Gen.elements [ true; false ]
            let! seed = Gen.choose (0, Int32.MaxValue)

            return {
                Length = length
                Limit = limit
                Truncated = truncated
                Seed = uint64 seed
            }
        }
    )

let tests =
    testList "environment wrappers" [
        property 100 "a time limit truncates at its step what has not ended by itself" limits (fun case ->
            let plain = counter (episodes case.Length case.Truncated)
            let limited: IEnvironment = TimeLimit(counter (episodes case.Length case.Truncated), int64 case.Limit)
            let one, other = Rng case.Seed, Rng case.Seed

            for _ in 1..3 do
                Expect.sequenceEqual (reset limited one) (reset plain other) "start"
                let mutable at = 0
                let mutable ended = false

                while not ended do
                    at <- at + 1
                    let found, seen = act limited one [| 0 |]
                    let inner, expected = act plain other [| 0 |]
                    Expect.sequenceEqual seen expected "observation"
                    let cut = at = case.Limit && not inner.Terminated

                    Expect.equal
                        found
                        (StepResult(inner.Reward, inner.Terminated, inner.Truncated || cut))
                        $"step {at}"

                    ended <- found.Ended

                Expect.equal at (min case.Length case.Limit) "length of an episode")

        property
            100
            "a frame stack shows the last observations, oldest first, and the first one repeated"
            limits
            (fun case ->
                let frames = case.Limit
                let plain = counter (episodes case.Length case.Truncated)
                let stacked: IEnvironment = FrameStack(counter (episodes case.Length case.Truncated), frames)
                let one, other = Rng case.Seed, Rng case.Seed

                for _ in 1..3 do
                    let seen = ResizeArray [ reset plain other ]

                    let expected () =
                        Array.concat [ for age in frames - 1 .. -1 .. 0 -> seen[max 0 (seen.Count - 1 - age)] ]

                    Expect.sequenceEqual (reset stacked one) (expected ()) "start"
                    let mutable ended = false

                    while not ended do
                        let inner, observation = act plain other [| 0 |]
                        seen.Add observation
                        let found, stack = act stacked one [| 0 |]
                        Expect.equal found inner "result"
                        Expect.sequenceEqual stack (expected ()) "stack"
                        ended <- inner.Ended)

        testCase "a frame stack multiplies the first axis, and names each number by its age"
        <| fun () ->
            let row = FrameStack(CartPole(CartPoleSettings()), 2)

            Expect.equal
                row.Description.Observation
                (ObservationSpace.Named(
                    "t-1.position",
                    "t-1.velocity",
                    "t-1.angle",
                    "t-1.angular velocity",
                    "t.position",
                    "t.velocity",
                    "t.angle",
                    "t.angular velocity"
                ))
                "a row"

            let image = FrameStack(Pixels(PixelsSettings()), 3)
            Expect.equal image.Description.Observation (ObservationSpace.Image(12, 10, 10)) "an image"

        property
            100
            "a repeated action adds up rewards, shows the last observation and stops at an end"
            limits
            (fun case ->
                let plain = counter (episodes case.Length case.Truncated)
                let repeated: IEnvironment = ActionRepeat(counter (episodes case.Length case.Truncated), case.Limit)
                let one, other = Rng case.Seed, Rng case.Seed

                for _ in 1..3 do
                    Expect.sequenceEqual (reset repeated one) (reset plain other) "start"
                    let mutable ended = false

                    while not ended do
                        let found, seen = act repeated one [| 1 |]
                        let mutable reward = 0f
                        let mutable last = StepResult()
                        let mutable expected = [||]
                        let mutable times = 0

                        while times < case.Limit && not last.Ended do
                            let inner, observation = act plain other [| 1 |]
                            times <- times + 1
                            reward <- reward + inner.Reward
                            last <- inner
                            expected <- observation

                        Expect.equal found (StepResult(reward, last.Terminated, last.Truncated)) "result"
                        Expect.sequenceEqual seen expected "observation"
                        Expect.equal one.State other.State "generators"
                        ended <- found.Ended)

        testCase "a repeated action stops where it is not allowed any more"
        <| fun () ->
            // From step 1 on, "c" is allowed at 1 and 2 and forbidden at 3.
            let inner = Counter honest
            let repeated: IEnvironment = ActionRepeat(inner, 5)
            let random = Rng 1UL
            reset repeated random |> ignore
            let first, _ = act (inner :> IEnvironment) random [| 0 |]
            Expect.equal first.Reward 1f "step 1"
            let result, _ = act repeated random [| 2 |]
            Expect.equal inner.At 3 "stopped at step 3"
            Expect.equal result.Reward 5f "rewards of steps 2 and 3"

        testCase "changes are counted in steps of the repetition"
        <| fun () ->
            // The inner problem changes at 5, 10, 15, …: within the 2nd, 4th, 5th, 7th, … step of three.
            let repeated = ActionRepeat(counter honest, 3) :> IEnvironment
            Expect.sequenceEqual (repeated.Changes(0L, 10L)) [ 2L; 4L; 5L; 7L; 9L; 10L ] "all"
            Expect.sequenceEqual (repeated.Changes(4L, 9L)) [ 5L; 7L; 9L ] "some"
            let long = ActionRepeat(counter honest, 20) :> IEnvironment
            Expect.sequenceEqual (long.Changes(0L, 3L)) [ 1L; 2L; 3L ] "several in one step are one"

        property
            100
            "sticky actions take the last one with their chance, drawn before the environment's own"
            limits
            (fun case ->
                let probability = float case.Limit / 12.0
                let taken = ResizeArray<int>()

                let inner =
                    counter {
                        episodes case.Length case.Truncated with
                            OnStep = fun _ action -> taken.Add action
                    }

                let sticky: IEnvironment = StickyActions(inner, probability)
                let random, model = Rng case.Seed, Rng case.Seed
                let choices = Rng(case.Seed + 1UL)
                let expected = ResizeArray<int>()

                for _ in 1..4 do
                    reset sticky random |> ignore
                    model.NextDouble() |> ignore
                    let mutable last = None
                    let mutable ended = false

                    while not ended do
                        let chosen = choices.Next 3
                        let sticks = model.NextDouble() < probability

                        let action =
                            match last with
                            | Some action when sticks -> action
                            | _ -> chosen

                        model.NextDouble() |> ignore
                        last <- Some action
                        expected.Add action
                        let result, _ = act sticky random [| chosen |]
                        ended <- result.Ended

                Expect.sequenceEqual taken expected "actions taken"
                Expect.equal random.State model.State "draws")

        testCase "sticky actions take the chosen one where the last is not allowed"
        <| fun () ->
            let taken = ResizeArray<int>()

            let inner =
                counter {
                    honest with
                        OnStep =
                            fun at action ->
                                taken.Add action
                                honest.OnStep at action
                }

            let sticky: IEnvironment = StickyActions(inner, 1.0)
            let random = Rng 1UL
            reset sticky random |> ignore

            // "c" is forbidden at 0 and 3: the first action is the chosen one, and at 3 the second is.
            for action in [ 1; 0; 0 ] do
                act sticky random [| action |] |> ignore

            Expect.sequenceEqual taken [ 1; 1; 1 ] "the first sticks"
            taken.Clear()
            reset sticky random |> ignore

            // Through the wrapper's own first action "a", then "c" beneath it, so that it is the last one.
            let other: IEnvironment =
                StickyActions(
                    counter {
                        honest with
                            OnStep = fun _ a -> taken.Add a
                    },
                    1.0
                )

            reset other random |> ignore
            act other random [| 2 |] |> ignore

            for action in [ 0; 0; 1; 0 ] do
                act other random [| action |] |> ignore

            Expect.sequenceEqual taken [ 2; 2; 2; 1; 1 ] "and not where it is forbidden"

        testCase "sticky actions of numbers"
        <| fun () ->
            let plain: IEnvironment = Pendulum(PendulumSettings())
            let sticky: IEnvironment = StickyActions(Pendulum(PendulumSettings()), 1.0)
            Expect.sequenceEqual (reset sticky (Rng 1UL)) (reset plain (Rng 1UL)) "start"
            let first = push sticky (Rng 1UL) [| 2f |]
            Expect.equal first (push plain (Rng 1UL) [| 2f |]) "the first"
            Expect.equal (push sticky (Rng 1UL) [| -2f |]) (push plain (Rng 1UL) [| 2f |]) "and the same again"

        testCase "options go through, and what an environment has not stays unsaid"
        <| fun () ->
            let bare =
                counter {
                    honest with
                        Describe =
                            fun () -> EnvironmentDescription(counterDescription.Observation, counterDescription.Actions)
                }

            for name, wrap in wrappers do
                let full = wrap (counter honest)
                let d = full.Description
                Expect.equal (d.Saves, d.Masks, d.Renders) (true, true, true) $"{name}: what it can"
                let random = Rng 1UL
                reset full random |> ignore
                Expect.sequenceEqual (masked full) [ true; true; false ] $"{name}: mask"
                Expect.equal (full.Render()) "at 0" $"{name}: text"
                Expect.isNonEmpty (full.Changes(0L, 50L)) $"{name}: changes"
                let d = (wrap bare).Description
                Expect.equal (d.Saves, d.Masks, d.Renders) (false, false, false) $"{name}: what it cannot"

        testCase "settings that are none are refused"
        <| fun () ->
            let inner = counter honest

            for name, make in
                [
                    "steps", (fun () -> TimeLimit(inner, 0L) :> IEnvironment)
                    "frames", (fun () -> FrameStack(inner, 0))
                    "times", (fun () -> ActionRepeat(inner, 0))
                    "probability", (fun () -> StickyActions(inner, 1.5))
                    "probability", (fun () -> StickyActions(inner, nan))
                ] do
                let error = refuses [ name ] (fun () -> make () |> ignore)
                Expect.isTrue (error :? ArgumentOutOfRangeException) name

        testCase "impossible bytes are refused"
        <| fun () ->
            let inner = saved (counter honest)

            for name, environment, own in
                [
                    "TimeLimit", (TimeLimit(counter honest, 9L) :> IEnvironment), bytes (fun w -> w.Write 10L)
                    "FrameStack",
                    FrameStack(counter honest, 1),
                    bytes (fun w ->
                        w.Write 1f
                        w.Write nanf
                        w.Write 1f)
                    "action",
                    StickyActions(counter honest, 0.5),
                    bytes (fun w ->
                        w.Write true
                        w.Write 3)
                ] do
                let error = refuses [ name; "expected" ] (fun () -> restore environment (Array.append own inner))

                Expect.isTrue (error :? ArgumentException) name
    ]
