using System.Globalization;
using System.Text;

namespace Bmg.Training.Reporting;

/// <summary>A line with a band around it.</summary>
/// <param name="Name">In the legend.</param>
/// <param name="X">Where its points are.</param>
/// <param name="Values">Its points, and half the width of the band at each, NaN for no band.</param>
/// <param name="Colour">Which of the eight colours.</param>
internal sealed record ChartLine(string Name, double[] X, Curve Values, int Colour);

/// <summary>Several lines over one axis, to stand in a page that holds <see cref="Style"/> and that of <see cref="SvgChart"/>.</summary>
internal static class LinesChart
{
    private const double Left = 68;
    private const double Right = 16;
    private const double Top = 34;
    private const double Bottom = 44;
    private const double Row = 18; // height of a line of the legend
    private const double Width = 960;
    private const double PlotHeight = 240;
    private static readonly string[] Colours =
    [
        "#1f6feb",
        "#c2571a",
        "#1a8a4a",
        "#8f3fbf",
        "#b8860b",
        "#c0316b",
        "#0f8a94",
        "#6b7280",
    ];

    /// <summary>Style sheet: the colours.</summary>
    public static string Style() =>
        string.Join(
            '\n',
            Colours.Select(
                (colour, i) =>
                    $".chart .line{i} {{ fill: none; stroke: {colour}; stroke-width: 1.6; stroke-linejoin: round; }} .chart .band{i} {{ fill: {colour}; opacity: 0.15; }}"
            )
        );

    /// <summary>Draws lines; empty where there are none.</summary>
    /// <param name="title">Above the plot.</param>
    /// <param name="yLabel">Quantity and unit.</param>
    /// <param name="xLabel">Quantity and unit.</param>
    /// <param name="lines">The lines.</param>
    /// <param name="from">Left end.</param>
    /// <param name="to">Right end.</param>
    /// <param name="ticks">Labels at 0, 1, 2, … instead of numbers.</param>
    /// <param name="marks">Where vertical lines stand.</param>
    /// <param name="place">Attributes of the drawing that say where it stands in another; empty for none.</param>
    public static string Draw(
        string title,
        string yLabel,
        string xLabel,
        IReadOnlyList<ChartLine> lines,
        double from,
        double to,
        IReadOnlyList<string>? ticks = null,
        IReadOnlyList<double>? marks = null,
        string place = ""
    )
    {
        if (lines.Count == 0)
        {
            return "";
        }
        StringBuilder svg = new();
        double height = Height(lines.Count);
        SvgChart.Open(svg, Width, height, title, place);
        double scale =
            ticks is not null ? 1
            : to >= 1e6 ? 1e6
            : to >= 1e4 ? 1e3
            : 1;
        Axis x = Axis.Exact(from, to, 10, scale);
        double[] means = [.. lines.SelectMany(line => line.Values.Mean)];
        double[] bounds = [.. lines.SelectMany(line => Low(line).Concat(High(line)))];
        double[] seen = [.. means.Concat(bounds).Where(double.IsFinite)];
        Axis y =
            seen.Length == 0
                ? Axis.Exact(0, 1, 5)
                : Axis.Around([.. means.Where(double.IsFinite), Math.Min(0, seen.Min())], seen, 5);
        double plotWidth = Width - Left - Right;
        double X(double value) => Left + (x.Place(value) * plotWidth);
        double Y(double value) => Top + ((1 - Math.Clamp(y.Place(value), 0, 1)) * PlotHeight);

        SvgChart.Text(svg, Left, 18, "start", "title", title);
        foreach (double tick in y.Ticks)
        {
            SvgChart.Line(svg, "grid", Left, Y(tick), Width - Right, Y(tick));
            SvgChart.Text(svg, Left - 8, Y(tick) + 4, "end", "", y.Label(tick));
        }
        IEnumerable<(double At, string Label)> labels = ticks is null
            ? x.Ticks.Select(tick => (tick, x.Label(tick)))
            : ticks.Select((label, i) => ((double)i, label));
        foreach ((double at, string label) in labels)
        {
            SvgChart.Line(svg, "axis", X(at), Top + PlotHeight, X(at), Top + PlotHeight + 4);
            SvgChart.Text(svg, X(at), Top + PlotHeight + 17, "middle", "", label);
        }
        foreach (double mark in (marks ?? []).Where(mark => mark >= from && mark < to))
        {
            SvgChart.Line(svg, "mark", X(mark), Top, X(mark), Top + PlotHeight);
        }
        foreach (ChartLine line in lines)
        {
            SvgChart.Band(svg, $"band{line.Colour % Colours.Length}", line.X, Low(line), High(line), X, Y);
        }
        foreach (ChartLine line in lines)
        {
            SvgChart.Curve(svg, line.X, line.Values.Mean, X, Y, $"line{line.Colour % Colours.Length}");
        }
        SvgChart.Line(svg, "axis", Left, Top + PlotHeight, Width - Right, Top + PlotHeight);
        SvgChart.Line(svg, "axis", Left, Top, Left, Top + PlotHeight);
        double middle = Top + (PlotHeight / 2);
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<text x=\"14\" y=\"{SvgChart.N(middle)}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {SvgChart.N(middle)})\">{SvgChart.Escape(yLabel)}</text>\n"
        );
        string unit = scale switch
        {
            1e6 => $"million {xLabel}",
            1e3 => $"thousand {xLabel}",
            _ => xLabel,
        };
        SvgChart.Text(svg, Left + (plotWidth / 2), Top + PlotHeight + 36, "middle", "", unit);
        for (int i = 0; i < lines.Count; i++)
        {
            double at = Top + PlotHeight + Bottom + (Row * i) + 8;
            SvgChart.Line(svg, $"line{lines[i].Colour % Colours.Length}", Left, at, Left + 18, at);
            SvgChart.Text(svg, Left + 24, at + 4, "start", "", lines[i].Name);
        }
        return svg.Append("</svg>\n").ToString();
    }

    /// <summary>A picture of its own, on white: drawings one above the other.</summary>
    /// <param name="label">What it shows.</param>
    /// <param name="lines">How many lines each of them has.</param>
    /// <param name="draw">Makes each of them, given where it stands.</param>
    public static string StandAlone(string label, int lines, IReadOnlyList<Func<string, string>> draw)
    {
        double height = Height(lines);
        StringBuilder svg = new();
        SvgChart.Open(
            svg,
            Width,
            height * draw.Count,
            label,
            $" width=\"{SvgChart.N(Width)}\" height=\"{SvgChart.N(height * draw.Count)}\""
        );
        svg.Append(CultureInfo.InvariantCulture, $"<style>{SvgChart.Style(Palette.Light)}\n{Style()}</style>\n");
        svg.Append("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
        for (int i = 0; i < draw.Count; i++)
        {
            svg.Append(
                draw[i]
                    (
                        $" x=\"0\" y=\"{SvgChart.N(i * height)}\" width=\"{SvgChart.N(Width)}\" height=\"{SvgChart.N(height)}\""
                    )
            );
        }
        return svg.Append("</svg>\n").ToString();
    }

    private static double Height(int lines) => Top + PlotHeight + Bottom + (Row * lines);

    private static double[] Low(ChartLine line) =>
        [.. line.Values.Mean.Zip(line.Values.HalfWidth, (mean, half) => mean - half)];

    private static double[] High(ChartLine line) =>
        [.. line.Values.Mean.Zip(line.Values.HalfWidth, (mean, half) => mean + half)];
}
