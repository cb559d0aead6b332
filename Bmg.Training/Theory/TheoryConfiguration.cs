using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Configuration;

namespace Bmg.Training.Theory;

/// <summary>Losses whose shape is known, so that what meta-learning does with them can be judged.</summary>
public enum ProblemKind
{
    /// <summary>½xᵀHx with eigenvalues from 1/κ to 1, spaced by equal ratios.</summary>
    Quadratic,

    /// <summary>c·((1 − x₀)² + b(x₁ − x₀²)²), b such that the Hessian at the minimum has the condition number κ, c such that its largest eigenvalue is 1.</summary>
    Rosenbrock,
}

/// <summary>Matching functions of the studies.</summary>
public enum MatchKind
{
    /// <summary>½‖x̃ − x‖² over the parameters.</summary>
    L2,

    /// <summary>KL of the Gaussian model N(ρ(x), 1) whose negative log-likelihood is the loss ½‖ρ(x)‖²: ½‖ρ(x̃) − ρ(x)‖².</summary>
    Kl,
}

/// <summary>Which learning rates are meta-learned.</summary>
public enum RateKind
{
    /// <summary>One for all coordinates.</summary>
    One,

    /// <summary>One for each coordinate.</summary>
    PerCoordinate,
}

/// <summary>Optimizers of the meta-parameters.</summary>
public enum MetaOptimizerKind
{
    /// <summary>Plain gradient steps.</summary>
    Sgd,

    /// <summary>Adam, β = (0.9, 0.999), ε = 1e-8.</summary>
    Adam,
}

/// <summary>The learner's rates: low + (high − low)·σ(w), w being what is meta-learned.</summary>
public sealed record RateSettings
{
    [Description("\"one\" rate for all coordinates, or one \"per-coordinate\".")]
    public RateKind Kind { get; init; } = RateKind.One;

    [Description(
        "Where every rate starts. The largest curvature is 1, so that 2 is where gradient descent stops converging."
    )]
    [Range(0, 1e9)]
    public double Initial { get; init; } = 0.1;

    [Description("Lower bound.")]
    [Range(0, 1e9)]
    public double Low { get; init; }

    [Description("Upper bound.")]
    [Range(0, 1e9)]
    public double High { get; init; } = 2;
}

/// <summary>How the meta-parameters learn.</summary>
public sealed record MetaRateSettings
{
    [Description("\"adam\" or \"sgd\".")]
    public MetaOptimizerKind Optimizer { get; init; } = MetaOptimizerKind.Adam;

    [Description("Its learning rate.")]
    [Range(1e-12, 1e12)]
    public double LearningRate { get; init; } = 0.03;
}

/// <summary>
/// One study: a learner descends a known loss under rates that it tunes itself, by a plain meta-gradient and by bootstrapped ones, at
/// several condition numbers; then the rates are held fast and a fresh learner descends for several horizons.
/// </summary>
public sealed record TheoryConfiguration
{
    [Description("Name of the study.")]
    [RegularExpression(RunConfiguration.NamePattern)]
    public string Name { get; init; } = "theory";

    [Description("What the study is for, in a sentence.")]
    public string Description { get; init; } = "";

    [Description("The loss: \"quadratic\" or \"rosenbrock\".")]
    public ProblemKind Problem { get; init; } = ProblemKind.Quadratic;

    [Description("Coordinates of x. Rosenbrock's valley has 2.")]
    [Range(2, 64)]
    public int Dimensions { get; init; } = 2;

    [Description("Condition numbers κ, rising. Rosenbrock's valley has none below 18.")]
    [Length(1, 32)]
    [Range(1, 1e9)]
    public IReadOnlyList<double> ConditionNumbers { get; init; } = [1, 10, 100];

    [Description("Learner steps after meta-training at which the loss is measured, rising.")]
    [Length(1, 32)]
    [Range(1, 100_000)]
    public IReadOnlyList<int> Horizons { get; init; } = [1, 4, 16, 64];

    [Description("The condition number at which the loss is shown by horizon; null for the last.")]
    [Range(1, 1e9)]
    public double? HorizonsAt { get; init; }

    [Description(
        "Deviation of the noise that every step's data adds to ρ(x), in the loss ½‖ρ(x) + noise‖². 0 for none."
    )]
    [Range(0, 1e6)]
    public double Noise { get; init; }

    [Description("K: learner steps that the meta-gradient is taken through.")]
    [Range(1, 1000)]
    public int InnerSteps { get; init; } = 1;

    [Description(
        "L: steps that the target looks ahead; one bootstrapped learner for each, and for each matching function."
    )]
    [Length(1, 6)]
    [Range(1, 10_000)]
    public IReadOnlyList<int> TargetSteps { get; init; } = [1, 4, 16];

    [Description("Matching functions: \"l2\", \"kl\".")]
    [Length(1, 2)]
    public IReadOnlyList<MatchKind> Matching { get; init; } = [MatchKind.L2, MatchKind.Kl];

    [Description("Meta-steps of meta-training.")]
    [Range(1, 1_000_000)]
    public int MetaSteps { get; init; } = 400;

    [Description(
        "Learner steps that a learner lives in meta-training; then a fresh one takes over, and the rates stay."
    )]
    [Range(1, 1_000_000)]
    public int LearnerSteps { get; init; } = 64;

    [Description("The learner's rates.")]
    public RateSettings Rate { get; init; } = new();

    [Description("How the rates learn.")]
    public MetaRateSettings Meta { get; init; } = new();

    [Description("Seed of the first repetition; repetition i has seed + i.")]
    [Range(0, 9007199254740991.0)]
    public long Seed { get; init; } = 1;

    [Description("Repetitions, each with starts and rates of its own.")]
    [Range(1, 1000)]
    public int Seeds { get; init; } = 8;
}
