namespace Bmg

open TorchSharp

/// Categorical distributions given by logits along the last axis: logits [.., A] → values [..]. Everything goes through log-softmax, so
/// values and their first two derivatives stay finite for logits of any finite size.
[<RequireQualifiedAccess>]
module Categorical =

    /// log π(a) for every action, [.., A].
    let logProbabilities (logits: Tensor) : Tensor = logits.log_softmax (-1L)

    /// π(a) for every action, [.., A].
    let probabilities (logits: Tensor) : Tensor = logits.softmax (-1L)

    /// log π(action) of the chosen actions: logits [.., A], actions [..] (int64) → [..].
    let logProbability (logits: Tensor) (actions: Tensor) : Tensor =
        (logProbabilities logits).gather(-1L, actions.unsqueeze (-1L)).squeeze(-1L)

    /// Entropy in nats, −Σ π log π, [..].
    let entropy (logits: Tensor) : Tensor =
        let logp = logProbabilities logits
        (logp.exp().mul logp).sum(-1L).neg()

    /// KL(p ‖ q) = Σ p (log p − log q) in nats, [..].
    let kl (p: Tensor) (q: Tensor) : Tensor =
        Check.shape "Categorical.kl" "q" "the shape of p" p.shape q
        let logp = logProbabilities p
        (logp.exp().mul(logp.minus (logProbabilities q))).sum(-1L)

    /// One action for a row of probabilities, by inversion of one uniform draw in [0, 1). Plain numbers: acting needs no tensor.
    let sample (probabilities: System.ReadOnlySpan<float32>, uniform: float) : int =
        let mutable left = float32 uniform
        let mutable action = 0

        while action < probabilities.Length - 1 && left >= probabilities[action] do
            left <- left - probabilities[action]
            action <- action + 1

        // Where rounding leaves the draw beyond the sum, the last action that can happen is taken, not one of probability zero.
        while action > 0 && probabilities[action] <= 0f do
            action <- action - 1

        action
