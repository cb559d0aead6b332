using System.Globalization;
using System.Text;

namespace Bmg.Training.Reporting;

/// <summary>One plot: a metric's mean as a line over the bands of its spread.</summary>
/// <param name="Title">Above the plot.</param>
/// <param name="YLabel">Quantity and unit.</param>
/// <param name="Data">What is drawn.</param>
/// <param name="Marks">Where a vertical line stands.</param>
/// <param name="End">Length at the right end.</param>
public sealed record Chart(string Title, string YLabel, Series Data, IReadOnlyList<long> Marks, double End)
{
    /// <summary>What the axis counts, a plural (see <see cref="Units"/>).</summary>
    public string Unit { get; init; } = Units.EnvironmentSteps;
}

/// <summary>Colours of charts.</summary>
internal sealed record Palette(string Ink, string Faint, string Grid, string Line, string Mark)
{
    public static Palette Light { get; } = new("#1f2933", "#5b6775", "#e3e8ee", "#1f6feb", "#c2571a");

    public static Palette Dark { get; } = new("#e6e9ee", "#9aa5b1", "#2c3440", "#6ea8fe", "#f0a36b");
}

/// <summary>
/// Draws charts as SVG. Text stays text, so whoever shows the picture brings the fonts; none are needed where it is made.
/// </summary>
public static class SvgChart
{
    private const double Left = 68;
    private const double Right = 16;
    private const double Top = 34;
    private const double Bottom = 44;
    private const double Gap = 14; // below a panel without an axis
    private const double CharacterWidth = 6.1; // of 11-pixel text, about

    /// <summary>A chart to stand in a page that holds <see cref="Style"/>.</summary>
    public static string Inline(Chart chart, double width = 960, double height = 260)
    {
        StringBuilder svg = new();
        Open(svg, width, height, chart.Title);
        Panel(svg, chart, width, height, Bottom, xAxis: true, legend: true);
        return svg.Append("</svg>\n").ToString();
    }

    /// <summary>A picture of its own, on white: charts one above the other over one axis of length.</summary>
    public static string StandAlone(IReadOnlyList<Chart> charts, double width = 960, double panelHeight = 230)
    {
        StringBuilder svg = new();
        double height = (charts.Count * panelHeight) + Bottom - Gap;
        Open(
            svg,
            width,
            height,
            string.Join(", ", charts.Select(chart => chart.Title)),
            $" width=\"{N(width)}\" height=\"{N(height)}\""
        );
        svg.Append(CultureInfo.InvariantCulture, $"<style>{Style(Palette.Light)}</style>\n");
        svg.Append("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
        for (int i = 0; i < charts.Count; i++)
        {
            bool last = i == charts.Count - 1;
            svg.Append(CultureInfo.InvariantCulture, $"<g transform=\"translate(0 {N(i * panelHeight)})\">\n");
            double bottom = last ? Bottom : Gap;
            Panel(svg, charts[i], width, panelHeight + bottom - Gap, bottom, xAxis: last, legend: i == 0);
            svg.Append("</g>\n");
        }
        return svg.Append("</svg>\n").ToString();
    }

    /// <summary>Style sheet of charts.</summary>
    internal static string Style(Palette colours) =>
        $$"""
            .chart text { font: 11px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: {{colours.Faint}}; }
            .chart .title { font-size: 13px; font-weight: 600; fill: {{colours.Ink}}; }
            .chart .grid { stroke: {{colours.Grid}}; }
            .chart .axis { stroke: {{colours.Faint}}; }
            .chart .range { fill: {{colours.Line}}; opacity: 0.13; }
            .chart .deviation { fill: {{colours.Line}}; opacity: 0.25; }
            .chart .mean { fill: none; stroke: {{colours.Line}}; stroke-width: 1.6; stroke-linejoin: round; }
            .chart .mark { stroke: {{colours.Mark}}; stroke-dasharray: 4 3; opacity: 0.75; }
            .chart .cursor { stroke: {{colours.Ink}}; opacity: 0.5; }
            .chart .readout { fill: {{colours.Ink}}; }
            """;

    internal static void Open(StringBuilder svg, double width, double height, string label, string size = "") =>
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\"{size} viewBox=\"0 0 {N(width)} {N(height)}\" role=\"img\" aria-label=\"{Escape(label)}\">\n"
        );

    private static void Panel(
        StringBuilder svg,
        Chart chart,
        double width,
        double height,
        double bottom,
        bool xAxis,
        bool legend
    )
    {
        Series data = chart.Data;
        double scale =
            chart.End >= 1e6 ? 1e6
            : chart.End >= 1e4 ? 1e3
            : 1;
        string unit = scale switch
        {
            1e6 => $"million {chart.Unit} of each member",
            1e3 => $"thousand {chart.Unit} of each member",
            _ => $"{chart.Unit} of each member",
        };
        double[] deviations =
        [
            .. data.Deviation.Zip(data.Mean, (d, m) => m - d),
            .. data.Deviation.Zip(data.Mean, (d, m) => m + d),
        ];
        Axis x = Axis.Exact(0, chart.End, 10, scale);
        Axis y = Axis.Around(data.Mean, data.Members > 1 ? [.. data.Low, .. data.High] : data.Mean, 5);
        double plotWidth = width - Left - Right;
        double plotHeight = height - Top - bottom;
        double X(double value) => Left + (x.Place(value) * plotWidth);
        double Y(double value) => Top + ((1 - Math.Clamp(y.Place(Math.Max(value, y.From)), 0, 1)) * plotHeight);

        Text(svg, Left, 18, "start", "title", chart.Title);
        foreach (double tick in y.Ticks)
        {
            Line(svg, "grid", Left, Y(tick), width - Right, Y(tick));
            Text(svg, Left - 8, Y(tick) + 4, "end", "", y.Label(tick));
        }
        foreach (double tick in x.Ticks)
        {
            Line(svg, "axis", X(tick), Top + plotHeight, X(tick), Top + plotHeight + 4);
            if (xAxis)
            {
                Text(svg, X(tick), Top + plotHeight + 17, "middle", "", x.Label(tick));
            }
        }
        if (data.Members > 1)
        {
            Band(svg, "range", data.X, data.Low, data.High, X, Y);
            int n = data.X.Length;
            Band(svg, "deviation", data.X, deviations[..n], deviations[n..], X, Y);
        }
        foreach (long mark in chart.Marks.Where(mark => mark > 0 && mark < chart.End))
        {
            Line(svg, "mark", X(mark), Top, X(mark), Top + plotHeight);
        }
        Curve(svg, data.X, data.Mean, X, Y);
        Line(svg, "axis", Left, Top + plotHeight, width - Right, Top + plotHeight);
        Line(svg, "axis", Left, Top, Left, Top + plotHeight);
        double middle = Top + (plotHeight / 2);
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<text x=\"14\" y=\"{N(middle)}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {N(middle)})\">{Escape(chart.YLabel)}</text>\n"
        );
        if (xAxis)
        {
            Text(svg, Left + (plotWidth / 2), Top + plotHeight + 36, "middle", "", unit);
        }
        if (legend)
        {
            svg.Append("<g class=\"legend\">\n");
            Legend(svg, chart, width - Right);
            svg.Append("</g>\n");
        }
        // What a script needs to turn a place back into numbers.
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<rect class=\"plot\" x=\"{N(Left)}\" y=\"{N(Top)}\" width=\"{N(plotWidth)}\" height=\"{N(plotHeight)}\" fill=\"none\" pointer-events=\"all\" data-end=\"{chart.End}\" data-from=\"{y.From}\" data-to=\"{y.To}\" data-log=\"{(y.Logarithmic ? 1 : 0)}\"/>\n"
        );
    }

    private static void Legend(StringBuilder svg, Chart chart, double right)
    {
        List<(string Kind, string Text)> entries =
        [
            ("mean", chart.Data.Members > 1 ? $"mean of {chart.Data.Members} members" : "the one member"),
        ];
        if (chart.Data.Members > 1)
        {
            entries.Add(("deviation", "± deviation"));
            entries.Add(("range", "min to max"));
        }
        if (chart.Marks.Any(mark => mark > 0 && mark < chart.End))
        {
            entries.Add(("mark", "the world changes"));
        }

        const double sample = 18;
        double at = right - entries.Sum(entry => sample + 6 + (entry.Text.Length * CharacterWidth) + 14) + 14;
        foreach ((string kind, string text) in entries)
        {
            if (kind is "deviation" or "range")
            {
                svg.Append(
                    CultureInfo.InvariantCulture,
                    $"<rect class=\"{kind}\" x=\"{N(at)}\" y=\"9\" width=\"{N(sample)}\" height=\"10\"/>\n"
                );
            }
            else
            {
                Line(svg, kind, at, 14, at + sample, 14);
            }
            Text(svg, at + sample + 6, 18, "start", "", text);
            at += sample + 6 + (text.Length * CharacterWidth) + 14;
        }
    }

    internal static void Curve(
        StringBuilder svg,
        double[] x,
        double[] y,
        Func<double, double> placeX,
        Func<double, double> placeY,
        string kind = "mean"
    )
    {
        foreach (Range part in Gapless(y))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<path class=\"{kind}\" d=\"");
            Points(svg, 'M', x[part], y[part], placeX, placeY);
            svg.Append("\"/>\n");
        }
    }

    internal static void Band(
        StringBuilder svg,
        string kind,
        double[] x,
        double[] low,
        double[] high,
        Func<double, double> placeX,
        Func<double, double> placeY
    )
    {
        foreach (Range part in Gapless(low))
        {
            svg.Append(CultureInfo.InvariantCulture, $"<path class=\"{kind}\" d=\"");
            Points(svg, 'M', x[part], high[part], placeX, placeY);
            Points(svg, 'L', [.. x[part].Reverse()], [.. low[part].Reverse()], placeX, placeY);
            svg.Append("Z\"/>\n");
        }
    }

    private static void Points(
        StringBuilder svg,
        char first,
        double[] x,
        double[] y,
        Func<double, double> placeX,
        Func<double, double> placeY
    )
    {
        for (int i = 0; i < x.Length; i++)
        {
            svg.Append(i == 0 ? first : 'L').Append(N(placeX(x[i]))).Append(' ').Append(N(placeY(y[i])));
        }
    }

    /// <summary>The stretches without a NaN.</summary>
    private static IEnumerable<Range> Gapless(double[] values)
    {
        int start = 0;
        for (int i = 0; i <= values.Length; i++)
        {
            if (i == values.Length || double.IsNaN(values[i]))
            {
                if (i > start)
                {
                    yield return start..i;
                }
                start = i + 1;
            }
        }
    }

    internal static void Line(StringBuilder svg, string kind, double x1, double y1, double x2, double y2) =>
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<line class=\"{kind}\" x1=\"{N(x1)}\" y1=\"{N(y1)}\" x2=\"{N(x2)}\" y2=\"{N(y2)}\"/>\n"
        );

    internal static void Text(StringBuilder svg, double x, double y, string anchor, string kind, string text)
    {
        string style = kind.Length > 0 ? $" class=\"{kind}\"" : "";
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<text x=\"{N(x)}\" y=\"{N(y)}\" text-anchor=\"{anchor}\"{style}>{Escape(text)}</text>\n"
        );
    }

    internal static string N(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);

    internal static string Escape(string text) => XmlText.Escape(text);
}
