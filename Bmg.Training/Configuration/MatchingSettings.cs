using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Configuration;

/// <summary>One term of the matching function.</summary>
public sealed record MatchingTerm
{
    [Description("The matching function, by name, and its settings.")]
    [PartOf("matching function", "kl", Inlined = true)]
    public Part Function { get; init; } = Part.Unbound("matching function", "kl");

    [Description("Weight of the term in the sum.")]
    [Range(0, 1e6)]
    public double Weight { get; init; } = 1;
}

/// <summary>The matching function μ: a weighted sum.</summary>
public sealed record MatchingSettings
{
    [Description("The terms that are summed; at least one weight is positive.")]
    [Length(1, 16)]
    public IReadOnlyList<MatchingTerm> Functions { get; init; } = [new()];

    [Description(
        "Over the states of the last rollout: \"sum\" or \"mean\". It sets the meta-gradient's size relative to meta.epsilon, and so the speed of meta-learning. The papers leave it open."
    )]
    public Reduction Reduction { get; init; } = Reduction.Sum;
}
