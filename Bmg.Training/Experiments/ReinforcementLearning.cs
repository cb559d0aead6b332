using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Experiments;

/// <summary>The experiment in which an agent learns in an environment; it has no settings of its own: they stand under "environment" and
/// "learner".</summary>
public sealed record ReinforcementLearningSettings;

/// <summary>A population of agents, each in an environment of its own.</summary>
public sealed class ReinforcementLearning : IExperimentKind
{
    /// <inheritdoc/>
    public IEnumerable<BrokenRule> Broken(RunConfiguration configuration) =>
        configuration.Learner.Make(AgentKinds.Agent).Broken(configuration);

    /// <inheritdoc/>
    public IEnumerable<MemoryNeed> Needs(RunConfiguration configuration)
    {
        foreach (MemoryNeed need in configuration.Learner.Make(AgentKinds.Agent).Needs(configuration))
        {
            yield return need;
        }
        if (configuration.Environment.Settings is IEnvironmentMemory { Memory: var world })
        {
            yield return new MemoryNeed(
                world.Setting,
                $"{world.Setting}² × members",
                configuration.Members * world.Bytes
            );
        }
    }

    /// <inheritdoc/>
    public IExperiment Create(RunConfiguration configuration, DerivedSettings derived, CancellationToken abandon) =>
        new PopulationExperiment(configuration, derived, abandon);

    /// <inheritdoc/>
    public float[]? KnownInputs(RunConfiguration configuration) => ConfiguredEnvironment.AllObservations(configuration);
}
