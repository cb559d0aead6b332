using Bmg.Training.Configuration;

namespace Bmg.Training.Environments;

/// <summary>What a description must be before an environment is run by it.</summary>
internal static class DescriptionRules
{
    /// <summary>Numbers of an observation above which something is taken to be wrong: 64 MiB of float32.</summary>
    private const long MostNumbers = 1 << 24;

    /// <summary>What is wrong with a description.</summary>
    public static IEnumerable<EnvironmentFinding> Faults(EnvironmentDescription description) =>
        [.. OfObservation(description.Observation), .. OfActions(description.Actions), .. OfOptions(description)];

    /// <summary>The first part in which a description differs from what it was; null where it says the same.</summary>
    public static (string Place, string Found, string Expected)? Difference(
        EnvironmentDescription found,
        EnvironmentDescription expected
    )
    {
        if (ReferenceEquals(found, expected) || found == expected)
        {
            return null;
        }

        var (seen, known) = (found.Observation, expected.Observation);
        if (seen with { Names = [] } != known with { Names = [] })
        {
            return ("observation", $"{seen}", $"{known}");
        }

        if (seen != known)
        {
            return ("observation's names", string.Join(", ", seen.Names), string.Join(", ", known.Names));
        }

        return found.Actions != expected.Actions
            ? ("actions", $"{found.Actions}", $"{expected.Actions}")
            : ("options", Options(found), Options(expected));

        static string Options(EnvironmentDescription description) =>
            $"ends {description.Ends}, saves {description.Saves}, masks {description.Masks}, renders {description.Renders}";
    }

    private static EnvironmentFinding Fault(string place, string found, string expected) =>
        new(EnvironmentRule.Description, place, found, expected);

    private static IEnumerable<EnvironmentFinding> OfObservation(ObservationSpace space)
    {
        var size = space.Shape.Aggregate(1.0, (product, axis) => product * axis);
        if (space.Shape.Count == 0 || space.Shape.Any(axis => axis < 1) || size > MostNumbers)
        {
            yield return Fault(
                "observation's shape",
                $"[{string.Join(", ", space.Shape)}]",
                $"one axis or more, each at least 1, and at most {MostNumbers} numbers in all"
            );
        }
        else if (space.Names.Count > 0 && space.Names.Count != space.Size)
        {
            yield return Fault(
                "observation's names",
                $"{space.Names.Count} names",
                $"{space.Size}, one for each number, or none"
            );
        }
    }

    private static IEnumerable<EnvironmentFinding> OfActions(ActionSpace space)
    {
        if (space.DiscreteCount + space.ContinuousCount == 0)
        {
            yield return Fault("actions", "none", "at least one");
        }

        for (var i = 0; i < space.DiscreteCount; i++)
        {
            if (space.ChoicesOf(i) < 1)
            {
                yield return Fault($"action {i}", "no choices", "at least one");
            }
        }

        if (space is ActionSpace.Continuous continuous)
        {
            foreach (var (name, low, high) in continuous.Actions)
            {
                if (!(low < high && float.IsFinite(high - low)))
                {
                    yield return Fault(
                        $"action '{name}'",
                        $"bounds {low} … {high}",
                        "finite bounds, the lower below the upper and a finite distance from it"
                    );
                }
            }
        }
    }

    private static IEnumerable<EnvironmentFinding> OfOptions(EnvironmentDescription description)
    {
        if (description.Masks && description.Actions.DiscreteCount == 0)
        {
            yield return Fault("masks", "masks of continuous actions", "masks with discrete actions alone");
        }
    }
}
