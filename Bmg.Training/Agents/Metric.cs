namespace Bmg.Training.Agents;

/// <summary>How the values of a metric within one reporting interval become one number.</summary>
public enum Aggregation
{
    /// <summary>Mean over the meta-steps of the interval, each weighted by its length.</summary>
    Mean,

    /// <summary>Sum over the interval divided by its length, in environment steps: a rate.</summary>
    PerEnvironmentStep,
}

/// <summary>A quantity that an experiment reports after every meta-step, one number a member.</summary>
/// <param name="Name">Key in metrics.jsonl and TensorBoard, camel case ("reward", "entropyWeight").</param>
/// <param name="Label">Axis label in the report ("entropy weight").</param>
/// <param name="Unit">Unit for the axis ("per environment step", "nats"); empty for none.</param>
/// <param name="Aggregation">How an interval is condensed.</param>
public sealed record Metric(string Name, string Label, string Unit, Aggregation Aggregation);

/// <summary>What one meta-step did.</summary>
/// <param name="Steps">Length of this meta-step for each member, in the unit of the experiment.</param>
/// <param name="Values">[metric][member], metrics in the order of <see cref="ILearners.Metrics"/>. A quantity that does not exist in this
/// meta-step (μ where there is no meta-learning) is NaN and is left out of every aggregate.</param>
public sealed record MetaStepReport(int Steps, double[][] Values);
