/// What rollouts mean, and what hyper-parameters reach: ends cut what they should, every learnable number of every agent has a
/// meta-gradient, and one that can not reach what is judged is told by name.
module Bmg.Tests.HyperParameterTests

open System
open Bmg
open Bmg.Tests.Generators
open Bmg.Tests.Tolerances
open Expecto
open FsCheck
open TorchSharp

let private scalar (v: float) : Scalar = Scalars.constant v

let private seeded (count: int) (name: string) (body: Rng -> unit) =
    testPropertyWithConfig
        {
            FsCheckConfig.defaultConfig with
                maxTest = count
        }
        name
        (fun (seed: NonNegativeInt) ->
            use _ = scope ()
            body (Rng(uint64 seed.Get)))

// What an agent may be made of.

let private inputs = 3

let private distributions = [|
    Distributions.categorical 3
    Distributions.categoricals [| 3; 2 |]
    Distributions.gaussian 2
|]

let private agentOf (distribution: Distribution) (torso: bool) : ActorCritic =
    let width = if torso then 4 else inputs

    let agent =
        ActorCritic
            .Create(
                Network.Mlp("policy", width, [| 4 |], distribution.Outputs, Activation.Tanh),
                Network.Mlp("value", width, [| 4 |], 1, Activation.Tanh)
            )
            .WithDistribution(distribution)

    if torso then
        agent.WithTorso(Network.Mlp("torso", inputs, [| 5 |], 4, Activation.Tanh))
    else
        agent

/// All that an actor-critic's losses can learn.
let private learned (agent: ActorCritic) : ActorCritic =
    agent
        .WithDiscount(Setting.Learned HyperParameters.Discount)
        .WithTraceDecay(Setting.Learned HyperParameters.TraceDecay)
        .WithEntropyWeight(Setting.Learned HyperParameters.EntropyWeight)
        .WithValueWeight(Setting.Learned HyperParameters.ValueWeight)

let private flags (shape: int list) (values: bool[]) =
    tensor shape (values |> Array.map (fun b -> if b then 1.0 else 0.0))

/// A rollout of any states, actions and rewards: with ends of both kinds, each followed by a step that is not valid, and with masks where
/// actions are discrete.
let private rolloutOf (agent: ActorCritic) (rng: Rng) (p: int) (n: int) (t: int) (ends: bool) (masks: bool) : Rollout =
    let d = agent.Distribution
    let count = p * n * t
    let row = Array.zeroCreate<float32> d.Outputs
    let action = Array.zeroCreate<float32> d.ActionSize

    let actions =
        Array.init count (fun _ ->
            d.Draw.Invoke(Span(Array.copy row), rng, Span action) |> ignore
            action |> Array.map float)

    let shape =
        if d.HasActionAxis then
            [ p; n; t; d.ActionSize ]
        else
            [ p; n; t ]

    let rollout =
        Rollout.Create(
            normal rng [ p; n; t + 1; inputs ],
            (tensor shape (Array.concat actions)).``to``(if d.IsDiscrete then torch.int64 else torch.float64),
            normal rng [ p; n; t ]
        )

    let rollout =
        if ends then
            let terminated, truncated, valid =
                Array.create count false, Array.create count false, Array.create count true

            for i in 0 .. count - 1 do
                if i % t > 0 && (terminated[i - 1] || truncated[i - 1]) then
                    valid[i] <- false
                elif rng.Next 3 = 0 then
                    if rng.Next 2 = 0 then
                        terminated[i] <- true
                    else
                        truncated[i] <- true

            rollout.WithEnds(flags [ p; n; t ] terminated, flags [ p; n; t ] truncated, flags [ p; n; t ] valid)
        else
            rollout

    if masks && d.IsDiscrete then
        let starts = if d.HasActionAxis then [| 0; 3 |] else [| 0 |]

        let mask = [|
            for i in 0 .. p * n - 1 do
                for s in 0..t do
                    for o in 0 .. d.Outputs - 1 ->
                        // What was done was allowed, and so is the first choice of each action.
                        let taken =
                            s < t
                            && Array.exists2 (fun start (a: float) -> start + int a = o) starts actions[i * t + s]

                        taken || Array.contains o starts || rng.Next 2 = 0
        |]

        rollout.WithMask(flags [ p; n; t + 1; d.Outputs ] mask)
    else
        rollout

// The definition once more, step by step, with values inside advantages as numbers that are kept.

/// Values as constants: written down in the first pass, and the same again in every other.
type private Tape() =
    let kept = ResizeArray<Tensor>()
    let mutable next = 0
    let mutable replaying = false

    member _.Replay() =
        replaying <- true
        next <- 0

    member _.Constant(values: Tensor) : Tensor =
        if not replaying then
            kept.Add(values.detach ())

        next <- next + 1
        kept[next - 1]

let private number (setting: Setting) (hyper: Params) (like: Tensor) : Tensor =
    match setting with
    | Setting.Learned name -> hyper[name]
    | Setting.Constant value -> torch.full ([| like.shape[0] |], scalar value, dtype = torch.float64)
    | Setting.LearnedPerTensor _ -> failwith "not one number"

let private orOnes (like: Tensor) (t: Tensor | null) =
    match t with
    | null -> torch.ones_like like
    | t -> t

/// 1 − flag.
let private unless (like: Tensor) (t: Tensor | null) =
    match t with
    | null -> torch.ones_like like
    | t -> t.neg().add(scalar 1.0)

let private referenceLoss (agent: ActorCritic) (tape: Tape) : LossFunction<Rollout> =
    LossFunction<Rollout>
        .Create(
            "reference",
            (fun x hyper r ->
                let v = ActorCritic.values agent x r
                let constant = tape.Constant v
                let steps = int r.Steps
                let at (t: Tensor) (i: int) = t.select (2L, int64 i)

                let each (s: Setting) =
                    (number s hyper r.Rewards).unsqueeze -1L

                let gamma, lambda = each agent.Discount, each agent.TraceDecay
                let goesOn = unless r.Rewards r.Terminated
                let uncut = (unless r.Rewards r.Truncated).mul goesOn
                let valid = orOnes r.Rewards r.Valid
                let mutable after = torch.zeros_like (at constant 0)
                let advantages = Array.zeroCreate<Tensor> steps

                for t in steps - 1 .. -1 .. 0 do
                    let bootstrap = gamma.mul(at goesOn t).mul(at constant (t + 1))
                    let delta = (at r.Rewards t).add(bootstrap).sub(at constant t)
                    let trace = gamma.mul(lambda).mul(at uncut t).mul after
                    advantages[t] <- (delta.add trace).mul(at valid t)
                    after <- advantages[t]

                let advantages = torch.stack (advantages, 2L)
                let shape = r.Rewards.shape

                let mean (t: Tensor) =
                    (t.reshape(shape).mul valid).sum([| 1L; 2L |]).div((valid.sum [| 1L; 2L |]).clamp_min(scalar 1.0))

                let raw = ActorCritic.logits agent x r
                let logp = agent.Distribution.LogProbability.Invoke(raw, Rollout.Rows r.Actions)
                let first = r.Steps
                let error = advantages.add(constant.narrow (2L, 0L, first)).sub(v.narrow (2L, 0L, first))
                let policy = (mean (logp.reshape(shape).mul advantages)).neg()
                let value = (mean (error.mul error)).mul(scalar 0.5)
                let entropy = (mean (agent.Distribution.Entropy.Invoke raw)).neg()
                let one setting = number setting hyper r.Rewards
                policy.add((one agent.EntropyWeight).mul entropy).add((one agent.ValueWeight).mul value))
        )

/// Values of all hyper-parameters, one a member.
let private values (rng: Rng) (p: int) : Params =
    let one name low high =
        name, tensor [ p ] (Array.init p (fun _ -> low + (high - low) * rng.NextDouble()))

    let all = [|
        one HyperParameters.Discount 0.5 0.99
        one HyperParameters.TraceDecay 0.3 0.95
        one HyperParameters.EntropyWeight 0.05 0.5
        one HyperParameters.ValueWeight 0.2 1.5
        one HyperParameters.LearningRate 0.005 0.05
    |]

    Params.Create(Array.map fst all, Array.map snd all)

let private drawnAgent (rng: Rng) =
    learned (agentOf distributions[rng.Next distributions.Length] (rng.Next 2 = 0))

let private parameters (agent: ActorCritic) (seed: int64) (p: int) =
    ActorCritic.init agent Initialization.Uniform (Seed.Population(seed, p)) torch.float64 torch.CPU

let private definition =
    testList "the loss and its gradients are those of the definition, step by step" [
        for ends in [ false; true ] do
            seeded 60 (if ends then "with ends and masks" else "without") (fun rng ->
                let agent = drawnAgent rng
                let p, n, t = rng.Next 2 + 1, rng.Next 2 + 1, rng.Next 5 + 1
                let rollout = rolloutOf agent rng p n t ends ends
                let x = Params.leaves (parameters agent 3L p)
                let hyper = Params.leaves (values rng p)
                let both = Params.merge [| Params.prefix "x/" x; Params.prefix "w/" hyper |]

                let judge (lossFunction: LossFunction<Rollout>) =
                    let loss = lossFunction.Loss.Invoke(x, hyper, rollout)
                    numbers (loss.detach ()), numbersOf (Gradients.gradient loss both false)

                let expected, slopes = judge (referenceLoss agent (Tape()))
                let found, found' = judge (ActorCritic.loss agent)
                near rounding "loss" expected found
                near accumulated "gradients" slopes found')

        seeded 30 "and so they are with constants instead" (fun rng ->
            let agent =
                (drawnAgent rng)
                    .WithDiscount(Setting.Constant 0.9)
                    .WithTraceDecay(Setting.Constant [| 0.0; 0.7; 1.0 |].[rng.Next 3])
                    .WithEntropyWeight(Setting.Constant [| 0.0; 0.3 |].[rng.Next 2])
                    .WithValueWeight(Setting.Constant 0.7)

            Expect.isEmpty agent.Learned "what it learns"
            let rollout = rolloutOf agent rng 2 2 4 true true
            let x = Params.leaves (parameters agent 3L 2)

            let judge (lossFunction: LossFunction<Rollout>) =
                let loss = lossFunction.Loss.Invoke(x, Params.Empty, rollout)
                numbers (loss.detach ()), numbersOf (Gradients.gradient loss x false)

            let expected, slopes = judge (referenceLoss agent (Tape()))
            let found, found' = judge (ActorCritic.loss agent)
            near rounding "loss" expected found
            near accumulated "gradients" slopes found')

        seeded 20 "one number for all members is the same number for each" (fun rng ->
            let agent = drawnAgent rng
            let rollout = rolloutOf agent rng 3 2 4 true true
            let x = parameters agent 3L 3
            let shared = values rng 1
            let each = shared |> Params.map (fun t -> t.expand (3L))

            for rule in
                [
                    UpdateRule.gradient (ActorCritic.loss agent) (Optimizers.sgd 0.1)
                    ActorCriticDescent.learner agent 0.1
                ] do
                let step hyper =
                    let made = rule.Step.Invoke(rule.Init.Invoke x, hyper, rollout, Differentiation.None)
                    Array.append (numbers made.Loss) (numbersOf made.Learner.Parameters)

                near rounding rule.Name (step each) (step shared))

        seeded 20 "what has no closed form takes the definition's steps" (fun rng ->
            let torso = rng.Next 2 = 0

            let agent = learned (agentOf distributions[if torso then 0 else rng.Next 2 + 1] torso)

            let rollout, x, hyper = rolloutOf agent rng 2 2 3 true false, parameters agent 3L 2, values rng 2

            let step (rule: UpdateRule<Rollout>) =
                let made = rule.Step.Invoke(rule.Init.Invoke x, hyper, rollout, Differentiation.None)
                Array.append (numbers made.Loss) (numbersOf made.Learner.Parameters)

            near
                exact
                "the learner's"
                (step (UpdateRule.gradient (ActorCritic.loss agent) (Optimizers.sgd 0.1)))
                (step (ActorCriticDescent.learner agent 0.1))

            near
                exact
                "the target's last"
                (step (UpdateRule.gradient (ActorCritic.policyLoss agent 0.0) (Optimizers.sgd 0.1)))
                (step (ActorCriticDescent.greedy agent 0.1)))
    ]

// Meta-gradients.

let private identity (hyper: Params) : MetaParameters =
    MetaParameters.Create("hyper-parameters themselves", 0, [||], (fun _ _ _ -> hyper), (fun w _ -> w))

let private matchingOf (agent: ActorCritic) (onValues: bool) =
    let policy = Matching.klOf agent.Distribution Reduction.Mean

    if onValues then
        Matching.weightedSum [| 1.0; 0.5 |] [| policy; Matching.valueMatching Reduction.Mean |]
    else
        policy

let private fourth (f: float -> float[]) =
    let h = 1e-3
    let a, b, c, d = f (-2.0 * h), f -h, f h, f (2.0 * h)
    Array.init a.Length (fun i -> (a[i] - 8.0 * b[i] + 8.0 * c[i] - d[i]) / (12.0 * h))

/// What judges the learner after K steps.
type private Judge =
    | Policy
    | PolicyAndValues
    /// The outer loss of a plain meta-gradient, by a γ and a λ of its own.
    | OuterLoss

/// The meta-gradient by each hyper-parameter against differences in which values inside advantages stay as they were.
let private metaGradients (rng: Rng) (agent: ActorCritic) (judge: Judge) (ends: bool) =
    let p, n, t, k = 2, rng.Next 2 + 1, 4, rng.Next 3 + 1
    let hyper = values rng p
    let x = parameters agent 5L p
    let aim = parameters agent 6L p
    let optimizer = Optimizers.withLearnedRate HyperParameters.LearningRate (Optimizers.sgd 0.1)
    let batches = Array.init (k + 1) (fun _ -> rolloutOf agent rng p n t ends ends)
    let model = ActorCritic.policyAndValues agent
    let matching = matchingOf agent (judge = PolicyAndValues)

    let fixed' =
        agent
            .WithDiscount(Setting.Constant 0.95)
            .WithTraceDecay(Setting.Constant 0.9)
            .WithEntropyWeight(Setting.Constant 0.1)
            .WithValueWeight(Setting.Constant 0.0)

    let meta: MetaLearner<Rollout> =
        MetaLearner<Rollout>
            .Create(
                UpdateRule.gradient (ActorCritic.loss agent) optimizer,
                k,
                identity hyper,
                (if judge = OuterLoss then
                     MetaObjective.MetaGradient(ActorCritic.policyLoss fixed' 0.1)
                 else
                     MetaObjective.Bootstrapped(TargetBootstrap.given aim, matching)),
                model,
                Optimizers.sgd 1.0
            )

    let state: MetaState<Rollout> = {
        Learner = meta.UpdateRule.Init.Invoke x
        MetaParameters = hyper
        MetaOptimizer = Params.Empty
        Pending = null
    }

    let mutable taken = -1

    let found =
        (MetaLearner.metaGradient meta state (fun _ _ ->
            taken <- taken + 1

            {
                Data = batches[taken]
                Context = null
            }))
            .Gradient

    let tape = Tape()
    let rule = UpdateRule.gradient (referenceLoss agent tape) optimizer

    let outer = referenceLoss fixed' tape

    let lived (hyper: Params) =
        let mutable learner = rule.Init.Invoke x

        for i in 0 .. k - 1 do
            learner <- (rule.Step.Invoke(learner, hyper, batches[i], Differentiation.None)).Learner

        if judge = OuterLoss then
            outer.Loss.Invoke(learner.Parameters, hyper, batches[k])
        else
            let predict x =
                Prediction(x, lazy (model.Predict.Invoke(x, hyper, batches[k])))

            matching.Compare.Invoke(predict aim, predict learner.Parameters)

    let value (hyper: Params) =
        use _ = torch.NewDisposeScope()
        tape.Replay()
        numbers (lived hyper)

    // What the values were.
    lived hyper |> ignore

    let slopes = [
        for name in hyper.Names ->
            // A step's size bends μ the most.
            let scale = if name = HyperParameters.LearningRate then 0.01 else 1.0

            name,
            fourth (fun h ->
                value (
                    hyper
                    |> Params.mapNamed (fun n v -> if n = name then v.add (scalar (scale * h)) else v)
                ))
            |> Array.map (fun slope -> slope / scale)
    ]

    found, slopes

let private everyOne =
    testList "every learnable hyper-parameter of an actor-critic has its meta-gradient" [
        for d in distributions do
            for torso in [ false; true ] do
                let name = if torso then "shared torso" else "separate networks"

                seeded 8 $"{d.Name}, {name}: equal to finite differences, and not zero" (fun rng ->
                    let agent = learned (agentOf d torso)
                    let judge = if torso then Policy else PolicyAndValues
                    let found, slopes = metaGradients rng agent judge false

                    for name, expected in slopes do
                        near differences name expected (numbers found[name])

                        for g in numbers found[name] do
                            Expect.isGreaterThan (abs g) 1e-9 $"{name} reaches μ")

                seeded 6 $"{d.Name}, {name}: equal to finite differences with ends and masks" (fun rng ->
                    let found, slopes = metaGradients rng (learned (agentOf d torso)) PolicyAndValues true

                    for name, expected in slopes do
                        near differences name expected (numbers found[name]))

        for torso in [ false; true ] do
            let name = if torso then "shared torso" else "separate networks"

            seeded 8 $"by the outer loss of a plain meta-gradient, {name}" (fun rng ->
                let agent = learned (agentOf distributions[rng.Next 3] torso)
                let found, slopes = metaGradients rng agent OuterLoss false

                for name, expected in slopes do
                    near differences name expected (numbers found[name])

                    if torso || name <> HyperParameters.ValueWeight then
                        for g in numbers found[name] do
                            Expect.isGreaterThan (abs g) 1e-9 $"{name} reaches the outer loss")

        seeded 6 "but for the value weight of separate networks where μ sees the policy alone" (fun rng ->
            let agent = learned (agentOf distributions[rng.Next 3] false)
            let found, _ = metaGradients rng agent Policy false
            zero 0.0 "value weight" (numbers found[HyperParameters.ValueWeight])

            for name in agent.Learned do
                if name <> HyperParameters.ValueWeight then
                    for g in numbers found[name] do
                        Expect.isGreaterThan (abs g) 1e-9 $"{name} reaches μ")
    ]

let private told =
    let trial
        (agent: ActorCritic)
        (innerSteps: int)
        (optimizer: Optimizer)
        (model: Model<Rollout>)
        (matching: MatchingFunction)
        =
        let last = UpdateRule.gradient (ActorCritic.policyLoss agent 0.0) (Optimizers.sgd 0.1)

        let names =
            Array.append agent.Learned [|
                match optimizer.LearningRate with
                | Setting.Learned name -> name
                | _ -> ()
            |]

        let learner: MetaLearner<Rollout> =
            MetaLearner<Rollout>
                .Create(
                    UpdateRule.gradient (ActorCritic.loss agent) optimizer,
                    innerSteps,
                    MetaParameters.constant "unused" 0.0,
                    MetaObjective.Bootstrapped(TargetBootstrap.lookAhead 2 last LastStepState.Fresh, matching),
                    model,
                    Optimizers.sgd 1.0
                )

        let starts =
            names
            |> Array.map (fun name -> if name = HyperParameters.LearningRate then 0.05 else 0.3)

        ActorCritic.unreached agent learner names starts [| int64 inputs |]

    testList "one that can not reach what is judged is told by name" [
        for d in distributions do
            for k in [ 1; 2; 4 ] do
                scoped $"{d.Name}, K = {k}" (fun () ->
                    let separate, shared = learned (agentOf d false), learned (agentOf d true)
                    let rate = Optimizers.withLearnedRate HyperParameters.LearningRate (Optimizers.sgd 0.1)

                    let policy (a: ActorCritic) =
                        trial a k rate (ActorCritic.model a) (matchingOf a false)

                    Expect.equal
                        (policy separate)
                        [| HyperParameters.ValueWeight |]
                        "separate networks, the policy alone"

                    Expect.isEmpty (policy shared) "a shared torso"

                    Expect.isEmpty
                        (trial separate k rate (ActorCritic.policyAndValues separate) (matchingOf separate true))
                        "values are matched too"

                    Expect.isEmpty
                        (trial separate k rate (ActorCritic.model separate) (Matching.parameterL2 0.5))
                        "all parameters are matched"

                    let clipped = Optimizers.before (Transformations.clipByGlobalNorm 1e-3) rate

                    Expect.isEmpty
                        (trial separate k clipped (ActorCritic.model separate) (matchingOf separate false))
                        "a clipped gradient carries all to all")

        scoped "without a step differentiated through, none reaches" (fun () ->
            let agent = learned (agentOf distributions[0] true)
            let none = trial agent 0 (Optimizers.sgd 0.1) (ActorCritic.model agent) (matchingOf agent false)
            Expect.equal none agent.Learned "all")

        scoped "one-step errors read no λ" (fun () ->
            let agent = (learned (agentOf distributions[0] true)).WithTraceDecay(Setting.Constant 0.0)

            Expect.isFalse (Array.contains HyperParameters.TraceDecay agent.Learned) "learned")

        scoped "settings that are no single number, or out of range, are refused" (fun () ->
            let agent = agentOf distributions[0] false

            refuses [ "ActorCritic.WithDiscount"; "'discount'"; "1.5" ] (fun () ->
                agent.WithDiscount(Setting.Constant 1.5) |> ignore)

            refuses [ "ActorCritic.WithTraceDecay"; "'decay'"; "'rate/…'" ] (fun () ->
                agent.WithTraceDecay(Setting.LearnedPerTensor "rate/") |> ignore)

            refuses [ "ActorCritic.WithValueWeight"; "-1" ] (fun () ->
                agent.WithValueWeight(Setting.Constant -1.0) |> ignore)

            refuses
                [
                    "ActorCritic.WithDistribution"
                    "gaussian(3) of 6"
                    "3 raw outputs"
                    "'policy'"
                ]
                (fun () -> agent.WithDistribution(Distributions.gaussian 3) |> ignore))
    ]

// Rollouts.

/// γ and λ given, everything else as it comes.
let private plain (discount: float) (decay: float) =
    (agentOf distributions[0] false).WithDiscount(Setting.Constant discount).WithTraceDecay(Setting.Constant decay)

/// Rewards of four steps, of one copy.
let private four (rewards: float[]) =
    Rollout.Create(
        torch.zeros ([| 1L; 5L; int64 inputs |], dtype = torch.float64),
        torch.zeros ([| 1L; 4L |], dtype = torch.int64),
        tensor [ 1; 4 ] rewards
    )

let private row (values: float[]) = tensor [ 1; values.Length ] values

let private advantagesOf (agent: ActorCritic) (rollout: Rollout) (values: float[]) =
    numbers (ActorCritic.advantages agent Params.Empty rollout (tensor [ 1; 1; values.Length ] values))

let private ends =
    // r = 1, 2, ·, 4; γ = ½; v = 10, 20, 30, 40, 50. The episode ends with the second step; row 2 is its last state, row 3 the first of
    // the next.
    let states = [| 10.0; 20.0; 30.0; 40.0; 50.0 |]
    let rewards = [| 1.0; 2.0; nan; 4.0 |]
    let ended = row [| 0.0; 1.0; 0.0; 0.0 |]
    let valid = row [| 1.0; 1.0; 0.0; 1.0 |]

    testList "ends" [
        scoped "a termination cuts the bootstrap and the recursion" (fun () ->
            let rollout = (four rewards).WithEnds(ended, null, valid)
            // δ = 1, 2 − 20 = −18, ·, 4 + 25 − 40 = −11; A₀ = 1 + ½·(−18).
            near rounding "λ = 1" [| -8.0; -18.0; 0.0; -11.0 |] (advantagesOf (plain 0.5 1.0) rollout states)

            let oneStep = advantagesOf (plain 0.5 0.0) rollout states
            near rounding "λ = 0" [| 1.0; -18.0; -11.0 |] [| oneStep[0]; oneStep[1]; oneStep[3] |])

        scoped "a truncation cuts the recursion alone" (fun () ->
            let rollout = (four rewards).WithEnds(null, ended, valid)
            // δ₁ = 2 + 15 − 20 = −3; A₀ = 1 + ½·(−3).
            near rounding "λ = 1" [| -0.5; -3.0; 0.0; -11.0 |] (advantagesOf (plain 0.5 1.0) rollout states))

        scoped "the recursion is cut by a step that is not valid, whatever is said of ends" (fun () ->
            let rollout = (four rewards).WithEnds(null, null, valid)
            near rounding "λ = 1" [| -0.5; -3.0; 0.0; -11.0 |] (advantagesOf (plain 0.5 1.0) rollout states))

        scoped "λ = 1 without ends is Monte Carlo with a bootstrap" (fun () ->
            // 1 + ½(2 + ½(3 + ½(4 + ½·50))) = 6.375 and so on, less the values.
            let found = advantagesOf (plain 0.5 1.0) (four [| 1.0; 2.0; 3.0; 4.0 |]) states
            near rounding "A" [| 6.375 - 10.0; 10.75 - 20.0; 17.5 - 30.0; 29.0 - 40.0 |] found)

        seeded 40 "what stands at a step that is not valid means nothing" (fun rng ->
            let agent = drawnAgent rng
            let rollout = rolloutOf agent rng 2 2 5 true true

            match rollout.Valid with
            | null -> failtest "no ends"
            | valid ->
                let skipped = valid.eq (scalar 0.0)

                let actions =
                    if agent.Distribution.HasActionAxis then
                        skipped.unsqueeze -1L
                    else
                        skipped

                let mask: Tensor | null =
                    match rollout.Mask with
                    | null -> null
                    | mask ->
                        let rows = torch.cat ([| skipped; torch.zeros_like (skipped.narrow (2L, 0L, 1L)) |], 2L)
                        mask.masked_fill (rows.unsqueeze -1L, scalar 0.0)

                let spoilt = {
                    rollout with
                        Rewards = rollout.Rewards.masked_fill (skipped, scalar nan)
                        Actions = rollout.Actions.masked_fill (actions, scalar 1e6)
                        Mask = mask
                }

                let x, hyper = Params.leaves (parameters agent 2L 2), values rng 2

                let judge (lossFunction: LossFunction<Rollout>) (rollout: Rollout) =
                    let loss = lossFunction.Loss.Invoke(x, hyper, rollout)
                    Array.append (numbers (loss.detach ())) (numbersOf (Gradients.gradient loss x false))

                for lossFunction in [ ActorCritic.loss agent; ActorCritic.policyLoss agent 0.1 ] do
                    near exact lossFunction.Name (judge lossFunction rollout) (judge lossFunction spoilt)

                let step (rollout: Rollout) =
                    let rule = ActorCriticDescent.learner agent 0.1
                    let made = rule.Step.Invoke(rule.Init.Invoke x, hyper, rollout, Differentiation.None)
                    Array.append (numbers made.Loss) (numbersOf made.Learner.Parameters)

                near exact "a step" (step rollout) (step spoilt))

        seeded 20 "a member without a valid step has a loss of 0 and stays as it is" (fun rng ->
            let agent = drawnAgent rng
            let rollout = rolloutOf agent rng 2 1 3 false false
            let valid = tensor [ 2; 1; 3 ] [| 0.0; 0.0; 0.0; 1.0; 1.0; 0.0 |]
            let rollout = rollout.WithEnds(null, null, valid)
            let x, hyper = parameters agent 2L 2, values rng 2

            for rule in
                [
                    UpdateRule.gradient (ActorCritic.loss agent) (Optimizers.sgd 0.1)
                    ActorCriticDescent.learner agent 0.1
                ] do
                let made = rule.Step.Invoke(rule.Init.Invoke x, hyper, rollout, Differentiation.None)
                near exact "loss" [| 0.0 |] [| Array.head (numbers made.Loss) |]
                finite "loss of the other" (numbers made.Loss)
                let first p = numbersOf (Params.ofMember 0L p)
                near exact "parameters" (first x) (first made.Learner.Parameters)
                Expect.notEqual (numbersOf made.Learner.Parameters) (numbersOf x) "the other member learns")
    ]

let private rollouts =
    testList "rollouts" [
        seeded 30 "the loss of N copies is the mean of their losses" (fun rng ->
            let agent = drawnAgent rng
            let p, n, t = 2, rng.Next 3 + 1, rng.Next 4 + 1
            let rollout = rolloutOf agent rng p n t false true
            let x, hyper = parameters agent 4L p, values rng p

            let ofCopy (i: int) =
                Rollout.OfParams(Params.map (fun t -> t.narrow (1L, int64 i, 1L)) (rollout.ToParams()))

            let loss (r: Rollout) =
                numbers ((ActorCritic.loss agent).Loss.Invoke(x, hyper, r))

            let each = Array.init n (fun i -> loss (ofCopy i))
            let mean = Array.init p (fun m -> each |> Array.averageBy (fun l -> l[m]))
            near rounding "loss" mean (loss rollout))

        seeded 30 "are written down whole, and only what is there" (fun rng ->
            let agent = agentOf distributions[0] false
            let some, all = rolloutOf agent rng 1 2 3 false false, rolloutOf agent rng 1 2 3 true true
            Expect.equal (Seq.toList (some.ToParams().Names)) [ "observations"; "actions"; "rewards" ] "an endless one"
            let all = all.WithBehaviour(normal rng [ 1; 2; 3 ])
            let names = Seq.toList (all.ToParams().Names)
            Expect.equal names.Length 8 "every field"
            let again = Rollout.OfParams(all.ToParams())
            near exact "fields" (numbersOf (all.ToParams())) (numbersOf (again.ToParams())))

        scoped "of one copy may be given without the axis" (fun () ->
            let rollout = (four [| 1.0; 2.0; 3.0; 4.0 |]).WithMask(torch.ones ([| 1L; 5L; 3L |]))
            Expect.equal rollout.Observations.shape [| 1L; 1L; 5L; 3L |] "observations"
            Expect.equal rollout.Actions.shape [| 1L; 1L; 4L |] "actions"
            Expect.equal (nonNull rollout.Mask).shape [| 1L; 1L; 5L; 3L |] "mask"
            Expect.equal (rollout.Copies, rollout.Steps) (1L, 4L) "N and T")

        scoped "whose shapes do not fit are refused" (fun () ->
            let zeros (shape: int64[]) = torch.zeros shape

            refuses [ "Rollout.Create"; "'observations'"; "[2, 4, 3]" ] (fun () ->
                Rollout.Create(zeros [| 2L; 4L; 3L |], zeros [| 2L; 4L |], zeros [| 2L; 4L |])
                |> ignore)

            refuses [ "Rollout.Create"; "'actions'"; "[2, 5]" ] (fun () ->
                Rollout.Create(zeros [| 2L; 5L; 3L |], zeros [| 2L; 5L |], zeros [| 2L; 4L |])
                |> ignore)

            refuses [ "Rollout"; "'truncated'"; "[1, 1, 4]"; "[1, 1, 3]" ] (fun () ->
                (four (Array.zeroCreate 4)).WithEnds(null, zeros [| 1L; 3L |], null) |> ignore)

            refuses [ "Rollout.WithMask"; "'mask'"; "[1, 1, 4, 3]" ] (fun () ->
                (four (Array.zeroCreate 4)).WithMask(zeros [| 1L; 4L; 3L |]) |> ignore))

        scoped "bytes are 0 to 1" (fun () ->
            let agent = agentOf distributions[0] false
            let bytes = torch.tensor([| 0uy; 51uy; 255uy; 102uy; 0uy; 255uy |]).reshape(1L, 2L, 3L)
            let actions, rewards = torch.zeros ([| 1L; 1L |], dtype = torch.int64), row [| 0.0 |]
            let x = parameters agent 1L 1

            let logits o =
                numbers (ActorCritic.logits agent x (Rollout.Create(o, actions, rewards)))

            let plain = (bytes.``to`` torch.float64).div(scalar 255.0)
            near rounding "logits" (logits plain) (logits bytes))
    ]

let private corrected =
    testList "V-trace" [
        seeded 30 "with the behaviour's own policy is the generalized advantages" (fun rng ->
            let td, factors = normal rng [ 2; 5 ], (normal rng [ 2; 5 ]).sigmoid()

            near
                rounding
                "vs − v"
                (numbers (Returns.accumulate factors td))
                (numbers (Returns.vTrace (torch.zeros_like td) 1.0 factors td)))

        scoped "by hand" (fun () ->
            // π/b = 2, ½, 4; ρ̄ = 3: ρ = 2, ½, 3; c = 1, ½, 1. δ = 1, 2, 3, factors ½: 9; ½·2 + ½·½·9 = 3.25; 2·1 + ½·3.25 = 3.625.
            let logs = row [| log 2.0; log 0.5; log 4.0 |]
            let found = Returns.vTrace logs 3.0 (row [| 0.5; 0.5; 0.5 |]) (row [| 1.0; 2.0; 3.0 |])
            near rounding "vs − v" [| 3.625; 3.25; 9.0 |] (numbers found))

        scoped "is finite where a ratio is too large for a number" (fun () ->
            let found = Returns.vTrace (row [| 1e4; -1e4 |]) 1.0 (row [| 0.9; 0.9 |]) (row [| 1.0; 1.0 |])
            near rounding "vs − v" [| 1.0; 0.0 |] (numbers found))
    ]

// Q(λ).

let private qOf () =
    QLambda
        .Create(Network.Mlp("values", inputs, [| 4 |], 3, Activation.Tanh), 0.9, 0.8)
        .WithDiscount(Setting.Learned HyperParameters.Discount)
        .WithTraceDecay(Setting.Learned HyperParameters.TraceDecay)

let private transition (rng: Rng) (p: int) =
    Rollout.Create(
        normal rng [ p; 2; inputs ],
        torch.tensor(Array.init p (fun _ -> int64 (rng.Next 3))).reshape(int64 p, 1L),
        normal rng [ p; 1 ]
    )

/// ½ mean (q̃ − q)² over states and actions.
let private onActionValues =
    MatchingFunction.Create(
        "action values",
        MatchingClaims.Divergence,
        (fun target learner ->
            Reduction.apply
                Reduction.Mean
                ((target.Stopped[QLambda.Values].sub learner[QLambda.Values]).pow(scalar 2.0).mul(scalar 0.5)))
    )

let private ofValues =
    testList "Q(λ)" [
        seeded
            20
            "γ, λ and the step size have their meta-gradients: equal to finite differences, and not zero"
            (fun rng ->
                let agent, p, k = qOf (), 2, rng.Next 2 + 2
                let hyper = (values rng p) |> Params.only (fun n -> not (n.EndsWith "Weight"))
                let hyper = Params.merge [| hyper; Params.Single(QLambda.Epsilon, tensor [ p ] [| 0.2; 0.3 |]) |]

                let init seed =
                    QLambda.init agent Initialization.Uniform (Seed.Population(seed, p)) torch.float64 torch.CPU

                let x, aim = init 1L, init 9L
                let optimizer = Optimizers.withLearnedRate HyperParameters.LearningRate (Optimizers.sgd 0.1)
                let rule = QLambda.learner agent optimizer
                let batches = Array.init (k + 1) (fun _ -> transition rng p)
                let model = QLambda.model agent

                let meta: MetaLearner<Rollout> =
                    MetaLearner<Rollout>
                        .Create(
                            rule,
                            k,
                            identity hyper,
                            MetaObjective.Bootstrapped(TargetBootstrap.given aim, onActionValues),
                            model,
                            Optimizers.sgd 1.0
                        )

                let gradient (hyper: Params) =
                    let mutable taken = -1

                    MetaLearner.metaGradient
                        meta
                        {
                            Learner = rule.Init.Invoke x
                            MetaParameters = hyper
                            MetaOptimizer = Params.Empty
                            Pending = null
                        }
                        (fun _ _ ->
                            taken <- taken + 1

                            {
                                Data = batches[taken]
                                Context = null
                            })

                let found = (gradient hyper).Gradient

                for name in
                    [
                        HyperParameters.Discount
                        HyperParameters.TraceDecay
                        HyperParameters.LearningRate
                    ] do
                    let expected =
                        fourth (fun h ->
                            let moved = hyper |> Params.mapNamed (fun n v -> if n = name then v.add (scalar h) else v)

                            match (gradient moved).MetaObjective with
                            | null -> failtest "no meta-objective"
                            | mu -> numbers mu)

                    near differences name expected (numbers found[name])

                    for g in numbers found[name] do
                        Expect.isGreaterThan (abs g) 1e-9 $"{name} reaches μ")

        seeded
            30
            "an end cuts the trace, a termination the bootstrap, and a step that is not valid teaches nothing"
            (fun rng ->
                let agent = QLambda.Create(Network.Mlp("values", inputs, [| 4 |], 3, Activation.Tanh), 0.9, 0.8)

                let x = QLambda.init agent Initialization.Uniform (Seed.Population(1L, 2)) torch.float64 torch.CPU
                let optimizer = Optimizers.adam 0.05 0.9 0.99 1e-3 1e-16
                let rule = QLambda.learner agent optimizer

                let step (rule: UpdateRule<Rollout>) learner hyper data =
                    (rule.Step.Invoke(learner, hyper, data, Differentiation.None)).Learner

                let before = step rule (rule.Init.Invoke x) Params.Empty (transition rng 2)
                let data = transition rng 2
                let flag (first: float) (second: float) = tensor [ 2; 1 ] [| first; second |]

                let all (l: LearnerState) m =
                    numbersOf (Params.ofMember m l.Parameters), numbersOf (Params.ofMember m l.Optimizer)

                let trace (l: LearnerState) m =
                    numbersOf (Params.ofMember m (Params.sub "trace/" l.Optimizer))

                let plain = step rule before Params.Empty data

                // The first member's step ends the episode, the second's goes on.
                let terminated = step rule before Params.Empty (data.WithEnds(flag 1.0 0.0, null, null))
                let truncated = step rule before Params.Empty (data.WithEnds(null, flag 1.0 0.0, null))
                let skipped = step rule before Params.Empty (data.WithEnds(null, null, flag 0.0 1.0))

                for other in [ terminated; truncated; skipped ] do
                    Expect.equal (all other 1L) (all plain 1L) "the other member"

                zero 0.0 "trace after a termination" (trace terminated 0L)
                zero 0.0 "trace after a truncation" (trace truncated 0L)
                Expect.equal (fst (all truncated 0L)) (fst (all plain 0L)) "a truncation bootstraps"
                Expect.equal (all skipped 0L) (all before 0L) "not valid"

                // A termination is a discount of 0.
                let told = agent.WithDiscount(Setting.Learned HyperParameters.Discount)
                let none = Params.Single(HyperParameters.Discount, tensor [ 2 ] [| 0.0; 0.9 |])
                let expected = step (QLambda.learner told optimizer) before none data
                Expect.equal (all terminated 0L) (all expected 0L) "a termination")

        seeded 10 "rollouts that are joined keep their ends" (fun rng ->
            let one = transition rng 2
            let ended = (transition rng 2).WithEnds(tensor [ 2; 1 ] [| 1.0; 0.0 |], null, null)
            let reset = (transition rng 2).WithEnds(null, null, tensor [ 2; 1 ] [| 0.0; 1.0 |])

            let joined =
                (QLambda.join ([| one; ended; reset |] |> Array.map (fun d -> { Data = d; Context = null }))).Data

            Expect.equal joined.Observations.shape [| 2L; 1L; 4L; int64 inputs |] "observations"
            near exact "terminated" [| 0.0; 1.0; 0.0; 0.0; 0.0; 0.0 |] (numbers (nonNull joined.Terminated))
            near exact "valid" [| 1.0; 1.0; 0.0; 1.0; 1.0; 1.0 |] (numbers (nonNull joined.Valid))
            Expect.isNull joined.Truncated "none was truncated")

        scoped "several copies and masks are refused" (fun () ->
            let agent = QLambda.Create(Network.Mlp("values", inputs, [||], 3, Activation.Tanh), 0.9, 0.8)
            let rule = QLambda.learner agent (Optimizers.sgd 0.1)
            let x = QLambda.init agent Initialization.Uniform [| Seed.Of 1L |] torch.float64 torch.CPU

            let data =
                Rollout.Create(
                    torch.zeros ([| 1L; 2L; 2L; 3L |], dtype = torch.float64),
                    torch.zeros ([| 1L; 2L; 1L |], dtype = torch.int64),
                    torch.zeros ([| 1L; 2L; 1L |], dtype = torch.float64)
                )

            let step data () =
                rule.Step.Invoke(rule.Init.Invoke x, Params.Empty, data, Differentiation.None)
                |> ignore

            refuses [ "QLambda.learner"; "[1, 1]"; "[1, 2]" ] (step data)
            let one = transition (Rng 1UL) 1
            refuses [ "QLambda.learner"; "'data'"; "mask" ] (step (one.WithMask(torch.ones (1L, 2L, 3L)))))
    ]

// Where hyper-parameters come from.

let private metaParameters =
    let three = [| "discount"; "traceDecay"; "entropyWeight" |]

    let network outputs =
        Network.Mlp("meta", 2, [| 8 |], outputs, Activation.Tanh)

    testList "meta-parameters" [
        scoped "several from one network start at their initial values, and stay within their bounds" (fun () ->
            let lows, highs, initials = [| 0.9; 0.0; 0.0 |], [| 1.0; 1.0; 2.0 |], [| 0.99; 0.8; 0.1 |]

            let meta =
                MetaParameters.contextualMany three (network 3) lows highs initials Initialization.Uniform 400

            let w = meta.Init.Invoke(Seed.Population(1L, 2), torch.float32, torch.CPU)
            let rng = Rng 2UL

            let context =
                (tensor [ 2; 2 ] (Array.init 4 (fun _ -> 2.0 * rng.NextDouble() - 1.0))).``to`` torch.float32

            let hyper = meta.Apply.Invoke(w, context)
            Expect.equal (Seq.toArray hyper.Names) three "names"

            for i in 0..2 do
                Expect.equal hyper[three[i]].shape [| 2L |] "one number a member"

                for v in numbers hyper[three[i]] do
                    Expect.isLessThan (abs (v - initials[i])) (0.05 * (highs[i] - lows[i])) three[i]

            let far = meta.Apply.Invoke(Params.map (fun t -> t.mul (scalar 1e3)) w, context)

            for i in 0..2 do
                for v in numbers far[three[i]] do
                    Expect.isTrue (v >= float (float32 lows[i]) && v <= highs[i]) $"{three[i]} = {v}"

            let moments = meta.Apply.Invoke(w, torch.zeros (2L, 5L, 2L))
            Expect.equal moments["discount"].shape [| 2L; 5L |] "one for each of several moments"

            Expect.equal
                (meta.Outputs |> Array.map (fun o -> o.Name, o.Low, o.High))
                (Array.zip3 three lows highs)
                "what a host reads")

        scoped "several from one network have their own derivatives" (fun () ->
            let meta =
                MetaParameters.contextualMany
                    three
                    (network 3)
                    [| 0.0; 0.0; 0.0 |]
                    [| 1.0; 1.0; 1.0 |]
                    [| 0.5; 0.5; 0.5 |]
                    Initialization.Uniform
                    0

            let w = meta.Init.Invoke([| Seed.Of 1L |], torch.float64, torch.CPU)
            let context = tensor [ 1; 2 ] [| 0.3; -0.7 |]
            let bias = "meta.2.bias"

            for i in 0..2 do
                let leaves = Params.leaves w
                let hyper = meta.Apply.Invoke(leaves, context)
                let slope = Gradients.gradient hyper[three[i]] leaves false
                let own = numbers slope[bias]

                for j in 0..2 do
                    Expect.equal (own[j] <> 0.0) (i = j) $"{three[i]} by output {j}")

        scoped "several from one network are one and one where it is one" (fun () ->
            let one = MetaParameters.contextual "a" (network 1) 0.0 1.0 0.3 Initialization.Uniform 20

            let many =
                MetaParameters.contextualMany
                    [| "a" |]
                    (network 1)
                    [| 0.0 |]
                    [| 1.0 |]
                    [| 0.3 |]
                    Initialization.Uniform
                    20

            let make (m: MetaParameters) =
                numbersOf (m.Init.Invoke([| Seed.Of 4L |], torch.float32, torch.CPU))

            near exact "w" (make one) (make many))

        scoped "what does not fit is refused by name" (fun () ->
            let make names outputs lows highs initials () =
                MetaParameters.contextualMany names (network outputs) lows highs initials Initialization.Uniform 0
                |> ignore

            let two = [| "a"; "b" |]

            refuses
                [ "network.Outputs"; "2, one a name"; "3" ]
                (make two 3 [| 0.0; 0.0 |] [| 1.0; 1.0 |] [| 0.5; 0.5 |])

            refuses [ "'lows'"; "2 numbers"; "1" ] (make two 2 [| 0.0 |] [| 1.0; 1.0 |] [| 0.5; 0.5 |])

            refuses
                [ "contextual, b"; "between 0 and 1"; "2" ]
                (make two 2 [| 0.0; 0.0 |] [| 1.0; 1.0 |] [| 0.5; 2.0 |])

            refuses [ "MetaParameters.logScalar"; "'low'"; "positive" ] (fun () ->
                MetaParameters.logScalar "a" 0.0 1.0 0.5 false |> ignore)

            refuses [ "MetaParameters.logScalar"; "'initial'"; "between 0.1 and 1"; "2" ] (fun () ->
                MetaParameters.logScalar "a" 0.1 1.0 2.0 false |> ignore))

        seeded
            30
            "a number in the logarithm moves in proportion to itself, within its range, and never goes flat"
            (fun rng ->
                let low, high = 1e-4, 1.0
                let initial = low * exp (rng.NextDouble() * log (high / low))

                for divided in [ false; true ] do
                    let meta = MetaParameters.logScalar "learningRate" low high initial divided
                    let first = meta.Init.Invoke([| Seed.Of 1L |], torch.float64, torch.CPU)

                    let at (move: float) =
                        let w = Params.leaves (Params.map (fun t -> t.add (scalar move)) first)
                        let value = (meta.Apply.Invoke(w, null))["learningRate"]
                        let slope = numbersOf (Gradients.gradient value w false)
                        (numbers (value.detach ()))[0], slope[0]

                    for move in [ 0.0; -50.0; 50.0; 0.1 ] do
                        let value, slope = at move
                        near rounding "value" [| min high (max low (initial * exp move)) |] [| value |]
                        near rounding "dα/dw" [| (if divided then 1.0 else value) |] [| slope |]

                    Expect.equal (meta.Outputs[0].Low, meta.Outputs[0].High) (low, high) "its range")

        scoped "merged ones put out all, in order" (fun () ->
            let all =
                MetaParameters.merge [|
                    MetaParameters.logScalar "learningRate" 1e-4 1.0 0.1 false
                    MetaParameters.boundedScalar "discount" 0.9 1.0 0.99
                    MetaParameters.constant "valueWeight" 0.5
                |]

            Expect.equal
                (all.Outputs |> Array.map (fun o -> o.Name))
                [| "learningRate"; "discount"; "valueWeight" |]
                "outputs"

            let w = all.Init.Invoke([| Seed.Of 1L |], torch.float64, torch.CPU)
            let hyper = all.Apply.Invoke(w, null)
            Expect.equal (Seq.toArray hyper.Names) (all.Outputs |> Array.map (fun o -> o.Name)) "what is put out"
            near rounding "values" [| 0.1; 0.99; 0.5 |] (numbersOf hyper))
    ]

let tests =
    testList "hyper-parameters" [
        definition
        everyOne
        told
        ends
        rollouts
        corrected
        ofValues
        metaParameters
    ]
