namespace Bmg

open System
open System.ComponentModel
open TorchSharp

/// T steps of N copies of the environment a member, and the states that they ended in. It says what happened: γ is not in it. Tensors
/// that are null say that nothing of the kind occurs.
///
/// After an end at step t, row t + 1 of the observations holds the true last one of the episode; step t + 1 is not valid (its action and
/// reward mean nothing) and row t + 2 holds the first observation of the next episode. So a reset is never a transition. γ·v(row t + 1) is
/// cut by a termination alone; the λ-recursion by either end, and by steps that are not valid; losses are means over valid steps, 0 for a
/// member that has none.
[<ReferenceEquality>]
type Rollout = {
    /// [P, N, T + 1, O…]: the states acted in, and last the one reached. Bytes count as 0 to 1.
    Observations: Tensor
    /// [P, N, T] int64 for one discrete action, [P, N, T, k] for several (int64) or for numbers.
    Actions: Tensor
    /// [P, N, T], what each action earned.
    Rewards: Tensor
    /// [P, N, T], 1 where the episode is over for good: nothing is to be expected after.
    Terminated: Tensor | null
    /// [P, N, T], 1 where the episode was cut off: the state reached still has its value.
    Truncated: Tensor | null
    /// [P, N, T], 1 where the step happened, 0 where it stands between two episodes.
    Valid: Tensor | null
    /// [P, N, T + 1, choices], 1 where an action is allowed in that state.
    Mask: Tensor | null
    /// [P, N, T], log-probability in nats that each action had when it was taken.
    BehaviourLogProbability: Tensor | null
} with

    /// A rollout without ends. Rewards [P, N, T], or [P, T] of one copy: then no tensor has the axis of copies, and each is given one.
    static member Create(observations: Tensor, actions: Tensor, rewards: Tensor) : Rollout =
        let several = rewards.shape.Length = 3

        Check.require
            "Rollout.Create"
            "rewards"
            "of shape [P, N, T], or [P, T] of one copy"
            (Check.describe rewards)
            (several || rewards.shape.Length = 2)

        let withCopies (t: Tensor) = if several then t else t.unsqueeze 1L

        let rollout = {
            Observations = withCopies observations
            Actions = withCopies actions
            Rewards = withCopies rewards
            Terminated = null
            Truncated = null
            Valid = null
            Mask = null
            BehaviourLogProbability = null
        }

        let steps = rollout.Rewards.shape
        let along (t: Tensor) = Array.truncate 3 t.shape

        if along rollout.Actions <> steps then
            Check.fail
                "Rollout.Create"
                "actions"
                "of the rewards' axes, and one more where several"
                (Check.describe actions)

        if along rollout.Observations <> [| steps[0]; steps[1]; steps[2] + 1L |] then
            Check.fail "Rollout.Create" "observations" "of one step more than the rewards" (Check.describe observations)

        rollout

    /// A tensor of the rollout [P, N, T, …] as rows, [P, N·T, …].
    static member Rows(t: Tensor) : Tensor = t.flatten (1L, 2L)

    /// T
    member this.Steps: int64 = this.Rewards.shape[2]

    /// N
    member this.Copies: int64 = this.Rewards.shape[1]

    member private this.Checked(name: string, t: Tensor) : Tensor =
        let t = if t.shape.Length = 2 then t.unsqueeze 1L else t
        Check.shape "Rollout" name "[P, N, T]" this.Rewards.shape t
        t

    /// The same with ends: 1 where an episode terminated, 1 where it was truncated, 1 where a step is valid; [P, N, T] each (or [P, T] of
    /// one copy), null where it does not occur.
    member this.WithEnds(terminated: Tensor | null, truncated: Tensor | null, valid: Tensor | null) : Rollout =
        let given (name: string) (t: Tensor | null) : Tensor | null =
            match t with
            | null -> null
            | t -> this.Checked(name, t)

        {
            this with
                Terminated = given "terminated" terminated
                Truncated = given "truncated" truncated
                Valid = given "valid" valid
        }

    /// The same with what was allowed, [P, N, T + 1, choices] (or [P, T + 1, choices] of one copy). States that are acted in allow at
    /// least one choice of each action.
    member this.WithMask(mask: Tensor) : Rollout =
        let mask = if mask.shape.Length = 3 then mask.unsqueeze 1L else mask
        let steps = this.Rewards.shape

        Check.shape "Rollout.WithMask" "mask" "[P, N, T + 1, choices]" [| steps[0]; steps[1]; steps[2] + 1L; -1L |] mask

        { this with Mask = mask }

    /// The same with the log-probability that actions had, [P, N, T] (or [P, T] of one copy).
    member this.WithBehaviour(logProbability: Tensor) : Rollout = {
        this with
            BehaviourLogProbability = this.Checked("behaviourLogProbability", logProbability)
    }

    /// Disposes every tensor that is there.
    member this.Dispose() : unit = this.ToParams().Dispose()

    interface IDisposable with
        member this.Dispose() = this.Dispose()

    /// The tensors that are there, by name, to be written down.
    member this.ToParams() : Params =
        let tensors: (string * (Tensor | null))[] = [|
            "observations", this.Observations
            "actions", this.Actions
            "rewards", this.Rewards
            "terminated", this.Terminated
            "truncated", this.Truncated
            "valid", this.Valid
            "mask", this.Mask
            "behaviourLogProbability", this.BehaviourLogProbability
        |]

        let there =
            tensors
            |> Array.choose (fun (name, t) ->
                match t with
                | null -> None
                | t -> Some(name, t))

        Params.Create(Array.map fst there, Array.map snd there)

    /// The inverse of `ToParams`.
    static member OfParams(p: Params) : Rollout =
        let optional (name: string) : Tensor | null =
            if p.Contains name then p[name] else null

        {
            Observations = p["observations"]
            Actions = p["actions"]
            Rewards = p["rewards"]
            Terminated = optional "terminated"
            Truncated = optional "truncated"
            Valid = optional "valid"
            Mask = optional "mask"
            BehaviourLogProbability = optional "behaviourLogProbability"
        }

/// An actor-critic: its networks, what its policy's outputs mean, and the numbers that its losses take, each a constant or learned.
[<ReferenceEquality>]
type ActorCritic = {
    /// Observation → features that policy and value share; null where they are separate networks of the observation.
    Torso: Network | null
    /// → raw outputs of the distribution.
    Policy: Network
    /// → one value.
    Value: Network
    /// What the policy's raw outputs mean.
    Distribution: Distribution
    /// γ in [0, 1].
    Discount: Setting
    /// λ in [0, 1]: advantages are generalized ones (λ-returns minus values). The constant 0 gives one-step TD errors.
    TraceDecay: Setting
    /// Weight of the entropy term in the whole loss.
    EntropyWeight: Setting
    /// Weight of the value loss, which is half the mean of the squared errors: a weight of 0.5 makes it a quarter.
    ValueWeight: Setting
} with

    /// Separate networks, one discrete action; γ = 0.99, one-step TD errors, the entropy weight learned by its name, the value loss ½E[(target − v)²]
    /// weighted by 0.5.
    static member Create(policy: Network, value: Network) : ActorCritic = {
        Torso = null
        Policy = policy
        Value = value
        Distribution = Distributions.categorical policy.Outputs
        Discount = Setting.Constant 0.99
        TraceDecay = Setting.Constant 0.0
        EntropyWeight = Setting.Learned HyperParameters.EntropyWeight
        ValueWeight = Setting.Constant 0.5
    }

    /// The same with a network that policy and value network take the output of.
    member this.WithTorso(torso: Network) : ActorCritic = { this with Torso = torso }

    /// The same with another meaning of the policy's raw outputs, as many as the policy has.
    member this.WithDistribution(distribution: Distribution) : ActorCritic =
        Check.require
            "ActorCritic.WithDistribution"
            "distribution"
            $"of {this.Policy.Outputs} raw outputs, those of network '{this.Policy.Name}'"
            $"{distribution.Name} of {distribution.Outputs}"
            (distribution.Outputs = this.Policy.Outputs)

        {
            this with
                Distribution = distribution
        }

    /// The same with another γ.
    member this.WithDiscount(discount: Setting) : ActorCritic =
        Settings.check "ActorCritic.WithDiscount" "discount" 0.0 1.0 discount
        { this with Discount = discount }

    /// The same with another λ.
    member this.WithTraceDecay(decay: Setting) : ActorCritic =
        Settings.check "ActorCritic.WithTraceDecay" "decay" 0.0 1.0 decay
        { this with TraceDecay = decay }

    /// The same with another entropy weight.
    member this.WithEntropyWeight(weight: Setting) : ActorCritic =
        Settings.check "ActorCritic.WithEntropyWeight" "weight" -infinity infinity weight
        { this with EntropyWeight = weight }

    /// The same with another weight c of the value loss: c·½E[(target − v)²] in the whole loss. The ½ is not part of the weight: implementations
    /// that take the mean of squares itself have half this weight.
    member this.WithValueWeight(weight: Setting) : ActorCritic =
        Settings.check "ActorCritic.WithValueWeight" "weight" 0.0 infinity weight
        { this with ValueWeight = weight }

    /// Names of the hyper-parameters that its losses read, each once.
    member this.Learned: string[] =
        [| this.Discount; this.TraceDecay; this.EntropyWeight; this.ValueWeight |]
        |> Array.choose (fun s -> ValueOption.toOption (Settings.name s))
        |> Array.distinct

/// Losses of an actor-critic agent (CMG, section on two-colors; A2C of Mnih et al. 2016). The gradient stops at values, which are constants
/// inside advantages and value targets, and nowhere else: γ, λ and weights have theirs (Xu et al. 2018, section 2).
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module ActorCritic =

    /// Name of the hyper-parameter that weighs the entropy loss, [P].
    [<Literal>]
    let EntropyWeight = HyperParameters.EntropyWeight

    let private scalar (v: float) : Scalar = Scalars.constant v
    let private zero = scalar 0.0
    let private one = scalar 1.0

    /// Parameters of all networks, one member a seed.
    let init
        (agent: ActorCritic)
        (initialization: Initialization)
        (seeds: Seed[])
        (dtype: torch.ScalarType)
        (device: torch.Device)
        : Params =
        Params.merge [|
            match agent.Torso with
            | null -> ()
            | torso -> Network.init torso initialization seeds dtype device

            Network.init agent.Policy initialization seeds dtype device
            Network.init agent.Value initialization seeds dtype device
        |]

    let private byteRange = scalar (1.0 / 255.0)

    /// Observations of all T + 1 states as networks take them, [P, N, T + 1, O…].
    let internal seen (like: Tensor) (rollout: Rollout) : Tensor =
        if rollout.Observations.dtype = torch.uint8 then
            (rollout.Observations.``to`` like.dtype).mul byteRange
        else
            rollout.Observations

    /// What policy and value network take: [P, N, T + 1, …].
    let private features (agent: ActorCritic) (x: Params) (rollout: Rollout) : Tensor =
        let seen = seen x.TensorArray[0] rollout

        match agent.Torso with
        | null -> seen
        | torso ->
            let rows = Network.apply torso x (Rollout.Rows seen)
            rows.unflatten (1L, [| rollout.Copies; rollout.Steps + 1L |])

    /// Raw outputs at the states acted in, [P, N·T, O]: actions that are not allowed have −∞. A step that is not valid allows everything.
    let private policyOf (agent: ActorCritic) (x: Params) (rollout: Rollout) (features: Tensor) : Tensor =
        let raw = Network.apply agent.Policy x (Rollout.Rows(features.narrow (2L, 0L, rollout.Steps)))

        match rollout.Mask with
        | null -> raw
        | mask ->
            let mask = Rollout.Rows(mask.narrow (2L, 0L, rollout.Steps))

            let mask =
                match rollout.Valid with
                | null -> mask
                | valid -> mask.masked_fill ((Rollout.Rows valid).eq(zero).unsqueeze -1L, one)

            Distributions.masked agent.Distribution raw mask

    let private valuesOf (agent: ActorCritic) (x: Params) (rollout: Rollout) (features: Tensor) : Tensor =
        (Network.apply agent.Value x (Rollout.Rows features))
            .reshape(rollout.Rewards.shape[0], rollout.Copies, rollout.Steps + 1L)

    /// Raw outputs of the policy at the states acted in, [P, N·T, O]; actions that are not allowed have −∞.
    let logits (agent: ActorCritic) (x: Params) (rollout: Rollout) : Tensor =
        policyOf agent x rollout (features agent x rollout)

    /// Values of all T + 1 states, [P, N, T + 1].
    let values (agent: ActorCritic) (x: Params) (rollout: Rollout) : Tensor =
        valuesOf agent x rollout (features agent x rollout)

    /// 0 where either of two flags is set, and 1 elsewhere; nothing where neither can be.
    let private unless (flags: (Tensor | null)[]) : Tensor voption =
        flags
        |> Array.fold
            (fun kept flag ->
                match flag with
                | null -> kept
                | flag ->
                    let clear = flag.neg().plus one

                    match kept with
                    | ValueNone -> ValueSome clear
                    | ValueSome(kept: Tensor) -> ValueSome(kept.mul clear))
            ValueNone

    let private cut (t: Tensor) (kept: Tensor voption) =
        match kept with
        | ValueNone -> t
        | ValueSome kept -> t.mul kept

    /// [P], or [1], against [P, N, T].
    let private perStep (t: Tensor) : Tensor = t.reshape (-1L, 1L, 1L)

    /// γ of every step, [P, N, T], 0 where the episode terminated.
    let private discounts (agent: ActorCritic) (hyper: Params) (rollout: Rollout) : Tensor =
        let rewards = rollout.Rewards

        let all =
            match agent.Discount with
            | Setting.Constant discount -> torch.full_like (rewards, scalar discount)
            | learned -> (perStep (Settings.value learned hyper rewards)).expand rewards.shape

        cut all (unless [| rollout.Terminated |])

    /// What each step earned, 0 where it is not valid.
    let private rewards (rollout: Rollout) : Tensor =
        match rollout.Valid with
        | null -> rollout.Rewards
        | valid -> rollout.Rewards.masked_fill (valid.eq zero, zero)

    let private isOneStep (agent: ActorCritic) =
        (agent.TraceDecay = Setting.Constant 0.0)

    /// From TD errors δ [P, N, T], constant in values, to generalized advantages.
    let private generalized (agent: ActorCritic) (hyper: Params) (rollout: Rollout) (discounts: Tensor) (td: Tensor) =
        let factors =
            match agent.TraceDecay with
            | Setting.Constant decay -> discounts.mul (scalar decay)
            | learned -> discounts.mul (perStep (Settings.value learned hyper td))

        match rollout.Valid with
        | null -> Returns.accumulate (cut factors (unless [| rollout.Truncated |])) td
        | valid ->
            let factors = cut factors (unless [| rollout.Truncated |])
            let skipped = valid.eq zero
            Returns.accumulate (factors.masked_fill (skipped, zero)) (td.masked_fill (skipped, zero))

    /// Advantages from values [P, N, T + 1], constants: value targets minus values, [P, N, T]; a graph where γ or λ has one.
    let advantages (agent: ActorCritic) (hyper: Params) (rollout: Rollout) (values: Tensor) : Tensor =
        let t = rollout.Steps
        let discounts = discounts agent hyper rollout
        let before, after = values.narrow (2L, 0L, t), values.narrow (2L, 1L, t)
        let td = Returns.tdErrors (rewards rollout) discounts before after

        if isOneStep agent then
            td
        else
            generalized agent hyper rollout discounts td

    /// Errors of the values against their targets, [P, N, T]: TD errors or λ-returns minus values. Values in targets are constants; γ and λ
    /// are not.
    let private valueErrors (agent: ActorCritic) (hyper: Params) (values: Tensor) (rollout: Rollout) : Tensor =
        let t = rollout.Steps
        let before = values.narrow (2L, 0L, t)
        let after = values.detach().narrow(2L, 1L, t)
        let discounts = discounts agent hyper rollout
        let rewards = rewards rollout

        if isOneStep agent then
            Returns.tdErrors rewards discounts before after
        else
            let constants = before.detach ()

            (Returns.tdErrors rewards discounts constants after
             |> generalized agent hyper rollout discounts)
                .plus(constants)
                .minus
                before

    /// The errors as advantages: constant in values, but not in γ and λ where those are learned.
    let private asAdvantages (agent: ActorCritic) (values: Tensor) (rollout: Rollout) (errors: Tensor) : Tensor =
        match agent.Discount, agent.TraceDecay with
        | Setting.Constant _, Setting.Constant _ -> errors.detach ()
        | _ ->
            // errors = targets − v: what v's derivative adds is taken off again.
            let before = values.narrow (2L, 0L, rollout.Steps)
            errors.plus (before.minus (before.detach ()))

    /// Weights of the steps as rows, [P, N·T], or null where all count.
    let private weights (rollout: Rollout) : Tensor | null =
        match rollout.Valid with
        | null -> null
        | valid -> Rollout.Rows valid

    /// Actions as rows, [P, N·T] or [P, N·T, k]; 0 where a step is not valid.
    let internal actionsTaken (agent: ActorCritic) (rollout: Rollout) : Tensor =
        let actions = Rollout.Rows rollout.Actions

        match rollout.Valid with
        | null -> actions
        | valid ->
            let skipped = (Rollout.Rows valid).eq zero

            actions.masked_fill (
                (if agent.Distribution.HasActionAxis then
                     skipped.unsqueeze -1L
                 else
                     skipped),
                zero
            )

    let private policyTerm (agent: ActorCritic) (raw: Tensor) (rollout: Rollout) (advantages: Tensor) : Tensor =
        let logp = agent.Distribution.LogProbability.Invoke(raw, actionsTaken agent rollout)
        (Losses.mean (logp.mul (Rollout.Rows advantages)) (weights rollout)).neg()

    let private entropyLoss (agent: ActorCritic) (raw: Tensor) (rollout: Rollout) : Tensor =
        (Losses.mean (agent.Distribution.Entropy.Invoke raw) (weights rollout)).neg()

    let private half = scalar 0.5

    let private valueLoss (rollout: Rollout) (errors: Tensor) : Tensor =
        (Losses.mean ((Rollout.Rows errors).squared()) (weights rollout)).mul half

    /// L_policy + c·L_value + α_ent·L_entropy, L_value = ½E[(target − v)²], with the agent's weights c ("valueWeight" where learned) and α_ent ("entropyWeight"): what
    /// the learner descends.
    let loss (agent: ActorCritic) : LossFunction<Rollout> =
        LossFunction<Rollout>
            .Create(
                "actor-critic loss",
                (fun x hyper rollout ->
                    let features = features agent x rollout
                    let values = valuesOf agent x rollout features
                    let errors = valueErrors agent hyper values rollout
                    let raw = policyOf agent x rollout features
                    let policy = policyTerm agent raw rollout (asAdvantages agent values rollout errors)

                    let withEntropy =
                        match agent.EntropyWeight with
                        | Setting.Constant 0.0 -> policy
                        | weight -> Settings.addTo policy weight hyper (entropyLoss agent raw rollout)

                    Settings.addTo withEntropy agent.ValueWeight hyper (valueLoss rollout errors))
            )

    /// L_policy + α_outer·L_entropy: the last step of the default target (α_outer = 0), or the outer loss of a plain meta-gradient. As the
    /// latter it should be of an agent whose γ and λ are constants, those that w is judged by (Xu et al. 2018): with learned ones w
    /// lowers the loss by changing what is measured.
    let policyLoss (agent: ActorCritic) (outerEntropyWeight: float) : LossFunction<Rollout> =
        let weight = scalar outerEntropyWeight

        LossFunction<Rollout>
            .Create(
                "policy loss",
                (fun x hyper rollout ->
                    let features = features agent x rollout

                    let values =
                        use _ = torch.no_grad ()
                        valuesOf agent x rollout features

                    let errors = valueErrors agent hyper values rollout
                    let raw = policyOf agent x rollout features
                    let policy = policyTerm agent raw rollout errors

                    if outerEntropyWeight = 0.0 then
                        policy
                    else
                        policy.add (entropyLoss agent raw rollout, weight))
            )

    /// Outputs, with "valid" [P, N·T] where some steps of the rollout are not: those are left out of μ.
    let private outputs (rollout: Rollout) (named: (string * Tensor)[]) : Params =
        let all =
            match weights rollout with
            | null -> named
            | valid -> Array.append named [| "valid", valid |]

        Params.Create(Array.map fst all, Array.map snd all)

    /// The policy at the states acted in: raw outputs under the name that the distribution gives them ("logits" for one discrete action),
    /// [P, N·T, O], actions that are not allowed at −∞; and "valid" [P, N·T] where some steps are not.
    let model (agent: ActorCritic) : Model<Rollout> =
        Model<Rollout>
            .Create(
                "policy",
                (fun x _ rollout -> outputs rollout [| agent.Distribution.Output, logits agent x rollout |])
            )

    /// As `model`, and "values" [P, N·T] of the states acted in.
    let policyAndValues (agent: ActorCritic) : Model<Rollout> =
        Model<Rollout>
            .Create(
                "policy and values",
                (fun x _ rollout ->
                    let features = features agent x rollout
                    let values = (valuesOf agent x rollout features).narrow(2L, 0L, rollout.Steps)

                    outputs rollout [|
                        agent.Distribution.Output, policyOf agent x rollout features
                        "values", Rollout.Rows values
                    |])
            )

    /// A rollout of `steps` steps of one copy, drawn at random, to try an agent on: observations of `shape`, small rewards, so that a few
    /// steps of any size do not lead far away; float64.
    let private imagined (agent: ActorCritic) (shape: int64[]) (steps: int) (rng: Rng) : Rollout =
        let normal (scale: float) (shape: int64[]) =
            torch
                .tensor(
                    Array.init (int (Array.fold (*) 1L shape)) (fun _ -> scale * rng.NextNormal()),
                    dtype = torch.float64
                )
                .reshape
                shape

        let distribution = agent.Distribution

        let action () =
            let raw = Array.zeroCreate<float32> distribution.Outputs
            let drawn = Array.zeroCreate<float32> distribution.ActionSize
            distribution.Draw.Invoke(Span raw, rng, Span drawn) |> ignore
            Array.map float drawn

        let actions =
            torch
                .tensor(Array.concat (Array.init steps (fun _ -> action ())), dtype = torch.float64)
                .``to``(
                    if distribution.IsDiscrete then
                        torch.int64
                    else
                        torch.float64
                )

        Rollout.Create(
            normal 1.0 (Array.append [| 1L; 1L; int64 steps + 1L |] shape),
            (if distribution.HasActionAxis then
                 actions.reshape (1L, 1L, int64 steps, -1L)
             else
                 actions.reshape (1L, 1L, int64 steps)),
            normal 0.1 [| 1L; 1L; int64 steps |]
        )

    /// Those of the hyper-parameters `names` that can not reach what a meta-learner of this agent is judged by: their meta-gradient is
    /// exactly 0 on imagined experience, at every attempt. Such a one would never learn: a host refuses it by name. `names` are all that
    /// the update rule and the model read, at the values where they start; observations of one state have `shape`. The meta-learner's own
    /// meta-parameters are not asked.
    let unreached
        (agent: ActorCritic)
        (learner: MetaLearner<Rollout>)
        (names: string[])
        (values: float[])
        (shape: int64[])
        : string[] =
        Check.require
            "ActorCritic.unreached"
            "values"
            $"{names.Length}, one a name"
            values.Length
            (values.Length = names.Length)

        let attempt (number: int64) : string[] =
            use _ = torch.NewDisposeScope()
            let rng = Rng(uint64 number)
            let x = init agent Initialization.Uniform [| Seed.Of number |] torch.float64 torch.CPU

            let hyper =
                Params.Create(
                    names,
                    values
                    |> Array.map (fun v -> torch.full ([| 1L |], scalar v, dtype = torch.float64))
                )

            MetaLearner.unreached learner x hyper (fun _ _ -> {
                Data = imagined agent shape 4 rng
                Context = null
            })

        let attempts = Array.init 3 (fun i -> attempt (int64 i + 1L))

        names
        |> Array.filter (fun name -> attempts |> Array.forall (Array.contains name))

/// Losses and models of an actor-critic as members: what C# calls.
type ActorCritic with

    /// <summary>Parameters of all networks, one member a seed.</summary>
    /// <param name="initialization">How weights start.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="dtype">Type of the tensors.</param>
    /// <param name="device">Where they are.</param>
    /// <returns>Parameters [P, …] by name.</returns>
    member this.Init
        (initialization: Initialization, seeds: Seed[], dtype: torch.ScalarType, device: torch.Device)
        : Params =
        ActorCritic.init this initialization seeds dtype device

    /// <summary>Raw outputs of the policy at the states acted in.</summary>
    /// <param name="x">Parameters.</param>
    /// <param name="rollout">The rollout.</param>
    /// <returns>[P, N·T, O]; actions that are not allowed have −∞.</returns>
    member this.Logits(x: Params, rollout: Rollout) : Tensor = ActorCritic.logits this x rollout

    /// <summary>Values of all T + 1 states.</summary>
    /// <param name="x">Parameters.</param>
    /// <param name="rollout">The rollout.</param>
    /// <returns>[P, N, T + 1]</returns>
    member this.Values(x: Params, rollout: Rollout) : Tensor = ActorCritic.values this x rollout

    /// <summary>Value targets minus values; a graph where γ or λ has one.</summary>
    /// <param name="hyper">Hyper-parameters by name.</param>
    /// <param name="rollout">The rollout.</param>
    /// <param name="values">Constants, [P, N, T + 1].</param>
    /// <returns>[P, N, T]</returns>
    member this.Advantages(hyper: Params, rollout: Rollout, values: Tensor) : Tensor =
        ActorCritic.advantages this hyper rollout values

    /// <summary>L_policy + c·L_value + α_ent·L_entropy with L_value = ½E[(target − v)²]: what the learner descends.</summary>
    member this.Loss() : LossFunction<Rollout> = ActorCritic.loss this

    /// <summary>L_policy + α_outer·L_entropy: the last step of the default target, or the outer loss of a plain meta-gradient.</summary>
    /// <param name="outerEntropyWeight">α_outer; 0 for the target's last step.</param>
    /// <returns>The loss.</returns>
    member this.PolicyLoss(outerEntropyWeight: float) : LossFunction<Rollout> =
        ActorCritic.policyLoss this outerEntropyWeight

    /// <summary>The policy at the states acted in: raw outputs [P, N·T, O] under the name that the distribution gives them.</summary>
    member this.Model() : Model<Rollout> = ActorCritic.model this

    /// <summary>As <c>Model</c>, and "values" [P, N·T] of the states acted in.</summary>
    member this.PolicyAndValues() : Model<Rollout> = ActorCritic.policyAndValues this

    /// <summary>Those hyper-parameters that can not reach what a meta-learner of this agent is judged by: they would never learn.</summary>
    /// <param name="learner">The meta-learner; its own meta-parameters are not asked.</param>
    /// <param name="names">All that the update rule and the model read.</param>
    /// <param name="values">Where each starts.</param>
    /// <param name="shape">Axes of the observation of one state.</param>
    /// <returns>Some of the names.</returns>
    member this.Unreached(learner: MetaLearner<Rollout>, names: string[], values: float[], shape: int64[]) : string[] =
        ActorCritic.unreached this learner names values shape
