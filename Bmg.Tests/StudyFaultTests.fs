/// What studies and runs do when something goes wrong on the way: a member whose numbers are not finite, a kill, a signal.
module Bmg.Tests.StudyFaultTests

open System
open System.IO
open System.Text.Json.Nodes
open System.Threading
open Bmg
open Bmg.Training
open Bmg.Training.CommandLine
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
open TorchSharp

let private settings (kind: string) (more: string list) =
    let text =
        match kind with
        | "q-bmg"
        | "q-fixed" ->
            $"""{{ "name": "small", "seeds": [3, 17, 99], "environmentSteps": 1000, "threads": 1, "environment": {{ "swapPeriod": 150 }},
                  "learner": {{ "agent": "q-lambda", "hidden": [16, 8], "targetSteps": 5,
                                "optimizer": {{ "name": "adam", "learningRate": 0.003 }} }},
                  "meta": {{ "method": "{kind[2..]}", "parameters": "network", "context": "rich", "contextLength": 3, "contextScaling": "normalized",
                             "hidden": [6], "pretrainingSteps": 5, "learningRate": 0.01 }},
                  "run": {{ "metricsEvery": 50, "checkpointEvery": 100, "whenNotFinite": "freeze" }} }}"""
        | _ ->
            let method, context = kind.Split('-')[0], kind.Split('-')[1]

            $"""{{ "name": "small", "seeds": [3, 17, 99], "environmentSteps": 1000, "threads": 1, "environment": {{ "swapPeriod": 150 }},
                  "learner": {{ "hidden": [8, 8], "rolloutLength": 5, "innerSteps": 2, "targetSteps": 3,
                                "optimizer": {{ "name": "rmsprop", "learningRate": 0.01 }} }},
                  "meta": {{ "method": "{method}", "parameters": "network", "context": "{context}", "contextLength": 3,
                             "contextScaling": "normalized", "hidden": [6], "pretrainingSteps": 5, "learningRate": 0.01 }},
                  "run": {{ "metricsEvery": 50, "checkpointEvery": 100, "whenNotFinite": "freeze" }} }}"""

    Reading.reader.Read(text, "test", more)

let private kinds = [ "bmg-reward"; "bmg-rich"; "mg-reward"; "fixed-reward"; "q-bmg"; "q-fixed" ]

let private populationOf (configuration: RunConfiguration) : IPopulation =
    let derived = DerivedSettings.Of configuration
    Agent.Create(configuration).CreatePopulation([| for seed in derived.Seeds -> Seed.Of seed |], 0)

/// Makes a member's numbers too large to go on with, where they lie.
let private poison (population: IPopulation) (set: string) (member': int64) =
    use _ = torch.NewDisposeScope()
    use _ = torch.no_grad ()

    let sets = population.Tensors()

    for tensor in sets[set].Tensors do
        tensor[member'].fill_(torch.tensor(1e38f).ToScalar()) |> ignore

/// Every number of the members that go on, bit for bit.
let private bits (population: IPopulation) (members: int list) = [
    for set in population.Tensors() do
        for name, tensor in Seq.zip set.Value.Names set.Value.Tensors do
            for m in members do
                use row = tensor[int64 m].clone()
                $"{set.Key}/{name}", row.contiguous().bytes.ToArray()
]

let private same (a: float[]) (b: float[]) =
    Array.forall2 (fun (x: float) (y: float) -> x.Equals y) a b

/// An agent whose update rule gives NaN to some members after some calls.
let private failing (configuration: RunConfiguration) (members: int list) (calls: int) : IExperiment =
    let derived = DerivedSettings.Of configuration
    let mutable made = 0

    let around (rule: UpdateRule<Rollout>) =
        UpdateRule<Rollout>
            .Create(
                rule.Name,
                rule.Init,
                (fun learner hyper data differentiation ->
                    made <- made + 1
                    let step = rule.Step.Invoke(learner, hyper, data, differentiation)

                    if made <= calls then
                        step
                    else
                        let factors = Array.create derived.Seeds.Count 1.0f

                        for m in members do
                            factors[m] <- nanf

                        let spoil (t: Tensor) =
                            t.mul (
                                torch
                                    .tensor(factors)
                                    .reshape([| int64 factors.Length; yield! Array.create (t.shape.Length - 1) 1L |])
                            )

                        {
                            step with
                                Learner = {
                                    step.Learner with
                                        Parameters = step.Learner.Parameters.Map spoil
                                }
                        })
            )

    new PopulationExperiment(derived, ActorCriticAgent.Create(configuration, around))

let private freezing =
    testList "a member whose numbers are not finite" [
        for kind in kinds do
            for set in [ "learner"; "meta" ] do
                if set = "learner" || not (kind.Contains "fixed") then
                    test $"is frozen, and the others are those of a population without it: {kind}, {set}" {
                        let configuration = settings kind []
                        use with' = populationOf configuration
                        use without = populationOf (settings kind [ "seeds=[3,99]" ])

                        for step in 1..30 do
                            if step = 8 then
                                poison with' set 1L

                            let all, others = with'.Advance(), without.Advance()
                            Expect.equal all.Steps others.Steps "steps"

                            for metric in 0 .. all.Values.Length - 1 do
                                Expect.isTrue
                                    (same [| all.Values[metric][0]; all.Values[metric][2] |] others.Values[metric])
                                    $"metric {metric} of the others at meta-step {step}"

                                if Seq.length with'.Frozen > 0 then
                                    Expect.isTrue (Double.IsNaN(all.Values[metric][1])) "nothing is reported of it"

                        Expect.equal (bits with' [ 0; 2 ]) (bits without [ 0; 1 ]) "every number of the others"

                        for frozen in with'.Frozen do
                            Expect.equal (frozen.Member, frozen.Seed) (1, 17L) "who"
                            Expect.isGreaterThan frozen.EnvironmentStep 0L "when"

                        if set = "learner" then
                            Expect.hasLength with'.Frozen 1 "frozen"

                        for row in bits with' [ 1 ] do
                            for at in 0..4 .. (snd row).Length - 4 do
                                Expect.isTrue (Single.IsFinite(BitConverter.ToSingle(snd row, at))) (fst row)

                        let numbers = with'.Numbers()
                        Expect.all numbers.Contexts (Array.forall Double.IsFinite) "a checkpoint can hold its context"
                    }

        test "ends the run by default, with its seed" {
            let configuration = settings "bmg-reward" [ "run.whenNotFinite=stop" ]
            use population = failing configuration [ 1 ] 20
            let mutable failure: NumericalFailureException | null = null

            try
                for _ in 1..20 do
                    population.Advance() |> ignore
            with :? NumericalFailureException as e ->
                failure <- e

            let failure = nonNull failure
            Expect.equal (failure.Member, failure.Seed) (1, 17L) "who"
            Expect.stringContains failure.Message "of member 1 (seed 17) became NaN" "the message"
        }

        test "keeps its last good parameters, stays frozen after a resume, and the others go on bit for bit" {
            inDirectory (fun root ->
                let configuration = settings "bmg-reward" []
                let path = Path.Combine(root, "a.safetensors")
                use straight = failing configuration [ 1 ] 30

                for _ in 1..10 do
                    straight.Advance() |> ignore

                Expect.equal [ for mark in straight.Frozen -> mark.Member, mark.Seed ] [ 1, 17L ] "frozen"

                straight.Save(path, "")
                // Nobody makes it fail any more.
                use resumed = new PopulationExperiment(configuration, DerivedSettings.Of configuration) :> IExperiment
                resumed.Restore path |> ignore
                Expect.sequenceEqual resumed.Frozen straight.Frozen "the mark"

                for _ in 1..10 do
                    let a, b = straight.Advance(), resumed.Advance()
                    Expect.isTrue (Array.forall2 same a.Values b.Values) "the same reports"

                    for metric in b.Values do
                        Expect.isTrue (Double.IsNaN metric[1]) "nothing of the frozen one"
                        Expect.isTrue (Double.IsFinite metric[0]) "something of the others")
        }

        test "is the same one in whichever part it lies, before and after a resume" {
            inDirectory (fun root ->
                let file name =
                    Path.Combine(root, name + ".safetensors")

                let experiment (threads: int) : IExperiment =
                    let configuration = settings "bmg-reward" [ $"threads={threads}" ]
                    new PopulationExperiment(configuration, DerivedSettings.Of configuration)

                for kind in 0..2 do
                    use healthy = experiment 1
                    healthy.Advance() |> ignore
                    healthy.Save(file "healthy", "")

                    // One member's parameters are too large to go on with.
                    using (Bmg.Export.Checkpoints.CheckpointFile.Read(file "healthy")) (fun checkpoint ->
                        use _ = torch.no_grad ()

                        for tensor in checkpoint.Set("learner").Tensors do
                            tensor[int64 kind].fill_(torch.tensor(1e38f).ToScalar()) |> ignore

                        Bmg.Export.Checkpoints.CheckpointFile.Write(file "poisoned", checkpoint)
                        |> ignore)

                    let frozen = [
                        for threads in 1..3 do
                            use population = experiment threads
                            population.Restore(file "poisoned") |> ignore

                            for _ in 1..3 do
                                population.Advance() |> ignore

                            population.Save(file "frozen", "")
                            use resumed = experiment (4 - threads)
                            resumed.Restore(file "frozen") |> ignore
                            Expect.sequenceEqual resumed.Frozen population.Frozen "after a resume"
                            let report = resumed.Advance()

                            for metric in report.Values do
                                for m in 0..2 do
                                    Expect.equal (Double.IsNaN metric[m]) (m = kind) "the frozen one alone"

                            List.ofSeq population.Frozen
                    ]

                    Expect.equal (List.distinct frozen).Length 1 "the same in any part"

                    Expect.equal
                        [ for mark in frozen.Head -> mark.Member, mark.Seed ]
                        [ kind, [ 3L; 17L; 99L ][kind] ]
                        "who")
        }

        for plainly in [ true; false ] do
            test $"acts no more from there on, and the others as ever (plainly: {plainly})" {
                let configuration = settings "bmg-reward" []
                let agent = ActorCriticAgent.Create(configuration, null)
                let seeds = [| Seed.Of 3L; Seed.Of 17L; Seed.Of 99L |]
                use _ = torch.NewDisposeScope()

                let good = ActorCritic.init agent.Networks Initialization.Uniform seeds torch.float32 torch.CPU

                let broken =
                    good.Map(fun t ->
                        let copy = t.clone ()
                        copy[1L].fill_(torch.tensor(nanf).ToScalar()) |> ignore
                        copy)

                let collector () =
                    Acting.RolloutCollector(
                        new Acting.Streams(configuration, seeds, 1, 0),
                        agent.Networks,
                        seeds,
                        16,
                        0.97,
                        Acting.RecentContext(3, 3, Bmg.Training.Configuration.ContextScaling.Raw),
                        torch.CPU,
                        plainly,
                        Guard = MemberGuard(seeds, 0, true)
                    )

                let bad = collector ()
                let fine = collector ()
                let rows (t: Tensor) (m: int64) = t[m].contiguous().bytes.ToArray()

                for round in 1..3 do
                    let a, b = bad.Collect broken, fine.Collect good

                    for m in [ 0L; 2L ] do
                        Expect.equal (rows a.Data.Observations m) (rows b.Data.Observations m) "observations"
                        Expect.equal (rows a.Data.Actions m) (rows b.Data.Actions m) "actions"
                        Expect.equal (rows a.Data.Rewards m) (rows b.Data.Rewards m) "rewards"

                    Expect.all (rows a.Data.Actions 1L) ((=) 0uy) "no action of the frozen one"
                    Expect.all (rows a.Data.Rewards 1L) ((=) 0uy) "and no reward"

                    if round > 1 then
                        Expect.all (rows a.Data.Observations 1L) ((=) 0uy) "and nothing seen any more"

                let mark = Seq.exactlyOne bad.Guard.Frozen
                Expect.equal (mark.Member, mark.Seed, mark.EnvironmentStep) (1, 17L, 0L) "the mark"
            }

        test "when all are frozen the run fails and names them" {
            use population = failing (settings "bmg-reward" []) [ 0; 1; 2 ] 20

            let failure =
                Expect.throwsC
                    (fun () ->
                        for _ in 1..20 do
                            population.Advance() |> ignore)
                    id

            Expect.isTrue (failure :? NumericalFailureException) "its kind"

            for name in [ "member 0 (seed 3)"; "member 1 (seed 17)"; "member 2 (seed 99)" ] do
                Expect.stringContains failure.Message name "who"
        }
    ]

/// The program with experiments in which the second member fails.
let private program (calls: int) (arguments: string list) : int * string * string =
    use output = new StringWriter()
    use error = new StringWriter()
    let host = ProgramHost.Create(output, error, CancellationToken.None)

    let host =
        TrainingHost(
            Catalogue = Reading.catalogue,
            Experiments = {
                new IExperimentFactory with
                    member _.Create configuration = failing configuration [ 1 ] calls
            },
            Finish = host.Finish,
            Evaluate = host.Evaluate,
            Bench = host.Bench,
            Out = output,
            Error = error,
            Interactive = false,
            Stop = Nullable CancellationToken.None
        )

    let code = TrainingCli.Run(List.toArray arguments, host)
    code, output.ToString(), error.ToString()

let private marks =
    testList "is marked" [
        test "in the record, metrics, table, summary, report and TensorBoard, and is never exported" {
            inDirectory (fun root ->
                let file = Path.Combine(root, "small.json")
                File.WriteAllText(file, (settings "bmg-reward" []).ToJson())
                let path = Path.Combine(root, "run")
                let output = program 30 [ "train"; file; "--output"; path ] |> ok
                let run = RunDirectory.Open path
                let mark = "member 1 (seed 17) frozen at environment step"
                Expect.stringContains output (mark + " ") "said when it happens"
                Expect.stringContains output "1      17  frozen at environment step" "the table"
                let record = RunRecord.Read run
                Expect.equal [ for each in record.Frozen -> each.Member, each.Seed ] [ 1, 17L ] "the record"
                let log = MetricsLog.Read(run.Metrics, record.Metrics)

                for metric in log.Values do
                    let last = Seq.last metric.Value
                    Expect.isTrue (Double.IsNaN last[1]) $"{metric.Key} of it"
                    Expect.isTrue (Double.IsFinite last[0]) $"{metric.Key} of another"

                let summary = nonNull (RunSummary.Read run)
                Expect.equal (Seq.toList summary.Frozen) (Seq.toList record.Frozen) "the summary"
                Expect.isTrue (Double.IsNaN summary.TotalReward[1]) "no total"

                Expect.floatClose
                    Accuracy.high
                    summary.TotalRewardSpread.Mean
                    ((summary.TotalReward[0] + summary.TotalReward[2]) / 2.0)
                    "the mean of the others"

                let page = File.ReadAllText run.Report
                Expect.stringContains page mark "the report"
                Expect.stringContains page "<td>1</td><td>17</td><td>frozen at " "its row"

                let points = TensorBoardTests.points run.TensorBoard
                Expect.exists points (fun (tag, _, _) -> tag = "frozen/member 1 (seed 17)") "TensorBoard"

                let last = points |> List.filter (fun (tag, _, _) -> tag = "reward/member 1 (seed 17)")
                Expect.all last (fun (_, step, _) -> step < 600L) "no points of it afterwards"
                Expect.stringContains output "Exported the policy of member " "exported"
                Expect.isFalse (output.Contains "Exported the policy of member 1") "another one"
                // Whoever asks for it is told.
                Expect.stringContains
                    (program 30 [ "evaluate"; path; "--steps"; "100" ] |> ok)
                    "17, frozen"
                    "evaluated"

                use exported = new StringWriter()
                use error = new StringWriter()
                let file = Path.Combine(root, "member.onnx")

                let code =
                    Bmg.Export.CommandLine.ExportCli.Run(
                        [| "export"; path; "--member"; "1"; "--output"; file |],
                        exported,
                        error
                    )

                Expect.equal (code, error.ToString()) (0, "") "exported"
                Expect.stringContains (exported.ToString()) "of member 1 (seed 17), frozen since" "said")
        }

        test "a study goes on without it and its row says so" {
            inDirectory (fun root ->
                let file = Path.Combine(root, "small.json")
                File.WriteAllText(file, (settings "bmg-reward" []).ToJson())
                let sweep = Path.Combine(root, "sweep")

                let output =
                    program 30 [ "sweep"; file; "--grid"; "learner.discount=0.9,0.99"; "--output"; sweep ]
                    |> ok

                Expect.stringContains output "2 of 3" "how many seeds"

                Expect.stringContains
                    output
                    "0001: 2 of 3 seeds, the others are left out: member 1 (seed 17) frozen"
                    "which is left out"

                for line in File.ReadAllLines(Path.Combine(sweep, "sweep.csv"))[1..] do
                    Expect.stringEnds line ",1" "one frozen"
                    Expect.isFalse (line.Contains ",,,") "numbers"

                Directory.CreateDirectory(Path.Combine(root, "configs")) |> ignore
                let study = study root [ 8 ]
                File.Copy(file, Path.Combine(root, "configs", "cell-0.json"), true)
                let output = program 30 (reproducing root [ "--steps"; "1000" ]) |> ok
                Expect.stringContains output "1 000 × 2 of 3 seeds" "the row"

                Expect.stringContains
                    output
                    "cell-0: 2 of 3 seeds, the others are left out: member 1 (seed 17) frozen"
                    "the note"

                let result = nonNull (CellResult.Read(resultsOf root, "cell-0"))
                Expect.isTrue (Double.IsNaN result.TotalReward[1]) "no result"

                for probe in nonNull result.Probes do
                    Expect.isTrue (Double.IsNaN probe.Values[1] && Double.IsFinite probe.Mean) "nor an answer"

                ignore study)
        }

        test "a run that stopped at it goes on when it is to be frozen" {
            inDirectory (fun root ->
                let file = Path.Combine(root, "small.json")
                File.WriteAllText(file, (settings "bmg-reward" [ "run.whenNotFinite=stop" ]).ToJson())
                let path = Path.Combine(root, "run")
                let code, output, error = program 100 [ "train"; file; "--output"; path ]
                Expect.equal code 1 output
                Expect.stringContains error "of member 1 (seed 17) became NaN" "who"
                Expect.stringContains error "run.whenNotFinite=freeze" "what could be done"
                let before = (RunRecord.Read(RunDirectory.Open path)).EnvironmentSteps
                Expect.isGreaterThan before 0L "a checkpoint on the way"

                let output =
                    program 5 [ "train"; "--resume"; path; "--set"; "run.whenNotFinite=freeze" ]
                    |> ok

                Expect.stringContains output "1      17  frozen at environment step" "the table"
                let mark = Seq.exactlyOne (RunRecord.Read(RunDirectory.Open path)).Frozen
                Expect.isGreaterThan mark.EnvironmentStep before "since then")
        }

        test "a study that stopped at it goes on when it is to be frozen" {
            inDirectory (fun root ->
                let file = Path.Combine(root, "small.json")
                File.WriteAllText(file, (settings "bmg-reward" [ "run.whenNotFinite=stop" ]).ToJson())

                let sweep calls more =
                    program
                        calls
                        ([
                            "sweep"
                            file
                            "--grid"
                            "learner.discount=0.9"
                            "--output"
                            Path.Combine(root, "sweep")
                         ]
                         @ more)
                    |> ok

                Expect.stringContains (sweep 100 []) "0001 failed: " "stopped"
                Expect.stringContains (sweep 5 [ "--set"; "run.whenNotFinite=freeze" ]) "2 of 3" "frozen")
        }
    ]

let private remains =
    testList "what a kill leaves" [
        test "a directory that was being cleared is cleared for good" {
            inDirectory (fun root ->
                let sweep = Path.Combine(root, "all")
                let half = Path.Combine(sweep, "0001")
                Directory.CreateDirectory(Path.Combine(half, "checkpoints")) |> ignore
                File.WriteAllText(Path.Combine(half, "run.json"), "{}")
                command (sweeping root "all" []) |> ok |> ignore
                Expect.isTrue (File.Exists(RunDirectory.Open(half).Checkpoint)) "the run"
                // Of a study that is there already, too.
                Directory.Delete(half, true)
                Directory.CreateDirectory(Path.Combine(half, "checkpoints")) |> ignore
                File.WriteAllText(Path.Combine(half, "run.json"), "{}")
                let (code, _, error), advances = counted (sweeping root "all" [])
                Expect.equal (code, error, advances) (0, "", 10) "this point alone")
        }

        test "of a reproduction too" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                let half = Path.Combine(root, "runs", "cell-0")
                command (reproducing root []) |> ok |> ignore
                Directory.Delete(resultsOf root, true)
                File.Delete(RunDirectory.Open(half).Configuration)
                let (code, _, error), advances = counted (reproducing root [])
                Expect.equal (code, error, advances) (0, "", 40) "all of it")
        }

        test "another's directory is not taken for remains" {
            inDirectory (fun root ->
                let mine = Path.Combine(root, "mine", "0001")
                Directory.CreateDirectory mine |> ignore
                File.WriteAllText(Path.Combine(mine, "letter.txt"), "dear all")
                command (sweeping root "mine" []) |> refused "has no study.json"
                Expect.isTrue (File.Exists(Path.Combine(mine, "letter.txt"))) "left alone")
        }

        test "what was set aside, and files half written, go at the next start" {
            inDirectory (fun root ->
                study root [ 8 ] |> ignore
                command (reproducing root []) |> ok |> ignore
                command (sweeping root "all" []) |> ok |> ignore
                let runs, all = Path.Combine(root, "runs"), Path.Combine(root, "all")

                let aside = [
                    for place in [ runs; all ] -> Path.Combine(place, ".remains-0001-0123456789abcdef")
                ]

                for each in aside do
                    Directory.CreateDirectory(Path.Combine(each, "checkpoints")) |> ignore
                    File.WriteAllText(Path.Combine(each, "run.json"), "{}")

                File.Delete(Path.Combine(resultsOf root, "cell-0.json"))
                Directory.CreateDirectory(Path.Combine(all, "parts")) |> ignore

                let partial = [
                    Path.Combine(runs, "study.json.partial")
                    Path.Combine(resultsOf root, "cell-0.json.partial")
                    Path.Combine(resultsOf root, "report.html.partial")
                    Path.Combine(all, "study.json.partial")
                    Path.Combine(all, "sweep.csv.partial")
                    Path.Combine(all, "ranked.txt.partial")
                    Path.Combine(all, "parts", "part-1-of-2.json.partial")
                ]

                for each in partial do
                    File.WriteAllText(each, "{")

                let busy = Path.Combine(all, "other.json.partial")
                use _ = new FileStream(busy, FileMode.Create, FileAccess.Write, FileShare.None)
                command (reproducing root []) |> ok |> ignore
                command (sweeping root "all" []) |> ok |> ignore

                for each in aside do
                    Expect.isFalse (Directory.Exists each) each

                for each in partial do
                    Expect.isFalse (File.Exists each) each

                Expect.isTrue (File.Exists busy) "not what another process writes")
        }

        test "of a run, when it goes on" {
            inDirectory (fun root ->
                let run = Path.Combine(root, "run")

                stoppedAfter 5 [ "train"; gridConfig root; "--set"; "environmentSteps=100"; "--output"; run ]
                |> ignore

                let partial = [
                    Path.Combine(run, "run.json.partial")
                    Path.Combine(run, "checkpoints", "latest.safetensors.partial")
                ]

                for each in partial do
                    File.WriteAllText(each, "{")

                command [ "train"; "--resume"; run ] |> ok |> ignore

                for each in partial do
                    Expect.isFalse (File.Exists each) each)
        }
    ]

/// A theory study of seven methods.
let private theoryText (name: string) (metaSteps: int) =
    $"""{{ "name": "{name}", "conditionNumbers": [20, 100], "horizons": [1, 3], "targetSteps": [1, 2, 4], "metaSteps": {metaSteps},
          "learnerSteps": 4, "seeds": 2 }}"""

/// The program, told of every line of progress.
let private theory (stop: CancellationToken) (arguments: string list) : int * string * string =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = TrainingCli.Run(List.toArray arguments, ProgramHost.Create(output, error, stop))
    code, output.ToString(), error.ToString()

/// theory.json without its times.
let private measured (directory: string) =
    let all =
        (nonNull (JsonNode.Parse(File.ReadAllText(Path.Combine(directory, "theory.json"))))).AsObject()

    all.Remove "seconds" |> ignore
    all.ToJsonString()

let private theories =
    testList "theory" [
        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 10
            }
            "stopped anywhere, it keeps what is done, and measures the rest alone"
        <| Prop.forAll (Arb.fromGen (Gen.choose (0, 7))) (fun done' ->
            let configurations = [| Theory.TheoryReader.Read(theoryText "a" 5, "test") |]
            use stop = new CancellationTokenSource()
            let mutable kept = 0

            if done' = 0 then
                stop.Cancel()

            let part =
                Theory.TheorySummary.Measure(
                    configurations,
                    ignore,
                    null,
                    (fun summary ->
                        kept <- kept + 1
                        Expect.isNotNull summary.Missing "not all yet"

                        if kept = done' then
                            stop.Cancel()),
                    stop.Token
                )

            let methods (summary: Theory.TheorySummary) =
                summary.Studies[0].Cells
                |> Seq.map (fun cell -> cell.Method)
                |> Seq.distinct
                |> List.ofSeq

            Expect.hasLength (methods part) done' "what is done"
            Expect.hasLength (nonNull part.Missing) (8 - done' + 1) "what is missing, and the one-step study"
            let mutable more = 0

            let rest = Theory.TheorySummary.Measure(configurations, ignore, part, (fun _ -> more <- more + 1))

            Expect.equal more (8 - done') "the rest alone"
            Expect.isNull rest.Missing "all"
            let whole = Theory.TheorySummary.Measure(configurations, ignore)
            Expect.equal (methods rest) (methods whole) "the same order"

            for a, b in Seq.zip whole.Studies[0].Cells rest.Studies[0].Cells do
                Expect.equal (List.ofArray b.Loss) (List.ofArray a.Loss) "the same numbers")

        test "on a signal it stops soon with 130, writes what is done, says what is missing, and goes on" {
            inDirectory (fun root ->
                let file name = Path.Combine(root, name)
                File.WriteAllText(file "a.json", theoryText "a" 5)
                File.WriteAllText(file "b.json", theoryText "b" 1_000_000) // Days.
                let command out = [ "theory"; file "a.json"; file "b.json"; "--output"; file out ]
                use stop = new CancellationTokenSource()
                let running = System.Threading.Tasks.Task.Run(fun () -> theory stop.Token (command "out"))
                let written = Path.Combine(file "out", "theory.json")

                // The first study is done, and the second has begun.
                let begun () =
                    File.Exists written
                    && not ((File.ReadAllText written).Contains "\"b: untrained\"")

                while not running.IsCompleted && not (begun ()) do
                    Thread.Sleep 20

                stop.Cancel()
                let code, output, error = running.Result
                Expect.equal code 130 (output + error)
                Expect.stringContains output "a: f after 3 steps" "what is done"
                Expect.stringContains output "Missing: b: MG; b: BMG, L = 1, L2" "what is missing"
                Expect.stringContains output "one meta-step. To go on: " "how to go on"
                Expect.stringContains output (Bmg.Export.CommandLine.ThisProgram.Line "theory ") "with what to paste"
                Expect.isNotNull (Xml.Linq.XDocument.Load(Path.Combine(file "out", "theory.svg"))).Root "a picture"
                // With other configurations the directory is another's.
                File.WriteAllText(file "b.json", theoryText "b" 5)

                theory CancellationToken.None (command "out")
                |> refused "holds no results of these configurations"

                // As if the second had been as short from the start.
                File.WriteAllText(
                    written,
                    (File.ReadAllText written).Replace("\"metaSteps\": 1000000", "\"metaSteps\": 5")
                )

                theory CancellationToken.None (command "out") |> ok |> ignore
                theory CancellationToken.None (command "whole") |> ok |> ignore
                Expect.equal (measured (file "out")) (measured (file "whole")) "the same as in one go"
                theory CancellationToken.None (command "out") |> ok |> ignore)
        }

        test "asked to stop before anything is done, it says that all is missing" {
            inDirectory (fun root ->
                let file name = Path.Combine(root, name)
                File.WriteAllText(file "a.json", theoryText "a" 5)

                let code, output, _ =
                    theory (CancellationToken true) [ "theory"; file "a.json"; "--output"; file "out" ]

                Expect.equal code 130 output
                Expect.stringContains output "Missing: a: untrained; a: MG" "what is missing")
        }
    ]

/// What a text breaks of a schema; knows what our schemas use.
let rec private breaks (schema: JsonObject) (path: string) (node: JsonNode | null) : string list =
    let kind =
        match node with
        | null -> "null"
        | node ->
            match node.GetValueKind() with
            | System.Text.Json.JsonValueKind.Object -> "object"
            | System.Text.Json.JsonValueKind.Array -> "array"
            | System.Text.Json.JsonValueKind.String -> "string"
            | System.Text.Json.JsonValueKind.Number ->
                if Double.IsInteger(node.GetValue<float>()) then
                    "integer"
                else
                    "number"
            | _ -> "boolean"

    let number (key: string) (wrong: float -> float -> bool) =
        match schema[key] with
        | null -> []
        | limit ->
            match node with
            | null -> []
            | value when
                (kind = "integer" || kind = "number")
                && wrong (value.GetValue<float>()) (limit.GetValue<float>())
                  ->
                  [ $"{path}: {key}" ]
            | _ -> []

    let types =
        match schema["type"] with
        | null -> []
        | :? JsonArray as several -> [ for each in several -> string each ]
        | one -> [ string one ]

    [
        if
            not (List.isEmpty types)
            && not (List.contains kind types)
            && not (kind = "integer" && List.contains "number" types)
        then
            $"{path}: a {kind}, expected {types}"

        match schema["enum"] with
        | :? JsonArray as choices when choices |> Seq.forall (fun choice -> string choice <> string node) ->
            $"{path}: none of the choices"
        | _ -> ()

        yield! number "minimum" (<)
        yield! number "exclusiveMinimum" (<=)
        yield! number "maximum" (>)
        yield! number "exclusiveMaximum" (>=)

        match schema["pattern"] with
        | null -> ()
        | pattern ->
            if
                kind = "string"
                && not (Text.RegularExpressions.Regex.IsMatch(string node, string pattern))
            then
                $"{path}: pattern"

        match schema["anyOf"], node with
        | (:? JsonArray as choices), _ ->
            // One of them fits; where none does, what is wrong with the one that comes nearest.
            yield!
                [
                    for choice in choices -> List.ofSeq (breaks ((nonNull choice).AsObject()) path node)
                ]
                |> List.minBy List.length
        | _, (:? JsonObject as members) ->
            let known = (nonNull schema["properties"]).AsObject()

            for each in members do
                match known[each.Key] with
                | null -> $"{path}.{each.Key}: unknown"
                | inner -> yield! breaks (inner.AsObject()) $"{path}.{each.Key}" each.Value

            match schema["required"] with
            | null -> ()
            | required ->
                for name in required.AsArray() do
                    if not (members.ContainsKey(string name)) then
                        $"{path}.{name}: missing"
        | _, (:? JsonArray as items) ->
            match schema["minItems"] with
            | null -> ()
            | least ->
                if items.Count < least.GetValue<int>() then
                    $"{path}: too few"

            for i in 0 .. items.Count - 1 do
                yield! breaks ((nonNull schema["items"]).AsObject()) $"{path}.{i}" items[i]
        | _ -> ()
    ]

let private paperConfigs =
    let rec search (folder: DirectoryInfo | null) =
        match folder with
        | null -> failtest "no paper-configs above the tests"
        | folder ->
            let here = Path.Combine(folder.FullName, "paper-configs")
            if Directory.Exists here then here else search folder.Parent

    search (DirectoryInfo AppContext.BaseDirectory)

let private lenient =
    System.Text.Json.JsonDocumentOptions(
        CommentHandling = System.Text.Json.JsonCommentHandling.Skip,
        AllowTrailingCommas = true
    )

let private parse (text: string) : JsonNode =
    nonNull (JsonNode.Parse(text, Nullable(), lenient))

let private schemas =
    let printed (kind: string) : string = command [ "schema"; kind ] |> ok

    testList "schemas" [
        for kind, file in
            [
                "run", "schema.json"
                "theory", "theory-schema.json"
                "study", "study-schema.json"
            ] do
            test $"{file} is what the command prints" {
                Expect.equal
                    (File.ReadAllText(Path.Combine(paperConfigs, file)))
                    (printed kind)
                    $"out of date: dotnet run --project Bmg.Training -- schema {kind} > paper-configs/{file}"
            }

        for file in Directory.GetFiles(paperConfigs, "*.json", SearchOption.AllDirectories) do
            if not (file.EndsWith "schema.json") then
                test $"{Path.GetRelativePath(paperConfigs, file)} names its schema and keeps to it" {
                    let root = parse (File.ReadAllText file)
                    let here = nonNull (Path.GetDirectoryName file)
                    let schema = Path.GetFullPath(Path.Combine(here, string root["$schema"]))

                    let expected =
                        match Path.GetFileName here with
                        | "theory" -> "theory-schema.json"
                        | "studies" -> "study-schema.json"
                        | _ -> "schema.json"

                    Expect.equal schema (Path.Combine(paperConfigs, expected)) "its schema"
                    Expect.isEmpty (breaks ((parse (File.ReadAllText schema)).AsObject()) "" root) "faults"
                }

        for kind, text, expected in
            [
                "run", """{ "seeds": [1, -1] }""", [ ".seeds.1: minimum" ]
                "run", """{ "run": { "whenNotFinite": "ignore" } }""", [ ".run.whenNotFinite: none of the choices" ]
                "theory", """{ "horizon": [1] }""", [ ".horizon: unknown" ]
                "theory", """{ "horizons": [] }""", [ ".horizons: too few" ]
                "theory", """{ "meta": { "optimizer": "lion" } }""", [ ".meta.optimizer: none of the choices" ]
                "theory", """{ "seed": 9007199254740992 }""", [ ".seed: maximum" ]
                "study", """{ "name": "a" }""", [ ".cells: missing" ]
                "study",
                """{ "name": "a b", "cells": [{ "id": "x", "published": { "mean": 1 } }] }""",
                [
                    ".name: pattern"
                    ".cells.0.published.deviation: missing"
                    ".cells.0.config: missing"
                ]
            ] do
            test $"what is wrong breaks them: {text}" {
                Expect.equal (breaks ((parse (printed kind)).AsObject()) "" (parse text)) expected "what is broken"
            }

        test "each setting is explained" {
            for kind in [ "theory"; "study" ] do
                let rec check (path: string) (schema: JsonObject) =
                    match schema["properties"] with
                    | null -> ()
                    | settings ->
                        for each in settings.AsObject() do
                            if each.Key <> "$schema" then
                                let setting = (nonNull each.Value).AsObject()
                                Expect.isTrue (setting.ContainsKey "description") $"{path}.{each.Key}"
                                check $"{path}.{each.Key}" setting

                                match setting["items"] with
                                | :? JsonObject as items -> check $"{path}.{each.Key}.0" items
                                | _ -> ()

                check "" ((parse (printed kind)).AsObject())
        }

        test "another kind is refused" {
            command [ "schema"; "studies" ]
            |> refused "KIND: found studies, expected one of run, theory, study"
        }
    ]

let tests = testList "study faults" [ freezing; marks; remains; theories; schemas ]
