using System.Numerics;

namespace Bmg.Training.Environments;

/// <summary>How the numbers of an observation are meant.</summary>
public enum ObservationKind
{
    /// <summary>Any finite numbers, float32.</summary>
    Numbers,

    /// <summary>Whole numbers from 0 to 255, stored as bytes and divided by 255 before a network sees them.</summary>
    Bytes,
}

/// <summary>What an environment shows.</summary>
/// <param name="Shape">Axes, outermost first: [4] for four numbers, [channels, height, width] for an image.</param>
public sealed record ObservationSpace(IReadOnlyList<int> Shape)
{
    /// <summary>How its numbers are meant.</summary>
    public ObservationKind Kind { get; init; }

    /// <summary>Name of each number, row-major; empty where they have none.</summary>
    public IReadOnlyList<string> Names { get; init; } = [];

    /// <summary>Numbers in an observation.</summary>
    public int Size => Shape.Aggregate(1, (size, axis) => checked(size * axis));

    /// <summary>What is wrong with an observation; null where nothing is. Cheap where nothing is.</summary>
    internal (string Place, string Found, string Expected)? Flaw(ReadOnlySpan<float> observation)
    {
        var whole = Kind == ObservationKind.Bytes;
        for (var i = Sound(observation, whole); i < observation.Length; i++)
        {
            var value = observation[i];
            if (!float.IsFinite(value))
            {
                return (NameOf(i), $"{value}", "a finite number");
            }

            if (whole && !(value is >= 0 and <= 255 && value == MathF.Floor(value)))
            {
                return (NameOf(i), $"{value:R}", "a whole number in 0 … 255");
            }
        }

        return null;
    }

    /// <summary>How many numbers from the first are certainly as they should be, looked at several at a time.</summary>
    private static int Sound(ReadOnlySpan<float> observation, bool whole)
    {
        var i = 0;
        for (; i <= observation.Length - Vector<float>.Count; i += Vector<float>.Count)
        {
            var values = new Vector<float>(observation[i..]);

            // x - x is 0 for a finite number, and NaN for any other.
            var sound = whole
                ? Vector.GreaterThanOrEqualAll(values, Vector<float>.Zero)
                    && Vector.LessThanOrEqualAll(values, new Vector<float>(255f))
                    && Vector.EqualsAll(values, Vector.Floor(values))
                : Vector.EqualsAll(values - values, Vector<float>.Zero);
            if (!sound)
            {
                break;
            }
        }

        return i;
    }

    /// <summary>How messages call a number of the observation.</summary>
    internal string NameOf(int number) =>
        number < Names.Count ? $"number {number} ({Names[number]})" : $"number {number}";

    /// <summary>Whether both show the same, number by number and name by name.</summary>
    public bool Equals(ObservationSpace? other) =>
        other is not null && Kind == other.Kind && Shape.SequenceEqual(other.Shape) && Names.SequenceEqual(other.Names);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Kind, Shape.Count, Names.Count);

    /// <summary>Its shape and the kind of its numbers.</summary>
    public override string ToString() =>
        $"[{string.Join(", ", Shape)}] {(Kind == ObservationKind.Bytes ? "bytes" : "numbers")}";

    /// <summary>A row of numbers with a name each.</summary>
    public static ObservationSpace Named(params string[] names) => new([names.Length]) { Names = names };

    /// <summary>An image of bytes, channels first.</summary>
    public static ObservationSpace Image(int channels, int height, int width) =>
        new([channels, height, width]) { Kind = ObservationKind.Bytes };
}

/// <summary>A continuous action and its bounds.</summary>
/// <param name="Name">What it is called.</param>
/// <param name="Low">Least value.</param>
/// <param name="High">Greatest value.</param>
public sealed record Bounded(string Name, float Low, float High);

/// <summary>Discrete choices of which one is taken.</summary>
/// <param name="Name">What is chosen ("steer"); empty where there is one such action alone.</param>
/// <param name="Choices">Name of each choice.</param>
public sealed record Choice(string Name, IReadOnlyList<string> Choices)
{
    /// <summary>Whether both are called the same and give the same choices.</summary>
    public bool Equals(Choice? other) =>
        other is not null && Name == other.Name && Choices.SequenceEqual(other.Choices);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Choices.Count);
}

/// <summary>What an environment takes.</summary>
public abstract record ActionSpace
{
    private ActionSpace() { }

    /// <summary>Discrete actions taken at once: as many indices as an action has.</summary>
    public abstract int DiscreteCount { get; }

    /// <summary>Continuous actions taken at once: as many values as an action has.</summary>
    public abstract int ContinuousCount { get; }

    /// <summary>Choices of all discrete actions together: entries of a mask.</summary>
    public int MaskSize
    {
        get
        {
            var size = 0;
            for (var i = 0; i < DiscreteCount; i++)
            {
                size += ChoicesOf(i);
            }

            return size;
        }
    }

    /// <summary>Choices of a discrete action.</summary>
    public abstract int ChoicesOf(int action);

    /// <summary>Refuses an action that is none of these.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An index without a choice, a value beyond its bounds, or too few or too many of
    /// them.</exception>
    public void Require(EnvironmentAction action)
    {
        if (action.Indices.Length != DiscreteCount || action.Values.Length != ContinuousCount)
        {
            throw new ArgumentOutOfRangeException(
                nameof(action),
                $"action: found {action.Indices.Length} indices and {action.Values.Length} values, expected {DiscreteCount} and {ContinuousCount}"
            );
        }

        for (var i = 0; i < DiscreteCount; i++)
        {
            var choices = ChoicesOf(i);
            if ((uint)action[i] >= (uint)choices)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(action),
                    $"action {i}: found {action[i]}, expected 0 … {choices - 1}"
                );
            }
        }

        RequireValues(action.Values);
    }

    /// <summary>Whether a mask allows every index of a discrete action.</summary>
    /// <param name="mask">As <see cref="IEnvironment.Mask"/> writes it.</param>
    /// <param name="action">One of this space.</param>
    public bool Allows(ReadOnlySpan<bool> mask, EnvironmentAction action)
    {
        var first = 0;
        for (var i = 0; i < DiscreteCount; i++)
        {
            if (!mask[first + action[i]])
            {
                return false;
            }

            first += ChoicesOf(i);
        }

        return true;
    }

    /// <summary>The first discrete action that a mask leaves without a choice; −1 where each has one.</summary>
    internal int WithoutChoice(ReadOnlySpan<bool> mask)
    {
        var first = 0;
        for (var i = 0; i < DiscreteCount; i++)
        {
            var choices = ChoicesOf(i);
            if (!mask.Slice(first, choices).Contains(true))
            {
                return i;
            }

            first += choices;
        }

        return -1;
    }

    private protected virtual void RequireValues(ReadOnlySpan<float> values) { }

    /// <summary>One discrete action.</summary>
    /// <param name="Names">Name of each choice.</param>
    public sealed record Discrete(IReadOnlyList<string> Names) : ActionSpace
    {
        /// <inheritdoc/>
        public override int DiscreteCount => 1;

        /// <inheritdoc/>
        public override int ContinuousCount => 0;

        /// <inheritdoc/>
        public override int ChoicesOf(int action) => Names.Count;

        /// <summary>Whether both give the same choices.</summary>
        public bool Equals(Discrete? other) => other is not null && Names.SequenceEqual(other.Names);

        /// <inheritdoc/>
        public override int GetHashCode() => Names.Count;

        /// <inheritdoc/>
        public override string ToString() => $"one of {string.Join(", ", Names)}";
    }

    /// <summary>Several discrete actions at once.</summary>
    /// <param name="Actions">Each with its choices.</param>
    public sealed record Several(IReadOnlyList<Choice> Actions) : ActionSpace
    {
        /// <inheritdoc/>
        public override int DiscreteCount => Actions.Count;

        /// <inheritdoc/>
        public override int ContinuousCount => 0;

        /// <inheritdoc/>
        public override int ChoicesOf(int action) => Actions[action].Choices.Count;

        /// <summary>Whether both have the same actions with the same choices.</summary>
        public bool Equals(Several? other) => other is not null && Actions.SequenceEqual(other.Actions);

        /// <inheritdoc/>
        public override int GetHashCode() => Actions.Count;

        /// <inheritdoc/>
        public override string ToString() =>
            string.Join("; ", Actions.Select(a => $"{a.Name}: one of {string.Join(", ", a.Choices)}"));
    }

    /// <summary>Bounded numbers.</summary>
    /// <param name="Actions">Each with its bounds.</param>
    public sealed record Continuous(IReadOnlyList<Bounded> Actions) : ActionSpace
    {
        /// <inheritdoc/>
        public override int DiscreteCount => 0;

        /// <inheritdoc/>
        public override int ContinuousCount => Actions.Count;

        /// <inheritdoc/>
        public override int ChoicesOf(int action) => 0;

        /// <summary>Whether both have the same actions within the same bounds.</summary>
        public bool Equals(Continuous? other) => other is not null && Actions.SequenceEqual(other.Actions);

        /// <inheritdoc/>
        public override int GetHashCode() => Actions.Count;

        /// <inheritdoc/>
        public override string ToString() => string.Join("; ", Actions.Select(a => $"{a.Name} in {a.Low} … {a.High}"));

        private protected override void RequireValues(ReadOnlySpan<float> values)
        {
            for (var i = 0; i < values.Length; i++)
            {
                var (name, low, high) = Actions[i];
                if (!(values[i] >= low && values[i] <= high))
                {
                    throw new ArgumentOutOfRangeException(
                        nameof(values),
                        $"action {i} ({name}): found {values[i]:R}, expected {low:R} … {high:R}"
                    );
                }
            }
        }
    }

    /// <summary>One discrete action with these choices.</summary>
    public static ActionSpace Of(params string[] names) => new Discrete(names);

    /// <summary>Several discrete actions at once.</summary>
    public static ActionSpace OfSeveral(params Choice[] actions) => new Several(actions);

    /// <summary>Bounded numbers.</summary>
    public static ActionSpace OfBounded(params Bounded[] actions) => new Continuous(actions);
}

/// <summary>What an environment shows and takes, and which of its options it has.</summary>
/// <param name="Observation">What it shows.</param>
/// <param name="Actions">What it takes.</param>
public sealed record EnvironmentDescription(ObservationSpace Observation, ActionSpace Actions)
{
    /// <summary>Whether it has episodes that end; one that has not is an endless stream, which costs less.</summary>
    public bool Ends { get; init; }

    /// <summary>Whether its state can be saved; a stream that cannot be saved is resumed from a fresh episode.</summary>
    public bool Saves { get; init; }

    /// <summary>Whether some actions are not allowed at times.</summary>
    public bool Masks { get; init; }

    /// <summary>Whether it draws itself as text.</summary>
    public bool Renders { get; init; }
}
