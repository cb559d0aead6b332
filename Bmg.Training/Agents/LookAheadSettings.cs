using System.ComponentModel;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Agents;

/// <summary>The loss of the target's last step.</summary>
public enum TargetLoss
{
    /// <summary>The policy-gradient loss alone.</summary>
    Policy,

    /// <summary>The learner's whole loss.</summary>
    Full,
}

/// <summary>The papers' target: further steps of φ, then a last, greedy step.</summary>
public sealed record LookAheadSettings
{
    [Description(
        "Loss of the last step: \"policy\", the policy-gradient loss alone (BMG 5.1); \"full\", the learner's whole loss."
    )]
    public TargetLoss Loss { get; init; } = TargetLoss.Policy;

    [Description("Optimizer of the last step; null takes the learner's, with its state.")]
    [PartOf("optimizer", "sgd")]
    public Part? Optimizer { get; init; }
}
