/// What the README shows: a matching function of one's own. It stands in the catalog, so every law is checked on it.
module Bmg.Tests.ReadmeExample

open Bmg
open TorchSharp

let hellinger =
    MatchingFunction.Create(
        "squared-hellinger",
        MatchingClaims.Divergence,
        fun target learner ->
            let root (p: Prediction) =
                (Categorical.logProbabilities p["logits"]).mul(Scalars.constant 0.5).exp()

            let overlap = (root target).mul(root learner).sum -1L
            Reduction.apply Reduction.Mean (overlap.neg().plus(Scalars.constant 1.0))
    )
