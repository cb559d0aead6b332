namespace Bmg.Training.Environments;

/// <summary>Truncates an episode that has not ended by itself within so many steps.</summary>
public sealed class TimeLimit : EnvironmentWrapper
{
    private readonly long _limit;
    private long _steps;

    /// <summary>A limit over an environment.</summary>
    /// <param name="inner">What is wrapped.</param>
    /// <param name="steps">Most steps of an episode; positive.</param>
    public TimeLimit(IEnvironment inner, long steps)
        : base(inner)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(steps);
        _limit = steps;
        Description = inner.Description with { Ends = true };
    }

    /// <inheritdoc/>
    public override EnvironmentDescription Description { get; }

    /// <inheritdoc/>
    public override void Reset(Rng random, Span<float> observation)
    {
        _steps = 0;
        base.Reset(random, observation);
    }

    /// <inheritdoc/>
    public override StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        var result = base.Step(random, action, observation);
        _steps++;
        return _steps >= _limit && !result.Terminated ? result with { Truncated = true } : result;
    }

    /// <inheritdoc/>
    public override void Save(BinaryWriter writer)
    {
        writer.Write(_steps);
        base.Save(writer);
    }

    /// <inheritdoc/>
    public override void Restore(BinaryReader reader)
    {
        var steps = reader.ReadInt64();
        if (steps < 0 || steps > _limit)
        {
            throw new ArgumentException(
                $"TimeLimit.Restore: expected 0 … {_limit} steps, found {steps}.",
                nameof(reader)
            );
        }

        base.Restore(reader);
        _steps = steps;
    }
}
