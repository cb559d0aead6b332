namespace Bmg.Training.Environments;

/// <summary>All there is to save and restore of one member's switching worlds.</summary>
/// <param name="World">Index of the current world.</param>
/// <param name="Cell">Cell of the agent, row · side + column.</param>
/// <param name="Steps">Steps taken so far.</param>
/// <param name="Random">State of the stream that draws the next worlds and places the agent.</param>
public readonly record struct SwitchingMdpsState(int World, int Cell, long Steps, ulong Random);

/// <summary>
/// The switching MDPs of a population (Luketina et al. 2022): N grid worlds a member, of which another takes its turn every so many steps, drawn
/// uniformly with replacement. In each, every state and action has a reward of its own (50 % zero, 20 % +1, 20 % −1, 10 % uniform in
/// [−1, 1]), earned whether or not the move is stopped, and there are up to so many walls. Four moves; a wall or the edge stops a move. The
/// agent sees where it is and nothing else. The paper does not print the grid's size; 10 × 10 is ours.
/// </summary>
/// <remarks>A world depends on the member's seed and the world's index alone, and is drawn when its turn comes: a thousand of them cost no
/// memory, and one that comes back is the same.</remarks>
public sealed class SwitchingMdps : IWorlds
{
    /// <summary>Up, down, left, right.</summary>
    public const int ActionCount = 4;

    private const int Unreached = -1;

    private readonly Seed[] _seeds;
    private readonly SwitchingMdpsState[] _members;
    private readonly Grid[] _current;
    private readonly int _worlds;
    private readonly int _side;
    private readonly int _mostWalls;
    private readonly long _period;

    /// <summary>N worlds a seed; they depend on that seed alone.</summary>
    /// <param name="seeds">One a member.</param>
    /// <param name="worlds">N, positive.</param>
    /// <param name="side">Cells along a side of the grid, at least 2.</param>
    /// <param name="mostWalls">Walls that are tried; fewer than there are cells but one. One that would cut free cells off from each other is
    /// left out.</param>
    /// <param name="period">Steps between switches; positive.</param>
    public SwitchingMdps(IReadOnlyList<Seed> seeds, int worlds, int side, int mostWalls, long period)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worlds);
        ArgumentOutOfRangeException.ThrowIfLessThan(side, 2);
        ArgumentOutOfRangeException.ThrowIfNegative(mostWalls);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(mostWalls, side * side - 2);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(period);
        _seeds = [.. seeds];
        (_worlds, _side, _mostWalls, _period) = (worlds, side, mostWalls, period);
        Description = Describe(side);
        _members = new SwitchingMdpsState[_seeds.Length];
        _current = new Grid[_seeds.Length];
        for (var member = 0; member < _members.Length; member++)
        {
            var random = _seeds[member].For("environment").Generator();
            var world = random.Next(worlds);
            _current[member] = Draw(member, world);
            _members[member] = new SwitchingMdpsState(world, FreeCell(_current[member], random), 0, random.State);
        }
    }

    /// <inheritdoc/>
    public WorldDescription Description { get; }

    /// <inheritdoc/>
    public int Members => _members.Length;

    /// <summary>What switching MDPs of this size are.</summary>
    public static WorldDescription Describe(int side) =>
        new(
            "switching-mdps",
            [
                .. from axis in new[] { "x", "y" }
                from position in Enumerable.Range(0, side)
                select $"agent.{axis}={position}",
            ],
            ["up", "down", "left", "right"]
        );

    /// <summary>What to save of a member.</summary>
    public SwitchingMdpsState GetState(int member) => _members[member];

    /// <summary>Whether a cell of a member's current world is a wall.</summary>
    public bool IsWall(int member, int cell) => _current[member].Walls[cell];

    /// <summary>The reward of an action at a cell of a member's current world.</summary>
    public float RewardOf(int member, int cell, int action) => _current[member].Rewards[cell * ActionCount + action];

    /// <inheritdoc/>
    public void Observe(int member, Span<float> observation)
    {
        var cell = _members[member].Cell;
        observation.Clear();
        observation[cell % _side] = 1;
        observation[_side + cell / _side] = 1;
    }

    /// <inheritdoc/>
    public float Act(int member, int action)
    {
        ref var state = ref _members[member];
        var grid = _current[member];
        var reward = grid.Rewards[state.Cell * ActionCount + CheckedAction(action)];
        var next = Neighbour(state.Cell, action, _side);
        state = state with
        {
            Cell = next != Unreached && !grid.Walls[next] ? next : state.Cell,
            Steps = state.Steps + 1,
        };
        if (state.Steps % _period == 0)
        {
            Switch(member);
        }

        return reward;
    }

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => Period.Ends(_period, after, until);

    /// <inheritdoc/>
    public long[] SaveMember(int member)
    {
        var state = _members[member];
        return [state.World, state.Cell, state.Steps, unchecked((long)state.Random)];
    }

    /// <inheritdoc/>
    public void RestoreMember(int member, long[] state)
    {
        var cells = _side * _side;
        if (
            state.Length != 4
            || state[0] < 0
            || state[0] >= _worlds
            || state[1] < 0
            || state[1] >= cells
            || state[2] < 0
        )
        {
            throw Refused(state);
        }

        var grid = Draw(member, (int)state[0]);
        if (grid.Walls[state[1]])
        {
            throw Refused(state);
        }

        _current[member] = grid;
        _members[member] = new SwitchingMdpsState((int)state[0], (int)state[1], state[2], unchecked((ulong)state[3]));
    }

    private ArgumentException Refused(long[] state) =>
        new(
            $"SwitchingMdps.RestoreMember: expected a world in 0 … {_worlds - 1}, a free cell in 0 … {_side * _side - 1}, steps and a generator's state, found [{string.Join(", ", state)}].",
            nameof(state)
        );

    private static int CheckedAction(int action) =>
        action is >= 0 and < ActionCount
            ? action
            : throw new ArgumentOutOfRangeException(nameof(action), action, "expected 0 … 3");

    /// <summary>The next world takes its turn. The agent stays where it is, unless there is a wall now.</summary>
    private void Switch(int member)
    {
        ref var state = ref _members[member];
        var random = new Rng(state.Random);
        var world = random.Next(_worlds);
        var grid = world == state.World ? _current[member] : Draw(member, world);
        _current[member] = grid;
        state = state with
        {
            World = world,
            Cell = grid.Walls[state.Cell] ? FreeCell(grid, random) : state.Cell,
            Random = random.State,
        };
    }

    /// <summary>The world of this index, always the same.</summary>
    private Grid Draw(int member, int world)
    {
        var random = _seeds[member].For($"environment/world {world}").Generator();
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
