using System.Globalization;
using Bmg.Export;

namespace Bmg.Training.Reporting;

/// <summary>Tables for terminals and for CSV files.</summary>
internal static class TextTable
{
    /// <summary>Columns two spaces apart, as wide as they must be; the first is flush left, the others right.</summary>
    public static IEnumerable<string> Lines(IReadOnlyList<string[]> rows)
    {
        rows = [.. rows.Select(row => row.Select(Printable.Line).ToArray())];
        int[] widths = [.. Enumerable.Range(0, rows[0].Length).Select(column => rows.Max(row => row[column].Length))];
        foreach (string[] row in rows)
        {
            yield return string.Join(
                    "  ",
                    row.Select((cell, i) => i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]))
                )
                .TrimEnd();
        }
    }

    /// <summary>
    /// A line of CSV (RFC 4180). A cell that a spreadsheet would take for a formula gets an apostrophe in front, numbers excepted; characters
    /// that no program shows are written as codes.
    /// </summary>
    public static string Csv(IEnumerable<string> cells) =>
        string.Join(
            ',',
            cells
                .Select(cell => Printable.Lines(IsFormula(cell) ? $"'{cell}" : cell))
                .Select(cell => cell.AsSpan().IndexOfAny(",\"\n\r") < 0 ? cell : $"\"{cell.Replace("\"", "\"\"")}\"")
        );

    private static bool IsFormula(string cell) =>
        cell is ['=' or '+' or '-' or '@' or '\t' or '\r' or '\n', ..]
        && !double.TryParse(
            cell,
            NumberStyles.Float & ~NumberStyles.AllowLeadingWhite,
            CultureInfo.InvariantCulture,
            out _
        );

    /// <summary>A number as it is in CSV: six significant digits; empty where there is none.</summary>
    public static string Csv(double? value) =>
        value is { } number && double.IsFinite(number) ? FormattableString.Invariant($"{Digits.Six(number)}") : "";
}
