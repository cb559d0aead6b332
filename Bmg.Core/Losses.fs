namespace Bmg

open System.ComponentModel
open System.Runtime.CompilerServices
open TorchSharp

/// How values over states become one number a member.
type Reduction =
    | Mean = 0
    | Sum = 1

/// Reductions over everything but the population axis.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module Reduction =

    /// [P, …] → [P].
    let apply (reduction: Reduction) (t: Tensor) : Tensor =
        if t.shape.Length <= 1 then
            t
        else
            match reduction with
            | Reduction.Mean -> t.flatten(1L).mean [| 1L |]
            | Reduction.Sum -> Params.sumPerMember t
            | other -> Check.fail "Reduction.apply" "reduction" "a defined reduction" (string other)

    /// Over the states that count: values and weights [P, …], of one shape, weights 0 or 1 → [P]. What a state of weight 0 holds means
    /// nothing. The mean of a member without a state that counts is 0.
    let weighted (reduction: Reduction) (weights: Tensor) (t: Tensor) : Tensor =
        Check.shape "Reduction.weighted" "weights" "the shape of the values" t.shape weights

        let total =
            Params.sumPerMember (t.masked_fill (weights.eq (Scalars.constant 0.0), Scalars.constant 0.0))

        match reduction with
        | Reduction.Mean -> total.div ((Params.sumPerMember weights).clamp_min(Scalars.constant 1.0))
        | Reduction.Sum -> total
        | other -> Check.fail "Reduction.weighted" "reduction" "a defined reduction" (string other)

/// Reductions as methods of `Reduction`: what C# calls.
[<Extension; AbstractClass; Sealed>]
type ReductionExtensions =

    /// <summary>Reduces over everything but the population axis.</summary>
    /// <param name="reduction">How.</param>
    /// <param name="values">[P, …]</param>
    /// <returns>[P]</returns>
    [<Extension>]
    static member Apply(reduction: Reduction, values: Tensor) : Tensor = Reduction.apply reduction values

    /// <summary>Reduces over the states that count. The mean of a member without one is 0.</summary>
    /// <param name="reduction">How.</param>
    /// <param name="weights">[P, …], 1 where a state counts and 0 where it does not.</param>
    /// <param name="values">Of the same shape.</param>
    /// <returns>[P]</returns>
    [<Extension>]
    static member ApplyWeighted(reduction: Reduction, weights: Tensor, values: Tensor) : Tensor =
        Reduction.weighted reduction weights values

/// Returns and temporal differences. Time runs along the last axis, [P, T], or [P, N, T] for N copies; a suffix Tm1 is the step before, T
/// the step itself.
[<RequireQualifiedAccess>]
module Returns =

    /// <summary>One-step TD errors δₜ = rₜ₊₁ + γₜ₊₁ v(sₜ₊₁) − v(sₜ) (Sutton and Barto, eq. 6.5). All of one shape.
    /// Gradients pass through every argument: detach what must be a constant.</summary>
    /// <param name="rewards">[…, T]</param>
    /// <param name="discounts">γ of each step, 0 where the episode terminated.</param>
    /// <param name="valuesTm1">Values of the states before.</param>
    /// <param name="valuesT">Values of the states reached.</param>
    /// <returns>δ, of the same shape.</returns>
    [<CompiledName "TdErrors">]
    let tdErrors (rewards: Tensor) (discounts: Tensor) (valuesTm1: Tensor) (valuesT: Tensor) : Tensor =
        Check.shape "Returns.tdErrors" "discounts" "the shape of rewards" rewards.shape discounts
        Check.shape "Returns.tdErrors" "valuesTm1" "the shape of rewards" rewards.shape valuesTm1
        Check.shape "Returns.tdErrors" "valuesT" "the shape of rewards" rewards.shape valuesT
        rewards.addcmul(discounts, valuesT, Scalars.constant 1.0).minus valuesTm1

    /// <summary>Sums that fade: Aₜ = δₜ + fₜ Aₜ₊₁, with terms δ and factors f of one shape. Gradients pass through both.</summary>
    /// <param name="factors">f, […, T].</param>
    /// <param name="terms">δ, […, T].</param>
    /// <returns>A, of the same shape.</returns>
    [<CompiledName "Accumulate">]
    let accumulate (factors: Tensor) (terms: Tensor) : Tensor =
        Check.shape "Returns.accumulate" "factors" "the shape of terms" terms.shape factors
        let factors, terms = factors.unbind -1, terms.unbind -1
        let sums = Array.zeroCreate<Tensor> terms.Length
        sums[terms.Length - 1] <- terms[terms.Length - 1]

        for t in terms.Length - 2 .. -1 .. 0 do
            sums[t] <- terms[t].addcmul(factors[t], sums[t + 1], Scalars.constant 1.0)

        torch.stack (sums, -1L)

    /// <summary>Generalized advantages Aₜ = δₜ + γₜ₊₁ λ Aₜ₊₁ (Schulman et al. 2016, eq. 16); Aₜ + v(sₜ) is the λ-return. `decay` = λ in [0, 1].
    /// Discounts and errors of one shape. λ = 0 gives the TD errors themselves.</summary>
    /// <param name="decay">λ in [0, 1].</param>
    /// <param name="discounts">[…, T]</param>
    /// <param name="tdErrors">[…, T]</param>
    /// <returns>Advantages, of the same shape.</returns>
    [<CompiledName "GeneralizedAdvantages">]
    let generalizedAdvantages (decay: float) (discounts: Tensor) (tdErrors: Tensor) : Tensor =
        Check.range "Returns.generalizedAdvantages" "decay" 0.0 1.0 decay
        Check.shape "Returns.generalizedAdvantages" "discounts" "the shape of tdErrors" tdErrors.shape discounts

        if decay = 0.0 then
            tdErrors
        else
            accumulate (discounts.mul (Scalars.constant decay)) tdErrors

    /// <summary>V-trace (Espeholt et al. 2018, eq. 1 and the advantage of section 4.2): δₜ = ρₜ(rₜ₊₁ + γₜ₊₁ v(sₜ₊₁) − v(sₜ)),
    /// vsₜ − v(sₜ) = δₜ + γₜ₊₁ λ cₜ (vsₜ₊₁ − v(sₜ₊₁)), with ρ = min(ρ̄, π/b), c = min(1, π/b) and log(π/b) given. Everything of one shape;
    /// `factors` = γλ, 0 where the recursion is cut. Returns vs − v(sTm1). With π = b and ρ̄ ≥ 1 these are the generalized advantages.
    /// Gradients pass through all but the ratios.</summary>
    /// <param name="logRatios">log(π/b), […, T].</param>
    /// <param name="greatestRatio">ρ̄, positive.</param>
    /// <param name="factors">γλ, 0 where the recursion is cut.</param>
    /// <param name="tdErrors">r + γv′ − v, […, T].</param>
    /// <returns>vs − v, of the same shape.</returns>
    [<CompiledName "VTrace">]
    let vTrace (logRatios: Tensor) (greatestRatio: float) (factors: Tensor) (tdErrors: Tensor) : Tensor =
        Check.shape "Returns.vTrace" "logRatios" "the shape of tdErrors" tdErrors.shape logRatios
        Check.require "Returns.vTrace" "greatestRatio" "positive" greatestRatio (greatestRatio > 0.0)
        let logRatios = logRatios.detach ()
        // Clipped in the logarithm: a ratio may be too large for a number.
        let ratio (greatest: float) =
            logRatios.clamp_max(Scalars.constant (log greatest)).exp()

        accumulate (factors.mul (ratio 1.0)) (tdErrors.mul (ratio greatestRatio))

/// Losses, one a function, one number a member [P]: means over the rollout's steps. Weights and sums belong to the loss function that combines them.
[<RequireQualifiedAccess>]
module Losses =

    let private half: Scalar = Scalars.constant 0.5

    /// <summary>The mean over the steps that count: values [P, B], weights [P, B] of 0 or 1, or null where all count → [P].</summary>
    /// <param name="values">[P, B]</param>
    /// <param name="weights">[P, B] of 0 or 1, or null where all count.</param>
    /// <returns>[P]</returns>
    [<CompiledName "Mean">]
    let mean (values: Tensor) (weights: Tensor | null) : Tensor =
        match weights with
        | null -> values.mean [| 1L |]
        | weights -> Reduction.weighted Reduction.Mean weights values

    /// <summary>−E[A log π(a|s)]: logits [P, B, A], actions [P, B], advantages [P, B] → [P]. Gradients pass through advantages too: values inside
    /// them must come as constants, what weighs them (γ, λ) need not.</summary>
    /// <param name="logits">[P, B, A]</param>
    /// <param name="actions">[P, B], int64.</param>
    /// <param name="advantages">[P, B]</param>
    /// <returns>[P]</returns>
    [<CompiledName "PolicyGradient">]
    let policyGradient (logits: Tensor) (actions: Tensor) (advantages: Tensor) : Tensor =
        (Categorical.logProbability logits actions).mul(advantages).mean([| 1L |]).neg()

    /// <summary>½ E[δ²] of errors [P, …] → [P].</summary>
    /// <param name="errors">[P, …]</param>
    /// <returns>[P]</returns>
    [<CompiledName "SquaredError">]
    let squaredError (errors: Tensor) : Tensor =
        (errors.squared().flatten(1L).mean [| 1L |]).mul half

    /// <summary>Minus the mean entropy of the policy in nats: logits [P, B, A] → [P].</summary>
    /// <param name="logits">[P, B, A]</param>
    /// <returns>[P], in nats.</returns>
    [<CompiledName "NegativeEntropy">]
    let negativeEntropy (logits: Tensor) : Tensor =
        (Categorical.entropy logits).mean([| 1L |]).neg()

    /// <summary>Cross-entropy of logits [P, B, C] with classes [P, B] (int64) → [P].</summary>
    /// <param name="logits">[P, B, C]</param>
    /// <param name="classes">[P, B], int64.</param>
    /// <returns>[P], in nats.</returns>
    [<CompiledName "CrossEntropy">]
    let crossEntropy (logits: Tensor) (classes: Tensor) : Tensor =
        (Categorical.logProbability logits classes).mean([| 1L |]).neg()
