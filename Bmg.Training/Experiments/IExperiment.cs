using Bmg.Training.Acting;
using Bmg.Training.Agents;

namespace Bmg.Training.Experiments;

/// <summary>
/// A population that learns: what a run drives, measures, saves and restores. Not thread-safe; a run calls it from one
/// thread only.
/// </summary>
public interface IExperiment : IDisposable
{
    /// <summary>One seed a member.</summary>
    IReadOnlyList<long> Seeds { get; }

    /// <summary>What its length counts, a plural (see <see cref="Units"/>).</summary>
    string Unit => Units.EnvironmentSteps;

    /// <summary>How far each member is, in the experiment's unit.</summary>
    long EnvironmentSteps { get; }

    /// <summary>What a meta-step reports; the first is what members are judged by, the more the better.</summary>
    IReadOnlyList<Metric> Metrics { get; }

    /// <summary>Members that were frozen, in the order of members; none where a number that is not finite ends the run.</summary>
    IReadOnlyList<FrozenMember> Frozen => [];

    /// <summary>Where the world changes, after the first and up to the second, for marks in plots: in order and one by one,
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
