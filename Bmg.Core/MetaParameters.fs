namespace Bmg

open System
open System.ComponentModel
open System.Runtime.InteropServices
open TorchSharp

/// A hyper-parameter that meta-parameters put out, and the range that it stays in.
[<Struct>]
type HyperOutput = {
    Name: string
    /// Least value, −∞ where there is none.
    Low: float
    /// Greatest value, +∞ where there is none.
    High: float
}

/// From raw meta-parameters w and a context to the hyper-parameters that φ uses. w has the population axis at P (independent
/// learners) or at 1 (shared by all members).
[<ReferenceEquality; NoComparison>]
type MetaParameters = {
    Name: string
    /// Features of the context; 0 where none is used.
    ContextSize: int
    /// The network from context to raw outputs, where there is one (for export): each is low + (high − low)·σ(raw). Of parts that are
    /// not merged with others, its outputs are those of `Outputs`, in order.
    Network: Network | null
    /// What `Apply` gives, in order. Of rates for single tensors, each under its own name.
    Outputs: HyperOutput[]
    /// (member seeds, type, device) → first w.
    Init: Func<Seed[], torch.ScalarType, torch.Device, Params>
    /// (w, context [P, C], or [P, T, C] for T moments, or null) → hyper-parameters, [P] each (or [1] where w is shared and no context is used), or [P, …] for numbers
    /// that belong to a tensor's elements. w may hold more than `Init` made, where several are merged: take tensors by name.
    Apply: Func<Params, Tensor | null, Params>
} with

    /// <summary>Meta-parameters from their parts, without a network.</summary>
    /// <param name="name">Their name.</param>
    /// <param name="contextSize">Features of the context; 0 where none is used.</param>
    /// <param name="outputs">What <paramref name="apply"/> gives, in order.</param>
    /// <param name="init">(member seeds, type, device) → first w.</param>
    /// <param name="apply">(w, context or null) → hyper-parameters by name. w may hold more than was made here: take tensors by name.</param>
    /// <returns>The meta-parameters.</returns>
    static member Create
        (
            name: string,
            contextSize: int,
            outputs: HyperOutput[],
            init: Func<Seed[], torch.ScalarType, torch.Device, Params>,
            apply: Func<Params, Tensor | null, Params>
        ) : MetaParameters = {
        Name = name
        ContextSize = contextSize
        Network = null
        Outputs = outputs
        Init = init
        Apply = apply
    }

/// Meta-parameters of the library.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module MetaParameters =

    let private checkBounds (fn: string) (low: float) (high: float) (initial: float) =
        Check.require fn "initial" $"strictly between {low} and {high}" initial (low < initial && initial < high)

    let private logit (low: float) (high: float) (value: float) =
        let p = (value - low) / (high - low)
        log (p / (1.0 - p))

    /// f(w), with the derivative that f has at the nearest w between `least` and `greatest`. Farther out f's own derivative falls to exactly
    /// 0 in float32 (σ is 1 from 17 on and 0 below −104), and a w that got there would never move again, whatever the meta-gradient asks.
    let private neverFlat (least: float) (greatest: float) (f: Tensor -> Tensor) : Tensor -> Tensor =
        let least, greatest = Scalars.constant least, Scalars.constant greatest

        // Where nothing is beyond, f by itself has the same value and derivatives, bit for bit, and a graph of one node instead of eight.
        let isWithin (raw: Tensor) =
            use _ = torch.no_grad ()
            raw.detach().clamp(least, greatest).eq(raw).all().ToBoolean()

        fun raw ->
            if not raw.requires_grad || isWithin raw then
                f raw
            else
                let constant = raw.detach ()
                let value = f constant
                let within = f (constant.clamp(least, greatest).plus(raw.minus constant))
                within.plus (value.minus (within.detach ()))

    let private bounded (low: float) (high: float) : Tensor -> Tensor =
        neverFlat
            -15.0
            15.0
            (if low = 0.0 && high = 1.0 then
                 MemberWise.sigmoid
             else
                 let span: Scalar = Scalars.constant (high - low)
                 let offset: Scalar = Scalars.constant low
                 fun raw -> (MemberWise.sigmoid raw).mul(span).plus offset)

    /// One number a member, the same for all.
    let private everywhere (name: string) (value: float) =
        Func<Seed[], torch.ScalarType, torch.Device, Params>(fun seeds dtype device ->
            let shape = [| int64 seeds.Length |]
            Params.Single(name, torch.full (shape, Scalars.constant value, dtype = dtype, device = device)))

    let private within (low: float) (high: float) (names: string[]) : HyperOutput[] =
        names |> Array.map (fun name -> { Name = name; Low = low; High = high })

    /// No meta-parameters: hyper-parameters with fixed values, the same for all members.
    let constant (name: string) (value: float) : MetaParameters = {
        Name = $"{name} = {value}"
        ContextSize = 0
        Network = null
        Outputs = within value value [| name |]
        Init = everywhere name value
        Apply = Func<_, _, _>(fun w _ -> Params.Single(name, w[name]))
    }

    /// One number a member between two bounds: low + (high − low)·σ(w). Its derivative by w is that at ±15 where w is farther out, so that it
    /// can come back from a bound that it has reached: σ′(15) = 3e-7, so it comes slowly.
    let boundedScalar (name: string) (low: float) (high: float) (initial: float) : MetaParameters =
        checkBounds "MetaParameters.boundedScalar" low high initial
        let transform = bounded low high
        let raw = logit low high initial

        {
            Name = $"{name} as one number"
            ContextSize = 0
            Network = null
            Outputs = within low high [| name |]
            Init = everywhere name raw
            Apply = Func<_, _, _>(fun w _ -> Params.Single(name, transform w[name]))
        }

    /// A positive number a member that is learned in the logarithm, for step sizes: exp(w), clipped to [low, high] with 0 < low. Where w is
    /// farther out the derivative is that at the bound, so that it can come back. With `divided` the meta-gradient is divided by the number
    /// itself: dα/dw counts as 1, so that w ← w − β·∂μ/∂α, and a step size that has become small moves as readily in the logarithm as a
    /// large one: ∂μ/∂α of one step is −⟨∇μ, direction⟩, whatever α. That is after the practice of hypergradient descent (Baydin et al. 2018,
    /// whose additive and multiplicative rules it stands between); no gradient of μ, so no law of finite differences holds for it.
    let logScalar (name: string) (low: float) (high: float) (initial: float) (divided: bool) : MetaParameters =
        Check.require "MetaParameters.logScalar" "low" "positive" low (low > 0.0)
        Check.require "MetaParameters.logScalar" "high" "finite" high (Double.IsFinite high)

        Check.require
            "MetaParameters.logScalar"
            "initial"
            $"between {low} and {high}"
            initial
            (low < high && low <= initial && initial <= high)

        let least, greatest = Scalars.constant (log low), Scalars.constant (log high)

        let number (raw: Tensor) =
            let constant = raw.detach ()
            let clipped = constant.clamp (least, greatest)
            // Nothing in value, all of the derivative.
            let moved = raw.minus constant

            if divided then
                (clipped.exp ()).plus moved
            else
                (clipped.plus moved).exp()

        {
            Name =
                if divided then
                    $"{name} in the logarithm, its gradient divided by itself"
                else
                    $"{name} in the logarithm"
            ContextSize = 0
            Network = null
            Outputs = within low high [| name |]
            Init = everywhere name (log initial)
            Apply = Func<_, _, _>(fun w _ -> Params.Single(name, number w[name]))
        }

    /// Pre-trains a network to put out the constants `raw`, one an output, on inputs uniform in [−1, 1]: `steps` Adam steps on batches of 64 drawn from
    /// each member's own stream. A network starts out far from constant; untrained, members would begin with different weights.
    /// `watch` is called before every step.
    let private pretrain
        (watch: unit -> unit)
        (network: Network)
        (raw: float[])
        (steps: int)
        (seeds: Seed[])
        (start: Params)
        : Params =
        let optimizer = Optimizers.adam 1e-2 0.9 0.999 1e-8 Optimizers.EpsilonInRoot
        let batch = 64

        let generators =
            seeds
            |> Array.map (fun s -> (let purpose = s.For "pretraining" in purpose.Generator()))

        use _ = torch.NewDisposeScope()
        let size = int64 seeds.Length
        let first = start.TensorArray[0]
        let target = torch.tensor(Array.map (~-) raw, dtype = torch.float64).``to``(first.dtype, first.device)
        let mutable x = start
        let mutable state = Optimizers.init optimizer start

        for i in 1..steps do
            watch ()
            use _ = torch.NewDisposeScope()

            let values =
                generators
                |> Array.collect (fun g -> Array.init (batch * network.Inputs) (fun _ -> 2.0 * g.NextDouble() - 1.0))

            let inputs =
                torch
                    .tensor(values, dtype = torch.float64)
                    .reshape(size, int64 batch, int64 network.Inputs)
                    .``to``(first.dtype, first.device)

            let leaves = Params.leaves x
            let error = (Network.apply network leaves inputs).plus target
            // Linear decay to zero: the last steps settle on the constant.
            let rate = 1e-2 * (1.0 - float (i - 1) / float steps)
            let gradients = Gradients.gradient (Losses.squaredError error) leaves false
            use _ = torch.no_grad ()

            let struct (next, nextState) =
                Optimizers.apply
                    {
                        optimizer with
                            LearningRate = Setting.Constant rate
                    }
                    x
                    state
                    gradients
                    Params.Empty

            // What is superseded goes at once: kept to the end, hundreds of copies of w and its moments would stand beside each other.
            if not (obj.ReferenceEquals(x, start)) then
                Params.dispose x

            Params.dispose state
            x <- Params.moveToOuterScope next
            state <- Params.moveToOuterScope nextState

        Params.detachFromScope (Params.detach x)

    /// `contextualMany`, for a host that may be asked to stop while w is made: `watch` is called before every step of pre-training, on the
    /// thread that asked for w, and ends it by throwing. It has no say in what w becomes.
    let contextualManyWatched
        (watch: unit -> unit)
        (names: string[])
        (network: Network)
        (lows: float[])
        (highs: float[])
        (initials: float[])
        (initialization: Initialization)
        (pretrainingSteps: int)
        : MetaParameters =
        let names = Array.copy names
        let count = names.Length
        Check.require "MetaParameters.contextual" "names" "at least one" count (count > 0)

        for argument, given in [| "lows", lows.Length; "highs", highs.Length; "initials", initials.Length |] do
            Check.require "MetaParameters.contextual" argument $"{count} numbers, one a name" given (given = count)

        for i in 0 .. count - 1 do
            checkBounds $"MetaParameters.contextual, {names[i]}" lows[i] highs[i] initials[i]

        Check.require
            "MetaParameters.contextual"
            "network.Outputs"
            $"{count}, one a name"
            network.Outputs
            (network.Outputs = count)

        let transforms = Array.map2 bounded lows highs
        let raw = Array.map3 logit lows highs initials
        let all = String.Join(", ", names)

        {
            Name =
                if count = 1 then
                    $"{all} as a network of the context"
                else
                    $"{all} as one network of the context"
            ContextSize = network.Inputs
            Network = network
            Outputs =
                Array.init count (fun i -> {
                    Name = names[i]
                    Low = lows[i]
                    High = highs[i]
                })
            Init =
                Func<_, _, _, _>(fun seeds dtype device ->
                    pretrain
                        watch
                        network
                        raw
                        pretrainingSteps
                        seeds
                        (Network.init network initialization seeds dtype device))
            Apply =
                Func<_, _, _>(fun w context ->
                    match context with
                    | null -> Check.fail "MetaParameters.contextual" "context" $"of shape [P, {network.Inputs}]" "none"
                    | context ->
                        let each = context.shape.Length = 3
                        let members = context.shape[0]

                        if each then
                            let legend = [| -1L; -1L; int64 network.Inputs |]
                            Check.shape "MetaParameters.contextual" "context" "[P, T, C]" legend context
                        else
                            let legend = [| -1L; int64 network.Inputs |]
                            Check.shape "MetaParameters.contextual" "context" "[P, C]" legend context

                        // With a shared w the members are the rows of one batch.
                        let shared = w.Members = 1L && members > 1L
                        let batch = if shared then [| 1L; -1L |] else [| members; -1L |]
                        let rows = Network.apply network w (context.reshape [| yield! batch; int64 network.Inputs |])

                        let shape =
                            if each then
                                [| members; context.shape[1] |]
                            else
                                [| members |]

                        let output i =
                            if count = 1 then rows else rows.select (-1L, int64 i)

                        Params.Create(names, transforms |> Array.mapi (fun i f -> f ((output i).reshape shape))))
        }

    /// Several hyper-parameters from one contextual network, one output each, in the order of the names:
    /// lowᵢ + (highᵢ − lowᵢ)·σ(net(context)ᵢ), pre-trained to put out `initials` for contexts uniform in [−1, 1]. Arrays of one length.
    /// Contexts and shapes as in `contextual`.
    let contextualMany
        (names: string[])
        (network: Network)
        (lows: float[])
        (highs: float[])
        (initials: float[])
        (initialization: Initialization)
        (pretrainingSteps: int)
        : MetaParameters =
        contextualManyWatched ignore names network lows highs initials initialization pretrainingSteps

    /// `contextual`, for a host that may be asked to stop while w is made: see `contextualManyWatched`.
    let contextualWatched
        (watch: unit -> unit)
        (name: string)
        (network: Network)
        (low: float)
        (high: float)
        (initial: float)
        (initialization: Initialization)
        (pretrainingSteps: int)
        : MetaParameters =
        contextualManyWatched
            watch
            [| name |]
            network
            [| low |]
            [| high |]
            [| initial |]
            initialization
            pretrainingSteps

    /// A contextual network: low + (high − low)·σ(net(context)), pre-trained to put out `initial` for contexts uniform in [−1, 1]. Derivatives
    /// beyond ±15 as in `boundedScalar`.
    /// Context [P, C] → hyper-parameter [P], or [P, T, C] → [P, T], one for each of T moments (CMG, appendix on meta-parameter networks; BMG, section 5.1).
    let contextual
        (name: string)
        (network: Network)
        (low: float)
        (high: float)
        (initial: float)
        (initialization: Initialization)
        (pretrainingSteps: int)
        : MetaParameters =
        contextualWatched ignore name network low high initial initialization pretrainingSteps

    /// The same number in tensors of these shapes, behind the population axis.
    let private filled (names: string[]) (shapes: int64[][]) (value: float) =
        Func<Seed[], torch.ScalarType, torch.Device, Params>(fun seeds dtype device ->
            Params.Create(
                names,
                shapes
                |> Array.map (fun shape ->
                    torch.full (
                        Array.append [| int64 seeds.Length |] shape,
                        Scalars.constant value,
                        dtype = dtype,
                        device = device
                    ))
            ))

    /// The tensors of w with these names, each through `transform`.
    let private each (names: string[]) (transform: Tensor -> Tensor) =
        Func<Params, Tensor | null, Params>(fun w _ ->
            Params.Create(names, names |> Array.map (fun name -> transform w[name])))

    /// A positive learning rate for each tensor of the learner's parameters, one number a member: hyper-parameters `prefix` + the tensor's
    /// name, [P], for `Optimizers.withRatePerTensor prefix`. Softplus of w, so that small rates move in proportion to themselves; all start
    /// at `initial` > 0. Below w = −30, a rate of 9e-14, the derivative stays what it is there, so that none dies out. Only the names of
    /// `like` are read.
    let ratePerTensor (prefix: string) (like: Params) (initial: float) : MetaParameters =
        Check.require "MetaParameters.ratePerTensor" "like" "at least one tensor" like.Count (like.Count > 0)

        Check.require
            "MetaParameters.ratePerTensor"
            "initial"
            "positive and at most 100"
            initial
            (initial > 0.0 && initial <= 100.0)

        let names = like.NameArray |> Array.map (fun name -> prefix + name)
        // log(eᵃ − 1), with all its digits for small a.
        let raw = 0.5 * initial + log (2.0 * sinh (0.5 * initial))

        {
            Name = $"{prefix}: a rate for each of {names.Length} tensors"
            ContextSize = 0
            Network = null
            Outputs = within 0.0 infinity names
            Init = filled names (Array.create names.Length [||]) raw
            // e⁻³⁰ = 9e-14: a rate that moves nothing in float32.
            Apply = each names (neverFlat -30.0 infinity (Network.activate Activation.Softplus))
        }

    /// A learning rate for each single parameter (Meta-SGD; Li et al. 2017, eq. 3): hyper-parameters `prefix` + the tensor's name in the
    /// tensor's own shape, [P, …], for `Optimizers.withRatePerTensor prefix`. Plain numbers that may turn negative, as in the paper; all
    /// start at `initial`, where the paper draws them. Only names and shapes of `like` are read, not its population axis.
    let ratePerParameter (prefix: string) (like: Params) (initial: float) : MetaParameters =
        Check.require "MetaParameters.ratePerParameter" "like" "at least one tensor" like.Count (like.Count > 0)
        Check.require "MetaParameters.ratePerParameter" "initial" "finite" initial (Double.IsFinite initial)
        let names = like.NameArray |> Array.map (fun name -> prefix + name)

        {
            Name = $"{prefix}: a rate for each parameter of {names.Length} tensors"
            ContextSize = 0
            Network = null
            Outputs = within -infinity infinity names
            Init = filled names (like.TensorArray |> Array.map (fun t -> Array.skip 1 t.shape)) initial
            Apply = each names id
        }

    /// Several kinds of meta-parameters as one: w and hyper-parameters of all parts together. Names must be distinct among all parts, in w
    /// as in what they put out (else an ArgumentException when w is made or used); contexts of one size, or none. The network for export
    /// is that of the one part that has one; null where several have.
    let merge (parts: MetaParameters[]) : MetaParameters =
        let parts = Array.copy parts
        Check.require "MetaParameters.merge" "parts" "at least one" parts.Length (parts.Length > 0)

        let contexts =
            parts
            |> Array.map (fun p -> p.ContextSize)
            |> Array.filter (fun size -> size > 0)
            |> Array.distinct

        Check.require
            "MetaParameters.merge"
            "parts"
            "of one context size, or none"
            (String.Join(" and ", contexts))
            (contexts.Length <= 1)

        {
            Name = parts |> Array.map (fun p -> p.Name) |> String.concat ", "
            ContextSize = Array.append contexts [| 0 |] |> Array.head
            Network =
                (match parts |> Array.filter (fun p -> not (isNull p.Network)) with
                 | [| only |] -> only.Network
                 | _ -> null)
            Outputs = parts |> Array.collect (fun p -> p.Outputs)
            Init =
                Func<_, _, _, _>(fun seeds dtype device ->
                    Params.merge (parts |> Array.map (fun p -> p.Init.Invoke(seeds, dtype, device))))
            Apply =
                Func<_, _, _>(fun w context -> Params.merge (parts |> Array.map (fun p -> p.Apply.Invoke(w, context))))
        }

/// Meta-parameters of the library: what C# calls.
type MetaParameters with

    /// The function called before every step of pre-training, or one that does nothing.
    static member private Watching(watch: Action | null) : unit -> unit =
        match watch with
        | null -> ignore
        | watch -> watch.Invoke

    /// <summary>A hyper-parameter with a fixed value, the same for all members.</summary>
    /// <param name="name">Name of the hyper-parameter.</param>
    /// <param name="value">Its value.</param>
    /// <returns>The meta-parameters.</returns>
    static member Constant(name: string, value: float) : MetaParameters = MetaParameters.constant name value

    /// <summary>One number a member between two bounds: low + (high − low)·σ(w).</summary>
    /// <param name="name">Name of the hyper-parameter.</param>
    /// <param name="low">Least value.</param>
    /// <param name="high">Greatest value.</param>
    /// <param name="initial">Where it starts, strictly between the two.</param>
    /// <returns>The meta-parameters.</returns>
    static member BoundedScalar(name: string, low: float, high: float, initial: float) : MetaParameters =
        MetaParameters.boundedScalar name low high initial

    /// <summary>A positive number a member that is learned in the logarithm, for step sizes: exp(w), clipped to two bounds.</summary>
    /// <param name="name">Name of the hyper-parameter.</param>
    /// <param name="low">Least value, positive.</param>
    /// <param name="high">Greatest value, finite.</param>
    /// <param name="initial">Where it starts, between the two.</param>
    /// <param name="divided">Whether the meta-gradient is divided by the number itself.</param>
    /// <returns>The meta-parameters.</returns>
    static member LogScalar(name: string, low: float, high: float, initial: float, divided: bool) : MetaParameters =
        MetaParameters.logScalar name low high initial divided

    /// <summary>A hyper-parameter from a network of the context: low + (high − low)·σ(net(context)).</summary>
    /// <param name="name">Name of the hyper-parameter.</param>
    /// <param name="network">From context to one output.</param>
    /// <param name="low">Least value.</param>
    /// <param name="high">Greatest value.</param>
    /// <param name="initial">What it is pre-trained to put out, strictly between the two.</param>
    /// <param name="initialization">How the network's weights start.</param>
    /// <param name="pretrainingSteps">Adam steps of pre-training, on contexts uniform in [−1, 1].</param>
    /// <param name="watch">Called before every step of pre-training; ends it by throwing. Null for nothing.</param>
    /// <returns>The meta-parameters.</returns>
    static member Contextual
        (
            name: string,
            network: Network,
            low: float,
            high: float,
            initial: float,
            initialization: Initialization,
            pretrainingSteps: int,
            [<Optional; DefaultParameterValue(null: Action | null)>] watch: Action | null
        ) : MetaParameters =
        MetaParameters.contextualWatched
            (MetaParameters.Watching watch)
            name
            network
            low
            high
            initial
            initialization
            pretrainingSteps

    /// <summary>Several hyper-parameters from one network of the context, one output each. Arrays of one length.</summary>
    /// <param name="names">Names of the hyper-parameters.</param>
    /// <param name="network">From context to one output a name.</param>
    /// <param name="lows">Least values.</param>
    /// <param name="highs">Greatest values.</param>
    /// <param name="initials">What it is pre-trained to put out, each strictly between its two bounds.</param>
    /// <param name="initialization">How the network's weights start.</param>
    /// <param name="pretrainingSteps">Adam steps of pre-training, on contexts uniform in [−1, 1].</param>
    /// <param name="watch">Called before every step of pre-training; ends it by throwing. Null for nothing.</param>
    /// <returns>The meta-parameters.</returns>
    static member ContextualMany
        (
            names: string[],
            network: Network,
            lows: float[],
            highs: float[],
            initials: float[],
            initialization: Initialization,
            pretrainingSteps: int,
            [<Optional; DefaultParameterValue(null: Action | null)>] watch: Action | null
        ) : MetaParameters =
        MetaParameters.contextualManyWatched
            (MetaParameters.Watching watch)
            names
            network
            lows
            highs
            initials
            initialization
            pretrainingSteps

    /// <summary>A positive learning rate for each tensor of the learner's parameters, one number a member.</summary>
    /// <param name="prefix">Hyper-parameters are named by it and the tensor's name.</param>
    /// <param name="like">The learner's parameters; only the names are read.</param>
    /// <param name="initial">Where all start, positive and at most 100.</param>
    /// <returns>The meta-parameters.</returns>
    static member RatePerTensor(prefix: string, like: Params, initial: float) : MetaParameters =
        MetaParameters.ratePerTensor prefix like initial

    /// <summary>A learning rate for each single parameter (Meta-SGD): plain numbers that may turn negative.</summary>
    /// <param name="prefix">Hyper-parameters are named by it and the tensor's name.</param>
    /// <param name="like">The learner's parameters; only names and shapes are read.</param>
    /// <param name="initial">Where all start.</param>
    /// <returns>The meta-parameters.</returns>
    static member RatePerParameter(prefix: string, like: Params, initial: float) : MetaParameters =
        MetaParameters.ratePerParameter prefix like initial

    /// <summary>Several kinds of meta-parameters as one.</summary>
    /// <param name="parts">At least one; names distinct among all, contexts of one size, or none.</param>
    /// <returns>The meta-parameters.</returns>
    static member Merge([<ParamArray>] parts: MetaParameters[]) : MetaParameters = MetaParameters.merge parts
