using Bmg.Training.Runs;

namespace Bmg.Training.Reporting;

/// <summary>A metric over environment steps, condensed over members; all arrays have one element a point.</summary>
/// <param name="X">Environment steps of each member.</param>
/// <param name="Mean">Mean over members; NaN where no member had a value.</param>
/// <param name="Low">Smallest over members.</param>
/// <param name="High">Largest over members.</param>
/// <param name="Deviation">Sample standard deviation over members.</param>
/// <param name="Members">How many members there are.</param>
public sealed record Series(double[] X, double[] Mean, double[] Low, double[] High, double[] Deviation, int Members)
{
    /// <summary>A metric of a run, in at most <paramref name="points"/> points: neighbours are averaged, their extremes kept.</summary>
    public static Series Of(MetricsLog log, string metric, int points = 1000)
    {
        IReadOnlyList<double[]> rows = log.Values[metric];
        int size = Math.Max(1, (int)Math.Ceiling(rows.Count / (double)points));
        int members = rows.Count == 0 ? 0 : rows[0].Length;
        List<double> x = [];
        List<double> mean = [];
        List<double> low = [];
        List<double> high = [];
        List<double> deviation = [];
        for (int start = 0; start < rows.Count; start += size)
        {
            int end = Math.Min(start + size, rows.Count);
            List<Spread> spreads = [];
            List<double> all = [];
            for (int i = start; i < end; i++)
            {
                double[] finite = [.. rows[i].Where(double.IsFinite)];
                if (finite.Length > 0)
                {
                    spreads.Add(Spread.Of(finite));
                    all.AddRange(finite);
                }
            }
            x.Add(Enumerable.Range(start, end - start).Average(i => log.EnvironmentSteps[i]));
            mean.Add(spreads.Count == 0 ? double.NaN : spreads.Average(spread => spread.Mean));
            deviation.Add(spreads.Count == 0 ? double.NaN : spreads.Average(spread => spread.Deviation));
            low.Add(all.Count == 0 ? double.NaN : all.Min());
            high.Add(all.Count == 0 ? double.NaN : all.Max());
        }
        return new Series([.. x], [.. mean], [.. low], [.. high], [.. deviation], members);
    }
}
