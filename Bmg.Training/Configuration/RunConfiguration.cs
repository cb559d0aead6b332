using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Configuration;

/// <summary>Where tensors live.</summary>
public enum DeviceKind
{
    /// <summary>The processor.</summary>
    Cpu,

    /// <summary>The first CUDA device.</summary>
    Cuda,
}

/// <summary>
/// Everything that determines a run, as given: defaults stand at the declarations, meaning, unit, range and source in the attributes, which
/// are also what the reader checks and the published schema says. Parts stand by name, each with settings of its own. A <see cref="RangeAttribute"/> on a list holds for each of its elements,
/// a <see cref="LengthAttribute"/> for their count. "BMG" is Flennerhag et al., Bootstrapped Meta-Learning, ICLR 2022; "CMG" is Luketina
/// et al., Meta-Gradients in Non-Stationary Environments, CoLLAs 2022. What follows from these settings is in <see cref="DerivedSettings"/>.
/// </summary>
public sealed record RunConfiguration
{
    /// <summary>What <see cref="Name"/> may look like: parts of letters, digits, '.', '_' and '-', separated by '/'.</summary>
    public const string NamePattern = "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$(?!\n)";

    [Description("Name of the run; its directory is runs/<name>-<date>-<time>.")]
    [RegularExpression(NamePattern)]
    public string Name { get; init; } = "run";

    [Description("What the run is for, in a sentence; shown in the report.")]
    public string Description { get; init; } = "";

    [Description(
        "Seed of the first member; member i, counted from 0, has seed + i. All randomness of a member comes from its seed. All seeds are below 2^53."
    )]
    [Range(0, 9007199254740991.0)]
    public long Seed { get; init; } = 1;

    [Description(
        "Members of the population: independent learners, one seed each. The papers average 10 (CMG, table 1)."
    )]
    [Range(1, 10000)]
    public int Members { get; init; } = 10;

    [Description(
        "Seed of each member, each once, in place of seed and members, which then follow from it: its first, and how many there are. Empty for seed, seed + 1, …."
    )]
    [Length(0, 10000)]
    [Range(0, 9007199254740991.0)]
    public IReadOnlyList<long> Seeds { get; init; } = [];

    [Description(
        "Length of the run. Unit: that of the experiment, of each member: environment steps, summed over its copies (learner.copies), or examples of supervised training. The papers run 10 million environment steps (BMG 5.1; CMG, table 1)."
    )]
    [Range(1, 1e12)]
    public long EnvironmentSteps { get; init; } = 10_000_000;

    [Description("Where tensors live.")]
    public DeviceKind Device { get; init; } = DeviceKind.Cpu;

    [Description("Threads of the tensor library; 0 takes all cores.")]
    [Range(0, 1024)]
    public int Threads { get; init; }

    [Description(
        "What is done: an experiment by name, and its settings. \"reinforcement-learning\": an agent learns in an environment. \"supervised\": a network learns from examples."
    )]
    [PartOf("experiment", "reinforcement-learning")]
    public Part Experiment { get; init; } = Part.Unbound("experiment", "reinforcement-learning");

    [Description(
        "The environment that is learned in, by name, and its settings. Only experiment \"reinforcement-learning\" uses it."
    )]
    [PartOf("environment", "two-colors")]
    public Part Environment { get; init; } = Part.Unbound("environment", "two-colors");

    [Description(
        "Wrappers of the environment, by name, with the settings of each; the first stands next to the environment, the last next to the agent."
    )]
    [PartOf("wrapper", "time-limit")]
    [Length(0, 16)]
    public IReadOnlyList<Part> Wrappers { get; init; } = [];

    [Description(
        "The learner: an agent by name, and its settings. Only experiment \"reinforcement-learning\" uses it."
    )]
    [PartOf("agent", "actor-critic", Key = "agent")]
    public Part Learner { get; init; } = Part.Unbound("agent", "actor-critic");

    [Description(
        "The target bootstrap ξ, by name, and its settings. Only experiment \"reinforcement-learning\" with method \"bmg\" uses it."
    )]
    [PartOf("target", "look-ahead")]
    public Part Target { get; init; } = Part.Unbound("target", "look-ahead");

    [Description("The matching function: how far the learner is from its target. Only method \"bmg\" uses it.")]
    public MatchingSettings Matching { get; init; } = new();

    [Description("What is meta-learned, and how.")]
    public MetaSettings Meta { get; init; } = new();

    [Description("What the run writes, and how often, and what ends it.")]
    public RecordingSettings Run { get; init; } = new();
}
