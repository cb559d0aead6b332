namespace Bmg.Training.Configuration;

/// <summary>What must hold between settings, beyond the range of each.</summary>
internal static class ConfigurationRules
{
    /// <summary>The rules that <paramref name="configuration"/> breaks: where, what was found, what was expected.</summary>
    public static IEnumerable<(string Path, string Found, string Expected)> Broken(RunConfiguration configuration)
    {
        MetaSettings meta = configuration.Meta;
        EntropyWeightSettings weight = meta.EntropyWeight;
        if (weight.High <= weight.Low)
        {
            yield return (
                "meta.entropyWeight.high",
                Text(weight.High),
                $"more than meta.entropyWeight.low, which is {Text(weight.Low)}"
            );
        }
        else if (weight.Initial < weight.Low || weight.Initial > weight.High)
        {
            yield return (
                "meta.entropyWeight.initial",
                Text(weight.Initial),
                $"a number from meta.entropyWeight.low to .high, {Text(weight.Low)} to {Text(weight.High)}"
            );
        }
        else if (meta.Method != MetaMethod.Fixed && (weight.Initial == weight.Low || weight.Initial == weight.High))
        {
            yield return (
                "meta.entropyWeight.initial",
                Text(weight.Initial),
                $"a number between meta.entropyWeight.low and .high, {Text(weight.Low)} and {Text(weight.High)}, without the bounds: there a sigmoid has no gradient"
            );
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
                "\"reward\", since meta.parameters is \"network\" and a network needs an input"
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

    private static string Text(double value) => FormattableString.Invariant($"{value}");
}
