using Spectre.Console;
using Spectre.Console.Rendering;

namespace Bmg.Training.Progress;

/// <summary>A display that renews itself, for terminals.</summary>
public static class LiveReporter
{
    private const int MostFigures = 4;
    private const int MostCurves = 7;
    private const int LabelWidth = 26;
    private const int FigureWidth = 8;
    private const int LeastCurve = 16;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(250);

    /// <summary>Draws on <paramref name="console"/>.</summary>
    public static RunReporter To(IAnsiConsole console) =>
        new(
            line => console.Write(new Unwrapped(line)),
            (latest, run) =>
                console
                    .Live(Draw(latest(), console.Profile.Width, console.Profile.Height))
                    .Start(display =>
                    {
                        bool done;
                        do
                        {
                            done = RunReporter.Await(run, Pace);
                            display.UpdateTarget(Draw(latest(), console.Profile.Width, console.Profile.Height));
                            display.Refresh();
                        } while (!done);
                    })
        );

    /// <summary>What fits: the bar and the pace always; each metric with its curve, the changes of the world and the members where there is
    /// room.</summary>
    internal static Rows Draw(RunSnapshot now, int width, int height)
    {
        int bar = Math.Clamp(width - 24, 10, 60);
        int full = (int)Math.Round(now.Done * bar);
        string rest = now.Phase.Length > 0 ? now.Phase : $"{(now.Left is { } time ? Figures.Time(time) : "–")} left";
        string steps = $"{Figures.Count(now.EnvironmentSteps)} of {Figures.Count(now.TargetSteps)} {now.Unit} a member";

        List<IRenderable> rows =
        [
            new Markup(
                $"[blue]{new string('━', full)}[/][grey]{new string('━', bar - full)}[/] {now.Done * 100:0.0} %  {Markup.Escape(rest)}"
            ),
            new Text($"{steps} · {Figures.Count(now.StepsPerSecond)} {Units.Word(now.Unit)}/s"),
        ];
        int curve = Math.Min(width - LabelWidth - FigureWidth - 4, 100);
        int room = height - 6;
        if (now.Figures.Count == 0)
        {
            return new Rows(rows);
        }
        if (curve < LeastCurve || room < 2 || now.Trail.Count != now.Figures.Count)
        {
            IEnumerable<string> figures = now
                .Figures.Take(width < 60 ? 2 : MostFigures)
                .Select(f => $"{Markup.Escape(f.Metric.Label)} [bold]{Figures.Number(f.Mean)}[/]");
            rows.Add(new Markup(string.Join(" · ", figures)));
            return new Rows(rows);
        }
        for (int i = 0; i < Math.Min(now.Figures.Count, Math.Min(room - 1, MostCurves)); i++)
        {
            (Agents.Metric metric, double mean) = now.Figures[i];
            double[] cells = Sparkline.Resample(Places(now.Trail[i]), now.Trail[i], now.Trail[i].Length, curve);
            double[] seen = [.. cells.Where(double.IsFinite)];
            string drawn = seen.Length == 0 ? "" : Sparkline.Of(cells, seen.Min(), seen.Max());
            rows.Add(
                new Markup(
                    $"{Markup.Escape(Cut(metric.Label))}[bold]{Figures.Number(mean), FigureWidth}[/]  [blue]{drawn.TrimEnd()}[/]"
                )
            );
        }
        string marks = Sparkline.Marks(now.Changes, now.TargetSteps, curve).TrimEnd();
        if (marks.Length > 0)
        {
            rows.Add(new Text($"{Cut("the world changes")}{"", FigureWidth}  {marks}"));
        }
        if (room > rows.Count && now.Latest.Count > 1)
        {
            int most = (width - LabelWidth) / (FigureWidth + 1);
            string members = string.Concat(
                now.Latest.Take(most).Select(value => Figures.Number(value).PadLeft(FigureWidth) + " ")
            );
            rows.Add(
                new Text($"{Cut("members")}{members}{(now.Latest.Count > most ? "…" : "")}".TrimEnd(), Style.Plain)
            );
        }
        return new Rows(rows);

        static string Cut(string label) =>
            (label.Length > LabelWidth - 1 ? label[..(LabelWidth - 2)] + "…" : label).PadRight(LabelWidth);

        static double[] Places(double[] cells) => [.. cells.Select((_, i) => i + 0.5)];
    }

    /// <summary>A line as it is: one to be copied, a path or a command, must not be broken.</summary>
    private sealed class Unwrapped(string text) : Renderable
    {
        protected override IEnumerable<Segment> Render(RenderOptions options, int maxWidth) =>
            [new Segment(text), Segment.LineBreak];
    }
}
