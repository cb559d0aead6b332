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
    /// <param name="path">The setting that names it, for messages.</param>
    /// <exception cref="UsageException">It cannot be made, or its examples are not what it says.</exception>
    public static IDataSet Make(Part part, string path) => Made.GetValue(part.Settings!, _ => Checked(part, path));

    private static IDataSet Checked(Part part, string path)
    {
        IDataSet data;
        try
        {
            data = part.Make(DataKinds.Data);
            if (Flaw(data) is not { } flaw)
            {
                return data;
            }

            throw new UsageException($"{path}: data \"{part.Name}\": {flaw}.");
        }
        catch (Exception e) when (e is not BmgException)
        {
            throw new UsageException($"{path}: data \"{part.Name}\": {e.GetType().Name}: {e.Message}", e);
        }
    }

    /// <summary>What is wrong with a data set: where, what was found, what was expected; null where nothing is.</summary>
    internal static string? Flaw(IDataSet data)
    {
        var description = data.Description;
        if (description.InputShape.Count == 0 || description.InputShape.Any(axis => axis < 1))
        {
            return $"description: found inputs of [{string.Join(", ", description.InputShape)}], expected axes of 1 at least";
        }

        if (description.InputNames.Count > 0 && description.InputNames.Count != description.InputSize)
        {
            return $"description: found {description.InputNames.Count} names of inputs, expected {description.InputSize}, or none";
        }

        if (description.HasClasses == (description.Targets.Count > 0) || description.Classes.Count == 1)
        {
            return $"description: found {description.Classes.Count} classes and {description.Targets.Count} targets, expected two classes at least, or targets";
        }

        if (data.Count(DataSplit.Training) < 1 || data.Count(DataSplit.Test) < 0)
        {
            return $"found {data.Count(DataSplit.Training)} training and {data.Count(DataSplit.Test)} test examples, expected 1 and 0 at least";
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
                    return $"{(split == DataSplit.Training ? "training" : "test")} example {i}: {flaw}";
                }
            }
        }

        return null;
    }

    private static string? ExampleFlaw(DataDescription description, float[] input, float[] label)
    {
        var wrong = Array.FindIndex(input, value => !float.IsFinite(value));
        if (wrong >= 0)
        {
            return $"{description.Layout[wrong]}: found {input[wrong]}, expected a finite number";
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
                ? $"class: found {label[wrong]}, expected an index, 0 … {description.Classes.Count - 1}"
            : $"{description.Targets[wrong]}: found {label[wrong]}, expected a finite number";
    }
}
