using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Configuration;

/// <summary>How meta-parameters learn.</summary>
public enum MetaMethod
{
    /// <summary>Bootstrapped meta-gradients (BMG).</summary>
    Bmg,

    /// <summary>Meta-gradients of the learner's own loss (Xu et al. 2018).</summary>
    Mg,

    /// <summary>Not at all: the entropy weight, or ε, stays at its initial value.</summary>
    Fixed,
}

/// <summary>What the meta-parameters are.</summary>
public enum MetaParameterKind
{
    /// <summary>One bounded number.</summary>
    Scalar,

    /// <summary>A network from context to a bounded number.</summary>
    Network,
}

/// <summary>What the meta-network sees.</summary>
public enum ContextKind
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Mean rewards of the last rollouts, or the last rewards.</summary>
    Reward,

    /// <summary>Rewards, values and TD errors.</summary>
    Rich,
}

/// <summary>How numbers enter a context.</summary>
public enum ContextScaling
{
    /// <summary>As they are.</summary>
    Raw,

    /// <summary>Less their lifetime mean, over their lifetime deviation, through tanh (Luketina et al. 2022).</summary>
    Normalized,
}

/// <summary>How the meta-gradient gets through the learner's K steps.</summary>
public enum DifferentiationKind
{
    /// <summary>Reverse mode through all of them.</summary>
    Reverse,

    /// <summary>Reverse mode through the last of them.</summary>
    Truncated,

    /// <summary>Forward mode.</summary>
    Forward,

    /// <summary>Reverse mode without second derivatives of the learner's loss in its parameters.</summary>
    FirstOrder,
}

/// <summary>A bounded entropy weight, low + (high − low)·sigmoid(·).</summary>
public sealed record EntropyWeightSettings
{
    [Description("Whether the weight is meta-learned; otherwise it stays at its initial value.")]
    public bool Learned { get; init; } = true;

    [Description(
        "Weight at the start; between low and high. The papers start at 0.5. With method \"fixed\", the weight of the whole run."
    )]
    [Range(0, 100)]
    public double Initial { get; init; } = 0.5;

    [Description("Lower bound. 0 in both papers.")]
    [Range(0, 100)]
    public double Low { get; init; }

    [Description("Upper bound. 1 in both papers.")]
    [Range(0, 100)]
    public double High { get; init; } = 1;
}

/// <summary>A further hyper-parameter that is meta-learned, from where the learner's own setting has it.</summary>
public sealed record LearnedSettings
{
    [Description(
        "Which: of agent \"actor-critic\" \"discount\", \"traceDecay\", \"valueWeight\", \"learningRate\" or \"gradientClip\". It starts at the learner's setting of that name, which lies between low and high."
    )]
    [RegularExpression("^[A-Za-z][A-Za-z0-9]*$")]
    public string Name { get; init; } = "discount";

    [Description("Lower bound.")]
    [Range(0, 1000)]
    public double Low { get; init; }

    [Description("Upper bound.")]
    [Range(0, 1000)]
    public double High { get; init; } = 1;

    [Description(
        "Only of \"learningRate\" with parameters \"scalar\", which is learned in the logarithm: whether its meta-gradient is divided by the rate itself, so that a small rate moves as readily as a large one (after hypergradient descent, Baydin et al. 2018)."
    )]
    public bool Divided { get; init; }
}

/// <summary>A bounded rate of exploration ε, low + (high − low)·sigmoid(·).</summary>
public sealed record ExplorationSettings
{
    [Description("ε at the start; between low and high. 0.5 in CMG. With method \"fixed\", ε of the whole run.")]
    [Range(0, 1)]
    public double Initial { get; init; } = 0.5;

    [Description("Lower bound. 0 in CMG.")]
    [Range(0, 1)]
    public double Low { get; init; }

    [Description("Upper bound. 1 in CMG.")]
    [Range(0, 1)]
    public double High { get; init; } = 1;
}

/// <summary>The meta-parameters w and how they learn.</summary>
public sealed record MetaSettings
{
    [Description(
        "\"bmg\", bootstrapped meta-gradients (BMG); \"mg\", meta-gradients of the learner's own loss (Xu, van Hasselt and Silver, NeurIPS 2018); \"fixed\", no meta-learning."
    )]
    public MetaMethod Method { get; init; } = MetaMethod.Bmg;

    [Description(
        "\"scalar\", one number through a sigmoid; \"network\", a network from context to that number. With \"scalar\" the settings of network and context are ignored."
    )]
    public MetaParameterKind Parameters { get; init; } = MetaParameterKind.Scalar;

    [Description("Widths of the meta-network's hidden layers. [64, 64] in CMG; [128, 128] for q-lambda.")]
    [Length(0, 16)]
    [Range(1, 65536)]
    public IReadOnlyList<int> Hidden { get; init; } = [64, 64];

    [Description("Non-linearity of the meta-network's hidden layers. \"relu\" in both papers.")]
    public Activation Activation { get; init; } = Activation.Relu;

    [Description(
        "Steps of pre-training the meta-network on uniform inputs to put out the initial value (CMG). Unit: gradient steps."
    )]
    [Range(0, 1_000_000)]
    public int PretrainingSteps { get; init; } = 500;

    [Description(
        "How the meta-gradient gets through the learner's innerSteps: \"reverse\", memory grows with them; \"truncated\", through the last truncateAfter of them; \"forward\", the same numbers as reverse with memory that does not grow, for few meta-parameters (time grows with their number); \"first-order\", without second derivatives."
    )]
    public DifferentiationKind Differentiation { get; init; } = DifferentiationKind.Reverse;

    [Description("Steps that differentiation \"truncated\", which alone uses it, reaches back.")]
    [Range(1, 10_000)]
    public int TruncateAfter { get; init; } = 1;

    [Description(
        "Hyper-parameters that are meta-learned beside the entropy weight, or ε: each a number of its own, or all of them outputs of one network."
    )]
    [Length(0, 16)]
    public IReadOnlyList<LearnedSettings> HyperParameters { get; init; } = [];

    [Description("The weight of the entropy term; only agent \"actor-critic\" has one.")]
    public EntropyWeightSettings EntropyWeight { get; init; } = new();

    [Description("The meta-learned rate of exploration; only agent \"q-lambda\" has one.")]
    public ExplorationSettings Exploration { get; init; } = new();

    [Description(
        "What the meta-network sees: \"none\"; \"reward\", the mean rewards of the last contextLength rollouts, or for q-lambda the last rewards; \"rich\", means and deviations of reward, value and TD error of these rollouts, or for q-lambda the last rewards, q(s, a) and TD errors (CMG)."
    )]
    public ContextKind Context { get; init; } = ContextKind.None;

    [Description(
        "What the meta-network sees of each of these rollouts, feature by feature, by name, with the settings of each; where there are some, they stand in place of context. Agent \"q-lambda\" has context alone."
    )]
    [PartOf("context feature", "reward")]
    [Length(0, 64)]
    public IReadOnlyList<Part> Features { get; init; } = [];

    [Description("Rollouts in the context, or for q-lambda steps. 10 in both papers; 100 for q-lambda.")]
    [Range(1, 10_000)]
    public int ContextLength { get; init; } = 10;

    [Description(
        "\"raw\", numbers as they are; \"normalized\", by their lifetime mean and deviation, then tanh (CMG)."
    )]
    public ContextScaling ContextScaling { get; init; } = ContextScaling.Raw;

    [Description("Step size of the meta-optimizer, Adam. Sweep of CMG: 1e-3, 1e-4, 1e-5, 1e-6.")]
    [Range(0, 1000, MinimumIsExclusive = true)]
    public double LearningRate { get; init; } = 1e-4;

    [Description("Decay of Adam's first moment. 0.9 in CMG.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Beta1 { get; init; } = 0.9;

    [Description("Decay of Adam's second moment. 0.999 in CMG.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Beta2 { get; init; } = 0.999;

    [Description("Adam's epsilon. 1e-4 in CMG, which is of the meta-gradient's own size.")]
    [Range(0, 1, MinimumIsExclusive = true)]
    public double Epsilon { get; init; } = 1e-4;

    [Description("Largest norm of a member's meta-gradient, longer ones are shortened to it; null for no limit.")]
    [Range(0, 1e9, MinimumIsExclusive = true)]
    public double? GradientClip { get; init; }

    [Description(
        "Weight of the entropy term in the outer loss of method \"mg\", which alone uses it. Sweep of CMG: 0, 0.1."
    )]
    [Range(0, 100)]
    public double OuterEntropyWeight { get; init; }
}
