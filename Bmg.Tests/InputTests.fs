/// Input of any kind: configurations, command lines, links and texts that nobody should have written.
module Bmg.Tests.InputTests

open System
open System.Collections.Generic
open System.ComponentModel.DataAnnotations
open System.Globalization
open System.IO
open System.Reflection
open System.Runtime.InteropServices
open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open System.Threading
open System.Xml.Linq
open Bmg
open Bmg.Export
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Agents
open Bmg.Training.Acting
open Bmg.Training.Experiments
open Bmg.Training.Progress
open Bmg.Training.Reporting
open Bmg.Training.Runs
open Bmg.Training.Studies
open Bmg.Training.Theory
open Bmg.Tests.Worlds
open Expecto
open FsCheck
open FsCheck.FSharp

let private inDirectory (body: string -> unit) =
    let path = Directory.CreateTempSubdirectory("bmg-input-").FullName

    try
        body path
    finally
        Directory.Delete(path, true)

let private raised<'E when 'E :> exn> (f: unit -> unit) : 'E =
    try
        f ()
        failtestf "expected %s, but nothing was raised" typeof<'E>.Name
    with :? 'E as e ->
        e

let private config count = {
    FsCheckConfig.defaultConfig with
        maxTest = count
}

/// paper-configs, found from the tests' own directory upwards.
let private paperConfigs =
    let rec search (folder: DirectoryInfo | null) =
        match folder with
        | null -> failtest "no paper-configs above the tests"
        | folder ->
            let here = Path.Combine(folder.FullName, "paper-configs")
            if Directory.Exists here then here else search folder.Parent

    search (DirectoryInfo AppContext.BaseDirectory)

let private published =
    Directory.GetFiles(paperConfigs, "*.json", SearchOption.AllDirectories)
    |> Array.filter (fun file -> Path.GetFileName file <> "schema.json" && not (file.EndsWith "schema.json"))
    |> Array.sort

let private read (json: string) (overrides: string list) =
    Reading.reader.Read(json, "file.json", overrides)

let private faultsOf (f: unit -> 'T) : Fault list =
    try
        f () |> ignore
        []
    with :? ConfigurationException as e ->
        List.ofSeq e.Faults

let private theFault (f: unit -> 'T) : Fault =
    match faultsOf f with
    | [ fault ] -> fault
    | other -> failtestf "expected one fault, found %A" other

let private commandLineWith (experiments: IExperimentFactory | null) (arguments: string list) =
    use output = new StringWriter()
    use error = new StringWriter()
    let host = ProgramHost.Create(output, error, Nullable CancellationToken.None)

    let host =
        match experiments with
        | null -> host
        | given ->
            TrainingHost(
                Catalogue = Reading.catalogue,
                Experiments = given,
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

let private commandLine = commandLineWith null

/// One line that says what is wrong, and exit code 2.
let private refused (arguments: string list) (says: string list) =
    let code, _, error = commandLine arguments
    let label = String.concat " " arguments
    Expect.equal code 2 $"{label}: exit code, {error}"
    Expect.equal (error.TrimEnd().Split '\n').Length 1 $"{label}: one line: {error}"

    for text in says do
        Expect.stringContains error text label

// --------------------------------------------------------------------------------------------------------------------- texts

let private texts =
    testList "texts" [
        for json, place in
            [
                """{"name":"a\ud800"}""", "line 1, column 9"
                "{\n  \"description\": \"\\udc00\"}", "line 2, column 18"
                """{"a\ud800":1}""", "line 1, column 2"
                """{"learner":{"\udfff":1}}""", "line 1, column 13"
                """{"meta":["\ud800\ud800"]}""", "line 1, column 10"
            ] do
            test $"half of a surrogate pair: {json}" {
                let fault = theFault (fun () -> read json [])
                Expect.equal fault.Source "file.json" "the file"
                Expect.stringContains fault.Problem place "the place"
                Expect.stringContains fault.Problem "found half of a surrogate pair" "what was found"
                Expect.stringContains fault.Problem "expected valid Unicode" "what was expected"
            }

        test "whole pairs are text" {
            let description = (read """{"description":"\ud83d\ude00 😀"}""" []).Description
            Expect.equal description "😀 😀" "both"
        }

        for setting in
            [
                "description=\"\\ud800\""
                // A literal would hold a replacement character.
                String.Concat("description=", string '\ud800')
                String.Concat("description", string '\ud800', "=x")
                String.Concat("learner.", string '\udc00', ".x=1")
                "meta={\"\\ud800\":1}"
            ] do
            test $"half of a surrogate pair on the command line: {Printable.Line setting}" {
                let fault = theFault (fun () -> read "{}" [ setting ])
                Expect.equal fault.Source $"--set {setting}" "the setting"
                Expect.stringContains fault.Problem "half of a surrogate pair" "what was found"
            }

        test "a name ends where its text ends" {
            for name in [ "a\\n"; "a/b\\n"; "a\\r\\n"; "a\\n\\n"; "a\\u2028" ] do
                let fault = theFault (fun () -> read $"{{\"name\":\"{name}\"}}" [])
                Expect.equal fault.Path "name" name

            let study =
                theFault (fun () -> StudyReader.Read("""{"name":"a\n","cells":[{"id":"b","config":"c"}]}""", "s"))

            Expect.equal study.Path "name" "of a study"
            Expect.isFalse (Regex.IsMatch("a\n", RunConfiguration.NamePattern)) "the schema's pattern"
            Expect.isTrue (Regex.IsMatch("a/b.c-d_1", RunConfiguration.NamePattern)) "the schema's pattern"
        }

        test "what is no JSON object, or no text" {
            for json in
                [
                    ""
                    "null"
                    "[]"
                    "1"
                    "\"a\""
                    "{"
                    "{}}"
                    "{\"a\":1,\"a\":2}"
                    "{\"a\":1,\"\\u0061\":2}"
                ] do
                let fault = theFault (fun () -> read json [])
                Expect.equal fault.Source "file.json" json

            let deep = String('[', 100_000)
            Expect.equal (theFault (fun () -> read $"{{\"a\":{deep}" [])).Source "file.json" "deep"

            Expect.equal
                (theFault (fun () -> read (String.Concat(string '\ud800', "{}")) [])).Source
                "file.json"
                "no text"

            Expect.equal (theFault (fun () -> read "\ufeff{}" [])).Source "file.json" "a mark in a text"
        }

        test "byte order marks are read, other bytes are refused" {
            inDirectory (fun root ->
                let file = Path.Combine(root, "file.json")
                let text = """{"description":"é"}"""

                for encoding in [ Encoding.UTF8; Encoding.Unicode; Encoding.UTF32 ] do
                    File.WriteAllText(file, text, encoding)
                    let read = Reading.reader.ReadFile(file, [])
                    Expect.equal read.Description "é" encoding.EncodingName

                for bytes in [ [| 0xffuy; 0x7buy; 0x7duy |]; Encoding.Latin1.GetBytes text ] do
                    File.WriteAllBytes(file, bytes)
                    let fault = theFault (fun () -> Reading.reader.ReadFile(file, []))
                    Expect.equal fault.Source file "the file"
                    Expect.stringContains fault.Problem "not UTF-8" "what is wrong")
        }

        for setting in [ "a..b=1"; "=1"; "="; ""; "."; ".a=1"; "a.=1"; " =1"; "a. .b=1" ] do
            test $"'{setting}' is no setting" {
                let fault = theFault (fun () -> read "{}" [ setting ])
                Expect.equal fault.Source $"--set {setting}" "the setting"
                Expect.stringContains fault.Problem "expected path=value" "what was expected"
            }

        test "a path of a thousand names is refused" {
            let path = String.concat "." (List.replicate 2000 "name")
            Expect.stringContains (theFault (fun () -> read "{}" [ $"{path}=1" ])).Problem "path=value" "refused"
        }

        test "files that are none, too long or never end" {
            refused [ "train"; "" ] [ "found an empty value" ]
            refused [ "train"; "a\000b" ] [ "no such file"; "a\\u0000b" ]
            refused [ "train"; paperConfigs ] [ "is a directory, expected a configuration file" ]

            if OperatingSystem.IsLinux() then
                inDirectory (fun root ->
                    let output = Path.Combine(root, "out")
                    refused [ "train"; "/dev/zero" ] [ "/dev/zero: cannot be read"; "16,777,216" ]
                    refused [ "theory"; "/dev/zero"; "--output"; output ] [ "/dev/zero: cannot be read"; "16,777,216" ]
                    refused [ "reproduce"; "/dev/zero"; "--output"; output ] [ "/dev/zero: cannot be read" ]
                    refused [ "sweep"; "--merge"; "/dev/zero"; "--output"; output ] [ "/dev/zero: cannot be read" ]
                    refused [ "evaluate"; "/dev/zero" ] [ "/dev/zero"; "too few for a checkpoint" ]
                    refused [ "evaluate"; "" ] [ "found an empty value" ])
        }
    ]

// ------------------------------------------------------------------------------------------------------------------- numbers

/// A number that a record declares: its path, and the property behind it.
[<NoComparison>]
type private Setting = { Path: string; Property: PropertyInfo }

let private elementOf (t: Type) =
    let t =
        if t.IsGenericType && t.GetGenericTypeDefinition() = typedefof<IReadOnlyList<_>> then
            t.GetGenericArguments()[0]
        else
            t

    match Nullable.GetUnderlyingType t with
    | null -> t
    | inner -> inner

let private isList (t: Type) =
    t.IsGenericType && t.GetGenericTypeDefinition() = typedefof<IReadOnlyList<_>>

let rec private settings (prefix: string) (record: Type) : Setting list = [
    for property in record.GetProperties(BindingFlags.Public ||| BindingFlags.Instance) do
        if property.CanWrite then
            let path = prefix + JsonNamingPolicy.CamelCase.ConvertName property.Name
            let path = if isList property.PropertyType then path + ".0" else path
            let inner = elementOf property.PropertyType

            if inner.IsPrimitive && inner <> typeof<bool> then
                yield { Path = path; Property = property }
            elif inner.Namespace = typeof<RunConfiguration>.Namespace && not inner.IsEnum then
                yield! settings (path + ".") inner
]

let private numbers = settings "" typeof<RunConfiguration>

let private fractions =
    numbers
    |> List.filter (fun s -> elementOf s.Property.PropertyType = typeof<float>)

let private rangeOf (s: Setting) =
    let range = s.Property.GetCustomAttribute<RangeAttribute>() |> nonNull
    Convert.ToDouble(range.Minimum, null), Convert.ToDouble(range.Maximum, null)

let private text (value: float) =
    value.ToString("R", CultureInfo.InvariantCulture)

/// Small runs of every kind, so that each setting is used by one of them.
let private kinds =
    let tiny = [
        "members=2"
        "environmentSteps=32"
        "threads=1"
        "learner.hidden=[3]"
        "learner.rolloutLength=4"
        "learner.targetSteps=2"
        "meta.hidden=[3]"
        "meta.contextLength=2"
        "meta.pretrainingSteps=2"
    ]

    let network = [
        "meta.parameters=network"
        "meta.context=rich"
        "meta.contextScaling=normalized"
    ]

    [
        for name in [ "sgd"; "momentum"; "rmsprop"; "adam" ] do
            tiny
            @ network
            @ [
                $"learner.optimizer.name={name}"
                $"target.optimizer.name={name}"
                "learner.gradientClip=1"
                "meta.gradientClip=1"
                "learner.returns=lambda"
            ]
        tiny @ [ "meta.method=mg" ]
        tiny
        @ network
        @ [
            "learner.agent=q-lambda"
            "learner.optimizer.name=adam"
            "meta.gradientClip=1"
            "environment.name=switching-mdps"
        ]
        tiny
        @ [
            "experiment.name=supervised"
            "experiment.data.examples=20"
            "experiment.hidden=[3]"
            "experiment.batchSize=2"
        ]
    ]

/// Whether the configuration, where the reader takes it, makes an experiment that takes a meta-step. Numbers may grow beyond all bounds.
let private livesWith (overrides: string list) =
    match
        (try
            Ok(read "{}" overrides)
         with :? ConfigurationException as e ->
             Error e)
    with
    | Error _ -> ()
    | Ok configuration ->
        try
            use experiment = (ExperimentFactory() :> IExperimentFactory).Create configuration
            experiment.Advance() |> ignore
        with :? NumericalFailureException ->
            ()

/// What makes a configuration large or long at the top of its range.
let private sizes =
    Set.ofList [
        "members"
        "threads"
        "environment.side"
        "environment.mostWalls"
        "learner.hidden.0"
        "learner.rolloutLength"
        "learner.innerSteps"
        "learner.targetSteps"
        "meta.hidden.0"
        "meta.contextLength"
        "meta.pretrainingSteps"
    ]

let private numberTests =
    testList "numbers" [
        for s in numbers do
            test $"{s.Path}: what the reader takes at the ends of the range, the agent takes" {
                let low, high = rangeOf s
                let isFraction = List.exists (fun f -> f.Path = s.Path) fractions
                let tops = if sizes.Contains s.Path then [] else [ high ]

                let values =
                    if isFraction then
                        [
                            low
                            float (MathF.BitIncrement(float32 low))
                            float (MathF.BitDecrement(float32 high))
                        ]
                        @ tops
                    else
                        low :: tops

                // The learners' optimizers differ in nothing else.
                let kinds =
                    if s.Path.Contains "optimizer" then
                        kinds
                    else
                        List.skip 3 kinds

                for kind in kinds do
                    for value in values do
                        livesWith (kind @ [ $"{s.Path}={text value}" ])
            }

        for s in fractions do
            test $"{s.Path}: a number that float32 cannot hold is refused, or is the same number" {
                let low, high = rangeOf s

                for value in
                    [
                        1e-300
                        -1e-300
                        Double.Epsilon
                        1e-46
                        Math.BitDecrement high
                        1e300
                        Double.MaxValue
                    ] do
                    match faultsOf (fun () -> read "{}" [ $"{s.Path}={text value}" ]) with
                    | [] ->
                        let single = float32 value
                        Expect.isTrue (Single.IsFinite single) $"{value} is finite"
                        Expect.equal (single = 0f) (value = 0.0) $"{value} is 0"
                        Expect.isTrue (single >= float32 low && single <= float32 high) $"{value} is inside"
                    | faults ->
                        for fault in faults do
                            Expect.stringContains fault.Problem "found " "what was found"
                            Expect.stringContains fault.Problem "expected " "what was expected"
            }

        for setting, says in
            [
                "learner.optimizer.learningRate=1e-300", "in float32 too, where this is 0"
                "meta.learningRate=1e-46", "in float32 too, where this is 0"
                "meta.beta2=0.99999999999", "in float32 too, where this is 1"
                "learner.discount=1e-300", "in float32 too, where this is 0"
                "seed=1e999", "found 1e999, expected a whole number"
                "seed=9007199254740992", "expected a whole number"
                "learner.discount=NaN", "found \"NaN\""
            ] do
            test setting {
                let fault = theFault (fun () -> read "{}" [ setting ])
                Expect.equal fault.Source $"--set {setting}" "the source"
                Expect.stringContains fault.Problem says "found and expected"
            }

        test "bounds that float32 cannot tell apart have nothing between them" {
            let between = [ "meta.entropyWeight.low=0.5"; "meta.entropyWeight.high=0.50000000001" ]
            Expect.equal (theFault (fun () -> read "{}" between)).Path "meta.entropyWeight.high" "high"
            let at = [ "meta.entropyWeight.low=0.5"; "meta.entropyWeight.initial=0.50000000001" ]
            Expect.equal (theFault (fun () -> read "{}" at)).Path "meta.entropyWeight.initial" "initial"
        }

        test "bounds at fault are said where hyper-parameters are learned by name" {
            let discount = """meta.hyperParameters=[{ "name": "discount", "low": 0.9, "high": 1 }]"""

            for outside in [ "meta.entropyWeight.high=0.2"; "meta.entropyWeight.low=0.6" ] do
                Expect.equal
                    (theFault (fun () -> read "{}" [ discount; outside ])).Path
                    "meta.entropyWeight.initial"
                    outside
        }

        test "what can not be learned is refused, and says why" {
            let named name low =
                $"""meta.hyperParameters=[{{ "name": "{name}", "low": {low}, "high": 2 }}]"""

            let fault overrides =
                theFault (fun () -> read "{}" overrides)

            let none = fault [ named "gradientClip" "0.1" ]
            Expect.equal none.Path "learner.gradientClip" "a maximum to start at"
            Expect.stringContains none.Problem "null" "found"
            let zero = fault [ named "gradientClip" "0"; "learner.gradientClip=1" ]
            Expect.equal zero.Path "meta.hyperParameters.0.low" "positive"
            let outside = fault [ named "gradientClip" "0.1"; "learner.gradientClip=3" ]
            Expect.equal outside.Path "learner.gradientClip" "between its bounds"
            let ofQ = fault [ "learner.agent=q-lambda"; named "discount" "0.1" ]
            Expect.equal ofQ.Path "meta.hyperParameters" "nothing but ε"
            Expect.stringContains ofQ.Problem "K = 0" "why"
        }

        test "numbers on the command line" {
            refused [ "evaluate"; "x"; "--steps"; "9223372036854775807" ] [ "--steps: found"; "at most 1000000000000" ]
            refused [ "bench"; "--members"; "100000000" ] [ "--members"; "at most 10000" ]
            refused [ "bench"; "--threads"; "100000" ] [ "--threads"; "at most 1024" ]
            refused [ "bench"; "--seconds"; "1e300" ] [ "--seconds"; "at most" ]
            refused [ "train"; "--members"; "99999999999" ] [ "members: found 99999999999" ]
        }
    ]

// -------------------------------------------------------------------------------------------------------------------- memory

let private memory =
    testList "memory" [
        for overrides, path, says in
            [
                [ "learner.hidden=[65536,65536]" ], "learner.hidden", "171.8 GB"
                [ "learner.hidden=[65536,65536]"; "members=1" ], "learner.hidden", "17.2 GB"
                [ "learner.hidden=[30000]"; "members=10000" ], "learner.hidden", "GB"
                [ "learner.rolloutLength=100000"; "members=10000"; "learner.hidden=[4]" ],
                "learner.rolloutLength",
                "120 GB"
                [
                    "meta.parameters=network"
                    "meta.context=rich"
                    "meta.contextLength=10000"
                    "meta.hidden=[65536]"
                    "members=1"
                ],
                "meta.hidden",
                "15.7 GB"
            ] do
            test $"""a tensor beyond what there can be: {String.concat " " overrides}""" {
                let fault = faultsOf (fun () -> read "{}" overrides) |> List.head
                Expect.equal fault.Path path "the setting"
                Expect.stringContains fault.Problem says "its size"
                Expect.stringContains fault.Problem "expected at most 2.1 GB a tensor" "what was expected"
            }

        for overrides, path in
            [
                [ "learner.hidden=[20000,20000]"; "learner.innerSteps=1000"; "members=1" ], "learner.hidden"
                [ "learner.hidden=[1000,1000]"; "members=500"; "meta.differentiation=forward" ], "learner.hidden"
                [
                    "environment.name=switching-mdps"
                    "environment.side=1000"
                    "members=10000"
                    "learner.hidden=[4]"
                ],
                "environment.side"
                [
                    "meta.parameters=network"
                    "meta.context=rich"
                    "meta.contextLength=10000"
                    "meta.hidden=[16]"
                    "members=500"
                    "learner.hidden=[4]"
                ],
                "meta.hidden"
                [
                    "learner.agent=q-lambda"
                    "learner.optimizer.name=adam"
                    "learner.targetSteps=100000"
                    "meta.parameters=network"
                    "meta.context=reward"
                    "meta.contextLength=10000"
                    "meta.hidden=[4]"
                    "members=2"
                ],
                "learner.targetSteps"
            ] do
            test $"""more than there is: {String.concat " " overrides}""" {
                let configuration = read "{}" overrides
                let before = GC.GetAllocatedBytesForCurrentThread()
                let fault = theFault (fun () -> MemoryNeeds.Require(configuration, "file.json", 4e9))
                let allocated = GC.GetAllocatedBytesForCurrentThread() - before
                Expect.equal fault.Source "file.json" "the file"
                Expect.equal fault.Path path "the setting"
                Expect.stringContains fault.Problem "found sizes that need at least" "what was found"
                Expect.stringContains fault.Problem "expected at most 4 GB" "what was expected"
                Expect.isLessThan allocated 10_000_000L "nothing was made on the way"
            }

        test "a run that cannot fit leaves nothing behind" {
            inDirectory (fun root ->
                let output = Path.Combine(root, "run")

                refused [
                    "train"
                    Path.Combine(paperConfigs, "two-colors", "ac-quick.json")
                    "--set"
                    "learner.hidden=[20000,20000,20000]"
                    "--set"
                    "members=1"
                    "--set"
                    "learner.innerSteps=1000"
                    "--output"
                    output
                ] [
                    "ac-quick.json: learner.hidden: found sizes that need at least"
                    "which this machine has"
                ]

                Expect.isFalse (Directory.Exists output) "no directory")
        }

        test "what is published fits into 4 GB" {
            for file in
                published
                |> Array.filter (fun f -> not (f.Contains "studies" || f.Contains "theory")) do
                MemoryNeeds.Require(Reading.published file, file, 4e9)
        }

        test "changes of a world come one by one" {
            let seeds = Seed.Population(1L, 1)
            let worlds: Worlds list = [ TwoColors(seeds, Respawn.All, 1L); SwitchingMdps(seeds, 2, 3, 0, 1L) ]

            for world in worlds do
                let before = GC.GetAllocatedBytesForCurrentThread()

                Expect.sequenceEqual
                    (world.Changes(0L, 1_000_000_000_000L) |> Seq.truncate 3)
                    [ 1L; 2L; 3L ]
                    "the first"

                Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 1_000_000L "without the others"

            let rare = TwoColors(seeds, Respawn.All, Int64.MaxValue / 4L)
            Expect.isEmpty (rare.Changes(0L, 1_000_000_000_000L)) "none"
            Expect.hasLength (List.ofSeq (rare.Changes(0L, Int64.MaxValue))) 4 "to the end of numbers"
        }
    ]

// ------------------------------------------------------------------------------------------------------------------- mutants

let private strange = [
    "null"
    "true"
    "-1"
    "0"
    "0.5"
    "1e999"
    "-1e999"
    "1e-300"
    "1e300"
    "9223372036854775808"
    "1e15"
    "\"\""
    "\"a\\u0000\""
    "\"\\ud800\""
    "\"a\\n\""
    "\"\u202e\""
    "[]"
    "[[]]"
    "[null]"
    "{}"
    "{\"\":{}}"
    "NaN"
    "'a'"
    "0x10"
    "01"
    "/* a"
    "// b\n"
]

let private genMutant =
    gen {
        let! file = Gen.elements published
        let json = File.ReadAllText file
        let tokens = Regex.Matches(json, "\"[^\"]*\"|[-+.0-9eE]+|true|false|null|[{}\\[\\],:]")
        let! token = Gen.choose (0, tokens.Count - 1)
        let! other = Gen.choose (0, tokens.Count - 1)
        let token, other = tokens[token], tokens[other]
        let! value = Gen.elements strange
        let! at = Gen.choose (0, json.Length - 1)
        let! length = Gen.choose (0, min 40 (json.Length - at))
        let! letter = Gen.choose (0, 0x10ff) |> Gen.map char

        let put (text: string) =
            json[.. token.Index - 1] + text + json[token.Index + token.Length ..]

        let! mutant =
            Gen.elements [
                put value
                put other.Value
                put ""
                put $"{token.Value},{token.Value}"
                put $"\"{value}\""
                json[.. at - 1]
                json[.. at - 1] + json[at + length ..]
                json[.. at - 1] + json[at .. at + length - 1] + json[at..]
                json[.. at - 1] + string letter + json[at + 1 ..]
                json[.. at - 1] + string '\ud800' + json[at + 1 ..]
            ]

        return nonNull (Path.GetFileName file), mutant
    }

/// A reader returns what is valid, or every fault with its file; nothing else.
let private readsOrTells (sources: string list) (read: unit -> 'T) (again: 'T -> 'T) =
    match
        (try
            Ok(read ())
         with :? ConfigurationException as e ->
             Error e.Faults)
    with
    | Ok configuration -> Expect.equal (again configuration) configuration "what is written reads back"
    | Error faults ->
        Expect.isNonEmpty faults "faults"

        for fault in faults do
            Expect.contains sources fault.Source "the file, or the setting"
            Expect.isNotEmpty fault.Problem "the problem"

/// Written out and compared as text: lists in records are compared by reference.
let private written (configuration: RunConfiguration) = ConfigurationJson.ToJson configuration

let private mutants =
    testList "damaged configurations" [
        testPropertyWithConfig (config 3000) "are read, or refused with every fault and the file"
        <| Prop.forAll (Arb.fromGen genMutant) (fun (file, json) ->
            readsOrTells [ file ] (fun () -> written (Reading.reader.Read(json, file, []))) (fun text ->
                written (Reading.reader.Read(text, file, []))))

        testPropertyWithConfig (config 1000) "of studies and theory, too"
        <| Prop.forAll (Arb.fromGen genMutant) (fun (file, json) ->
            readsOrTells [ file ] (fun () -> StudyReader.Read(json, file) |> ignore) id
            readsOrTells [ file ] (fun () -> TheoryReader.Read(json, file) |> ignore) id)

        testPropertyWithConfig (config 500) "as bytes"
        <| Prop.forAll
            (Arb.fromGen (Gen.zip genMutant (Gen.zip (Gen.choose (0, 100_000)) (Gen.choose (0, 255)))))
            (fun ((_, json), (at, value)) ->
                inDirectory (fun root ->
                    let file = Path.Combine(root, "file.json")
                    let bytes = Encoding.UTF8.GetBytes json

                    if bytes.Length > 0 then
                        bytes[at % bytes.Length] <- byte value

                    File.WriteAllBytes(file, bytes)
                    readsOrTells [ file ] (fun () -> Reading.reader.ReadFile(file, []) |> ignore) id))

        testPropertyWithConfig (config 2000) "by settings of the command line"
        <| Prop.forAll
            (Arb.fromGen (
                gen {
                    let! s = Gen.elements numbers
                    let! parts = Gen.elements [ s.Path; s.Path + ".x"; s.Path[.. s.Path.Length - 2]; "meta"; "a\000" ]
                    let! value = Gen.elements strange
                    return $"{parts}={value}"
                }
            ))
            (fun setting ->
                // Where two settings do not go together, the fault may be the file's.
                let sources = [ $"--set {setting}"; "file.json" ]

                readsOrTells sources (fun () -> written (read "{}" [ setting ])) (fun text -> written (read text [])))
    ]

// --------------------------------------------------------------------------------------------------------------------- links

let private run (root: string) =
    let directory = RunDirectory.Create(Path.Combine(root, "run"))
    File.WriteAllText(directory.Configuration, ConfigurationJson.ToJson(Reading.reader.Read("{}", "test", [])))

    RunRecord(CommandLine = "train", Problem = "it \u0000 broke \u001b[31m \u202e").Write directory
    directory

let private links =
    testList "links" [
        for what in [ "a file"; "nothing" ] do
            test $"one to {what} at a partial file's name is replaced, never followed" {
                inDirectory (fun root ->
                    let target = Path.Combine(root, "target")
                    let file = Path.Combine(root, "file")

                    if what = "a file" then
                        File.WriteAllText(target, "precious")

                    File.CreateSymbolicLink(file + ".partial", target) |> ignore
                    AtomicFile.WriteText(file, "new")
                    Expect.equal (File.ReadAllText file) "new" "written"
                    Expect.isNull (FileInfo file).LinkTarget "no link"
                    Expect.equal (File.Exists target) (what = "a file") "nothing was made"

                    if what = "a file" then
                        Expect.equal (File.ReadAllText target) "precious" "untouched"

                    Expect.isFalse (File.Exists(file + ".partial")) "gone")
            }

        test "one to a folder at a partial file's name is replaced" {
            inDirectory (fun root ->
                let file = Path.Combine(root, "file")
                let folder = Directory.CreateDirectory(Path.Combine(root, "folder")).FullName
                Directory.CreateSymbolicLink(file + ".partial", folder) |> ignore
                AtomicFile.WriteText(file, "new")
                Expect.equal (File.ReadAllText file) "new" "written"
                Expect.isTrue (Directory.Exists folder) "untouched")
        }

        test "one at the file's own name is replaced" {
            inDirectory (fun root ->
                let target = Path.Combine(root, "target")
                let file = Path.Combine(root, "file")
                File.WriteAllText(target, "precious")
                File.CreateSymbolicLink(file, target) |> ignore
                AtomicFile.WriteText(file, "new")
                Expect.equal (File.ReadAllText target) "precious" "untouched"
                Expect.isNull (FileInfo file).LinkTarget "no link")
        }

        test "a partial file that another one writes is left alone" {
            inDirectory (fun root ->
                let file = Path.Combine(root, "file")

                use other = new FileStream(file + ".partial", FileMode.CreateNew, FileAccess.Write, FileShare.None)

                other.WriteByte 1uy
                raised<IOException>(fun () -> AtomicFile.WriteText(file, "new")) |> ignore
                Expect.isTrue (File.Exists(file + ".partial")) "still there"
                Expect.isFalse (File.Exists file) "nothing written")
        }

        test "one in the place of metrics or of a lock is refused" {
            inDirectory (fun root ->
                let target = Path.Combine(root, "target")
                File.WriteAllText(target, "precious")
                let directory = run root
                File.CreateSymbolicLink(directory.Metrics, target) |> ignore
                let e = raised<IOException>(fun () -> MetricsWriter.Open(directory.Metrics, 0L).Dispose())
                Expect.stringContains e.Message directory.Metrics "the place"
                Expect.stringContains e.Message "is a symbolic link" "what was found"

                File.CreateSymbolicLink(Path.Combine(directory.Root, ".lock"), Path.Combine(root, "none"))
                |> ignore

                let e = raised<Bmg.Training.UsageException>(fun () -> directory.Lock().Dispose())
                Expect.stringContains e.Message "is a symbolic link" "what was found"
                Expect.isFalse (File.Exists(Path.Combine(root, "none"))) "nothing was made"
                Expect.equal (File.ReadAllText target) "precious" "untouched")
        }

        test "report --svg replaces one" {
            inDirectory (fun root ->
                let target = Path.Combine(root, "target")
                let figure = Path.Combine(root, "figure.svg")
                File.WriteAllText(target, "precious")
                File.CreateSymbolicLink(figure, target) |> ignore
                let code, _, error = commandLine [ "report"; (run root).Root; "--svg"; figure ]
                Expect.equal code 0 error
                Expect.equal (File.ReadAllText target) "precious" "untouched")
        }
    ]

// --------------------------------------------------------------------------------------------------------------------- shown

let private genText =
    Gen.listOf (
        Gen.oneof [
            Gen.choose (0, 0x24f) |> Gen.map char
            Gen.elements [
                '\ud800'
                '\udc00'
                '\u202e'
                '\u2028'
                '\ufffe'
                '\uffff'
                '\ufeff'
                '\u061c'
                '='
            ]
            Gen.elements [ 'a'; '<'; '&'; '"'; ','; '\n'; '\t' ]
        ]
    )
    |> Gen.map (List.toArray >> String)

let private frames =
    "The expanded size is wrong.\nException raised from make at /a/b.cpp:1 (most recent call first):\nframe #0: c10::Error + 0x1 (libc10.so)\nframe #1: <unknown>\n"

let private shown =
    testList "what is shown" [
        testPropertyWithConfig (config 500) "a text on a line has no character that a terminal obeys"
        <| Prop.forAll (Arb.fromGen genText) (fun text ->
            let line = Printable.Line text
            Expect.isFalse (line |> Seq.exists (fun c -> Char.IsControl c || c = '\u202e' || c = '\u2028')) "none"
            Expect.equal (Printable.Line line) line "once is enough")

        test "texts without such characters are left as they are" {
            for text in [ ""; "plain"; "π̃ ≥ 0 — „é“ 😀 漢字 👩‍🔬"; "C:\\u001b" ] do
                Expect.equal (Printable.Line text) text text

            Expect.equal (Printable.Line "a\x1b[0m\n") "a\\u001b[0m\\u000a" "codes"
            Expect.equal (Printable.Lines "a\n\tb\r\n\000") "a\n\tb\r\n\\u0000" "lines stay"
        }

        testPropertyWithConfig (config 500) "a text in a page or a picture is well-formed"
        <| Prop.forAll (Arb.fromGen genText) (fun text ->
            let parsed =
                XDocument.Parse(
                    $"<a b=\"{XmlText.Escape text}\">{XmlText.Escape text}</a>",
                    LoadOptions.PreserveWhitespace
                )

            let content = (nonNull parsed.Root).Value
            Expect.equal content ((Printable.Lines text).Replace("\r\n", "\n").Replace('\r', '\n')) "its content")

        test "reports hold no character that their format cannot" {
            inDirectory (fun root ->
                let directory = run root
                let page = File.ReadAllText(RunReport.Write directory)
                Expect.isFalse (page |> Seq.exists (fun c -> Char.IsControl c && c <> '\n')) "no control character"
                Expect.stringContains page "it \\u0000 broke \\u001b[31m \\u202e" "as codes"
                XDocument.Parse(RunReport.Figure directory) |> ignore)
        }

        test "a cell that a spreadsheet would compute is text, numbers stay numbers" {
            for cell, expected in
                [
                    "=1+1", "'=1+1"
                    "+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"
                    "-2+3", "'-2+3"
                    "@SUM(1,2)", "\"'@SUM(1,2)\""
                    "\t=1", "'\t=1"
                    "\r=1", "\"'\r=1\""
                    "-1.5", "-1.5"
                    "-1e-05", "-1e-05"
                    "+7", "+7"
                    "", ""
                    "a=b", "a=b"
                    "\000", "\\u0000"
                    "a\nb", "\"a\nb\""
                ] do
                Expect.equal (TextTable.Csv([ cell; "x" ])) $"{expected},x" (Printable.Line cell)
        }

        testPropertyWithConfig (config 500) "no cell of a table of text is obeyed by a terminal"
        <| Prop.forAll (Arb.fromGen genText) (fun text ->
            for line in TextTable.Lines([ [| text; "a" |]; [| "b"; text |] ]) do
                Expect.isFalse (line |> Seq.exists Char.IsControl) "none")

        test "errors of the tensor library come without their native frames, unless asked for" {
            inDirectory (fun root ->
                let failing = {
                    new IExperimentFactory with
                        member _.Create _ = raise (ExternalException frames)
                }

                let train extra =
                    commandLineWith
                        failing
                        ([
                            "train"
                            Path.Combine(paperConfigs, "two-colors", "ac-quick.json")
                            "--output"
                         ]
                         @ [ Path.Combine(root, Guid.NewGuid().ToString "N") ]
                         @ extra)

                let code, _, error = train []
                Expect.equal code 1 "exit code"
                Expect.stringContains error "The expanded size is wrong" "the message"
                Expect.isFalse (error.Contains "frame #" || error.Contains "raised from") error
                Expect.hasLength (error.Trim().Split '\n') 1 "one line"
                let _, _, error = train [ "--verbose" ]
                Expect.stringContains error "frame #0" "with frames")
        }

        test "an error shows no control character of what it speaks of" {
            let code, _, error = commandLine [ "train"; "a\x1b[31m\u202e.json" ]
            Expect.equal code 2 "exit code"
            Expect.stringContains error "a\\u001b[31m\\u202e.json" "as codes"
        }
    ]

let tests = testList "input" [ texts; numberTests; memory; mutants; links; shown ]
