using Bmg.Export;

namespace Bmg.Training.Acting;

/// <summary>A NaN or an infinity in a loss, a meta-gradient or a policy.</summary>
public sealed class NumericalFailureException : Exception
{
    /// <summary>A number of a member that is not finite.</summary>
    /// <param name="quantity">What went wrong ("policy loss", "meta-gradient", …).</param>
    /// <param name="member">Index of the member in the population.</param>
    /// <param name="seed">Its seed.</param>
    /// <param name="environmentStep">How far the member was when it happened.</param>
    /// <param name="value">The number.</param>
    /// <param name="unit">What is counted, a plural.</param>
    public NumericalFailureException(
        string quantity,
        int member,
        long seed,
        long environmentStep,
        double value,
        string unit = Units.EnvironmentSteps
    )
        : this(
            new FrozenMember(member, seed, quantity, environmentStep),
            FormattableString.Invariant(
                $"{quantity} of {MemberName.Of(member, seed)} became {value} at {Units.One(unit)} {environmentStep}. Training stopped (run.whenNotFinite=freeze lets the others go on); the last good checkpoint is kept."
            )
        ) { }

    private NumericalFailureException(FrozenMember where, string message)
        : base(message) =>
        (Quantity, Member, Seed, EnvironmentStep) = (where.Quantity, where.Member, where.Seed, where.EnvironmentStep);

    /// <summary>What went wrong ("policy loss", "meta-gradient", …).</summary>
    public string Quantity { get; }

    /// <summary>Index of the member in the population.</summary>
    public int Member { get; }

    /// <summary>Seed of the member.</summary>
    public long Seed { get; }

    /// <summary>Environment steps of the member when it happened.</summary>
    public long EnvironmentStep { get; }

    /// <summary>The end of a population whose members are all frozen.</summary>
    /// <param name="frozen">They, at least one.</param>
    public static NumericalFailureException OfAll(IReadOnlyList<FrozenMember> frozen) =>
        new(
            frozen.MaxBy(mark => mark.EnvironmentStep)!,
            $"No member is left whose numbers are finite: {string.Join("; ", frozen.Take(5))}{(frozen.Count > 5 ? "; …" : "")}. Training stopped; the last good checkpoint is kept."
        );
}
