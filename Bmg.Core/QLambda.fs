namespace Bmg

open System
open System.ComponentModel
open TorchSharp

/// A learner of action values by Peng's Q(λ), one update each environment step.
[<ReferenceEquality>]
type QLambda = {
    /// Observation → one value an action.
    Values: Network
    /// λ in [0, 1].
    TraceDecay: Setting
    /// γ in [0, 1].
    Discount: Setting
    /// ε in [0, 1], of the behaviour policy alone.
    Epsilon: Setting
} with

    /// A learner with constant γ and λ, whose ε is learned by its name: [P], or [P, T], one for each state.
    static member Create(values: Network, discount: float, traceDecay: float) : QLambda =
        {
            Values = values
            TraceDecay = Setting.Constant 0.0
            Discount = Setting.Constant 0.0
            Epsilon = Setting.Learned HyperParameters.Epsilon
        }
            .WithDiscount(Setting.Constant discount)
            .WithTraceDecay(Setting.Constant traceDecay)

    /// The same with another γ.
    member this.WithDiscount(discount: Setting) : QLambda =
        Settings.check "QLambda.WithDiscount" "discount" 0.0 1.0 discount
        { this with Discount = discount }

    /// The same with another λ.
    member this.WithTraceDecay(decay: Setting) : QLambda =
        Settings.check "QLambda.WithTraceDecay" "decay" 0.0 1.0 decay
        { this with TraceDecay = decay }

    /// The same with another ε.
    member this.WithEpsilon(epsilon: Setting) : QLambda =
        Settings.check "QLambda.WithEpsilon" "epsilon" 0.0 1.0 epsilon
        { this with Epsilon = epsilon }

    /// Names of the hyper-parameters that it reads, each once.
    member this.Learned: string[] =
        [| this.Discount; this.TraceDecay; this.Epsilon |]
        |> Array.choose (fun s -> ValueOption.toOption (Settings.name s))
        |> Array.distinct

/// Peng's Q(λ) and the meta-learning of its rate of exploration ε (BMG 5.1; CMG): ε never enters the update rule, so a plain meta-gradient
/// has nothing to say about it; with K = 0, w reaches μ through the behaviour policy itself.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module QLambda =

    /// Name of the hyper-parameter that is the rate of exploration: [P], or [P, T], one for each state.
    [<Literal>]
    let Epsilon = HyperParameters.Epsilon

    /// Name of the model's output that holds the action values, [P, T, A].
    [<Literal>]
    let Values = "values"

    let private one: Scalar = Scalars.constant 1.0
    let private zero: Scalar = Scalars.constant 0.0

    /// Observations of the one stream that a member has, [P, T + 1, O].
    let private seen (fn: string) (like: Tensor) (rollout: Rollout) : Tensor =
        Check.require fn "data" "of one copy of the environment a member" rollout.Copies (rollout.Copies = 1L)
        Check.require fn "data" "without a mask: all actions are allowed" "one with a mask" (isNull rollout.Mask)
        (ActorCritic.seen like rollout).squeeze 1L

    /// Parameters of the network, one member a seed.
    let init
        (agent: QLambda)
        (initialization: Initialization)
        (seeds: Seed[])
        (dtype: torch.ScalarType)
        (device: torch.Device)
        : Params =
        Network.init agent.Values initialization seeds dtype device

    /// φ: one update from one transition, a rollout of T = 1 (Peng and Williams 1996, in the form that learns forward). With V = max q,
    ///   δ′ = r + γV(s′) − q(s, a),   δ = r + γV(s′) − V(s),
    /// q moves along δ′∇q(s, a) + δe, through the optimizer, and then e ← γλ(e + ∇q(s, a)). h holds the traces e, as they stand before
    /// the next state's gradient is added ("trace/" and the parameter's name), and the optimizer's state ("optimizer/"). Where the episode
    /// terminates γ is 0; at either end the traces are cleared. A step that is not valid leaves the member's whole state as it was. The
    /// loss reported is ½δ′², 0 at such a step. γ and λ have their gradients; so does what the optimizer reads.
    let learner (agent: QLambda) (optimizer: Optimizer) : UpdateRule<Rollout> =
        let half: Scalar = Scalars.constant 0.5

        let step (learner: LearnerState) (hyper: Params) (data: Rollout) (differentiation: Differentiation) =
            let actions = Rollout.Rows data.Actions
            Check.shape "QLambda.learner" "data.Actions" "[P, 1]" [| learner.Parameters.Members; 1L |] actions
            let build = (differentiation <> Differentiation.None)

            let x =
                if
                    build
                    && learner.Parameters.TensorArray |> Array.forall (fun t -> t.requires_grad)
                then
                    learner.Parameters
                else
                    Params.leaves learner.Parameters

            let at =
                if differentiation = Differentiation.FirstOrder then
                    Params.leaves x
                else
                    x

            let values = Network.apply agent.Values at (seen "QLambda.learner" at.TensorArray[0] data)

            let chosen = values.narrow(1L, 0L, 1L).gather(2L, actions.unsqueeze -1L).reshape -1L

            /// 1, or 0 where a flag is set; nothing where it can not be.
            let unless (flag: Tensor | null) : Tensor voption =
                match flag with
                | null -> ValueNone
                | flag -> ValueSome((flag.reshape -1L).neg().plus one)

            let cut (t: Tensor) (kept: Tensor voption) =
                match kept with
                | ValueNone -> t
                | ValueSome kept -> t.mul kept

            /// After a step that is not valid: what was before.
            let unlessSkipped (before: Params) (after: Params) : Params =
                match data.Valid with
                | null -> after
                | valid ->
                    let skipped = valid.reshape(-1L).eq zero
                    Params.map2 (fun a b -> torch.where (Params.broadcast skipped a, a, b)) before after

            let slope = Gradients.gradient chosen at build

            let advance (from: Params) (values: Tensor) (chosen: Tensor) =
                let best = values.amax ([| 2L |])
                let rewards = data.Rewards.reshape -1L

                let discount =
                    match agent.Discount with
                    | Setting.Constant discount -> torch.full_like (rewards, Scalars.constant discount)
                    | learned -> (Settings.value learned hyper rewards).expand rewards.shape

                let discount = cut discount (unless data.Terminated)

                let reached = rewards.addcmul (discount, best.select (1L, 1L), one)

                let own, greedy = reached.minus chosen, reached.minus (best.select (1L, 0L))
                let trace = Params.sub "trace/" learner.Optimizer

                let direction =
                    Params.map2
                        (fun (g: Tensor) (e: Tensor) ->
                            (g.mul(Params.broadcast own g).addcmul(e, Params.broadcast greedy e, one)).neg())
                        slope
                        trace

                let struct (next, state) =
                    Optimizers.apply optimizer from (Params.sub "optimizer/" learner.Optimizer) direction hyper

                let fade =
                    match agent.TraceDecay with
                    | Setting.Constant decay -> discount.mul (Scalars.constant decay)
                    | learned -> discount.mul (Settings.value learned hyper rewards)

                let fade = cut fade (unless data.Truncated)

                let trace =
                    Params.map2 (fun (g: Tensor) (e: Tensor) -> (e.plus g).mul(Params.broadcast fade g)) slope trace

                let loss = own.detach().squared().mul half

                {
                    Learner = {
                        Parameters = unlessSkipped from next
                        Optimizer =
                            Params.merge [| Params.prefix "trace/" trace; Params.prefix "optimizer/" state |]
                            |> unlessSkipped learner.Optimizer
                    }
                    Loss =
                        match data.Valid with
                        | null -> loss
                        | valid -> loss.masked_fill (valid.reshape(-1L).eq zero, zero)
                }

            if build then
                advance x values chosen
            else
                use _ = torch.no_grad ()
                advance learner.Parameters (values.detach ()) (chosen.detach ())

        UpdateRule<Rollout>
            .Create(
                (match agent.TraceDecay with
                 | Setting.Constant decay -> $"Q({decay}), {optimizer.Name}"
                 | _ -> $"Q(λ), {optimizer.Name}"),
                (fun x -> {
                    Parameters = x
                    Optimizer =
                        Params.merge [|
                            Params.prefix "trace/" (Params.zerosLike x)
                            Params.prefix "optimizer/" (Optimizers.init optimizer x)
                        |]
                }),
                (fun learner hyper data differentiation -> step learner hyper data differentiation)
            )

    /// What an ε-greedy policy puts out at the T states acted in: action values [P, T, A] and ε [P, T]; and "valid" [P, T] where some steps
    /// are not.
    let model (agent: QLambda) : Model<Rollout> =
        Model<Rollout>
            .Create(
                "ε-greedy policy",
                (fun x hyper rollout ->
                    let states = (seen "QLambda.model" x.TensorArray[0] rollout).narrow(1L, 0L, rollout.Steps)
                    let epsilon = Settings.value agent.Epsilon hyper rollout.Rewards
                    let values = Network.apply agent.Values x states

                    let epsilon =
                        if epsilon.shape.Length = 1 then
                            epsilon.unsqueeze -1L
                        else
                            epsilon

                    let epsilon = epsilon.expand (values.shape[0], values.shape[1])

                    match rollout.Valid with
                    | null -> Params.Create([| Values; Epsilon |], [| values; epsilon |])
                    | valid -> Params.Create([| Values; Epsilon; "valid" |], [| values; epsilon; Rollout.Rows valid |]))
            )

    /// KL(greedy(x̃) ‖ (1 − ε)·greedy(x) + ε·uniform), in nats (BMG 5.1): −log of the learner's probability of the action that the target
    /// deems best; the first of equals is the greedy one. Differentiable in ε alone. Where learner and target agree it is −log(1 − ε + ε/A), so
    /// it vanishes at a match only as ε does: it claims nothing. CMG does not print the reduction over states; the library's default is the
    /// mean.
    let greedyKl (reduction: Reduction) : MatchingFunction =
        // Keeps the logarithm finite where ε underflows to zero.
        let tiny: Scalar = Scalars.constant 1e-12

        MatchingFunction.Create(
            $"KL(greedy ‖ ε-greedy), {reduction}",
            MatchingClaims.None,
            (fun target learner ->
                let epsilon = learner[Epsilon]
                let actions = learner[Values].shape[2]
                let agree = target.Stopped[Values].argmax(2L).eq(learner[Values].argmax 2L)
                let uniform: Scalar = Scalars.constant (1.0 / float actions)

                let probability = epsilon.mul(uniform).addcmul(epsilon.neg().plus one, agree.``to`` epsilon.dtype, one)

                learner.Reduce(reduction, probability.plus(tiny).log().neg()))
        )

    /// Joins rollouts of one step each into one of L, and their contexts [P, C] into [P, L, C].
    let join (experiences: Experience<Rollout>[]) : Experience<Rollout> =
        Check.require "QLambda.join" "experiences" "at least one" experiences.Length (experiences.Length > 0)

        let all (part: Rollout -> Tensor) =
            torch.cat (experiences |> Array.map (fun e -> part e.Data), 2L)

        /// Of the states: the T acted in of each, and last the one reached.
        let allStates (part: Rollout -> Tensor) =
            let last = part experiences[experiences.Length - 1].Data

            torch.cat (
                [|
                    all (fun r -> (part r).narrow(2L, 0L, r.Steps))
                    last.narrow (2L, last.shape[2] - 1L, 1L)
                |],
                2L
            )

        /// Where one of them has it, the others have it too, as they are without.
        let optional (absent: float) (part: Rollout -> (Tensor | null)) : Tensor | null =
            if experiences |> Array.forall (fun e -> isNull (part e.Data)) then
                null
            else
                all (fun r ->
                    match part r with
                    | null -> torch.full_like (r.Rewards, Scalars.constant absent)
                    | t -> t)

        {
            Data =
                Rollout
                    .Create(allStates (fun r -> r.Observations), all (fun r -> r.Actions), all (fun r -> r.Rewards))
                    .WithEnds(
                        optional 0.0 (fun r -> r.Terminated),
                        optional 0.0 (fun r -> r.Truncated),
                        optional 1.0 (fun r -> r.Valid)
                    )
            Context =
                match experiences[0].Context with
                | null -> null
                | _ ->
                    torch.stack (
                        experiences
                        |> Array.map (fun e ->
                            match e.Context with
                            | null -> Check.fail "QLambda.join" "experiences" "contexts in all, or in none" "both"
                            | context -> context),
                        1L
                    )
        }

    /// ξ: `steps` = L environment steps of the learner's own life, an update after each. x̃ is the learner after L − 1 of them, as it acts in
    /// the last of the L states; μ is evaluated on all of them, each in its own context, and no experience goes unlearned from: the learner
    /// that lives on is x⁽ᴷ⁺ᴸ⁾.
    let target (steps: int) : TargetBootstrap<Rollout> =
        Check.require "QLambda.target" "steps" "at least 1" steps (steps >= 1)

        TargetBootstrap<Rollout>
            .Create(
                $"{steps} steps of Q(λ), greedy after {steps - 1}",
                (fun start life ->
                    let experiences = ResizeArray<Experience<Rollout>>()
                    let mutable learner = start
                    let mutable aim = Params.Empty

                    for i in 1..steps do
                        let experience = life.Collect.Invoke learner.Parameters
                        experiences.Add experience

                        if i = steps then
                            aim <- Params.clone learner.Parameters

                        let next = life.Step.Invoke(learner, experience)

                        if not (obj.ReferenceEquals(learner, start)) then
                            learner.Dispose()

                        learner <- next

                    {
                        Parameters = aim
                        Learner = learner
                        Evaluation = join (experiences.ToArray())
                    })
            )

/// Peng's Q(λ) as members: what C# calls.
type QLambda with

    /// <summary>Parameters of the network, one member a seed.</summary>
    /// <param name="initialization">How weights start.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="dtype">Type of the tensors.</param>
    /// <param name="device">Where they are.</param>
    /// <returns>Parameters [P, …] by name.</returns>
    member this.Init
        (initialization: Initialization, seeds: Seed[], dtype: torch.ScalarType, device: torch.Device)
        : Params =
        QLambda.init this initialization seeds dtype device

    /// <summary>φ: one update from one transition, a rollout of T = 1.</summary>
    /// <param name="optimizer">What the update goes through.</param>
    /// <returns>φ</returns>
    member this.Learner(optimizer: Optimizer) : UpdateRule<Rollout> = QLambda.learner this optimizer

    /// <summary>The ε-greedy policy: "values" [P, T, A] and "epsilon" [P, T].</summary>
    member this.Model() : Model<Rollout> = QLambda.model this

    /// <summary>KL(greedy(x̃) ‖ (1 − ε)·greedy(x) + ε·uniform), in nats. Differentiable in ε alone.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member GreedyKl(reduction: Reduction) : MatchingFunction = QLambda.greedyKl reduction

    /// <summary>Joins rollouts of one step each into one of L, and their contexts [P, C] into [P, L, C].</summary>
    /// <param name="experiences">At least one.</param>
    /// <returns>One experience.</returns>
    static member Join([<ParamArray>] experiences: Experience<Rollout>[]) : Experience<Rollout> =
        QLambda.join experiences

    /// <summary>ξ: L environment steps of the learner's own life, an update after each; the learner that lives on is x⁽ᴷ⁺ᴸ⁾.</summary>
    /// <param name="steps">L, at least 1.</param>
    /// <returns>ξ</returns>
    static member Target(steps: int) : TargetBootstrap<Rollout> = QLambda.target steps
