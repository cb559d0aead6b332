using Bmg.Training.Environments;

namespace Bmg.Training.Acting;

/// <summary>
/// Something that a meta-network sees of each rollout: one number or several, of one member. The last H of each make the context
/// (<see cref="RecentContext"/>). It has no state: what it knows is in the view, so that a resumed run goes on as it would have.
/// </summary>
public interface IContextFeature
{
    /// <summary>Whether it needs <see cref="ContextView.StepCosine"/>, for which two more copies of the parameters are kept.</summary>
    bool ComparesSteps => false;

    /// <summary>What each of its numbers is ("mean reward").</summary>
    /// <param name="world">Where the members learn.</param>
    /// <param name="hyperParameters">Names of the hyper-parameters that are learned, in order.</param>
    IReadOnlyList<string> Names(EnvironmentDescription world, IReadOnlyList<string> hyperParameters);

    /// <summary>What it expects of a world and does not find; null where it can be used.</summary>
    string? Lacks(EnvironmentDescription world) => null;

    /// <summary>Writes its numbers, as many as it has names.</summary>
    /// <param name="view">One member's last rollout.</param>
    /// <param name="numbers">Where to.</param>
    void Write(ContextView view, Span<double> numbers);
}

/// <summary>A feature of a context did what it must not. Exit code 1.</summary>
/// <param name="message">The feature, the member, what was found and what was expected.</param>
/// <param name="cause">What it threw.</param>
public sealed class ContextFeatureException(string message, Exception? cause = null)
    : OperationException(message, cause);
