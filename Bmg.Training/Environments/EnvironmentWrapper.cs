using System.Diagnostics.CodeAnalysis;

namespace Bmg.Training.Environments;

/// <summary>An environment over another: whatever a wrapper does not say otherwise is the inner one's, its options included.</summary>
/// <remarks>A wrapper with fields of its own writes them before the inner one's, and reads them in that order.</remarks>
/// <param name="inner">What is wrapped.</param>
public abstract class EnvironmentWrapper(IEnvironment inner) : IEnvironment
{
    /// <summary>What is wrapped.</summary>
    protected internal IEnvironment Inner { get; } = inner;

    /// <inheritdoc/>
    public virtual EnvironmentDescription Description => Inner.Description;

    /// <inheritdoc/>
    public virtual void Reset(Rng random, Span<float> observation) => Inner.Reset(random, observation);

    /// <inheritdoc/>
    [SuppressMessage("Naming", "CA1716", Justification = "As in the interface.")]
    public virtual StepResult Step(Rng random, EnvironmentAction action, Span<float> observation) =>
        Inner.Step(random, action, observation);

    /// <inheritdoc/>
    public virtual void Save(BinaryWriter writer) => Inner.Save(writer);

    /// <inheritdoc/>
    public virtual void Restore(BinaryReader reader) => Inner.Restore(reader);

    /// <inheritdoc/>
    public virtual void Mask(Span<bool> allowed) => Inner.Mask(allowed);

    /// <inheritdoc/>
    public virtual IEnumerable<long> Changes(long after, long until) => Inner.Changes(after, until);

    /// <inheritdoc/>
    public virtual float[]? AllObservations() => Inner.AllObservations();

    /// <inheritdoc/>
    public virtual string Render() => Inner.Render();
}
