/// Peng's Q(λ) and its learned rate of exploration: the definition against closed forms, the fast path against the definition.
module Bmg.Tests.QLambdaTests

open System
open System.IO
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Tests.Tolerances
open Bmg.Training.Acting
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Agents
open Bmg.Training.Experiments
open Bmg.Tests.Worlds
open Expecto
open FsCheck
open TorchSharp

let private cases = FsCheckConfig.defaultConfig

let private times (count: int) = { cases with maxTest = count }

/// float32 arithmetic in another order over several steps of Adam, each of which divides by a root.
let private stepsApart = {
    Name = "float32 steps"
    Relative = 2e-4
    Floor = 2e-5
}

let private row (rng: Rng) (count: int) =
    Array.init count (fun _ -> rng.NextNormal())

let private tensor (dtype: torch.ScalarType) (shape: int64[]) (values: float[]) =
    torch.tensor(values, dtype = torch.float64).reshape(shape).``to`` dtype

/// γ that is told with every step, one number a member.
let private discounts (dtype: torch.ScalarType) (values: float[]) : Params =
    Params.Single(HyperParameters.Discount, tensor dtype [| int64 values.Length |] values)

/// One transition of every member.
let private transition (dtype: torch.ScalarType) (rng: Rng) (members: int) (inputs: int) (actions: int) : Rollout =
    let p, o = int64 members, int64 inputs

    // As sparse as observations are: zeros take a way of their own through the fast path.
    let observations =
        row rng (members * 2 * inputs)
        |> Array.map (fun v -> if rng.Next 3 = 0 then 0.0 else v)

    Rollout.Create(
        tensor dtype [| p; 2L; o |] observations,
        torch.tensor(Array.init members (fun _ -> int64 (rng.Next actions))).reshape(p, 1L),
        tensor dtype [| p; 1L |] (row rng members)
    )

let private qlearner (inputs: int) (hidden: int[]) (actions: int) (decay: float) : QLambda =
    QLambda.Create(Network.Mlp("values", inputs, hidden, actions, Activation.Relu), 0.8, decay)

/// Peng and Williams 1996 over a table, one number a state and action, in plain numbers.
let private tabular
    (states: int)
    (actions: int)
    (rate: float)
    (decay: float)
    (steps: (int * int * float * float * int)[])
    =
    let q, trace = Array2D.zeroCreate<float> states actions, Array2D.zeroCreate<float> states actions
    let mutable fade = 0.0

    for s, a, reward, discount, next in steps do
        let best row =
            Seq.max (Seq.init actions (fun i -> q[row, i]))

        let reached = reward + discount * best next
        let own, greedy = reached - q[s, a], reached - best s

        for i in 0 .. states - 1 do
            for j in 0 .. actions - 1 do
                trace[i, j] <- fade * trace[i, j]
                q[i, j] <- q[i, j] + rate * greedy * trace[i, j]

        q[s, a] <- q[s, a] + rate * own
        trace[s, a] <- trace[s, a] + 1.0
        fade <- decay * discount

    q

let private definition =
    testList "definition" [
        testPropertyWithConfig (times 60) "over a table it is Peng and Williams's own recursion"
        <| fun (seed: NonNegativeInt) ->
            use _ = scope ()
            let rng = Rng(uint64 seed.Get)
            let states, actions = rng.Next 4 + 2, rng.Next 3 + 1
            let rate, decay = rng.NextDouble(), rng.NextDouble()

            let steps =
                Array.init 12 (fun _ ->
                    rng.Next states,
                    rng.Next actions,
                    rng.NextNormal(),
                    (if rng.Next 5 = 0 then 0.0 else rng.NextDouble()),
                    rng.Next states)

            let agent = (qlearner states [||] actions decay).WithDiscount(Setting.Learned HyperParameters.Discount)

            let rule = QLambda.learner agent (Optimizers.sgd rate)

            let zero =
                QLambda.init agent Initialization.Uniform [| Seed.Of 0L |] torch.float64 torch.CPU
                |> Params.zerosLike

            // The bias would be a feature that all states share: it is put back to zero, with its trace, after every step.
            let name = agent.Values.BiasName 0

            let pinned (p: Params) =
                let names = Seq.toArray p.Names

                Params.Create(
                    names,
                    names
                    |> Array.map (fun n -> if n.EndsWith name then torch.zeros_like p[n] else p[n])
                )

            let oneHot (s: int) =
                Array.init states (fun i -> if i = s then 1.0 else 0.0)

            let mutable learner = rule.Init.Invoke zero

            for s, a, reward, discount, next in steps do
                let data =
                    Rollout.Create(
                        tensor torch.float64 [| 1L; 2L; int64 states |] (Array.append (oneHot s) (oneHot next)),
                        torch.tensor([| int64 a |]).reshape(1L, 1L),
                        tensor torch.float64 [| 1L; 1L |] [| reward |]
                    )

                let hyper = discounts torch.float64 [| discount |]
                let made = rule.Step.Invoke(learner, hyper, data, Differentiation.None)

                learner <- {
                    Parameters = pinned made.Learner.Parameters
                    Optimizer = pinned made.Learner.Optimizer
                }

            let expected = tabular states actions rate decay steps |> Seq.cast<float> |> Seq.toArray
            near accumulated "table" expected (numbers learner.Parameters[agent.Values.WeightName 0])

        testPropertyWithConfig (times 30) "a step with a graph is the step without one"
        <| fun (seed: NonNegativeInt) ->
            use _ = scope ()
            let rng = Rng(uint64 seed.Get)
            let agent = qlearner 3 [| 4 |] 2 0.8
            let rule = QLambda.learner agent (Optimizers.adam 0.01 0.9 0.99 1e-3 1e-16)

            let x = QLambda.init agent Initialization.Uniform (Seed.Population(1L, 2)) torch.float64 torch.CPU

            let data = transition torch.float64 rng 2 3 2
            let start = rule.Init.Invoke x

            let step differentiation =
                (rule.Step.Invoke(start, Params.Empty, data, differentiation)).Learner

            let plain = step Differentiation.None

            for differentiation in [ Differentiation.Full; Differentiation.FirstOrder ] do
                let graph = step differentiation
                near rounding "parameters" (numbersOf plain.Parameters) (numbersOf (Params.detach graph.Parameters))
                near rounding "traces" (numbersOf plain.Optimizer) (numbersOf (Params.detach graph.Optimizer))

        test "more than one transition at a time is refused by name" {
            use _ = scope ()
            let agent = qlearner 3 [||] 2 0.8
            let rule = QLambda.learner agent (Optimizers.sgd 0.1)

            let x = QLambda.init agent Initialization.Uniform [| Seed.Of 1L |] torch.float64 torch.CPU

            let long =
                Rollout.Create(
                    torch.zeros ([| 1L; 3L; 3L |], dtype = torch.float64),
                    torch.zeros ([| 1L; 2L |], dtype = torch.int64),
                    torch.zeros ([| 1L; 2L |], dtype = torch.float64)
                )

            let error =
                Expect.throwsC
                    (fun () ->
                        rule.Step.Invoke(rule.Init.Invoke x, Params.Empty, long, Differentiation.None)
                        |> ignore)
                    id

            Expect.stringContains error.Message "data.Actions" "names the argument"
            Expect.stringContains error.Message "[1, 2]" "shows what came"
        }
    ]

let private matching =
    testList "matching" [
        testPropertyWithConfig (times 60) "KL from greedy to ε-greedy is −log of the probability of the target's action"
        <| fun (seed: NonNegativeInt) ->
            use _ = scope ()
            let rng = Rng(uint64 seed.Get)
            let members, states, actions = rng.Next 3 + 1, rng.Next 5 + 1, rng.Next 4 + 1
            let size = members * states
            let epsilons = Array.init size (fun _ -> rng.NextDouble())
            let shape = [| int64 members; int64 states; int64 actions |]

            let side (values: float[]) =
                let outputs =
                    Params.Create(
                        [| QLambda.Values; QLambda.Epsilon |],
                        [|
                            tensor torch.float64 shape values
                            tensor torch.float64 shape[..1] epsilons
                        |]
                    )

                Prediction(Params.Empty, lazy outputs)

            let target, learner = row rng (size * actions), row rng (size * actions)

            let best (values: float[]) (i: int) =
                let part = Array.sub values (i * actions) actions
                Array.IndexOf(part, Array.max part)

            let expected =
                Array.init size (fun i ->
                    let greedy =
                        if best target i = best learner i then
                            1.0 - epsilons[i]
                        else
                            0.0

                    -log(greedy + epsilons[i] / float actions + 1e-12))

            for reduction, reduce in [ Reduction.Sum, Array.sum; Reduction.Mean, Array.average ] do
                (QLambda.greedyKl reduction).Compare.Invoke(side target, side learner)
                |> numbers
                |> near rounding "μ" (expected |> Array.chunkBySize states |> Array.map reduce)

        testPropertyWithConfig (times 40) "the meta-gradient of ε with K = 0 agrees with finite differences"
        <| fun (seed: NonNegativeInt) ->
            use _ = scope ()
            let rng = Rng(uint64 seed.Get)
            let agent = qlearner 4 [| 5 |] 3 0.9
            let members, steps = 2, rng.Next 4 + 1

            let w =
                MetaParameters.contextual
                    QLambda.Epsilon
                    (Network.Mlp("meta", 3, [| 4 |], 1, Activation.Tanh))
                    0.0
                    1.0
                    0.4
                    Initialization.Uniform
                    3

            let meta =
                MetaLearner<Rollout>
                    .Create(
                        QLambda.learner agent (Optimizers.adam 0.01 0.9 0.999 1e-4 1e-16),
                        0,
                        w,
                        MetaObjective.Bootstrapped(QLambda.target steps, QLambda.greedyKl Reduction.Mean),
                        QLambda.model agent,
                        Optimizers.sgd 1.0
                    )

            let seeds = Seed.Population(int64 seed.Get, members)
            let x = QLambda.init agent Initialization.Uniform seeds torch.float64 torch.CPU
            let raw = w.Init.Invoke(seeds, torch.float64, torch.CPU)
            let state = MetaLearner.init meta x raw
            let data = Array.init steps (fun _ -> transition torch.float64 rng members 4 3)

            let contexts =
                Array.init steps (fun _ -> tensor torch.float64 [| int64 members; 3L |] (row rng (members * 3)))

            let gradient (raw: Params) =
                let mutable i = -1

                MetaLearner.metaGradient meta { state with MetaParameters = raw } (fun _ _ ->
                    i <- i + 1

                    {
                        Data = data[i]
                        Context = contexts[i]
                    })

            let result = gradient raw
            let rows = Params.flatten raw
            let size = int rows.shape[1]

            let slopes =
                Array.init size (fun j ->
                    let at (h: float) =
                        let moved = rows.clone ()
                        use column = moved.select (1L, int64 j)
                        column.add_ (Scalars.constant h) |> ignore

                        match (gradient (Params.unflatten raw moved)).MetaObjective with
                        | null -> failtest "no meta-objective"
                        | mu -> numbers mu

                    let h = 1e-3
                    let a, b, c, d = at (-2.0 * h), at -h, at h, at (2.0 * h)
                    Array.init members (fun m -> (a[m] - 8.0 * b[m] + 8.0 * c[m] - d[m]) / (12.0 * h)))

            let found = numbers (Params.flatten result.Gradient)

            let expected = Array.init (members * size) (fun i -> slopes[i % size].[i / size])

            near differences "∂μ/∂w" expected found
            Expect.isTrue (expected |> Array.exists (fun v -> abs v > 1e-6)) "w reaches μ"
    ]

/// A kernel's update beside the definition's, each going on from its own state.
let private kernel =
    testPropertyWithConfig (times 60) "the kernel's updates are those of the definition, step for step"
    <| fun (seed: NonNegativeInt) (inPlace: bool) ->
        use _ = scope ()
        let rng = Rng(uint64 seed.Get)

        let inputs, actions, members = rng.Next 6 + 1, rng.Next 5 + 1, rng.Next 3 + 1

        // Widths around those of whole vectors: 16, and blocks of 128.
        let widths = [| 1; 3; 4; 15; 16; 17; 32; 64; 128; 144; 256 |]
        let hidden = Array.init (rng.Next 3) (fun _ -> widths[rng.Next widths.Length])
        let agent = qlearner inputs hidden actions (rng.NextDouble())

        let adam =
            AdamSettings(LearningRate = 0.01, Beta1 = 0.8, Beta2 = 0.95, Epsilon = 1e-2, EpsilonRoot = 1e-3)

        let rule =
            QLambda.learner
                (agent.WithDiscount(Setting.Learned HyperParameters.Discount))
                (Optimizers.adam adam.LearningRate adam.Beta1 adam.Beta2 adam.Epsilon adam.EpsilonRoot)

        let x =
            QLambda.init agent Initialization.Uniform (Seed.Population(int64 seed.Get, members)) torch.float32 torch.CPU

        let mutable plain = rule.Init.Invoke(Params.clone x)

        let copy (l: LearnerState) = {
            Parameters = Params.clone l.Parameters
            Optimizer = Params.clone l.Optimizer
        }

        let mutable fast = copy plain
        let fastKernel = QLambdaKernel(agent, adam)
        let here, there = fastKernel.NewPass(), fastKernel.NewPass()

        for _ in 1..6 do
            let data = transition torch.float32 rng members inputs actions

            let discount = Array.init members (fun _ -> if rng.Next 5 = 0 then 0.0 else rng.NextDouble())

            let made = rule.Step.Invoke(plain, discounts torch.float32 discount, data, Differentiation.None)

            plain <- made.Learner
            let next = if inPlace then fast else copy fast
            let mutable from = fastKernel.Bind fast
            let mutable goal = fastKernel.Bind next
            let observations = data.Observations.data<float32>().ToArray()
            let losses = Array.zeroCreate members

            for m in 0 .. members - 1 do
                let at = 2 * m * inputs
                fastKernel.Forward(&from, m, ReadOnlySpan<float32>(observations, at, inputs), here)
                fastKernel.Forward(&from, m, ReadOnlySpan<float32>(observations, at + inputs, inputs), there)

                let error =
                    fastKernel.Learn(
                        &from,
                        &goal,
                        m,
                        here,
                        int (data.Actions[m, 0, 0].item<int64>()),
                        data.Rewards[m, 0, 0].item<float32>(),
                        float32 discount[m],
                        there.Best
                    )

                losses[m] <- 0.5 * float error * float error

            fast <- next
            near stepsApart "losses" (numbers made.Loss) losses
            near stepsApart "parameters" (numbersOf plain.Parameters) (numbersOf fast.Parameters)
            near stepsApart "traces and moments" (numbersOf plain.Optimizer) (numbersOf fast.Optimizer)

let private settings (extra: string list) =
    Reading.reader.Read(
        """{
          "name": "q", "members": 3, "environmentSteps": 2000, "seed": 5, "threads": 1,
          "environment": { "swapPeriod": 150 },
          "learner": { "agent": "q-lambda", "hidden": [16, 8], "targetSteps": 5, "traceDecay": 0.8,
                       "optimizer": { "name": "adam", "learningRate": 0.003, "epsilon": 1e-2 } },
          "matching": { "reduction": "mean" },
          "meta": { "method": "bmg", "parameters": "network", "context": "rich", "contextLength": 4, "contextScaling": "normalized",
                    "hidden": [6], "pretrainingSteps": 5, "learningRate": 0.01 }
        }""",
        "test",
        extra
    )

/// The tensors of an experiment, by set.
let private saved (experiment: IExperiment) (body: Checkpoint -> unit) =
    let path = Path.Combine(Path.GetTempPath(), "bmg-" + Guid.NewGuid().ToString("N"))

    try
        experiment.Save(path, "")
        use checkpoint = CheckpointFile.Read path
        body checkpoint
    finally
        File.Delete path

/// The same life through the plain parts: Core's φ, ξ and μ, worlds and contexts stepped by hand.
let private plainly (configuration: RunConfiguration) (metaSteps: int) : MetaState<Rollout> =
    let agent = QLambdaAgent.Create configuration
    let meta = agent.MetaLearnerWith(QLambda.target (Reading.qLambda configuration).TargetSteps)
    let seeds = Seed.Population(configuration.Seed, configuration.Members)
    let streams = new Streams(configuration, seeds, 1, 0)
    let features = agent.ContextFeatures.Count

    let context =
        RecentContext(seeds.Length, configuration.Meta.ContextLength, configuration.Meta.ContextScaling, max 1 features)

    let generators = seeds |> Array.map (fun s -> (let s = s.For "actions" in s.Generator()))
    let choices = streams.Description.Actions.ChoicesOf 0
    let members, width = seeds.Length, streams.Description.Observation.Size

    let mutable state =
        MetaLearner.init
            meta
            (QLambda.init agent.Learner (Reading.qLambda configuration).Initialization seeds torch.float32 torch.CPU)
            (agent.MetaParameters.Init.Invoke(seeds, torch.float32, torch.CPU))

    let collect (x: Params) (w: Params) : Experience<Rollout> =
        let observe () = [| for m in 0 .. members - 1 -> streams.Observation(m, 0).ToArray() |]

        let before = observe ()

        let seen: Tensor | null =
            if features = 0 then
                null
            else
                let all = Array.zeroCreate<float32>(members * context.Size)
                context.Write all
                torch.tensor(all).reshape(int64 members, int64 context.Size)

        let epsilon = numbers (agent.MetaParameters.Apply.Invoke(w, seen)[QLambda.Epsilon])

        let valuesAt (rows: float32[][]) =
            let input = torch.tensor(Array.concat rows).reshape(int64 members, 1L, int64 width)

            numbers (Network.apply agent.Learner.Values x input)
            |> Array.chunkBySize choices

        let values = valuesAt before

        let actions =
            Array.init members (fun m ->
                if streams.HasEnded(m, 0) then
                    0
                elif generators[m].NextDouble() < epsilon[m] then
                    generators[m].Next choices
                else
                    Array.IndexOf(values[m], Array.max values[m]))

        let steps =
            Array.init members (fun m -> streams.Step(m, 0, EnvironmentAction.Of(ReadOnlySpan [| actions[m] |])))

        let rewards = steps |> Array.map _.Result.Reward
        let after = observe ()
        let next = valuesAt after

        for m in 0 .. members - 1 do
            let error =
                let discount =
                    if steps[m].Result.Terminated then
                        0.0
                    else
                        (Reading.qLambda configuration).Discount

                float rewards[m] + discount * Array.max next[m] - values[m].[actions[m]]

            let all = [| float rewards[m]; values[m].[actions[m]]; error |]

            if features > 0 && steps[m].Valid then
                context.AddEach(m, ReadOnlySpan<float>(all, 0, features))

        let flags (told: StreamStep -> bool) =
            torch.tensor(steps |> Array.map (fun step -> if told step then 1f else 0f)).reshape(int64 members, 1L)

        let ended (rollout: Rollout) =
            if streams.Description.Ends then
                rollout.WithEnds(flags _.Result.Terminated, flags _.Result.Truncated, flags _.Valid)
            else
                rollout

        {
            Data =
                ended
                <| Rollout.Create(
                    torch
                        .tensor(Array.concat (Array.map2 Array.append before after))
                        .reshape(int64 members, 2L, int64 width),
                    torch.tensor(Array.map int64 actions).reshape(int64 members, 1L),
                    torch.tensor(rewards).reshape(int64 members, 1L)
                )
            Context = seen
        }

    for _ in 1..metaSteps do
        let struct (next, _) = MetaLearner.step meta state collect ignore
        state <- next

    state

let private population =
    testList "population" [
        for name, extra in
            [
                "a rich context", []
                "a reward context", [ "meta.context=reward"; "meta.contextScaling=raw" ]
                "one number", [ "meta.parameters=scalar" ]
                "a target of one step", [ "learner.targetSteps=1" ]
                "episodes that end both ways", [ """environment={ "name": "cartpole", "steps": 12 }""" ]
                "episodes and a reward context",
                [
                    """environment={ "name": "cartpole", "steps": 6 }"""
                    "meta.context=reward"
                    "learner.targetSteps=7"
                ]
                "episodes and one number, that starts no meta-step but ends some",
                [
                    """environment={ "name": "cartpole", "steps": 4 }"""
                    "meta.parameters=scalar"
                    "learner.targetSteps=3"
                ]
            ] do
            test $"lives as the plain parts say, with {name}" {
                use _ = scope ()
                let configuration = settings extra
                use fast = new PopulationExperiment(configuration, DerivedSettings.Of configuration)
                let steps = (fast.Advance()).Steps
                let plain = plainly configuration (steps / (Reading.qLambda configuration).TargetSteps)

                saved fast (fun checkpoint ->
                    for set, expected in
                        [
                            "learner", plain.Learner.Parameters
                            "learnerOptimizer", plain.Learner.Optimizer
                            "meta", plain.MetaParameters
                            "metaOptimizer", plain.MetaOptimizer
                        ] do
                        let found = checkpoint.Set set
                        Expect.sequenceEqual found.Names expected.Names set

                        near
                            {
                                Name = "some hundred float32 steps"
                                Relative = 5e-3
                                Floor = 5e-4
                            }
                            set
                            (numbersOf expected)
                            (numbersOf found))
            }

        test "ε that is not learned stays, and nothing is said of μ" {
            let configuration = settings [ "meta.method=fixed"; "meta.exploration.initial=0.25" ]
            use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)
            let report = experiment.Advance()

            for epsilon in report.Values[1] do
                Expect.floatClose Accuracy.veryHigh epsilon 0.25 "ε"

            Expect.isTrue (report.Values[2] |> Array.forall Double.IsNaN) "μ"
        }

        test "what decays ends in zero, not in numbers that processors are slow with" {
            let configuration =
                settings [
                    "learner.traceDecay=0.3"
                    "meta.method=fixed"
                    "meta.exploration.initial=0.25"
                ]

            use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)

            while experiment.EnvironmentSteps < configuration.EnvironmentSteps do
                experiment.Advance() |> ignore

            saved experiment (fun checkpoint ->
                let optimizer = checkpoint.Set "learnerOptimizer" |> numbersOf
                let small = optimizer |> Array.filter (fun v -> v <> 0.0 && abs v < 1.1754943508222875e-38)
                Expect.isGreaterThan optimizer.Length 100 "traces and moments"
                Expect.isEmpty small "subnormal numbers")
        }

        test "the last report ends where the run does" {
            let configuration = settings [ "learner.targetSteps=8"; "environmentSteps=296" ]
            use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)
            let reports = ResizeArray<int>()

            while experiment.EnvironmentSteps < configuration.EnvironmentSteps do
                reports.Add((experiment.Advance()).Steps)

            Expect.sequenceEqual reports [ 256; 40 ] "steps"
        }

        test "memory is flat" {
            let configuration = settings []
            use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)

            let live () =
                DisposeScopeManager.Statistics.TensorStatistics.ThreadTotalLiveCount

            experiment.Advance() |> ignore
            let before = live ()

            for _ in 1..5 do
                experiment.Advance() |> ignore

            Expect.equal (live ()) before "tensors alive"
        }
    ]

let private rules =
    testList "settings" [
        for change, path, expected in
            [
                "meta.method=mg", "meta.method", "never enters the update rule"
                "learner.innerSteps=1", "learner.innerSteps", "unknown key"
                "learner.optimizer={ \"name\": \"sgd\" }", "learner.optimizer.name", "adam"
                "learner.activation=tanh", "learner.activation", "unknown key"
                "learner.gradientClip=1", "learner.gradientClip", "unknown key"
                "device=cuda", "device", "cpu"
                "meta.exploration.initial=1", "meta.exploration.initial", "without the bounds"
                "meta.exploration.low=0.9", "meta.exploration.initial", "from"
            ] do
            test $"{change} is refused by name" {
                let error = Expect.throwsC (fun () -> settings [ change ] |> ignore) id
                Expect.stringContains error.Message path "where"
                Expect.stringContains error.Message expected "what was expected"
            }
    ]

let tests = testList "Q(λ)" [ definition; matching; kernel; population; rules ]
