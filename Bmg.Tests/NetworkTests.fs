/// Networks as data: what each layer means, its derivatives, its ONNX form, and that layers fit.
module Bmg.Tests.NetworkTests

open System
open System.Collections.Generic
open System.Text.Json
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Export.Onnx
open Bmg.Export.Parity
open Bmg.Export.Inference
open Bmg.Tests.Generators
open Bmg.Tests.Tolerances
open Bmg.Verify
open Expecto
open FsCheck.FSharp
open TorchSharp

// ------------------------------------------------------------------------------------------------------------- cases

/// y = x ⊙ w + c over axes of any number, with a setting and a parameter: a layer of one's own.
let private scaled (offset: float) : CustomLayer =
    CustomLayer.Create(
        "scaled",
        Dictionary(dict [ "offset", offset ]),
        (fun shape ->
            if shape.Length = 2 then
                invalidArg "shape" "expected one or three axes"

            shape),
        (fun shape -> [| LayerParameter.Weight("factor", shape, shape[0]) |]),
        (fun p x -> (x.mul ((p["factor"]).unsqueeze 1L)).plus(Scalars.constant offset))
    )

let private customs =
    CustomLayers().Add("scaled", (fun settings -> scaled settings["offset"])).Add("sine", (fun _ -> Library.sine))

let private forms =
    OnnxForms()
        .Add(
            "scaled",
            OnnxForm(fun site layer parameters input output ->
                let factor, offset, product = site.Path + ".w", site.Path + ".c", site.Path + ".product"

                OnnxGraph(
                    [|
                        OnnxGraph.Node("Mul", [ input; factor ], product)
                        OnnxGraph.Node("Add", [ product; offset ], output)
                    |],
                    [|
                        OnnxGraph.Constant(factor, parameters["factor"])
                        OnnxGraph.Constant(offset, float32 layer.Settings["offset"])
                    |]
                ))
        )
        .Add(
            "sine",
            OnnxForm(fun site _ parameters input output ->
                let factor, product = site.Path + ".w", site.Path + ".product"

                OnnxGraph(
                    [|
                        OnnxGraph.Node("Mul", [ input; factor ], product)
                        OnnxGraph.Node("Sin", [ product ], output)
                    |],
                    [| OnnxGraph.Constant(factor, parameters["frequency"]) |],
                    Since = Dictionary(dict [ "Sin", 7 ])
                ))
        )

/// Any network: images or features in, layers of every kind, flat or not at the end.
let private anyNetwork (name: string) (rng: Rng) : Network =
    let activations = Enum.GetValues<Activation>()

    let activation (b: NetworkBuilder) =
        b.Activation activations[rng.Next activations.Length]

    let normalised (b: NetworkBuilder) =
        if rng.Next 2 = 0 then
            b.BatchNormalization()
        else
            b.LayerNormalization()

    let rec image (left: int) (b: NetworkBuilder) : NetworkBuilder =
        if left = 0 then
            b
        else
            let size = min b.Shape[1] b.Shape[2]
            let kernel = 1 + rng.Next(min 3 size)
            let stride = 1 + rng.Next 2

            let next =
                match rng.Next 8 with
                | 0
                | 1 -> b.Convolution(1 + rng.Next 3, kernel, stride, rng.Next kernel)
                | 2 -> b.MaxPooling(kernel, stride)
                | 3 -> b.AveragePooling(kernel, stride)
                | 4 -> normalised b
                | 5 ->
                    if rng.Next 2 = 0 then
                        b.Residual(fun inner -> inner.Convolution(b.Shape[0], 3, 1, 1) |> normalised |> activation)
                    else
                        let channels = 1 + rng.Next 3

                        b.Residual(
                            (fun inner -> inner.Convolution(channels, 3, 2, 1) |> activation),
                            (fun shortcut -> shortcut.Convolution(channels, 1, 2, 0))
                        )
                | 6 -> b.Then(Layer.Custom(scaled 0.5))
                | _ -> activation b

            image (left - 1) next

    let rec flat (left: int) (b: NetworkBuilder) : NetworkBuilder =
        if left = 0 then
            b
        else
            let next =
                match rng.Next 7 with
                | 0
                | 1 -> b.Linear(1 + rng.Next 4)
                | 2 -> normalised b
                | 3 -> b.Residual(fun inner -> inner.Linear(b.Shape[0]) |> activation)
                | 4 ->
                    let outputs = 1 + rng.Next 4
                    b.Residual((fun inner -> inner.Linear(outputs) |> activation), (fun s -> s.Linear outputs))
                | 5 -> b.Then(Layer.Custom Library.sine)
                | _ -> activation b

            flat (left - 1) next

    let start =
        if rng.Next 3 = 0 then
            flat (rng.Next 4) (Network.Build(name, 1 + rng.Next 5))
        else
            let images =
                image (1 + rng.Next 4) (Network.Build(name, 1 + rng.Next 3, 3 + rng.Next 3, 3 + rng.Next 3))

            if rng.Next 5 = 0 then
                images
            else
                flat (rng.Next 3) (images.Flatten())

    start.Build()

/// A network with parameters that differ everywhere, stored statistics and inputs, all drawn from one number.
[<ReferenceEquality>]
type private Case = {
    Network: Network
    Members: int
    Batch: int
    Parameters: Params
    Statistics: Params
    X: Tensor
}

let private normalOf (rng: Rng) (dtype: torch.ScalarType) (shape: int64[]) : Tensor =
    (normal rng (shape |> Array.map int |> List.ofArray)).``to`` dtype

let private caseOf (make: Rng -> Network) (dtype: torch.ScalarType) (number: int) : Case =
    let seed = Seed.Of(int64 number)
    let rng = (let own = seed.For "case" in own.Generator())
    let network = make rng
    let members, batch = 1 + rng.Next 3, 2 + rng.Next 3

    let drawn =
        Network.init network Initialization.Uniform (Seed.Population(int64 number, members)) dtype torch.CPU

    let statistics = Network.initialStatistics network members dtype torch.CPU

    {
        Network = network
        Members = members
        Batch = batch
        // Biases and the weights of normalisations differ as well.
        Parameters =
            drawn
            |> Params.map (fun t -> t.add (normalOf rng dtype t.shape, Scalars.constant 0.2))
        Statistics =
            statistics
            |> Params.mapNamed (fun name t ->
                let any = normalOf rng dtype t.shape

                if name.EndsWith ".mean" then
                    any
                else
                    any.abs().plus(Scalars.constant 0.3))
        X = normalOf rng dtype [| int64 members; int64 batch; yield! Array.map int64 network.InputShape |]
    }

let private numbersArb = Arb.fromGen (Gen.choose (0, 1_000_000))

/// A property over generated networks; a failure prints the number that repeats it, and the network.
let private networkProperty (count: int) (name: string) (dtype: torch.ScalarType) (body: Case -> unit) : Test =
    property count name numbersArb (fun number ->
        let case = caseOf (anyNetwork "n") dtype number

        try
            body case
        with e ->
            let layers = case.Network.Layers |> Array.map string |> String.concat "; "
            raise (Exception($"{case.Network.InputShape |> List.ofArray}: {layers}: {e.Message}", e)))

// ------------------------------------------------------------------------------------------------- plain interpretation

let private at (shape: int[]) (c: int) (y: int) (x: int) = (c * shape[1] + y) * shape[2] + x

/// The mean and variance of numbers.
let private moments (xs: float[]) =
    let mean = Array.average xs
    mean, xs |> Array.averageBy (fun x -> (x - mean) * (x - mean))

/// What a network means for one member, in loops: every input of the batch as a row of numbers.
let rec private plainly
    (value: string -> float[])
    (stored: (string -> float[]) option)
    (sites: LayerSite[])
    (batch: float[][])
    : float[][] =
    let windows
        (site: LayerSite)
        (kernel: int)
        (stride: int)
        (padding: int)
        (of': int -> (int * int * int)[] -> float)
        =
        // For each output, the places of the input under its window, with their place in the window.
        let _, height, width = site.InputShape[0], site.InputShape[1], site.InputShape[2]
        let out = site.OutputShape

        [|
            for c in 0 .. out[0] - 1 do
                for y in 0 .. out[1] - 1 do
                    for x in 0 .. out[2] - 1 do
                        of' c [|
                            for dy in 0 .. kernel - 1 do
                                for dx in 0 .. kernel - 1 do
                                    let py, px = y * stride + dy - padding, x * stride + dx - padding

                                    if py >= 0 && py < height && px >= 0 && px < width then
                                        py, px, dy * kernel + dx
                        |]
        |]

    let one (batch: float[][]) (site: LayerSite) : float[][] =
        let own i = value site.ParameterNames[i]

        match site.Layer with
        | Layer.Linear(inputs, outputs) ->
            let w, b = own 0, own 1

            batch
            |> Array.map (fun x ->
                Array.init outputs (fun o -> b[o] + Array.sum (Array.init inputs (fun i -> x[i] * w[i * outputs + o]))))
        | Layer.Activation f ->
            batch
            |> Array.map (fun x -> numbers (Network.activate f (tensor [ 1; x.Length ] x)))
        | Layer.Convolution(inputs, _, kernel, stride, padding) ->
            let w, b = own 0, own 1

            batch
            |> Array.map (fun x ->
                windows site kernel stride padding (fun o places ->
                    b[o]
                    + Array.sum [|
                        for c in 0 .. inputs - 1 do
                            for y, column, k in places do
                                x[at site.InputShape c y column] * w[(o * inputs + c) * kernel * kernel + k]
                    |]))
        | Layer.MaxPooling(kernel, stride) ->
            batch
            |> Array.map (fun x ->
                windows site kernel stride 0 (fun c places ->
                    places
                    |> Array.map (fun (y, col, _) -> x[at site.InputShape c y col])
                    |> Array.max))
        | Layer.AveragePooling(kernel, stride) ->
            batch
            |> Array.map (fun x ->
                windows site kernel stride 0 (fun c places ->
                    places
                    |> Array.map (fun (y, col, _) -> x[at site.InputShape c y col])
                    |> Array.average))
        | Layer.BatchNormalization ->
            let w, b = own 0, own 1
            let channels = site.InputShape[0]
            let each = batch[0].Length / channels

            let statistics =
                Array.init channels (fun c ->
                    match stored with
                    | None -> moments (batch |> Array.collect (fun x -> x[c * each .. (c + 1) * each - 1]))
                    | Some stored ->
                        let struct (mean, variance) = site.StatisticsNames
                        (stored mean)[c], (stored variance)[c])

            batch
            |> Array.map (
                Array.mapi (fun i x ->
                    let c = i / each
                    let mean, variance = statistics[c]
                    (x - mean) / sqrt (variance + 1e-5) * w[c] + b[c])
            )
        | Layer.LayerNormalization ->
            let w, b = own 0, own 1

            batch
            |> Array.map (fun x ->
                let mean, variance = moments x
                x |> Array.mapi (fun i v -> (v - mean) / sqrt (variance + 1e-5) * w[i] + b[i]))
        | Layer.Flatten -> batch
        | Layer.Residual _ ->
            let inner, shortcut = plainly value stored site.Inner batch, plainly value stored site.Shortcut batch

            Array.map2 (Array.map2 (+)) inner shortcut
        | Layer.Custom layer ->
            let w = own 0

            batch
            |> Array.map (
                Array.mapi (fun i x ->
                    if layer.Name = "sine" then
                        sin (w[i] * x)
                    else
                        w[i] * x + layer.Settings["offset"])
            )

    Array.fold one batch sites

let private member' (m: int) (p: Params) (name: string) : float[] = numbers (p[name].select(0L, int64 m))

let private meaning =
    testList "what layers mean" [
        networkProperty
            150
            "apply is a member's layers in plain loops, and so is applyStored"
            torch.float64
            (fun case ->
                let rows (m: int) =
                    numbers (case.X.select (0L, int64 m)) |> Array.chunkBySize case.Network.Inputs

                let found = Network.apply case.Network case.Parameters case.X
                let acting = Network.applyStored case.Network case.Parameters case.Statistics case.X

                Expect.equal
                    (found.shape |> Array.map int)
                    [| case.Members; case.Batch; yield! case.Network.OutputShape |]
                    "axes"

                for m in 0 .. case.Members - 1 do
                    let value, stored = member' m case.Parameters, member' m case.Statistics
                    let plain = plainly value None case.Network.Sites (rows m) |> Array.concat
                    near accumulated $"member {m}" plain (numbers (found.select (0L, int64 m)))
                    let plain = plainly value (Some stored) case.Network.Sites (rows m) |> Array.concat
                    near accumulated $"member {m}, stored" plain (numbers (acting.select (0L, int64 m)))

                // An observation may come as one row of numbers.
                let flat = case.X.reshape (int64 case.Members, int64 case.Batch, -1L)
                near exact "as rows" (numbers found) (numbers (Network.apply case.Network case.Parameters flat)))

        networkProperty
            60
            "statistics gathered are the batch's: acting by them is what apply does"
            torch.float64
            (fun case ->
                let struct (y, gathered) = Network.applyGathering case.Network case.Parameters case.X
                near exact "outputs" (numbers (Network.apply case.Network case.Parameters case.X)) (numbers y)
                Expect.sequenceEqual gathered.Names case.Statistics.Names "names in order"
                Expect.isFalse (gathered.Tensors |> Seq.exists (fun t -> t.requires_grad)) "cut out of the graph"

                // Statistics of a later layer follow from the output of an earlier one, so all must be right at once.
                near
                    accumulated
                    "by stored ones"
                    (numbers y)
                    (numbers (Network.applyStored case.Network case.Parameters gathered case.X))

                let mixed = Network.mixStatistics 0.25 case.Statistics gathered

                near
                    rounding
                    "mixed"
                    (Array.map2 (fun s g -> 0.75 * s + 0.25 * g) (numbersOf case.Statistics) (numbersOf gathered))
                    (numbersOf mixed))

        networkProperty 100 "a population is its members one by one, derivatives as well" torch.float64 (fun case ->
            let derivatives (x: Tensor) (p: Params) =
                let all = Params.leaves (Params.merge [| p; Params.Single("x", x) |])
                let y = Network.apply case.Network all all["x"]
                let loss = Params.sumPerMember (y.squared().mul(Scalars.constant 0.5))
                let g = Gradients.gradient loss all true
                let second = Gradients.gradient (Params.squaredNorm g) all false
                y, Params.merge [| Params.prefix "g/" g; Params.prefix "h/" second |]

            let together, of' = derivatives case.X case.Parameters

            for m in 0L .. int64 case.Members - 1L do
                let alone, derived = derivatives (case.X.narrow (0L, m, 1L)) (Params.ofMember m case.Parameters)
                near accumulated $"member {m}" (numbers alone) (numbers (together.narrow (0L, m, 1L)))

                // Second derivatives of a normalised batch are large and cancel.
                near
                    { accumulated with Relative = 1e-7 }
                    $"derivatives of member {m}"
                    (numbersOf derived)
                    (numbersOf (Params.ofMember m of')))

        // Sizes below, at and beyond the vectors that libtorch computes with; the same cases every time.
        scoped "flat layers: a member's outputs and gradients are its own, bit for bit" (fun () ->
            let sizes = [| 1; 2; 3; 7; 16; 33; 64 |]

            for number in 0..60 do
                let rng = Rng(uint64 number)
                let size () = sizes[rng.Next sizes.Length]
                let width = size ()
                let after = [| Activation.LeakyRelu; Activation.Gelu; Activation.Silu |][number % 3]

                let layers: (NetworkBuilder -> NetworkBuilder) list = [
                    (fun b -> b.LayerNormalization())
                    (fun b -> b.BatchNormalization())
                    (fun b -> b.Residual(fun inner -> inner.Linear(width).Activation Activation.Tanh))
                    (fun b -> b.Then(Layer.Custom Library.sine))
                ]

                for i, layer in List.indexed layers do
                    let start = Network.Build("n", size ()).Linear(width)
                    let network = (layer start).Activation(after).Linear(2).Build()
                    let members, batch = 2 + rng.Next 3, size ()
                    let seeds = Seed.Population(int64 number, members)
                    let p = Network.init network Initialization.Uniform seeds torch.float32 torch.CPU

                    let x = normalOf rng torch.float32 [| int64 members; int64 batch; int64 network.Inputs |]

                    let results (x: Tensor) (p: Params) =
                        let leaves = Params.leaves p
                        let y = Network.apply network leaves x
                        let g = Gradients.gradient (Params.sumPerMember (y.squared ())) leaves true
                        Params.merge [| Params.Single("y", y); g |]

                    let together = results x p

                    for m in 0L .. int64 members - 1L do
                        near
                            exact
                            $"case {number}, layer {i}, {members} members, batch {batch}, width {width}"
                            (numbersOf (results (x.narrow (0L, m, 1L)) (Params.ofMember m p)))
                            (numbersOf (Params.ofMember m together)))

        scoped "convolution, pooling and normalisation on paper" (fun () ->
            let image = tensor [ 1; 1; 1; 3; 3 ] [| 1.0; 2.0; 3.0; 4.0; 5.0; 6.0; 7.0; 8.0; 9.0 |]

            let values (layer: Layer) (parameters: Params) =
                let network = Network.Create("n", [| 1; 3; 3 |], [| layer |])
                Network.apply network parameters image

            let kernel =
                Params.Create(
                    [| "n.0.weight"; "n.0.bias" |],
                    [|
                        tensor [ 1; 1; 1; 2; 2 ] [| 1.0; 0.0; 0.0; -1.0 |]
                        tensor [ 1; 1 ] [| 10.0 |]
                    |]
                )

            let y = values (Layer.Convolution(1, 1, 2, 1, 0)) kernel
            Expect.equal y.shape [| 1L; 1L; 1L; 2L; 2L |] "axes"
            Expect.equal (numbers y) [| 6.0; 6.0; 6.0; 6.0 |] "x(i, j) − x(i + 1, j + 1) + 10"

            Expect.equal
                (numbers (values (Layer.Convolution(1, 1, 2, 2, 1)) kernel))
                [| 9.0; 7.0; 3.0; 6.0 - 2.0 + 2.0 |]
                "stride 2, padded by 1"

            Expect.equal (numbers (values (Layer.MaxPooling(2, 1)) Params.Empty)) [| 5.0; 6.0; 8.0; 9.0 |] "greatest"
            Expect.equal (numbers (values (Layer.AveragePooling(2, 1)) Params.Empty)) [| 3.0; 4.0; 6.0; 7.0 |] "means"
            Expect.equal (numbers (values (Layer.MaxPooling(2, 2)) Params.Empty)) [| 5.0 |] "the rest is left out"

            let unit =
                Params.Create(
                    [| "n.0.weight"; "n.0.bias" |],
                    [| tensor [ 1; 1 ] [| 2.0 |]; tensor [ 1; 1 ] [| 1.0 |] |]
                )

            // Variance 60/9.
            let expected = Array.init 9 (fun i -> 2.0 * (float i - 4.0) / sqrt (60.0 / 9.0 + 1e-5) + 1.0)

            near rounding "normalised" expected (numbers (values Layer.BatchNormalization unit)))

        scoped "a torso and its heads are one after the other, and gradients reach both" (fun () ->
            let torso =
                Network.Build("torso", 1, 4, 4).Convolution(2, 2, 1, 0).Activation(Activation.Tanh).Flatten().Build()

            let head (name: string) outputs =
                Network.Create(name, torso.OutputShape, [| Layer.Linear(18, outputs) |])

            let policy, value = head "policy" 3, head "value" 1

            let p =
                Params.merge [|
                    for network in [ torso; policy; value ] ->
                        Network.init network Initialization.Uniform (Seed.Population(1L, 2)) torch.float64 torch.CPU
                |]
                |> Params.leaves

            let x = normal (Rng 3UL) [ 2; 5; 1; 4; 4 ]
            let logits = Network.over torso policy p x
            near exact "outputs" (numbers (Network.apply policy p (Network.apply torso p x))) (numbers logits)

            let both =
                (Params.sumPerMember (logits.squared ())).plus(Params.sumPerMember (Network.over torso value p x))

            let g = Gradients.gradient both p false

            for i in 0 .. g.Count - 1 do
                Expect.isTrue (numbers g.Tensors[i] |> Array.exists (fun v -> v <> 0.0)) g.Names[i]

            refuses [ "Network.over"; "'torso' puts out, [18]"; "'n', which takes [4]" ] (fun () ->
                Network.over torso (Network.Mlp("n", 4, [||], 1, Activation.Relu)) p x |> ignore))
    ]

// --------------------------------------------------------------------------------------------------------- derivatives

/// Each layer within a small network, with an activation after it, so that second derivatives are not zero.
let private eachLayer: (string * (Rng -> Network)) list =
    let image build _ =
        (build (Network.Build("n", 2, 4, 4)): NetworkBuilder).Activation(Activation.Tanh).Linear(2).Build()

    let flat build _ =
        (build (Network.Build("n", 3).Linear(3)): NetworkBuilder).Activation(Activation.Tanh).Linear(2).Build()

    [
        "linear", flat id
        for f in Enum.GetValues<Activation>() do
            string f, flat (fun b -> b.Activation f)
        "convolution", image (fun b -> b.Convolution(3, 2, 1, 0))
        "convolution, stride, padding", image (fun b -> b.Convolution(2, 3, 2, 1).Convolution(2, 2, 1, 1))
        "max pooling", image (fun b -> b.MaxPooling(2, 2))
        "max pooling, overlapping", image (fun b -> b.MaxPooling(3, 1))
        "average pooling", image (fun b -> b.AveragePooling(2, 2))
        "average pooling, overlapping", image (fun b -> b.AveragePooling(3, 1))
        "batch normalisation", flat (fun b -> b.BatchNormalization())
        "batch normalisation of images", image (fun b -> b.Convolution(2, 2, 1, 0).BatchNormalization())
        "layer normalisation", flat (fun b -> b.LayerNormalization())
        "layer normalisation of images", image (fun b -> b.Convolution(2, 2, 1, 0).LayerNormalization())
        "flatten", image (fun b -> b.Flatten())
        "residual", flat (fun b -> b.Residual(fun inner -> inner.Linear(3).Activation Activation.Silu))
        "residual of images",
        image (fun b ->
            b.Residual(
                (fun inner -> inner.Convolution(3, 3, 2, 1).BatchNormalization()),
                (fun shortcut -> shortcut.Convolution(3, 1, 2, 0))
            ))
        "custom", flat (fun b -> b.Then(Layer.Custom(scaled 0.5)).Then(Layer.Custom Library.sine))
        "custom, of images", image (fun b -> b.Then(Layer.Custom(scaled 0.5)).Convolution(2, 2, 1, 0))
    ]

let private derivatives =
    testList "derivatives" [
        for name, make in eachLayer do
            scoped $"{name}: gradient and Hessian-vector product are finite differences" (fun () ->
                for number in 1..4 do
                    let case = caseOf make torch.float64 number
                    let rng = Rng(uint64 number)
                    let all = Params.merge [| case.Parameters; Params.Single("x", case.X) |]

                    let weights = normal rng [ case.Members; case.Batch; yield! List.ofArray case.Network.OutputShape ]

                    let loss (stored: bool) (at: Params) =
                        let y =
                            if stored then
                                Network.applyStored case.Network at case.Statistics at["x"]
                            else
                                Network.apply case.Network at at["x"]

                        Params.sumPerMember ((y.mul weights).plus(y.squared().mul(Scalars.constant 0.5)))

                    let direction = normalLike rng 1.0 all

                    let along (h: float) =
                        Params.map2 (fun t d -> t.add (d, Scalars.constant h)) all direction

                    let differences (f: Params -> float[]) =
                        let h = 1e-4
                        let at k = f (along (k * h))

                        Array.map2
                            (fun near far -> (8.0 * near - far) / (12.0 * h))
                            (Array.map2 (-) (at 1.0) (at -1.0))
                            (Array.map2 (-) (at 2.0) (at -2.0))

                    for stored in [ false; true ] do
                        let gradient (at: Params) =
                            let leaves = Params.leaves at
                            Gradients.gradient (loss stored leaves) leaves false

                        near
                            Tolerances.differences
                            $"gradient, case {number}"
                            (differences (fun at -> numbers (loss stored at)))
                            (numbers (Params.dot (gradient all) direction))

                        near
                            Tolerances.differences
                            $"Hessian-vector product, case {number}"
                            (differences (fun at -> numbersOf (gradient at)))
                            (numbersOf (Gradients.hessianVector (loss stored) all direction)))
    ]

// ---------------------------------------------------------------------------------------------------------------- ONNX

let private exported (case: Case) (mem: int) =
    NetworkExporter.Build(
        case.Network,
        Params.merge [| case.Parameters; case.Statistics |],
        mem,
        "x",
        "y",
        null,
        ExportOptions(Forms = forms)
    )

let private opset (make: NetworkBuilder -> NetworkBuilder) (input: int[]) : int =
    let network = (make (Network.Build("n", input))).Build()

    let parameters =
        Params.merge [|
            Network.init network Initialization.Uniform [| Seed.Of 1L |] torch.float32 torch.CPU
            Network.initialStatistics network 1L torch.float32 torch.CPU
        |]

    let model = NetworkExporter.Build(network, parameters, 0, "x", "y")
    Expect.isTrue (ParityCheck.Run(model, null, 30).Passed) "parity at the lowest"

    for higher in int model.Onnx.OpsetImport[0].Version .. OnnxVersions.Highest do
        let options = ExportOptions(Opset = Nullable higher)
        let model = NetworkExporter.Build(network, parameters, 0, "x", "y", null, options)
        Expect.isTrue (ParityCheck.Run(model, null, 30).Passed) $"parity at {higher}"

    int model.Onnx.OpsetImport[0].Version

let private onnx =
    testList "onnx" [
        networkProperty
            80
            "ONNX Runtime computes what applyStored computes: networks, members, batch sizes"
            torch.float32
            (fun case ->
                for m in 0 .. case.Members - 1 do
                    let model = exported case m
                    use session = new ModelSession(model.ToBytes())
                    Expect.sequenceEqual session.InputShape case.Network.InputShape "axes of an input"
                    Expect.equal session.Features case.Network.Inputs "numbers of an input"
                    // A normalisation of numbers that are nearly equal amplifies what float32 rounds, on both sides: in such a network
                    // the two may differ by more than an export allows, but neither is farther from the truth than the other.
                    let rows = 1 + 17 * m
                    let seed = Seed.Of 5L
                    let own = seed.For $"member {m}"
                    let rng = own.Generator()

                    let inputs = [|
                        for row in 0 .. rows - 1 do
                            for _ in 1 .. case.Network.Inputs ->
                                if row % 3 = 0 then
                                    float32 (rng.Next 2)
                                else
                                    float32 (rng.NextNormal())
                    |]

                    session.Run(ReadOnlySpan inputs, rows)
                    let found = session.Floats("y").ToArray() |> Array.map float

                    let applied (dtype: torch.ScalarType) =
                        let set (p: Params) =
                            p |> Params.ofMember (int64 m) |> Params.convert dtype torch.CPU

                        let x = torch.tensor(inputs).``to``(dtype).reshape(1L, int64 rows, int64 case.Network.Inputs)
                        numbers (Network.applyStored case.Network (set case.Parameters) (set case.Statistics) x)

                    let truth, single = applied torch.float64, applied torch.float32

                    let error (values: float[]) =
                        Array.map2 (fun a b -> abs (a - b)) values truth |> Array.max

                    let scale = truth |> Array.map abs |> Array.max |> max 1.0

                    Expect.isLessThanOrEqual
                        (error found)
                        (8.0 * error single + 1e-5 * scale)
                        $"member {m}: distance from float64, TorchSharp's is {error single}")

        for name, make in eachLayer do
            scoped $"parity: {name}" (fun () ->
                for number in 1..3 do
                    let case = caseOf make torch.float32 number
                    let report = ParityCheck.Run(exported case (case.Members - 1), count = 100)
                    Expect.isTrue report.Passed $"{report}")

        scoped "each layer has the lowest operator set that has it, and keeps its meaning up to the highest" (fun () ->
            let image, flat = [| 1; 4; 4 |], [| 3 |]

            let cases: (int * int[] * (NetworkBuilder -> NetworkBuilder)) list = [
                9, flat, (fun b -> b.Linear 2)
                9, flat, (fun b -> b.Activation Activation.LeakyRelu)
                9, flat, (fun b -> b.Activation Activation.Gelu)
                9, flat, (fun b -> b.Activation Activation.Silu)
                9, image, (fun b -> b.Convolution(2, 3, 2, 1))
                9, image, (fun b -> b.MaxPooling(2, 2))
                9, image, (fun b -> b.AveragePooling(3, 1))
                9, image, (fun b -> b.BatchNormalization())
                9, flat, (fun b -> b.BatchNormalization())
                17, image, (fun b -> b.LayerNormalization())
                17, flat, (fun b -> b.LayerNormalization())
                9, image, (fun b -> b.Flatten())
                9, flat, (fun b -> b.Residual(fun inner -> inner.Linear 3))
            ]

            for expected, input, make in cases do
                Expect.equal (opset make input) expected (string (make (Network.Build("n", input))).Shape.Length))

        scoped "what cannot be exported is refused by layer" (fun () ->
            let network =
                Network
                    .Build("n", 2)
                    .Residual(fun inner -> inner.Then(Layer.Custom Library.sine))
                    .BatchNormalization()
                    .Build()

            let p = Network.init network Initialization.Uniform [| Seed.Of 1L |] torch.float32 torch.CPU

            let message (build: unit -> ExportableModel) =
                try
                    build () |> ignore
                    "nothing was thrown"
                with e ->
                    e.Message

            Expect.stringContains
                (message (fun () -> NetworkExporter.Build(network, p, 0, "x", "y")))
                "Layer 0.inner.0 of network 'n' is the custom layer 'sine'"
                "no form"

            Expect.stringContains
                (message (fun () -> NetworkExporter.Build(network, p, 0, "x", "y", null, ExportOptions(Forms = forms))))
                "Layer 1 of network 'n' normalises by batches: stored statistics 'n.1.mean' must stand among the parameters, found none"
                "no statistics")
    ]

// -------------------------------------------------------------------------------------------------------- descriptions

let private json (description: NetworkDescription) =
    JsonSerializer.Serialize(description, JsonSerializerOptions(JsonSerializerDefaults.Web))

let private ofJson (text: string) =
    match JsonSerializer.Deserialize<NetworkDescription>(text, JsonSerializerOptions(JsonSerializerDefaults.Web)) with
    | null -> failtest "no description"
    | description -> description

let private descriptions =
    testList "descriptions" [
        networkProperty 200 "a network is what its description says, through JSON" torch.float32 (fun case ->
            let text = json (NetworkDescription.Of case.Network)
            let back = (ofJson text).ToNetwork customs
            Expect.equal back case.Network text
            Expect.equal back.OutputShape case.Network.OutputShape "its output"

            let names (n: Network) =
                (Network.init n Initialization.Uniform [| Seed.Of 1L |] torch.float32 torch.CPU).Names

            Expect.sequenceEqual (names back) (names case.Network) "its parameters")

        test "a perceptron is described as ever, and descriptions of before are read" {
            let network = Network.Mlp("policy", 4, [| 3 |], 2, Activation.Relu)

            let text =
                """{"name":"policy","layers":[{"type":"linear","inputs":4,"outputs":3},{"type":"relu"},{"type":"linear","inputs":3,"outputs":2}]}"""

            Expect.equal (json (NetworkDescription.Of network)) text "written"
            Expect.equal ((ofJson text).ToNetwork()) network "read"
        }

        test "a description that says no network is refused with layer, expected and found" {
            for layers, input, parts in
                [
                    """[{"type":"swish"}]""", "[2]", [ "Layer 0 of network 'n'"; "'swish'"; "convolution" ]
                    """[{"type":"convolution","inputs":1,"outputs":2,"kernel":3,"stride":1}]""",
                    "[1,4,4]",
                    [ "Layer 0"; "has no padding" ]
                    """[{"type":"convolution","inputs":1,"outputs":2,"kernel":3,"stride":0,"padding":0}]""",
                    "[1,4,4]",
                    [ "layer 0"; "positive stride"; "found 0" ]
                    """[{"type":"convolution","inputs":2147483647,"outputs":2147483647,"kernel":2147483647,"stride":1,"padding":2147483646}]""",
                    "[2147483647,1,1]",
                    [ "layer 0" ]
                    """[{"type":"linear","inputs":2147483647,"outputs":2147483647}]""",
                    "null",
                    [ "layer 0"; "at most 2147483647" ]
                    """[{"type":"maxPooling","kernel":5,"stride":1}]""", "[1,4,4]", [ "at least [channels, 5, 5]" ]
                    """[{"type":"relu"}]""", "null", [ "'n'"; "neither an input shape nor a linear layer" ]
                    """[{"type":"relu"}]""", "[]", [ "inputShape" ]
                    """[{"type":"relu"}]""", "[0]", [ "inputShape"; "[0]" ]
                    """[{"type":"relu"}]""", "[65536,65536,65536]", [ "inputShape" ]
                    """[{"type":"residual"}]""", "[2]", [ "has no inner layers" ]
                    """[{"type":"residual","inner":[null]}]""", "[2]", [ "Layer 0.inner.0"; "null" ]
                    """[{"type":"residual","inner":[{"type":"linear","inputs":2,"outputs":3}]}]""",
                    "[2]",
                    [ "layer 0"; "shortcut to the inner layers' [3]"; "found [2]" ]
                    """[null]""", "[2]", [ "Layer 0"; "null" ]
                    """[{"type":"custom","name":"scald"}]""", "[2]", [ "Layer 0"; "'scald' is not known"; "scaled" ]
                    """[{"type":"custom"}]""", "[2]", [ "has no name" ]
                    """[{"type":"custom","name":"scaled"}]""", "[2]", [ "'scaled' cannot be made"; "offset" ]
                ] do
                let text = $"{{\"name\":\"n\",\"layers\":{layers},\"inputShape\":{input}}}"

                let message =
                    try
                        (ofJson text).ToNetwork customs |> string
                    with :? FormatException as e ->
                        e.Message

                for part: string in parts do
                    Expect.stringContains message part text
        }

        scoped "a checkpoint of images, a torso and batch normalisation is read, exported and agrees" (fun () ->
            let torso =
                Network
                    .Build("torso", 2, 4, 3)
                    .Convolution(3, 2, 1, 0)
                    .BatchNormalization()
                    .Activation(Activation.Gelu)
                    .Flatten()
                    .Build()

            let head (name: string) outputs =
                Network.Create(name, torso.OutputShape, [| Layer.Linear(18, outputs) |])

            let policy, value = head "policy" 4, head "value" 1

            let sets = OrderedDictionary<string, Params>()

            sets.Add(
                "learner",
                Params.merge [|
                    for network in [ torso; policy; value ] do
                        Network.init network Initialization.Uniform (Seed.Population(1L, 2)) torch.float32 torch.CPU

                    (Network.initialStatistics torso 2L torch.float32 torch.CPU)
                    |> Params.map (fun t -> t.plus (Scalars.constant 0.5))
                |]
            )

            let manifest =
                CheckpointManifest(
                    LibraryVersion = "0.1.0",
                    Experiment = "images",
                    EnvironmentSteps = 1L,
                    Seeds = [| 1L; 2L |],
                    Configuration = "{}",
                    Policy =
                        PolicyDescription(
                            Environment = "images",
                            Torso = NetworkDescription.Of torso,
                            Network = NetworkDescription.Of policy,
                            ValueNetwork = NetworkDescription.Of value,
                            ParameterSet = "learner",
                            ObservationLayout = Array.init 24 (fun i -> $"o{i}"),
                            ActionMeanings = Array.init 4 (fun i -> $"a{i}")
                        ),
                    Host = "{}",
                    State = "{}"
                )

            let path = IO.Path.GetTempFileName()

            try
                (use written = new Checkpoint(manifest, sets)
                 CheckpointFile.Write(path, written) |> ignore)

                use read = CheckpointFile.Read path
                let model = PolicyExporter.Build(read, 1, true)
                use session = new ModelSession(model.ToBytes())
                Expect.sequenceEqual session.InputShape [ 2; 4; 3 ] "images go in"
                Expect.isTrue (ParityCheck.Run(model, null, 200).Passed) "they agree"
                use played = new PolicySession(model.ToBytes())

                Expect.equal
                    (played.Run(ReadOnlySpan(Array.zeroCreate<float32> 24), 1).Actions.Length)
                    1
                    "and it plays"

                // Without its statistics it is refused by name.
                let parameters = read.Sets["learner"]
                let poorer = OrderedDictionary<string, Params>()
                poorer.Add("learner", Params.only (fun name -> not (name.EndsWith ".variance")) parameters)
                use lacking = new Checkpoint(manifest, poorer)

                Expect.throwsC (fun () -> CheckpointContents.RequirePolicy lacking) (fun e ->
                    Expect.stringContains e.Message "no tensor 'learner/torso.1.variance'" "what is missing"
                    Expect.stringContains e.Message "[2, 3]" "its axes")
            finally
                IO.File.Delete path)
    ]

// --------------------------------------------------------------------------------------------------- shapes and starts

let private shapes =
    testList "shapes" [
        test "layers that do not fit are refused with layer, expected and found" {
            let refused (parts: string list) (input: int list) (layers: Layer list) =
                refuses ("Network.Create" :: parts) (fun () ->
                    Network.Create("n", Array.ofList input, Array.ofList layers) |> ignore)

            refused [ "layer 1 of network 'n' (linear 4 → 2)"; "input [4]"; "found [3]" ] [ 2 ] [
                Layer.Linear(2, 3)
                Layer.Linear(4, 2)
            ]

            refused [ "layer 0"; "input [400]"; "found [4, 10, 10]" ] [ 4; 10; 10 ] [ Layer.Linear(400, 2) ]

            refused
                [
                    "layer 1 of network 'n' (convolution 8 → 16, kernel 3, stride 1, padding 0)"
                    "input [8, height, width]"
                    "found [4, 8, 8]"
                ] [ 1; 8; 8 ] [ Layer.Convolution(1, 4, 1, 1, 0); Layer.Convolution(8, 16, 3, 1, 0) ]

            refused [ "layer 0"; "at least [1, 5, 5]"; "found [1, 4, 9]" ] [ 1; 4; 9 ] [
                Layer.Convolution(1, 1, 5, 1, 0)
            ]

            refused [ "layer 0"; "padding from 0 to 2"; "found 3" ] [ 1; 9; 9 ] [ Layer.Convolution(1, 1, 3, 1, 3) ]
            refused [ "layer 0"; "padding from 0 to 2"; "found -1" ] [ 1; 9; 9 ] [ Layer.Convolution(1, 1, 3, 1, -1) ]
            refused [ "layer 0"; "positive kernel"; "found 0" ] [ 1; 9; 9 ] [ Layer.MaxPooling(0, 1) ]
            refused [ "layer 0"; "positive stride" ] [ 1; 9; 9 ] [ Layer.AveragePooling(2, 0) ]
            refused [ "layer 0"; "[channels, height, width]"; "found [9]" ] [ 9 ] [ Layer.MaxPooling(2, 1) ]

            refused [ "layer 0 of"; "[features] or [channels, height, width]"; "[3, 2]" ] [ 3; 2 ] [
                Layer.BatchNormalization
            ]

            refused [ "layer 0.inner.1 of network 'n' (linear 9 → 2)"; "found [3]" ] [ 2 ] [
                Layer.Residual([| Layer.Linear(2, 3); Layer.Linear(9, 2) |], [||])
            ]

            refused
                [
                    "layer 0 of network 'n' (residual)"
                    "shortcut to the inner layers' [3]"
                    "found [2], its own input"
                ] [ 2 ] [ Layer.Residual([| Layer.Linear(2, 3) |], [||]) ]

            refused [ "layer 0"; "inner layers"; "none" ] [ 2 ] [ Layer.Residual([||], [||]) ]

            refused [ "layer 0 of network 'n' (custom 'scaled')"; "[2, 2]"; "one or three axes" ] [ 2; 2 ] [
                Layer.Custom(scaled 1.0)
            ]

            let odd (output: int[]) (parameters: LayerParameter list) =
                Layer.Custom(
                    CustomLayer.Create(
                        "odd",
                        Dictionary(),
                        (fun _ -> output),
                        (fun _ -> Array.ofList parameters),
                        (fun _ x -> x)
                    )
                )

            refused [ "custom 'odd'"; "positive axes"; "found [0]" ] [ 2 ] [ odd [| 0 |] [] ]
            refused [ "custom 'odd'"; "an output shape"; "null" ] [ 2 ] [ odd (Unchecked.defaultof<int[]>) [] ]

            refused [ "custom 'odd'"; "fan-in of 'w'"; "6 numbers"; "found 4" ] [ 2 ] [
                odd [| 2 |] [ LayerParameter.Weight("w", [| 2; 3 |], 4) ]
            ]

            refused [ "custom 'odd'"; "'w' of positive axes"; "[-1]" ] [ 2 ] [
                odd [| 2 |] [ LayerParameter.Constant("w", [| -1 |], 0.0) ]
            ]

            refused [ "custom 'odd'"; "distinct names"; "w, w" ] [ 2 ] [
                odd [| 2 |] [
                    LayerParameter.Constant("w", [| 1 |], 0.0)
                    LayerParameter.Bias("w", [| 1 |], 1)
                ]
            ]

            refused [ "layer 0"; "activations"; "found 42" ] [ 2 ] [ Layer.Activation(enum 42) ]
            refused [ "inputShape"; "[2, 0]" ] [ 2; 0 ] []
        }

        scoped "a layer of one's own that gives another shape than it says is refused" (fun () ->
            let liar = CustomLayer.Create("liar", Dictionary(), (fun _ -> [| 3 |]), (fun _ -> [||]), (fun _ x -> x))

            let network = Network.Create("n", [| 2 |], [| Layer.Custom liar |])

            refuses [ "layer n.0 (liar)"; "result"; "[2, 4, 3]"; "[2, 4, 2]" ] (fun () ->
                Network.apply network Params.Empty (torch.zeros [| 2L; 4L; 2L |]) |> ignore))

        scoped "a network written in C# is what it says" (fun () ->
            let network = Bmg.Examples.PixelNetwork.Torso()
            Expect.equal network.OutputShape [| 32 |] "its output"
            Expect.equal (string network.Layers[3]) "custom 'scale'" "a layer of one's own"
            let p = Network.init network Initialization.Orthogonal [| Seed.Of 1L |] torch.float32 torch.CPU
            Expect.equal (Network.apply network p (torch.zeros [| 1L; 2L; 400L |])).shape [| 1L; 2L; 32L |] "and runs")

        scoped "inputs of another shape are refused" (fun () ->
            let network = Network.Build("n", 1, 4, 4).Convolution(1, 2, 1, 0).Build()
            let p = Network.init network Initialization.Uniform [| Seed.Of 1L |] torch.float64 torch.CPU

            refuses [ "Network.apply"; "[any, any, 1, 4, 4]"; "[1, 2, 1, 4, 5]" ] (fun () ->
                Network.apply network p (torch.zeros [| 1L; 2L; 1L; 4L; 5L |]) |> ignore)

            refuses [ "Network.apply"; "[any, any, 16]"; "[1, 2, 15]" ] (fun () ->
                Network.apply network p (torch.zeros [| 1L; 2L; 15L |]) |> ignore))

        test "the builder gives each layer what the one before puts out" {
            let network =
                Network
                    .Build("n", 4, 10, 10)
                    .Convolution(16, 3, 1, 0)
                    .Activation(Activation.Relu)
                    .Residual(fun inner -> inner.Convolution(16, 3, 1, 1).BatchNormalization())
                    .MaxPooling(2, 2)
                    .Linear(128)
                    .LayerNormalization()
                    .Build()

            Expect.equal
                network
                (Network.Create(
                    "n",
                    [| 4; 10; 10 |],
                    [|
                        Layer.Convolution(4, 16, 3, 1, 0)
                        Layer.Activation Activation.Relu
                        Layer.Residual([| Layer.Convolution(16, 16, 3, 1, 1); Layer.BatchNormalization |], [||])
                        Layer.MaxPooling(2, 2)
                        Layer.Flatten
                        Layer.Linear(256, 128)
                        Layer.LayerNormalization
                    |]
                ))
                "layers"

            Expect.equal (network.Inputs, network.Outputs, network.IsPerceptron) (400, 128, false) "sizes"

            Expect.equal
                network.Operations
                (2L * 9L * 4L * 16L * 64L + 2L * 9L * 16L * 16L * 64L + 2L * 256L * 128L)
                "operations"

            let named = Network.init network Initialization.Uniform [| Seed.Of 1L |] torch.float32 torch.CPU

            Expect.sequenceEqual
                named.Names
                [
                    "n.0.weight"
                    "n.0.bias"
                    "n.2.inner.0.weight"
                    "n.2.inner.0.bias"
                    "n.2.inner.1.weight"
                    "n.2.inner.1.bias"
                    "n.5.weight"
                    "n.5.bias"
                    "n.6.weight"
                    "n.6.bias"
                ]
                "names of parameters"

            Expect.equal named["n.2.inner.0.weight"].shape [| 1L; 16L; 16L; 3L; 3L |] "a kernel"
            Expect.equal named["n.6.weight"].shape [| 1L; 128L |] "a normalisation's weight"
        }
    ]

/// Rows of units [units, fan-in] of a weight of one member.
let private unitsOf (layer: Layer) (weight: Tensor) : float[][] =
    match layer with
    | Layer.Linear(inputs, outputs) ->
        let w = numbers weight
        Array.init outputs (fun o -> Array.init inputs (fun i -> w[i * outputs + o]))
    | _ ->
        numbers weight
        |> Array.chunkBySize (int (weight.NumberOfElements / weight.size 1))

let private starts =
    let drawn (initializer: Initializer) (input: int[]) (layer: Layer) (seeds: Seed[]) =
        Network.initWith (Network.Create("n", input, [| layer |])) initializer seeds torch.float64 torch.CPU

    let some = [
        [| 5 |], Layer.Linear(5, 3)
        [| 3 |], Layer.Linear(3, 7)
        [| 4 |], Layer.Linear(4, 4)
        [| 2; 4; 4 |], Layer.Convolution(2, 5, 3, 1, 0)
        [| 1; 4; 4 |], Layer.Convolution(1, 9, 2, 1, 0)
    ]

    testList "initialisations" [
        property 50 "orthogonal: WᵀW = g²·1 or WWᵀ = g²·1, biases zero" numbersArb (fun number ->
            for input, layer in some do
                let gain = 0.5 + float (number % 5)
                let p = drawn (Initializer.Orthogonal gain) input layer (Seed.Population(int64 number, 2))

                for m in 0..1 do
                    let units = unitsOf layer (p["n.0.weight"].narrow(0L, int64 m, 1L))

                    let rows =
                        if units.Length <= units[0].Length then
                            units
                        else
                            Array.transpose units

                    let products = [|
                        for a in rows do
                            for b in rows -> Array.sum (Array.map2 (*) a b)
                    |]

                    let expected = [|
                        for i in 0 .. rows.Length - 1 do
                            for j in 0 .. rows.Length - 1 -> if i = j then gain * gain else 0.0
                    |]

                    near rounding (string layer) expected products

                zero 0.0 "biases" (numbers p["n.0.bias"]))

        scoped "orthogonal: as likely to point one way as the other" (fun () ->
            // Without the signs of R's diagonal the first entries would lean to one side.
            let p = drawn (Initializer.Orthogonal 1.0) [| 3 |] (Layer.Linear(3, 3)) (Seed.Population(1L, 4000))

            let mean = p["n.0.weight"].mean [| 0L |]
            // Entries have a variance of 1/3: a mean of 4000 lies within 0.046 with five deviations.
            Expect.isLessThan (numbers mean |> Array.map abs |> Array.max) 0.046 "means")

        property 50 "sparse: a unit keeps its share of weights, in ±1/√fan-in, biases zero" numbersArb (fun number ->
            for zeros in [ 0.0; 0.5; 0.9; 0.99 ] do
                for input, layer in some do
                    let p = drawn (Initializer.Sparse zeros) input layer [| Seed.Of(int64 number) |]

                    for unit in unitsOf layer p["n.0.weight"] do
                        let none = min (unit.Length - 1) (int (ceil (zeros * float unit.Length)))
                        Expect.equal (unit |> Array.filter (fun w -> w = 0.0) |> Array.length) none (string layer)

                        Expect.isLessThanOrEqual
                            (unit |> Array.map abs |> Array.max)
                            (1.0 / sqrt (float unit.Length))
                            "bound"

                    zero 0.0 "biases" (numbers p["n.0.bias"]))

        scoped "sparse: every weight is as likely to be kept" (fun () ->
            let p = drawn (Initializer.Sparse 0.75) [| 8 |] (Layer.Linear(8, 1)) (Seed.Population(5L, 4000))

            let kept = p["n.0.weight"].ne(Scalars.constant 0.0).``to``(torch.float64).mean [| 0L |]

            for share in numbers kept do
                // Two of eight: five deviations of 4000 draws.
                Expect.isLessThan (abs (share - 0.25)) 0.035 "share")

        property 40 "a member's numbers follow from its seed and the network's name alone" numbersArb (fun number ->
            let rng = Rng(uint64 number)
            let network = anyNetwork "n" rng

            for initializer in
                [
                    Initializer.Uniform
                    Initializer.TruncatedNormal
                    Initializer.Orthogonal 1.5
                    Initializer.Sparse 0.5
                ] do
                let init seeds =
                    Network.initWith network initializer seeds torch.float64 torch.CPU

                let together = init (Seed.Population(int64 number, 3))

                for m in 0L .. 2L do
                    near
                        exact
                        $"member {m}"
                        (numbersOf (init [| Seed.Of(int64 number + m) |]))
                        (numbersOf (Params.ofMember m together)))

        scoped "a perceptron's numbers are those that they always were" (fun () ->
            // A member's stream, weight after weight: the draws of two published initialisations.
            let network = Network.Mlp("policy", 3, [| 2 |], 1, Activation.Relu)

            let stream () =
                (let start = Seed.Of 7L in
                 let own = start.For "network/policy" in
                 own.Generator())

            let uniform (rng: Rng) fanIn =
                1.0 / sqrt (float fanIn) * (2.0 * rng.NextDouble() - 1.0)

            let rng = stream ()
            let expected = Array.init 8 (fun _ -> uniform rng 3)
            let expected = Array.append expected (Array.init 3 (fun _ -> uniform rng 2))

            let init kind =
                numbersOf (Network.init network kind [| Seed.Of 7L |] torch.float64 torch.CPU)

            Expect.equal (init Initialization.Uniform) expected "uniform"
            let rng = stream ()

            let rec normal fanIn =
                let z = rng.NextNormal()

                if abs z > 2.0 then
                    normal fanIn
                else
                    1.0 / sqrt (float fanIn) * z

            let first = Array.init 6 (fun _ -> normal 3)
            let second = Array.init 2 (fun _ -> normal 2)

            Expect.equal
                (init Initialization.TruncatedNormal)
                (Array.concat [ first; [| 0.0; 0.0 |]; second; [| 0.0 |] ])
                "normal")

        test "gains and shares beyond their range are refused" {
            let layer = Layer.Linear(2, 2)

            refuses [ "gain"; "found 0" ] (fun () ->
                drawn (Initializer.Orthogonal 0.0) [| 2 |] layer [| Seed.Of 1L |] |> ignore)

            refuses [ "gain"; "NaN" ] (fun () ->
                drawn (Initializer.Orthogonal nan) [| 2 |] layer [| Seed.Of 1L |] |> ignore)

            refuses [ "zeros"; "found 1" ] (fun () ->
                drawn (Initializer.Sparse 1.0) [| 2 |] layer [| Seed.Of 1L |] |> ignore)
        }
    ]

// ------------------------------------------------------------------------------------------------------- one's own, judged

let private judged =
    let own (name: string) (apply: Tensor -> Tensor) =
        CustomLayer.Create(
            name,
            Dictionary(),
            id,
            (fun shape -> [| LayerParameter.Weight("w", shape, 1) |]),
            (fun p x -> apply (x.mul ((p["w"]).unsqueeze 1L)))
        )

    let options () = VerifyOptions(Cases = 12)

    let breaking: (string * string * (Tensor -> Tensor)) list = [
        "members that touch each other", "members", (fun x -> x.minus(x.mean ([| 0L |], true)).tanh())
        "a derivative cut off", "differences", (fun x -> x.plus ((x.tanh ()).detach()))
        "noise that no seed fixes", "repeatable", (fun x -> x.plus (torch.randn_like x))
        "a tensor written in place that a derivative needs",
        "differences",
        (fun x ->
            let e = x.exp ()
            e.mul_ (x.tanh ()))
    ]

    testList "laws on a layer of one's own" [
        scoped "hold for what keeps to them, flat and on images" (fun () ->
            for layer, shape in [ scaled 0.5, [| 1; 2; 2 |]; Library.sine, [| 2 |]; scaled 0.5, [| 3 |] ] do
                let report = Verify.Layer(layer, shape, options ())
                Expect.isEmpty report.Broken $"{layer.Name}: {report}")

        for name, law, apply in breaking do
            scoped $"break for {name}" (fun () ->
                let report = Verify.Layer(own "bad" apply, [| 2 |], options ())
                Expect.contains report.Broken law (string report))
    ]

let tests = testList "networks" [ meaning; derivatives; onnx; descriptions; shapes; starts; judged ]
