using Bmg.Export;

namespace Bmg.Training.Experiments;

/// <summary>How the values of a metric within one reporting interval become one number.</summary>
public enum Aggregation
{
    /// <summary>Mean over the meta-steps of the interval, each weighted by its environment steps.</summary>
    Mean,

    /// <summary>Sum over the interval divided by its environment steps: a rate.</summary>
    PerEnvironmentStep,
}

/// <summary>A quantity that an experiment reports after every meta-step, one number a member.</summary>
/// <param name="Name">Key in metrics.jsonl and TensorBoard, camel case ("reward", "entropyWeight").</param>
/// <param name="Label">Axis label in the report ("entropy weight").</param>
/// <param name="Unit">Unit for the axis ("per environment step", "nats"); empty for none.</param>
/// <param name="Aggregation">How an interval is condensed.</param>
public sealed record Metric(string Name, string Label, string Unit, Aggregation Aggregation);

/// <summary>What one meta-step did.</summary>
/// <param name="Steps">Environment steps of each member in this meta-step.</param>
/// <param name="Values">[metric][member], metrics in the order of <see cref="IExperiment.Metrics"/>. A quantity that does not exist in this
/// meta-step (μ where there is no meta-learning) is NaN and is left out of every aggregate.</param>
public sealed record MetaStepReport(int Steps, double[][] Values);

/// <summary>A NaN or an infinity in a loss, a meta-gradient or a policy.</summary>
public sealed class NumericalFailureException : Exception
{
    /// <summary>A number of a member that is not finite.</summary>
    /// <param name="quantity">What went wrong ("policy loss", "meta-gradient", …).</param>
    /// <param name="member">Index of the member in the population.</param>
    /// <param name="seed">Its seed.</param>
    /// <param name="environmentStep">Environment steps of the member when it happened.</param>
    /// <param name="value">The number.</param>
    public NumericalFailureException(string quantity, int member, long seed, long environmentStep, double value)
        : this(
            new FrozenMember(member, seed, quantity, environmentStep),
            FormattableString.Invariant(
                $"{quantity} of {MemberName.Of(member, seed)} became {value} at environment step {environmentStep}. Training stopped (run.whenNotFinite=freeze lets the others go on); the last good checkpoint is kept."
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

/// <summary>
/// A population that learns in an environment: what a run drives, measures, saves and restores. Not thread-safe; a run calls it from one
/// thread only.
/// </summary>
public interface IExperiment : IDisposable
{
    /// <summary>One seed a member.</summary>
    IReadOnlyList<long> Seeds { get; }

    /// <summary>Environment steps that each member has done.</summary>
    long EnvironmentSteps { get; }

    /// <summary>What a meta-step reports; the first is the reward.</summary>
    IReadOnlyList<Metric> Metrics { get; }

    /// <summary>Members that were frozen, in the order of members; none where a number that is not finite ends the run.</summary>
    IReadOnlyList<FrozenMember> Frozen => [];

    /// <summary>Environment steps at which the world changes, after the first and up to the second, for marks in plots: in order and one by one,
    /// since there may be very many.</summary>
    IEnumerable<long> Changes(long after, long until);

    /// <summary>Runs one meta-step.</summary>
    /// <exception cref="NumericalFailureException">A loss, a meta-gradient or a policy is not finite, and members are not frozen; or all members
    /// are frozen.</exception>
    MetaStepReport Advance();

    /// <summary>Writes everything needed to go on, aside first and then renamed over <paramref name="path"/>.</summary>
    /// <param name="path">Checkpoint file.</param>
    /// <param name="hostState">Numbers of the run itself that belong to this moment, given back by <see cref="Restore"/>.</param>
    void Save(string path, string hostState);

    /// <summary>Reads what <see cref="Save"/> wrote; returns its host state.</summary>
    string Restore(string path);
}
