/// Switching MDPs: what a world is, whose turn it is, and that an agent learns, stops and goes on in them.
module Bmg.Tests.SwitchingTests

open System
open System.Collections.Generic
open System.IO
open Bmg
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Agents
open Bmg.Training.Acting
open Bmg.Training.Experiments
open Bmg.Tests.Counting
open Bmg.Tests.Worlds
open Expecto
open FsCheck
open FsCheck.FSharp

let private property count name (body: NonNegativeInt -> unit) =
    testPropertyWithConfig
        {
            FsCheckConfig.defaultConfig with
                maxTest = count
        }
        name
        body

/// The whole of a member's current world: walls, and what actions earn elsewhere.
let private world (worlds: SwitchingMdps) (side: int) (m: int) =
    Array.init (side * side) (fun cell ->
        if worlds.IsWall(m, cell) then
            None
        else
            Some(Array.init 4 (fun action -> worlds.RewardOf(m, cell, action))))

/// Cells that a walk over free cells reaches from the agent's.
let private reachable (worlds: SwitchingMdps) (side: int) : int =
    let seen = HashSet [ (worlds.GetState 0).Cell ]
    let fringe = Queue seen

    while fringe.Count > 0 do
        let cell = fringe.Dequeue()
        let x, y = cell % side, cell / side

        for x, y in [ x - 1, y; x + 1, y; x, y - 1; x, y + 1 ] do
            let next = y * side + x

            if
                x >= 0
                && x < side
                && y >= 0
                && y < side
                && not (worlds.IsWall(0, next))
                && seen.Add next
            then
                fringe.Enqueue next

    seen.Count

let private rules =
    testList "world" [
        test "rewards are nothing, plus or minus one, or in between, as often as they should" {
            // 400 worlds × 400 rewards; five standard deviations of a share p are 5·√(p(1 − p)/160 000), at most 0.00625.
            let rewards = [|
                for seed in 1L .. 400L do
                    let worlds = SwitchingMdps([| Seed.Of seed |], 1, 10, 0, 100L)

                    for cell in 0..99 do
                        for action in 0..3 do
                            worlds.RewardOf(0, cell, action)
            |]

            let share (pick: float32 -> bool) =
                float (Array.length (Array.filter pick rewards)) / float rewards.Length

            let near (expected: float) (found: float) (what: string) =
                Expect.isLessThan
                    (abs (found - expected))
                    (5.0 * sqrt (expected * (1.0 - expected) / float rewards.Length))
                    $"{what}: {found}"

            near 0.5 (share (fun r -> r = 0f)) "zero"
            near 0.2 (share (fun r -> r = 1f)) "+1"
            near 0.2 (share (fun r -> r = -1f)) "−1"
            near 0.1 (share (fun r -> r <> 0f && abs r <> 1f)) "in between"
            let between = rewards |> Array.filter (fun r -> r <> 0f && abs r <> 1f) |> Array.map float
            Expect.isTrue (between |> Array.forall (fun r -> abs r < 1.0)) "within (−1, 1)"
            // Mean 0, deviation 1/√3.
            Expect.isLessThan (abs (Array.average between)) (5.0 / sqrt (3.0 * float between.Length)) "centred"
        }

        property 60 "walls are few, and cut nothing off" (fun seed ->
            let rng = Rng(uint64 seed.Get)
            let side = rng.Next 8 + 2
            let most = rng.Next(side * side - 1)
            let worlds = SwitchingMdps([| Seed.Of(int64 seed.Get) |], 3, side, most, 1L)

            for _ in 1..3 do
                let walls =
                    Seq.init (side * side) (fun c -> worlds.IsWall(0, c))
                    |> Seq.filter id
                    |> Seq.length

                Expect.isLessThanOrEqual walls most "walls"
                Expect.isFalse (worlds.IsWall(0, (worlds.GetState 0).Cell)) "the agent stands on a free cell"
                Expect.equal (reachable worlds side) (side * side - walls) "free cells that can be reached"
                worlds.Act(0, 0) |> ignore)

        property
            40
            "a move goes one cell on, or is stopped by a wall or the edge, and earns its cell's reward"
            (fun seed ->
                let side = 4
                let worlds = SwitchingMdps([| Seed.Of(int64 seed.Get) |], 1, side, 5, 1000L)
                let rng = Rng(uint64 seed.Get)

                for _ in 1..60 do
                    let cell, action = (worlds.GetState 0).Cell, rng.Next 4
                    let x, y = cell % side, cell / side

                    let x', y' =
                        match action with
                        | 0 -> x, y - 1
                        | 1 -> x, y + 1
                        | 2 -> x - 1, y
                        | _ -> x + 1, y

                    let stopped = x' < 0 || x' >= side || y' < 0 || y' >= side || worlds.IsWall(0, y' * side + x')

                    Expect.equal (worlds.Act(0, action)) (worlds.RewardOf(0, cell, action)) "reward"
                    let after = if stopped then cell else y' * side + x'
                    Expect.equal (worlds.GetState 0).Cell after "where it stands"
                    let row = worlds.Observation 0
                    Expect.equal (Array.sum row) 2f "two ones"
                    Expect.equal (row[after % side], row[side + after / side]) (1f, 1f) "its column and its row")

        test "an action that does not exist is refused" {
            let worlds = SwitchingMdps([| Seed.Of 1L |], 1, 4, 5, 10L)

            for action in [ -1; 4 ] do
                refuses [ "expected 0 … 3" ] (fun () -> worlds.Act(0, action) |> ignore)
                |> ignore
        }
    ]

let private turns =
    testList "turns" [
        property 20 "a world that comes back is the same" (fun seed ->
            let worlds = SwitchingMdps([| Seed.Of(int64 seed.Get) |], 3, 5, 6, 2L)
            let known = Dictionary<int, _>()

            for _ in 1..40 do
                let current = (worlds.GetState 0).World
                let now = world worlds 5 0

                match known.TryGetValue current with
                | true, before -> Expect.equal now before "as it was"
                | _ -> known[current] <- now

                worlds.Act(0, 1) |> ignore

            Expect.isGreaterThan known.Count 1 "several worlds"
            Expect.equal (known.Values |> Seq.distinct |> Seq.length) known.Count "all different")

        test "the next world is drawn at the period, uniformly, with replacement" {
            let period = 3L
            let worlds = SwitchingMdps([| Seed.Of 7L |], 4, 3, 2, period)
            let counts = Array.zeroCreate<int> 4
            let mutable again = 0
            let draws = 4000

            for _ in 1..draws do
                let before = (worlds.GetState 0).World

                for _ in 1L .. period do
                    Expect.equal (worlds.GetState 0).World before "stays for the period"
                    worlds.Act(0, 0) |> ignore

                let after = (worlds.GetState 0).World
                counts[after] <- counts[after] + 1
                again <- again + (if after = before then 1 else 0)

            // Five standard deviations of a quarter of 4000: 137.
            for count in counts do
                Expect.isLessThan (abs (count - draws / 4)) 137 $"share of a world: %A{counts}"

            Expect.isLessThan (abs (again - draws / 4)) 137 "one in four follows itself"
        }

        test "one world never changes" {
            let worlds = SwitchingMdps([| Seed.Of 2L |], 1, 4, 4, 5L)
            let first = world worlds 4 0

            for i in 1..50 do
                worlds.Act(0, i % 4) |> ignore

            Expect.equal (world worlds 4 0) first "the same"
            Expect.equal (List.ofSeq (worlds.Changes(0L, 12L))) [ 5L; 10L ] "changes are told all the same"
        }

        property 20 "a member alone is the member in a population" (fun seed ->
            let seeds = Seed.Population(int64 seed.Get, 3)
            let all = SwitchingMdps(seeds, 4, 5, 6, 7L)
            let actions = Rng(uint64 seed.Get)
            let path = Array.init 40 (fun _ -> actions.Next 4)

            for m in 0..2 do
                let one = SwitchingMdps([| seeds[m] |], 4, 5, 6, 7L)

                for action in path do
                    Expect.equal (one.Act(0, action)) (all.Act(m, action)) "reward"
                    Expect.equal (one.GetState 0) (all.GetState m) "state")

        property 20 "restored, it goes on as it would have" (fun seed ->
            let make () =
                SwitchingMdps([| Seed.Of(int64 seed.Get) |], 1000, 5, 6, 4L)

            let first, second = make (), make ()
            let rng = Rng(uint64 seed.Get)

            for _ in 1 .. rng.Next 30 do
                first.Act(0, rng.Next 4) |> ignore

            let state = first.GetState 0

            second.Put(
                0,
                SwitchingMdps.Bytes(state.World, state.Cell, state.Steps),
                state.Random,
                (fun () -> first.Observation 0)
            )

            for _ in 1..20 do
                let action = rng.Next 4
                Expect.equal (second.Act(0, action)) (first.Act(0, action)) "reward"
                Expect.equal (second.GetState 0) (first.GetState 0) "state")

        test "what is no state of these worlds is refused, and changes nothing" {
            let worlds = SwitchingMdps([| Seed.Of 3L |], 2, 4, 6, 4L)
            let before = worlds.GetState 0
            let wall = Seq.findIndex (fun c -> worlds.IsWall(0, c)) [ 0..15 ]

            for state, parts in
                [
                    [||], [ "end of the stream" ]
                    SwitchingMdps.Bytes(2, 0, 0L), [ "found world 2" ]
                    SwitchingMdps.Bytes(-1, 0, 0L), [ "found world -1" ]
                    SwitchingMdps.Bytes(before.World, 16, 0L), [ "cell 16" ]
                    SwitchingMdps.Bytes(before.World, wall, 0L), [ $"cell {wall}" ]
                    SwitchingMdps.Bytes(before.World, before.Cell, -1L), [ "steps -1" ]
                ] do
                refuses parts (fun () -> restore (worlds.Environment 0) state) |> ignore
                Expect.equal (worlds.GetState 0) before "as it was"
        }
    ]

let private settings (agent: string) =
    let learner =
        if agent = "q-lambda" then
            """ "agent": "q-lambda", "targetSteps": 8, "optimizer": { "name": "adam", "learningRate": 0.003 } """
        else
            """ "rolloutLength": 5, "innerSteps": 2, "targetSteps": 3 """

    Reading.reader.Read(
        $"""{{
          "name": "switching", "experiment": "switching-mdps", "members": 2, "seed": 4, "environmentSteps": 1000,
          "environment": {{ "worlds": 3, "side": 4, "mostWalls": 4, "swapPeriod": 50 }},
          "learner": {{ "hidden": [8], {learner} }},
          "meta": {{ "parameters": "network", "context": "reward", "contextLength": 3, "hidden": [4], "pretrainingSteps": 3 }}
        }}""",
        "test",
        []
    )

let private learning =
    testList "learning" [
        for agent in [ "actor-critic"; "q-lambda" ] do
            test $"{agent}: what was saved goes on bit for bit" {
                let configuration = settings agent

                let start () =
                    new PopulationExperiment(configuration, DerivedSettings.Of configuration)

                let path = Path.Combine(Path.GetTempPath(), "bmg-" + Guid.NewGuid().ToString("N"))

                try
                    use straight = start ()
                    straight.Advance() |> ignore
                    straight.Save(path, "")
                    use resumed = start ()
                    resumed.Restore path |> ignore

                    for _ in 1..3 do
                        let a, b = straight.Advance(), resumed.Advance()

                        for metric in 0 .. a.Values.Length - 1 do
                            Expect.sequenceEqual b.Values[metric] a.Values[metric] straight.Metrics[metric].Name
                finally
                    File.Delete path
            }

        test "more walls than a grid can hold are refused by name" {
            let error =
                Expect.throwsC
                    (fun () ->
                        Reading.reader.Read(
                            """{ "experiment": "switching-mdps", "environment": { "side": 3 } }""",
                            "test",
                            []
                        )
                        |> ignore)
                    id

            Expect.stringContains error.Message "environment.mostWalls" "where"
            Expect.stringContains error.Message "at most 7" "what was expected"
        }
    ]

let tests = testList "switching MDPs" [ rules; turns; learning ]
