using Bmg.Export.Onnx;

namespace Bmg.Training.Environments;

/// <summary>
/// Switching MDPs (Luketina et al. 2022): N grid worlds, of which another takes its turn every so many steps, drawn uniformly with
/// replacement. In each, every state and action has a reward of its own (50 % zero, 20 % +1, 20 % −1, 10 % uniform in [−1, 1]), earned whether
/// or not the move is stopped, and there are up to so many walls. Four moves; a wall or the edge stops a move. The agent sees where it is and
/// nothing else. One endless stream; a reset places the agent anew in the world whose turn it is. The paper does not print the grid's size;
/// 10 × 10 is ours.
/// </summary>
/// <remarks>A world depends on the seed and the world's index alone, and is drawn when its turn comes: a thousand of them cost no memory, and
/// one that comes back is the same.</remarks>
public sealed class SwitchingMdpsEnvironment : IEnvironment
{
    /// <summary>Up, down, left, right.</summary>
    public const int ActionCount = 4;

    private const int Unreached = -1;

    private readonly Seed _seed;
    private readonly int _worlds;
    private readonly int _side;
    private readonly int _mostWalls;
    private readonly long _period;
    private Grid? _grid;
    private int _world;
    private int _cell;
    private long _steps;

    /// <summary>N worlds.</summary>
    /// <param name="settings">How many, how large and how long.</param>
    /// <param name="seed">They depend on it alone.</param>
    public SwitchingMdpsEnvironment(SwitchingMdpsSettings settings, Seed seed)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.Worlds);
        ArgumentOutOfRangeException.ThrowIfLessThan(settings.Side, 2);
        ArgumentOutOfRangeException.ThrowIfNegative(settings.MostWalls);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(settings.MostWalls, settings.Side * settings.Side - 2);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.SwapPeriod);
        _seed = seed;
        (_worlds, _side, _mostWalls, _period) = (
            settings.Worlds,
            settings.Side,
            settings.MostWalls,
            settings.SwapPeriod
        );
        Description = Describe(settings.Side);
    }

    /// <inheritdoc/>
    public EnvironmentDescription Description { get; }

    /// <inheritdoc/>
    public float[]? AllObservations() => OneHotLayout.All(Description.Observation.Names);

    private Grid Current =>
        _grid
        ?? throw new InvalidOperationException("SwitchingMdpsEnvironment: there is no world before the first Reset.");

    /// <summary>What switching MDPs of this size show and take.</summary>
    public static EnvironmentDescription Describe(int side) =>
        new(
            ObservationSpace.Named([
                .. from axis in new[] { "x", "y" }
                from position in Enumerable.Range(0, side)
                select $"agent.{axis}={position}",
            ]),
            ActionSpace.Of("up", "down", "left", "right")
        )
        {
            Saves = true,
            Renders = true,
        };

    /// <inheritdoc/>
    public void Reset(Rng random, Span<float> observation)
    {
        if (_grid is null)
        {
            _world = random.Next(_worlds);
            _grid = Draw(_world);
        }

        _cell = FreeCell(_grid, random);
        Observe(observation);
    }

    /// <inheritdoc/>
    public StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        Description.Actions.Require(action);
        var grid = Current;
        var reward = grid.Rewards[_cell * ActionCount + action.Index];
        var next = Neighbour(_cell, action.Index, _side);
        _cell = next != Unreached && !grid.Walls[next] ? next : _cell;
        _steps++;
        if (_steps % _period == 0)
        {
            Switch(random);
        }

        Observe(observation);
        return new StepResult(reward);
    }

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => Period.Ends(_period, after, until);

    /// <inheritdoc/>
    public void Save(BinaryWriter writer)
    {
        _ = Current;
        writer.Write(_world);
        writer.Write(_cell);
        writer.Write(_steps);
    }

    /// <inheritdoc/>
    public void Restore(BinaryReader reader)
    {
        int world = reader.ReadInt32(),
            cell = reader.ReadInt32();
        var steps = reader.ReadInt64();
        var known = (uint)world < (uint)_worlds && (uint)cell < (uint)(_side * _side) && steps >= 0;
        var grid = known ? Draw(world) : null;
        if (grid is null || grid.Walls[cell])
        {
            throw new ArgumentException(
                $"SwitchingMdpsEnvironment.Restore: expected a world in 0 … {_worlds - 1}, a free cell in 0 … {_side * _side - 1} and steps of at least 0, found world {world}, cell {cell}, steps {steps}.",
                nameof(reader)
            );
        }

        (_grid, _world, _cell, _steps) = (grid, world, cell, steps);
    }

    /// <summary>The grid, a line a row: @ the agent, # a wall; then whose turn it is.</summary>
    public string Render()
    {
        var grid = Current;
        return GridText.Draw(
                _side,
                _side,
                cell =>
                    cell == _cell ? '@'
                    : grid.Walls[cell] ? '#'
                    : '.'
            ) + $"world {_world}, step {_steps}";
    }

    private void Observe(Span<float> observation)
    {
        observation.Clear();
        observation[_cell % _side] = 1;
        observation[_side + _cell / _side] = 1;
    }

    /// <summary>The next world takes its turn. The agent stays where it is, unless there is a wall now.</summary>
    private void Switch(Rng random)
    {
        var world = random.Next(_worlds);
        var grid = world == _world ? Current : Draw(world);
        (_grid, _world) = (grid, world);
        _cell = grid.Walls[_cell] ? FreeCell(grid, random) : _cell;
    }

    /// <summary>The world of this index, always the same.</summary>
    private Grid Draw(int world)
    {
        var random = _seed.For($"environment/world {world}").Generator();
        var cells = _side * _side;
        var rewards = new float[cells * ActionCount];
        for (var i = 0; i < rewards.Length; i++)
        {
            var kind = random.NextDouble();
            rewards[i] =
                kind < 0.5 ? 0
                : kind < 0.7 ? 1
                : kind < 0.9 ? -1
                : (float)(2 * random.NextDouble() - 1);
        }

        var grid = new Grid(rewards, new bool[cells]);
        for (var i = 0; i < _mostWalls; i++)
        {
            var cell = FreeCell(grid, random);
            grid.Walls[cell] = true;
            grid.Walls[cell] = IsConnected(grid.Walls, _side);
        }

        return grid;
    }

    private static int FreeCell(Grid grid, Rng random)
    {
        int cell;
        do
        {
            cell = random.Next(grid.Walls.Length);
        } while (grid.Walls[cell]);

        return cell;
    }

    /// <summary>Whether every free cell can be reached from every other.</summary>
    private static bool IsConnected(bool[] walls, int side)
    {
        var start = Array.IndexOf(walls, false);
        if (start < 0)
        {
            return false;
        }

        var reached = new bool[walls.Length];
        var open = new Stack<int>([start]);
        reached[start] = true;
        var count = 1;
        while (open.TryPop(out var cell))
        {
            for (var action = 0; action < ActionCount; action++)
            {
                var next = Neighbour(cell, action, side);
                if (next != Unreached && !walls[next] && !reached[next])
                {
                    reached[next] = true;
                    count++;
                    open.Push(next);
                }
            }
        }

        return count == walls.Count(wall => !wall);
    }

    /// <summary>The cell that a move leads to; <see cref="Unreached"/> over the edge.</summary>
    private static int Neighbour(int cell, int action, int side)
    {
        int x = cell % side,
            y = cell / side;
        return action switch
        {
            0 => y > 0 ? cell - side : Unreached,
            1 => y < side - 1 ? cell + side : Unreached,
            2 => x > 0 ? cell - 1 : Unreached,
            _ => x < side - 1 ? cell + 1 : Unreached,
        };
    }

    /// <summary>A world: [cell · 4 + action] rewards, and walls.</summary>
    private sealed record Grid(float[] Rewards, bool[] Walls);
}
