namespace Bmg.Training.Progress;

/// <summary>A run's metrics so far, each condensed into cells of one width from its start to its end: what a display can draw, of one size however
/// long the run.</summary>
internal sealed class Trail
{
    private const int Cells = 120;
    private readonly double _end;
    private readonly double[][] _sums;
    private readonly int[][] _counts;

    /// <summary>Of no interval yet.</summary>
    /// <param name="metrics">How many metrics.</param>
    /// <param name="end">Length of the run.</param>
    public Trail(int metrics, double end)
    {
        _end = Math.Max(1, end);
        _sums = [.. Enumerable.Range(0, metrics).Select(_ => new double[Cells])];
        _counts = [.. Enumerable.Range(0, metrics).Select(_ => new int[Cells])];
    }

    /// <summary>Adds an interval: each metric's mean over members; those that are not finite are left out.</summary>
    public void Add(long at, IReadOnlyList<double> means)
    {
        int cell = Math.Clamp((int)((at - 1) / _end * Cells), 0, Cells - 1);
        for (int i = 0; i < _sums.Length; i++)
        {
            if (double.IsFinite(means[i]))
            {
                _sums[i][cell] += means[i];
                _counts[i][cell]++;
            }
        }
    }

    /// <summary>A copy: [metric][cell], NaN where there is nothing.</summary>
    public double[][] Means() =>
        [
            .. _sums.Zip(
                _counts,
                (sums, counts) => sums.Zip(counts, (sum, count) => count == 0 ? double.NaN : sum / count).ToArray()
            ),
        ];
}
