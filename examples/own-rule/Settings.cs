using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Examples.OwnRule;

/// <summary>Settings of the update rule.</summary>
public sealed record ShrinkingSettings
{
    [Description("Weight of half the squared norm of the parameters in the learner's loss.")]
    [Range(0, 1)]
    public double Shrinkage { get; init; } = 1e-4;
}

/// <summary>Settings of the optimizer.</summary>
public sealed record SoftsignSettings
{
    [Description("Step size.")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double LearningRate { get; init; } = 0.1;
}

/// <summary>Settings of the target bootstrap.</summary>
public sealed record FartherSettings
{
    [Description("How many times the way to where the learner's own steps lead.")]
    [Range(0, 10)]
    public double Times { get; init; } = 1.5;
}

/// <summary>Settings of the matching function.</summary>
public sealed record BrierSettings
{
    [Description("Factor of the squared distance.")]
    [Range(0, 1e6)]
    public double Scale { get; init; } = 0.5;
}
