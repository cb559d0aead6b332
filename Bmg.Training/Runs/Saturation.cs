using Bmg.Training.Agents;
using Bmg.Training.Progress;

namespace Bmg.Training.Runs;

/// <summary>Tells when a bounded hyper-parameter has come to rest at one of its bounds.</summary>
internal static class Saturation
{
    /// <summary>How near to a bound counts as at it, as a share of the range.</summary>
    private const double Nearness = 1e-6;

    /// <summary>What to say of an interval, or null where no hyper-parameter sits at one bound in every member.</summary>
    /// <param name="metrics">What was measured.</param>
    /// <param name="values">The interval's values, [metric][member]; NaN where there was none.</param>
    /// <param name="environmentSteps">Of each member, at the interval's end.</param>
    public static string? Of(IReadOnlyList<Metric> metrics, double[][] values, long environmentSteps)
    {
        for (int i = 0; i < metrics.Count; i++)
        {
            if (metrics[i].Bounds is not { } range)
            {
                continue;
            }
            double[] found = [.. values[i].Where(v => !double.IsNaN(v))];
            foreach (double bound in (double[])[range.Low, range.High])
            {
                if (
                    found.Length > 0
                    && Array.TrueForAll(found, v => Math.Abs(v - bound) <= Nearness * (range.High - range.Low))
                )
                {
                    return FormattableString.Invariant(
                        $"At environment step {Figures.Count(environmentSteps)} the {metrics[i].Label} of every member is within {Nearness:0e+0} of its bound {bound}, where the meta-gradient moves it only slowly: wider bounds or a smaller meta.learningRate keep it from there."
                    );
                }
            }
        }
        return null;
    }
}
