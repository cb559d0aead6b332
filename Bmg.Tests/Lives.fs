/// Lives of learners written by hand from the functions of Bmg.Core, number by number: what a configuration is held to. Nothing here reads
/// a configuration.
module Bmg.Tests.Lives

open System
open Bmg
open Bmg.Training.Acting
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Tests.Tolerances
open Bmg.Tests.Worlds
open TorchSharp

/// How w is learned.
type Method =
    | Bootstrapped
    | PlainGradient
    | Nothing

/// What w is.
type Weight =
    | Number
    | Contextual

/// What the meta-network sees.
type Seen =
    | Rewards
    | Rich
    /// Features by name, and how many numbers each has.
    | Named of (string * int) list

/// A population and all the numbers that it lives by.
[<ReferenceEquality>]
type Life = {
    Seeds: int64 list
    World: Seed[] -> Worlds
    /// Q(λ) where true, an actor-critic where false.
    OfValues: bool
    Hidden: int list
    Activation: Activation
    Initialization: Initialization
    RolloutLength: int
    /// N, streams of a member.
    Copies: int
    /// Factor of the rewards that are learned from.
    RewardScale: float
    NormalizeObservations: bool
    NormalizeRewards: bool
    /// Factor of the policy's last weights at the start.
    PolicyGain: float
    Discount: float
    /// λ; 0 for one-step errors.
    TraceDecay: float
    ValueWeight: float
    /// The learner's, clipped or not.
    Optimizer: Optimizer
    /// K
    InnerSteps: int
    /// L
    TargetSteps: int
    /// Whether the target's last step descends the whole loss.
    LastIsWhole: bool
    /// Optimizer of the target's last step, from a first state; none goes on with the learner's own.
    LastOptimizer: Optimizer option
    Matching: MatchingFunction
    Method: Method
    OuterEntropyWeight: float
    Through: ThroughSteps
    Weight: Weight
    Initial: float
    Low: float
    High: float
    MetaHidden: int list
    MetaActivation: Activation
    PretrainingSteps: int
    Seen: Seen
    ContextLength: int
    ContextScaling: ContextScaling
    MetaOptimizer: Optimizer
    /// Environment steps that are lived at least.
    Steps: int
}

/// What was lived: tensors by set and name, and for each metric one number a member, over the whole life or its last meta-step.
[<ReferenceEquality>]
type Lived = {
    Tensors: ((string * string) * float[]) list
    Reports: float[][]
}

let private hyperName (life: Life) =
    if life.OfValues then
        QLambda.Epsilon
    else
        ActorCritic.EntropyWeight

let private features (life: Life) =
    match life.Seen, life.OfValues with
    | Rewards, _ -> 1
    | Rich, true -> 3
    | Rich, false -> 6
    | Named names, _ -> List.sumBy snd names

let private hasContext (life: Life) =
    life.Weight = Contextual && life.Method <> Nothing

/// w → the hyper-parameter.
let metaParameters (life: Life) : MetaParameters =
    match life.Method, life.Weight with
    | Nothing, _ -> MetaParameters.constant (hyperName life) life.Initial
    | _, Number -> MetaParameters.boundedScalar (hyperName life) life.Low life.High life.Initial
    | _, Contextual ->
        MetaParameters.contextual
            (hyperName life)
            (Network.Mlp(
                "meta",
                features life * life.ContextLength,
                Array.ofList life.MetaHidden,
                1,
                life.MetaActivation
            ))
            life.Low
            life.High
            life.Initial
            life.Initialization
            life.PretrainingSteps

let private networks (life: Life) (world: Worlds) : ActorCritic =
    let width = width world
    let hidden = Array.ofList life.Hidden

    ActorCritic
        .Create(
            Network.Mlp("policy", width, hidden, choices world, life.Activation),
            Network.Mlp("value", width, hidden, 1, life.Activation)
        )
        .WithDiscount(Setting.Constant life.Discount)
        .WithTraceDecay(Setting.Constant life.TraceDecay)
        .WithValueWeight(Setting.Constant life.ValueWeight)

let private values (life: Life) (world: Worlds) : QLambda =
    QLambda.Create(
        Network.Mlp("values", width world, Array.ofList life.Hidden, choices world, life.Activation),
        life.Discount,
        life.TraceDecay
    )

let private criticMeta (life: Life) (agent: ActorCritic) : MetaLearner<Rollout> =
    let rule = UpdateRule.gradient (ActorCritic.loss agent) life.Optimizer

    let lastLoss =
        if life.LastIsWhole then
            ActorCritic.loss agent
        else
            ActorCritic.policyLoss agent 0.0

    let last, state =
        match life.LastOptimizer with
        | None -> UpdateRule.gradient lastLoss life.Optimizer, LastStepState.Learners
        | Some own -> UpdateRule.gradient lastLoss own, LastStepState.Fresh

    let metaObjective =
        match life.Method with
        | Nothing -> MetaObjective.Fixed
        | PlainGradient -> MetaObjective.MetaGradient(ActorCritic.policyLoss agent life.OuterEntropyWeight)
        | Bootstrapped ->
            MetaObjective.Bootstrapped(TargetBootstrap.lookAhead life.TargetSteps last state, life.Matching)

    MetaLearner<Rollout>
        .Create(rule, life.InnerSteps, metaParameters life, metaObjective, ActorCritic.model agent, life.MetaOptimizer)
        .With
        life.Through

let private valuesMeta (life: Life) (agent: QLambda) : MetaLearner<Rollout> =
    MetaLearner<Rollout>
        .Create(
            QLambda.learner agent life.Optimizer,
            0,
            metaParameters life,
            (match life.Method with
             | Nothing -> MetaObjective.Fixed
             | _ -> MetaObjective.Bootstrapped(QLambda.target life.TargetSteps, life.Matching)),
            QLambda.model agent,
            life.MetaOptimizer
        )

let private generators (seeds: Seed[]) =
    seeds |> Array.map (fun s -> (let s = s.For "actions" in s.Generator()))

let private observed (world: Worlds) (members: int) = [|
    for m in 0 .. members - 1 do
        let row = Array.zeroCreate<float32>(width world)
        world.Observe(m, row)
        row
|]

let private tensor (shape: int64[]) (values: float32[]) = torch.tensor(values).reshape shape

let private moments (xs: float[]) =
    let mean = Array.average xs
    mean, sqrt (xs |> Array.averageBy (fun x -> (x - mean) * (x - mean)))

let private contextOf (life: Life) (members: int) : RecentContext | null =
    if hasContext life then
        RecentContext(members, life.ContextLength, life.ContextScaling, features life)
    else
        null

let private written (context: RecentContext | null) (members: int) : Tensor | null =
    match context with
    | null -> null
    | context ->
        let all = Array.zeroCreate<float32>(members * context.Size)
        context.Write all
        tensor [| int64 members; int64 context.Size |] all

let private named (state: MetaState<Rollout>) = [
    for set, p in
        [
            "learner", state.Learner.Parameters
            "learnerOptimizer", state.Learner.Optimizer
            "meta", state.MetaParameters
            "metaOptimizer", state.MetaOptimizer
        ] do
        for i in 0 .. p.Count - 1 do
            (set, p.Names[i]), numbers p.Tensors[i]
]

let private keep (experience: Experience<Rollout>) =
    Params.detachFromScope (experience.Data.ToParams()) |> ignore

    match experience.Context with
    | null -> ()
    | context -> context.DetachFromDisposeScope() |> ignore

let private none (members: int) = Array.create members nan

/// An actor-critic, one step of all members after the other.
let private liveCritic (life: Life) : Lived =
    let seeds = life.Seeds |> List.map Seed.Of |> Array.ofList
    let members, length, copies = seeds.Length, life.RolloutLength, life.Copies

    let streams = [|
        for seed in seeds do
            seed

            for copy in 1 .. copies - 1 do
                seed.For $"copy {copy}"
    |]

    let rows = streams.Length
    let world = life.World streams
    let width, choices = width world, choices world
    let agent = networks life world
    let meta = criticMeta life agent
    let draws = generators streams
    let context = contextOf life members
    let p, n = int64 members, int64 copies
    let mutable lived = 0
    // Everything that a member has seen, and what is made of it: mean and scale of each number.
    let everything = Array.init members (fun _ -> ResizeArray<float32[]>())
    let sums = Array.zeroCreate<float> rows
    let allSums = Array.init members (fun _ -> ResizeArray<float>())
    let mutable scales = Array.create members (Array.zeroCreate<float32> width, Array.create width 1f)
    let deviation (xs: float[]) = sqrt (snd (moments xs) ** 2.0 + 1e-8)
    let held = max -10f >> min 10f

    let normal (m: int) (observation: float32[]) =
        if life.NormalizeObservations then
            let mean, scale = scales[m / copies]
            Array.map3 (fun o a b -> held ((o - a) * b)) observation mean scale
        else
            observation

    let mutable rewards = Array.zeroCreate<float> members

    let mutable lastContext: Tensor | null = null
    let mutable parameters: float[][] = [||]
    let mutable step: float[][] = [||]

    let collect (x: Params) (w: Params) : Experience<Rollout> =
        let shown = ResizeArray<float32[][]>()
        let acted = Array2D.zeroCreate<int64> rows length
        let earned = Array2D.zeroCreate<float32> rows length
        let chances = Array.init members (fun _ -> ResizeArray<float[]>())

        for t in 0 .. length - 1 do
            let now = observed world rows
            shown.Add now
            let input = tensor [| p; n; int64 width |] (now |> Array.mapi normal |> Array.concat)

            let probabilities =
                (Categorical.probabilities (Network.apply agent.Policy x input)).data<float32>().ToArray()

            for m in 0 .. rows - 1 do
                let row = Array.sub probabilities (m * choices) choices
                chances[m / copies].Add(Array.map float row)
                let action = Categorical.sample (ReadOnlySpan<float32> row, draws[m].NextDouble())
                acted[m, t] <- int64 action
                earned[m, t] <- world.Act(m, action)

        shown.Add(observed world rows)
        lived <- lived + length * copies

        let observations =
            tensor [| p; n; int64 length + 1L; int64 width |] [|
                for m in 0 .. rows - 1 do
                    for row in shown do
                        yield! normal m row[m]
            |]

        for m in 0 .. rows - 1 do
            for t in 0 .. length - 1 do
                everything[m / copies].Add shown[t].[m]
                sums[m] <- life.Discount * sums[m] + float earned[m, t]
                allSums[m / copies].Add sums[m]

        scales <-
            everything
            |> Array.map (fun rows ->
                let columns = rows.ToArray() |> Array.transpose |> Array.map (Array.map float)

                columns |> Array.map (Array.average >> float32),
                columns |> Array.map (fun xs -> float32 (1.0 / deviation xs)))

        /// Rewards as the learner sees them.
        let learnedFrom =
            Array2D.init rows length (fun m t ->
                let reward =
                    if life.NormalizeRewards then
                        held (earned[m, t] * float32 (1.0 / deviation (allSums[m / copies].ToArray())))
                    else
                        earned[m, t]

                reward * float32 life.RewardScale)

        /// What a member earned, copy by copy.
        let earnings (m: int) = [|
            for row in m * copies .. (m + 1) * copies - 1 do
                for t in 0 .. length - 1 do
                    float earned[row, t]
        |]

        for m in 0 .. members - 1 do
            rewards[m] <- rewards[m] + Array.sum (earnings m)

        match context with
        | null -> ()
        | context ->
            let now = [|
                for m in 0 .. members - 1 ->
                    [|
                        for t in x.Tensors do
                            yield! numbers t[m]
                    |]
            |]

            let taken =
                if parameters.Length = 0 then
                    now |> Array.map (fun row -> row |> Array.map (fun _ -> 0.0))
                else
                    Array.map2 (Array.map2 (fun (a: float) b -> a - b)) now parameters

            let cosines =
                taken
                |> Array.mapi (fun m row ->
                    let norm (v: float[]) = sqrt (Array.sumBy (fun e -> e * e) v)

                    if step.Length = 0 || norm row = 0.0 || norm step[m] = 0.0 then
                        0.0
                    else
                        Array.sum (Array.map2 (*) row step[m]) / (norm row * norm step[m]))

            parameters <- now
            step <- taken

            let previous =
                let seen =
                    match lastContext with
                    | null -> torch.zeros (int64 members, int64 context.Size)
                    | seen -> seen

                numbers (meta.MetaParameters.Apply.Invoke(w, seen)[ActorCritic.EntropyWeight])

            let judged =
                numbers ((Network.apply agent.Value x (observations.flatten (1L, 2L))).squeeze -1L)
                |> Array.chunkBySize (length + 1)

            for m in 0 .. members - 1 do
                let reward = earnings m
                let own = judged[m * copies .. (m + 1) * copies - 1]
                let before = own |> Array.collect (fun value -> value[.. length - 1])
                let after = own |> Array.collect (fun value -> value[1..])

                let own = [|
                    for row in m * copies .. (m + 1) * copies - 1 do
                        for t in 0 .. length - 1 do
                            float learnedFrom[row, t]
                |]

                let errors = Array.map3 (fun r v v' -> r + life.Discount * v' - v) own before after

                let both xs =
                    let mean, deviation = moments xs
                    [| mean; deviation |]

                let mean xs = [| fst (moments xs) |]

                let named =
                    function
                    | "reward", 2 -> both reward
                    | "reward", _ -> mean reward
                    | "value", 2 -> both before
                    | "value", _ -> mean before
                    | "td-error", 2 -> both errors
                    | "td-error", _ -> mean errors
                    | "action-probabilities", _ -> chances[m].ToArray() |> Array.transpose |> Array.map Array.average
                    | "step-cosine", _ -> [| cosines[m] |]
                    | "previous-hyper-parameters", _ -> [| previous[m] |]
                    | name, _ -> failwith name

                let all =
                    match life.Seen with
                    | Named names -> names |> List.toArray |> Array.collect named
                    | _ -> Array.collect both [| reward; before; errors |]

                context.AddEach(m, ReadOnlySpan<float>(all, 0, context.Features))

        let told = written context members

        lastContext <-
            match told with
            | null -> null
            | told -> told.clone().DetachFromDisposeScope()

        {
            Data =
                Rollout.Create(
                    observations,
                    torch.tensor(Seq.cast<int64> acted |> Array.ofSeq).reshape(p, n, int64 length),
                    tensor [| p; n; int64 length |] (learnedFrom |> Seq.cast<float32> |> Array.ofSeq)
                )
            Context = told
        }

    let start = ActorCritic.init agent life.Initialization seeds torch.float32 torch.CPU
    let last = start[agent.Policy.WeightName(agent.Policy.Layers.Length - 1)]
    last.mul_ (life.PolicyGain.ToScalar()) |> ignore

    let mutable state =
        MetaLearner.init meta start (meta.MetaParameters.Init.Invoke(seeds, torch.float32, torch.CPU))

    let mutable report = [||]

    while lived < life.Steps do
        rewards <- Array.zeroCreate members

        let struct (next, log) = MetaLearner.step meta state collect keep

        state <- next
        let context = written context members
        use _ = torch.no_grad ()
        let weight = meta.MetaParameters.Apply.Invoke(state.MetaParameters, context)

        report <- [|
            rewards
            numbers weight[ActorCritic.EntropyWeight]
            (if log.MetaObjective.Length = 0 then
                 none members
             else
                 log.MetaObjective)
            (if log.MetaGradientNorm.Length = 0 then
                 none members
             else
                 log.MetaGradientNorm)
            Array.init members (fun m -> log.Losses |> Array.averageBy (fun step -> step[m]))
        |]

    {
        Tensors = named state
        Reports = report
    }

/// Q(λ), whose reports are of the whole life: it must be lived in one.
let private liveValues (life: Life) : Lived =
    let seeds = life.Seeds |> List.map Seed.Of |> Array.ofList
    let members = seeds.Length
    let world = life.World seeds
    let width, choices = width world, choices world
    let agent = values life world
    let meta = valuesMeta life agent
    let draws = generators seeds
    let context = contextOf life members
    let p = int64 members
    let rewards = Array.zeroCreate<float> members
    let epsilons = ResizeArray<float[]>()

    let collect (x: Params) (w: Params) : Experience<Rollout> =
        let before = observed world members
        let seen = written context members
        let epsilon = numbers (meta.MetaParameters.Apply.Invoke(w, seen)[QLambda.Epsilon])
        epsilons.Add epsilon

        let valuesAt (rows: float32[][]) =
            numbers (Network.apply agent.Values x (tensor [| p; 1L; int64 width |] (Array.concat rows)))
            |> Array.chunkBySize choices

        let values = valuesAt before

        let actions =
            Array.init members (fun m ->
                if draws[m].NextDouble() < epsilon[m] then
                    draws[m].Next choices
                else
                    Array.IndexOf(values[m], Array.max values[m]))

        let earned = Array.init members (fun m -> world.Act(m, actions[m]))
        let after = observed world members
        let next = valuesAt after

        for m in 0 .. members - 1 do
            rewards[m] <- rewards[m] + float earned[m]

            let error = float earned[m] + life.Discount * Array.max next[m] - values[m].[actions[m]]

            match context with
            | null -> ()
            | context ->
                let all = [| float earned[m]; values[m].[actions[m]]; error |]
                context.AddEach(m, ReadOnlySpan<float>(all, 0, context.Features))

        {
            Data =
                Rollout.Create(
                    tensor [| p; 2L; int64 width |] (Array.concat (Array.map2 Array.append before after)),
                    torch.tensor(Array.map int64 actions).reshape(p, 1L),
                    tensor [| p; 1L |] earned
                )
            Context = seen
        }

    let mutable state =
        MetaLearner.init
            meta
            (QLambda.init agent life.Initialization seeds torch.float32 torch.CPU)
            (meta.MetaParameters.Init.Invoke(seeds, torch.float32, torch.CPU))

    let metaObjectives, norms, losses =
        ResizeArray<float[]>(), ResizeArray<float[]>(), ResizeArray<float[]>()

    // A meta-step that learns nothing is one step of φ, not L of them.
    let steps = (life.Steps + life.TargetSteps - 1) / life.TargetSteps

    let steps =
        if life.Method = Nothing then
            steps * life.TargetSteps
        else
            steps

    for _ in 1..steps do
        let struct (next, log) = MetaLearner.step meta state collect ignore
        state <- next
        losses.AddRange log.Losses

        if life.Method <> Nothing then
            metaObjectives.Add log.MetaObjective
            norms.Add log.MetaGradientNorm

    let mean (rows: ResizeArray<float[]>) =
        if rows.Count = 0 then
            none members
        else
            Array.init members (fun m -> rows |> Seq.averageBy (fun row -> row[m]))

    {
        Tensors = named state
        Reports = [| rewards; mean epsilons; mean metaObjectives; mean norms; mean losses |]
    }

/// Lives it.
let live (life: Life) : Lived =
    use _ = scope ()
    if life.OfValues then liveValues life else liveCritic life
