namespace Bmg.Training.Environments;

/// <summary>
/// Lamps to switch on: two discrete actions at once, and some not allowed at times. Each hand has so many lamps, and at each step toggles one
/// of them or none; a switch just pressed rests for a step, and cannot be pressed. A lamp switched on earns 1, one switched off −1, and each
/// step costs 0.1. An episode starts with lamps on or off at random, at least one off; it is terminated when all are on, and truncated after
/// <see cref="TogglesSettings.Steps"/>.
/// </summary>
public sealed class Toggles : IEnvironment
{
    private const double StepCost = 0.1;

    private static readonly string[] Hands = ["left", "right"];

    private readonly int _lamps;
    private readonly int _limit;
    private readonly bool[] _lit;
    private readonly bool[] _rests;
    private int _steps;

    /// <summary>Toggles with these settings.</summary>
    public Toggles(TogglesSettings settings)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.Lamps);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.Steps);
        (_lamps, _limit) = (settings.Lamps, settings.Steps);
        _lit = new bool[Hands.Length * _lamps];
        _rests = new bool[_lit.Length];
        Description = Describe(_lamps);
    }

    /// <inheritdoc/>
    public EnvironmentDescription Description { get; }

    /// <summary>What toggles of this size show and take.</summary>
    public static EnvironmentDescription Describe(int lamps)
    {
        var numbers = Enumerable.Range(1, lamps).Select(lamp => $"{lamp}");
        return new EnvironmentDescription(
            ObservationSpace.Named([
                .. from what in new[] { "lit", "rests" }
                from hand in Hands
                from number in numbers
                select $"{hand}.{number} {what}",
            ]),
            ActionSpace.OfSeveral([.. Hands.Select(hand => new Choice(hand, ["none", .. numbers]))])
        )
        {
            Ends = true,
            Saves = true,
            Masks = true,
            Renders = true,
        };
    }

    /// <inheritdoc/>
    public void Reset(Rng random, Span<float> observation)
    {
        do
        {
            for (var i = 0; i < _lit.Length; i++)
            {
                _lit[i] = random.Next(2) == 1;
            }
        } while (!_lit.Contains(false));

        _rests.AsSpan().Clear();
        _steps = 0;
        Observe(observation);
    }

    /// <inheritdoc/>
    /// <exception cref="ArgumentOutOfRangeException">A switch that rests.</exception>
    public StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        Description.Actions.Require(action);
        for (var hand = 0; hand < Hands.Length; hand++)
        {
            if (action[hand] > 0 && _rests[Lamp(hand, action[hand])])
            {
                throw new ArgumentOutOfRangeException(
                    nameof(action),
                    $"action {hand} ({Hands[hand]}): switch {action[hand]} rests, expected one that is allowed"
                );
            }
        }

        _rests.AsSpan().Clear();
        var reward = -StepCost;
        for (var hand = 0; hand < Hands.Length; hand++)
        {
            if (action[hand] > 0)
            {
                var lamp = Lamp(hand, action[hand]);
                _lit[lamp] = !_lit[lamp];
                _rests[lamp] = true;
                reward += _lit[lamp] ? 1 : -1;
            }
        }

        _steps++;
        Observe(observation);
        var done = !_lit.Contains(false);
        return new StepResult((float)reward, Terminated: done, Truncated: !done && _steps >= _limit);
    }

    /// <inheritdoc/>
    public void Mask(Span<bool> allowed)
    {
        for (var hand = 0; hand < Hands.Length; hand++)
        {
            var choices = allowed.Slice(hand * (_lamps + 1), _lamps + 1);
            choices[0] = true;
            for (var choice = 1; choice <= _lamps; choice++)
            {
                choices[choice] = !_rests[Lamp(hand, choice)];
            }
        }
    }

    /// <inheritdoc/>
    public void Save(BinaryWriter writer)
    {
        for (var i = 0; i < _lit.Length; i++)
        {
            writer.Write(_lit[i]);
            writer.Write(_rests[i]);
        }

        writer.Write(_steps);
    }

    /// <inheritdoc/>
    public void Restore(BinaryReader reader)
    {
        var lamps = new byte[2 * _lit.Length];
        reader.ReadExactly(lamps);
        var steps = reader.ReadInt32();
        if (lamps.Any(lamp => lamp > 1) || steps < 0 || steps > _limit)
        {
            throw new ArgumentException(
                $"Toggles.Restore: expected {lamps.Length} lamps and switches, each 0 or 1, and 0 … {_limit} steps, found [{string.Join(", ", lamps)}] and {steps} steps.",
                nameof(reader)
            );
        }

        for (var i = 0; i < _lit.Length; i++)
        {
            _lit[i] = lamps[2 * i] == 1;
            _rests[i] = lamps[2 * i + 1] == 1;
        }

        _steps = steps;
    }

    /// <summary>A line a hand: * a lamp that is on, . one that is off.</summary>
    public string Render() => GridText.Draw(_lamps, Hands.Length, lamp => _lit[lamp] ? '*' : '.') + $"step {_steps}";

    private int Lamp(int hand, int choice) => hand * _lamps + choice - 1;

    private void Observe(Span<float> observation)
    {
        for (var i = 0; i < _lit.Length; i++)
        {
            observation[i] = _lit[i] ? 1 : 0;
            observation[_lit.Length + i] = _rests[i] ? 1 : 0;
        }
    }
}
