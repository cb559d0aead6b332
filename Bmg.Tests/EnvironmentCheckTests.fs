/// The checker and the guard: they find nothing wrong with the library, and what is wrong with environments that break one rule each.
module Bmg.Tests.EnvironmentCheckTests

open System
open System.IO
open Bmg
open Bmg.Training.Environments
open Expecto
open Bmg.Tests.Counting

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
                Ends = true,
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
        "an end that its description does not tell of",
        EnvironmentRule.Ends,
        false,
        describes (
            EnvironmentDescription(
                counterDescription.Observation,
                counterDescription.Actions,
                Saves = true,
                Masks = true,
                Renders = true
            )
        )
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
                            Ends = true,
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
                            Ends = true,
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
            "an end without a word of it",
            {
                honest with
                    Describe =
                        fun () ->
                            EnvironmentDescription(
                                counterDescription.Observation,
                                counterDescription.Actions,
                                Saves = true
                            )
                    Ends = fun at -> at = 3, false
            },
            [ "step 3"; "found the end of an episode"; "expected none" ]
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
                        Ends = true,
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
                        Ends = true,
                        Saves = true,
                        Masks = true,
                        Renders = true
                    )

            refuses [ "step 2"; "names"; "found at, total, other"; "expected at, total, draw" ] (fun () ->
                act environment random [| 0 |] |> ignore)
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

let tests = testList "environment check" [ cleanRuns; brokenRuns; places; guard ]
