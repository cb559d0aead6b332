namespace Bmg.Training.Acting;

/// <summary>How rewards enter a context.</summary>
public enum ContextScaling
{
    /// <summary>Mean rewards as they are.</summary>
    Raw,

    /// <summary>Less the lifetime mean, over the lifetime deviation, through tanh (Luketina et al. 2022).</summary>
    Normalized,
}

/// <summary>
/// The "reward" context of a population: the mean rewards of the last H rollouts, oldest first; zeros before there were that many.
/// </summary>
public sealed class RewardContext
{
    private readonly double[][] _recent;
    private readonly Lifetime[] _lifetimes;
    private readonly ContextScaling _scaling;

    /// <summary>An empty context.</summary>
    /// <param name="members">Size of the population.</param>
    /// <param name="length">H, rollouts remembered.</param>
    /// <param name="scaling">How rewards are scaled.</param>
    public RewardContext(int members, int length, ContextScaling scaling)
    {
        _recent = [.. Enumerable.Range(0, members).Select(_ => new double[length])];
        _lifetimes = new Lifetime[members];
        _scaling = scaling;
        Length = length;
    }

    /// <summary>H.</summary>
    public int Length { get; }

    /// <summary>Adds a rollout's mean reward.</summary>
    public void Add(int member, double meanReward)
    {
        var recent = _recent[member];
        recent.AsSpan(1).CopyTo(recent);
        recent[^1] = meanReward;
        _lifetimes[member] = _lifetimes[member].With(meanReward);
    }

    /// <summary>Writes the context of all members, [P, H].</summary>
    public void Write(Span<float> context)
    {
        for (var member = 0; member < _recent.Length; member++)
        {
            var recent = _recent[member];
            var lifetime = _lifetimes[member];
            var known = Math.Min(Length, lifetime.Count);
            for (var i = 0; i < Length; i++)
            {
                var value = recent[i];
                if (_scaling == ContextScaling.Normalized)
                {
                    value = i < Length - known ? 0 : Math.Tanh((value - lifetime.Mean) / (lifetime.Deviation + 1e-8));
                }

                context[member * Length + i] = (float)value;
            }
        }
    }

    /// <summary>All there is to save of a member: H means, then count, mean and sum of squared deviations of its lifetime.</summary>
    public double[] GetState(int member) =>
        [.. _recent[member], _lifetimes[member].Count, _lifetimes[member].Mean, _lifetimes[member].Squares];

    /// <summary>The inverse of <see cref="GetState"/>.</summary>
    public void SetState(int member, double[] state)
    {
        if (state.Length != Length + 3)
        {
            throw new ArgumentException(
                $"RewardContext.SetState: expected {Length + 3} numbers, found {state.Length}.",
                nameof(state)
            );
        }

        state.AsSpan(0, Length).CopyTo(_recent[member]);
        _lifetimes[member] = new Lifetime((long)state[Length], state[Length + 1], state[Length + 2]);
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
