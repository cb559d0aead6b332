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
    sets.Add("learner", Params.merge [| init network 3; init value 3 |])
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

        return
            torch
                .arange(0L, count, 1L)
                .mul(torch.tensor (float value / 8.0))
                .reshape(shape)
                .``to``(dtype: torch.ScalarType)
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
    ]

let tests = testList "export" [ checkpointTests ]
