using Bmg.Training.Supervised;

namespace Bmg.Training;

/// <summary>What the length of a run counts: a plural in words, which each experiment has one of.</summary>
public static class Units
{
    /// <summary>Steps of an environment.</summary>
    public const string EnvironmentSteps = "environment steps";

    /// <summary>Examples of a data set, each as often as it is learned from.</summary>
    public const string Examples = "examples";

    /// <summary>One of them: "environment step".</summary>
    public static string One(string unit)
    {
        ArgumentNullException.ThrowIfNull(unit);
        return unit.EndsWith('s') ? unit[..^1] : unit;
    }

    /// <summary>In a word, where it is clear of what: "steps".</summary>
    public static string Word(string unit)
    {
        ArgumentNullException.ThrowIfNull(unit);
        return unit.Split(' ')[^1];
    }
}
