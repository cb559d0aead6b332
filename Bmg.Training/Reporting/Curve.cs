using Bmg.Training.Runs;

namespace Bmg.Training.Reporting;

/// <summary>A metric at some points: the mean over seeds, and half the width of its 95 % interval (NaN for one seed).</summary>
/// <param name="Mean">Mean over seeds; NaN where there is no value.</param>
/// <param name="HalfWidth">Half the interval's width, by Student's t.</param>
public sealed record Curve(double[] Mean, double[] HalfWidth)
{
    /// <summary>Of values by point and seed.</summary>
    public static Curve Of(IEnumerable<double[]> points)
    {
        double[][] finite = [.. points.Select(point => point.Where(double.IsFinite).ToArray())];
        return new Curve(
            [.. finite.Select(point => point.Length == 0 ? double.NaN : Digits.Six(point.Average()))],
            [.. finite.Select(point => Digits.Six(StudentInterval.HalfWidth(point)))]
        );
    }
}

/// <summary>What a run did over time, and what it explored by.</summary>
/// <param name="Steps">Environment steps of each member; relative to the swap where the curve is around swaps.</param>
/// <param name="Reward">Reward an environment step.</param>
/// <param name="Exploration">The exploration metric; null where the run has none.</param>
public sealed record Curves(double[] Steps, Curve Reward, Curve? Exploration);

/// <summary>Numbers as results keep them.</summary>
internal static class Digits
{
    /// <summary>Rounded to six significant digits.</summary>
    public static double Six(double value)
    {
        if (!double.IsFinite(value) || value == 0)
        {
            return value;
        }
        System.Globalization.CultureInfo plain = System.Globalization.CultureInfo.InvariantCulture;
        return double.Parse(value.ToString("G6", plain), plain);
    }
}

/// <summary>Condenses the metrics of a run over its seeds.</summary>
public static class CurveReader
{
    private const int MostPoints = 200;
    private const int MostBins = 50;

    /// <summary>The metric that says how much a run explores: "entropyWeight" or "epsilon"; null where it has neither.</summary>
    public static string? ExplorationMetric(RunRecord record) =>
        record.Metrics.Select(metric => metric.Name).FirstOrDefault(name => name is "entropyWeight" or "epsilon");

    /// <summary>The learning curve, in at most 200 points: neighbouring intervals are averaged, each seed for itself.</summary>
    public static Curves Learning(MetricsLog log, string reward, string? exploration)
    {
        int[][] groups = Groups(log);
        return Condense(log, reward, exploration, Steps(log, groups), groups);
    }

    /// <summary>The learning curve of each member, without an interval, and the points of <see cref="Learning"/> where they are.</summary>
    public static (double[] Steps, Curve[] Members) Members(MetricsLog log, string metric)
    {
        int[][] groups = Groups(log);
        double[][] means = [.. groups.Select(group => Means(log, metric, group))];
        int members = means.Length == 0 ? 0 : means[0].Length;
        return (
            Steps(log, groups),
            [.. Enumerable.Range(0, members).Select(i => Curve.Of(means.Select(point => new[] { point[i] })))]
        );
    }

    /// <summary>
    /// What happens around swaps: the mean over the swaps of the run's last half, aligned at the swap, from a fifth of a period before it to
    /// four fifths after it. Null where no swap of the last half has all of that.
    /// </summary>
    public static Curves? AroundSwaps(MetricsLog log, IReadOnlyList<long> changes, string reward, string? exploration)
    {
        if (changes.Count == 0 || log.EnvironmentSteps.Count == 0)
        {
            return null;
        }
        double period = changes.Count > 1 ? changes[1] - changes[0] : changes[0];
        long[] swaps =
        [
            .. changes.Where(swap =>
                swap >= log.End / 2.0 && swap - (0.2 * period) >= 0 && swap + (0.8 * period) <= log.End
            ),
        ];
        if (swaps.Length == 0)
        {
            return null;
        }
        double interval = log.End / (double)log.EnvironmentSteps.Count;
        int bins = Math.Clamp((int)Math.Round(period / interval), 1, MostBins);
        List<int>[] groups = [.. Enumerable.Range(0, bins).Select(_ => new List<int>())];
        for (int i = 0; i < log.EnvironmentSteps.Count; i++)
        {
            double middle = (Start(log, i) + log.EnvironmentSteps[i]) / 2;
            foreach (long swap in swaps)
            {
                int bin = (int)Math.Floor((((middle - swap) / period) + 0.2) * bins);
                if (bin >= 0 && bin < bins)
                {
                    groups[bin].Add(i);
                }
            }
        }
        double[] steps = [.. Enumerable.Range(0, bins).Select(b => Digits.Six((((b + 0.5) / bins) - 0.2) * period))];
        return Condense(log, reward, exploration, steps, [.. groups.Select(group => group.ToArray())]);
    }

    /// <summary>Neighbouring intervals, in at most 200 groups.</summary>
    private static int[][] Groups(MetricsLog log)
    {
        int count = log.EnvironmentSteps.Count;
        int size = Math.Max(1, (int)Math.Ceiling(count / (double)MostPoints));
        return [.. Enumerable.Range(0, count).Chunk(size)];
    }

    /// <summary>The middles of groups.</summary>
    private static double[] Steps(MetricsLog log, int[][] groups) =>
        [.. groups.Select(group => Digits.Six((Start(log, group[0]) + log.EnvironmentSteps[group[^1]]) / 2))];

    private static Curves Condense(
        MetricsLog log,
        string reward,
        string? exploration,
        double[] steps,
        int[][] groups
    ) =>
        new(
            steps,
            Curve.Of(groups.Select(group => Means(log, reward, group))),
            exploration is null ? null : Curve.Of(groups.Select(group => Means(log, exploration, group)))
        );

    /// <summary>A seed's mean over some intervals, weighted by their steps; one number a seed, NaN where it has no value.</summary>
    private static double[] Means(MetricsLog log, string metric, int[] intervals)
    {
        IReadOnlyList<double[]> rows = log.Values[metric];
        double[] sums = new double[rows.Count == 0 ? 0 : rows[0].Length];
        double[] weights = new double[sums.Length];
        foreach (int i in intervals)
        {
            double steps = log.EnvironmentSteps[i] - Start(log, i);
            for (int seed = 0; seed < sums.Length; seed++)
            {
                if (double.IsFinite(rows[i][seed]))
                {
                    sums[seed] += steps * rows[i][seed];
                    weights[seed] += steps;
                }
            }
        }
        return [.. sums.Zip(weights, (sum, weight) => sum / weight)];
    }

    private static double Start(MetricsLog log, int interval) => interval == 0 ? 0 : log.EnvironmentSteps[interval - 1];
}
