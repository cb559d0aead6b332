using System.CommandLine;
using Bmg.Export;
using Bmg.Training.Configuration;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;

namespace Bmg.Training.CommandLine;

/// <summary><c>report</c>: a run's page, and a picture of it.</summary>
internal static class ReportCommand
{
    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string[]> paths = new("RUN")
        {
            Description =
                "The run's directory; several, of one problem, or one that train has made of several configurations, to compare them.",
            Arity = ArgumentArity.OneOrMore,
        };
        Option<string?> figure = new("--svg")
        {
            Description = "Also write a picture of the run's first two metrics, reward and what is meta-learned.",
            HelpName = "FILE",
        };
        Option<string?> output = new("--output")
        {
            Description = "Page of a comparison of several runs. [default: comparison.html]",
            HelpName = "FILE",
        };
        Option<bool> json = new("--json")
        {
            Description = "Of several runs: the table on standard output as JSON, and nothing else there.",
        };
        Command command = new(
            "report",
            """
            Writes report.html of a run anew, complete or under way; of several runs, prints what each earned and the differences from the first, with
            intervals, and writes a page with their curves.

            Examples:
              report runs/mine --svg mine.svg
              report runs/fixed runs/bmg --output comparison.html
            """
        )
        {
            paths,
            figure,
            output,
            json,
        };
        command.SetAction(parsed =>
        {
            RunDirectory[] runs =
            [
                .. parsed
                    .GetRequiredValue(paths)
                    .SelectMany(path => TrainSeveral.Is(path) ? TrainSeveral.RunsIn(path) : [path])
                    .Select(RunDirectory.Open),
            ];
            if (runs.Length == 1)
            {
                if (parsed.GetValue(output) is not null || parsed.GetValue(json))
                {
                    throw new UsageException(
                        "--output, --json: expected several runs; the page and the summary of one are in its directory."
                    );
                }
                host.Out.WriteLine(RunReport.Write(runs[0]));
                Write(parsed.GetValue(figure), () => RunReport.Figure(runs[0]));
                return;
            }
            RunComparison comparison = RunComparison.Of(runs);
            if (parsed.GetValue(json))
            {
                host.Out.WriteLine(comparison.Json().ToJsonString(ConfigurationJson.Indented));
                Quiet(parsed.GetValue(output), comparison.Page);
                Quiet(parsed.GetValue(figure), comparison.Figure);
                return;
            }
            foreach (string line in comparison.Table())
            {
                host.Out.WriteLine(line);
            }
            host.Out.WriteLine();
            Write(parsed.GetValue(output) ?? "comparison.html", comparison.Page);
            Write(parsed.GetValue(figure), comparison.Figure);
        });
        return command;

        void Write(string? file, Func<string> text)
        {
            if (file is not null)
            {
                Quiet(file, text);
                host.Out.WriteLine(file);
            }
        }

        static void Quiet(string? file, Func<string> text)
        {
            if (file is not null)
            {
                AtomicFile.WriteText(file, text());
            }
        }
    }
}
