namespace Bmg.Export.Checkpoints;

/// <summary>Discrete choices of which a policy takes one.</summary>
/// <param name="Name">What is chosen, as in "steer"; empty where it is the only action.</param>
/// <param name="Choices">Name of each choice, in order.</param>
public sealed record ChoiceDescription(string Name, string[] Choices)
{
    /// <summary>Whether both are called the same and give the same choices.</summary>
    public bool Equals(ChoiceDescription? other) =>
        other is not null && Name == other.Name && Choices.AsSpan().SequenceEqual(other.Choices);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Choices.Length);

    /// <summary>What each entry of the logits of several actions means, as in "steer.left".</summary>
    public static string[] Meanings(IEnumerable<ChoiceDescription> actions) =>
        [.. actions.SelectMany(action => action.Choices.Select(choice => $"{action.Name}.{choice}"))];

    /// <summary>What is wrong with several actions; null where nothing is.</summary>
    internal static (string Found, string Expected)? Flaw(IReadOnlyList<ChoiceDescription?> actions) =>
        actions.Count == 0 ? ("none", "at least one")
        : actions.Any(action =>
            action is null || action.Choices.Length == 0 || action.Choices.Any(name => name is null)
        )
            ? ("one without choices, or without a name of one", "a name for each choice, at least one each")
        : null;
}

/// <summary>A number that a policy gives, and its bounds.</summary>
/// <param name="Name">What it is called, as in "torque".</param>
/// <param name="Low">Least value.</param>
/// <param name="High">Greatest value.</param>
public sealed record NumberDescription(string Name, float Low, float High)
{
    /// <summary>From a policy's own range, in which −1 and 1 are the bounds, to a number within them; what lies beyond is clipped.</summary>
    public float Within(float value) => Stretch(value, Low, High);

    /// <summary>From a policy's own range, −1 to 1, to bounds; what lies beyond counts as −1 or 1.</summary>
    /// <param name="value">In the policy's own range.</param>
    /// <param name="low">Least value.</param>
    /// <param name="high">Greatest value, a finite distance above.</param>
    public static float Stretch(float value, float low, float high)
    {
        var share = (Math.Clamp(value, -1, 1) + 1) / 2;
        return Math.Clamp(low + (high - low) * share, low, high);
    }

    /// <summary>What is wrong with numbers; null where nothing is.</summary>
    internal static (string Found, string Expected)? Flaw(IReadOnlyList<NumberDescription?> numbers)
    {
        if (numbers.Count == 0)
        {
            return ("none", "at least one");
        }
        foreach (var number in numbers)
        {
            if (number is null)
            {
                return ("null", "a name and bounds each");
            }
            if (!(number.Low < number.High && float.IsFinite(number.High - number.Low)))
            {
                return (
                    FormattableString.Invariant($"'{number.Name}' between {number.Low} and {number.High}"),
                    "finite bounds, the lower below the upper and a finite distance from it"
                );
            }
        }
        return null;
    }
}
