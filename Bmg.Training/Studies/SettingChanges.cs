using Bmg.Training.Configuration;
using Bmg.Training.Experiments;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>In which settings that matter for results two configurations differ.</summary>
public static class SettingChanges
{
    /// <summary>
    /// As "learner.targetSteps: 8, now 16"; what a run is called, where it is computed and what it writes do not count, nor do its length and
    /// the number of its seeds, which are compared by size; seeds that both have must be the same.
    /// </summary>
    public static IReadOnlyList<string> Between(RunConfiguration then, RunConfiguration now) =>
        ConfigurationJson.Differences(
            Completed(then, now),
            (HaveSeedsInCommon(then, now) ? now with { Seed = then.Seed, Seeds = then.Seeds } : now) with
            {
                Name = then.Name,
                Description = then.Description,
                Device = then.Device,
                Threads = then.Threads,
                Run = then.Run,
                Members = then.Members,
                EnvironmentSteps = then.EnvironmentSteps,
            }
        );

    /// <summary>A configuration from a record with the defaults of settings that it was made without; as it is where its parts are gone.</summary>
    private static RunConfiguration Completed(RunConfiguration then, RunConfiguration now)
    {
        if (then.Learner.Definition is not null || now.Learner.Definition is null)
        {
            return then;
        }
        try
        {
            return Resolution.ReaderOf(now).Read(then.ToJson(), "its record");
        }
        catch (ConfigurationException)
        {
            return then;
        }
    }

    /// <summary>Whether the seeds of one are those of the other, or the first of them.</summary>
    private static bool HaveSeedsInCommon(RunConfiguration then, RunConfiguration now) =>
        DerivedSettings.Of(then).Seeds.Zip(DerivedSettings.Of(now).Seeds).All(pair => pair.First == pair.Second);

    /// <summary>The first of them; null where there is none.</summary>
    public static string? First(RunConfiguration then, RunConfiguration now) =>
        Between(then, now) is [{ } first, ..] ? first : null;
}
