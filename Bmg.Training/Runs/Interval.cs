using Bmg.Training.Agents;

namespace Bmg.Training.Runs;

/// <summary>
/// The metrics of an unfinished interval: for every metric and member a sum, and the environment steps that it weighs. Plain numbers, so
/// that a checkpoint keeps them to the last bit.
/// </summary>
/// <param name="Steps">Environment steps of each member in the interval so far.</param>
/// <param name="Sums">[metric][member].</param>
/// <param name="Weights">[metric][member], environment steps that had a value.</param>
public sealed record Interval(long Steps, double[][] Sums, double[][] Weights)
{
    /// <summary>Nothing yet.</summary>
    public static Interval Empty(int metrics, int members) => new(0, Zeros(metrics, members), Zeros(metrics, members));

    /// <summary>With one more meta-step; values that are NaN do not count.</summary>
    public Interval Add(IReadOnlyList<Metric> metrics, MetaStepReport report)
    {
        double[][] sums = Copy(Sums);
        double[][] weights = Copy(Weights);
        for (int i = 0; i < metrics.Count; i++)
        {
            for (int member = 0; member < sums[i].Length; member++)
            {
                double value = report.Values[i][member];
                if (!double.IsNaN(value))
                {
                    // A rate is a sum already; means are weighted by the steps, or by the episodes, that they are of.
                    double weight =
                        metrics[i].Aggregation == Aggregation.PerEpisode ? report.Weights![member] : report.Steps;
                    sums[i][member] +=
                        metrics[i].Aggregation == Aggregation.PerEnvironmentStep ? value : weight * value;
                    weights[i][member] += weight;
                }
            }
        }
        return new Interval(Steps + report.Steps, sums, weights);
    }

    /// <summary>[metric][member]: the interval in one number each, NaN where there was no value.</summary>
    public double[][] Values() =>
        [.. Sums.Select((sums, i) => sums.Zip(Weights[i], (sum, weight) => sum / weight).ToArray())];

    private static double[][] Zeros(int metrics, int members) =>
        [.. Enumerable.Range(0, metrics).Select(_ => new double[members])];

    private static double[][] Copy(double[][] values) => [.. values.Select(row => (double[])row.Clone())];
}
