using System.Globalization;
using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using TorchSharp;

namespace Bmg.Export.Parity;

/// <summary>How far one output of the two computations lies apart.</summary>
/// <param name="Output">Name of the output.</param>
/// <param name="MaxAbsDifference">Largest absolute difference; infinite where one side is not a number.</param>
/// <param name="MaxScaledDifference">The same, divided by the largest magnitude in its row where that is above 1: what the tolerance is held
/// against. Probabilities are scaled by the logits they come from; deviations each by itself and by the
/// logarithms, actions that are numbers each by its bounds and by the means.</param>
public sealed record OutputDifference(string Output, double MaxAbsDifference, double MaxScaledDifference);

/// <summary>What a comparison found.</summary>
/// <param name="Inputs">Number of inputs compared.</param>
/// <param name="Outputs">One entry for each float32 output.</param>
/// <param name="HasActions">Whether there is an integer output, a choice among logits.</param>
/// <param name="ActionDisagreements">Choices that differ, where the logit is further from the best that is allowed than the tolerance.</param>
/// <param name="ActionTies">Choices that differ, where the logit is as good as the best that is allowed: no fault.</param>
/// <param name="Tolerance">Largest scaled difference that passes.</param>
public sealed record ParityReport(
    int Inputs,
    IReadOnlyList<OutputDifference> Outputs,
    bool HasActions,
    int ActionDisagreements,
    int ActionTies,
    double Tolerance
)
{
    /// <summary>Whether every output is within the tolerance and no action differs.</summary>
    public bool Passed => ActionDisagreements == 0 && Outputs.All(o => o.MaxScaledDifference <= Tolerance);

    /// <summary>Largest absolute difference over all outputs.</summary>
    public double MaxAbsDifference => Outputs.Select(o => o.MaxAbsDifference).DefaultIfEmpty(0).Max();

    /// <summary>The report in one line.</summary>
    public override string ToString()
    {
        var differences = Outputs.Select(o =>
            string.Create(CultureInfo.InvariantCulture, $"{o.Output} {o.MaxAbsDifference:0.##E+0}")
        );
        var largest = Outputs.Count > 0 ? $", largest absolute difference: {string.Join(", ", differences)}" : "";
        var actions = HasActions ? $"; actions that differ: {ActionDisagreements}" : "";
        var ties = ActionTies > 0 ? $" (and {ActionTies} between equally good ones)" : "";
        return $"{Inputs} inputs{largest}{actions}{ties}";
    }
}

/// <summary>ONNX Runtime and TorchSharp do not compute the same.</summary>
public sealed class ParityException(ParityReport report)
    : Exception(
        string.Create(
            CultureInfo.InvariantCulture,
            $"The ONNX model does not compute what TorchSharp computes (tolerance {report.Tolerance}): {report}. No file was written."
        )
    )
{
    /// <summary>What was found.</summary>
    public ParityReport Report { get; } = report;
}

/// <summary>Compares ONNX Runtime with TorchSharp on the same inputs.</summary>
public static class ParityCheck
{
    /// <summary>Inputs compared unless told otherwise.</summary>
    public const int DefaultInputs = 1024;

    /// <summary>Largest scaled difference that passes unless told otherwise.</summary>
    public const double DefaultTolerance = 1e-5;

    private const int Block = 1024;
    private const int MostNumbers = 1 << 24;

    /// <summary>Compares a model's ONNX side with its TorchSharp side.</summary>
    /// <param name="model">The model.</param>
    /// <param name="inputs">Inputs [n × features], row by row, that are compared in any case, as all observations that an environment can give;
    /// null for none.</param>
    /// <param name="count">Least number of inputs; those missing are drawn at random: zeros and ones, normal numbers, and mixes.</param>
    /// <param name="seed">Seed of the random inputs.</param>
    /// <param name="tolerance">Largest scaled difference that passes.</param>
    /// <exception cref="OnnxFileException">ONNX Runtime refuses the model, or its outputs are others than those of TorchSharp.</exception>
    /// <exception cref="ArgumentException"><paramref name="inputs"/> are not whole rows.</exception>
    public static ParityReport Run(
        ExportableModel model,
        float[]? inputs = null,
        int count = DefaultInputs,
        long seed = 0,
        double tolerance = DefaultTolerance
    )
    {
        ArgumentNullException.ThrowIfNull(model);
        using var session = new ModelSession(model.ToBytes());
        return Run(session, model, inputs, count, seed, tolerance);
    }

    /// <summary>Compares an open ONNX model, as from a file, with a model's TorchSharp side.</summary>
    /// <inheritdoc cref="Run(ExportableModel, float[], int, long, double)" />
    public static ParityReport Run(
        ModelSession session,
        ExportableModel model,
        float[]? inputs = null,
        int count = DefaultInputs,
        long seed = 0,
        double tolerance = DefaultTolerance
    )
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        var features = model.Features;
        if (session.Features != features)
        {
            throw new OnnxFileException(
                $"The ONNX model takes {session.Features} numbers an input, the reference {features}."
            );
        }
        int[] choices = model.Policy?.Choices ?? [];
        var maskWidth = model.TakesMask ? choices.Sum() : 0;
        if (session.MaskWidth != maskWidth)
        {
            throw new OnnxFileException(
                $"The ONNX model takes a mask of {session.MaskWidth} entries an input, the reference one of {maskWidth}."
            );
        }
        var declared = model.Onnx.Graph.Output.Select(o => o.Name).ToHashSet();
        if (!declared.SetEquals(session.Outputs.Select(o => o.Name)))
        {
            throw new OnnxFileException(
                $"The ONNX model has outputs {string.Join(", ", session.Outputs.Select(o => o.Name))}, "
                    + $"the reference {string.Join(", ", declared)}."
            );
        }
        var given = inputs ?? [];
        if (given.Length % features != 0)
        {
            throw new ArgumentException(
                $"Inputs to compare must be rows of {features} numbers, found {given.Length} numbers.",
                nameof(inputs)
            );
        }
        var random = Seed.Of(seed).For("parity").Generator()!;
        var randomMasks = Seed.Of(seed).For("parity masks").Generator()!;
        var rows = Math.Max(given.Length / features, count);
        // Blocks of rows, so that memory does not grow with their number.
        var largest = Math.Max(1, Math.Min(Block, MostNumbers / features));
        var comparison = new Comparison(session.Outputs, model.Policy, tolerance);
        for (var start = 0; start < rows; )
        {
            var batch = Math.Min(largest, rows - start);
            var block = new float[batch * features];
            var known = given.AsSpan((int)Math.Min(given.Length, (long)start * features));
            known = known[..Math.Min(known.Length, block.Length)];
            known.CopyTo(block);
            Fill(block, known.Length / features, start, features, model.Moments, random);
            var mask = model.TakesMask ? Masks(batch, choices, randomMasks) : [];
            session.Run(block, mask, batch);
            using var scope = torch.NewDisposeScope();
            var allowed = model.TakesMask ? torch.tensor(mask, [batch, maskWidth]) : null;
            comparison.Add(session, model.Evaluate(torch.tensor(block, [batch, features]), allowed), mask, batch);
            start += batch;
        }
        return comparison.Report(rows);
    }

    /// <summary>Draws the rows of a block that are not given: zeros and ones, normal numbers, and mixes; of normalised inputs every second row in
    /// deviations from the mean, since the others may all be held at the limit.</summary>
    private static void Fill(
        float[] block,
        int from,
        int start,
        int features,
        (float[] Means, float[] Deviations)? moments,
        Rng random
    )
    {
        for (var row = from; row < block.Length / features; row++)
        {
            var binary = (start + row) % 3 == 0;
            var normal = (start + row) % 3 == 1;
            for (var i = 0; i < features; i++)
            {
                block[row * features + i] =
                    binary || (!normal && random.Next(2) == 0) ? random.Next(2) : (float)random.NextNormal();
                if (moments is var (means, deviations) && (start + row) % 2 == 0)
                {
                    block[row * features + i] = means[i] + block[row * features + i] * deviations[i];
                }
            }
        }
    }

    /// <summary>Draws what is allowed: everything in each fourth row; in the others each choice or not, at least one of each action.</summary>
    private static bool[] Masks(int batch, int[] choices, Rng random)
    {
        var masks = new bool[batch * choices.Sum()];
        var first = 0;
        for (var row = 0; row < batch; row++)
        {
            foreach (var own in choices)
            {
                var part = masks.AsSpan(first, own);
                for (var i = 0; i < own; i++)
                {
                    part[i] = row % 4 == 0 || random.Next(2) == 0;
                }
                part[random.Next(own)] = true;
                first += own;
            }
        }
        return masks;
    }

    private sealed class Comparison(IReadOnlyList<ModelOutput> outputs, PolicyDescription? policy, double tolerance)
    {
        private readonly double[] _absolute = new double[outputs.Count];
        private readonly double[] _scaled = new double[outputs.Count];
        private int _disagreements;
        private int _ties;

        public void Add(
            ModelSession session,
            IReadOnlyDictionary<string, torch.Tensor> reference,
            bool[] mask,
            int batch
        )
        {
            // What the integer output chooses among.
            var logits =
                reference.TryGetValue(PolicyExporter.Logits, out var tensor)
                || reference.TryGetValue(PolicyExporter.ActionValues, out tensor)
                    ? Values<float>(tensor)
                    : null;
            for (var i = 0; i < outputs.Count; i++)
            {
                var output = outputs[i];
                if (!reference.ContainsKey(output.Name))
                {
                    throw new OnnxFileException(
                        $"The ONNX model has an output '{output.Name}', the reference only {string.Join(", ", reference.Keys)}."
                    );
                }
                if (reference[output.Name].NumberOfElements != (long)batch * output.Width)
                {
                    throw new OnnxFileException(
                        $"Output '{output.Name}' of the ONNX model has {output.Width} numbers a row, "
                            + $"the reference {reference[output.Name].NumberOfElements / batch}."
                    );
                }
                if (output.IsInteger)
                {
                    AddActions(
                        session.Integers(output.Name),
                        Values<long>(reference[output.Name]),
                        logits,
                        mask,
                        batch
                    );
                }
                else
                {
                    var expected = Values<float>(reference[output.Name]);
                    var scaledBy =
                        output.Name == PolicyExporter.Probabilities && logits is not null ? logits : expected;
                    var further = policy?.Numbers is null ? null : ScalesOfNumbers(output.Name, reference, batch);
                    AddFloats(i, session.Floats(output.Name), expected, scaledBy, further, batch);
                }
            }
        }

        public ParityReport Report(int rows) =>
            new(
                rows,
                [
                    .. Enumerable
                        .Range(0, outputs.Count)
                        .Where(i => !outputs[i].IsInteger)
                        .Select(i => new OutputDifference(outputs[i].Name, _absolute[i], _scaled[i])),
                ],
                outputs.Any(o => o.IsInteger),
                _disagreements,
                _ties,
                tolerance
            );

        /// <summary>Of numbers, what a difference is divided by instead, number by number: a deviation comes from its logarithm, so that its
        /// relative error counts, and an action is a mean stretched to the bounds. Null of any other output.</summary>
        private double[]? ScalesOfNumbers(string output, IReadOnlyDictionary<string, torch.Tensor> reference, int batch)
        {
            var numbers = policy!.Numbers!;
            if (output is not (PolicyExporter.Deviation or PolicyExporter.Action))
            {
                return null;
            }
            var means = Values<float>(reference[PolicyExporter.Mean]);
            var deviations = Values<float>(reference[PolicyExporter.Deviation]);
            var logarithms = Values<float>(reference[PolicyExporter.Deviation].log());
            var scales = new double[means.Length];
            for (var row = 0; row < batch; row++)
            {
                var raw = Math.Max(Scale(Row(means, row, batch)), Scale(Row(logarithms, row, batch)));
                for (var i = 0; i < numbers.Length; i++)
                {
                    var (_, low, high) = numbers[i];
                    var own = row * numbers.Length + i;
                    scales[own] =
                        raw
                        * (
                            output == PolicyExporter.Action
                                ? Math.Max(Math.Abs((double)low), Math.Abs((double)high))
                                : deviations[own]
                        );
                }
            }
            return scales;
        }

        private void AddFloats(
            int output,
            ReadOnlySpan<float> found,
            float[] expected,
            float[] scaledBy,
            double[]? further,
            int batch
        )
        {
            var width = found.Length / batch;
            for (var row = 0; row < batch; row++)
            {
                var scale = Scale(Row(scaledBy, row, batch));
                for (var i = row * width; i < (row + 1) * width; i++)
                {
                    var difference = Math.Abs((double)found[i] - expected[i]);
                    difference = double.IsNaN(difference) ? double.PositiveInfinity : difference;
                    _absolute[output] = Math.Max(_absolute[output], difference);
                    var own = further is null ? scale : further[i];
                    _scaled[output] = Math.Max(_scaled[output], difference / own);
                }
            }
        }

        private void AddActions(ReadOnlySpan<long> found, long[] expected, float[]? logits, bool[] mask, int batch)
        {
            var width = found.Length / batch;
            for (var i = 0; i < found.Length; i++)
            {
                if (found[i] == expected[i])
                {
                    continue;
                }
                if (
                    logits is not null
                    && IsBest(found[i], i / width, i % width, logits, mask, batch)
                    && IsBest(expected[i], i / width, i % width, logits, mask, batch)
                )
                {
                    _ties++;
                }
                else
                {
                    _disagreements++;
                }
            }
        }

        /// <summary>Whether a choice is allowed and as good as the best that is.</summary>
        private bool IsBest(long choice, int row, int action, float[] all, bool[] mask, int batch)
        {
            var logits = Row(all, row, batch);
            var allowed = mask.AsSpan(mask.Length / batch * row, mask.Length / batch);
            if (policy?.Several is not null)
            {
                var (first, own) = (policy.Choices[..action].Sum(), policy.Choices[action]);
                logits = logits.Slice(first, own);
                allowed = allowed.Length > 0 ? allowed.Slice(first, own) : allowed;
            }
            var best = float.NegativeInfinity;
            for (var i = 0; i < logits.Length; i++)
            {
                best = allowed.Length == 0 || allowed[i] ? Math.Max(best, logits[i]) : best;
            }
            return choice >= 0
                && choice < logits.Length
                && (allowed.Length == 0 || allowed[(int)choice])
                && best - logits[(int)choice] <= tolerance * Scale(logits);
        }

        // The largest magnitude of a row where that is above 1; a row that is not finite is not scaled, so that it fails.
        private static double Scale(ReadOnlySpan<float> row)
        {
            var scale = 1.0;
            foreach (var value in row)
            {
                scale = Math.Max(scale, Math.Abs((double)value));
            }
            return double.IsFinite(scale) ? scale : 1;
        }

        private static ReadOnlySpan<float> Row(float[] values, int row, int batch)
        {
            var width = values.Length / batch;
            return values.AsSpan(row * width, width);
        }

        private static T[] Values<T>(torch.Tensor tensor)
            where T : unmanaged => tensor.contiguous().data<T>().ToArray();
    }
}
