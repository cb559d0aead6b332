namespace Bmg

open System
open System.Collections.Generic

/// An element-wise nonlinearity.
type Activation =
    | Relu = 0
    | Tanh = 1
    | Sigmoid = 2
    | Softplus = 3
    | Elu = 4
    /// x where it is positive, x/100 elsewhere.
    | LeakyRelu = 5
    /// x·Φ(x) with Φ the standard normal distribution function, by erf (Hendrycks and Gimpel, 2016).
    | Gelu = 6
    /// x·σ(x) (Hendrycks and Gimpel, 2016; Elfwing, Uchibe and Doya, 2018); also called swish.
    | Silu = 7

/// What the numbers of a parameter are when a network is made.
[<RequireQualifiedAccess>]
type ParameterStart =
    /// Drawn by the network's initialisation. Each unit has `fanIn` weights; a unit's weights lie side by side, or, where `inputsFirst`, one in
    /// each row.
    | Weight of FanIn: int * InputsFirst: bool
    /// Uniform in ±1/√fan-in under `Initializer.Uniform`, zero under the others.
    | Bias of FanIn: int
    /// The same number everywhere.
    | Constant of float

/// A tensor that a layer learns.
type LayerParameter = {
    /// Its name within the layer, as in "weight".
    Name: string
    /// Its axes, without the population's.
    Shape: int[]
    Start: ParameterStart
} with

    /// A weight whose last axes hold the `fanIn` weights of each unit.
    static member Weight(name: string, shape: int[], fanIn: int) : LayerParameter = {
        Name = name
        Shape = shape
        Start = ParameterStart.Weight(fanIn, false)
    }

    /// A bias of units with `fanIn` weights each.
    static member Bias(name: string, shape: int[], fanIn: int) : LayerParameter = {
        Name = name
        Shape = shape
        Start = ParameterStart.Bias fanIn
    }

    /// Numbers that all start at `value`.
    static member Constant(name: string, shape: int[], value: float) : LayerParameter = {
        Name = name
        Shape = shape
        Start = ParameterStart.Constant value
    }

/// A layer of a user's own. Two are equal where their names and settings are; the functions follow from those.
[<CustomEquality; NoComparison>]
type CustomLayer = {
    /// What kind of layer it is, as a checkpoint names it and an exporter looks it up.
    Name: string
    /// Numbers that the functions below were made from, by name.
    Settings: IReadOnlyDictionary<string, float>
    /// Axes of what goes in (without P and B) → axes of what comes out. An ArgumentException says what it expects of an input that it cannot take.
    OutputShape: Func<int[], int[]>
    /// Axes of what goes in → what the layer learns.
    Parameters: Func<int[], LayerParameter[]>
    /// (its parameters [P, …] by their own names, x [P, B, …]) → y [P, B, …], for all members at once. Members must not touch each other, and
    /// derivatives of any order are taken through it: nothing may be written in place.
    Apply: Func<Params, Tensor, Tensor>
} with

    /// A layer from its parts, in the order of the fields.
    static member Create
        (
            name: string,
            settings: IReadOnlyDictionary<string, float>,
            outputShape: Func<int[], int[]>,
            parameters: Func<int[], LayerParameter[]>,
            apply: Func<Params, Tensor, Tensor>
        ) : CustomLayer =
        Check.require "CustomLayer.Create" "name" "not empty" name (not (String.IsNullOrEmpty name))

        {
            Name = name
            Settings = settings
            OutputShape = outputShape
            Parameters = parameters
            Apply = apply
        }

    override this.Equals(other: obj) =
        match other with
        | :? CustomLayer as other ->
            this.Name = other.Name
            && this.Settings.Count = other.Settings.Count
            && this.Settings
               |> Seq.forall (fun entry ->
                   match other.Settings.TryGetValue entry.Key with
                   | true, value -> value = entry.Value
                   | _ -> false)
        | _ -> false

    override this.GetHashCode() =
        HashCode.Combine(this.Name, this.Settings.Count)

/// One layer of a network, as data. Axes are given without P and B: [features] or, for images, [channels, height, width].
/// Windows are square, and stride and padding the same in both directions.
[<RequireQualifiedAccess; NoComparison>]
type Layer =
    /// y = x·W + b with W [P, inputs, outputs] and b [P, 1, outputs].
    | Linear of Inputs: int * Outputs: int
    /// Element-wise, without parameters; any axes.
    | Activation of Activation
    /// Cross-correlation with zeros around: [inputs, H, W] → [outputs, H′, W′], H′ = ⌊(H + 2·padding − kernel)/stride⌋ + 1, with weight
    /// [P, outputs, inputs, kernel, kernel] and bias [P, outputs].
    | Convolution of Inputs: int * Outputs: int * Kernel: int * Stride: int * Padding: int
    /// The greatest of each window: [C, H, W] → [C, H′, W′], H′ = ⌊(H − kernel)/stride⌋ + 1.
    | MaxPooling of Kernel: int * Stride: int
    /// The mean of each window.
    | AveragePooling of Kernel: int * Stride: int
    /// (x − mean)/√(variance + 1e-5)·weight + bias with weight and bias [P, C]: mean and variance of each channel over batch, height and width, or
    /// of each feature over the batch (Ioffe and Szegedy, 2015). Of the batch in `Network.apply`, stored ones in `Network.applyStored`.
    | BatchNormalization
    /// The same with mean and variance over all axes of each input, and weight and bias of its shape (Ba, Kiros and Hinton, 2016).
    | LayerNormalization
    /// All axes made one, the last running fastest.
    | Flatten
    /// inner(x) + shortcut(x); the shortcut is x itself where it has no layers. (He et al., 2016.)
    | Residual of Inner: Layer[] * Shortcut: Layer[]
    /// A layer of one's own.
    | Custom of CustomLayer

    /// One function for each case, so that a caller in C# covers every layer there is. Sizes come in the order of the cases' fields.
    member this.Match<'T>
        (
            linear: Func<int, int, 'T>,
            activation: Func<Activation, 'T>,
            convolution: Func<int, int, int, int, int, 'T>,
            maxPooling: Func<int, int, 'T>,
            averagePooling: Func<int, int, 'T>,
            batchNormalization: Func<'T>,
            layerNormalization: Func<'T>,
            flatten: Func<'T>,
            residual: Func<Layer[], Layer[], 'T>,
            custom: Func<CustomLayer, 'T>
        ) : 'T =
        match this with
        | Linear(inputs, outputs) -> linear.Invoke(inputs, outputs)
        | Activation f -> activation.Invoke f
        | Convolution(inputs, outputs, kernel, stride, padding) ->
            convolution.Invoke(inputs, outputs, kernel, stride, padding)
        | MaxPooling(kernel, stride) -> maxPooling.Invoke(kernel, stride)
        | AveragePooling(kernel, stride) -> averagePooling.Invoke(kernel, stride)
        | BatchNormalization -> batchNormalization.Invoke()
        | LayerNormalization -> layerNormalization.Invoke()
        | Flatten -> flatten.Invoke()
        | Residual(inner, shortcut) -> residual.Invoke(inner, shortcut)
        | Custom layer -> custom.Invoke layer

    /// For callers that do perceptrons alone: `other` is given every layer of another kind.
    member this.Match<'T>(linear: Func<int, int, 'T>, activation: Func<Activation, 'T>, other: Func<Layer, 'T>) : 'T =
        match this with
        | Linear(inputs, outputs) -> linear.Invoke(inputs, outputs)
        | Activation f -> activation.Invoke f
        | _ -> other.Invoke this

    /// The layer in words, as in "convolution 3 → 16, kernel 3, stride 1, padding 1".
    override this.ToString() =
        match this with
        | Linear(inputs, outputs) -> $"linear {inputs} → {outputs}"
        | Activation f -> f.ToString().ToLowerInvariant()
        | Convolution(inputs, outputs, kernel, stride, padding) ->
            $"convolution {inputs} → {outputs}, kernel {kernel}, stride {stride}, padding {padding}"
        | MaxPooling(kernel, stride) -> $"max pooling, kernel {kernel}, stride {stride}"
        | AveragePooling(kernel, stride) -> $"average pooling, kernel {kernel}, stride {stride}"
        | BatchNormalization -> "batch normalisation"
        | LayerNormalization -> "layer normalisation"
        | Flatten -> "flatten"
        | Residual _ -> "residual"
        | Custom layer -> $"custom '{layer.Name}'"

/// A layer in its place in a network: what goes in, what comes out, and under which names its parameters stand.
[<ReferenceEquality>]
type LayerSite = {
    /// Prefix of its parameters' names: "{network}.{index}", and within a residual block "{block}.inner.{index}" or "{block}.shortcut.{index}".
    Path: string
    Layer: Layer
    /// Axes of what goes in, without P and B.
    InputShape: int[]
    /// Axes of what comes out, without P and B.
    OutputShape: int[]
    /// What it learns itself, not counting layers inside of it.
    Parameters: LayerParameter[]
    /// Full names of the parameters, in the same order.
    ParameterNames: string[]
    /// The inner layers of a residual block; empty otherwise.
    Inner: LayerSite[]
    /// The layers of a residual block's shortcut; empty otherwise.
    Shortcut: LayerSite[]
} with

    /// Names of the statistics that a batch normalisation keeps: mean and variance, [P, C] each.
    member this.StatisticsNames: struct (string * string) =
        struct (this.Path + ".mean", this.Path + ".variance")

/// Layers put one after the other: every one is held against the shape before it.
[<RequireQualifiedAccess>]
module internal LayerSites =

    /// Axes as in "[16, 10, 10]".
    let describe (shape: int[]) : string = "[" + String.Join(", ", shape) + "]"

    /// Numbers in a tensor of these axes; more than an array can hold count as one more than that.
    let size (shape: int[]) : int64 =
        shape
        |> Array.fold (fun product axis -> min (product * int64 axis) (int64 Int32.MaxValue + 1L)) 1L

    let private refuse (network: string) (place: string) (layer: Layer) (expected: string) (found: string) : 'T =
        invalidArg
            "layers"
            $"Network.Create: layer {place} of network '{network}' ({layer}) must have {expected}, found {found}."

    let private weightsOf (layer: Layer) (shape: int[]) : LayerParameter[] =
        let affine (shape: int[]) = [|
            LayerParameter.Constant("weight", shape, 1.0)
            LayerParameter.Constant("bias", shape, 0.0)
        |]

        match layer with
        | Layer.Linear(inputs, outputs) -> [|
            {
                Name = "weight"
                Shape = [| inputs; outputs |]
                Start = ParameterStart.Weight(inputs, true)
            }
            LayerParameter.Bias("bias", [| 1; outputs |], inputs)
          |]
        | Layer.Convolution(inputs, outputs, kernel, _, _) ->
            let fanIn = inputs * kernel * kernel

            [|
                LayerParameter.Weight("weight", [| outputs; inputs; kernel; kernel |], fanIn)
                LayerParameter.Bias("bias", [| outputs |], fanIn)
            |]
        | Layer.BatchNormalization -> affine [| shape[0] |]
        | Layer.LayerNormalization -> affine shape
        | Layer.Custom layer -> layer.Parameters.Invoke(Array.copy shape)
        | _ -> [||]

    /// Sites of layers under a prefix, given the axes of what goes in; an ArgumentException names the first that does not fit.
    /// `place` is where they stand within the network.
    let rec make (network: string) (prefix: string) (place: string) (layers: Layer[]) (input: int[]) : LayerSite[] =
        let mutable shape = input

        layers
        |> Array.mapi (fun i layer ->
            let site = one network $"{prefix}.{i}" $"{place}{i}" layer shape
            shape <- site.OutputShape
            site)

    and private one (network: string) (path: string) (place: string) (layer: Layer) (shape: int[]) : LayerSite =
        if obj.ReferenceEquals(layer, null) then
            invalidArg "layers" $"Network.Create: layer {place} of network '{network}' must be a layer, found null."

        let refuse expected found =
            refuse network place layer expected found

        let positive (what: string) (value: int) =
            if value <= 0 then
                refuse $"a positive {what}" (string value)

        let windows (channels: string) (kernel: int) (stride: int) (padding: int) =
            positive "kernel" kernel
            positive "stride" stride

            if padding < 0 || padding >= kernel then
                refuse $"a padding from 0 to {kernel - 1}" (string padding)

            match shape with
            | [| _; height; width |] ->
                let least = kernel - 2 * padding

                if min height width < least then
                    refuse $"an input of at least [{channels}, {least}, {least}]" (describe shape)

                // One more than an array can hold is refused below, with the output.
                let along (size: int) =
                    int (
                        min
                            (int64 Int32.MaxValue)
                            ((int64 size + 2L * int64 padding - int64 kernel) / int64 stride + 1L)
                    )

                struct (along height, along width)
            | _ -> refuse $"an input [{channels}, height, width]" (describe shape)

        let inner, shortcut =
            match layer with
            | Layer.Residual(inner, shortcut) ->
                make network (path + ".inner") (place + ".inner.") inner shape,
                make network (path + ".shortcut") (place + ".shortcut.") shortcut shape
            | _ -> [||], [||]

        let output =
            match layer with
            | Layer.Linear(inputs, outputs) ->
                positive "number of inputs" inputs
                positive "number of outputs" outputs

                if shape <> [| inputs |] then
                    refuse $"an input [{inputs}]" (describe shape)

                [| outputs |]
            | Layer.Activation f ->
                if not (Enum.IsDefined f) then
                    refuse ("one of the activations " + String.Join(", ", Enum.GetNames<Activation>())) (string f)

                shape
            | Layer.Convolution(inputs, outputs, kernel, stride, padding) ->
                positive "number of channels that go in" inputs
                positive "number of channels that come out" outputs
                let struct (height, width) = windows (string inputs) kernel stride padding

                if shape[0] <> inputs then
                    refuse $"an input [{inputs}, height, width]" (describe shape)

                [| outputs; height; width |]
            | Layer.MaxPooling(kernel, stride)
            | Layer.AveragePooling(kernel, stride) ->
                let struct (height, width) = windows "channels" kernel stride 0
                [| shape[0]; height; width |]
            | Layer.BatchNormalization ->
                if shape.Length <> 1 && shape.Length <> 3 then
                    refuse "an input [features] or [channels, height, width]" (describe shape)

                shape
            | Layer.LayerNormalization -> shape
            | Layer.Flatten -> [| int (size shape) |]
            | Layer.Residual _ ->
                let last (sites: LayerSite[]) =
                    if sites.Length = 0 then
                        shape
                    else
                        sites[sites.Length - 1].OutputShape

                if inner.Length = 0 then
                    refuse "inner layers" "none"

                if last inner <> last shortcut then
                    refuse
                        $"a shortcut to the inner layers' {describe (last inner)}"
                        (describe (last shortcut)
                         + (if shortcut.Length = 0 then ", its own input" else ""))

                last inner
            | Layer.Custom custom ->
                try
                    custom.OutputShape.Invoke(Array.copy shape)
                with :? ArgumentException as e ->
                    refuse "an input that it can take" $"{describe shape}: {e.Message}"

        // A custom layer in C# may give back nothing.
        if obj.ReferenceEquals(output, null) then
            refuse "an output shape" "null"

        if
            output.Length = 0
            || Array.exists (fun axis -> axis <= 0) output
            || size output > int64 Int32.MaxValue
        then
            refuse $"an output of positive axes and at most {Int32.MaxValue} numbers" (describe output)

        // Before the parameters are made up: their sizes may be beyond what their fan-in can count.
        let weights =
            match layer with
            | Layer.Linear(inputs, outputs) -> size [| inputs; outputs |]
            | Layer.Convolution(inputs, outputs, kernel, _, _) -> size [| outputs; inputs; kernel; kernel |]
            | _ -> 0L

        if weights > int64 Int32.MaxValue then
            refuse $"at most {Int32.MaxValue} weights" "more"

        let parameters = weightsOf layer shape

        for p in parameters do
            let count = size p.Shape

            if Array.exists (fun axis -> axis <= 0) p.Shape || count > int64 Int32.MaxValue then
                refuse
                    $"a parameter '{p.Name}' of positive axes and at most {Int32.MaxValue} numbers"
                    (describe p.Shape)

            match p.Start with
            | ParameterStart.Weight(fanIn, _) when fanIn <= 0 || count % int64 fanIn <> 0L ->
                refuse $"a fan-in of '{p.Name}' that divides its {count} numbers" (string fanIn)
            | ParameterStart.Bias fanIn when fanIn <= 0 -> refuse $"a positive fan-in of '{p.Name}'" (string fanIn)
            | _ -> ()

        if (parameters |> Array.distinctBy (fun p -> p.Name)).Length < parameters.Length then
            refuse "parameters of distinct names" (parameters |> Array.map (fun p -> p.Name) |> String.concat ", ")

        {
            Path = path
            Layer = layer
            InputShape = shape
            OutputShape = output
            Parameters = parameters
            ParameterNames = parameters |> Array.map (fun p -> path + "." + p.Name)
            Inner = inner
            Shortcut = shortcut
        }

    /// Every site of a network, those inside of residual blocks as well, in the order of the parameters.
    let rec all (sites: LayerSite[]) : LayerSite[] =
        sites
        |> Array.collect (fun site -> Array.concat [ [| site |]; all site.Inner; all site.Shortcut ])
