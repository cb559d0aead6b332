/// The closed form of an actor-critic's plain steps is the plain definition, to rounding.
module Bmg.Tests.DescentTests

open Bmg
open Bmg.Tests.Tolerances
open Expecto
open FsCheck
open TorchSharp

/// A small agent and a rollout, all drawn from one seed.
[<ReferenceEquality>]
type private Case = {
    Agent: ActorCritic
    Learner: LearnerState
    Hyper: Params
    Rollout: Rollout
}

let private activations = [|
    Activation.Relu
    Activation.Tanh
    Activation.Sigmoid
    Activation.Softplus
    Activation.Elu
    Activation.LeakyRelu
    Activation.Gelu
    Activation.Silu
|]

let private draw (seed: int64) : Case =
    let rng = Rng(uint64 seed)

    let members, steps, inputs, actions =
        int64 (rng.Next 3 + 1), int64 (rng.Next 6 + 1), rng.Next 4 + 1, rng.Next 3 + 2

    let hidden () =
        Array.init (rng.Next 3) (fun _ -> rng.Next 5 + 1)

    let activation = activations[rng.Next activations.Length]

    let copies = int64 (rng.Next 3 + 1)

    /// A constant, or learned.
    let setting (name: string) (value: float) =
        if rng.Next 3 = 0 then
            Setting.Learned name
        else
            Setting.Constant value

    let agent =
        ActorCritic
            .Create(
                Network.Mlp("policy", inputs, hidden (), actions, activation),
                Network.Mlp("value", inputs, hidden (), 1, activation)
            )
            .WithDiscount(setting HyperParameters.Discount 0.9)
            .WithTraceDecay(setting HyperParameters.TraceDecay ([| 0.0; 0.7; 1.0 |][rng.Next 3]))
            .WithEntropyWeight(setting HyperParameters.EntropyWeight 0.2)
            .WithValueWeight(setting HyperParameters.ValueWeight (2.0 * rng.NextDouble()))

    let normal (shape: int64[]) =
        torch
            .tensor(Array.init (int (Array.fold (*) 1L shape)) (fun _ -> rng.NextNormal()), dtype = torch.float64)
            .reshape
            shape

    let seeds = Seed.Population(seed, int members)
    let networks = ActorCritic.init agent Initialization.Uniform seeds torch.float64 torch.CPU

    // One parameter that no network uses must go on untouched.
    let x = Params.merge [| networks; Params.Single("unused", normal [| members; 2L |]) |]

    {
        Agent = agent
        Learner = {
            Parameters = x
            Optimizer = Params.Empty
        }
        Hyper =
            Params.Create(
                [|
                    HyperParameters.Discount
                    HyperParameters.TraceDecay
                    HyperParameters.EntropyWeight
                    HyperParameters.ValueWeight
                |],
                Array.init 4 (fun _ -> (normal [| members |]).sigmoid())
            )
        Rollout =
            let shape = [| members; copies; steps |]

            let flags (one: int) =
                if rng.Next 2 = 0 then
                    null
                else
                    torch
                        .tensor(
                            Array.init (int (members * copies * steps)) (fun _ ->
                                if rng.Next 4 = 0 then float one else float (1 - one)),
                            dtype = torch.float64
                        )
                        .reshape
                        shape

            Rollout
                .Create(
                    normal [| members; copies; steps + 1L; int64 inputs |],
                    torch
                        .tensor(Array.init (int (members * copies * steps)) (fun _ -> int64 (rng.Next actions)))
                        .reshape
                        shape,
                    normal shape
                )
                .WithEnds(flags 1, flags 1, flags 0)
    }

let private agree (name: string) (closed: Case -> UpdateRule<Rollout>) (plain: Case -> UpdateRule<Rollout>) =
    testPropertyWithConfig
        {
            FsCheckConfig.defaultConfig with
                maxTest = 150
        }
        name
    <| fun (seed: NonNegativeInt) ->
        use _ = scope ()
        let case = draw (int64 seed.Get)

        let step (rule: UpdateRule<Rollout>) (learner: LearnerState) =
            rule.Step.Invoke(learner, case.Hyper, case.Rollout, Differentiation.None)

        // Two steps: the second starts from what the first left.
        let closed, plain = closed case, plain case
        let a1, b1 = step closed case.Learner, step plain case.Learner
        let a2, b2 = step closed a1.Learner, step plain b1.Learner

        for a, b in [ a1, b1; a2, b2 ] do
            let moved (s: UpdateStep) =
                numbersOf (Params.subtract s.Learner.Parameters case.Learner.Parameters)

            near rounding "steps" (moved b) (moved a)
            near rounding "losses" (numbers b.Loss) (numbers a.Loss)

        Params.dispose a1.Learner.Parameters
        Expect.isTrue (a2.Learner.Parameters["unused"].isfinite().all().item<bool>()) "owns what it did not change"

let tests =
    testList "closed-form steps" [
        agree "of the learner are those of the definition" (fun c -> ActorCriticDescent.learner c.Agent 0.3) (fun c ->
            UpdateRule.gradient (ActorCritic.loss c.Agent) (Optimizers.sgd 0.3))
        agree
            "of the target's last step are those of the definition"
            (fun c -> ActorCriticDescent.greedy c.Agent 0.3)
            (fun c -> UpdateRule.gradient (ActorCritic.policyLoss c.Agent 0.0) (Optimizers.sgd 0.3))
    ]
