using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Agents;

/// <summary>Q(λ) learners of a configuration.</summary>
/// <param name="settings">Settings of the learner.</param>
public sealed class QLambdaKind(QLambdaSettings settings) : IAgentKind
{
    /// <inheritdoc/>
    public Agent Create(RunConfiguration configuration, CancellationToken cancellation) =>
        QLambdaAgent.Create(configuration, cancellation);

    /// <inheritdoc/>
    /// <remarks>Nothing of it is differentiated, and its steps are written out for one optimizer.</remarks>
    public IEnumerable<BrokenRule> Broken(RunConfiguration configuration)
    {
        var exploration = configuration.Meta.Exploration;
        foreach (
            var (path, found, expected) in ConfigurationRules.Bounds(
                "meta.exploration",
                exploration.Initial,
                exploration.Low,
                exploration.High,
                configuration.Meta.Method == MetaMethod.Fixed
            )
        )
        {
            yield return new BrokenRule(path, found, expected);
        }

        if (configuration.Meta.Method == MetaMethod.Mg)
        {
            yield return new BrokenRule(
                "meta.method",
                "\"mg\"",
                "\"bmg\" or \"fixed\": ε never enters the update rule of agent \"q-lambda\", so there is no plain meta-gradient"
            );
        }

        if (configuration.Meta.Features.Count > 0 && Agent.HasContext(configuration.Meta))
        {
            yield return new BrokenRule(
                "meta.features",
                $"{configuration.Meta.Features.Count} features",
                "none: agent \"q-lambda\", which acts and learns step by step, has the contexts of meta.context"
            );
        }

        if (configuration.Meta.HyperParameters.Count > 0 && configuration.Meta.Method != MetaMethod.Fixed)
        {
            yield return new BrokenRule(
                "meta.hyperParameters",
                $"\"{configuration.Meta.HyperParameters[0].Name}\"",
                "none: agent \"q-lambda\" learns ε alone, since with K = 0 nothing else reaches what w is judged by"
            );
        }

        var world = ConfiguredEnvironment.Describe(configuration);
        if (world.Actions is not ActionSpace.Discrete || world.Masks)
        {
            yield return new BrokenRule(
                "environment.name",
                $"\"{configuration.Environment.Name}\", whose actions are {world.Actions}{(world.Masks ? ", not all of them always allowed" : "")}",
                "an environment with one discrete action that is always allowed, with agent \"q-lambda\""
            );
        }

        if (settings.Optimizer.Settings is not AdamSettings)
        {
            yield return new BrokenRule(
                "learner.optimizer.name",
                $"\"{settings.Optimizer.Name}\"",
                "\"adam\", the only optimizer of agent \"q-lambda\""
            );
        }

        if (configuration.Device != DeviceKind.Cpu)
        {
            yield return new BrokenRule(
                "device",
                "\"cuda\"",
                "\"cpu\" with agent \"q-lambda\", which learns from one step at a time"
            );
        }
    }

    /// <inheritdoc/>
    public IEnumerable<MemoryNeed> Needs(RunConfiguration configuration)
    {
        double members = configuration.Members;
        var world = ConfiguredEnvironment.Describe(configuration);
        int[] widths = [world.Observation.Size, .. settings.Hidden, world.Actions.MaskSize];
        yield return new MemoryNeed(
            "learner.hidden",
            "members × the largest layer of learner.hidden",
            members * LayerSizes.Largest(widths) * sizeof(float),
            IsOneTensor: true
        );
        // Weights, traces and two moments: of now, and of two states that are used in turn; and the target's weights.
        yield return new MemoryNeed(
            "learner.hidden",
            "parameters of learner.hidden × members",
            members * LayerSizes.Parameters(widths) * (3 * 4 + 1) * sizeof(float)
        );
        yield return new MemoryNeed(
            "learner.targetSteps",
            "learner.targetSteps × (observation + meta.contextLength) × members",
            members * settings.TargetSteps * (widths[0] + MetaNeeds.ContextSize(configuration.Meta, 3)) * sizeof(float)
        );
        foreach (var need in MetaNeeds.Of(configuration, featuresOfRich: 3))
        {
            yield return need;
        }
    }
}
