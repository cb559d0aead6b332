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
    /// <summary>More curves in one picture cannot be told apart.</summary>
    private const int MostMembers = 20;

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
        return SvgChart.StandAlone([.. Charts(configuration, record, log).Take(2).Select(each => each.Chart)]);
    }

    private static string Page(RunDirectory run)
    {
        (RunConfiguration configuration, RunRecord record, MetricsLog log) = Read(run);
        // The summary of a run that has since been lengthened is not that of these metrics.
        RunSummary? summary = RunSummary.Read(run) is { } read && read.EnvironmentSteps >= log.End ? read : null;
        StringBuilder page = ReportPage.Open(
            configuration.Name,
            $"{E(configuration.Name)}<span class=\"state\">{record.State.ToString().ToLowerInvariant()}</span>"
        );
        page.Append(CultureInfo.InvariantCulture, $"<p>{E(configuration.Description)}</p>\n");
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
        ReportPage.Facts(
            page,
            [
                .. ReportPage.Essentials(configuration),
                ("commit", record.Provenance.Commit ?? "unknown"),
                ("versions", $"Bmg {record.Provenance.Version}, TorchSharp {record.Provenance.TorchSharp}"),
            ]
        );
        page.Append("<h2>Results</h2>\n");
        Results(page, configuration, record, log, summary);
        page.Append("<h2>Metrics</h2>\n");
        foreach ((string metric, Chart chart) in Charts(configuration, record, log))
        {
            page.Append(SvgChart.Inline(chart));
            Behind(page, chart, log, metric);
        }
        Around(page, record, log);
        if (summary is not null)
        {
            Members(page, summary);
        }
        page.Append(CultureInfo.InvariantCulture, $"<h2>Configuration</h2>\n<pre>{E(configuration.ToJson())}</pre>\n");
        page.Append("<h2>How it was run</h2>\n");
        ReportPage.Facts(
            page,
            [
                ("command", record.CommandLine),
                .. record.From is { } from
                    ? new[] { ("started with the parameters of", from) }
                    : Array.Empty<(string, string)>(),
                (
                    "started, resumed",
                    string.Join(", ", record.Started.Select(time => time.ToString("u", CultureInfo.InvariantCulture)))
                ),
                ("device", $"{record.Device.ToString().ToLowerInvariant()}, {record.Threads} threads"),
                ("seeds", string.Join(", ", record.Seeds)),
                ("runtime", record.Provenance.Runtime),
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
        return ReportPage.Close(page);
    }

    /// <summary>What a report is made of.</summary>
    internal static (RunConfiguration Configuration, RunRecord Record, MetricsLog Log) Read(RunDirectory run)
    {
        RunRecord record = RunRecord.Read(run);
        return (
            ConfigurationReader.ReadResolved(run.Configuration),
            record,
            MetricsLog.Read(run.Metrics, record.Metrics)
        );
    }

    /// <summary>What happens around changes of the world, where there are some: the mean over those of the last half.</summary>
    private static void Around(StringBuilder page, RunRecord record, MetricsLog log)
    {
        IEnumerable<Metric> shown = record.Metrics.Where((metric, i) => i < 2 || metric.Name == record.Score);
        string charts = string.Concat(
            shown.Select(metric =>
                CurveReader.AroundSwaps(log, record.Changes, metric.Name, null) is { } curves
                && curves.Reward.Mean.Any(double.IsFinite)
                    ? LinesChart.Draw(
                        $"{metric.Label}, mean over changes of the last half, with its 95 % interval over seeds",
                        metric.Label,
                        $"{record.Unit} after a change",
                        [new ChartLine(metric.Label, curves.Steps, curves.Reward, 0)],
                        curves.Steps[0],
                        curves.Steps[^1],
                        marks: [0]
                    )
                    : ""
            )
        );
        if (charts.Length > 0)
        {
            page.Append(CultureInfo.InvariantCulture, $"<h2>Around changes of the world</h2>\n{charts}");
        }
    }

    /// <summary>The numbers of a picture, and the curve of each member.</summary>
    private static void Behind(StringBuilder page, Chart chart, MetricsLog log, string metric)
    {
        Series data = chart.Data;
        ReportPage.Numbers(
            page,
            [chart.Unit, "mean", "deviation", "least", "greatest"],
            [
                .. Enumerable
                    .Range(0, data.X.Length)
                    .Select(i =>
                        new[]
                        {
                            Figures.Count(data.X[i]),
                            Figures.Number(data.Mean[i]),
                            Figures.Number(data.Deviation[i]),
                            Figures.Number(data.Low[i]),
                            Figures.Number(data.High[i]),
                        }
                    ),
            ]
        );
        if (data.Members is < 2 or > MostMembers)
        {
            return;
        }
        (double[] steps, Curve[] curves) = CurveReader.Members(log, metric);
        ChartLine[] lines =
        [
            .. curves.Select((curve, member) => new ChartLine($"member {member}", steps, curve, member)),
        ];
        page.Append("<details><summary>each member</summary>\n");
        page.Append(
            LinesChart.Draw(
                $"{chart.Title}, each member",
                chart.YLabel,
                chart.Unit,
                lines,
                0,
                chart.End,
                marks: [.. chart.Marks.Select(mark => (double)mark)]
            )
        );
        page.Append("</details>\n");
    }

    private static IEnumerable<(string Metric, Chart Chart)> Charts(
        RunConfiguration configuration,
        RunRecord record,
        MetricsLog log
    )
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
                yield return (
                    metric.Name,
                    new Chart(metric.Label, metric.Label + unit, series, record.Changes, configuration.EnvironmentSteps)
                    {
                        Unit = record.Unit,
                    }
                );
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
            ReportPage.Facts(page, ("so far", $"{length}, of {Figures.Count(configuration.EnvironmentSteps)}"));
            return;
        }
        FirstMetric first = FirstMetric.Of(summary.Metric);
        string Total(double value) => first.Text(value, summary.EnvironmentSteps);
        ReportPage.Facts(
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

    private static string Text(Spread spread, Func<double, string> number) =>
        $"{number(spread.Mean)} ± {number(spread.Deviation)}";

    private static string E(string text) => ReportPage.E(text);
}
