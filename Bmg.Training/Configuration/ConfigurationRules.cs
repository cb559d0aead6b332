namespace Bmg.Training.Configuration;

/// <summary>What must hold between settings that every run has, beyond the range of each.</summary>
internal static class ConfigurationRules
{
    /// <summary>The rules that <paramref name="configuration"/> breaks: where, what was found, what was expected.</summary>
    public static IEnumerable<(string Path, string Found, string Expected)> Broken(RunConfiguration configuration)
    {
        MetaSettings meta = configuration.Meta;
        foreach (var broken in BrokenSeeds(configuration))
        {
            yield return broken;
        }
        if (
            meta.Method != MetaMethod.Fixed
            && meta.Parameters == MetaParameterKind.Network
            && meta.Context == ContextKind.None
            && meta.Features.Count == 0
        )
        {
            yield return (
                "meta.context",
                "\"none\"",
                "\"reward\" or \"rich\", or meta.features, since meta.parameters is \"network\" and a network needs an input"
            );
        }

        if (
            configuration.Matching.Functions.Count > 0
            && configuration.Matching.Functions.All(term => term.Weight == 0)
        )
        {
            yield return ("matching.functions", "weights that are all 0", "at least one positive weight");
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
    public static IEnumerable<(string Path, string Found, string Expected)> Bounds(
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

    private static string Text(long value) => FormattableString.Invariant($"{value}");

    private static string Text(double value) => FormattableString.Invariant($"{value}");
}
