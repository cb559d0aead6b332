namespace Bmg

open System
open System.ComponentModel
open TorchSharp

/// An architecture as data. Interpreters give it meanings that agree: `Network.init`, `Network.apply`, and the exporter's graph. Layers fit
/// together: `Network.Create` holds each against the one before it.
///
/// A shared torso with several heads is a network whose output other networks take: make the torso end flat, begin each head at the torso's
/// `OutputShape`, and apply them one after the other (`Network.over`).
[<CustomEquality; NoComparison>]
type Network = private {
    name: string
    input: int[]
    layers: Layer[]
    sites: LayerSite[]
} with

    override this.Equals(other: obj) =
        match other with
        | :? Network as other -> this.name = other.name && this.input = other.input && this.layers = other.layers
        | _ -> false

    override this.GetHashCode() =
        HashCode.Combine(this.name, this.layers.Length)

    /// Prefix of the parameters' names; distinct among the networks of one learner.
    member this.Name: string = this.name

    /// Axes of an input, without P and B: [features] or [channels, height, width].
    member this.InputShape: int[] = this.input

    member this.Layers: Layer[] = this.layers

    /// The layers with their shapes and parameters, in order; those inside of a residual block stand in its own site.
    member this.Sites: LayerSite[] = this.sites

    /// Axes of an output, without P and B.
    member this.OutputShape: int[] =
        if this.sites.Length = 0 then
            this.input
        else
            this.sites[this.sites.Length - 1].OutputShape

    /// Numbers that go in for one input.
    member this.Inputs: int = int (LayerSites.size this.input)

    /// Numbers that come out for one input.
    member this.Outputs: int = int (LayerSites.size this.OutputShape)

    /// Name of a layer's weight.
    member this.WeightName(layer: int) : string = $"{this.Name}.{layer}.weight"

    /// Name of a layer's bias.
    member this.BiasName(layer: int) : string = $"{this.Name}.{layer}.bias"

    /// Whether there are linear layers and activations alone.
    member this.IsPerceptron: bool =
        this.layers
        |> Array.forall (function
            | Layer.Linear _
            | Layer.Activation _ -> true
            | _ -> false)

    /// Multiply-adds of the linear layers and convolutions for one input, times two.
    member this.Operations: int64 =
        LayerSites.all this.sites
        |> Array.sumBy (fun site ->
            match site.Layer with
            | Layer.Linear(i, o) -> 2L * int64 i * int64 o
            | Layer.Convolution(i, _, kernel, _, _) ->
                2L * int64 i * int64 kernel * int64 kernel * LayerSites.size site.OutputShape
            | _ -> 0L)

    /// <summary>Layers one after the other.</summary>
    /// <param name="name">Prefix of the parameters' names.</param>
    /// <param name="inputShape">Axes of an input, without P and B: [features] or [channels, height, width].</param>
    /// <param name="layers">From input to output; none is the identity.</param>
    /// <returns>The network.</returns>
    /// <exception cref="T:System.ArgumentException">A layer does not fit: the first such, with what it expects and what it is given.</exception>
    static member Create(name: string, inputShape: int[], layers: Layer[]) : Network =
        Check.require
            "Network.Create"
            "inputShape"
            $"one positive axis at least, and at most {Int32.MaxValue} numbers"
            (LayerSites.describe inputShape)
            (inputShape.Length > 0
             && Array.forall (fun axis -> axis > 0) inputShape
             && LayerSites.size inputShape <= int64 Int32.MaxValue)

        {
            name = name
            input = Array.copy inputShape
            layers = Array.copy layers
            sites = LayerSites.make name name "" layers inputShape
        }

    /// <summary>A multi-layer perceptron: linear layers with an activation between, none after the last.</summary>
    /// <param name="name">Prefix of the parameters' names; distinct among the networks of one learner.</param>
    /// <param name="inputs">Numbers that go in.</param>
    /// <param name="hidden">Widths of the layers between.</param>
    /// <param name="outputs">Numbers that come out.</param>
    /// <param name="activation">What stands between layers.</param>
    /// <returns>The network.</returns>
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

        Network.Create(name, [| inputs |], layers)

    /// <summary>A builder that knows the shape that each layer is given, and so asks for no sizes of inputs.</summary>
    /// <param name="name">Prefix of the parameters' names.</param>
    /// <param name="inputShape">Axes of an input, without P and B: [features] or [channels, height, width].</param>
    /// <returns>A builder without layers.</returns>
    static member Build(name: string, [<ParamArray>] inputShape: int[]) : NetworkBuilder =
        NetworkBuilder(name, inputShape, [||])

/// A network layer by layer; each call gives a new builder. Errors are those of `Network.Create`, at the layer that causes them.
and [<Sealed>] NetworkBuilder internal (name: string, inputShape: int[], layers: Layer[]) =

    let network = Network.Create(name, inputShape, layers)

    /// Axes of what the layers so far put out, without P and B.
    member _.Shape: int[] = network.OutputShape

    /// Any layer.
    member _.Then(layer: Layer) : NetworkBuilder =
        NetworkBuilder(name, inputShape, [| yield! layers; layer |])

    /// A linear layer; what is not flat is flattened first.
    member this.Linear(outputs: int) : NetworkBuilder =
        if this.Shape.Length = 1 then
            this.Then(Layer.Linear(this.Shape[0], outputs))
        else
            this.Flatten().Linear outputs

    member this.Activation(activation: Activation) : NetworkBuilder = this.Then(Layer.Activation activation)

    member this.Convolution(outputs: int, kernel: int, stride: int, padding: int) : NetworkBuilder =
        this.Then(Layer.Convolution(this.Shape[0], outputs, kernel, stride, padding))

    member this.MaxPooling(kernel: int, stride: int) : NetworkBuilder =
        this.Then(Layer.MaxPooling(kernel, stride))

    member this.AveragePooling(kernel: int, stride: int) : NetworkBuilder =
        this.Then(Layer.AveragePooling(kernel, stride))

    member this.BatchNormalization() : NetworkBuilder = this.Then Layer.BatchNormalization
    member this.LayerNormalization() : NetworkBuilder = this.Then Layer.LayerNormalization
    member this.Flatten() : NetworkBuilder = this.Then Layer.Flatten

    /// inner(x) + x.
    member this.Residual(inner: Func<NetworkBuilder, NetworkBuilder>) : NetworkBuilder =
        this.Residual(inner, Func<_, _>(id))

    /// inner(x) + shortcut(x).
    member this.Residual
        (inner: Func<NetworkBuilder, NetworkBuilder>, shortcut: Func<NetworkBuilder, NetworkBuilder>)
        : NetworkBuilder =
        let start = NetworkBuilder($"{name}.{layers.Length}", this.Shape, [||])
        this.Then(Layer.Residual((inner.Invoke start).Layers, (shortcut.Invoke start).Layers))

    member internal _.Layers: Layer[] = layers

    member _.Build() : Network = network

/// What a network's description means.
///
/// Batch normalisation: `apply` takes the statistics of the batch that it is given, so learner and target, given the same batch, are normalised
/// alike. Acting on one observation and an exported graph need stored ones. These are no parameters and no gradient reaches them: whoever makes
/// φ keeps them in the learner's state beside its optimizer's (a `Params` under names of their own, from `initialStatistics`), takes those of
/// each step's batch from `applyGathering`, and mixes them in by `mixStatistics`. A target's L steps make states that are dropped, and so
/// leave the learner's statistics alone. Few-shot learning needs none: it takes the batch's own throughout.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module Network =

    /// b + x·w for a population: x [P, B, I], w [P, I, O], b [P, 1, O] → [P, B, O], in one native call.
    let affine (x: Tensor) (w: Tensor) (b: Tensor) : Tensor = MemberWise.affine b x w

    let private root = Scalars.constant (sqrt 0.5)
    let private half = Scalars.constant 0.5

    /// An element-wise nonlinearity, any shape.
    let activate (activation: Activation) (x: Tensor) : Tensor =
        match activation with
        | Activation.Relu -> torch.nn.functional.relu x
        | Activation.Tanh -> x.tanh ()
        | Activation.Sigmoid -> MemberWise.sigmoid x
        // TorchSharp's own softplus and elu make scalars that may be collected under them (see Scalars).
        | Activation.Softplus -> (MemberWise.logSigmoid (x.neg ())).neg()
        | Activation.Elu -> (torch.nn.functional.relu x).plus(x.clamp_max(Scalars.constant 0.0).expm1())
        | Activation.LeakyRelu ->
            (torch.nn.functional.relu x).add(x.clamp_max (Scalars.constant 0.0), Scalars.constant 0.01)
        | Activation.Gelu -> x.mul(half).mul(x.mul(root).erf().plus(Scalars.constant 1.0))
        | Activation.Silu -> x.mul (MemberWise.sigmoid x)
        | other -> Check.fail "Network.activate" "activation" "a defined activation" (string other)

    /// What batch normalisation normalises by.
    [<NoComparison; NoEquality>]
    type private Statistics =
        | OfBatch
        | Stored of Params
        | Gathered of ResizeArray<struct (string * Tensor)>

    let private normalizeBatch (statistics: Statistics) (site: LayerSite) (parameters: Params) (x: Tensor) : Tensor =
        let weight, bias = parameters[site.ParameterNames[0]], parameters[site.ParameterNames[1]]
        let isSpatial = site.InputShape.Length = 3

        match statistics with
        | OfBatch -> Normalization.batch isSpatial weight bias x
        | Stored statistics ->
            let struct (mean, variance) = site.StatisticsNames
            Normalization.stored isSpatial weight bias statistics[mean] statistics[variance] x
        | Gathered found ->
            let struct (mean, variance) = site.StatisticsNames
            let struct (m, v) = Normalization.statistics isSpatial (weight.size 0) (x.detach ())
            found.Add(struct (mean, m))
            found.Add(struct (variance, v))
            Normalization.batch isSpatial weight bias x

    /// Within the layers, images are [B, P·C, H, W] and all else [P, B, …]: an input of three axes tells.
    let rec private through
        (statistics: Statistics)
        (parameters: Params)
        (members: int64)
        (sites: LayerSite[])
        (x: Tensor)
        : Tensor =
        let mutable value = x

        for site in sites do
            let isSpatial = site.InputShape.Length = 3
            let own (i: int) = parameters[site.ParameterNames[i]]

            value <-
                match site.Layer with
                | Layer.Linear _ -> affine value (own 0) (own 1)
                | Layer.Activation f -> activate f value
                | Layer.Convolution(_, _, _, stride, padding) ->
                    Spatial.convolution (int64 stride) (int64 padding) (own 0) (own 1) value
                | Layer.MaxPooling(kernel, stride) -> Spatial.maxPooling (int64 kernel) (int64 stride) value
                | Layer.AveragePooling(kernel, stride) -> Spatial.averagePooling (int64 kernel) (int64 stride) value
                | Layer.BatchNormalization -> normalizeBatch statistics site parameters value
                | Layer.LayerNormalization -> Normalization.layer isSpatial (own 0) (own 1) value
                | Layer.Flatten ->
                    if isSpatial then
                        Spatial.flatten members value
                    else
                        value.flatten 2L
                | Layer.Residual _ ->
                    (through statistics parameters members site.Inner value)
                        .plus(through statistics parameters members site.Shortcut value)
                | Layer.Custom layer ->
                    let given = if isSpatial then Spatial.leave members value else value

                    let learned =
                        Params.Create(
                            site.Parameters |> Array.map (fun p -> p.Name),
                            site.ParameterNames |> Array.map (fun name -> parameters[name])
                        )

                    let result = layer.Apply.Invoke(learned, given)
                    let axes = [| members; given.size 1; yield! Array.map int64 site.OutputShape |]
                    Check.shape $"layer {site.Path} ({layer.Name})" "result" "[P, B, …]" axes result

                    if site.OutputShape.Length = 3 then
                        Spatial.enter result
                    else
                        result

        value

    let private interpret (statistics: Statistics) (network: Network) (parameters: Params) (x: Tensor) : Tensor =
        if network.IsPerceptron then
            through statistics parameters (x.size 0) network.sites x
        else
            let rank = x.shape.Length
            let axes = network.InputShape |> Array.map int64

            let shaped =
                if rank = 3 && axes.Length > 1 then
                    Check.shape "Network.apply" "x" "[P, B, numbers of an input]" [| -1L; -1L; int64 network.Inputs |] x
                    x.reshape [| x.size 0; x.size 1; yield! axes |]
                else
                    Check.shape "Network.apply" "x" "[P, B, input]" [| -1L; -1L; yield! axes |] x
                    x

            let entered = if axes.Length = 3 then Spatial.enter shaped else shaped
            let y = through statistics parameters (x.size 0) network.sites entered

            if network.OutputShape.Length = 3 then
                Spatial.leave (x.size 0) y
            else
                y

    /// Output of the network for every member: x [P, B, …InputShape], or with these axes made one [P, B, Inputs] → [P, B, …OutputShape].
    /// Batch normalisation takes the batch's own statistics. Differentiable any number of times.
    /// A member's numbers are its own, the same alone and among others to the last bit, where all layers are flat; in images they are to rounding,
    /// since a convolution's sums depend on how many members there are.
    let apply (network: Network) (parameters: Params) (x: Tensor) : Tensor = interpret OfBatch network parameters x

    /// As `apply`, with stored statistics for batch normalisation: "{layer}.mean" and "{layer}.variance" [P, C] of each, as
    /// `initialStatistics` and `mixStatistics` make them. Other names in `statistics` do no harm, so that one set may hold both.
    let applyStored (network: Network) (parameters: Params) (statistics: Params) (x: Tensor) : Tensor =
        interpret (Stored statistics) network parameters x

    /// As `apply`, with the statistics by which batch normalisation normalised, cut out of the graph. The variance is the one that normalises
    /// (divided by the count, not by one less).
    let applyGathering (network: Network) (parameters: Params) (x: Tensor) : struct (Tensor * Params) =
        let found = ResizeArray()
        let y = interpret (Gathered found) network parameters x

        struct (y,
                Params.Create(
                    [| for struct (name, _) in found -> name |],
                    [| for struct (_, value) in found -> value |]
                ))

    let private normalizations (network: Network) =
        LayerSites.all network.sites
        |> Array.filter (fun site -> site.Layer = Layer.BatchNormalization)

    /// Statistics to start from: mean 0 and variance 1; the empty set where nothing normalises by batches.
    let initialStatistics
        (network: Network)
        (members: int64)
        (dtype: torch.ScalarType)
        (device: torch.Device)
        : Params =
        let entries =
            normalizations network
            |> Array.collect (fun site ->
                let struct (mean, variance) = site.StatisticsNames
                let shape = [| members; int64 site.InputShape[0] |]

                [|
                    mean, torch.zeros (shape, dtype = dtype, device = device)
                    variance, torch.ones (shape, dtype = dtype, device = device)
                |])

        Params.Create(Array.map fst entries, Array.map snd entries)

    /// (1 − momentum)·stored + momentum·ofBatch, momentum in [0, 1].
    let mixStatistics (momentum: float) (stored: Params) (ofBatch: Params) : Params =
        Check.range "Network.mixStatistics" "momentum" 0.0 1.0 momentum
        let share = Scalars.constant momentum
        Params.map2 (fun s b -> s.add (b.minus s, share)) stored ofBatch

    /// A head's output on a torso's: the torso's `OutputShape` must be the head's `InputShape`. Gradients reach both.
    let over (torso: Network) (head: Network) (parameters: Params) (x: Tensor) : Tensor =
        Check.require
            "Network.over"
            "head"
            $"a network that takes what '{torso.Name}' puts out, {LayerSites.describe torso.OutputShape}"
            $"'{head.Name}', which takes {LayerSites.describe head.InputShape}"
            (torso.OutputShape = head.InputShape)

        apply head parameters (apply torso parameters x)

    /// Fresh parameters, one member a seed. A member's numbers depend on its own seed and the network's name alone.
    let initWith
        (network: Network)
        (initializer: Initializer)
        (seeds: Seed[])
        (dtype: torch.ScalarType)
        (device: torch.Device)
        : Params =
        match initializer with
        | Initializer.Orthogonal gain ->
            Check.require "Network.init" "gain" "a positive number" gain (gain > 0.0 && Double.IsFinite gain)
        | Initializer.Sparse zeros ->
            Check.require "Network.init" "zeros" "from 0 to below 1" zeros (zeros >= 0.0 && zeros < 1.0)
        | _ -> ()

        let generators =
            seeds
            |> Array.map (fun s -> (let seed = s.For("network/" + network.Name) in seed.Generator()))

        let members = int64 seeds.Length

        let tensor (p: LayerParameter) =
            let values = generators |> Array.collect (Draws.parameter initializer p)
            use raw = torch.tensor (values, dtype = torch.float64)
            use shaped = raw.reshape [| members; yield! Array.map int64 p.Shape |]
            // A copy even where type and device already fit: the pieces above are disposed here.
            shaped.``to`` (dtype, device, copy = true)

        let named =
            LayerSites.all network.sites
            |> Array.collect (fun site -> Array.map2 (fun name p -> name, tensor p) site.ParameterNames site.Parameters)

        Params.Create(Array.map fst named, Array.map snd named)

    /// As `initWith`, by name.
    let init
        (network: Network)
        (initialization: Initialization)
        (seeds: Seed[])
        (dtype: torch.ScalarType)
        (device: torch.Device)
        : Params =
        initWith network (Initializer.Of initialization) seeds dtype device

/// The interpreters as members: what C# calls.
type Network with

    /// <summary>Fresh parameters. A member's numbers depend on its own seed and the network's name alone.</summary>
    /// <param name="initialization">How weights start.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="dtype">Type of the tensors.</param>
    /// <param name="device">Where they are.</param>
    /// <returns>Parameters [P, …], named by the network's name and the layer.</returns>
    member this.Init
        (initialization: Initialization, seeds: Seed[], dtype: torch.ScalarType, device: torch.Device)
        : Params =
        Network.init this initialization seeds dtype device

    /// <summary>Fresh parameters, by an initializer with settings of its own.</summary>
    /// <param name="initializer">How weights start.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="dtype">Type of the tensors.</param>
    /// <param name="device">Where they are.</param>
    /// <returns>Parameters [P, …], named by the network's name and the layer.</returns>
    member this.Init(initializer: Initializer, seeds: Seed[], dtype: torch.ScalarType, device: torch.Device) : Params =
        Network.initWith this initializer seeds dtype device

    /// <summary>The network's output for every member. Batch normalisation takes the batch's own statistics. Differentiable any number of times.</summary>
    /// <param name="parameters">Parameters by name; those of other networks do no harm.</param>
    /// <param name="x">Inputs, [P, B, …InputShape], or with these axes made one [P, B, Inputs].</param>
    /// <returns>[P, B, …OutputShape]</returns>
    member this.Apply(parameters: Params, x: Tensor) : Tensor = Network.apply this parameters x

    /// <summary>As <c>Apply</c>, with stored statistics for batch normalisation.</summary>
    /// <param name="parameters">Parameters by name.</param>
    /// <param name="statistics">"{layer}.mean" and "{layer}.variance" [P, C] of each; other names do no harm.</param>
    /// <param name="x">Inputs, [P, B, …InputShape] or [P, B, Inputs].</param>
    /// <returns>[P, B, …OutputShape]</returns>
    member this.ApplyStored(parameters: Params, statistics: Params, x: Tensor) : Tensor =
        Network.applyStored this parameters statistics x

    /// <summary>As <c>Apply</c>, with the statistics by which batch normalisation normalised, cut out of the graph.</summary>
    /// <param name="parameters">Parameters by name.</param>
    /// <param name="x">Inputs, [P, B, …InputShape] or [P, B, Inputs].</param>
    /// <returns>The output [P, B, …OutputShape], and means and variances [P, C] by name; the variance is divided by the count.</returns>
    member this.ApplyGathering(parameters: Params, x: Tensor) : struct (Tensor * Params) =
        Network.applyGathering this parameters x

    /// <summary>This network as a head on a torso, whose <c>OutputShape</c> must be this one's <c>InputShape</c>. Gradients reach both.</summary>
    /// <param name="torso">The network before this one.</param>
    /// <param name="parameters">Parameters of both.</param>
    /// <param name="x">Inputs of the torso.</param>
    /// <returns>[P, B, …OutputShape]</returns>
    member this.ApplyOver(torso: Network, parameters: Params, x: Tensor) : Tensor = Network.over torso this parameters x

    /// <summary>Statistics of batch normalisation to start from: mean 0 and variance 1; the empty set where nothing normalises by batches.</summary>
    /// <param name="members">P</param>
    /// <param name="dtype">Type of the tensors.</param>
    /// <param name="device">Where they are.</param>
    /// <returns>Means and variances [P, C] by name.</returns>
    member this.InitialStatistics(members: int64, dtype: torch.ScalarType, device: torch.Device) : Params =
        Network.initialStatistics this members dtype device

    /// <summary>(1 − momentum)·stored + momentum·ofBatch.</summary>
    /// <param name="momentum">In [0, 1].</param>
    /// <param name="stored">The statistics so far.</param>
    /// <param name="ofBatch">Those of a batch.</param>
    /// <returns>The next statistics.</returns>
    static member MixStatistics(momentum: float, stored: Params, ofBatch: Params) : Params =
        Network.mixStatistics momentum stored ofBatch

    /// <summary>b + x·w for a population, in one native call.</summary>
    /// <param name="x">[P, B, I]</param>
    /// <param name="w">[P, I, O]</param>
    /// <param name="b">[P, 1, O]</param>
    /// <returns>[P, B, O]</returns>
    static member Affine(x: Tensor, w: Tensor, b: Tensor) : Tensor = Network.affine x w b

    /// <summary>An element-wise nonlinearity.</summary>
    /// <param name="activation">Which.</param>
    /// <param name="x">Any shape.</param>
    /// <returns>The same shape.</returns>
    static member Activate(activation: Activation, x: Tensor) : Tensor = Network.activate activation x
