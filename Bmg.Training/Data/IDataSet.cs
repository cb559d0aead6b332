using Bmg.Training.Catalogues;

namespace Bmg.Training.Data;

/// <summary>A part of a data set.</summary>
public enum DataSplit
{
    /// <summary>What is learned from.</summary>
    Training,

    /// <summary>What nothing is learned from, kept for the end.</summary>
    Test,
}

/// <summary>What the examples of a data set are.</summary>
/// <param name="InputShape">Axes of an input, outermost first: [2] for two numbers, [channels, height, width] for an image.</param>
/// <param name="Classes">Name of each class, two at least; empty where numbers are predicted.</param>
/// <param name="Targets">Name of each number that is predicted; empty where there are classes.</param>
public sealed record DataDescription(
    IReadOnlyList<int> InputShape,
    IReadOnlyList<string> Classes,
    IReadOnlyList<string> Targets
)
{
    /// <summary>Name of each number of an input, row-major; empty where they have none.</summary>
    public IReadOnlyList<string> InputNames { get; init; } = [];

    /// <summary>Whether an example has a class, rather than numbers to predict.</summary>
    public bool HasClasses => Classes.Count > 0;

    /// <summary>Numbers in an input.</summary>
    public int InputSize => InputShape.Aggregate(1, (size, axis) => checked(size * axis));

    /// <summary>Numbers in a label: 1, the index of the class, or one a target.</summary>
    public int LabelSize => HasClasses ? 1 : Targets.Count;

    /// <summary>Numbers that a network puts out: one a class, or one a target.</summary>
    public int OutputSize => HasClasses ? Classes.Count : Targets.Count;

    /// <summary>Name of each number of an input, "input 0", … where they have none.</summary>
    public IReadOnlyList<string> Layout =>
        InputNames.Count > 0 ? InputNames : [.. Enumerable.Range(0, InputSize).Select(i => $"input {i}")];
}

/// <summary>
/// Examples of inputs and what they should give, as plain numbers. Reading changes nothing and gives the same each time: threads of a run
/// read at once.
/// </summary>
public interface IDataSet
{
    /// <summary>What the examples are; the same each time.</summary>
    DataDescription Description { get; }

    /// <summary>Examples in a split.</summary>
    int Count(DataSplit split);

    /// <summary>Writes an example.</summary>
    /// <param name="split">The split.</param>
    /// <param name="index">Which of its examples, 0 … Count − 1.</param>
    /// <param name="input">Takes the input, row-major, finite numbers.</param>
    /// <param name="label">Takes the index of the class, or the numbers to predict.</param>
    void Write(DataSplit split, int index, Span<float> input, Span<float> label);
}

/// <summary>The kinds of part that this floor brings.</summary>
public static class DataKinds
{
    /// <summary>Data sets.</summary>
    public static PartKind<IDataSet> Data { get; } = new("data", "AddData");
}
