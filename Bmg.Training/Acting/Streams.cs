using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Acting;

/// <summary>All there is to save of one stream.</summary>
/// <param name="Random">State of its generator.</param>
/// <param name="Steps">Steps taken, those between two episodes included.</param>
/// <param name="Ended">Whether the next step starts an episode.</param>
/// <param name="Observation">What it showed last.</param>
/// <param name="Return">Sum of rewards of the episode under way.</param>
/// <param name="Length">Steps of the episode under way.</param>
/// <param name="State">The environment's own state; null where it cannot be saved.</param>
public sealed record StreamState(
    ulong Random,
    long Steps,
    bool Ended,
    float[] Observation,
    double Return,
    long Length,
    byte[]? State
);

/// <summary>What one step of a stream was.</summary>
/// <param name="Valid">False where it is the step between two episodes: nothing was done, and a new episode began.</param>
/// <param name="Result">What the environment gave.</param>
public readonly record struct StreamStep(bool Valid, StepResult Result);

/// <summary>
/// The streams of experience of some members, N copies a member: environments, their generators, and where each stands. After an end the
/// next step of a stream is not valid and shows the first observation of the next episode, so that a reset is never a transition. The first
/// copy's generator is that of the member's seed for "environment"; further copies have seeds split from it.
/// </summary>
public sealed class Streams : IDisposable
{
    private readonly Stream[] _streams;
    private readonly string _name;
    private readonly IBatchedEnvironment? _together;
    private readonly List<int> _begun = [];
    private readonly List<int> _indices = [];
    private readonly List<float> _values = [];
    private StreamStep[] _steps = [];

    /// <summary>Streams at their beginnings.</summary>
    /// <param name="configuration">Names the environment.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="copies">N.</param>
    /// <param name="first">Index of the first of these members in the whole population, for messages.</param>
    public Streams(RunConfiguration configuration, IReadOnlyList<Seed> seeds, int copies, int first)
    {
        Members = seeds.Count;
        Copies = copies;
        _name = configuration.Environment.Name;
        _streams = new Stream[Members * copies];
        Seed[] all =
        [
            .. from seed in seeds
            from copy in Enumerable.Range(0, copies)
            select copy == 0 ? seed : seed.For($"copy {copy}"),
        ];
        _together = ConfiguredEnvironment.Together(configuration, all);
        for (var member = 0; member < Members; member++)
        {
            for (var copy = 0; copy < copies; copy++)
            {
                var row = member * copies + copy;
                var seed = all[row];
                var name = Bmg.Export.MemberName.Of(first + member, (long)seeds[member].Value);
                _streams[row] = new Stream(
                    new EnvironmentGuard(
                        _together is null
                            ? ConfiguredEnvironment.Create(configuration, seed)
                            : new StreamOfBatch(_together, row, owns: false),
                        _name,
                        $"{name}, copy {copy}"
                    ),
                    seed.For("environment").Generator()
                );
            }
        }

        Description = _streams[0].Environment.Description;
    }

    /// <summary>What the environment shows and takes.</summary>
    public EnvironmentDescription Description { get; }

    /// <summary>Number of members.</summary>
    public int Members { get; }

    /// <summary>N, streams of each member.</summary>
    public int Copies { get; }

    /// <summary>What a stream shows now, as it writes it: bytes are 0 to 255.</summary>
    public ReadOnlySpan<float> Observation(int member, int copy) => Of(member, copy).Observation;

    /// <summary>Whether the next step of a stream only starts an episode, whatever the action.</summary>
    public bool HasEnded(int member, int copy) => Of(member, copy).Ended;

    /// <summary>Writes which choices are allowed now.</summary>
    public void Mask(int member, int copy, Span<bool> allowed)
    {
        var stream = Of(member, copy);
        if (stream.Ended)
        {
            allowed.Fill(true);
        }
        else
        {
            stream.Environment.Mask(allowed);
        }
    }

    /// <summary>Whether streams step together at little more than the cost of one: see <see cref="Begin"/>.</summary>
    public bool StepTogether => _together is not null;

    /// <summary>The first half of a step of a stream, for streams that step together; the second is <see cref="Complete"/>, of all at once. Not of
    /// a stream that has ended, whose step only starts an episode (<see cref="Step"/>).</summary>
    public void Begin(int member, int copy, EnvironmentAction action)
    {
        var row = member * Copies + copy;
        if (_begun.Count > 0 && _begun[^1] >= row)
        {
            throw new InvalidOperationException(
                $"Streams.Begin: expected a stream after {_begun[^1]}, in the order of members and copies, found {row}."
            );
        }

        _streams[row].Environment.Begin(action);
        _begun.Add(row);
        foreach (var index in action.Indices)
        {
            _indices.Add(index);
        }

        foreach (var value in action.Values)
        {
            _values.Add(value);
        }
    }

    /// <summary>Steps all streams that have begun, together; what each gave is <see cref="Last"/>.</summary>
    public void Complete()
    {
        if (_begun.Count == 0)
        {
            return;
        }

        var width = Description.Observation.Size;
        var streams = _begun.ToArray();
        var observations = new float[streams.Length * width];
        var results = new StepResult[streams.Length];
        try
        {
            Rng[] randoms = [.. streams.Select(row => _streams[row].Random)];
            _together!.Begin(
                streams,
                randoms,
                _values.Count > 0
                    ? BatchedActions.Of([.. _values], _values.Count / streams.Length)
                    : BatchedActions.Of([.. _indices], _indices.Count / streams.Length)
            );
            _together.Complete(observations, results);
        }
        catch (Exception e) when (e is not (EnvironmentException or OperationCanceledException))
        {
            throw new EnvironmentException(
                $"environment '{_name}', {streams.Length} streams together, step {_streams[streams[0]].Steps + 1}: threw {e.GetType().Name}: {e.Message.TrimEnd('.')}.",
                e
            );
        }
        finally
        {
            _begun.Clear();
            _indices.Clear();
            _values.Clear();
        }

        _steps = new StreamStep[_streams.Length];
        for (var i = 0; i < streams.Length; i++)
        {
            var row = streams[i];
            var seen = observations.AsSpan(i * width, width);
            var result = _streams[row].Environment.Complete(results[i], seen);
            seen.CopyTo(_streams[row].Observation);
            _streams[row].Steps++;
            _steps[row] = Count(row, result);
        }
    }

    /// <summary>What the last step of a stream was that others stepped together with.</summary>
    public StreamStep Last(int member, int copy) => _steps[member * Copies + copy];

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var stream in _streams)
        {
            stream.Environment.Release();
        }

        _together?.Dispose();
    }

    /// <summary>One step of a stream.</summary>
    public StreamStep Step(int member, int copy, EnvironmentAction action)
    {
        var stream = Of(member, copy);
        stream.Steps++;
        if (stream.Ended)
        {
            stream.Begin();
            return new StreamStep(false, default);
        }

        return Count(member * Copies + copy, stream.Environment.Step(stream.Random, action, stream.Observation));
    }

    private StreamStep Count(int row, StepResult result)
    {
        var stream = _streams[row];
        stream.Return += result.Reward;
        stream.Length++;
        stream.Ended = result.Ended;
        if (result.Ended)
        {
            EpisodeEnded?.Invoke(row / Copies, stream.Return, stream.Length);
        }

        return new StreamStep(true, result);
    }

    /// <summary>Told of each episode that ends: member, sum of its rewards, its steps.</summary>
    public Action<int, double, long>? EpisodeEnded { get; set; }

    /// <summary>Steps after the first and up to the second at which the problem changes, counted in steps of a member's copies together.</summary>
    public IEnumerable<long> Changes(long after, long until) =>
        Copies == 1
            ? _streams[0].Environment.Changes(after, until)
            : _streams[0].Environment.Changes(after / Copies, until / Copies).Select(step => step * Copies);

    /// <summary>All there is to save of a member.</summary>
    public StreamState[] Save(int member) => [.. Enumerable.Range(0, Copies).Select(copy => Of(member, copy).Save())];

    /// <summary>Puts a member's streams back to what <see cref="Save"/> gave; those that could not be saved start a new episode.</summary>
    /// <exception cref="ArgumentException">These are no states of this environment.</exception>
    public void Restore(int member, StreamState[] states)
    {
        if (states.Length != Copies || states.Contains(null))
        {
            throw new ArgumentException($"Streams: expected {Copies} states of a member, found {states.Length}.");
        }

        for (var copy = 0; copy < Copies; copy++)
        {
            Of(member, copy).Restore(states[copy]);
        }
    }

    private Stream Of(int member, int copy) => _streams[member * Copies + copy];

    private sealed class Stream
    {
        public Stream(EnvironmentGuard environment, Rng random)
        {
            Environment = environment;
            Random = random;
            Observation = new float[environment.Description.Observation.Size];
            Begin();
        }

        public EnvironmentGuard Environment { get; }
        public Rng Random { get; }
        public float[] Observation { get; }
        public long Steps { get; set; }
        public bool Ended { get; set; }
        public double Return { get; set; }
        public long Length { get; set; }

        public void Begin()
        {
            Environment.Reset(Random, Observation);
            (Ended, Return, Length) = (false, 0, 0);
        }

        public StreamState Save()
        {
            byte[]? state = null;
            if (Environment.Description.Saves)
            {
                using var memory = new MemoryStream();
                using var writer = new BinaryWriter(memory);
                Environment.Save(writer);
                writer.Flush();
                state = memory.ToArray();
            }

            return new StreamState(Random.State, Steps, Ended, (float[])Observation.Clone(), Return, Length, state);
        }

        public void Restore(StreamState state)
        {
            if (
                state.Observation is null
                || state.Observation.Length != Observation.Length
                || !Array.TrueForAll(state.Observation, float.IsFinite)
                || state.Steps < 0
                || state.Length < 0
                || !double.IsFinite(state.Return)
            )
            {
                throw new ArgumentException(
                    $"Streams: expected {Observation.Length} finite numbers as an observation, steps of at least 0 and a finite return, found others."
                );
            }

            Random.State = state.Random;
            Steps = state.Steps;
            if (!Environment.Description.Saves)
            {
                Begin();
                return;
            }

            try
            {
                using var reader = new BinaryReader(new MemoryStream(state.State ?? [], writable: false));
                Environment.Restore(reader);
                if (reader.BaseStream.Position != reader.BaseStream.Length)
                {
                    throw new ArgumentException(
                        $"Streams: expected {reader.BaseStream.Position} bytes of state, found {reader.BaseStream.Length}."
                    );
                }
            }
            catch (Exception e) when (e is EnvironmentException or EndOfStreamException)
            {
                throw new ArgumentException($"Streams: {e.Message}", e);
            }

            state.Observation.CopyTo(Observation, 0);
            (Ended, Return, Length) = (state.Ended, state.Return, state.Length);
        }
    }
}
