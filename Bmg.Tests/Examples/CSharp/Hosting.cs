using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Numerics.Tensors;
using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Environments;
using Bmg.Training.Hosting;

namespace Bmg.Examples;

/// <summary>Parts of a program that trains: what docs/parts.md shows.</summary>
public static class Hosting
{
    /// <summary>The library's parts and two of one's own, behind the command line.</summary>
    public static int Run(string[] args)
    {
        // region host
        return BmgHost
            .CreateDefault()
            .AddMatchingFunction(
                "half-kl",
                new HalfKlSettings(),
                (s, context) => HalfKl.Of(s.Factor, context.Reduction)
            )
            .AddContextFeature("largest-reward", new LargestRewardSettings(), _ => new LargestReward())
            .Run(args);
        // endregion
    }
}

/// <summary>Settings of the matching function.</summary>
/// <param name="Factor">Factor of KL.</param>
public sealed record HalfKlSettings([property: Description("Factor of KL."), Range(0.0, 1e6)] double Factor = 0.5);

/// <summary>A share of KL.</summary>
public static class HalfKl
{
    /// <summary>So many times KL.</summary>
    public static MatchingFunction Of(double factor, Reduction reduction) =>
        Matching.WeightedSum([factor], [Matching.Kl(reduction)]);
}

/// <summary>A feature without settings.</summary>
public sealed record LargestRewardSettings;

// region largest-reward
/// <summary>A context feature: the largest reward of a rollout.</summary>
public sealed class LargestReward : IContextFeature
{
    public IReadOnlyList<string> Names(EnvironmentDescription world, IReadOnlyList<string> hyperParameters) =>
        ["largest reward"];

    public void Write(ContextView view, Span<double> numbers) =>
        numbers[0] = view.Rewards.IsEmpty ? 0 : TensorPrimitives.Max(view.Rewards);
}
// endregion
