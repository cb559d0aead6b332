using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Agents;

/// <summary>Plain gradient descent.</summary>
public sealed record SgdSettings
{
    [Description("Step size. 0.1 for the actor-critic's SGD (CMG).")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double LearningRate { get; init; } = 0.1;
}

/// <summary>Gradient descent with momentum.</summary>
public sealed record MomentumSettings
{
    [Description("Step size.")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double LearningRate { get; init; } = 0.1;

    [Description("Decay of the trace of gradients.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Decay { get; init; } = 0.9;
}

/// <summary>The gradient over the root of its mean square.</summary>
public sealed record RmsPropSettings
{
    [Description("Step size.")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double LearningRate { get; init; } = 0.1;

    [Description("Decay of the mean square.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Decay { get; init; } = 0.9;

    [Description("Added to the denominator.")]
    [Range(0, 1, MinimumIsExclusive = true)]
    public double Epsilon { get; init; } = 1e-8;

    [Description(
        "Added to the second moment inside the root. It keeps the derivative of the root finite where a moment is 0: a meta-gradient through the step is NaN without it."
    )]
    [Range(0, 1, MinimumIsExclusive = true)]
    public double EpsilonRoot { get; init; } = 1e-16;
}

/// <summary>Adam (Kingma and Ba, ICLR 2015).</summary>
public sealed record AdamSettings
{
    [Description("Step size.")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double LearningRate { get; init; } = 0.1;

    [Description("Decay of the first moment.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Beta1 { get; init; } = 0.9;

    [Description("Decay of the second moment.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Beta2 { get; init; } = 0.999;

    [Description("Added to the denominator.")]
    [Range(0, 1, MinimumIsExclusive = true)]
    public double Epsilon { get; init; } = 1e-8;

    [Description(
        "Added to the second moment inside the root. It keeps the derivative of the root finite where a moment is 0: a meta-gradient through the step is NaN without it."
    )]
    [Range(0, 1, MinimumIsExclusive = true)]
    public double EpsilonRoot { get; init; } = 1e-16;
}
