using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Supervised;

/// <summary>The meta-learned learning rate, which is learned in the logarithm.</summary>
public sealed record LearnedRateSettings
{
    [Description("Least learning rate. It starts at optimizer.learningRate, which lies between the two.")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double Low { get; init; } = 1e-6;

    [Description("Greatest learning rate.")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double High { get; init; } = 100;

    [Description(
        "Whether the meta-gradient is divided by the learning rate, so that it is that of the rate itself rather than of its logarithm."
    )]
    public bool Divided { get; init; }
}

/// <summary>A network that learns from examples, and whose learning rate is meta-learned.</summary>
public sealed record SupervisedSettings
{
    [Description(
        "The data, by name, and its settings. Examples with classes are learned by cross-entropy, those with numbers by half the mean squared error."
    )]
    [PartOf("data", "spirals")]
    public Part Data { get; init; } = Part.Unbound("data", "spirals");

    [Description("Widths of the network's hidden layers.")]
    [Length(0, 16)]
    [Range(1, 65536)]
    public IReadOnlyList<int> Hidden { get; init; } = [64, 64];

    [Description("Non-linearity of the hidden layers.")]
    public Activation Activation { get; init; } = Activation.Relu;

    [Description(
        "How weights start: \"truncated-normal\", deviation 1/sqrt(fan-in) and zero biases; \"uniform\", within ±1/sqrt(fan-in)."
    )]
    public Initialization Initialization { get; init; } = Initialization.TruncatedNormal;

    [Description(
        "The optimizer of the learner's steps, by name, and its settings. Its learning rate is where the meta-learned one starts."
    )]
    [PartOf("optimizer", "sgd")]
    public Part Optimizer { get; init; } = Part.Unbound("optimizer", "sgd");

    [Description("The meta-learned learning rate. Ignored by method \"fixed\".")]
    public LearnedRateSettings LearnedRate { get; init; } = new();

    [Description("Examples in a batch: of each step, of the outer loss, and of each look at how well it does.")]
    [Range(1, 1_000_000)]
    public int BatchSize { get; init; } = 32;

    [Description(
        "Share of the training examples that is held out: the outer loss of method \"mg\", μ of method \"bmg\" and the first metric are taken on batches of them, and no step learns from them. The same examples for all seeds. 0 takes batches of the training examples instead, those to be learned from next or last."
    )]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double HeldOut { get; init; } = 0.2;

    [Description(
        "K: learner steps that the meta-gradient is taken through; with method \"fixed\", steps between two looks."
    )]
    [Range(1, 1000)]
    public int InnerSteps { get; init; } = 4;

    [Description(
        "L: learner steps that the target looks ahead, the last of them one down the outer loss. Only method \"bmg\" uses it."
    )]
    [Range(1, 100_000)]
    public int TargetSteps { get; init; } = 8;
}
