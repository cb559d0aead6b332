namespace Bmg.Training.Environments;

/// <summary>
/// Watches an environment while it runs, and turns what it does wrong into one exception that names it, the stream and the step. It costs a
/// pass over each observation, so it can always be on. Its own count of steps is saved with the state, which is kept in a block of its own:
/// what an environment does not read of it, or wants beyond it, is found where it happens.
/// </summary>
public sealed class EnvironmentGuard : IEnvironment
{
    private readonly IEnvironment _inner;
    private readonly string _name;
    private readonly string _stream;
    private readonly EnvironmentDescription _description;
    private long _steps;
    private bool _running;

    /// <summary>A guard over an environment.</summary>
    /// <param name="inner">What is watched.</param>
    /// <param name="name">What the environment is called.</param>
    /// <param name="stream">Which stream it is, as in "member 3 (seed 7), copy 0".</param>
    /// <exception cref="EnvironmentException">Its description cannot be used.</exception>
    public EnvironmentGuard(IEnvironment inner, string name, string stream)
    {
        (_inner, _name, _stream) = (inner, name, stream);
        try
        {
            _description = inner.Description;
            if (DescriptionRules.Faults(_description).FirstOrDefault() is { } fault)
            {
                throw Broken($"description: {fault}");
            }
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Description", e);
        }
    }

    /// <inheritdoc/>
    public EnvironmentDescription Description => _description;

    /// <inheritdoc/>
    public void Reset(Rng random, Span<float> observation)
    {
        try
        {
            _inner.Reset(random, observation);
            JudgeDescription();
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Reset", e);
        }

        JudgeObservation("Reset", observation);
        _running = true;
    }

    /// <inheritdoc/>
    public StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        Begin(action);
        StepResult result;
        try
        {
            result = _inner.Step(random, action, observation);
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Step", e);
        }

        return Complete(result, observation);
    }

    /// <summary>The half of a step before the environment acts: counts it, and refuses an action that there is none of.</summary>
    internal void Begin(EnvironmentAction action)
    {
        if (!_running)
        {
            throw Broken("Step: found no episode that runs, expected Reset first, and after each end");
        }

        _steps++;
        try
        {
            _description.Actions.Require(action);
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Step", e);
        }
    }

    /// <summary>The half of a step after the environment acted: judges what it gave.</summary>
    internal StepResult Complete(StepResult result, ReadOnlySpan<float> observation)
    {
        try
        {
            JudgeDescription();
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Step", e);
        }

        if (!float.IsFinite(result.Reward))
        {
            throw Broken($"reward: found {result.Reward}, expected a finite number");
        }

        if (result.Ended && !_description.Ends)
        {
            throw Broken("Step: found the end of an episode, expected none: its description says that it has none");
        }

        JudgeObservation("Step", observation);
        _running = !result.Ended;
        return result;
    }

    /// <inheritdoc/>
    public void Save(BinaryWriter writer)
    {
        byte[] bytes;
        try
        {
            using var state = new MemoryStream();
            using var inner = new BinaryWriter(state);
            _inner.Save(inner);
            inner.Flush();
            bytes = state.ToArray();
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Save", e);
        }

        writer.Write(_steps);
        writer.Write(_running);
        writer.Write(bytes.Length);
        writer.Write(bytes);
    }

    /// <inheritdoc/>
    /// <exception cref="EnvironmentException">The environment refuses its state, does not read all of it, or wants more.</exception>
    public void Restore(BinaryReader reader)
    {
        var steps = reader.ReadInt64();
        var running = reader.ReadBoolean();
        var length = reader.ReadInt32();
        if (steps < 0 || length < 0)
        {
            throw new ArgumentException(
                $"EnvironmentGuard.Restore: expected steps and a length of at least 0, found {steps} and {length}.",
                nameof(reader)
            );
        }

        var state = reader.ReadBytes(length);
        if (state.Length < length)
        {
            throw new EndOfStreamException(
                $"EnvironmentGuard.Restore: expected {length} bytes of state, found {state.Length}."
            );
        }

        _steps = steps;
        try
        {
            using var inner = new BinaryReader(new MemoryStream(state, writable: false));
            _inner.Restore(inner);
            if (inner.BaseStream.Position != length)
            {
                throw Broken($"Restore: found {inner.BaseStream.Position} bytes read, expected all {length}");
            }
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Restore", e);
        }

        _running = running;
    }

    /// <inheritdoc/>
    public void Mask(Span<bool> allowed)
    {
        try
        {
            _inner.Mask(allowed);
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Mask", e);
        }

        var none = _description.Actions.WithoutChoice(allowed);
        if (none >= 0)
        {
            throw Broken($"Mask: found no choice allowed of action {none}, expected at least one");
        }
    }

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until)
    {
        using var changes = Guarded(() => _inner.Changes(after, until).GetEnumerator());
        var last = after;
        while (Guarded(changes.MoveNext))
        {
            var change = Guarded(() => changes.Current);
            if (change <= last || change > until)
            {
                throw Broken($"Changes: found {change}, expected a step above {last} and at most {until}");
            }

            yield return last = change;
        }
    }

    /// <inheritdoc/>
    public float[]? AllObservations()
    {
        try
        {
            return _inner.AllObservations();
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("AllObservations", e);
        }
    }

    /// <inheritdoc/>
    public string Render()
    {
        try
        {
            return _inner.Render();
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Render", e);
        }
    }

    /// <summary>Disposes what is watched, and what that wraps, where it can be.</summary>
    internal void Release()
    {
        for (var each = _inner; each is not null; each = (each as EnvironmentWrapper)?.Inner)
        {
            (each as IDisposable)?.Dispose();
        }
    }

    /// <summary>Whether an exception is the environment's own, rather than a stop or one of a guard.</summary>
    private static bool IsForeign(Exception e) => e is not (EnvironmentException or OperationCanceledException);

    private T Guarded<T>(Func<T> ask)
    {
        try
        {
            return ask();
        }
        catch (Exception e) when (IsForeign(e))
        {
            throw Threw("Changes", e);
        }
    }

    private void JudgeDescription()
    {
        if (DescriptionRules.Difference(_inner.Description, _description) is var (place, found, expected))
        {
            throw Broken($"description, {place}: found {found}, expected {expected}, as at the start");
        }
    }

    private void JudgeObservation(string call, ReadOnlySpan<float> observation)
    {
        if (_description.Observation.Flaw(observation) is var (place, found, expected))
        {
            throw Broken($"{call}: observation, {place}: found {found}, expected {expected}");
        }
    }

    private EnvironmentException Broken(string what, Exception? cause = null) =>
        new($"environment '{_name}', {_stream}, step {_steps}: {what}.", cause);

    private EnvironmentException Threw(string call, Exception cause) =>
        Broken($"{call} threw {cause.GetType().Name}: {cause.Message.TrimEnd('.')}", cause);
}
