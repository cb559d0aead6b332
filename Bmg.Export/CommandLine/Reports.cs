using System.Globalization;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Bmg.Export.Parity;
using Spectre.Console;

namespace Bmg.Export.CommandLine;

/// <summary>Results as tables.</summary>
internal static class Reports
{
    // Wide enough for redirected output, which has no width of its own.
    private const int RedirectedWidth = 160;

    public static void Inspection(ModelProto model, TextWriter output)
    {
        var graph = model.Graph;
        var initialized = graph.Initializer.Select(tensor => tensor.Name).ToHashSet();
        var console = ConsoleOn(output);
        var values = Table("", "name", "type", "shape");
        // Before IR version 4, initializers were listed among the inputs.
        foreach (var input in graph.Input.Where(value => !initialized.Contains(value.Name)))
        {
            values.AddRow(Cells("input", input.Name, ElementType(input), Shape(input)));
        }
        foreach (var value in graph.Output)
        {
            values.AddRow(Cells("output", value.Name, ElementType(value), Shape(value)));
        }
        console.Write(values);

        var opsets = model.OpsetImport.Select(o => $"{(o.Domain.Length == 0 ? "ai.onnx" : o.Domain)} {o.Version}");
        var operators = graph.Node.CountBy(node => node.OpType).OrderBy(o => o.Key, StringComparer.Ordinal);
        var parameters = graph.Initializer.Sum(tensor => tensor.Dims.Aggregate(1.0, (product, size) => product * size));
        var facts = Table("", "");
        facts.HideHeaders();
        facts.AddRow(Cells("producer", $"{model.ProducerName} {model.ProducerVersion}"));
        facts.AddRow(Cells("IR version", Invariant(model.IrVersion)));
        facts.AddRow(Cells("opset", string.Join(", ", opsets)));
        facts.AddRow(
            Cells("nodes", $"{graph.Node.Count}: {string.Join(", ", operators.Select(o => $"{o.Value} {o.Key}"))}")
        );
        facts.AddRow(Cells("parameters", parameters.ToString("N0", CultureInfo.InvariantCulture)));
        foreach (var entry in model.MetadataProps)
        {
            facts.AddRow(Cells(entry.Key, entry.Value));
        }
        console.Write(facts);
    }

    public static void Parity(ParityReport report, TextWriter output)
    {
        var table = Table("output", "largest absolute difference", "scaled", "tolerance");
        foreach (var difference in report.Outputs)
        {
            table.AddRow(
                Cells(
                    difference.Output,
                    Scientific(difference.MaxAbsDifference),
                    Scientific(difference.MaxScaledDifference),
                    Scientific(report.Tolerance)
                )
            );
        }
        ConsoleOn(output).Write(table);
        output.WriteLine($"{(report.Passed ? "Passed" : "Failed")}: {report}.");
    }

    public static void Timings(ExecutionProvider provider, IReadOnlyList<Timing> timings, TextWriter output)
    {
        var table = Table("batch", "runs", "median µs", "99 % within µs", "observations/s");
        foreach (var timing in timings)
        {
            table.AddRow(
                Cells(
                    Invariant(timing.Batch),
                    Invariant(timing.Runs),
                    timing.Median.TotalMicroseconds.ToString("N1", CultureInfo.InvariantCulture),
                    timing.Percentile99.TotalMicroseconds.ToString("N1", CultureInfo.InvariantCulture),
                    timing.ObservationsPerSecond.ToString("N0", CultureInfo.InvariantCulture)
                )
            );
        }
        foreach (var column in table.Columns)
        {
            column.RightAligned();
        }
        output.WriteLine($"Provider: {provider.ToString().ToLowerInvariant()}");
        ConsoleOn(output).Write(table);
    }

    private static IAnsiConsole ConsoleOn(TextWriter output)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (!console.Profile.Out.IsTerminal)
        {
            console.Profile.Width = RedirectedWidth;
        }
        return console;
    }

    private static Table Table(params string[] columns)
    {
        var table = new Table { Border = TableBorder.Rounded };
        foreach (var column in columns)
        {
            table.AddColumn(new TableColumn(new Text(column)));
        }
        return table;
    }

    // Plain text: file contents are not markup, and nothing that a terminal obeys, line breaks excepted.
    private static Text[] Cells(params string[] cells) =>
        [.. cells.Select(cell => new Text(string.Join('\n', cell.Split('\n').Select(Printable.Line))))];

    private static string ElementType(ValueInfoProto value) =>
        value.Type?.TensorType is { } tensor
            ? ((TensorProto.Types.DataType)tensor.ElemType).ToString().ToLowerInvariant()
            : "not a tensor";

    private static string Shape(ValueInfoProto value)
    {
        var axes = value.Type?.TensorType?.Shape?.Dim.Select(axis =>
            axis.ValueCase switch
            {
                TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue => Invariant(axis.DimValue),
                TensorShapeProto.Types.Dimension.ValueOneofCase.DimParam => axis.DimParam,
                _ => "?",
            }
        );
        return axes is null ? "unknown" : $"[{string.Join(", ", axes)}]";
    }

    private static string Invariant(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private static string Scientific(double number) => number.ToString("0.##E+0", CultureInfo.InvariantCulture);
}
