using System.Diagnostics;
using System.Numerics.Tensors;
using Bmg.Training.Environments;
using TorchSharp;
using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>
/// Lets a population act in its worlds and hands out its rollouts. On the CPU each member acts through <see cref="PlainPolicy"/>, and
/// observations, actions and rewards are written straight into the tensors that are learned from; elsewhere the policy runs on the device.
/// </summary>
public sealed class RolloutCollector
{
    private const int StepsBetweenLooks = 1024;

    private readonly IWorlds _world;
    private readonly ActorCritic _agent;
    private readonly PlainPolicy _plain;
    private readonly Rng[] _actions;
    private readonly RecentContext? _context;
    private readonly Device _device;
    private readonly int _length;
    private readonly int _width;
    private readonly int _choices;
    private readonly float _discount;
    private readonly bool _plainly;
    private readonly double[] _rewards;
    private readonly float[] _scratch;

    /// <summary>A collector over worlds that it steps and a context that it feeds.</summary>
    /// <param name="world">Worlds of the population.</param>
    /// <param name="agent">Whose policy acts.</param>
    /// <param name="seeds">One a member; actions are drawn from the member's own stream.</param>
    /// <param name="length">T, steps of a rollout.</param>
    /// <param name="discount">γ of the TD errors in a rich context.</param>
    /// <param name="context">Fed with each rollout's mean reward where it has one feature, with <see cref="RichFeatures"/> otherwise; null for
    /// none.</param>
    /// <param name="device">Where rollouts are put.</param>
    public RolloutCollector(
        IWorlds world,
        ActorCritic agent,
        IReadOnlyList<Seed> seeds,
        int length,
        double discount,
        RecentContext? context,
        Device device
    )
        : this(world, agent, seeds, length, discount, context, device, device.type == DeviceType.CPU) { }

    /// <summary>As the public one, choosing the way of acting as well, so that a test can hold the two against each other.</summary>
    internal RolloutCollector(
        IWorlds world,
        ActorCritic agent,
        IReadOnlyList<Seed> seeds,
        int length,
        double discount,
        RecentContext? context,
        Device device,
        bool plainly
    )
    {
        _plainly = plainly;
        _world = world;
        _width = world.Description.ObservationSize;
        _choices = world.Description.ActionCount;
        _discount = (float)discount;
        _agent = agent;
        _plain = new PlainPolicy(agent.Policy);
        _actions = [.. seeds.Select(s => s.For("actions").Generator())];
        _context = context;
        _device = device;
        _length = length;
        _rewards = new double[world.Members];
        _scratch = new float[2 * _plain.WidestLayer + _choices];
        Guard = new MemberGuard(seeds, 0, freezes: false);
    }

    /// <summary>Name of each feature of a rich context (CMG), over the steps of a rollout; deviations are those of the steps at hand.</summary>
    public static IReadOnlyList<string> RichFeatures { get; } =
    ["mean reward", "reward deviation", "mean value", "value deviation", "mean TD error", "TD error deviation"];

    /// <summary>Ends a rollout under way, with an OperationCanceledException; what had been done of it is lost.</summary>
    public CancellationToken Stop { get; init; }

    /// <summary>Told of policies that put out something that is not a number, and asked who is frozen: such a member is not acted for.</summary>
    internal MemberGuard Guard { get; init; }

    /// <summary>Environment steps that each member has done.</summary>
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

    /// <summary>State of a member's action stream.</summary>
    public ulong GetActionState(int member) => _actions[member].State;

    /// <summary>Puts back the position in the stream.</summary>
    public void Restore(long environmentSteps, ReadOnlySpan<ulong> actionStates)
    {
        EnvironmentSteps = environmentSteps;
        for (var i = 0; i < _actions.Length; i++)
        {
            _actions[i].State = actionStates[i];
        }
    }

    /// <summary>Lets every member act for T steps with policy parameters <paramref name="x"/>.</summary>
    /// <exception cref="NumericalFailureException">A member's policy puts out something that is not a number, and members are not
    /// frozen.</exception>
    public Experience<Rollout> Collect(Params x)
    {
        var start = Stopwatch.GetTimestamp();
        var members = _world.Members;
        var observations = empty([members, _length + 1, _width], dtype: ScalarType.Float32);
        var actions = empty([members, _length], dtype: ScalarType.Int64);
        var rewards = empty([members, _length], dtype: ScalarType.Float32);
        if (_plainly)
        {
            ActPlainly(
                x,
                TensorMemory.Elements<float>(observations),
                TensorMemory.Elements<long>(actions),
                TensorMemory.Elements<float>(rewards)
            );
        }
        else
        {
            ActOnDevice(x, observations, actions, rewards);
        }

        EnvironmentSteps += _length;
        Tensor? context = null;
        var earned = TensorMemory.Elements<float>(rewards);
        for (var member = 0; member < members; member++)
        {
            double sum = TensorPrimitives.Sum<float>(earned.Slice(member * _length, _length));
            _rewards[member] += sum;
            if (_context is { Features: 1 } && !Guard.IsFrozen(member))
            {
                _context.Add(member, sum / _length);
            }
        }

        if (_context is not null)
        {
            if (_context.Features > 1)
            {
                AddRich(x, observations, rewards);
            }

            context = empty([members, _context.Size], dtype: ScalarType.Float32);
            _context.Write(TensorMemory.Elements<float>(context));
        }

        var experience = new Experience<Rollout>(
            Rollout.Create(OnDevice(observations), OnDevice(actions), OnDevice(rewards)),
            context is null ? null : OnDevice(context)
        );
        Ticks += Stopwatch.GetTimestamp() - start;
        return experience;
    }

    /// <summary>Adds means and deviations of rewards, values and TD errors to the context.</summary>
    private void AddRich(Params x, Tensor observations, Tensor rewards)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        // [P, T + 1], row after row.
        var values = TensorMemory.Elements<float>(
            NetworkModule.apply(_agent.Value, x, OnDevice(observations)).cpu().contiguous()
        );
        var earned = TensorMemory.Elements<float>(rewards);
        var errors = new float[_length];
        for (var member = 0; member < _world.Members; member++)
        {
            if (Guard.IsFrozen(member))
            {
                continue;
            }

            var value = values.Slice(member * (_length + 1), _length + 1);
            var reward = earned.Slice(member * _length, _length);
            for (var t = 0; t < _length; t++)
            {
                errors[t] = reward[t] + _discount * value[t + 1] - value[t];
            }

            var (rewardMean, rewardDeviation) = Moments(reward);
            var (valueMean, valueDeviation) = Moments(value[.._length]);
            var (errorMean, errorDeviation) = Moments(errors);
            _context!.AddEach(
                member,
                [rewardMean, rewardDeviation, valueMean, valueDeviation, errorMean, errorDeviation]
            );
        }
    }

    private static (double Mean, double Deviation) Moments(ReadOnlySpan<float> values)
    {
        double mean = TensorPrimitives.Sum(values) / (double)values.Length,
            squares = 0;
        foreach (var value in values)
        {
            squares += (value - mean) * (value - mean);
        }

        return (mean, Math.Sqrt(squares / values.Length));
    }

    private Tensor OnDevice(Tensor tensor) => _device.type == DeviceType.CPU ? tensor : tensor.to(_device);

    private void ActPlainly(Params x, Span<float> observations, Span<long> actions, Span<float> rewards)
    {
        var policy = _plain.Bind(x);
        var width = _width;
        var probabilities = _scratch.AsSpan(0, _choices);
        var scratch = _scratch.AsSpan(_choices);
        // Members share nothing, so each goes through its whole rollout on its own while its weights are in cache.
        for (var member = 0; member < _world.Members; member++)
        {
            var rows = observations.Slice(member * (_length + 1) * width, (_length + 1) * width);
            var chosen = actions.Slice(member * _length, _length);
            var earned = rewards.Slice(member * _length, _length);
            if (Guard.IsFrozen(member))
            {
                rows.Clear();
                chosen.Clear();
                earned.Clear();
                continue;
            }

            for (var t = 0; t < _length; t++)
            {
                if (t % StepsBetweenLooks == 0)
                {
                    Stop.ThrowIfCancellationRequested();
                }

                var row = rows.Slice(t * width, width);
                _world.Observe(member, row);
                policy.Apply(member, row, probabilities, scratch);
                TensorPrimitives.SoftMax(probabilities, probabilities);
                chosen[t] = Draw(member, t, probabilities);
                earned[t] = _world.Act(member, (int)chosen[t]);
            }

            _world.Observe(member, rows.Slice(_length * width, width));
        }
    }

    private void ActOnDevice(Params x, Tensor observations, Tensor actions, Tensor rewards)
    {
        using var noGrad = no_grad();
        var members = _world.Members;
        var width = _width;
        for (var t = 0; t <= _length; t++)
        {
            Stop.ThrowIfCancellationRequested();
            using var scope = NewDisposeScope();
            var now = empty([members, 1, width], dtype: ScalarType.Float32);
            var row = TensorMemory.Elements<float>(now);
            for (var member = 0; member < members; member++)
            {
                if (Guard.IsFrozen(member))
                {
                    row.Slice(member * width, width).Clear();
                }
                else
                {
                    _world.Observe(member, row.Slice(member * width, width));
                }

                row.Slice(member * width, width)
                    .CopyTo(
                        TensorMemory.Elements<float>(observations).Slice((member * (_length + 1) + t) * width, width)
                    );
            }

            if (t == _length)
            {
                break;
            }

            var logits = NetworkModule.apply(_agent.Policy, x, now.to(_device));
            var probabilities = TensorMemory.Elements<float>(Categorical.probabilities(logits).cpu());
            for (var member = 0; member < members; member++)
            {
                if (Guard.IsFrozen(member))
                {
                    TensorMemory.Elements<long>(actions)[member * _length + t] = 0;
                    TensorMemory.Elements<float>(rewards)[member * _length + t] = 0;
                    continue;
                }

                var action = Draw(member, t, probabilities.Slice(member * _choices, _choices));
                TensorMemory.Elements<long>(actions)[member * _length + t] = action;
                TensorMemory.Elements<float>(rewards)[member * _length + t] = _world.Act(member, action);
            }
        }
    }

    private int Draw(int member, int t, ReadOnlySpan<float> probabilities)
    {
        var sum = TensorPrimitives.Sum(probabilities);
        if (float.IsFinite(sum))
        {
            return Categorical.sample(probabilities, _actions[member].NextDouble());
        }

        // Where members are frozen, this one goes through the motions to the end of its rollout.
        Guard.Found("the policy's probability", member, EnvironmentSteps + t, sum);
        return 0;
    }
}
