using Bmg.Training.Environments;
using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>
/// What a rollout was for one member, over the n steps that happened, copy after copy. What takes a network to know is computed when it is first
/// asked for.
/// </summary>
public sealed class ContextView
{
    private readonly ActorCritic _agent;
    private readonly Params _x;
    private readonly RolloutPad _pad;
    private readonly EnvironmentDescription _world;
    private readonly Device _device;
    private readonly float[] _asTheyAre;
    private readonly float _discount;
    private readonly int _copies;
    private readonly int _length;
    private readonly double[] _cosines;
    private readonly Lazy<double[][]> _hyperParameters;
    private float[]? _valuesOfAll;
    private float[]? _probabilitiesOfAll;
    private float[]? _values;
    private float[]? _errors;
    private float[]? _probabilities;
    private float[] _rewards = [];

    internal ContextView(
        ActorCritic agent,
        Params x,
        RolloutPad pad,
        Streams streams,
        int length,
        Device device,
        float[] asTheyAre,
        float discount,
        double[] cosines,
        Func<double[][]> hyperParameters
    )
    {
        (_agent, _x, _pad, _device, _asTheyAre, _discount) = (agent, x, pad, device, asTheyAre, discount);
        (_world, _copies, _length) = (streams.Description, streams.Copies, length);
        (_cosines, _hyperParameters) = (cosines, new Lazy<double[][]>(hyperParameters));
    }

    /// <summary>Index of the member among those that learn in one batch.</summary>
    public int Member { get; private set; }

    /// <summary>[n] rewards as the environment gave them.</summary>
    public ReadOnlySpan<float> Rewards => _rewards;

    /// <summary>[n] values of the states acted in, as the learner's value network has them.</summary>
    public ReadOnlySpan<float> Values => _values ??= OfSteps((row, t) => ValuesOfAll[row * (_length + 1) + t]);

    /// <summary>[n] one-step TD errors, r + γ·v(s′) − v(s), of rewards as the learner sees them.</summary>
    public ReadOnlySpan<float> TdErrors =>
        _errors ??= OfSteps(
            (row, t) =>
            {
                var value = ValuesOfAll.AsSpan(row * (_length + 1), _length + 1);
                var next = _pad.IsTerminated(row, t) ? 0 : _discount * value[t + 1];
                return TensorMemory.Elements<float>(_pad.Rewards)[row * _length + t] + next - value[t];
            }
        );

    /// <summary>[choices of all actions] probability of each choice, the mean over the states acted in; discrete actions alone have
    /// some.</summary>
    public ReadOnlySpan<float> ActionProbabilities => _probabilities ??= MeanProbabilities();

    /// <summary>[O] the observation of one of the n steps, as networks take it.</summary>
    /// <param name="step">0 … n − 1</param>
    public ReadOnlySpan<float> Observation(int step)
    {
        var (row, t) = Places().ElementAt(step);
        return _pad.Seen(row, t);
    }

    /// <summary>Cosine of the angle between the last two steps of the learner's parameters, which is that of its last two gradients where it
    /// descends plainly; 0 before there were two. A feature must say that it <see cref="IContextFeature.ComparesSteps"/>.</summary>
    public double StepCosine =>
        _cosines.Length > 0
            ? _cosines[Member]
            : throw new InvalidOperationException(
                "ContextView.StepCosine: expected a feature whose ComparesSteps is true, found none."
            );

    /// <summary>What the meta-parameters gave in the context before this rollout, in their order.</summary>
    public ReadOnlySpan<double> HyperParameters => _hyperParameters.Value[Member];

    /// <summary>The same rollout as another member saw it.</summary>
    internal ContextView Of(int member)
    {
        Member = member;
        (_values, _errors, _probabilities) = (null, null, null);
        _rewards = OfSteps((row, t) => _asTheyAre[row * _length + t]);
        return this;
    }

    private float[] ValuesOfAll
    {
        get
        {
            if (_valuesOfAll is null)
            {
                using var scope = NewDisposeScope();
                using var noGrad = no_grad();
                _valuesOfAll = ActorCriticModule
                    .values(_agent, _x, _pad.ToRollout(_device))
                    .cpu()
                    .contiguous()
                    .data<float>()
                    .ToArray();
            }

            return _valuesOfAll;
        }
    }

    private float[] MeanProbabilities()
    {
        var choices = _world.Actions.MaskSize;
        _probabilitiesOfAll ??= ProbabilitiesOfAll();
        var mean = new double[choices];
        var count = 0;
        foreach (var (row, t) in Places())
        {
            count++;
            for (var c = 0; c < choices; c++)
            {
                mean[c] += _probabilitiesOfAll[(row * _length + t) * choices + c];
            }
        }

        return [.. mean.Select(sum => (float)(count > 0 ? sum / count : 0))];
    }

    private float[] ProbabilitiesOfAll()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var logits = _agent.Logits(_x, _pad.ToRollout(_device));
        var first = 0L;
        var parts = new List<Tensor>();
        for (var action = 0; action < _world.Actions.DiscreteCount; action++)
        {
            var own = _world.Actions.ChoicesOf(action);
            parts.Add(logits.narrow(-1, first, own).softmax(-1));
            first += own;
        }

        return cat([.. parts], -1).cpu().contiguous().data<float>().ToArray();
    }

    private float[] OfSteps(Func<int, int, float> number) =>
        [.. Places().Select(place => number(place.Row, place.Step))];

    private IEnumerable<(int Row, int Step)> Places()
    {
        for (var row = Member * _copies; row < (Member + 1) * _copies; row++)
        {
            for (var t = 0; t < _length; t++)
            {
                if (_pad.IsValid(row, t))
                {
                    yield return (row, t);
                }
            }
        }
    }
}
