namespace Bmg.Training.Progress;

/// <summary>Curves in a line of characters.</summary>
internal static class Sparkline
{
    private const string Levels = "▁▂▃▄▅▆▇█";

    /// <summary>Means of a curve over cells of one width. A cell without a point has the value of the one before, so that a curve of few points has no
    /// gaps; NaN before the first point and after the last.</summary>
    /// <param name="x">Where the points are.</param>
    /// <param name="y">The points; those that are not finite are left out.</param>
    /// <param name="end">Right end; the left one is 0.</param>
    /// <param name="cells">How many cells.</param>
    public static double[] Resample(double[] x, double[] y, double end, int cells)
    {
        double[] sums = new double[cells];
        int[] counts = new int[cells];
        for (int i = 0; i < x.Length; i++)
        {
            if (double.IsFinite(y[i]))
            {
                int cell = Math.Clamp((int)(x[i] / end * cells), 0, cells - 1);
                sums[cell] += y[i];
                counts[cell]++;
            }
        }
        int last = Array.FindLastIndex(counts, count => count > 0);
        double[] means = new double[cells];
        for (int i = 0; i < cells; i++)
        {
            means[i] =
                counts[i] > 0 ? sums[i] / counts[i]
                : i > 0 && i < last ? means[i - 1]
                : double.NaN;
        }
        return means;
    }

    /// <summary>One character a value, by its place between two bounds; a space for NaN.</summary>
    public static string Of(IEnumerable<double> values, double low, double high) =>
        string.Concat(
            values.Select(value =>
                double.IsNaN(value) ? ' '
                : high > low
                    ? Levels[Math.Clamp((int)((value - low) / (high - low) * Levels.Length), 0, Levels.Length - 1)]
                : Levels[0]
            )
        );

    /// <summary>Arrows below the cells of some places.</summary>
    public static string Marks(IEnumerable<long> places, double end, int cells)
    {
        char[] row = [.. Enumerable.Repeat(' ', cells)];
        foreach (long place in places.Where(place => place > 0 && place < end))
        {
            row[Math.Clamp((int)(place / end * cells), 0, cells - 1)] = '↑';
        }
        return new string(row);
    }
}
