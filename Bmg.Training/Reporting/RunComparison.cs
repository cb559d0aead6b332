using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Bmg.Export;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Progress;
using Bmg.Training.Runs;

namespace Bmg.Training.Reporting;

/// <summary>Runs on one problem beside each other, complete or under way: what each of them earned, how far each is from the first, and their
/// curves in one picture.</summary>
public sealed class RunComparison
{
    private readonly Compared[] _runs;

    private RunComparison(Compared[] runs) => _runs = runs;

    private Compared First => _runs[0];

    private Metric Score => First.Record.Metrics.First(metric => metric.Name == First.Record.Score);

    /// <summary>Steps that every one of them has made: what is compared ends there.</summary>
    private long Common => _runs.Min(run => run.Log.End);

    /// <summary>Compares runs; differences are from the first.</summary>
    /// <param name="directories">At least two.</param>
    /// <exception cref="UsageException">A directory is not that of a run, or they are of different problems.</exception>
    public static RunComparison Of(IReadOnlyList<RunDirectory> directories)
    {
        ArgumentNullException.ThrowIfNull(directories);
        ArgumentOutOfRangeException.ThrowIfLessThan(directories.Count, 2);
        Compared[] runs = [.. directories.Select(Compared.Read)];
        foreach (Compared run in runs)
        {
            foreach ((string what, string found, string expected) in run.Differences(runs[0]))
            {
                throw new UsageException(
                    $"Run {run.Directory.Root}: found {what} {found}, expected {expected}, as in {runs[0].Directory.Root}: runs that are compared are of one problem"
                );
            }
            if (run.Log.EnvironmentSteps.Count == 0)
            {
                throw new UsageException($"Run {run.Directory.Root}: found no metrics yet, expected a line or more.");
            }
        }
        // Names of configurations, where they tell the runs apart, without the folder that all of them have.
        string[] names = [.. runs.Select(run => run.Configuration.Name)];
        string folder = names[0][..(names[0].LastIndexOf('/') + 1)];
        int shared = names.All(name => name.StartsWith(folder, StringComparison.Ordinal)) ? folder.Length : 0;
        bool distinct = names.Distinct().Count() == names.Length;
        return new RunComparison([
            .. runs.Select((run, i) => run with { Name = distinct ? names[i][shared..] : run.Directory.Root }),
        ]);
    }

    /// <summary>What each of them earned, and the differences from the first with 95 % intervals: lines of a table.</summary>
    public IReadOnlyList<string> Table()
    {
        string[][] rows = Rows();
        return
        [
            $"{string.Join(' ', Score.Label, Per).TrimEnd()} over {Figures.Count(Common)} {First.Record.Unit} of each seed; ± are 95 % intervals of the mean",
            .. TextTable.Lines(rows),
            .. Differences(),
        ];
    }

    /// <summary>The table and the differences, for programs: each run's score by seed over the whole run and its last tenth, and the mean difference from
    /// the first with half of its 95 % interval.</summary>
    public JsonObject Json()
    {
        static JsonArray Numbers(IEnumerable<double> values) =>
            new([.. values.Select(value => double.IsFinite(value) ? (JsonNode?)JsonValue.Create(value) : null)]);
        return new JsonObject
        {
            ["score"] = Score.Name,
            ["until"] = Common,
            ["runs"] = new JsonArray([
                .. _runs.Select(run =>
                {
                    (double mean, double half) = ReferenceEquals(run, First)
                        ? (double.NaN, double.NaN)
                        : Difference(run);
                    return new JsonObject
                    {
                        ["name"] = run.Name,
                        ["directory"] = run.Directory.Root,
                        ["seeds"] = new JsonArray([.. run.Record.Seeds.Select(seed => (JsonNode?)seed)]),
                        ["wholeRun"] = Numbers(run.Mean(Score.Name, 0, Common)),
                        ["lastTenth"] = Numbers(run.Mean(Score.Name, 0.9 * Common, Common)),
                        ["lessFirst"] = Numbers([mean, half]),
                    };
                }),
            ]),
        };
    }

    /// <summary>The score and what is meta-learned, drawn in characters: a row a run, on one scale a metric.</summary>
    /// <param name="columns">How wide a row may be.</param>
    public IEnumerable<string> Sketch(int columns)
    {
        const string changes = "the world changes";
        int names = Math.Max(changes.Length, _runs.Max(run => run.Name.Length)) + 4;
        int width = Math.Clamp(columns - names - 1, 10, 100);
        double end = _runs.Max(run => run.Configuration.EnvironmentSteps);
        foreach (Metric metric in Shown())
        {
            ChartLine[] lines = Lines(metric);
            double[][] rows = [.. lines.Select(line => Sparkline.Resample(line.X, line.Values.Mean, end, width))];
            double[] seen = [.. rows.SelectMany(row => row).Where(double.IsFinite)];
            (double low, double high) = (seen.Min(), seen.Max());
            yield return $"{Label(metric)}, from {Figures.Number(low)} to {Figures.Number(high)}";
            for (int i = 0; i < _runs.Length; i++)
            {
                yield return $"  {_runs[i].Name.PadRight(names - 2)}{Sparkline.Of(rows[i], low, high)}";
            }
        }
        string marks = Sparkline.Marks(First.Record.Changes, end, width);
        if (marks.Trim().Length > 0)
        {
            yield return $"  {changes.PadRight(names - 2)}{marks}".TrimEnd();
        }
    }

    /// <summary>A page with the table and the curves.</summary>
    public string Page()
    {
        string title = string.Join(", ", _runs.Select(run => run.Name));
        StringBuilder page = ReportPage.Open(title, E(title));
        ReportPage.Table(page, Rows());
        foreach (string line in Differences())
        {
            page.Append(CultureInfo.InvariantCulture, $"<p>{E(line)}</p>\n");
        }
        page.Append("<h2>Metrics</h2>\n<p>Lines are means over seeds, bands 95 % intervals.</p>\n");
        foreach (Metric metric in Metrics())
        {
            page.Append(Whole(metric, ""));
            Numbers(page, metric);
        }
        string around = string.Concat(Metrics().Select(AroundChanges));
        if (around.Length > 0)
        {
            page.Append(CultureInfo.InvariantCulture, $"<h2>Around changes of the world</h2>\n{around}");
        }
        page.Append("<h2>Runs</h2>\n");
        foreach (Compared run in _runs)
        {
            page.Append(CultureInfo.InvariantCulture, $"<h3>{E(run.Name)}</h3>\n");
            ReportPage.Facts(
                page,
                [
                    ("directory", run.Directory.Root),
                    .. ReportPage.Essentials(run.Configuration),
                    ("seeds", string.Join(", ", run.Record.Seeds)),
                    ("commit", run.Record.Provenance.Commit ?? "unknown"),
                    ("command", run.Record.CommandLine),
                ]
            );
        }
        return ReportPage.Close(page);
    }

    /// <summary>A picture of the score, and of what is meta-learned.</summary>
    public string Figure()
    {
        return LinesChart.StandAlone(
            string.Join(", ", _runs.Select(run => run.Name)),
            _runs.Length,
            [.. Shown().Select(metric => (Func<string, string>)(place => Whole(metric, place)))]
        );
    }

    /// <summary>What a reader looks at first: the score, and the first number beside the reward, which is one that can be learned.</summary>
    private IEnumerable<Metric> Shown() =>
        Metrics()
            .Where(metric =>
                metric.Name == Score.Name || metric.Name == First.Record.Metrics.ElementAtOrDefault(1)?.Name
            );

    /// <summary>Metrics of any of them, in the order of the first that has them, what scores first.</summary>
    private IEnumerable<Metric> Metrics() =>
        _runs
            .SelectMany(run => run.Record.Metrics)
            .DistinctBy(metric => metric.Name)
            .OrderBy(metric => metric.Name == Score.Name ? 0 : 1)
            .Where(metric => Lines(metric).Any(line => line.Values.Mean.Any(double.IsFinite)));

    private string Per => Score.Aggregation == Aggregation.PerEnvironmentStep ? "a step" : "";

    private string[][] Rows() =>
        [
            ["run", "seeds", "whole run", "last tenth"],
            .. _runs.Select(run =>
                new[]
                {
                    run.Name,
                    Figures.Count(run.Record.Seeds.Count),
                    WithInterval(run.Mean(Score.Name, 0, Common)),
                    WithInterval(run.Mean(Score.Name, 0.9 * Common, Common)),
                }
            ),
        ];

    private IEnumerable<string> Differences()
    {
        foreach (Compared run in _runs.Skip(1))
        {
            bool paired = Paired(run);
            (double mean, double half) = Difference(run);
            yield return $"{run.Name} less {First.Name}, whole run: {Figures.Number(mean)}{(double.IsNaN(half) ? "" : $" ± {Figures.Number(half)}")} {(paired ? "(pairs of one seed)" : "(different seeds)")}";
        }
    }

    private bool Paired(Compared run) => run.Record.Seeds.SequenceEqual(First.Record.Seeds);

    /// <summary>From the first, over the whole run: by pairs where the seeds are the same.</summary>
    private (double Mean, double HalfWidth) Difference(Compared run)
    {
        double[] here = run.Mean(Score.Name, 0, Common);
        double[] there = First.Mean(Score.Name, 0, Common);
        return Paired(run) ? StudentInterval.OfPairs(here, there) : StudentInterval.OfDifference(here, there);
    }

    private ChartLine[] Lines(Metric metric) =>
        [
            .. _runs.Select(
                (run, i) =>
                {
                    bool has = run.Log.Values.ContainsKey(metric.Name);
                    Curves curves = CurveReader.Learning(run.Log, has ? metric.Name : Score.Name, null);
                    return new ChartLine(
                        run.Name,
                        curves.Steps,
                        has ? curves.Reward : new Curve([.. curves.Steps.Select(_ => double.NaN)], curves.Steps),
                        i
                    );
                }
            ),
        ];

    private string Whole(Metric metric, string place) =>
        LinesChart.Draw(
            metric.Label,
            Label(metric),
            $"{First.Record.Unit} of each member",
            Lines(metric),
            0,
            _runs.Max(run => run.Configuration.EnvironmentSteps),
            marks: [.. First.Record.Changes.Select(change => (double)change)],
            place: place
        );

    private string AroundChanges(Metric metric)
    {
        (Compared Run, Curves? Curves)[] all =
        [
            .. _runs
                .Where(run => run.Log.Values.ContainsKey(metric.Name))
                .Select(run => (run, CurveReader.AroundSwaps(run.Log, run.Record.Changes, metric.Name, null))),
        ];
        ChartLine[] lines =
        [
            .. all.Where(each => each.Curves is { } curves && curves.Reward.Mean.Any(double.IsFinite))
                .Select(each => new ChartLine(
                    each.Run.Name,
                    each.Curves!.Steps,
                    each.Curves.Reward,
                    Array.IndexOf(_runs, each.Run)
                )),
        ];
        return lines.Length == 0
            ? ""
            : LinesChart.Draw(
                $"{metric.Label}, mean over changes of the last half",
                Label(metric),
                $"{First.Record.Unit} after a change",
                lines,
                lines.Min(line => line.X[0]),
                lines.Max(line => line.X[^1]),
                marks: [0]
            );
    }

    private void Numbers(StringBuilder page, Metric metric)
    {
        ChartLine[] lines = Lines(metric);
        ChartLine longest = lines.MaxBy(line => line.X.Length)!;
        ReportPage.Numbers(
            page,
            [First.Record.Unit, .. lines.Select(line => line.Name)],
            [
                .. Enumerable
                    .Range(0, longest.X.Length)
                    .Select(i =>
                        new[] { Figures.Count(longest.X[i]) }
                            .Concat(lines.Select(line => At(line, longest.X[i])))
                            .ToArray()
                    ),
            ]
        );
    }

    /// <summary>A line's value at the point that is nearest, or a dash where the line is not yet or no longer.</summary>
    private static string At(ChartLine line, double x)
    {
        int near = Enumerable.Range(0, line.X.Length).MinBy(i => Math.Abs(line.X[i] - x));
        double apart = line.X.Length > 1 ? line.X[1] - line.X[0] : double.PositiveInfinity;
        return Math.Abs(line.X[near] - x) <= apart ? Figures.Number(line.Values.Mean[near]) : "–";
    }

    private static string Label(Metric metric) =>
        metric.Unit.Length == 0 ? metric.Label
        : metric.Unit.StartsWith("per ", StringComparison.Ordinal) ? $"{metric.Label} {metric.Unit}"
        : $"{metric.Label} ({metric.Unit})";

    private static string WithInterval(double[] values)
    {
        double half = StudentInterval.HalfWidth(values);
        string mean = Figures.Number(Spread.Of(values).Mean);
        return double.IsNaN(half) ? mean : $"{mean} ± {Figures.Number(half)}";
    }

    private static string E(string text) => ReportPage.E(text);

    private sealed record Compared(
        string Name,
        RunDirectory Directory,
        RunConfiguration Configuration,
        RunRecord Record,
        MetricsLog Log
    )
    {
        public static Compared Read(RunDirectory directory)
        {
            (RunConfiguration configuration, RunRecord record, MetricsLog log) = RunReport.Read(directory);
            return new Compared(configuration.Name, directory, configuration, record, log);
        }

        public IEnumerable<(string What, string Found, string Expected)> Differences(Compared other)
        {
            string Problem(Compared run) =>
                ReportPage
                    .Essentials(run.Configuration)
                    .Where(each => each.Name == "problem")
                    .Select(each => each.Value)
                    .FirstOrDefault("none");
            if (Record.Unit != other.Record.Unit)
            {
                yield return ("the unit", $"\"{Record.Unit}\"", $"\"{other.Record.Unit}\"");
            }
            if (Problem(this) != Problem(other))
            {
                yield return ("the problem", $"\"{Problem(this)}\"", $"\"{Problem(other)}\"");
            }
            if (Record.Score != other.Record.Score)
            {
                yield return ("the score", $"\"{Record.Score}\"", $"\"{other.Record.Score}\"");
            }
        }

        /// <summary>Mean of a metric over the intervals that end after one point and not after another; one number a member.</summary>
        public double[] Mean(string metric, double after, double until)
        {
            int count = Log.EnvironmentSteps.Count(steps => steps <= until);
            MetricsLog log = new(
                [.. Log.EnvironmentSteps.Take(count)],
                new Dictionary<string, IReadOnlyList<double[]>> { [metric] = [.. Log.Values[metric].Take(count)] }
            );
            return [.. log.MeanSince(metric, after)];
        }
    }
}
