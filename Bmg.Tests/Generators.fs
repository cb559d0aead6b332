/// Small valid cases that shrink. A case is plain data; its tensors follow from it, so that a failing case can be read and repeated.
module Bmg.Tests.Generators

open System
open Bmg
open FsCheck
open FsCheck.FSharp
open Expecto
open TorchSharp
open Bmg.Tests.Tolerances

/// A learner, its data and what judges it. Names are those of the catalog.
type Case = {
    Seed: int
    /// P
    Members: int
    Features: int
    Hidden: int list
    Actions: int
    /// T
    Steps: int
    /// Steps that the learner has lived before the case begins.
    Past: int
    /// K
    InnerSteps: int
    /// L
    TargetSteps: int
    Activation: string
    Optimizer: string
    LearnedRate: bool
    Matching: string
    Target: string
    Model: string
    MetaParameters: string
    /// Whether one w serves all members.
    SharedW: bool
}

let private least = {
    Seed = 0
    Members = 1
    Features = 1
    Hidden = []
    Actions = 2
    Steps = 1
    Past = 0
    InnerSteps = 1
    TargetSteps = 1
    Activation = (List.head Catalog.activations).Name
    Optimizer = (List.head Catalog.optimizers).Name
    LearnedRate = false
    Matching = (List.head Catalog.matchings).Name
    Target = (List.head Catalog.targets).Name
    Model = (List.head Catalog.models).Name
    MetaParameters = (List.head Catalog.metaParameters).Name
    SharedW = false
}

/// With no inner step only the model's outputs can carry w to μ.
let private reachable (case: Case) =
    if case.InnerSteps > 0 then
        case
    else
        {
            case with
                Model = "tempered policy"
                Matching =
                    if (Catalog.find Catalog.matchings case.Matching).Value.ReadsOutputs then
                        case.Matching
                    else
                        least.Matching
        }

let private generate =
    gen {
        let! seed = Gen.choose (0, 999_999)
        let! members = Gen.choose (1, 3)
        let! features = Gen.choose (1, 4)
        let! depth = Gen.choose (0, 2)
        let! hidden = Gen.listOfLength depth (Gen.choose (1, 4))
        let! actions = Gen.choose (2, 4)
        let! steps = Gen.choose (1, 4)
        let! past = Gen.choose (0, 2)
        let! inner = Gen.choose (0, 4)
        let! ahead = Gen.choose (1, 3)

        let! activation = Gen.elements (Catalog.activations |> List.filter (fun a -> a.Smooth) |> Catalog.names)

        let! optimizer = Gen.elements (Catalog.names Catalog.optimizers)
        let! learned = Gen.elements [ false; true ]
        let! matching = Gen.elements (Catalog.names Catalog.matchings)
        let! target = Gen.elements (Catalog.names Catalog.targets)
        let! model = Gen.elements (Catalog.names Catalog.models)
        let! meta = Gen.elements (Catalog.names Catalog.metaParameters)
        let! shared = Gen.elements [ false; true ]

        return {
            Seed = seed
            Members = members
            Features = features
            Hidden = hidden
            Actions = actions
            Steps = steps
            Past = past
            InnerSteps = inner
            TargetSteps = ahead
            Activation = activation
            Optimizer = optimizer
            LearnedRate = learned
            Matching = matching
            Target = target
            Model = model
            MetaParameters = meta
            SharedW = shared
        }
    }

let private shrink (c: Case) : Case seq =
    let fewer low value =
        Seq.distinct [ low; value - 1 ] |> Seq.filter (fun v -> v >= low && v < value)

    let simpler simplest value =
        if value = simplest then
            Seq.empty
        else
            Seq.singleton simplest

    seq {
        for v in fewer 1 c.Members -> { c with Members = v }

        if not c.Hidden.IsEmpty then
            yield { c with Hidden = c.Hidden.Tail }

        for v in fewer 0 c.Past -> { c with Past = v }
        for v in fewer 0 c.InnerSteps -> { c with InnerSteps = v }
        for v in fewer 1 c.TargetSteps -> { c with TargetSteps = v }
        for v in fewer 1 c.Steps -> { c with Steps = v }
        for v in fewer 1 c.Features -> { c with Features = v }
        for v in fewer 2 c.Actions -> { c with Actions = v }
        for v in simpler least.LearnedRate c.LearnedRate -> { c with LearnedRate = v }
        for v in simpler least.Optimizer c.Optimizer -> { c with Optimizer = v }
        for v in simpler least.Matching c.Matching -> { c with Matching = v }
        for v in simpler least.Target c.Target -> { c with Target = v }
        for v in simpler least.Model c.Model -> { c with Model = v }
        for v in simpler least.MetaParameters c.MetaParameters -> { c with MetaParameters = v }
        for v in simpler least.SharedW c.SharedW -> { c with SharedW = v }
        for v in simpler least.Activation c.Activation -> { c with Activation = v }
    }

/// Cases on which `pin` holds some fields fast, in generating as in shrinking.
let cases (pin: Case -> Case) : Arbitrary<Case> =
    Arb.fromGenShrink (
        Gen.map (pin >> reachable) generate,
        fun c -> shrink c |> Seq.map (pin >> reachable) |> Seq.filter (fun s -> s <> c)
    )

/// A property with a number of cases; a failure prints the shrunk case and the seed that repeats it.
let property (count: int) (name: string) (arbitrary: Arbitrary<'T>) (body: 'T -> unit) : Test =
    testPropertyWithConfig
        {
            FsCheckConfig.defaultConfig with
                maxTest = count
        }
        name
        (Prop.forAll arbitrary (fun case ->
            use _ = scope ()
            body case))

/// As `property`, for a body that judges only some cases: it gives nothing for one that it rejects, or else what there is to check.
/// Too many rejections fail the test.
let propertyWhere (count: int) (name: string) (arbitrary: Arbitrary<'T>) (body: 'T -> (unit -> unit) option) : Test =
    testPropertyWithConfig
        {
            FsCheckConfig.defaultConfig with
                maxTest = count
        }
        name
        (Prop.forAll arbitrary (fun case ->
            use _ = scope ()
            let check = body case
            Prop.filter check.IsSome (lazy (check |> Option.iter (fun f -> f ())))))

/// A generator for one purpose within a case.
let stream (case: Case) (purpose: string) : Rng =
    let start = Seed.Of(int64 case.Seed)
    let own = start.For purpose
    own.Generator()

/// Float64 values from plain numbers, in a shape.
let tensor (shape: int list) (values: float[]) : Tensor =
    torch.tensor(values, dtype = torch.float64).reshape(shape |> List.map int64 |> Array.ofList)

/// Standard normal values, float64.
let normal (rng: Rng) (shape: int list) : Tensor =
    tensor shape (Array.init (List.fold (*) 1 shape) (fun _ -> rng.NextNormal()))

/// Standard normal values in the shapes of a set, times `scale`.
let normalLike (rng: Rng) (scale: float) (p: Params) : Params =
    p
    |> Params.map (fun t -> (normal rng (t.shape |> Array.map int |> List.ofArray)).mul(Scalars.constant scale))

/// Seeds of the members of a case.
let seeds (case: Case) : Seed[] =
    Seed.Population(int64 case.Seed, case.Members)

let agent (case: Case) : ActorCritic =
    let activation = (Catalog.find Catalog.activations case.Activation).Value
    let hidden = Array.ofList case.Hidden

    ActorCritic.Create(
        Network.Mlp("policy", case.Features, hidden, case.Actions, activation),
        Network.Mlp("value", case.Features, hidden, 1, activation)
    )

/// Parameters of both networks, biases drawn as well, and one tensor that no loss touches.
let parameters (case: Case) (purpose: string) : Params =
    let own = seeds case |> Array.map (fun s -> s.For purpose)

    Params.merge [|
        ActorCritic.init (agent case) Initialization.Uniform own torch.float64 torch.CPU
        Params.Single("unused", normal (stream case (purpose + "/unused")) [ case.Members; 1; 2 ])
    |]

/// One batch: a rollout of any states, actions and rewards, and a context.
let batch (case: Case) (number: int) : Experience<Rollout> =
    let rng = stream case $"batch {number}"
    let p, t = case.Members, case.Steps

    {
        Data =
            Rollout.Create(
                normal rng [ p; t + 1; case.Features ],
                torch
                    .tensor(Array.init (p * t) (fun _ -> int64 (rng.Next case.Actions)), dtype = torch.int64)
                    .reshape(int64 p, int64 t),
                normal rng [ p; t ]
            )
        Context =
            tensor
                [ p; Catalog.ContextSize ]
                (Array.init (p * Catalog.ContextSize) (fun _ -> 2.0 * rng.NextDouble() - 1.0))
    }

/// Hands out prepared batches in order; what is frozen is the data, whoever asks.
type Prepared(batches: Experience<Rollout>[]) =
    let mutable taken = 0

    /// Batches handed out so far.
    member _.Taken = taken

    /// The batch handed out last.
    member _.Last = batches[taken - 1]

    member _.Next() =
        if taken = batches.Length then
            failtestf "more than the %d prepared batches were asked for" batches.Length

        taken <- taken + 1
        batches[taken - 1]

    member this.Collect (_: Params) (_: Params) : Experience<Rollout> = this.Next()

/// A loss without stopped gradients, so that finite differences see all that its derivative sees: rewards stand for advantages and value
/// targets alike. −E[r log π] + ¼·E[(r − v)²], plus α_ent·L_entropy where w may enter.
let smoothLoss (agent: ActorCritic) (withEntropy: bool) : LossFunction<Rollout> =
    LossFunction<Rollout>
        .Create(
            (if withEntropy then
                 "smooth loss with entropy"
             else
                 "smooth loss"),
            (fun x hyper rollout ->
                let logits = ActorCritic.logits agent x rollout
                let values = Rollout.Rows((ActorCritic.values agent x rollout).narrow(2L, 0L, rollout.Steps))
                let rewards = Rollout.Rows rollout.Rewards
                let policy = Losses.policyGradient logits (Rollout.Rows rollout.Actions) rewards
                let value = Losses.squaredError (rewards.minus values)
                let plain = policy.add (value, Scalars.constant 0.5)

                if withEntropy then
                    plain.addcmul (
                        hyper[ActorCritic.EntropyWeight],
                        Losses.negativeEntropy logits,
                        Scalars.constant 1.0
                    )
                else
                    plain)
        )

/// The hyper-parameters of two kinds of meta-parameters together.
let both (a: MetaParameters) (b: MetaParameters) : MetaParameters =
    MetaParameters.Create(
        $"{a.Name}, {b.Name}",
        max a.ContextSize b.ContextSize,
        Array.append a.Outputs b.Outputs,
        (fun seeds dtype device ->
            Params.merge [| a.Init.Invoke(seeds, dtype, device); b.Init.Invoke(seeds, dtype, device) |]),
        (fun w context -> Params.merge [| a.Apply.Invoke(w, context); b.Apply.Invoke(w, context) |])
    )

/// A learning rate that is a meta-parameter.
let learnedRate: MetaParameters = MetaParameters.boundedScalar "learningRate" 0.01 0.6 0.1

/// A case with its tensors: a meta-learner in a state, and batches enough for one meta-step.
[<ReferenceEquality>]
type Setup = {
    Case: Case
    Agent: ActorCritic
    Learner: MetaLearner<Rollout>
    State: MetaState<Rollout>
    Batches: Experience<Rollout>[]
    Target: TargetBootstrap<Rollout>
    Matching: MatchingFunction
} with

    /// A collector that starts with the first batch.
    member this.Prepared() = Prepared this.Batches

    /// The same with another meta-objective.
    member this.With(metaObjective: MetaObjective<Rollout>) = {
        this with
            Learner = {
                this.Learner with
                    MetaObjective = metaObjective
            }
    }

    /// The meta-gradient, and the collector that fed it.
    member this.MetaGradient() =
        let prepared = this.Prepared()
        MetaLearner.metaGradient this.Learner this.State prepared.Collect, prepared

    /// Whether every part is smooth, so that no case may be rejected.
    member this.IsSmooth =
        (Catalog.find Catalog.optimizers this.Case.Optimizer).Smooth
        && (Catalog.find Catalog.activations this.Case.Activation).Smooth

/// The optimizer of a case.
let optimizer (case: Case) : Optimizer =
    let constant = (Catalog.find Catalog.optimizers case.Optimizer).Value

    if case.LearnedRate then
        Optimizers.withLearnedRate "learningRate" constant
    else
        constant

/// The meta-parameters of a case.
let metaParameters (case: Case) : MetaParameters =
    let entropy = (Catalog.find Catalog.metaParameters case.MetaParameters).Value

    if case.LearnedRate then
        both entropy learnedRate
    else
        entropy

/// The tensors of a case for a learner that descends `loss`; BMG judges it until told otherwise.
let setupOn (loss: ActorCritic -> LossFunction<Rollout>) (case: Case) : Setup =
    let agent = agent case
    let meta = metaParameters case
    let rule = UpdateRule.gradient (loss agent) (optimizer case)

    let first =
        meta.Init.Invoke((if case.SharedW then (seeds case)[..0] else seeds case), torch.float64, torch.CPU)

    // Members' meta-parameters differ from the start.
    let w = Params.add first (normalLike (stream case "w") 0.3 first)

    let mutable learner = rule.Init.Invoke(parameters case "learner")

    for i in 1 .. case.Past do
        let past = batch case (-i)

        learner <-
            rule.Step.Invoke(learner, meta.Apply.Invoke(w, past.Context), past.Data, Differentiation.None).Learner

    let makeTarget = (Catalog.find Catalog.targets case.Target).Value
    let target = makeTarget case.TargetSteps (smoothLoss agent false) (parameters case "other")

    let matching = (Catalog.find Catalog.matchings case.Matching).Value.Function
    let metaOptimizer = Optimizers.adam 0.1 0.9 0.99 1e-4 1e-16

    {
        Case = case
        Agent = agent
        Learner = {
            UpdateRule = rule
            InnerSteps = case.InnerSteps
            MetaParameters = meta
            MetaObjective = MetaObjective.Bootstrapped(target, matching)
            Model = (Catalog.find Catalog.models case.Model).Value agent
            MetaOptimizer = metaOptimizer
            Through = ThroughSteps.Reverse
        }
        State = {
            Learner = learner
            MetaParameters = w
            MetaOptimizer = Optimizers.init metaOptimizer w
            Pending = null
        }
        Batches = Array.init (case.InnerSteps + case.TargetSteps + 1) (batch case)
        Target = target
        Matching = matching
    }

/// As `setupOn`, on the loss without stopped gradients.
let setup (case: Case) : Setup =
    setupOn (fun agent -> smoothLoss agent true) case
