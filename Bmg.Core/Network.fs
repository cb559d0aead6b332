namespace Bmg

open System
open TorchSharp

/// An element-wise nonlinearity.
type Activation =
    | Relu = 0
    | Tanh = 1
    | Sigmoid = 2
    | Softplus = 3
    | Elu = 4

/// One layer of a network, as data.
[<RequireQualifiedAccess>]
type Layer =
    /// y = x·W + b with W [P, inputs, outputs] and b [P, 1, outputs].
    | Linear of inputs: int * outputs: int
    /// Element-wise, without parameters.
    | Activation of Activation

    /// One function for each case, so that a caller in C# covers every layer there is.
    member this.Match<'T>(linear: Func<int, int, 'T>, activation: Func<Activation, 'T>) : 'T =
        match this with
        | Linear(inputs, outputs) -> linear.Invoke(inputs, outputs)
        | Activation f -> activation.Invoke f

/// How the weights of a network start.
type Initialization =
    /// Truncated normal (±2 deviations) of deviation 1/√fan-in, biases zero.
    | TruncatedNormal = 0
    /// Uniform in ±1/√fan-in for weights and biases alike: PyTorch's default for a linear layer.
    | Uniform = 1

/// An architecture as data. Interpreters give it meanings that agree: `Network.init`, `Network.apply`, and the exporter's graph.
/// Parameters are named "{Name}.{layer}.weight" and "{Name}.{layer}.bias".
type Network = {
    /// Prefix of the parameters' names; distinct among the networks of one learner.
    Name: string
    Layers: Layer[]
} with

    /// Number of features that go in: that of the first linear layer.
    member this.Inputs: int =
        match
            this.Layers
            |> Array.tryPick (function
                | Layer.Linear(i, _) -> Some i
                | _ -> None)
        with
        | Some i -> i
        | None -> Check.fail "Network.Inputs" "Layers" "with a linear layer" "none"

    /// Number of features that come out: that of the last linear layer.
    member this.Outputs: int =
        match
            this.Layers
            |> Array.tryFindBack (function
                | Layer.Linear _ -> true
                | _ -> false)
        with
        | Some(Layer.Linear(_, o)) -> o
        | _ -> Check.fail "Network.Outputs" "Layers" "with a linear layer" "none"

    /// Name of a layer's weight.
    member this.WeightName(layer: int) : string = $"{this.Name}.{layer}.weight"

    /// Name of a layer's bias.
    member this.BiasName(layer: int) : string = $"{this.Name}.{layer}.bias"

    /// Multiply-adds of the linear layers for one input, times two.
    member this.Operations: int64 =
        this.Layers
        |> Array.sumBy (function
            | Layer.Linear(i, o) -> 2L * int64 i * int64 o
            | Layer.Activation _ -> 0L)

    /// A multi-layer perceptron: linear layers of the given widths with an activation between, none after the last.
    static member Mlp(name: string, inputs: int, hidden: int[], outputs: int, activation: Activation) : Network =
        let widths = Array.concat [ [| inputs |]; hidden; [| outputs |] ]

        for w in widths do
            Check.require "Network.Mlp" "widths" "positive" w (w > 0)

        let layers = [|
            for i in 0 .. widths.Length - 2 do
                Layer.Linear(widths[i], widths[i + 1])

                if i < widths.Length - 2 then
                    Layer.Activation activation
        |]

        { Name = name; Layers = layers }

/// What a network's description means.
[<RequireQualifiedAccess>]
module Network =

    /// b + x·w for a population: x [P, B, I], w [P, I, O], b [P, 1, O] → [P, B, O], in one native call.
    let affine (x: Tensor) (w: Tensor) (b: Tensor) : Tensor = MemberWise.affine b x w

    /// An element-wise nonlinearity, any shape.
    let activate (activation: Activation) (x: Tensor) : Tensor =
        match activation with
        | Activation.Relu -> torch.nn.functional.relu x
        | Activation.Tanh -> x.tanh ()
        | Activation.Sigmoid -> MemberWise.sigmoid x
        // TorchSharp's own softplus and elu make scalars that may be collected under them (see Scalars).
        | Activation.Softplus -> (MemberWise.logSigmoid (x.neg ())).neg()
        | Activation.Elu -> (torch.nn.functional.relu x).plus(x.clamp_max(Scalars.constant 0.0).expm1())
        | other -> Check.fail "Network.activate" "activation" "a defined activation" (string other)

    /// Output of the network for every member: x [P, B, inputs] → [P, B, outputs]. Differentiable any number of times.
    let apply (network: Network) (parameters: Params) (x: Tensor) : Tensor =
        let mutable value = x

        for i in 0 .. network.Layers.Length - 1 do
            value <-
                match network.Layers[i] with
                | Layer.Linear _ -> affine value parameters[network.WeightName i] parameters[network.BiasName i]
                | Layer.Activation f -> activate f value

        value

    let private draw (initialization: Initialization) (fanIn: int) (rng: Rng) : float =
        let scale = 1.0 / sqrt (float fanIn)

        match initialization with
        | Initialization.Uniform -> scale * (2.0 * rng.NextDouble() - 1.0)
        | Initialization.TruncatedNormal ->
            let mutable z = rng.NextNormal()

            while abs z > 2.0 do
                z <- rng.NextNormal()

            scale * z
        | other -> Check.fail "Network.init" "initialization" "a defined initialization" (string other)

    /// Fresh parameters, one member a seed. A member's numbers depend on its own seed and the network's name alone.
    let init
        (network: Network)
        (initialization: Initialization)
        (seeds: Seed[])
        (dtype: torch.ScalarType)
        (device: torch.Device)
        : Params =
        let generators =
            seeds
            |> Array.map (fun s -> (let seed = s.For("network/" + network.Name) in seed.Generator()))

        let members = int64 seeds.Length

        let tensor (rows: int) (columns: int) (value: Rng -> float) =
            let values =
                generators
                |> Array.collect (fun g -> Array.init (rows * columns) (fun _ -> value g))

            use raw = torch.tensor (values, dtype = torch.float64)
            use shaped = raw.reshape (members, int64 rows, int64 columns)
            // A copy even where type and device already fit: the pieces above are disposed here.
            shaped.``to`` (dtype, device, copy = true)

        let named = [|
            for i in 0 .. network.Layers.Length - 1 do
                match network.Layers[i] with
                | Layer.Linear(inputs, outputs) ->
                    network.WeightName i, tensor inputs outputs (draw initialization inputs)

                    network.BiasName i,
                    tensor
                        1
                        outputs
                        (match initialization with
                         | Initialization.Uniform -> draw initialization inputs
                         | _ -> fun _ -> 0.0)
                | Layer.Activation _ -> ()
        |]

        Params.Create(Array.map fst named, Array.map snd named)
