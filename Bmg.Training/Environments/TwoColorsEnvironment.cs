namespace Bmg.Training.Environments;

/// <summary>
/// Two-colors: a 5 × 5 grid with an agent, a blue and a red square. Stepping on one color earns +1, on the other −1, any other step −0.04;
/// the two swap every so many steps. One endless stream (Flennerhag et al. 2022, section 5.1; Luketina et al. 2022). A reset places all
/// three anew and leaves the count of steps as it is, so that the colors swap by the stream's steps.
/// </summary>
public sealed class TwoColorsEnvironment : IPhasedEnvironment
{
    /// <summary>Cells along a side.</summary>
    public const int Side = 5;

    /// <summary>Cells in all.</summary>
    public const int Cells = Side * Side;

    /// <summary>Features of an observation: for agent, blue and red a one-hot x and a one-hot y.</summary>
    public const int ObservationSize = 3 * 2 * Side;

    /// <summary>What a step costs that collects nothing.</summary>
    public const float StepReward = -0.04f;

    private readonly Respawn _respawn;
    private readonly long _swapPeriod;
    private int _agent;
    private int _blue;
    private int _red;
    private long _steps;

    /// <summary>Two-colors with these settings.</summary>
    public TwoColorsEnvironment(TwoColorsSettings settings)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.SwapPeriod);
        (_respawn, _swapPeriod) = (settings.Respawn, settings.SwapPeriod);
    }

    /// <summary>What two-colors shows and takes.</summary>
    public static EnvironmentDescription Kind { get; } =
        new(
            ObservationSpace.Named([
                .. from thing in new[] { "agent", "blue", "red" }
                from axis in new[] { "x", "y" }
                from position in Enumerable.Range(0, Side)
                select $"{thing}.{axis}={position}",
            ]),
            ActionSpace.Of("up", "down", "left", "right")
        )
        {
            Saves = true,
            Renders = true,
        };

    /// <inheritdoc/>
    public EnvironmentDescription Description => Kind;

    /// <summary>Whether blue is worth +1 now; red then is worth −1.</summary>
    public bool BlueIsGood => _steps / _swapPeriod % 2 == 0;

    /// <inheritdoc/>
    public void Reset(Rng random, Span<float> observation)
    {
        Place(random);
        Observe(_agent, _blue, _red, observation);
    }

    /// <inheritdoc/>
    /// <remarks>A move into the wall leaves the agent where it is.</remarks>
    public StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        Kind.Actions.Require(action);
        var reward = Act(random, action.Index);
        Observe(_agent, _blue, _red, observation);
        return new StepResult(reward);
    }

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => Period.Ends(_swapPeriod, after, until);

    /// <inheritdoc/>
    public IReadOnlyList<string> Phases { get; } = ["blue +1", "red +1"];

    /// <inheritdoc/>
    public int PhaseAt(long steps) => (int)(steps / _swapPeriod % 2);

    /// <inheritdoc/>
    /// <remarks>A period that no play outlasts keeps the colors as they are; one that starts a period in has red as the good one.</remarks>
    public IEnvironment At(int phase) =>
        new TwoColorsEnvironment(new TwoColorsSettings { Respawn = _respawn, SwapPeriod = long.MaxValue / 4 })
        {
            _steps = phase == 0 ? 0 : long.MaxValue / 4,
        };

    float[] IEnvironment.AllObservations() => AllObservations();

    /// <inheritdoc/>
    public void Save(BinaryWriter writer)
    {
        writer.Write(_agent);
        writer.Write(_blue);
        writer.Write(_red);
        writer.Write(_steps);
    }

    /// <inheritdoc/>
    public void Restore(BinaryReader reader)
    {
        int agent = reader.ReadInt32(),
            blue = reader.ReadInt32(),
            red = reader.ReadInt32();
        var steps = reader.ReadInt64();
        if (
            (uint)agent >= Cells
            || (uint)blue >= Cells
            || (uint)red >= Cells
            || agent == blue
            || agent == red
            || blue == red
            || steps < 0
        )
        {
            throw new ArgumentException(
                $"TwoColorsEnvironment.Restore: expected three distinct cells in 0 … {Cells - 1} and steps of at least 0, found agent {agent}, blue {blue}, red {red}, steps {steps}.",
                nameof(reader)
            );
        }

        (_agent, _blue, _red, _steps) = (agent, blue, red, steps);
    }

    /// <summary>The grid, a line a row: @ the agent, b and r the squares; then which of them is worth +1.</summary>
    public string Render() =>
        GridText.Draw(
            Side,
            Side,
            cell =>
                cell == _agent ? '@'
                : cell == _blue ? 'b'
                : cell == _red ? 'r'
                : '.'
        ) + $"{(BlueIsGood ? "blue +1, red -1" : "blue -1, red +1")}, step {_steps}";

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

    private float Act(Rng random, int action)
    {
        var blueIsGood = BlueIsGood;
        int x = _agent % Side,
            y = _agent / Side;
        (x, y) = action switch
        {
            0 => (x, Math.Max(y - 1, 0)),
            1 => (x, Math.Min(y + 1, Side - 1)),
            2 => (Math.Max(x - 1, 0), y),
            _ => (Math.Min(x + 1, Side - 1), y),
        };
        _agent = y * Side + x;
        _steps++;
        if (_agent != _blue && _agent != _red)
        {
            return StepReward;
        }

        var onBlue = _agent == _blue;
        if (_respawn == Respawn.All)
        {
            Place(random);
        }
        else if (onBlue)
        {
            _blue = FreeCell(random, _agent, _red);
        }
        else
        {
            _red = FreeCell(random, _agent, _blue);
        }

        return onBlue == blueIsGood ? 1f : -1f;
    }

    private void Place(Rng random)
    {
        _agent = random.Next(Cells);
        _blue = random.Next(Cells - 1);
        _blue += _blue >= _agent ? 1 : 0;
        _red = FreeCell(random, _agent, _blue);
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

    /// <summary>A cell drawn uniformly from those that are neither <paramref name="a"/> nor <paramref name="b"/>.</summary>
    private static int FreeCell(Rng random, int a, int b)
    {
        var cell = random.Next(Cells - 2);
        cell += cell >= Math.Min(a, b) ? 1 : 0;
        return cell + (cell >= Math.Max(a, b) ? 1 : 0);
    }
}
