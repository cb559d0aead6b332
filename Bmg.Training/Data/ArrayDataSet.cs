using Bmg.Training.Configuration;

namespace Bmg.Training.Data;

/// <summary>A data set of arrays in memory.</summary>
/// <example><code>new ArrayDataSet(inputs, classes, ["cat", "dog"])</code></example>
public sealed class ArrayDataSet : IDataSet
{
    /// <summary>Share of the examples that are kept for the test split unless told otherwise.</summary>
    public const double DefaultTestShare = 0.2;

    private const long SplitSeed = 0;

    private readonly float[] _inputs;
    private readonly float[] _labels;
    private readonly int[] _training;
    private readonly int[] _test;

    /// <summary>Examples with a class each.</summary>
    /// <param name="inputs">An input an example, all of one length.</param>
    /// <param name="classes">Index of each example's class.</param>
    /// <param name="names">Name of each class; null for "0", "1", … up to the greatest index.</param>
    /// <param name="testShare">Share of the examples, drawn once and for all, that is the test split.</param>
    /// <exception cref="ArgumentException">The arrays do not go together.</exception>
    public ArrayDataSet(
        float[][] inputs,
        int[] classes,
        IReadOnlyList<string>? names = null,
        double testShare = DefaultTestShare
    )
        : this(Flat(inputs, nameof(inputs)), OfClasses(inputs, classes, names), Labels(classes), testShare) { }

    /// <summary>Examples with a class each; a row of <paramref name="inputs"/> is an example.</summary>
    /// <inheritdoc cref="ArrayDataSet(float[][], int[], IReadOnlyList{string}, double)"/>
    public ArrayDataSet(
        float[,] inputs,
        int[] classes,
        IReadOnlyList<string>? names = null,
        double testShare = DefaultTestShare
    )
        : this(Rows(inputs), classes, names, testShare) { }

    /// <summary>Examples with numbers to predict.</summary>
    /// <param name="inputs">An input an example, all of one length.</param>
    /// <param name="targets">The numbers of each example, all of one length.</param>
    /// <param name="names">Name of each number; null for "target 0", ….</param>
    /// <param name="testShare">Share of the examples, drawn once and for all, that is the test split.</param>
    /// <exception cref="ArgumentException">The arrays do not go together.</exception>
    public ArrayDataSet(
        float[][] inputs,
        float[][] targets,
        IReadOnlyList<string>? names = null,
        double testShare = DefaultTestShare
    )
        : this(
            Flat(inputs, nameof(inputs)),
            OfTargets(inputs, targets, names),
            Flat(targets, nameof(targets)),
            testShare
        ) { }

    /// <summary>Examples with numbers to predict; a row is an example.</summary>
    /// <inheritdoc cref="ArrayDataSet(float[][], float[][], IReadOnlyList{string}, double)"/>
    public ArrayDataSet(
        float[,] inputs,
        float[,] targets,
        IReadOnlyList<string>? names = null,
        double testShare = DefaultTestShare
    )
        : this(Rows(inputs), Rows(targets), names, testShare) { }

    private ArrayDataSet(float[] inputs, DataDescription description, float[] labels, double testShare)
    {
        if (!(testShare is >= 0 and < 1))
        {
            throw Fault("testShare", $"{testShare}", "a share from 0 to below 1");
        }

        Description = description;
        _inputs = inputs;
        _labels = labels;
        var count = labels.Length / description.LabelSize;
        var order = ExampleOrder.Shuffled(count, Seed.Of(SplitSeed).For("test"));
        var test = (int)(count * testShare);
        _test = order[..test];
        _training = order[test..];
        Array.Sort(_test);
        Array.Sort(_training);
    }

    private ArrayDataSet(ArrayDataSet training, ArrayDataSet test)
    {
        Description = training.Description;
        _inputs = [.. training._inputs, .. test._inputs];
        _labels = [.. training._labels, .. test._labels];
        var count = training._labels.Length / Description.LabelSize;
        _training = [.. Enumerable.Range(0, count)];
        _test = [.. Enumerable.Range(count, test._labels.Length / Description.LabelSize)];
    }

    /// <inheritdoc/>
    public DataDescription Description { get; private init; }

    /// <summary>The same with axes and names of its inputs.</summary>
    /// <param name="shape">Axes, outermost first.</param>
    /// <param name="names">Name of each number; null for none.</param>
    public ArrayDataSet WithInputs(IReadOnlyList<int> shape, IReadOnlyList<string>? names = null)
    {
        ArgumentNullException.ThrowIfNull(shape);
        var described = Description with { InputShape = shape, InputNames = names ?? Description.InputNames };
        return
            described.InputSize == Description.InputSize
            && (described.InputNames.Count == 0 || described.InputNames.Count == described.InputSize)
            ? new ArrayDataSet(this, described)
            : throw Fault(
                "shape",
                $"[{string.Join(", ", shape)}] and {described.InputNames.Count} names",
                $"axes of {Description.InputSize} numbers, and a name for each or none"
            );
    }

    /// <summary>All examples of this one to learn from, and all of another for the test.</summary>
    /// <exception cref="ArgumentException">The two have other inputs, classes or targets.</exception>
    public ArrayDataSet WithTest(ArrayDataSet test)
    {
        ArgumentNullException.ThrowIfNull(test);
        return
            test.Description.InputSize == Description.InputSize
            && test.Description.Classes.Count <= Description.Classes.Count
            && test.Description.Targets.Count == Description.Targets.Count
            && test.Description.HasClasses == Description.HasClasses
            ? new ArrayDataSet(this, test)
            : throw Fault(
                "test",
                $"{test.Description.InputSize} numbers an input and {test.Description.OutputSize} classes or targets",
                $"{Description.InputSize} and {Description.OutputSize}"
            );
    }

    private ArrayDataSet(ArrayDataSet like, DataDescription description)
    {
        Description = description;
        (_inputs, _labels, _training, _test) = (like._inputs, like._labels, like._training, like._test);
    }

    /// <inheritdoc/>
    public int Count(DataSplit split) => Of(split).Length;

    /// <inheritdoc/>
    public void Write(DataSplit split, int index, Span<float> input, Span<float> label)
    {
        var example = Of(split)[index];
        _inputs.AsSpan(example * Description.InputSize, Description.InputSize).CopyTo(input);
        _labels.AsSpan(example * Description.LabelSize, Description.LabelSize).CopyTo(label);
    }

    private int[] Of(DataSplit split) => split == DataSplit.Training ? _training : _test;

    private static DataDescription OfClasses(float[][] inputs, int[] classes, IReadOnlyList<string>? names)
    {
        ArgumentNullException.ThrowIfNull(classes);
        RequireCount(inputs, classes.Length, nameof(classes));
        var most = classes.Max();
        var all = names ?? [.. Enumerable.Range(0, most + 1).Select(i => $"{i}")];
        var wrong = Array.FindIndex(classes, each => each < 0 || each >= all.Count);
        return wrong >= 0
                ? throw Fault(
                    $"classes[{wrong}]",
                    $"{classes[wrong]}",
                    $"0 … {all.Count - 1}, one of the {all.Count} classes"
                )
            : all.Count < 2 ? throw Fault("classes", "one class", "two at least")
            : new DataDescription([inputs[0].Length], [.. all], []);
    }

    private static DataDescription OfTargets(float[][] inputs, float[][] targets, IReadOnlyList<string>? names)
    {
        ArgumentNullException.ThrowIfNull(targets);
        RequireCount(inputs, targets.Length, nameof(targets));
        var all = names ?? [.. Enumerable.Range(0, targets[0].Length).Select(i => $"target {i}")];
        return all.Count == targets[0].Length && all.Count > 0
            ? new DataDescription([inputs[0].Length], [], [.. all])
            : throw Fault(
                "targets",
                $"{targets[0].Length} numbers an example and {all.Count} names",
                "a name for each"
            );
    }

    private static void RequireCount(float[][] inputs, int labels, string name)
    {
        if (labels != inputs.Length)
        {
            throw Fault(name, $"{labels} examples", $"{inputs.Length}, as there are inputs");
        }
    }

    private static float[] Labels(int[] classes) => Array.ConvertAll(classes, each => (float)each);

    private static float[] Flat(float[][] rows, string name)
    {
        ArgumentNullException.ThrowIfNull(rows);
        if (rows.Length == 0 || rows[0] is not { Length: > 0 and var width })
        {
            throw Fault(name, "none", "an example at least, of a number at least");
        }

        var wrong = Array.FindIndex(rows, row => row?.Length != width);
        if (wrong >= 0)
        {
            throw Fault($"{name}[{wrong}]", $"{rows[wrong]?.Length ?? 0} numbers", $"{width}, as in the first");
        }

        var flat = new float[checked(rows.Length * width)];
        for (var i = 0; i < rows.Length; i++)
        {
            rows[i].CopyTo(flat, i * width);
        }

        return flat;
    }

    private static float[][] Rows(float[,] table)
    {
        ArgumentNullException.ThrowIfNull(table);
        var rows = new float[table.GetLength(0)][];
        for (var i = 0; i < rows.Length; i++)
        {
            rows[i] = new float[table.GetLength(1)];
            for (var j = 0; j < rows[i].Length; j++)
            {
                rows[i][j] = table[i, j];
            }
        }

        return rows;
    }

    private static ArgumentException Fault(string what, string found, string expected) =>
        new($"ArrayDataSet: {what}: found {found}, expected {expected}.");
}
