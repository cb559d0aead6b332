/// Environments of one stream: the library's own rule by rule, wrappers, and the checker and the guard against environments that break
/// one rule each.
module Bmg.Tests.EnvironmentLibraryTests

open System
open System.IO
open Bmg
open Bmg.Training
open Bmg.Training.Environments
open Expecto
open FsCheck
open FsCheck.FSharp
open Bmg.Tests.Tolerances

let private seeds = Arb.fromGen (Gen.choose (0, Int32.MaxValue) |> Gen.map uint64)

// Playing.

let private observed (environment: IEnvironment) =
    Array.zeroCreate<float32> environment.Description.Observation.Size

let private reset (environment: IEnvironment) (random: Rng) : float32[] =
    let observation = observed environment
    environment.Reset(random, Span observation)
    observation

let private act (environment: IEnvironment) (random: Rng) (indices: int[]) : StepResult * float32[] =
    let observation = observed environment

    let result = environment.Step(random, EnvironmentAction.Of(ReadOnlySpan indices), Span observation)

    result, observation

let private push (environment: IEnvironment) (random: Rng) (values: float32[]) : StepResult * float32[] =
    let observation = observed environment

    let result = environment.Step(random, EnvironmentAction.Of(ReadOnlySpan values), Span observation)

    result, observation

let private masked (environment: IEnvironment) : bool[] =
    let mask = Array.create environment.Description.Actions.MaskSize true
    environment.Mask(Span mask)
    mask

let private saved (environment: IEnvironment) : byte[] =
    use stream = new MemoryStream()
    use writer = new BinaryWriter(stream)
    environment.Save writer
    writer.Flush()
    stream.ToArray()

let private restore (environment: IEnvironment) (state: byte[]) : unit =
    use reader = new BinaryReader(new MemoryStream(state))
    environment.Restore reader

/// Bytes of some numbers.
let private bytes (write: BinaryWriter -> unit) : byte[] =
    use stream = new MemoryStream()
    use writer = new BinaryWriter(stream)
    write writer
    writer.Flush()
    stream.ToArray()

let private refuses (parts: string list) (body: unit -> unit) : exn =
    let error = Expect.throwsC body id

    for part in parts do
        Expect.stringContains error.Message part "what it says"

    error

let private property count name (arbitrary: Arbitrary<'T>) (body: 'T -> unit) : Test =
    Bmg.Tests.Generators.property count name arbitrary body

// The library, all of it.

let private library: (string * (uint64 -> IEnvironment)) list = [
    "two-colors", fun _ -> TwoColorsEnvironment(TwoColorsSettings(SwapPeriod = 7L))
    "two-colors, all placed anew",
    fun _ -> TwoColorsEnvironment(TwoColorsSettings(SwapPeriod = 7L, Respawn = Respawn.All))
    "switching MDPs",
    fun seed ->
        SwitchingMdpsEnvironment(
            SwitchingMdpsSettings(Worlds = 3, Side = 4, MostWalls = 5, SwapPeriod = 5L),
            Seed.Of(int64 (seed % 1000UL))
        )
    "CartPole", fun _ -> CartPole(CartPoleSettings(Steps = 30))
    "pendulum", fun _ -> Pendulum(PendulumSettings(Steps = 20))
    "pixels", fun _ -> Pixels(PixelsSettings(Steps = 40))
    "toggles", fun _ -> Toggles(TogglesSettings(Lamps = 2, Steps = 10))
]

/// Every wrapper with a description, over any environment.
let private wrappers: (string * (IEnvironment -> IEnvironment)) list = [
    "time limit", (fun inner -> TimeLimit(inner, 9L))
    "frame stack", (fun inner -> FrameStack(inner, 3))
    "action repeat", (fun inner -> ActionRepeat(inner, 2))
    "sticky actions", (fun inner -> StickyActions(inner, 0.4))
]

// Equivalence with the worlds of a population.

type private Walk = {
    Seed: int64
    Period: int64
    Respawn: Respawn
    Worlds: int
    Side: int
    Walls: int
    Actions: int[]
}

let private walks =
    Arb.fromGen (
        gen {
            let! seed = Gen.choose (0, Int32.MaxValue)
            let! period = Gen.choose (1, 12)
            let! respawn = Gen.elements [ Respawn.Square; Respawn.All ]
            let! worlds = Gen.choose (1, 5)
            let! side = Gen.choose (2, 7)
            let! walls = Gen.choose (0, side * side - 2)
            let! actions = Gen.arrayOfLength 120 (Gen.choose (0, 3))

            return {
                Seed = int64 seed
                Period = int64 period
                Respawn = respawn
                Worlds = worlds
                Side = side
                Walls = walls
                Actions = actions
            }
        }
    )

let private numbersOf (state: byte[]) (ints: int) : int64 list =
    use reader = new BinaryReader(new MemoryStream(state))
    let cells = [ for _ in 1..ints -> int64 (reader.ReadInt32()) ]
    cells @ [ reader.ReadInt64() ]

/// Both, step by step: observations, rewards, what they save, and the generator.
let private sameAsWorlds (walk: Walk) (worlds: IWorlds) (environment: IEnvironment) (ints: int) =
    let seed = Seed.Of walk.Seed
    let random = let own = seed.For "environment" in own.Generator()

    let worldsObserve () =
        let row = observed environment
        worlds.Observe(0, Span row)
        row

    let same (observation: float32[]) place =
        Expect.sequenceEqual observation (worldsObserve ()) $"{place}: observation"

        Expect.sequenceEqual
            (numbersOf (saved environment) ints @ [ int64 random.State ])
            (worlds.SaveMember 0)
            $"{place}: state"

    Expect.sequenceEqual
        environment.Description.Observation.Names
        worlds.Description.ObservationLayout
        "names of the numbers"

    Expect.equal
        environment.Description.Actions
        (ActionSpace.Discrete worlds.Description.ActionMeanings)
        "names of the actions"

    same (reset environment random) "after the reset"

    for step, action in Seq.indexed walk.Actions do
        let expected = worlds.Act(0, action)
        let result, observation = act environment random [| action |]
        Expect.equal result (StepResult expected) $"step {step}: reward and no end"
        same observation $"step {step}"

    Expect.sequenceEqual (environment.Changes(3L, 100L)) (worlds.Changes(3L, 100L)) "changes"

let private equivalence =
    testList "of a population's member" [
        property 100 "two-colors gives the very numbers" walks (fun walk ->
            sameAsWorlds
                walk
                (TwoColors([| Seed.Of walk.Seed |], walk.Respawn, walk.Period))
                (TwoColorsEnvironment(TwoColorsSettings(Respawn = walk.Respawn, SwapPeriod = walk.Period)))
                3)

        property 100 "switching MDPs give the very numbers" walks (fun walk ->
            sameAsWorlds
                walk
                (SwitchingMdps([| Seed.Of walk.Seed |], walk.Worlds, walk.Side, walk.Walls, walk.Period))
                (SwitchingMdpsEnvironment(
                    SwitchingMdpsSettings(
                        Worlds = walk.Worlds,
                        Side = walk.Side,
                        MostWalls = walk.Walls,
                        SwapPeriod = walk.Period
                    ),
                    Seed.Of walk.Seed
                ))
                2)

        testCase "two-colors lists every observation in the same order"
        <| fun () ->
            Expect.sequenceEqual (TwoColorsEnvironment.AllObservations()) (TwoColors.AllObservations()) "observations"

        property 50 "a reset leaves the count of steps, and the world whose turn it is" walks (fun walk ->
            for environment, ints, kept in
                [
                    TwoColorsEnvironment(TwoColorsSettings(SwapPeriod = walk.Period)) :> IEnvironment, 3, [ 3 ]
                    SwitchingMdpsEnvironment(
                        SwitchingMdpsSettings(
                            Worlds = walk.Worlds,
                            Side = walk.Side,
                            MostWalls = walk.Walls,
                            SwapPeriod = walk.Period
                        ),
                        Seed.Of walk.Seed
                    ),
                    2,
                    [ 0; 2 ]
                ] do
                let random = Rng(uint64 walk.Seed)
                reset environment random |> ignore

                for action in walk.Actions do
                    act environment random [| action |] |> ignore

                let before = numbersOf (saved environment) ints
                reset environment random |> ignore
                let after = numbersOf (saved environment) ints

                for i in kept do
                    Expect.equal after[i] before[i] $"number {i} of the state")

        testCase "too many walls are refused"
        <| fun () ->
            refuses [ "MostWalls"; "3" ] (fun () ->
                SwitchingMdpsEnvironment(SwitchingMdpsSettings(Side = 2, MostWalls = 3), Seed.Of 0L)
                |> ignore)
            |> ignore
    ]

// CartPole and the pendulum: numbers worked by hand, or from the equations of motion solved another way.

let private near (expected: float) (found: float) what =
    Expect.isLessThanOrEqual
        (abs (found - expected))
        (1e-12 * max 1.0 (abs expected))
        $"{what}: {found}, not {expected}"

let private cartPoleAt (position, velocity, angle, spin, steps: int) (settings: CartPoleSettings) : IEnvironment =
    let environment = CartPole settings

    restore
        environment
        (bytes (fun w ->
            for number: float in [ position; velocity; angle; spin ] do
                w.Write number

            w.Write steps))

    environment

let private doubles (count: int) (environment: IEnvironment) : float list =
    use reader = new BinaryReader(new MemoryStream(saved environment))
    [ for _ in 1..count -> reader.ReadDouble() ]

let private random () = Rng 1UL

let private cartPole =
    testList "CartPole" [
        testCase "from rest a push to the right gives 8/41 m/s and −12/41 rad/s, after that they move it"
        <| fun () ->
            let environment = cartPoleAt (0.0, 0.0, 0.0, 0.0, 0) (CartPoleSettings())
            let result, observation = act environment (random ()) [| 1 |]
            Expect.equal result (StepResult 1f) "a reward, and no end"

            Expect.sequenceEqual observation [| 0f; float32 (8.0 / 41.0); 0f; float32 (-12.0 / 41.0) |] "observation"

            let left = cartPoleAt (0.0, 0.0, 0.0, 0.0, 0) (CartPoleSettings())
            let _, mirrored = act left (random ()) [| 0 |]
            Expect.sequenceEqual mirrored (Array.map (fun n -> 0f - n) observation) "a push to the left"

        testCase "three steps agree with the two equations of motion, solved as a linear system"
        <| fun () ->
            // (M + m)·x″ + m·l·cos θ·θ″ = F + m·l·θ′²·sin θ and m·l·cos θ·x″ + 4/3·m·l²·θ″ = m·g·l·sin θ, worked outside this program.
            let environment = cartPoleAt (0.1, -0.2, 0.05, 0.3, 0) (CartPoleSettings())

            for action, expected in
                [
                    1, [ 0.096; -0.005625065781779709; 0.056; 0.0234958515185264 ]
                    0,
                    [
                        0.09588749868436441
                        -0.20150353082316988
                        0.05646991703037053
                        0.3333083594813153
                    ]
                    1,
                    [
                        0.09185742806790101
                        -0.0072288850912886615
                        0.06313608421999684
                        0.05895423555535967
                    ]
                ] do
                let result, observation = act environment (random ()) [| action |]
                Expect.equal result (StepResult 1f) "a reward, and no end"
                let found = doubles 4 environment
                List.iter2 (fun e f -> near e f "state") expected found
                Expect.sequenceEqual observation (found |> List.map float32) "observation"

        testCase "terminated beyond 2.4 m and 12 degrees, with a reward, and not at them"
        <| fun () ->
            let twelve = 12.0 * Math.PI / 180.0

            for state, ends in
                [
                    (2.39, 1.0, 0.0, 0.0, 0), true
                    (-2.39, -1.0, 0.0, 0.0, 0), true
                    (2.39, 0.4, 0.0, 0.0, 0), false
                    (0.0, 0.0, twelve - 0.01, 1.0, 0), true
                    (0.0, 0.0, 0.01 - twelve, -1.0, 0), true
                    (0.0, 0.0, twelve - 0.01, 0.4, 0), false
                    (2.4, 0.0, 0.0, 0.0, 0), false
                ] do
                let environment = cartPoleAt state (CartPoleSettings())
                let result, _ = act environment (random ()) [| 1 |]
                Expect.equal result (StepResult(1f, ends, false)) $"from {state}"

        testCase "truncated at the limit, terminated where it falls there"
        <| fun () ->
            let last state =
                act (cartPoleAt state (CartPoleSettings())) (random ()) [| 1 |] |> fst

            Expect.equal (last (0.0, 0.0, 0.0, 0.0, 498)) (StepResult 1f) "step 499"
            Expect.equal (last (0.0, 0.0, 0.0, 0.0, 499)) (StepResult(1f, false, true)) "step 500"
            Expect.equal (last (2.39, 1.0, 0.0, 0.0, 499)) (StepResult(1f, true, false)) "a fall at step 500"

        property 200 "starts with four numbers within 0.05" seeds (fun seed ->
            let environment = CartPole(CartPoleSettings())
            let start = reset environment (Rng seed)
            Expect.all start (fun number -> abs number <= 0.05f) "within 0.05"
            Expect.equal (Array.distinct start).Length 4 "four numbers of their own")

        testCase "a push toward the lean keeps the pole up longer than pushing at random"
        <| fun () ->
            let steps choose =
                let environment = CartPole(CartPoleSettings())
                let random = Rng 5UL

                List.sum [
                    for _ in 1..20 do
                        let mutable observation = reset environment random
                        let mutable over = false
                        let mutable count = 0

                        while not over do
                            let result, next = act environment random [| choose random observation |]
                            observation <- next
                            over <- result.Ended
                            count <- count + 1

                        count
                ]

            let leaning = steps (fun _ observation -> if observation[2] + observation[3] > 0f then 1 else 0)

            let chance = steps (fun random _ -> random.Next 2)
            Expect.isGreaterThan leaning (4 * chance) "steps in twenty episodes"
    ]

let private pendulumAt (angle, speed, steps: int) : IEnvironment =
    let environment = Pendulum(PendulumSettings())

    restore
        environment
        (bytes (fun w ->
            w.Write(angle: float)
            w.Write(speed: float)
            w.Write steps))

    environment

let private pendulum =
    testList "pendulum" [
        testCase "from upright rest a torque of 2 gives 0.3 rad/s and 0.015 rad, and costs 0.004"
        <| fun () ->
            let environment = pendulumAt (0.0, 0.0, 0)
            let result, observation = push environment (random ()) [| 2f |]
            Expect.equal result (StepResult -0.004f) "reward"
            let found = doubles 2 environment
            List.iter2 (fun e f -> near e f "state") [ 0.015; 0.3 ] found

            Expect.sequenceEqual
                observation
                [| float32 (cos 0.015); float32 (sin 0.015); 0.3f |]
                "cosine, sine and speed"

            // 0.015² + 0.1·0.3² + 0.001·2² = 0.013225.
            let result, _ = push environment (random ()) [| -2f |]
            Expect.equal result (StepResult -0.013225f) "reward of the second step"

        testCase "three steps agree with numbers worked outside this program"
        <| fun () ->
            let environment = pendulumAt (2.0, -1.5, 0)

            for torque, reward, state in
                [
                    0.5f, -4.22525, [ 1.962848653505963; -0.7430269298807386 ]
                    -2f, -3.911983738422972, [ 1.9453520635751849; -0.34993179861556384 ]
                    1.25f, -3.7982023776244622, [ 1.972130608075393; 0.5355708900041647 ]
                ] do
                let result, _ = push environment (random ()) [| torque |]
                Expect.equal result (StepResult(float32 reward)) "reward"
                List.iter2 (fun e f -> near e f "state") state (doubles 2 environment)

        testCase "the cost takes the angle within half a turn, whatever the turns before"
        <| fun () ->
            for turns in [ -3.0; -1.0; 0.0; 1.0; 2.0 ] do
                for angle in [ -3.0; -1.0; 0.5; 3.1 ] do
                    let result, _ = push (pendulumAt (angle + turns * 2.0 * Math.PI, 0.0, 0)) (random ()) [| 0f |]

                    Expect.isLessThanOrEqual
                        (abs (float result.Reward + angle * angle))
                        1e-5
                        $"{turns} turns and {angle} rad"

            let hanging, _ = push (pendulumAt (Math.PI, 0.0, 0)) (random ()) [| 0f |]
            Expect.equal hanging.Reward (float32 -(Math.PI * Math.PI)) "hanging"

        testCase "speed stays within 8 rad/s"
        <| fun () ->
            for sign in [ 1.0; -1.0 ] do
                let environment = pendulumAt (sign * Math.PI / 2.0, sign * 7.9, 0)
                push environment (random ()) [| float32 (2.0 * sign) |] |> ignore

                List.iter2
                    (fun e f -> near e f "state")
                    [ sign * (Math.PI / 2.0 + 0.4); sign * 8.0 ]
                    (doubles 2 environment)

        testCase "truncated at 200 steps, never terminated"
        <| fun () ->
            let last steps =
                push (pendulumAt (1.0, 0.0, steps)) (random ()) [| 0f |] |> fst

            Expect.isFalse (last 198).Ended "step 199"
            Expect.equal ((last 199).Terminated, (last 199).Truncated) (false, true) "step 200"

        property 200 "starts at any angle with a speed within 1" seeds (fun seed ->
            let environment = Pendulum(PendulumSettings())
            let start = reset environment (Rng seed)
            Expect.isLessThanOrEqual (abs start[2]) 1f "speed"

            Expect.isLessThanOrEqual (abs (start[0] * start[0] + start[1] * start[1] - 1f)) 1e-6f "on the circle")
    ]

// The pixel world and the toggles.


let private cellsOf (channel: int) (observation: float32[]) : (int * int) list = [
    for cell in 0..99 do
        if observation[channel * 100 + cell] > 0f then
            cell / 10, cell % 10
]

/// Where what falls will land, from what is seen of it: none where there is no trail yet, so that its way is not known.
let private landing (observation: float32[]) : (bool * int) option =
    let stone, row, column =
        match cellsOf 1 observation, cellsOf 2 observation with
        | [ row, column ], [] -> false, row, column
        | [], [ row, column ] -> true, row, column
        | other -> failwith $"expected one thing, found {other}"

    match cellsOf 3 observation with
    | [ _, from ] ->
        let mutable drift = column - from
        let mutable at = column

        for _ in row..8 do
            if at + drift < 0 || at + drift > 9 then
                drift <- -drift

            at <- at + drift

        Some(stone, at)
    | _ -> None

let private pixels =
    testList "pixels" [
        property
            30
            "who sees where it lands catches every fruit, lets stones through, and is truncated"
            seeds
            (fun seed ->
                let environment = Pixels(PixelsSettings(Drift = 0.5, Stones = 0.5, Steps = 300))
                let random = Rng seed
                let mutable observation = reset environment random
                let mutable fruits = 0f
                let mutable landed = 0
                let mutable result = StepResult()

                while not result.Ended do
                    let paddle = cellsOf 0 observation |> List.exactlyOne |> snd

                    let action =
                        match landing observation with
                        | Some(false, column) -> compare column paddle
                        | Some(true, column) when column = paddle -> if paddle = 0 then 1 else -1
                        // Nothing to do yet: toward the middle, from where everything is in reach.
                        | None -> compare 5 paddle
                        | _ -> 0

                    let next, seen =
                        act environment random [|
                            (if action < 0 then 1
                             elif action > 0 then 2
                             else 0)
                        |]

                    let at = cellsOf 0 seen |> List.exactlyOne

                    Expect.equal
                        at
                        (9, max 0 (min 9 (paddle + action)))
                        "the paddle moves one column, on the lowest row"

                    if next.Reward = 1f then
                        Expect.equal (landing observation |> Option.map fst) (Some false) "a fruit was caught"

                    if cellsOf 3 seen = [] then
                        landed <- landed + 1

                    fruits <- fruits + next.Reward
                    observation <- seen
                    result <- next

                Expect.equal (result.Terminated, result.Truncated) (false, true) "truncated"
                Expect.equal landed 33 "a fall takes nine steps"
                Expect.isLessThanOrEqual fruits 33f "a reward of 1 a fruit at most")

        property 30 "a fruit missed and a stone caught end the episode without a reward" seeds (fun seed ->
            for stones, catches in [ 0.0, false; 1.0, true ] do
                let environment = Pixels(PixelsSettings(Drift = 0.0, Stones = stones))
                let random = Rng seed
                let mutable observation = reset environment random
                let mutable result = StepResult()
                let mutable steps = 0

                while not result.Ended do
                    let paddle = cellsOf 0 observation |> List.exactlyOne |> snd
                    let column = cellsOf (if catches then 2 else 1) observation |> List.exactlyOne |> snd

                    let action =
                        if catches then compare column paddle
                        elif column = paddle then (if paddle = 0 then 1 else -1)
                        else 0

                    let next, seen =
                        act environment random [|
                            (if action < 0 then 1
                             elif action > 0 then 2
                             else 0)
                        |]

                    observation <- seen
                    result <- next
                    steps <- steps + 1

                Expect.equal result (StepResult(0f, true, false)) "terminated, no reward"
                Expect.equal steps 9 "at the first landing")

        testCase "a picture is a thing, its trail and the paddle, of bytes"
        <| fun () ->
            let environment = Pixels(PixelsSettings())
            let random = Rng 3UL
            let first = reset environment random
            Expect.equal (first |> Array.countBy id |> Array.sort) [| 0f, 398; 255f, 2 |] "no trail at first"
            let _, second = act environment random [| 0 |]
            Expect.equal (second |> Array.countBy id |> Array.sort) [| 0f, 397; 255f, 3 |] "and then one"
    ]

let private toggles =
    testList "toggles" [
        property 50 "both hands at once put all lamps on, and no more steps than lamps of one hand" seeds (fun seed ->
            let environment = Toggles(TogglesSettings())
            let random = Rng seed
            let mutable observation = reset environment random
            let dark = observation[..5] |> Array.filter ((=) 0f) |> Array.length
            let mutable result = StepResult()
            let mutable total = 0.0
            let mutable steps = 0

            while not result.Ended do
                let hand first =
                    match Array.tryFindIndex ((=) 0f) observation[first .. first + 2] with
                    | Some lamp -> lamp + 1
                    | None -> 0

                let next, seen = act environment random [| hand 0; hand 3 |]
                observation <- seen
                result <- next
                total <- total + float next.Reward
                steps <- steps + 1

            Expect.equal (result.Terminated, result.Truncated) (true, false) "terminated"
            Expect.isLessThanOrEqual steps 3 "steps"
            Expect.isLessThanOrEqual (abs (total - float dark + 0.1 * float steps)) 1e-6 "return")

        property 50 "a switch just pressed rests for a step, is shown and refused" seeds (fun seed ->
            let environment = Toggles(TogglesSettings())
            let random = Rng seed
            reset environment random |> ignore
            Expect.all (masked environment) id "all allowed at first"
            let left = 1 + int (seed % 3UL)
            let result, observation = act environment random [| left; 0 |]

            if not result.Ended then
                let expected = Array.init 8 (fun entry -> entry <> left)
                Expect.sequenceEqual (masked environment) expected "mask"

                Expect.sequenceEqual
                    observation[6..]
                    (Array.init 6 (fun switch -> if switch = left - 1 then 1f else 0f))
                    "shown"

                refuses [ "left"; $"{left}"; "rests" ] (fun () -> act environment random [| left; 0 |] |> ignore)
                |> ignore

                act environment random [| 0; 0 |] |> ignore
                Expect.all (masked environment) id "all allowed again")

        testCase "truncated at the limit"
        <| fun () ->
            let environment = Toggles(TogglesSettings(Steps = 4))
            let random = Rng 1UL
            reset environment random |> ignore
            let results = [ for _ in 1..4 -> fst (act environment random [| 0; 0 |]) ]

            Expect.equal
                results
                [ yield! List.replicate 3 (StepResult -0.1f); StepResult(-0.1f, false, true) ]
                "four steps of nothing"
    ]

// An environment that counts, with hooks to break it.

/// What a counter does; each field can be replaced by something that breaks one rule.
[<NoEquality; NoComparison>]
type private Counting = {
    Describe: unit -> EnvironmentDescription
    /// From steps in the episode, steps in all, and the last draw: the observation, or its beginning.
    Observe: int -> int -> float32 -> float32[]
    Reward: int -> float32
    Ends: int -> bool * bool
    Draw: Rng -> float32
    OnReset: Rng -> unit
    OnStep: int -> int -> unit
    Save: BinaryWriter -> int -> int -> float32 -> unit
    Restore: BinaryReader -> int * int * float32
    Mask: int -> bool[]
    Changes: int64 -> int64 -> int64 seq
    Render: int -> string
}

let private counterDescription =
    EnvironmentDescription(
        ObservationSpace.Named("at", "total", "draw"),
        ActionSpace.Of("a", "b", "c"),
        Saves = true,
        Masks = true,
        Renders = true
    )

/// Episodes of seven steps, the reward is the number of the step in its episode, every third step forbids "c", and the problem changes
/// every five steps.
let private honest = {
    Describe = fun () -> counterDescription
    Observe = fun at total draw -> [| float32 at; float32 total; draw |]
    Reward = float32
    Ends = fun at -> at = 7, false
    Draw = fun random -> float32 (random.NextDouble())
    OnReset = ignore
    OnStep =
        fun at action ->
            if action < 0 || action > 2 || (action = 2 && at % 3 = 0) then
                raise (ArgumentOutOfRangeException("action", $"found {action}, expected one that is allowed"))
    Save =
        fun writer at total draw ->
            writer.Write at
            writer.Write total
            writer.Write draw
    Restore =
        fun reader ->
            let at = reader.ReadInt32()
            let total = reader.ReadInt32()

            if at < 0 || at > 7 || total < at then
                raise (ArgumentException $"expected steps in 0 … 7, found {at} of {total}")

            at, total, reader.ReadSingle()
    Mask = fun at -> [| true; true; at % 3 <> 0 |]
    Changes =
        fun after until ->
            seq {
                for count in after / 5L + 1L .. until / 5L do
                    count * 5L
            }
    Render = fun at -> $"at {at}"
}

type private Counter(counting: Counting) =
    let mutable at = 0
    let mutable total = 0
    let mutable draw = 0f

    member _.At = at
    member _.Total = total

    interface IEnvironment with
        member _.Description = counting.Describe()

        member _.Reset(random, observation) =
            counting.OnReset random
            at <- 0
            draw <- counting.Draw random
            (counting.Observe at total draw).AsSpan().CopyTo observation

        member _.Step(random, action, observation) =
            counting.OnStep at action.Index
            at <- at + 1
            total <- total + 1
            draw <- counting.Draw random
            (counting.Observe at total draw).AsSpan().CopyTo observation
            let terminated, truncated = counting.Ends at
            StepResult(counting.Reward at, terminated, truncated)

        member _.Save writer = counting.Save writer at total draw

        member _.Restore reader =
            let a, t, d = counting.Restore reader
            at <- a
            total <- t
            draw <- d

        member _.Mask allowed =
            (counting.Mask at).AsSpan().CopyTo allowed

        member _.Changes(after, until) = counting.Changes after until
        member _.Render() = counting.Render at

let private counter counting : IEnvironment = Counter counting

// The checker.

let private check (create: unit -> IEnvironment) (steps: int) (seed: uint64) : EnvironmentReport =
    EnvironmentCheck.Run(Func<IEnvironment> create, steps, Seed.Of(int64 seed))

let private passes what (report: EnvironmentReport) =
    Expect.isEmpty report.Findings $"{what}: findings"
    Expect.isTrue report.Passed what

let private cleanRuns =
    testList "finds nothing wrong with" [
        for name, create in library do
            property 3 name seeds (fun seed -> passes name (check (fun () -> create seed) 150 seed))

            for wrapper, wrap in wrappers do
                property 2 $"{name}, {wrapper}" seeds (fun seed ->
                    passes name (check (fun () -> wrap (create seed)) 100 seed))

            property 2 $"{name}, all wrappers" seeds (fun seed ->
                passes
                    name
                    (check
                        (fun () -> (create seed, wrappers) ||> List.fold (fun inner (_, wrap) -> wrap inner))
                        60
                        seed))

        property 10 "an environment that counts" seeds (fun seed ->
            let report = check (fun () -> counter honest) 70 seed
            passes "counter" report
            Expect.equal (report.Steps, report.Episodes) (70L, 10L) "what was played")
    ]

/// Environments that break one rule each: its name, the rule, whether it is advice, and a factory of factories, for what instances share.
let private broken: (string * EnvironmentRule * bool * (unit -> unit -> IEnvironment)) list =
    let always counting () = fun () -> counter counting

    let describes description =
        always {
            honest with
                Describe = fun () -> description
        }

    let only option =
        describes (
            EnvironmentDescription(
                counterDescription.Observation,
                counterDescription.Actions,
                Saves = (option <> "saves"),
                Masks = (option <> "masks"),
                Renders = (option <> "renders")
            )
        )

    let observation (space: ObservationSpace) =
        describes (EnvironmentDescription(space, counterDescription.Actions))

    let actions (space: ActionSpace) =
        describes (EnvironmentDescription(counterDescription.Observation, space))

    let late fault sound at = if at = 4 then fault else sound at

    [
        "a shape without axes", EnvironmentRule.Description, false, observation (ObservationSpace [||])
        "an axis of no numbers", EnvironmentRule.Description, false, observation (ObservationSpace [| 3; 0 |])
        "an absurd shape", EnvironmentRule.Description, false, observation (ObservationSpace [| 100000; 100000 |])
        "a name too few",
        EnvironmentRule.Description,
        false,
        observation (ObservationSpace([| 3 |], Names = [| "at"; "total" |]))
        "no actions", EnvironmentRule.Description, false, actions (ActionSpace.OfSeveral())
        "an action without choices", EnvironmentRule.Description, false, actions (ActionSpace.Of())
        "bounds of one number",
        EnvironmentRule.Description,
        false,
        actions (ActionSpace.OfBounded(Bounded("push", 1f, 1f)))
        "infinite bounds",
        EnvironmentRule.Description,
        false,
        actions (ActionSpace.OfBounded(Bounded("push", -infinityf, 1f)))
        "masks of continuous actions",
        EnvironmentRule.Description,
        false,
        describes (
            EnvironmentDescription(
                counterDescription.Observation,
                ActionSpace.OfBounded(Bounded("push", -1f, 1f)),
                Masks = true
            )
        )
        "no description", EnvironmentRule.Throws, false, describes Unchecked.defaultof<_>
        "a description that changes with time",
        EnvironmentRule.Description,
        false,
        (fun () ->
            fun () ->
                let mutable steps = 0
                let count = ref 0

                counter {
                    honest with
                        OnStep =
                            fun at action ->
                                honest.OnStep at action
                                count.Value <- count.Value + 1
                        Describe =
                            fun () ->
                                ignore steps

                                if count.Value < 20 then
                                    counterDescription
                                else
                                    EnvironmentDescription(
                                        ObservationSpace.Named("at", "total", "renamed"),
                                        counterDescription.Actions
                                    )
                })
        "instances that differ",
        EnvironmentRule.Description,
        false,
        (fun () ->
            let made = ref 0

            fun () ->
                made.Value <- made.Value + 1
                let names = ActionSpace.Of("a", "b", $"c{made.Value}")

                counter {
                    honest with
                        Describe = fun () -> EnvironmentDescription(counterDescription.Observation, names)
                })
        "an option without its flag: saves", EnvironmentRule.Description, true, only "saves"
        "an option without its flag: renders", EnvironmentRule.Description, true, only "renders"
        "an observation not written to its end",
        EnvironmentRule.Observation,
        false,
        always {
            honest with
                Observe = fun at total _ -> [| float32 at; float32 total |]
        }
        "NaN in an observation",
        EnvironmentRule.Observation,
        false,
        always {
            honest with
                Observe = fun at total draw -> [| float32 at; (if at = 4 then nanf else float32 total); draw |]
        }
        "a fraction for a byte",
        EnvironmentRule.Observation,
        false,
        always {
            honest with
                Describe =
                    fun () ->
                        EnvironmentDescription(
                            ObservationSpace([| 3 |], Kind = ObservationKind.Bytes),
                            counterDescription.Actions,
                            Saves = true,
                            Masks = true,
                            Renders = true
                        )
                Observe = fun at total _ -> [| float32 at; float32 total; (if at = 4 then 0.5f else 255f) |]
        }
        "a byte above 255",
        EnvironmentRule.Observation,
        false,
        always {
            honest with
                Describe =
                    fun () ->
                        EnvironmentDescription(
                            ObservationSpace([| 3 |], Kind = ObservationKind.Bytes),
                            counterDescription.Actions,
                            Saves = true,
                            Masks = true,
                            Renders = true
                        )
                Observe = fun at total _ -> [| float32 at; float32 total; 256f |]
        }
        "an observation longer than it says",
        EnvironmentRule.Throws,
        false,
        always {
            honest with
                Observe = fun _ _ _ -> Array.zeroCreate 4
        }
        "an infinite reward",
        EnvironmentRule.Reward,
        false,
        always {
            honest with
                Reward = late infinityf float32
        }
        "both ends at once",
        EnvironmentRule.Ends,
        true,
        always {
            honest with
                Ends = fun at -> at = 7, at = 7
        }
        "an action outside accepted", EnvironmentRule.Actions, true, always { honest with OnStep = fun _ _ -> () }
        "an action outside refused with something else",
        EnvironmentRule.Actions,
        true,
        always {
            honest with
                OnStep =
                    fun _ action ->
                        if action < 0 || action > 2 then
                            failwith "no such action"
        }
        "an allowed action that throws",
        EnvironmentRule.Throws,
        false,
        always {
            honest with
                OnStep =
                    fun at action ->
                        honest.OnStep at action

                        if at = 4 then
                            failwith "it broke"
        }
        "a factory that throws", EnvironmentRule.Throws, false, (fun () -> fun () -> failwith "not made")
        "a factory of nothing", EnvironmentRule.Throws, false, (fun () -> fun () -> Unchecked.defaultof<_>)
        "a mask without a choice",
        EnvironmentRule.Mask,
        false,
        always {
            honest with
                Mask = late [| false; false; false |] honest.Mask
        }
        "a mask not written to its end",
        EnvironmentRule.Mask,
        false,
        always {
            honest with
                OnStep =
                    fun _ action ->
                        if action < 0 || action > 2 then
                            raise (ArgumentOutOfRangeException "action")
                Mask = fun _ -> [| true; true |]
        }
        "a mask that throws",
        EnvironmentRule.Throws,
        false,
        always {
            honest with
                Mask = late (Array.zeroCreate 4) honest.Mask
        }
        "a second reset that throws",
        EnvironmentRule.Reset,
        false,
        (fun () ->
            fun () ->
                let begun = ref false

                counter {
                    honest with
                        OnReset =
                            fun _ ->
                                if begun.Value then
                                    invalidOp "it was reset already"

                                begun.Value <- true
                        OnStep =
                            fun at action ->
                                honest.OnStep at action
                                begun.Value <- false
                })
        "a reset in mid-episode that throws",
        EnvironmentRule.Reset,
        false,
        (fun () ->
            fun () ->
                let running = ref 0

                counter {
                    honest with
                        OnReset =
                            fun _ ->
                                if running.Value % 7 <> 0 then
                                    invalidOp "the episode runs"

                                running.Value <- 0
                        OnStep =
                            fun at action ->
                                honest.OnStep at action
                                running.Value <- running.Value + 1
                        Restore =
                            fun reader ->
                                let at, total, draw = honest.Restore reader
                                running.Value <- at
                                at, total, draw
                })
        "a reset after an end that throws",
        EnvironmentRule.Throws,
        false,
        (fun () ->
            fun () ->
                let ended = ref false

                counter {
                    honest with
                        OnReset =
                            fun _ ->
                                if ended.Value then
                                    invalidOp "it is over"
                        Ends =
                            fun at ->
                                ended.Value <- (at = 7)
                                at = 7, false
                })
        "numbers from elsewhere",
        EnvironmentRule.Determinism,
        false,
        (fun () ->
            let calls = ref 0

            fun () ->
                counter {
                    honest with
                        Draw =
                            fun random ->
                                calls.Value <- calls.Value + 1
                                honest.Draw random + float32 calls.Value
                })
        "rewards from elsewhere",
        EnvironmentRule.Determinism,
        false,
        (fun () ->
            let calls = ref 0

            fun () ->
                counter {
                    honest with
                        Reward =
                            fun at ->
                                calls.Value <- calls.Value + 1
                                float32 (at + calls.Value)
                })
        "draws that depend on the instance",
        EnvironmentRule.Determinism,
        false,
        (fun () ->
            let made = ref 0

            fun () ->
                made.Value <- made.Value + 1
                let mine = made.Value

                counter {
                    honest with
                        Draw =
                            fun random ->
                                for _ in 1..mine do
                                    random.NextUInt64() |> ignore

                                0f
                })
        "a generator kept from the reset",
        EnvironmentRule.Determinism,
        false,
        (fun () ->
            fun () ->
                let kept = ref (Rng 0UL)

                counter {
                    honest with
                        OnReset = fun random -> kept.Value <- random
                        Draw = fun _ -> honest.Draw kept.Value
                })
        "state that instances share",
        EnvironmentRule.Independence,
        false,
        (fun () ->
            let shared = ref 0

            fun () ->
                counter {
                    honest with
                        OnReset = fun _ -> shared.Value <- 0
                        OnStep =
                            fun at action ->
                                honest.OnStep at action
                                shared.Value <- shared.Value + 1
                        Reward = fun _ -> float32 shared.Value
                })
        "a field that is not saved",
        EnvironmentRule.Save,
        false,
        always {
            honest with
                Save =
                    fun writer at _ draw ->
                        writer.Write at
                        writer.Write draw
                Restore =
                    fun reader ->
                        let at = reader.ReadInt32()
                        at, at, reader.ReadSingle()
        }
        "saving that changes it",
        EnvironmentRule.Save,
        false,
        (fun () ->
            fun () ->
                let saves = ref 0

                counter {
                    honest with
                        Save =
                            fun writer at total draw ->
                                saves.Value <- saves.Value + 1
                                honest.Save writer at total draw
                        Reward = fun at -> float32 (at + saves.Value)
                })
        "other bytes when saved again",
        EnvironmentRule.Save,
        false,
        (fun () ->
            let saves = ref 0

            fun () ->
                counter {
                    honest with
                        Save =
                            fun writer at total _ ->
                                saves.Value <- saves.Value + 1
                                honest.Save writer at total (float32 saves.Value)
                })
        "bytes left over",
        EnvironmentRule.Save,
        false,
        always {
            honest with
                Save =
                    fun writer at total draw ->
                        honest.Save writer at total draw
                        writer.Write 1
        }
        "a save that throws",
        EnvironmentRule.Save,
        false,
        always {
            honest with
                Save = fun _ _ _ _ -> raise (NotSupportedException "not saved")
        }
        "wrong bytes that crash it",
        EnvironmentRule.Restore,
        false,
        always {
            honest with
                Restore =
                    fun reader ->
                        let at = reader.ReadInt32()
                        let total = reader.ReadInt32()
                        let draw = reader.ReadSingle()
                        [| 0..7 |][at], total, draw
        }
        "too few bytes accepted",
        EnvironmentRule.Restore,
        false,
        always {
            honest with
                Restore =
                    fun reader ->
                        try
                            honest.Restore reader
                        with :? EndOfStreamException ->
                            0, 0, 0f
        }
        "changes out of order",
        EnvironmentRule.Changes,
        false,
        always {
            honest with
                Changes = fun _ _ -> [ 10L; 5L ]
        }
        "a change beyond what was asked",
        EnvironmentRule.Changes,
        false,
        always {
            honest with
                Changes = fun _ until -> seq { until + 1L }
        }
        "changes that depend on where one asks from",
        EnvironmentRule.Changes,
        false,
        always {
            honest with
                Changes =
                    fun after until ->
                        if after + 5L <= until then
                            seq { after + 5L }
                        else
                            Seq.empty
        }
        "changes that throw",
        EnvironmentRule.Changes,
        false,
        always {
            honest with
                Changes = fun _ _ -> invalidOp "no changes"
        }
        "no text", EnvironmentRule.Render, false, always { honest with Render = fun _ -> " " }
        "drawing that throws",
        EnvironmentRule.Render,
        false,
        always {
            honest with
                Render = late "" (fun _ -> failwith "no pen")
        }
        "drawing that changes it",
        EnvironmentRule.Render,
        false,
        (fun () ->
            fun () ->
                let drawn = ref 0

                counter {
                    honest with
                        Render =
                            fun _ ->
                                drawn.Value <- drawn.Value + 1
                                "drawn"
                        Reward = fun at -> float32 (at + drawn.Value)
                })
    ]

let private brokenRuns =
    testList "finds exactly one rule broken by" [
        for name, rule, advice, factory in broken do
            property 5 name seeds (fun seed ->
                let report = check (factory ()) 70 seed
                let findings = String.Join("; ", report.Findings)
                Expect.isNonEmpty report.Findings "findings"

                Expect.all
                    report.Findings
                    (fun finding -> finding.Rule = rule && finding.IsAdvice = advice)
                    $"{rule}, found {findings}"

                Expect.equal report.Passed advice "passes with advice alone")

        testCase "every rule there is"
        <| fun () ->
            Expect.containsAll
                [ for _, rule, _, _ in broken -> rule ]
                (Enum.GetValues<EnvironmentRule>() |> List.ofArray)
                "rules with an environment that breaks them"
    ]

let private places =
    testList "says" [
        let findings counting =
            (check (fun () -> counter counting) 70 1UL).Findings
            |> Seq.map string
            |> List.ofSeq

        testCase "where, what was found and what was expected"
        <| fun () ->
            Expect.equal
                (findings {
                    honest with
                        Reward = fun at -> if at = 3 then nanf else 0f
                })
                [ "step 3: found NaN, expected a finite number" ]
                "a reward"

            Expect.equal
                (findings {
                    honest with
                        Observe = fun at total _ -> [| float32 at; float32 total |]
                })
                [
                    "reset after step 0, number 2 (draw): found not written, expected all 3 numbers written"
                ]
                "an observation"

            Expect.equal
                (findings {
                    honest with
                        OnStep =
                            fun at action ->
                                honest.OnStep at action

                                if at = 4 then
                                    failwith "it broke"
                })
                [ "step 5: found Exception: it broke, expected no exception" ]
                "an exception"

        testCase "what was looked at"
        <| fun () ->
            let report = check (fun () -> counter honest) 70 1UL

            for line in
                [
                    "description: observation [3] numbers; actions: one of a, b, c"
                    "played 70 steps; 10 episodes ended, 0 of them truncated, mean length 7.0"
                    "actions: 3 of 3 choices were taken"
                    "determinism: played again, the same numbers"
                    "independence: played beside another, the same numbers"
                    "restore: 7 states of wrong bytes"
                    "actions: 2 outside its space"
                ] do
                Expect.contains report.Checked line "a line"

            let endless =
                check
                    (fun () ->
                        counter {
                            honest with
                                Ends = fun _ -> false, false
                        })
                    30
                    1UL

            Expect.contains endless.Checked "played 30 steps; no episode ended" "an endless stream"
    ]

// Wrappers over the counter.

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

let private wrapped =
    testList "wrappers" [
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
            let sticky: IEnvironment = StickyActions(pendulumAt (0.0, 0.0, 0), 1.0)
            let plain = pendulumAt (0.0, 0.0, 0)
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

let private states =
    testList "the library refuses states" [
        for name, create, state in
            [
                "two things on one cell",
                (fun () -> TwoColorsEnvironment(TwoColorsSettings()) :> IEnvironment),
                (fun (w: BinaryWriter) ->
                    for cell in [ 3; 3; 4 ] do
                        w.Write(cell: int)

                    w.Write 0L)
                "a cell off the grid",
                (fun () -> TwoColorsEnvironment(TwoColorsSettings())),
                (fun w ->
                    for cell in [ 3; 25; 4 ] do
                        w.Write(cell: int)

                    w.Write 0L)
                "a world that is none",
                (fun () -> SwitchingMdpsEnvironment(SwitchingMdpsSettings(), Seed.Of 0L)),
                (fun w ->
                    w.Write 4
                    w.Write 0
                    w.Write 0L)
                "a position that is no number",
                (fun () -> CartPole(CartPoleSettings())),
                (fun w ->
                    for number in [ nan; 0.0; 0.0; 0.0 ] do
                        w.Write(number: float)

                    w.Write 0)
                "more steps than an episode has",
                (fun () -> CartPole(CartPoleSettings())),
                (fun w ->
                    for _ in 1..4 do
                        w.Write 0.0

                    w.Write 501)
                "a speed beyond its bounds",
                (fun () -> Pendulum(PendulumSettings())),
                (fun w ->
                    w.Write 0.0
                    w.Write 8.5
                    w.Write 0)
                "a thing off the picture",
                (fun () -> Pixels(PixelsSettings())),
                (fun w ->
                    for number in [ 0; 10; 3; 0; 2 ] do
                        w.Write(number: int)

                    w.Write false
                    w.Write 0)
                "a lamp of 2",
                (fun () -> Toggles(TogglesSettings())),
                (fun w ->
                    for _ in 1..12 do
                        w.Write 2uy

                    w.Write 0)
            ] do
            testCase name
            <| fun () ->
                let error = refuses [ "Restore"; "expected"; "found" ] (fun () -> restore (create ()) (bytes state))

                Expect.isTrue (error :? ArgumentException) "an ArgumentException"
    ]

// The guard.

let private guarded counting : IEnvironment =
    EnvironmentGuard(counter counting, "counter", "member 3 (seed 7), copy 1")

let private guard =
    testList "guard" [
        let faults = [
            "NaN in an observation",
            {
                honest with
                    Observe = fun at total draw -> [| float32 at; (if at = 3 then nanf else float32 total); draw |]
            },
            [
                "step 3"
                "observation"
                "number 1 (total)"
                "found NaN"
                "expected a finite number"
            ]
            "an infinite reward",
            {
                honest with
                    Reward = fun at -> if at = 3 then -infinityf else 0f
            },
            [ "step 3"; "reward"; "found -Infinity"; "expected a finite number" ]
            "an exception",
            {
                honest with
                    OnStep =
                        fun at _ ->
                            if at = 2 then
                                failwith "it broke"
            },
            [ "step 3"; "Step threw Exception: it broke" ]
            "an observation longer than it says",
            {
                honest with
                    Observe = fun at _ _ -> Array.zeroCreate (if at = 3 then 4 else 3)
            },
            [ "step 3"; "Step threw ArgumentException" ]
            "an exception in a reset",
            {
                honest with
                    OnReset = fun _ -> failwith "no start"
            },
            [ "step 0"; "Reset threw Exception: no start" ]
        ]

        for name, counting, parts in faults do
            testCase name
            <| fun () ->
                let environment = guarded counting

                let error =
                    refuses ("environment 'counter', member 3 (seed 7), copy 1" :: parts) (fun () ->
                        let random = Rng 1UL
                        reset environment random |> ignore

                        for _ in 1..5 do
                            act environment random [| 0 |] |> ignore)

                match error with
                | :? EnvironmentException as error -> Expect.equal error.ExitCode 1 "exit code"
                | other -> failtest $"{other}"

        testCase "a changed description"
        <| fun () ->
            let mutable description = counterDescription
            let current () = description
            let holder = ref current

            let environment =
                guarded {
                    honest with
                        Describe = fun () -> holder.Value()
                }

            let random = Rng 1UL
            reset environment random |> ignore

            // Another object that says the same is no change.
            holder.Value <-
                fun () ->
                    EnvironmentDescription(
                        ObservationSpace.Named("at", "total", "draw"),
                        ActionSpace.Of("a", "b", "c"),
                        Saves = true,
                        Masks = true,
                        Renders = true
                    )

            act environment random [| 0 |] |> ignore

            holder.Value <-
                fun () ->
                    EnvironmentDescription(
                        ObservationSpace.Named("at", "total", "other"),
                        counterDescription.Actions,
                        Saves = true,
                        Masks = true,
                        Renders = true
                    )

            refuses [ "step 2"; "description"; "expected" ] (fun () -> act environment random [| 0 |] |> ignore)
            |> ignore

        testCase "a description that cannot be used"
        <| fun () ->
            refuses [ "environment 'counter'"; "observation's shape"; "[]" ] (fun () ->
                guarded {
                    honest with
                        Describe = fun () -> EnvironmentDescription(ObservationSpace [||], counterDescription.Actions)
                }
                |> ignore)
            |> ignore

        testCase "a step before a reset, and after an end"
        <| fun () ->
            let environment = guarded honest
            let random = Rng 1UL

            let stepping () =
                act environment random [| 0 |] |> ignore

            refuses [ "step 0"; "expected Reset first" ] stepping |> ignore
            reset environment random |> ignore

            for _ in 1..7 do
                stepping ()

            let ended = saved environment
            refuses [ "step 7"; "expected Reset first" ] stepping |> ignore

            // A stream saved at an end still waits for its reset.
            let other = guarded honest
            restore other ended

            refuses [ "step 7"; "expected Reset first" ] (fun () -> act other random [| 0 |] |> ignore)
            |> ignore

            reset other random |> ignore
            act other random [| 0 |] |> ignore

        testCase "an action outside its space"
        <| fun () ->
            let environment = guarded { honest with OnStep = fun _ _ -> () }
            let random = Rng 1UL
            reset environment random |> ignore

            for actions in [ [| 3 |]; [| -1 |]; [||]; [| 0; 0 |] ] do
                refuses [ "Step threw"; "expected" ] (fun () -> act environment random actions |> ignore)
                |> ignore

            refuses [ "Step threw"; "expected" ] (fun () -> push environment random [| 0f |] |> ignore)
            |> ignore

        testCase "a mask without a choice"
        <| fun () ->
            let environment =
                guarded {
                    honest with
                        Mask = fun _ -> Array.create 3 false
                }

            refuses [ "Mask"; "action 0"; "expected at least one" ] (fun () -> masked environment |> ignore)
            |> ignore

        testCase "a state that is refused, not read to its end, or too short"
        <| fun () ->
            let state = saved (guarded honest)

            for parts, restoring in
                [
                    [ "Restore threw ArgumentException"; "expected steps" ],
                    {
                        honest with
                            Restore = fun _ -> invalidArg "reader" "expected steps"
                    }
                    [ "found 4 bytes read, expected all 12" ],
                    {
                        honest with
                            Restore = fun reader -> reader.ReadInt32(), 0, 0f
                    }
                    [ "Restore threw EndOfStreamException" ],
                    {
                        honest with
                            Restore =
                                fun reader ->
                                    honest.Restore reader |> ignore
                                    reader.ReadInt32(), 0, 0f
                    }
                ] do
                let error = refuses ("environment 'counter'" :: parts) (fun () -> restore (guarded restoring) state)

                Expect.isTrue (error :? EnvironmentException) "an EnvironmentException"

        testCase "changes out of order"
        <| fun () ->
            let environment =
                guarded {
                    honest with
                        Changes = fun _ _ -> [ 5L; 5L ]
                }

            refuses [ "Changes"; "found 5"; "expected a step above 5" ] (fun () ->
                environment.Changes(0L, 10L) |> Seq.length |> ignore)
            |> ignore

        testCase "a stop is no fault of the environment's"
        <| fun () ->
            let environment =
                guarded {
                    honest with
                        OnReset = fun _ -> raise (OperationCanceledException())
                }

            Expect.throwsT<OperationCanceledException> (fun () -> reset environment (Rng 1UL) |> ignore) "passed on"

        property 30 "a stream restored from bytes goes on bit for bit" seeds (fun seed ->
            for name, create in library do
                let make () : IEnvironment =
                    EnvironmentGuard(create seed, name, "member 0")

                let one, other = make (), make ()
                let random = Rng seed
                let space = one.Description.Actions
                let indices = Array.zeroCreate<int> space.DiscreteCount
                let values = Array.zeroCreate<float32> space.ContinuousCount

                let play environment random =
                    if values.Length > 0 then
                        push environment random values
                    else
                        act environment random indices

                reset one random |> ignore

                for _ in 1..3 do
                    play one random |> ignore

                let state = saved one
                restore other state
                Expect.sequenceEqual (saved other) state $"{name}: bytes"
                let again = Rng random.State

                for _ in 1..4 do
                    Expect.equal (play other again) (play one random) name)

        property 30 "an environment without a fault is as it was" seeds (fun seed ->
            for name, create in library do
                let plain, watched = create seed, (EnvironmentGuard(create seed, name, "member 0") :> IEnvironment)
                let one, other = Rng seed, Rng seed
                Expect.equal watched.Description plain.Description "description"
                Expect.sequenceEqual (reset watched one) (reset plain other) "start"

                let none =
                    Array.zeroCreate<int> plain.Description.Actions.DiscreteCount,
                    Array.zeroCreate<float32> plain.Description.Actions.ContinuousCount

                for _ in 1..5 do
                    match none with
                    | indices, [||] -> Expect.equal (act watched one indices) (act plain other indices) name
                    | _, values -> Expect.equal (push watched one values) (push plain other values) name

                Expect.sequenceEqual (masked watched) (masked plain) "mask"
                Expect.equal (watched.Render()) (plain.Render()) "text"
                Expect.sequenceEqual (watched.Changes(0L, 20L)) (plain.Changes(0L, 20L)) "changes")
    ]

let private spaces =
    testList "descriptions" [
        testCase "are equal where they say the same"
        <| fun () ->
            let describe names =
                EnvironmentDescription(
                    ObservationSpace.Named [| "x"; "y" |],
                    ActionSpace.OfSeveral(Choice("a", [| "0"; "1" |]), Choice("b", names))
                )

            Expect.equal (describe [| "p"; "q" |]) (describe [| "p"; "q" |]) "the same"

            Expect.equal
                ((describe [| "p"; "q" |]).GetHashCode())
                ((describe [| "p"; "q" |]).GetHashCode())
                "the same code"

            Expect.notEqual (describe [| "p"; "q" |]) (describe [| "p"; "r" |]) "another choice"

            Expect.notEqual
                (ActionSpace.OfBounded(Bounded("a", 0f, 1f)))
                (ActionSpace.OfBounded(Bounded("a", 0f, 2f)))
                "another bound"

            Expect.notEqual (ObservationSpace [| 2; 3 |]) (ObservationSpace [| 3; 2 |]) "another shape"

        testCase "refuse actions that are none of theirs"
        <| fun () ->
            let several = ActionSpace.OfSeveral(Choice("a", [| "0"; "1" |]), Choice("b", [| "0"; "1"; "2" |]))

            Expect.equal (several.DiscreteCount, several.ContinuousCount, several.MaskSize) (2, 0, 5) "sizes"
            several.Require(EnvironmentAction.Of(ReadOnlySpan [| 1; 2 |]))

            for actions, part in [ [| 2; 0 |], "0 … 1"; [| 0; 3 |], "0 … 2"; [| -1; 0 |], "0 … 1"; [| 0 |], "2" ] do
                let error =
                    refuses [ "expected"; part ] (fun () -> several.Require(EnvironmentAction.Of(ReadOnlySpan actions)))

                Expect.isTrue (error :? ArgumentOutOfRangeException) "its type"

            let bounded = ActionSpace.OfBounded(Bounded("push", -1f, 1f))
            bounded.Require(EnvironmentAction.Of(ReadOnlySpan [| 1f |]))

            for value in [ 1.0001f; -1.0001f; nanf ] do
                refuses [ "push"; "-1 … 1" ] (fun () -> bounded.Require(EnvironmentAction.Of(ReadOnlySpan [| value |])))
                |> ignore

        testCase "say whether a mask allows an action"
        <| fun () ->
            let several = ActionSpace.OfSeveral(Choice("a", [| "0"; "1" |]), Choice("b", [| "0"; "1"; "2" |]))

            let allows (action: int[]) =
                several.Allows(
                    ReadOnlySpan [| true; false; false; true; true |],
                    EnvironmentAction.Of(ReadOnlySpan action)
                )

            Expect.isTrue (allows [| 0; 1 |]) "both allowed"
            Expect.isFalse (allows [| 1; 1 |]) "the first is not"
            Expect.isFalse (allows [| 0; 0 |]) "the second is not"
    ]

let private drawn =
    testList "text" [
        testCase "shows where things are"
        <| fun () ->
            let pendulum = (pendulumAt (0.0, 0.0, 3)).Render()
            Expect.stringStarts pendulum "....o....\n" "upright"
            Expect.stringContains pendulum "angle 0.0 degrees" "angle"

            let cart = (cartPoleAt (0.0, 0.0, 0.1, 0.0, 3) (CartPoleSettings())).Render()
            Expect.equal (cart.IndexOf '/') 24 "a pole that leans right, in the middle"

            let colors = TwoColorsEnvironment(TwoColorsSettings(SwapPeriod = 4L))

            restore
                colors
                (bytes (fun w ->
                    for cell in [ 0; 6; 24 ] do
                        w.Write(cell: int)

                    w.Write 5L))

            Expect.equal
                ((colors :> IEnvironment).Render())
                "@....\n.b...\n.....\n.....\n....r\nblue -1, red +1, step 5"
                "two-colors"
    ]

let tests =
    testList "environment library" [
        equivalence
        cartPole
        pendulum
        pixels
        toggles
        spaces
        states
        drawn
        wrapped
        testList "checker" [ cleanRuns; brokenRuns; places ]
        guard
    ]
