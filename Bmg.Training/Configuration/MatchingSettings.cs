using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Configuration;

/// <summary>The matching functions there are.</summary>
public enum MatchingKind
{
    /// <summary>KL(target ‖ learner) of the policies.</summary>
    Kl,

    /// <summary>KL(learner ‖ target) of the policies.</summary>
    ReverseKl,

    /// <summary>Squared distance of the parameters.</summary>
    ParameterL2,

    /// <summary>Jensen-Shannon divergence of the policies.</summary>
    JensenShannon,

    /// <summary>KL in both directions.</summary>
    Jeffreys,

    /// <summary>Squared Hellinger distance of the policies.</summary>
    SquaredHellinger,

    /// <summary>Squared distance of the logits.</summary>
    LogitL2,

    /// <summary>KL's quadratic form at the target.</summary>
    FisherQuadratic,
}

/// <summary>One term of the matching function.</summary>
public sealed record MatchingTerm
{
    [Description(
        "\"kl\", target first (BMG, both papers' default); \"reverse-kl\", learner first; \"parameter-l2\", squared distance of parameters; \"jensen-shannon\"; \"jeffreys\", both KLs; \"squared-hellinger\"; \"logit-l2\", squared distance of logits; \"fisher-quadratic\", KL's quadratic form at the target."
    )]
    public MatchingKind Name { get; init; } = MatchingKind.Kl;

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
