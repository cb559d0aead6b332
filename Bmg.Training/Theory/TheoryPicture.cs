using System.Globalization;
using System.Text;
using Bmg.Training.Reporting;
using Bmg.Training.Studies;

namespace Bmg.Training.Theory;

/// <summary>Draws a summary as one SVG: two panels a study, loss against κ and against steps, and one for the local gain.</summary>
internal static class TheoryPicture
{
    private const double Width = 1080;
    private const double PanelHeight = 300;
    private const double LegendWidth = 170;
    private const double Left = 66;
    private const double Right = 14;
    private const double Top = 36;
    private const double Bottom = 48;
    private const double Floor = 1e-12; // of the loss, in the picture

    /// <summary>By L, the shortest first.</summary>
    private static readonly string[] Colours = ["#e0701a", "#1f6feb", "#1a8f4c", "#8b3fc7", "#c2185b", "#00838f"];

    private sealed record Curve(string Name, string Colour, string Dash, double[] X, double[] Y);

    private sealed record Plot(string Title, string XLabel, string YLabel, Axis X, Axis Y, IReadOnlyList<Curve> Curves);

    /// <summary>The picture of what is measured.</summary>
    public static string Draw(TheorySummary summary)
    {
        StudyResult[] studies = [.. summary.Studies.Where(study => study.Cells.Count > 0)];
        double height = (studies.Length + (summary.LocalGain.Count > 0 ? 1 : 0)) * PanelHeight;
        StringBuilder svg = new();
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" width=\"{N(Width)}\" height=\"{N(height)}\" viewBox=\"0 0 {N(Width)} {N(height)}\" role=\"img\" aria-label=\"Loss after meta-training, and the local gain of a meta-step\">\n<style>{SvgChart.Style(Palette.Light)}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        double half = (Width - LegendWidth) / 2;
        double at = 0;
        foreach (StudyResult study in studies)
        {
            Plot byCondition = ByCondition(study);
            Panel(svg, byCondition, 0, at, half);
            Panel(svg, ByHorizon(study), half, at, half);
            Legend(svg, byCondition.Curves, Width - LegendWidth, at);
            at += PanelHeight;
        }
        if (summary.LocalGain.Count > 0)
        {
            Plot gain = Gain(summary);
            Panel(svg, gain, 0, at, Width - LegendWidth);
            Legend(svg, gain.Curves, Width - LegendWidth, at);
        }
        return svg.Append("</svg>\n").ToString();
    }

    private static Plot ByCondition(StudyResult study)
    {
        double[] x = [.. study.Configuration.ConditionNumbers];
        int last = study.Configuration.Horizons[^1];
        Curve[] curves =
        [
            .. study
                .Cells.GroupBy(cell => cell.Method)
                .Select(method => Styled(study, method.Key, x, [.. method.Select(cell => cell.Loss[^1])])),
        ];
        return new Plot(
            $"{study.Configuration.Name}: after {last} steps",
            "condition number κ",
            "loss, fraction of the start's",
            Ratios(x),
            Decades(curves.SelectMany(c => c.Y)),
            curves
        );
    }

    private static Plot ByHorizon(StudyResult study)
    {
        double[] x = [.. study.Configuration.Horizons.Select(h => (double)h)];
        double condition = study.ShownCondition;
        Curve[] curves =
        [
            .. study
                .Cells.Where(cell => cell.ConditionNumber == condition)
                .Select(cell => Styled(study, cell.Method, x, cell.Loss)),
        ];
        return new Plot(
            FormattableString.Invariant($"{study.Configuration.Name}: κ = {condition}"),
            "horizon: learner steps after meta-training",
            "loss, fraction of the start's",
            Ratios(x),
            Decades(curves.SelectMany(c => c.Y)),
            curves
        );
    }

    private static Plot Gain(TheorySummary summary)
    {
        double[] betas = [.. TheorySummary.Betas];
        List<Curve> curves = [];
        foreach (IGrouping<GainForm, GainPoint> form in summary.LocalGain.GroupBy(point => point.Form))
        {
            string colour = Colours[(int)form.Key];
            string name = TheoryTable.NameOf(form.Key);
            curves.Add(new Curve(name, colour, "", betas, [.. form.Select(p => p.Measured / p.Beta)]));
            curves.Add(new Curve("  predicted", colour, "5 4", betas, [.. form.Select(p => p.Predicted / p.Beta)]));
        }
        double[] all = [.. curves.SelectMany(c => c.Y), 0];
        return new Plot(
            "One meta-step: measured (solid) and predicted (dashed) change of f; above 0 it ascends",
            "meta learning rate β",
            "Δf / β",
            Ratios(betas),
            Axis.Around(all, all, 6),
            curves
        );
    }

    private static Curve Styled(StudyResult study, string name, double[] x, double[] y)
    {
        TheoryMethod? method = TheoryMethod.Of(study.Configuration).FirstOrDefault(m => m.Name == name);
        string colour =
            method is null ? "#9aa5b1"
            : method.TargetSteps is { } steps ? Colours[study.Configuration.TargetSteps.ToList().IndexOf(steps)]
            : "#1f2933";
        string dash =
            method is null ? "2 3"
            : method.Matching == MatchKind.Kl ? "6 4"
            : "";
        return new Curve(name, colour, dash, x, y);
    }

    /// <summary>A logarithmic axis from the first value to the last, with ticks at powers of ten, or at the values where there are few.</summary>
    private static Axis Ratios(double[] values)
    {
        double to = values[^1] > values[0] ? values[^1] : values[0] * 10;
        double[] decades =
        [
            .. Enumerable
                .Range((int)Math.Ceiling(Math.Log10(values[0]) - 1e-9), 20)
                .Select(k => Math.Pow(10, k))
                .TakeWhile(tick => tick <= to * 1.0000001),
        ];
        return new Axis(values[0], to, true, values.Length <= 8 ? values : decades);
    }

    /// <summary>A logarithmic axis over whole decades around the values.</summary>
    private static Axis Decades(IEnumerable<double> values)
    {
        double[] seen = [.. values.Where(double.IsFinite).Select(v => Math.Max(v, Floor)), 1];
        int bottom = (int)Math.Floor(Math.Log10(seen.Min()) + 1e-9);
        int top = Math.Max(bottom + 1, (int)Math.Ceiling(Math.Log10(seen.Max()) - 1e-9));
        int every = Math.Max(1, (int)Math.Ceiling((top - bottom) / 7.0));
        return new Axis(
            Math.Pow(10, bottom),
            Math.Pow(10, top),
            true,
            [
                .. Enumerable
                    .Range(0, top - bottom + 1)
                    .Where(k => (top - bottom - k) % every == 0)
                    .Select(k => Math.Pow(10, bottom + k)),
            ]
        );
    }

    private static void Panel(StringBuilder svg, Plot plot, double left, double top, double width)
    {
        double x0 = left + Left;
        double x1 = left + width - Right;
        double y0 = top + PanelHeight - Bottom;
        double y1 = top + Top;
        double X(double value) => x0 + (plot.X.Place(value) * (x1 - x0));
        double Y(double value) =>
            y0
            - (Math.Clamp(plot.Y.Place(plot.Y.Logarithmic ? Math.Max(value, plot.Y.From) : value), 0, 1) * (y0 - y1));

        Text(svg, x0, top + 20, "start", "title", plot.Title);
        foreach (double tick in plot.Y.Ticks)
        {
            Line(svg, tick == 0 ? "axis" : "grid", x0, Y(tick), x1, Y(tick));
            Text(svg, x0 - 8, Y(tick) + 4, "end", "", plot.Y.Label(tick));
        }
        foreach (double tick in plot.X.Ticks)
        {
            Line(svg, "axis", X(tick), y0, X(tick), y0 + 4);
            Text(svg, X(tick), y0 + 17, "middle", "", plot.X.Label(tick));
        }
        foreach (Curve curve in plot.Curves)
        {
            IEnumerable<string> points = curve
                .X.Zip(curve.Y)
                .Where(p => double.IsFinite(p.Second))
                .Select(p => $"{N(X(p.First))},{N(Y(p.Second))}");
            svg.Append(
                CultureInfo.InvariantCulture,
                $"<polyline points=\"{string.Join(' ', points)}\" {Stroke(curve)}><title>{Escape(curve.Name)}</title></polyline>\n"
            );
        }
        Line(svg, "axis", x0, y0, x1, y0);
        Line(svg, "axis", x0, y1, x0, y0);
        double middle = (y0 + y1) / 2;
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<text x=\"{N(left + 14)}\" y=\"{N(middle)}\" text-anchor=\"middle\" transform=\"rotate(-90 {N(left + 14)} {N(middle)})\">{Escape(plot.YLabel)}</text>\n"
        );
        Text(svg, (x0 + x1) / 2, y0 + 36, "middle", "", plot.XLabel);
    }

    private static void Legend(StringBuilder svg, IReadOnlyList<Curve> curves, double left, double top)
    {
        for (int i = 0; i < curves.Count; i++)
        {
            double y = top + Top + 8 + (i * 17);
            svg.Append(
                CultureInfo.InvariantCulture,
                $"<polyline points=\"{N(left + 4)},{N(y)} {N(left + 34)},{N(y)}\" {Stroke(curves[i])}/>\n"
            );
            Text(svg, left + 40, y + 4, "start", "", curves[i].Name.Trim());
        }
    }

    private static string Stroke(Curve curve) =>
        $"fill=\"none\" stroke=\"{curve.Colour}\" stroke-width=\"1.8\" stroke-linejoin=\"round\""
        + (curve.Dash.Length > 0 ? $" stroke-dasharray=\"{curve.Dash}\"" : "");

    private static void Line(StringBuilder svg, string kind, double x1, double y1, double x2, double y2) =>
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<line class=\"{kind}\" x1=\"{N(x1)}\" y1=\"{N(y1)}\" x2=\"{N(x2)}\" y2=\"{N(y2)}\"/>\n"
        );

    private static void Text(StringBuilder svg, double x, double y, string anchor, string kind, string text)
    {
        string style = kind.Length > 0 ? $" class=\"{kind}\"" : "";
        svg.Append(
            CultureInfo.InvariantCulture,
            $"<text x=\"{N(x)}\" y=\"{N(y)}\" text-anchor=\"{anchor}\"{style}>{Escape(text)}</text>\n"
        );
    }

    private static string N(double value) => value.ToString("0.#", CultureInfo.InvariantCulture);

    private static string Escape(string text) => XmlText.Escape(text);
}
