using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Agents;

/// <summary>Actor-critics of a configuration.</summary>
/// <param name="settings">Settings of the learner.</param>
public sealed class ActorCriticKind(ActorCriticSettings settings) : IAgentKind
{
    /// <inheritdoc/>
    public Agent Create(RunConfiguration configuration, CancellationToken cancellation) =>
        ActorCriticAgent.Create(configuration, stop: cancellation);

    /// <inheritdoc/>
    public IEnumerable<BrokenRule> Broken(RunConfiguration configuration)
    {
        var weight = configuration.Meta.EntropyWeight;
        foreach (
            var (path, found, expected) in ConfigurationRules.Bounds(
                "meta.entropyWeight",
                weight.Initial,
                weight.Low,
                weight.High,
                configuration.Meta.Method == MetaMethod.Fixed
            )
        )
        {
            yield return new BrokenRule(path, found, expected);
        }

        if (settings.InnerSteps == 0)
        {
            yield return new BrokenRule(
                "learner.innerSteps",
                "0",
                "at least 1: the entropy weight reaches the learner through its steps"
            );
        }
    }

    /// <inheritdoc/>
    public IEnumerable<MemoryNeed> Needs(RunConfiguration configuration)
    {
        double members = configuration.Members;
        var world = ConfiguredEnvironment.Describe(configuration.Environment);
        int[] widths = [world.Observation.Size, .. settings.Hidden, ActionChoice.DistributionOf(world.Actions).Outputs];
        var parameters = LayerSizes.Parameters(widths) + LayerSizes.Parameters([.. widths[..^1], 1]);
        // On a device of its own, tensors take none of this memory.
        double onHost = configuration.Device == DeviceKind.Cpu ? 1 : 0;
        yield return new MemoryNeed(
            "learner.hidden",
            "members × the largest layer of learner.hidden",
            members * LayerSizes.Largest(widths) * sizeof(float),
            IsOneTensor: true
        );
        yield return new MemoryNeed(
            "learner.rolloutLength",
            "members × learner.copies × learner.rolloutLength × observation",
            members * settings.Copies * (settings.RolloutLength + 1.0) * widths[0] * sizeof(float),
            IsOneTensor: true
        );
        yield return new MemoryNeed(
            "learner.hidden",
            "parameters of learner.hidden × members",
            onHost * members * parameters * Copies(configuration) * sizeof(float)
        );
        yield return new MemoryNeed(
            "learner.rolloutLength",
            "rollouts of learner.rolloutLength × members",
            onHost * members * settings.Copies * settings.RolloutLength * widths.Sum(w => (double)w) * sizeof(float)
        );
        foreach (var need in MetaNeeds.Of(configuration, featuresOfRich: 6))
        {
            yield return need;
        }
    }

    /// <summary>How many times as much as the learner's parameters is alive at once.</summary>
    private double Copies(RunConfiguration configuration)
    {
        double state = settings.Optimizer.Settings switch
        {
            AdamSettings => 2,
            MomentumSettings or RmsPropSettings => 1,
            _ => 0,
        };
        double inner =
            configuration.Meta.Method != MetaMethod.Fixed
            && configuration.Meta.Differentiation == DifferentiationKind.Reverse
                ? settings.InnerSteps
                : 1;
        // The learner with its state, its parameters after each differentiated step, a gradient, and the target.
        return 1 + state + inner + 1 + (configuration.Meta.Method == MetaMethod.Bmg ? 1 : 0);
    }
}
