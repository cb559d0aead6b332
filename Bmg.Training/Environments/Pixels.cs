namespace Bmg.Training.Environments;

/// <summary>
/// A small pixel world, 10 × 10 with four channels: a paddle of three columns on the lowest row moves one column a step; one thing at a time
/// falls from the highest, a row a step. A fruit caught earns 1; a fruit missed, or a stone caught, terminates the episode. So its return
/// counts the fruits caught. All of them can be: a fall takes nine steps. The next thing falls from a column drawn uniformly. Channels:
/// paddle, fruit, stone, and trail, the cell that the thing came from.
/// </summary>
public sealed class Pixels : IEnvironment
{
    /// <summary>Cells along a side.</summary>
    public const int Side = 10;

    private const int Channels = 4;
    private const int Cells = Side * Side;

    /// <summary>Columns of the paddle to each side of its middle.</summary>
    private const int Reach = 1;

    private const float Lit = 255;
    private const int None = -1;

    private readonly double _stones;
    private readonly double _drifts;
    private readonly int _limit;
    private int _paddle;
    private int _column;
    private int _row;
    private int _drift;
    private int _trail = None;
    private bool _stone;
    private int _steps;

    /// <summary>The pixel world with these settings.</summary>
    public Pixels(PixelsSettings settings)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.Steps);
        (_stones, _drifts, _limit) = (settings.Stones, settings.Drift, settings.Steps);
    }

    /// <summary>What the pixel world shows and takes.</summary>
    public static EnvironmentDescription Kind { get; } =
        new(ObservationSpace.Image(Channels, Side, Side), ActionSpace.Of("stay", "left", "right"))
        {
            Ends = true,
            Saves = true,
            Renders = true,
        };

    /// <inheritdoc/>
    public EnvironmentDescription Description => Kind;

    /// <inheritdoc/>
    public void Reset(Rng random, Span<float> observation)
    {
        _paddle = Reach + random.Next(Side - 2 * Reach);
        _steps = 0;
        Drop(random);
        Observe(observation);
    }

    /// <inheritdoc/>
    public StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        Kind.Actions.Require(action);
        _paddle = action.Index switch
        {
            1 => Math.Max(_paddle - 1, Reach),
            2 => Math.Min(_paddle + 1, Side - 1 - Reach),
            _ => _paddle,
        };
        Fall();
        _steps++;
        var lost = false;
        var reward = 0f;
        if (_row == Side - 1)
        {
            var caught = Math.Abs(_column - _paddle) <= Reach;
            lost = caught == _stone;
            reward = caught && !_stone ? 1 : 0;
            if (!lost)
            {
                Drop(random);
            }
        }

        Observe(observation);
        return new StepResult(reward, Terminated: lost, Truncated: !lost && _steps >= _limit);
    }

    /// <inheritdoc/>
    public void Save(BinaryWriter writer)
    {
        writer.Write(_paddle);
        writer.Write(_column);
        writer.Write(_row);
        writer.Write(_drift);
        writer.Write(_trail);
        writer.Write(_stone);
        writer.Write(_steps);
    }

    /// <inheritdoc/>
    public void Restore(BinaryReader reader)
    {
        int paddle = reader.ReadInt32(),
            column = reader.ReadInt32(),
            row = reader.ReadInt32(),
            drift = reader.ReadInt32(),
            trail = reader.ReadInt32();
        var stone = reader.ReadBoolean();
        var steps = reader.ReadInt32();
        if (
            paddle is < Reach or >= Side - Reach
            || (uint)column >= Side
            || (uint)row >= Side
            || Math.Abs((long)drift) > 1
            || trail is < None or >= Side
            || (trail == None) != (row == 0)
            || steps < 0
            || steps > _limit
        )
        {
            throw new ArgumentException(
                $"Pixels.Restore: expected a paddle in {Reach} … {Side - 1 - Reach}, columns and rows in 0 … {Side - 1}, a drift of −1, 0 or 1, a trail below the highest row and 0 … {_limit} steps, found paddle {paddle}, column {column}, row {row}, drift {drift}, trail {trail}, steps {steps}.",
                nameof(reader)
            );
        }

        (_paddle, _column, _row, _drift, _trail, _stone, _steps) = (paddle, column, row, drift, trail, stone, steps);
    }

    /// <summary>The picture, a line a row: = the paddle, o a fruit, x a stone, ' its trail.</summary>
    public string Render() =>
        GridText.Draw(
            Side,
            Side,
            cell =>
                cell == _row * Side + _column ? (_stone ? 'x' : 'o')
                : Math.Abs(cell - (Side - 1) * Side - _paddle) <= Reach ? '='
                : _trail != None && cell == (_row - 1) * Side + _trail ? '\''
                : '.'
        ) + $"step {_steps}";

    /// <summary>The next thing appears on the highest row.</summary>
    private void Drop(Rng random)
    {
        _column = random.Next(Side);
        _row = 0;
        _trail = None;
        _stone = random.NextDouble() < _stones;
        _drift =
            random.NextDouble() >= _drifts ? 0
            : random.Next(2) == 0 ? -1
            : 1;
    }

    private void Fall()
    {
        _trail = _column;
        _row++;
        if ((uint)(_column + _drift) >= Side)
        {
            _drift = -_drift;
        }

        _column += _drift;
    }

    private void Observe(Span<float> observation)
    {
        observation.Clear();
        observation.Slice((Side - 1) * Side + _paddle - Reach, 2 * Reach + 1).Fill(Lit);
        observation[(_stone ? 2 : 1) * Cells + _row * Side + _column] = Lit;
        if (_trail != None)
        {
            observation[3 * Cells + (_row - 1) * Side + _trail] = Lit;
        }
    }
}
