using System.Globalization;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using TorchSharp;

namespace Bmg.Export.Parity;

/// <summary>How far one output of the two computations lies apart.</summary>
/// <param name="Output">Name of the output.</param>
/// <param name="MaxAbsDifference">Largest absolute difference; infinite where one side is not a number.</param>
/// <param name="MaxScaledDifference">The same, divided by the largest magnitude in its row where that is above 1: what the tolerance is held
/// against. Probabilities are scaled by the logits they come from.</param>
public sealed record OutputDifference(string Output, double MaxAbsDifference, double MaxScaledDifference);

/// <summary>What a comparison found.</summary>
/// <param name="Inputs">Number of inputs compared.</param>
/// <param name="Outputs">One entry for each float32 output.</param>
/// <param name="HasActions">Whether there is an integer output, a choice among logits.</param>
/// <param name="ActionDisagreements">Inputs with another integer output, where the two best logits are further apart than the tolerance.</param>
/// <param name="ActionTies">Inputs with another integer output, where the two best logits are as good as equal: no fault.</param>
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
        var rows = Math.Max(given.Length / features, count);
        // Blocks of rows, so that memory does not grow with their number.
        var largest = Math.Max(1, Math.Min(Block, MostNumbers / features));
        var comparison = new Comparison(session.Outputs, tolerance);
        for (var start = 0; start < rows; )
        {
            var batch = Math.Min(largest, rows - start);
            var block = new float[batch * features];
            var known = given.AsSpan((int)Math.Min(given.Length, (long)start * features));
            known = known[..Math.Min(known.Length, block.Length)];
            known.CopyTo(block);
            Fill(block, known.Length / features, start, features, random);
            session.Run(block, batch);
            using var scope = torch.NewDisposeScope();
            comparison.Add(session, model.Evaluate(torch.tensor(block, [batch, features])), batch);
            start += batch;
        }
        return comparison.Report(rows);
    }

    /// <summary>Draws the rows of a block that are not given: zeros and ones, normal numbers, and mixes.</summary>
    private static void Fill(float[] block, int from, int start, int features, Rng random)
    {
        for (var row = from; row < block.Length / features; row++)
        {
            var binary = (start + row) % 3 == 0;
            var normal = (start + row) % 3 == 1;
            for (var i = 0; i < features; i++)
            {
                block[row * features + i] =
                    binary || (!normal && random.Next(2) == 0) ? random.Next(2) : (float)random.NextNormal();
            }
        }
    }

    private sealed class Comparison(IReadOnlyList<ModelOutput> outputs, double tolerance)
    {
        private readonly double[] _absolute = new double[outputs.Count];
        private readonly double[] _scaled = new double[outputs.Count];
        private int _disagreements;
        private int _ties;

        public void Add(ModelSession session, IReadOnlyDictionary<string, torch.Tensor> reference, int batch)
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
                    AddActions(session.Integers(output.Name), Values<long>(reference[output.Name]), logits);
                }
                else
                {
                    var expected = Values<float>(reference[output.Name]);
                    var scaledBy =
                        output.Name == PolicyExporter.Probabilities && logits is not null ? logits : expected;
                    AddFloats(i, session.Floats(output.Name), expected, scaledBy, batch);
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

        private void AddFloats(int output, ReadOnlySpan<float> found, float[] expected, float[] scaledBy, int batch)
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
                    _scaled[output] = Math.Max(_scaled[output], difference / scale);
                }
            }
        }

        private void AddActions(ReadOnlySpan<long> found, long[] expected, float[]? logits)
        {
            for (var row = 0; row < found.Length; row++)
            {
                if (found[row] == expected[row])
                {
                    continue;
                }
                if (logits is not null && IsTie(Row(logits, row, found.Length)))
                {
                    _ties++;
                }
                else
                {
                    _disagreements++;
                }
            }
        }

        private bool IsTie(ReadOnlySpan<float> logits)
        {
            var (best, second) = (float.NegativeInfinity, float.NegativeInfinity);
            foreach (var logit in logits)
            {
                (best, second) = logit > best ? (logit, best) : (best, Math.Max(second, logit));
            }
            return best - second <= tolerance * Scale(logits);
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
