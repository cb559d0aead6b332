using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;

namespace Bmg.Training.Experiments;

/// <summary>What must hold between the parts of a configuration, each of which is right by itself.</summary>
public static class Resolution
{
    /// <summary>Reads configurations that name parts of a catalogue.</summary>
    public static ConfigurationReader Reader(Catalogue catalogue) => new(catalogue, Broken);

    /// <summary>Reads configurations that name parts of the same catalogue as one that was read.</summary>
    public static ConfigurationReader ReaderOf(RunConfiguration configuration) =>
        configuration.Experiment.Definition is { } known
            ? Reader(known.Catalogue)
            : throw new InvalidOperationException(
                "Resolution.ReaderOf: expected a configuration whose parts are bound."
            );

    /// <summary>The rules that a configuration breaks: where, what was found, what was expected.</summary>
    public static IEnumerable<(string Path, string Found, string Expected)> Broken(RunConfiguration configuration)
    {
        var broken = false;
        foreach (var rule in ExperimentKinds.Of(configuration).Broken(configuration))
        {
            broken = true;
            yield return (rule.Path, rule.Found, rule.Expected);
        }

        // Sizes are counted where everything else holds.
        foreach (var rule in broken ? [] : MemoryNeeds.BrokenSizes(configuration))
        {
            yield return rule;
        }
    }
}
