using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Agents;

/// <summary>Peng's Q(λ) with one update each environment step, and a learned rate of exploration ε.</summary>
public sealed record QLambdaSettings
{
    [Description("Widths of the hidden layers, each followed by ReLU. [256, 256] in both papers.")]
    [Length(0, 16)]
    [Range(1, 65536)]
    public IReadOnlyList<int> Hidden { get; init; } = [256, 256];

    [Description(
        "How weights start: \"truncated-normal\", deviation 1/sqrt(fan-in) and zero biases; \"uniform\", within ±1/sqrt(fan-in). The papers do not print it."
    )]
    public Initialization Initialization { get; init; } = Initialization.TruncatedNormal;

    [Description("Discount of future rewards, a step. 0.99 in both papers.")]
    [Range(0, 1)]
    public double Discount { get; init; } = 0.99;

    [Description("λ of the traces. 0.9 in CMG.")]
    [Range(0, 1)]
    public double TraceDecay { get; init; } = 0.9;

    [Description("The optimizer of the learner's steps; \"adam\" is the only one that this agent takes.")]
    [PartOf("optimizer", "adam")]
    public Part Optimizer { get; init; } = Part.Unbound("optimizer", "adam");

    [Description(
        "L: steps that the target looks ahead, an update after each. Sweep of CMG: 16, 32, 128. Method \"fixed\" reports after as many."
    )]
    [Range(1, 100_000)]
    public int TargetSteps { get; init; } = 8;
}
