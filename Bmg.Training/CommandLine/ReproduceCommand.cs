using System.CommandLine;
using Bmg.Export;
using Bmg.Export.CommandLine;
using Bmg.Training.Configuration;
using Bmg.Training.Progress;
using Bmg.Training.Runs;
using Bmg.Training.Studies;
using Bmg.Training.Supervised;

namespace Bmg.Training.CommandLine;

/// <summary><c>reproduce</c>: the runs of a published table, and the table beside what they gave.</summary>
internal static class ReproduceCommand
{
    private const long QuickSteps = 40_000;
    private const int QuickSeeds = 2;

    /// <summary>What is asked for.</summary>
    private sealed record Request(
        StudyDescription Study,
        string File,
        IReadOnlyList<CellDescription> Cells,
        string Output,
        string Results,
        IReadOnlyList<string> Settings,
        int? Seeds,
        bool Quick,
        bool Replace,
        bool Quiet,
        string CommandLine
    );

    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string> name = new("STUDY")
        {
            Description =
                "Name of a study, as two-colors for paper-configs/studies/two-colors.json, or the path of a study's file.",
        };
        Option<string[]> cell = new("--cell")
        {
            Description = "Only this cell of the table; may be repeated. All cells where none is given.",
            HelpName = "ID",
        };
        Option<int> seeds = new("--seeds")
        {
            Description =
                "Seeds of each cell, the first N of a configuration that lists its seeds. Where none are given, those that are listed, or as many as were published.",
            HelpName = "N",
        };
        seeds.AtLeast(1);
        Option<long> steps = new("--steps")
        {
            Description = "Environment steps of each seed; as many as were published where none are given.",
            HelpName = "N",
        };
        steps.AtLeast(1);
        Option<bool> quick = new("--quick")
        {
            Description =
                $"A look at the whole in minutes: {QuickSeeds} seeds, {Figures.Count(QuickSteps)} steps; results go into the output directory.",
        };
        Option<string?> output = new("--output")
        {
            Description =
                "Directory of the runs; runs/studies/<study> where none is given, runs/studies/<study>-quick with --quick.",
            HelpName = "DIR",
        };
        Option<string?> results = new("--results")
        {
            Description =
                "Directory of the results; docs/results/<study> beside paper-configs where none is given, <output>/results with --quick.",
            HelpName = "DIR",
        };
        Option<bool> show = new("--show")
        {
            Description = "Run nothing: draw table, CSV and report from the results there are.",
        };
        Option<bool> replace = new("--replace")
        {
            Description = "Overwrite results of other settings than those of today.",
        };
        Option<int> threads = new("--threads")
        {
            Description = "Threads of the tensor library; 0 takes all cores.",
            HelpName = "N",
        };
        threads.AtLeast(0);
        Option<bool> quiet = new("--quiet") { Description = "No progress and no table, errors only." };
        Command command = new(
            "reproduce",
            """
            Runs the cells of a published table, each with all its seeds, and prints the table beside what they gave. A cell whose result is
            there is not run again; Ctrl-C checkpoints and stops, and the same command goes on.

            Examples:
              reproduce two-colors --quick
                a look at the whole, in minutes
              reproduce two-colors
                all cells at full length
              reproduce two-colors --cell ac-bmg-reward --cell q-bmg --seeds 4 --steps 1000000
                two cells, shorter: their row says "short" and is compared by the reward a step
              reproduce two-colors --show
                the table from the results there are
            """
        )
        {
            name,
            cell,
            seeds,
            steps,
            quick,
            output,
            results,
            show,
            replace,
            threads,
            quiet,
        };
        command.SetAction(parsed =>
        {
            string file = StudyReader.Find(parsed.GetRequiredValue(name));
            StudyDescription study = StudyReader.ReadFile(file);
            bool brief = parsed.GetValue(quick);
            string directory =
                parsed.GetValue(output) ?? Path.Combine("runs", "studies", brief ? $"{study.Name}-quick" : study.Name);
            string kept =
                parsed.GetValue(results)
                ?? (
                    !brief && StudyReader.Repository(file) is { } repository
                        ? Path.GetRelativePath(
                            Directory.GetCurrentDirectory(),
                            Path.Combine(repository, "docs", "results", study.Name)
                        )
                        : Path.Combine(directory, "results")
                );
            List<string> settings =
            [
                $"environmentSteps={Given(parsed.GetValue(steps), brief ? QuickSteps : study.FullSteps)}",
            ];
            if (parsed.GetResult(threads) is not null)
            {
                settings.Add($"threads={parsed.GetValue(threads)}");
            }
            Request request = new(
                study,
                file,
                Choose(study, parsed.GetValue(cell) ?? []),
                directory,
                kept,
                settings,
                parsed.GetValue(seeds) is > 0 and var some ? some : null,
                brief,
                parsed.GetValue(replace),
                parsed.GetValue(quiet),
                string.Join(' ', parsed.Tokens.Select(token => token.Value))
            );
            return parsed.GetValue(show) ? Show(request, host) : Execute(request, host);
        });
        return command;
    }

    /// <summary>A number of at least 1 that was given, or another one where none was.</summary>
    private static long Given(long value, long otherwise) => value > 0 ? value : otherwise;

    private static CellDescription[] Choose(StudyDescription study, string[] ids)
    {
        string? unknown = ids.FirstOrDefault(id => study.Cells.All(cell => cell.Id != id));
        return unknown is not null
                ? throw new UsageException(
                    $"--cell: found {unknown}, expected {Choices.Say(unknown, study.Cells.Select(cell => cell.Id))}."
                )
            : ids.Length == 0 ? [.. study.Cells]
            : [.. study.Cells.Where(cell => ids.Contains(cell.Id))];
    }

    private static int Execute(Request request, TrainingHost host)
    {
        // Everything is read and checked before anything is run or written.
        Dictionary<string, RunConfiguration> configurations = request.Cells.ToDictionary(
            cell => cell.Id,
            cell => Configure(request, ConfigurationOf(request, cell), host.Reader)
        );
        if (StudySeeds.Overlap([.. configurations.Select(pair => (pair.Key, pair.Value))]) is { } overlap)
        {
            throw new UsageException($"{request.File}: cells {overlap}. Expected seeds that no two such cells share.");
        }
        StudyRecord record = new(request.Study.Name, Provenance.Here.Version, [], configurations);
        StudyDirectory.Check(request.Output, record);
        StudyCell[] cells =
        [
            .. request.Cells.Select(cell => new StudyCell(
                cell.Id,
                configurations[cell.Id],
                Path.Combine(request.Output, cell.Id),
                ReproductionPlan.IsDone(request.Results, cell.Id, configurations[cell.Id], request.Replace)
            )),
        ];
        if (!request.Replace)
        {
            Read(request, host.Reader); // A file that is no result shows now, not after the runs.
        }
        IReadOnlyDictionary<string, string> failures = new Dictionary<string, string>();
        if (cells.Any(cell => !cell.Done))
        {
            using StudyDirectory directory = StudyDirectory.Open(request.Output, record);
            Probe(request.Results); // After the above: it may lie in the output directory.
            StudyOutcome outcome = Run(request, cells, host);
            if (outcome.Interrupted)
            {
                if (!request.Quiet)
                {
                    host.Out.WriteLine(
                        $"Interrupted, with a checkpoint; cells that are complete are kept. To go on: {ThisProgram.Line(request.CommandLine)}"
                    );
                }
                return StopSignals.ExitCode;
            }
            failures = outcome.Failures;
        }
        Draw(request, host);
        return failures.Count == 0
            ? 0
            : throw new OperationException(
                string.Join(Environment.NewLine, failures.Select(failure => $"{failure.Key}: {failure.Value}"))
            );
    }

    /// <summary>A cell's configuration with the length and the seeds that are asked for.</summary>
    private static RunConfiguration Configure(Request request, string file, ConfigurationReader reader)
    {
        IReadOnlyList<long> listed = reader.ReadFile(file, request.Settings).Seeds;
        int? asked = request.Seeds ?? (request.Quick && listed.Count > 0 ? Math.Min(QuickSeeds, listed.Count) : null);
        return reader.ReadFile(
            file,
            [
                .. request.Settings,
                StudySeeds.Setting(
                    reader,
                    file,
                    request.Settings,
                    asked,
                    request.Quick ? QuickSeeds : request.Study.FullSeeds
                ),
            ]
        );
    }

    /// <summary>Finds out before the runs, not after the first of them, whether results can be written.</summary>
    private static void Probe(string results)
    {
        try
        {
            Directory.CreateDirectory(results);
            Remains.ClearPartials(results);
            string probe = Path.Combine(results, $".probe-{Environment.ProcessId}");
            AtomicFile.WriteText(probe, "");
            File.Delete(probe);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"Results {results}: cannot be written: {e.Message}", e);
        }
    }

    private static StudyOutcome Run(Request request, StudyCell[] cells, TrainingHost host)
    {
        StudyReporter reporter = StudyReporter.For(host.Out, host.Interactive, request.Quiet);
        RunServices services = new(host.Reader, host.Experiments, host.Finish, RunReporter.Silent)
        {
            Clock = host.Clock,
        };
        StudyRunner runner = new(
            cells,
            services,
            reporter,
            request.CommandLine,
            (cell, run, summary) =>
            {
                CellDescription description = request.Cells.Single(known => known.Id == cell.Id);
                CellResult.Of(request.Study, description, run, summary).Write(request.Results);
                reporter.Say(
                    $"{cell.Id}: {(summary.MeanReturn is { } returns ? $"mean return {Figures.Number(Spread.Of(returns).Mean)} ({Figures.Number(Spread.Of(returns).Deviation)})" : $"total reward {Figures.Count(summary.TotalRewardSpread.Mean)} ({Figures.Count(summary.TotalRewardSpread.Deviation)})")}, in {Figures.Time(TimeSpan.FromSeconds(summary.Seconds))}; {CellResult.PathOf(request.Results, cell.Id)}"
                );
            }
        );
        reporter.Say(
            $"{request.Study.Name}: {cells.Length} cells, {cells.Count(cell => cell.Done)} of them done; runs in {request.Output}, results in {request.Results}"
        );
        using StopSignals? signals = host.Stop is null
            ? new StopSignals(() =>
                reporter.Say("Stopping after this meta-step, with a checkpoint. Once more stops at once.")
            )
            : null;
        return runner.Execute(host.Stop ?? signals!.Token);
    }

    private static int Show(Request request, TrainingHost host)
    {
        if (request.Study.Cells.All(cell => !File.Exists(CellResult.PathOf(request.Results, cell.Id))))
        {
            throw new UsageException(
                $"Results {request.Results}: found none of study {request.Study.Name}, expected at least one. Make them without --show."
            );
        }
        Draw(request, host);
        return 0;
    }

    /// <summary>The results there are, of all cells, compared with the configurations of today as far as they can be read.</summary>
    private static Reproduction Read(Request request, ConfigurationReader reader)
    {
        Dictionary<string, RunConfiguration> today = [];
        foreach (CellDescription cell in request.Study.Cells)
        {
            try
            {
                today[cell.Id] = reader.ReadFile(ConfigurationOf(request, cell));
            }
            catch (ConfigurationException)
            {
                // Results are shown whatever has become of their configurations; those that are to be run were read before.
            }
        }
        return Reproduction.Read(request.Study, request.Results, today);
    }

    /// <summary>Writes table, CSV and report of all cells, and prints the table.</summary>
    private static void Draw(Request request, TrainingHost host)
    {
        Reproduction reproduction = Read(request, host.Reader);
        string report = Path.Combine(request.Results, "report.html");
        try
        {
            Directory.CreateDirectory(request.Results);
            Remains.ClearPartials(request.Results);
            AtomicFile.WriteText(Path.Combine(request.Results, "table.txt"), Text(reproduction.Lines()));
            AtomicFile.WriteText(Path.Combine(request.Results, "table.csv"), Text(reproduction.Csv()));
            AtomicFile.WriteText(report, ReproductionReport.Page(reproduction));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new OperationException($"Results {request.Results}: cannot be written: {e.Message}", e);
        }
        if (request.Quiet)
        {
            return;
        }
        host.Out.WriteLine();
        foreach (string line in reproduction.Lines())
        {
            host.Out.WriteLine(line);
        }
        host.Out.WriteLine();
        host.Out.WriteLine(report);
    }

    private static string ConfigurationOf(Request request, CellDescription cell) =>
        Path.Combine(Path.GetDirectoryName(request.File) ?? "", cell.Config);

    private static string Text(IEnumerable<string> lines) => string.Concat(lines.Select(line => $"{line}\n"));
}
