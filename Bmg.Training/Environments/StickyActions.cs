namespace Bmg.Training.Environments;

/// <summary>
/// With some chance the last action that was taken is taken again in place of the chosen one (Machado et al. 2018). The first action of an
/// episode is the chosen one, and so is any where the last is not allowed. One number is drawn each step, before the environment's own.
/// </summary>
public sealed class StickyActions : EnvironmentWrapper
{
    private readonly double _probability;
    private readonly int[] _indices;
    private readonly float[] _values;
    private readonly bool[] _mask;
    private bool _acted;

    /// <summary>Sticky actions over an environment.</summary>
    /// <param name="inner">What is wrapped.</param>
    /// <param name="probability">Chance of the last action, 0 … 1.</param>
    public StickyActions(IEnvironment inner, double probability)
        : base(inner)
    {
        if (!(probability is >= 0 and <= 1))
        {
            throw new ArgumentOutOfRangeException(nameof(probability), probability, "expected 0 … 1");
        }

        _probability = probability;
        var actions = inner.Description.Actions;
        _indices = new int[actions.DiscreteCount];
        _values = new float[actions.ContinuousCount];
        _mask = new bool[inner.Description.Masks ? actions.MaskSize : 0];
    }

    private EnvironmentAction Last =>
        _values.Length > 0 ? EnvironmentAction.Of(_values) : EnvironmentAction.Of(_indices);

    /// <inheritdoc/>
    public override void Reset(Rng random, Span<float> observation)
    {
        Forget();
        base.Reset(random, observation);
    }

    /// <inheritdoc/>
    public override StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        Description.Actions.Require(action);
        if (!(random.NextDouble() < _probability && _acted && IsAllowed()))
        {
            action.Indices.CopyTo(_indices);
            action.Values.CopyTo(_values);
            _acted = true;
        }

        return base.Step(random, Last, observation);
    }

    /// <inheritdoc/>
    public override void Save(BinaryWriter writer)
    {
        writer.Write(_acted);
        foreach (var index in _indices)
        {
            writer.Write(index);
        }

        foreach (var value in _values)
        {
            writer.Write(value);
        }

        base.Save(writer);
    }

    /// <inheritdoc/>
    public override void Restore(BinaryReader reader)
    {
        var acted = reader.ReadBoolean();
        var indices = new int[_indices.Length];
        for (var i = 0; i < indices.Length; i++)
        {
            indices[i] = reader.ReadInt32();
        }

        var values = new float[_values.Length];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = reader.ReadSingle();
        }

        if (acted)
        {
            Description.Actions.Require(
                values.Length > 0 ? EnvironmentAction.Of(values) : EnvironmentAction.Of(indices)
            );
        }

        base.Restore(reader);
        indices.CopyTo(_indices, 0);
        values.CopyTo(_values, 0);
        _acted = acted;
    }

    private void Forget()
    {
        _acted = false;
        _indices.AsSpan().Clear();
        _values.AsSpan().Clear();
    }

    private bool IsAllowed()
    {
        if (_mask.Length == 0)
        {
            return true;
        }

        Mask(_mask);
        return Description.Actions.Allows(_mask, Last);
    }
}
