namespace Bmg

open System
open TorchSharp

/// Draws an action from one row of a policy's raw outputs, which is overwritten: (raw, generator, action) → log-probability of the action.
/// Indices of discrete actions are written as numbers.
type DrawAction = delegate of raw: Span<float32> * random: Rng * action: Span<float32> -> float

/// The most probable action of one row of a policy's raw outputs; the first of equals.
type GreedyAction = delegate of raw: ReadOnlySpan<float32> * action: Span<float32> -> unit

/// What a policy's raw outputs mean. Every function takes raw outputs [.., O] and gives [..]; masked ones come from `Distributions.masked`.
/// Values and their first two derivatives are finite for raw outputs of any size, in float32 as in float64.
[<ReferenceEquality>]
type Distribution = {
    Name: string
    /// O, raw outputs of the policy.
    Outputs: int
    /// The name under which a model puts out raw outputs.
    Output: string
    /// k, numbers in an action.
    ActionSize: int
    /// Whether actions are indices (int64) rather than numbers (the type of the raw outputs).
    IsDiscrete: bool
    /// Whether actions have an axis of their own, [.., k]; one discrete action is [..].
    HasActionAxis: bool
    /// (raw, actions) → log π(a), in nats.
    LogProbability: Func<Tensor, Tensor, Tensor>
    /// Entropy in nats; that of a density where actions are numbers.
    Entropy: Func<Tensor, Tensor>
    /// (p, q) → KL(p ‖ q) in nats.
    Kl: Func<Tensor, Tensor, Tensor>
    /// (p, q) → KL(p ‖ q) + KL(q ‖ p) in nats.
    Jeffreys: Func<Tensor, Tensor, Tensor>
    /// (p, q) → ½KL(p ‖ m) + ½KL(q ‖ m) with m = ½(p + q), in nats; null where it has no closed form.
    JensenShannon: Func<Tensor, Tensor, Tensor> | null
    /// (p, q) → 1 − ∫√(pq), in [0, 1]; null where it has no closed form.
    SquaredHellinger: Func<Tensor, Tensor, Tensor> | null
    /// Over plain numbers, for acting.
    Draw: DrawAction
    /// Over plain numbers, for acting.
    Greedy: GreedyAction
} with

    /// <summary>A distribution from its parts, without the divergences that need not have a closed form.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="outputs">O, raw outputs of the policy.</param>
    /// <param name="output">The name under which a model puts out raw outputs.</param>
    /// <param name="actionSize">k, numbers in an action.</param>
    /// <param name="isDiscrete">Whether actions are indices rather than numbers.</param>
    /// <param name="hasActionAxis">Whether actions have an axis of their own, [.., k].</param>
    /// <param name="logProbability">(raw, actions) → log π(a), in nats.</param>
    /// <param name="entropy">Raw outputs → entropy in nats.</param>
    /// <param name="kl">(p, q) → KL(p ‖ q) in nats; Jeffreys' divergence is made of it.</param>
    /// <param name="draw">Draws an action from one row of raw outputs.</param>
    /// <param name="greedy">The most probable action of one row of raw outputs.</param>
    /// <returns>The distribution.</returns>
    static member Create
        (
            name: string,
            outputs: int,
            output: string,
            actionSize: int,
            isDiscrete: bool,
            hasActionAxis: bool,
            logProbability: Func<Tensor, Tensor, Tensor>,
            entropy: Func<Tensor, Tensor>,
            kl: Func<Tensor, Tensor, Tensor>,
            draw: DrawAction,
            greedy: GreedyAction
        ) : Distribution = {
        Name = name
        Outputs = outputs
        Output = output
        ActionSize = actionSize
        IsDiscrete = isDiscrete
        HasActionAxis = hasActionAxis
        LogProbability = logProbability
        Entropy = entropy
        Kl = kl
        Jeffreys = Func<_, _, _>(fun p q -> (kl.Invoke(p, q)).plus(kl.Invoke(q, p)))
        JensenShannon = null
        SquaredHellinger = null
        Draw = draw
        Greedy = greedy
    }

    /// <summary>The same with a closed form of the Jensen-Shannon divergence.</summary>
    /// <param name="form">(p, q) → ½KL(p ‖ m) + ½KL(q ‖ m) with m = ½(p + q), in nats.</param>
    /// <returns>The distribution.</returns>
    member this.WithJensenShannon(form: Func<Tensor, Tensor, Tensor>) : Distribution = {
        this with
            JensenShannon = form
    }

    /// <summary>The same with a closed form of the squared Hellinger distance.</summary>
    /// <param name="form">(p, q) → 1 − ∫√(pq), in [0, 1].</param>
    /// <returns>The distribution.</returns>
    member this.WithSquaredHellinger(form: Func<Tensor, Tensor, Tensor>) : Distribution = {
        this with
            SquaredHellinger = form
    }

/// The library's distributions.
[<RequireQualifiedAccess>]
module Distributions =

    let private constant (v: float) : Scalar = Scalars.constant v
    let private zero = constant 0.0
    let private half = constant 0.5
    let private one = constant 1.0
    let private two = constant 2.0

    /// <summary>Raw outputs in which actions that are not allowed have probability 0: raw [.., O] and a mask [.., O], 0 where not allowed. Each row
    /// must allow a choice of each action, else what is computed of it is NaN. An ArgumentException where actions are numbers.</summary>
    /// <param name="distribution">What the raw outputs mean: actions that are indices.</param>
    /// <param name="raw">[.., O]</param>
    /// <param name="mask">[.., O], 0 where not allowed.</param>
    /// <returns>Raw outputs [.., O], −∞ where not allowed.</returns>
    [<CompiledName "Masked">]
    let masked (distribution: Distribution) (raw: Tensor) (mask: Tensor) : Tensor =
        Check.require
            "Distributions.masked"
            "distribution"
            "of discrete actions"
            distribution.Name
            distribution.IsDiscrete

        Check.shape "Distributions.masked" "mask" "the shape of the raw outputs" raw.shape mask
        raw.masked_fill (mask.eq zero, constant -infinity)

    /// The same over plain numbers, in place: one row of raw outputs, and which choices are allowed.
    [<CompiledName "Mask">]
    let mask (raw: Span<float32>, allowed: ReadOnlySpan<bool>) : unit =
        Check.require
            "Distributions.mask"
            "allowed"
            $"as many as raw outputs, {raw.Length}"
            allowed.Length
            (allowed.Length = raw.Length)

        for i in 0 .. raw.Length - 1 do
            if not allowed[i] then
                raw[i] <- Single.NegativeInfinity

    /// Softmax in place; a logit of −∞ gives 0.
    let private softmax (row: Span<float32>) : unit =
        let mutable greatest = Single.NegativeInfinity

        for i in 0 .. row.Length - 1 do
            greatest <- max greatest row[i]

        let mutable sum = 0f

        for i in 0 .. row.Length - 1 do
            row[i] <- MathF.Exp(row[i] - greatest)
            sum <- sum + row[i]

        for i in 0 .. row.Length - 1 do
            row[i] <- row[i] / sum

    let private drawOne (raw: Span<float32>) (rng: Rng) : struct (int * float) =
        softmax raw

        let chosen =
            Categorical.sample ((Span<float32>.op_Implicit raw: ReadOnlySpan<float32>), rng.NextDouble())

        struct (chosen, log (float raw[chosen]))

    let private greatest (raw: ReadOnlySpan<float32>) : int =
        let mutable best = 0

        for i in 1 .. raw.Length - 1 do
            if raw[i] > raw[best] then
                best <- i

        best

    /// <summary>One discrete action of `choices` ≥ 1: raw outputs are logits, put out as "logits"; actions [..], int64.</summary>
    /// <param name="choices">How many, at least 1.</param>
    /// <returns>The distribution.</returns>
    [<CompiledName "Categorical">]
    let categorical (choices: int) : Distribution =
        Check.require "Distributions.categorical" "choices" "at least 1" choices (choices >= 1)

        {
            Name = $"categorical({choices})"
            Outputs = choices
            Output = "logits"
            ActionSize = 1
            IsDiscrete = true
            HasActionAxis = false
            LogProbability = Func<_, _, _>(Categorical.logProbability)
            Entropy = Func<_, _>(Categorical.entropy)
            Kl = Func<_, _, _>(Categorical.kl)
            Jeffreys = Func<_, _, _>(Categorical.jeffreys)
            JensenShannon = Func<_, _, _>(Categorical.jensenShannon)
            SquaredHellinger = Func<_, _, _>(Categorical.squaredHellinger)
            Draw =
                DrawAction(fun raw random action ->
                    let struct (chosen, logp) = drawOne raw random
                    action[0] <- float32 chosen
                    logp)
            Greedy = GreedyAction(fun raw action -> action[0] <- float32 (greatest raw))
        }

    /// 1 − Π(1 − hᵢ): the squared Hellinger distance of independent parts from theirs.
    let private joint (parts: Tensor[]) : Tensor =
        parts |> Array.reduce (fun a b -> a.plus (b.minus (a.mul b)))

    /// <summary>Several discrete actions at once, independent given the state: logits of the first, then of the second, …, put out as
    /// "severalLogits"; actions [.., k], int64. The Jensen-Shannon divergence has no closed form: it is no sum over the actions.</summary>
    /// <param name="choices">How many of each action, at least 1 each; at least one action.</param>
    /// <returns>The distribution.</returns>
    [<CompiledName "Categoricals">]
    let categoricals (choices: int[]) : Distribution =
        let choices = Array.copy choices
        Check.require "Distributions.categoricals" "choices" "at least one action" choices.Length (choices.Length > 0)

        for n in choices do
            Check.require "Distributions.categoricals" "choices" "at least 1 each" n (n >= 1)

        let starts = Array.scan (+) 0 choices
        let total = Array.sum choices
        let names = String.Join(", ", choices)

        let parts (raw: Tensor) =
            Check.require
                "Distributions.categoricals"
                "raw"
                $"with {total} outputs"
                (Check.describe raw)
                (raw.shape[raw.shape.Length - 1] = int64 total)

            Array.init choices.Length (fun i -> raw.narrow (-1L, int64 starts[i], int64 choices[i]))

        let sum (terms: Tensor[]) =
            terms |> Array.reduce (fun a b -> a.plus b)

        let pairs (f: Tensor -> Tensor -> Tensor) (p: Tensor) (q: Tensor) = Array.map2 f (parts p) (parts q)

        {
            Name = $"categoricals({names})"
            Outputs = total
            Output = "severalLogits"
            ActionSize = choices.Length
            IsDiscrete = true
            HasActionAxis = true
            LogProbability =
                Func<_, _, _>(fun raw actions ->
                    parts raw
                    |> Array.mapi (fun i logits -> Categorical.logProbability logits (actions.select (-1L, int64 i)))
                    |> sum)
            Entropy = Func<_, _>(fun raw -> parts raw |> Array.map Categorical.entropy |> sum)
            Kl = Func<_, _, _>(fun p q -> sum (pairs Categorical.kl p q))
            Jeffreys = Func<_, _, _>(fun p q -> sum (pairs Categorical.jeffreys p q))
            JensenShannon = null
            SquaredHellinger = Func<_, _, _>(fun p q -> joint (pairs Categorical.squaredHellinger p q))
            Draw =
                DrawAction(fun raw random action ->
                    let mutable logp = 0.0

                    for i in 0 .. choices.Length - 1 do
                        let struct (chosen, own) = drawOne (raw.Slice(starts[i], choices[i])) random
                        action[i] <- float32 chosen
                        logp <- logp + own

                    logp)
            Greedy =
                GreedyAction(fun raw action ->
                    for i in 0 .. choices.Length - 1 do
                        action[i] <- float32 (greatest (raw.Slice(starts[i], choices[i]))))
        }

    /// Log-deviations count as within ±20, a deviation from 2e-9 to 5e8: e⁴⁰ squared is still a float32. No gradient passes beyond.
    [<Literal>]
    let MostLogDeviation = 20.0

    let private logTwoPi = log (2.0 * Math.PI)

    /// `value`, computed without a graph by a formula that loses no digits, with the derivatives of `slope`, an equal one.
    let private withDerivativesOf (slope: Tensor) (value: unit -> Tensor) : Tensor =
        let value =
            use _ = torch.no_grad ()
            value ()

        if slope.requires_grad then
            value.plus (slope.minus (slope.detach ()))
        else
            value

    /// <summary>Independent normal actions, `actions` ≥ 1 of them: raw outputs are the means and then the logarithms of the deviations, put out as
    /// "meansAndLogDeviations" [.., 2k]; actions [.., k] are numbers without bounds (whoever acts clips them; the log-probability is of
    /// what was drawn). Log-deviations count as within ±20, means as within ±1e18, distances of an action or a mean from a mean as within
    /// ±1e18 deviations. The Jensen-Shannon divergence has no closed form.</summary>
    /// <param name="actions">How many numbers an action has, at least 1.</param>
    /// <returns>The distribution.</returns>
    [<CompiledName "Gaussian">]
    let gaussian (actions: int) : Distribution =
        Check.require "Distributions.gaussian" "actions" "at least 1" actions (actions >= 1)
        let k = int64 actions

        let parts (raw: Tensor) : struct (Tensor * Tensor) =
            Check.require
                "Distributions.gaussian"
                "raw"
                $"with {2 * actions} outputs"
                (Check.describe raw)
                (raw.shape[raw.shape.Length - 1] = 2L * k)

            struct (Categorical.bounded (raw.narrow (-1L, 0L, k)),
                    raw.narrow(-1L, k, k).clamp(constant -MostLogDeviation, constant MostLogDeviation))

        /// (a − m)/σ.
        let distance (from: Tensor) (mean: Tensor) (logDeviation: Tensor) =
            Categorical.bounded ((from.minus mean).mul(logDeviation.neg().exp()))

        let total (t: Tensor) = t.sum -1L

        /// eᵘ − 1 − u, at least 0, whose derivatives are eᵘ − 1 and eᵘ.
        let excess (u: Tensor) =
            let slope = u.expm1().minus u
            withDerivativesOf slope (fun () -> slope.clamp_min zero)

        /// log cosh u, at least 0.
        let logCosh (u: Tensor) =
            withDerivativesOf
                ((torch.nn.functional.logsigmoid (u.mul(two).neg())).neg().minus(u).minus(constant (log 2.0)))
                (fun () ->
                    let size = u.abs ()
                    // log cosh u = |u| + log(½ + ½e^{−2|u|}), or ½u² with all its digits where u is small.
                    let far = size.plus (size.mul(two).neg().expm1().mul(half).log1p())
                    torch.where(size.lt (constant 1e-3), u.squared().mul half, far).clamp_min zero)

        /// KL(p ‖ q) = Σ ½(e²ᵈ − 1 − 2d) + ½z², with d = log σ_p − log σ_q and z = (m_p − m_q)/σ_q.
        let kl (p: Tensor) (q: Tensor) =
            Check.shape "Distributions.gaussian, KL" "q" "the shape of p" p.shape q
            let struct (meanP, logP) = parts p
            let struct (meanQ, logQ) = parts q
            let z = distance meanP meanQ logQ
            let terms = (excess ((logP.minus logQ).mul two)).plus(z.squared ())
            (total terms).mul half

        /// 1 − Π √(2σ_pσ_q/(σ_p² + σ_q²))·exp(−¼(m_p − m_q)²/(σ_p² + σ_q²)).
        let hellinger (p: Tensor) (q: Tensor) =
            Check.shape "Distributions.gaussian, Hellinger" "q" "the shape of p" p.shape q
            let struct (meanP, logP) = parts p
            let struct (meanQ, logQ) = parts q
            let d = logP.minus logQ
            let middle = (logP.plus logQ).mul half
            // σ_p² + σ_q² = 2σ_pσ_q·cosh d.
            let logCosh = logCosh d
            let z = distance meanP meanQ (middle.plus (logCosh.mul half))
            // −log of the overlap, an action: ½ log cosh d + ⅛z².
            let apart = logCosh.mul(half).plus((z.squared ()).mul(constant 0.125))
            (total apart).neg().expm1().neg()

        {
            Name = $"gaussian({actions})"
            Outputs = 2 * actions
            Output = "meansAndLogDeviations"
            ActionSize = actions
            IsDiscrete = false
            HasActionAxis = true
            LogProbability =
                Func<_, _, _>(fun raw chosen ->
                    let struct (mean, logDeviation) = parts raw
                    let z = distance (Categorical.bounded chosen) mean logDeviation

                    let terms = (z.squared ()).mul(half).plus logDeviation
                    (total terms).neg().minus(constant (0.5 * float k * logTwoPi)))
            Entropy =
                Func<_, _>(fun raw ->
                    let struct (_, logDeviation) = parts raw
                    (total logDeviation).plus(constant (0.5 * float k * (logTwoPi + 1.0))))
            Kl = Func<_, _, _>(kl)
            Jeffreys = Func<_, _, _>(fun p q -> (kl p q).plus(kl q p))
            JensenShannon = null
            SquaredHellinger = Func<_, _, _>(hellinger)
            Draw =
                DrawAction(fun raw random action ->
                    let mutable logp = 0.0

                    for i in 0 .. actions - 1 do
                        let logDeviation = Math.Clamp(float raw[actions + i], -MostLogDeviation, MostLogDeviation)
                        let z = random.NextNormal()
                        action[i] <- float32 (float raw[i] + exp logDeviation * z)
                        logp <- logp - 0.5 * z * z - logDeviation - 0.5 * logTwoPi

                    logp)
            Greedy = GreedyAction(fun raw action -> raw.Slice(0, actions).CopyTo action)
        }
