namespace Bmg.Training.Configuration;

/// <summary>What must hold between settings, beyond the range of each.</summary>
internal static class ConfigurationRules
{
    /// <summary>The rules that <paramref name="configuration"/> breaks: where, what was found, what was expected.</summary>
    public static IEnumerable<(string Path, string Found, string Expected)> Broken(RunConfiguration configuration)
    {
        MetaSettings meta = configuration.Meta;
        LearnerSettings learner = configuration.Learner;
        bool isFixed = meta.Method == MetaMethod.Fixed;
        foreach (var broken in BrokenSeeds(configuration))
        {
            yield return broken;
        }
        if (learner.Agent == AgentKind.ActorCritic)
        {
            EntropyWeightSettings weight = meta.EntropyWeight;
            foreach (var broken in Bounds("meta.entropyWeight", weight.Initial, weight.Low, weight.High, isFixed))
            {
                yield return broken;
            }
            if (learner.InnerSteps == 0)
            {
                yield return (
                    "learner.innerSteps",
                    "0",
                    "at least 1: the entropy weight reaches the learner through its steps"
                );
            }
        }
        else
        {
            ExplorationSettings exploration = meta.Exploration;
            foreach (
                var broken in Bounds(
                    "meta.exploration",
                    exploration.Initial,
                    exploration.Low,
                    exploration.High,
                    isFixed
                )
            )
            {
                yield return broken;
            }
            foreach (var broken in BrokenForQLambda(configuration))
            {
                yield return broken;
            }
        }

        if (
            meta.Method != MetaMethod.Fixed
            && meta.Parameters == MetaParameterKind.Network
            && meta.Context == ContextKind.None
        )
        {
            yield return (
                "meta.context",
                "\"none\"",
                "\"reward\" or \"rich\", since meta.parameters is \"network\" and a network needs an input"
            );
        }

        EnvironmentSettings world = configuration.Environment;
        if (configuration.Experiment == ExperimentKind.SwitchingMdps && world.MostWalls > world.Side * world.Side - 2)
        {
            yield return (
                "environment.mostWalls",
                Text(world.MostWalls),
                $"at most {world.Side * world.Side - 2}, two fewer than there are cells"
            );
        }

        if (
            configuration.Matching.Functions.Count > 0
            && configuration.Matching.Functions.All(term => term.Weight == 0)
        )
        {
            yield return ("matching.functions", "weights that are all 0", "at least one positive weight");
        }

        foreach (var broken in MemoryNeeds.BrokenSizes(configuration))
        {
            yield return broken;
        }
    }

    /// <summary>What must hold of seeds, so that every member has one of its own that every reader of JSON takes for the same number.</summary>
    private static IEnumerable<(string Path, string Found, string Expected)> BrokenSeeds(RunConfiguration configuration)
    {
        IReadOnlyList<long> seeds = configuration.Seeds;
        if (seeds.Count == 0)
        {
            if (LastSeed(configuration.Seed, configuration.Members) is { } most)
            {
                yield return (
                    "seed",
                    Text(configuration.Seed),
                    $"at most {most}, so that all {configuration.Members} seeds are below 2^53"
                );
            }
            yield break;
        }
        HashSet<long> seen = [];
        for (int i = 0; i < seeds.Count; i++)
        {
            if (!seen.Add(seeds[i]))
            {
                yield return ($"seeds.{i}", $"{seeds[i]} for the second time", "each seed once");
            }
        }
        if (configuration.Members != seeds.Count)
        {
            yield return (
                "members",
                Text(configuration.Members),
                $"{seeds.Count}, one for each seed that is listed ({Some(seeds)}): leave members out, or list other seeds"
            );
        }
        if (configuration.Seed != seeds[0])
        {
            yield return (
                "seed",
                Text(configuration.Seed),
                $"{seeds[0]}, the first of the seeds that are listed ({Some(seeds)}): leave seed out, or list other seeds"
            );
        }
    }

    /// <summary>The greatest first seed of so many whose last is below 2^53; null where this one is no greater.</summary>
    internal static long? LastSeed(long first, int count) => first > (1L << 53) - count ? (1L << 53) - count : null;

    private static string Some(IReadOnlyList<long> seeds) =>
        string.Join(", ", seeds.Take(5)) + (seeds.Count > 5 ? ", …" : "");

    /// <summary>What a bounded hyper-parameter and its start must keep to, as the float32 numbers that they become.</summary>
    private static IEnumerable<(string Path, string Found, string Expected)> Bounds(
        string path,
        double initial,
        double low,
        double high,
        bool isFixed
    )
    {
        var (first, least, most) = ((float)initial, (float)low, (float)high);
        if (most <= least)
        {
            yield return ($"{path}.high", Text(high), $"more than {path}.low, which is {Text(low)}");
        }
        else if (first < least || first > most)
        {
            yield return (
                $"{path}.initial",
                Text(initial),
                $"a number from {path}.low to .high, {Text(low)} to {Text(high)}"
            );
        }
        else if (!isFixed && (first == least || first == most))
        {
            yield return (
                $"{path}.initial",
                Text(initial),
                $"a number between {path}.low and .high, {Text(low)} and {Text(high)}, without the bounds: there a sigmoid has no gradient"
            );
        }
    }

    /// <summary>What Q(λ) cannot do: nothing of it is differentiated, and its steps are written out for one optimizer.</summary>
    private static IEnumerable<(string Path, string Found, string Expected)> BrokenForQLambda(
        RunConfiguration configuration
    )
    {
        LearnerSettings learner = configuration.Learner;
        if (configuration.Meta.Method == MetaMethod.Mg)
        {
            yield return (
                "meta.method",
                "\"mg\"",
                "\"bmg\" or \"fixed\": ε never enters the update rule of agent \"q-lambda\", so there is no plain meta-gradient"
            );
        }
        if (configuration.Meta.Method == MetaMethod.Bmg && learner.InnerSteps != 0)
        {
            yield return (
                "learner.innerSteps",
                Text(learner.InnerSteps),
                "0: nothing is differentiated through the steps of agent \"q-lambda\""
            );
        }
        if (learner.Optimizer.Name != OptimizerKind.Adam)
        {
            yield return (
                "learner.optimizer.name",
                $"\"{ConfigurationJson.Spell(learner.Optimizer.Name)}\"",
                "\"adam\", the only optimizer of agent \"q-lambda\""
            );
        }
        if (learner.GradientClip is { } clip)
        {
            yield return ("learner.gradientClip", Text(clip), "null with agent \"q-lambda\"");
        }
        if (learner.Activation != Activation.Relu)
        {
            yield return (
                "learner.activation",
                $"\"{ConfigurationJson.Spell(learner.Activation)}\"",
                "\"relu\", the only activation of agent \"q-lambda\""
            );
        }
        if (configuration.Device != DeviceKind.Cpu)
        {
            yield return (
                "device",
                "\"cuda\"",
                "\"cpu\" with agent \"q-lambda\", which learns from one step at a time"
            );
        }
    }

    private static string Text(long value) => FormattableString.Invariant($"{value}");

    private static string Text(double value) => FormattableString.Invariant($"{value}");
}
