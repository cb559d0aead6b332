using System.ComponentModel;

namespace Bmg.Training.Configuration;

/// <summary>The objective of the target's last step.</summary>
public enum TargetLoss
{
    /// <summary>The policy-gradient loss alone.</summary>
    Policy,

    /// <summary>The learner's whole objective.</summary>
    Full,
}

/// <summary>The last, greedy step of the target bootstrap ξ.</summary>
public sealed record TargetSettings
{
    [Description(
        "Objective of the last step: \"policy\", the policy-gradient loss alone (BMG 5.1); \"full\", the learner's whole objective."
    )]
    public TargetLoss Loss { get; init; } = TargetLoss.Policy;

    [Description("Optimizer of the last step; null takes the learner's, with its state.")]
    public OptimizerSettings? Optimizer { get; init; }
}
