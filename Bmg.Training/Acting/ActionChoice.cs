using System.Numerics.Tensors;
using Bmg.Export.Checkpoints;
using Bmg.Training.Environments;

namespace Bmg.Training.Acting;

/// <summary>
/// From a policy's raw outputs to an action of an environment. Of continuous actions the policy's own range is −1 to 1, which is stretched to
/// the bounds; what was drawn beyond is clipped for the environment, and stays as it was for the learner.
/// </summary>
public sealed class ActionChoice
{
    private readonly ActionSpace _space;
    private readonly Distribution _distribution;
    private readonly bool _isPlain;
    private readonly bool[] _allowed;
    private readonly float[] _drawn;
    private readonly int[] _indices;
    private readonly float[] _values;

    /// <summary>For an environment and what a policy's outputs mean.</summary>
    /// <exception cref="UsageException">They do not go together.</exception>
    public ActionChoice(EnvironmentDescription description, Distribution distribution)
    {
        _space = description.Actions;
        _distribution = distribution;
        Require(description, distribution);
        _isPlain = _space is ActionSpace.Discrete && !description.Masks;
        _allowed = new bool[description.Masks ? _space.MaskSize : 0];
        _drawn = new float[distribution.ActionSize];
        _indices = new int[_space.DiscreteCount];
        _values = new float[_space.ContinuousCount];
    }

    /// <summary>What a policy's outputs mean, by default, in an environment.</summary>
    public static Distribution DistributionOf(ActionSpace space) =>
        space switch
        {
            ActionSpace.Discrete one => Distributions.Categorical(one.Names.Count),
            ActionSpace.Several several => Distributions.Categoricals([
                .. several.Actions.Select(action => action.Choices.Count),
            ]),
            ActionSpace.Continuous continuous => Distributions.Gaussian(continuous.Actions.Count),
            _ => throw new NotSupportedException($"action space '{space}'"),
        };

    /// <summary>Where masks are written before a choice; empty where everything is always allowed.</summary>
    public Span<bool> Allowed => _allowed;

    /// <summary>What was drawn last, as the learner sees it: indices, or numbers before they are clipped.</summary>
    public ReadOnlySpan<float> Drawn => _drawn;

    /// <summary>The action that was drawn last, as the environment takes it.</summary>
    public EnvironmentAction Action =>
        _values.Length > 0 ? EnvironmentAction.Of(_values) : EnvironmentAction.Of(_indices);

    /// <summary>Draws an action, or takes the likeliest.</summary>
    /// <param name="raw">The policy's outputs for one observation; overwritten.</param>
    /// <param name="random">Where to draw from; null for the likeliest.</param>
    public void Choose(Span<float> raw, Rng? random)
    {
        if (_isPlain && random is not null)
        {
            TensorPrimitives.SoftMax<float>(raw, raw);
            _indices[0] = Categorical.Sample(raw, random.NextDouble());
            _drawn[0] = _indices[0];
            return;
        }

        if (_allowed.Length > 0)
        {
            Distributions.Mask(raw, _allowed);
        }

        if (random is null)
        {
            _distribution.Greedy.Invoke(raw, _drawn);
        }
        else
        {
            _ = _distribution.Draw.Invoke(raw, random, _drawn);
        }

        for (var i = 0; i < _indices.Length; i++)
        {
            _indices[i] = (int)_drawn[i];
        }

        if (_space is ActionSpace.Continuous continuous)
        {
            for (var i = 0; i < _values.Length; i++)
            {
                var (_, low, high) = continuous.Actions[i];
                _values[i] = NumberDescription.Stretch(_drawn[i], low, high);
            }
        }
    }

    private static void Require(EnvironmentDescription description, Distribution distribution)
    {
        var expected = DistributionOf(description.Actions);
        if (expected.Name != distribution.Name)
        {
            throw new UsageException(
                $"agent: found a policy over {distribution.Name}, expected {expected.Name} in an environment whose actions are {description.Actions}."
            );
        }
    }
}
