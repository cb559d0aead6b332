using System.Text.Json.Serialization;

namespace Bmg.Training.Agents;

/// <summary>How the values of a metric within one reporting interval become one number.</summary>
public enum Aggregation
{
    /// <summary>Mean over the meta-steps of the interval, each weighted by its length.</summary>
    Mean,

    /// <summary>Sum over the interval divided by its length, in environment steps: a rate.</summary>
    PerEnvironmentStep,

    /// <summary>Mean over the episodes that ended in the interval.</summary>
    PerEpisode,
}

/// <summary>A quantity that an experiment reports after every meta-step, one number a member.</summary>
/// <param name="Name">Key in metrics.jsonl and TensorBoard, camel case ("reward", "entropyWeight").</param>
/// <param name="Label">Axis label in the report ("entropy weight").</param>
/// <param name="Unit">Unit for the axis ("per environment step", "nats"); empty for none.</param>
/// <param name="Aggregation">How an interval is condensed.</param>
public sealed record Metric(string Name, string Label, string Unit, Aggregation Aggregation)
{
    /// <summary>Of a hyper-parameter that is learned between bounds, these; null of anything else.</summary>
    [JsonIgnore]
    public (double Low, double High)? Bounds { get; init; }

    /// <summary>The metric of a hyper-parameter.</summary>
    /// <param name="hyper">Its name and bounds.</param>
    /// <param name="isLearned">Whether it can move at all.</param>
    public static Metric Of(HyperOutput hyper, bool isLearned) =>
        new(hyper.Name, LabelOf(hyper.Name), "", Aggregation.Mean)
        {
            Bounds = isLearned ? (hyper.Low, hyper.High) : null,
        };

    private static string LabelOf(string name) =>
        name switch
        {
            HyperParameters.EntropyWeight => "entropy weight",
            HyperParameters.Epsilon => "rate of exploration ε",
            HyperParameters.Discount => "discount γ",
            HyperParameters.TraceDecay => "trace decay λ",
            HyperParameters.ValueWeight => "value weight",
            HyperParameters.LearningRate => "learning rate",
            HyperParameters.GradientClip => "gradient clip",
            _ => name,
        };
}

/// <summary>What one meta-step did.</summary>
/// <param name="Steps">Length of this meta-step for each member, in the unit of the experiment.</param>
/// <param name="Values">[metric][member], metrics in the order of <see cref="ILearners.Metrics"/>. A quantity that does not exist in this
/// meta-step (μ where there is no meta-learning) is NaN and is left out of every aggregate.</param>
public sealed record MetaStepReport(int Steps, double[][] Values)
{
    /// <summary>Episodes that ended, one number a member: the weights of values per episode; null where there are no episodes.</summary>
    public double[]? Weights { get; init; }
}
