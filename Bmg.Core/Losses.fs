namespace Bmg

open TorchSharp

/// How values over states become one number a member.
type Reduction =
    | Mean = 0
    | Sum = 1

/// Reductions over everything but the population axis.
[<RequireQualifiedAccess>]
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

/// Returns and temporal differences. Time runs along the second axis; a suffix Tm1 is the step before, T the step itself.
[<RequireQualifiedAccess>]
module Returns =

    /// One-step TD errors δₜ = rₜ₊₁ + γₜ₊₁ v(sₜ₊₁) − v(sₜ) (Sutton and Barto, eq. 6.5). All [P, T].
    /// Gradients pass through every argument: detach what must be a constant.
    let tdErrors (rewards: Tensor) (discounts: Tensor) (valuesTm1: Tensor) (valuesT: Tensor) : Tensor =
        Check.shape "Returns.tdErrors" "discounts" "[P, T]" rewards.shape discounts
        Check.shape "Returns.tdErrors" "valuesTm1" "[P, T]" rewards.shape valuesTm1
        Check.shape "Returns.tdErrors" "valuesT" "[P, T]" rewards.shape valuesT
        rewards.addcmul(discounts, valuesT, Scalars.constant 1.0).minus valuesTm1

    /// Generalized advantages Aₜ = δₜ + γₜ₊₁ λ Aₜ₊₁ (Schulman et al. 2016, eq. 16); Aₜ + v(sₜ) is the λ-return. `decay` = λ in [0, 1].
    /// All [P, T]. λ = 0 gives the TD errors themselves.
    let generalizedAdvantages (decay: float) (discounts: Tensor) (tdErrors: Tensor) : Tensor =
        Check.range "Returns.generalizedAdvantages" "decay" 0.0 1.0 decay
        Check.shape "Returns.generalizedAdvantages" "discounts" "[P, T]" tdErrors.shape discounts

        if decay = 0.0 then
            tdErrors
        else
            let factors = discounts.mul(Scalars.constant decay).unbind 1
            let deltas = tdErrors.unbind 1
            let advantages = Array.zeroCreate<Tensor> deltas.Length
            advantages[deltas.Length - 1] <- deltas[deltas.Length - 1]

            for t in deltas.Length - 2 .. -1 .. 0 do
                advantages[t] <- deltas[t].addcmul(factors[t], advantages[t + 1], Scalars.constant 1.0)

            torch.stack (advantages, 1L)

/// Losses, one a function, one number a member [P]: means over the rollout's steps. Weights and sums belong to the objective.
[<RequireQualifiedAccess>]
module Losses =

    let private half: Scalar = Scalars.constant 0.5

    /// −E[A log π(a|s)]: logits [P, T, A], actions [P, T], advantages [P, T] → [P]. Advantages are held constant.
    let policyGradient (logits: Tensor) (actions: Tensor) (advantages: Tensor) : Tensor =
        (Categorical.logProbability logits actions).mul(advantages.detach ()).mean([| 1L |]).neg()

    /// ½ E[δ²] of errors [P, T] → [P].
    let squaredError (errors: Tensor) : Tensor =
        (errors.squared().mean [| 1L |]).mul half

    /// Minus the mean entropy of the policy in nats: logits [P, T, A] → [P].
    let negativeEntropy (logits: Tensor) : Tensor =
        (Categorical.entropy logits).mean([| 1L |]).neg()

    /// Cross-entropy of logits [P, B, C] with classes [P, B] (int64) → [P].
    let crossEntropy (logits: Tensor) (classes: Tensor) : Tensor =
        (Categorical.logProbability logits classes).mean([| 1L |]).neg()
