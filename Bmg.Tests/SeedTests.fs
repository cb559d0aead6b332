/// Seeds: which a population has, that no learner is counted twice, and that whoever is named is named with its seed.
module Bmg.Tests.SeedTests

open System
open System.IO
open Bmg.Export
open Bmg.Training.Configuration
open Bmg.Training.Agents
open Bmg.Training.Acting
open Bmg.Training.Experiments
open Bmg.Training.Runs
open Bmg.Training.Studies
open Bmg.Tests.StudyTests
open Expecto
open FsCheck
open FsCheck.FSharp

let private read (json: string) (settings: string list) =
    Reading.reader.Read(json, "file.json", settings)

let private fault (json: string) (settings: string list) : string =
    match
        (try
            read json settings |> ignore
            []
         with :? ConfigurationException as e ->
             List.ofSeq e.Faults)
    with
    | [ one ] -> string one
    | other -> failtestf "expected one fault, found %A" other

let private seedsOf (configuration: RunConfiguration) =
    List.ofSeq (DerivedSettings.Of configuration).Seeds

/// Below 2^53.
let private seed = Gen.choose64 (0L, (1L <<< 53) - 1L)

let private settings =
    testList "as settings" [
        testProperty "seeds that are listed are the members', and what is written reads back the same"
        <| Prop.forAll (Arb.fromGen (Gen.nonEmptyListOf seed |> Gen.map List.distinct)) (fun seeds ->
            let configuration = read $"""{{ "seeds": [{String.Join(',', seeds)}] }}""" []
            Expect.equal (seedsOf configuration) seeds "seeds"
            Expect.equal configuration.Members seeds.Length "members"
            Expect.equal configuration.Seed seeds.Head "the first"
            let again = read (configuration.ToJson()) []
            Expect.isEmpty (ConfigurationJson.Differences(configuration, again)) "a fixed point")

        testProperty "without a list they are seed, seed + 1, …, all below 2^53, or refused"
        <| Prop.forAll (Arb.fromGen (Gen.zip (Gen.choose64 (-20L, 20L)) (Gen.choose (1, 20)))) (fun (offset, members) ->
            let first = (1L <<< 53) - 10L + offset
            let json = $"""{{ "seed": {first}, "members": {members} }}"""

            if first + int64 members - 1L < (1L <<< 53) then
                Expect.equal (seedsOf (read json [])) [ first .. first + int64 members - 1L ] "seeds"
            else
                Expect.stringContains (fault json []) "seed: found " "refused")

        test "the greatest seed there may be is said" {
            Expect.stringContains
                (fault "{}" [ "seed=9007199254740985" ])
                "seed: found 9007199254740985, expected at most 9007199254740982, so that all 10 seeds are below 2^53"
                "the message"

            Expect.stringContains (fault """{ "seeds": [9007199254740992] }""" []) "seeds.0" "the place"
        }

        for json, given, expected in
            [
                """{ "seeds": [3, 17, 99], "members": 2 }""",
                [],
                "file.json: members: found 2, expected 3, one for each seed that is listed (3, 17, 99)"
                """{ "seeds": [3, 17, 99], "seed": 4 }""",
                [],
                "file.json: seed: found 4, expected 3, the first of the seeds that are listed"
                """{ "seeds": [3, 17, 99] }""", [ "members=5" ], "--set members=5: members: found 5, expected 3"
                """{ "seeds": [3, 17, 99] }""", [ "seed=5" ], "--set seed=5: seed: found 5, expected 3"
                """{ "seeds": [3, 17, 3] }""",
                [],
                "file.json: seeds.2: found 3 for the second time, expected each seed once"
            ] do
            test $"a contradiction is a fault: {json} {given}" {
                Expect.stringContains (fault json given) expected "the message"
            }

        test "seeds of the command line stand over seed and members of the file" {
            let file = """{ "seed": 1, "members": 8 }"""
            Expect.equal (seedsOf (read file [ "seeds=[3,17,99]" ])) [ 3L; 17L; 99L ] "over both"

            Expect.stringContains
                (fault file [ "seeds=[3,17,99]"; "members=2" ])
                "members: found 2, expected 3"
                "not over one another"

            Expect.equal (seedsOf (read """{ "seeds": [1, 2] }""" [ "seeds=[]" ])) [ 1L .. 10L ] "an empty list is none"
        }

        test "of a theory study too" {
            let faults =
                try
                    Bmg.Training.Theory.TheoryReader.Read("""{ "seed": 9007199254740990, "seeds": 8 }""", "file.json")
                    |> ignore

                    ""
                with :? ConfigurationException as e ->
                    e.Message

            Expect.stringContains faults "seed: found 9007199254740990, expected at most 9007199254740984" "the message"
        }

        test "a result of some of the seeds is no result of other settings; of other seeds it is" {
            let changes (then': string) (now: string) =
                List.ofSeq (SettingChanges.Between(read then' [], read now []))

            Expect.isEmpty (changes """{ "seeds": [3, 17] }""" """{ "seeds": [3, 17, 99] }""") "more of them"
            Expect.isEmpty (changes """{ "seed": 3, "members": 2 }""" """{ "seeds": [3, 4, 9] }""") "the same"
            Expect.isNonEmpty (changes """{ "seeds": [3, 17] }""" """{ "seeds": [3, 18] }""") "others"
            Expect.isNonEmpty (changes """{ "seed": 3 }""" """{ "seed": 4 }""") "others"
        }
    ]

/// A grid over seeds.
let private seedSweep (root: string) (axes: string list) (more: string list) =
    [ "sweep"; gridConfig root; "--grid" ]
    @ axes
    @ [ "--steps"; "100"; "--output"; Path.Combine(root, "all") ]
    @ more

let private overlaps =
    testList "of a study" [
        test "a sweep over seeds that overlap is refused, with the numbers and what would not" {
            inDirectory (fun root ->
                command (seedSweep root [ "seed=1,2,3,4" ] [ "--seeds"; "8" ])
                |> refused
                    "--grid: points 0001 (seed=1) and 0002 (seed=2) differ in nothing but their seeds and share 7 seeds, 2 to 8: 32 results of 11 learners. Expected seeds that no two such points share, as in seed=1,9,17,25."

                Expect.isFalse (Directory.Exists(Path.Combine(root, "all"))) "nothing is written"

                command (seedSweep root [ "seed=1,9,17,25" ] [ "--seeds"; "8" ]) |> ok |> ignore)
        }

        for axes, more, expected in
            [
                [ "seeds=[1,2],[2,3]" ], [], "share 1 seed, 2: 4 results of 3 learners"
                [ "members=2,4" ], [], "share 2 seeds, 1, 2: 6 results of 4 learners"
                [ "learner.targetSteps=8,8.0" ], [ "--seeds"; "2" ], "share 2 seeds"
                [ "learner.targetSteps=8,9"; "seed=1,2" ],
                [ "--seeds"; "2" ],
                "points 0001 (learner.targetSteps=8 seed=1) and 0002"
            ] do
            test $"the same of {axes}" {
                inDirectory (fun root -> command (seedSweep root axes more) |> refused expected)
            }

        test "points that differ in another setting share seeds on purpose" {
            inDirectory (fun root ->
                command (seedSweep root [ "learner.targetSteps=8,9" ] [ "--seeds"; "2" ])
                |> ok
                |> ignore)
        }

        test "a sweep over lists of seeds" {
            inDirectory (fun root ->
                command (seedSweep root [ "seeds=[3,17],[5,99]" ] []) |> ok |> ignore
                let run = RunDirectory.Open(Path.Combine(root, "all", "0002"))
                Expect.sequenceEqual (RunRecord.Read run).Seeds [ 5L; 99L ] "seeds")
        }

        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 50
            }
            "what is said to overlap does, and what is not does not"
        <| Prop.forAll
            (Arb.fromGen (Gen.listOf (Gen.zip3 (Gen.choose (0, 30)) (Gen.choose (1, 6)) (Gen.choose (8, 9)))))
            (fun runs ->
                let configurations = [
                    for first, members, target in runs ->
                        read "{}" [ $"seed={first}"; $"members={members}"; $"learner.targetSteps={target}" ]
                ]

                let learners = [
                    for each in configurations do
                        for seed in seedsOf each -> (Reading.actorCritic each).TargetSteps, seed
                ]

                let found =
                    StudySeeds.Overlap [| for i, each in List.indexed configurations -> struct (string i, each) |]

                Expect.equal (isNull found) (learners = List.distinct learners) (string found))

        test "parts whose points overlap are not joined" {
            inDirectory (fun root ->
                for part in [ "1/2"; "2/2" ] do
                    command (seedSweep root [ "seed=1,3" ] [ "--seeds"; "2"; "--shard"; part ])
                    |> ok
                    |> ignore

                let parts = Path.Combine(root, "all", "parts")

                for file in Directory.GetFiles parts do
                    File.WriteAllText(file, File.ReadAllText(file).Replace("seed=1,3", "seed=1,2"))

                command [ "sweep"; "--merge"; parts; "--output"; Path.Combine(root, "joined") ]
                |> refused "share 1 seed, 2: 4 results of 3 learners")
        }

        test "cells of a study that differ in their seeds alone must not share any" {
            inDirectory (fun root ->
                study root [ 8; 8 ] |> ignore

                command (reproducing root [])
                |> refused "cells cell-0 and cell-1 differ in nothing but their seeds and share 3 seeds, 1 to 3"

                let second = Path.Combine(root, "configs", "cell-1.json")
                File.WriteAllText(second, (configText "cell-1" 8).Replace("\"seed\": 1", "\"seed\": 4"))
                command (reproducing root []) |> ok |> ignore)
        }

        test "a cell that lists its seeds runs them, or the first of them" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                let config = Path.Combine(root, "configs", "cell-0.json")

                File.WriteAllText(config, (configText "cell-0" 8).Replace("\"seed\": 1", "\"seeds\": [3, 17, 99, 4]"))

                let seeds (results: string) =
                    List.ofSeq (nonNull (CellResult.Read(results, "cell-0"))).Seeds

                let into (name: string) (more: string list) =
                    let output = Path.Combine(root, name)

                    command ([ "reproduce"; Path.Combine(root, "fake.json"); "--output"; output ] @ more)
                    |> ok
                    |> ignore

                    seeds (Path.Combine(output, "results"))

                Expect.equal (into "two" [ "--seeds"; "2" ]) [ 3L; 17L ] "the first two"
                Expect.equal (into "quick" [ "--quick"; "--steps"; "100" ]) [ 3L; 17L ] "a quick look"
                Expect.equal (into "all" []) [ 3L; 17L; 99L; 4L ] "all"

                command (reproducing root [ "--seeds"; "5" ])
                |> refused "--seeds: found 5, expected at most 4, the seeds that"

                command [
                    "sweep"
                    config
                    "--grid"
                    "learner.targetSteps=8,9"
                    "--seeds"
                    "2"
                    "--steps"
                    "100"
                    "--output"
                    Path.Combine(root, "sweep")
                ]
                |> ok
                |> ignore

                let run = RunDirectory.Open(Path.Combine(root, "sweep", "0001"))
                Expect.sequenceEqual (RunRecord.Read run).Seeds [ 3L; 17L ] "of a sweep too")
        }

        test "the example in the help is one that works" {
            let output = command [ "sweep"; "--help" ] |> ok
            Expect.stringContains output "seed=1,9,17,25" "disjoint for 8 members"
            Expect.isFalse (output.Contains "seed=1,2,3,4") "the one that overlaps"
        }
    ]

let private names =
    testList "named with members" [
        test "a member's name" { Expect.equal (MemberName.Of(5, 6L)) "member 5 (seed 6)" "index and seed" }

        test "a failure carries the seed" {
            let failure = NumericalFailureException("policy loss", 5, 99L, 70L, nan)
            Expect.equal (failure.Member, failure.Seed) (5, 99L) "member and seed"

            Expect.stringStarts
                failure.Message
                "policy loss of member 5 (seed 99) became NaN at environment step 70"
                "the message"
        }

        test "a run's table and report list members from 0 with their seeds" {
            inDirectory (fun root ->
                let file = gridConfig root
                let output = Path.Combine(root, "run")

                let lines =
                    (command [
                        "train"
                        file
                        "--set"
                        "seeds=[3,17]"
                        "--set"
                        "environmentSteps=100"
                        "--output"
                        output
                     ]
                     |> ok)
                        .Split
                        '\n'
                    |> Array.map (fun line -> line.Split(' ', StringSplitOptions.RemoveEmptyEntries))

                let at = lines |> Array.findIndex (fun line -> line.Length > 1 && line[0] = "member")
                Expect.equal lines[at].[..1] [| "member"; "seed" |] "the heading"
                Expect.equal lines[at + 1].[..1] [| "0"; "3" |] "the first"
                Expect.equal lines[at + 2].[..1] [| "1"; "17" |] "the second"

                Expect.stringContains
                    (File.ReadAllText(Path.Combine(output, "report.html")))
                    "<td>1</td><td>17</td>"
                    "the report")
        }
    ]

let tests = testList "seeds" [ settings; overlaps; names ]
