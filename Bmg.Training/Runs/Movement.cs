using Bmg.Training.Agents;
using Bmg.Training.Progress;

namespace Bmg.Training.Runs;

/// <summary>How far what is meta-learned has moved.</summary>
internal static class Movement
{
    /// <summary>Of the range between the bounds.</summary>
    private const double Least = 0.01;

    /// <summary>A line where nothing that is learned has moved by a hundredth of its range, as a mean over members, at any time of the run; null
    /// otherwise, and where nothing is learned.</summary>
    /// <param name="metrics">Those of the run; what is learned has bounds.</param>
    /// <param name="log">Its metrics.</param>
    public static string? Of(IReadOnlyList<Metric> metrics, MetricsLog log)
    {
        List<string> still = [];
        foreach (Metric metric in metrics)
        {
            if (metric.Bounds is not var (low, high) || !double.IsFinite(high - low))
            {
                continue;
            }
            double[] means = [.. log.Values[metric.Name].Select(row => Spread.Of(row).Mean).Where(double.IsFinite)];
            if (means.Length < 2 || means.Max() - means.Min() >= Least * (high - low))
            {
                return null;
            }
            still.Add(
                FormattableString.Invariant($"{metric.Label} {means[0]:G5} → {means[^1]:G5} of [{low:G5}, {high:G5}]")
            );
        }
        return still.Count == 0
            ? null
            : $"What is meta-learned has hardly moved: {string.Join(", ", still)}. A larger meta.learningRate or a smaller meta.epsilon moves it more.";
    }
}
