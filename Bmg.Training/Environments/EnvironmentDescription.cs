using Bmg.Training.Studies;
using Bmg.Training.Theory;

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

    /// <summary>A row of numbers with a name each.</summary>
    public static ObservationSpace Named(params IReadOnlyList<string> names) => new([names.Count]) { Names = names };

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
public sealed record Choice(string Name, IReadOnlyList<string> Choices);

/// <summary>What an environment takes.</summary>
public abstract record ActionSpace
{
    private ActionSpace() { }

    /// <summary>One discrete action.</summary>
    /// <param name="Names">Name of each choice.</param>
    public sealed record Discrete(IReadOnlyList<string> Names) : ActionSpace;

    /// <summary>Several discrete actions at once.</summary>
    /// <param name="Actions">Each with its choices.</param>
    public sealed record Several(IReadOnlyList<Choice> Actions) : ActionSpace;

    /// <summary>Bounded numbers.</summary>
    /// <param name="Actions">Each with its bounds.</param>
    public sealed record Continuous(IReadOnlyList<Bounded> Actions) : ActionSpace;

    /// <summary>One discrete action with these choices.</summary>
    public static ActionSpace Of(params IReadOnlyList<string> names) => new Discrete(names);

    /// <summary>Several discrete actions at once.</summary>
    public static ActionSpace OfSeveral(params IReadOnlyList<Choice> actions) => new Several(actions);

    /// <summary>Bounded numbers.</summary>
    public static ActionSpace OfBounded(params IReadOnlyList<Bounded> actions) => new Continuous(actions);
}

/// <summary>What an environment shows and takes, and which of its options it has.</summary>
/// <param name="Observation">What it shows.</param>
/// <param name="Actions">What it takes.</param>
public sealed record EnvironmentDescription(ObservationSpace Observation, ActionSpace Actions)
{
    /// <summary>Whether its state can be saved; a stream that cannot be saved is resumed from a fresh episode.</summary>
    public bool Saves { get; init; }

    /// <summary>Whether some actions are not allowed at times.</summary>
    public bool Masks { get; init; }

    /// <summary>Whether it draws itself as text.</summary>
    public bool Renders { get; init; }
}
