using Spectre.Console;
using Spectre.Console.Rendering;

namespace Bmg.Training.Progress;

/// <summary>A display that renews itself, for terminals.</summary>
public static class LiveReporter
{
    private const int MostFigures = 4;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(250);

    /// <summary>Draws on <paramref name="console"/>.</summary>
    public static RunReporter To(IAnsiConsole console) =>
        new(
            line => console.Write(new Unwrapped(line)),
            (latest, run) =>
                console
                    .Live(Draw(latest(), console.Profile.Width))
                    .Start(display =>
                    {
                        bool done;
                        do
                        {
                            done = RunReporter.Await(run, Pace);
                            display.UpdateTarget(Draw(latest(), console.Profile.Width));
                            display.Refresh();
                        } while (!done);
                    })
        );

    private static Rows Draw(RunSnapshot now, int width)
    {
        int bar = Math.Clamp(width - 24, 10, 60);
        int full = (int)Math.Round(now.Done * bar);
        string rest = now.Phase.Length > 0 ? now.Phase : $"{(now.Left is { } time ? Figures.Time(time) : "–")} left";
        string steps = $"{Figures.Count(now.EnvironmentSteps)} of {Figures.Count(now.TargetSteps)} {now.Unit} a member";

        List<IRenderable> rows =
        [
            new Markup(
                $"[blue]{new string('━', full)}[/][grey]{new string('━', bar - full)}[/] {now.Done * 100:0.0} %  {rest}"
            ),
            new Text($"{steps} · {Figures.Count(now.StepsPerSecond)} {Units.Word(now.Unit)}/s"),
        ];
        if (now.Figures.Count > 0)
        {
            IEnumerable<string> figures = now
                .Figures.Take(MostFigures)
                .Select(f => $"{Markup.Escape(f.Metric.Label)} [bold]{Figures.Number(f.Mean)}[/]");
            rows.Add(new Markup(string.Join(" · ", figures)));
        }
        return new Rows(rows);
    }

    /// <summary>A line as it is: one to be copied, a path or a command, must not be broken.</summary>
    private sealed class Unwrapped(string text) : Renderable
    {
        protected override IEnumerable<Segment> Render(RenderOptions options, int maxWidth) =>
            [new Segment(text), Segment.LineBreak];
    }
}
