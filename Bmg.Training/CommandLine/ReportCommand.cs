using System.CommandLine;
using Bmg.Export;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;

namespace Bmg.Training.CommandLine;

/// <summary><c>report</c>: a run's page, and a picture of it.</summary>
internal static class ReportCommand
{
    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string> path = new("RUN") { Description = "The run's directory." };
        Option<string?> figure = new("--svg")
        {
            Description = "Also write a picture of the run's first two metrics, reward and what is meta-learned.",
            HelpName = "FILE",
        };
        Command command = new(
            "report",
            """
            Writes report.html of a run anew, complete or under way.

            Example: report runs/mine --svg mine.svg
            """
        )
        {
            path,
            figure,
        };
        command.SetAction(parsed =>
        {
            RunDirectory run = RunDirectory.Open(parsed.GetRequiredValue(path));
            host.Out.WriteLine(RunReport.Write(run));
            if (parsed.GetValue(figure) is { } file)
            {
                AtomicFile.WriteText(file, RunReport.Figure(run));
                host.Out.WriteLine(file);
            }
        });
        return command;
    }
}
