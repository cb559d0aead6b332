namespace Bmg

open System
open TorchSharp

/// Plain gradient steps of an actor-critic in closed form, for the steps that nothing is differentiated through (most of them: all L of a
/// target). Back-propagation through two perceptrons is written out, and each weight's gradient is never formed: one native call adds
/// inputᵀ·δ, δ holding −α from the start, to a copy of the weight. The same numbers as `UpdateRule.gradient` with `Optimizers.sgd`, to rounding; a property
/// holds the two together. Steps with a graph are left to the plain definition.
[<RequireQualifiedAccess>]
module ActorCriticDescent =

    let private scalar (v: float) : Scalar = Scalars.constant v
    let private one = scalar 1.0

    /// The input of every layer, and last the output of the network.
    let private trace (network: Network) (x: Params) (input: Tensor) : Tensor[] =
        let values = Array.zeroCreate<Tensor>(network.Layers.Length + 1)
        values[0] <- input

        for i in 0 .. network.Layers.Length - 1 do
            values[i + 1] <-
                match network.Layers[i] with
                | Layer.Linear _ -> Network.affine values[i] x[network.WeightName i] x[network.BiasName i]
                | Layer.Activation f -> Network.activate f values[i]
                | other -> Check.fail "ActorCriticDescent" "network" "a perceptron" (string other)

        values

    /// f′ as a function of f's own output.
    let private slope (activation: Activation) (output: Tensor) : Tensor =
        match activation with
        | Activation.Relu -> output.sign ()
        | Activation.Tanh -> output.squared().neg().plus one
        | Activation.Sigmoid -> output.minus (output.squared ())
        | Activation.Softplus -> output.neg().exp().neg().plus one
        | Activation.Elu -> output.plus(one).clamp_max one
        | Activation.LeakyRelu -> output.sign().clamp_min(scalar 0.0).mul(scalar 0.99).plus(scalar 0.01)
        | other -> Check.fail "ActorCriticDescent" "activation" "a defined activation" (string other)

    /// Whether a network has the closed form: a perceptron whose slopes follow from the layers' outputs.
    let private isClosed (network: Network) : bool =
        network.IsPerceptron
        && network.Layers
           |> Array.forall (function
               | Layer.Activation Activation.Gelu
               | Layer.Activation Activation.Silu -> false
               | _ -> true)

    /// Steps down a network's parameters, given the gradient δ of the loss by its output on the first T rows, [P, T, outputs].
    let private descend
        (network: Network)
        (rate: float)
        (x: Params)
        (values: Tensor[])
        (outputGradient: Tensor)
        (write: string -> Tensor -> unit)
        : unit =
        let rows = outputGradient.shape[1]
        let minus = scalar -rate

        let first (t: Tensor) =
            if t.shape[1] = rows then t else t.narrow (1L, 0L, rows)

        // Everything below is linear in δ, so the step's size is put in here, where it is smallest.
        let mutable delta = outputGradient.mul minus

        for i in network.Layers.Length - 1 .. -1 .. 0 do
            match network.Layers[i] with
            | Layer.Linear _ ->
                let weight, bias = x[network.WeightName i], x[network.BiasName i]
                write (network.WeightName i) (MemberWise.transposedPlus weight (first values[i]) delta)

                write (network.BiasName i) (bias.plus (delta.sum (1L, true)))

                if i > 0 then
                    delta <- MemberWise.product delta (weight.transpose (1L, 2L))
            | Layer.Activation f -> delta <- delta.mul (slope f (first values[i + 1]))
            | other -> Check.fail "ActorCriticDescent" "network" "a perceptron" (string other)

    /// What each step counts in a mean: one number where all count alike, [P, N·T] where some are not valid.
    [<RequireQualifiedAccess; ReferenceEquality; NoComparison>]
    type private Share =
        | Even of steps: float
        | Own of Tensor

        static member Of(rollout: Rollout) : Share =
            match rollout.Valid with
            | null -> Even(float (rollout.Copies * rollout.Steps))
            | valid ->
                let valid = Rollout.Rows valid
                Own(valid.div (valid.sum(1L, true).clamp_min one))

        /// t · share · factor, [P, N·T].
        member this.Times(t: Tensor, factor: float) : Tensor =
            match this with
            | Even steps -> t.mul (scalar (factor / steps))
            | Own share -> t.mul(share).mul(scalar factor)

    /// The losses' gradients by the logits, [P, B, A], and the losses, [P]. `advantages` [P, B], `entropyWeight` [P] or nothing.
    let private policyLoss
        (logits: Tensor)
        (actions: Tensor)
        (share: Share)
        (advantages: Tensor)
        (entropyWeight: Tensor voption)
        : struct (Tensor * Tensor) =
        let logp = Categorical.logProbabilities logits
        let p = logp.exp ()
        let chosen = actions.unsqueeze -1L
        let scaled = share.Times(advantages, 1.0).unsqueeze -1L
        // ∂/∂logits of −A·log π(a) is A·(π − 1ₐ).
        let gradient = p.mul(scaled).scatter_add_(2L, chosen, scaled.neg ())
        let loss = (scaled.mul (logp.gather (2L, chosen))).sum([| 1L; 2L |]).neg()

        match entropyWeight with
        | ValueNone -> struct (gradient, loss)
        | ValueSome weight ->
            // ∂/∂logits of Σ π log π is π·(log π − Σ π log π).
            let negativeEntropy = (p.mul logp).sum(-1L, true)

            let weight =
                match share with
                | Share.Even steps -> (weight.mul (scalar (1.0 / steps))).reshape(-1L, 1L, 1L)
                | Share.Own share -> (share.mul (weight.reshape (-1L, 1L))).unsqueeze -1L

            let toward = p.mul (logp.minus negativeEntropy)

            struct (gradient.addcmul_ (toward, weight, one), loss.plus ((negativeEntropy.mul weight).sum [| 1L; 2L |]))

    /// Gradients by the values of the T states acted in [P, N, T], as gradients by those of all T + 1, in rows.
    let private ofAllStates (gradient: Tensor) (rollout: Rollout) : Tensor =
        if rollout.Copies = 1L then
            // The last state is the last row: it is left out below.
            Rollout.Rows gradient
        else
            let last = torch.zeros_like (gradient.narrow (2L, 0L, 1L))
            Rollout.Rows(torch.cat ([| gradient; last |], 2L))

    let private step
        (agent: ActorCritic)
        (rate: float)
        (wholeLoss: bool)
        (learner: LearnerState)
        (hyper: Params)
        (rollout: Rollout)
        : UpdateStep =
        use _ = torch.no_grad ()
        let x = learner.Parameters
        // Parameters that the step leaves alone go on as handles of their own: whoever frees the old learner must not free the new one's.
        let next = x.TensorArray |> Array.map (fun _ -> ValueNone)

        let write (name: string) (value: Tensor) =
            next[Array.IndexOf(x.NameArray, name)] <- ValueSome value

        let seen = ActorCritic.seen x.TensorArray[0] rollout
        let valueTrace = trace agent.Value x (Rollout.Rows seen)

        let values =
            valueTrace[valueTrace.Length - 1].reshape(rollout.Rewards.shape[0], rollout.Copies, rollout.Steps + 1L)

        let errors = ActorCritic.advantages agent hyper rollout values

        let errors =
            match rollout.Valid with
            | null -> errors
            | valid -> errors.masked_fill (valid.eq (scalar 0.0), scalar 0.0)

        let share = Share.Of rollout
        let policyTrace = trace agent.Policy x (Rollout.Rows(seen.narrow (2L, 0L, rollout.Steps)))

        let struct (gradient, policy) =
            policyLoss
                policyTrace[policyTrace.Length - 1]
                (ActorCritic.actionsTaken agent rollout)
                share
                (Rollout.Rows errors)
                (if wholeLoss then
                     ValueSome(Settings.value agent.EntropyWeight hyper values)
                 else
                     ValueNone)

        descend agent.Policy rate x policyTrace gradient write

        let loss =
            if wholeLoss then
                let scaled (weight: float) =
                    share.Times(Rollout.Rows errors, weight).reshape errors.shape

                let squared () = Rollout.Rows(errors.squared ())

                let ofValue, loss =
                    match agent.ValueWeight with
                    | Setting.Constant weight ->
                        scaled -weight,
                        (match share with
                         | Share.Even _ -> policy.add ((squared ()).mean [| 1L |], scalar (0.5 * weight))
                         | Share.Own own -> policy.add (((squared ()).mul own).sum(1L), scalar (0.5 * weight)))
                    | learned ->
                        let weight = Settings.value learned hyper values
                        let mean = share.Times(squared (), 0.5).sum 1L
                        (scaled -1.0).mul(weight.reshape (-1L, 1L, 1L)), policy.addcmul (weight, mean, one)

                descend agent.Value rate x valueTrace ((ofAllStates ofValue rollout).unsqueeze -1L) write
                loss
            else
                policy

        {
            Learner = {
                learner with
                    Parameters =
                        x.WithTensors(
                            Array.map2
                                (fun (t: Tensor) -> ValueOption.defaultWith (fun () -> t.alias ()))
                                x.TensorArray
                                next
                        )
            }
            Loss = loss
        }

    /// Whether the closed form covers it: separate networks, and one discrete action that is always allowed.
    let private has (agent: ActorCritic) (rollout: Rollout) =
        isNull agent.Torso
        && agent.Distribution.Output = "logits"
        && isNull rollout.Mask

    let private around (plain: UpdateRule<Rollout>) (agent: ActorCritic) (rate: float) (wholeLoss: bool) =
        let closed = isClosed agent.Policy && isClosed agent.Value

        {
            plain with
                Step =
                    Func<_, _, _, _, _>(fun learner hyper rollout differentiation ->
                        if closed && differentiation = Differentiation.None && has agent rollout then
                            step agent rate wholeLoss learner hyper rollout
                        else
                            plain.Step.Invoke(learner, hyper, rollout, differentiation))
        }

    /// <summary>φ: one step of SGD on the whole actor-critic loss.</summary>
    /// <param name="agent">The actor-critic.</param>
    /// <param name="rate">Step size, at least 0.</param>
    /// <returns>φ</returns>
    [<CompiledName "Learner">]
    let learner (agent: ActorCritic) (rate: float) : UpdateRule<Rollout> =
        around (UpdateRule.gradient (ActorCritic.loss agent) (Optimizers.sgd rate)) agent rate true

    /// <summary>The target's last step: one step of SGD on the policy-gradient loss alone.</summary>
    /// <param name="agent">The actor-critic.</param>
    /// <param name="rate">Step size, at least 0.</param>
    /// <returns>φ</returns>
    [<CompiledName "Greedy">]
    let greedy (agent: ActorCritic) (rate: float) : UpdateRule<Rollout> =
        around (UpdateRule.gradient (ActorCritic.policyLoss agent 0.0) (Optimizers.sgd rate)) agent rate false
