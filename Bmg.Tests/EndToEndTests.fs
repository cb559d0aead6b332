/// The whole path as a user walks it: configuration, training, checkpoint, resume, export, evaluation; and what a kill leaves behind.
module Bmg.Tests.EndToEndTests

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Export.CommandLine
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Agents
open Bmg.Training.Acting
open Bmg.Training.Environments
open Bmg.Training.Experiments
open Expecto
open FsCheck
open FsCheck.FSharp
open TorchSharp

let private scratch () : string =
    let path = Path.Combine(Path.GetTempPath(), "bmg-" + Guid.NewGuid().ToString("N"))
    Directory.CreateDirectory path |> ignore
    path

let withScratch (body: string -> unit) =
    let path = scratch ()

    try
        body path
    finally
        Directory.Delete(path, true)

/// A learner small enough that a meta-step takes milliseconds.
let small (kind: string) =
    if kind.StartsWith "q-" then
        $"""{{
      "name": "small", "members": 2, "environmentSteps": 2000, "seed": 11, "threads": 1,
      "environment": {{ "swapPeriod": 150 }},
      "learner": {{ "agent": "q-lambda", "hidden": [16, 8], "targetSteps": 5,
                    "optimizer": {{ "name": "adam", "learningRate": 0.003 }} }},
      "matching": {{ "reduction": "mean" }},
      "meta": {{ "method": "{kind[2..]}", "parameters": "network", "context": "rich", "contextLength": 3, "contextScaling": "normalized",
                 "hidden": [6], "pretrainingSteps": 5, "learningRate": 0.01 }},
      "run": {{ "metricsEvery": 100, "checkpointEvery": 100 }}
    }}"""
    else
        let method = kind.Split('-')[0]

        let features =
            if kind.EndsWith "-features" then
                """{ "name": "step-cosine" }, { "name": "previous-hyper-parameters" }, { "name": "action-probabilities" }"""
            else
                ""

        let normalized = (kind.EndsWith "-normalized").ToString().ToLowerInvariant()

        $"""{{
      "name": "small", "members": 2, "environmentSteps": 2000, "seed": 11, "threads": 1,
      "environment": {{ "swapPeriod": 150 }},
      "learner": {{ "hidden": [8, 8], "rolloutLength": 5, "innerSteps": 2, "targetSteps": 3, "returns": "lambda",
                    "normalizeObservations": {normalized}, "normalizeRewards": {normalized},
                    "optimizer": {{ "name": "momentum", "learningRate": 0.05 }} }},
      "meta": {{ "method": "{method}", "parameters": "network", "context": "reward", "contextLength": 3, "contextScaling": "normalized",
                 "features": [{features}],
                 "hidden": [6], "pretrainingSteps": 5, "learningRate": 0.01 }},
      "run": {{ "metricsEvery": 100, "checkpointEvery": 100 }}
    }}"""

let private configuration (method: string) =
    Reading.reader.Read(small method, "test", [])

let private experiment (settings: RunConfiguration) =
    new PopulationExperiment(settings, DerivedSettings.Of settings)

let methods = [| "bmg"; "mg"; "fixed"; "mg-normalized"; "bmg-features"; "q-bmg"; "q-fixed" |]

/// Every number of a checkpoint, bit for bit, with its name.
let private bits (path: string) : (string * byte[]) list =
    use checkpoint = CheckpointFile.Read path

    [
        for set in checkpoint.Sets do
            for i in 0 .. set.Value.Count - 1 do
                $"{set.Key}/{set.Value.Names[i]}", set.Value.Tensors[i].contiguous().bytes.ToArray()
        "state", Text.Encoding.UTF8.GetBytes checkpoint.Manifest.State
    ]

let private same (a: MetaStepReport) (b: MetaStepReport) =
    a.Steps = b.Steps
    && Array.forall2 (Array.forall2 (fun (x: float) y -> x.Equals y)) a.Values b.Values

let private resumeTests =
    testList "resume" [
        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 12
            }
            "an experiment that was saved and restored goes on bit for bit"
        <| fun (before: PositiveInt) (after: PositiveInt) (which: NonNegativeInt) ->
            let before, after = before.Get % 12 + 1, after.Get % 12 + 1
            let settings = configuration methods[which.Get % methods.Length]

            withScratch (fun directory ->
                let file name =
                    Path.Combine(directory, name + ".safetensors")

                use straight = experiment settings

                for _ in 1..before do
                    straight.Advance() |> ignore

                straight.Save(file "half", "host state")
                let expected = [ for _ in 1..after -> straight.Advance() ]
                straight.Save(file "straight", "")

                use resumed = experiment settings
                Expect.equal (resumed.Restore(file "half")) "host state" "the host's own state comes back"
                let found = [ for _ in 1..after -> resumed.Advance() ]
                resumed.Save(file "resumed", "")
                Expect.isTrue (List.forall2 same expected found) "the same reports"
                Expect.equal (bits (file "resumed")) (bits (file "straight")) "the same parameters, moments and worlds")

        testList "every environment of the library, learned by every method, is saved and goes on bit for bit" [
            for name in
                [
                    for part in (Bmg.Training.Library.LibraryParts.Catalogue()).Parts EnvironmentKinds.Environment.Name ->
                        part.Name
                ] do
                for method in [ "bmg"; "mg"; "fixed" ] do
                    test $"{name}, {method}" {
                        withScratch (fun directory ->
                            let file name =
                                Path.Combine(directory, name + ".safetensors")

                            let settings =
                                Reading.reader.Read(
                                    "{}",
                                    "test",
                                    [
                                        $"environment.name={name}"
                                        $"meta.method={method}"
                                        "members=2"
                                        "learner.hidden=[4]"
                                        "learner.copies=2"
                                        "learner.rolloutLength=4"
                                        "learner.rewardScale=0.01"
                                        "learner.targetSteps=2"
                                    ]
                                )

                            use straight = experiment settings

                            for _ in 1..4 do
                                straight.Advance() |> ignore

                            straight.Save(file "half", "")
                            use resumed = experiment settings
                            resumed.Restore(file "half") |> ignore

                            for _ in 1..4 do
                                Expect.isTrue (same (straight.Advance()) (resumed.Advance())) "the same reports"

                            straight.Save(file "straight", "")
                            resumed.Save(file "resumed", "")
                            Expect.equal (bits (file "resumed")) (bits (file "straight")) "the same numbers")
                    }
        ]

        test "threads change nothing, and a checkpoint of one number of them goes on with another" {
            for method in methods do
                withScratch (fun directory ->
                    let path = Path.Combine(directory, "a.safetensors")

                    let threads (count: int) =
                        experiment (Reading.reader.Read(small method, "test", [ $"threads={count}"; "members=3" ]))

                    use one = threads 1
                    use two = threads 2
                    use three = threads 3
                    Expect.equal [ one.Parts; two.Parts; three.Parts ] [ 1; 2; 3 ] "parts"

                    for _ in 1..5 do
                        Expect.isTrue (same (one.Advance()) (two.Advance())) "one thread or two"

                    two.Save(path, "")
                    three.Restore path |> ignore

                    for _ in 1..5 do
                        Expect.isTrue (same (one.Advance()) (three.Advance())) "saved with two, restored with three")
        }

        test "a checkpoint of other seeds is refused by name" {
            withScratch (fun directory ->
                let path = Path.Combine(directory, "a.safetensors")
                use first = experiment (configuration "bmg")
                first.Save(path, "")

                use other = experiment (Reading.reader.Read(small "bmg", "test", [ "seed=99" ]))

                let error = Expect.throwsC (fun () -> other.Restore path |> ignore) id
                Expect.stringContains error.Message "seeds 99, 100" "expected"
                Expect.stringContains error.Message "seeds 11, 12" "found")
        }

        test "a population's members are those that run alone" {
            use both = experiment (configuration "bmg")

            use second = experiment (Reading.reader.Read(small "bmg", "test", [ "seed=12"; "members=1" ]))

            for _ in 1..6 do
                let together, alone = both.Advance(), second.Advance()

                for metric in 0 .. together.Values.Length - 1 do
                    Expect.floatClose
                        { absolute = 1e-5; relative = 1e-3 }
                        (together.Values[metric].[1])
                        (alone.Values[metric].[0])
                        (both.Metrics[metric].Name)
        }
    ]

let private run (arguments: string list) =
    use output = new StringWriter()
    use error = new StringWriter()

    let code = TrainingCli.Run(List.toArray arguments, ProgramHost.Create(output, error))
    code, output.ToString(), error.ToString()

let private export (arguments: string list) =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = ExportCli.Run(List.toArray arguments, output, error)
    code, output.ToString(), error.ToString()

let private succeed (what: string) (code: int, output: string, error: string) =
    Expect.equal code 0 $"{what}: {output}{error}"
    output

let private pathTests =
    testList "path" [
        for method in methods do
            test $"train, evaluate, export, check with method {method}" {
                withScratch (fun directory ->
                    let file = Path.Combine(directory, "small.json")
                    let output = Path.Combine(directory, "run")
                    File.WriteAllText(file, small method)
                    let printed = run [ "train"; file; "--output"; output ] |> succeed "train"

                    for name in
                        [
                            "configuration.json"
                            "run.json"
                            "metrics.jsonl"
                            "summary.json"
                            "report.html"
                            "policy.onnx"
                            "checkpoints/latest.safetensors"
                        ] do
                        Expect.isTrue (File.Exists(Path.Combine(output, name))) name

                    Expect.stringContains printed "policy.onnx" "says where the policy lies"

                    Expect.equal
                        (File.Exists(Path.Combine(output, "meta-network.onnx")))
                        (not (method.EndsWith "fixed"))
                        "a meta-network where there is one"

                    use summary = JsonDocument.Parse(File.ReadAllText(Path.Combine(output, "summary.json")))
                    let root = summary.RootElement
                    Expect.equal (root.GetProperty("totalReward").GetArrayLength()) 2 "a total a member"
                    Expect.equal (root.GetProperty("finalRewardRate").GetArrayLength()) 2 "a rate a member"
                    Expect.isGreaterThanOrEqual (root.GetProperty("environmentSteps").GetInt64()) 2000L "length"
                    Expect.isGreaterThan (root.GetProperty("environmentStepsPerSecond").GetDouble()) 0.0 "speed"
                    Expect.isGreaterThan (root.GetProperty("peakMemoryBytes").GetInt64()) 0L "memory"

                    Expect.isLessThanOrEqual
                        (root.GetProperty("exportMaxAbsDifference").GetDouble())
                        1e-5
                        "export difference"

                    Expect.equal (root.GetProperty("seeds").GetArrayLength()) 2 "seeds"

                    Expect.equal
                        (root.GetProperty("configuration").GetProperty("name").GetString())
                        "small"
                        "configuration"

                    let member1 = Path.Combine(directory, "one.onnx")

                    export [
                        "export"
                        output
                        "--member"
                        "1"
                        "--output"
                        member1
                        if not (method.StartsWith "q-") then
                            "--value"
                    ]
                    |> succeed "export"
                    |> ignore

                    export [ "check"; member1; "--against"; output ] |> succeed "check" |> ignore
                    let inspected = export [ "inspect"; member1 ] |> succeed "inspect"
                    Expect.stringContains inspected "observation" "its input"

                    // TorchSharp and ONNX Runtime play the same member to the same rewards.
                    let rewards (text: string) =
                        text.Split('\n')
                        |> Array.pick (fun line ->
                            let words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)

                            if words.Length = 6 && words[0] = "1" && words[1] = "12" then
                                Some words
                            else
                                None)

                    let torch = run [ "evaluate"; output; "--steps"; "400" ] |> succeed "evaluate"
                    let onnx = run [ "evaluate"; member1; "--steps"; "400" ] |> succeed "evaluate"
                    Expect.equal (rewards onnx) (rewards torch) "rewards through both")
            }

        test
            "train starts from the name of an environment, flat, bounded or of bytes; a name that there is not is refused with the nearest" {
            withScratch (fun directory ->
                for environment in [ "cartpole"; "pendulum"; "pixels"; "toggles" ] do
                    let output = Path.Combine(directory, environment)

                    run [
                        "train"
                        environment
                        "--output"
                        output
                        "--quiet"
                        "--set"
                        "environmentSteps=128"
                        "--members"
                        "2"
                    ]
                    |> succeed environment
                    |> ignore

                    let resolved = File.ReadAllText(Path.Combine(output, "configuration.json"))

                    Expect.stringContains
                        resolved
                        $"\"name\": \"{environment}\""
                        "the run and its environment are named so"

                    Expect.isTrue (File.Exists(Path.Combine(output, "policy.onnx"))) "exported"

                let code, _, error = run [ "train"; "cartpol" ]
                Expect.equal code 2 error
                Expect.stringContains error "did you mean \"cartpole\"" "the nearest")
        }

        test "evaluate refuses what is neither a run nor a model, in one line" {
            withScratch (fun directory ->
                let text = Path.Combine(directory, "not.onnx")
                File.WriteAllText(text, "hello")

                for target in [ text; Path.Combine(directory, "missing"); directory ] do
                    let code, _, error = run [ "evaluate"; target ]
                    Expect.equal code 2 error
                    Expect.equal (error.Trim().Split('\n').Length) 1 error
                    Expect.stringContains error target "names the file"
                    Expect.isFalse (error.Contains "   at ") "no stack trace")
        }

        test "a learning rate that blows up stops with member and quantity, and keeps the last good checkpoint" {
            withScratch (fun directory ->
                let file = Path.Combine(directory, "small.json")
                let output = Path.Combine(directory, "run")
                File.WriteAllText(file, small "bmg")

                let arguments = [
                    "train"
                    file
                    "--output"
                    output
                    "--set"
                    "learner.optimizer.learningRate=900"
                    "--set"
                    "learner.optimizer.name=sgd"
                    "--set"
                    "environmentSteps=100000"
                ]

                let code, _, error = run arguments
                Expect.equal code 1 error
                Expect.stringContains error "member" "names the member"
                Expect.stringContains error "environment step" "names the step"

                let checkpoint = Path.Combine(output, "checkpoints", "latest.safetensors")

                if File.Exists checkpoint then
                    use _ = torch.NewDisposeScope()
                    use kept = CheckpointFile.Read checkpoint

                    for t in kept.Sets["learner"].Tensors do
                        Expect.isTrue (t.isfinite().all().item<bool>()) "what is kept is finite")
        }
    ]

/// How the training program is started in a process of its own.
let invocation (arguments: string list) : ProcessStartInfo =
    let here = AppContext.BaseDirectory

    let all =
        [
            "exec"
            "--runtimeconfig"
            Path.Combine(here, "Bmg.Tests.runtimeconfig.json")
            "--depsfile"
            Path.Combine(here, "Bmg.Tests.deps.json")
            Path.Combine(here, "Bmg.Training.dll")
        ]
        @ arguments

    let info = ProcessStartInfo("dotnet", RedirectStandardOutput = true, RedirectStandardError = true)

    for argument in all do
        info.ArgumentList.Add argument

    info

/// Starts the training program in a process of its own.
let start (arguments: string list) : Process =
    match Process.Start(invocation arguments) with
    | null -> failtest "dotnet did not start"
    | started -> started

let waitFor (what: string) (seconds: float) (condition: unit -> bool) =
    let clock = Stopwatch.StartNew()

    while not (condition ()) do
        if clock.Elapsed.TotalSeconds > seconds then
            failtest $"{what} did not happen within {seconds} s"

        Threading.Thread.Sleep 5

[<System.Runtime.InteropServices.DllImport("libc", EntryPoint = "kill")>]
extern int signal(int pid, int number)

let private processTests =
    testSequenced
    <| testList "process" [
        test "a kill at any moment leaves a checkpoint that goes on" {
            withScratch (fun directory ->
                let file = Path.Combine(directory, "small.json")
                let output = Path.Combine(directory, "run")
                let checkpoint = Path.Combine(output, "checkpoints", "latest.safetensors")
                File.WriteAllText(file, small "bmg")
                // A checkpoint after every meta-step: most of the time is spent writing one.
                let settings = [
                    "--set"
                    "run.checkpointEvery=1"
                    "--set"
                    "environmentSteps=1000000"
                    "--set"
                    "learner.hidden=[64,64]"
                ]

                let random = Random 5
                let mutable last = 0L

                for round in 0..3 do
                    let arguments =
                        if round = 0 then
                            [ "train"; file; "--output"; output ] @ settings
                        else
                            [ "train"; "--resume"; output ]

                    use running = start arguments
                    let text = running.StandardError.ReadToEndAsync()
                    running.StandardOutput.ReadToEndAsync() |> ignore

                    let written () =
                        File.Exists checkpoint
                        && File.GetLastWriteTimeUtc checkpoint > running.StartTime.ToUniversalTime()

                    waitFor "a checkpoint" 60.0 (fun () -> running.HasExited || written ())

                    if running.HasExited then
                        failtest $"stopped by itself: {text.Result}"

                    Threading.Thread.Sleep(random.Next(50, 600))
                    running.Kill()
                    running.WaitForExit()
                    use kept = CheckpointFile.Read checkpoint
                    Expect.isGreaterThanOrEqual kept.Manifest.EnvironmentSteps last $"round {round} lost nothing"
                    last <- kept.Manifest.EnvironmentSteps

                Expect.isGreaterThan last 0L "it went on at all"
                use soon = new Threading.CancellationTokenSource(TimeSpan.FromSeconds 1.0)
                use printed = new StringWriter()

                let code =
                    TrainingCli.Run(
                        [| "train"; "--resume"; output |],
                        ProgramHost.Create(printed, printed, soon.Token)
                    )

                Expect.equal code 130 (printed.ToString())

                let steps =
                    File.ReadLines(Path.Combine(output, "metrics.jsonl"))
                    |> Seq.map (fun line ->
                        use parsed = JsonDocument.Parse line
                        parsed.RootElement.GetProperty("environmentSteps").GetInt64())
                    |> Seq.toArray

                Expect.equal steps (Array.distinct (Array.sort steps)) "metrics in order, none twice")
        }

        test "Ctrl-C writes a checkpoint, says how to go on, and exits with 130" {
            withScratch (fun directory ->
                let file = Path.Combine(directory, "small.json")
                let output = Path.Combine(directory, "run")
                File.WriteAllText(file, small "mg")

                use running = start [ "train"; file; "--output"; output; "--set"; "environmentSteps=10000000" ]

                let printed = running.StandardOutput.ReadToEndAsync()
                let error = running.StandardError.ReadToEndAsync()
                let metrics = Path.Combine(output, "metrics.jsonl")

                waitFor "training" 60.0 (fun () ->
                    running.HasExited || (File.Exists metrics && FileInfo(metrics).Length > 0L))

                // A shell that starts this in the background has SIGINT ignored, and so has every child; SIGTERM is treated the same.
                let ignored =
                    File.ReadLines "/proc/self/status"
                    |> Seq.tryFind (fun line -> line.StartsWith("SigIgn:", StringComparison.Ordinal))
                    |> Option.exists (fun line -> Convert.ToUInt64(line.Substring(7).Trim(), 16) &&& 2UL <> 0UL)

                signal (running.Id, (if ignored then 15 else 2)) |> ignore
                Expect.isTrue (running.WaitForExit 30000) "stops"
                let all = printed.Result + error.Result
                Expect.equal running.ExitCode 130 all
                Expect.stringContains all "--resume" "says how to go on"
                use kept = CheckpointFile.Read(Path.Combine(output, "checkpoints", "latest.safetensors"))
                Expect.isGreaterThan kept.Manifest.EnvironmentSteps 0L "a checkpoint")
        }
    ]

let tests = testList "end to end" [ resumeTests; pathTests; processTests ]
