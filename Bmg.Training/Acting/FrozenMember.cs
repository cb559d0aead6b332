using Bmg.Export;

namespace Bmg.Training.Acting;

/// <summary>
/// A member whose numbers stopped being finite, and that was frozen there: its parameters are the last good ones, it acts and learns no more,
/// and what it would report is NaN.
/// </summary>
/// <param name="Member">Index of the member in the population.</param>
/// <param name="Seed">Its seed.</param>
/// <param name="Quantity">What was not finite.</param>
/// <param name="EnvironmentStep">Environment steps that it had done.</param>
public sealed record FrozenMember(int Member, long Seed, string Quantity, long EnvironmentStep)
{
    /// <inheritdoc/>
    public override string ToString() =>
        FormattableString.Invariant(
            $"{MemberName.Of(Member, Seed)} frozen at environment step {EnvironmentStep}: {Quantity} was not finite"
        );
}
