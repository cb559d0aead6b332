using Bmg.Training.Progress;
using Bmg.Training.Runs;
using Spectre.Console;

namespace Bmg.Training.Studies;

/// <summary>How a study tells its user what happens.</summary>
/// <param name="Say">Says a line that stays.</param>
/// <param name="Watch">Shows the latest snapshot again and again until the study ends; called on a thread that has nothing else to do.</param>
public sealed record StudyReporter(Action<string> Say, Action<Func<StudySnapshot>, Task> Watch)
{
    private static readonly TimeSpan LivePace = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan PlainPace = TimeSpan.FromSeconds(5);

    /// <summary>Says nothing.</summary>
    public static StudyReporter Silent { get; } = new(_ => { }, (_, study) => RunReporter.Await(study));

    /// <summary>The one that fits: a display that renews itself on a terminal, a line every few seconds elsewhere, nothing when quiet.</summary>
    public static StudyReporter For(TextWriter output, bool interactive, bool quiet) =>
        quiet ? Silent
        : interactive
            ? Live(AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) }))
                .SturdyOnceHeard()
        : Plain(output, PlainPace).SturdyOnceHeard();

    /// <summary>The same, but a line that cannot be said, on a terminal that went away or a full disk, is no reason to lose a study.</summary>
    public StudyReporter Sturdy() =>
        this with
        {
            Say = line =>
            {
                try
                {
                    Say(line);
                }
                catch (IOException)
                {
                    // The results are in files.
                }
            },
        };

    /// <summary>Sturdy from the second line on: somebody who cannot be told where results go would wait for nothing.</summary>
    public StudyReporter SturdyOnceHeard()
    {
        Action<string> firm = Sturdy().Say;
        bool heard = false;
        return this with
        {
            Say = line =>
            {
                (heard ? firm : Say)(line);
                heard = true;
            },
        };
    }

    /// <summary>A plain line every few seconds.</summary>
    public static StudyReporter Plain(TextWriter output, TimeSpan every) =>
        new(
            output.WriteLine,
            (latest, study) =>
            {
                while (!RunReporter.Await(study, every))
                {
                    output.WriteLine(Line(latest()));
                    output.Flush();
                }
            }
        );

    /// <summary>A snapshot in a line.</summary>
    public static string Line(StudySnapshot now) => string.Join("  ", [Whole(now), now.Cell, .. Run(now.Current)]);

    private static StudyReporter Live(IAnsiConsole console)
    {
        RunReporter lines = LiveReporter.To(console);
        return new(
            lines.Say,
            (latest, study) =>
                console
                    .Live(Draw(latest(), console.Profile.Width))
                    .Start(display =>
                    {
                        bool done;
                        do
                        {
                            done = RunReporter.Await(study, LivePace);
                            display.UpdateTarget(Draw(latest(), console.Profile.Width));
                            display.Refresh();
                        } while (!done);
                    })
        );
    }

    private static Rows Draw(StudySnapshot now, int width)
    {
        int bar = Math.Clamp(width - 24, 10, 60);
        int full = (int)Math.Round(now.Done * bar);
        string cells = Markup.Escape(now.Cell);
        return new Rows(
            new Markup($"[blue]{new string('━', full)}[/][grey]{new string('━', bar - full)}[/]"),
            new Text(Whole(now)),
            new Markup($"[bold]{cells}[/]"),
            new Text(string.Join(" · ", Run(now.Current)))
        );
    }

    private static string Whole(StudySnapshot now) =>
        $"{now.Done * 100:0.0} %  {Figures.Count(now.DoneSteps)} of {Figures.Count(now.AllSteps)} steps of all cells  {now.Left}";

    private static IEnumerable<string> Run(RunSnapshot? run)
    {
        if (run is null)
        {
            yield break;
        }
        yield return $"{Figures.Count(run.EnvironmentSteps)} of {Figures.Count(run.TargetSteps)} {Units.Word(run.Unit)} by {run.Members} seeds";
        yield return run.Phase.Length > 0 ? run.Phase : $"{Figures.Count(run.StepsPerSecond)} {Units.Word(run.Unit)}/s";
        foreach ((Agents.Metric metric, double mean) in run.Figures.Take(2))
        {
            yield return $"{metric.Label} {Figures.Number(mean)}";
        }
    }
}
