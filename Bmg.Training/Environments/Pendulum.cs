namespace Bmg.Training.Environments;

/// <summary>
/// A pendulum to swing up and hold upright by a bounded torque, by the rules and constants of Gymnasium's Pendulum-v1: a rod of 1 kg and
/// 1 m, torque within ±2 N·m, speed within ±8 rad/s, 0.05 s a step, semi-implicit Euler in double precision. A step earns
/// −(θ² + 0.1·θ̇² + 0.001·u²), θ in [−π, π) and 0 upright, of the state before the step. An episode starts with θ uniform in ±π and θ̇ in
/// ±1; it never terminates and is truncated after <see cref="PendulumSettings.Steps"/>.
/// </summary>
public sealed class Pendulum : IEnvironment
{
    private const float MostTorque = 2;
    private const double MostSpeed = 8;
    private const double Interval = 0.05;
    private const double Mass = 1;
    private const double Length = 1;

    private readonly int _limit;
    private readonly double _gravity;
    private double _angle;
    private double _speed;
    private int _steps;

    /// <summary>A pendulum with these settings.</summary>
    public Pendulum(PendulumSettings settings)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.Steps);
        (_limit, _gravity) = (settings.Steps, settings.Gravity);
    }

    /// <summary>What the pendulum shows (cos θ, sin θ, θ̇ in rad/s) and takes (torque in N·m).</summary>
    public static EnvironmentDescription Kind { get; } =
        new(
            ObservationSpace.Named("cosine", "sine", "speed"),
            ActionSpace.OfBounded(new Bounded("torque", -MostTorque, MostTorque))
        )
        {
            Ends = true,
            Saves = true,
            Renders = true,
        };

    /// <inheritdoc/>
    public EnvironmentDescription Description => Kind;

    /// <summary>θ in [−π, π).</summary>
    private double Normalized => _angle - 2 * Math.PI * Math.Floor((_angle + Math.PI) / (2 * Math.PI));

    /// <inheritdoc/>
    public void Reset(Rng random, Span<float> observation)
    {
        _angle = Math.PI * (2 * random.NextDouble() - 1);
        _speed = 2 * random.NextDouble() - 1;
        _steps = 0;
        Observe(observation);
    }

    /// <inheritdoc/>
    public StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        Kind.Actions.Require(action);
        double torque = action.Values[0],
            angle = Normalized;
        var cost = angle * angle + 0.1 * (_speed * _speed) + 0.001 * (torque * torque);
        var acceleration = 3 * _gravity / (2 * Length) * Math.Sin(_angle) + 3 / (Mass * Length * Length) * torque;
        _speed = Math.Clamp(_speed + acceleration * Interval, -MostSpeed, MostSpeed);
        _angle += _speed * Interval;
        _steps++;
        Observe(observation);
        return new StepResult((float)-cost, Truncated: _steps >= _limit);
    }

    /// <inheritdoc/>
    public void Save(BinaryWriter writer)
    {
        writer.Write(_angle);
        writer.Write(_speed);
        writer.Write(_steps);
    }

    /// <inheritdoc/>
    public void Restore(BinaryReader reader)
    {
        double angle = reader.ReadDouble(),
            speed = reader.ReadDouble();
        var steps = reader.ReadInt32();
        if (!double.IsFinite(angle) || !(Math.Abs(speed) <= MostSpeed) || steps < 0 || steps > _limit)
        {
            throw new ArgumentException(
                $"Pendulum.Restore: expected a finite angle, a speed within ±{MostSpeed} and 0 … {_limit} steps, found angle {angle}, speed {speed}, steps {steps}.",
                nameof(reader)
            );
        }

        (_angle, _speed, _steps) = (angle, speed, steps);
    }

    /// <summary>The rod (o) from its joint (+), and the numbers.</summary>
    public string Render()
    {
        const int Radius = 4;
        int x = Radius - (int)Math.Round(Radius * Math.Sin(_angle)),
            y = Radius - (int)Math.Round(Radius * Math.Cos(_angle));
        const int Side = 2 * Radius + 1;
        return GridText.Draw(
                Side,
                Side,
                cell =>
                    cell == y * Side + x ? 'o'
                    : cell == Radius * Side + Radius ? '+'
                    : '.'
            ) + $"angle {Normalized * 180 / Math.PI:F1} degrees, speed {_speed:F2} rad/s, step {_steps}";
    }

    private void Observe(Span<float> observation)
    {
        observation[0] = (float)Math.Cos(_angle);
        observation[1] = (float)Math.Sin(_angle);
        observation[2] = (float)_speed;
    }
}
