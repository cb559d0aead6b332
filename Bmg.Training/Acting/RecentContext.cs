using Bmg.Training.Configuration;

namespace Bmg.Training.Acting;

/// <summary>
/// What the meta-network of each member of a population sees: the last H values of each of F features, feature after feature, oldest first;
/// zeros before there were that many. Features are scaled one by one.
/// </summary>
public sealed class RecentContext
{
    private readonly double[][] _recent;
    private readonly Lifetime[][] _lifetimes;
    private readonly ContextScaling _scaling;

    /// <summary>An empty context.</summary>
    /// <param name="members">Size of the population.</param>
    /// <param name="length">H, values remembered of each feature.</param>
    /// <param name="scaling">How values are scaled.</param>
    /// <param name="features">F.</param>
    public RecentContext(int members, int length, ContextScaling scaling, int features = 1)
    {
        _recent = [.. Enumerable.Range(0, members).Select(_ => new double[features * length])];
        _lifetimes = [.. Enumerable.Range(0, members).Select(_ => new Lifetime[features])];
        _scaling = scaling;
        Length = length;
        Features = features;
    }

    /// <summary>H.</summary>
    public int Length { get; }

    /// <summary>F.</summary>
    public int Features { get; }

    /// <summary>Numbers of a member's context, F · H.</summary>
    public int Size => Features * Length;

    /// <summary>Adds the next value of the only feature.</summary>
    public void Add(int member, double value) => AddEach(member, [value]);

    /// <summary>Adds the next value of each feature, [F].</summary>
    public void AddEach(int member, ReadOnlySpan<double> values)
    {
        if (values.Length != Features)
        {
            throw new ArgumentException(
                $"RecentContext.AddEach: expected {Features} values, found {values.Length}.",
                nameof(values)
            );
        }

        for (var feature = 0; feature < Features; feature++)
        {
            var recent = _recent[member].AsSpan(feature * Length, Length);
            recent[1..].CopyTo(recent);
            recent[^1] = values[feature];
            ref var lifetime = ref _lifetimes[member][feature];
            lifetime = lifetime.With(values[feature]);
        }
    }

    /// <summary>Writes the context of all members, [P, F · H].</summary>
    public void Write(Span<float> context)
    {
        for (var member = 0; member < _recent.Length; member++)
        {
            Write(member, context.Slice(member * Size, Size));
        }
    }

    /// <summary>Writes the context of one member, [F · H].</summary>
    public void Write(int member, Span<float> context)
    {
        var recent = _recent[member];
        for (var feature = 0; feature < Features; feature++)
        {
            var lifetime = _lifetimes[member][feature];
            var unknown = Length - Math.Min(Length, lifetime.Count);
            for (var i = 0; i < Length; i++)
            {
                var value = recent[feature * Length + i];
                if (_scaling == ContextScaling.Normalized)
                {
                    value = i < unknown ? 0 : Math.Tanh((value - lifetime.Mean) / (lifetime.Deviation + 1e-8));
                }

                context[feature * Length + i] = (float)value;
            }
        }
    }

    /// <summary>All there is to save of a member: F · H values, then count, mean and sum of squared deviations of each feature's
    /// lifetime.</summary>
    public double[] GetState(int member) =>
        [.. _recent[member], .. _lifetimes[member].SelectMany(l => new[] { l.Count, l.Mean, l.Squares })];

    /// <summary>The inverse of <see cref="GetState"/>.</summary>
    public void SetState(int member, double[] state)
    {
        if (state.Length != Size + 3 * Features)
        {
            throw new ArgumentException(
                $"RecentContext.SetState: expected {Size + 3 * Features} numbers, found {state.Length}.",
                nameof(state)
            );
        }

        for (var i = 0; i < state.Length; i++)
        {
            // Of each feature's lifetime, count and sum of squares are never negative.
            var negative = i >= Size && (i - Size) % 3 != 1 && state[i] < 0;
            if (!double.IsFinite(state[i]) || negative)
            {
                throw new ArgumentException(
                    $"RecentContext.SetState: expected finite numbers, counts and squares of at least 0, found {state[i]} at {i}.",
                    nameof(state)
                );
            }
        }

        state.AsSpan(0, Size).CopyTo(_recent[member]);
        for (var feature = 0; feature < Features; feature++)
        {
            var at = Size + 3 * feature;
            _lifetimes[member][feature] = new Lifetime((long)state[at], state[at + 1], state[at + 2]);
        }
    }

    /// <summary>Mean and deviation of all values so far (Welford's recurrence).</summary>
    private readonly record struct Lifetime(long Count, double Mean, double Squares)
    {
        public double Deviation => Count > 1 ? Math.Sqrt(Squares / Count) : 1;

        public Lifetime With(double value)
        {
            var count = Count + 1;
            var mean = Mean + (value - Mean) / count;
            return new Lifetime(count, mean, Squares + (value - Mean) * (value - mean));
        }
    }
}
