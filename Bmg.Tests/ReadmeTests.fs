/// What the README shows, compiled and held to the laws.
module Bmg.Tests.ReadmeTests

open Bmg
open Expecto
open TorchSharp

let hellinger =
    MatchingFunction.Create(
        "squared-hellinger",
        true,
        fun target learner ->
            let root (p: Prediction) =
                (Categorical.logProbabilities p["logits"]).div(2.0).exp()

            let overlap = (root target).mul(root learner).sum -1L
            Reduction.apply Reduction.Mean (overlap.neg().add 1.0)
    )
