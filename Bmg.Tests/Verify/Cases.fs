namespace Bmg.Verify

open System
open Bmg
open TorchSharp

/// From a specification and a part under judgement to a case.
[<RequireQualifiedAccess>]
module Cases =

    let private scalar (v: float) : Scalar = Scalars.constant v

    let private stream (spec: CaseSpec) (purpose: string) : Rng =
        let start = Seed.Of spec.Seed
        let own = start.For purpose
        own.Generator()

    let private tensor (shape: int64[]) (values: float[]) : Tensor =
        torch.tensor(values, dtype = torch.float64).reshape shape

    let private normal (rng: Rng) (shape: int64[]) : Tensor =
        tensor shape (Array.init (int (Array.fold (*) 1L shape)) (fun _ -> rng.NextNormal()))

    let private seeds (spec: CaseSpec) =
        Seed.Population(spec.Seed, spec.Members)

    let private agent (subject: Subject) (spec: CaseSpec) : ActorCritic =
        let activation =
            if subject.Activation.HasValue then
                subject.Activation.Value
            else
                Ingredients.find "activation" Ingredients.activations spec.Activation

        let hidden = Array.ofList spec.Hidden

        ActorCritic.Create(
            (match subject.Network with
             | null -> Network.Mlp("policy", spec.Features, hidden, spec.Actions, activation)
             | network -> network.Invoke("policy", spec.Actions)),
            // Linear: what the layers do is seen in the policy, and a case costs less.
            Network.Mlp("value", spec.Features, [||], 1, activation)
        )

    /// Parameters of both networks, biases drawn as well, and one tensor that no loss touches.
    let private parameters (agent: ActorCritic) (spec: CaseSpec) (purpose: string) : Params =
        let own = seeds spec |> Array.map (fun s -> s.For purpose)

        Params.merge [|
            ActorCritic.init agent Initialization.Uniform own torch.float64 torch.CPU
            Params.Single("unused", normal (stream spec (purpose + "/unused")) [| int64 spec.Members; 1L; 2L |])
        |]

    /// One batch: a rollout of any states, actions and rewards, and a context.
    let private batch (spec: CaseSpec) (number: int) : Experience<Rollout> =
        let rng = stream spec $"batch {number}"
        let p, t = int64 spec.Members, int64 spec.Steps
        let count = spec.Members * spec.Steps
        let context = spec.Members * Ingredients.ContextSize

        {
            Data =
                Rollout.Create(
                    normal rng [| p; t + 1L; int64 spec.Features |],
                    torch
                        .tensor(Array.init count (fun _ -> int64 (rng.Next spec.Actions)), dtype = torch.int64)
                        .reshape(p, t),
                    normal rng [| p; t |]
                )
            Context =
                tensor
                    [| p; int64 Ingredients.ContextSize |]
                    (Array.init context (fun _ -> 2.0 * rng.NextDouble() - 1.0))
        }

    let private ofMembers (members: int[]) (p: Params) : Params =
        let index = torch.tensor (members |> Array.map int64, dtype = torch.int64)
        p |> Params.map (fun t -> t.index_select (0L, index))

    /// The optimizer, and what puts out its learning rate where that is learned.
    let private optimizer (spec: CaseSpec) : Optimizer * MetaParameters option =
        let constant = Ingredients.find "optimizer" Ingredients.optimizers spec.Optimizer

        if spec.LearnedRate then
            Optimizers.withLearnedRate Ingredients.LearningRate constant, Some Ingredients.learnedRate
        else
            constant, None

    /// How a learner rests at w, and only at this w: φ descends ½‖x − c − (α(w) − α₀)·v‖² from x = c, with α₀ = α at w. So g = 0 and
    /// J = ∂x⁽ᴷ⁾/∂w ≠ 0.
    let private pull (at: Params) (towards: Params) (rest: Tensor voption) : LossFunction<Rollout> =
        LossFunction<Rollout>
            .Create(
                "pull",
                (fun x hyper _ ->
                    let away = Params.subtract x at

                    let away =
                        match rest with
                        | ValueNone -> away
                        | ValueSome rest ->
                            let shift = hyper[ActorCritic.EntropyWeight].minus rest
                            Params.map2 (fun d v -> d.minus (v.mul (Params.broadcast shift v))) away towards

                    (Params.squaredNorm away).mul(scalar 0.5))
            )

    /// The numbers of a case, for all of its members.
    [<ReferenceEquality; NoComparison>]
    type private Drawn = {
        Agent: ActorCritic
        First: Params
        Others: Params[]
        Towards: Params
        Batches: Experience<Rollout>[]
        /// The learner after its past, and w, once they have been made.
        mutable Lived: (LearnerState * Params) voption
    }

    let private draw (subject: Subject) (spec: CaseSpec) : Drawn =
        let agent = agent subject spec

        {
            Agent = agent
            First = parameters agent spec "learner"
            Others = Array.init 3 (fun i -> parameters agent spec $"other {i}")
            Towards = parameters agent spec "towards"
            Batches = Array.init (spec.InnerSteps + spec.TargetSteps + 2) (batch spec)
            Lived = ValueNone
        }

    /// Rounded to float32, and held in a type.
    let private rounded (dtype: torch.ScalarType) (t: Tensor) : Tensor =
        if t.is_floating_point () then
            (t.``to`` torch.float32).``to`` dtype
        else
            t

    /// `precision` is the type that numbers rounded to float32 are held in, or nothing where they are left as they are drawn.
    let rec private build
        (drawn: Drawn)
        (subject: Subject)
        (spec: CaseSpec)
        (precision: torch.ScalarType voption)
        (members: int[])
        : LawCase<Rollout> =
        let agent, first = drawn.Agent, drawn.First

        let cast: Params -> Params =
            match precision with
            | ValueNone -> id
            | ValueSome dtype -> Params.map (rounded dtype)

        let convert (change: Params -> Params) (e: Experience<Rollout>) = {
            Data = Rollout.OfParams(change (e.Data.ToParams()))
            Context =
                match e.Context with
                | null -> null
                | context -> (change (Params.Single("context", context)))["context"]
        }

        // φ and w.
        let own =
            match subject.MetaParameters with
            | null -> None
            | make -> Some(make.Invoke first)

        let judged: Optimizer | null =
            match subject.Optimizer with
            | null -> null
            | optimizer -> Guards.optimizer subject.Suspected optimizer

        let makeRule, needed =
            match subject.UpdateRule with
            | null ->
                match judged with
                | null ->
                    let optimizer, rate = optimizer spec
                    (fun f -> UpdateRule.gradient f optimizer), rate
                | optimizer -> (fun f -> UpdateRule.gradient f optimizer), own
            | make -> (fun f -> Guards.updateRule subject.Suspected (make.Invoke f)), own

        let meta =
            match subject.Kind, own with
            | Parts.MetaParameters, Some own ->
                match needed with
                | Some rate -> MetaParameters.merge [| own; rate |]
                | None -> own
            | _ ->
                let entropy = Ingredients.find "w" Ingredients.metaParameters spec.MetaParameters

                match needed with
                | Some needed -> MetaParameters.merge [| entropy; needed |]
                | None -> entropy

        let rule = makeRule (Ingredients.loss agent true)

        let live () =
            let seeds = if spec.SharedW then [| (seeds spec)[0] |] else seeds spec
            let start = meta.Init.Invoke(seeds, torch.float64, torch.CPU)
            let rng = stream spec "w"

            // Members' meta-parameters differ from the start.
            let w = start |> Params.map (fun t -> t.plus ((normal rng t.shape).mul(scalar 0.3)))

            let mutable learner = rule.Init.Invoke first

            for i in 1 .. spec.Past do
                let past = batch spec -i
                let hyper = meta.Apply.Invoke(w, past.Context)
                learner <- (rule.Step.Invoke(learner, hyper, past.Data, Differentiation.None)).Learner

            learner, w

        let learner, w =
            match drawn.Lived with
            | ValueSome lived -> lived
            | ValueNone ->
                let lived = live ()
                drawn.Lived <- ValueSome lived
                lived

        // The members asked for.
        let all = Array.init spec.Members id
        let own = if members = all then id else ofMembers members
        let chosen = own >> cast

        let chosenW (w: Params) =
            if spec.SharedW then cast w else chosen w

        let learner =
            let x = chosen learner.Parameters

            {
                Parameters = x
                Optimizer =
                    match precision with
                    | ValueNone -> own learner.Optimizer
                    | ValueSome _ ->
                        // Of the types that the optimizer itself gives its state.
                        let like = (rule.Init.Invoke x).Optimizer

                        Params.map2
                            (fun (t: Tensor) (like: Tensor) -> rounded like.dtype t)
                            (own learner.Optimizer)
                            like
            }

        let w = chosenW w

        let others = drawn.Others |> Array.map chosen

        // ξ and μ.
        let plain = Ingredients.loss agent false

        let model = Ingredients.find "model" Ingredients.models spec.Model agent

        let makeTarget (f: LossFunction<Rollout>) (others: Params[]) =
            let ingredients = {
                Steps = spec.TargetSteps
                Loss = f
                Agent = agent
                Model = model
                Other = others[2]
            }

            match subject.Target with
            | null -> Ingredients.find "target" Targets.all spec.Target ingredients
            | make -> Guards.target (make.Invoke ingredients)

        let matching =
            match subject.Matching with
            | null -> Ingredients.find "matching" Ingredients.matchings spec.Matching
            | matching -> Guards.matching matching

        let batches = drawn.Batches |> Array.map (convert chosen)

        let metaOptimizer = Optimizers.adam 0.1 0.9 0.99 1e-4 1e-16

        let metaLearner: MetaLearner<Rollout> =
            MetaLearner<Rollout>.Create(rule, spec.InnerSteps, meta, MetaObjective.Fixed, model, metaOptimizer)

        let state: MetaState<Rollout> = {
            Learner = learner
            MetaParameters = w
            MetaOptimizer = Optimizers.init metaOptimizer w
            Pending = null
        }

        let smooth =
            subject.Smooth
            && (subject.Kind = Parts.Optimizer
                || spec.Optimizer = "sgd"
                || spec.Optimizer = "momentum")

        let case =
            LawCase<Rollout>
                .Create(
                    subject.Kind,
                    Seed.Of spec.Seed,
                    metaLearner,
                    state,
                    makeTarget plain others,
                    matching,
                    plain,
                    batches,
                    others,
                    smooth,
                    (fun order -> build drawn subject spec precision (order |> Array.map (fun i -> members[i]))),
                    (fun () -> build (draw subject spec) subject spec precision members),
                    (fun rollout -> rollout.ToParams()),
                    (fun dtype -> build drawn subject spec (ValueSome dtype) members)
                )
                .WithJudged
                judged

        let atRest () =
            let at = chosen first
            let towards = chosen drawn.Towards
            let here = meta.Apply.Invoke(w, null)
            let moving = makeRule (pull at towards (ValueSome here[ActorCritic.EntropyWeight]))
            let still = pull at towards ValueNone

            {
                case with
                    Learner = { metaLearner with UpdateRule = moving }
                    State = {
                        state with
                            Learner = moving.Init.Invoke at
                    }
                    Loss = still
                    Target = makeTarget still others
            }

        let startingFrom (x: Params) (target: Params[]) (batches: Experience<Rollout>[]) = {
            case with
                State = {
                    state with
                        Learner = rule.Init.Invoke x
                }
                Target = makeTarget plain target
                Others = target
                Batches = batches
        }

        let edges (which: float) =
            let x = chosen first

            let silence = Params.mapNamed (fun name t -> if name = "rewards" then torch.zeros_like t else t)

            let certain =
                Params.mapNamed (fun name t ->
                    if name.StartsWith("policy", StringComparison.Ordinal) then
                        t.mul (scalar 1e3)
                    else
                        t)

            match int (3.0 * which) with
            | 0 -> [|
                {
                    Name = "no gradient anywhere"
                    Case = startingFrom (Params.zerosLike x) others (batches |> Array.map (convert silence))
                }
              |]
            | 1 -> [|
                {
                    Name = "equal policies"
                    Case = startingFrom (Params.zerosLike x) (others |> Array.map Params.zerosLike) batches
                }
              |]
            | _ -> [|
                {
                    Name = "certain policies"
                    Case = startingFrom (certain x) (others |> Array.map certain) batches
                }
              |]

        let case = case.WithEdges edges

        if meta.ContextSize > 0 then
            case
        else
            case.WithAtRest atRest

    /// The case that a specification describes, with a part under judgement in it. Its tensors belong to the current dispose scope.
    let ofSpec (subject: Subject) (spec: CaseSpec) : LawCase<Rollout> =
        build (draw subject spec) subject spec ValueNone (Array.init spec.Members id)

    /// The specification as this part needs it: inner steps where w could not be reached without, layers where a layer is judged.
    let fit (subject: Subject) (spec: CaseSpec) : CaseSpec =
        let spec =
            match subject.Network with
            | null when subject.Kind = Parts.Layer && spec.Hidden.IsEmpty -> { spec with Hidden = [ 2 ] }
            | null -> spec
            | network -> {
                spec with
                    Hidden = []
                    Features = (network.Invoke("policy", spec.Actions)).Inputs
              }

        if spec.InnerSteps > 0 then
            spec
        elif subject.Kind = Parts.MatchingFunction && not subject.ReadsOutputs then
            { spec with InnerSteps = 1 }
        else
            { spec with Model = "tempered" }

    let private names entries = entries |> List.map fst

    /// What stands beside the part under judgement.
    let companions: CaseSpecs.Companions = {
        Activations = [ "tanh"; "sigmoid"; "softplus" ]
        Optimizers = names Ingredients.optimizers
        Matchings = names Ingredients.matchings
        Targets = names Targets.all
        Models = names Ingredients.models
        MetaParameters = names Ingredients.metaParameters
    }

    /// The specification of a seed for a part.
    let specOfSeed (subject: Subject) (seed: int64) : CaseSpec =
        let spec = CaseSpecs.ofSeed companions seed
        // Names of what the part takes the place of would only mislead.
        fit
            subject
            (match subject.Kind with
             | Parts.MatchingFunction -> {
                 spec with
                     Matching = CaseSpec.Least.Matching
               }
             | Parts.Target -> {
                 spec with
                     Target = CaseSpec.Least.Target
               }
             | Parts.Optimizer
             | Parts.UpdateRule -> {
                 spec with
                     Optimizer = CaseSpec.Least.Optimizer
                     LearnedRate = false
               }
             | Parts.MetaParameters -> {
                 spec with
                     MetaParameters = CaseSpec.Least.MetaParameters
               }
             | _ -> {
                 spec with
                     Activation = CaseSpec.Least.Activation
               })
