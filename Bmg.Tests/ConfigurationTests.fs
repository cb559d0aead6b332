module Bmg.Tests.ConfigurationTests

open System
open System.Collections.Generic
open System.ComponentModel.DataAnnotations
open System.IO
open System.Reflection
open System.Text.Json
open System.Text.Json.Nodes
open Bmg.Training.Agents
open Bmg.Training.Configuration
open Bmg.Tests.Reading
open Expecto
open FsCheck.FSharp

let private isList (t: Type) =
    t.IsGenericType && t.GetGenericTypeDefinition() = typedefof<IReadOnlyList<_>>

let private underlying (t: Type) =
    let t = if isList t then t.GetGenericArguments()[0] else t

    match Nullable.GetUnderlyingType t with
    | null -> t
    | inner -> inner

/// Every setting there is, those of every part, inside lists, and inside settings that are null by default too; and every place of a part.
let private all, private places = walk "" [] typeof<RunConfiguration>

/// A setting's name in a test: its path, and the part that has it.
let private called (s: Setting) =
    match s.Selected with
    | [] -> s.Path
    | selected -> $"""{s.Path} with {String.concat " " selected}"""

let private numeric =
    all
    |> List.filter (fun s ->
        [ typeof<int>; typeof<int64>; typeof<float> ]
        |> List.contains (underlying s.Property.PropertyType))

let private faults (json: string) (overrides: string list) : Fault list =
    try
        Reading.reader.Read(json, "file.json", overrides) |> ignore
        []
    with :? ConfigurationException as e ->
        List.ofSeq e.Faults

let private read (json: string) =
    Reading.reader.Read(json, "file.json", [])

/// The one fault of a setting on the command line; fails where there is none.
let private theFault (overrides: string list) : Fault =
    match faults "{}" overrides with
    | [ fault ] -> fault
    | other -> failtestf "expected one fault for %A, found %A" overrides other

/// A number as JSON, inside a list where the setting is one.
let private literal (s: Setting) (value: float) =
    let text = JsonSerializer.Serialize value
    if isList s.Property.PropertyType then $"[{text}]" else text

let private elementPath (s: Setting) =
    if isList s.Property.PropertyType then
        s.Path + ".0"
    else
        s.Path

/// What must be set for a setting to have its least value.
let private alone (s: Setting) =
    if s.Path = "environment.side" then
        [ "environment.mostWalls=0" ]
    elif
        s.Selected
        |> List.exists (fun set -> set.EndsWith "=convolution" || set.EndsWith "-pooling")
    then
        // Images.
        [ "environment.name=pixels" ]
    else
        []

let private range (s: Setting) =
    s.Property.GetCustomAttribute<RangeAttribute>() |> nonNull

/// paper-configs, found from the tests' own directory upwards.
let private paperConfigs =
    let rec search (folder: DirectoryInfo | null) =
        match folder with
        | null -> failtest "no paper-configs above the tests"
        | folder ->
            let here = Path.Combine(folder.FullName, "paper-configs")
            if Directory.Exists here then here else search folder.Parent

    search (DirectoryInfo AppContext.BaseDirectory)

let private misspellings =
    testList "unknown keys" [
        for s in all do
            test $"{called s} misspelt" {
                let parts = s.Path.Split '.'
                let key = parts[parts.Length - 1]
                let wrong = Array.append parts[.. parts.Length - 2] [| key + "x" |] |> String.concat "."
                let fault = theFault (s.Selected @ [ $"{wrong}=1" ])
                Expect.equal fault.Path wrong "the path of the unknown key"
                Expect.stringContains fault.Problem "unknown key" "what is wrong"
                Expect.stringContains fault.Problem $"\"{key}\"" "what was meant"
            }

        test "a key that resembles nothing lists what there is" {
            let fault = theFault [ "meta.zzzzzzzzzzzzzzz=1" ]
            Expect.stringContains fault.Problem "method, parameters" "the known keys"
        }
    ]

let private ranges =
    testList "ranges" [
        for s in numeric do
            let limits = range s
            let low, high = Convert.ToDouble limits.Minimum, Convert.ToDouble limits.Maximum
            let scale = max 1.0 (abs high)

            let rejected (value: float) =
                let fault = theFault (s.Selected @ [ $"{s.Path}={literal s value}" ])
                Expect.equal fault.Path (elementPath s) "the path"
                Expect.stringContains fault.Problem "found " "what was found"
                Expect.stringContains fault.Problem "expected a" "what was expected"

            testPropertyWithConfig
                {
                    FsCheckConfig.defaultConfig with
                        maxTest = 20
                }
                $"{called s} out of range"
            <| Prop.forAll (ArbMap.defaults |> ArbMap.arbitrary<FsCheck.NormalFloat>) (fun offset ->
                let distance = 1.0 + abs offset.Get
                rejected (low - distance)
                rejected (high + scale * distance))

            if limits.MinimumIsExclusive then
                test $"{called s} at its excluded minimum" { rejected low }

            if limits.MaximumIsExclusive then
                test $"{called s} at its excluded maximum" { rejected high }

            test $"{called s} of another kind" {
                let wrong = if isList s.Property.PropertyType then "[true]" else "true"
                Expect.equal (theFault (s.Selected @ [ $"{s.Path}={wrong}" ])).Path (elementPath s) "the path"
            }

            if underlying s.Property.PropertyType <> typeof<float> then
                test $"{called s} takes whole numbers only, however written" {
                    let value = Math.Max(low, 1.0)
                    rejected (value + 0.5)
                    let exponent = literal s value |> fun text -> text.Replace("1", "1e0")
                    Expect.isEmpty (faults "{}" (s.Selected @ alone s @ [ $"{s.Path}={exponent}" ])) exponent
                }
    ]

let private choices =
    testList "choices" [
        for s in all |> List.filter (fun s -> s.Property.PropertyType.IsEnum) do
            test $"{called s} lists its choices" {
                let fault = theFault (s.Selected @ [ $"{s.Path}=nonsense" ])
                Expect.equal fault.Path s.Path "the path"
                Expect.stringContains fault.Problem "found \"nonsense\", expected one of \"" "found and expected"
            }

        for place in places do
            test $"""{place.Key} lists its parts, {String.concat " " place.Above}""" {
                let fault = theFault (place.Above @ [ $"{place.Key}=nonsense" ])
                Expect.equal fault.Path place.Key "the path"
                Expect.stringContains fault.Problem "found \"nonsense\", which is not registered" "what was found"

                for name in place.Names do
                    Expect.stringContains fault.Problem $"\"{name}\"" "what is known"

                Expect.stringContains fault.Problem "registers one of your own" "how there could be more"
            }
    ]

let private rules =
    testList "rules between settings" [
        for overrides, path in
            [
                [ "meta.entropyWeight.low=1"; "meta.entropyWeight.high=0.5" ], "meta.entropyWeight.high"
                [ "meta.entropyWeight.initial=2" ], "meta.entropyWeight.initial"
                [ "meta.entropyWeight.initial=0" ], "meta.entropyWeight.initial"
                [ "meta.parameters=network" ], "meta.context"
                [ "matching.functions=[]" ], "matching.functions"
                [ "matching.functions.0.weight=0" ], "matching.functions"
            ] do
            test (String.concat " " overrides) { Expect.equal (theFault overrides).Path path "the path" }

        test "a fixed weight may lie on its bounds" {
            Expect.isEmpty
                (faults "{}" [ "meta.method=fixed"; "meta.entropyWeight.initial=0" ])
                "no exploration bonus at all"
        }
    ]

let private reading =
    testList "reading" [
        test "comments and trailing commas" {
            let configuration = read "{ /* why */ \"seed\": 7, // because\n \"learner\": { \"targetSteps\": 3, }, }"
            Expect.equal configuration.Seed 7L "seed"
            Expect.equal (Reading.actorCritic configuration).TargetSteps 3 "target steps"
            Expect.equal (Reading.actorCritic configuration).RolloutLength 16 "what is not given keeps its default"
        }

        test "all faults together, each with its place" {
            let found =
                faults """{ "sed": 1, "learner": { "targetSteps": 0, "hidden": [0, 8, "x"] }, "device": "tpu" }""" [
                    "meta.beta1=1"
                ]

            Expect.equal
                (found |> List.map (fun f -> f.Path))
                [
                    "sed"
                    "learner.targetSteps"
                    "learner.hidden.0"
                    "learner.hidden.2"
                    "device"
                    "meta.beta1"
                ]
                "in the order of the file"

            Expect.equal
                (string found[1])
                "file.json: learner.targetSteps: found 0, expected a whole number, at least 1 and at most 100000"
                "file, path, found, expected"

            Expect.stringStarts (string found[5]) "--set meta.beta1=1: " "what came from the command line says so"
        }

        for text, problem in
            [
                "{", "not valid JSON"
                "{ \"seed\": 1,\n  \"seed\": 2 }", "not valid JSON"
                "[]", "expected a JSON object"
                "", "not valid JSON"
                "{ \"learner\": 3 }", "found 3, expected an object"
                "{ \"learner\": null }", "found null, expected an object"
                "{ \"matching\": { \"functions\": 1 } }", "found 1, expected a list"
                "{ \"name\": \"../x\" }", "found \"../x\", expected a text of letters"
            ] do
            test $"refused: {text}" {
                match faults text [] with
                | [ fault ] -> Expect.stringContains (string fault) problem "the problem"
                | other -> failtestf "expected one fault, found %A" other
            }

        test "broken JSON says where" {
            Expect.stringContains
                (string (faults "{ \"seed\": 1,\n  oops }" []).Head)
                "line 2, column 3"
                "line and column"
        }

        test "settings of the command line" {
            let configuration =
                Reading.reader.Read(
                    "{ \"target\": { \"optimizer\": null } }",
                    "file.json",
                    [
                        "learner.targetSteps=16"
                        "name=mine" // a bare string
                        "description=007" // a text where a text is wanted
                        "learner.hidden=[8, 8]"
                        "target.optimizer.name=adam" // makes the object
                        "matching.functions.0.name=reverse-kl" // into a list that is there by default
                        "learner.targetSteps=17" // the last one counts
                    ]
                )

            Expect.equal (Reading.actorCritic configuration).TargetSteps 17 "target steps"
            Expect.equal configuration.Name "mine" "name"
            Expect.equal configuration.Description "007" "description"
            Expect.sequenceEqual (Reading.actorCritic configuration).Hidden [ 8; 8 ] "hidden"
            Expect.equal (nonNull (configuration.Target.As<LookAheadSettings>().Optimizer)).Name "adam" "optimizer"
            Expect.equal configuration.Matching.Functions[0].Function.Name "reverse-kl" "matching"
        }

        for setting in
            [
                "learner"
                "=3"
                "learner..x=1"
                ".=1"
                "matching.functions.7.weight=1"
                "seed.x=1"
            ] do
            test $"--set {setting} is refused" {
                Expect.stringStarts (theFault [ setting ]).Source "--set" "its source"
            }

        test "derived settings" {
            let derived = DerivedSettings.Of(read """{ "seed": 5, "members": 3, "threads": 2 }""")
            Expect.sequenceEqual derived.Seeds [ 5L; 6L; 7L ] "seeds"
            Expect.equal derived.Threads 2 "threads"
        }
    ]

let private writing =
    testList "writing" [
        test "what is written reads back the same" {
            let configuration =
                Reading.reader.Read(
                    "{}",
                    "file.json",
                    [
                        "learner.gradientClip=0.1"
                        "target.optimizer.learningRate=1e-30"
                        "seed=9007199254740982"
                    ]
                )

            let json = configuration.ToJson()
            Expect.equal (read json |> fun again -> again.ToJson()) json "a fixed point"
            Expect.isEmpty (ConfigurationJson.Differences(configuration, read json)) "no differences"
        }

        test "every setting is written" {
            // A part that its agent does not take cannot be read, nor then written.
            for s in all |> List.filter (fun s -> (faults "{}" s.Selected).IsEmpty) do
                let json = Reading.reader.Read("{}", "file.json", s.Selected).ToJson() |> JsonNode.Parse

                let mutable node = json

                for part in s.Path.Split '.' do
                    match node with
                    // An empty list has nothing that could be written.
                    | :? JsonArray as list -> node <- (if list.Count = 0 then null else list[int part])
                    | null -> ()
                    | :? JsonObject as members ->
                        Expect.isTrue (members.ContainsKey part) s.Path
                        node <- members[part]
                    | _ -> failtestf "%s has nothing inside" s.Path
        }

        test "differences name path, then and now" {
            let now =
                Reading.reader.Read("{}", "file.json", [ "learner.targetSteps=16"; "target.optimizer.name=adam" ])

            let differences = ConfigurationJson.Differences(read "{}", now)
            Expect.equal differences[0] "learner.targetSteps: 8, now 16" "a number"
            Expect.stringStarts differences[1] "target.optimizer: null, now {" "an object"
        }
    ]

let private published =
    testList "published files" [
        test "the schema is that of the records" {
            Expect.equal
                (File.ReadAllText(Path.Combine(paperConfigs, "schema.json")))
                (ConfigurationSchema.Text Reading.catalogue)
                "paper-configs/schema.json is out of date: dotnet run --project Bmg.Training -- schema > paper-configs/schema.json"
        }

        test "the schema explains every setting" {
            let text = ConfigurationSchema.Text Reading.catalogue

            for s in all do
                Expect.isNotNull
                    (s.Property.GetCustomAttribute<System.ComponentModel.DescriptionAttribute>())
                    $"{s.Path} has a description"

            Expect.stringContains text "\"additionalProperties\": false" "unknown keys are refused"
        }

        for file in Directory.GetFiles(paperConfigs, "*.json", SearchOption.AllDirectories) do
            // Those of the theory studies, and the tables of runs, have records and tests of their own.
            let folder = Path.GetFileName(Path.GetDirectoryName file)
            let isRun = folder <> "theory" && folder <> "studies"

            if isRun && not (file.EndsWith "schema.json") then
                test $"{Path.GetRelativePath(paperConfigs, file)} is valid" {
                    let configuration = Reading.published file

                    Expect.equal
                        (configuration.Name + ".json")
                        (Path.GetRelativePath(paperConfigs, file))
                        "named after its file"
                }
    ]

let tests =
    testList "configuration" [ misspellings; ranges; choices; rules; reading; writing; published ]
