namespace Bmg

open System
open TorchSharp

/// What a model puts out, π(x, w, s): (x, hyper-parameters, data) → named outputs, [P, …] each.
[<ReferenceEquality>]
type Model<'Data> = {
    Name: string
    Predict: Func<Params, Params, 'Data, Params>
} with

    /// A model from a name and a function.
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
    member _.Stopped: Prediction =
        Prediction(Params.detach parameters, lazy (Params.detach outputs.Value))

    /// The output of this name: "logits" of a policy [P, B, A], "values" [P, B].
    member _.Item
        with get (name: string): Tensor = outputs.Value[name]

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

    /// A matching function from its parts.
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

    /// Whether it claims all of these.
    member this.Has(claims: MatchingClaims) : bool = this.Claims &&& claims = claims

    /// Whether it claims to be a divergence.
    member this.IsDivergence: bool = this.Has MatchingClaims.Divergence

/// Matching functions of the library. Each is blind to what its space does not see: KL to changes of the value function, say.
[<RequireQualifiedAccess>]
module Matching =

    let private policyDivergence = MatchingClaims.Divergence ||| MatchingClaims.ShiftInvariant

    /// KL(π_x̃ ‖ π_x) over the states, target first (BMG, section 5), on the output "logits".
    let kl (reduction: Reduction) : MatchingFunction =
        MatchingFunction
            .Create(
                "kl",
                policyDivergence ||| MatchingClaims.MatchesMoments,
                (fun target learner -> Reduction.apply reduction (Categorical.kl target["logits"] learner["logits"]))
            )
            .WithFisher(1.0, reduction)

    /// KL(π_x ‖ π_x̃): the learner first.
    let reverseKl (reduction: Reduction) : MatchingFunction =
        MatchingFunction
            .Create(
                "reverse-kl",
                policyDivergence,
                (fun target learner -> Reduction.apply reduction (Categorical.kl learner["logits"] target["logits"]))
            )
            .WithFisher(1.0, reduction)

    /// ‖x̃ − x‖² times `scale`, in the space of parameters (BMG, section 4; ½ makes its gradient x − x̃).
    let parameterL2 (scale: float) : MatchingFunction =
        Check.range "Matching.parameterL2" "scale" 0.0 infinity scale
        let factor: Scalar = Scalar.op_Implicit scale

        MatchingFunction.Create(
            "parameter-l2",
            MatchingClaims.Divergence
            ||| MatchingClaims.Symmetric
            ||| MatchingClaims.RootMetric,
            (fun target learner ->
                (Params.squaredNorm (Params.subtract target.Parameters learner.Parameters)).mul factor)
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
            let scalars: Scalar[] = weights |> Array.map (fun w -> Scalar.op_Implicit w)

            MatchingFunction.Create(
                Array.map2 (fun (w: float) (p: MatchingFunction) -> $"{w}·{p.Name}") weights parts
                |> String.concat " + ",
                // A root metric survives too: √Σ wᵢμᵢ is a Euclidean norm of metrics.
                (if weights |> Array.forall (fun w -> w >= 0.0) then
                     parts |> Array.map (fun p -> p.Claims) |> Array.reduce (&&&)
                 else
                     MatchingClaims.None),
                (fun target learner ->
                    Array.map2
                        (fun (w: Scalar) (p: MatchingFunction) -> p.Compare.Invoke(target, learner).mul w)
                        scalars
                        parts
                    |> Array.reduce (fun a b -> a.plus b))
            )
