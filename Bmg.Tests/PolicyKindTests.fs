/// Policies over several discrete actions, over numbers, and with masks: in checkpoints, as ONNX, in sessions and in evaluation.
module Bmg.Tests.PolicyKindTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
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
open Bmg.Training.Acting
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Evaluation
open Bmg.Training.Experiments

let private withDirectory (test: string -> unit) =
    let directory = Directory.CreateTempSubdirectory("bmg-kinds-").FullName

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

let private config count = {
    FsCheckConfig.defaultConfig with
        maxTest = count
}

// ----------------------------------------------------------------------------------------------------------------- generated

/// A policy of any kind that an actor-critic can have, for some members.
[<NoComparison; NoEquality>]
type private Case = {
    Torso: Network | null
    Policy: Network
    Value: Network
    World: EnvironmentDescription
    /// The limit of normalised observations, where they are.
    Normalized: float32 option
    Members: int
    Member: int
    Count: int
    Type: torch.ScalarType
    Seed: int
}

let private genNetwork (name: string) (inputs: int) (outputs: int) =
    gen {
        let! depth = Gen.choose (0, 2)
        let! hidden = Gen.choose (1, 16) |> Gen.arrayOfLength depth
        let! activation = Enum.GetValues<Activation>() |> Gen.elements
        return Network.Mlp(name, inputs, hidden, outputs, activation)
    }

let private genActions =
    gen {
        let! kind = Gen.choose (0, 3)
        let! counts = Gen.choose (1, 4) |> Gen.bind (fun k -> Gen.arrayOfLength k (Gen.choose (1, 5)))

        let! lows =
            Gen.elements [ -2f; -1f; 0f; -1000f; 0.001f; -0.001f ]
            |> Gen.arrayOfLength counts.Length

        let! widths = Gen.elements [ 0.002f; 1f; 4f; 5000f ] |> Gen.arrayOfLength counts.Length

        let several =
            ActionSpace.OfSeveral(
                counts
                |> Array.mapi (fun i n -> Choice($"a{i}", Array.init n (fun c -> $"c{c}")))
            )

        let numbers =
            ActionSpace.OfBounded(Array.map2 (fun (low: float32) width -> Bounded("n", low, low + width)) lows widths)

        return
            match kind with
            | 0 -> ActionSpace.Of(Array.init counts[0] (fun c -> $"c{c}")), true
            | 1 -> several, false
            | 2 -> several, true
            | _ -> numbers, false
    }

let private genCase =
    gen {
        let! actions, masks = genActions
        let! inputs = Gen.choose (1, 10)
        let! features = Gen.choose (1, 6)
        let! torso = Gen.elements [ true; false ]
        let outputs = ActionChoice.DistributionOf(actions).Outputs
        let! shared = genNetwork "torso" inputs features
        let! policy = genNetwork "policy" (if torso then features else inputs) outputs
        let! value = genNetwork "value" (if torso then features else inputs) 1
        let! normalized = Gen.elements [ None; Some 0.75f; Some 10f ]
        let! members = Gen.choose (1, 3)
        let! mem = Gen.choose (0, members - 1)
        let! count = Gen.choose (1, 1500)
        let! dtype = Gen.elements [ torch.float32; torch.float64 ]
        let! seed = Gen.choose (0, 1000)

        return {
            Torso = if torso then shared else null
            Policy = policy
            Value = value
            World = EnvironmentDescription(ObservationSpace([| inputs |]), actions, Masks = masks)
            Normalized = normalized
            Members = members
            Member = mem
            Count = count
            Type = dtype
            Seed = seed
        }
    }

let private networks (case: Case) = [|
    match case.Torso with
    | null -> ()
    | torso -> torso
    case.Policy
    case.Value
|]

let private networksParameters (case: Case) : Params[] =
    networks case
    |> Array.map (fun network ->
        Network.init
            network
            Initialization.Uniform
            (Seed.Population(int64 case.Seed, case.Members))
            case.Type
            torch.CPU)

/// Mean and scale of each member's observations.
let private statisticsOf (case: Case) : Params =
    let seed = Seed.Of(int64 case.Seed)
    let own = seed.For "statistics"
    let random = own.Generator()
    let size = case.World.Observation.Size

    let rows (draw: unit -> float) : Tensor =
        let drawn = Array.init (case.Members * size) (fun _ -> float32 (draw ()))
        torch.tensor(drawn).reshape(int64 case.Members, int64 size)

    Params.Create(
        [| NormalizationDescription.Mean; NormalizationDescription.Scale |],
        [| rows random.NextNormal; rows (fun () -> exp (random.NextNormal())) |]
    )

let private parametersOf (case: Case) =
    [|
        yield! networksParameters case
        if case.Normalized.IsSome then
            statisticsOf case
    |]
    |> Params.merge

let private describe (policy: Network) (torso: Network | null) (value: Network | null) (world: EnvironmentDescription) =
    let of' (network: Network | null) : NetworkDescription | null =
        match network with
        | null -> null
        | network -> NetworkDescription.Of network

    let several: ChoiceDescription array | null =
        match world.Actions with
        | :? ActionSpace.Several as several -> [|
            for action in several.Actions -> ChoiceDescription(action.Name, Seq.toArray action.Choices)
          |]
        | _ -> null

    let numbers: NumberDescription array | null =
        match world.Actions with
        | :? ActionSpace.Continuous as continuous -> [|
            for action in continuous.Actions -> NumberDescription(action.Name, action.Low, action.High)
          |]
        | _ -> null

    let kind, meanings =
        match world.Actions with
        | :? ActionSpace.Several as several ->
            PolicyKind.SeveralLogits,
            [|
                for action in several.Actions do
                    for choice in action.Choices -> $"{action.Name}.{choice}"
            |]
        | :? ActionSpace.Continuous as continuous ->
            PolicyKind.Gaussian, [| for action in continuous.Actions -> action.Name |]
        | :? ActionSpace.Discrete as one -> PolicyKind.Logits, Seq.toArray one.Names
        | other -> failtestf "no description of %O" other

    PolicyDescription(
        Environment = "generated",
        Kind = kind,
        Torso = of' torso,
        Network = NetworkDescription.Of policy,
        ValueNetwork = of' value,
        ParameterSet = "learner",
        ObservationLayout = Array.init world.Observation.Size (fun i -> $"o{i}"),
        ActionMeanings = meanings,
        Several = several,
        Numbers = numbers,
        Masked = world.Masks
    )

let private descriptionOf (case: Case) =
    let described = describe case.Policy case.Torso case.Value case.World

    case.Normalized
    |> Option.iter (fun limit ->
        typeof<PolicyDescription>.GetProperty("Normalization")
        |> nonNull
        |> fun p -> p.SetValue(described, NormalizationDescription limit))

    described

let private checkpointWith (policy: PolicyDescription) (parameters: Params) =
    let sets = OrderedDictionary<string, Params>()
    let isStatistic (name: string) = name.StartsWith "observation."
    sets.Add("learner", Params.only (isStatistic >> not) parameters)

    if not (isNull policy.Normalization) then
        sets.Add(NormalizationDescription.Set, Params.only isStatistic parameters)

    new Checkpoint(
        CheckpointManifest(
            LibraryVersion = LibraryVersion.Current,
            Experiment = "generated",
            EnvironmentSteps = 10L,
            Seeds = Array.init (int parameters.Members) int64,
            Configuration = "{}",
            Policy = policy,
            Host = "{}",
            State = "{}"
        ),
        sets
    )

let private random (case: Case) (purpose: string) =
    let seed = Seed.Of(int64 case.Seed)
    let own = seed.For purpose
    own.Generator()

let private observationsOf (case: Case) (rows: int) =
    let random = random case "observations"
    Array.init (rows * case.World.Observation.Size) (fun _ -> float32 (random.NextNormal()))

/// What is allowed in each row, at least one choice of each action; nothing where there are no masks.
let private masksOf (case: Case) (rows: int) : bool[] =
    let random = random case "masks"
    let space = case.World.Actions

    [|
        if case.World.Masks then
            for _ in 1..rows do
                for action in 0 .. space.DiscreteCount - 1 do
                    let choices = space.ChoicesOf action
                    let always = random.Next choices
                    for c in 0 .. choices - 1 -> c = always || random.Next 3 = 0
    |]

let private outputsOf (case: Case) =
    match descriptionOf(case).Kind with
    | PolicyKind.Gaussian -> [ "mean"; "deviation"; "action"; "value" ]
    | _ -> [ "logits"; "probabilities"; "action"; "value" ]

let private optionsOf (outputs: string list) =
    ExportOptions(Outputs = (List.toArray outputs :> IReadOnlyList<string>))

let private modelOf (case: Case) (outputs: string list) =
    PolicyExporter.Build(descriptionOf case, parametersOf case, case.Member, false, null, optionsOf outputs)

let private sessionOf (case: Case) (outputs: string list) =
    new PolicySession((modelOf case outputs).ToBytes())

/// All that a session says of a batch.
[<NoComparison>]
type private Said = {
    Logits: float32[]
    Probabilities: float32[]
    Actions: int64[]
    Means: float32[]
    Deviations: float32[]
    Numbers: float32[]
    Values: float32[]
}

let private ask (session: PolicySession) (observations: float32[]) (allowed: bool[]) (rows: int) : Said =
    let outputs = session.Run(ReadOnlySpan observations, ReadOnlySpan allowed, rows)

    {
        Logits = outputs.Logits.ToArray()
        Probabilities = outputs.Probabilities.ToArray()
        Actions = outputs.Actions.ToArray()
        Means = outputs.Means.ToArray()
        Deviations = outputs.Deviations.ToArray()
        Numbers = outputs.Numbers.ToArray()
        Values = outputs.Values.ToArray()
    }

/// Softmax of each action of one row in float64; −∞ of what is not allowed is left out.
let private probabilities (space: ActionSpace) (logits: float32[]) (allowed: bool[]) : float[] =
    let mutable first = 0

    [|
        for action in 0 .. space.DiscreteCount - 1 do
            let here = [| first .. first + space.ChoicesOf action - 1 |]
            first <- first + here.Length
            let isAllowed i = allowed.Length = 0 || allowed[i]
            let most = here |> Array.filter isAllowed |> Array.map (fun i -> logits[i]) |> Array.max

            let raised =
                here
                |> Array.map (fun i ->
                    if isAllowed i then
                        exp (float logits[i] - float most)
                    else
                        0.0)

            yield! raised |> Array.map (fun v -> v / Array.sum raised)
    |]

let private row (values: 'T[]) (i: int) (rows: int) : 'T[] =
    let width = values.Length / rows
    values[i * width .. (i + 1) * width - 1]

let private generated =
    testList "generated policies" [
        testPropertyWithConfig
            (config 60)
            "ONNX Runtime and TorchSharp agree on every kind, member, batch size and mask"
        <| Prop.forAll (Arb.fromGen genCase) (fun case ->
            use _scope = torch.NewDisposeScope()

            for value in [ false; true ] do
                let model = PolicyExporter.Build(descriptionOf case, parametersOf case, case.Member, value)
                let report = ParityCheck.Run(model, count = case.Count, seed = int64 case.Seed)
                Expect.equal report.Inputs case.Count "every input is compared"
                Expect.isTrue report.Passed $"seed {case.Seed}: {report}"

                let expected = outputsOf case |> List.filter (fun name -> value || name <> "value")

                Expect.sequenceEqual (model.Onnx.Graph.Output |> Seq.map _.Name) expected "outputs"

                Expect.sequenceEqual
                    (model.Onnx.Graph.Input |> Seq.map _.Name)
                    [
                        "observation"
                        if case.World.Masks then
                            "mask"
                    ]
                    "inputs")

        testPropertyWithConfig (config 40) "networks see what an observation is normalised to"
        <| Prop.forAll (Arb.fromGen genCase) (fun case ->
            use _scope = torch.NewDisposeScope()
            let case = { case with Type = torch.float32 }
            let limit = case.Normalized |> Option.defaultValue 10f
            let given = { case with Normalized = Some limit }
            let rows = 1 + case.Count % 37
            let observations, allowed = observationsOf case rows, masksOf case rows
            let statistics = statisticsOf case

            let own name =
                statistics[name].[int64 case.Member].data<float32>().ToArray()

            let mean, scale = own NormalizationDescription.Mean, own NormalizationDescription.Scale
            let width = mean.Length

            let normal =
                observations
                |> Array.mapi (fun i o -> (o - mean[i % width]) * scale[i % width] |> max -limit |> min limit)

            use session = sessionOf given (outputsOf case)
            use plain = sessionOf { case with Normalized = None } (outputsOf case)
            Expect.equal (ask session observations allowed rows) (ask plain normal allowed rows) $"seed {case.Seed}"
            use checkpoint = checkpointWith (descriptionOf given) (parametersOf given)
            use torch = new TorchPolicy(checkpoint, case.Member)

            use plainCheckpoint =
                checkpointWith
                    (descriptionOf { case with Normalized = None })
                    (parametersOf { case with Normalized = None })

            use plainTorch = new TorchPolicy(plainCheckpoint, case.Member)

            let raw (policy: TorchPolicy) (seen: float32[]) =
                let raw = Array.zeroCreate<float32>(rows * ActionChoice.DistributionOf(case.World.Actions).Outputs)
                (policy :> IPlayablePolicy).Outputs(ReadOnlySpan seen, rows, Span raw)
                raw

            Expect.equal (raw torch observations) (raw plainTorch normal) $"seed {case.Seed}, TorchSharp")

        testPropertyWithConfig (config 40) "a session says what the policy's distribution says"
        <| Prop.forAll (Arb.fromGen genCase) (fun case ->
            use _scope = torch.NewDisposeScope()
            let rows = 1 + case.Count % 37
            let observations, allowed = observationsOf case rows, masksOf case rows
            let distribution = ActionChoice.DistributionOf case.World.Actions
            use session = sessionOf case (outputsOf case)
            let said = ask session observations allowed rows
            use checkpoint = checkpointWith (descriptionOf case) (parametersOf case)
            use torch = new TorchPolicy(checkpoint, case.Member)
            let raw = Array.zeroCreate<float32>(rows * distribution.Outputs)
            (torch :> IPlayablePolicy).Outputs(ReadOnlySpan observations, rows, Span raw)
            let choice = ActionChoice(case.World, distribution)
            Expect.equal session.TakesMask case.World.Masks "mask"
            Expect.equal said.Values.Length rows "a value each"

            let near label (found: float32) (expected: float) =
                Expect.floatClose
                    { absolute = 1e-5; relative = 1e-4 }
                    (float found)
                    expected
                    $"seed {case.Seed}: {label}"

            for i in 0 .. rows - 1 do
                let raw = row raw i rows

                match case.World.Actions with
                | :? ActionSpace.Continuous as continuous ->
                    let k = continuous.Actions.Count
                    let means, deviations = row said.Means i rows, row said.Deviations i rows

                    for j in 0 .. k - 1 do
                        near "mean" means[j] (float raw[j])
                        near "deviation" deviations[j] (exp (float raw[k + j]))

                    choice.Choose(Span(Array.append means raw[k..]), null)
                    // Not one bit apart.
                    Expect.sequenceEqual (row said.Numbers i rows) (choice.Action.Values.ToArray()) "numbers"
                | space ->
                    let logits, mine = row said.Logits i rows, row allowed i rows
                    Array.iter2 (fun found expected -> near "logit" found (float expected)) logits raw

                    Array.iter2 (near "probability") (row said.Probabilities i rows) (probabilities space logits mine)

                    mine.CopyTo choice.Allowed
                    choice.Choose(Span logits, null)

                    Expect.sequenceEqual
                        (row said.Actions i rows)
                        (choice.Action.Indices.ToArray() |> Array.map int64)
                        "actions")

        testPropertyWithConfig (config 40) "a session gives what it can from the outputs there are"
        <| Prop.forAll
            (Arb.fromGen (
                gen {
                    let! case = genCase
                    let! order = Gen.shuffle (outputsOf case)
                    let! count = Gen.choose (1, order.Length)
                    return case, List.ofArray order[.. count - 1]
                }
            ))
            (fun (case, chosen) ->
                use _scope = torch.NewDisposeScope()
                let rows = 1 + case.Count % 17
                let observations, allowed = observationsOf case rows, masksOf case rows
                let has name = List.contains name chosen
                let isGaussian = case.World.Actions :? ActionSpace.Continuous
                let model = modelOf case chosen

                Expect.equal
                    (model.Onnx.Graph.Input.Count = 2)
                    (case.World.Masks && (has "probabilities" || has "action"))
                    "a mask where an output needs it"

                Expect.isTrue (ParityCheck.Run(model, null, 64).Passed) "parity"

                if chosen |> List.forall (fun name -> name = "value" || name = "deviation") then
                    let e =
                        raised<OnnxFileException>(fun () ->
                            (new PolicySession(model.ToBytes(), null, "some.onnx")).Dispose())

                    Expect.stringContains e.Message "some.onnx" "names the file"
                    Expect.stringContains e.Message "at least one of" "says what is missing"
                else
                    use whole = sessionOf case (outputsOf case)
                    use some = new PolicySession(model.ToBytes())
                    let expected = ask whole observations allowed rows
                    let found = ask some observations allowed rows
                    Expect.equal found.Actions expected.Actions "actions"
                    Expect.equal found.Numbers expected.Numbers "numbers"
                    Expect.equal found.Means (if has "mean" then expected.Means else [||]) "means"
                    Expect.equal found.Deviations (if has "deviation" then expected.Deviations else [||]) "deviations"

                    let drawn =
                        if isGaussian then
                            has "mean" && has "deviation"
                        else
                            has "logits" || has "probabilities"

                    Expect.equal some.HasProbabilities drawn "whether actions can be drawn"

                    if drawn && not isGaussian then
                        Array.iter2
                            (fun (a: float32) (b: float32) ->
                                Expect.floatClose
                                    { absolute = 1e-6; relative = 1e-5 }
                                    (float a)
                                    (float b)
                                    "probability")
                            found.Probabilities
                            expected.Probabilities)

        testPropertyWithConfig (config 30) "TorchSharp and ONNX Runtime play the same policy"
        <| Prop.forAll (Arb.fromGen genCase) (fun case ->
            use _scope = torch.NewDisposeScope()
            let rows = 1 + case.Count % 17
            let observations, allowed = observationsOf case rows, masksOf case rows
            let outputs = ActionChoice.DistributionOf(case.World.Actions).Outputs
            use checkpoint = checkpointWith (descriptionOf case) (parametersOf case)

            let rawOf (policy: IPlayablePolicy) =
                use policy = policy
                let raw = Array.zeroCreate<float32>(rows * outputs)
                policy.Outputs(ReadOnlySpan observations, ReadOnlySpan allowed, rows, Span raw)
                raw

            let torch = rawOf (new TorchPolicy(checkpoint, case.Member))
            let onnx = rawOf (new OnnxPolicy(sessionOf case (outputsOf case)))

            for i in 0 .. rows - 1 do
                let a, b = row torch i rows, row onnx i rows

                let a, b =
                    match case.World.Actions with
                    | :? ActionSpace.Continuous -> Array.map float a, Array.map float b
                    | space ->
                        let mine = row allowed i rows
                        probabilities space a mine, Array.map (float >> exp) b

                Array.iter2
                    (fun a b -> Expect.floatClose { absolute = 1e-4; relative = 1e-4 } b a $"seed {case.Seed}")
                    a
                    b)

        testPropertyWithConfig
            (config 20)
            "a checkpoint gives the description back, and one of one discrete action says nothing new"
        <| Prop.forAll (Arb.fromGen genCase) (fun case ->
            use _scope = torch.NewDisposeScope()

            withDirectory (fun directory ->
                let path = Path.Combine(directory, "a.safetensors")
                use written = checkpointWith (descriptionOf case) (parametersOf case)
                CheckpointFile.Write(path, written)
                use read = CheckpointFile.Read path
                CheckpointContents.RequirePolicy read
                let text (c: Checkpoint) = JsonSerializer.Serialize c.Manifest
                Expect.equal (text read) (text written) "the same"

                Expect.equal
                    (read.Manifest.Policy.Several |> isNull)
                    (written.Manifest.Policy.Several |> isNull)
                    "several"

                let plain =
                    EnvironmentDescription(
                        case.World.Observation,
                        ActionSpace.Of(Array.init case.Policy.Outputs string)
                    )

                let policy = describe case.Policy case.Torso case.Value plain
                let node = JsonNode.Parse(JsonSerializer.Serialize(policy, CheckpointHeader.ManifestOptions))

                Expect.sequenceEqual
                    ((nonNull node).AsObject() |> Seq.map _.Key)
                    [
                        "environment"
                        "kind"
                        if not (isNull case.Torso) then
                            "torso"
                        "network"
                        "valueNetwork"
                        "parameterSet"
                        "observationLayout"
                        "actionMeanings"
                    ]
                    "what a file of one discrete action always said"))
    ]

// ------------------------------------------------------------------------------------------------------------ worked by hand

/// A network of one linear layer whose outputs are these, whatever it sees.
let private constant (outputs: float list) =
    let network = Network.Mlp("policy", 2, [||], outputs.Length, Activation.Relu)

    let zeros =
        Network.init network Initialization.Uniform (Seed.Population(1L, 1)) torch.float32 torch.CPU
        |> Params.zerosLike

    let bias (name: string) (tensor: Tensor) =
        if name.EndsWith "bias" then
            torch.tensor(outputs |> List.map float32 |> List.toArray).reshape tensor.shape
        else
            tensor

    let parameters =
        Params.Create(Seq.toArray zeros.Names, Seq.map2 bias zeros.Names zeros.Tensors |> Seq.toArray)

    network, parameters

let private worldOf (actions: ActionSpace) (masks: bool) =
    EnvironmentDescription(ObservationSpace([| 2 |]), actions, Masks = masks)

let private hands =
    ActionSpace.OfSeveral(Choice("left", [| "none"; "one" |]), Choice("right", [| "a"; "b"; "c" |]))

let private pushes = ActionSpace.OfBounded(Bounded("torque", -2f, 2f), Bounded("force", 10f, 30f))

let private handsModel (masks: bool) =
    let network, parameters = constant [ 0.0; log 3.0; 0.0; log 2.0; log 5.0 ]
    PolicyExporter.Build(describe network null null (worldOf hands masks), parameters, 0)

let private pushesModel () =
    let network, parameters = constant [ 0.5; -3.0; log 0.5; -25.0 ]
    PolicyExporter.Build(describe network null null (worldOf pushes false), parameters, 0)

let private near (found: float32[]) (expected: float list) label =
    Expect.equal found.Length expected.Length $"{label}: how many"
    List.iter2 (fun f e -> Expect.floatClose Accuracy.medium (float f) e label) (List.ofArray found) expected

let private shapes (values: ValueInfoProto seq) = [
    for value in values ->
        value.Name,
        enum<TensorProto.Types.DataType> value.Type.TensorType.ElemType,
        [ for axis in Seq.skip 1 value.Type.TensorType.Shape.Dim -> int axis.DimValue ]
]

let private float', int', bool' =
    TensorProto.Types.DataType.Float, TensorProto.Types.DataType.Int64, TensorProto.Types.DataType.Bool

let private handWorked =
    testList "worked by hand" [
        test "several actions: a softmax and a greatest each" {
            use _scope = torch.NewDisposeScope()
            let model = handsModel false
            use session = new PolicySession(model.ToBytes())
            let said = ask session [| 1f; 2f; 3f; 4f |] [||] 2
            let once = [ 0.25; 0.75; 0.125; 0.25; 0.625 ]
            near said.Probabilities (once @ once) "probabilities"
            Expect.sequenceEqual said.Actions [ 1L; 2L; 1L; 2L ] "actions"
            Expect.equal session.Kind PolicyKind.SeveralLogits "kind"
            Expect.equal session.Metadata[MetadataKeys.Kind] ModelKinds.SeveralActions "kind in the file"

            Expect.sequenceEqual
                session.ActionMeanings
                [ "left.none"; "left.one"; "right.a"; "right.b"; "right.c" ]
                "meanings"

            Expect.equal
                session.Metadata[MetadataKeys.ActionChoices]
                """[{"name":"left","choices":["none","one"]},{"name":"right","choices":["a","b","c"]}]"""
                "choices in the file"

            Expect.sequenceEqual
                session.Choices
                [
                    ChoiceDescription("left", [| "none"; "one" |])
                    ChoiceDescription("right", [| "a"; "b"; "c" |])
                ]
                "choices"

            Expect.isFalse session.TakesMask "no mask"

            Expect.equal
                (shapes model.Onnx.Graph.Output)
                [
                    "logits", float', [ 5 ]
                    "probabilities", float', [ 5 ]
                    "action", int', [ 2 ]
                ]
                "outputs"
        }

        test "a mask leaves out what is not allowed" {
            use _scope = torch.NewDisposeScope()
            let model = handsModel true
            use session = new PolicySession(model.ToBytes())
            let allowed = [| true; false; true; true; false; true; true; true; true; true |]
            let said = ask session [| 1f; 2f; 3f; 4f |] allowed 2
            near said.Probabilities [ 1; 0; 1.0 / 3.0; 2.0 / 3.0; 0; 0.25; 0.75; 0.125; 0.25; 0.625 ] "probabilities"
            Expect.sequenceEqual said.Actions [ 0L; 1L; 1L; 2L ] "actions"
            near said.Logits[..4] [ 0; log 3.0; 0; log 2.0; log 5.0 ] "logits are as the network gives them"
            Expect.equal session.Metadata[MetadataKeys.Masked] "true" "the file says so"

            Expect.equal (shapes model.Onnx.Graph.Input) [ "observation", float', [ 2 ]; "mask", bool', [ 5 ] ] "inputs"
        }

        test "numbers: deviations from logarithms within 20, actions clipped and stretched to the bounds" {
            use _scope = torch.NewDisposeScope()
            let model = pushesModel ()
            use session = new PolicySession(model.ToBytes())
            let said = ask session [| 1f; 2f; 3f; 4f |] [||] 2
            near said.Means [ 0.5; -3; 0.5; -3 ] "means"
            near said.Numbers [ 1; 10; 1; 10 ] "numbers"
            near said.Deviations[..0] [ 0.5 ] "deviation"
            Expect.floatClose Accuracy.medium (float said.Deviations[1] * exp 20.0) 1.0 "the least deviation"
            Expect.isEmpty said.Actions "no indices"
            Expect.equal session.Kind PolicyKind.Gaussian "kind"
            Expect.equal session.Metadata[MetadataKeys.Kind] ModelKinds.NumberActions "kind in the file"

            Expect.equal
                session.Metadata[MetadataKeys.ActionBounds]
                """[{"name":"torque","low":-2,"high":2},{"name":"force","low":10,"high":30}]"""
                "bounds in the file"

            Expect.sequenceEqual
                session.Numbers
                [ NumberDescription("torque", -2f, 2f); NumberDescription("force", 10f, 30f) ]
                "bounds"

            Expect.equal (session.Numbers[1].Within 0f) 20f "the middle"

            Expect.equal
                (shapes model.Onnx.Graph.Output)
                [ "mean", float', [ 2 ]; "deviation", float', [ 2 ]; "action", float', [ 2 ] ]
                "outputs"
        }

        test "one discrete action: choices under their names, and the graph and metadata that it always had" {
            use _scope = torch.NewDisposeScope()
            let network, parameters = constant [ 1.0; 2.0 ]
            let policy = describe network null null (worldOf (ActionSpace.Of("up", "down")) false)
            let model = PolicyExporter.Build(policy, parameters, 0)
            use session = new PolicySession(model.ToBytes())
            Expect.sequenceEqual session.Choices [ ChoiceDescription("", [| "up"; "down" |]) ] "choices"
            Expect.isEmpty session.Numbers "no numbers"

            Expect.equal
                [
                    for node in model.Onnx.Graph.Node -> node.OpType, List.ofSeq node.Input, List.ofSeq node.Output
                ]
                [
                    "Gemm", [ "observation"; "policy.0.weight"; "policy.0.bias" ], [ "logits" ]
                    "Softmax", [ "logits" ], [ "probabilities" ]
                    "ArgMax", [ "logits" ], [ "action" ]
                ]
                "nodes"

            Expect.sequenceEqual
                (model.Onnx.MetadataProps |> Seq.map _.Key)
                [ "bmg.kind"; "bmg.environment"; "bmg.inputLayout"; "bmg.actionMeanings" ]
                "metadata"
        }

        test "each choice of outputs asks for the lowest operator set that it needs, and works in every higher one" {
            use _scope = torch.NewDisposeScope()

            let builds: (string * (ExportOptions -> ExportableModel)) list = [
                "hands",
                (fun options ->
                    let network, parameters = constant [ 0.0; 1.0; 2.0; 3.0; 4.0 ]
                    let policy = describe network null null (worldOf hands true)
                    PolicyExporter.Build(policy, parameters, 0, false, null, options))
                "pushes",
                (fun options ->
                    let network, parameters = constant [ 0.5; -3.0; 0.25; -25.0 ]
                    let policy = describe network null null (worldOf pushes false)
                    PolicyExporter.Build(policy, parameters, 0, false, null, options))
            ]

            for which, outputs, lowest in
                [
                    "hands", [ "logits" ], 9
                    "hands", [ "probabilities" ], 10
                    "hands", [ "action" ], 12
                    "pushes", [ "mean"; "deviation"; "action" ], 10
                ] do
                let build = builds |> List.find (fst >> (=) which) |> snd
                let found = (build (optionsOf outputs)).Onnx.OpsetImport[0].Version
                Expect.equal (int found) lowest $"%A{outputs}"

                for opset in lowest .. OnnxVersions.Highest do
                    let model =
                        build (ExportOptions(Opset = opset, Outputs = (List.toArray outputs :> IReadOnlyList<string>)))

                    Expect.isTrue (ParityCheck.Run(model, null, 64).Passed) $"%A{outputs} in opset {opset}"
        }

        test "what is no mask is refused by file, size and place" {
            use _scope = torch.NewDisposeScope()
            use masked = new PolicySession((handsModel true).ToBytes(), null, "some.onnx")
            use plain = new PolicySession((handsModel false).ToBytes(), null, "some.onnx")
            let observations = [| 1f; 2f; 3f; 4f |]
            let all = Array.create 10 true

            for session, allowed, says in
                [
                    masked, [||], "must hold 10 entries (5 a row), found 0"
                    masked, all[..8], "found 9"
                    plain, all, "takes no mask, found one of 10"
                    masked,
                    [| true; true; true; true; true; true; true; false; false; false |],
                    "no choice of action 1 ('right') in row 1"
                    masked,
                    [| false; false; true; true; true; true; true; true; true; true |],
                    "action 0 ('left') in row 0"
                ] do
                let e = raised<ArgumentException>(fun () -> ask session observations allowed 2 |> ignore)
                Expect.stringContains e.Message says "what is wrong"
                Expect.stringContains e.Message "some.onnx" "the file"

            let e =
                raised<ArgumentException>(fun () -> masked.Run(ReadOnlySpan observations, 2).Actions.Length |> ignore)

            Expect.stringContains e.Message "found 0" "a mask is not forgotten"
        }

        test "a comparison finds a mask that does not reach, actions that are swapped, and other bounds" {
            use _scope = torch.NewDisposeScope()

            let differs (label: string) (model: ExportableModel) (damage: ModelProto -> unit) =
                let onnx = model.Onnx.Clone()
                damage onnx
                use session = new ModelSession(onnx.ToByteArray())
                Expect.isTrue (ParityCheck.Run(model, null, 64).Passed) $"{label}: sound at first"
                Expect.isFalse (ParityCheck.Run(session, model, null, 64).Passed) label

            let constant (name: string) (values: float32 list) (onnx: ModelProto) =
                let tensor = onnx.Graph.Initializer |> Seq.find (fun t -> t.Name = name)
                tensor.RawData <- ByteString.CopyFrom(values |> List.map BitConverter.GetBytes |> Array.concat)

            differs "a mask that does not reach" (handsModel true) (constant "logits.never" [ 0f ])

            differs "actions that are swapped" (handsModel false) (fun onnx ->
                let last = onnx.Graph.Node |> Seq.find (fun n -> n.Output.Contains "action")
                let inputs = Seq.rev last.Input |> Seq.toArray
                last.Input.Clear()
                last.Input.AddRange inputs)

            differs "other bounds" (pushesModel ()) (constant "action.scaled.by" [ 4.01f; 20f ])
            differs "other deviations" (pushesModel ()) (constant "deviation.least.by" [ -19f ])
        }
    ]

// ------------------------------------------------------------------------------------------------------------------- hostile

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
    let code = TrainingCli.Run(List.toArray args, ProgramHost.Create(output, error))
    code, output.ToString(), error.ToString()

let private succeed (what: string) (code: int, output: string, error: string) =
    Expect.equal code 0 $"{what}: {output}{error}"
    output

let private lines (text: string) =
    text.Split('\n', StringSplitOptions.RemoveEmptyEntries)

/// What a policy's description says, with something changed in its JSON.
let private changed (policy: PolicyDescription) (change: JsonObject -> unit) : PolicyDescription =
    let options = CheckpointHeader.ManifestOptions
    let node = nonNull (JsonNode.Parse(JsonSerializer.Serialize(policy, options)))
    change (node.AsObject())
    nonNull (JsonSerializer.Deserialize<PolicyDescription>(node.ToJsonString(), options))

let private set (key: string) (json: string) (policy: JsonObject) = policy[key] <- JsonNode.Parse json

let private hostileHeaders =
    let handsNetwork, handsParameters = constant [ 0.0; 0.0; 0.0; 0.0; 0.0 ]
    let pushNetwork, pushParameters = constant [ 0.0; 0.0; 0.0; 0.0 ]
    let several = describe handsNetwork null null (worldOf hands true), handsParameters
    let numbers = describe pushNetwork null null (worldOf pushes false), pushParameters

    testList "hostile headers" [
        for (policy, parameters), key, json, says in
            [
                several, "several", "null", "no several actions"
                several, "several", "[]", "none, expected at least one"
                several, "several", "[null]", "without choices"
                several, "several", """[{"name":"left","choices":[]}]""", "without choices"
                several, "several", """[{"name":"left","choices":[null]}]""", "without a name of one"
                several, "several", """[{"name":"left","choices":["none","one"]}]""", "take 2 outputs, expected 5"
                several, "kind", "\"Logits\"", "several actions in a policy of kind Logits"
                several, "kind", "\"Gaussian\"", "several actions in a policy of kind Gaussian"
                several, "kind", "17", "kind 17"
                several, "actionMeanings", """["a","b","c","d","e"]""", "others than its actions have"
                several, "actionMeanings", """["left.none",null,"right.a","right.b","right.c"]""", "some null"
                several, "actionMeanings", "[]", "0 meanings"
                several, "numbers", """[{"name":"torque","low":-2,"high":2}]""", "numbers as actions in a policy"
                numbers, "numbers", "null", "no numbers as actions"
                numbers, "numbers", "[]", "none, expected at least one"
                numbers, "numbers", "[null,null]", "null"
                yield! [
                    for low, high in [ "2", "-2"; "1", "1"; "-3e38", "3e38"; "0", "1e39"; "-1e60", "0" ] ->
                        numbers,
                        "numbers",
                        $"""[{{"name":"torque","low":{low},"high":{high}}},{{"name":"force","low":10,"high":30}}]""",
                        "expected finite bounds"
                ]
                numbers, "numbers", """[{"name":"torque","low":-2,"high":2}]""", "take 2 outputs, expected 4"
                numbers, "masked", "true", "a mask in a policy of kind Gaussian"
                numbers, "kind", "\"Logits\"", "numbers as actions in a policy of kind Logits"
                numbers, "kind", "\"Values\"", "numbers as actions in a policy of kind Values"
                numbers, "actionMeanings", """["force","torque"]""", "others than its actions have"
                numbers, "normalization", """{"limit":0}""", "within ±0, expected a limit greater than 0"
                several, "normalization", """{"limit":10}""", "observation.mean"
            ] do
            test $"{policy.Kind} with {key} {json}" {
                let wrong = changed policy (set key json)

                // Infinite bounds can be read, from a number too large, but not written.
                if not (json.Contains "e39" || json.Contains "e60") then
                    withDirectory (fun directory ->
                        let file = Path.Combine(directory, "a.safetensors")
                        let output = Path.Combine(directory, "a.onnx")
                        CheckpointFile.Write(file, checkpointWith wrong parameters)
                        let code, _, error = export [ "export"; file; "--output"; output ]
                        Expect.equal code 2 error
                        Expect.hasLength (lines error) 1 $"one line: {error}"
                        Expect.stringContains error file "names the file"
                        Expect.stringContains error says "what is wrong"
                        Expect.isFalse (File.Exists output) "nothing is written")

                if key <> "kind" || json <> "17" then
                    let e = raised<ArgumentException>(fun () -> PolicyExporter.Build(wrong, parameters, 0) |> ignore)
                    Expect.stringContains e.Message says "the exporter refuses it, too"
            }
    ]

let private setMetadata (key: string) (text: string | null) (model: ModelProto) =
    for entry in model.MetadataProps |> Seq.filter (fun e -> e.Key = key) |> Seq.toArray do
        model.MetadataProps.Remove entry |> ignore

    match text with
    | null -> ()
    | text -> model.MetadataProps.Add(StringStringEntryProto(Key = key, Value = text))

let private hostileFiles =
    testList "hostile files" [
        let several = "several", (fun () -> handsModel true)
        let numbers = "numbers", pushesModel
        let masked = "bmg.masked"

        let files: ((string * (unit -> ExportableModel)) * string * (string | null)) list = [
            several, "bmg.actionChoices", null
            several, "bmg.actionChoices", "nonsense"
            several, "bmg.actionChoices", "[]"
            several, "bmg.actionChoices", "[null]"
            several, "bmg.actionChoices", """[{"name":"left"}]"""
            several, "bmg.actionChoices", """[{"name":null,"choices":["a"]}]"""
            several, "bmg.actionChoices", """[{"name":"left","choices":["none","one"]}]"""
            several, "bmg.actionChoices", """[{"name":"left","choices":["a","b","c","d","e"]}]"""
            several, "bmg.actionMeanings", "[]"
            several, "bmg.actionMeanings", null
            several, masked, null
            several, masked, "yes"
            several, masked, ""
            several, "bmg.kind", "policy"
            several, "bmg.kind", "action-values"
            several, "bmg.kind", "number-actions"
            numbers, "bmg.actionBounds", null
            numbers, "bmg.actionBounds", "{}"
            numbers, "bmg.actionBounds", """[{"name":"torque","low":-2,"high":2}]"""
            numbers, "bmg.actionBounds", """[{"name":"torque","low":2,"high":-2},{"name":"force","low":10,"high":30}]"""
            numbers,
            "bmg.actionBounds",
            """[{"name":"torque","low":-2,"high":1e39},{"name":"force","low":10,"high":30}]"""
            numbers, masked, "true"
            numbers, "bmg.kind", "policy"
            numbers, "bmg.kind", "several-actions"
        ]

        for (name, model), key, text in files do
            let shown =
                match text with
                | null -> "missing"
                | text -> text

            test $"{name} with {key} {shown}" {
                use _scope = torch.NewDisposeScope()
                let onnx = (model ()).Onnx.Clone()
                setMetadata key text onnx

                let e =
                    raised<OnnxFileException>(fun () ->
                        (new PolicySession(onnx.ToByteArray(), null, "some.onnx")).Dispose())

                Expect.stringContains e.Message "some.onnx" "names the file"
                Expect.stringContains e.Message "expected" "says what was expected"

                if key <> "bmg.kind" then
                    Expect.stringContains e.Message "bmg." "names the key"
            }

        test "a mask of another name, width or type, or a second one, is refused" {
            use _scope = torch.NewDisposeScope()

            let mask (onnx: ModelProto) = onnx.Graph.Input[1]

            let rename (onnx: ModelProto) =
                (mask onnx).Name <- "other"

                for node in onnx.Graph.Node do
                    for i in 0 .. node.Input.Count - 1 do
                        if node.Input[i] = "mask" then
                            node.Input[i] <- "other"

            let another (onnx: ModelProto) =
                onnx.Graph.Input.Add(OnnxModel.Value("further", TensorProto.Types.DataType.Bool, 5L))

            let number (onnx: ModelProto) =
                onnx.Graph.Input.Add(OnnxModel.Value("further", TensorProto.Types.DataType.Float, 5L))

            for damage in
                [
                    rename
                    another
                    number
                    (fun onnx -> (mask onnx).Type.TensorType.Shape.Dim[1].DimValue <- 1L)
                    (fun onnx -> (mask onnx).Type.TensorType.Shape.Dim[1].DimValue <- 0L)
                    (fun onnx -> (mask onnx).Type.TensorType.Shape.Dim.RemoveAt 1)
                    (fun onnx -> (mask onnx).Type.TensorType.ElemType <- int TensorProto.Types.DataType.Float)
                ] do
                let onnx = (handsModel true).Onnx.Clone()
                damage onnx

                let e =
                    raised<OnnxFileException>(fun () ->
                        (new PolicySession(onnx.ToByteArray(), null, "some.onnx")).Dispose())

                Expect.stringContains e.Message "some.onnx" "names the file"
        }

        test "numbers beyond the bounds, and actions that are not allowed, are refused when they come" {
            use _scope = torch.NewDisposeScope()

            let without (types: string list) (model: ExportableModel) (from: string) =
                let onnx = model.Onnx.Clone()

                // What comes before the clipping at the end is put out instead of it.
                for node in
                    onnx.Graph.Node
                    |> Seq.filter (fun n -> List.contains n.OpType types && n.Output.Contains "action")
                    |> Seq.toArray do
                    node.Input[0] <- from

                onnx.ToByteArray()

            let network, parameters = constant [ 0.5; -3.0; 0.0; 0.0 ]
            let policy = describe network null null (worldOf pushes false)
            let model = PolicyExporter.Build(policy, parameters, 0)
            use low = new PolicySession(without [ "Min" ] model "mean", null, "some.onnx")
            let e = raised<OnnxFileException>(fun () -> ask low [| 0f; 0f |] [||] 1 |> ignore)
            Expect.stringContains e.Message "found -3 as 'force', expected 10 to 30" "which"

            let network, parameters = constant [ 0.0; 1.0 ]
            let policy = describe network null null (worldOf (ActionSpace.Of("a", "b")) true)
            let model = PolicyExporter.Build(policy, parameters, 0)
            use free = new PolicySession(without [ "ArgMax" ] model "logits", null, "some.onnx")
            let e = raised<OnnxFileException>(fun () -> ask free [| 0f; 0f |] [| true; false |] 1 |> ignore)
            Expect.stringContains e.Message "found 1, expected one that is allowed" "which"
        }
    ]

// ------------------------------------------------------------------------------------------------------------- end to end

let private small (environment: string) =
    $"""{{
      "name": "small", "members": 2, "environmentSteps": 400, "seed": 11, "threads": 1,
      "environment": {environment},
      "learner": {{ "hidden": [8], "optimizer": {{ "name": "adam", "learningRate": 0.001 }}, "rolloutLength": 10, "innerSteps": 1, "targetSteps": 2 }},
      "meta": {{ "method": "bmg" }},
      "run": {{ "metricsEvery": 100, "checkpointEvery": 200 }}
    }}"""

let private toggles = """{ "name": "toggles", "lamps": 2, "steps": 8 }"""
let private pendulum = """{ "name": "pendulum", "steps": 20 }"""

let private trained (environment: string) (test: string -> string -> string -> unit) =
    withDirectory (fun directory ->
        let file = Path.Combine(directory, "small.json")
        let run = Path.Combine(directory, "run")
        File.WriteAllText(file, small environment)
        let printed = training [ "train"; file; "--output"; run ] |> succeed "train"
        test directory run printed)

let private refusedBy (command: string list -> int * string * string) (args: string list) (says: string) =
    let code, _, error = command args
    Expect.equal code 2 $"%A{args}: {error}"
    Expect.hasLength (lines error) 1 $"one line: {error}"
    Expect.stringContains error says "what is wrong"

/// Changes the metadata of a file.
let private remark (file: string) (key: string) (text: string) =
    let onnx = ModelProto.Parser.ParseFrom(File.ReadAllBytes file)
    setMetadata key text onnx
    File.WriteAllBytes(file, onnx.ToByteArray())

let private endToEnd =
    testList "end to end" [
        for name, environment, outputs, inspected in
            [
                "toggles", toggles, "logits,probabilities,action", [ "mask"; "[batch, 6]"; "[batch, 2]"; "bool" ]
                "pendulum", pendulum, "mean,deviation,action", [ "deviation"; "[batch, 1]"; "torque" ]
            ] do
            test $"a run of {name} ends with a policy that was checked and played, and every command takes it" {
                trained environment (fun directory run printed ->
                    Expect.stringContains printed "Exported the policy" "exported"
                    Expect.stringContains printed "Played it in ONNX Runtime" "played"
                    let onnx = Path.Combine(run, "policy.onnx")
                    let other = Path.Combine(directory, "other.onnx")
                    export [ "check"; onnx; "--against"; run ] |> succeed "check" |> ignore

                    export [ "export"; run; "--member"; "1"; "--value"; "--output"; other ]
                    |> succeed "export"
                    |> ignore

                    let text = export [ "inspect"; other ] |> succeed "inspect"

                    for part in inspected do
                        Expect.stringContains text part "what the file says"

                    export [ "bench"; other; "--batch"; "1,3"; "--seconds"; "0.01" ]
                    |> succeed "bench"
                    |> ignore

                    for output in outputs.Split ',' do
                        export [ "export"; run; "--outputs"; output; "--output"; other; "--force" ]
                        |> succeed $"export of {output}"
                        |> ignore

                        export [ "check"; other; "--against"; run ]
                        |> succeed $"check of {output}"
                        |> ignore

                    // Actions alone cannot be drawn from.
                    refusedBy training [ "evaluate"; other; "--episodes"; "3" ] "from which actions are drawn"

                    for target in [ run; onnx ] do
                        let text = training [ "evaluate"; target; "--episodes"; "20" ] |> succeed "evaluate"
                        Expect.stringContains text "mean return of 20 episodes" "returns"

                    training [ "evaluate"; onnx; "--episodes"; "1"; "--render" ]
                    |> succeed "render"
                    |> ignore)
            }

        test "a policy of other actions than the environment takes is refused by what differs" {
            trained pendulum (fun directory run _ ->
                let onnx = Path.Combine(run, "policy.onnx")
                remark onnx "bmg.actionBounds" """[{"name":"torque","low":-1,"high":1}]"""
                refusedBy training [ "evaluate"; onnx ] "metadata 'bmg.actionBounds': found torque in -1 … 1"
                let checkpoint = RunDirectory.LatestCheckpoint run
                let other = Path.Combine(directory, "other.safetensors")

                do
                    use read = CheckpointFile.Read checkpoint

                    let policy =
                        changed read.Manifest.Policy (set "numbers" """[{"name":"torque","low":-1,"high":1}]""")

                    let m = read.Manifest

                    let manifest =
                        CheckpointManifest(
                            LibraryVersion = m.LibraryVersion,
                            Experiment = m.Experiment,
                            EnvironmentSteps = m.EnvironmentSteps,
                            Seeds = m.Seeds,
                            Configuration = m.Configuration,
                            Policy = policy,
                            MetaNetwork = m.MetaNetwork,
                            Host = m.Host,
                            State = m.State
                        )

                    CheckpointFile.Write(other, new Checkpoint(manifest, read.Sets))

                refusedBy training [ "evaluate"; other ] "expected one over torque in -2 … 2")
        }

        test "a checkpoint that does not say of a mask is refused by name when a run goes on" {
            withDirectory (fun directory ->
                let file = Path.Combine(directory, "a.safetensors")
                let settings: RunConfiguration = Reading.reader.Read(small toggles, "test", [])
                use experiment = new PopulationExperiment(settings, DerivedSettings.Of settings)
                experiment.Save(file, "")
                experiment.Restore file |> ignore

                do
                    use read = CheckpointFile.Read file
                    let m = read.Manifest

                    let manifest =
                        CheckpointManifest(
                            LibraryVersion = m.LibraryVersion,
                            Experiment = m.Experiment,
                            EnvironmentSteps = m.EnvironmentSteps,
                            Seeds = m.Seeds,
                            Configuration = m.Configuration,
                            Policy = changed m.Policy (fun policy -> policy.Remove "masked" |> ignore),
                            MetaNetwork = m.MetaNetwork,
                            Host = m.Host,
                            State = m.State
                        )

                    CheckpointFile.Write(file, new Checkpoint(manifest, read.Sets))

                let e = raised<CheckpointException>(fun () -> experiment.Restore file |> ignore)
                Expect.stringContains e.Message "policy.masked" "what differs"
                Expect.stringContains e.Message "Found none, expected true" "found and expected")
        }
    ]

let tests = testList "policy kinds" [ generated; handWorked; hostileHeaders; hostileFiles; endToEnd ]
