using System.Runtime.CompilerServices;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Data;

/// <summary>Makes data sets of configurations, once each, and looks at every example before any is learned from.</summary>
internal static class DataCheck
{
    // By the settings of a configuration that was read: who reads it, checks it and learns from it share one.
    private static readonly ConditionalWeakTable<object, IDataSet> Made = [];

    /// <summary>The data set of a part.</summary>
    /// <param name="part">The part, bound.</param>
    /// <exception cref="DataException">It cannot be made, or its examples are not what it says.</exception>
    public static IDataSet Make(Part part) => Made.GetValue(part.Settings!, _ => Checked(part));

    private static IDataSet Checked(Part part)
    {
        try
        {
            var data = part.Make(DataKinds.Data);
            return Flaw(data) is { } flaw
                ? throw new DataException($"{flaw.Found} in \"{part.Name}\"", flaw.Expected)
                : data;
        }
        catch (Exception e) when (e is not BmgException)
        {
            throw new DataException(
                $"{e.GetType().Name} from \"{part.Name}\": {e.Message.TrimEnd('.')}",
                "data that can be made and read",
                e
            );
        }
    }

    /// <summary>What is wrong with a data set: what was found and where, what was expected; null where nothing is.</summary>
    internal static (string Found, string Expected)? Flaw(IDataSet data)
    {
        var description = data.Description;
        if (description.InputShape.Count == 0 || description.InputShape.Any(axis => axis < 1))
        {
            return ($"inputs of [{string.Join(", ", description.InputShape)}]", "axes of 1 at least");
        }

        if (description.InputNames.Count > 0 && description.InputNames.Count != description.InputSize)
        {
            return ($"{description.InputNames.Count} names of inputs", $"{description.InputSize}, or none");
        }

        if (description.HasClasses == (description.Targets.Count > 0) || description.Classes.Count == 1)
        {
            return (
                $"{description.Classes.Count} classes and {description.Targets.Count} targets",
                "two classes at least, or targets"
            );
        }

        if (data.Count(DataSplit.Training) < 1 || data.Count(DataSplit.Test) < 0)
        {
            return (
                $"{data.Count(DataSplit.Training)} training and {data.Count(DataSplit.Test)} test examples",
                "1 and 0 at least"
            );
        }

        var input = new float[description.InputSize];
        var label = new float[description.LabelSize];
        foreach (var split in (DataSplit[])[DataSplit.Training, DataSplit.Test])
        {
            for (var i = 0; i < data.Count(split); i++)
            {
                // What an example leaves unwritten shows as what it is not.
                Array.Fill(input, float.NaN);
                Array.Fill(label, float.NaN);
                data.Write(split, i, input, label);
                if (ExampleFlaw(description, input, label) is { } flaw)
                {
                    return (
                        $"{flaw.Found} of {(split == DataSplit.Training ? "training" : "test")} example {i}",
                        flaw.Expected
                    );
                }
            }
        }

        return null;
    }

    private static (string Found, string Expected)? ExampleFlaw(
        DataDescription description,
        float[] input,
        float[] label
    )
    {
        var wrong = Array.FindIndex(input, value => !float.IsFinite(value));
        if (wrong >= 0)
        {
            return ($"{input[wrong]} as {description.Layout[wrong]}", "a finite number");
        }

        wrong = Array.FindIndex(
            label,
            value =>
                description.HasClasses
                    ? !(value >= 0 && value < description.Classes.Count && value == MathF.Floor(value))
                    : !float.IsFinite(value)
        );
        return wrong < 0 ? null
            : description.HasClasses
                ? ($"{label[wrong]} as the class", $"an index, 0 … {description.Classes.Count - 1}")
            : ($"{label[wrong]} as {description.Targets[wrong]}", "a finite number");
    }
}
