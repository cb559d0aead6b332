using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Bmg.Training.Configuration;
using Bmg.Training.Progress;

namespace Bmg.Training.Reporting;

/// <summary>What pages of runs have in common: a page needs nothing else, and is whole without its script.</summary>
internal static class ReportPage
{
    private const int MostRows = 40;

    // Shows the mean under the pointer, a finger or the arrow keys.
    private const string Script = """
        for (const svg of document.querySelectorAll("svg.chart")) {
          const plot = svg.querySelector(".plot");
          if (!plot) continue;
          const add = (name, kind) => {
            const element = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
            element.classList.add(kind);
            element.style.display = "none";
            return element;
          };
          const cursor = add("line", "cursor"), text = add("text", "readout");
          const { x, y, width, height } = plot.getBBox(), { end, from, to, log } = plot.dataset;
          const points = [...svg.querySelectorAll("path.mean")].flatMap(path => path.getAttribute("d").slice(1).split("L").map(p => p.split(" ").map(Number)));
          let at = 0;
          const show = index => {
            const near = points[at = Math.max(0, Math.min(points.length - 1, index))];
            if (!near) return;
            const share = 1 - (near[1] - y) / height, low = Number(from), high = Number(to);
            const value = log === "1" ? low * (high / low) ** share : low + share * (high - low);
            const steps = Math.round((near[0] - x) / width * end).toLocaleString("en").replaceAll(",", " ");
            for (const [k, v] of Object.entries({ x1: near[0], x2: near[0], y1: y, y2: y + height })) cursor.setAttribute(k, v);
            text.textContent = `about ${value.toPrecision(3)} at ${steps}`;
            text.setAttribute("text-anchor", near[0] > x + width / 2 ? "end" : "start");
            text.setAttribute("x", near[0] + (near[0] > x + width / 2 ? -6 : 6));
            text.setAttribute("y", y + 12);
            cursor.style.display = text.style.display = "";
          };
          const hide = () => cursor.style.display = text.style.display = "none";
          const point = event => {
            const to = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
            show(points.reduce((a, b, i) => Math.abs(b[0] - to) < Math.abs(points[a][0] - to) ? i : a, 0));
          };
          plot.addEventListener("pointermove", point);
          plot.addEventListener("pointerdown", point);
          plot.addEventListener("pointerleave", hide);
          svg.tabIndex = 0;
          svg.addEventListener("blur", hide);
          svg.addEventListener("keydown", event => {
            const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -points.length, End: points.length }[event.key];
            if (by) { event.preventDefault(); show(at + by); }
          });
        }
        """;

    private const string PageStyle = """
        :root { color-scheme: light dark; }
        body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
        h1 { font-size: 1.5em; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1em; margin: 2em 0 0.5em; }
        .chart { display: block; width: 100%; height: auto; margin: 0 0 0.2em; touch-action: pan-y; }
        .wide { overflow-x: auto; white-space: nowrap; }
        table { border-collapse: collapse; } td, th { padding: 0.15em 1.2em 0.15em 0; text-align: right; font-variant-numeric: tabular-nums; }
        td:first-child, th:first-child, .facts td { text-align: left; } th { font-weight: 600; } .total td { border-top: 1px solid #8885; }
        .facts td { overflow-wrap: anywhere; } .facts td:first-child { opacity: 0.7; vertical-align: top; overflow-wrap: normal; }
        .state { font-size: 0.8em; border: 1px solid #8888; border-radius: 1em; padding: 0.1em 0.7em; margin-left: 0.6em; vertical-align: middle; font-weight: 400; }
        details { margin: 0 0 1.2em; font-size: 0.9em; } summary { cursor: pointer; opacity: 0.8; }
        pre { overflow: auto; font-size: 13px; line-height: 1.4; padding: 1em; border: 1px solid #8884; border-radius: 6px; }
        @media (max-width: 620px) { .chart text { font-size: 22px !important; } .chart .legend { display: none; } .chart .mean { stroke-width: 3; } }
        """;

    /// <summary>The beginning of a page, to the end of its heading.</summary>
    public static StringBuilder Open(string title, string heading) =>
        new StringBuilder().Append(
            CultureInfo.InvariantCulture,
            $$"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{{E(title)}}</title>
            <style>
            {{PageStyle}}
            {{SvgChart.Style(Palette.Light)}}
            {{LinesChart.Style()}}
            @media (prefers-color-scheme: dark) {
            {{SvgChart.Style(Palette.Dark)}}
            }
            </style>
            </head>
            <body>
            <h1>{{heading}}</h1>

            """
        );

    /// <summary>A page's end.</summary>
    public static string Close(StringBuilder page) =>
        page.Append(CultureInfo.InvariantCulture, $"<script>\n{Script}\n</script>\n</body>\n</html>\n").ToString();

    /// <summary>A table of names and values.</summary>
    public static void Facts(StringBuilder page, params IReadOnlyList<(string Name, string Value)> facts)
    {
        page.Append("<table class=\"facts\">\n");
        foreach ((string name, string value) in facts)
        {
            page.Append(CultureInfo.InvariantCulture, $"<tr><td>{E(name)}</td><td>{E(value)}</td></tr>\n");
        }
        page.Append("</table>\n");
    }

    /// <summary>A table whose first row is its headings.</summary>
    public static void Table(StringBuilder page, IReadOnlyList<string[]> rows)
    {
        page.Append("<div class=\"wide\"><table>\n");
        for (int i = 0; i < rows.Count; i++)
        {
            string tag = i == 0 ? "th" : "td";
            page.Append(
                CultureInfo.InvariantCulture,
                $"<tr>{string.Concat(rows[i].Select(cell => $"<{tag}>{E(cell)}</{tag}>"))}</tr>\n"
            );
        }
        page.Append("</table></div>\n");
    }

    /// <summary>The numbers behind a picture, folded: at most 40 rows, evenly spread.</summary>
    public static void Numbers(StringBuilder page, IReadOnlyList<string> headings, IReadOnlyList<string[]> rows)
    {
        IEnumerable<string[]> shown =
            rows.Count <= MostRows
                ? rows
                : Enumerable.Range(0, MostRows).Select(i => rows[i * (rows.Count - 1) / (MostRows - 1)]);
        page.Append("<details><summary>numbers</summary>");
        Table(
            page,
            [
                [.. headings],
                .. shown,
            ]
        );
        page.Append("</details>\n");
    }

    /// <summary>The settings that say most about a run: what learns, how it is meta-learned, K, L and μ; those that it has.</summary>
    public static IEnumerable<(string Name, string Value)> Essentials(RunConfiguration configuration)
    {
        JsonNode root = JsonNode.Parse(configuration.ToJson())!;
        string? At(params IEnumerable<string[]> paths) =>
            paths
                .Select(path => path.Aggregate((JsonNode?)root, (node, key) => (node as JsonObject)?[key]))
                .FirstOrDefault(node => node is JsonValue)
                ?.ToString();
        string? method = At(["meta", "method"]);
        (string Name, string? Value)[] all =
        [
            ("problem", At(["environment", "name"], ["experiment", "data", "name"])),
            ("learner", At(["learner", "agent"], ["experiment", "name"])),
            ("meta-learning", method),
            (
                "K, learner steps",
                method == "fixed" ? null : At(["learner", "innerSteps"], ["experiment", "innerSteps"])
            ),
            (
                "L, target steps",
                method is null or "bmg" ? At(["learner", "targetSteps"], ["experiment", "targetSteps"]) : null
            ),
            (
                "μ, matching function",
                method == "bmg"
                    ? string.Join(
                        " + ",
                        configuration.Matching.Functions.Select(term =>
                            term.Weight == 1
                                ? term.Function.Name
                                : $"{Figures.Number(term.Weight)}·{term.Function.Name}"
                        )
                    )
                    : null
            ),
        ];
        return all.Where(each => !string.IsNullOrEmpty(each.Value)).Select(each => (each.Name, each.Value!));
    }

    /// <summary>Text in a page.</summary>
    public static string E(string text) => XmlText.Escape(text);
}
