using Bmg.Training.Acting;

namespace Bmg.Training.Agents;

/// <summary>Returns and lengths of the episodes that ended since they were taken last; nothing where an environment has none.</summary>
internal sealed class EpisodeTally
{
    private readonly bool _ends;
    private readonly double[] _returns;
    private readonly double[] _lengths;
    private readonly double[] _counts;

    /// <summary>A tally of these streams.</summary>
    public EpisodeTally(Streams streams)
    {
        _ends = streams.Description.Ends;
        (_returns, _lengths, _counts) = (
            new double[streams.Members],
            new double[streams.Members],
            new double[streams.Members]
        );
        streams.EpisodeEnded = (member, sum, length) =>
        {
            _returns[member] += sum;
            _lengths[member] += length;
            _counts[member]++;
        };
    }

    /// <summary>What it reports, where an environment has episodes: means over those that ended, weighted by how many there were.</summary>
    public static IReadOnlyList<Metric> Metrics { get; } =
    [
        new("episodeReturn", "return", "per episode", Aggregation.PerEpisode),
        new("episodeLength", "length of an episode", "steps", Aggregation.PerEpisode),
    ];

    /// <summary>Means of each member since the last call, in the order of <see cref="Metrics"/>, NaN where no episode ended.</summary>
    /// <param name="weights">How many ended, one number a member; null where an environment has no episodes.</param>
    public double[][] Take(out double[]? weights)
    {
        if (!_ends)
        {
            weights = null;
            return [];
        }

        weights = (double[])_counts.Clone();
        double[][] means = [Means(_returns), Means(_lengths)];
        Array.Clear(_returns);
        Array.Clear(_lengths);
        Array.Clear(_counts);
        return means;
    }

    private double[] Means(double[] sums) =>
        [.. sums.Zip(_counts, (sum, count) => count > 0 ? sum / count : double.NaN)];
}
