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
            line => console.WriteLine(line),
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
        int bar = Math.Clamp(width - 10, 10, 70);
        int full = (int)Math.Round(now.Done * bar);
        string left = now.Left is { } time ? Figures.Time(time) : "–";
        string pace =
            now.Phase.Length > 0
                ? now.Phase
                : $"{Figures.Count(now.StepsPerSecond)} steps/s, all {now.Members} members · {left} left";
        string steps =
            $"{Figures.Count(now.EnvironmentSteps)} of {Figures.Count(now.TargetSteps)} environment steps a member";

        List<IRenderable> rows =
        [
            new Markup($"[blue]{new string('━', full)}[/][grey]{new string('━', bar - full)}[/] {now.Done * 100:0.0} %"),
            new Text($"{steps} · {pace}"),
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
}
