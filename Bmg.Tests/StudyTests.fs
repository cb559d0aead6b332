/// Studies: the runs of a published table, and sweeps of settings, on one machine or on many.
module Bmg.Tests.StudyTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json.Nodes
open System.Threading
open System.Xml.Linq
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Training
open Bmg.Training.Acting
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Agents
open Bmg.Training.Experiments
open Bmg.Training.Progress
open Bmg.Training.Reporting
open Bmg.Training.Runs
open Bmg.Training.Studies
open Expecto
open FsCheck
open FsCheck.FSharp
open TorchSharp

/// Target steps with which the fake's numbers do not stay finite.
let private diverging = 13

/// An experiment of plain numbers: meta-steps of 10 environment steps, rewards from each member's own generator and the target steps.
type private Fake(configuration: RunConfiguration, onAdvance: RunConfiguration -> int64 -> unit) =
    let seeds = DerivedSettings.Of(configuration).Seeds

    let generators = [|
        for seed in seeds ->
            let seed = Seed.Of seed
            seed.Generator()
    |]

    let mutable steps = 0L

    interface IExperiment with
        member _.Seeds = seeds
        member _.EnvironmentSteps = steps

        member _.Metrics = [|
            Metric("reward", "reward", "per environment step", Aggregation.PerEnvironmentStep)
            Metric("entropyWeight", "entropy weight", "", Aggregation.Mean)
        |]

        member _.Changes(after, until) = [| for k in after / 100L + 1L .. until / 100L -> 100L * k |]

        member _.Advance() =
            onAdvance configuration steps

            if (Reading.actorCritic configuration).TargetSteps = diverging && steps >= 70L then
                raise (NumericalFailureException("policy loss", 1, seeds[1], steps, nan))

            // How long it is since the swap, at the middle of this meta-step.
            let since = float (steps % 100L) + 5.0
            steps <- steps + 10L
            let target = float (Reading.actorCritic configuration).TargetSteps

            MetaStepReport(
                10,
                [|
                    generators |> Array.map (fun g -> 10.0 * (target + g.NextDouble()))
                    generators |> Array.map (fun _ -> since)
                |]
            )

        member _.Save(path, hostState) =
            let states = generators |> Array.map (fun g -> string g.State) |> String.concat " "
            File.WriteAllText(path + ".part", $"{steps}\n{states}\n{hostState}")
            File.Move(path + ".part", path, true)

        member _.Restore path =
            let parts = File.ReadAllText(path).Split('\n', 3)
            steps <- int64 parts[0]

            parts[1].Split ' '
            |> Array.iteri (fun i state -> generators[i].State <- uint64 state)

            parts[2]

        member _.Dispose() = ()

/// A fake, told of every meta-step.
let fake (configuration: RunConfiguration) onAdvance : IExperiment = new Fake(configuration, onAdvance)

let inDirectory (body: string -> unit) =
    let path = Path.Combine(Path.GetTempPath(), "bmg-studies-" + Guid.NewGuid().ToString "N")
    Directory.CreateDirectory path |> ignore

    try
        body path
    finally
        Directory.Delete(path, true)

/// Carries out a command line with fake experiments; told of every meta-step.
let commandOf onAdvance (stop: CancellationToken) (arguments: string list) : int * string * string =
    use output = new StringWriter()
    use error = new StringWriter()

    let host =
        TrainingHost(
            Catalogue = Reading.catalogue,
            Experiments = {
                new IExperimentFactory with
                    member _.Create configuration = new Fake(configuration, onAdvance)
            },
            Finish = FinishRun(fun _ _ _ -> FinishOutcome.Nothing),
            Evaluate = (fun _ _ -> 0),
            Bench = (fun _ _ -> 0),
            Out = output,
            Error = error,
            Interactive = false,
            Stop = Nullable stop
        )

    let code = TrainingCli.Run(List.toArray arguments, host)
    code, output.ToString(), error.ToString()

let command (arguments: string list) =
    commandOf (fun _ _ -> ()) CancellationToken.None arguments

/// The same, counting meta-steps.
let counted (arguments: string list) =
    let mutable advances = 0
    let result = commandOf (fun _ _ -> advances <- advances + 1) CancellationToken.None arguments
    result, advances

/// The same, asked to stop after some meta-steps.
let stoppedAfter (count: int) (arguments: string list) =
    use stop = new CancellationTokenSource()
    let mutable advances = 0

    let result =
        commandOf
            (fun _ _ ->
                advances <- advances + 1

                if advances = count then
                    stop.Cancel())
            stop.Token
            arguments

    result, advances

let ok (code: int, output: string, error: string) =
    Expect.equal (code, error) (0, "") output
    output

let refused (expected: string) (code: int, output: string, error: string) =
    Expect.equal code 2 (error + output)
    Expect.stringContains error expected "the message"
    Expect.stringStarts error "error: " "the message"
    Expect.equal (error.TrimEnd().Split '\n').Length 1 ("one line: " + error)
    Expect.isFalse (error.Contains "   at ") "no stack trace"

/// Every file below a directory with its content.
let content (path: string) =
    if Directory.Exists path then
        [
            for file in Directory.GetFiles(path, "*", SearchOption.AllDirectories) |> Array.sort ->
                file, File.ReadAllText file
        ]
    else
        []

let configText (name: string) (target: int) =
    $"""{{ "name": "{name}", "seed": 1, "learner": {{ "targetSteps": {target} }}, "run": {{ "metricsEvery": 10, "checkpointEvery": 50 }} }}"""

/// A study of three cells, full at 400 steps and 3 seeds; returns its file.
let study (root: string) (targets: int list) =
    let configs = Path.Combine(root, "configs")
    Directory.CreateDirectory configs |> ignore

    let cells =
        targets
        |> List.mapi (fun i target ->
            File.WriteAllText(Path.Combine(configs, $"cell-{i}.json"), configText $"cell-{i}" target)

            $"""{{ "id": "cell-{i}", "label": "target {target}", "group": "all", "config": "configs/cell-{i}.json",
                   "published": {{ "mean": {target}, "deviation": 0.5 }} }}""")

    let file = Path.Combine(root, "fake.json")

    File.WriteAllText(
        file,
        $"""{{ "name": "fake", "title": "Fakes", "source": "nowhere", "unit": "hundreds", "unitSize": 400, "fullSteps": 400, "fullSeeds": 3,
               "cells": [{String.Join(',', cells)}] }}"""
    )

    file

let reproducing (root: string) (more: string list) =
    [
        "reproduce"
        Path.Combine(root, "fake.json")
        "--output"
        Path.Combine(root, "runs")
    ]
    @ more

let resultsOf (root: string) = Path.Combine(root, "runs", "results")

/// A table without its times.
let private timeless (root: string) =
    File.ReadAllLines(Path.Combine(resultsOf root, "table.csv"))
    |> Array.map (fun line ->
        let cells = line.Split ','
        Array.append cells[..13] cells[16..] |> String.concat ",")

let private reproduceTests =
    testList "reproduce" [
        test "runs all cells, writes results, table, CSV and report" {
            inDirectory (fun root ->
                study root [ 8; 9; 10 ] |> ignore
                let (code, output, error), advances = counted (reproducing root [])
                Expect.equal (code, error) (0, "") output
                Expect.equal advances (3 * 40) "meta-steps"
                Expect.stringContains output "8.00 (0.50)" "published"
                Expect.stringContains output "400 × 3" "steps and seeds"
                Expect.stringContains output "report.html" "says where the report lies"
                let results = resultsOf root
                Expect.stringContains output (File.ReadAllText(Path.Combine(results, "table.txt"))) "the table"

                for i in 0..2 do
                    let file = Path.Combine(results, $"cell-{i}.json")
                    Expect.isLessThan (FileInfo(file).Length) 40_000L "small"
                    let json = (nonNull (JsonNode.Parse(File.ReadAllText file))).AsObject()

                    for key in
                        [
                            "published"
                            "configuration"
                            "totalReward"
                            "finalRewardRate"
                            "seconds"
                            "version"
                            "machine"
                            "date"
                        ] do
                        Expect.isTrue (json.ContainsKey key) key

                    let result = nonNull (CellResult.Read(results, $"cell-{i}"))
                    Expect.sequenceEqual result.Seeds [ 1L; 2L; 3L ] "seeds"

                    for total in result.TotalReward do
                        Expect.isTrue (total >= 400.0 * float (8 + i) && total <= 400.0 * float (9 + i)) "total reward"

                    Expect.equal result.Learning.Steps.Length 40 "a point an interval"
                    Expect.equal result.Exploration "entropyWeight" "what it explores by"

                let page = File.ReadAllText(Path.Combine(results, "report.html"))

                let plots =
                    page.Split("<svg ")[1..]
                    |> Array.map (fun s -> XElement.Parse("<svg " + s.Split("</svg>")[0] + "</svg>"))

                Expect.hasLength plots 4 "reward and exploration, over time and around swaps"

                for plot in plots do
                    let ofClass (start: string) =
                        plot.Descendants()
                        |> Seq.filter (fun e ->
                            match e.Attribute(XName.Get "class") with
                            | null -> false
                            | kind -> e.Name.LocalName = "path" && kind.Value.StartsWith start)
                        |> Seq.length

                    Expect.equal (ofClass "line") 3 "a line a cell"
                    Expect.equal (ofClass "band") 3 "a band a cell"

                for outside in [ "src="; "href="; "@import"; "url(" ] do
                    Expect.isFalse (page.Contains outside) $"nothing from elsewhere: {outside}")
        }

        test "the curve around swaps is aligned at the swap, over the swaps of the last half" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                command (reproducing root []) |> ok |> ignore
                let around = nonNull (nonNull (CellResult.Read(resultsOf root, "cell-0"))).AroundSwaps
                Expect.sequenceEqual around.Steps [ for k in -15.0 .. 10.0..75.0 -> k ] "steps after the swap"
                let exploration = nonNull around.Exploration

                for step, value, half in Seq.zip3 around.Steps exploration.Mean exploration.HalfWidth do
                    Expect.floatClose
                        Accuracy.high
                        value
                        (if step < 0.0 then 100.0 + step else step)
                        "time since the swap"

                    Expect.floatClose Accuracy.high half 0.0 "the seeds agree")
        }

        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 15
            }
            "stopped anywhere, it goes on, repeats nothing and ends in the same table"
        <| Prop.forAll (Arb.fromGen (Gen.listOf (Gen.choose (1, 100)) |> Gen.map (List.truncate 3))) (fun stops ->
            inDirectory (fun root ->
                let whole = Path.Combine(root, "whole")
                let parts = Path.Combine(root, "parts")

                for each in [ whole; parts ] do
                    study each [ 8; 9; 10 ] |> ignore

                let (code, _, error), all = counted (reproducing whole [])
                Expect.equal (code, error) (0, "") "whole"
                let mutable done' = 0

                for stop in stops do
                    if done' + stop < all then
                        let (code, output, _), advances = stoppedAfter stop (reproducing parts [])
                        Expect.equal code 130 output
                        Expect.stringContains output " reproduce " "says how"
                        done' <- done' + advances

                let (code, _, error), rest = counted (reproducing parts [])
                Expect.equal (code, error) (0, "") "the rest"
                Expect.equal (done' + rest) all "no meta-step twice"
                Expect.equal (timeless parts) (timeless whole) "the table"))

        test "what is done is not run again, not for fewer seeds or steps either" {
            inDirectory (fun root ->
                study root [ 8; 9 ] |> ignore
                command (reproducing root []) |> ok |> ignore
                let before = content (resultsOf root)

                for more in
                    [
                        []
                        [ "--steps"; "100" ]
                        [
                            "--seeds"
                            "2"
                            "--output"
                            Path.Combine(root, "elsewhere")
                            "--results"
                            resultsOf root
                        ]
                        [ "--cell"; "cell-1"; "--threads"; "1" ]
                    ] do
                    let arguments =
                        if List.contains "--output" more then
                            [ "reproduce"; Path.Combine(root, "fake.json") ] @ more
                        else
                            reproducing root more

                    let (code, _, error), advances = counted arguments
                    Expect.equal (code, error, advances) (0, "", 0) "nothing to do"
                    Expect.equal (content (resultsOf root)) before "nothing changed")
        }

        test "a longer run goes on from a shorter one's end, and a short row is not compared by its total" {
            inDirectory (fun root ->
                study root [ 8; 9 ] |> ignore
                let output = command (reproducing root [ "--cell"; "cell-0"; "--steps"; "200" ]) |> ok
                Expect.stringContains output "short" "its length"
                Expect.stringContains output "a step" "the rate"
                Expect.stringContains output "not run" "the other cell"

                let csv = File.ReadAllLines(Path.Combine(resultsOf root, "table.csv"))
                Expect.stringStarts csv[1] "cell-0,target 8," "the cell"
                Expect.equal (csv[1].Split(',')[7..8]) [| ""; "yes" |] "no difference"
                let (code, _, error), advances = counted (reproducing root [ "--cell"; "cell-0" ])
                Expect.equal (code, error, advances) (0, "", 20) "only what was missing"
                let text = File.ReadAllText(Path.Combine(resultsOf root, "table.txt"))
                Expect.isFalse (text.Contains " short ") "full now")
        }

        test "a longer or larger result is not overwritten by a shorter run" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                command (reproducing root []) |> ok |> ignore
                let before = content root
                let results = [ "--results"; resultsOf root ]

                let elsewhere = [
                    "reproduce"
                    Path.Combine(root, "fake.json")
                    "--output"
                    Path.Combine(root, "b")
                ]

                command (elsewhere @ results @ [ "--seeds"; "4"; "--steps"; "100" ])
                |> refused "found 400 steps × 3 seeds, one of them more than in the 100 × 4 asked for"

                command (elsewhere @ results @ [ "--seeds"; "2"; "--steps"; "800" ])
                |> refused "found 400 steps × 3 seeds, one of them more than in the 800 × 2 asked for"

                Expect.equal (content root) before "nothing changed"
                // One that is larger in all may.
                command (elsewhere @ results @ [ "--seeds"; "4" ]) |> ok |> ignore
                Expect.equal (nonNull (CellResult.Read(resultsOf root, "cell-0"))).Seeds.Count 4 "seeds")
        }

        test "a result of other settings stays, unless it may be replaced" {
            inDirectory (fun root ->
                study root [ 8; 9 ] |> ignore
                command (reproducing root []) |> ok |> ignore
                File.WriteAllText(Path.Combine(root, "configs", "cell-1.json"), configText "cell-1" 11)
                let before = content root

                let again more =
                    command (
                        [
                            "reproduce"
                            Path.Combine(root, "fake.json")
                            "--results"
                            resultsOf root
                            "--output"
                        ]
                        @ more
                    )

                again [ Path.Combine(root, "b") ]
                |> refused "cell-1.json: found one of other settings (learner.targetSteps: 9, now 11)"

                again [ Path.Combine(root, "runs") ]
                |> refused "found a study with cell-1: learner.targetSteps: 9, now 11"

                Expect.equal (content root) before "nothing changed"
                let shown = command (reproducing root [ "--show" ]) |> ok
                Expect.stringContains shown "* cell-1: the result is of other settings" "the table says so"
                again [ Path.Combine(root, "b"); "--replace" ] |> ok |> ignore
                let result = nonNull (CellResult.Read(resultsOf root, "cell-1"))
                Expect.stringContains (result.Configuration.ToJson()) "\"targetSteps\": 11" "replaced"
                Expect.isFalse (Directory.Exists(Path.Combine(root, "b", "cell-0"))) "the other is still good")
        }

        test "quick: all cells, two seeds, results in the output directory" {
            inDirectory (fun root ->
                let repository = Path.Combine(root, "paper-configs", "studies")
                Directory.CreateDirectory repository |> ignore
                study repository [ 8; 9 ] |> ignore
                let output = Path.Combine(root, "out")
                let arguments = [ "reproduce"; Path.Combine(repository, "fake.json"); "--output"; output ]
                let (code, _, error), advances = counted (arguments @ [ "--quick"; "--steps"; "50" ])
                Expect.equal (code, error, advances) (0, "", 10) "two cells of five meta-steps"
                let result = nonNull (CellResult.Read(Path.Combine(output, "results"), "cell-1"))
                Expect.equal result.Seeds.Count 2 "seeds"
                Expect.isFalse (Directory.Exists(Path.Combine(root, "docs"))) "no published results"
                // The others go beside paper-configs.
                command [
                    "reproduce"
                    Path.Combine(repository, "fake.json")
                    "--output"
                    output + "2"
                    "--quiet"
                ]
                |> ok
                |> ignore

                Expect.isTrue (File.Exists(Path.Combine(root, "docs", "results", "fake", "cell-0.json"))) "published")
        }

        test "a cell whose numbers do not stay finite does not keep the others from running" {
            inDirectory (fun root ->
                study root [ diverging; 9 ] |> ignore
                let code, output, error = command (reproducing root [])
                Expect.equal code 1 "exit code"
                Expect.stringContains error "cell-0: policy loss of member 1 (seed 2) became NaN" "what went wrong"
                Expect.equal (error.TrimEnd().Split '\n').Length 1 "one line"
                Expect.stringContains output "not run" "in the table"
                Expect.isTrue (File.Exists(Path.Combine(resultsOf root, "cell-1.json"))) "the other cell")
        }

        test "after a run that broke off, the same command goes on from the last checkpoint to the same table" {
            inDirectory (fun root ->
                let whole = Path.Combine(root, "whole")
                let broken = Path.Combine(root, "broken")

                for each in [ whole; broken ] do
                    study each [ 8; 9 ] |> ignore

                command (reproducing whole []) |> ok |> ignore

                let dies (configuration: RunConfiguration) steps =
                    if (Reading.actorCritic configuration).TargetSteps = 9 && steps = 270L then
                        raise (IOException "No space left on device")

                let code, _, error = commandOf dies CancellationToken.None (reproducing broken [])
                Expect.equal code 1 "exit code"
                Expect.stringContains error "No space left on device" "what went wrong"
                Expect.isTrue (File.Exists(Path.Combine(resultsOf broken, "cell-0.json"))) "the first cell is kept"
                let (code, _, error), advances = counted (reproducing broken [])
                Expect.equal (code, error, advances) (0, "", 15) "from the checkpoint at step 250"
                Expect.equal (timeless broken) (timeless whole) "the table")
        }

        test "a file that is no result shows before anything is run" {
            inDirectory (fun root ->
                study root [ 8; 9 ] |> ignore
                Directory.CreateDirectory(resultsOf root) |> ignore
                File.WriteAllText(Path.Combine(resultsOf root, "cell-1.json"), "{}")

                let results = [
                    "--cell"
                    "cell-0"
                    "--output"
                    Path.Combine(root, "b")
                    "--results"
                    resultsOf root
                ]

                let refusal, advances = counted ([ "reproduce"; Path.Combine(root, "fake.json") ] @ results)
                refused "cell-1.json: not a cell's result" refusal
                Expect.equal advances 0 "nothing run")
        }

        test "a run that was killed before its first checkpoint starts anew" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                command (reproducing root []) |> ok |> ignore
                let run = Path.Combine(root, "runs", "cell-0")
                File.Delete(RunDirectory.Open(run).Checkpoint)
                Directory.Delete(resultsOf root, true)
                let (code, _, error), advances = counted (reproducing root [])
                Expect.equal (code, error, advances) (0, "", 40) "all of it")
        }

        test "a run killed before its configuration was written starts anew, one that another process trains does not" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                let run = Path.Combine(root, "runs", "cell-0")
                command (reproducing root []) |> ok |> ignore
                Directory.Delete(resultsOf root, true)
                Directory.Delete(run, true)
                Directory.CreateDirectory run |> ignore
                File.WriteAllText(Path.Combine(run, "configuration.json.partial"), "{")

                do
                    use _ = RunDirectory.LockAt run
                    command (reproducing root []) |> refused "another process writes to it"
                    Expect.isTrue (File.Exists(Path.Combine(run, "configuration.json.partial"))) "left alone"

                let (code, _, error), advances = counted (reproducing root [])
                Expect.equal (code, error, advances) (0, "", 40) "all of it")
        }

        test "a run that another process finished meanwhile is read, not repeated or deleted" {
            inDirectory (fun root ->
                let here, there = Path.Combine(root, "here"), Path.Combine(root, "there")

                for each in [ here; there ] do
                    study each [ 8; 9 ] |> ignore

                command (reproducing there [ "--cell"; "cell-1" ]) |> ok |> ignore
                let goal = Path.Combine(here, "runs", "cell-1")
                let mutable advances = 0

                let (code, _, error) =
                    commandOf
                        (fun _ _ ->
                            advances <- advances + 1

                            if advances = 3 then
                                Directory.Move(Path.Combine(there, "runs", "cell-1"), goal))
                        CancellationToken.None
                        (reproducing here [])

                Expect.equal (code, error, advances) (0, "", 40) "the first cell alone"
                Expect.isNotNull (CellResult.Read(resultsOf here, "cell-1")) "the result of the other")
        }

        test "steps that another process made meanwhile count as done" {
            inDirectory (fun root ->
                study root [ 8; 9 ] |> ignore

                let cell (place: string) (i: int) =
                    let file = Path.Combine(root, "configs", $"cell-{i}.json")
                    let configuration = Reading.reader.ReadFile(file, [ "environmentSteps=400"; "members=3" ])
                    StudyCell($"cell-{i}", configuration, Path.Combine(root, place, $"cell-{i}"))

                let run (cells: StudyCell list) (onAdvance: unit -> unit) =
                    let services =
                        RunServices(
                            Reading.reader,
                            {
                                new IExperimentFactory with
                                    member _.Create configuration =
                                        new Fake(configuration, (fun _ _ -> onAdvance ()))
                            },
                            FinishRun(fun _ _ _ -> FinishOutcome.Nothing),
                            RunReporter.Silent
                        )

                    let runner = StudyRunner(List.toArray cells, services, StudyReporter.Silent, "", (fun _ _ _ -> ()))

                    runner.Execute CancellationToken.None |> ignore
                    runner.Snapshot().Done

                run [ cell "there" 1 ] ignore |> ignore
                let mutable first = true

                let move () =
                    if first then
                        first <- false
                        Directory.Move(Path.Combine(root, "there", "cell-1"), Path.Combine(root, "here", "cell-1"))

                Expect.equal (run [ cell "here" 0; cell "here" 1 ] move) 1.0 "the share that is done")
        }

        test "results that cannot be written show before anything is run" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                let file = Path.Combine(root, "fake.json")
                let result, advances = counted (reproducing root [ "--results"; file ])
                refused $"Results {file}: cannot be written" result
                Expect.equal advances 0 "nothing run")
        }

        test "a line that cannot be said does not end a study" {
            let mutable said = 0

            let reporter =
                StudyReporter(
                    (fun _ ->
                        said <- said + 1
                        raise (IOException "no terminal")),
                    fun _ _ -> ()
                )

            reporter.Sturdy().Say.Invoke "a line"
            Expect.equal said 1 "tried"
        }

        test "a complete run whose result is missing is read, not repeated" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                command (reproducing root []) |> ok |> ignore
                let before = File.ReadAllText(Path.Combine(resultsOf root, "cell-0.json"))
                Directory.Delete(resultsOf root, true)
                let (code, _, error), advances = counted (reproducing root [])
                Expect.equal (code, error, advances) (0, "", 0) "nothing to run"
                Expect.equal (File.ReadAllText(Path.Combine(resultsOf root, "cell-0.json"))) before "the result")
        }

        test "refusals, in one line, and nothing is changed" {
            inDirectory (fun root ->
                let file = study root [ 8; 9 ]
                command (reproducing root []) |> ok |> ignore
                let before = content root

                for more, expected in
                    [
                        [ "--cell"; "cel-1" ],
                        "--cell: found cel-1, expected one of cell-0, cell-1 (did you mean cell-1?)"
                        [ "--cell"; "other" ], "expected one of cell-0, cell-1"
                        [ "--seeds"; "0" ], "--seeds: found 0, expected at least 1"
                        [ "--steps"; "0" ], "--steps: found 0, expected at least 1"
                        [ "--threads"; "-1" ], "--threads: found -1, expected at least 0"
                        [ "--results"; Path.Combine(root, "none"); "--show" ], "found none of study fake"
                        [ "--seeds"; "5"; "--results"; Path.Combine(root, "none") ], "cell-0: members: 3, now 5"
                        [ "--cels"; "x" ], "unknown flag --cels, did you mean --cell?"
                    ] do
                    command (reproducing root more) |> refused expected

                command [ "reproduce"; file; "--output"; file ] |> refused "found a file"

                command [ "reproduce"; file; "--output"; root ]
                |> refused "is not empty and has no study.json"

                command [ "reproduce"; Path.Combine(root, "none.json") ]
                |> refused "no such file, expected the file of a study"

                command [ "reproduce"; root + "/" ]
                |> refused "is a directory, expected the file of a study"

                command [ "reproduce" ] |> refused "STUDY"
                Expect.equal (content root) before "nothing changed"

                let record = Path.Combine(root, "runs", "study.json")
                let text = File.ReadAllText record
                File.WriteAllText(record, text.Replace("\"version\": \"", "\"version\": \"9."))

                command (reproducing root [ "--results"; Path.Combine(root, "none") ])
                |> refused "found a study with library version 9."

                File.WriteAllText(record, "{ \"foreign\": 1 }")

                command (reproducing root [ "--steps"; "300" ])
                |> refused "study.json: not the record of a study"

                File.WriteAllText(record, text)
                File.WriteAllText(Path.Combine(resultsOf root, "cell-0.json"), "{ \"cell\": 1 }")
                command (reproducing root []) |> refused "cell-0.json: not a cell's result"
                File.WriteAllText(Path.Combine(root, "configs", "cell-1.json"), "{ \"sed\": 1 }")
                command (reproducing root []) |> refused "sed: unknown key"

                for cells, expected in
                    [
                        "", "cells: found 0 elements"
                        """{ "id": "a" }""", "cells.0.config: found none"
                        """{ "id": "a", "config": "a.json" }, { "id": "a", "config": "b.json" }""",
                        "for the second time"
                        """{ "id": "a/b", "config": "a.json" }""", "cells.0.id: found"
                        """{ "id": "a", "config": "a.json", "published": { "mean": 1 } }""",
                        "published.deviation: found none"
                        """{ "id": "a", "config": "a.json", "publishd": null }""", "did you mean \"published\"?"
                    ] do
                    File.WriteAllText(file, $"""{{ "name": "fake", "cells": [{cells}] }}""")
                    command (reproducing root []) |> refused expected)
        }

        test "another process in the same directory is noticed" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                Directory.CreateDirectory(Path.Combine(root, "runs")) |> ignore

                use _ =
                    new FileStream(
                        Path.Combine(root, "runs", ".lock"),
                        FileMode.Create,
                        FileAccess.Write,
                        FileShare.None
                    )

                command (reproducing root []) |> refused "another process works on it")
        }

        test "the published study is valid" {
            let rec up (folder: DirectoryInfo | null) =
                match folder with
                | null -> failtest "no paper-configs above the tests"
                | folder ->
                    let file = Path.Combine(folder.FullName, "paper-configs", "studies", "two-colors.json")
                    if File.Exists file then file else up folder.Parent

            let study = StudyReader.ReadFile(up (DirectoryInfo AppContext.BaseDirectory))
            Expect.equal study.Cells.Count 10 "cells"
            Expect.equal (study.FullSteps, study.FullSeeds) (10_000_000L, 10) "length"

            for cell in study.Cells do
                Expect.equal cell.Config $"../two-colors/{cell.Id}.json" "named after its configuration"
                Expect.isNotNull cell.Published "published"
        }
    ]

let private result (steps: int64) (totals: float list) =
    CellResult(
        Study = "s",
        Cell = "a",
        Label = "A",
        Config = "a.json",
        Steps = steps,
        Seeds = [| for i in 1 .. totals.Length -> int64 i |],
        TotalReward = List.toArray totals,
        FinalRewardRate = [| for _ in totals -> 0.25 |],
        Seconds = 3661.0,
        StepsPerSecond = 1000.0,
        Version = "1.2.3",
        Commit = "0123456789abcdef",
        Machine = Machine("system", "runtime", "torch", DeviceKind.Cpu, 2, 2),
        Date = DateTimeOffset.UnixEpoch,
        Learning = Curves([||], Curve([||], [||]), null),
        Configuration = Reading.reader.Read("{}", "test", [])
    )

let private table =
    let cells = [|
        for id in [ "a"; "b"; "c"; "d"; "e"; "f" ] ->
            CellDescription(
                Id = id,
                Config = id,
                Published =
                    (if id = "d" then
                         null
                     else
                         PublishedNumber(Mean = 1.5, Deviation = 0.1))
            )
    |]

    Reproduction(
        StudyDescription(Name = "s", UnitSize = 1e6, FullSteps = 1000L, Cells = cells),
        [|
            ReproductionRow(cells[0], result 1000L [ 1.6e6; 1.8e6 ])
            ReproductionRow(cells[1], result 500L [ 100.0; 100.0 ])
            ReproductionRow(cells[2], null)
            ReproductionRow(cells[3], result 1000L [ 2e6 ], "learner.discount: 0.9, now 0.99")
            ReproductionRow(cells[4], result 2000L [ 4e6 ])
            ReproductionRow(cells[5], result 1001L [ 1.5e6 ])
        |]
    )

let private measures =
    testList "tables and curves" [
        test "the table's rows: full, short, missing, and with nothing published" {
            let rows = table.Cells()

            Expect.equal
                rows[1]
                [|
                    "a"
                    "1.50 (0.10)"
                    "1.70 (0.14)"
                    "1.271"
                    "+2.0"
                    "1 000 × 2"
                    "0.25 (0)"
                    "1:01:01"
                    "0123456"
                |]
                "full"

            Expect.equal (rows[2][1..5]) [| "1.50 (0.10)"; "0.0001 (0) = 0.2 a step"; "0"; "short"; "500 × 2" |] "short"

            Expect.equal
                (rows[5][1..5])
                [| "1.50 (0.10)"; "4 (0) = 2 000 a step"; "–"; "longer"; "2 000 × 1" |]
                "longer"

            Expect.equal
                (rows[6][2..5])
                [| "1.50 (0.00)"; "–"; "0.0"; "1 001 × 1" |]
                "a last meta-step that reaches farther"

            Expect.equal (rows[3]) [| "c"; "1.50 (0.10)"; "not run"; ""; ""; ""; ""; ""; "" |] "missing"
            Expect.equal (rows[4][..4]) [| "d *"; "–"; "2.00 (0.00)"; "–"; "–" |] "nothing published, other settings"
            Expect.exists (table.Lines()) (fun line -> line.Contains "learner.discount: 0.9, now 0.99") "the note"
            let csv = table.Csv() |> Seq.map (fun line -> line.Split ',') |> Seq.toArray
            Expect.allEqual (csv |> Array.map Array.length) csv[0].Length "as many cells in every line"
            Expect.equal (csv[1][4..8]) [| "1.7"; "0.141421"; "1.27062"; "2"; "no" |] "numbers"
            Expect.equal (csv[3][4..9]) [| ""; ""; ""; ""; ""; "" |] "missing"
        }

        test "a study without published numbers has no columns for them" {
            let only =
                table.Rows
                |> Seq.map (fun row ->
                    ReproductionRow(CellDescription(Id = row.Cell.Id, Config = "a"), row.Result, row.Change))
                |> Seq.toArray

            let rows = Reproduction(table.Study, only).Cells()
            let both = table.Cells()

            let without (row: string[]) =
                Array.append row[..0] row[2..] |> fun row -> Array.append row[..2] row[4..]

            Expect.equal
                rows[0]
                [|
                    "cell"
                    "ours"
                    "± 95 %"
                    "steps × seeds"
                    "reward a step (last tenth)"
                    "time"
                    "commit"
                |]
                "headings"

            for i in 1 .. rows.Count - 1 do
                Expect.equal rows[i] (without both[i]) "the same besides"

            let notes = Reproduction(table.Study, only).Notes()
            Expect.allEqual (notes |> Seq.map (fun note -> note.Contains "published")) false "notes"
        }

        test "the interval is Student's" {
            for freedom, t in
                [
                    1, 12.7062
                    2, 4.30265
                    3, 3.18245
                    9, 2.26216
                    10, 2.22814
                    29, 2.04523
                    1000, 1.96234
                ] do
                Expect.floatClose Accuracy.low (StudentInterval.Quantile freedom) t $"{freedom} degrees of freedom"

            Expect.floatClose
                Accuracy.low
                (StudentInterval.HalfWidth [| 1.0; 2.0; 3.0 |])
                (4.30265 / sqrt 3.0)
                "by hand"

            Expect.isTrue (Double.IsNaN(StudentInterval.HalfWidth [| 1.0 |])) "none for one seed"
        }

        testProperty "a learning curve keeps the mean, in at most 200 points"
        <| fun (PositiveInt count) (values: NormalFloat list) ->
            let count = count % 1000 + 1
            let values = 1.0 :: [ for v in values -> v.Get % 1e3 ]
            let rows = [| for i in 0 .. count - 1 -> [| values[i % values.Length]; 0.0 |] |]
            let all = Dictionary<string, IReadOnlyList<float[]>>()
            all["reward"] <- rows
            let log = MetricsLog([| for i in 1..count -> 10L * int64 i |], all)
            let curves = CurveReader.Learning(log, "reward", null)
            Expect.isLessThanOrEqual curves.Steps.Length 200 "points"
            Expect.isNull curves.Exploration "no exploration metric"
            let size = int (ceil (float count / 200.0))
            let weights = [| for chunk in Seq.chunkBySize size (seq { 1..count }) -> float chunk.Length |]
            let mean = Seq.sum (Seq.map2 (*) weights curves.Reward.Mean) / float count
            Expect.isLessThan (abs (mean - (rows |> Array.averageBy Array.average))) 1e-2 "mean"

        test "the estimate: of the cell, of its agent, of all; none before anything is measured" {
            let cell id agent total finished steps seconds =
                CellProgress(id, agent, total, finished, steps, seconds)

            let left cells = StudyEstimate.Left(List.toArray cells)
            Expect.isFalse (left [ cell "a" "x" 100L 0L 0L 0.0 ]).HasValue "nothing measured"

            let measured = [
                cell "a" "x" 100L 100L 100L 10.0 // 0.1 s a step, done
                cell "b" "x" 100L 50L 50L 15.0 // 0.3 s a step, half done
                cell "c" "y" 100L 90L 90L 45.0 // 0.5 s a step
            ]

            // Of x: 0.2 s a step; of all: 0.3.
            let time = left (measured @ [ cell "d" "x" 100L 0L 0L 0.0; cell "e" "z" 100L 0L 0L 0.0 ])
            Expect.floatClose Accuracy.high time.Value.TotalSeconds (15.0 + 5.0 + 20.0 + 30.0) "seconds"
        }

        test "a study's moment in a line" {
            let run = RunSnapshot("x", 25L, 100L, 2, 25L, 5.0, "", [||])

            let cells = [|
                CellProgress("a", "x", 200L, 200L)
                CellProgress("b", "x", 200L, 50L, 50L, 5.0)
            |]

            Expect.equal
                (StudyReporter.Line(StudySnapshot(2, cells, run)))
                "62.5 %  250 of 400 steps of all cells  0:15 left  cell 2 of 2, b  25 of 100 steps by 2 seeds  10 steps/s"
                "the line"

            Expect.stringContains
                (StudyReporter.Line(StudySnapshot(1, [| CellProgress("a", "x", 200L, 0L) |], null)))
                "estimating"
                "nothing measured"
        }

        test "probes of a known network" {
            // σ(w·context + b): what each context gives can be said by hand.
            use _ = torch.NewDisposeScope()

            let names = [|
                "mean reward, 3 rollouts ago"
                "mean reward, 2 rollouts ago"
                "mean reward, 1 rollouts ago"
                "value mean, now"
            |]

            let network = Network.Mlp("meta", 4, [||], 1, Activation.Relu)
            let weights = [| [| 1.0; 0.0; 2.0; 9.0 |]; [| 0.0; 0.0; 4.0; 9.0 |] |]

            let parameters =
                Params.Create(
                    [| network.WeightName 0; network.BiasName 0 |],
                    [|
                        torch.tensor(Array.concat weights |> Array.map float32).reshape(2L, 4L, 1L)
                        torch.zeros (2L, 1L, 1L)
                    |]
                )

            let meta =
                MetaNetworkDescription(
                    Network = NetworkDescription.Of network,
                    ParameterSet = "meta",
                    InputNames = names,
                    OutputName = "entropyWeight",
                    Low = 0.5,
                    High = 1.5
                )

            let sigmoid x = 0.5 + 1.0 / (1.0 + exp -x)

            for scaling, high in [ ContextScaling.Raw, 0.25; ContextScaling.Normalized, 1.0 ] do
                let probes = nonNull (ContextProbes.Of(meta, parameters, 2, scaling))

                let expected = [
                    "high", 3.0 * high, 4.0 * high
                    "increasing", high, 4.0 * high
                    "zero", 0.0, 0.0
                    "decreasing", -high, -4.0 * high
                    "low", -3.0 * high, -4.0 * high
                ]

                for probe, (name, first, second) in Seq.zip probes expected do
                    Expect.equal probe.Context name "context"
                    Expect.floatClose Accuracy.medium probe.Values[0] (sigmoid first) name
                    Expect.floatClose Accuracy.medium probe.Values[1] (sigmoid second) name
                    Expect.floatClose Accuracy.medium probe.Mean ((sigmoid first + sigmoid second) / 2.0) "mean"

            let without = [| "a"; "b"; "c"; "d" |]

            let other =
                MetaNetworkDescription(
                    Network = meta.Network,
                    ParameterSet = "meta",
                    InputNames = without,
                    OutputName = "x",
                    Low = 0.0,
                    High = 1.0
                )

            Expect.isNull (ContextProbes.Of(other, parameters, 2, ContextScaling.Raw)) "no rewards to show"
            // A network that all members share answers for each of them.
            let shared = parameters |> Params.map (fun t -> t.narrow (0L, 0L, 1L))
            let probes = nonNull (ContextProbes.Of(meta, shared, 3, ContextScaling.Raw))
            Expect.hasLength probes[0].Values 3 "a value a seed"
        }
    ]

let gridConfig (root: string) =
    let file = Path.Combine(root, "base.json")
    File.WriteAllText(file, configText "base" 8)
    file

let sweeping (root: string) (output: string) (more: string list) =
    [
        "sweep"
        gridConfig root
        "--grid"
        "learner.targetSteps=8,9,10"
        "seed=1,11"
        "--seeds"
        "2"
        "--steps"
        "100"
        "--output"
        Path.Combine(root, output)
    ]
    @ more

/// sweep.csv without its times.
let private sweepCsv (root: string) (output: string) = [
    for line in File.ReadAllLines(Path.Combine(root, output, "sweep.csv")) ->
        line.Split ',' |> Array.removeAt 9 |> String.concat ","
]

let private sweepTests =
    testList "sweep" [
        testProperty "splitting keeps brackets and quotes whole"
        <| Prop.forAll
            (Arb.fromGen (
                Gen.nonEmptyListOf (
                    Gen.elements [
                        "1"
                        "1e-4"
                        "bmg"
                        "[64,64]"
                        "[[1,2],[3]]"
                        """{"a":1,"b":[2,3]}"""
                        "\"a,b\""
                        "\"a\\\",]b\""
                        "[]"
                        "[\"]\",1]"
                        "true"
                    ]
                )
            ))
            (fun values ->
                Expect.sequenceEqual (Grid.Split(String.Join(',', values))) values "as it was"
                Expect.sequenceEqual (Grid.Split(String.Join(" , ", values))) values "blanks do not matter")

        testProperty "shards are disjoint, cover the grid, and differ by one point at most"
        <| fun (NonNegativeInt points) (PositiveInt shards) ->
            let parts = [ for i in 1..shards -> Shard(i, shards).Of points |> Seq.toList ]
            Expect.equal (List.concat parts) [ 0 .. points - 1 ] "each point once, in order"
            let sizes = parts |> List.map List.length
            Expect.isLessThanOrEqual (List.max sizes - List.min sizes) 1 "as equal as can be"

        testProperty "a grid's points are the product of its values, each once"
        <| fun (sizes: PositiveInt list) ->
            let sizes = 2 :: [ for size in List.truncate 3 sizes -> size.Get % 4 + 1 ]

            let grid =
                Grid.Parse [|
                    for i, size in List.indexed sizes -> $"k{i}=" + String.Join(',', [ 1..size ])
                |]

            Expect.equal grid.Count (List.fold (*) 1 sizes) "count"
            let points = [ for i in 0 .. grid.Count - 1 -> Seq.toList (grid.At i).Values ]
            Expect.equal points (List.distinct points) "each once"

            Expect.equal
                points[1]
                ([ for _ in List.tail sizes -> "1" ] @ [ "2" ]
                 |> fun p -> if List.last sizes > 1 then p else points[1])
                "the last changes fastest"

        test "runs every point, ranks them, and repeats nothing" {
            inDirectory (fun root ->
                let (code, output, error), advances = counted (sweeping root "all" [])
                Expect.equal (code, error) (0, "") output
                Expect.equal advances (6 * 10) "meta-steps"
                let csv = sweepCsv root "all"
                Expect.hasLength csv 7 "a row a point"

                Expect.equal
                    csv[0]
                    "point,learner.targetSteps,seed,seeds,steps,mean_total,deviation,interval95,final_rate,commit,problem,frozen"
                    "heading"

                Expect.stringStarts csv[4] "0004,9,11,2,100," "the last setting changes fastest"
                let ranked = File.ReadAllLines(Path.Combine(root, "all", "ranked.txt"))
                Expect.stringContains ranked[1] "  10 " "the largest target steps first"
                Expect.stringContains output ranked[1] "printed"
                let (code, _, error), advances = counted (sweeping root "all" [])
                Expect.equal (code, error, advances) (0, "", 0) "nothing again"
                Expect.equal (sweepCsv root "all") csv "the same"
                // Stopped on the way and taken up again.
                let (code, output, _), before = stoppedAfter 25 (sweeping root "parts" [])
                Expect.equal code 130 output
                let (code, _, error), after = counted (sweeping root "parts" [])
                Expect.equal (code, error, before + after) (0, "", 60) "no meta-step twice"
                Expect.equal (sweepCsv root "parts") csv "the same table")
        }

        test "shards that share nothing, joined, are the whole sweep" {
            inDirectory (fun root ->
                command (sweeping root "all" []) |> ok |> ignore

                for shards in [ 1; 2; 4; 7 ] do
                    let places = [
                        for i in 1..shards do
                            let place = $"{shards}-{i}"
                            let shard = [ "--shard"; $"{i}/{shards}" ]
                            command (sweeping root place shard) |> ok |> ignore
                            Path.Combine(root, place)
                    ]

                    let joined = $"joined-{shards}"
                    let output = [ "--output"; Path.Combine(root, joined) ]
                    command ([ "sweep"; "--merge" ] @ List.rev places @ output) |> ok |> ignore
                    Expect.equal (sweepCsv root joined) (sweepCsv root "all") $"{shards} shards"
                    // Once more is the same.
                    command ([ "sweep"; "--merge" ] @ places @ output) |> ok |> ignore

                // In one directory they need no other.
                for i in 1..3 do
                    command (sweeping root "shared" [ "--shard"; $"{i}/3" ]) |> ok |> ignore

                command [ "sweep"; "--merge"; Path.Combine(root, "shared") ] |> ok |> ignore
                Expect.equal (sweepCsv root "shared") (sweepCsv root "all") "shared")
        }

        test "parts that start together in an empty directory all put themselves on record" {
            for _ in 1..5 do
                inDirectory (fun root ->
                    let lines = [| for i in 1..6 -> sweeping root "all" [ "--shard"; $"{i}/6" ] |]

                    let results =
                        lines
                        |> Array.map (fun line -> Threading.Tasks.Task.Run(fun () -> command line))
                        |> Threading.Tasks.Task.WhenAll

                    for code, output, error in results.Result do
                        Expect.equal (code, error) (0, "") output

                    command [ "sweep"; "--merge"; Path.Combine(root, "all") ] |> ok |> ignore
                    Expect.hasLength (sweepCsv root "all") 7 "all points")
        }

        test "a point whose numbers do not stay finite is a row" {
            inDirectory (fun root ->
                let output =
                    command [
                        "sweep"
                        gridConfig root
                        "--grid"
                        $"learner.targetSteps={diverging},8"
                        "--set"
                        "members=2"
                        "--steps"
                        "100"
                        "--output"
                        Path.Combine(root, "all")
                    ]
                    |> ok

                Expect.stringContains output "0001 failed: policy loss of member 1 (seed 2) became NaN" "why"
                Expect.stringContains ((sweepCsv root "all")[1]) "0001,13,2,100,,,," "no numbers")
        }

        test "a grid of lists" {
            inDirectory (fun root ->
                command [
                    "sweep"
                    gridConfig root
                    "--grid"
                    "learner.hidden=[64,64],[8]"
                    "--seeds"
                    "1"
                    "--steps"
                    "20"
                    "--output"
                    Path.Combine(root, "all")
                ]
                |> ok
                |> ignore

                let run = RunDirectory.Open(Path.Combine(root, "all", "0001"))
                let configuration = Reading.reader.ReadFile(run.Configuration, [])
                Expect.sequenceEqual (Reading.actorCritic configuration).Hidden [ 64; 64 ] "a list"

                Expect.stringContains
                    (File.ReadAllText(Path.Combine(root, "all", "sweep.csv")))
                    "0001,\"[64,64]\",1,20,"
                    "in quotes")
        }

        test "refusals, in one line, and nothing is changed" {
            inDirectory (fun root ->
                command (sweeping root "all" []) |> ok |> ignore
                let before = content root
                let file = gridConfig root
                let output = [ "--output"; Path.Combine(root, "new") ]

                for more, expected in
                    [
                        [ "--grid"; "learner.targetStep=1,2" ],
                        "--grid learner.targetStep=1: learner.targetStep: unknown key, did you mean \"targetSteps\"?"
                        [ "--grid"; "learner.targetSteps=8,0" ],
                        "--grid learner.targetSteps=0: learner.targetSteps: found 0"
                        [], "--grid: found none, expected at least one key=v1,v2"
                        [ "--grid"; "seed=" ], "--grid seed=: found no values"
                        [ "--grid"; "seed=1,,2" ], "found an empty value"
                        [ "--grid"; "seed" ], "--grid seed: expected key=v1,v2"
                        [ "--grid"; "seed=1,1" ], "found value 1 twice"
                        [ "--grid"; "seed=1"; "seed=2" ], "found key seed for the second time"
                        [ "--grid"; "seed=1"; "--set"; "seed=3" ], "found key seed for the second time"
                        [ "--grid"; "members=1,2"; "--seeds"; "3" ], "found key members for the second time"
                        [
                            "--grid"
                            "learner.targetSteps=8,9"
                            "learner={\"hidden\":[4]},{\"hidden\":[8]}"
                        ],
                        "found key learner.targetSteps beneath learner"
                        [ "--grid"; "learner={\"hidden\":[4]},{}"; "--set"; "learner.discount=0.5" ],
                        "found key learner.discount beneath learner"
                        [ "--grid"; "seed=1,2"; "--shard"; "0/2" ], "--shard: found 0/2, expected i/n with 1 ≤ i ≤ n"
                        [ "--grid"; "seed=1,2"; "--shard"; "3/2" ], "--shard: found 3/2"
                        [ "--grid"; "seed=1,2"; "--shard"; "one" ], "--shard: found one"
                        [ "--grid"; "seed=1,2"; "--seeds"; "0" ], "--seeds: found 0"
                        [ "--grid"; "seed=1,2"; "--merge"; root ], "--merge: found with CONFIG"
                    ] do
                    command ([ "sweep"; file ] @ more @ output) |> refused expected

                command ([ "sweep"; "--grid"; "seed=1,2" ] @ output)
                |> refused "CONFIG: found none"

                command [ "sweep"; "none.json"; "--grid"; "seed=1" ]
                |> refused "none.json: no such file"

                command (sweeping root "all" [ "--set"; "learner.discount=0.5" ])
                |> refused "learner.discount: 0.99, now 0.5"

                command [
                    "sweep"
                    file
                    "--grid"
                    "seed=1,3"
                    "--seeds"
                    "2"
                    "--steps"
                    "100"
                    "--output"
                    Path.Combine(root, "all")
                ]
                |> refused "found a study with grid"

                command [ "sweep"; file; "--grid"; "seed=1"; "--output"; root ]
                |> refused "has no study.json"

                Expect.equal (content root) before "nothing changed")
        }

        test "parts that do not fit are refused" {
            inDirectory (fun root ->
                for i in 1..2 do
                    command (sweeping root $"{i}" [ "--shard"; $"{i}/2" ]) |> ok |> ignore

                command (sweeping root "thirds" [ "--shard"; "1/3" ]) |> ok |> ignore

                command (sweeping root "other" [ "--shard"; "2/2"; "--set"; "learner.discount=0.5" ])
                |> ok
                |> ignore

                let place name = Path.Combine(root, name)
                let part name file = Path.Combine(root, name, "parts", file)

                command [
                    "sweep"
                    gridConfig root
                    "--grid"
                    "seed=1,3"
                    "--seeds"
                    "2"
                    "--steps"
                    "100"
                    "--shard"
                    "2/2"
                    "--output"
                    place "grid"
                ]
                |> ok
                |> ignore

                let version = place "version.json"
                let text = File.ReadAllText(part "2" "part-2-of-2.json")
                File.WriteAllText(version, text.Replace("\"version\": \"", "\"version\": \"9."))
                let foreign = place "foreign.json"
                File.WriteAllText(foreign, "{}")
                let before = content root

                for parts, expected in
                    [
                        [ place "1" ], "3 of 6 points are missing, 0004 (learner.targetSteps=9 seed=11), 0005"
                        [ place "1"; place "thirds"; place "2" ],
                        "found point 0001 (learner.targetSteps=8 seed=1), which is in"
                        [ place "1"; place "other" ], "of another sweep than"
                        [ place "1"; place "other" ], "learner.discount: 0.99; here 0.5"
                        [ place "1"; place "grid" ], "of another sweep than"
                        [ place "1"; version ], "library version"
                        [ place "1"; foreign ], "foreign.json: not a part of a sweep"
                        [ place "1"; place "nowhere" ], "found nothing, expected the directory of a sweep"
                        [ root ], "found a directory without parts"
                    ] do
                    command ([ "sweep"; "--merge" ] @ parts @ [ "--output"; place "joined" ])
                    |> refused expected

                command [ "sweep"; "--merge"; place "1"; place "2" ]
                |> refused "--output: found none"

                command [ "sweep"; "--merge"; place "1"; place "2"; "--output"; root ]
                |> refused "has no study.json"

                Expect.equal (content root) before "nothing changed"
                let two = [ part "1" "part-1-of-2.json"; part "2" "part-2-of-2.json" ]

                command ([ "sweep"; "--merge" ] @ two @ [ "--output"; place "joined" ])
                |> ok
                |> ignore)
        }

        test "help teaches with examples" {
            for name, words in
                [
                    "reproduce", [ "--quick"; "--show"; "reproduce two-colors"; "Examples" ]
                    "sweep", [ "--shard 2/4"; "--merge"; "[64,64]"; "Examples" ]
                ] do
                let output = command [ name; "--help" ] |> ok

                for word in words do
                    Expect.stringContains output word name
        }
    ]

let private realTests =
    testList "with real runs" [
        test "a tiny study of the two-colors world: results, probes, report" {
            inDirectory (fun root ->
                let file = study root [ 2 ]

                File.WriteAllText(
                    Path.Combine(root, "configs", "cell-0.json"),
                    """{ "name": "tiny", "seed": 11, "environment": { "swapPeriod": 100 },
                         "learner": { "hidden": [4], "rolloutLength": 5, "innerSteps": 1, "targetSteps": 2 },
                         "meta": { "parameters": "network", "context": "reward", "contextLength": 3, "hidden": [4], "pretrainingSteps": 5 },
                         "run": { "metricsEvery": 20, "checkpointEvery": 100 } }"""
                )

                use output = new StringWriter()
                use error = new StringWriter()

                let code =
                    TrainingCli.Run(
                        [|
                            "reproduce"
                            file
                            "--output"
                            Path.Combine(root, "runs")
                            "--seeds"
                            "2"
                            "--threads"
                            "1"
                        |],
                        ProgramHost.Create(output, error, CancellationToken.None)
                    )

                Expect.equal (code, error.ToString()) (0, "") (output.ToString())
                let result = nonNull (CellResult.Read(resultsOf root, "cell-0"))
                let probes = nonNull result.Probes

                Expect.sequenceEqual
                    [ for p in probes -> p.Context ]
                    [ "high"; "increasing"; "zero"; "decreasing"; "low" ]
                    "contexts"

                for probe in probes do
                    Expect.hasLength probe.Values 2 "a value a seed"
                    Expect.all probe.Values (fun value -> value > 0.0 && value < 1.0) "an entropy weight"

                Expect.isNotNull result.AroundSwaps "swaps"
                Expect.stringContains (output.ToString()) "what the meta-networks answer" "printed"

                Expect.stringContains
                    (File.ReadAllText(Path.Combine(resultsOf root, "report.html")))
                    "The learned function"
                    "drawn")
        }
    ]

let tests = testList "studies" [ reproduceTests; measures; sweepTests; realTests ]
