using Bmg.Training.Agents;
using Bmg.Training.Progress;

namespace Bmg.Training.Runs;

/// <summary>How tables speak of the metric that members are judged by.</summary>
/// <param name="TotalLabel">Heading of its total over the run, or of its mean where it does not add up.</param>
/// <param name="RateLabel">Heading of its mean over the last tenth of the run, without saying so.</param>
/// <param name="AddsUp">Whether it adds up: a reward does, a share of examples does not.</param>
internal sealed record FirstMetric(string TotalLabel, string RateLabel, bool AddsUp)
{
    /// <summary>That of a metric.</summary>
    /// <param name="metric">The metric; a reward where it is not known.</param>
    public static FirstMetric Of(Metric? metric)
    {
        string label = metric?.Label ?? "reward";
        return metric is null or { Aggregation: Aggregation.PerEnvironmentStep }
            ? new FirstMetric($"total {label}", $"{label} a step", AddsUp: true)
            : new FirstMetric($"mean {label}", label, AddsUp: false);
    }

    /// <summary>What stands under <see cref="TotalLabel"/>.</summary>
    /// <param name="total">The sum over the run.</param>
    /// <param name="length">The length of the run.</param>
    public double Value(double total, long length) => AddsUp ? total : total / length;

    /// <summary>The same for people.</summary>
    public string Text(double total, long length) =>
        AddsUp ? Figures.Count(total) : Figures.Number(Value(total, length));
}
