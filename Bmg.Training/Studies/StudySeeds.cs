using Bmg.Training.Configuration;

namespace Bmg.Training.Studies;

/// <summary>Which seeds the runs of a study have, and that no learner is counted twice.</summary>
public static class StudySeeds
{
    private const int MostListed = 5;

    /// <summary>
    /// What a number of seeds asked for means to a configuration, as a setting: so many members; where the configuration lists its seeds, the
    /// first so many of them.
    /// </summary>
    /// <param name="reader">Reads it.</param>
    /// <param name="file">The configuration.</param>
    /// <param name="settings">Settings on top of it.</param>
    /// <param name="asked">How many seeds are asked for; null where none are, and a list stays whole.</param>
    /// <param name="otherwise">How many there are where none are asked for and none are listed.</param>
    /// <exception cref="UsageException">More are asked for than are listed.</exception>
    public static string Setting(
        ConfigurationReader reader,
        string file,
        IReadOnlyList<string> settings,
        int? asked,
        int otherwise
    )
    {
        IReadOnlyList<long> listed = reader.ReadFile(file, settings).Seeds;
        if (listed.Count == 0)
        {
            return FormattableString.Invariant($"members={asked ?? otherwise}");
        }
        return (asked ?? listed.Count) <= listed.Count
            ? $"seeds=[{string.Join(',', listed.Take(asked ?? listed.Count))}]"
            : throw new UsageException(
                $"--seeds: found {asked}, expected at most {listed.Count}, the seeds that {file} lists."
            );
    }

    /// <summary>
    /// Runs that differ in their seeds alone and yet share some: what they share is one learner, not two. Runs that differ in another setting
    /// share seeds on purpose, as common random numbers.
    /// </summary>
    /// <param name="runs">Runs by name.</param>
    /// <returns>The first two such runs and how much is shared, in words; null where there are none.</returns>
    public static string? Overlap(IReadOnlyList<(string Name, RunConfiguration Configuration)> runs)
    {
        foreach (
            IGrouping<string, (string Name, RunConfiguration Configuration)> alike in runs.GroupBy(run =>
                Key(run.Configuration)
            )
        )
        {
            Dictionary<long, int> owners = [];
            (string Name, long[] Seeds)[] all =
            [
                .. alike.Select(run => (run.Name, DerivedSettings.Of(run.Configuration).Seeds.ToArray())),
            ];
            (int First, int Second)? clash = null;
            for (int i = 0; i < all.Length; i++)
            {
                foreach (long seed in all[i].Seeds)
                {
                    if (!owners.TryAdd(seed, i))
                    {
                        clash ??= (owners[seed], i);
                    }
                }
            }
            if (clash is { } found)
            {
                long[] shared = [.. all[found.First].Seeds.Intersect(all[found.Second].Seeds).Order()];
                return $"{all[found.First].Name} and {all[found.Second].Name} differ in nothing but their seeds and share {Count(shared.Length, "seed")}, {Text(shared)}: {all.Sum(run => run.Seeds.Length)} results of {owners.Count} learners";
            }
        }
        return null;
    }

    /// <summary>A configuration without its seeds and its name.</summary>
    private static string Key(RunConfiguration configuration) =>
        (configuration with { Name = "", Description = "", Seed = 0, Members = 1, Seeds = [] }).ToJson();

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    /// <summary>"2 to 8" for neighbours, the first few otherwise.</summary>
    private static string Text(long[] seeds) =>
        seeds.Length > 2 && seeds[^1] - seeds[0] == seeds.Length - 1
            ? $"{seeds[0]} to {seeds[^1]}"
            : string.Join(", ", seeds.Take(MostListed)) + (seeds.Length > MostListed ? ", …" : "");
}
