/// Two-colors, rule by rule, and the context of past rewards.
module Bmg.Tests.EnvironmentTests

open System
open Bmg
open Bmg.Training.Acting
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Expecto
open FsCheck
open FsCheck.FSharp
open Bmg.Tests.Tolerances
open Bmg.Tests.Worlds

/// A world in some state, about to act.
type World = {
    Agent: int
    Blue: int
    Red: int
    Steps: int64
    Random: uint64
    Action: int
    Period: int
    Respawn: Respawn
}

let private worlds =
    let generate =
        gen {
            let! cells = Gen.shuffle [| 0 .. TwoColorsEnvironment.Cells - 1 |]
            let! period = Gen.choose (1, 9)
            let! steps = Gen.choose (0, 40)
            let! low = Gen.choose (0, Int32.MaxValue)
            let! action = Gen.choose (0, 3)
            let! respawn = Gen.elements [ Respawn.Square; Respawn.All ]
            // Half of the worlds have a square right beside the agent.
            let agent = cells[0]
            let! beside = Gen.elements [ true; false ]

            let neighbours =
                cells[1..]
                |> Array.filter (fun c -> abs (c % 5 - agent % 5) + abs (c / 5 - agent / 5) = 1)

            let blue = if beside then neighbours[0] else cells[1]
            let red = cells[1..] |> Array.find (fun c -> c <> blue)
            let! swapped = Gen.elements [ true; false ]

            return {
                Agent = agent
                Blue = (if swapped then red else blue)
                Red = (if swapped then blue else red)
                Steps = int64 steps
                Random = uint64 low * 0x9E3779B97F4A7C15UL
                Action = action
                Period = period
                Respawn = respawn
            }
        }

    let shrink w =
        seq {
            if w.Steps > 0L then
                { w with Steps = 0L }
                { w with Steps = w.Steps - 1L }

            if w.Period > 1 then
                { w with Period = 1 }
        }

    Arb.fromGenShrink (generate, shrink)

let private property name (body: World -> unit) =
    Bmg.Tests.Generators.property 500 name worlds body

let private placed (w: World) : TwoColors =
    let world = TwoColors([| Seed.Of 0L |], w.Respawn, int64 w.Period)
    world.SetState(0, twoColors (w.Agent, w.Blue, w.Red, w.Steps, w.Random))
    world

/// The cell that an action leads to.
let private moved (agent: int) (action: int) : int =
    let dx, dy = [| 0, -1; 0, 1; -1, 0; 1, 0 |][action]
    let inside v = max 0 (min 4 v)
    inside (agent % 5 + dx) + 5 * inside (agent / 5 + dy)

let private observed (world: TwoColors) (m: int) : float32[] =
    let row = Array.zeroCreate TwoColorsEnvironment.ObservationSize
    world.Observe(m, Span row)
    row

/// χ² of counts against equal expectation.
let private chiSquare (counts: int[]) : float =
    let expected = float (Array.sum counts) / float counts.Length
    counts |> Array.sumBy (fun c -> (float c - expected) ** 2.0 / expected)

let private rules =
    testList "two-colors" [
        property "moves go one cell, and not through a wall" (fun w ->
            // Where nothing is collected, or only the collected square moves, the agent stands where it went.
            let world = placed { w with Respawn = Respawn.Square }
            world.Act(0, w.Action) |> ignore
            Expect.equal (world.GetState(0).Agent) (moved w.Agent w.Action) "the agent's cell"
            Expect.equal (world.GetState(0).Steps) (w.Steps + 1L) "steps")

        property "rewards: ±1 on the squares, swapped every period, −0.04 elsewhere" (fun w ->
            let world = placed w
            let blueIsGood = (w.Steps / int64 w.Period) % 2L = 0L
            Expect.equal (world.BlueIsGood 0) blueIsGood "which color is good"
            let at = moved w.Agent w.Action

            let expected =
                if at = w.Blue then (if blueIsGood then 1f else -1f)
                elif at = w.Red then (if blueIsGood then -1f else 1f)
                else -0.04f

            Expect.equal (world.Act(0, w.Action)) expected "reward")

        property "what was not collected stays, random numbers are drawn for respawning alone" (fun w ->
            let world = placed w
            let at = moved w.Agent w.Action
            world.Act(0, w.Action) |> ignore
            let after = world.GetState 0

            if at <> w.Blue && at <> w.Red then
                Expect.equal after (twoColors (at, w.Blue, w.Red, w.Steps + 1L, w.Random)) "only the agent moved"
            else
                Expect.notEqual after.Random w.Random "the generator moved"

                if w.Respawn = Respawn.Square then
                    Expect.equal after.Agent at "the agent stays"

                    if at = w.Blue then
                        Expect.equal after.Red w.Red "the red square stays"
                    else
                        Expect.equal after.Blue w.Blue "the blue square stays")

        property "no two things ever stand on one cell" (fun w ->
            let world = placed w
            let rng = Rng w.Random

            for _ in 1..50 do
                world.Act(0, rng.Next 4) |> ignore
                let s = world.GetState 0
                Expect.hasLength (List.distinct [ s.Agent; s.Blue; s.Red ]) 3 "distinct cells"

                for cell in [ s.Agent; s.Blue; s.Red ] do
                    Expect.isTrue (cell >= 0 && cell < TwoColorsEnvironment.Cells) "cells of the grid")

        property "an observation is six ones, a one-hot x and y for each of the three" (fun w ->
            let world = placed w
            world.Act(0, w.Action) |> ignore
            let after = world.GetState 0
            let expected = Array.zeroCreate 30

            [ after.Agent; after.Blue; after.Red ]
            |> List.iteri (fun i cell ->
                expected[10 * i + cell % 5] <- 1f
                expected[10 * i + 5 + cell / 5] <- 1f)

            Expect.equal (observed world 0) expected "observation"
            Expect.equal (Array.sum expected) 6f "six ones")

        property "restored, a world goes on as it would have" (fun w ->
            let world = placed w
            let rng = Rng w.Random

            for _ in 1..10 do
                world.Act(0, rng.Next 4) |> ignore

            let saved = world.GetState 0
            let other = TwoColors([| Seed.Of 99L |], w.Respawn, int64 w.Period)
            other.SetState(0, saved)

            for _ in 1..30 do
                let action = rng.Next 4
                Expect.equal (other.Act(0, action)) (world.Act(0, action)) "reward"
                Expect.equal (other.GetState 0) (world.GetState 0) "state")

        test "the observation's layout names its ones" {
            let world = TwoColors([| Seed.Of 0L |], Respawn.Square, 10L)
            // The agent at (1, 3), blue at (3, 0), red at (4, 4); then one up.
            world.SetState(0, twoColors (16, 3, 24, 0L, 0UL))
            world.Act(0, 0) |> ignore

            let ones =
                Seq.zip TwoColorsEnvironment.Kind.Observation.Names (observed world 0)
                |> Seq.filter (fun (_, v) -> v = 1f)
                |> Seq.map fst
                |> List.ofSeq

            Expect.equal ones [ "agent.x=1"; "agent.y=2"; "blue.x=3"; "blue.y=0"; "red.x=4"; "red.y=4" ] "names"

            Expect.hasLength
                TwoColorsEnvironment.Kind.Observation.Names
                TwoColorsEnvironment.ObservationSize
                "one name a number"

            Expect.equal TwoColorsEnvironment.Kind.Actions (ActionSpace.Of("up", "down", "left", "right")) "actions"
        }

        test "AllObservations are the 13 800 placements, each once" {
            let all =
                TwoColorsEnvironment.AllObservations()
                |> Array.chunkBySize TwoColorsEnvironment.ObservationSize

            Expect.equal all.Length 13_800 "rows"

            let known =
                all
                |> Array.map (fun row -> String(row |> Array.map (fun v -> if v = 1f then '1' else '0')))
                |> Set.ofArray

            Expect.equal known.Count 13_800 "distinct rows"
            // A long walk meets nothing else.
            let world = TwoColors([| Seed.Of 3L |], Respawn.All, 1000L)
            let rng = Rng 4UL

            for _ in 1..20_000 do
                let row = String(observed world 0 |> Array.map (fun v -> if v = 1f then '1' else '0'))
                Expect.isTrue (known.Contains row) "a known observation"
                world.Act(0, rng.Next 4) |> ignore
        }

        test "swaps are the steps at which the rewards change" {
            let world = TwoColors([| Seed.Of 0L |], Respawn.Square, 10L)
            Expect.equal (List.ofSeq (world.Changes(0L, 30L))) [ 10L; 20L; 30L ] "up to the last, included"
            Expect.equal (List.ofSeq (world.Changes(10L, 29L))) [ 20L ] "after the first"
            Expect.equal (List.ofSeq (world.Changes(11L, 19L))) [] "none"
            let mutable before = true

            let changes = [
                for step in 0L .. 35L do
                    let good = world.BlueIsGood 0

                    if good <> before then
                        step

                    before <- good
                    world.Act(0, 0) |> ignore
            ]

            Expect.equal changes (List.ofSeq (world.Changes(0L, 35L))) "what a world does"
        }

        // χ² bounds are far out (mean + 5 deviations or more), the seeds fixed.
        for color in [ "blue"; "red" ] do
            test $"a collected {color} square comes back uniformly on the 23 free cells" {
                let world = TwoColors([| Seed.Of 0L |], Respawn.Square, 10L)
                let counts = Array.zeroCreate TwoColorsEnvironment.Cells

                for i in 1..9_200 do
                    // The agent at 12 steps right onto the square at 13; the other one is at 2.
                    let random = Rng(uint64 i).NextUInt64()
                    let blue, red = if color = "blue" then 13, 2 else 2, 13
                    world.SetState(0, twoColors (12, blue, red, 0L, random))
                    world.Act(0, 3) |> ignore
                    let after = world.GetState 0
                    let cell = if color = "blue" then after.Blue else after.Red
                    counts[cell] <- counts[cell] + 1

                Expect.equal (counts[13], counts[2]) (0, 0) "not on the agent, not on the other square"

                let free = [|
                    for c in 0 .. TwoColorsEnvironment.Cells - 1 do
                        if c <> 13 && c <> 2 then
                            counts[c]
                |]

                Expect.isLessThan (chiSquare free) 60.0 "χ² with 22 degrees of freedom"
            }

        test "Respawn.All places all three uniformly over the 13 800 placements" {
            let world = TwoColors([| Seed.Of 0L |], Respawn.All, 10L)
            let counts = Array.zeroCreate (25 * 25 * 25)

            for i in 1..69_000 do
                let random = Rng(uint64 i).NextUInt64()
                world.SetState(0, twoColors (12, 13, 2, 0L, random))
                world.Act(0, 3) |> ignore
                let s = world.GetState 0
                let index = (s.Agent * 25 + s.Blue) * 25 + s.Red
                counts[index] <- counts[index] + 1

            let valid = [|
                for a in 0..24 do
                    for b in 0..24 do
                        for r in 0..24 do
                            if a <> b && a <> r && b <> r then
                                counts[(a * 25 + b) * 25 + r]
            |]

            Expect.equal (Array.sum valid) 69_000 "all on distinct cells"
            Expect.isLessThan (chiSquare valid) (13_799.0 + 5.0 * sqrt (2.0 * 13_799.0)) "χ²"
        }

        test "a member's world depends on its own seed alone" {
            for respawn in [ Respawn.Square; Respawn.All ] do
                let seeds = Seed.Population(7L, 5)
                let all = TwoColors(seeds, respawn, 20L)
                Expect.equal all.Members 5 "members"
                let actions = Rng 3UL

                let script = [| for _ in 1..200 -> actions.Next 4 |]

                let walk (world: TwoColors) m = [
                    for a in script do
                        let reward = world.Act(m, a)
                        reward, world.GetState m
                ]

                // In any order, and in populations of any size.
                for m in [ 3; 0; 4; 1; 2 ] do
                    let one = TwoColors([| seeds[m] |], respawn, 20L)
                    Expect.equal (walk all m) (walk one 0) $"member {m}"

                let starts = [ for m in 0..4 -> (TwoColors(seeds, respawn, 20L)).GetState m ]
                Expect.hasLength (List.distinct starts) 5 "members start differently"
        }

        testList "states that are none are refused" [
            for name, state in
                [
                    "agent off the grid", twoColors (25, 1, 2, 0L, 0UL)
                    "negative cell", twoColors (0, -1, 2, 0L, 0UL)
                    "red off the grid", twoColors (0, 1, 30, 0L, 0UL)
                    "agent on blue", twoColors (1, 1, 2, 0L, 0UL)
                    "agent on red", twoColors (2, 1, 2, 0L, 0UL)
                    "blue on red", twoColors (0, 2, 2, 0L, 0UL)
                    "negative steps", twoColors (0, 1, 2, -1L, 0UL)
                ] do
                test name {
                    let world = TwoColors([| Seed.Of 0L |], Respawn.Square, 10L)
                    let before = world.GetState 0
                    refuses [ "TwoColorsEnvironment.Restore"; "distinct cells" ] (fun () -> world.SetState(0, state))
                    Expect.equal (world.GetState 0) before "the world stays as it was"
                }

            test "and so are actions and periods that are none" {
                let world = TwoColors([| Seed.Of 0L |], Respawn.Square, 10L)

                for action in [ -1; 4 ] do
                    refuses [ "expected 0 … 3" ] (fun () -> world.Act(0, action) |> ignore)

                refuses [ "SwapPeriod" ] (fun () -> TwoColors([| Seed.Of 0L |], Respawn.Square, 0L) |> ignore)
            }
        ]
    ]

let private written (context: RecentContext) (members: int) : float[] =
    let values = Array.zeroCreate<float32>(members * context.Length)
    context.Write(Span values)
    Array.map float values

let private context =
    // Mean rewards of two members, from small numbers of any kind.
    let rewards =
        Gen.nonEmptyListOf (Gen.two (Gen.choose (-100, 100)))
        |> Gen.map (List.map (fun (a, b) -> float a / 100.0, float b / 100.0))
        |> Arb.fromGen

    let feed (context: RecentContext) given =
        for a, b in given do
            context.Add(0, a)
            context.Add(1, b)

    testList "reward context" [
        Bmg.Tests.Generators.property 200 "raw: the last H means, oldest first, zeros before" rewards (fun given ->
            let h = 4
            let context = RecentContext(2, h, ContextScaling.Raw)
            feed context given

            let last pick =
                List.replicate h 0.0 @ List.map pick given
                |> List.skip given.Length
                |> Array.ofList

            near singlePrecision "context" (Array.append (last fst) (last snd)) (written context 2))

        Bmg.Tests.Generators.property
            200
            "normalized: less the lifetime's mean, over its deviation, through tanh"
            rewards
            (fun given ->
                let h = 4
                let context = RecentContext(2, h, ContextScaling.Normalized)
                feed context given

                let scaled pick =
                    let all = List.map pick given
                    let mean = List.average all

                    let deviation =
                        if all.Length > 1 then
                            sqrt (List.averageBy (fun v -> (v - mean) ** 2.0) all)
                        else
                            1.0

                    let scale v = tanh ((v - mean) / (deviation + 1e-8))

                    // What equals the mean up to rounding, over a deviation of nothing, may be anything between −1 and 1.
                    let constant = deviation < 1e-12 && all.Length > 1

                    constant,
                    List.replicate h 0.0 @ List.map scale all
                    |> List.skip all.Length
                    |> Array.ofList

                let values = written context 2
                finite "context" values

                for member', pick in [ 0, fst; 1, snd ] do
                    let constant, expected = scaled pick
                    let found = values[member' * h .. member' * h + h - 1]

                    if constant then
                        zero 1e-6 "a reward that never changes says nothing" found
                    else
                        near singlePrecision "context" expected found)

        Bmg.Tests.Generators.property 100 "restored, it goes on as it would have" rewards (fun given ->
            for scaling in [ ContextScaling.Raw; ContextScaling.Normalized ] do
                let first, second = RecentContext(2, 3, scaling), RecentContext(2, 3, scaling)
                feed first given

                for m in 0..1 do
                    second.SetState(m, first.GetState m)

                near exact "as saved" (written first 2) (written second 2)
                feed first given
                feed second given
                near exact "and on" (written first 2) (written second 2))

        Bmg.Tests.Generators.property
            100
            "several features: each as a context of its own, one after the other"
            rewards
            (fun given ->
                for scaling in [ ContextScaling.Raw; ContextScaling.Normalized ] do
                    let both = RecentContext(1, 3, scaling, 2)
                    let alone = [| RecentContext(1, 3, scaling); RecentContext(1, 3, scaling) |]

                    for a, b in given do
                        both.AddEach(0, ReadOnlySpan<float>([| a; b |]))
                        alone[0].Add(0, a)
                        alone[1].Add(0, b)

                    let all = Array.zeroCreate<float32> both.Size
                    both.Write(0, Span all)
                    near exact "context" (Array.collect (fun c -> written c 1) alone) (Array.map float all)
                    let restored = RecentContext(1, 3, scaling, 2)
                    restored.SetState(0, both.GetState 0)
                    let again = Array.zeroCreate<float32> both.Size
                    restored.Write(0, Span again)
                    near exact "restored" (Array.map float all) (Array.map float again))

        test "a value for each feature, no more and no fewer" {
            refuses [ "RecentContext.AddEach"; "expected 2"; "found 1" ] (fun () ->
                RecentContext(1, 3, ContextScaling.Raw, 2).Add(0, 1.0))
        }

        test "a state of another length is refused" {
            let context = RecentContext(1, 3, ContextScaling.Raw)

            refuses [ "RecentContext.SetState"; "expected 6"; "found 2" ] (fun () ->
                context.SetState(0, [| 0.0; 1.0 |]))
        }
    ]

let tests = testList "environment" [ rules; context ]
