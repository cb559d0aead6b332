using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Agents;

/// <summary>What the advantage and the value's target are made of.</summary>
public enum ReturnKind
{
    /// <summary>One-step temporal differences.</summary>
    Td,

    /// <summary>λ-returns over the rollout.</summary>
    Lambda,
}

/// <summary>Policy and value networks that learn from rollouts, and a learned weight of the entropy term.</summary>
public sealed record ActorCriticSettings
{
    [Description(
        "Layers that come before the hidden ones, by name, with the settings of each: convolutions for images, say. They end with one axis (\"flatten\"). Empty for none."
    )]
    [PartOf("layer", "linear")]
    [Length(0, 64)]
    public IReadOnlyList<Part> Torso { get; init; } = [];

    [Description(
        "Whether policy and value share the torso, which then learns from both losses, rather than having one each."
    )]
    public bool SharedTorso { get; init; } = true;

    [Description("Widths of the hidden layers, of each of the learner's networks. [256, 256] in both papers.")]
    [Length(0, 16)]
    [Range(1, 65536)]
    public IReadOnlyList<int> Hidden { get; init; } = [256, 256];

    [Description("Non-linearity of the hidden layers. \"relu\" in both papers.")]
    public Activation Activation { get; init; } = Activation.Relu;

    [Description(
        "How weights start: \"truncated-normal\", deviation 1/sqrt(fan-in) and zero biases; \"uniform\", within ±1/sqrt(fan-in). The papers do not print it."
    )]
    public Initialization Initialization { get; init; } = Initialization.TruncatedNormal;

    [Description(
        "The policy's last layer starts as initialization says, times this. 1 leaves it; 0.01 starts near the middle of continuous actions' bounds, or near a uniform choice (Andrychowicz et al., ICLR 2021)."
    )]
    [Range(0, 100, MinimumIsExclusive = true)]
    public double PolicyGain { get; init; } = 1;

    [Description("Environment steps between two learner steps, and the data of each. 16 in both papers.")]
    [Range(1, 100_000)]
    public int RolloutLength { get; init; } = 16;

    [Description(
        "N, streams of experience of each member: copies of the environment that act side by side. A learner step has copies × rolloutLength steps of data. 1 in both papers."
    )]
    [Range(1, 10_000)]
    public int Copies { get; init; } = 1;

    [Description(
        "Rewards are multiplied by this before the learner sees them, so that values are of the size of 1; what is reported is not. The papers take them as they are."
    )]
    [Range(0, 1e6, MinimumIsExclusive = true)]
    public double RewardScale { get; init; } = 1;

    [Description(
        "Whether each number of an observation is normalised by its running mean and deviation over the member's life, all copies together. The statistics are fixed within a rollout, saved, frozen in evaluation, and part of the exported graph."
    )]
    public bool NormalizeObservations { get; init; }

    [Description(
        "Whether rewards are divided by the running deviation of their discounted sum, before rewardScale; what is reported is not."
    )]
    public bool NormalizeRewards { get; init; }

    [Description("Discount of future rewards, a step. 0.99 in both papers.")]
    [Range(0, 1)]
    public double Discount { get; init; } = 0.99;

    [Description(
        "Advantages and value targets: \"td\", one-step temporal differences; \"lambda\", λ-returns over the rollout. The papers leave it open."
    )]
    public ReturnKind Returns { get; init; } = ReturnKind.Td;

    [Description("λ of the λ-returns; ignored with returns \"td\".")]
    [Range(0, 1)]
    public double TraceDecay { get; init; } = 0.9;

    [Description(
        "Weight of the value loss in the learner's loss. The value loss is half the mean squared error, ½·E[(target − v)²], and the ½ is not part of the weight. The papers leave it open."
    )]
    [Range(0, 1000)]
    public double ValueWeight { get; init; } = 0.5;

    [Description("The update rule φ, by name, and its settings.")]
    [PartOf("update rule", "gradient")]
    public Part UpdateRule { get; init; } = Part.Unbound("update rule", "gradient");

    [Description("The optimizer of the learner's steps, by name, and its settings. \"sgd\" in both papers.")]
    [PartOf("optimizer", "sgd")]
    public Part Optimizer { get; init; } = Part.Unbound("optimizer", "sgd");

    [Description("Largest norm of a member's whole gradient, longer ones are shortened to it; null for no limit.")]
    [Range(0, 1e9, MinimumIsExclusive = true)]
    public double? GradientClip { get; init; }

    [Description(
        "K: learner steps that the meta-gradient is taken through. Sweep of CMG: 1, 3, 6. Ignored by method \"fixed\"."
    )]
    [Range(0, 1000)]
    public int InnerSteps { get; init; } = 1;

    [Description(
        "L: learner steps that the target looks ahead, the last of them the greedy one. Sweep of CMG: 8, 16. Only method \"bmg\" uses it."
    )]
    [Range(1, 100_000)]
    public int TargetSteps { get; init; } = 8;
}
