namespace Bmg.Training.Progress;

/// <summary>One plain line every few seconds, for output that is no terminal.</summary>
public static class PlainReporter
{
    /// <summary>Writes to <paramref name="output"/>.</summary>
    /// <param name="output">Where lines go.</param>
    /// <param name="every">Time between two lines.</param>
    public static RunReporter To(TextWriter output, TimeSpan every) =>
        new(
            output.WriteLine,
            (latest, run) =>
            {
                while (!RunReporter.Await(run, every))
                {
                    output.WriteLine(Line(latest()));
                    output.Flush();
                }
            }
        );

    /// <summary>A snapshot in a line.</summary>
    public static string Line(RunSnapshot now)
    {
        string steps =
            $"{now.Done * 100:0.0} %  {Figures.Count(now.EnvironmentSteps)} of {Figures.Count(now.TargetSteps)} {Units.Word(now.Unit)}";
        string pace =
            now.Phase.Length > 0
                ? now.Phase
                : $"{Figures.Count(now.StepsPerSecond)} {Units.Word(now.Unit)}/s  {(now.Left is { } left ? Figures.Time(left) : "–")} left";
        return string.Join(
            "  ",
            [steps, pace, .. now.Figures.Select(f => $"{f.Metric.Label} {Figures.Number(f.Mean)}")]
        );
    }
}
