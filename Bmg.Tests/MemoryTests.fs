/// Memory is flat: over meta-steps, and over the length of the target.
module Bmg.Tests.MemoryTests

open System
open Bmg
open Bmg.Training.Acting
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Tests.Worlds
open Expecto
open TorchSharp
open Bmg.Tests.Tolerances

/// Tensors of this thread that nobody has disposed; what the garbage collector might free one day counts as live.
let private live () : int64 =
    DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount

/// A two-colors learner with a contextual w, as in a run, but small.
let private learner (innerSteps: int) (metaObjective: ActorCritic -> MetaObjective<Rollout>) =
    let agent =
        ActorCritic.Create(
            Network.Mlp("policy", TwoColorsEnvironment.ObservationSize, [| 8 |], 4, Activation.Relu),
            Network.Mlp("value", TwoColorsEnvironment.ObservationSize, [| 8 |], 1, Activation.Relu)
        )

    let network = Network.Mlp("meta", 4, [| 8 |], 1, Activation.Relu)

    agent,
    {
        UpdateRule = UpdateRule.gradient (ActorCritic.loss agent) (Optimizers.rmsProp 0.01 0.9 1e-4 1e-16)
        InnerSteps = innerSteps
        MetaParameters =
            MetaParameters.contextual ActorCritic.EntropyWeight network 0.0 1.0 0.5 Initialization.Uniform 5
        MetaObjective = metaObjective agent
        Model = ActorCritic.model agent
        MetaOptimizer = Optimizers.adam 1e-3 0.9 0.999 1e-4 1e-16
        Through = ThroughSteps.Reverse
    }

/// Lives `steps` meta-steps as an owner should, and tells the tensors live after each, and the most that were live when experience was
/// gathered.
let private lives (steps: int) (agent: ActorCritic, learner: MetaLearner<Rollout>) : int64[] * int64 =
    use _ = scope ()
    let seeds = Seed.Population(0L, 3)
    let world = twoColorsStreams seeds 100L
    let context = RecentContext(3, 4, ContextScaling.Normalized)
    let collector = RolloutCollector(world, agent, seeds, 4, 0.99, context, torch.CPU)
    let x = ActorCritic.init agent Initialization.Uniform seeds torch.float32 torch.CPU
    let w = learner.MetaParameters.Init.Invoke(seeds, torch.float32, torch.CPU)
    let mutable state = MetaLearner.init learner x w
    let before = live ()
    let mutable most = 0L

    let collect (x: Params) (_: Params) =
        let experience = collector.Collect x
        most <- max most (live () - before)
        experience

    let tensors (experience: Experience<Rollout>) = [
        yield! experience.Data.ToParams().Tensors
        match experience.Context with
        | null -> ()
        | context -> context
    ]

    let keep (experience: Experience<Rollout>) =
        for t in tensors experience do
            t.DetachFromDisposeScope() |> ignore

    let counts = [|
        for _ in 1..steps do
            let struct (next, _) = MetaLearner.step learner state collect keep
            state.DisposeExcept next
            state <- next
            live () - before
    |]

    finite "x" (numbersOf state.Learner.Parameters)
    state.Dispose()
    counts, most

/// The policy's loss plus nothing times the value's. Autograd reports a parameter that a loss does not touch by a handle without a
/// tensor: it holds no memory, but TorchSharp's counter takes it in and never out again.
let private policyLoss (agent: ActorCritic) =
    let policy = ActorCritic.policyLoss agent 0.1

    LossFunction<Rollout>
        .Create(
            policy.Name,
            (fun x hyper data ->
                let values = Losses.squaredError (ActorCritic.values agent x data)
                policy.Loss.Invoke(x, hyper, data).add(values, Scalars.constant 0.0))
        )

let private bootstrapped (steps: int) (agent: ActorCritic) =
    MetaObjective.Bootstrapped(
        Catalog.lookAhead steps (policyLoss agent) (Optimizers.sgd 0.1),
        Matching.kl Reduction.Sum
    )

let tests =
    testList "memory" [
        for name, metaObjective in
            [
                "fixed", (fun _ -> MetaObjective.Fixed)
                "meta-gradient", (fun agent -> MetaObjective.MetaGradient(policyLoss agent))
                "bootstrapped", bootstrapped 3
            ] do
            test $"{name}: as many tensors live after 5 meta-steps as after 200" {
                let counts, _ = lives 200 (learner 2 metaObjective)
                Expect.equal counts[199] counts[4] "live tensors, more than at the start"
                Expect.equal (Array.max counts[4..]) counts[4] "and never more in between"
            }

        // One number a member is kept of each step lived: the loss, for the log. Nothing else may stay.
        test "what is live does not grow with L" {
            let most = [
                for steps in [ 2; 4; 16 ] -> snd (lives 5 (learner 2 (bootstrapped steps))) - int64 steps
            ]

            Expect.allEqual most most.Head "live tensors while gathering but for a loss a step, L = 2, 4, 16"
            let _, one = lives 5 (learner 2 (bootstrapped 1))
            Expect.isLessThanOrEqual (one - 1L) most.Head "L = 1"
        }

        test "what is live does not grow with steps that nothing judges" {
            let most = [
                for steps in [ 2; 4; 16 ] -> snd (lives 5 (learner steps (fun _ -> MetaObjective.Fixed))) - int64 steps
            ]

            Expect.allEqual most most.Head "live tensors while gathering but for a loss a step, K = 2, 4, 16"
        }

        test "K does keep its graph, so the measure measures" {
            let most = [ for steps in [ 1; 4 ] -> snd (lives 3 (learner steps (bootstrapped 1))) ]
            Expect.isGreaterThan most[1] (most[0] + 3L) "live tensors while gathering, K = 1 and 4"
        }
    ]
