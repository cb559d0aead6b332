namespace Bmg

open System

/// How the weights of a network start, by name; see `Initializer`.
type Initialization =
    /// Truncated normal (±2 deviations) of deviation 1/√fan-in, biases zero.
    | TruncatedNormal = 0
    /// Uniform in ±1/√fan-in for weights and biases alike: PyTorch's default for a linear layer.
    | Uniform = 1
    /// Orthogonal with gain 1, biases zero.
    | Orthogonal = 2
    /// Uniform in ±1/√fan-in with nine tenths of each unit's weights at zero, biases zero.
    | Sparse = 3

/// How the weights of a network start. Normalisation starts at weight 1 and bias 0, whatever is chosen.
[<RequireQualifiedAccess>]
type Initializer =
    /// Truncated normal (±2 deviations) of deviation 1/√fan-in, biases zero.
    | TruncatedNormal
    /// Uniform in ±1/√fan-in for weights and biases alike.
    | Uniform
    /// `gain`·Q with Q from the QR decomposition of normal numbers, the signs such that R's diagonal is positive (Saxe, McClelland and Ganguli,
    /// 2014; Mezzadri, 2007). Units' weights are orthogonal, or, where there are more units than weights a unit, inputs' are. Biases zero.
    | Orthogonal of Gain: float
    /// Uniform in ±1/√fan-in, then a fraction `zeros` of each unit's weights, chosen at random, set to zero: ⌈zeros·fan-in⌉ of them, but
    /// never all (Martens, 2010; Elsayed, Vasan and Mahmood, 2024, whose networks have none left where the fan-in is small). Biases zero.
    | Sparse of Zeros: float

    /// The initialisation of this name.
    static member Of(initialization: Initialization) : Initializer =
        match initialization with
        | Initialization.TruncatedNormal -> Initializer.TruncatedNormal
        | Initialization.Uniform -> Initializer.Uniform
        | Initialization.Orthogonal -> Initializer.Orthogonal 1.0
        | Initialization.Sparse -> Initializer.Sparse 0.9
        | other -> Check.fail "Network.init" "initialization" "a defined initialization" (string other)

/// From a member's own generator to the numbers of a parameter.
[<RequireQualifiedAccess>]
module internal Draws =

    let private uniform (fanIn: int) (rng: Rng) : float =
        1.0 / sqrt (float fanIn) * (2.0 * rng.NextDouble() - 1.0)

    let private truncatedNormal (fanIn: int) (rng: Rng) : float =
        let mutable z = rng.NextNormal()

        while abs z > 2.0 do
            z <- rng.NextNormal()

        1.0 / sqrt (float fanIn) * z

    /// Orthonormal rows, `rows` ≤ `columns`: the Q of normal numbers by Gram and Schmidt, each row made orthogonal twice, which keeps full
    /// precision. The order of every sum is fixed, so a seed's numbers are the same on any number of cores.
    let private orthonormalRows (rows: int) (columns: int) (rng: Rng) : float[][] =
        let q = Array.init rows (fun _ -> Array.init columns (fun _ -> rng.NextNormal()))

        let dot (a: float[]) (b: float[]) =
            let mutable sum = 0.0

            for i in 0 .. a.Length - 1 do
                sum <- sum + a[i] * b[i]

            sum

        for r in 0 .. rows - 1 do
            let row = q[r]

            for _ in 1..2 do
                for before in 0 .. r - 1 do
                    let other = q[before]
                    let share = dot row other

                    for i in 0 .. columns - 1 do
                        row[i] <- row[i] - share * other[i]

            let norm = sqrt (dot row row)

            for i in 0 .. columns - 1 do
                row[i] <- row[i] / norm

        q

    /// A matrix [units, fan-in], or its transpose, row-major.
    let private matrix (units: int) (fanIn: int) (inputsFirst: bool) (at: int -> int -> float) : float[] =
        if inputsFirst then
            Array.init (units * fanIn) (fun i -> at (i % units) (i / units))
        else
            Array.init (units * fanIn) (fun i -> at (i / fanIn) (i % fanIn))

    /// The numbers of one member's parameter, row-major.
    let parameter (initializer: Initializer) (p: LayerParameter) (rng: Rng) : float[] =
        let count = p.Shape |> Array.fold (*) 1

        match p.Start, initializer with
        | ParameterStart.Constant value, _ -> Array.create count value
        | ParameterStart.Bias fanIn, Initializer.Uniform -> Array.init count (fun _ -> uniform fanIn rng)
        | ParameterStart.Bias _, _ -> Array.zeroCreate count
        | ParameterStart.Weight(fanIn, _), Initializer.Uniform -> Array.init count (fun _ -> uniform fanIn rng)
        | ParameterStart.Weight(fanIn, _), Initializer.TruncatedNormal ->
            Array.init count (fun _ -> truncatedNormal fanIn rng)
        | ParameterStart.Weight(fanIn, inputsFirst), Initializer.Orthogonal gain ->
            let units = count / fanIn

            if units <= fanIn then
                let q = orthonormalRows units fanIn rng
                matrix units fanIn inputsFirst (fun unit input -> gain * q[unit][input])
            else
                let q = orthonormalRows fanIn units rng
                matrix units fanIn inputsFirst (fun unit input -> gain * q[input][unit])
        | ParameterStart.Weight(fanIn, inputsFirst), Initializer.Sparse zeros ->
            let units = count / fanIn
            let none = min (fanIn - 1) (int (ceil (zeros * float fanIn)))

            let weights =
                Array.init units (fun _ ->
                    let own = Array.init fanIn (fun _ -> uniform fanIn rng)
                    // The first `none` of a random order (Fisher and Yates).
                    let order = Array.init fanIn id

                    for i in 0 .. none - 1 do
                        let j = i + rng.Next(fanIn - i)
                        let chosen = order[j]
                        order[j] <- order[i]
                        order[i] <- chosen
                        own[chosen] <- 0.0

                    own)

            matrix units fanIn inputsFirst (fun unit input -> weights[unit][input])
