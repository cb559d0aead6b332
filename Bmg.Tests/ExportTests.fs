module Bmg.Tests.ExportTests

open System
open System.Collections.Generic
open System.IO
open System.Text
open Expecto
open FsCheck
open FsCheck.FSharp
open TorchSharp
open Bmg
open Bmg.Export
open Bmg.Export.Checkpoints
open Bmg.Export.CommandLine
open Bmg.Export.Inference
open Bmg.Export.Onnx
open Bmg.Export.Parity

/// Runs `test` in a directory of its own, which is removed afterwards.
let private withDirectory (test: string -> unit) =
    let directory = Directory.CreateTempSubdirectory("bmg-export-").FullName

    try
        test directory
    finally
        Directory.Delete(directory, true)

/// What `f` raises, or a failure where it raises nothing.
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

let private network = Network.Mlp("policy", 3, [| 4 |], 2, Activation.Relu)
let private value = Network.Mlp("value", 3, [| 4 |], 1, Activation.Tanh)
let private meta = Network.Mlp("entropy", 2, [| 4 |], 1, Activation.Relu)

let private manifest =
    CheckpointManifest(
        LibraryVersion = LibraryVersion.Current,
        Experiment = "two-colors",
        EnvironmentSteps = 4096L,
        Seeds = [| 1L; 2L; 3L |],
        Configuration = """{"learner": {"rate": 0.1}}""",
        Policy =
            PolicyDescription(
                Environment = "two-colors",
                Network = NetworkDescription.Of network,
                ValueNetwork = NetworkDescription.Of value,
                ParameterSet = "learner",
                ObservationLayout = [| "red"; "blue"; "bias" |],
                ActionMeanings = [| "left"; "right" |]
            ),
        MetaNetwork =
            MetaNetworkDescription(
                Network = NetworkDescription.Of meta,
                ParameterSet = "meta",
                InputNames = [| "reward 1"; "reward 2" |],
                OutputName = "entropyWeight",
                Low = 0.0,
                High = 2.0
            ),
        Host = "{}",
        State = "state \"quoted\" ↯"
    )

let private init (network: Network) (members: int) =
    Network.init network Initialization.Uniform (Seed.Population(7L, members)) torch.float32 torch.CPU

/// A checkpoint of three members, as a run leaves it; its meta-network is shared by all members.
let private checkpoint () =
    let sets = OrderedDictionary<string, Params>()
    sets.Add("learner", Params.leaves (Params.merge [| init network 3; init value 3 |]))
    sets.Add("meta", init meta 1)
    sets.Add("metaOptimizer", Params.Empty)
    new Checkpoint(manifest, sets)

let private bytes (tensor: Tensor) = tensor.contiguous().bytes.ToArray()

let private same (label: string) (a: Checkpoint) (b: Checkpoint) =
    Expect.sequenceEqual a.Sets.Keys b.Sets.Keys $"{label}: sets in order"

    for set in a.Sets.Keys do
        let x, y = a.Sets[set], b.Sets[set]
        Expect.sequenceEqual x.Names y.Names $"{label}: names of {set} in order"

        for i in 0 .. x.Count - 1 do
            let u, v = x.Tensors[i], y.Tensors[i]
            Expect.equal u.dtype v.dtype $"{label}: type of {set}/{x.Names[i]}"
            Expect.sequenceEqual u.shape v.shape $"{label}: shape of {set}/{x.Names[i]}"
            Expect.equal (bytes u) (bytes v) $"{label}: content of {set}/{x.Names[i]}"

// ---------------------------------------------------------------------------------------------------------------- generators

let private genTensor =
    gen {
        let! rank = Gen.choose (0, 3)
        let! shape = Gen.choose (0, 3) |> Gen.arrayOfLength rank
        let! dtype = Gen.elements [ torch.float32; torch.float64; torch.int64 ]
        let! value = Gen.choose (-1000, 1000)
        let shape = Array.map int64 shape
        let count = Array.fold (*) 1L shape

        let numbers = torch.arange(0L, count, 1L).mul(torch.tensor (float value / 8.0)).reshape shape
        let! turned = Gen.elements [ true; false ]

        let numbers =
            if turned && rank > 1 then
                numbers.transpose (0L, 1L)
            else
                numbers

        return numbers.``to`` (dtype: torch.ScalarType)
    }

let private genName =
    Gen.frequency [
        3, Gen.elements [ "policy.0.weight"; "a/b"; "/"; ""; "__metadata__"; "ß\"\\\n\u0000" ]
        1,
        Gen.choose (0x20, 0x2FFF)
        |> Gen.map char
        |> Gen.listOf
        |> Gen.map (fun cs -> String(Array.ofList cs))
    ]

let private genParams =
    gen {
        let! names = Gen.listOf genName |> Gen.map (List.distinct >> Array.ofList)
        let! tensors = Gen.arrayOfLength names.Length genTensor
        return Params.Create(names, tensors)
    }

let private genSets =
    gen {
        let! names = Gen.subListOf [ "learner"; "learnerOptimizer"; "meta"; "pending"; "π" ]
        let! names = Gen.shuffle names
        let! sets = Gen.arrayOfLength names.Length genParams
        let ordered = OrderedDictionary<string, Params>()
        Array.iter2 (fun name set -> ordered.Add(name, set)) names sets
        return ordered
    }

// ---------------------------------------------------------------------------------------------------------------- checkpoints

let private checkpointTests =
    testList "checkpoint" [
        testPropertyWithConfig (config 60) "what is written is what is read"
        <| Prop.forAll (Arb.fromGen genSets) (fun sets ->
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "latest.safetensors")
                let written = new Checkpoint(manifest, sets)
                CheckpointFile.Write(path, written)
                use read = CheckpointFile.Read path
                same "read" written read
                Expect.equal read.Manifest.State manifest.State "state"
                Expect.sequenceEqual read.Manifest.Seeds manifest.Seeds "seeds"
                Expect.equal (read.Manifest.Policy.Network.ToNetwork()) network "the policy's network"
                Expect.sequenceEqual (Directory.GetFiles directory) [ path ] "nothing is left beside it"))

        testPropertyWithConfig (config 300) "any change of any byte, and any cut, is a CheckpointException"
        <| Prop.forAll
            (Arb.fromGen (Gen.zip3 (Gen.choose (0, Int32.MaxValue)) (Gen.choose (0, 7)) (Gen.elements [ true; false ])))
            (fun (position, bit, cut) ->
                withDirectory (fun directory ->
                    let path = Path.Combine(directory, "latest.safetensors")
                    CheckpointFile.Write(path, checkpoint ())
                    let whole = File.ReadAllBytes path
                    let position = position % whole.Length

                    if cut then
                        File.WriteAllBytes(path, whole[.. position - 1])
                    else
                        whole[position] <- whole[position] ^^^ (1uy <<< bit)
                        File.WriteAllBytes(path, whole)

                    let e = raised<CheckpointException>(fun () -> CheckpointFile.Read(path).Dispose())
                    Expect.stringContains e.Message path "the message names the file"))

        testCase "the whole file is what safetensors says it is" (fun () ->
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "latest.safetensors")
                let written = checkpoint ()
                CheckpointFile.Write(path, written)
                let file = File.ReadAllBytes path
                let length = int (BitConverter.ToInt64(file, 0))
                use header = Json.JsonDocument.Parse(file.AsMemory(8, length))
                let weight = header.RootElement.GetProperty "learner/policy.0.weight"
                Expect.equal (weight.GetProperty("dtype").GetString()) "F32" "type"

                let offsets =
                    weight.GetProperty("data_offsets").EnumerateArray()
                    |> Seq.map _.GetInt32()
                    |> Array.ofSeq

                let data = file[8 + length + offsets[0] .. 8 + length + offsets[1] - 1]

                Expect.equal
                    data
                    (bytes written.Sets["learner"].["policy.0.weight"])
                    "the data lies where the header says"

                let digest =
                    header.RootElement.GetProperty("__metadata__").GetProperty("sha256").GetString()
                    |> nonNull

                let cleared = Encoding.Latin1.GetString(file).Replace(digest, String('0', 64))
                let computed = Security.Cryptography.SHA256.HashData(Encoding.Latin1.GetBytes cleared)

                Expect.equal
                    (Convert.ToHexStringLower computed)
                    digest
                    "the digest is that of the file with zeros in its place"))

        testCase "a file that is something else is told apart" (fun () ->
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "other.safetensors")

                let message (header: string) =
                    let text = Encoding.UTF8.GetBytes header
                    File.WriteAllBytes(path, Array.append (BitConverter.GetBytes(int64 text.Length)) text)
                    raised<CheckpointException>(fun () -> CheckpointFile.Read(path).Dispose()).Message

                Expect.stringContains (message "{}") "not written by Bmg" "foreign safetensors"
                Expect.stringContains (message """{"__metadata__":{"format":"pt"}}""") "'pt'" "another format"
                Expect.stringContains (message "no json") "cannot be read" "no JSON"

                let newer = message """{"__metadata__":{"format":"bmg-checkpoint/2"}}"""
                Expect.stringContains newer "'bmg-checkpoint/2'" "a newer format is named"
                Expect.stringContains newer "'bmg-checkpoint/1'" "and so is the one that is read"

                File.WriteAllText(path, "")
                let e = raised<CheckpointException>(fun () -> CheckpointFile.Read(path).Dispose())
                Expect.stringContains e.Message "0 bytes" "empty file"
                let e = raised<CheckpointException>(fun () -> CheckpointFile.Read(path + ".not").Dispose())
                Expect.stringContains e.Message "There is no checkpoint" "missing file"

                raised<CheckpointException>(fun () -> CheckpointFile.Read(directory).Dispose())
                |> ignore))

        testCase "a write that fails leaves the old checkpoint and nothing else" (fun () ->
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "latest.safetensors")
                let old = checkpoint ()
                CheckpointFile.Write(path, old)

                let broken = checkpoint ()
                broken.Sets["learner"].["value.2.bias"].Dispose()
                Expect.throws (fun () -> CheckpointFile.Write(path, broken)) "a disposed tensor"

                let half = torch.zeros (1L, 2L, dtype = torch.float16)
                let unsupported = new Checkpoint(manifest, dict [ "learner", Params.Single("h", half) ] |> Dictionary)
                let e = raised<ArgumentException>(fun () -> CheckpointFile.Write(path, unsupported))
                Expect.stringContains e.Message "'learner/h'" "a type that is not supported is named"

                let e =
                    raised<IOException>(fun () ->
                        AtomicFile.Write(
                            path,
                            fun stream ->
                                stream.WriteByte 1uy
                                raise (IOException "No space left on device.")
                        )
                        |> ignore)

                Expect.stringContains e.Message path "the message names the file"
                Expect.stringContains e.Message "free space" "and the space that is left"

                use read = CheckpointFile.Read path
                same "still" old read
                Expect.sequenceEqual (Directory.GetFiles directory) [ path ] "nothing is left beside it"))

        testCase "what a killed write left behind does no harm" (fun () ->
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "latest.safetensors")
                File.WriteAllText(path + ".partial", "half a checkpoint, and longer than nothing")
                let written = checkpoint ()
                CheckpointFile.Write(path, written)
                use read = CheckpointFile.Read path
                same "read" written read
                Expect.sequenceEqual (Directory.GetFiles directory) [ path ] "nothing is left beside it"))

        testCase "names that a file cannot hold are refused" (fun () ->
            let sets (name: string) =
                dict [ name, Params.Empty ] |> Dictionary

            let e = raised<ArgumentException>(fun () -> new Checkpoint(manifest, sets "a/b") |> ignore)
            Expect.stringContains e.Message "'a/b'" "a slash in a set's name"

            raised<ArgumentException>(fun () -> new Checkpoint(manifest, sets "") |> ignore)
            |> ignore

            withDirectory (fun directory ->
                let half = Params.Single(string (char 0xD800), torch.zeros 1L)
                let c = new Checkpoint(manifest, dict [ "learner", half ] |> Dictionary)

                raised<ArgumentException>(fun () -> CheckpointFile.Write(Path.Combine(directory, "c"), c))
                |> ignore

                Expect.isEmpty (Directory.GetFiles directory) "half a surrogate pair leaves no file"))

        testCase "a run directory leads to its checkpoint" (fun () ->
            withDirectory (fun directory ->
                let expected = RunDirectory.LatestCheckpoint directory
                let e = raised<CheckpointException>(fun () -> RunDirectory.FindCheckpoint directory |> ignore)
                Expect.stringContains e.Message expected "the message says what was expected"
                Directory.CreateDirectory(nonNull (Path.GetDirectoryName expected)) |> ignore
                CheckpointFile.Write(expected, checkpoint ())
                Expect.equal (RunDirectory.FindCheckpoint directory) expected "found in the directory"
                Expect.equal (RunDirectory.FindCheckpoint expected) expected "or given itself"

                raised<CheckpointException>(fun () -> RunDirectory.FindCheckpoint(directory + "-not") |> ignore)
                |> ignore))

        testCase "a layer that does not exist is refused by name and place" (fun () ->
            let description =
                NetworkDescription("policy", [| LayerDescription("linear", 2, 3); LayerDescription "swish" |])

            let e = raised<FormatException>(fun () -> description.ToNetwork() |> ignore)
            Expect.stringContains e.Message "Layer 1 of network 'policy' is of type 'swish'" "unknown type"
            let flat = NetworkDescription("policy", [| LayerDescription("linear", 2, 0) |])
            let e = raised<FormatException>(fun () -> flat.ToNetwork() |> ignore)
            Expect.stringContains e.Message "2 to 0" "no outputs")
    ]

// ---------------------------------------------------------------------------------------------------------------- ONNX

let private genNetwork (name: string) (inputs: int) (outputs: int) =
    gen {
        let! depth = Gen.choose (0, 3)
        let! hidden = Gen.choose (1, 24) |> Gen.arrayOfLength depth
        let widths = Array.concat [ [| inputs |]; hidden; [| outputs |] ]
        let activation = Enum.GetValues<Activation>() |> Gen.elements |> Gen.map Layer.Activation

        let! layers =
            widths
            |> Array.pairwise
            |> Gen.collectToArray (fun (i, o) ->
                Gen.choose (0, 2)
                |> Gen.bind (fun n -> Gen.arrayOfLength n activation)
                |> Gen.map (fun activations -> Array.append [| Layer.Linear(i, o) |] activations))

        return Network.Create(name, [| inputs |], Array.concat layers)
    }

[<NoComparison>]
type private Case = {
    Policy: Network
    Value: Network
    Members: int
    Member: int
    Count: int
    Type: torch.ScalarType
    Seed: int
}

let private genCase =
    gen {
        let! inputs = Gen.choose (1, 12)
        let! actions = Gen.choose (1, 6)
        let! policy = genNetwork "policy" inputs actions
        let! value = genNetwork "value" inputs 1
        let! members = Gen.choose (1, 4)
        let! mem = Gen.choose (0, members - 1)
        let! count = Gen.choose (1, 2100)
        let! dtype = Gen.elements [ torch.float32; torch.float64 ]
        let! seed = Gen.choose (0, 1000)

        return {
            Policy = policy
            Value = value
            Members = members
            Member = mem
            Count = count
            Type = dtype
            Seed = seed
        }
    }

let private parametersOf (case: Case) (network: Network) =
    Network.init network Initialization.Uniform (Seed.Population(int64 case.Seed, case.Members)) case.Type torch.CPU

let private describe (case: Case) =
    PolicyDescription(
        Environment = "generated",
        Network = NetworkDescription.Of case.Policy,
        ValueNetwork = NetworkDescription.Of case.Value,
        ParameterSet = "learner",
        ObservationLayout = Array.init case.Policy.Inputs (fun i -> $"o{i}"),
        ActionMeanings = Array.init case.Policy.Outputs (fun i -> $"a{i}")
    )

/// All that is exported for a case, and what it must agree with.
let private models (case: Case) =
    let learner = Params.merge [| parametersOf case case.Policy; parametersOf case case.Value |]

    let entropy =
        MetaNetworkDescription(
            Network = NetworkDescription.Of case.Value,
            ParameterSet = "meta",
            InputNames = Array.init case.Value.Inputs (fun i -> $"c{i}"),
            OutputName = "entropyWeight",
            Low = -1.0,
            High = 2.5
        )

    let values = describe case

    let values =
        PolicyDescription(
            Environment = values.Environment,
            Kind = PolicyKind.Values,
            Network = values.Network,
            ParameterSet = values.ParameterSet,
            ObservationLayout = values.ObservationLayout,
            ActionMeanings = values.ActionMeanings
        )

    [
        NetworkExporter.Build(case.Policy, learner, case.Member, "features", "prediction")
        PolicyExporter.Build(values, learner, case.Member)
        PolicyExporter.Build(describe case, learner, case.Member, true)
        PolicyExporter.Build(describe case, learner, case.Member)
        MetaNetworkExporter.Build(entropy, learner, case.Member)
    ]

/// A model whose two sides come from different parameters.
let private contradiction () =
    let a, b = init network 1, Params.zerosLike (init network 1)
    let left = NetworkExporter.Build(network, a, 0, "x", "y")
    let right = NetworkExporter.Build(network, b, 0, "x", "y")
    ExportableModel(left.Onnx, 3, fun x -> right.Evaluate x)

let private policyModel () =
    let c = checkpoint ()
    PolicyExporter.Build(c, 1, true)

let private onnxTests =
    testList "onnx" [
        testPropertyWithConfig (config 40) "ONNX Runtime and TorchSharp agree on every network, member and batch size"
        <| Prop.forAll (Arb.fromGen genCase) (fun case ->
            use _scope = torch.NewDisposeScope()

            for model in models case do
                let report = ParityCheck.Run(model, count = case.Count, seed = int64 case.Seed)
                Expect.equal report.Inputs case.Count "every input is compared"
                Expect.isTrue report.Passed $"{model.Onnx.Graph.Name}: {report}")

        testCase "the meta-parameter is the affine image of a sigmoid" (fun () ->
            let c = checkpoint ()
            use session = new ModelSession(MetaNetworkExporter.Build(c, 2).ToBytes())
            let context = [| 0.25f; -1.0f; 3.0f; 0.5f |]
            session.Run(ReadOnlySpan context, 2)
            let raw = Network.apply meta c.Sets["meta"] (torch.tensor(context).reshape(1L, 2L, 2L))
            let expected = raw.sigmoid().mul(torch.tensor 2.0f).flatten().data<float32>().ToArray()
            let found = session.Floats("entropyWeight").ToArray()

            Array.iter2
                (fun f e -> Expect.floatClose Accuracy.medium (float f) (float e) "low 0, high 2")
                found
                expected)

        testCase "the greedy action is the first of equals" (fun () ->
            let zeros = Params.zerosLike (init network 1)
            let model = PolicyExporter.Build(manifest.Policy, zeros, 0)
            use session = new PolicySession(model.ToBytes())
            let outputs = session.Run(ReadOnlySpan(Array.create 12 1.0f), 4)
            Expect.sequenceEqual (outputs.Actions.ToArray()) [ 0L; 0L; 0L; 0L ] "actions"
            Expect.sequenceEqual (outputs.Probabilities.ToArray()) (Array.create 8 0.5f) "probabilities"
            Expect.isTrue (outputs.Values.IsEmpty) "no value unless asked for")

        testCase "a network of action values gives them, and the greedy action; nothing else" (fun () ->
            let description =
                PolicyDescription(
                    Environment = "two-colors",
                    Kind = PolicyKind.Values,
                    Network = NetworkDescription.Of network,
                    ParameterSet = "learner",
                    ObservationLayout = manifest.Policy.ObservationLayout,
                    ActionMeanings = manifest.Policy.ActionMeanings
                )

            let x = init network 2
            let model = PolicyExporter.Build(description, x, 1)
            use session = new PolicySession(model.ToBytes())
            Expect.equal session.Kind PolicyKind.Values "kind"
            Expect.equal session.Metadata[MetadataKeys.Kind] ModelKinds.ActionValues "kind in the file"
            Expect.sequenceEqual session.ActionMeanings manifest.Policy.ActionMeanings "actions"
            let observations = Array.init 15 (fun i -> float32 (i % 4) - 1.5f)
            let outputs = session.Run(ReadOnlySpan observations, 5)

            Expect.isTrue
                (outputs.Logits.IsEmpty
                 && outputs.Probabilities.IsEmpty
                 && outputs.Values.IsEmpty)
                "no others"

            let values = outputs.ActionValues.ToArray()

            let expected =
                (Network.apply network (Params.ofMember 1L x) (torch.tensor(observations).reshape(1L, 5L, 3L)))
                    .flatten()
                    .data<float32>()
                    .ToArray()

            Array.iter2 (fun f e -> Expect.floatClose Accuracy.medium (float f) (float e) "values") values expected

            let greedy =
                values
                |> Array.chunkBySize 2
                |> Array.map (fun row -> int64 (Array.IndexOf(row, Array.max row)))

            Expect.sequenceEqual (outputs.Actions.ToArray()) greedy "the action of the greatest value"

            let e = raised<ArgumentException>(fun () -> PolicyExporter.Build(description, x, 1, true) |> ignore)
            Expect.stringContains e.Message "no further value" "a value is refused")

        testCase "a checkpoint that does not say what its policy puts out has logits" (fun () ->
            let options = CheckpointHeader.ManifestOptions
            let text = Text.Json.JsonSerializer.Serialize(manifest, options)
            let said = Text.Json.JsonSerializer.Serialize(manifest.Policy.Kind, options)
            let old = text.Replace($"\"kind\":{said},", "")
            Expect.equal old.Length (text.Length - $"\"kind\":{said},".Length) "not said"

            match Text.Json.JsonSerializer.Deserialize<CheckpointManifest>(old, options) with
            | null -> failtest "nothing read"
            | read -> Expect.equal read.Policy.Kind PolicyKind.Logits "kind")

        testCase "the file says what a deployer needs" (fun () ->
            let c = checkpoint ()
            use session = new PolicySession(PolicyExporter.Build(c, 1, true).ToBytes())
            Expect.equal session.Environment "two-colors" "environment"
            Expect.sequenceEqual session.ObservationLayout manifest.Policy.ObservationLayout "observation"
            Expect.sequenceEqual session.ActionMeanings manifest.Policy.ActionMeanings "actions"
            Expect.equal session.Metadata[MetadataKeys.Configuration] manifest.Configuration "configuration"
            Expect.equal session.Metadata[MetadataKeys.Member] "1" "member"
            Expect.equal session.Metadata[MetadataKeys.Seed] "2" "its seed"
            Expect.equal session.Metadata[MetadataKeys.EnvironmentSteps] "4096" "environment steps"

            for batch in [ 1; 5; 5; 2 ] do
                let outputs = session.Run(ReadOnlySpan(Array.zeroCreate (3 * batch)), batch)
                Expect.equal outputs.Values.Length batch "a value each"
                Expect.equal outputs.Logits.Length (2 * batch) "a logit each and action"

            let e =
                raised<ArgumentException>(fun () ->
                    session.Run(ReadOnlySpan(Array.zeroCreate 4), 1).Actions.ToArray() |> ignore)

            Expect.stringContains e.Message "3 numbers" "observations of another size are refused")

        testCase "a failed check leaves no file, and the old one as it was" (fun () ->
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "model.onnx")
                let e = raised<ParityException>(fun () -> ModelFile.Write(contradiction (), path) |> ignore)
                Expect.isGreaterThan e.Report.MaxAbsDifference 1e-3 "the difference is reported"
                Expect.isEmpty (Directory.GetFiles directory) "no file"
                File.WriteAllText(path, "old")

                raised<ParityException>(fun () -> ModelFile.Write(contradiction (), path) |> ignore)
                |> ignore

                Expect.equal (File.ReadAllText path) "old" "the old file"

                let nan = init network 1 |> Params.map (fun t -> t.mul (torch.tensor nan))
                let broken = PolicyExporter.Build(manifest.Policy, nan, 0)
                let e = raised<ParityException>(fun () -> ModelFile.Write(broken, path) |> ignore)
                Expect.equal e.Report.MaxAbsDifference infinity "a policy that is not a number fails, too"))

        testCase "a written file holds the result of its check" (fun () ->
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "policy.onnx")
                let given = Array.init (3 * 1500) (fun i -> float32 (i % 7))
                let result = ModelFile.Write(policyModel (), path, given)
                Expect.equal result.Observations 1500 "all that were given are compared"
                Expect.equal result.Bytes (FileInfo path).Length "size"
                use session = PolicySession.Load path
                Expect.equal session.Metadata[MetadataKeys.ParityObservations] "1500" "observations"
                let difference = Double.Parse session.Metadata[MetadataKeys.ParityMaxAbsDifference]
                Expect.equal difference result.MaxAbsDifference "difference"))

        testCase "actions that differ count unless they are as good as equal" (fun () ->
            // Both sides have the same logits, one float apart, and the reference prefers the other action.
            let bias (gap: float32) =
                let parameters = Params.zerosLike (init network 1)

                Params.Create(
                    Array.ofSeq parameters.Names,
                    [|
                        for name in parameters.Names ->
                            if name = "policy.2.bias" then
                                torch.tensor([| gap; 0.0f |]).reshape(1L, 1L, 2L)
                            else
                                parameters[name]
                    |]
                )

            let compare (gap: float32) =
                let model = PolicyExporter.Build(manifest.Policy, bias gap, 0)

                let flipped (x: Tensor) =
                    let outputs = Dictionary(model.Evaluate x)
                    outputs["action"] <- outputs["action"].mul(torch.tensor -1L).plus(torch.tensor 1L)
                    outputs :> IReadOnlyDictionary<_, _>

                ParityCheck.Run(ExportableModel(model.Onnx, 3, flipped), count = 50)

            let tie = compare 1e-7f
            Expect.equal (tie.ActionTies, tie.ActionDisagreements, tie.Passed) (50, 0, true) "a tie passes"
            let clear = compare 0.1f

            Expect.equal
                (clear.ActionTies, clear.ActionDisagreements, clear.Passed)
                (0, 50, false)
                "a clear case fails")

        testCase "what cannot be exported is refused with its name" (fun () ->
            let own =
                CustomLayer.Create("sine", Dictionary<string, float>(), id, (fun _ -> [||]), (fun _ x -> x.sin ()))

            let odd = Network.Create("odd", [| 2 |], [| Layer.Linear(2, 2); Layer.Custom own |])

            let e =
                raised<NotSupportedException>(fun () -> NetworkExporter.Build(odd, init odd 1, 0, "x", "y") |> ignore)

            Expect.stringContains e.Message "Layer 1 of network 'odd' is the custom layer 'sine'" "a layer"

            let e =
                raised<ArgumentException>(fun () ->
                    NetworkExporter.Build(network, init network 2, 2, "x", "y") |> ignore)

            Expect.stringContains e.Message "no member 2" "a member"

            let e =
                raised<ArgumentException>(fun () ->
                    NetworkExporter.Build(network, init value 1, 0, "x", "y") |> ignore)

            Expect.stringContains e.Message "policy.0.weight" "a missing parameter"

            let wide = Network.Create(network.Name, [| 5 |], [| Layer.Linear(5, 4); yield! network.Layers[1..] |])

            let e =
                raised<ArgumentException>(fun () -> NetworkExporter.Build(wide, init network 1, 0, "x", "y") |> ignore)

            Expect.stringContains e.Message "[1, 5, 4], found [1, 3, 4]" "a parameter of another shape")

        testCase "files that are no policy of ours are refused with what was found" (fun () ->
            withDirectory (fun directory ->
                let path = Path.Combine(directory, "model.onnx")

                let load () =
                    raised<OnnxFileException>(fun () -> PolicySession.Load(path).Dispose()).Message

                Expect.stringContains (load ()) "There is no file" "missing"

                for content in [ [||]; [| 1uy; 2uy; 3uy |]; Array.init 500 byte ] do
                    File.WriteAllBytes(path, content)
                    Expect.stringContains (load ()) path "broken"

                File.WriteAllBytes(path, NetworkExporter.Build(network, init network 1, 0, "x", "y").ToBytes())
                let message = load ()
                Expect.stringContains message "found 'network'" "another kind"
                Expect.stringContains message "input is 'x', its outputs are 'y'" "its inputs and outputs"

                let poorer = policyModel().Onnx

                while poorer.Graph.Output.Count > 1 do
                    poorer.Graph.Output.RemoveAt 0

                File.WriteAllBytes(path, Google.Protobuf.MessageExtensions.ToByteArray poorer)
                Expect.stringContains (load ()) "expected input 'observation' of 3" "outputs that lack"

                let closed = NetworkExporter.Build(network, init network 1, 0, "x", "y").Onnx
                closed.Graph.Input[0].Type.TensorType.Shape.Dim[0].DimValue <- 1L

                let e =
                    raised<OnnxFileException>(fun () ->
                        (new ModelSession(Google.Protobuf.MessageExtensions.ToByteArray closed)).Dispose())

                Expect.stringContains e.Message "open batch axis" "a closed batch axis"))

        testCase "CUDA is never replaced by the CPU in silence" (fun () ->
            let bytes = policyModel().ToBytes()

            let asked =
                try
                    use session = new PolicySession(bytes, InferenceOptions ExecutionProvider.Cuda)
                    Ok session.Provider
                with :? ProviderUnavailableException as e ->
                    Error e.Message

            use allowed = new PolicySession(bytes, InferenceOptions(ExecutionProvider.Cuda, true))

            match asked with
            | Ok provider ->
                Expect.equal provider ExecutionProvider.Cuda "where there is a GPU"
                Expect.equal allowed.Provider ExecutionProvider.Cuda "where there is a GPU"
            | Error message ->
                Expect.stringStarts message "CUDA is not available" "where there is none"
                Expect.equal allowed.Provider ExecutionProvider.Cpu "with the caller's permission")
    ]

// ---------------------------------------------------------------------------------------------------------------- command line

/// Exit code, standard output and standard error of a command line.
let private cli (args: string list) =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = ExportCli.Run(Array.ofList args, output, error)
    code, output.ToString(), error.ToString()

let private refused (expectedCode: int) (fragment: string) (args: string list) =
    let code, _, error = cli args
    let line = String.Join(' ', args)
    Expect.equal code expectedCode $"exit code of: {line}: {error}"
    Expect.equal (error.TrimEnd().Split('\n').Length) 1 $"one line from: {line}: {error}"
    Expect.stringContains error fragment $"message of: {line}"
    Expect.isFalse (error.Contains "   at ") $"no stack trace from: {line}"

let private withRun (test: string -> string -> unit) =
    withDirectory (fun directory ->
        let path = RunDirectory.LatestCheckpoint directory
        Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
        CheckpointFile.Write(path, checkpoint ())
        test directory (Path.Combine(directory, "policy.onnx")))

let private commandTests =
    testList "command line" [
        testCase "help says what each command is for, with an example" (fun () ->
            for args in
                [
                    []
                    [ "--help" ]
                    [ "export"; "-h" ]
                    [ "inspect"; "-?" ]
                    [ "check"; "--help" ]
                    [ "bench"; "--help" ]
                ] do
                let code, output, error = cli args
                Expect.equal (code, error) (0, "") $"{args}"
                Expect.stringContains output "Example: " $"{args}")

        testCase "wrong usage is one line and exit code 2" (fun () ->
            withRun (fun run file ->
                refused 2 "frobnicate" [ "frobnicate" ]
                refused 2 "--frobnicate" [ "inspect"; file; "--frobnicate" ]
                refused 2 "RUN" [ "export"; "--output"; file ]
                refused 2 "--output" [ "export"; run ]
                refused 2 "at least 0" [ "export"; run; "--output"; file; "--member"; "-1" ]

                refused 2 "whole number of at least 0, found 'first'" [
                    "export"
                    run
                    "--output"
                    file
                    "--member"
                    "first"
                ]

                refused 2 "no member 3" [ "export"; run; "--output"; file; "--member"; "3" ]
                refused 2 "numbered 0 to 2" [ "export"; run; "--output"; file; "--member"; "3" ]
                refused 2 "value" [ "export"; run; "--output"; file; "--network"; "meta"; "--value" ]
                refused 2 "'policy'" [ "export"; run; "--output"; file; "--network"; "other" ]
                refused 2 "does not exist" [ "export"; run; "--output"; Path.Combine(run, "no", "p.onnx") ]
                refused 2 "is a directory" [ "export"; run; "--output"; run ]
                refused 2 "no run directory" [ "export"; run + "-not"; "--output"; file ]
                refused 2 "no checkpoint yet" [ "export"; Path.Combine(run, "checkpoints"); "--output"; file ]
                refused 2 "There is no file" [ "inspect"; file ]
                refused 2 "There is no file" [ "bench"; file ]
                refused 2 "There is no file" [ "check"; file; "--against"; run ]
                Expect.isFalse (File.Exists file) "none of them wrote"
                File.WriteAllText(file, "something else")
                refused 2 "--force" [ "export"; run; "--output"; file ]
                refused 2 "not an ONNX model" [ "inspect"; file ]
                refused 2 "'x'" [ "bench"; file; "--batch"; "1,x" ]
                refused 2 "above 0" [ "bench"; file; "--seconds"; "0" ]
                refused 2 "at least 1" [ "check"; file; "--against"; run; "--observations"; "0" ]
                Expect.equal (File.ReadAllText file) "something else" "none of them wrote"))

        testCase "export, inspect, check and bench work on a run from end to end" (fun () ->
            withRun (fun run file ->
                let succeeds (fragments: string list) (args: string list) =
                    let code, output, error = cli args
                    let line = String.Join(' ', args)
                    Expect.equal (code, error) (0, "") line

                    for fragment in fragments do
                        Expect.stringContains output fragment line

                succeeds [ "Wrote"; "1024 inputs"; "logits"; "actions that differ: 0" ] [
                    "export"
                    run
                    "--member"
                    "1"
                    "--value"
                    "-o"
                    file
                ]

                succeeds [ "Wrote" ] [ "export"; run; "--output"; file; "--value"; "--force"; "--member"; "2" ]

                succeeds [
                    "observation"
                    "[batch, 3]"
                    "int64"
                    "ai.onnx 13"
                    "Gemm"
                    MetadataKeys.ActionMeanings
                    "bmg.kind"
                ] [ "inspect"; file ]

                succeeds [ "Passed"; "value"; "77 inputs" ] [
                    "check"
                    file
                    "--against"
                    run
                    "--observations"
                    "77"
                ]

                succeeds [ "Provider: cpu"; "median"; "64" ] [
                    "bench"
                    file
                    "--batch"
                    "1,64"
                    "--seconds"
                    "0.02"
                    "--threads"
                    "1"
                ]

                let metaFile = Path.Combine(run, "meta.onnx")

                succeeds [ "entropyWeight" ] [
                    "export"
                    run
                    "--network"
                    "meta"
                    "--member"
                    "2"
                    "--output"
                    metaFile
                ]

                succeeds [ "Passed" ] [ "check"; metaFile; "--against"; RunDirectory.LatestCheckpoint run ]

                // A run that has gone on no longer agrees with what was exported before.
                let moved = checkpoint ()
                use _noGrad = torch.no_grad ()
                moved.Sets["learner"].["policy.0.weight"].add_(torch.tensor 0.1f) |> ignore
                CheckpointFile.Write(RunDirectory.LatestCheckpoint run, moved)
                refused 1 "does not compute" [ "check"; file; "--against"; run ]))

        testCase "a checkpoint without what is asked for says so" (fun () ->
            withRun (fun run file ->
                let path = RunDirectory.LatestCheckpoint run
                use old = CheckpointFile.Read path

                let bare (set: string) =
                    CheckpointManifest(
                        LibraryVersion = "0",
                        Experiment = "bare",
                        EnvironmentSteps = 0L,
                        Seeds = manifest.Seeds,
                        Configuration = "{}",
                        Policy =
                            PolicyDescription(
                                Environment = "two-colors",
                                Network = NetworkDescription.Of network,
                                ParameterSet = set,
                                ObservationLayout = manifest.Policy.ObservationLayout,
                                ActionMeanings = manifest.Policy.ActionMeanings
                            ),
                        Host = "",
                        State = ""
                    )

                CheckpointFile.Write(path, new Checkpoint(bare "learner", old.Sets))
                refused 2 "no meta-network" [ "export"; run; "--network"; "meta"; "--output"; file ]
                refused 2 "no value network" [ "export"; run; "--value"; "--output"; file ]
                CheckpointFile.Write(path, new Checkpoint(bare "actor", old.Sets))
                refused 2 "no set 'actor'" [ "export"; run; "--output"; file ]))
    ]

let private layoutTests =
    testList "one-hot layout" [
        testProperty "lists every combination once, one component a group"
        <| fun (sizes: PositiveInt list) ->
            let sizes = sizes |> List.truncate 5 |> List.map (fun s -> s.Get % 5 + 1)

            let layout = [|
                for group in 0 .. sizes.Length - 1 do
                    for value in 0 .. sizes[group] - 1 do
                        $"g{group}={value}"
            |]

            match OneHotLayout.All layout with
            | null -> Expect.isEmpty sizes "only an empty layout has none"
            | all ->
                let rows = Array.chunkBySize layout.Length all
                Expect.equal rows.Length (List.fold (*) 1 sizes) "as many as there are combinations"
                Expect.equal (Array.distinct rows).Length rows.Length "each once"

                for row in rows do
                    let mutable start = 0

                    for size in sizes do
                        Expect.equal (Array.sum row[start .. start + size - 1]) 1.0f "one of each group"
                        start <- start + size

        test "covers every observation of two-colors" {
            let width = Bmg.Training.Environments.TwoColorsEnvironment.ObservationSize

            let all =
                OneHotLayout.All Bmg.Training.Environments.TwoColorsEnvironment.Kind.Observation.Names
                |> nonNull
                |> Array.chunkBySize width
                |> Set.ofArray

            Expect.equal all.Count 15625 "5 to the 6th"

            for row in
                Bmg.Training.Environments.TwoColorsEnvironment.AllObservations()
                |> Array.chunkBySize width do
                Expect.isTrue (all.Contains row) "reachable"
        }

        test "is none where names have no groups, or combinations are too many" {
            Expect.isNull (OneHotLayout.All [| "x=0"; "velocity" |]) "no group"

            let many = [|
                for g in 0..9 do
                    for v in 0..9 do
                        $"{g}={v}"
            |]

            Expect.isNull (OneHotLayout.All many) "10 to the 10th"
        }
    ]

let tests = testList "export" [ checkpointTests; onnxTests; commandTests; layoutTests ]
