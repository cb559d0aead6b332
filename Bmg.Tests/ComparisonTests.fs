/// Several runs beside each other: train of several configurations, report of several runs, and what they say.
module Bmg.Tests.ComparisonTests

open System
open System.IO
open System.Text.Json
open Bmg.Export.Checkpoints
open Bmg.Training.CommandLine
open Bmg.Training.Progress
open Bmg.Training.Reporting
open Expecto
open Bmg.Tests.EndToEndTests

let private command (arguments: string list) =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = TrainingCli.Run(List.toArray arguments, ProgramHost.Create(output, error))
    code, output.ToString(), error.ToString()

let private succeeded (arguments: string list) =
    let code, output, error = command arguments
    Expect.equal code 0 $"%A{arguments}: {output}{error}"
    output

/// A learner of action values that swaps once, quick to run.
let private configuration (name: string) (meta: string) =
    $"""{{ "name": "{name}", "seed": 3, "members": 3, "environmentSteps": 400, "threads": 1,
           "environment": {{ "name": "two-colors", "swapPeriod": 150 }},
           "learner": {{ "agent": "q-lambda", "hidden": [8], "targetSteps": 4 }},
           "meta": {meta}, "run": {{ "metricsEvery": 20 }} }}"""

let private fixedMeta = """{ "method": "fixed", "exploration": { "initial": 0.3 } }"""
let private learnedMeta = """{ "method": "bmg", "exploration": { "initial": 0.5 } }"""

let private two (directory: string) =
    let write name meta =
        let file = Path.Combine(directory, name + ".json")
        File.WriteAllText(file, configuration ("pair/" + name) meta)
        file

    [ write "fixed" fixedMeta; write "learned" learnedMeta ]

let private file (parts: string list) = Path.Combine(List.toArray parts)

/// A metric by line and member.
let private metric (run: string) (name: string) : float[][] =
    File.ReadAllLines(file [ run; "metrics.jsonl" ])
    |> Array.map (fun line ->
        use json = JsonDocument.Parse line

        [|
            for v in json.RootElement.GetProperty(name).EnumerateArray() -> v.GetDouble()
        |])

/// Steps at the end of each interval.
let private ends (run: string) : float[] =
    File.ReadAllLines(file [ run; "metrics.jsonl" ])
    |> Array.map (fun line ->
        use json = JsonDocument.Parse line
        json.RootElement.GetProperty("environmentSteps").GetDouble())

let tests =
    testSequenced
    <| testList "comparisons" [
        test "several configurations are trained into one directory, and their table is that of their metrics" {
            withScratch (fun directory ->
                let root = file [ directory; "both" ]
                let said = succeeded ([ "train"; "--output"; root ] @ two directory)

                for run in [ "fixed"; "learned" ] do
                    for left in [ "configuration.json"; "summary.json"; "report.html"; "policy.onnx" ] do
                        Expect.isTrue (File.Exists(file [ root; run; left ])) $"{run}/{left}"

                // Means over all steps: intervals count by their lengths.
                let means run =
                    let rows = metric (file [ root; run ]) "reward"
                    let ends = Array.append [| 0.0 |] (ends (file [ root; run ]))
                    let lengths = ends |> Array.pairwise |> Array.map (fun (from, until) -> until - from)

                    [|
                        for m in 0..2 -> Array.fold2 (fun s row l -> s + l * Array.item m row) 0.0 rows lengths / 400.0
                    |]

                let here, there = means "learned", means "fixed"
                let differences = Array.map2 (-) here there
                let mean = Array.average differences

                let deviation = sqrt ((differences |> Array.sumBy (fun d -> (d - mean) * (d - mean))) / 2.0)

                // Student's t of two degrees of freedom.
                let half = 4.302652729749462 * deviation / sqrt 3.0
                let number v = Bmg.Training.Progress.Figures.Number v

                Expect.stringContains
                    said
                    $"learned less fixed, whole run: {number mean} ± {number half} (pairs of one seed)"
                    "the difference"

                for run, values in [ "fixed", there; "learned", here ] do
                    let row =
                        said.Split '\n'
                        |> Array.find (fun l -> l.StartsWith(run + " ") && l.Contains " ± ")

                    Expect.stringContains row $" {number (Array.average values)} ± " run

                Expect.stringContains said "the world changes" "marks"
                Expect.stringContains said "rate of exploration ε, from " "what is learned is drawn"

                use json =
                    JsonDocument.Parse(
                        succeeded [ "report"; file [ root; "fixed" ]; file [ root; "learned" ]; "--json" ]
                    )

                let whole = succeeded [ "report"; root; "--json" ]

                Expect.equal
                    whole
                    (json.RootElement.GetRawText() + Environment.NewLine)
                    "the directory stands for its runs"

                let code, _, error = command [ "evaluate"; root ]
                Expect.equal code 2 error

                Expect.stringContains
                    error
                    (file [ root; "learned" ])
                    "an evaluation wants one of them, and is told which there are"

                let runs = json.RootElement.GetProperty "runs"

                for i, values in [ 0, there; 1, here ] do
                    for m in 0..2 do
                        Expect.floatClose
                            Accuracy.veryHigh
                            (runs[i].GetProperty("wholeRun").[m].GetDouble())
                            values[m]
                            $"run {i}, seed {m}"

                let less = runs[1].GetProperty "lessFirst"
                Expect.floatClose Accuracy.veryHigh (less[0].GetDouble()) mean "the difference"
                Expect.floatClose Accuracy.high (less[1].GetDouble()) half "half of its interval"

                use played =
                    JsonDocument.Parse(succeeded [ "evaluate"; file [ root; "learned" ]; "--steps"; "200"; "--json" ])

                let members = played.RootElement.GetProperty "members"
                Expect.equal (members.GetArrayLength()) 3 "members"

                for member' in members.EnumerateArray() do
                    for result in (member'.GetProperty "results").EnumerateArray() do
                        Expect.isTrue
                            (Array.contains ((result.GetProperty "phase").GetString()) [| "blue +1"; "red +1" |])
                            "the world"

                        Expect.isLessThan (abs ((result.GetProperty "value").GetDouble())) 1.0 "reward a step"

                let page = File.ReadAllText(file [ root; "comparison.html" ])
                Expect.stringContains page "<td>learned</td>" "the table"

                Expect.stringContains
                    (File.ReadAllText(file [ root; "comparison.svg" ]))
                    "rate of exploration ε"
                    "the picture")
        }

        test "what was stopped goes on where it was, and ends as if it had not been" {
            withScratch (fun directory ->
                let files = two directory
                let whole, again = file [ directory; "whole" ], file [ directory; "again" ]
                succeeded ([ "train"; "--output"; whole ] @ files) |> ignore
                succeeded ([ "train"; "--output"; again ] @ files) |> ignore
                // As if it had ended between the two.
                Directory.Delete(file [ again; "learned" ], true)
                File.Delete(file [ again; "comparison.html" ])
                let said = succeeded [ "train"; "--resume"; again ]
                Expect.stringContains said "pair/fixed: complete" "the first is left alone"

                Expect.equal
                    (metric (file [ again; "learned" ]) "reward")
                    (metric (file [ whole; "learned" ]) "reward")
                    "the same rewards"

                Expect.isTrue (File.Exists(file [ again; "comparison.html" ])) "compared"
                let code, _, error = command ([ "train"; "--output"; again ] @ files)
                Expect.equal code 2 "there is something"
                Expect.stringContains error $"--resume {again}" "what to do")
        }

        test "settings by their short names, and results as JSON alone" {
            withScratch (fun directory ->
                let root = file [ directory; "both" ]

                let said =
                    succeeded (
                        [ "train"; "--output"; root; "--steps"; "60"; "--threads"; "1"; "--json" ]
                        @ two directory
                        @ [ "--seeds"; "5"; "9" ]
                    )

                use json = JsonDocument.Parse said
                let runs = json.RootElement.GetProperty "runs"
                Expect.equal (runs.GetArrayLength()) 2 "two runs"

                for run in runs.EnumerateArray() do
                    let summary = run.GetProperty "summary"
                    let seeds = [ for s in (summary.GetProperty "seeds").EnumerateArray() -> s.GetInt64() ]
                    Expect.equal seeds [ 5L; 9L ] "seeds"
                    Expect.equal ((summary.GetProperty "environmentSteps").GetInt64()) 60L "steps"
                    let directory = nonNull ((run.GetProperty "directory").GetString())
                    Expect.isTrue (Directory.Exists directory) "where it lies"

                let code, _, error = command [ "train"; "cartpole"; "--steps"; "many" ]
                Expect.equal code 2 error
                Expect.stringContains error "environmentSteps" "the setting that is wrong")
        }

        test "runs of different problems are refused, by name" {
            withScratch (fun directory ->
                let train name (more: string list) =
                    let output = file [ directory; name ]

                    succeeded ([ "train"; "--quiet"; "--steps"; "60"; "--output"; output ] @ more)
                    |> ignore

                    output

                let colors = train "colors" [ List.head (two directory) ]
                let pole = train "pole" [ "cartpole"; "--members"; "2" ]
                let code, _, error = command [ "report"; colors; pole ]
                Expect.equal code 2 "exit code"

                for part in [ pole; colors; "\"cartpole\""; "\"two-colors\""; "of one problem" ] do
                    Expect.stringContains error part part

                let code, _, error = command [ "report"; colors; "--output"; "page.html" ]
                Expect.equal code 2 "one run"
                Expect.stringContains error "--output" "the option")
        }

        test "a run starts with what another has learned, as far as it fits" {
            withScratch (fun directory ->
                let train name (arguments: string list) =
                    let output = file [ directory; name ]

                    output, succeeded ([ "train"; "--output"; output; "--set"; "run.keepLast=100" ] @ arguments)

                let sets (checkpoint: string) =
                    use read = CheckpointFile.Read checkpoint

                    [
                        for set in read.Sets do
                            for name, tensor in Seq.zip set.Value.Names set.Value.Tensors do
                                use packed = tensor.contiguous ()
                                (set.Key, name), packed.bytes.ToArray()
                    ]
                    |> Map.ofList

                let small = [ "cartpole"; "--members"; "2"; "--set"; "learner.hidden=[8]" ]
                let first, _ = train "first" (small @ [ "--steps"; "640" ])
                let latest = file [ first; "checkpoints"; "latest.safetensors" ]
                let learned = sets latest

                let atStart output =
                    sets (file [ output; "checkpoints"; "step-000000000000.safetensors" ])

                // Without a configuration, that of the run; the world is that of a new run.
                let second, said = train "second" [ "--from"; first; "--steps"; "320"; "--seed"; "7" ]
                Expect.stringContains said latest "what it started with"
                let taken = atStart second

                for set in [ "learner"; "learnerOptimizer"; "meta"; "metaOptimizer"; "normalization" ] do
                    let own = learned |> Map.filter (fun (s, _) _ -> s = set)
                    Expect.isGreaterThan own.Count 0 set

                    for name, bytes in Map.toSeq own do
                        Expect.equal taken[name] bytes $"{name}"

                use read = CheckpointFile.Read(file [ second; "checkpoints"; "latest.safetensors" ])
                Expect.equal (List.ofArray read.Manifest.Seeds) [ 7L; 8L ] "seeds of its own"
                Expect.equal read.Manifest.EnvironmentSteps 320L "counted from its own start"
                Expect.stringContains (File.ReadAllText(file [ second; "report.html" ])) latest "the report says so"

                // Meta-parameters of another kind start afresh; a checkpoint is as good as a run.
                let third, said =
                    train
                        "third"
                        (small
                         @ [ "--from"; latest; "--steps"; "64"; "--set"; "meta.hyperParameters=[]" ])

                Expect.stringContains said "afresh: meta, metaOptimizer" "what did not fit"

                let taken = atStart third

                for name, bytes in Map.toSeq (learned |> Map.filter (fun (s, _) _ -> s = "learner")) do
                    Expect.equal taken[name] bytes $"{name}"

                let refused (arguments: string list) (says: string list) =
                    let output = file [ directory; Guid.NewGuid().ToString "N" ]
                    let code, _, error = command ([ "train"; "--output"; output ] @ arguments)
                    Expect.equal code 2 error

                    for part in says do
                        Expect.stringContains error part part

                refused (small @ [ "--from"; first; "--set"; "learner.hidden=[9]" ]) [
                    "of the learner"
                    "expected 'policy.0.weight'"
                    "the same networks"
                ]

                refused [ "--from"; first; "--members"; "3" ] [ "holds 2 members, expected 3" ]
                refused [ "--from"; file [ directory; "none" ] ] [ "found nothing" ]
                refused [ "--from"; first; "--resume"; first ] [ "exclude each other" ])
        }

        test "the interval of a difference is Welch's" {
            // Equal variances and sizes: 2n − 2 degrees of freedom, t = 2.776445 of four.
            let struct (mean, half) = StudentInterval.OfDifference([| 0.0; 1.0; 2.0 |], [| 10.0; 11.0; 12.0 |])
            Expect.floatClose Accuracy.high mean -10.0 "mean"
            Expect.floatClose Accuracy.medium half (2.776445105 * sqrt (2.0 / 3.0)) "half"
            let struct (mean, half) = StudentInterval.OfPairs([| 3.0; nan; 5.0 |], [| 1.0; 1.0; 1.0 |])
            Expect.floatClose Accuracy.high mean 3.0 "pairs with a number each"
            // t = 12.706 of one degree of freedom.
            Expect.floatClose Accuracy.medium half (12.7062047 * sqrt 2.0 / sqrt 2.0) "half of pairs"
        }

        test "a curve in characters spans its bounds, and is blank where there is nothing" {
            let cells = Sparkline.Resample([| 5.0; 15.0; 16.0; 35.0 |], [| 0.0; 1.0; 3.0; nan |], 40.0, 4)

            Expect.equal
                (Array.map (fun v -> if Double.IsNaN v then -1.0 else v) cells)
                [| 0.0; 2.0; -1.0; -1.0 |]
                "means"

            Expect.equal (Sparkline.Of(cells, 0.0, 2.0)) "▁█  " "characters"

            Expect.equal
                (Sparkline.Resample([| 5.0; 35.0 |], [| 1.0; 2.0 |], 40.0, 4))
                [| 1.0; 1.0; 1.0; 2.0 |]
                "no gaps between points"

            Expect.equal (Sparkline.Marks([| 0L; 10L; 39L; 40L |], 40.0, 4)) " ↑ ↑" "marks"
        }
    ]
