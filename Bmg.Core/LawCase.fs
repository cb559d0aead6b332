namespace Bmg

open System
open TorchSharp

/// What a law can be asked of.
[<Flags>]
type Parts =
    | None = 0
    | MatchingFunction = 1
    | Target = 2
    | Optimizer = 4
    | UpdateRule = 8
    | MetaParameters = 16
    | Layer = 32
    | All = 63

/// One case that laws are judged on: a meta-learner in a state, with data for one meta-step, in float64. Everything a law needs to vary
/// follows from it, so that each law applies to any φ, ξ, μ and any kind of data.
[<ReferenceEquality>]
type LawCase<'Data> = {
    /// What is under judgement in it.
    Part: Parts
    /// Where the directions and offsets that laws draw come from.
    Seed: Seed
    /// φ, K, w and the model. Its meta-objective is put together from `Target` and `Matching` by each law.
    Learner: MetaLearner<'Data>
    State: MetaState<'Data>
    Target: TargetBootstrap<'Data>
    Matching: MatchingFunction
    /// f: a loss without stopped parts that does not depend on w by itself.
    Loss: LossFunction<'Data>
    /// Experience in the order in which it is handed out, whoever asks; as much as one meta-step takes.
    Batches: Experience<'Data>[]
    /// Other learner parameters of the same shapes, at least three.
    Others: Params[]
    /// Whether every part has as many derivatives as finite differences need. If not, cases in which a kink lies within reach are
    /// rejected.
    Smooth: bool
    /// The same case with these of its members, in this order.
    Select: Func<int[], LawCase<'Data>>
    /// A case with its learner at rest: the gradient of its `Loss` is zero there and φ moves nothing at this w, but would at another.
    /// Null where there is none.
    AtRest: Func<LawCase<'Data>> | null
    /// Cases of the same kind at the edges of what numbers can do: no gradient anywhere, equal policies, probabilities of 0 and 1.
    /// Given a number in [0, 1), some of them.
    Edges: Func<float, Edge<'Data>[]>
    /// The optimizer under judgement, where it is one.
    Judged: Optimizer | null
    /// The same case once more from its seed.
    Again: Func<LawCase<'Data>>
    /// The tensors of some data, by name.
    Tensors: Func<'Data, Params>
    /// The same case with all of its numbers rounded to float32, held in this type: float32 or float64. Its edges are of that type too.
    Rounded: Func<torch.ScalarType, LawCase<'Data>>
} with

    /// <summary>A case from its parts, without one at rest, without edges, and with no optimizer under judgement.</summary>
    /// <param name="part">What is under judgement in it.</param>
    /// <param name="seed">Where the directions and offsets that laws draw come from.</param>
    /// <param name="learner">φ, K, w and the model.</param>
    /// <param name="state">Where the learner is.</param>
    /// <param name="target">ξ</param>
    /// <param name="matching">μ</param>
    /// <param name="loss">f: without stopped parts, and not dependent on w by itself.</param>
    /// <param name="batches">Experience in the order in which it is handed out, as much as one meta-step takes.</param>
    /// <param name="others">Other learner parameters of the same shapes, at least three.</param>
    /// <param name="smooth">Whether every part has as many derivatives as finite differences need.</param>
    /// <param name="select">Members by number → the same case with these, in this order.</param>
    /// <param name="again">The same case once more from its seed.</param>
    /// <param name="tensors">The tensors of some data, by name.</param>
    /// <param name="rounded">Type → the same case with all of its numbers rounded to float32, held in this type.</param>
    /// <returns>The case.</returns>
    static member Create
        (
            part: Parts,
            seed: Seed,
            learner: MetaLearner<'Data>,
            state: MetaState<'Data>,
            target: TargetBootstrap<'Data>,
            matching: MatchingFunction,
            loss: LossFunction<'Data>,
            batches: Experience<'Data>[],
            others: Params[],
            smooth: bool,
            select: Func<int[], LawCase<'Data>>,
            again: Func<LawCase<'Data>>,
            tensors: Func<'Data, Params>,
            rounded: Func<torch.ScalarType, LawCase<'Data>>
        ) : LawCase<'Data> = {
        Part = part
        Seed = seed
        Learner = learner
        State = state
        Target = target
        Matching = matching
        Loss = loss
        Batches = batches
        Others = others
        Smooth = smooth
        Select = select
        AtRest = null
        Edges = Func<_, _>(fun _ -> [||])
        Judged = null
        Again = again
        Tensors = tensors
        Rounded = rounded
    }

    /// The same with the optimizer under judgement, or null.
    member this.WithJudged(optimizer: Optimizer | null) : LawCase<'Data> = { this with Judged = optimizer }

    /// The same with a case whose learner is at rest.
    member this.WithAtRest(atRest: Func<LawCase<'Data>>) : LawCase<'Data> = { this with AtRest = atRest }

    /// The same with cases at the edges of what numbers can do: a number in [0, 1) → some of them.
    member this.WithEdges(edges: Func<float, Edge<'Data>[]>) : LawCase<'Data> = { this with Edges = edges }

    /// The learner judged by another meta-objective.
    member this.JudgedBy(metaObjective: MetaObjective<'Data>) : MetaLearner<'Data> = {
        this.Learner with
            MetaObjective = metaObjective
    }

    /// Every tensor of the case, by name: what no step may write to.
    member this.Inputs() : Params =
        let batches =
            this.Batches
            |> Array.mapi (fun i b ->
                let data = Params.prefix $"batch {i}/" (this.Tensors.Invoke b.Data)

                match b.Context with
                | null -> data
                | context -> Params.merge [| data; Params.Single($"batch {i}/context", context) |])

        Params.merge [|
            Params.prefix "x/" this.State.Learner.Parameters
            Params.prefix "h/" this.State.Learner.Optimizer
            Params.prefix "w/" this.State.MetaParameters
            yield! batches
            yield! this.Others |> Array.mapi (fun i p -> Params.prefix $"other {i}/" p)
        |]

/// A case in which something vanishes or saturates, under a name that says what.
and [<ReferenceEquality>] Edge<'Data> = { Name: string; Case: LawCase<'Data> }

/// Hands out prepared experience in order; what is frozen is the data, whoever asks.
[<Sealed>]
type PreparedExperience<'Data>(batches: Experience<'Data>[]) =
    let mutable taken = 0

    /// The next batch.
    member _.Next() : Experience<'Data> =
        Check.require
            "PreparedExperience.Next"
            "batches"
            "as many as one meta-step takes (a target that looks further ahead than the L that its case gives it takes more)"
            $"only {batches.Length}"
            (taken < batches.Length)

        taken <- taken + 1
        batches[taken - 1]

/// A case run once more from its seed, on tensors of its own.
[<ReferenceEquality>]
type Rerun<'Data> = {
    Case: LawCase<'Data>
    /// All that goes in, by name.
    Inputs: Params
    /// Its values before the run.
    Before: float[][]
    Result: MetaGradientResult<'Data>
}

/// A case under judgement. What several laws need is computed once.
[<Sealed>]
type Trial<'Data>(case: LawCase<'Data>) =

    static let evaluate (case: LawCase<'Data>) (learner: MetaLearner<'Data>) =
        let prepared = PreparedExperience case.Batches
        MetaLearner.metaGradient learner case.State (fun _ _ -> prepared.Next())

    let bootstrapped =
        lazy (evaluate case (case.JudgedBy(MetaObjective.Bootstrapped(case.Target, case.Matching))))

    let plain = lazy (evaluate case (case.JudgedBy(MetaObjective.MetaGradient case.Loss)))

    let rerun =
        lazy
            (let fresh: LawCase<'Data> = case.Again.Invoke()
             let inputs = fresh.Inputs()
             let before = inputs.TensorArray |> Array.map Judgement.numbers

             {
                 Case = fresh
                 Inputs = inputs
                 Before = before
                 Result = evaluate fresh (fresh.JudgedBy(MetaObjective.Bootstrapped(fresh.Target, fresh.Matching)))
             })

    let simplest = lazy (evaluate case (case.JudgedBy(Trial.Simplest case)))

    /// The case.
    member _.Case = case

    /// K
    member _.InnerSteps = case.Learner.InnerSteps

    /// w
    member _.W = case.State.MetaParameters

    /// The bootstrapped meta-gradient under the case's own ξ and μ.
    member _.Bootstrapped: MetaGradientResult<'Data> = bootstrapped.Value

    /// The plain meta-gradient under the case's loss.
    member _.Plain: MetaGradientResult<'Data> = plain.Value

    /// The bootstrapped meta-gradient once more, on a case of its own: what is written to there is not seen elsewhere.
    member _.Rerun: Rerun<'Data> = rerun.Value

    /// The bootstrapped meta-gradient that equals the plain one: ξ one plain gradient step of size α on the case's loss, μ = ‖x̃ − x‖²/(2α).
    member _.ByOneStep: MetaGradientResult<'Data> = simplest.Value

    /// α of `ByOneStep`.
    static member Rate: float = 0.05

    static member private Simplest(case: LawCase<'Data>) =
        let rule = UpdateRule.gradient case.Loss (Optimizers.sgd Trial<'Data>.Rate)

        MetaObjective.Bootstrapped(
            TargetBootstrap.lookAhead 1 rule LastStepState.Fresh,
            Matching.parameterL2 (1.0 / (2.0 * Trial<'Data>.Rate))
        )

    /// The meta-gradient under any meta-objective.
    member _.Under(metaObjective: MetaObjective<'Data>) : MetaGradientResult<'Data> =
        evaluate case (case.JudgedBy metaObjective)

    /// The bootstrapped meta-gradient under another matching function.
    member this.Matched(matching: MatchingFunction) : MetaGradientResult<'Data> =
        this.Under(MetaObjective.Bootstrapped(case.Target, matching))

    /// The bootstrapped meta-gradient of the same case with a changed meta-learner.
    member _.With(change: Func<MetaLearner<'Data>, MetaLearner<'Data>>) : MetaGradientResult<'Data> =
        evaluate case (change.Invoke(case.JudgedBy(MetaObjective.Bootstrapped(case.Target, case.Matching))))

    /// Hyper-parameters at w for a batch.
    member _.Hyper(w: Params, experience: Experience<'Data>) : Params =
        case.Learner.MetaParameters.Apply.Invoke(w, experience.Context)

    /// The learner after `steps` steps of φ at w, on the first batches: forward steps alone, without graph and without meta-learner.
    member this.Live(steps: int, w: Params) : LearnerState =
        let mutable learner = case.State.Learner

        for k in 0 .. steps - 1 do
            let batch = case.Batches[k]

            learner <-
                case.Learner.UpdateRule.Step
                    .Invoke(learner, this.Hyper(w, batch), batch.Data, Differentiation.None)
                    .Learner

        learner

    /// What the model puts out under x and w on a batch, with x beside it.
    member this.Predict(x: Params, w: Params, experience: Experience<'Data>) : Prediction =
        let outputs = lazy (case.Learner.Model.Predict.Invoke(x, this.Hyper(w, experience), experience.Data))

        Prediction(x, outputs)

    /// The bootstrapped meta-objective as a function of w with x̃ held fixed, [P].
    member this.MetaObjective(target: Params, evaluation: Experience<'Data>) : Func<Params, Tensor> =
        let frozen = this.Predict(target, this.W, evaluation)
        // Computed here, for the scope of the case, rather than in that of the first difference.
        frozen.Outputs |> ignore

        Func<_, _>(fun w ->
            let x = (this.Live(this.InnerSteps, w)).Parameters
            case.Matching.Compare.Invoke(frozen, this.Predict(x, w, evaluation)))

    /// The case's loss after K steps as a function of w, [P].
    member this.Outer: Func<Params, Tensor> =
        let last = case.Batches[this.InnerSteps]

        Func<_, _>(fun w ->
            case.Loss.Loss.Invoke((this.Live(this.InnerSteps, w)).Parameters, this.Hyper(w, last), last.Data))

    /// A generator for one purpose within the case.
    member _.Stream(purpose: string) : Rng =
        let own = case.Seed.For purpose
        own.Generator()

    /// Standard normal float64 values in the shapes of a set.
    member this.Normal(purpose: string, like: Params) : Params =
        let rng = this.Stream purpose

        like
        |> Params.map (fun t ->
            let values = Array.init (int t.NumberOfElements) (fun _ -> rng.NextNormal())
            torch.tensor(values, dtype = torch.float64).reshape t.shape)
