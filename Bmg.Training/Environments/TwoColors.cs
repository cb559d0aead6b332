namespace Bmg.Training.Environments;

/// <summary>Which squares move when the agent steps on one.</summary>
public enum Respawn
{
    /// <summary>The collected square moves to a random free cell (Flennerhag et al. 2022).</summary>
    Square,

    /// <summary>The agent and both squares are placed anew (Luketina et al. 2022).</summary>
    All,
}

/// <summary>All there is to save and restore of one member's world.</summary>
/// <param name="Agent">Cell of the agent, row · 5 + column.</param>
/// <param name="Blue">Cell of the blue square.</param>
/// <param name="Red">Cell of the red square.</param>
/// <param name="Steps">Steps taken so far; decides which color is worth +1.</param>
/// <param name="Random">State of the world's own generator.</param>
public readonly record struct TwoColorsState(int Agent, int Blue, int Red, long Steps, ulong Random);

/// <summary>
/// The two-colors worlds of a population: a 5 × 5 grid with an agent, a blue and a red square. Stepping on one color earns +1, on the other
/// −1, any other step −0.04; the two swap every so many steps. One endless stream a member, no episodes (Flennerhag et al. 2022, section
/// 5.1; Luketina et al. 2022). Plain arrays and numbers; each member has its own generator, so a population is its members one by one.
/// </summary>
public sealed class TwoColors : IWorlds
{
    /// <summary>Cells along a side.</summary>
    public const int Side = 5;

    /// <summary>Cells in all.</summary>
    public const int Cells = Side * Side;

    /// <summary>Features of an observation: for agent, blue and red a one-hot x and a one-hot y.</summary>
    public const int ObservationSize = 3 * 2 * Side;

    /// <summary>Up, down, left, right.</summary>
    public const int ActionCount = 4;

    /// <summary>What a step costs that collects nothing.</summary>
    public const float StepReward = -0.04f;

    private readonly TwoColorsState[] _members;
    private readonly Respawn _respawn;
    private readonly long _swapPeriod;

    /// <summary>One world a seed; the world's stream depends on that seed alone.</summary>
    /// <param name="seeds">One a member.</param>
    /// <param name="respawn">Which squares move when one is collected.</param>
    /// <param name="swapPeriod">Steps between swaps of the two rewards; positive.</param>
    public TwoColors(IReadOnlyList<Seed> seeds, Respawn respawn, long swapPeriod)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(swapPeriod);
        _respawn = respawn;
        _swapPeriod = swapPeriod;
        _members = new TwoColorsState[seeds.Count];
        for (var i = 0; i < _members.Length; i++)
        {
            var random = seeds[i].For("environment").Generator();
            _members[i] = Place(random, 0);
        }
    }

    /// <summary>Name of each component of an observation, in order.</summary>
    public static IReadOnlyList<string> ObservationLayout { get; } =
    [
        .. from thing in new[] { "agent", "blue", "red" }
        from axis in new[] { "x", "y" }
        from position in Enumerable.Range(0, Side)
        select $"{thing}.{axis}={position}",
    ];

    /// <summary>Name of each action, in order.</summary>
    public static IReadOnlyList<string> ActionMeanings { get; } = ["up", "down", "left", "right"];

    /// <summary>What two-colors is.</summary>
    public static WorldDescription Kind { get; } =
        new("two-colors", ObservationLayout, ActionMeanings) { CanBePlayed = true };

    /// <inheritdoc/>
    public WorldDescription Description => Kind;

    /// <summary>Number of members.</summary>
    public int Members => _members.Length;

    /// <summary>What to save of a member.</summary>
    public TwoColorsState GetState(int member) => _members[member];

    /// <summary>Puts a member's world back to a saved state; from there it goes on as it did.</summary>
    /// <exception cref="ArgumentException">The state is none of this world: a cell out of range, or two things on one cell.</exception>
    public void SetState(int member, TwoColorsState state)
    {
        if (
            (uint)state.Agent >= Cells
            || (uint)state.Blue >= Cells
            || (uint)state.Red >= Cells
            || state.Agent == state.Blue
            || state.Agent == state.Red
            || state.Blue == state.Red
            || state.Steps < 0
        )
        {
            throw new ArgumentException(
                $"TwoColors.SetState: expected three distinct cells in 0 … {Cells - 1}, found {state}.",
                nameof(state)
            );
        }

        _members[member] = state;
    }

    /// <inheritdoc/>
    public long[] SaveMember(int member)
    {
        var state = _members[member];
        return [state.Agent, state.Blue, state.Red, state.Steps, unchecked((long)state.Random)];
    }

    /// <inheritdoc/>
    public void RestoreMember(int member, long[] state)
    {
        if (state.Length != 5)
        {
            throw new ArgumentException(
                $"TwoColors.RestoreMember: expected 5 numbers, found {state.Length}.",
                nameof(state)
            );
        }

        // Cells out of int's range are refused like any other that is off the grid.
        int Cell(long cell) => cell is >= 0 and < Cells ? (int)cell : -1;
        SetState(
            member,
            new TwoColorsState(Cell(state[0]), Cell(state[1]), Cell(state[2]), state[3], unchecked((ulong)state[4]))
        );
    }

    /// <summary>Whether blue is worth +1 to a member at this moment (red then is worth −1).</summary>
    public bool BlueIsGood(int member) => _members[member].Steps / _swapPeriod % 2 == 0;

    /// <summary>Steps after the first and up to the second at which the rewards swap.</summary>
    public IEnumerable<long> Changes(long after, long until) => Period.Ends(_swapPeriod, after, until);

    /// <summary>Writes a member's observation: 30 numbers, six of them 1.</summary>
    public void Observe(int member, Span<float> observation) =>
        Observe(_members[member].Agent, _members[member].Blue, _members[member].Red, observation);

    /// <summary>Every observation there can be: 25 · 24 · 23 placements of three things on distinct cells, row after row.</summary>
    public static float[] AllObservations()
    {
        var all = new float[Cells * (Cells - 1) * (Cells - 2) * ObservationSize];
        var row = 0;
        for (var agent = 0; agent < Cells; agent++)
        {
            for (var blue = 0; blue < Cells; blue++)
            {
                for (var red = 0; red < Cells; red++)
                {
                    if (agent != blue && agent != red && blue != red)
                    {
                        Observe(agent, blue, red, all.AsSpan(row++ * ObservationSize, ObservationSize));
                    }
                }
            }
        }

        return all;
    }

    /// <summary>Moves a member's agent and returns the reward.</summary>
    /// <param name="member">Index of the member.</param>
    /// <param name="action">0 up, 1 down, 2 left, 3 right; a move into the wall leaves the agent where it is.</param>
    public float Act(int member, int action)
    {
        ref var world = ref _members[member];
        var blueIsGood = BlueIsGood(member);
        int x = world.Agent % Side,
            y = world.Agent / Side;
        (x, y) = action switch
        {
            0 => (x, Math.Max(y - 1, 0)),
            1 => (x, Math.Min(y + 1, Side - 1)),
            2 => (Math.Max(x - 1, 0), y),
            3 => (Math.Min(x + 1, Side - 1), y),
            _ => throw new ArgumentOutOfRangeException(nameof(action), action, "expected 0 … 3"),
        };
        world = world with { Agent = y * Side + x, Steps = world.Steps + 1 };
        if (world.Agent != world.Blue && world.Agent != world.Red)
        {
            return StepReward;
        }

        var onBlue = world.Agent == world.Blue;
        var random = new Rng(world.Random);
        if (_respawn == Respawn.All)
        {
            world = Place(random, world.Steps);
        }
        else if (onBlue)
        {
            world = world with { Blue = FreeCell(random, world.Agent, world.Red), Random = random.State };
        }
        else
        {
            world = world with { Red = FreeCell(random, world.Agent, world.Blue), Random = random.State };
        }

        return onBlue == blueIsGood ? 1f : -1f;
    }

    private static void Observe(int agent, int blue, int red, Span<float> observation)
    {
        observation.Clear();
        observation[agent % Side] = 1;
        observation[Side + agent / Side] = 1;
        observation[2 * Side + blue % Side] = 1;
        observation[3 * Side + blue / Side] = 1;
        observation[4 * Side + red % Side] = 1;
        observation[5 * Side + red / Side] = 1;
    }

    private static TwoColorsState Place(Rng random, long steps)
    {
        var agent = random.Next(Cells);
        var blue = random.Next(Cells - 1);
        blue += blue >= agent ? 1 : 0;
        var red = FreeCell(random, agent, blue);
        return new TwoColorsState(agent, blue, red, steps, random.State);
    }

    /// <summary>A cell drawn uniformly from those that are neither <paramref name="a"/> nor <paramref name="b"/>.</summary>
    private static int FreeCell(Rng random, int a, int b)
    {
        var cell = random.Next(Cells - 2);
        cell += cell >= Math.Min(a, b) ? 1 : 0;
        return cell + (cell >= Math.Max(a, b) ? 1 : 0);
    }
}
