/// ONNX files that somebody else made or damaged, and what is written so that others can read it.
module Bmg.Tests.OnnxInputTests

open System
open System.Collections.Generic
open System.IO
open System.Text
open System.Threading
open Expecto
open FsCheck
open FsCheck.FSharp
open Google.Protobuf
open TorchSharp
open Bmg
open Bmg.Export
open Bmg.Export.Checkpoints
open Bmg.Export.CommandLine
open Bmg.Export.Inference
open Bmg.Export.Onnx
open Bmg.Export.Parity
open Bmg.Training.CommandLine
open Bmg.Training.Environments

let private withDirectory (test: string -> unit) =
    let directory = Directory.CreateTempSubdirectory("bmg-onnx-").FullName

    try
        test directory
    finally
        Directory.Delete(directory, true)

let private raised<'E when 'E :> exn> (f: unit -> unit) : 'E =
    try
        f ()
        failtestf "expected %s, but nothing was raised" typeof<'E>.Name
    with :? 'E as e ->
        e

let private policy =
    Network.Mlp("policy", TwoColorsEnvironment.ObservationSize, [| 5 |], 4, Activation.Relu)

let private value =
    Network.Mlp("value", TwoColorsEnvironment.ObservationSize, [| 5 |], 1, Activation.Tanh)

let private meta = Network.Mlp("meta", 3, [| 4 |], 1, Activation.Elu)

let private configuration = """{"name":"tiny","environmentSteps":100}"""

let private manifest (kind: PolicyKind) =
    CheckpointManifest(
        LibraryVersion = LibraryVersion.Current,
        Experiment = "two-colors",
        EnvironmentSteps = 100L,
        Seeds = [| 1L; 2L |],
        Configuration = configuration,
        Policy =
            PolicyDescription(
                Environment = "two-colors",
                Kind = kind,
                Network = NetworkDescription.Of policy,
                ValueNetwork = NetworkDescription.Of value,
                ParameterSet = "learner",
                ObservationLayout = Seq.toArray TwoColorsEnvironment.Kind.Observation.Names,
                ActionMeanings = [| "up"; "down"; "left"; "right" |]
            ),
        MetaNetwork =
            MetaNetworkDescription(
                Network = NetworkDescription.Of meta,
                ParameterSet = "meta",
                InputNames = [| "a"; "b"; "c" |],
                OutputName = "entropyWeight",
                Low = 0.0,
                High = 2.0
            ),
        Host = "{}",
        State = "{}"
    )

let private init (network: Network) (members: int) =
    Network.init network Initialization.Uniform (Seed.Population(7L, members)) torch.float32 torch.CPU

let private checkpointOf (kind: PolicyKind) =
    let sets = OrderedDictionary<string, Params>()
    sets.Add("learner", Params.leaves (Params.merge [| init policy 2; init value 2 |]))
    sets.Add("meta", init meta 2)
    new Checkpoint(manifest kind, sets)

let private checkpoint () = checkpointOf PolicyKind.Logits

let private all = [ "logits"; "probabilities"; "action"; "value" ]

let private optionsOf (outputs: string list) =
    ExportOptions(Outputs = (List.toArray outputs :> IReadOnlyList<string>))

let private exportOf (c: Checkpoint) (outputs: string list) =
    PolicyExporter.Build(c, 1, false, optionsOf outputs)

/// The bytes of an export as a file has them.
let private policyBytes =
    lazy
        (use c = checkpoint ()
         PolicyExporter.Build(c, 1, true).ToBytes())

let private parse (bytes: byte[]) = ModelProto.Parser.ParseFrom bytes

/// A model with something changed.
let private changed (change: ModelProto -> unit) : byte[] =
    let model = parse policyBytes.Value
    change model
    model.ToByteArray()

let private opsetOf (model: ModelProto) = int model.OpsetImport[0].Version

/// Bmg.Export's command line: exit code, output, error.
let private export (args: string list) =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = ExportCli.Run(List.toArray args, output, error)
    code, output.ToString(), error.ToString()

/// The command line of Bmg.Training.
let private training (args: string list) =
    use output = new StringWriter()
    use error = new StringWriter()

    let host = ProgramHost.Create(output, error, Nullable CancellationToken.None)

    let code = TrainingCli.Run(List.toArray args, host)
    code, output.ToString(), error.ToString()

let private lines (text: string) =
    text.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

/// Everything that can be done with a file: each ends with 0, 1 or 2, and where it fails with one line that names the file.
let private commands (file: string) (run: string) = [
    export, [ "inspect"; file ]
    export, [ "check"; file; "--against"; run; "--observations"; "4" ]
    export, [ "bench"; file; "--batch"; "2"; "--seconds"; "0.001"; "--threads"; "1" ]
    training, [ "evaluate"; file; "--steps"; "16" ]
]

let private endsWell (file: string) (command: string list -> int * string * string, args: string list) =
    let code, output, error = command args
    let label = String.concat " " args
    Expect.isTrue (code >= 0 && code <= 2) $"{label}: exit code {code}"
    Expect.isFalse (error.StartsWith "Unexpected" || error.Contains "   at ") $"{label}: no trace: {error}"

    for text: string in [ output; error ] do
        Expect.isFalse (text |> Seq.exists (fun c -> Char.IsControl c && c <> '\n')) $"{label}: no control character"

    if code <> 0 then
        Expect.hasLength (lines error) 1 $"{label}: one line: {error}"
        Expect.stringContains error (nonNull (Path.GetFileName file)) $"{label}: names the file"

let private withFiles (test: string -> string -> unit) =
    withDirectory (fun directory ->
        let run = Path.Combine(directory, "checkpoint.safetensors")
        use c = checkpoint ()
        CheckpointFile.Write(run, c)
        test directory run)

/// Writes a model and does everything with it.
let private throughAll (bytes: byte[]) =
    withFiles (fun directory run ->
        let file = Path.Combine(directory, "model.onnx")
        File.WriteAllBytes(file, bytes)

        for command in commands file run do
            endsWell file command)

let private config count = {
    FsCheckConfig.defaultConfig with
        maxTest = count
}

// ------------------------------------------------------------------------------------------------------------------ versions

let private versions =
    testList "versions" [
        test "an export asks for the lowest operator set and file format that its graph needs" {
            use c = checkpoint ()

            for outputs, opset, ir in
                [
                    [ "logits" ], 9, 4
                    [ "probabilities" ], 9, 4
                    [ "logits"; "action" ], 12, 7
                    [ "logits"; "probabilities"; "action" ], 12, 7
                    all, 13, 7
                ] do
                let model = (exportOf c outputs).Onnx
                Expect.equal (opsetOf model, int model.IrVersion) (opset, ir) $"%A{outputs}"

            let network = MetaNetworkExporter.Build(c, 0).Onnx
            Expect.equal (opsetOf network, int network.IrVersion) (13, 7) "meta-network"
        }

        test "every operator set from the lowest to the highest gives the same numbers" {
            use c = checkpoint ()

            for opset in 13 .. OnnxVersions.Highest do
                let model = PolicyExporter.Build(c, 0, true, ExportOptions(Opset = opset))
                Expect.equal (opsetOf model.Onnx) opset "what was asked for"
                Expect.isTrue (ParityCheck.Run(model, null, 64).Passed) $"opset {opset}"

            for opset in 9 .. OnnxVersions.Highest do
                let options = ExportOptions(Opset = opset, Outputs = [| "logits"; "probabilities" |])
                let model = PolicyExporter.Build(c, 0, false, options)
                Expect.isTrue (ParityCheck.Run(model, null, 64).Passed) $"opset {opset} without actions"
        }

        test "an operator set that the graph cannot have is refused with what it can" {
            use c = checkpoint ()

            for opset in [ -1; 0; 12; OnnxVersions.Highest + 1 ] do
                let e =
                    raised<ArgumentException>(fun () ->
                        PolicyExporter.Build(c, 0, true, ExportOptions(Opset = opset)) |> ignore)

                Expect.stringContains e.Message $"from 13" "the lowest"
                Expect.stringContains e.Message $"to {OnnxVersions.Highest}, found {opset}" "the highest, and found"
        }
    ]

// ------------------------------------------------------------------------------------------------------------------- outputs

let private genOutputs =
    gen {
        let! order = Gen.shuffle all
        let! count = Gen.choose (1, all.Length)
        return List.ofArray order[.. count - 1]
    }

let private observations (rows: int) =
    let seed = Seed.Of 3L
    let random = seed.Generator()
    Array.init (rows * TwoColorsEnvironment.ObservationSize) (fun _ -> float32 (random.NextNormal()))

let private outputs =
    testList "outputs" [
        testPropertyWithConfig (config 30) "any choice computes the same, and holds nothing else"
        <| Prop.forAll (Arb.fromGen genOutputs) (fun chosen ->
            use c = checkpoint ()
            let model = exportOf c chosen
            Expect.sequenceEqual (model.Onnx.Graph.Output |> Seq.map _.Name) chosen "in the order asked for"
            Expect.isTrue (ParityCheck.Run(model, null, 64).Passed) "parity"
            let operators = model.Onnx.Graph.Node |> Seq.map _.OpType |> Set.ofSeq
            Expect.equal (operators.Contains "ArgMax") (List.contains "action" chosen) "ArgMax"
            Expect.equal (operators.Contains "Softmax") (List.contains "probabilities" chosen) "Softmax"
            let constants = model.Onnx.Graph.Initializer |> Seq.map _.Name
            Expect.equal (constants |> Seq.exists _.StartsWith("value.")) (List.contains "value" chosen) "constants")

        testPropertyWithConfig (config 30) "a session gives what it can from the outputs there are"
        <| Prop.forAll (Arb.fromGen genOutputs) (fun chosen ->
            use c = checkpoint ()
            let rows = 17
            let inputs = observations rows
            use whole = new PolicySession((exportOf c all).ToBytes())

            if chosen = [ "value" ] then
                let e =
                    raised<OnnxFileException>(fun () ->
                        (new PolicySession((exportOf c chosen).ToBytes(), null, "some.onnx")).Dispose())

                Expect.stringContains e.Message "some.onnx" "names the file"
                Expect.stringContains e.Message "'logits'" "says what is missing"
            else
                use some = new PolicySession((exportOf c chosen).ToBytes())
                let expected = whole.Run(inputs, rows)
                let found = some.Run(inputs, rows)
                let actions, expectedActions = found.Actions.ToArray(), expected.Actions.ToArray()
                Expect.equal actions expectedActions "actions"
                let hasRows = List.contains "logits" chosen || List.contains "probabilities" chosen
                Expect.equal some.HasProbabilities hasRows "probabilities"

                if hasRows then
                    let a, b = found.Probabilities.ToArray(), expected.Probabilities.ToArray()

                    for i in 0 .. b.Length - 1 do
                        Expect.floatClose { absolute = 1e-6; relative = 1e-5 } (float a[i]) (float b[i]) "probability"
                else
                    Expect.equal found.Probabilities.Length 0 "no probabilities")

        test "a network of action values gives its action from its values" {
            use c = checkpointOf PolicyKind.Values
            let inputs = observations 9
            use whole = new PolicySession(PolicyExporter.Build(c, 0).ToBytes())

            for chosen in [ [ "values" ]; [ "action" ] ] do
                use some = new PolicySession((PolicyExporter.Build(c, 0, false, optionsOf chosen)).ToBytes())
                let a, b = some.Run(inputs, 9).Actions.ToArray(), whole.Run(inputs, 9).Actions.ToArray()
                Expect.equal a b $"%A{chosen}"
        }

        test "what is no output is refused with what there is" {
            use c = checkpoint ()

            for chosen, says in
                [
                    [ "logit" ], "found 'logit'"
                    [], "found none"
                    [ "logits"; "logits" ], "found 'logits' twice"
                ] do
                let e = raised<ArgumentException>(fun () -> exportOf c chosen |> ignore)
                Expect.stringContains e.Message says "what is wrong"
        }

        test "the command line writes, checks and plays a choice of outputs" {
            withFiles (fun directory run ->
                let file = Path.Combine(directory, "some.onnx")

                let code, output, error = export [ "export"; run; "-o"; file; "--outputs"; "logits"; "--opset"; "15" ]

                Expect.equal (code, error) (0, "") "export"
                Expect.stringContains output "opset 15, IR version 8" "says what it wrote"
                let code, output, _ = export [ "check"; file; "--against"; run ]
                Expect.equal code 0 "check"
                Expect.stringContains output "logits" "the output compared"
                let code, _, _ = training [ "evaluate"; file; "--steps"; "16" ]
                Expect.equal code 0 "evaluate"
                let code, _, _ = export [ "export"; run; "-o"; file; "--outputs"; "action"; "--force" ]
                Expect.equal code 0 "export of actions"
                let code, _, _ = export [ "check"; file; "--against"; run ]
                Expect.equal code 0 "check of actions"
                let code, _, error = training [ "evaluate"; file; "--steps"; "16" ]
                Expect.equal code 2 "evaluate of actions"
                Expect.stringContains error "expected 'logits' or 'probabilities'" "says what is missing"

                for args, says in
                    [
                        [ "--outputs"; "" ], "found an empty value"
                        [ "--outputs"; "logits,what" ], "found 'what'"
                        [ "--outputs"; "logits"; "--value" ], "--value goes without --outputs"
                        [ "--outputs"; "logits"; "--network"; "meta" ], "--network policy"
                        [ "--opset"; "11" ], "from 12"
                        [ "--opset"; "1000" ], "found 1000"
                        [ "--opset"; "x" ], "--opset"
                    ] do
                    let code, _, error = export ([ "export"; run; "-o"; file + "2" ] @ args)
                    Expect.equal code 2 $"%A{args}"
                    Expect.hasLength (lines error) 1 $"%A{args}: one line"
                    Expect.stringContains error says $"%A{args}")
        }

        test "the check before the rename is given the bytes that are renamed" {
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "file")
                File.WriteAllText(path, "old")
                let mutable seen = ""

                AtomicFile.Write(
                    path,
                    Action<Stream>(fun stream -> stream.Write(Encoding.UTF8.GetBytes "new")),
                    Action<string>(fun partial ->
                        seen <- File.ReadAllText partial
                        Expect.equal (File.ReadAllText path) "old" "the old one is still there")
                )
                |> ignore

                Expect.equal (seen, File.ReadAllText path) ("new", "new") "what was checked is what is there"

                let e =
                    raised<InvalidOperationException>(fun () ->
                        AtomicFile.Write(
                            path,
                            Action<Stream>(fun stream -> stream.WriteByte 1uy),
                            Action<string>(fun _ -> raise (InvalidOperationException "no"))
                        )
                        |> ignore)

                Expect.equal e.Message "no" "comes through"
                Expect.equal (File.ReadAllText path) "new" "untouched"
                Expect.sequenceEqual (Directory.GetFiles directory) [ path ] "nothing else")
        }
    ]

// ----------------------------------------------------------------------------------------------------------------- metadata

let private setMetadata (key: string) (text: string | null) (model: ModelProto) =
    for entry in model.MetadataProps |> Seq.filter (fun e -> e.Key = key) |> Seq.toArray do
        model.MetadataProps.Remove entry |> ignore

    match text with
    | null -> ()
    | text -> model.MetadataProps.Add(StringStringEntryProto(Key = key, Value = text))

let private errorOf (command: string list -> int * string * string) (args: string list) =
    let code, _, error = command args
    Expect.equal code 2 $"exit code of %A{args}: {error}"
    Expect.hasLength (lines error) 1 $"one line: {error}"
    error

let private metadata =
    testList "metadata" [
        for key, wrong in
            [
                "bmg.kind", [ "nonsense" ]
                "bmg.environment", [ "chess" ]
                "bmg.inputLayout", [ "nonsense"; "{}"; "[1]"; "[null]"; "[\"a\"]"; "\"\\ud800\""; "[\"\\ud800\"]" ]
                "bmg.actionMeanings", [ "nonsense"; "[]"; "[null,null,null,null]"; "[\"a\",\"b\",\"c\",\"d\"]" ]
                "bmg.configuration", [ "nonsense"; "[]"; "{\"seed\":-1}"; "{\"name\":\"\\ud800\"}" ]
                "bmg.member", [ ""; "-1"; "x"; "99999999999999999999" ]
                "bmg.environmentSteps", [ ""; "-1"; "1.5"; "99999999999999999999" ]
            ] do
            test $"{key} missing or wrong: file, key, found and expected" {
                for text: string | null in (null :: List.map (fun w -> w: string | null) wrong) do
                    withDirectory (fun directory ->
                        let file = Path.Combine(directory, "model.onnx")
                        File.WriteAllBytes(file, changed (setMetadata key text))
                        let error = errorOf training [ "evaluate"; file; "--steps"; "16" ]
                        Expect.stringContains error file "the file"

                        if key <> "bmg.environment" && text <> "[]" && text <> "[\"a\"]" then
                            Expect.stringContains error key "the key"

                        if key <> "bmg.configuration" then
                            Expect.stringContains error "expected" "what was expected")
            }

        test "keys that stand twice, or are empty, are refused" {
            for bytes, says in
                [
                    changed (fun m -> m.MetadataProps.Add(StringStringEntryProto(Key = "bmg.kind", Value = "policy"))),
                    "metadata key 'bmg.kind': found twice"
                    changed (fun m -> m.MetadataProps.Add(StringStringEntryProto())), "metadata key: found one without"
                    changed (fun m -> m.Graph.Output.Add(m.Graph.Output[0].Clone())), "output 'logits': found twice"
                    changed (fun m -> m.Graph.Input.Add(m.Graph.Input[0].Clone())), "input 'observation': found twice"
                    changed (fun m -> m.Graph.Initializer.Add(m.Graph.Initializer[0].Clone())), "constant '"
                ] do
                let e = raised<OnnxFileException>(fun () -> (new ModelSession(bytes, null, "a.onnx")).Dispose())

                Expect.stringContains e.Message "'a.onnx'" "the file"
                Expect.stringContains e.Message says "what is wrong"
        }

        test "inspect shows no control character of a file" {
            withDirectory (fun directory ->
                let file = Path.Combine(directory, "model.onnx")
                let evil = "\x1b[31m\x07\u202e\u0000"

                let bytes =
                    changed (fun m ->
                        m.ProducerName <- evil
                        m.Graph.Output[0].Name <- evil
                        m.Graph.Output[0].Type.TensorType.Shape.Dim[0].DimParam <- evil
                        m.Graph.Node[0].OpType <- evil
                        m.OpsetImport[0].Domain <- evil
                        m.MetadataProps.Add(StringStringEntryProto(Key = evil, Value = evil)))

                File.WriteAllBytes(file, bytes)
                let code, output, _ = export [ "inspect"; file ]
                Expect.equal code 0 "inspect"
                Expect.isFalse (output |> Seq.exists (fun c -> Char.IsControl c && c <> '\n')) "no control character"
                Expect.isFalse (output.Contains '\u202e') "no turn of direction"
                Expect.stringContains output "\\u001b[31m" "shown as its code"
                let _, _, error = export [ "bench"; file ]
                Expect.isFalse (error |> Seq.exists (fun c -> Char.IsControl c && c <> '\n')) "nor an error")
        }

        test "an argument that begins with @ is a file's name and nothing else" {
            withDirectory (fun directory ->
                let file = Path.Combine(directory, "args")
                File.WriteAllText(file, "--version")
                let error = errorOf export [ "inspect"; "@" + file ]
                Expect.stringContains error $"@{file}" "named as it was given")
        }
    ]

// ------------------------------------------------------------------------------------------------------------- external data

/// Moves the data of every constant into a file of its own, as `location` says.
let private moveData (folder: string) (name: string) (location: string) (model: ModelProto) =
    use stream = File.Create(Path.Combine(folder, name))

    // The runtime reads what shapes depend on from the model alone.
    let floats = int TensorProto.Types.DataType.Float

    for tensor in model.Graph.Initializer |> Seq.filter (fun t -> t.DataType = floats) do
        let data = tensor.RawData.ToByteArray()
        tensor.ExternalData.Add(StringStringEntryProto(Key = "location", Value = location))
        tensor.ExternalData.Add(StringStringEntryProto(Key = "offset", Value = string stream.Position))
        tensor.ExternalData.Add(StringStringEntryProto(Key = "length", Value = string data.Length))
        tensor.DataLocation <- TensorProto.Types.DataLocation.External
        tensor.RawData <- ByteString.Empty
        stream.Write data

let private external =
    testList "data in files of its own" [
        test "is read beside the model, wherever the process runs" {
            withFiles (fun directory run ->
                let file = Path.Combine(directory, "model.onnx")
                let model = parse policyBytes.Value
                moveData directory "weights.bin" "weights.bin" model
                File.WriteAllBytes(file, model.ToByteArray())
                Expect.notEqual (Directory.GetCurrentDirectory()) directory "not here"
                use whole = new PolicySession(policyBytes.Value)
                use split = PolicySession.Load file
                let inputs = observations 5
                let a, b = split.Run(inputs, 5).Logits.ToArray(), whole.Run(inputs, 5).Logits.ToArray()
                Expect.equal a b "the same numbers"

                for command, args in commands file run do
                    let code, _, error = command args
                    Expect.equal (code, error) (0, "") $"%A{args}")
        }

        test "outside of the model's folder is refused" {
            withDirectory (fun directory ->
                let inside = Directory.CreateDirectory(Path.Combine(directory, "inside")).FullName
                let file = Path.Combine(inside, "model.onnx")
                let model = parse policyBytes.Value
                moveData directory "weights.bin" "x" model

                File.CreateSymbolicLink(Path.Combine(inside, "link.bin"), Path.Combine(directory, "weights.bin"))
                |> ignore

                Directory.CreateSymbolicLink(Path.Combine(inside, "folder"), directory)
                |> ignore

                for location, says in
                    [
                        "../weights.bin", "expected the name of a file beside the model"
                        "a/../../weights.bin", "expected the name of a file beside the model"
                        "..\\weights.bin", "expected the name of a file beside the model"
                        Path.Combine(directory, "weights.bin"), "expected the name of a file beside the model"
                        "", "expected the name of a file beside the model"
                        "link.bin", "behind a symbolic link"
                        "folder/weights.bin", "behind a symbolic link"
                        "none.bin", "no file 'none.bin'"
                    ] do
                    for tensor in model.Graph.Initializer |> Seq.filter (fun t -> t.ExternalData.Count > 0) do
                        tensor.ExternalData[0].Value <- location

                    File.WriteAllBytes(file, model.ToByteArray())
                    let e = raised<OnnxFileException>(fun () -> (ModelSession.Load file).Dispose())
                    Expect.stringContains e.Message file "the file"
                    Expect.stringContains e.Message says location)
        }

        test "of another size than the tensor is refused" {
            withDirectory (fun directory ->
                let file = Path.Combine(directory, "model.onnx")

                for key, text in
                    [
                        "length", "1"
                        "length", "-1"
                        "length", "x"
                        "offset", "9999999"
                        "offset", "9223372036854775807"
                        "offset", "x"
                    ] do
                    let model = parse policyBytes.Value
                    moveData directory "weights.bin" "weights.bin" model
                    let tensor = model.Graph.Initializer[0]
                    (tensor.ExternalData |> Seq.find (fun e -> e.Key = key)).Value <- text
                    File.WriteAllBytes(file, model.ToByteArray())
                    let e = raised<OnnxFileException>(fun () -> (ModelSession.Load file).Dispose())
                    Expect.stringContains e.Message $"tensor '{tensor.Name}'" $"{key} {text}")
        }

        test "goes with a file only" {
            withDirectory (fun directory ->
                let model = parse policyBytes.Value
                moveData directory "weights.bin" "weights.bin" model

                let e = raised<OnnxFileException>(fun () -> (new ModelSession(model.ToByteArray())).Dispose())

                Expect.stringContains e.Message "given as bytes" "why")
        }
    ]

// ------------------------------------------------------------------------------------------------------------------- mutants

/// A way to damage a file.
type private Mutant = { What: string; Bytes: byte[] }

let private genByteMutant (bytes: byte[]) =
    gen {
        let! at = Gen.choose (0, bytes.Length - 1)
        let! length = Gen.choose (1, min 64 (bytes.Length - at))
        let! flipped = Gen.choose (1, 255)

        let! what, mutant =
            Gen.elements [
                $"flip {flipped} at {at}",
                (let copy = Array.copy bytes
                 copy[at] <- copy[at] ^^^ byte flipped
                 copy)
                $"cut at {at}", bytes[.. at - 1]
                $"twice {at}+{length}", Array.concat [ bytes[.. at + length - 1]; bytes[at..] ]
                $"without {at}+{length}", Array.concat [ bytes[.. at - 1]; bytes[at + length ..] ]
                $"zeros {at}+{length}",
                Array.concat [ bytes[.. at - 1]; Array.zeroCreate length; bytes[at + length ..] ]
            ]

        return { What = what; Bytes = mutant }
    }

let private genNumber =
    Gen.oneof [
        Gen.elements [
            0L
            1L
            -1L
            2L
            30L
            1L <<< 31
            Int64.MaxValue
            Int64.MinValue
            (1L <<< 32) + 1L
            1L <<< 40
        ]
        Gen.choose (-3, 40) |> Gen.map int64
    ]

let private genName =
    Gen.elements [
        ""
        "observation"
        "logits"
        "policy.0.weight"
        "value.axes"
        "\u0000"
        "\x1b[2J"
        "../x"
        String('a', 5000)
    ]

let private genOperator =
    Gen.elements [
        ""
        "Gemm"
        "Relu"
        "Softmax"
        "ArgMax"
        "Squeeze"
        "Identity"
        "Loop"
        "If"
        "Scan"
        "Reshape"
        "Expand"
        "ConstantOfShape"
        "Tile"
        "Pad"
        "Conv"
        "Nonsense"
        "Shape"
        "Range"
        "SequenceEmpty"
        "StringNormalizer"
        "Optional"
        "QuantizeLinear"
    ]

/// Changes one thing that a model says.
let private genFieldMutant =
    gen {
        let model = parse policyBytes.Value
        let graph = model.Graph
        let! node = Gen.elements (Seq.toList graph.Node)
        let! tensor = Gen.elements (Seq.toList graph.Initializer)
        let! number = genNumber
        let! small = Gen.choose (-1, 30)
        let! name = genName
        let! operator = genOperator
        let! kind = Gen.choose (0, 31)
        let! place = Gen.choose (0, 100)
        let dims (value: ValueInfoProto) = value.Type.TensorType.Shape.Dim
        let output = graph.Output[place % graph.Output.Count]

        let attribute =
            AttributeProto(
                Name = name,
                Type = enum small,
                I = number,
                F = 1.0f / 0.0f,
                S = ByteString.CopyFromUtf8 name
            )

        match kind with
        | 0 -> model.IrVersion <- number
        | 1 -> model.OpsetImport[0].Version <- number
        | 2 -> model.OpsetImport[0].Domain <- name
        | 3 -> model.OpsetImport.Clear()
        | 4 -> model.OpsetImport.Add(OperatorSetIdProto(Domain = name, Version = number))
        | 5 -> node.OpType <- operator
        | 6 -> node.Input.Clear()
        | 7 -> node.Input[place % node.Input.Count] <- name
        | 8 -> node.Output[0] <- name
        | 9 -> node.Output.Add name
        | 10 -> node.Domain <- name
        | 11 -> node.Attribute.Add attribute
        | 12 ->
            for a in node.Attribute do
                a.I <- number
        | 13 ->
            for a in node.Attribute do
                a.Type <- enum small
        | 14 -> tensor.Dims[place % max 1 tensor.Dims.Count] <- number
        | 15 -> tensor.Dims.Add number
        | 16 -> tensor.DataType <- small
        | 17 ->
            tensor.RawData <-
                ByteString.CopyFrom(tensor.RawData.ToByteArray()[.. min place (tensor.RawData.Length - 1)])
        | 18 -> tensor.Name <- name
        | 19 -> graph.Initializer.Remove tensor |> ignore
        | 20 -> graph.Node.Remove node |> ignore
        | 21 -> graph.Node.Add(node.Clone())
        | 22 -> (dims output)[0] <- TensorShapeProto.Types.Dimension(DimValue = number)
        | 23 -> (dims graph.Input[0])[place % 2] <- TensorShapeProto.Types.Dimension(DimValue = number)
        | 24 -> output.Name <- name
        | 25 -> output.Type.TensorType.ElemType <- small
        | 26 -> graph.Output.Remove output |> ignore
        | 27 -> output.Type <- null
        | 28 ->
            attribute.Type <- AttributeProto.Types.AttributeType.Graph
            attribute.Name <- "body"
            attribute.G <- graph.Clone()
            node.OpType <- operator
            node.Attribute.Add attribute
        | 29 ->
            attribute.Type <- AttributeProto.Types.AttributeType.Tensor
            attribute.Name <- "value"
            attribute.T <- TensorProto(DataType = small)
            attribute.T.Dims.Add number
            node.OpType <- operator
            node.Attribute.Add attribute
        | 30 ->
            tensor.DataLocation <- TensorProto.Types.DataLocation.External
            tensor.ExternalData.Add(StringStringEntryProto(Key = "location", Value = name))
        | _ -> model.MetadataProps[place % model.MetadataProps.Count].Value <- name

        return {
            What = $"field {kind} {number} {small} {operator} {place}"
            Bytes = model.ToByteArray()
        }
    }

let private genMutant =
    gen {
        let! mutant = Gen.frequency [ 1, genByteMutant policyBytes.Value; 2, genFieldMutant ]
        let! again = Gen.elements [ true; false ]

        if again && mutant.Bytes.Length > 1 then
            return! genByteMutant mutant.Bytes
        else
            return mutant
    }

/// How many mutants: more by hand, as in BMG_MUTANTS=2000.
let private mutants =
    match Environment.GetEnvironmentVariable "BMG_MUTANTS" with
    | null -> 150
    | text -> int text

let private damaged =
    testList "damaged files" [
        test "a link planted at a checkpoint's partial file, or an export's, is not followed" {
            withFiles (fun directory run ->
                let target = Path.Combine(directory, "target")
                File.WriteAllText(target, "precious")
                let file = Path.Combine(directory, "latest.safetensors")
                File.CreateSymbolicLink(file + ".partial", target) |> ignore
                use c = checkpoint ()
                CheckpointFile.Write(file, c)
                (CheckpointFile.Read file).Dispose()
                let model = Path.Combine(directory, "model.onnx")
                File.CreateSymbolicLink(model + ".partial", target) |> ignore
                let code, _, error = export [ "export"; run; "-o"; model ]
                Expect.equal (code, error) (0, "") "export"
                Expect.equal (File.ReadAllText target) "precious" "untouched")
        }

        testPropertyWithConfig (config mutants) "end every command with 0, 1 or 2, and one line that names the file"
        <| Prop.forAll (Arb.fromGen genMutant) (fun mutant -> throughAll mutant.Bytes)

        test "data that is shorter or longer than its shape is refused before the runtime sees it" {
            for change in
                [
                    fun (t: TensorProto) -> t.RawData <- ByteString.CopyFrom(Array.zeroCreate 4)
                    fun t -> t.RawData <- ByteString.Empty
                    fun t -> t.Dims[0] <- -1L
                    fun t -> t.Dims[0] <- Int64.MaxValue
                    fun t -> t.Dims.Add 2L
                    fun t -> t.DataType <- int TensorProto.Types.DataType.Double
                ] do
                let bytes = changed (fun m -> change m.Graph.Initializer[0])

                let e = raised<OnnxFileException>(fun () -> (new ModelSession(bytes, null, "a.onnx")).Dispose())

                Expect.stringContains e.Message "'a.onnx': tensor 'policy.0.weight': found" "file, tensor and found"
        }

        test "what is no file, or none that ends, is refused" {
            withDirectory (fun directory ->
                for path, says in
                    [
                        directory, "is a directory"
                        Path.Combine(directory, "none.onnx"), "no file"
                        "", "found an empty value"
                    ] do
                    for command in [ [ "inspect"; path ]; [ "bench"; path ] ] do
                        Expect.stringContains (errorOf export command) says path

                if OperatingSystem.IsLinux() then
                    Expect.stringContains (errorOf export [ "inspect"; "/dev/full" ]) "more than" "a device")
        }

        test "numbers on the command line that no memory has room for are refused" {
            withFiles (fun directory run ->
                let file = Path.Combine(directory, "model.onnx")
                File.WriteAllBytes(file, policyBytes.Value)

                for args, says in
                    [
                        [ "bench"; file; "--batch"; "71582789" ], "--batch: found 71582789"
                        [ "bench"; file; "--batch"; "2147483647" ], "--batch: found 2147483647"
                        [ "bench"; file; "--batch"; "99999999999" ], "--batch"
                        [ "bench"; file; "--threads"; "2000000000" ], "--threads must be a whole number from 0 to 1024"
                        [ "bench"; file; "--seconds"; "1e999" ], "--seconds"
                        [ "bench"; file; "--seconds"; "nan" ], "--seconds"
                        [ "check"; file; "--against"; run; "--observations"; "1e99" ], "--observations"
                    ] do
                    Expect.stringContains (errorOf export args) says $"%A{args}")
        }
    ]

let tests =
    testSequencedGroup "ONNX Runtime on files"
    <| testList "ONNX files" [ versions; outputs; metadata; external; damaged ]
