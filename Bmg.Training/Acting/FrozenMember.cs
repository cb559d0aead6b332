using Bmg.Export;

namespace Bmg.Training.Acting;

/// <summary>
/// A member whose numbers stopped being finite, and that was frozen there: its parameters are the last good ones, it acts and learns no more,
/// and what it would report is NaN.
/// </summary>
/// <param name="Member">Index of the member in the population.</param>
/// <param name="Seed">Its seed.</param>
/// <param name="Quantity">What was not finite.</param>
/// <param name="EnvironmentStep">How far it was, in the unit of the experiment.</param>
public sealed record FrozenMember(int Member, long Seed, string Quantity, long EnvironmentStep)
{
    /// <summary>What is counted, a plural.</summary>
    public string Unit { get; init; } = Units.EnvironmentSteps;

    /// <inheritdoc/>
    public override string ToString() =>
        FormattableString.Invariant(
            $"{MemberName.Of(Member, Seed)} frozen at {Units.One(Unit)} {EnvironmentStep}: {Quantity} was not finite"
        );
}
