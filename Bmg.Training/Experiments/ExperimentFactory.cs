using Bmg.Training.Configuration;
using Bmg.Training.Runs;

namespace Bmg.Training.Experiments;

/// <summary>The experiments there are.</summary>
public sealed class ExperimentFactory : IExperimentFactory
{
    /// <inheritdoc/>
    public IExperiment Create(RunConfiguration configuration) =>
        configuration.Experiment switch
        {
            ExperimentKind.TwoColors => new TwoColorsExperiment(configuration, DerivedSettings.Of(configuration)),
            _ => throw new NotSupportedException($"experiment '{configuration.Experiment}'"),
        };
}
