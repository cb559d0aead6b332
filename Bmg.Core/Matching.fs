namespace Bmg

open System
open System.ComponentModel
open TorchSharp

/// What a model puts out, π(x, w, s): (x, hyper-parameters, data) → named outputs, [P, …] each.
[<ReferenceEquality>]
type Model<'Data> = {
    Name: string
    Predict: Func<Params, Params, 'Data, Params>
} with

    /// <summary>A model from its parts.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="predict">(x, hyper-parameters, data) → named outputs, [P, …] each.</param>
    /// <returns>The model.</returns>
    static member Create(name: string, predict: Func<Params, Params, 'Data, Params>) : Model<'Data> = {
        Name = name
        Predict = predict
    }

/// One side of a match: parameters, and what the model puts out under them, computed when first asked for.
[<Sealed>]
type Prediction(parameters: Params, outputs: Lazy<Params>) =

    /// x̃ or x.
    member _.Parameters = parameters

    /// All that the model puts out.
    member _.Outputs: Params = outputs.Value

    /// The same as constants: no gradient passes.
    member _.Stopped: Prediction = Prediction(Params.detach parameters, lazy (Params.detach outputs.Value))

    /// The output of this name: "logits" of a policy [P, B, A], "values" [P, B].
    member _.Item
        with get (name: string): Tensor = outputs.Value[name]

    /// Values over the states [P, B] → [P]. Where the model puts out "valid" [P, B], only states count for which it is 1.
    member _.Reduce(reduction: Reduction, values: Tensor) : Tensor =
        if outputs.Value.Contains "valid" then
            Reduction.weighted reduction outputs.Value["valid"] values
        else
            Reduction.apply reduction values

/// What a matching function says of itself; the laws hold it to that.
[<Flags>]
type MatchingClaims =
    | None = 0
    /// μ ≥ 0, μ(z, z) = 0 and ∇ₓμ(z, x) = 0 at x = z.
    | Divergence = 1
    /// μ(a, b) = μ(b, a).
    | Symmetric = 2
    /// √μ obeys the triangle inequality.
    | RootMetric = 4
    /// Adding one number to all logits of a state changes nothing.
    | ShiftInvariant = 8
    /// Its gradient by the learner's logits is the difference of probabilities π_x − π_x̃, times the Fisher multiple: KL with the target
    /// first, and nothing else.
    | MatchesMoments = 16

/// μ(x̃, x): how far a learner is from a target, [P].
[<ReferenceEquality>]
type MatchingFunction = {
    Name: string
    /// What the laws hold it to.
    Claims: MatchingClaims
    /// c where μ(z, z + d) = ½c·dᵀFd + o(‖d‖²), F being the Fisher matrix of the policy "logits" at z on the same states (1 for KL);
    /// nothing where μ does not claim such a thing.
    FisherMultiple: Nullable<float>
    /// How that Fisher matrix is reduced over the states.
    FisherReduction: Reduction
    /// (target, learner) → [P]. The target holds constants.
    Compare: Func<Prediction, Prediction, Tensor>
} with

    /// <summary>A matching function from its parts.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="claims">What the laws hold it to.</param>
    /// <param name="compare">(target, learner) → [P]. The target holds constants.</param>
    /// <returns>μ</returns>
    static member Create
        (name: string, claims: MatchingClaims, compare: Func<Prediction, Prediction, Tensor>)
        : MatchingFunction = {
        Name = name
        Claims = claims
        FisherMultiple = Nullable()
        FisherReduction = Reduction.Mean
        Compare = compare
    }

    /// The same, claiming to be ½ · `multiple` · dᵀFd near a match, with F's mean or sum over the states.
    member this.WithFisher(multiple: float, reduction: Reduction) : MatchingFunction = {
        this with
            FisherMultiple = Nullable multiple
            FisherReduction = reduction
    }

    /// The same, claiming these as well.
    member this.Claiming(claims: MatchingClaims) : MatchingFunction = {
        this with
            Claims = this.Claims ||| claims
    }

    /// Whether it claims all of these.
    member this.Has(claims: MatchingClaims) : bool = this.Claims &&& claims = claims

    /// Whether it claims to be a divergence.
    member this.IsDivergence: bool = this.Has MatchingClaims.Divergence

/// Where a Bregman divergence looks: coordinates of one side of a match, [P, …] each.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module Coordinates =

    /// The parameters, x̃ or x.
    let parameters (p: Prediction) : Params = p.Parameters

    /// One of the model's outputs, by its name.
    let output (name: string) (p: Prediction) : Params = Params.Single(name, p[name])

    /// The probabilities π(a|s) of the policy "logits", [P, …, A].
    let probabilities (p: Prediction) : Params =
        Params.Single("probabilities", Categorical.probabilities p["logits"])

/// Coordinates of a Bregman divergence: what C# calls.
[<AbstractClass; Sealed>]
type Coordinates =

    /// The parameters, x̃ or x.
    static member Parameters: Func<Prediction, Params> = Func<_, _>(Coordinates.parameters)

    /// <summary>One of the model's outputs.</summary>
    /// <param name="name">Its name.</param>
    /// <returns>One side of a match → that output, [P, …].</returns>
    static member Output(name: string) : Func<Prediction, Params> = Func<_, _>(Coordinates.output name)

    /// The probabilities π(a|s) of the policy "logits", [P, …, A].
    static member Probabilities: Func<Prediction, Params> = Func<_, _>(Coordinates.probabilities)

/// Potentials Ψ, convex: coordinates → [P]. One of one's own is a function of the same type.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module Potentials =

    let private total (f: Tensor -> Tensor) (p: Params) : Tensor =
        p.TensorArray |> Array.map f |> Array.reduce (fun a b -> a.plus b)

    /// ½‖·‖², over all that a member has.
    let halfSquaredNorm (p: Params) : Tensor =
        (Params.squaredNorm p).mul(Scalars.constant 0.5)

    /// Σ p log p of probabilities [P, …, A], in nats, reduced over the states: minus the entropy. Its slope at p = 0 is infinite, so
    /// probabilities count as at least 1e-18 inside the logarithm: a line there, still convex, with finite derivatives in float32 too.
    let negativeEntropy (reduction: Reduction) : Params -> Tensor =
        let floor: Scalar = Scalars.constant 1e-18

        let each (p: Tensor) =
            let logp = p.clamp_min(floor).log()
            Reduction.apply reduction ((p.mul logp).sum(-1L))

        total each

    /// log Σ exp z of logits [P, …, A], reduced over the states: the conjugate of minus the entropy.
    let logSumExp (reduction: Reduction) : Params -> Tensor =
        // The largest is taken off first: the derivative that libtorch has, exp(z − log Σ exp z), loses all digits that z has before the point.
        let each (z: Tensor) =
            let largest = z.detach().amax([| -1L |], keepdim = true)
            ((z.minus largest).logsumexp -1L).plus(largest.squeeze -1L)

        total (fun z -> Reduction.apply reduction (each z))

/// Potentials of a Bregman divergence: what C# calls.
[<AbstractClass; Sealed>]
type Potentials =

    /// ½‖·‖², over all that a member has.
    static member HalfSquaredNorm: Func<Params, Tensor> = Func<_, _>(Potentials.halfSquaredNorm)

    /// <summary>Σ p log p of probabilities [P, …, A], in nats: minus the entropy.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>Coordinates → [P].</returns>
    static member NegativeEntropy(reduction: Reduction) : Func<Params, Tensor> =
        Func<_, _>(Potentials.negativeEntropy reduction)

    /// <summary>log Σ exp z of logits [P, …, A]: the conjugate of minus the entropy.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>Coordinates → [P].</returns>
    static member LogSumExp(reduction: Reduction) : Func<Params, Tensor> =
        Func<_, _>(Potentials.logSumExp reduction)

/// Matching functions of the library. Each is blind to what its space does not see: KL to changes of the value function, say.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module Matching =

    let private policyDivergence = MatchingClaims.Divergence ||| MatchingClaims.ShiftInvariant

    let private metric =
        MatchingClaims.Divergence
        ||| MatchingClaims.Symmetric
        ||| MatchingClaims.RootMetric

    /// A matching function whose target is stopped, even where it is handed one that is part of a graph.
    let private create
        (name: string)
        (claims: MatchingClaims)
        (compare: Prediction -> Prediction -> Tensor)
        : MatchingFunction =
        MatchingFunction.Create(name, claims, (fun (target: Prediction) learner -> compare target.Stopped learner))

    /// KL(π_x̃ ‖ π_x) over the states, target first (BMG, section 5), on the output "logits".
    let kl (reduction: Reduction) : MatchingFunction =
        (create "kl" (policyDivergence ||| MatchingClaims.MatchesMoments) (fun target learner ->
            learner.Reduce(reduction, Categorical.kl target["logits"] learner["logits"])))
            .WithFisher(1.0, reduction)

    /// KL(π_x ‖ π_x̃): the learner first.
    let reverseKl (reduction: Reduction) : MatchingFunction =
        (create "reverse-kl" policyDivergence (fun target learner ->
            learner.Reduce(reduction, Categorical.kl learner["logits"] target["logits"])))
            .WithFisher(1.0, reduction)

    /// ‖x̃ − x‖² times `scale`, in the space of parameters (BMG, section 4; ½ makes its gradient x − x̃).
    let parameterL2 (scale: float) : MatchingFunction =
        Check.range "Matching.parameterL2" "scale" 0.0 infinity scale
        let factor: Scalar = Scalars.constant scale

        create "parameter-l2" metric (fun target learner ->
            (Params.squaredNorm (Params.subtract target.Parameters learner.Parameters)).mul factor)

    let private onLogits
        (name: string)
        (claims: MatchingClaims)
        (reduction: Reduction)
        (compare: Tensor -> Tensor -> Tensor)
        : MatchingFunction =
        create name claims (fun target learner -> learner.Reduce(reduction, compare target["logits"] learner["logits"]))

    /// Jensen-Shannon: ½KL(π_x̃ ‖ m) + ½KL(π_x ‖ m) with m = ½(π_x̃ + π_x), in nats, at most log 2 a state (Lin 1991). Symmetric, and its
    /// root is a metric (Endres and Schindelin 2003); near a match ¼ of KL. Where policies have nothing in common its gradient vanishes.
    /// Blind to all but the policy.
    let jensenShannon (reduction: Reduction) : MatchingFunction =
        (onLogits "jensen-shannon" (metric ||| MatchingClaims.ShiftInvariant) reduction Categorical.jensenShannon)
            .WithFisher(0.25, reduction)

    /// Jeffreys: KL(π_x̃ ‖ π_x) + KL(π_x ‖ π_x̃) (Jeffreys 1946). Symmetric, unbounded, near a match twice KL; its root is no metric.
    /// Blind to all but the policy.
    let jeffreys (reduction: Reduction) : MatchingFunction =
        (onLogits "jeffreys" (policyDivergence ||| MatchingClaims.Symmetric) reduction Categorical.jeffreys)
            .WithFisher(2.0, reduction)

    /// Squared Hellinger: 1 − Σ √(π_x̃ π_x) = ½ Σ (√π_x̃ − √π_x)², at most 1 a state (Hellinger 1909). Symmetric, and its root is a metric:
    /// the Euclidean one between roots of probabilities, over √2. Near a match ¼ of KL. Blind to all but the policy.
    let squaredHellinger (reduction: Reduction) : MatchingFunction =
        (onLogits "squared-hellinger" (metric ||| MatchingClaims.ShiftInvariant) reduction Categorical.squaredHellinger)
            .WithFisher(0.25, reduction)

    let private ofDistribution
        (name: string)
        (claims: MatchingClaims)
        (distribution: Distribution)
        (reduction: Reduction)
        (compare: Func<Tensor, Tensor, Tensor>)
        : MatchingFunction =
        let output = distribution.Output

        create $"{name} of {distribution.Name}" claims (fun target learner ->
            learner.Reduce(reduction, compare.Invoke(target[output], learner[output])))

    /// The closed form of a divergence, or an ArgumentException that says that there is none.
    let private closed
        (fn: string)
        (distribution: Distribution)
        (form: Func<Tensor, Tensor, Tensor> | null)
        : Func<Tensor, Tensor, Tensor> =
        match form with
        | null -> Check.fail fn "distribution" "one for which this divergence has a closed form" distribution.Name
        | form -> form

    /// `kl` of any distribution, on the output that it names.
    let klOf (distribution: Distribution) (reduction: Reduction) : MatchingFunction =
        if distribution.Output = "logits" then
            kl reduction
        else
            ofDistribution "kl" MatchingClaims.Divergence distribution reduction distribution.Kl

    /// `reverseKl` of any distribution, on the output that it names.
    let reverseKlOf (distribution: Distribution) (reduction: Reduction) : MatchingFunction =
        if distribution.Output = "logits" then
            reverseKl reduction
        else
            let form = distribution.Kl

            ofDistribution
                "reverse-kl"
                MatchingClaims.Divergence
                distribution
                reduction
                (Func<_, _, _>(fun target learner -> form.Invoke(learner, target)))

    /// `jeffreys` of any distribution, on the output that it names.
    let jeffreysOf (distribution: Distribution) (reduction: Reduction) : MatchingFunction =
        if distribution.Output = "logits" then
            jeffreys reduction
        else
            ofDistribution
                "jeffreys"
                (MatchingClaims.Divergence ||| MatchingClaims.Symmetric)
                distribution
                reduction
                distribution.Jeffreys

    /// `jensenShannon` of a distribution for which it has a closed form, on the output that it names; an ArgumentException else.
    let jensenShannonOf (distribution: Distribution) (reduction: Reduction) : MatchingFunction =
        let form = closed "Matching.jensenShannonOf" distribution distribution.JensenShannon

        if distribution.Output = "logits" then
            jensenShannon reduction
        else
            ofDistribution "jensen-shannon" metric distribution reduction form

    /// `squaredHellinger` of a distribution for which it has a closed form, on the output that it names; an ArgumentException else.
    let squaredHellingerOf (distribution: Distribution) (reduction: Reduction) : MatchingFunction =
        let form = closed "Matching.squaredHellingerOf" distribution distribution.SquaredHellinger

        if distribution.Output = "logits" then
            squaredHellinger reduction
        else
            ofDistribution "squared-hellinger" metric distribution reduction form

    let private half: Scalar = Scalars.constant 0.5

    /// ½ Σ (z̃ − z)² over the actions' logits (Ba and Caruana 2014, for distillation). It also sees what no policy shows: a constant added to
    /// a state's logits. Blind to all but the logits.
    let logitL2 (reduction: Reduction) : MatchingFunction =
        onLogits "logit-l2" metric reduction (fun target learner ->
            Check.shape "Matching.logitL2" "learner" "the target's logits" target.shape learner
            // −∞ masks on both sides are equal.
            (Categorical.bounded target).minus(Categorical.bounded learner).squared().sum(-1L).mul half)

    /// ½ (ṽ − v)² over the output "values" [P, …]. Blind to the policy: alone it teaches only w that reaches values; with a policy's
    /// divergence in a `weightedSum` it matches the whole of an actor-critic.
    let valueMatching (reduction: Reduction) : MatchingFunction =
        create "values" (metric ||| MatchingClaims.ShiftInvariant) (fun target learner ->
            let learned = learner["values"]
            Check.shape "Matching.valueMatching" "learner" "the target's values" target["values"].shape learned
            learner.Reduce(reduction, (target["values"].minus learned).squared().mul half))

    /// ½ (z̃ − z)ᵀ (diag π̃ − π̃π̃ᵀ) (z̃ − z) = ½ Var_π̃(z̃ − z) over the logits: KL's second-order form at the target's policy, quadratic in
    /// the learner's logits however far away (Amari 1998 for the metric). Not symmetric: the target's policy weighs. An action that the target
    /// never takes weighs nothing, so a target that is certain of one action can not be told from anything: μ is 0 there. Blind to all
    /// but the logits.
    let fisherQuadratic (reduction: Reduction) : MatchingFunction =
        (onLogits "fisher-quadratic" policyDivergence reduction (fun target learner ->
            Check.shape "Matching.fisherQuadratic" "learner" "the target's logits" target.shape learner
            (Categorical.variance target ((Categorical.bounded target).minus(Categorical.bounded learner))).mul half))
            .WithFisher(1.0, reduction)

    // Sixteen units in the last place.
    let private roundingSingle: Scalar = Scalars.constant (16.0 * 6e-8)
    let private roundingDouble: Scalar = Scalars.constant (16.0 * 1.1e-16)
    let private zero: Scalar = Scalars.constant 0.0

    /// The Bregman divergence of a potential Ψ (Bregman 1967), target first: D(x̃, x) = Ψ(x̃) − Ψ(x) − ⟨∇Ψ(x), x̃ − x⟩, in coordinates that
    /// are parameters, an output, or a function of outputs. In this order Ψ = Σ p log p over probabilities gives `kl`, ½‖·‖² gives half a
    /// squared L2, and log Σ exp over logits gives `reverseKl`. Ψ takes the coordinates to one number a member, [P], and must be convex
    /// and three times differentiable (∇Ψ is taken with a graph, so that μ can be differentiated twice). It claims to be a divergence;
    /// what more is true of a potential, `Claiming` and `WithFisher` say. Blind to what its coordinates do not show. Near a match it is a
    /// small difference of large numbers: what falls below zero by no more than their rounding is given as 0. Coordinates count as within ±1e18.
    let bregman (name: string) (coordinates: Prediction -> Params) (potential: Params -> Tensor) : MatchingFunction =
        MatchingFunction.Create(
            name,
            MatchingClaims.Divergence,
            (fun target learner ->
                // −∞ masks on both sides are equal.
                let there = Params.detach (Params.map Categorical.bounded (coordinates target))
                let here = Params.map Categorical.bounded (coordinates learner)
                let inGraph = here.TensorArray |> Array.exists (fun t -> t.requires_grad)

                // A learner without a graph is differentiated by Ψ all the same, and μ is then a constant.
                let here =
                    here
                    |> Params.map (fun t ->
                        if t.requires_grad then
                            t
                        else
                            t.detach().requires_grad_ true)

                let struct (potentialHere, slope) =
                    use _ = torch.enable_grad ()
                    let potentialHere = potential here
                    Check.shape "Matching.bregman" "potential" "[P]" [| here.Members |] potentialHere
                    struct (potentialHere, Gradients.gradient potentialHere here inGraph)

                let potentialThere = potential there
                let along = Params.dot slope (Params.subtract there here)
                let divergence = potentialThere.minus(potentialHere).minus along

                let value =
                    use _ = torch.no_grad ()
                    let size = Params.map2 (fun (a: Tensor) (b: Tensor) -> a.abs().plus(b.abs ())) there here

                    let rounding =
                        (Params.dot (Params.map (fun t -> t.abs ()) slope) size)
                            .plus(potentialThere.abs ())
                            .plus(potentialHere.abs ())
                            .mul(
                                if divergence.dtype = torch.float64 then
                                    roundingDouble
                                else
                                    roundingSingle
                            )

                    divergence.masked_fill ((divergence.lt zero).logical_and((divergence.neg ()).le rounding), zero)

                if inGraph then
                    value.plus (divergence.minus (divergence.detach ()))
                else
                    value)
        )

    /// Σ weightᵢ·μᵢ; a divergence where all parts are and no weight is negative.
    let weightedSum (weights: float[]) (parts: MatchingFunction[]) : MatchingFunction =
        Check.require
            "Matching.weightedSum"
            "parts"
            "as many as there are weights, at least one"
            parts.Length
            (parts.Length > 0 && parts.Length = weights.Length)

        if parts.Length = 1 && weights[0] = 1.0 then
            parts[0]
        else
            let scalars: Scalar[] = weights |> Array.map (fun w -> Scalars.constant w)

            MatchingFunction.Create(
                Array.map2 (fun (w: float) (p: MatchingFunction) -> $"{w}·{p.Name}") weights parts
                |> String.concat " + ",
                // A root metric survives too: √Σ wᵢμᵢ is a Euclidean norm of metrics.
                // The moments match times a sum of multiples that it does not know: that claim is dropped.
                (if weights |> Array.forall (fun w -> w >= 0.0) then
                     (parts |> Array.map (fun p -> p.Claims) |> Array.reduce (&&&))
                     &&& ~~~MatchingClaims.MatchesMoments
                 else
                     MatchingClaims.None),
                (fun target learner ->
                    Array.map2
                        (fun (w: Scalar) (p: MatchingFunction) -> p.Compare.Invoke(target, learner).mul w)
                        scalars
                        parts
                    |> Array.reduce (fun a b -> a.plus b))
            )

/// Matching functions μ(x̃, x), target first: what C# calls. No gradient reaches the target.
[<AbstractClass; Sealed>]
type Matching =

    /// <summary>KL(π_x̃ ‖ π_x) in nats on the output "logits", target first.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member Kl(reduction: Reduction) : MatchingFunction = Matching.kl reduction

    /// <summary>KL(π_x ‖ π_x̃) in nats on the output "logits", the learner first.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member ReverseKl(reduction: Reduction) : MatchingFunction = Matching.reverseKl reduction

    /// <summary>½KL(π_x̃ ‖ m) + ½KL(π_x ‖ m) with m = ½(π_x̃ + π_x), in nats, on the output "logits"; at most log 2 a state.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member JensenShannon(reduction: Reduction) : MatchingFunction = Matching.jensenShannon reduction

    /// <summary>KL(π_x̃ ‖ π_x) + KL(π_x ‖ π_x̃) in nats on the output "logits".</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member Jeffreys(reduction: Reduction) : MatchingFunction = Matching.jeffreys reduction

    /// <summary>1 − Σ √(π_x̃ π_x) on the output "logits", in [0, 1] a state.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member SquaredHellinger(reduction: Reduction) : MatchingFunction = Matching.squaredHellinger reduction

    /// <summary>½ Σ (z̃ − z)² over the output "logits". It also sees what no policy shows: a constant added to a state's logits.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member LogitL2(reduction: Reduction) : MatchingFunction = Matching.logitL2 reduction

    /// <summary>½ (ṽ − v)² over the output "values". Blind to the policy.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member ValueMatching(reduction: Reduction) : MatchingFunction = Matching.valueMatching reduction

    /// <summary>½ Var_π̃(z̃ − z) over the output "logits": KL's second-order form at the target's policy.</summary>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member FisherQuadratic(reduction: Reduction) : MatchingFunction = Matching.fisherQuadratic reduction

    /// <summary>As <c>Kl</c>, of any distribution, on the output that it names.</summary>
    /// <param name="distribution">The policy's distribution.</param>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member KlOf(distribution: Distribution, reduction: Reduction) : MatchingFunction =
        Matching.klOf distribution reduction

    /// <summary>As <c>ReverseKl</c>, of any distribution, on the output that it names.</summary>
    /// <param name="distribution">The policy's distribution.</param>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member ReverseKlOf(distribution: Distribution, reduction: Reduction) : MatchingFunction =
        Matching.reverseKlOf distribution reduction

    /// <summary>As <c>Jeffreys</c>, of any distribution, on the output that it names.</summary>
    /// <param name="distribution">The policy's distribution.</param>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member JeffreysOf(distribution: Distribution, reduction: Reduction) : MatchingFunction =
        Matching.jeffreysOf distribution reduction

    /// <summary>As <c>JensenShannon</c>, of a distribution for which it has a closed form; an ArgumentException else.</summary>
    /// <param name="distribution">The policy's distribution.</param>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member JensenShannonOf(distribution: Distribution, reduction: Reduction) : MatchingFunction =
        Matching.jensenShannonOf distribution reduction

    /// <summary>As <c>SquaredHellinger</c>, of a distribution for which it has a closed form; an ArgumentException else.</summary>
    /// <param name="distribution">The policy's distribution.</param>
    /// <param name="reduction">How it is reduced over the states.</param>
    /// <returns>μ</returns>
    static member SquaredHellingerOf(distribution: Distribution, reduction: Reduction) : MatchingFunction =
        Matching.squaredHellingerOf distribution reduction

    /// <summary>‖x̃ − x‖² times a factor, in the space of parameters.</summary>
    /// <param name="scale">The factor, at least 0; ½ makes its gradient x − x̃.</param>
    /// <returns>μ</returns>
    static member ParameterL2(scale: float) : MatchingFunction = Matching.parameterL2 scale

    /// <summary>The Bregman divergence of a potential Ψ, target first: Ψ(x̃) − Ψ(x) − ⟨∇Ψ(x), x̃ − x⟩.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="coordinates">One side of a match → where Ψ looks, [P, …] each; see <c>Coordinates</c>.</param>
    /// <param name="potential">Ψ: coordinates → [P], convex and three times differentiable; see <c>Potentials</c>.</param>
    /// <returns>μ, which claims to be a divergence.</returns>
    static member Bregman
        (name: string, coordinates: Func<Prediction, Params>, potential: Func<Params, Tensor>)
        : MatchingFunction =
        Matching.bregman name coordinates.Invoke potential.Invoke

    /// <summary>Σ weightᵢ·μᵢ; a divergence where all parts are and no weight is negative.</summary>
    /// <param name="weights">One a part.</param>
    /// <param name="parts">At least one.</param>
    /// <returns>μ</returns>
    static member WeightedSum(weights: float[], parts: MatchingFunction[]) : MatchingFunction =
        Matching.weightedSum weights parts
