using Bmg.Training.Configuration;

namespace Bmg.Training.Experiments;

/// <summary>Makes experiments of the kinds that are registered.</summary>
public sealed class ExperimentFactory : IExperimentFactory
{
    /// <inheritdoc/>
    public IExperiment Create(RunConfiguration configuration) => Create(configuration, CancellationToken.None);

    /// <inheritdoc/>
    /// <exception cref="ConfigurationException">It cannot fit into this machine's memory.</exception>
    public IExperiment Create(RunConfiguration configuration, CancellationToken abandon)
    {
        MemoryNeeds.Require(configuration, configuration.Name);
        return ExperimentKinds.Of(configuration).Create(configuration, DerivedSettings.Of(configuration), abandon);
    }
}
