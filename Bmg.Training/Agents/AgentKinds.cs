using Bmg.Training.Acting;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;

namespace Bmg.Training.Agents;

/// <summary>Something that breaks a rule between settings.</summary>
/// <param name="Path">The setting, as in "learner.innerSteps".</param>
/// <param name="Found">What was found.</param>
/// <param name="Expected">What was expected.</param>
public readonly record struct BrokenRule(string Path, string Found, string Expected);

/// <summary>A kind of learner, with its settings: what checks a configuration and makes its agent.</summary>
public interface IAgentKind
{
    /// <summary>What in a configuration does not go together with this agent.</summary>
    /// <param name="configuration">Settings, each in its range.</param>
    IEnumerable<BrokenRule> Broken(RunConfiguration configuration) => [];

    /// <summary>Streams of experience of each member.</summary>
    int Copies => 1;

    /// <summary>Memory that it needs in any case; see <see cref="MemoryNeed"/>.</summary>
    IEnumerable<MemoryNeed> Needs(RunConfiguration configuration) => [];

    /// <summary>The agent of a configuration.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="cancellation">Ends whatever its populations are doing, with an OperationCanceledException.</param>
    Agent Create(RunConfiguration configuration, CancellationToken cancellation);
}

/// <summary>Memory that is alive during the whole of a meta-step.</summary>
/// <param name="Setting">The setting that makes it large, first of those in the product.</param>
/// <param name="Product">Where its size comes from, in settings.</param>
/// <param name="Bytes">Its size, for all members.</param>
/// <param name="IsOneTensor">Whether it is one tensor, which has a largest size of its own, and is counted elsewhere.</param>
public readonly record struct MemoryNeed(string Setting, string Product, double Bytes, bool IsOneTensor = false);

/// <summary>What an update rule is made of.</summary>
/// <param name="Loss">What the learner descends.</param>
/// <param name="Optimizer">The learner's optimizer, clipping included.</param>
public sealed record UpdateRuleContext(LossFunction<Rollout> Loss, Optimizer Optimizer);

/// <summary>What a target bootstrap is made of.</summary>
public sealed record TargetContext
{
    /// <summary>L, learner steps that it looks ahead.</summary>
    public required int Steps { get; init; }

    /// <summary>The learner's optimizer, clipping included.</summary>
    public required Optimizer Optimizer { get; init; }

    /// <summary>The learner's whole loss.</summary>
    public required LossFunction<Rollout> Loss { get; init; }

    /// <summary>The policy-gradient loss alone.</summary>
    public required LossFunction<Rollout> PolicyLoss { get; init; }

    /// <summary>A gradient step on one of the two under an optimizer, in closed form where there is one.</summary>
    public required Func<TargetLoss, Optimizer, UpdateRule<Rollout>> Descend { get; init; }
}

/// <summary>What a matching function is made of.</summary>
/// <param name="Reduction">Over states.</param>
/// <param name="Distribution">What the policy's raw outputs mean, which a model puts out under the distribution's own name.</param>
public sealed record MatchingContext(Reduction Reduction, Distribution Distribution);

/// <summary>The kinds of part that agents are made of.</summary>
public static class AgentKinds
{
    /// <summary>Agents.</summary>
    public static PartKind<IAgentKind> Agent { get; } = new("agent", "AddAgent");

    /// <summary>Layers of networks.</summary>
    public static PartKind<AddLayer> Layer { get; } = new("layer", "AddLayer");

    /// <summary>Optimizers of learners.</summary>
    public static PartKind<Optimizer> Optimizer { get; } = new("optimizer", "AddOptimizer");

    /// <summary>Update rules φ.</summary>
    public static PartKind<Func<UpdateRuleContext, UpdateRule<Rollout>>> UpdateRule { get; } =
        new("update rule", "AddUpdateRule");

    /// <summary>Target bootstraps ξ.</summary>
    public static PartKind<Func<TargetContext, TargetBootstrap<Rollout>>> Target { get; } = new("target", "AddTarget");

    /// <summary>Features of contexts.</summary>
    public static PartKind<IContextFeature> Feature { get; } = new("context feature", "AddContextFeature");

    /// <summary>Matching functions μ.</summary>
    public static PartKind<Func<MatchingContext, MatchingFunction>> Matching { get; } =
        new("matching function", "AddMatchingFunction");
}
