/// The library's environments, rule by rule: against models, numbers worked by hand, and players that know what to do.
module Bmg.Tests.EnvironmentLibraryTests

open System
open System.IO
open Bmg
open Bmg.Training.Environments
open Expecto
open FsCheck
open FsCheck.FSharp
open Bmg.Tests.Counting
open Bmg.Tests.Worlds

// The grid worlds: the very numbers of the first releases.

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

/// FNV-1a over numbers, byte by byte.
let private mixed (hash: uint64) (number: uint64) : uint64 =
    Seq.fold (fun h shift -> (h ^^^ ((number >>> (8 * shift)) &&& 255UL)) * 1099511628211UL) hash (seq { 0..7 })

let private basis = 14695981039346656037UL

let private onesOf (hash: uint64) (row: float32[]) : uint64 =
    Seq.fold
        mixed
        hash
        (seq {
            for i in 0 .. row.Length - 1 do
                if row[i] <> 0f then
                    uint64 i
        })

/// Two hundred steps at random: where each observation is not zero, each reward's bits, and the generator in the end.
let private walked (make: Seed -> IEnvironment) (seed: int64) : uint64 =
    let world = Worlds(make, [ Seed.Of seed ])
    let actions = Rng(uint64 seed)
    let mutable hash = onesOf basis (world.Observation 0)

    for _ in 1..200 do
        let reward = world.Act(0, actions.Next 4)
        hash <- mixed hash (uint64 (BitConverter.SingleToUInt32Bits reward))
        hash <- onesOf hash (world.Observation 0)

    mixed hash (world.Random 0).State

let private asEver =
    testList "as ever" [
        for respawn, walks in
            [
                Respawn.Square,
                [
                    0L, 0x99988AF143887519UL
                    7L, 0x204F1A2C2B46B669UL
                    123456789L, 0x48E8642161BF228EUL
                ]
                Respawn.All,
                [
                    0L, 0x181683310F069974UL
                    7L, 0x9F645494EB740AD8UL
                    123456789L, 0xE1DF36269A07DF04UL
                ]
            ] do
            testCase $"two-colors gives the very numbers, {respawn}"
            <| fun () ->
                for seed, expected in walks do
                    Expect.equal
                        (walked
                            (fun _ -> TwoColorsEnvironment(TwoColorsSettings(Respawn = respawn, SwapPeriod = 50L)))
                            seed)
                        expected
                        $"seed {seed}"

        for worlds, side, walls, walks in
            [
                4,
                10,
                15,
                [
                    0L, 0xC1C37D73DF1239F7UL
                    7L, 0x694B3264784F9DC9UL
                    123456789L, 0x87499C8C0F6320B4UL
                ]
                1000,
                5,
                8,
                [
                    0L, 0x0030CEC43D68A860UL
                    7L, 0x1B09A5DB9EA2BBC6UL
                    123456789L, 0xBD81B55C8D0240F5UL
                ]
                1,
                2,
                0,
                [
                    0L, 0x98044FFE6C354C44UL
                    7L, 0x080531C667A685EFUL
                    123456789L, 0xCCAF0ADF2DE495FBUL
                ]
            ] do
            testCase $"switching MDPs give the very numbers, {worlds} worlds of {side} x {side}"
            <| fun () ->
                for seed, expected in walks do
                    Expect.equal
                        (walked (fun own -> SwitchingMdps.Make(worlds, side, walls, 50L, own)) seed)
                        expected
                        $"seed {seed}"

        testCase "two-colors lists every observation in the same order"
        <| fun () ->
            Expect.equal (onesOf basis (TwoColorsEnvironment.AllObservations())) 0x066BE7741B3E16B3UL "observations"

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

/// The middle of the paddle, after a look at the whole of it.
let private paddleOf (observation: float32[]) : int =
    match cellsOf 0 observation with
    | [ 9, left; 9, middle; 9, right ] when left = middle - 1 && right = middle + 1 -> middle
    | other -> failwith $"expected three cells of the lowest row, found {other}"

/// One step toward a column.
let private toward (column: int) (paddle: int) : int = compare column paddle

/// A column where nothing that lands there is caught.
let private awayFrom (column: int) : int = if column < 5 then 8 else 1

let private move (environment: IEnvironment) (random: Rng) (direction: int) : StepResult * float32[] =
    act environment random [| [| 1; 0; 2 |][direction + 1] |]

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
                let mutable fruits = 0
                let mutable caught = 0
                let mutable landed = 0
                let mutable result = StepResult()

                while not result.Ended do
                    let paddle = paddleOf observation
                    let lands = landing observation

                    let direction =
                        match lands with
                        | Some(false, column) -> toward column paddle
                        | Some(true, column) -> toward (awayFrom column) paddle
                        // Nothing is known yet: toward the middle, from where everything is in reach.
                        | None -> toward 5 paddle

                    let next, seen = move environment random direction
                    Expect.equal (paddleOf seen) (max 1 (min 8 (paddle + direction))) "the paddle moves one column"

                    if lands.IsSome && cellsOf 3 seen <> [] then
                        Expect.equal (landing seen) lands "its way stays the same, and turns at the edges"

                    if cellsOf 3 seen = [] then
                        landed <- landed + 1
                        fruits <- fruits + (if (Option.get lands |> fst) then 0 else 1)

                    caught <- caught + int next.Reward
                    observation <- seen
                    result <- next

                Expect.equal (result.Terminated, result.Truncated) (false, true) "truncated"
                Expect.equal landed 33 "a fall takes nine steps"
                Expect.equal caught fruits "a reward of 1 a fruit")

        property 30 "a fruit missed and a stone caught end the episode without a reward" seeds (fun seed ->
            for stones, channel in [ 0.0, 1; 1.0, 2 ] do
                let environment = Pixels(PixelsSettings(Stones = stones))
                let random = Rng seed
                let mutable observation = reset environment random
                let mutable result = StepResult()
                let mutable steps = 0

                while not result.Ended do
                    let column = cellsOf channel observation |> List.exactlyOne |> snd
                    let target = if channel = 2 then column else awayFrom column
                    let next, seen = move environment random (toward target (paddleOf observation))
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
            Expect.equal (first |> Array.countBy id |> Array.sort) [| 0f, 396; 255f, 4 |] "no trail at first"
            let _, second = act environment random [| 0 |]
            Expect.equal (second |> Array.countBy id |> Array.sort) [| 0f, 395; 255f, 5 |] "and then one"
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
                    for number in [ 1; 10; 3; 0; 2 ] do
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

let private spaces =
    testList "descriptions" [
        property 200 "a flaw anywhere in an observation is found, at its place, and no other" seeds (fun seed ->
            let random = Rng seed

            for kind in [ ObservationKind.Numbers; ObservationKind.Bytes ] do
                let size = 1 + random.Next 40
                let at = random.Next size

                let flaws =
                    match kind with
                    | ObservationKind.Bytes -> [| nanf; infinityf; -infinityf; -1f; 256f; 0.5f |]
                    | _ -> [| nanf; infinityf; -infinityf |]

                let flaw = flaws[random.Next flaws.Length]

                let run (put: float32[] -> unit) =
                    let environment =
                        counter {
                            honest with
                                Describe =
                                    fun () ->
                                        EnvironmentDescription(
                                            ObservationSpace([| size |], Kind = kind),
                                            counterDescription.Actions
                                        )
                                Observe =
                                    fun _ _ _ ->
                                        let numbers = Array.init size (fun _ -> float32 (random.Next 256))
                                        put numbers
                                        numbers
                        }

                    reset (EnvironmentGuard(environment, "counter", "member 0")) random |> ignore

                run ignore

                refuses [ $"number {at}: found"; "expected" ] (fun () -> run (fun numbers -> numbers[at] <- flaw))
                |> ignore)

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
    testList "environment library" [ asEver; cartPole; pendulum; pixels; toggles; spaces; states; drawn ]
