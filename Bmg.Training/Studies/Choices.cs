namespace Bmg.Training.Studies;

/// <summary>What could have been meant.</summary>
internal static class Choices
{
    /// <summary>"one of a, b, c; did you mean b?"</summary>
    public static string Say(string found, IEnumerable<string> known)
    {
        string[] all = [.. known];
        string near = Suggestion.Nearest(found, all) is { } hit ? $" (did you mean {hit}?)" : "";
        return $"one of {string.Join(", ", all)}{near}";
    }
}
