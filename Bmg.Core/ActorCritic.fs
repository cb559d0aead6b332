namespace Bmg

open TorchSharp

/// A rollout of T steps of every member, and the state it ended in.
[<ReferenceEquality>]
type Rollout = {
    /// [P, T + 1, O]: the states acted in, and last the one reached.
    Observations: Tensor
    /// [P, T], int64.
    Actions: Tensor
    /// [P, T], what each action earned.
    Rewards: Tensor
    /// [P, T], γ, or 0 where an episode ended with the action.
    Discounts: Tensor
} with

    /// The tensors by name, to be written down.
    member this.ToParams() : Params =
        Params.Create(
            [| "observations"; "actions"; "rewards"; "discounts" |],
            [| this.Observations; this.Actions; this.Rewards; this.Discounts |]
        )

    /// The inverse of `ToParams`.
    static member OfParams(p: Params) : Rollout = {
        Observations = p["observations"]
        Actions = p["actions"]
        Rewards = p["rewards"]
        Discounts = p["discounts"]
    }

/// An actor-critic over separate policy and value networks, and the numbers its losses take.
[<ReferenceEquality>]
type ActorCritic = {
    /// Observation → logits.
    Policy: Network
    /// Observation → one value.
    Value: Network
    /// λ of the advantages; 0 gives one-step TD errors.
    TraceDecay: float
    /// Weight of the value loss.
    ValueWeight: float
}

/// Losses of an actor-critic agent (CMG, section on two-colors; A2C of Mnih et al. 2016 without a shared torso).
[<RequireQualifiedAccess>]
module ActorCritic =

    /// Name of the hyper-parameter that weighs the entropy loss, [P].
    [<Literal>]
    let EntropyWeight = "entropyWeight"

    /// Parameters of both networks, one member a seed.
    let init
        (agent: ActorCritic)
        (initialization: Initialization)
        (seeds: Seed[])
        (dtype: torch.ScalarType)
        (device: torch.Device)
        : Params =
        Params.merge [|
            Network.init agent.Policy initialization seeds dtype device
            Network.init agent.Value initialization seeds dtype device
        |]

    let private steps (rollout: Rollout) = rollout.Actions.shape[1]

    /// Logits at the states acted in, [P, T, A].
    let logits (agent: ActorCritic) (x: Params) (rollout: Rollout) : Tensor =
        Network.apply agent.Policy x (rollout.Observations.narrow (1L, 0L, steps rollout))

    /// Values of all T + 1 states, [P, T + 1].
    let values (agent: ActorCritic) (x: Params) (rollout: Rollout) : Tensor =
        (Network.apply agent.Value x rollout.Observations).squeeze -1L

    /// Errors of the values against their targets, [P, T]: TD errors or λ-returns minus values. The targets are constants.
    let private valueErrors (agent: ActorCritic) (values: Tensor) (rollout: Rollout) : Tensor =
        let t = steps rollout
        let before = values.narrow (1L, 0L, t)
        let after = values.detach().narrow(1L, 1L, t)
        let td = Returns.tdErrors rollout.Rewards rollout.Discounts before after

        if agent.TraceDecay = 0.0 then
            td
        else
            let constants = td.detach ()

            (Returns.generalizedAdvantages agent.TraceDecay rollout.Discounts constants).plus(before.detach ()).minus
                before

    let private scalar (v: float) : Scalar = Scalars.constant v

    /// L_policy + c·L_value + α_ent·L_entropy, with α_ent the hyper-parameter "entropyWeight": what the learner descends.
    let objective (agent: ActorCritic) : Objective<Rollout> =
        let weight = scalar agent.ValueWeight

        Objective<Rollout>
            .Create(
                "actor-critic loss",
                (fun x hyper rollout ->
                    let errors = valueErrors agent (values agent x rollout) rollout
                    let logits = logits agent x rollout
                    let policy = Losses.policyGradient logits rollout.Actions errors
                    let entropy = Losses.negativeEntropy logits

                    policy.addcmul(hyper[EntropyWeight], entropy, scalar 1.0).add(Losses.squaredError errors, weight))
            )

    /// L_policy + α_outer·L_entropy: the last step of the default target (α_outer = 0), or the outer loss of a plain meta-gradient.
    let policyObjective (agent: ActorCritic) (outerEntropyWeight: float) : Objective<Rollout> =
        let weight = scalar outerEntropyWeight

        Objective<Rollout>
            .Create(
                "policy loss",
                (fun x _ rollout ->
                    let errors =
                        use _ = torch.no_grad ()
                        valueErrors agent (values agent x rollout) rollout

                    let logits = logits agent x rollout
                    let policy = Losses.policyGradient logits rollout.Actions errors

                    if outerEntropyWeight = 0.0 then
                        policy
                    else
                        policy.add (Losses.negativeEntropy logits, weight))
            )

    /// The policy on the states of a rollout: output "logits" [P, T, A].
    let model (agent: ActorCritic) : Model<Rollout> =
        Model<Rollout>.Create("policy", (fun x _ rollout -> Params.Single("logits", logits agent x rollout)))
