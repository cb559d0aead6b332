using System.Diagnostics.CodeAnalysis;

namespace Bmg.Training.Environments;

/// <summary>
/// Shows the last observations together, oldest first, along the first axis: a row of n numbers becomes one of frames · n, an image of c
/// channels one of frames · c. The first observation of an episode is repeated.
/// </summary>
[SuppressMessage("Naming", "CA1711", Justification = "The field's word.")]
public sealed class FrameStack : EnvironmentWrapper
{
    private readonly float[] _frames;
    private readonly int _size;

    /// <summary>A stack over an environment.</summary>
    /// <param name="inner">What is wrapped.</param>
    /// <param name="frames">Observations shown together; positive.</param>
    public FrameStack(IEnvironment inner, int frames)
        : base(inner)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(frames);
        var space = inner.Description.Observation;
        _size = space.Size;
        _frames = new float[checked(frames * _size)];
        Description = inner.Description with
        {
            Observation = space with
            {
                Shape = [frames * space.Shape[0], .. space.Shape.Skip(1)],
                Names =
                [
                    .. from age in Enumerable.Range(0, frames).Reverse()
                    from name in space.Names
                    select age == 0 ? $"t.{name}" : $"t-{age}.{name}",
                ],
            },
        };
    }

    /// <inheritdoc/>
    public override EnvironmentDescription Description { get; }

    private Span<float> Newest => _frames.AsSpan(_frames.Length - _size);

    /// <inheritdoc/>
    public override void Reset(Rng random, Span<float> observation)
    {
        base.Reset(random, Newest);
        for (var first = 0; first < _frames.Length - _size; first += _size)
        {
            Newest.CopyTo(_frames.AsSpan(first));
        }

        _frames.CopyTo(observation);
    }

    /// <inheritdoc/>
    public override StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        _frames.AsSpan(_size).CopyTo(_frames);
        var result = base.Step(random, action, Newest);
        _frames.CopyTo(observation);
        return result;
    }

    /// <inheritdoc/>
    public override void Save(BinaryWriter writer)
    {
        foreach (var number in _frames)
        {
            writer.Write(number);
        }

        base.Save(writer);
    }

    /// <inheritdoc/>
    public override void Restore(BinaryReader reader)
    {
        var frames = new float[_frames.Length];
        for (var i = 0; i < frames.Length; i++)
        {
            frames[i] = reader.ReadSingle();
        }

        if (Description.Observation.Flaw(frames) is var (place, found, expected))
        {
            throw new ArgumentException(
                $"FrameStack.Restore: {place}: expected {expected}, found {found}.",
                nameof(reader)
            );
        }

        base.Restore(reader);
        frames.CopyTo(_frames, 0);
    }
}
