namespace Bmg

open System
open TorchSharp

/// A learner of action values by Peng's Q(λ), one update each environment step.
[<ReferenceEquality>]
type QLambda = {
    /// Observation → one value an action.
    Values: Network
    /// λ in [0, 1].
    TraceDecay: float
}

/// Peng's Q(λ) and the meta-learning of its rate of exploration ε (BMG 5.1; CMG): ε never enters the update rule, so a plain meta-gradient
/// has nothing to say about it; with K = 0, w reaches μ through the behaviour policy itself.
[<RequireQualifiedAccess>]
module QLambda =

    /// Name of the hyper-parameter that is the rate of exploration: [P], or [P, T], one for each state.
    [<Literal>]
    let Epsilon = "epsilon"

    /// Name of the model's output that holds the action values, [P, T, A].
    [<Literal>]
    let Values = "values"

    let private one: Scalar = Scalars.constant 1.0

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
    /// the next state's gradient is added ("trace/" and the parameter's name), and the optimizer's state ("optimizer/"). A discount of 0
    /// clears the traces. The loss reported is ½δ′². No hyper-parameter enters but what the optimizer reads.
    let learner (agent: QLambda) (optimizer: Optimizer) : UpdateRule<Rollout> =
        Check.range "QLambda.learner" "agent.TraceDecay" 0.0 1.0 agent.TraceDecay
        let decay: Scalar = Scalars.constant agent.TraceDecay
        let half: Scalar = Scalars.constant 0.5

        let step (learner: LearnerState) (hyper: Params) (data: Rollout) (differentiation: Differentiation) =
            Check.shape "QLambda.learner" "data.Actions" "[P, 1]" [| learner.Parameters.Members; 1L |] data.Actions
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

            let values = Network.apply agent.Values at data.Observations

            let chosen = values.narrow(1L, 0L, 1L).gather(2L, data.Actions.unsqueeze -1L).reshape -1L

            let slope = Gradients.gradient chosen at build

            let advance (from: Params) (values: Tensor) (chosen: Tensor) =
                let best = values.amax ([| 2L |])
                let discount = data.Discounts.reshape -1L

                let reached = data.Rewards.reshape(-1L).addcmul(discount, best.select (1L, 1L), one)

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

                let fade = discount.mul decay

                let trace =
                    Params.map2 (fun (g: Tensor) (e: Tensor) -> (e.plus g).mul(Params.broadcast fade g)) slope trace

                {
                    Learner = {
                        Parameters = next
                        Optimizer = Params.merge [| Params.prefix "trace/" trace; Params.prefix "optimizer/" state |]
                    }
                    Loss = own.detach().squared().mul half
                }

            if build then
                advance x values chosen
            else
                use _ = torch.no_grad ()
                advance learner.Parameters (values.detach ()) (chosen.detach ())

        UpdateRule<Rollout>
            .Create(
                $"Q({agent.TraceDecay}), {optimizer.Name}",
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

    /// What an ε-greedy policy puts out at the T states acted in: action values [P, T, A] and ε [P, T].
    let model (agent: QLambda) : Model<Rollout> =
        Model<Rollout>
            .Create(
                "ε-greedy policy",
                (fun x hyper rollout ->
                    let states = rollout.Observations.narrow (1L, 0L, rollout.Actions.shape[1])
                    let epsilon = hyper[Epsilon]
                    let values = Network.apply agent.Values x states

                    let epsilon =
                        if epsilon.shape.Length = 1 then
                            epsilon.unsqueeze -1L
                        else
                            epsilon

                    Params.Create(
                        [| Values; Epsilon |],
                        [| values; epsilon.expand (values.shape[0], values.shape[1]) |]
                    ))
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

                Reduction.apply reduction (probability.plus(tiny).log().neg()))
        )

    /// Joins rollouts of one step each into one of L, and their contexts [P, C] into [P, L, C].
    let join (experiences: Experience<Rollout>[]) : Experience<Rollout> =
        Check.require "QLambda.join" "experiences" "at least one" experiences.Length (experiences.Length > 0)

        let all (part: Rollout -> Tensor) =
            torch.cat (experiences |> Array.map (fun e -> part e.Data), 1L)

        let last = experiences[experiences.Length - 1].Data.Observations

        {
            Data = {
                Observations =
                    torch.cat (
                        [|
                            all (fun r -> r.Observations.narrow (1L, 0L, r.Actions.shape[1]))
                            last.narrow (1L, last.shape[1] - 1L, 1L)
                        |],
                        1L
                    )
                Actions = all (fun r -> r.Actions)
                Rewards = all (fun r -> r.Rewards)
                Discounts = all (fun r -> r.Discounts)
            }
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
