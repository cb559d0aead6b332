using Bmg.Training.Environments;

namespace Bmg.Training.Configuration;

/// <summary>
/// What a configuration needs of memory, by arithmetic on its sizes alone, before anything is allocated: what is alive at the same time in
/// any case, so that nothing is refused that would fit.
/// </summary>
internal static class MemoryNeeds
{
    /// <summary>Bytes that one tensor may have: what a checkpoint holds of each.</summary>
    public const double LargestTensor = int.MaxValue;

    private const int Single = sizeof(float);

    /// <summary>Something that is alive during the whole of a meta-step.</summary>
    /// <param name="Setting">The setting that makes it large, first of those in the product.</param>
    /// <param name="Product">Where its size comes from, in settings.</param>
    /// <param name="Bytes">Its size, for all members.</param>
    private readonly record struct Need(string Setting, string Product, double Bytes);

    /// <summary>Tensors that would be larger than any may be.</summary>
    public static IEnumerable<(string Path, string Found, string Expected)> BrokenSizes(RunConfiguration configuration)
    {
        foreach (Need tensor in LargestTensors(configuration))
        {
            if (tensor.Bytes > LargestTensor)
            {
                yield return (
                    tensor.Setting,
                    $"{tensor.Product}, a tensor of {Bytes(tensor.Bytes)}",
                    $"at most {Bytes(LargestTensor)} a tensor"
                );
            }
        }
    }

    /// <summary>Refuses a configuration that cannot fit into this machine's memory.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="source">The file that holds them, for the message.</param>
    /// <param name="available">Bytes there are; null for what this process may use.</param>
    /// <exception cref="ConfigurationException">It needs more; the message names the settings and the bytes.</exception>
    public static void Require(RunConfiguration configuration, string source, double? available = null)
    {
        double most = available ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        Need[] needs = [.. Needs(configuration).OrderByDescending(need => need.Bytes)];
        double total = needs.Sum(need => need.Bytes);
        if (total <= most)
        {
            return;
        }
        string largest = string.Join(
            "; ",
            needs.TakeWhile(need => need.Bytes >= total / 10).Select(need => $"{need.Product}: {Bytes(need.Bytes)}")
        );
        throw new ConfigurationException([
            new Fault(
                source,
                needs[0].Setting,
                $"found sizes that need at least {Bytes(total)} of memory ({largest}), expected at most {Bytes(most)}, which this machine has"
            ),
        ]);
    }

    private static IEnumerable<Need> LargestTensors(RunConfiguration configuration)
    {
        double members = configuration.Members;
        (int[] widths, _) = Learner(configuration);
        yield return new Need(
            "learner.hidden",
            "members × the largest layer of learner.hidden",
            members * LargestLayer(widths) * Single
        );
        if (MetaWidths(configuration) is { } meta)
        {
            yield return new Need(
                "meta.hidden",
                "members × the largest layer of meta.contextLength and meta.hidden",
                members * LargestLayer(meta) * Single
            );
        }
        if (configuration.Learner.Agent == AgentKind.ActorCritic)
        {
            yield return new Need(
                "learner.rolloutLength",
                "members × learner.rolloutLength × observation",
                members * (configuration.Learner.RolloutLength + 1.0) * widths[0] * Single
            );
        }
    }

    private static IEnumerable<Need> Needs(RunConfiguration configuration)
    {
        double members = configuration.Members;
        LearnerSettings learner = configuration.Learner;
        bool isBmg = configuration.Meta.Method == MetaMethod.Bmg;
        (int[] widths, double parameters) = Learner(configuration);
        double context = ContextSize(configuration);
        // On a device of its own, tensors take none of this memory.
        double onHost = configuration.Device == DeviceKind.Cpu ? 1 : 0;

        yield return new Need(
            "learner.hidden",
            "parameters of learner.hidden × members",
            onHost * members * parameters * LearnerCopies(configuration, isBmg) * Single
        );
        if (MetaWidths(configuration) is { } meta)
        {
            // w and Adam's two moments.
            yield return new Need(
                "meta.hidden",
                "parameters of meta.contextLength and meta.hidden × members",
                onHost * members * Parameters(meta) * 3 * Single
            );
        }
        if (learner.Agent == AgentKind.ActorCritic)
        {
            yield return new Need(
                "learner.rolloutLength",
                "rollouts of learner.rolloutLength × members",
                onHost * members * learner.RolloutLength * widths.Sum(w => (double)w) * Single
            );
        }
        else
        {
            yield return new Need(
                "learner.targetSteps",
                "learner.targetSteps × (observation + meta.contextLength) × members",
                members * learner.TargetSteps * (widths[0] + context) * Single
            );
        }
        yield return new Need("meta.contextLength", "meta.contextLength × members", members * context * sizeof(double));
        if (configuration.Experiment == ExperimentKind.SwitchingMdps)
        {
            double cells = (double)configuration.Environment.Side * configuration.Environment.Side;
            yield return new Need(
                "environment.side",
                "environment.side² × members",
                members * cells * (SwitchingMdps.ActionCount * Single + sizeof(bool))
            );
        }
    }

    /// <summary>Widths of the largest of the learner's networks from input to output, and the parameters of all.</summary>
    private static (int[] Widths, double Parameters) Learner(RunConfiguration configuration)
    {
        WorldDescription world = Worlds.Describe(configuration);
        int[] widths = [world.ObservationSize, .. configuration.Learner.Hidden, world.ActionCount];
        bool hasValue = configuration.Learner.Agent == AgentKind.ActorCritic;
        return (widths, Parameters(widths) + (hasValue ? Parameters([.. widths[..^1], 1]) : 0));
    }

    /// <summary>Widths of the meta-network; null where there is none.</summary>
    private static int[]? MetaWidths(RunConfiguration configuration) =>
        ContextSize(configuration) is > 0 and var context ? [(int)context, .. configuration.Meta.Hidden, 1] : null;

    /// <summary>Numbers in a member's context: contextLength times the most features there can be is below 2³¹.</summary>
    private static double ContextSize(RunConfiguration configuration)
    {
        MetaSettings meta = configuration.Meta;
        if (meta.Method == MetaMethod.Fixed || meta.Parameters != MetaParameterKind.Network)
        {
            return 0;
        }
        int features =
            meta.Context == ContextKind.Reward ? 1
            : meta.Context == ContextKind.None ? 0
            : configuration.Learner.Agent == AgentKind.ActorCritic ? 6
            : 3;
        return (double)features * meta.ContextLength;
    }

    /// <summary>How many times as much as the learner's parameters is alive at once.</summary>
    private static double LearnerCopies(RunConfiguration configuration, bool isBmg)
    {
        LearnerSettings learner = configuration.Learner;
        if (learner.Agent == AgentKind.QLambda)
        {
            // Weights, traces and two moments: of now, and of two states that are used in turn; and the target's weights.
            return 3 * 4 + 1;
        }
        double state = learner.Optimizer.Name switch
        {
            OptimizerKind.Sgd => 0,
            OptimizerKind.Adam => 2,
            _ => 1,
        };
        double inner =
            configuration.Meta.Method != MetaMethod.Fixed
            && configuration.Meta.Differentiation == DifferentiationKind.Reverse
                ? learner.InnerSteps
                : 1;
        // The learner with its state, its parameters after each differentiated step, a gradient, and the target.
        return 1 + state + inner + 1 + (isBmg ? 1 : 0);
    }

    private static double Parameters(int[] widths) => widths.Zip(widths[1..], (i, o) => ((double)i + 1) * o).Sum();

    private static double LargestLayer(int[] widths) => widths.Zip(widths[1..], (i, o) => (double)i * o).Max();

    private static string Bytes(double bytes) =>
        bytes < 1e9
            ? FormattableString.Invariant($"{bytes / 1e6:0.#} MB")
            : FormattableString.Invariant($"{bytes / 1e9:0.#} GB");
}
