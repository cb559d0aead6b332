module Bmg.Tests.RunTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json.Nodes
open System.Threading
open System.Xml.Linq
open Bmg
open Bmg.Export
open Bmg.Training
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Agents
open Bmg.Training.Acting
open Bmg.Training.Experiments
open Bmg.Training.Progress
open Bmg.Training.Reporting
open Bmg.Training.Runs
open Expecto
open Spectre.Console
open FsCheck.FSharp

let private generator (seed: int64) =
    let seed = Seed.Of seed
    seed.Generator()

/// A small experiment of plain numbers: a meta-step of 7 environment steps, each member's rewards from its own generator.
type private Fake(configuration: RunConfiguration, onAdvance: int64 -> unit, onSave: int64 -> unit) =
    let seeds = DerivedSettings.Of(configuration).Seeds
    let generators = [| for seed in seeds -> generator seed |]
    let mutable steps = 0L

    interface IExperiment with
        member _.Seeds = seeds
        member _.EnvironmentSteps = steps

        member _.Metrics = [|
            Metric("reward", "reward", "per environment step", Aggregation.PerEnvironmentStep)
            Metric("entropyWeight", "entropy weight", "", Aggregation.Mean)
            Metric("matching", "μ", "nats", Aggregation.Mean)
        |]

        member _.Changes(after, until) = [| for k in after / 100L + 1L .. until / 100L -> 100L * k |]

        member _.Advance() =
            onAdvance steps
            steps <- steps + 7L

            let draw f =
                generators |> Array.map (fun g -> f (g.NextDouble()))

            MetaStepReport(
                7,
                [|
                    draw (fun u -> 7.0 * u)
                    draw id
                    // Exists in every second meta-step only.
                    draw (fun u -> if steps % 2L = 0L then nan else u)
                |]
            )

        member _.Save(path, hostState) =
            onSave steps
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

let private factory onAdvance onSave = {
    new IExperimentFactory with
        member _.Create configuration =
            new Fake(configuration, onAdvance, onSave)
}

let private steadily = factory ignore ignore

let private finish =
    FinishRun(fun run _ _ -> FinishOutcome(run.Policy, null, Nullable 1e-7, [| "played" |]))

let private services experiments =
    RunServices(Reading.reader, experiments, finish, RunReporter.Silent)

let private configured (overrides: string list) =
    Reading.reader.Read(
        """{ "name": "fake", "members": 3, "environmentSteps": 700, "run": { "metricsEvery": 50, "checkpointEvery": 100 } }""",
        "test",
        overrides
    )

/// A directory of the test's own, gone afterwards.
let private inDirectory (body: string -> unit) =
    let path = Path.Combine(Path.GetTempPath(), "bmg-tests-" + Guid.NewGuid().ToString "N")
    Directory.CreateDirectory path |> ignore

    try
        body path
    finally
        Directory.Delete(path, true)

let private beginRun (directory: RunDirectory) configuration experiments =
    Run.Begin(directory, configuration, "test", services experiments)

let private resumeRun (directory: RunDirectory) configuration experiments =
    Run.Resume(directory, configuration, "test", services experiments)

/// Runs until a member has done that many environment steps, then asks to stop.
let private untilStopped (stopAt: int64) (start: IExperimentFactory -> Run) =
    use stop = new CancellationTokenSource()

    let run =
        start (
            factory
                (fun steps ->
                    if steps >= stopAt then
                        stop.Cancel())
                ignore
        )

    run.Execute stop.Token

let private complete (run: Run) =
    let outcome = run.Execute CancellationToken.None
    Expect.equal outcome.State RunState.Finished (string outcome.Failure)
    nonNull outcome.Summary

/// The metrics of a run without what depends on the clock.
let private metrics (run: RunDirectory) = [
    for line in File.ReadAllLines run.Metrics do
        let values = (nonNull (JsonNode.Parse line)).AsObject()
        values.Remove "seconds" |> ignore
        values.ToJsonString()
]

let private finished (path: string) configuration =
    let run = RunDirectory.Create path
    run, complete (beginRun run configuration steadily)

let private failure (outcome: RunOutcome) =
    Expect.equal outcome.State RunState.Failed "the run fails"
    nonNull outcome.Failure

let private refused (body: unit -> 'T) : string =
    try
        body () |> ignore
        failtest "expected a refusal"
    with :? UsageException as e ->
        e.Message

let private resuming =
    testList "resume" [
        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 25
            }
            "a run stopped anywhere, as often as you like, writes what one never stopped writes"
        <| Prop.forAll
            (Arb.fromGen (
                Gen.map3
                    (fun stops (every: int) (checkpoints: int) -> List.sort stops, every, checkpoints)
                    (Gen.listOf (Gen.choose (0, 700)))
                    (Gen.choose (1, 200))
                    (Gen.choose (1, 400))
            ))
            (fun (stops, every, checkpoints) ->
                inDirectory (fun root ->
                    let configuration =
                        configured [ $"run.metricsEvery={every}"; $"run.checkpointEvery={checkpoints}" ]

                    let whole, summary = finished (Path.Combine(root, "whole")) configuration
                    let run = RunDirectory.Create(Path.Combine(root, "parts"))
                    let mutable started = false

                    for stop in stops |> List.truncate 4 do
                        let start =
                            if started then
                                resumeRun run configuration
                            else
                                beginRun run configuration
                        // The last stops may come too late, and the run is complete.
                        if not started || (RunRecord.Read run).State = RunState.Interrupted then
                            untilStopped (int64 stop) start |> ignore
                            started <- true

                    let again =
                        if not started then
                            complete (beginRun run configuration steadily)
                        elif (RunRecord.Read run).State = RunState.Interrupted then
                            complete (resumeRun run configuration steadily)
                        else
                            nonNull (RunSummary.Read run)

                    Expect.equal (metrics run) (metrics whole) "metrics"
                    Expect.sequenceEqual again.TotalReward summary.TotalReward "total reward"
                    Expect.sequenceEqual again.FinalRewardRate summary.FinalRewardRate "final reward rate"))

        test "what was written after the last checkpoint is cut off, a torn line included" {
            inDirectory (fun root ->
                let configuration = configured []
                let whole, _ = finished (Path.Combine(root, "whole")) configuration
                let run = RunDirectory.Create(Path.Combine(root, "killed"))

                let dies =
                    factory
                        (fun steps ->
                            if steps >= 490L then
                                failwith "killed")
                        ignore

                (beginRun run configuration dies).Execute CancellationToken.None
                |> failure
                |> ignore

                File.AppendAllText(run.Metrics, "{\"environmentSteps\":500,\"sec")
                // Resumed and stopped at once: only whole lines from before the checkpoint are left.
                (resumeRun run configuration steadily).Execute(CancellationToken true) |> ignore
                Expect.equal (metrics run) (metrics whole |> List.truncate 8) "metrics at the checkpoint of step 406"
                complete (resumeRun run configuration steadily) |> ignore
                Expect.equal (metrics run) (metrics whole) "metrics")
        }

        test "the record says who brought each part, and a resume with another version says so" {
            inDirectory (fun root ->
                let configuration = configured [ "wrappers.0.name=time-limit"; "matching.functions.0.name=jeffreys" ]
                let run = RunDirectory.Create(Path.Combine(root, "run"))
                untilStopped 300L (beginRun run configuration) |> ignore
                let version = LibraryVersion.Current

                let parts = [
                    for part in (RunRecord.Read run).Parts -> (part.Path, part.Kind, part.Name), part.Assembly
                ]

                for each in
                    [
                        "environment", "environment", "two-colors"
                        "wrappers.0", "wrapper", "time-limit"
                        "learner", "agent", "actor-critic"
                        "learner.optimizer", "optimizer", "sgd"
                        "matching.functions.0", "matching function", "jeffreys"
                    ] do
                    Expect.contains parts (each, "Bmg.Training") "a part of the library"

                Expect.isTrue
                    (File.ReadAllText(RunReport.Write run).Contains("parts of Bmg.Training " + version))
                    "the report says who brought them"

                let record = nonNull (JsonNode.Parse(File.ReadAllText run.Record))

                for part in (nonNull record["parts"]).AsArray() |> Seq.map nonNull do
                    if part["name"] |> string = "time-limit" then
                        part["version"] <- JsonValue.Create "0.0.9"

                File.WriteAllText(run.Record, record.ToJsonString())
                let said = ResizeArray<string>()

                let services =
                    RunServices(
                        Reading.reader,
                        steadily,
                        finish,
                        RunReporter((fun line -> said.Add line), RunReporter.Silent.Watch)
                    )

                complete (Run.Resume(run, configuration, "test", services)) |> ignore

                Expect.equal
                    (said
                     |> Seq.filter (fun line -> line.StartsWith "Warning" && line.Contains "before")
                     |> List.ofSeq)
                    [
                        "Warning: wrappers.0: this run was computed with wrapper \"time-limit\" of Bmg.Training 0.0.9 before, and goes on "
                        + $"with wrapper \"time-limit\" of Bmg.Training {version}."
                    ]
                    "the one that is of another version")
        }

        test "a longer run is one that was longer from the start" {
            inDirectory (fun root ->
                let whole, _ = finished (Path.Combine(root, "whole")) (configured [])
                let run, _ = finished (Path.Combine(root, "lengthened")) (configured [ "environmentSteps=333" ])
                let summary = complete (resumeRun run (configured []) steadily)
                Expect.equal (metrics run) (metrics whole) "metrics"
                Expect.equal summary.EnvironmentSteps 700L "length"
                Expect.equal (RunRecord.Read run).Started.Count 2 "both starts are on record")
        }

        test "refusals" {
            inDirectory (fun root ->
                let run, _ = finished (Path.Combine(root, "run")) (configured [])

                let resume overrides =
                    refused (fun () -> resumeRun run (configured overrides) steadily)

                let changed = resume [ "learner.targetSteps=16"; "seed=7" ]
                Expect.stringContains changed "learner.targetSteps: 8, now 16" "each difference"
                Expect.stringContains changed "seed: 1, now 7" "each difference"
                Expect.stringContains (resume [ "environmentSteps=300" ]) "expected at least the run's 700" "shorter"
                Expect.stringContains (resume []) "complete" "complete"

                Expect.stringContains
                    (refused (fun () -> RunDirectory.Open root))
                    "without configuration.json"
                    "no run"

                Expect.stringContains (refused (fun () -> RunDirectory.Open "/nowhere")) "found nothing" "nothing"
                use _ = run.Lock()
                Expect.stringContains (refused (fun () -> run.Lock())) "another process" "in use"
                File.Delete run.Checkpoint
                Expect.stringContains (resume [ "environmentSteps=1000" ]) "no checkpoint" "no checkpoint")
        }

        test "metrics that were shortened by another hand are noticed" {
            inDirectory (fun root ->
                let configuration = configured []
                let run = RunDirectory.Create(Path.Combine(root, "run"))
                untilStopped 400L (beginRun run configuration) |> ignore
                File.WriteAllText(run.Metrics, "")
                let outcome = (resumeRun run configuration steadily).Execute CancellationToken.None
                Expect.stringContains (failure outcome).Message "expected at least" "the message")
        }
    ]

let private recording =
    testList "record" [
        test "the summary holds the results" {
            inDirectory (fun root ->
                let run, _ = finished (Path.Combine(root, "run")) (configured [ "run.metricsEvery=7" ])
                let summary = (nonNull (JsonNode.Parse(File.ReadAllText run.Summary))).AsObject()

                let number (key: string) =
                    (nonNull summary[key]).GetValue<float>()

                let numbers (key: string) = [
                    for v in (nonNull summary[key]).AsArray() -> (nonNull v).GetValue<float>()
                ]

                Expect.equal (numbers "seeds") [ 1.0; 2.0; 3.0 ] "seeds"
                Expect.equal (number "environmentSteps") 700.0 "steps"
                Expect.isGreaterThan (number "environmentStepsPerSecond") 0.0 "speed"
                Expect.isGreaterThan (number "peakMemoryBytes") 1e6 "memory"
                Expect.equal (number "exportMaxAbsDifference") 1e-7 "export"
                Expect.equal ((nonNull summary["policy"]).GetValue<string>()) run.Policy "policy"

                Expect.equal
                    ((nonNull summary["configuration"]).ToJsonString())
                    ((nonNull (JsonNode.Parse(File.ReadAllText run.Configuration))).ToJsonString())
                    "configuration"

                // The same by hand: one draw of the generator for each metric and meta-step, the first being the reward.
                let rewards = [|
                    for seed in 1L .. 3L ->
                        let g = generator seed

                        [|
                            for _ in 1..100 ->
                                let reward = 7.0 * g.NextDouble()
                                g.NextDouble() |> ignore
                                g.NextDouble() |> ignore
                                reward
                        |]
                |]

                for total, rewards in Seq.zip (numbers "totalReward") rewards do
                    Expect.floatClose Accuracy.high total (Array.sum rewards) "total reward"

                for rate, rewards in Seq.zip (numbers "finalRewardRate") rewards do
                    Expect.floatClose Accuracy.high rate (Array.sum rewards[90..] / 70.0) "rate of the last tenth")
        }

        test "everything lies in its place" {
            inDirectory (fun root ->
                let run, _ = finished (Path.Combine(root, "a", "run")) (configured [])
                let record = RunRecord.Read run
                Expect.equal record.State RunState.Finished "state"
                Expect.sequenceEqual record.Changes [ 100L; 200L; 300L; 400L; 500L; 600L; 700L ] "changes"
                Expect.isTrue (File.Exists run.Checkpoint) "checkpoint"
                Expect.isNonEmpty (Directory.GetFiles(run.TensorBoard, "*tfevents*")) "events"

                Expect.equal
                    (Reading.reader.ReadFile(run.Configuration, []).ToJson())
                    ((configured []).ToJson())
                    "configuration"

                Expect.sequenceEqual
                    (Directory.GetFileSystemEntries run.Root
                     |> Array.map Path.GetFileName
                     |> Array.sort)
                    [
                        "checkpoints"
                        "configuration.json"
                        "metrics.jsonl"
                        "run.json"
                        "summary.json"
                        "tensorboard"
                    ]
                    "nothing else")
        }

        test "intervals: means by steps, rates by sums, what does not exist is left out" {
            let kinds = [|
                Metric("a", "a", "", Aggregation.Mean)
                Metric("b", "b", "", Aggregation.PerEnvironmentStep)
            |]

            let first = MetaStepReport(1, [| [| 1.0; nan |]; [| 1.0; 2.0 |] |])
            let second = MetaStepReport(3, [| [| 5.0; nan |]; [| 1.0; nan |] |])
            let interval = Interval.Empty(2, 2).Add(kinds, first).Add(kinds, second)
            let values = interval.Values()

            Expect.equal (values[0][0]) 4.0 "(1·1 + 3·5) / 4"
            Expect.isTrue (Double.IsNaN(values[0][1])) "never there"
            Expect.equal (values[1]) [| 0.5; 2.0 |] "(1 + 1) / 4, and 2 / 1"
        }

        test "an existing directory is refused, an empty one is taken" {
            inDirectory (fun root ->
                RunDirectory.Create root |> ignore
                File.WriteAllText(Path.Combine(root, "mine.txt"), "")
                Expect.stringContains (refused (fun () -> RunDirectory.Create root)) "not empty" "message"
                let file = Path.Combine(root, "file")
                File.WriteAllText(file, "")
                Expect.stringContains (refused (fun () -> RunDirectory.Create file)) "found a file" "message"

                Expect.stringContains
                    (refused (fun () -> RunDirectory.Create(Path.Combine(file, "below"))))
                    "cannot be written"
                    "message")
        }
    ]

/// Fails when more than that many bytes have been written.
type private SmallDisk(path: string, length: int64, room: int64) =
    inherit FileStream(path, FileMode.OpenOrCreate, FileAccess.Write)
    do base.Position <- length

    override this.Write(buffer: ReadOnlySpan<byte>) =
        if this.Position + int64 buffer.Length > room then
            base.Write(buffer.Slice(0, int (room - this.Position)))
            raise (IOException "No space left on device")

        base.Write buffer

let private failing =
    testList "failure" [
        let keepsCheckpoint (name: string) (expected: string) (start: RunDirectory -> RunConfiguration -> Run) =
            test name {
                inDirectory (fun root ->
                    let configuration = configured []
                    let whole, _ = finished (Path.Combine(root, "whole")) configuration
                    let run = RunDirectory.Create(Path.Combine(root, "failed"))
                    let problem = (start run configuration).Execute CancellationToken.None |> failure
                    Expect.equal (problem :?> BmgException).ExitCode 1 "exit code"
                    Expect.stringContains problem.Message expected "the message"
                    Expect.equal (RunRecord.Read run).State RunState.Failed "the record"
                    Expect.equal (RunRecord.Read run).Problem problem.Message "the record"
                    // And nothing is lost.
                    complete (resumeRun run configuration steadily) |> ignore
                    Expect.equal (metrics run) (metrics whole) "metrics")
            }

        keepsCheckpoint "a disk full at a checkpoint" "No space left on device" (fun run configuration ->
            beginRun
                run
                configuration
                (factory ignore (fun steps ->
                    if steps >= 300L then
                        raise (IOException "No space left on device"))))

        keepsCheckpoint "a disk full at a line of metrics" "No space left on device" (fun run configuration ->
            let services =
                RunServices(
                    Reading.reader,
                    steadily,
                    finish,
                    RunReporter.Silent,
                    OpenMetrics = fun path length -> new SmallDisk(path, length, 1500L)
                )

            Run.Begin(run, configuration, "test", services))

        keepsCheckpoint
            "a loss that is not a number"
            "policy loss of member 1 (seed 2) became NaN at environment step 497"
            (fun run configuration ->
                beginRun
                    run
                    configuration
                    (factory
                        (fun steps ->
                            if steps = 497L then
                                raise (NumericalFailureException("policy loss", 1, 2L, steps, nan)))
                        ignore))

        keepsCheckpoint "an export that fails" "no parity" (fun run configuration ->
            let failing = FinishRun(fun _ _ _ -> raise (OperationException "no parity"))
            Run.Begin(run, configuration, "test", RunServices(Reading.reader, steadily, failing, RunReporter.Silent)))

        test "a display that fails does not end the run" {
            inDirectory (fun root ->
                let run = RunDirectory.Create(Path.Combine(root, "run"))
                let broken = RunReporter(ignore, (fun _ _ -> failwith "no terminal"))

                Run.Begin(run, configured [], "test", RunServices(Reading.reader, steadily, finish, broken))
                |> complete
                |> ignore)
        }

        test "a disk full from the start says so before any training" {
            inDirectory (fun root ->
                let mutable advanced = false
                let run = RunDirectory.Create(Path.Combine(root, "run"))
                let full = factory (fun _ -> advanced <- true) (fun _ -> raise (IOException "No space left on device"))

                (beginRun run (configured []) full).Execute CancellationToken.None
                |> failure
                |> ignore

                Expect.isFalse advanced "no training")
        }
    ]

let private elements (name: string) (svg: XElement) =
    svg.Descendants() |> Seq.filter (fun e -> e.Name.LocalName = name)

let private ofClass (kind: string) (e: XElement) =
    match e.Attribute(XName.Get "class") with
    | null -> false
    | value -> value.Value = kind

let private reporting =
    testList "report" [
        test "a plot for each metric, its text as text, changes marked" {
            inDirectory (fun root ->
                let run, _ = finished (Path.Combine(root, "run")) (configured [])
                let page = RunReport.Write run |> File.ReadAllText

                let ofMembers, plots =
                    page.Split("<svg ")[1..]
                    |> Array.map (fun s -> XElement.Parse("<svg " + s.Split("</svg>")[0] + "</svg>"))
                    |> Array.partition (fun plot -> (string (plot.Attribute "aria-label")).Contains "each member")

                let around, plots =
                    plots
                    |> Array.partition (fun plot ->
                        (string (plot.Attribute "aria-label")).Contains "mean over changes")

                Expect.hasLength around 2 "what happens around changes, of the score and of what is learned"
                Expect.hasLength plots 3 "one plot a metric"
                Expect.hasLength ofMembers 3 "and one with the curve of each member"
                Expect.equal (page.Split("<summary>numbers</summary>").Length - 1) 3 "and its numbers"

                for plot, label in Seq.zip plots [ "reward"; "entropy weight"; "μ" ] do
                    let texts = elements "text" plot |> Seq.map (fun t -> t.Value) |> Set.ofSeq
                    Expect.contains texts label "title"
                    Expect.contains texts "environment steps of each member" "axis"
                    Expect.contains texts "mean of 3 members" "legend"
                    // Six changes inside the plot, and the legend's sample.
                    Expect.hasLength (elements "line" plot |> Seq.filter (ofClass "mark")) 7 "marks"
                    Expect.isNonEmpty (elements "path" plot |> Seq.filter (ofClass "mean")) "mean"
                    Expect.isNonEmpty (elements "path" plot |> Seq.filter (ofClass "range")) "spread"

                for outside in [ "src="; "href="; "@import"; "url(" ] do
                    Expect.isFalse (page.Contains outside) $"nothing from elsewhere: {outside}")
        }

        test "an unfinished run has one too, and a picture" {
            inDirectory (fun root ->
                let run = RunDirectory.Create(Path.Combine(root, "run"))
                untilStopped 300L (beginRun run (configured [])) |> ignore
                File.AppendAllText(run.Metrics, "{\"torn")
                Expect.stringContains (RunReport.Write run |> File.ReadAllText) "interrupted" "its state"
                let figure = XDocument.Parse(RunReport.Figure run)
                Expect.isNonEmpty (elements "text" (nonNull figure.Root)) "text")
        }

        test "names and problems cannot become markup" {
            inDirectory (fun root ->
                let run, _ =
                    finished (Path.Combine(root, "run")) (configured [ "description=<script>alert(1)</script>" ])

                Expect.isFalse ((RunReport.Write run |> File.ReadAllText).Contains "<script>alert") "escaped")
        }

        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 200
            }
            "an axis spans its values with a few ticks inside"
        <| Prop.forAll (ArbMap.defaults |> ArbMap.arbitrary<FsCheck.NormalFloat list>) (fun values ->
            let values = values |> List.map (fun v -> v.Get)
            let axis = Axis.Around(values, values, 5)

            for value in values do
                let place = axis.Place value
                Expect.isTrue (place >= -1e-9 && place <= 1.0 + 1e-9) $"{value} on %A{axis}"

            Expect.isTrue (axis.Ticks.Count >= 2 && axis.Ticks.Count <= 12) $"ticks of %A{axis}"
            let labels = axis.Ticks |> Seq.map axis.Label |> Seq.toList
            Expect.equal labels (List.distinct labels) "labels differ")

        test "many points are condensed, extremes kept" {
            let rows = [| for i in 1..5000 -> [| float i; (if i = 3333 then 1e6 else 0.0) |] |]
            let values = Collections.Generic.Dictionary<string, Collections.Generic.IReadOnlyList<float[]>>()
            values["x"] <- rows
            let series = Series.Of(MetricsLog([| 1L .. 5000L |], values), "x")
            Expect.isLessThanOrEqual series.X.Length 1000 "points"
            Expect.equal (Array.max series.High) 1e6 "the extreme"

            Expect.floatClose
                Accuracy.high
                (Array.average series.Mean)
                (rows |> Array.averageBy Array.average)
                "the mean"
        }
    ]

let private commandLine (arguments: string list) : int * string * string =
    use output = new StringWriter()
    use error = new StringWriter()

    let host =
        TrainingHost(
            Catalogue = Reading.catalogue,
            Experiments = steadily,
            Finish = finish,
            Evaluate =
                (fun options out ->
                    out.WriteLine $"{options.Target} {options.Steps} {options.Provider}"
                    0),
            Bench =
                (fun options out ->
                    out.WriteLine(String.Join(",", options.Members))
                    0),
            Out = output,
            Error = error,
            Interactive = false,
            Stop = Nullable CancellationToken.None
        )

    let code = TrainingCli.Run(List.toArray arguments, host)
    code, output.ToString(), error.ToString()

let private small = [
    "--set"
    "environmentSteps=700"
    "--set"
    "run.checkpointEvery=100"
    "--set"
    "run.metricsEvery=50"
]

let private commands =
    testList "command line" [
        for arguments, expected in
            [
                [ "trian" ], "unknown command trian, did you mean train?"
                [ "train"; "--memers"; "3" ], "unknown flag --memers, did you mean --members?"
                [ "train"; "a.json"; "b.json" ], "a.json: no such file"
                [ "train"; "--resume"; "run"; "a.json"; "b.json" ], "found several configurations"
                [ "train"; "nowhere.json" ], "nowhere.json: no such file"
                [ "train"; AppContext.BaseDirectory ], "is a directory, expected a configuration file"
                [ "train"; "--set"; "learner.targetStep=1" ], "did you mean \"targetSteps\"?"
                [ "train"; "--set"; "learner.targetSteps=0" ],
                "learner.targetSteps: found 0, expected a whole number, at least 1"
                [ "train"; "--set"; "environment.name=two-colours" ], "did you mean \"two-colors\"?"
                [ "train"; "--set"; "experiment=chess" ], "the environment is named by environment.name"
                [ "train"; "--set"; "seed" ], "expected path=value"
                [ "train"; "--set" ], "--set"
                [ "train"; "--members"; "0" ], "members: found 0"
                [ "train"; "--members"; "many" ], "many"
                [ "train"; "--device"; "tpu" ], "--device: found tpu, expected cpu or cuda"
                [ "train"; "--output"; AppContext.BaseDirectory ], "found a directory that is not empty"
                [ "train"; "--output"; "/proc/nowhere" ], "cannot be written"
                [ "train"; "--resume"; "/nowhere" ], "found nothing, expected the directory of a run"
                [ "train"; "--resume"; "a"; "--output"; "b" ], "exclude each other"
                [ "report"; AppContext.BaseDirectory ], "found a directory without configuration.json"
                [ "report" ], "RUN"
                [ "evaluate"; "x"; "--steps"; "0" ], "--steps: found 0, expected at least 1"
                [ "evaluate"; "x"; "--provider"; "gpu" ], "--provider: found gpu, expected cpu or cuda"
                [ "bench"; "--members"; "0" ], "--members: expected whole numbers, at least 1"
            ] do
            test (
                String.concat " " arguments
                |> fun line -> line.Replace(AppContext.BaseDirectory, "DIRECTORY")
            ) {
                let code, output, error = commandLine arguments
                Expect.equal code 2 "exit code"
                Expect.stringContains error expected "the message"
                Expect.stringStarts error "error: " "the message"
                Expect.equal (error.TrimEnd().Split '\n').Length 1 "one line"
                Expect.isFalse (error.Contains "   at ") "no stack trace"
                Expect.equal output "" "nothing else"
            }

        test "broken configurations, one line for each fault" {
            inDirectory (fun root ->
                let file = Path.Combine(root, "broken.json")
                File.WriteAllText(file, "{ \"seed\": ")
                let code, _, error = commandLine [ "train"; file ]
                Expect.equal code 2 "exit code"
                Expect.stringContains error "not valid JSON" "the message"
                File.WriteAllText(file, "{ \"seed\": -1, \"sed\": 2 }")
                let _, _, error = commandLine [ "train"; file ]
                Expect.equal (error.TrimEnd().Split '\n').Length 2 "one line a fault"
                File.WriteAllBytes(file, [| 0uy .. 255uy |])
                let code, _, error = commandLine [ "train"; file ]
                Expect.equal code 2 "exit code"
                Expect.stringContains error "not valid JSON" "not a configuration at all")
        }

        test "help is there for every command, with an example" {
            for command in [ []; [ "train" ]; [ "evaluate" ]; [ "report" ]; [ "bench" ]; [ "schema" ] ] do
                let code, output, _ = commandLine (command @ [ "--help" ])
                Expect.equal code 0 "exit code"
                Expect.stringContains output "Example" (String.concat " " command)

            let _, output, _ = commandLine []
            Expect.stringContains output "Usage:" "no arguments ask for help"
        }

        test "train, report, resume, evaluate, bench, schema" {
            inDirectory (fun root ->
                let path = Path.Combine(root, "run")
                let file = Path.Combine(root, "small.json")
                File.WriteAllText(file, """{ "name": "small", "environment": { "name": "two-colors" } }""")
                let code, output, error = commandLine ([ "train"; file; "--output"; path; "--members"; "2" ] @ small)
                Expect.equal (code, error) (0, "") output
                let run = RunDirectory.Open path
                Expect.stringContains output run.Report "where the report lies"
                Expect.stringContains output "played" "what the export says"
                Expect.isTrue (File.Exists run.Report) "report"

                let picture = Path.Combine(root, "picture.svg")
                let code, _, _ = commandLine [ "report"; path; "--svg"; picture ]
                Expect.equal code 0 "report"
                Expect.isTrue (File.Exists picture) "picture"

                let code, _, error =
                    commandLine [ "train"; "--resume"; path; "--set"; "environmentSteps=800"; "--quiet" ]

                Expect.equal (code, error) (0, "") "resume"
                Expect.equal (RunRecord.Read run).EnvironmentSteps 805L "longer, to the end of a meta-step"

                File.WriteAllText(run.Record, "{ \"foreign\": 1 }")
                let code, _, error = commandLine [ "report"; path ]
                Expect.equal code 2 "a foreign file"
                Expect.stringContains error "not the record of a run" "a foreign file"

                Expect.equal
                    (commandLine [ "evaluate"; "x.onnx"; "--provider"; "cuda" ])
                    (0, $"x.onnx  Cuda{Environment.NewLine}", "")
                    "evaluate"

                Expect.equal
                    (commandLine [ "bench"; "--members"; "1"; "5" ])
                    (0, $"1,5{Environment.NewLine}", "")
                    "bench"

                Expect.equal (commandLine [ "schema" ]) (0, ConfigurationSchema.Text Reading.catalogue, "") "schema")
        }
    ]

let private telling =
    testList "progress" [
        test "a snapshot in a line" {
            let reward = Metric("reward", "reward", "per environment step", Aggregation.PerEnvironmentStep)
            let now = RunSnapshot("x", 250_000L, 1_000_000L, 4, 200_000L, 50.0, "", [| struct (reward, 0.12345) |])

            Expect.equal
                (PlainReporter.Line now)
                "25.0 %  250 000 of 1 000 000 steps  16 000 steps/s  3:07 left  reward 0.123"
                "the line"
        }

        test "the live display uses the room that it has" {
            let metric name label =
                Metric(name, label, "", Aggregation.Mean)

            let trail = Array.init 120 (fun i -> if i < 60 then float i else nan)

            let now =
                RunSnapshot(
                    "x",
                    500L,
                    1000L,
                    3,
                    500L,
                    2.0,
                    "",
                    [|
                        struct (metric "reward" "reward", 0.25)
                        struct (metric "epsilon" "rate of exploration ε", 0.5)
                    |],
                    Trail = [| trail; trail |],
                    Latest = [| 0.125; 0.25; 0.375 |],
                    Changes = [| 500L |]
                )

            let drawn (width: int) (height: int) =
                use output = new StringWriter()
                let settings = AnsiConsoleSettings(Out = AnsiConsoleOutput output, Ansi = AnsiSupport.No)
                let console = AnsiConsole.Create settings
                console.Profile.Width <- width
                console.Write(LiveReporter.Draw(now, width, height))
                output.ToString().Split '\n' |> Array.map (fun l -> l.TrimEnd())

            let wide = drawn 110 30

            let row (start: string) =
                wide |> Array.find (fun l -> l.StartsWith start)

            Expect.stringContains (row "reward") "0.25  ▁" "a value and its curve"
            Expect.stringContains (row "reward") "█" "to its greatest"
            Expect.stringContains (row "rate of exploration ε") "0.5  ▁" "what is learned"
            Expect.stringContains (row "the world changes") "↑" "changes"
            Expect.stringContains (row "members") "0.125" "members"
            // In the middle of the curve, which starts behind label, value and a gap.
            Expect.equal ((row "the world changes").IndexOf '↑') (36 + (110 - 38) / 2) "where the change is"

            for width, height in [ 40, 30; 110, 7 ] do
                let lines = drawn width height
                Expect.isTrue (lines |> Array.forall (fun l -> l.Length <= width)) $"{width} columns"
                Expect.isFalse (lines |> Array.exists (fun l -> l.Contains '█')) "no curves"
                Expect.isTrue (lines |> Array.exists (fun l -> l.Contains "reward 0.25")) "a line of figures"

            // What a resume starts with, before there is a figure.
            let starting = RunSnapshot("x", 0L, 1000L, 3, 0L, 0.0, "restoring [a]", [||])

            use output = new StringWriter()
            let settings = AnsiConsoleSettings(Out = AnsiConsoleOutput output, Ansi = AnsiSupport.No)
            (AnsiConsole.Create settings).Write(LiveReporter.Draw(starting, 80, 30))
            Expect.stringContains (output.ToString()) "restoring [a]" "what is being done"
        }

        test "what is learned and does not move is said, and what moves is not" {
            let learned =
                Metric(
                    "discount",
                    "discount γ",
                    "",
                    Aggregation.Mean,
                    Bounds = Nullable<struct (float * float)>(struct (0.5, 1.0))
                )

            let log (values: float list) =
                let rows = Dictionary<string, IReadOnlyList<float[]>>()
                rows["discount"] <- [| for v in values -> [| v; v |] |]
                MetricsLog([| for i in 1 .. values.Length -> int64 i |], rows)

            let said = Movement.Of([| learned |], log [ 0.99; 0.9899; 0.991 ])
            Expect.stringContains (nonNull said) "discount γ 0.99 → 0.991 of [0.5, 1]" "from, to and range"
            Expect.stringContains (nonNull said) "meta.learningRate" "what to do"
            Expect.isTrue (isNull (Movement.Of([| learned |], log [ 0.99; 0.9; 0.99 ]))) "it moved in between"
            let constant = Metric("discount", "discount γ", "", Aggregation.Mean)
            Expect.isTrue (isNull (Movement.Of([| constant |], log [ 0.99; 0.99 ]))) "nothing is learned"
        }

        test "the axis of a narrow range tells its ticks apart" {
            let axis = Axis.Around([| 0.98985; 0.99 |], [| 0.98985; 0.99 |], 5)
            let labels = axis.Ticks |> Seq.map axis.Label |> List.ofSeq
            Expect.equal (List.distinct labels) labels "each its own"
            Expect.isTrue (labels |> List.forall (fun l -> l.StartsWith "0.9")) $"%A{labels}"
        }

        test "examples in help can be pasted: the program stands before each command, and nowhere else" {
            let help =
                "Does it.\n\nExample: train\nExamples:\n  train a.json\n    trains a\n  Bmg.Export check x\nretrain"

            let program = Bmg.Export.CommandLine.ThisProgram.Command

            Expect.equal
                (Bmg.Export.CommandLine.ThisProgram.Pasteable(help, [ "train"; "check" ]))
                $"Does it.\n\nExample: {program} train\nExamples:\n  {program} train a.json\n    trains a\n  {program} check x\nretrain"
                "examples"

            let _, help, _ = commandLine [ "train"; "--help" ]
            Expect.stringContains help $"{program} train --resume runs/mine" "of a command"
        }

        test "the host has the commands of the exporter" {
            let _, help, _ = commandLine [ "--help" ]

            for command in [ "export"; "inspect"; "check" ] do
                Expect.stringContains help $"  {command} " command

            let code, _, error = commandLine [ "inspect"; "nowhere.onnx" ]
            Expect.equal code 2 error
            Expect.stringContains error "nowhere.onnx" "the file"
            let code, _, error = commandLine [ "bench"; "nowhere.onnx" ]
            Expect.equal code 2 error
            Expect.stringContains error "nowhere.onnx" "of a model"
        }

        test "numbers for people" {
            for value, text in
                [
                    1234567.0, "1 234 567"
                    0.0, "0"
                    0.00012345, "1.2e-4"
                    -0.5, "-0.5"
                    nan, "–"
                ] do
                Expect.equal (Figures.Number value) text "number"

            for seconds, text in [ 5.0, "0:05"; 65.0, "1:05"; 7200.0, "2:00:00" ] do
                Expect.equal (Figures.Time(TimeSpan.FromSeconds seconds)) text "time"
        }
    ]

let tests = testList "runs" [ resuming; recording; failing; reporting; commands; telling ]
