using System.Globalization;
using System.Text;
using Bmg.Export;
using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Progress;
using Bmg.Training.Runs;

namespace Bmg.Training.Reporting;

/// <summary>report.html: a run in one page that needs nothing else, complete or under way.</summary>
public static class RunReport
{
    // Shows the mean under the pointer; the page is whole without it.
    private const string Script = """
        for (const svg of document.querySelectorAll("svg.chart")) {
          const add = (name, kind) => {
            const element = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
            element.classList.add(kind);
            element.style.display = "none";
            return element;
          };
          const plot = svg.querySelector(".plot"), cursor = add("line", "cursor"), text = add("text", "readout");
          const { x, y, width, height } = plot.getBBox(), { end, from, to, log } = plot.dataset;
          const points = [...svg.querySelectorAll("path.mean")].flatMap(path => path.getAttribute("d").slice(1).split("L").map(p => p.split(" ").map(Number)));
          plot.addEventListener("mousemove", event => {
            const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
            const near = points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a, points[0]);
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
          });
          plot.addEventListener("mouseleave", () => cursor.style.display = text.style.display = "none");
        }
        """;

    private const string PageStyle = """
        :root { color-scheme: light dark; }
        body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
        h1 { font-size: 1.5em; margin: 0; } h2 { font-size: 1.1em; margin: 2em 0 0.5em; }
        .chart { display: block; width: 100%; height: auto; margin: 0 0 1em; }
        table { border-collapse: collapse; } td, th { padding: 0.15em 1.2em 0.15em 0; text-align: right; font-variant-numeric: tabular-nums; }
        td:first-child, th:first-child, .facts td { text-align: left; } th { font-weight: 600; } .total td { border-top: 1px solid #8885; }
        .facts td:first-child { opacity: 0.7; white-space: nowrap; vertical-align: top; }
        .state { font-size: 0.8em; border: 1px solid #8888; border-radius: 1em; padding: 0.1em 0.7em; margin-left: 0.6em; vertical-align: middle; font-weight: 400; }
        pre { overflow: auto; font-size: 13px; line-height: 1.4; padding: 1em; border: 1px solid #8884; border-radius: 6px; }
        """;

    /// <summary>Writes a run's report into its directory; returns the file.</summary>
    /// <exception cref="UsageException">The directory is not that of a run, or a file in it is damaged.</exception>
    public static string Write(RunDirectory run)
    {
        AtomicFile.WriteText(run.Report, Page(run));
        return run.Report;
    }

    /// <summary>A picture of a run's reward and what it meta-learns, for a README or a paper.</summary>
    public static string Figure(RunDirectory run)
    {
        (RunConfiguration configuration, RunRecord record, MetricsLog log) = Read(run);
        return SvgChart.StandAlone([.. Charts(configuration, record, log).Take(2)]);
    }

    private static string Page(RunDirectory run)
    {
        (RunConfiguration configuration, RunRecord record, MetricsLog log) = Read(run);
        // The summary of a run that has since been lengthened is not that of these metrics.
        RunSummary? summary = RunSummary.Read(run) is { } read && read.EnvironmentSteps >= log.End ? read : null;
        StringBuilder page = new();
        page.Append(
            CultureInfo.InvariantCulture,
            $$"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <title>{{E(configuration.Name)}}</title>
            <style>
            {{PageStyle}}
            {{SvgChart.Style(Palette.Light)}}
            @media (prefers-color-scheme: dark) {
            {{SvgChart.Style(Palette.Dark)}}
            }
            </style>
            </head>
            <body>
            <h1>{{E(configuration.Name)}}<span class="state">{{record.State.ToString().ToLowerInvariant()}}</span></h1>
            <p>{{E(configuration.Description)}}</p>

            """
        );
        if (record.Frozen.Count > 0)
        {
            page.Append(
                CultureInfo.InvariantCulture,
                $"<p><strong>{E(string.Join("; ", record.Frozen))}. Means are over the others.</strong></p>\n"
            );
        }
        if (record.Problem is { } problem)
        {
            page.Append(CultureInfo.InvariantCulture, $"<p><strong>{E(problem)}</strong></p>\n");
        }
        Results(page, configuration, record, log, summary);
        page.Append("<h2>Metrics</h2>\n");
        foreach (Chart chart in Charts(configuration, record, log))
        {
            page.Append(SvgChart.Inline(chart));
        }
        if (summary is not null)
        {
            Members(page, summary);
        }
        page.Append(CultureInfo.InvariantCulture, $"<h2>Configuration</h2>\n<pre>{E(configuration.ToJson())}</pre>\n");
        page.Append("<h2>How it was run</h2>\n");
        Facts(
            page,
            [
                ("command", record.CommandLine),
                (
                    "started, resumed",
                    string.Join(", ", record.Started.Select(time => time.ToString("u", CultureInfo.InvariantCulture)))
                ),
                ("device", $"{record.Device.ToString().ToLowerInvariant()}, {record.Threads} threads"),
                ("seeds", string.Join(", ", record.Seeds)),
                (
                    "versions",
                    $"Bmg {record.Provenance.Version}, TorchSharp {record.Provenance.TorchSharp}, {record.Provenance.Runtime}"
                ),
                ("commit", record.Provenance.Commit ?? "unknown"),
                ("system", record.Provenance.System),
                .. record
                    .Parts.GroupBy(part => (part.Assembly, part.Version))
                    .Select(brought =>
                        (
                            $"parts of {brought.Key.Assembly} {brought.Key.Version}",
                            string.Join(", ", brought.Select(part => $"{part.Kind} \"{part.Name}\""))
                        )
                    ),
            ]
        );
        return page.Append(CultureInfo.InvariantCulture, $"<script>\n{Script}\n</script>\n</body>\n</html>\n")
            .ToString();
    }

    private static (RunConfiguration Configuration, RunRecord Record, MetricsLog Log) Read(RunDirectory run)
    {
        RunRecord record = RunRecord.Read(run);
        return (
            ConfigurationReader.ReadResolved(run.Configuration),
            record,
            MetricsLog.Read(run.Metrics, record.Metrics)
        );
    }

    private static IEnumerable<Chart> Charts(RunConfiguration configuration, RunRecord record, MetricsLog log)
    {
        foreach (Metric metric in record.Metrics)
        {
            Series series = Series.Of(log, metric.Name);
            string unit =
                metric.Unit.Length == 0 ? ""
                : metric.Unit.StartsWith("per ", StringComparison.Ordinal) ? $" {metric.Unit}"
                : $" ({metric.Unit})";
            if (series.Mean.Any(double.IsFinite) || series.Mean.Length == 0)
            {
                yield return new Chart(
                    metric.Label,
                    metric.Label + unit,
                    series,
                    record.Changes,
                    configuration.EnvironmentSteps
                )
                {
                    Unit = record.Unit,
                };
            }
        }
    }

    private static void Results(
        StringBuilder page,
        RunConfiguration configuration,
        RunRecord record,
        MetricsLog log,
        RunSummary? summary
    )
    {
        string length = $"{Figures.Count(log.End)} {record.Unit} by each of {configuration.Members} members";
        if (summary is null)
        {
            Facts(page, ("so far", $"{length}, of {Figures.Count(configuration.EnvironmentSteps)}"));
            return;
        }
        FirstMetric first = FirstMetric.Of(summary.Metric);
        string Total(double value) => first.Text(value, summary.EnvironmentSteps);
        Facts(
            page,
            ("length", $"{length}, in {Figures.Time(TimeSpan.FromSeconds(summary.Seconds))}"),
            (first.TotalLabel, Text(summary.TotalRewardSpread, Total)),
            ($"{first.RateLabel}, last tenth", Text(summary.FinalRewardRateSpread, Figures.Number)),
            ("speed", $"{Figures.Count(summary.EnvironmentStepsPerSecond)} {record.Unit} a second, all members"),
            ("peak memory", $"{Figures.Count(summary.PeakMemoryBytes / 1e6)} MB"),
            (
                "exported policy",
                summary.Policy is null
                    ? "none"
                    : $"{summary.Policy}, largest difference {summary.ExportMaxAbsDifference:0.0e+0}"
            )
        );
    }

    private static void Members(StringBuilder page, RunSummary summary)
    {
        FirstMetric first = FirstMetric.Of(summary.Metric);
        page.Append(
            CultureInfo.InvariantCulture,
            $"<h2>Members</h2>\n<table>\n<tr><th>member</th><th>seed</th><th>{E(first.TotalLabel)}</th><th>{E(first.RateLabel)}, last tenth</th></tr>\n"
        );
        for (int i = 0; i < summary.Seeds.Count; i++)
        {
            FrozenMember? frozen = summary.Frozen.FirstOrDefault(mark => mark.Member == i);
            Row(
                $"{i}</td><td>{summary.Seeds[i]}",
                frozen is not null
                    ? $"frozen at {Figures.Count(frozen.EnvironmentStep)}"
                    : Total(summary.TotalReward[i]),
                Figures.Number(summary.FinalRewardRate[i]),
                ""
            );
        }
        Row(
            "mean ± deviation</td><td>",
            Text(summary.TotalRewardSpread, Total),
            Text(summary.FinalRewardRateSpread, Figures.Number),
            " class=\"total\""
        );
        page.Append("</table>\n");

        string Total(double value) => first.Text(value, summary.EnvironmentSteps);

        void Row(string name, string total, string rate, string style) =>
            page.Append(
                CultureInfo.InvariantCulture,
                $"<tr{style}><td>{name}</td><td>{total}</td><td>{rate}</td></tr>\n"
            );
    }

    private static void Facts(StringBuilder page, params IReadOnlyList<(string Name, string Value)> facts)
    {
        page.Append("<table class=\"facts\">\n");
        foreach ((string name, string value) in facts)
        {
            page.Append(CultureInfo.InvariantCulture, $"<tr><td>{E(name)}</td><td>{E(value)}</td></tr>\n");
        }
        page.Append("</table>\n");
    }

    private static string Text(Spread spread, Func<double, string> number) =>
        $"{number(spread.Mean)} ± {number(spread.Deviation)}";

    private static string E(string text) => XmlText.Escape(text);
}
