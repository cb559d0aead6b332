using System.Diagnostics.CodeAnalysis;

namespace Bmg.Training.Environments;

/// <summary>What one step of an environment gives, beside the observation.</summary>
/// <param name="Reward">What the action earned.</param>
/// <param name="Terminated">Whether the episode is over since nothing can follow: no reward is to be expected from here on.</param>
/// <param name="Truncated">Whether the episode was cut off though it could go on, by a limit of time say: the value of the last observation
/// still counts.</param>
public readonly record struct StepResult(float Reward, bool Terminated = false, bool Truncated = false)
{
    /// <summary>Whether the episode is over, for whatever reason.</summary>
    public bool Ended => Terminated || Truncated;
}

/// <summary>An action, as an environment receives it.</summary>
public readonly ref struct EnvironmentAction
{
    private EnvironmentAction(ReadOnlySpan<int> indices, ReadOnlySpan<float> values)
    {
        Indices = indices;
        Values = values;
    }

    /// <summary>Of one discrete action: its index.</summary>
    public int Index => Indices[0];

    /// <summary>Of several discrete actions at once: the index of each.</summary>
    public int this[int action] => Indices[action];

    /// <summary>Of discrete actions: all indices; empty for continuous ones.</summary>
    public ReadOnlySpan<int> Indices { get; }

    /// <summary>Of continuous actions: their values, each within its bounds.</summary>
    public ReadOnlySpan<float> Values { get; }

    /// <summary>Discrete actions, one index each; of one alone, a span of one.</summary>
    public static EnvironmentAction Of(ReadOnlySpan<int> indices) => new(indices, []);

    /// <summary>Continuous actions.</summary>
    public static EnvironmentAction Of(ReadOnlySpan<float> values) => new([], values);
}

/// <summary>An environment of several problems that take turns, each of which can be played by itself with what was learned.</summary>
public interface IPhasedEnvironment : IEnvironment
{
    /// <summary>Name of each problem, in the order of their first turns.</summary>
    IReadOnlyList<string> Phases { get; }

    /// <summary>The index of the problem whose turn it is after so many steps of the stream.</summary>
    int PhaseAt(long steps);

    /// <summary>Another environment of the same settings that stays at one problem.</summary>
    IEnvironment At(int phase);
}

/// <summary>
/// One stream of experience over plain numbers: what somebody writes to bring a problem of their own. It knows nothing of tensors, seeds or
/// populations. Its owner makes as many as are needed, hands each the generator that is its only source of chance, and calls it from one
/// thread at a time. Members with a default are options: <see cref="EnvironmentDescription"/> says which of them it has.
/// </summary>
public interface IEnvironment
{
    /// <summary>What it shows and takes; the same for its whole life.</summary>
    EnvironmentDescription Description { get; }

    /// <summary>Starts an episode, the first or the next.</summary>
    /// <param name="random">Its only source of chance; its state is saved beside the environment's.</param>
    /// <param name="observation">Written: as many numbers as the description says, row-major.</param>
    void Reset(Rng random, Span<float> observation);

    /// <summary>Acts once. Not called after an end before <see cref="Reset"/>.</summary>
    /// <param name="random">As in <see cref="Reset"/>.</param>
    /// <param name="action">One that the description allows.</param>
    /// <param name="observation">Written: where the step led, the last one of an episode included.</param>
    [SuppressMessage("Naming", "CA1716", Justification = "The field's word; C# and F# do not reserve it.")]
    StepResult Step(Rng random, EnvironmentAction action, Span<float> observation);

    /// <summary>Writes its fields, all that a stream needs to go on as it would have; with <see cref="EnvironmentDescription.Saves"/>.</summary>
    void Save(BinaryWriter writer) => throw new NotSupportedException($"{GetType().Name} cannot be saved.");

    /// <summary>Reads what <see cref="Save"/> wrote, in another instance of the same settings.</summary>
    /// <remarks>What is short may be left to the reader's own <see cref="EndOfStreamException"/>.</remarks>
    /// <exception cref="ArgumentException">These bytes are no state of this environment.</exception>
    void Restore(BinaryReader reader) => throw new NotSupportedException($"{GetType().Name} cannot be restored.");

    /// <summary>Writes which actions are allowed now, one entry a choice, at least one of each discrete action true; with
    /// <see cref="EnvironmentDescription.Masks"/>.</summary>
    void Mask(Span<bool> allowed) => allowed.Fill(true);

    /// <summary>Steps of the stream after the first and up to the second at which the problem changes, in order and one by one: there may be
    /// very many. The steps are those of one copy, and the step with which a stream goes from the end of an episode to the next counts: an
    /// environment that keeps time adds one in <see cref="Reset"/> as well, but for the first.</summary>
    IEnumerable<long> Changes(long after, long until) => [];

    /// <summary>Every observation that there can be, row after row; null where there are too many to list.</summary>
    float[]? AllObservations() => null;

    /// <summary>The present state as text; with <see cref="EnvironmentDescription.Renders"/>.</summary>
    string Render() => throw new NotSupportedException($"{GetType().Name} does not render.");
}
