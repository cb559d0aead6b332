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

    let private half: Scalar = Scalars.constant 0.5
    let private log2: Scalar = Scalars.constant (log 2.0)

    /// Jensen-Shannon divergence ½KL(p ‖ m) + ½KL(q ‖ m) with m = ½(p + q), in nats, [..]: in [0, log 2]. The mean is never formed: with
    /// d = log q − log p, log(p/m) = log 2 + log σ(−d), whose derivatives are bounded.
    let jensenShannon (p: Tensor) (q: Tensor) : Tensor =
        Check.shape "Categorical.jensenShannon" "q" "the shape of p" p.shape q
        let logp = logProbabilities p
        let logq = logProbabilities q
        let d = logq.minus logp

        let side (logOwn: Tensor) (gap: Tensor) =
            logOwn.exp().mul((torch.nn.functional.logsigmoid gap).plus log2)

        (side logp (d.neg ())).plus(side logq d).sum(-1L).mul half

    /// Jeffreys' divergence KL(p ‖ q) + KL(q ‖ p) = Σ (p − q)(log p − log q) in nats, [..]: no term is below zero.
    let jeffreys (p: Tensor) (q: Tensor) : Tensor =
        Check.shape "Categorical.jeffreys" "q" "the shape of p" p.shape q
        let logp = logProbabilities p
        let logq = logProbabilities q
        (logp.exp().minus(logq.exp ())).mul(logp.minus logq).sum(-1L)

    /// Squared Hellinger distance 1 − Σ √(pq) = ½ Σ (√p − √q)², [..]: in [0, 1]. √p = exp(½ log p) has no root to differentiate at 0.
    let squaredHellinger (p: Tensor) (q: Tensor) : Tensor =
        Check.shape "Categorical.squaredHellinger" "q" "the shape of p" p.shape q

        let root (logits: Tensor) =
            (logProbabilities logits).mul(half).exp()

        ((root p).minus(root q)).squared().sum(-1L).mul half

    /// Variance of a number per action, `values` [.., A], under p: Σ p (v − Σ p v)², [..].
    let variance (p: Tensor) (values: Tensor) : Tensor =
        Check.shape "Categorical.variance" "values" "the shape of p" p.shape values
        let p = probabilities p
        let centred = values.minus ((p.mul values).sum(-1L, keepdim = true))
        (p.mul (centred.squared ())).sum(-1L)

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
