namespace Bmg.Training.Environments;

/// <summary>
/// Takes each action so many times in a row: rewards add up, the last observation is shown. It stops at an end, and where the action is not
/// allowed any more.
/// </summary>
public sealed class ActionRepeat : EnvironmentWrapper
{
    private readonly int _times;
    private readonly bool[] _mask;

    /// <summary>A repetition over an environment.</summary>
    /// <param name="inner">What is wrapped.</param>
    /// <param name="times">Inner steps of one step; positive.</param>
    public ActionRepeat(IEnvironment inner, int times)
        : base(inner)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(times);
        _times = times;
        _mask = new bool[inner.Description.Masks ? inner.Description.Actions.MaskSize : 0];
    }

    /// <inheritdoc/>
    public override StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        var result = base.Step(random, action, observation);
        double reward = result.Reward;
        for (var i = 1; i < _times && !result.Ended && IsAllowed(action); i++)
        {
            result = base.Step(random, action, observation);
            reward += result.Reward;
        }

        return result with
        {
            Reward = (float)reward,
        };
    }

    /// <summary>Its own steps in which the inner problem changes, as if no repetition was cut short.</summary>
    public override IEnumerable<long> Changes(long after, long until)
    {
        var last = after;
        foreach (var change in base.Changes(checked(after * _times), checked(until * _times)))
        {
            var step = (change - 1) / _times + 1;
            if (step > last)
            {
                yield return last = step;
            }
        }
    }

    private bool IsAllowed(EnvironmentAction action)
    {
        if (_mask.Length == 0)
        {
            return true;
        }

        Mask(_mask);
        return Description.Actions.Allows(_mask, action);
    }
}
