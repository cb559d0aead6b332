using Bmg.Training.Agents;
using Bmg.Training.Progress;

namespace Bmg.Training.Runs;

/// <summary>How tables speak of the metric that members are judged by.</summary>
/// <param name="TotalLabel">Heading of its total over the run; empty where it has none.</param>
/// <param name="RateLabel">Heading of its mean over the last tenth of the run.</param>
/// <param name="IsRate">Whether it adds up: a reward does, a share of examples does not, and has no total.</param>
internal sealed record FirstMetric(string TotalLabel, string RateLabel, bool IsRate)
{
    /// <summary>That of a run.</summary>
    /// <param name="metrics">What it measured; a reward where that is not known.</param>
    public static FirstMetric Of(IReadOnlyList<Metric> metrics)
    {
        string label = metrics.Count > 0 ? metrics[0].Label : "reward";
        bool isRate = metrics.Count == 0 || metrics[0].Aggregation == Aggregation.PerEnvironmentStep;
        return new FirstMetric(
            isRate ? $"total {label}" : "",
            isRate ? $"{label} a step, last tenth" : $"{label}, last tenth",
            isRate
        );
    }

    /// <summary>A total for people; nothing where there is none.</summary>
    public string Total(double value) => IsRate ? Figures.Count(value) : "";
}
