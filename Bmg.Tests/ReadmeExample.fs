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
                (Categorical.logProbabilities p["logits"]).mul(0.5.ToScalar()).exp()

            let overlap = (root target).mul(root learner).sum -1L
            Reduction.apply Reduction.Mean (overlap.neg().add(1.0.ToScalar()))
    )
