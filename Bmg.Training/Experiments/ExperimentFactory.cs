using Bmg.Training.Configuration;
using Bmg.Training.Runs;

namespace Bmg.Training.Experiments;

/// <summary>The experiments there are.</summary>
public sealed class ExperimentFactory : IExperimentFactory
{
    /// <inheritdoc/>
    public IExperiment Create(RunConfiguration configuration) => Create(configuration, CancellationToken.None);

    /// <inheritdoc/>
    public IExperiment Create(RunConfiguration configuration, CancellationToken abandon) =>
        new PopulationExperiment(configuration, DerivedSettings.Of(configuration), abandon);
}
