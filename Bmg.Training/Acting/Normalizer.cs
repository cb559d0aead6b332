using System.Numerics.Tensors;
using Bmg.Export.Checkpoints;
using TorchSharp;
using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>Running moments of one member; all there is to save of its normalisation beside what is applied.</summary>
/// <param name="Count">Observations seen.</param>
/// <param name="Means">[O] mean of each number of an observation; empty where observations are not normalised.</param>
/// <param name="Squares">[O] sum of squared deviations of each.</param>
/// <param name="ReturnCount">Discounted sums of rewards seen, one a step.</param>
/// <param name="ReturnMean">Their mean.</param>
/// <param name="ReturnSquares">Sum of their squared deviations.</param>
/// <param name="Returns">[N] the discounted sum of each stream's episode under way; empty where rewards are not normalised.</param>
public sealed record NormalizerState(
    long Count,
    double[] Means,
    double[] Squares,
    long ReturnCount,
    double ReturnMean,
    double ReturnSquares,
    double[] Returns
);

/// <summary>
/// Normalisation of what the learners see, by statistics of each member's own life, over all its streams. Observations become (o − mean) ÷
/// deviation, number by number; rewards are divided by the deviation of the discounted sum of rewards, and keep their sign; both are then held
/// within ±<see cref="Limit"/>. What observations are normalised by stays the same within a rollout, so that a target and its learner see equal
/// inputs. Names and limits are as in Stable-Baselines3's VecNormalize (Raffin et al., JMLR 2021).
/// </summary>
public sealed class Normalizer : IDisposable
{
    /// <summary>Largest magnitude of a normalised number.</summary>
    public const float Limit = 10;

    /// <summary>Added to variances.</summary>
    private const double Least = 1e-8;

    private readonly int _width;
    private readonly int _copies;
    private readonly double _discount;
    private readonly long[] _counts;
    private readonly double[] _means;
    private readonly double[] _squares;
    private readonly long[] _returnCounts;
    private readonly double[] _returnMeans;
    private readonly double[] _returnSquares;
    private readonly double[] _returns;

    /// <summary>Moments of nothing: observations and rewards are left as they are until something was seen.</summary>
    /// <param name="members">P.</param>
    /// <param name="copies">N, streams of each.</param>
    /// <param name="width">O, numbers of an observation.</param>
    /// <param name="observations">Whether observations are normalised.</param>
    /// <param name="rewards">Whether rewards are.</param>
    /// <param name="discount">γ of the discounted sums.</param>
    public Normalizer(int members, int copies, int width, bool observations, bool rewards, double discount)
    {
        (_copies, _discount) = (copies, discount);
        (Observations, Rewards) = (observations, rewards);
        _width = observations ? width : 0;
        _counts = new long[members];
        _means = new double[members * _width];
        _squares = new double[members * _width];
        _returnCounts = new long[members];
        _returnMeans = new double[members];
        _returnSquares = new double[members];
        _returns = new double[rewards ? members * copies : 0];
        if (observations)
        {
            Applied = Params
                .Create(
                    [NormalizationDescription.Mean, NormalizationDescription.Scale],
                    [
                        zeros([members, width], dtype: ScalarType.Float32),
                        ones([members, width], dtype: ScalarType.Float32),
                    ]
                )
                .DetachFromScope();
        }
    }

    /// <summary>Whether observations are normalised.</summary>
    public bool Observations { get; }

    /// <summary>Whether rewards are.</summary>
    public bool Rewards { get; }

    /// <summary>What is applied to observations, [P, O] each: mean, and what the difference to it is multiplied by. This object's own; null
    /// where observations are not normalised.</summary>
    public Params? Applied { get; }

    /// <summary>(o − mean)·scale within ±<see cref="Limit"/>, of one member; input and output may be the same.</summary>
    public void Apply(int member, ReadOnlySpan<float> observation, Span<float> normalized)
    {
        TensorPrimitives.Subtract(observation, Row(NormalizationDescription.Mean, member), normalized);
        TensorPrimitives.Multiply(normalized, Row(NormalizationDescription.Scale, member), normalized);
        Hold(normalized);
    }

    /// <summary>Takes an observation of a member into its moments; what is applied changes with <see cref="Renew"/>.</summary>
    public void See(int member, ReadOnlySpan<float> observation)
    {
        var count = ++_counts[member];
        var means = _means.AsSpan(member * _width, _width);
        var squares = _squares.AsSpan(member * _width, _width);
        for (var i = 0; i < _width; i++)
        {
            var difference = observation[i] - means[i];
            means[i] += difference / count;
            squares[i] += difference * (observation[i] - means[i]);
        }
    }

    /// <summary>Takes a reward into a member's moments.</summary>
    /// <param name="member">Whose.</param>
    /// <param name="copy">Of which stream.</param>
    /// <param name="reward">The reward as it is.</param>
    /// <param name="ended">Whether the episode ended with it.</param>
    public void See(int member, int copy, float reward, bool ended)
    {
        ref var sum = ref _returns[member * _copies + copy];
        sum = _discount * sum + reward;
        var count = ++_returnCounts[member];
        var difference = sum - _returnMeans[member];
        _returnMeans[member] += difference / count;
        _returnSquares[member] += difference * (sum - _returnMeans[member]);
        sum = ended ? 0 : sum;
    }

    /// <summary>Divides a member's rewards by the deviation of their discounted sums so far.</summary>
    public void ApplyToRewards(int member, Span<float> rewards)
    {
        if (_returnCounts[member] > 1)
        {
            TensorPrimitives.Multiply(
                rewards,
                (float)(1 / Math.Sqrt(_returnSquares[member] / _returnCounts[member] + Least)),
                rewards
            );
        }

        Hold(rewards);
    }

    /// <summary>Applies to observations from now on what was seen by now.</summary>
    public void Renew(int member)
    {
        if (!Observations || _counts[member] < 2)
        {
            return;
        }

        var mean = Row(NormalizationDescription.Mean, member);
        var scale = Row(NormalizationDescription.Scale, member);
        for (var i = 0; i < _width; i++)
        {
            mean[i] = (float)_means[member * _width + i];
            scale[i] = (float)(1 / Math.Sqrt(_squares[member * _width + i] / _counts[member] + Least));
        }
    }

    /// <summary>All there is to save of a member beside <see cref="Applied"/>.</summary>
    public NormalizerState Save(int member) =>
        new(
            _counts[member],
            _means[(member * _width)..((member + 1) * _width)],
            _squares[(member * _width)..((member + 1) * _width)],
            _returnCounts[member],
            _returnMeans[member],
            _returnSquares[member],
            Rewards ? _returns[(member * _copies)..((member + 1) * _copies)] : []
        );

    /// <summary>Puts a member back to what <see cref="Save"/> gave.</summary>
    /// <param name="member">Whose.</param>
    /// <param name="state">Its moments.</param>
    /// <param name="applied">[O] each: what was applied to its observations; null where they are not normalised.</param>
    /// <exception cref="ArgumentException">These are none that there can be.</exception>
    public void Restore(int member, NormalizerState? state, (float[] Mean, float[] Scale)? applied)
    {
        if (
            state is not { Means: not null, Squares: not null, Returns: not null }
            || state.Means.Length != _width
            || state.Squares.Length != _width
            || state.Returns.Length != (Rewards ? _copies : 0)
            || state.Count < 0
            || state.ReturnCount < 0
            || !double.IsFinite(state.ReturnMean)
            || !(state.ReturnSquares >= 0 && double.IsFinite(state.ReturnSquares))
            || !Array.TrueForAll(state.Means, double.IsFinite)
            || !Array.TrueForAll(state.Returns, double.IsFinite)
            || !Array.TrueForAll(state.Squares, square => square >= 0 && double.IsFinite(square))
            || (applied is { } given && !Array.TrueForAll(given.Scale, scale => scale > 0))
        )
        {
            throw new ArgumentException(
                $"Normalizer: expected counts, squares and scales that are not negative, {_width} finite means and {(Rewards ? _copies : 0)} finite returns, found others."
            );
        }

        _counts[member] = state.Count;
        state.Means.CopyTo(_means, member * _width);
        state.Squares.CopyTo(_squares, member * _width);
        (_returnCounts[member], _returnMeans[member], _returnSquares[member]) = (
            state.ReturnCount,
            state.ReturnMean,
            state.ReturnSquares
        );
        if (Rewards)
        {
            state.Returns.CopyTo(_returns, member * _copies);
        }

        if (applied is var (mean, scale))
        {
            mean.CopyTo(Row(NormalizationDescription.Mean, member));
            scale.CopyTo(Row(NormalizationDescription.Scale, member));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Applied is not null)
        {
            Applied.Dispose();
        }
    }

    private static void Hold(Span<float> values)
    {
        TensorPrimitives.Max(values, -Limit, values);
        TensorPrimitives.Min(values, Limit, values);
    }

    private Span<float> Row(string name, int member) =>
        TensorMemory.Elements<float>(Applied![name]).Slice(member * _width, _width);
}
