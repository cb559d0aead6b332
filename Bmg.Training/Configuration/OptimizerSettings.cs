using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text.Json.Serialization;

namespace Bmg.Training.Configuration;

/// <summary>The optimizers there are.</summary>
public enum OptimizerKind
{
    /// <summary>Plain gradient descent.</summary>
    Sgd,

    /// <summary>Gradient descent with momentum.</summary>
    Momentum,

    /// <summary>Gradient over the root of its mean square.</summary>
    [JsonStringEnumMemberName("rmsprop")]
    RmsProp,

    /// <summary>Adam (Kingma and Ba, ICLR 2015).</summary>
    Adam,
}

/// <summary>An optimizer of the learner.</summary>
public sealed record OptimizerSettings
{
    [Description("The optimizer. The papers' actor-critic uses \"sgd\".")]
    public OptimizerKind Name { get; init; } = OptimizerKind.Sgd;

    [Description("Step size. 0.1 for the actor-critic's SGD (CMG).")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double LearningRate { get; init; } = 0.1;

    [Description("Decay of momentum's trace, or of RMSProp's mean square; ignored by the others.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Decay { get; init; } = 0.9;

    [Description("Decay of Adam's first moment; ignored by the others.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Beta1 { get; init; } = 0.9;

    [Description("Decay of Adam's second moment; ignored by the others.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Beta2 { get; init; } = 0.999;

    [Description("Added to the denominator of RMSProp and Adam; ignored by the others.")]
    [Range(0, 1, MinimumIsExclusive = true)]
    public double Epsilon { get; init; } = 1e-8;
}
