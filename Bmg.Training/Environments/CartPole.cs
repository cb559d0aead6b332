namespace Bmg.Training.Environments;

/// <summary>
/// A pole to balance on a cart that is pushed left or right (Barto, Sutton and Anderson 1983), by the rules and constants of Gymnasium's
/// CartPole-v1: gravity 9.8 m/s², cart 1 kg, pole 0.1 kg and 1 m long, a push of 10 N for 0.02 s, Euler's method in double precision. Every
/// step earns 1, the last one too. An episode starts with each of the four numbers uniform in ±0.05; it is terminated beyond ±2.4 m or
/// ±12°, and truncated after <see cref="CartPoleSettings.Steps"/>.
/// </summary>
public sealed class CartPole : IEnvironment
{
    private const double Gravity = 9.8;
    private const double CartMass = 1;
    private const double PoleMass = 0.1;
    private const double TotalMass = CartMass + PoleMass;
    private const double HalfLength = 0.5;
    private const double Push = 10;
    private const double Interval = 0.02;
    private const double FarthestPosition = 2.4;
    private const double SteepestAngle = 12 * 2 * Math.PI / 360;

    private readonly int _limit;
    private double _position;
    private double _velocity;
    private double _angle;
    private double _spin;
    private int _steps;

    /// <summary>CartPole with these settings.</summary>
    public CartPole(CartPoleSettings settings)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(settings.Steps);
        _limit = settings.Steps;
    }

    /// <summary>What CartPole shows (m, m/s, rad, rad/s; the angle is 0 upright and positive to the right) and takes.</summary>
    public static EnvironmentDescription Kind { get; } =
        new(
            ObservationSpace.Named("position", "velocity", "angle", "angular velocity"),
            ActionSpace.Of("left", "right")
        )
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
        _position = Start(random);
        _velocity = Start(random);
        _angle = Start(random);
        _spin = Start(random);
        _steps = 0;
        Observe(observation);
    }

    /// <inheritdoc/>
    public StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        Kind.Actions.Require(action);
        var (sine, cosine) = Math.SinCos(_angle);
        var pushed = ((action.Index == 1 ? Push : -Push) + PoleMass * HalfLength * (_spin * _spin) * sine) / TotalMass;
        var turn =
            (Gravity * sine - cosine * pushed) / (HalfLength * (4.0 / 3.0 - PoleMass * (cosine * cosine) / TotalMass));
        var acceleration = pushed - PoleMass * HalfLength * turn * cosine / TotalMass;
        _position += Interval * _velocity;
        _velocity += Interval * acceleration;
        _angle += Interval * _spin;
        _spin += Interval * turn;
        _steps++;
        Observe(observation);
        var fell = Math.Abs(_position) > FarthestPosition || Math.Abs(_angle) > SteepestAngle;
        return new StepResult(1, Terminated: fell, Truncated: !fell && _steps >= _limit);
    }

    /// <inheritdoc/>
    public void Save(BinaryWriter writer)
    {
        writer.Write(_position);
        writer.Write(_velocity);
        writer.Write(_angle);
        writer.Write(_spin);
        writer.Write(_steps);
    }

    /// <inheritdoc/>
    public void Restore(BinaryReader reader)
    {
        double position = reader.ReadDouble(),
            velocity = reader.ReadDouble(),
            angle = reader.ReadDouble(),
            spin = reader.ReadDouble();
        var steps = reader.ReadInt32();
        if (!double.IsFinite(position + velocity + angle + spin) || steps < 0 || steps > _limit)
        {
            throw new ArgumentException(
                $"CartPole.Restore: expected finite numbers and 0 … {_limit} steps, found position {position}, velocity {velocity}, angle {angle}, angular velocity {spin}, steps {steps}.",
                nameof(reader)
            );
        }

        (_position, _velocity, _angle, _spin, _steps) = (position, velocity, angle, spin, steps);
    }

    /// <summary>The track with the cart (=) and its pole, and the numbers.</summary>
    public string Render()
    {
        const int Width = 49;
        var cart = (int)Math.Round((_position / FarthestPosition + 1) / 2 * (Width - 1));
        var pole =
            _angle < -SteepestAngle / 4 ? '\\'
            : _angle > SteepestAngle / 4 ? '/'
            : '|';
        return GridText.Draw(
                Width,
                2,
                cell =>
                    cell % Width != cart ? (cell < Width ? ' ' : '-')
                    : cell < Width ? pole
                    : '='
            ) + $"position {_position:F2} m, angle {_angle * 180 / Math.PI:F1} degrees, step {_steps}";
    }

    private static double Start(Rng random) => -0.05 + 0.1 * random.NextDouble();

    private void Observe(Span<float> observation)
    {
        observation[0] = (float)_position;
        observation[1] = (float)_velocity;
        observation[2] = (float)_angle;
        observation[3] = (float)_spin;
    }
}
