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
public sealed class Streams
{
    private readonly Stream[] _streams;

    /// <summary>Streams at their beginnings.</summary>
    /// <param name="configuration">Names the environment.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="copies">N.</param>
    /// <param name="first">Index of the first of these members in the whole population, for messages.</param>
    public Streams(RunConfiguration configuration, IReadOnlyList<Seed> seeds, int copies, int first)
    {
        Members = seeds.Count;
        Copies = copies;
        _streams = new Stream[Members * copies];
        for (var member = 0; member < Members; member++)
        {
            for (var copy = 0; copy < copies; copy++)
            {
                var seed = copy == 0 ? seeds[member] : seeds[member].For($"copy {copy}");
                var name = Bmg.Export.MemberName.Of(first + member, (long)seeds[member].Value);
                _streams[member * copies + copy] = new Stream(
                    new EnvironmentGuard(
                        ConfiguredEnvironment.Create(configuration, seed),
                        configuration.Environment.Name,
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

        var result = stream.Environment.Step(stream.Random, action, stream.Observation);
        stream.Return += result.Reward;
        stream.Length++;
        stream.Ended = result.Ended;
        if (result.Ended)
        {
            EpisodeEnded?.Invoke(member, stream.Return, stream.Length);
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
