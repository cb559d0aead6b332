namespace Bmg

open TorchSharp

/// Categorical distributions given by logits along the last axis: logits [.., A] → values [..]. Values and their first two derivatives are
/// finite for finite logits of any size, in float32 as in float64, and no divergence is below zero, not by rounding either; at equal logits
/// each is exactly 0.
///
/// A logit of −∞ masks its action: π is 0 there, it adds nothing to any value, and its gradient is 0. Where q masks what p does not,
/// KL(p ‖ q) and Jeffreys' divergence are +∞. A state in which every action is masked has no policy: what is computed of it is NaN, as it
/// is where a logit is NaN or +∞.
[<RequireQualifiedAccess>]
module Categorical =

    // As far off zero as logits and log-probabilities count. e to the power of −1e18 is 0 and 0 · 1e18 is 0, where 0 · −∞ would be NaN;
    // the square of 1e18 is still a float32.
    let private far: Scalar = Scalars.constant 1e18
    let private minusFar: Scalar = Scalars.constant -1e18
    let private zero: Scalar = Scalars.constant 0.0
    let private half: Scalar = Scalars.constant 0.5
    let private one: Scalar = Scalars.constant 1.0
    let private log2: Scalar = Scalars.constant (log 2.0)
    let private infinite: Scalar = Scalars.constant infinity

    /// The same numbers, none farther from 0 than 1e18, infinities included; no gradient passes where a number was.
    let internal bounded (t: Tensor) : Tensor = t.clamp (minusFar, far)

    /// <summary>log π(a) for every action, [.., A], and −1e18 where that is less, as for a masked action: no gradient passes there.</summary>
    /// <param name="logits">[.., A]; −∞ masks an action.</param>
    /// <returns>[.., A], in nats.</returns>
    [<CompiledName "LogProbabilities">]
    let logProbabilities (logits: Tensor) : Tensor =
        (logits.log_softmax -1L).clamp_min minusFar

    /// <summary>π(a) for every action, [.., A].</summary>
    /// <param name="logits">[.., A]; −∞ masks an action.</param>
    /// <returns>[.., A]</returns>
    [<CompiledName "Probabilities">]
    let probabilities (logits: Tensor) : Tensor = logits.softmax (-1L)

    /// <summary>log π(action) of the chosen actions: logits [.., A], actions [..] (int64) → [..].</summary>
    /// <param name="logits">[.., A]; −∞ masks an action.</param>
    /// <param name="actions">[..], int64.</param>
    /// <returns>[..], in nats.</returns>
    [<CompiledName "LogProbability">]
    let logProbability (logits: Tensor) (actions: Tensor) : Tensor =
        (logProbabilities logits).gather(-1L, actions.unsqueeze (-1L)).squeeze(-1L)

    /// <summary>Entropy in nats, −Σ π log π, [..].</summary>
    /// <param name="logits">[.., A]; −∞ masks an action.</param>
    /// <returns>[..], in nats.</returns>
    [<CompiledName "Entropy">]
    let entropy (logits: Tensor) : Tensor =
        let logp = logProbabilities logits
        (logp.exp().mul logp).sum(-1L).neg()

    /// A divergence by two formulas that are equal but for rounding, of log p and log q: the value by one that does not go below zero, the
    /// derivatives by one that loses nothing when it is differentiated.
    let private divergence
        (fn: string)
        (value: Tensor -> Tensor -> Tensor)
        (derivatives: Tensor -> Tensor -> Tensor)
        (p: Tensor)
        (q: Tensor)
        : Tensor =
        Check.shape fn "q" "the shape of p" p.shape q
        let logp, logq = logProbabilities p, logProbabilities q

        let value =
            use _ = torch.no_grad ()
            value logp logq

        if logp.requires_grad || logq.requires_grad then
            let slope = derivatives logp logq
            value.plus (slope.minus (slope.detach ()))
        else
            value

    /// p·(eᵈ − 1 − d), no term below zero: p·log(p/q) + q − p where q = p·eᵈ. Σ q = Σ p, so the sum is KL. Where d is not small, p may have
    /// vanished beside eᵈ, and q is taken as it is.
    let private excess (p: Tensor) (q: Tensor) (d: Tensor) : Tensor =
        let near = p.mul (d.expm1().minus d)
        let apart = q.minus(p).minus(p.mul d)
        torch.where(d.abs().lt one, near, apart).clamp_min zero

    /// The value, or +∞ where q masks an action that p does not.
    let private unlessForbidden (p: Tensor) (q: Tensor) (value: Tensor) : Tensor =
        use _ = torch.no_grad ()
        let forbidden = q.isneginf().logical_and(p.isneginf().logical_not())
        value.masked_fill (forbidden.any -1L, infinite)

    /// <summary>KL(p ‖ q) = Σ p (log p − log q) in nats, [..].</summary>
    /// <param name="p">Logits of p, [.., A].</param>
    /// <param name="q">Logits of q, [.., A].</param>
    /// <returns>[..]</returns>
    [<CompiledName "Kl">]
    let kl (p: Tensor) (q: Tensor) : Tensor =
        divergence
            "Categorical.kl"
            (fun logp logq ->
                (excess (logp.exp ()) (logq.exp ()) (logq.minus logp)).sum -1L
                |> unlessForbidden p q)
            (fun logp logq -> (logp.exp().mul(logp.minus logq)).sum -1L)
            p
            q

    /// <summary>Jensen-Shannon divergence ½KL(p ‖ m) + ½KL(q ‖ m) with m = ½(p + q), in nats, [..]: in [0, log 2]. With d = log q − log p,
    /// log(p/m) = log 2 + log σ(−d), whose derivatives are bounded.</summary>
    /// <param name="p">Logits of p, [.., A].</param>
    /// <param name="q">Logits of q, [.., A].</param>
    /// <returns>[..]</returns>
    [<CompiledName "JensenShannon">]
    let jensenShannon (p: Tensor) (q: Tensor) : Tensor =
        divergence
            "Categorical.jensenShannon"
            (fun logp logq ->
                let p, q, d = logp.exp (), logq.exp (), logq.minus logp
                let mean = p.plus(q).mul half
                // log(m/p) and log(m/q), with all their digits near a match.
                let common = d.abs().neg().expm1().mul(half).log1p()
                let ofP, ofQ = d.clamp_min(zero).plus common, d.neg().clamp_min(zero).plus common
                (excess p mean ofP).plus(excess q mean ofQ).sum(-1L).mul half)
            (fun logp logq ->
                let d = logq.minus logp

                let side (logOwn: Tensor) (gap: Tensor) =
                    logOwn.exp().mul((torch.nn.functional.logsigmoid gap).plus log2)

                (side logp (d.neg ())).plus(side logq d).sum(-1L).mul half)
            p
            q

    /// <summary>Jeffreys' divergence KL(p ‖ q) + KL(q ‖ p) = Σ (p − q)(log p − log q) in nats, [..].</summary>
    /// <param name="p">Logits of p, [.., A].</param>
    /// <param name="q">Logits of q, [.., A].</param>
    /// <returns>[..]</returns>
    [<CompiledName "Jeffreys">]
    let jeffreys (p: Tensor) (q: Tensor) : Tensor =
        let terms (logp: Tensor) (logq: Tensor) =
            (logp.exp().minus(logq.exp ())).mul(logp.minus logq)

        divergence
            "Categorical.jeffreys"
            (fun logp logq ->
                (terms logp logq).clamp_min(zero).sum -1L
                |> unlessForbidden p q
                |> unlessForbidden q p)
            (fun logp logq -> (terms logp logq).sum -1L)
            p
            q

    /// <summary>Squared Hellinger distance 1 − Σ √(pq) = ½ Σ (√p − √q)², [..]: in [0, 1]. √p = exp(½ log p) has no root to differentiate at 0.</summary>
    /// <param name="p">Logits of p, [.., A].</param>
    /// <param name="q">Logits of q, [.., A].</param>
    /// <returns>[..]</returns>
    [<CompiledName "SquaredHellinger">]
    let squaredHellinger (p: Tensor) (q: Tensor) : Tensor =
        Check.shape "Categorical.squaredHellinger" "q" "the shape of p" p.shape q

        let root (logits: Tensor) =
            (logProbabilities logits).mul(half).exp()

        ((root p).minus(root q)).squared().sum(-1L).mul half

    /// <summary>Variance of a number per action, `values` [.., A], under p: Σ p (v − Σ p v)², [..]. Values count as within ±1e18.</summary>
    /// <param name="p">Logits of p, [.., A].</param>
    /// <param name="values">[.., A]</param>
    /// <returns>[..]</returns>
    [<CompiledName "Variance">]
    let variance (p: Tensor) (values: Tensor) : Tensor =
        Check.shape "Categorical.variance" "values" "the shape of p" p.shape values
        let p, values = probabilities p, bounded values
        let centred = values.minus ((p.mul values).sum(-1L, keepdim = true))
        (p.mul (centred.squared ())).sum(-1L)

    /// <summary>One action for a row of probabilities, by inversion of one uniform draw in [0, 1). Plain numbers: acting needs no tensor. It never
    /// throws and always gives an action that there is, if there is one: of a row that is no distribution, the first where all are 0, and
    /// where there is a NaN it or the first. Whoever acts looks for numbers that are not finite where they are made.</summary>
    /// <param name="probabilities">One row, [A].</param>
    /// <param name="uniform">In [0, 1).</param>
    /// <returns>An index.</returns>
    [<CompiledName "Sample">]
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
