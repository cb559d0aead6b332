using Bmg.Training.Configuration;

namespace Bmg.Training.Theory;

/// <summary>Reads the configuration of a study, as strictly as that of a run: JSON with comments, every fault reported at once.</summary>
public static class TheoryReader
{
    /// <summary>Reads a file.</summary>
    /// <exception cref="ConfigurationException">There are faults; the exception carries them all.</exception>
    public static TheoryConfiguration ReadFile(string path) =>
        Read(ConfigurationText.ReadFile(path, "the configuration of a study"), path);

    /// <summary>Reads a text.</summary>
    /// <param name="json">The configuration.</param>
    /// <param name="source">What to call it in messages.</param>
    /// <exception cref="ConfigurationException">There are faults; the exception carries them all.</exception>
    public static TheoryConfiguration Read(string json, string source)
    {
        List<Fault> faults = [];
        ConfigurationBinder binder = new(source, new Dictionary<string, string>(), faults);
        if (binder.Bind(ConfigurationText.ParseObject(json, source), out TheoryConfiguration configuration))
        {
            foreach ((string path, string found, string expected) in Broken(configuration))
            {
                binder.Fault(path, $"found {found}, expected {expected}");
            }
        }
        return faults.Count == 0 ? configuration : throw new ConfigurationException(faults);
    }

    /// <summary>What must hold between settings, beyond the range of each.</summary>
    private static IEnumerable<(string Path, string Found, string Expected)> Broken(TheoryConfiguration configuration)
    {
        if (ConfigurationRules.LastSeed(configuration.Seed, configuration.Seeds) is { } most)
        {
            yield return (
                "seed",
                FormattableString.Invariant($"{configuration.Seed}"),
                $"at most {most}, so that all {configuration.Seeds} seeds are below 2^53"
            );
        }
        RateSettings rate = configuration.Rate;
        if (rate.High <= rate.Low)
        {
            yield return ("rate.high", Text(rate.High), $"more than rate.low, which is {Text(rate.Low)}");
        }
        else if (rate.Initial <= rate.Low || rate.Initial >= rate.High)
        {
            yield return (
                "rate.initial",
                Text(rate.Initial),
                $"a number between rate.low and rate.high, {Text(rate.Low)} and {Text(rate.High)}, without the bounds"
            );
        }

        foreach ((string path, IReadOnlyList<double> values) in Lists(configuration))
        {
            for (int i = 1; i < values.Count; i++)
            {
                if (values[i] <= values[i - 1])
                {
                    yield return ($"{path}.{i}", Text(values[i]), $"more than the one before, {Text(values[i - 1])}");
                }
            }
        }

        if (configuration.HorizonsAt is { } shown && !configuration.ConditionNumbers.Contains(shown))
        {
            yield return ("horizonsAt", Text(shown), "one of conditionNumbers, or null");
        }

        if (configuration.Matching.Distinct().Count() < configuration.Matching.Count)
        {
            yield return ("matching", "a matching function twice", "each once");
        }

        if (configuration.Problem == ProblemKind.Rosenbrock)
        {
            if (configuration.Dimensions != 2)
            {
                yield return ("dimensions", Text(configuration.Dimensions), "2, since problem is \"rosenbrock\"");
            }
            if (configuration.ConditionNumbers[0] < Landscape.LeastRosenbrockCondition)
            {
                yield return (
                    "conditionNumbers.0",
                    Text(configuration.ConditionNumbers[0]),
                    $"at least {Text(Landscape.LeastRosenbrockCondition)}, since problem is \"rosenbrock\""
                );
            }
        }
    }

    private static (string Path, IReadOnlyList<double> Values)[] Lists(TheoryConfiguration configuration) =>
        [
            ("conditionNumbers", configuration.ConditionNumbers),
            ("horizons", [.. configuration.Horizons.Select(h => (double)h)]),
            ("targetSteps", [.. configuration.TargetSteps.Select(l => (double)l)]),
        ];

    private static string Text(double value) => FormattableString.Invariant($"{value}");
}
