/// Supervised training: data of anybody's, the settings of the experiment against a life by hand, and the whole path to an exported network.
module Bmg.Tests.SupervisedTests

open System
open System.IO
open System.Text.Json
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Export.CommandLine
open Bmg.Export.Inference
open Bmg.Training
open Bmg.Training.Agents
open Bmg.Training.Catalogues
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Data
open Bmg.Training.Experiments
open Bmg.Training.Hosting
open Bmg.Training.Library
open Bmg.Training.Supervised
open Bmg.Tests.EndToEndTests
open Bmg.Tests.Tolerances
open Expecto
open FsCheck
open FsCheck.FSharp
open TorchSharp

// ---------------------------------------------------------------------------------------------------------------- by hand

/// What a configuration of supervised training should be.
[<NoEquality; NoComparison>]
type private Plain = {
    Data: IDataSet
    Hidden: int list
    Activation: Activation
    Initialization: Initialization
    Optimizer: Optimizer
    Rate: float
    Low: float
    High: float
    Divided: bool
    Batch: int
    HeldOut: float
    K: int
    L: int
    Method: string
    Matching: MatchingFunction
    MetaSteps: int
}

/// 0 … count − 1 as drawn from a seed, by Fisher and Yates.
let private shuffled (count: int) (seed: Seed) : int[] =
    let order = [| 0 .. count - 1 |]
    let random = seed.Generator()

    for i in count - 1 .. -1 .. 1 do
        let j = random.Next(i + 1)
        let kept = order[i]
        order[i] <- order[j]
        order[j] <- kept

    order

let private example (data: IDataSet) (split: DataSplit) (i: int) : float32[] * float32[] =
    let input = Array.zeroCreate data.Description.InputSize
    let label = Array.zeroCreate data.Description.LabelSize
    data.Write(split, i, Span input, Span label)
    input, label

let private seeds = [| Seed.Of 7L; Seed.Of 8L |]

/// Parameters after some meta-steps, and the learning rates, by member.
let private live (plain: Plain) : float[] list =
    use _ = torch.NewDisposeScope()
    let data = plain.Data
    let description = data.Description
    let count = data.Count DataSplit.Training

    let held =
        if plain.HeldOut > 0.0 then
            min (count - 1) (max 1 (int (Math.Round(float count * plain.HeldOut))))
        else
            0

    let order = shuffled count (let seed = Seed.Of 0L in seed.For "held out")

    let training, heldOut = order[held..], order[.. held - 1]

    // The n-th example that a member has of some examples.
    let pick (examples: int[]) (purpose: string) (seed: Seed) (n: int) =
        let own = seed.For purpose
        let epoch = own.For $"epoch {n / examples.Length}"
        examples[(shuffled examples.Length epoch)[n % examples.Length]]

    let batch (examples: int[]) (purpose: string) (from: int) : Examples =
        let chosen = [|
            for seed in seeds do
                for i in from .. from + plain.Batch - 1 do
                    example data DataSplit.Training (pick examples purpose seed i)
        |]

        let members, size = int64 seeds.Length, int64 plain.Batch
        let inputs = torch.tensor (Array.collect fst chosen, dtype = torch.float32)
        let labels = torch.tensor (Array.collect snd chosen, dtype = torch.float32)

        Examples(
            inputs.reshape (members, size, int64 description.InputSize),
            if description.HasClasses then
                labels.reshape(members, size).``to`` torch.int64
            else
                labels.reshape (members, size, int64 description.LabelSize)
        )

    let network =
        Network.Mlp(
            "network",
            description.InputSize,
            List.toArray plain.Hidden,
            description.OutputSize,
            plain.Activation
        )

    let loss (x: Params) (examples: Examples) =
        let outputs = Network.apply network x examples.Inputs

        if description.HasClasses then
            Losses.crossEntropy outputs examples.Labels
        else
            Losses.squaredError (outputs.minus examples.Labels)

    let learned = Optimizers.withLearnedRate "learningRate" plain.Optimizer

    let optimizer = if plain.Method = "fixed" then plain.Optimizer else learned

    let lossOf name (part: ExampleBatch -> Examples) =
        LossFunction<ExampleBatch>.Create(name, (fun x _ b -> loss x (part b)))

    let rule = UpdateRule.gradient (lossOf "loss" (fun b -> b.Learned)) optimizer
    let outer = lossOf "outer" (fun b -> b.Judged)

    let meta =
        MetaLearner<ExampleBatch>
            .Create(
                rule,
                plain.K,
                (if plain.Method = "fixed" then
                     MetaParameters.constant "learningRate" plain.Rate
                 else
                     MetaParameters.logScalar "learningRate" plain.Low plain.High plain.Rate plain.Divided),
                (match plain.Method with
                 | "fixed" -> MetaObjective.Fixed
                 | "mg" -> MetaObjective.MetaGradient outer
                 | _ ->
                     MetaObjective.Bootstrapped(
                         TargetBootstrap.lookAhead plain.L (UpdateRule.gradient outer optimizer) LastStepState.Learners,
                         plain.Matching
                     )),
                Model<ExampleBatch>
                    .Create("network", (fun x _ b -> Params.Single("logits", Network.apply network x b.Judged.Inputs))),
                Optimizers.adam 0.1 0.9 0.999 1e-4 1e-16
            )

    let mutable state =
        MetaLearner.init
            meta
            (Network.init network plain.Initialization seeds torch.float32 torch.CPU)
            (meta.MetaParameters.Init.Invoke(seeds, torch.float32, torch.CPU))

    let mutable drawn = 0

    for _ in 1 .. plain.MetaSteps do
        let struct (next, _) =
            MetaLearner.step
                meta
                state
                (fun _ _ ->
                    let learned = batch training "examples" drawn

                    let judged =
                        if held = 0 then
                            learned
                        else
                            batch heldOut "held-out examples" drawn

                    drawn <- drawn + plain.Batch

                    {
                        Data = new ExampleBatch(learned, judged)
                        Context = null
                    })
                (fun pending -> Params.detachFromScope (pending.Data.ToParams()) |> ignore)

        state <- next

    let rates = meta.MetaParameters.Apply.Invoke(state.MetaParameters, null)

    [
        for t in state.Learner.Parameters.Tensors do
            numbers t
        for t in state.Learner.Optimizer.Tensors do
            numbers t
        numbers rates["learningRate"]
    ]

let private text =
    """{
      "name": "supervised", "seed": 7, "members": 2, "threads": 1, "environmentSteps": 1000,
      "experiment": { "name": "supervised", "data": { "name": "spirals", "examples": 40, "testExamples": 10 }, "hidden": [6, 5],
                      "activation": "tanh", "optimizer": { "name": "sgd", "learningRate": 0.3 }, "batchSize": 6, "heldOut": 0.3,
                      "innerSteps": 2, "targetSteps": 3 },
      "meta": { "method": "bmg", "learningRate": 0.1 }
    }"""

let private read (overrides: string list) =
    Reading.reader.Read(text, "test", overrides)

let private spirals = SpiralsSettings(Examples = 40, TestExamples = 10)

let private plain: Plain = {
    Data = Spirals.Create spirals
    Hidden = [ 6; 5 ]
    Activation = Activation.Tanh
    Initialization = Initialization.TruncatedNormal
    Optimizer = Optimizers.sgd 0.3
    Rate = 0.3
    Low = 1e-6
    High = 100.0
    Divided = false
    Batch = 6
    HeldOut = 0.3
    K = 2
    L = 3
    Method = "bmg"
    Matching = Matching.kl Reduction.Sum
    MetaSteps = 6
}

let private make (configuration: RunConfiguration) : IExperiment =
    (ExperimentFactory() :> IExperimentFactory).Create configuration

/// What a configuration itself lives: as `live`.
let private lived (configuration: RunConfiguration) (metaSteps: int) : float[] list =
    use _ = torch.NewDisposeScope()
    use experiment = make configuration
    let mutable rates = [||]

    for _ in 1..metaSteps do
        rates <- (experiment.Advance()).Values[1]

    let mutable found = []

    withScratch (fun folder ->
        let path = Path.Combine(folder, "a.safetensors")
        experiment.Save(path, "")
        use checkpoint = CheckpointFile.Read path

        found <- [
            for set in [ "learner"; "learnerOptimizer" ] do
                for t in (checkpoint.Set set).Tensors do
                    numbers t
            rates
        ])

    found

let private shortLife = {
    Name = "a short float32 life"
    Relative = 1e-4
    Floor = 1e-6
}

let private sameLife (expected: float[] list) (found: float[] list) =
    Expect.equal found.Length expected.Length "tensors, and rates"

    for i, (a, b) in List.indexed (List.zip expected found) do
        near shortLife $"tensor {i}" a b

/// A setting under several values, JSON each, and what each makes of the life: every one is lived as by hand, and no two are alike.
let private values (path: string) (overrides: string list) (start: Plain) (cases: (string * (Plain -> Plain)) list) () =
    let expected = cases |> List.map (fun (_, edit) -> live (edit start))

    let apart a b =
        List.length a <> List.length b
        || List.exists2
            (fun x y ->
                not (
                    agree
                        {
                            shortLife with
                                Relative = 3e-4
                                Floor = 3e-6
                        }
                        x
                        y
                ))
            a
            b

    for (i, a), (j, b) in List.allPairs (List.indexed expected) (List.indexed expected) do
        if i < j then
            Expect.isTrue (apart a b) $"{path}: {fst cases[i]} and {fst cases[j]} make a difference"

    for (value, edit), life in List.zip cases expected do
        try
            sameLife life (lived (read (overrides @ [ $"{path}={value}" ])) (edit start).MetaSteps)
        with e ->
            failtest $"{path}={value}: {e.Message}"

/// A file of digits like scikit-learn's: `rows` rows in which the digit shows.
let private digitsFile (path: string) (rows: int) =
    let random = Rng 5UL

    File.WriteAllLines(
        path,
        [
            for row in 0 .. rows - 1 do
                let digit = row % 10

                String.concat "," [
                    for pixel in 0..63 do
                        (if pixel / 6 = digit then "15.0" else $"{random.Next 9}.0")
                    $"{digit}.0"
                ]
        ]
    )

let private withDigits (rows: int) (body: string -> unit) =
    withScratch (fun folder ->
        let path = Path.Combine(folder, "digits.csv")
        digitsFile path rows
        body path)

let private onSpirals (key: string) cases =
    $"experiment.data.{key}", values $"experiment.data.{key}" [] plain cases

let private withData (settings: SpiralsSettings) (p: Plain) = {
    p with
        Data = Spirals.Create settings
}

/// A test of the effect of every setting of the experiment, by its path: part of the table of WiringTests.
let effects: (string * (unit -> unit)) list = [
    "experiment.name=supervised", (fun () -> sameLife (live plain) (lived (read []) plain.MetaSteps))
    "experiment.name=reinforcement-learning",
    (fun () ->
        for given in [ "{}"; """{ "experiment": { "name": "reinforcement-learning" } }""" ] do
            let configuration = Reading.reader.Read(given, "test", [ "members=1"; "learner.hidden=[3]" ])
            use experiment = make configuration
            Expect.equal experiment.Unit "environment steps" "the unit"
            Expect.equal experiment.Metrics[0].Name "reward" "the first metric")
    "experiment.data.name=spirals",
    (fun () -> sameLife (live plain) (lived (read [ "experiment.data.name=spirals" ]) plain.MetaSteps))
    "experiment.data.name=digits",
    (fun () ->
        withDigits 50 (fun path ->
            values
                "experiment.data"
                []
                plain
                [
                    $"""{{ "name": "digits", "file": "{path}" }}""",
                    (fun p -> {
                        p with
                            Data = Digits.Read(DigitsSettings(File = path))
                    })
                ]
                ()))
    "experiment.data.file",
    (fun () ->
        withScratch (fun folder ->
            let first, second = Path.Combine(folder, "a.csv"), Path.Combine(folder, "b.csv")
            digitsFile first 50
            digitsFile second 30

            values
                "experiment.data.file"
                [ """experiment.data={ "name": "digits" }""" ]
                plain
                [
                    for path in [ first; second ] ->
                        path,
                        (fun p -> {
                            p with
                                Data = Digits.Read(DigitsSettings(File = path))
                        })
                ]
                ()))
    "experiment.data.testShare",
    (fun () ->
        withDigits 50 (fun path ->
            values
                "experiment.data.testShare"
                [ $"""experiment.data={{ "name": "digits", "file": "{path}" }}""" ]
                plain
                [
                    for share in [ 0.0; 0.4 ] ->
                        string share,
                        (fun p -> {
                            p with
                                Data = Digits.Read(DigitsSettings(File = path, TestShare = share))
                        })
                ]
                ()))
    onSpirals "classes" [
        "2", withData (SpiralsSettings(Examples = 40, TestExamples = 10, Classes = 2))
        "4", withData (SpiralsSettings(Examples = 40, TestExamples = 10, Classes = 4))
    ]
    onSpirals "examples" [ "40", id; "30", withData (SpiralsSettings(Examples = 30, TestExamples = 10)) ]
    "experiment.data.testExamples",
    (fun () ->
        for count in [ 10; 25 ] do
            let configuration = read [ $"experiment.data.testExamples={count}" ]
            let data = (SupervisedLearners.Create configuration).Data
            Expect.equal (data.Count DataSplit.Test) count "test examples"
            Expect.equal (data.Count DataSplit.Training) 40 "training examples"
            sameLife (live plain) (lived configuration plain.MetaSteps))
    onSpirals "turns" [
        "1", id
        "2.5", withData (SpiralsSettings(Examples = 40, TestExamples = 10, Turns = 2.5))
    ]
    onSpirals "noise" [
        "0.04", id
        "0.5", withData (SpiralsSettings(Examples = 40, TestExamples = 10, Noise = 0.5))
    ]
    onSpirals "seed" [
        "0", id
        "3", withData (SpiralsSettings(Examples = 40, TestExamples = 10, Seed = 3L))
    ]
    "experiment.hidden",
    values "experiment.hidden" [] plain [
        "[]", (fun p -> { p with Hidden = [] })
        "[6, 5]", id
        "[5, 6]", (fun p -> { p with Hidden = [ 5; 6 ] })
    ]
    for name, activation in
        [
            "relu", Activation.Relu
            "tanh", Activation.Tanh
            "sigmoid", Activation.Sigmoid
            "softplus", Activation.Softplus
            "elu", Activation.Elu
            "leaky-relu", Activation.LeakyRelu
            "gelu", Activation.Gelu
            "silu", Activation.Silu
        ] do
        $"experiment.activation={name}",
        values "experiment.activation" [] plain [
            name, (fun p -> { p with Activation = activation })
            (if name = "tanh" then "relu" else "tanh"),
            (fun p -> {
                p with
                    Activation = (if name = "tanh" then Activation.Relu else Activation.Tanh)
            })
        ]
    for name, initialization in
        [
            "truncated-normal", Initialization.TruncatedNormal
            "uniform", Initialization.Uniform
            "orthogonal", Initialization.Orthogonal
            "sparse", Initialization.Sparse
        ] do
        let other, another =
            if name = "uniform" then
                "truncated-normal", Initialization.TruncatedNormal
            else
                "uniform", Initialization.Uniform

        $"experiment.initialization={name}",
        values "experiment.initialization" [] plain [
            name,
            (fun p -> {
                p with
                    Initialization = initialization
            })
            other, (fun p -> { p with Initialization = another })
        ]
    for name, json, optimizer in
        [
            "sgd", """{ "name": "sgd", "learningRate": 0.05 }""", Optimizers.sgd 0.05
            "momentum", """{ "name": "momentum", "learningRate": 0.05, "decay": 0.75 }""", Optimizers.momentum 0.05 0.75
            "rmsprop",
            """{ "name": "rmsprop", "learningRate": 0.05, "decay": 0.75, "epsilon": 1e-2 }""",
            Optimizers.rmsProp 0.05 0.75 1e-2 1e-16
            "adam",
            """{ "name": "adam", "learningRate": 0.05, "beta1": 0.7, "beta2": 0.95, "epsilon": 1e-2 }""",
            Optimizers.adam 0.05 0.7 0.95 1e-2 1e-16
        ] do
        $"experiment.optimizer.name={name}",
        values "experiment.optimizer" [] plain [
            json,
            (fun p -> {
                p with
                    Optimizer = optimizer
                    Rate = 0.05
            })
            """{ "name": "sgd", "learningRate": 0.3 }""", id
        ]
    for method in [ "bmg"; "fixed" ] do
        "experiment.optimizer.learningRate",
        values "experiment.optimizer.learningRate" [ $"meta.method={method}" ] { plain with Method = method } [
            "0.3", id
            "0.1",
            (fun p -> {
                p with
                    Optimizer = Optimizers.sgd 0.1
                    Rate = 0.1
            })
        ]
    for key, name, cases in
        [
            "decay", "momentum", [ 0.2, Optimizers.momentum 0.1 0.2; 0.8, Optimizers.momentum 0.1 0.8 ]
            "epsilon",
            "rmsprop",
            [
                0.1, Optimizers.rmsProp 0.1 0.9 0.1 1e-16
                1.0, Optimizers.rmsProp 0.1 0.9 1.0 1e-16
            ]
            "epsilonRoot",
            "rmsprop",
            [
                1e-16, Optimizers.rmsProp 0.1 0.9 1e-8 1e-16
                0.25, Optimizers.rmsProp 0.1 0.9 1e-8 0.25
            ]
            "epsilonRoot",
            "adam",
            [
                1e-16, Optimizers.adam 0.1 0.9 0.999 1e-8 1e-16
                0.25, Optimizers.adam 0.1 0.9 0.999 1e-8 0.25
            ]
            "beta1",
            "adam",
            [
                0.2, Optimizers.adam 0.1 0.2 0.999 1e-8 1e-16
                0.8, Optimizers.adam 0.1 0.8 0.999 1e-8 1e-16
            ]
            "beta2",
            "adam",
            [
                0.5, Optimizers.adam 0.1 0.9 0.5 1e-8 1e-16
                0.9, Optimizers.adam 0.1 0.9 0.9 1e-8 1e-16
            ]
        ] do
        $"experiment.optimizer.{key}",
        values
            $"experiment.optimizer.{key}"
            [ $"""experiment.optimizer={{ "name": "{name}", "learningRate": 0.1 }}""" ]
            { plain with Rate = 0.1; MetaSteps = 3 }
            [
                for value, optimizer in cases -> string value, (fun p -> { p with Optimizer = optimizer })
            ]
    // A bound holds where the rate would leave it: the steps of w are 0.1 long, in the logarithm.
    "experiment.learnedRate.low",
    values "experiment.learnedRate.low" [] plain [ "1e-6", id; "0.299", (fun p -> { p with Low = 0.299 }) ]
    "experiment.learnedRate.high",
    values "experiment.learnedRate.high" [ "meta.method=mg" ] { plain with Method = "mg" } [
        "100", id
        "0.301", (fun p -> { p with High = 0.301 })
    ]
    // Adam's step is that of any size of the gradient, but for its epsilon.
    "experiment.learnedRate.divided",
    values
        "experiment.learnedRate.divided"
        [ "experiment.optimizer.learningRate=0.01" ]
        {
            plain with
                Optimizer = Optimizers.sgd 0.01
                Rate = 0.01
        }
        [ "false", id; "true", (fun p -> { p with Divided = true }) ]
    "experiment.batchSize", values "experiment.batchSize" [] plain [ "6", id; "1", (fun p -> { p with Batch = 1 }) ]
    for method in [ "bmg"; "mg"; "fixed" ] do
        "experiment.heldOut",
        values "experiment.heldOut" [ $"meta.method={method}" ] { plain with Method = method } [
            "0", (fun p -> { p with HeldOut = 0.0 })
            "0.3", id
            "0.001", (fun p -> { p with HeldOut = 0.001 })
        ]
    for method in [ "bmg"; "mg"; "fixed" ] do
        "experiment.innerSteps",
        values "experiment.innerSteps" [ $"meta.method={method}" ] { plain with Method = method } [
            "1", (fun p -> { p with K = 1 })
            "2", id
        ]
    "experiment.targetSteps", values "experiment.targetSteps" [] plain [ "1", (fun p -> { p with L = 1 }); "3", id ]
]

// ---------------------------------------------------------------------------------------------------------------- data

/// A regression: the two numbers of a point, turned and stretched, with a constant.
let private line (count: int) : IDataSet =
    let random = Rng 3UL

    let inputs = [|
        for _ in 1..count -> [| float32 (random.NextNormal()); float32 (random.NextNormal()) |]
    |]

    let targets = inputs |> Array.map (fun x -> [| 2.0f * x[0] - x[1] + 0.5f; 0.3f * x[1] |])

    ArrayDataSet(inputs, targets)

/// Settings of a data set that a test registers.
type NoSettings() = class end

/// Reads configurations of a program that brings this data.
let private bringing (data: unit -> IDataSet) =
    let catalogue = LibraryParts.Catalogue()
    catalogue.Add(DataKinds.Data, "mine", NoSettings(), fun _ -> data ())
    Resolution.Reader catalogue

let private mine (data: unit -> IDataSet) (overrides: string list) =
    (bringing data).Read(text, "test", [ """experiment.data={ "name": "mine" }""" ] @ overrides)

/// One that says and writes what it is told.
let private saying
    (description: DataDescription)
    (count: int)
    (write: int -> float32[] -> float32[] -> unit)
    : IDataSet = {
    new IDataSet with
        member _.Description = description

        member _.Count split =
            if split = DataSplit.Training then count else 0

        member _.Write(_, index, input, label) =
            let i = Array.create input.Length nanf
            let l = Array.create label.Length nanf
            write index i l
            i.CopyTo input
            l.CopyTo label
}

let private twoClasses = DataDescription([| 2 |], [| "a"; "b" |], [||])

let private good (_: int) (input: float32[]) (label: float32[]) =
    Array.fill input 0 input.Length 1.0f
    Array.fill label 0 label.Length 1.0f

let private dataTests =
    testList "data" [
        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 50
            }
            "an epoch has every example once, another epoch another order, and a count is all there is to go on from"
        <| fun (count: PositiveInt) (seed: PositiveInt) ->
            let count = count.Get % 40 + 1
            let examples = [| for i in 0 .. count - 1 -> 100 + i |]

            let order () =
                ExampleOrder(examples, Seed.Of(int64 seed.Get))

            let all = order ()
            let epochs = [ for _ in 1..3 -> [ for _ in 1..count -> all.Next() ] ]

            for epoch in epochs do
                Expect.equal (List.sort epoch) (List.ofArray examples) "each once"

            if count > 8 then
                Expect.notEqual epochs[0] epochs[1] "another order"

            let from = 2 * count / 3 + 1
            let later = ExampleOrder(examples, Seed.Of(int64 seed.Get), Drawn = int64 from)

            Expect.equal
                [ for _ in 1..count -> later.Next() ]
                (List.concat epochs |> List.skip from |> List.take count)
                "goes on"

        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 50
            }
            "arrays are cut into training and test, every example in one of them, whole, and the same each time"
        <| fun (count: PositiveInt) (share: PositiveInt) ->
            let count, share = count.Get % 30 + 2, float (share.Get % 10) / 10.0
            let inputs = [| for i in 0 .. count - 1 -> [| float32 i; float32 (-i) |] |]
            let classes = [| for i in 0 .. count - 1 -> i % 2 |]

            let read (data: IDataSet) = [
                for split in [ DataSplit.Training; DataSplit.Test ] do
                    [ for i in 0 .. data.Count split - 1 -> example data split i ]
            ]

            let all = read (ArrayDataSet(inputs, classes, testShare = share))
            Expect.equal all[1].Length (int (float count * share)) "the share"

            Expect.equal
                (List.concat all |> List.sortBy (fun (input, _) -> input[0]))
                [
                    for i in 0 .. count - 1 -> [| float32 i; float32 -i |], [| float32 (i % 2) |]
                ]
                "all, and each with its class"

            Expect.equal
                (read (ArrayDataSet(Array2D.init count 2 (fun i j -> inputs[i][j]), classes, testShare = share)))
                all
                "of a table"

        test "a test of its own, axes and names" {
            let a = ArrayDataSet([| [| 1f; 2f |]; [| 3f; 4f |] |], [| 0; 1 |], [| "x"; "y" |])
            let b = ArrayDataSet([| [| 5f; 6f |] |], [| 1 |], [| "x"; "y" |])
            let data = a.WithTest(b).WithInputs([| 1; 2 |], [| "left"; "right" |]) :> IDataSet
            Expect.equal (data.Count DataSplit.Training, data.Count DataSplit.Test) (2, 1) "all of each"
            Expect.equal (example data DataSplit.Test 0) ([| 5f; 6f |], [| 1f |]) "the other's"
            Expect.sequenceEqual data.Description.InputShape [ 1; 2 ] "axes"
            Expect.sequenceEqual data.Description.Layout [ "left"; "right" ] "names"
        }

        test "spirals: as many as asked for, classes in turn, another draw for the test" {
            let data = Spirals.Create(SpiralsSettings(Examples = 31, TestExamples = 17, Classes = 3)) :> IDataSet
            Expect.equal (data.Count DataSplit.Training, data.Count DataSplit.Test) (31, 17) "counts"

            for i in 0..16 do
                let input, label = example data DataSplit.Test i
                Expect.equal label [| float32 (i % 3) |] "its class"
                Expect.notEqual input (fst (example data DataSplit.Training i)) "its own point"
        }

        test "digits: pixels from 0 to 1, row by row, the digit last; .gz too" {
            withDigits 20 (fun path ->
                let zipped = path + ".gz"

                (use file = File.Create zipped
                 use zip = new Compression.GZipStream(file, Compression.CompressionMode.Compress)
                 zip.Write(File.ReadAllBytes path))

                for file in [ path; zipped ] do
                    let data = Digits.Read(DigitsSettings(File = file, TestShare = 0.0)) :> IDataSet
                    Expect.equal (data.Count DataSplit.Training) 20 "rows"
                    let input, label = example data DataSplit.Training 13
                    Expect.equal label [| 3f |] "the digit"
                    Expect.equal input[18] (15f / 16f) "a pixel"
                    Expect.sequenceEqual data.Description.InputShape [ 1; 8; 8 ] "axes")
        }

        for name, rows, expected in
            [
                "a row too short", [ "1,2,3" ], [ "3 numbers in row 1"; "65" ]
                "a pixel too bright",
                [ String.concat "," [ for i in 0..64 -> (if i = 4 then "17" else "1") ] ],
                [ "\"17\" in row 1, column 5"; "0 to 16" ]
                "no digit", [ String.concat "," [ for _ in 0..64 -> "10" ] ], [ "\"10\" in row 1, column 65"; "0 to 9" ]
                "nothing", [], [ "0 rows"; "two at least" ]
            ] do
            test $"digits, {name}: refused by place" {
                withScratch (fun folder ->
                    let path = Path.Combine(folder, "digits.csv")
                    File.WriteAllLines(path, (rows: string list))

                    let error =
                        Expect.throwsC (fun () -> Digits.Read(DigitsSettings(File = path)) |> ignore) (fun e ->
                            e.Message)

                    for part in path :: expected do
                        Expect.stringContains error part "the message")
            }

        for name, data, expected in
            [
                "no number",
                saying twoClasses 5 (fun i input label ->
                    good i input label

                    if i = 3 then
                        input[1] <- nanf),
                [ "NaN as input 1 of training example 3"; "a finite number" ]
                "a class that there is not",
                saying twoClasses 5 (fun i input label ->
                    good i input label

                    if i = 2 then
                        label[0] <- 2.0f),
                [ "2 as the class of training example 2"; "0 … 1" ]
                "an input left out", saying twoClasses 5 (fun _ _ label -> label[0] <- 0.0f), [ "NaN as input 0" ]
                "one class", saying (DataDescription([| 2 |], [| "a" |], [||])) 5 good, [ "1 classes and 0 targets" ]
                "nothing to learn", saying (DataDescription([| 2 |], [||], [||])) 5 good, [ "0 classes and 0 targets" ]
                "no examples", saying twoClasses 0 good, [ "0 training"; "1 and 0" ]
                "no axes", saying (DataDescription([||], [| "a"; "b" |], [||])) 5 good, [ "inputs of []" ]
                "a wrong number of names",
                saying (DataDescription([| 2 |], [| "a"; "b" |], [||], InputNames = [| "x" |])) 5 good,
                [ "1 names of inputs"; "2, or none" ]
                "one that throws",
                saying twoClasses 5 (fun _ _ _ -> invalidOp "the disk is gone"),
                [ "InvalidOperationException from \"mine\": the disk is gone" ]
                "one example, some held out",
                saying twoClasses 1 good,
                [ "experiment.heldOut: found 0.3"; "but one training example" ]
            ] do
            test $"data with {name}: one message, at the setting" {
                let error =
                    Expect.throwsC (fun () -> mine (fun () -> data) [] |> ignore) (fun e ->
                        Expect.isTrue (e :? ConfigurationException) "a fault of the configuration"
                        e.Message)

                for part in "experiment." :: expected do
                    Expect.stringContains error part "the message"
            }

        test "arrays that do not go together are refused by place" {
            for make, expected in
                [
                    (fun () -> ArrayDataSet([| [| 1f |]; [| 1f; 2f |] |], [| 0; 1 |]) |> ignore),
                    [ "inputs[1]"; "2 numbers"; "1, as in the first" ]
                    (fun () -> ArrayDataSet([| [| 1f |]; [| 1f |] |], [| 0 |]) |> ignore),
                    [ "classes"; "1 examples"; "2" ]
                    (fun () -> ArrayDataSet([| [| 1f |]; [| 1f |] |], [| 0; -1 |]) |> ignore),
                    [ "classes[1]"; "-1"; "0 …" ]
                    (fun () -> ArrayDataSet(([||]: float32[][]), [| 0 |]) |> ignore), [ "inputs"; "none" ]
                    (fun () -> ArrayDataSet([| [| 1f |] |], [| [| 1f |] |], testShare = 1.0) |> ignore),
                    [ "testShare"; "1" ]
                ] do
                let error =
                    Expect.throwsC make (fun e ->
                        Expect.isTrue (e :? ArgumentException) "an argument"
                        e.Message)

                for part in "ArrayDataSet" :: expected do
                    Expect.stringContains error part "the message"
        }
    ]

// ---------------------------------------------------------------------------------------------------------------- learning

let private methods = [| "bmg"; "mg"; "fixed" |]

/// A configuration of some method, of classes or of numbers.
let private ofKind (which: int) (overrides: string list) =
    let method = methods[which % 3]

    if which / 3 % 2 = 0 then
        read ([ $"meta.method={method}" ] @ overrides)
    else
        mine
            (fun () -> line 50)
            ([
                $"meta.method={method}"
                """matching.functions=[{ "name": "logit-l2" }]"""
                "experiment.optimizer.learningRate=0.05"
             ]
             @ overrides)

let private bits (experiment: IExperiment) : (string * byte[]) list =
    let mutable found = []

    withScratch (fun folder ->
        let path = Path.Combine(folder, "a.safetensors")
        experiment.Save(path, "")
        use checkpoint = CheckpointFile.Read path

        found <- [
            for set in checkpoint.Sets do
                for i in 0 .. set.Value.Count - 1 do
                    $"{set.Key}/{set.Value.Names[i]}", set.Value.Tensors[i].contiguous().bytes.ToArray()
            "state", Text.Encoding.UTF8.GetBytes checkpoint.Manifest.State
        ])

    found

let private same (a: MetaStepReport) (b: MetaStepReport) =
    a.Steps = b.Steps
    && Array.forall2 (Array.forall2 (fun (x: float) y -> x.Equals y)) a.Values b.Values

let private learningTests =
    testList "learning" [
        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 18
            }
            "saved and restored it goes on bit for bit, on one thread or several"
        <| fun (before: PositiveInt) (after: PositiveInt) (which: NonNegativeInt) ->
            let before, after = before.Get % 8 + 1, after.Get % 8 + 1
            let heldOut = if which.Get / 6 % 2 = 0 then "0.3" else "0"

            let settings (threads: int) =
                ofKind (which.Get % 6) [ $"threads={threads}"; "members=3"; $"experiment.heldOut={heldOut}" ]

            withScratch (fun folder ->
                let path = Path.Combine(folder, "half.safetensors")
                use straight = make (settings 1)

                for _ in 1..before do
                    straight.Advance() |> ignore

                straight.Save(path, "host state")
                let expected = [ for _ in 1..after -> straight.Advance() ]
                use resumed = make (settings 2)
                Expect.equal (resumed.Restore path) "host state" "the host's own state"
                let found = [ for _ in 1..after -> resumed.Advance() ]
                Expect.isTrue (List.forall2 same expected found) "the same reports"
                Expect.equal (bits resumed) (bits straight) "the same numbers")

        test "a population is its members, one by one" {
            for which in 0..5 do
                use all = make (ofKind which [ "members=3" ])
                let together = [ for _ in 1..4 -> all.Advance() ]

                for member' in 0..2 do
                    use one = make (ofKind which [ "members=1"; $"seed={7 + member'}" ])

                    for report in together do
                        let alone = one.Advance()
                        Expect.equal alone.Steps report.Steps "length"

                        for a, b in Array.zip alone.Values report.Values do
                            near exact $"kind {which}, member {member'}" [|
                                b[member'] |> fun v -> (if Double.IsNaN v then 0.0 else v)
                            |] [| (if Double.IsNaN a[0] then 0.0 else a[0]) |]
        }

        test "no step learns from what is held out" {
            // The same data but for what is held out, where every class is another.
            let first = Spirals.Create(SpiralsSettings(Examples = 40, TestExamples = 1)) :> IDataSet
            let struct (_, held) = SupervisedPopulation.Split(first, 0.3)
            Expect.equal held.Length 12 "30 % of 40"

            let other = {
                new IDataSet with
                    member _.Description = first.Description
                    member _.Count split = first.Count split

                    member _.Write(split, index, input, label) =
                        first.Write(split, index, input, label)

                        if split = DataSplit.Training && Array.contains index held then
                            label[0] <- float32 ((int label[0] + 1) % 3)
            }

            let learned data =
                use experiment = make (mine (fun () -> data) [ "meta.method=fixed" ])

                for _ in 1..20 do
                    experiment.Advance() |> ignore

                bits experiment |> List.filter (fun (name, _) -> name.StartsWith "learner/")

            Expect.equal (learned other) (learned first) "the same parameters"
        }

        test "the meta-gradient of the learning rate is that of finite differences" {
            for which in [ 1; 4 ] do
                for divided in [ "false"; "true" ] do
                    use _ = torch.NewDisposeScope()

                    let learners =
                        SupervisedLearners.Create(
                            ofKind which [ "experiment.innerSteps=3"; $"experiment.learnedRate.divided={divided}" ]
                        )

                    let data = learners.Data
                    let description = data.Description

                    let batch (from: int) =
                        let chosen = [| for i in from .. from + 15 -> example data DataSplit.Training (i % 28) |]

                        let labels = torch.tensor (Array.collect snd chosen, dtype = torch.float64)

                        Examples(
                            torch
                                .tensor(Array.collect fst chosen, dtype = torch.float64)
                                .reshape(2L, 8L, int64 description.InputSize),
                            if description.HasClasses then
                                labels.reshape(2L, 8L).``to`` torch.int64
                            else
                                labels.reshape (2L, 8L, int64 description.LabelSize)
                        )

                    let x = Network.init learners.Network Initialization.TruncatedNormal seeds torch.float64 torch.CPU

                    let w = learners.MetaLearner.MetaParameters.Init.Invoke(seeds, torch.float64, torch.CPU)

                    let at (w: Params) =
                        let mutable from = 0

                        MetaLearner.metaGradient
                            learners.MetaLearner
                            (MetaLearner.init learners.MetaLearner (Params.clone x) (Params.clone w))
                            (fun _ _ ->
                                from <- from + 16

                                {
                                    Data = new ExampleBatch(batch from, batch (from + 5))
                                    Context = null
                                })

                    let result = at w
                    let found = numbers result.Gradient["learningRate"]
                    let step = 1e-4

                    let shifted (k: float) =
                        numbers (
                            nonNull (at (Params.map (fun t -> t.add (Scalars.constant (k * step))) w)).MetaObjective
                        )

                    // Fourth order; of a divided gradient the rate itself is what is moved.
                    let far, near' =
                        Array.map2 (-) (shifted 2.0) (shifted -2.0), Array.map2 (-) (shifted 1.0) (shifted -1.0)

                    let byLog = Array.map2 (fun a b -> (8.0 * b - a) / (12.0 * step)) far near'

                    let expected =
                        if divided = "true" then
                            byLog |> Array.map (fun d -> d / (if which = 1 then 0.3 else 0.05))
                        else
                            byLog

                    near differences $"kind {which}, divided {divided}" expected found
                    Expect.all found (fun g -> g <> 0.0) "it is not zero"
        }

        test "a learning rate that is far too small grows, and with it what is learned" {
            let accuracy (method: string) =
                let configuration =
                    read [
                        $"meta.method={method}"
                        "experiment.data.examples=300"
                        "experiment.data.classes=2"
                        "experiment.data.turns=0.2"
                        "experiment.optimizer.learningRate=0.001"
                        "experiment.batchSize=60"
                        "experiment.heldOut=0"
                    ]

                use experiment = make configuration
                let reports = [ for _ in 1..150 -> experiment.Advance() ]
                (List.last reports).Values[1] |> Array.average, (List.last reports).Values[4] |> Array.average

            let fixedRate, fixedLoss = accuracy "fixed"
            Expect.floatClose Accuracy.high fixedRate 0.001 "a fixed rate stays"

            for method in [ "mg"; "bmg" ] do
                let rate, loss = accuracy method
                Expect.isGreaterThan rate 0.01 $"{method}: ten times the first rate at least"
                Expect.isLessThan loss (fixedLoss / 1.5) $"{method}: what is learned"
        }

        test "the first metric is the share of classes that are right, or of the variance that is explained" {
            use classes = make (read [ "experiment.batchSize=28"; "experiment.heldOut=0.3"; "members=1" ])
            Expect.equal classes.Metrics[0].Label "held-out accuracy" "classes"
            let share = (classes.Advance()).Values[0][0] * 28.0
            Expect.floatClose Accuracy.medium share (Math.Round share) "a share of 28 examples"

            use numbers = make (ofKind 5 [ "experiment.heldOut=0" ])
            Expect.equal numbers.Metrics[0].Label "training variance explained" "numbers"
            let reports = [ for _ in 1..300 -> numbers.Advance() ]
            Expect.isGreaterThan ((List.last reports).Values[0] |> Array.min) 0.9 "a line is learned"
        }

        test "a member whose numbers are no longer finite is frozen at its example, or ends the run" {
            let overrides = [
                "experiment.optimizer.learningRate=1000"
                "experiment.learnedRate.high=1000"
                "meta.method=fixed"
            ]

            let rec untilFrozen (experiment: IExperiment) =
                experiment.Advance() |> ignore

                if Seq.isEmpty experiment.Frozen then
                    untilFrozen experiment

            // Squared errors under a rate of 1000 grow beyond all bounds.
            let stopped =
                Expect.throwsC
                    (fun () -> use experiment = make (ofKind 5 overrides) in untilFrozen experiment)
                    (fun e -> e.Message)

            Expect.stringContains stopped " at example " "where"

            let frozen =
                Expect.throwsC
                    (fun () ->
                        use experiment = make (ofKind 5 (overrides @ [ "run.whenNotFinite=freeze" ])) in
                        untilFrozen experiment
                        untilFrozen experiment

                        while true do
                            experiment.Advance() |> ignore)
                    (fun e -> e.Message)

            Expect.stringContains frozen "frozen at example " "where"
            Expect.stringContains frozen "No member is left" "both of them, in the end"
        }

        test "it is given up within a meta-step where that is asked for" {
            use source = new Threading.CancellationTokenSource()
            use experiment = (ExperimentFactory() :> IExperimentFactory).Create(read [], source.Token)
            experiment.Advance() |> ignore
            source.Cancel()
            Expect.throwsT<OperationCanceledException> (fun () -> experiment.Advance() |> ignore) "the meta-step"
        }

        for name, overrides, expected in
            [
                "a network of meta-parameters",
                [ "meta.parameters=network"; "meta.context=reward" ],
                [ "meta.parameters: found \"network\"" ]
                "bounds the wrong way round",
                [ "experiment.learnedRate.low=2"; "experiment.learnedRate.high=1" ],
                [ "experiment.learnedRate.high: found 1"; "more than" ]
                "a rate outside of its bounds",
                [ "experiment.learnedRate.low=0.5" ],
                [ "experiment.optimizer.learningRate"; "0.3"; "0.5 to 100" ]
                "an experiment that is not registered",
                [ "experiment.name=supervized" ],
                [ "experiment.name"; "\"supervised\""; "AddExperiment" ]
                "data that is not registered",
                [ "experiment.data.name=spiral" ],
                [ "experiment.data.name"; "\"spirals\""; "AddData" ]
                "a file that is missing",
                [ """experiment.data={ "name": "digits", "file": "/nowhere/digits.csv" }""" ],
                [ "experiment.data"; "/nowhere/digits.csv"; "scikit-learn" ]
                "too much memory",
                [ "experiment.batchSize=1000000"; "experiment.hidden=[65536]" ],
                [ "experiment.batchSize" ]
            ] do
            test $"{name}: refused by name" {
                let error = Expect.throwsC (fun () -> read overrides |> ignore) (fun e -> e.Message)

                for part in expected do
                    Expect.stringContains error part "the message"
            }

        test "classes compared in a data set of numbers are refused by name" {
            let error = Expect.throwsC (fun () -> mine (fun () -> line 20) [] |> ignore) (fun e -> e.Message)

            for part in [ "matching.functions.0.name"; "\"kl\""; "logit-l2" ] do
                Expect.stringContains error part "the message"
        }
    ]

// ---------------------------------------------------------------------------------------------------------------- the whole path

/// Carries out a command line; exit code, output, errors.
let private command (arguments: string list) =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = TrainingCli.Run(List.toArray arguments, ProgramHost.Create(output, error))
    code, output.ToString(), error.ToString()

let private must (arguments: string list) : string =
    let code, output, error = command arguments
    Expect.equal (code, error) (0, "") (String.concat " " arguments)
    output

let private pathTests =
    testList "the whole path" [
        test "trained, reported, judged, exported, checked, lengthened" {
            withScratch (fun folder ->
                let file, run = Path.Combine(folder, "a.json"), Path.Combine(folder, "run")
                File.WriteAllText(file, text)
                let output = must [ "train"; file; "--output"; run ]

                for part in
                    [
                        "1 000 examples each"
                        "mean held-out accuracy"
                        "held-out accuracy, last tenth"
                        "examples by each member"
                        "classes that differ: 0"
                        "test accuracy"
                    ] do
                    Expect.stringContains output part "what is said"

                for part in [ "reward"; "environment step" ] do
                    Expect.isFalse (output.Contains part) $"nothing of {part}"

                    Expect.isFalse
                        ((File.ReadAllText(Path.Combine(run, "report.html"))).Contains(part + "s by"))
                        "in the report"

                let report = File.ReadAllText(Path.Combine(run, "report.html"))

                for part in
                    [
                        "examples by each of 2 members"
                        "held-out accuracy (share of examples)"
                        "examples of each member"
                    ] do
                    Expect.stringContains report part "the report"

                use session = PolicySession.Load(Path.Combine(run, "policy.onnx"))
                Expect.sequenceEqual session.ActionMeanings [ "spiral 0"; "spiral 1"; "spiral 2" ] "classes"
                Expect.sequenceEqual session.ObservationLayout [ "x"; "y" ] "inputs"
                Expect.equal session.Environment "spirals" "data"
                let mine = must [ "evaluate"; run ]
                let exported = must [ "evaluate"; Path.Combine(run, "policy.onnx") ]

                for part in [ "test accuracy"; "test cross-entropy" ] do
                    Expect.stringContains mine part "judged"
                    Expect.stringContains exported part "judged"

                Expect.stringContains mine "TorchSharp" "engine"
                Expect.stringContains exported "ONNX Runtime" "engine"

                // The same numbers from both, of the member that was exported.
                let row (table: string) (seed: string) =
                    table.Split '\n'
                    |> Array.pick (fun line ->
                        match line.Split([| ' ' |], StringSplitOptions.RemoveEmptyEntries) with
                        | [| _; s; accuracy; loss |] when s.Trim() = seed -> Some(accuracy, loss.Trim())
                        | _ -> None)

                let seed = session.Metadata["bmg.seed"]
                Expect.equal (row exported seed) (row mine seed) "the same"

                Expect.equal
                    (ExportCli.Run(
                        [| "check"; Path.Combine(run, "policy.onnx"); "--against"; run |],
                        TextWriter.Null,
                        TextWriter.Null
                    ))
                    0
                    "check"

                let longer = must [ "train"; "--resume"; run; "--set"; "environmentSteps=1500" ]
                Expect.stringContains longer "1 500 examples each" "lengthened"
                let straight = Path.Combine(folder, "straight")

                must [
                    "train"
                    file
                    "--output"
                    straight
                    "--quiet"
                    "--set"
                    "environmentSteps=1500"
                ]
                |> ignore

                let numbers (run: string) =
                    use checkpoint = CheckpointFile.Read(Path.Combine(run, "checkpoints", "latest.safetensors"))

                    [
                        for t in (checkpoint.Set "learner").Tensors -> numbersOf (Params.Single("t", t))
                    ]

                Expect.equal (numbers run) (numbers straight) "as one that was never stopped")
        }

        test "thirty lines: one's own arrays, and a learning rate that is meta-learned" {
            withScratch (fun folder ->
                let run = Path.Combine(folder, "run")
                let file = Path.Combine(folder, "mine.json")

                File.WriteAllText(
                    file,
                    """{ "name": "mine", "members": 2, "environmentSteps": 40000, "run": { "metricsEvery": 5000 },
                         "experiment": { "name": "supervised", "data": { "name": "line" }, "hidden": [8],
                                         "optimizer": { "name": "sgd", "learningRate": 0.01 } },
                         "matching": { "functions": [{ "name": "logit-l2" }] }, "meta": { "learningRate": 0.05 } }"""
                )

                let host = BmgHost.CreateDefault().AddData("line", NoSettings(), fun _ -> line 200)

                Expect.equal (host.Run [| "train"; file; "--output"; run; "--quiet" |]) 0 "train"
                Expect.equal (host.Run [| "evaluate"; run |]) 0 "evaluate"
                Expect.equal (host.Run [| "evaluate"; Path.Combine(run, "policy.onnx") |]) 0 "evaluate the export"

                use session = ModelSession.Load(Path.Combine(run, "policy.onnx"))
                Expect.equal [ for o in session.Outputs -> o.Name, o.Width ] [ "predictions", 2 ] "two numbers"
                session.Run(ReadOnlySpan [| 1f; 1f |], 1)
                let found = session.Floats("predictions").ToArray()
                Expect.isLessThan (abs (float found[0] - 1.5)) 0.3 "2 − 1 + 0.5"

                Expect.equal
                    (ExportCli.Run(
                        [| "check"; Path.Combine(run, "policy.onnx"); "--against"; run |],
                        TextWriter.Null,
                        TextWriter.Null
                    ))
                    0
                    "check"

                use summary = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "run.json")))
                Expect.equal (summary.RootElement.GetProperty("unit").GetString()) "examples" "the record's unit")
        }

        test "a sweep ranks by what the experiment is judged by" {
            withScratch (fun folder ->
                let file = Path.Combine(folder, "a.json")
                File.WriteAllText(file, text)

                let output =
                    must [
                        "sweep"
                        file
                        "--grid"
                        "experiment.optimizer.learningRate=0.001,0.5"
                        "--output"
                        Path.Combine(folder, "sweep")
                    ]

                Expect.stringContains output "mean held-out accuracy" "the heading"
                Expect.isFalse (output.Contains "reward") "nothing of rewards")
        }

        test "the published configurations of supervised training are read, and take a meta-step" {
            let rec root (folder: DirectoryInfo) =
                if Directory.Exists(Path.Combine(folder.FullName, "paper-configs")) then
                    folder.FullName
                else
                    root (nonNull folder.Parent)

            let folder = Path.Combine(root (DirectoryInfo AppContext.BaseDirectory), "paper-configs", "supervised")

            let spirals =
                Reading.reader.ReadFile(Path.Combine(folder, "spirals.json"), [ "environmentSteps=3000"; "members=1" ])

            use experiment = make spirals
            Expect.equal experiment.Unit "examples" "unit"
            experiment.Advance() |> ignore

            withDigits 60 (fun path ->
                let digits =
                    Reading.reader.ReadFile(
                        Path.Combine(folder, "digits.json"),
                        [ $"experiment.data.file={path}"; "members=1" ]
                    )

                use experiment = make digits
                experiment.Advance() |> ignore)
        }
    ]

let tests = testList "supervised" [ dataTests; learningTests; pathTests ]
