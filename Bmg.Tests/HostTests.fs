/// What belongs together and what does not: a run's directory, its configuration and its checkpoint; what is refused, and that nothing is
/// lost or stuck where something fails on the way.
module Bmg.Tests.HostTests

open System
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Json.Nodes
open System.Threading
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Export.CommandLine
open Bmg.Training
open Bmg.Training.Acting
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Agents
open Bmg.Training.Experiments
open Bmg.Training.Progress
open Bmg.Training.Runs
open Bmg.Tests.EndToEndTests
open Expecto
open FsCheck
open FsCheck.FSharp
open TorchSharp

/// A program whose runs end without an export, which is not what is looked at here.
let private host (output: TextWriter) (error: TextWriter) (stop: CancellationToken) =
    TrainingHost(
        Catalogue = Reading.catalogue,
        Experiments = ExperimentFactory(),
        Finish = FinishRun(fun _ _ _ -> FinishOutcome.Nothing),
        Evaluate = (fun options out -> Bmg.Training.Evaluation.EvaluateAction.Run(options, out)),
        Bench = (fun options out -> Bmg.Training.Benchmarks.BenchAction.Run(options, out)),
        Out = output,
        Error = error,
        Interactive = false,
        Stop = Nullable stop
    )

let private program (arguments: string list) : int * string * string =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = TrainingCli.Run(List.toArray arguments, host output error CancellationToken.None)
    code, output.ToString(), error.ToString()

let private export (arguments: string list) : int * string * string =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = ExportCli.Run(List.toArray arguments, output, error)
    code, output.ToString(), error.ToString()

let private checkpointOf (run: string) =
    Path.Combine(run, "checkpoints", "latest.safetensors")

let private factory = ExperimentFactory()

let private services (reporter: RunReporter) =
    RunServices(Reading.reader, factory, FinishRun(fun _ _ _ -> FinishOutcome.Nothing), reporter)

/// A run of the small learner that was stopped after some meta-steps.
let private interrupted (directory: string) (method: string) (overrides: string list) : string =
    let path = Path.Combine(directory, "run")

    let configuration =
        Reading.reader.Read(small method, "test", [ yield! overrides; "run.metricsEvery=20"; "environmentSteps=60" ])

    let run = RunDirectory.Create path

    let outcome =
        Run.Begin(run, configuration, "test", services RunReporter.Silent).Execute CancellationToken.None

    Expect.equal outcome.State RunState.Finished (string outcome.Failure)
    // As a run that is to be twice as long, stopped in the middle.
    File.WriteAllText(
        run.Configuration,
        (Reading.reader.Read(small method, "test", [ yield! overrides; "run.metricsEvery=20"; "environmentSteps=120" ]))
            .ToJson()
    )

    path

let private edited (run: string) (setting: string) =
    let file = Path.Combine(run, "configuration.json")
    File.WriteAllText(file, Reading.reader.ReadFile(file, [ setting ]).ToJson())

/// Refused with one line on standard error that names the run, or its checkpoint, and no trace.
let private refused (run: string) (code: int, _output: string, error: string) =
    Expect.equal code 2 error
    Expect.equal (error.Trim().Split('\n').Length) 1 error
    Expect.stringContains error run "names the file"
    Expect.isFalse (error.Contains "   at ") "no trace"
    error

// ------------------------------------------------------------------------------------------------------------- crafted checkpoints

/// A checkpoint taken apart, so that parts can be changed and the whole is still a file whose checksum is right.
[<NoEquality; NoComparison>]
type private Parts = {
    Manifest: JsonObject
    Sets: string list
    /// Set and name, type, shape, bytes.
    Tensors: (string * string * int64 list * byte[]) list
    /// What the header says of a tensor in the place of the truth.
    Lies: Map<string, string>
}

let private parse (text: string) =
    (nonNull (JsonNode.Parse text)).AsObject()

let private takeApart (path: string) : Parts =
    let file = File.ReadAllBytes path
    let length = int (BitConverter.ToInt64(file, 0))
    let header = parse (Encoding.UTF8.GetString(file, 8, length))
    let metadata = (nonNull header["__metadata__"]).AsObject()

    let text (key: string) =
        (nonNull metadata[key]).GetValue<string>()

    {
        Manifest = parse (text "manifest")
        Sets = [
            for set in (nonNull (JsonNode.Parse(text "sets"))).AsArray() -> (nonNull set).GetValue<string>()
        ]
        Tensors = [
            for entry in header do
                if entry.Key <> "__metadata__" then
                    let value = (nonNull entry.Value).AsObject()

                    let numbers (key: string) = [
                        for n in (nonNull value[key]).AsArray() -> (nonNull n).GetValue<int64>()
                    ]

                    let offsets = numbers "data_offsets"

                    entry.Key,
                    (nonNull value["dtype"]).GetValue<string>(),
                    numbers "shape",
                    file[8 + length + int offsets[0] .. 8 + length + int offsets[1] - 1]
        ]
        Lies = Map.empty
    }

let private putTogether (path: string) (parts: Parts) =
    let quoted (text: string) =
        (JsonValue.Create text |> nonNull).ToJsonString()

    let header = StringBuilder()
    let sets = "[" + String.Join(",", parts.Sets |> List.map quoted) + "]"

    header
        .Append("{\"__metadata__\":{\"sha256\":\"")
        .Append('0', 64)
        .Append("\",\"format\":\"bmg-checkpoint/1\",\"sets\":")
        .Append(quoted sets)
        .Append(",\"manifest\":")
        .Append(quoted (parts.Manifest.ToJsonString()))
        .Append
        '}'
    |> ignore

    let mutable position = 0L

    for name, kind, shape, data in parts.Tensors do
        let truth =
            $"""{{"dtype":"{kind}","shape":[{String.Join(",", shape)}],"data_offsets":[{position},{position + data.LongLength}]}}"""

        header
            .Append(',')
            .Append(quoted name)
            .Append(':')
            .Append(parts.Lies |> Map.tryFind name |> Option.defaultValue truth)
        |> ignore

        position <- position + data.LongLength

    let text = Encoding.UTF8.GetBytes(header.Append('}').ToString())

    let whole =
        Array.concat [
            BitConverter.GetBytes(int64 text.Length)
            text
            yield! parts.Tensors |> List.map (fun (_, _, _, data) -> data)
        ]

    let digest = Encoding.ASCII.GetBytes(Convert.ToHexStringLower(SHA256.HashData whole))
    Array.blit digest 0 whole (8 + "{\"__metadata__\":{\"sha256\":\"".Length) digest.Length
    File.WriteAllBytes(path, whole)

let private node (json: string) : JsonNode | null = JsonNode.Parse json

let private text (value: string) : JsonNode =
    JsonValue.Create value |> nonNull :> JsonNode

/// Sets a value deep in an object: "policy/network/layers/0/inputs".
let private at (path: string) (value: unit -> JsonNode | null) (parts: Parts) : Parts =
    let manifest = parts.Manifest.DeepClone().AsObject()
    let keys = path.Split '/'
    let mutable here: JsonNode = manifest

    for key in keys[.. keys.Length - 2] do
        here <- nonNull (if here :? JsonArray then here[int key] else here[key])

    match here with
    | :? JsonArray as list -> list[int keys[keys.Length - 1]] <- value ()
    | other -> other[keys[keys.Length - 1]] <- value ()

    { parts with Manifest = manifest }

let private deep = String('[', 5000) + String(']', 5000)

/// The state of the worlds with something changed in it.
let private inState (change: JsonObject -> unit) (parts: Parts) : Parts =
    let state = parse ((nonNull parts.Manifest["state"]).GetValue<string>())
    change state
    at "state" (fun () -> text (state.ToJsonString())) parts

/// A member's first stream.
let private streamOf (state: JsonObject) (m: int) : JsonNode =
    let streams: JsonNode = nonNull state["Streams"]
    let own: JsonNode = nonNull streams.[m]
    nonNull own.[0]

/// The state of the second member's first stream with something changed in it.
let private inStream (change: JsonObject -> unit) : Parts -> Parts =
    inState (fun s -> change ((streamOf s 1).AsObject()))

/// Its environment's bytes changed.
let private inEnvironment (change: byte[] -> byte[]) : Parts -> Parts =
    inStream (fun s ->
        let state = Convert.FromBase64String((nonNull s["State"]).GetValue<string>())
        s["State"] <- text (Convert.ToBase64String(change state)))

/// Another number where two-colors' state has the agent's cell, behind the guard's steps, its flag and its length.
let private offTheGrid (cell: int) (state: byte[]) : byte[] =
    Array.concat [ state[..12]; BitConverter.GetBytes cell; state[17..] ]

let private inHost (change: JsonObject -> unit) (parts: Parts) : Parts =
    let state = parse ((nonNull parts.Manifest["host"]).GetValue<string>())
    change state
    at "host" (fun () -> text (state.ToJsonString())) parts

/// Changes tensor number i, counted round and round.
let private tensor (i: int) change (parts: Parts) : Parts =
    let i = i % parts.Tensors.Length

    {
        parts with
            Tensors =
                parts.Tensors
                |> List.mapi (fun at t -> if at = i then change t else [ t ])
                |> List.concat
    }

let private width kind = if kind = "F32" then 4L else 8L

let private reshaped (shape: int64 list -> int64 list) (name, kind, was: int64 list, data: byte[]) =
    let now = shape was
    let bytes = int (List.fold (*) (width kind) now)

    [
        name, kind, now, Array.init bytes (fun i -> if data.Length = 0 then 0uy else data[i % data.Length])
    ]

/// Things that somebody could do to a checkpoint, each named; i picks where.
let private changes: (string * (int -> Parts -> Parts)) list = [
    "a tensor is gone", fun i -> tensor i (fun _ -> [])
    "a tensor has another name", fun i -> tensor i (fun (n, k, s, d) -> [ n + "x", k, s, d ])
    "a tensor stands in another set", fun i -> tensor i (fun (n, k, s, d) -> [ "meta/" + n.Replace('/', '.'), k, s, d ])
    "one member more", fun i -> tensor i (reshaped (fun s -> (s.Head + 1L) :: s.Tail))
    "one member less", fun i -> tensor i (reshaped (fun s -> (s.Head - 1L) :: s.Tail))
    "no members", fun i -> tensor i (reshaped (fun s -> 0L :: s.Tail))
    "an axis more", fun i -> tensor i (reshaped (fun s -> s @ [ 1L ]))
    "no axes", fun i -> tensor i (reshaped (fun _ -> []))
    "wider", fun i -> tensor i (reshaped (fun s -> List.map (fun n -> n + 1L) s))
    "turned round", fun i -> tensor i (reshaped (fun s -> if List.rev s = s then s @ [ 1L ] else List.rev s))
    "float64", fun i -> tensor i (fun (n, _, s, d) -> [ n, "F64", s, Array.append d d ])
    "int64", fun i -> tensor i (fun (n, _, s, d) -> [ n, "I64", s, Array.append d d ])
    "not a number", fun i -> tensor i (fun (n, k, s, d) -> [ n, k, s, Array.create d.Length 255uy ])
    "the order of tensors",
    // Turned round: sets that are moved as wholes would be the same.
    fun _ parts -> {
        parts with
            Tensors = List.rev parts.Tensors
    }
    "no tensors", fun _ parts -> { parts with Tensors = [] }
    "a set is gone",
    fun i parts ->
        let gone = parts.Sets[i % parts.Sets.Length]

        {
            parts with
                Sets = parts.Sets |> List.filter ((<>) gone)
                Tensors =
                    parts.Tensors
                    |> List.filter (fun (n, _, _, _) -> not (n.StartsWith(gone + "/")))
        }
    "a set more",
    fun _ parts -> {
        parts with
            Sets = parts.Sets @ [ "pending" + string parts.Sets.Length ]
    }
    "sizes of 2^62",
    fun i parts ->
        let name, kind, _, _ = parts.Tensors[i % parts.Tensors.Length]

        let lie =
            if i % 2 = 0 then
                $"""{{"dtype":"{kind}","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"""
            else
                $"""{{"dtype":"{kind}","shape":[4611686018427387904,0],"data_offsets":[0,0]}}"""

        {
            parts with
                Lies = Map.ofList [ name, lie ]
        }
    "negative offsets",
    fun i parts ->
        let name, kind, shape, data = parts.Tensors[i % parts.Tensors.Length]

        {
            parts with
                Lies =
                    Map.ofList [
                        name,
                        $"""{{"dtype":"{kind}","shape":[{String.Join(",", shape)}],"data_offsets":[{-data.Length},0]}}"""
                    ]
        }
    "a header that goes deep",
    fun i parts ->
        let name, _, _, _ = parts.Tensors[i % parts.Tensors.Length]

        {
            parts with
                Lies = Map.ofList [ name, deep ]
        }
    "one seed more", fun _ -> at "seeds" (fun () -> node "[11,12,13]")
    "one seed less", fun _ -> at "seeds" (fun () -> node "[11]")
    "no seeds", fun _ -> at "seeds" (fun () -> node "null")
    "a newer library", fun _ -> at "libraryVersion" (fun () -> text "99.1.0-preview+abc")
    "steps below zero", fun _ -> at "environmentSteps" (fun () -> node "-5")
    "another experiment", fun _ -> at "experiment" (fun () -> text "chess")
    "absurd inputs",
    fun i -> at "policy/network/layers/0/inputs" (fun () -> node (if i % 2 = 0 then "2147483647" else "1"))
    "absurd outputs",
    fun i -> at "policy/network/layers/0/outputs" (fun () -> node (if i % 2 = 0 then "2147483647" else "-7"))
    "an unknown layer", fun _ -> at "policy/network/layers/1/type" (fun () -> text "attention")
    "a layer that is null", fun _ -> at "policy/network/layers/0" (fun () -> null)
    "no layers", fun _ -> at "policy/network/layers" (fun () -> node "[]")
    "only an activation", fun _ -> at "policy/network/layers" (fun () -> node """[{"type":"relu"}]""")
    "another activation", fun _ -> at "policy/network/layers/1/type" (fun () -> text "tanh")
    "absurd meta-network",
    fun i parts ->
        if isNull parts.Manifest["metaNetwork"] then
            at "metaNetwork" (fun () -> node """{"network":null}""") parts
        else
            at "metaNetwork/network/layers/0/inputs" (fun () -> node (if i % 2 = 0 then "2000000000" else "2")) parts
    "a name of an observation that is null", fun _ -> at "policy/observationLayout/0" (fun () -> null)
    "no actions", fun _ -> at "policy/actionMeanings" (fun () -> node "[]")
    "an unknown kind", fun _ -> at "policy/kind" (fun () -> node "7")
    "the policy is in another set",
    fun i -> at "policy/parameterSet" (fun () -> text (if i % 2 = 0 then "meta" else "nowhere"))
    "no state", fun _ -> at "state" (fun () -> text "null")
    "a torn state", fun _ -> at "state" (fun () -> text "{\"Streams\":[[1,")
    "a state that goes deep", fun _ -> at "state" (fun () -> text deep)
    "streams that are null", fun _ -> inState (fun s -> s["Streams"] <- null)
    "a member's streams that are null", fun _ -> inState (fun s -> (nonNull s["Streams"])[1] <- null)
    "a stream that is null", fun _ -> inState (fun s -> (nonNull ((nonNull s["Streams"]).[1])).[0] <- null)
    "a member's streams less", fun _ -> inState (fun s -> (nonNull s["Streams"]).AsArray().RemoveAt 0)
    "a stream less", fun _ -> inState (fun s -> (nonNull ((nonNull s["Streams"]).[0])).AsArray().RemoveAt 0)
    "numbers for streams", fun _ -> inState (fun s -> (nonNull s["Streams"])[0] <- node "[1,2,3]")
    "a stream of no observation", fun _ -> inStream (fun s -> s["Observation"] <- null)
    "a stream of a short observation", fun _ -> inStream (fun s -> s["Observation"] <- node "[1,0,0]")
    "an observation that is no number", fun _ -> inStream (fun s -> (nonNull s["Observation"])[2] <- node "1e39")
    "a stream of steps below zero", fun _ -> inStream (fun s -> s["Steps"] <- node "-1")
    "an episode shorter than nothing", fun _ -> inStream (fun s -> s["Length"] <- node "-1")
    "a return that is no number", fun _ -> inStream (fun s -> s["Return"] <- node "1e999")
    "an environment without a state", fun _ -> inStream (fun s -> s["State"] <- null)
    "a state of an environment cut short", fun _ -> inEnvironment (fun bytes -> bytes[.. bytes.Length - 2])
    "a state of an environment with more behind it", fun _ -> inEnvironment (fun bytes -> Array.append bytes [| 1uy |])
    "a state of an environment off the grid", fun _ -> inEnvironment (offTheGrid 99)
    "no action streams", fun _ -> inState (fun s -> s["Actions"] <- null)
    "an action stream less", fun _ -> inState (fun s -> (nonNull s["Actions"]).AsArray().RemoveAt 0)
    "contexts that are null", fun _ -> inState (fun s -> s["Contexts"] <- null)
    "contexts of other numbers", fun _ -> inState (fun s -> s["Contexts"] <- node "[[1],[2]]")
    "contexts below zero",
    fun i ->
        inState (fun s ->
            match (nonNull s["Contexts"]).AsArray() with
            | contexts when contexts.Count > 0 ->
                let row = (nonNull contexts[0]).AsArray()
                row[row.Count - 1 - 2 * (i % 2)] <- node "-1e300"
            | _ -> s["Contexts"] <- node "[null,null]")
    "no host state", fun _ -> at "host" (fun () -> text "null")
    "a host state of nothing", fun _ -> at "host" (fun () -> text "{}")
    "rewards of other members", fun _ -> inHost (fun h -> h["totalReward"] <- node "[1]")
    "an interval of other metrics", fun _ -> inHost (fun h -> (nonNull h["interval"])["sums"] <- node "[[1,2]]")
    "an interval that is null", fun _ -> inHost (fun h -> h["interval"] <- null)
    "metrics below zero", fun _ -> inHost (fun h -> h["metricsBytes"] <- node "-1")
    "metrics that are not there", fun _ -> inHost (fun h -> h["metricsBytes"] <- node "123456789")
    "no configuration", fun _ -> at "configuration" (fun () -> text "")
    "a configuration that goes deep", fun _ -> at "configuration" (fun () -> text ("{\"name\":" + deep + "}"))
    "another discount",
    fun _ parts ->
        let was = (nonNull parts.Manifest["configuration"]).GetValue<string>()

        at "configuration" (fun () -> text (Reading.reader.Read(was, "x", [ "learner.discount=0.5" ]).ToJson())) parts
    "actions that there are not",
    fun _ parts -> {
        parts with
            Tensors =
                parts.Tensors
                |> List.map (fun (n, k, s, d) ->
                    n,
                    k,
                    s,
                    (if n = "pending/actions" then
                         Array.create d.Length 77uy
                     else
                         d))
    }
]

/// Consumers of a checkpoint: what each did with a crafted one. Done, or refused in one line that names the file.
let private consume (root: string) (run: string) (what: string) =
    let judge (consumer: string) (allowed: int list) (code: int, _output: string, error: string) =
        Expect.contains allowed code $"{what}, {consumer}: {error}"

        if code = 2 then
            Expect.equal (error.Trim().Split('\n').Length) 1 $"{what}, {consumer}: one line: {error}"
            Expect.stringContains error run $"{what}, {consumer}: names the file"
            Expect.isFalse (error.Contains "   at ") $"{what}, {consumer}: no trace"

        code

    let onnx = Path.Combine(root, "crafted.onnx")

    [
        export [ "export"; run; "--member"; "1"; "--output"; onnx; "--force" ]
        |> judge "export" [ 0; 2 ]
        // What it says of a checkpoint that computes something else is not our matter here.
        export [ "check"; Path.Combine(root, "policy.onnx"); "--against"; run ]
        |> judge "check" [ 0; 1; 2 ]
        program [ "evaluate"; run; "--steps"; "16" ] |> judge "evaluate" [ 0; 2 ]
        program [ "train"; "--resume"; run; "--quiet" ] |> judge "resume" [ 0; 2 ]
    ]

let private craftedTests =
    let prepared = Dictionary<string, string * Parts>()

    // One run a method, made once; each try gets the checkpoint and the record back as they were.
    let prepare (root: string) (method: string) =
        let directory = Path.Combine(root, method)
        Directory.CreateDirectory directory |> ignore
        let run = interrupted directory method []

        export [
            "export"
            run
            "--member"
            "0"
            "--output"
            Path.Combine(directory, "policy.onnx")
        ]
        |> ignore

        prepared[method] <- (run, takeApart (checkpointOf run))

    testList "crafted checkpoints" [
        test "whatever is done to a checkpoint, it is taken over whole or refused in a line that names it" {
            withScratch (fun root ->
                for method in [ "bmg"; "mg"; "q-bmg" ] do
                    prepare root method
                    let run, parts = prepared[method]
                    let record = File.ReadAllBytes(Path.Combine(run, "run.json"))
                    let settings = File.ReadAllBytes(Path.Combine(run, "configuration.json"))
                    let metrics = File.ReadAllBytes(Path.Combine(run, "metrics.jsonl"))

                    let again (changed: Parts) =
                        putTogether (checkpointOf run) changed
                        File.WriteAllBytes(Path.Combine(run, "run.json"), record)
                        File.WriteAllBytes(Path.Combine(run, "configuration.json"), settings)
                        File.WriteAllBytes(Path.Combine(run, "metrics.jsonl"), metrics)

                    again parts

                    Expect.equal
                        (consume (Path.Combine(root, method)) run "unchanged")
                        [ 0; 0; 0; 0 ]
                        "the unchanged one is taken"

                    // Which tensor, layer or member: a few of them.
                    let places = Random 3

                    for name, change in changes do
                        again (change (places.Next 100) parts)
                        let codes = consume (Path.Combine(root, method)) run $"{method}: {name}"

                        // A resume looks at everything; only a learner of MG has actions pending that could be wrong.
                        if name <> "actions that there are not" || method = "mg" then
                            Expect.equal (List.last codes) 2 $"{method}: {name}: a resume refuses it")
        }

        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 40
            }
            "two changes at once, in any place"
        <| Prop.forAll
            (Arb.fromGen (
                Gen.map3
                    (fun a b i -> a, b, i)
                    (Gen.choose (0, changes.Length - 1))
                    (Gen.choose (0, changes.Length - 1))
                    (Gen.choose (0, 1000))
            ))
            (fun (a, b, i) ->
                withScratch (fun root ->
                    let method = [| "bmg"; "mg"; "q-bmg" |][i % 3]
                    let run = interrupted root method []

                    export [
                        "export"
                        run
                        "--member"
                        "0"
                        "--output"
                        Path.Combine(root, "policy.onnx")
                    ]
                    |> ignore

                    let parts = takeApart (checkpointOf run)

                    // The second may have nothing left to work on.
                    let changed =
                        let once = snd changes[a] i parts

                        try
                            snd changes[b] (i / 3) once
                        with _ ->
                            once

                    putTogether (checkpointOf run) changed

                    consume root run $"{method}: {fst changes[a]}, {fst changes[b]} at {i}"
                    |> ignore))
    ]

// ------------------------------------------------------------------------------------------------------------------------- resume

let private belongingTests =
    testList "what belongs together" [
        for method, setting, found, expected in
            [
                "bmg", "learner.discount=0.5", "0.5", "learner.discount"
                "bmg", "learner.activation=tanh", "tanh", "learner.activation"
                "bmg", "learner.hidden=[20000]", "[20000]", "[8,8]"
                "bmg", "learner.hidden=[32]", "[32]", "[8,8]"
                "q-bmg", "learner.hidden=[32,8]", "[32,8]", "[16,8]"
                "bmg", "meta.contextLength=4", "4", "meta.contextLength: 3"
                "mg", "learner.rolloutLength=6", "6", "learner.rolloutLength: 5"
                "bmg", "run.metricsEvery=21", "21", "run.metricsEvery: 20"
                "bmg", "environment.swapPeriod=151", "151", "150"
            ] do
            test $"{method}: configuration.json with {setting} by hand is refused before the first step" {
                withScratch (fun root ->
                    let run = interrupted root method []
                    let before = File.ReadAllBytes(checkpointOf run)
                    edited run setting
                    let error = program [ "train"; "--resume"; run ] |> refused run
                    Expect.stringContains error (setting.Split('=')[0]) "the setting"
                    Expect.stringContains error found "what was found"
                    Expect.stringContains error expected "what was expected"
                    Expect.equal (File.ReadAllBytes(checkpointOf run)) before "nothing was written")
            }

        test "threads may be others, and the run longer" {
            withScratch (fun root ->
                let run = interrupted root "bmg" []
                edited run "threads=2"
                let code, _, error = program [ "train"; "--resume"; run; "--quiet"; "--set"; "environmentSteps=150" ]
                Expect.equal code 0 error

                let code, _, error =
                    program [
                        "train"
                        "--resume"
                        run
                        "--quiet"
                        "--set"
                        "environmentSteps=160"
                        "--set"
                        "threads=1"
                    ]

                Expect.equal code 0 error)
        }

        test "a checkpoint of a newer library says so, to whoever reads it" {
            withScratch (fun root ->
                let run = interrupted root "bmg" []

                putTogether
                    (checkpointOf run)
                    (at "libraryVersion" (fun () -> text "99.0.0") (takeApart (checkpointOf run)))

                for result in
                    [
                        program [ "train"; "--resume"; run ]
                        program [ "evaluate"; run ]
                        export [ "export"; run; "--output"; Path.Combine(root, "x.onnx") ]
                    ] do
                    Expect.stringContains (refused run result) "written by Bmg 99.0.0" "the version")
        }

        test "weights that are not numbers are refused by set, tensor and member" {
            withScratch (fun root ->
                let run = interrupted root "bmg" []
                let parts = takeApart (checkpointOf run)

                let poisoned = {
                    parts with
                        Tensors =
                            parts.Tensors
                            |> List.map (fun (n, k, s, d) ->
                                if n = "learner/policy.2.bias" then
                                    n, k, s, Array.append d[.. d.Length - 5] (BitConverter.GetBytes nanf)
                                else
                                    n, k, s, d)
                }

                putTogether (checkpointOf run) poisoned

                for result in
                    [
                        program [ "train"; "--resume"; run ]
                        program [ "evaluate"; run ]
                        export [ "export"; run; "--member"; "1"; "--output"; Path.Combine(root, "x.onnx") ]
                    ] do
                    let error = refused run result
                    Expect.stringContains error "'learner/policy.2.bias', member 1" "where"

                // The other member is as good as ever.
                let code, _, error =
                    export [ "export"; run; "--member"; "0"; "--output"; Path.Combine(root, "x.onnx") ]

                Expect.equal code 0 error)
        }

        test "memory is not handed out for sizes that a tensor does not have" {
            let network = Network.Mlp("policy", 3, [| 8 |], 2, Activation.Relu)
            let right = Network.init network Initialization.Uniform (Seed.Population(1L, 2)) torch.float32 torch.CPU
            let policy = PlainPolicy network

            for name in right.Names do
                let wrong =
                    right
                    |> Params.mapNamed (fun n t -> if n = name then t.narrow(-1L, 0L, 1L).contiguous() else t)

                let e = Expect.throwsC (fun () -> policy.Bind wrong |> ignore) id
                Expect.stringContains e.Message name "the tensor is named"

            let bound = policy.Bind right

            for member', inputs, outputs in [ 2, 3, 2; -1, 3, 2; 0, 4, 2; 0, 3, 3 ] do
                Expect.throwsT<ArgumentException>
                    (fun () ->
                        bound.Apply(
                            member',
                            ReadOnlySpan<float32>(Array.zeroCreate inputs),
                            Span<float32>(Array.zeroCreate outputs),
                            Span<float32>(Array.zeroCreate 32)
                        ))
                    $"member {member'}, {inputs} in, {outputs} out"
        }
    ]

// --------------------------------------------------------------------------------------------------------------------------- paths

let private blankTests =
    testList "paths" [
        for blank in [ ""; " "; "\t" ] do
            for arguments in
                [
                    [ "train"; "--output"; blank ]
                    [ "train"; $"--output={blank}" ]
                    [ "train"; "--resume"; blank ]
                    [ "train"; blank ]
                    [ "report"; blank ]
                    [ "report"; "run"; "--svg"; blank ]
                    [ "evaluate"; blank ]
                    [ "sweep"; "x.json"; "--grid"; "seed=1"; "--output"; blank ]
                    [ "sweep"; "--merge"; blank ]
                    [ "reproduce"; "two-colors"; "--output"; blank ]
                    [ "reproduce"; "two-colors"; "--results"; blank ]
                    [ "theory"; "--output"; blank ]
                ] do
                test $"%A{arguments}: an empty value is refused" {
                    let here = Directory.GetFileSystemEntries(Directory.GetCurrentDirectory()).Length
                    let code, output, error = program arguments
                    Expect.equal (code, output) (2, "") error
                    Expect.equal (error.Trim().Split('\n').Length) 1 error

                    Expect.equal
                        (Directory.GetFileSystemEntries(Directory.GetCurrentDirectory()).Length)
                        here
                        "nothing is written"
                }

            for arguments in
                [
                    [ "export"; blank; "--output"; "x.onnx" ]
                    [ "export"; "run"; "--output"; blank ]
                    [ "inspect"; blank ]
                    [ "check"; "x.onnx"; "--against"; blank ]
                ] do
                test $"Bmg.Export %A{arguments}: an empty value is refused" {
                    let code, output, error = export arguments
                    Expect.equal (code, output) (2, "") error
                    Expect.stringContains error "empty value" "the message"
                }

        test "in the library, too" {
            for blank in [ ""; " " ] do
                for body in
                    [
                        fun () -> RunDirectory.Create blank |> ignore
                        fun () -> RunDirectory.Open blank |> ignore
                        fun () ->
                            Bmg.Training.Studies.StudyDirectory.Check(
                                blank,
                                Bmg.Training.Studies.StudyRecord("s", "1", [], Dictionary())
                            )
                    ] do
                    Expect.throwsT<UsageException> body "an empty name"
        }

        test "a directory with anything in it is refused by train and theory, and nothing is changed" {
            withScratch (fun root ->
                File.WriteAllText(Path.Combine(root, "mine.txt"), "mine")

                for command in [ "train"; "theory" ] do
                    let code, _, error = program [ command; "--output"; root ]
                    Expect.equal code 2 error
                    Expect.stringContains error "not empty" "the message"
                    Expect.isFalse (error.Contains "--resume") "no advice that would be refused in turn"

                Expect.equal (Directory.GetFileSystemEntries root).Length 1 "nothing is written")
        }
    ]

// ------------------------------------------------------------------------------------------------------------------- stops and kills

let private fixedRun (steps: int) =
    Reading.reader.Read(small "fixed", "test", [ $"environmentSteps={steps}"; "run.metricsEvery=20" ])

let private metricsOf (run: RunDirectory) = [
    for line in File.ReadAllLines run.Metrics do
        let values = parse line
        values.Remove "seconds" |> ignore
        values.ToJsonString()
]

let private complete (run: Run) =
    let outcome = run.Execute CancellationToken.None
    Expect.equal outcome.State RunState.Finished (string outcome.Failure)

let private beginRun (run: RunDirectory) configuration =
    Run.Begin(run, configuration, "test", services RunReporter.Silent)

let private resumeRun (run: RunDirectory) configuration =
    Run.Resume(run, configuration, "test", services RunReporter.Silent)

let private killTests =
    testList "kills and full disks" [
        for place in
            [
                "configuration.json"
                "run.json"
                "checkpoints/latest.safetensors"
                "summary.json"
            ] do
            test $"a lengthening that fails at {place} is there whole, or not at all" {
                withScratch (fun root ->
                    let whole = RunDirectory.Create(Path.Combine(root, "whole"))
                    complete (beginRun whole (fixedRun 200))
                    let run = RunDirectory.Create(Path.Combine(root, "run"))
                    complete (beginRun run (fixedRun 100))
                    // What a full disk does: the file cannot be written aside.
                    let obstacle = Path.Combine(run.Root, place + ".partial")
                    Directory.CreateDirectory(Path.Combine(obstacle, "x")) |> ignore

                    let code, _, error =
                        program [ "train"; "--resume"; run.Root; "--quiet"; "--set"; "environmentSteps=200" ]

                    Expect.equal code 1 error
                    Expect.stringContains error place "names the file"
                    Directory.Delete(obstacle, true)
                    let longer = Reading.reader.ReadFile(run.Configuration, []).EnvironmentSteps
                    let record = RunRecord.Read run
                    // Both are old, or neither: a run of the old length is complete, one of the new is not.
                    Expect.equal longer (if place = "configuration.json" then 100L else 200L) "the configuration"
                    Expect.equal (record.State = RunState.Finished) (longer = 100L) "the record"
                    complete (resumeRun run (fixedRun 200))
                    Expect.equal (metricsOf run) (metricsOf whole) "and goes on as if nothing had been")
            }

        test "a kill between the writing of configuration and record leaves a run that is lengthened" {
            withScratch (fun root ->
                let run = RunDirectory.Create(Path.Combine(root, "run"))
                complete (beginRun run (fixedRun 100))
                File.WriteAllText(run.Configuration, (fixedRun 200).ToJson())
                let code, _, error = program [ "train"; "--resume"; run.Root; "--quiet" ]
                Expect.equal code 0 error
                Expect.isGreaterThanOrEqual (RunRecord.Read run).EnvironmentSteps 200L "longer")
        }

        test "stopped before the first checkpoint: --resume starts from the beginning, and train --output says so" {
            withScratch (fun root ->
                let whole = RunDirectory.Create(Path.Combine(root, "whole"))
                complete (beginRun whole (fixedRun 100))

                for hasRecord in [ false; true ] do
                    let run = RunDirectory.Create(Path.Combine(root, $"run-{hasRecord}"))
                    File.WriteAllText(run.Configuration, (fixedRun 100).ToJson())
                    File.WriteAllText(run.Configuration + ".partial", "{")

                    if hasRecord then
                        RunRecord().Write run

                    let code, _, error = program [ "train"; "cartpole"; "--output"; run.Root ]
                    Expect.equal code 2 error
                    Expect.stringContains error "which starts from the beginning with" "says what to do"
                    Expect.stringContains error $" train --resume {run.Root};" "with what to paste"
                    let code, output, error = program [ "train"; "--resume"; run.Root ]
                    Expect.equal code 0 error
                    Expect.stringContains output "from the beginning" "says that it does"
                    Expect.equal (metricsOf run) (metricsOf whole) "the whole run"
                    Expect.isFalse (File.Exists(run.Configuration + ".partial")) "remains are cleared")
        }

        test "a checkpoint that is lost after steps were done is not passed over" {
            withScratch (fun root ->
                let run = interrupted root "bmg" []
                File.Delete(checkpointOf run)
                let error = program [ "train"; "--resume"; run ] |> refused run
                Expect.stringContains error "75 environment steps are done" "the message")
        }

        test "killed before the configuration was written: train --output begins" {
            withScratch (fun root ->
                let path = Path.Combine(root, "run")
                let run = RunDirectory.Create path
                File.WriteAllText(Path.Combine(path, ".lock"), "")
                File.WriteAllText(run.Configuration + ".partial", "{ \"na")
                File.WriteAllText(run.Checkpoint + ".partial", "half")
                complete (beginRun (RunDirectory.Create path) (fixedRun 50))

                Expect.isEmpty
                    (Directory.GetFiles(path, "*.partial", SearchOption.AllDirectories))
                    "remains are cleared"

                Expect.throwsT<UsageException> (fun () -> RunDirectory.Create path |> ignore) "and now it is a run")
        }

        test "a second start in the same new directory is refused" {
            withScratch (fun root ->
                let path = Path.Combine(root, "run")
                let first = beginRun (RunDirectory.Create path) (fixedRun 50)
                let second = beginRun (RunDirectory.Create path) (fixedRun 50)
                complete first
                Expect.throwsT<UsageException> (fun () -> second.Execute CancellationToken.None |> ignore) "the second")
        }
    ]

/// An experiment whose meta-steps, or whose set-up, end only when they are given up.
let private endless (inSetUp: bool) (stopWhen: unit -> unit) =
    let inner = ExperimentFactory() :> IExperimentFactory

    let hang (abandon: CancellationToken) =
        stopWhen ()
        abandon.WaitHandle.WaitOne(TimeSpan.FromSeconds 60.0) |> ignore
        abandon.ThrowIfCancellationRequested()

    {
        new IExperimentFactory with
            member _.Create(_: RunConfiguration) : IExperiment = failwith "not this one"

            member _.Create(configuration: RunConfiguration, abandon: CancellationToken) : IExperiment =
                if inSetUp then
                    hang abandon

                let experiment = inner.Create configuration

                {
                    new IExperiment with
                        member _.Seeds = experiment.Seeds
                        member _.EnvironmentSteps = experiment.EnvironmentSteps
                        member _.Metrics = experiment.Metrics
                        member _.Changes(after, until) = experiment.Changes(after, until)

                        member _.Advance() =
                            if experiment.EnvironmentSteps > 60L then
                                hang abandon

                            experiment.Advance()

                        member _.Save(path, state) = experiment.Save(path, state)
                        member _.Restore path = experiment.Restore path
                        member _.Dispose() = experiment.Dispose()
                }
    }

let private abandonTests =
    testList "stops" [
        test "a meta-step that takes long is given up, and the run goes on from its checkpoint bit for bit" {
            withScratch (fun root ->
                let whole = RunDirectory.Create(Path.Combine(root, "whole"))
                complete (beginRun whole (fixedRun 200))
                let run = RunDirectory.Create(Path.Combine(root, "run"))
                use stop = new CancellationTokenSource()
                let before = services RunReporter.Silent

                let hanging =
                    RunServices(
                        Reading.reader,
                        endless false stop.Cancel,
                        before.Finish,
                        RunReporter.Silent,
                        Patience = TimeSpan.FromMilliseconds 50.0
                    )

                let settings = Reading.reader.Read((fixedRun 200).ToJson(), "x", [ "run.checkpointEvery=30" ])
                let outcome = Run.Begin(run, settings, "test", hanging).Execute stop.Token
                Expect.equal (outcome.State, outcome.Abandoned) (RunState.Interrupted, true) (string outcome.Failure)
                use kept = CheckpointFile.Read run.Checkpoint
                Expect.equal outcome.EnvironmentSteps kept.Manifest.EnvironmentSteps "the checkpoint's steps"
                Expect.isGreaterThan outcome.EnvironmentSteps 0L "some were done"
                Expect.equal (RunRecord.Read run).State RunState.Interrupted "the record"
                complete (resumeRun run settings)
                Expect.equal (metricsOf run) (metricsOf whole) "as one that was never stopped")
        }

        test "a set-up that takes long is given up, and --resume starts from the beginning" {
            withScratch (fun root ->
                let run = RunDirectory.Create(Path.Combine(root, "run"))
                use stop = new CancellationTokenSource()

                let hanging =
                    RunServices(
                        Reading.reader,
                        endless true stop.Cancel,
                        FinishRun(fun _ _ _ -> FinishOutcome.Nothing),
                        RunReporter.Silent,
                        Patience = TimeSpan.FromMilliseconds 50.0
                    )

                let outcome = Run.Begin(run, fixedRun 100, "test", hanging).Execute stop.Token
                Expect.equal (outcome.State, outcome.Abandoned) (RunState.Interrupted, true) (string outcome.Failure)
                Expect.isFalse (File.Exists run.Checkpoint) "no checkpoint"
                complete (resumeRun run (fixedRun 100)))
        }

        for method in methods do
            test $"{method}: a real meta-step, and pre-training, end when they are given up" {
                use source = new CancellationTokenSource()
                let settings = Reading.reader.Read(small method, "test", [ "members=3"; "threads=2" ])
                use experiment = new PopulationExperiment(settings, DerivedSettings.Of settings, source.Token)
                experiment.Advance() |> ignore
                source.Cancel()
                Expect.throwsT<OperationCanceledException> (fun () -> experiment.Advance() |> ignore) "the meta-step"

                if not (method.EndsWith "fixed") then
                    Expect.throwsT<OperationCanceledException>
                        (fun () ->
                            (new PopulationExperiment(settings, DerivedSettings.Of settings, source.Token)).Dispose())
                        "pre-training"
            }

        test "being watched changes nothing of what pre-training makes" {
            let network = Network.Mlp("meta", 2, [| 4 |], 1, Activation.Relu)
            let mutable calls = 0

            let watched =
                MetaParameters.contextualWatched
                    (fun () -> calls <- calls + 1)
                    "ε"
                    network
                    0.0
                    1.0
                    0.3
                    Initialization.Uniform
                    7

            let plain = MetaParameters.contextual "ε" network 0.0 1.0 0.3 Initialization.Uniform 7
            let seeds = Seed.Population(1L, 2)
            let a = watched.Init.Invoke(seeds, torch.float32, torch.CPU)
            let b = plain.Init.Invoke(seeds, torch.float32, torch.CPU)
            Expect.equal calls 7 "once a step"

            for name in a.Names do
                Expect.equal (a[name].bytes.ToArray()) (b[name].bytes.ToArray()) name
        }
    ]

/// Standard output that fails after so many lines.
type private Failing(lines: int) =
    inherit StringWriter()
    let mutable left = lines

    override this.Write(value: char) =
        if left <= 0 then
            raise (IOException "Standard output cannot be written: No space left on device")

        base.Write value

    override this.Write(value: string | null) =
        if left <= 0 then
            raise (IOException "Standard output cannot be written: No space left on device")

        base.Write value

    override this.Write(value: char[], index: int, count: int) =
        if left <= 0 then
            raise (IOException "Standard output cannot be written: No space left on device")

        base.Write(value, index, count)

    override this.WriteLine(value: string | null) =
        this.Write value
        base.Write '\n'
        left <- left - 1

let private outputTests =
    let withOutput (output: TextWriter) (arguments: string list) =
        use error = new StringWriter()
        let code = TrainingCli.Run(List.toArray arguments, host output error CancellationToken.None)
        code, error.ToString()

    testList "standard output" [
        test "one that cannot be written is an error that says so, whatever the command" {
            withScratch (fun root ->
                let run = interrupted root "bmg" []

                for arguments in
                    [
                        [ "schema" ]
                        [ "evaluate"; run; "--steps"; "16" ]
                        [ "report"; run ]
                        [ "train"; "--resume"; run ]
                        [
                            "sweep"
                            Path.Combine(run, "configuration.json")
                            "--grid"
                            "seed=1"
                            "--output"
                            Path.Combine(root, "sweep")
                        ]
                        [ "--help" ]
                    ] do
                    use output = new Failing(0)
                    let code, error = withOutput output arguments
                    Expect.equal code 1 $"%A{arguments}: {error}"
                    Expect.stringContains error "Standard output cannot be written" $"%A{arguments}"
                    Expect.isFalse (error.Contains "   at ") "no trace"

                Expect.isEmpty (Directory.GetDirectories(Path.Combine(root, "sweep"))) "a sweep has not begun"
                use output = new Failing(0)
                use error = new StringWriter()
                Expect.equal (ExportCli.Run([| "--help" |], output, error)) 1 "Bmg.Export"
                Expect.stringContains (error.ToString()) "Standard output cannot be written" "Bmg.Export")
        }

        test "a run that cannot say where it is leaves nothing that is in the way" {
            withScratch (fun root ->
                let file = Path.Combine(root, "small.json")
                File.WriteAllText(file, (fixedRun 50).ToJson())
                let path = Path.Combine(root, "run")
                use output = new Failing(0)
                let code, error = withOutput output [ "train"; file; "--output"; path ]
                Expect.equal code 1 error
                Expect.stringContains error "Standard output" "the message"
                let code, _, error = program [ "train"; file; "--output"; path ]
                Expect.equal code 0 error)
        }

        test "one that breaks later ends no run" {
            withScratch (fun root ->
                let file = Path.Combine(root, "small.json")
                File.WriteAllText(file, (fixedRun 50).ToJson())
                let path = Path.Combine(root, "run")
                use output = new Failing(1)
                let code, error = withOutput output [ "train"; file; "--output"; path ]
                Expect.equal (code, error) (0, "") "done"
                Expect.isTrue (File.Exists(Path.Combine(path, "report.html"))) "with its report")
        }

        test "a standard error that cannot be written changes no exit code" {
            use output = new StringWriter()
            use error = new Failing(0)

            Expect.equal
                (TrainingCli.Run([| "train"; "nowhere.json" |], host output error CancellationToken.None))
                2
                "a file"

            Expect.equal (TrainingCli.Run([| "trian" |], host output error CancellationToken.None)) 2 "a command"
            Expect.equal (ExportCli.Run([| "inspect"; "nowhere.onnx" |], output, error)) 2 "Bmg.Export"
        }
    ]

let tests =
    testList "host" [
        belongingTests
        craftedTests
        blankTests
        killTests
        abandonTests
        outputTests
    ]
