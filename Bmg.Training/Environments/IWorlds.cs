namespace Bmg.Training.Environments;

/// <summary>What an agent must know of a kind of world before there is one.</summary>
/// <param name="Name">Name of the environment, as in "two-colors".</param>
/// <param name="ObservationLayout">Name of each component of an observation, in order.</param>
/// <param name="ActionMeanings">Name of each action, in order.</param>
public sealed record WorldDescription(
    string Name,
    IReadOnlyList<string> ObservationLayout,
    IReadOnlyList<string> ActionMeanings
)
{
    /// <summary>Numbers in an observation.</summary>
    public int ObservationSize => ObservationLayout.Count;

    /// <summary>Number of actions.</summary>
    public int ActionCount => ActionMeanings.Count;

    /// <summary>Whether a frozen policy can be played in it, by "evaluate" and at the end of a run.</summary>
    public bool CanBePlayed { get; init; }
}

/// <summary>
/// The worlds of a population, one a member: endless streams of steps over plain numbers. A member's world depends on its own seed alone,
/// and can be saved and put back. Not thread-safe.
/// </summary>
public interface IWorlds
{
    /// <summary>What they are.</summary>
    WorldDescription Description { get; }

    /// <summary>Number of members.</summary>
    int Members { get; }

    /// <summary>Writes a member's observation, as many numbers as the description says.</summary>
    void Observe(int member, Span<float> observation);

    /// <summary>Lets a member act once; returns the reward.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such action.</exception>
    float Act(int member, int action);

    /// <summary>Steps after the first and up to the second at which the world of every member changes, in order and one by one: there may be very
    /// many.</summary>
    IEnumerable<long> Changes(long after, long until);

    /// <summary>All there is to save of a member.</summary>
    long[] SaveMember(int member);

    /// <summary>Puts a member's world back to what <see cref="SaveMember"/> gave; from there it goes on as it did.</summary>
    /// <exception cref="ArgumentException">These numbers are no state of this world.</exception>
    void RestoreMember(int member, long[] state);
}
