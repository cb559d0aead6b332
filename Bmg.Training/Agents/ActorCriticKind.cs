using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Agents;

/// <summary>Actor-critics of a configuration.</summary>
/// <param name="settings">Settings of the learner.</param>
public sealed class ActorCriticKind(ActorCriticSettings settings) : IAgentKind
{
    private const double SmallClip = 1e-6;

    /// <inheritdoc/>
    public int Copies => settings.Copies;

    /// <inheritdoc/>
    public Agent Create(RunConfiguration configuration, CancellationToken cancellation) =>
        ActorCriticAgent.Create(configuration, stop: cancellation);

    /// <inheritdoc/>
    public IEnumerable<BrokenRule> Broken(RunConfiguration configuration)
    {
        var meta = configuration.Meta;
        var isFixed = meta.Method == MetaMethod.Fixed;
        var weight = meta.EntropyWeight;
        var bounds = ConfigurationRules
            .Bounds("meta.entropyWeight", weight.Initial, weight.Low, weight.High, isFixed || !weight.Learned)
            .ToArray();
        foreach (var (path, found, expected) in bounds)
        {
            yield return new BrokenRule(path, found, expected);
        }

        if (settings.InnerSteps == 0)
        {
            yield return new BrokenRule(
                "learner.innerSteps",
                "0",
                "at least 1: what is learned reaches the learner through its steps"
            );
        }

        if (!isFixed && !weight.Learned && meta.HyperParameters.Count == 0)
        {
            yield return new BrokenRule(
                "meta.entropyWeight.learned",
                "false, and no meta.hyperParameters",
                "something that is learned, or meta.method \"fixed\""
            );
        }

        if (
            settings.NormalizeObservations
            && ConfiguredEnvironment.Describe(configuration).Observation.Kind == ObservationKind.Bytes
        )
        {
            yield return new BrokenRule(
                "learner.normalizeObservations",
                "true, and observations of bytes",
                "false: bytes are divided by 255 instead"
            );
        }

        for (var i = 0; i < meta.Features.Count && Agent.HasContext(meta); i++)
        {
            var world = ConfiguredEnvironment.Describe(configuration);
            var feature = meta.Features[i].Make(AgentKinds.Feature);
            var lacks =
                feature.Lacks(world)
                ?? (
                    ActorCriticAgent.FeaturesOf(configuration)[i].Count == 0
                        ? "a feature of one number or more, each with a name"
                        : null
                );
            if (lacks is not null)
            {
                yield return new BrokenRule($"meta.features.{i}.name", $"\"{meta.Features[i].Name}\"", lacks);
            }
        }

        var fault = NetworkFault(configuration);
        // A perceptron always fits; one that is too large is refused by its size in memory.
        BrokenRule[] broken =
            fault is null ? [.. BrokenHyperParameters(configuration)]
            : settings.Torso.Count > 0 ? [new BrokenRule("learner.torso", "layers that do not fit", fault)]
            : [];
        foreach (var rule in broken)
        {
            yield return rule;
        }

        if (
            fault is null
            && bounds.Length == 0
            && broken.Length == 0
            && !isFixed
            && meta.HyperParameters.Count > 0
            && settings.InnerSteps > 0
        )
        {
            foreach (var rule in Unreached(configuration))
            {
                yield return rule;
            }
        }
    }

    /// <summary>What is wrong with the layers of the networks.</summary>
    private static string? NetworkFault(RunConfiguration configuration)
    {
        try
        {
            _ = ActorCriticAgent.NetworksOf(
                ConfiguredEnvironment.Describe(configuration),
                configuration.Learner.As<ActorCriticSettings>()
            );
            return null;
        }
        catch (ArgumentException e)
        {
            return e.Message;
        }
    }

    private IEnumerable<BrokenRule> BrokenHyperParameters(RunConfiguration configuration)
    {
        var optimizer = settings.Optimizer.Make(AgentKinds.Optimizer);
        var names = new HashSet<string>();
        for (var i = 0; i < configuration.Meta.HyperParameters.Count; i++)
        {
            var each = configuration.Meta.HyperParameters[i];
            var at = $"meta.hyperParameters.{i}";
            if (!names.Add(each.Name))
            {
                yield return new BrokenRule($"{at}.name", $"\"{each.Name}\" for the second time", "each once");
                continue;
            }

            if (each.Name == HyperParameters.GradientClip && settings.GradientClip is null)
            {
                yield return new BrokenRule("learner.gradientClip", "null", "a number: where what is learned starts");
                continue;
            }

            if (ActorCriticAgent.InitialOf(each.Name, settings, optimizer) is not { } initial)
            {
                yield return new BrokenRule(
                    $"{at}.name",
                    $"\"{each.Name}\"",
                    "one of \"discount\", \"traceDecay\", \"valueWeight\", \"learningRate\", \"gradientClip\"; meta.entropyWeight.learned says of the entropy weight"
                );
                continue;
            }

            if (each.Name == HyperParameters.TraceDecay && settings.Returns != ReturnKind.Lambda)
            {
                yield return new BrokenRule(
                    $"{at}.name",
                    "\"traceDecay\"",
                    "learner.returns \"lambda\", which alone reads it"
                );
            }

            if (each.Name is HyperParameters.Discount or HyperParameters.TraceDecay && each.High > 1)
            {
                yield return new BrokenRule($"{at}.high", FormattableString.Invariant($"{each.High}"), "at most 1");
            }

            if (each.Name is HyperParameters.LearningRate or HyperParameters.GradientClip && each.Low <= 0)
            {
                yield return new BrokenRule(
                    $"{at}.low",
                    FormattableString.Invariant($"{each.Low}"),
                    each.Name == HyperParameters.LearningRate
                        ? "more than 0: a step size is positive"
                        : "more than 0: the largest norm of a gradient is positive"
                );
            }

            foreach (var (path, found, expected) in ConfigurationRules.Bounds(at, initial, each.Low, each.High, false))
            {
                // The learner's own setting is where it starts.
                yield return new BrokenRule(
                    path.Replace($"{at}.initial", $"learner.{SettingOf(each.Name)}", StringComparison.Ordinal),
                    found,
                    expected
                );
            }
        }
    }

    private static string SettingOf(string name) =>
        name == HyperParameters.LearningRate ? "optimizer.learningRate" : name;

    /// <summary>Hyper-parameters that what is judged does not depend on: they would never learn.</summary>
    private IEnumerable<BrokenRule> Unreached(RunConfiguration configuration)
    {
        var small = configuration with
        {
            Device = DeviceKind.Cpu,
            Meta = configuration.Meta with { PretrainingSteps = 0 },
        };
        var agent = ActorCriticAgent.Create(small);
        string[] names =
        [
            .. configuration.Meta.EntropyWeight.Learned ? [HyperParameters.EntropyWeight] : Array.Empty<string>(),
            .. configuration.Meta.HyperParameters.Select(each => each.Name),
        ];
        double[] values =
        [
            .. configuration.Meta.EntropyWeight.Learned
                ? [configuration.Meta.EntropyWeight.Initial]
                : Array.Empty<double>(),
            .. configuration.Meta.HyperParameters.Select(each =>
                // So small that every gradient is clipped: what is longer than all of them has no derivative here, and may have one in a life.
                each.Name == HyperParameters.GradientClip
                    ? SmallClip
                    : ActorCriticAgent
                        .InitialOf(each.Name, settings, settings.Optimizer.Make(AgentKinds.Optimizer))!
                        .Value
            ),
        ];
        foreach (var name in agent.Networks.Unreached(agent.MetaLearner, names, values, [agent.World.Observation.Size]))
        {
            var i = configuration.Meta.HyperParameters.ToList().FindIndex(each => each.Name == name);
            yield return new BrokenRule(
                i < 0 ? "meta.entropyWeight" : $"meta.hyperParameters.{i}.name",
                $"\"{name}\"",
                $"one that reaches what w is judged by: after learner.innerSteps = {settings.InnerSteps} steps nothing of it depends on \"{name}\""
            );
        }
    }

    /// <inheritdoc/>
    public IEnumerable<MemoryNeed> Needs(RunConfiguration configuration)
    {
        double members = configuration.Members;
        var world = ConfiguredEnvironment.Describe(configuration);
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
            onHost * members * parameters * ParametersAlive(configuration) * sizeof(float)
        );
        yield return new MemoryNeed(
            "learner.rolloutLength",
            "rollouts of learner.rolloutLength × members",
            onHost * members * settings.Copies * settings.RolloutLength * widths.Sum(w => (double)w) * sizeof(float)
        );
        var features = ActorCriticAgent.FeaturesOf(configuration).Sum(feature => feature.Count);
        foreach (var need in MetaNeeds.Of(configuration, features))
        {
            yield return need;
        }
    }

    /// <summary>How many times as much as the learner's parameters is alive at once.</summary>
    private double ParametersAlive(RunConfiguration configuration)
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
