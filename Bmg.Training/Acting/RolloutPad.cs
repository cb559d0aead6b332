using Bmg.Training.Environments;
using TorchSharp;
using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>The tensors of a rollout while it is written, step by step; what is not written is 0.</summary>
internal sealed class RolloutPad
{
    private readonly Streams _streams;
    private readonly ActionChoice _choice;
    private readonly EnvironmentDescription _description;
    private readonly int _length;
    private readonly int _width;
    private readonly int _numbers;
    private readonly Tensor _observations;
    private readonly Tensor _actions;
    private readonly Tensor? _terminated;
    private readonly Tensor? _truncated;
    private readonly Tensor? _valid;
    private readonly Tensor? _mask;

    /// <summary>Tensors for T steps of all streams, in the scope that is open.</summary>
    public RolloutPad(Streams streams, ActionChoice choice, int length)
    {
        _streams = streams;
        _choice = choice;
        _description = streams.Description;
        _length = length;
        _width = _description.Observation.Size;
        _numbers = choice.Drawn.Length;
        long members = streams.Members,
            copies = streams.Copies;
        _observations = zeros(
            [members, copies, length + 1, _width],
            dtype: _description.Observation.Kind == ObservationKind.Bytes ? ScalarType.Byte : ScalarType.Float32
        );
        _actions = zeros(
            _description.Actions is ActionSpace.Discrete
                ? [members, copies, length]
                : [members, copies, length, _numbers],
            dtype: _description.Actions is ActionSpace.Continuous ? ScalarType.Float32 : ScalarType.Int64
        );
        Rewards = zeros([members, copies, length], dtype: ScalarType.Float32);
        if (_description.Ends)
        {
            _terminated = zeros_like(Rewards);
            _truncated = zeros_like(Rewards);
            _valid = zeros_like(Rewards);
        }

        if (_description.Masks)
        {
            _mask = zeros([members, copies, length + 1, _description.Actions.MaskSize], dtype: ScalarType.Float32);
        }
    }

    /// <summary>[P, N, T]</summary>
    public Tensor Rewards { get; }

    /// <summary>[O] the numbers of an observation, as they are written.</summary>
    public Span<float> Observation(int row, int t) =>
        TensorMemory.Elements<float>(_observations).Slice((row * (_length + 1) + t) * _width, _width);

    /// <summary>[O] an observation as networks take it.</summary>
    public ReadOnlySpan<float> Seen(int row, int t) =>
        _observations.dtype != ScalarType.Byte
            ? Observation(row, t)
            : TensorMemory
                .Elements<byte>(_observations)
                .Slice((row * (_length + 1) + t) * _width, _width)
                .ToArray()
                .Select(value => value * (1f / 255))
                .ToArray();

    /// <summary>Whether a step happened.</summary>
    public bool IsValid(int row, int t) =>
        _valid is null || TensorMemory.Elements<float>(_valid)[row * _length + t] != 0;

    /// <summary>Whether an episode terminated with a step.</summary>
    public bool IsTerminated(int row, int t) =>
        _terminated is not null && TensorMemory.Elements<float>(_terminated)[row * _length + t] != 0;

    /// <summary>Whether an episode ended with a step, in either way.</summary>
    public bool IsEnded(int row, int t) =>
        _truncated is not null
        && (IsTerminated(row, t) || TensorMemory.Elements<float>(_truncated)[row * _length + t] != 0);

    /// <summary>Writes what a stream shows now, and what it allows, as the state before step <paramref name="t"/>.</summary>
    public void Observe(int member, int copy, int t)
    {
        var row = (Row(member, copy) * (_length + 1)) + t;
        var observation = _streams.Observation(member, copy);
        if (_observations.dtype == ScalarType.Byte)
        {
            var bytes = TensorMemory.Elements<byte>(_observations).Slice(row * _width, _width);
            for (var i = 0; i < bytes.Length; i++)
            {
                bytes[i] = (byte)observation[i];
            }
        }
        else
        {
            observation.CopyTo(TensorMemory.Elements<float>(_observations).Slice(row * _width, _width));
        }

        if (_mask is not null)
        {
            var size = _description.Actions.MaskSize;
            var mask = TensorMemory.Elements<float>(_mask).Slice(row * size, size);
            _streams.Mask(member, copy, _choice.Allowed);
            for (var i = 0; i < size; i++)
            {
                mask[i] = _choice.Allowed[i] ? 1 : 0;
            }
        }
    }

    /// <summary>A step of a stream, drawn from a policy's raw outputs, which are overwritten.</summary>
    public void Step(int member, int copy, int t, Span<float> raw, Rng random)
    {
        Draw(member, copy, t, raw, random);
        Record(member, copy, t, _streams.Step(member, copy, _choice.Action).Result);
    }

    /// <summary>The same for streams that step together, up to the step itself.</summary>
    public void Begin(int member, int copy, int t, Span<float> raw, Rng random)
    {
        Draw(member, copy, t, raw, random);
        _streams.Begin(member, copy, _choice.Action);
    }

    /// <summary>What came of a step that was begun.</summary>
    public void Complete(int member, int copy, int t) => Record(member, copy, t, _streams.Last(member, copy).Result);

    private void Draw(int member, int copy, int t, Span<float> raw, Rng random)
    {
        if (_mask is not null)
        {
            _streams.Mask(member, copy, _choice.Allowed);
        }

        _choice.Choose(raw, random);
        var at = Row(member, copy) * _length + t;
        if (_actions.dtype == ScalarType.Int64)
        {
            var actions = TensorMemory.Elements<long>(_actions).Slice(at * _numbers, _numbers);
            for (var i = 0; i < _numbers; i++)
            {
                actions[i] = (long)_choice.Drawn[i];
            }
        }
        else
        {
            _choice.Drawn.CopyTo(TensorMemory.Elements<float>(_actions).Slice(at * _numbers, _numbers));
        }
    }

    private void Record(int member, int copy, int t, StepResult result)
    {
        var at = Row(member, copy) * _length + t;
        TensorMemory.Elements<float>(Rewards)[at] = result.Reward;
        if (_valid is not null)
        {
            TensorMemory.Elements<float>(_valid)[at] = 1;
            TensorMemory.Elements<float>(_terminated!)[at] = result.Terminated ? 1 : 0;
            TensorMemory.Elements<float>(_truncated!)[at] = result.Truncated ? 1 : 0;
        }

        Observe(member, copy, t + 1);
    }

    /// <summary>The step between two episodes, which is not valid: the next episode begins.</summary>
    public void Skip(int member, int copy, int t)
    {
        _ = _streams.Step(member, copy, default);
        Observe(member, copy, t + 1);
    }

    /// <summary>What was written, on a device.</summary>
    public Rollout ToRollout(Device device)
    {
        Tensor On(Tensor tensor) => device.type == DeviceType.CPU ? tensor : tensor.to(device);
        var rollout = Rollout.Create(On(_observations), On(_actions), On(Rewards));
        if (_valid is not null)
        {
            rollout = rollout.WithEnds(On(_terminated!), On(_truncated!), On(_valid));
        }

        return _mask is null ? rollout : rollout.WithMask(On(_mask));
    }

    private int Row(int member, int copy) => member * _streams.Copies + copy;
}
