/// The programs in examples/, as a user builds and runs them, with few steps.
module Bmg.Tests.ExampleTests

open System
open System.IO
open System.Text.Json.Nodes
open Bmg.Export.CommandLine
open Bmg.Tests.EndToEndTests
open Expecto

[<NoComparison; NoEquality>]
type private Example = {
    Name: string
    /// What runs its program: a command and its first arguments.
    Program: string * string list
    Configuration: string
    /// A setting of its own: the path in a configuration, another value, and where the schema describes it.
    Setting: string
    Value: string
    Schema: string
    /// Flags of evaluate, and what it says then.
    Play: string list
    Played: string
}

let private twoHundred = [ "--steps"; "200" ], "200 steps"

let private run (program: string) (arguments: string list) (folder: string) =
    match Planting.runFor (TimeSpan.FromMinutes 5.0) program arguments folder with
    | Some(code, output) -> code, output
    | None -> failtest $"{program} %A{arguments} did not end"

let private succeeded (program: string) (arguments: string list) (folder: string) =
    let code, output = run program arguments folder
    Expect.equal code 0 $"{program} %A{arguments}: {output}"
    output

let private text (json: JsonNode | null) (path: string) =
    let mutable node = json

    for key in path.Split '.' do
        node <-
            match node, Int32.TryParse key with
            | null, _ -> null
            | inside, (true, index) -> inside[index]
            | inside, _ -> inside[key]

    match node with
    | null -> failtest $"there is no {path}"
    | node -> node.ToJsonString()

/// Trains, goes on, evaluates and checks the export; a setting of the example's own is changed, recorded and described.
let private lives (examples: string) (example: Example) (directory: string) =
    let program, first = example.Program

    let does arguments =
        succeeded program (first @ arguments) examples

    let output = Path.Combine(directory, example.Name)

    does [
        "train"
        example.Configuration
        "--output"
        output
        "--set"
        "environmentSteps=600"
        "--set"
        "members=2"
        "--set"
        "run.metricsEvery=200"
        "--set"
        $"{example.Setting}={example.Value}"
    ]
    |> ignore

    let recorded = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "configuration.json")))
    Expect.equal (text recorded example.Setting) example.Value "the setting that was given is recorded"

    let steps () =
        let summary = JsonNode.Parse(File.ReadAllText(Path.Combine(output, "summary.json")))
        int64 (text summary "environmentSteps")

    let before = steps ()

    does [ "train"; "--resume"; output; "--set"; $"environmentSteps={before + 600L}" ]
    |> ignore

    Expect.isGreaterThanOrEqual (steps ()) (before + 600L) "it goes on"
    let played = does ([ "evaluate"; output ] @ example.Play)
    Expect.stringContains played example.Played "it plays"
    Expect.stringContains (does [ "schema" ]) example.Schema "the schema describes the setting"

    use out = new StringWriter()
    use error = new StringWriter()

    let code =
        ExportCli.Run([| "check"; Path.Combine(output, "policy.onnx"); "--against"; output |], out, error)

    Expect.equal (code, error.ToString()) (0, "") (out.ToString())

let tests =
    testSequenced
    <| testList "examples" [
        test "each builds, trains, goes on, evaluates and exports, with settings of its own" {
            match Planting.sources () with
            | null -> skiptest "there are no sources here"
            | root ->
                let examples = Path.Combine(root, "examples")

                let configuration =
                    if DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')).Name = "debug" then
                        "Debug"
                    else
                        "Release"

                let outputs = Path.Combine(root, "artifacts", "bin", "Bmg.Training", configuration.ToLowerInvariant())

                if not (Directory.Exists outputs) then
                    skiptest "the outputs are somewhere else"

                let options = [ "-c"; configuration; "-v"; "q"; "-p:NuGetAudit=false" ]

                succeeded "dotnet" ([ "build"; "--nologo"; "Examples.slnx" ] @ options) examples
                |> ignore

                for file in [ "corridor.cs"; "moons.cs" ] do
                    succeeded "dotnet" ([ "build"; "--nologo"; file ] @ options) examples |> ignore

                let checkedBy =
                    succeeded
                        "dotnet"
                        [
                            "run"
                            "--no-build"
                            "-c"
                            configuration
                            "corridor.cs"
                            "--"
                            "check-environment"
                            "corridor"
                        ]
                        examples

                Expect.stringContains checkedBy "corridor" "the checker, on the environment in one file"

                let built (name: string) =
                    Path.Combine(examples, name, "bin", configuration, "net10.0", name), []

                withScratch (fun directory ->
                    for example in
                        [
                            {
                                Name = "corridor"
                                Program = "dotnet", [ "run"; "--no-build"; "-c"; configuration; "corridor.cs"; "--" ]
                                Configuration = "corridor.json"
                                Setting = "environment.length"
                                Value = "5"
                                Schema = "Cells to the exit."
                                Play = fst twoHundred
                                Played = snd twoHundred
                            }
                            {
                                Name = "moons"
                                Program = "dotnet", [ "run"; "--no-build"; "-c"; configuration; "moons.cs"; "--" ]
                                Configuration = "moons.json"
                                Setting = "experiment.data.noise"
                                Value = "0.1"
                                Schema = "Standard deviation of the noise on each coordinate."
                                Play = []
                                Played = "test"
                            }
                            {
                                Name = "cartpole"
                                Program = built "cartpole"
                                Configuration = "cartpole/cartpole.json"
                                Setting = "environment.noise"
                                Value = "0.02"
                                Schema = "Standard deviation of the noise on each number of the observation"
                                Play = fst twoHundred
                                Played = snd twoHundred
                            }
                            {
                                Name = "own-rule"
                                Program = built "own-rule"
                                Configuration = "own-rule/own-rule.json"
                                Setting = "target.times"
                                Value = "2"
                                Schema = "How many times the way to where the learner's own steps lead."
                                Play = fst twoHundred
                                Played = snd twoHundred
                            }
                            {
                                Name = "pendulum"
                                Program = built "pendulum"
                                Configuration = "pendulum/pendulum.json"
                                Setting = "environment.damping"
                                Value = "0.2"
                                Schema = "Part of its speed that the pendulum loses in a second."
                                Play = fst twoHundred
                                Played = snd twoHundred
                            }
                        ] do
                        lives examples example directory)

                let judged =
                    let program, first = built "own-rule"
                    succeeded program (first @ [ "verify"; "--cases"; "2" ]) examples

                Expect.stringContains judged "4 parts, 2 cases each" "the laws, on the parts of one's own"
        }

        test "the corridor and the moons take at most thirty lines each" {
            match Planting.sources () with
            | null -> skiptest "there are no sources here"
            | root ->
                for file in [ "corridor.cs"; "moons.cs" ] do
                    let lines = File.ReadAllLines(Path.Combine(root, "examples", file))
                    Expect.isLessThanOrEqual lines.Length 30 $"lines of {file}"
        }
    ]
