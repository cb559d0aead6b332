using System.Diagnostics;
using System.Numerics.Tensors;
using Bmg.Training.Environments;
using TorchSharp;
using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>
/// Lets a population act in its streams and hands out its rollouts. On the CPU a perceptron's members act one by one through
/// <see cref="PlainPolicy"/>, and what happens is written straight into the tensors that are learned from; any other policy runs on its device,
/// all members and copies at once, a step at a time.
/// </summary>
public sealed class RolloutCollector
{
    private const int StepsBetweenLooks = 1024;

    private readonly Streams _streams;
    private readonly ActorCritic _agent;
    private readonly PlainPolicy? _plain;
    private readonly ActionChoice _choice;
    private readonly Rng[] _actions;
    private readonly RecentContext? _context;
    private readonly Device _device;
    private readonly int _length;
    private readonly int _width;
    private readonly float _discount;
    private readonly bool _bytes;
    private readonly double[] _rewards;
    private readonly float[] _scratch;
    private readonly float[] _seen;

    /// <summary>A collector over streams that it steps and a context that it feeds.</summary>
    /// <param name="streams">Streams of the population.</param>
    /// <param name="agent">Whose policy acts.</param>
    /// <param name="seeds">One a member; actions of its first copy are drawn from the member's own stream for "actions".</param>
    /// <param name="length">T, steps of a rollout.</param>
    /// <param name="discount">γ of the TD errors in a rich context.</param>
    /// <param name="context">Fed with each rollout's <see cref="Features"/>; null for none.</param>
    /// <param name="device">Where rollouts are put.</param>
    public RolloutCollector(
        Streams streams,
        ActorCritic agent,
        IReadOnlyList<Seed> seeds,
        int length,
        double discount,
        RecentContext? context,
        Device device
    )
        : this(streams, agent, seeds, length, discount, context, device, device.type == DeviceType.CPU) { }

    /// <summary>As the public one, choosing the way of acting as well, so that a test can hold the two against each other.</summary>
    internal RolloutCollector(
        Streams streams,
        ActorCritic agent,
        IReadOnlyList<Seed> seeds,
        int length,
        double discount,
        RecentContext? context,
        Device device,
        bool plainly
    )
    {
        _streams = streams;
        _width = streams.Description.Observation.Size;
        _bytes = streams.Description.Observation.Kind == ObservationKind.Bytes;
        _discount = (float)discount;
        _agent = agent;
        _plain =
            plainly && agent.Torso is null && PlainPolicy.Reads(agent.Policy) ? new PlainPolicy(agent.Policy) : null;
        _choice = new ActionChoice(streams.Description, agent.Distribution);
        Features = context is null ? [] : NamedFeature.OfRewards(rich: context.Features > 1, streams.Description);
        _actions =
        [
            .. from seed in seeds
            from copy in Enumerable.Range(0, streams.Copies)
            select (copy == 0 ? seed : seed.For($"copy {copy}")).For("actions").Generator(),
        ];
        _context = context;
        _device = device;
        _length = length;
        _rewards = new double[streams.Members];
        _scratch = new float[2 * (_plain?.WidestLayer ?? 0) + _agent.Policy.Outputs];
        _seen = new float[_width];
        Guard = new MemberGuard(seeds, 0, freezes: false);
    }

    /// <summary>What the context is fed with; where nothing else is said, the mean reward of a context of one feature, and else means and
    /// deviations of rewards, values and TD errors.</summary>
    internal IReadOnlyList<NamedFeature> Features { get; init; }

    /// <summary>The learners' last steps, where a feature compares them.</summary>
    internal StepMemory? Steps { get; init; }

    /// <summary>Ends a rollout under way, with an OperationCanceledException; what had been done of it is lost.</summary>
    public CancellationToken Stop { get; init; }

    /// <summary>What rewards are multiplied by in rollouts; sums of rewards and contexts are of rewards as they are.</summary>
    public double RewardScale { get; init; } = 1;

    /// <summary>What observations and rewards of rollouts are normalised by; its statistics move on with each rollout. Null for nothing. Sums of
    /// rewards and contexts are of rewards as they are.</summary>
    public Normalizer? Normalizer { get; init; }

    /// <summary>Told of policies that put out something that is not a number, and asked who is frozen: such a member is not acted for.</summary>
    internal MemberGuard Guard { get; init; }

    /// <summary>Environment steps that each member has done, of all its copies together, those between two episodes included.</summary>
    public long EnvironmentSteps { get; private set; }

    /// <summary>Sum of rewards of each member since the last <see cref="TakeRewards"/>.</summary>
    public double[] TakeRewards()
    {
        var taken = (double[])_rewards.Clone();
        Array.Clear(_rewards);
        return taken;
    }

    /// <summary>Time spent acting, in stopwatch ticks.</summary>
    public long Ticks { get; private set; }

    /// <summary>States of a member's action streams, one a copy.</summary>
    public ulong[] GetActionStates(int member) =>
        [.. Enumerable.Range(0, _streams.Copies).Select(copy => _actions[member * _streams.Copies + copy].State)];

    /// <summary>Puts back the position in the streams.</summary>
    /// <param name="environmentSteps">Steps that each member has done.</param>
    /// <param name="actionStates">One array a member, as <see cref="GetActionStates"/> gave them.</param>
    /// <exception cref="ArgumentException">There are fewer or more than copies.</exception>
    public void Restore(long environmentSteps, ReadOnlySpan<ulong[]> actionStates)
    {
        EnvironmentSteps = environmentSteps;
        for (var member = 0; member < actionStates.Length; member++)
        {
            if (actionStates[member]?.Length != _streams.Copies)
            {
                throw new ArgumentException(
                    $"RolloutCollector.Restore: expected {_streams.Copies} states of action streams a member, found {actionStates[member]?.Length ?? 0}."
                );
            }

            for (var copy = 0; copy < _streams.Copies; copy++)
            {
                _actions[member * _streams.Copies + copy].State = actionStates[member][copy];
            }
        }
    }

    /// <summary>What the tensors of its rollouts are, for a population of another size.</summary>
    internal IEnumerable<TensorLayout> Layout(long members)
    {
        using var scope = NewDisposeScope();
        var tensors = new RolloutPad(_streams, _choice, _length).ToRollout(CPU).ToParams();
        return TensorLayout.Of(tensors, members);
    }

    /// <summary>Lets every member act for T steps in each of its streams with policy parameters <paramref name="x"/>.</summary>
    /// <exception cref="NumericalFailureException">A member's policy puts out something that is not a number, and members are not
    /// frozen.</exception>
    /// <exception cref="EnvironmentException">An environment does what it must not.</exception>
    /// <exception cref="ContextFeatureException">A feature of the context does.</exception>
    public Experience<Rollout> Collect(Params x) => Collect(x, () => [.. _rewards.Select(_ => Array.Empty<double>())]);

    /// <summary>The same, for features that see what the meta-parameters gave before.</summary>
    /// <param name="x">Parameters.</param>
    /// <param name="hyperParameters">[member][hyper-parameter]; asked once, where a feature wants to know.</param>
    internal Experience<Rollout> Collect(Params x, Func<double[][]> hyperParameters)
    {
        var start = Stopwatch.GetTimestamp();
        var pad = new RolloutPad(_streams, _choice, _length);
        if (_plain is not null && !_streams.StepTogether)
        {
            ActPlainly(x, _plain, pad);
        }
        else
        {
            ActTogether(x, pad);
        }

        EnvironmentSteps += _length * _streams.Copies;
        Tensor? context = null;
        var earned = TensorMemory.Elements<float>(pad.Rewards);
        var asTheyAre = _context is null ? [] : earned.ToArray();
        var size = _streams.Copies * _length;
        for (var member = 0; member < _streams.Members; member++)
        {
            double sum = TensorPrimitives.Sum<float>(earned.Slice(member * size, size));
            _rewards[member] += sum;
        }

        if (Normalizer is not null)
        {
            Normalize(Normalizer, pad);
        }

        if (RewardScale != 1)
        {
            TensorPrimitives.Multiply(earned, (float)RewardScale, earned);
        }

        if (_context is not null)
        {
            AddFeatures(_context, x, pad, asTheyAre, hyperParameters);
            context = empty([_streams.Members, _context.Size], dtype: ScalarType.Float32);
            _context.Write(TensorMemory.Elements<float>(context));
        }

        var experience = new Experience<Rollout>(pad.ToRollout(_device), context is null ? null : OnDevice(context));
        Ticks += Stopwatch.GetTimestamp() - start;
        return experience;
    }

    /// <summary>Normalises what was written, and takes it into the statistics: each state once, since the last one begins the next rollout.</summary>
    private void Normalize(Normalizer normalizer, RolloutPad pad)
    {
        var earned = TensorMemory.Elements<float>(pad.Rewards);
        var size = _streams.Copies * _length;
        for (var member = 0; member < _streams.Members; member++)
        {
            if (Guard.IsFrozen(member))
            {
                continue;
            }

            for (var copy = 0; copy < _streams.Copies; copy++)
            {
                var row = member * _streams.Copies + copy;
                for (var t = 0; normalizer.Observations && t <= _length; t++)
                {
                    var observation = pad.Observation(row, t);
                    if (t < _length)
                    {
                        normalizer.See(member, observation);
                    }

                    normalizer.Apply(member, observation, observation);
                }

                for (var t = 0; normalizer.Rewards && t < _length; t++)
                {
                    if (pad.IsValid(row, t))
                    {
                        normalizer.See(member, copy, earned[row * _length + t], pad.IsEnded(row, t));
                    }
                }
            }

            normalizer.Renew(member);
            if (normalizer.Rewards)
            {
                normalizer.ApplyToRewards(member, earned.Slice(member * size, size));
            }
        }
    }

    /// <summary>Adds what the features say of a rollout to the context of every member that is not frozen.</summary>
    private void AddFeatures(
        RecentContext context,
        Params x,
        RolloutPad pad,
        float[] asTheyAre,
        Func<double[][]> hyperParameters
    )
    {
        var view = new ContextView(
            _agent,
            x,
            pad,
            _streams,
            _length,
            _device,
            asTheyAre,
            _discount,
            Steps?.Take(x) ?? [],
            hyperParameters
        );
        var numbers = new double[context.Features];
        for (var member = 0; member < _streams.Members; member++)
        {
            if (Guard.IsFrozen(member))
            {
                continue;
            }

            _ = view.Of(member);
            var written = 0;
            foreach (var feature in Features)
            {
                var own = numbers.AsSpan(written, feature.Count);
                feature.Write(view, own);
                for (var i = 0; feature.IsNamed && i < own.Length; i++)
                {
                    if (!double.IsFinite(own[i]))
                    {
                        Guard.Found($"context feature \"{feature.Name}\"", member, EnvironmentSteps, own[i]);
                    }
                }

                written += feature.Count;
            }

            context.AddEach(member, numbers);
        }
    }

    private Tensor OnDevice(Tensor tensor) => _device.type == DeviceType.CPU ? tensor : tensor.to(_device);

    private void ActPlainly(Params x, PlainPolicy plain, RolloutPad pad)
    {
        var policy = plain.Bind(x);
        var raw = _scratch.AsSpan(0, _agent.Policy.Outputs);
        var scratch = _scratch.AsSpan(raw.Length);
        // Members share nothing, so each goes through its whole rollout on its own while its weights are in cache.
        for (var member = 0; member < _streams.Members; member++)
        {
            if (Guard.IsFrozen(member))
            {
                continue;
            }

            for (var copy = 0; copy < _streams.Copies; copy++)
            {
                pad.Observe(member, copy, 0);
                for (var t = 0; t < _length; t++)
                {
                    if (t % StepsBetweenLooks == 0)
                    {
                        Stop.ThrowIfCancellationRequested();
                    }

                    if (!_streams.HasEnded(member, copy))
                    {
                        policy.Apply(member, Seen(member, _streams.Observation(member, copy)), raw, scratch);
                    }

                    Step(member, copy, t, raw, pad);
                }
            }
        }
    }

    /// <summary>All streams a step at a time: where a device computes for all of them at once, or an environment steps them together.</summary>
    private void ActTogether(Params x, RolloutPad pad)
    {
        using var noGrad = no_grad();
        int members = _streams.Members,
            copies = _streams.Copies,
            outputs = _agent.Policy.Outputs;
        var raw = new float[members * copies * outputs];
        var begun = new List<int>();
        for (var t = 0; t < _length; t++)
        {
            Stop.ThrowIfCancellationRequested();
            for (var row = 0; t == 0 && row < members * copies; row++)
            {
                if (!Guard.IsFrozen(row / copies))
                {
                    pad.Observe(row / copies, row % copies, 0);
                }
            }

            Outputs(x, raw);
            begun.Clear();
            for (var row = 0; row < members * copies; row++)
            {
                var (member, copy) = (row / copies, row % copies);
                if (Guard.IsFrozen(member))
                {
                    continue;
                }

                var own = raw.AsSpan(row * outputs, outputs);
                if (!_streams.StepTogether || _streams.HasEnded(member, copy))
                {
                    Step(member, copy, t, own, pad);
                }
                else if (IsFinite(member, t, own))
                {
                    pad.Begin(member, copy, t, own, _actions[row]);
                    begun.Add(row);
                }
            }

            if (_streams.StepTogether)
            {
                _streams.Complete();
                foreach (var row in begun)
                {
                    pad.Complete(row / copies, row % copies, t);
                }
            }
        }
    }

    /// <summary>Raw outputs of every stream's policy at what it shows now; of frozen members, and of streams whose next step only starts an
    /// episode, anything.</summary>
    private void Outputs(Params x, float[] raw)
    {
        int members = _streams.Members,
            copies = _streams.Copies,
            outputs = _agent.Policy.Outputs;
        if (_plain is not null)
        {
            var policy = _plain.Bind(x);
            var scratch = _scratch.AsSpan(outputs);
            for (var row = 0; row < members * copies; row++)
            {
                var (member, copy) = (row / copies, row % copies);
                if (!Guard.IsFrozen(member) && !_streams.HasEnded(member, copy))
                {
                    policy.Apply(
                        member,
                        Seen(member, _streams.Observation(member, copy)),
                        raw.AsSpan(row * outputs, outputs),
                        scratch
                    );
                }
            }

            return;
        }

        using var scope = NewDisposeScope();
        var now = zeros([members, copies, _width], dtype: ScalarType.Float32);
        var rows = TensorMemory.Elements<float>(now);
        for (var row = 0; row < members * copies; row++)
        {
            if (!Guard.IsFrozen(row / copies))
            {
                Seen(row / copies, _streams.Observation(row / copies, row % copies))
                    .CopyTo(rows.Slice(row * _width, _width));
            }
        }

        var input = now.to(_device);
        var features = _agent.Torso is { } torso ? torso.Apply(x, input) : input;
        TensorMemory.Elements<float>(_agent.Policy.Apply(x, features).cpu().contiguous()).CopyTo(raw);
    }

    /// <summary>An observation as networks take it: bytes as 0 to 1, numbers normalised.</summary>
    private ReadOnlySpan<float> Seen(int member, ReadOnlySpan<float> observation)
    {
        if (_bytes)
        {
            TensorPrimitives.Multiply(observation, 1f / 255, _seen);
            return _seen;
        }

        if (Normalizer is not { Observations: true })
        {
            return observation;
        }

        Normalizer.Apply(member, observation, _seen);
        return _seen;
    }

    /// <summary>One step of a stream by a policy's raw outputs, which are overwritten.</summary>
    private void Step(int member, int copy, int t, Span<float> raw, RolloutPad pad)
    {
        if (_streams.HasEnded(member, copy))
        {
            pad.Skip(member, copy, t);
            return;
        }

        if (IsFinite(member, t, raw))
        {
            pad.Step(member, copy, t, raw, _actions[member * _streams.Copies + copy]);
        }
    }

    /// <summary>Whether a policy's outputs are numbers; where members are frozen, nothing of one whose are not happens any more.</summary>
    private bool IsFinite(int member, int t, ReadOnlySpan<float> raw)
    {
        var sum = TensorPrimitives.Sum(raw);
        if (!float.IsFinite(sum))
        {
            Guard.Found("the policy's probability", member, EnvironmentSteps + t, sum);
        }

        return float.IsFinite(sum);
    }
}
