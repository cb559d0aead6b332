namespace Bmg.Training.Environments;

/// <summary>Actions of several streams, one each; as an environment of one stream receives them.</summary>
public readonly ref struct BatchedActions
{
    private readonly ReadOnlySpan<int> _indices;
    private readonly ReadOnlySpan<float> _values;
    private readonly int _size;

    private BatchedActions(ReadOnlySpan<int> indices, ReadOnlySpan<float> values, int size)
    {
        _indices = indices;
        _values = values;
        _size = size;
    }

    /// <summary>How many there are.</summary>
    public int Count => (_indices.Length + _values.Length) / _size;

    /// <summary>Indices of all discrete actions, row after row; empty for continuous ones.</summary>
    public ReadOnlySpan<int> Indices => _indices;

    /// <summary>Values of all continuous actions, row after row, each within its bounds.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>One of them.</summary>
    public EnvironmentAction this[int row] =>
        _indices.IsEmpty
            ? EnvironmentAction.Of(_values.Slice(row * _size, _size))
            : EnvironmentAction.Of(_indices.Slice(row * _size, _size));

    /// <summary>Rows of discrete actions.</summary>
    /// <param name="indices">Row after row.</param>
    /// <param name="size">Actions taken at once.</param>
    public static BatchedActions Of(ReadOnlySpan<int> indices, int size) => new(indices, [], size);

    /// <summary>Rows of continuous actions.</summary>
    /// <param name="values">Row after row.</param>
    /// <param name="size">Actions taken at once.</param>
    public static BatchedActions Of(ReadOnlySpan<float> values, int size) => new([], values, size);
}

/// <summary>
/// Several streams of experience that step together: a native game, or games in another process, for which one call for many streams costs
/// little more than one for one. What it is told and tells of each stream is as in <see cref="IEnvironment"/>, and streams must not know of each
/// other: a stream's numbers are the same in every batch. It is called from one thread at a time, and disposed when the streams are no longer
/// needed.
/// </summary>
public interface IBatchedEnvironment : IDisposable
{
    /// <summary>What each stream shows and takes; the same for its whole life.</summary>
    EnvironmentDescription Description { get; }

    /// <summary>Starts an episode of one stream.</summary>
    /// <param name="stream">Its index.</param>
    /// <param name="random">The stream's only source of chance.</param>
    /// <param name="observation">Written: as many numbers as the description says.</param>
    void Reset(int stream, Rng random, Span<float> observation);

    /// <summary>Sends actions, and may return before they are done.</summary>
    /// <param name="streams">Indices of the streams that act, in ascending order; the others wait.</param>
    /// <param name="randoms">The generator of each of these.</param>
    /// <param name="actions">An action of each.</param>
    void Begin(ReadOnlySpan<int> streams, ReadOnlySpan<Rng> randoms, BatchedActions actions);

    /// <summary>Waits for the actions of the last <see cref="Begin"/> and says where they led.</summary>
    /// <param name="observations">Written: a row for each stream that acted, in their order.</param>
    /// <param name="results">Written: one for each.</param>
    void Complete(Span<float> observations, Span<StepResult> results);

    /// <summary>As <see cref="IEnvironment.Save"/>, of one stream.</summary>
    void Save(int stream, BinaryWriter writer) => throw new NotSupportedException($"{GetType().Name} cannot be saved.");

    /// <summary>As <see cref="IEnvironment.Restore"/>, of one stream.</summary>
    void Restore(int stream, BinaryReader reader) =>
        throw new NotSupportedException($"{GetType().Name} cannot be restored.");

    /// <summary>As <see cref="IEnvironment.Mask"/>, of one stream.</summary>
    void Mask(int stream, Span<bool> allowed) => allowed.Fill(true);

    /// <summary>As <see cref="IEnvironment.Changes"/>, of every stream.</summary>
    IEnumerable<long> Changes(long after, long until) => [];

    /// <summary>As <see cref="IEnvironment.AllObservations"/>.</summary>
    float[]? AllObservations() => null;

    /// <summary>As <see cref="IEnvironment.Render"/>, of one stream.</summary>
    string Render(int stream) => throw new NotSupportedException($"{GetType().Name} does not render.");
}

/// <summary>One stream of a batch, by itself.</summary>
/// <param name="batch">The batch.</param>
/// <param name="stream">Index of the stream.</param>
/// <param name="owns">Whether the batch ends with this stream: it has no other.</param>
internal sealed class StreamOfBatch(IBatchedEnvironment batch, int stream, bool owns) : IEnvironment, IDisposable
{
    private readonly int[] _stream = [stream];
    private readonly Rng[] _random = new Rng[1];
    private readonly StepResult[] _result = new StepResult[1];

    /// <inheritdoc/>
    public EnvironmentDescription Description => batch.Description;

    /// <inheritdoc/>
    public void Reset(Rng random, Span<float> observation) => batch.Reset(stream, random, observation);

    /// <inheritdoc/>
    public StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        _random[0] = random;
        batch.Begin(
            _stream,
            _random,
            action.Values.IsEmpty
                ? BatchedActions.Of(action.Indices, action.Indices.Length)
                : BatchedActions.Of(action.Values, action.Values.Length)
        );
        batch.Complete(observation, _result);
        return _result[0];
    }

    /// <inheritdoc/>
    public void Save(BinaryWriter writer) => batch.Save(stream, writer);

    /// <inheritdoc/>
    public void Restore(BinaryReader reader) => batch.Restore(stream, reader);

    /// <inheritdoc/>
    public void Mask(Span<bool> allowed) => batch.Mask(stream, allowed);

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => batch.Changes(after, until);

    /// <inheritdoc/>
    public float[]? AllObservations() => batch.AllObservations();

    /// <inheritdoc/>
    public string Render() => batch.Render(stream);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (owns)
        {
            batch.Dispose();
        }
    }
}
