using System.CommandLine;
using System.Globalization;
using Bmg.Export;
using Bmg.Export.CommandLine;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;
using Bmg.Training.Progress;
using Bmg.Training.Runs;
using Bmg.Training.Studies;
using Bmg.Training.Supervised;

namespace Bmg.Training.CommandLine;

/// <summary><c>sweep</c>: a run at every point of a grid of settings, on one machine or shared between many.</summary>
internal static class SweepCommand
{
    /// <summary>What is asked for.</summary>
    private sealed record Request(
        Grid Grid,
        StudyRecord Record,
        IReadOnlyList<RunConfiguration> Configurations,
        string Output,
        Shard? Shard,
        bool Quiet,
        string CommandLine
    )
    {
        /// <summary>The part that is run: all of it where none was asked for.</summary>
        public Shard Part => Shard ?? Studies.Shard.Whole;
    }

    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string?> file = new("CONFIG")
        {
            Description = "Configuration that the grid varies.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Option<string[]> grid = new("--grid")
        {
            Description =
                "A setting and its values, as in learner.targetSteps=8,16; every combination of all settings' values is a point. Values are as for --set.",
            HelpName = "key=v1,v2 …",
            AllowMultipleArgumentsPerToken = true,
        };
        Option<string[]> set = new("--set")
        {
            Description = "Change a setting at all points; may be repeated.",
            HelpName = "path=value",
        };
        Option<int> seeds = new("--seeds")
        {
            Description =
                "Seeds of each point, for --set members=…; the first N of a configuration that lists its seeds.",
            HelpName = "N",
        };
        seeds.AtLeast(1);
        Option<long> steps = new("--steps")
        {
            Description = "Environment steps of each seed, for --set environmentSteps=….",
            HelpName = "N",
        };
        steps.AtLeast(1);
        Option<string?> output = new("--output")
        {
            Description = "Directory of runs and results; runs/sweeps/<name> where none is given.",
            HelpName = "DIR",
        };
        Option<string?> shard = new("--shard")
        {
            Description = "Only the i-th of n equal parts of the grid; its results go into <output>/parts.",
            HelpName = "i/n",
        };
        Option<string[]> merge = new("--merge")
        {
            Description =
                "Run nothing: join the parts in these directories, or these part files, into sweep.csv and ranked.txt in --output.",
            HelpName = "DIR …",
            AllowMultipleArgumentsPerToken = true,
        };
        Option<bool> quiet = new("--quiet") { Description = "No progress and no table, errors only." };
        Command command = new(
            "sweep",
            """
            Runs a configuration at every point of a grid and ranks the points by total reward, or by mean return where there are episodes. A point whose run is complete is not run
            again; Ctrl-C checkpoints and stops, and the same command goes on.

            Examples:
              sweep paper-configs/two-colors/ac-quick.json --grid learner.targetSteps=4,8 meta.learningRate=1e-3,1e-4 --seeds 3 --output runs/mine
                four points, three seeds each: sweep.csv, ranked.txt
              sweep paper-configs/two-colors/ac-quick.json --grid learner.hidden=[64,64],[256] --output runs/widths
                commas inside brackets or quotes do not separate
              sweep paper-configs/two-colors/ac-quick.json --grid seed=1,9,17,25 --output runs/mine --shard 2/4
                the second quarter, on a machine of its own; seeds 9 to 16, as the configuration has 8 members
              sweep --merge runs/mine runs/from-elsewhere --output runs/all
                one table of all parts; see docs/studies.md for Slurm and Kubernetes
            """
        )
        {
            file,
            grid,
            set,
            seeds,
            steps,
            output,
            shard,
            merge,
            quiet,
        };
        command.SetAction(parsed =>
        {
            string[] parts = parsed.GetValue(merge) ?? [];
            string[] entries = parsed.GetValue(grid) ?? [];
            if (parts.Length > 0)
            {
                if (parsed.GetValue(file) is not null || entries.Length > 0 || parsed.GetValue(shard) is not null)
                {
                    throw new UsageException(
                        "--merge: found with CONFIG, --grid or --shard, expected alone: it runs nothing."
                    );
                }
                return Merge(parts, parsed.GetValue(output), parsed.GetValue(quiet), host);
            }
            string path =
                parsed.GetValue(file)
                ?? throw new UsageException("CONFIG: found none, expected the configuration that the grid varies.");
            List<string> settings = [.. parsed.GetValue(set) ?? []];
            if (parsed.GetValue(seeds) is > 0 and var members)
            {
                settings.Add(StudySeeds.Setting(host.Reader, path, settings, members, members));
            }
            if (parsed.GetValue(steps) is > 0 and var length)
            {
                settings.Add(string.Create(CultureInfo.InvariantCulture, $"environmentSteps={length}"));
            }
            Shard? part = parsed.GetValue(shard) is { } text ? Shard.Parse(text) : null;
            Grid all = Grid.Parse(entries);
            RunConfiguration configuration = host.Reader.ReadFile(path, settings);
            List<RunConfiguration> points = Points(path, settings, all, host.Reader);
            all.RequireDisjointSeeds(points);
            return Execute(
                new Request(
                    all,
                    new StudyRecord(
                        configuration.Name,
                        Provenance.Here.Version,
                        all.Text,
                        new Dictionary<string, RunConfiguration> { [StudyRecord.Base] = configuration }
                    ),
                    points,
                    parsed.GetValue(output) ?? Path.Combine("runs", "sweeps", configuration.Name),
                    part,
                    parsed.GetValue(quiet),
                    string.Join(' ', parsed.Tokens.Select(token => token.Value))
                ),
                host
            );
        });
        return command;
    }

    /// <summary>The configurations of all points, whichever of them are run here: a fault shows on every machine alike.</summary>
    private static List<RunConfiguration> Points(
        string file,
        IReadOnlyList<string> settings,
        Grid grid,
        ConfigurationReader reader
    )
    {
        string[] set = [.. settings.Select(setting => setting.Split('=')[0].Trim())];
        if (grid.Axes.FirstOrDefault(axis => set.Contains(axis.Key)) is { } twice)
        {
            throw new UsageException(
                $"--grid {twice}: found key {twice.Key} for the second time, expected it here or in --set, --seeds, --steps."
            );
        }
        // A key replaces all that lies beneath it, so the point would not have what the table says.
        foreach (GridAxis above in grid.Axes)
        {
            string? beneath = grid
                .Axes.Select(axis => axis.Key)
                .Concat(set)
                .FirstOrDefault(key => key.StartsWith($"{above.Key}.", StringComparison.Ordinal));
            if (beneath is not null)
            {
                throw new UsageException(
                    $"--grid {above}: found key {beneath} beneath {above.Key}, which would replace it; expected one of the two."
                );
            }
        }
        List<RunConfiguration> points = [];
        for (int i = 0; i < grid.Count; i++)
        {
            try
            {
                points.Add(reader.ReadFile(file, [.. settings, .. grid.Settings(grid.At(i))]));
            }
            catch (ConfigurationException e)
            {
                Fault fault = e.Faults[0];
                string source = grid.Axes.Any(axis =>
                    fault.Source.StartsWith($"--set {axis.Key}=", StringComparison.Ordinal)
                )
                    ? fault.Source.Replace("--set ", "--grid ", StringComparison.Ordinal)
                    : fault.Source;
                throw new ConfigurationException([fault with { Source = source }], e);
            }
        }
        return points;
    }

    private static int Execute(Request request, TrainingHost host)
    {
        Grid grid = request.Grid;
        bool whole = request.Shard is null;
        Shard shard = request.Part;
        int[] own = [.. shard.Of(grid.Count)];
        StudyCell[] cells =
        [
            .. own.Select(i => new StudyCell(
                grid.Id(i),
                request.Configurations[i],
                Path.Combine(request.Output, grid.Id(i))
            )),
        ];
        string claim = whole ? "" : $"{shard.Index}-of-{shard.Count}";
        using StudyDirectory directory = StudyDirectory.Open(request.Output, request.Record, claim);
        Dictionary<string, SweepPoint> points = [];
        if (cells.Length > 0)
        {
            StudyOutcome outcome = Run(request, cells, points, host);
            if (outcome.Interrupted)
            {
                if (!request.Quiet)
                {
                    host.Out.WriteLine(
                        $"Interrupted, with a checkpoint; points that are complete are kept. To go on: {ThisProgram.Line(request.CommandLine)}"
                    );
                }
                return StopSignals.ExitCode;
            }
            foreach ((string id, string problem) in outcome.Failures)
            {
                int index = own[Array.FindIndex(cells, cell => cell.Id == id)];
                points[id] = SweepPoint.Failed(index, request.Configurations[index], problem);
            }
        }
        SweepTable table = new(grid, [.. cells.Select(cell => points[cell.Id])]);
        if (whole)
        {
            Write(request.Output, table, request.Quiet, host);
            return 0;
        }
        string part = new SweepPart(request.Record, shard, table.Points).Write(request.Output);
        if (!request.Quiet)
        {
            Print(table, host);
            host.Out.WriteLine($"{part}; when all {shard.Count} parts are there: sweep --merge {request.Output}");
        }
        return 0;
    }

    private static StudyOutcome Run(
        Request request,
        StudyCell[] cells,
        Dictionary<string, SweepPoint> points,
        TrainingHost host
    )
    {
        StudyReporter reporter = StudyReporter.For(host.Out, host.Interactive, request.Quiet);
        RunServices services = new(host.Reader, host.Experiments, host.Finish, RunReporter.Silent)
        {
            Clock = host.Clock,
        };
        int first = request.Part.Of(request.Grid.Count).First();
        StudyRunner runner = new(
            cells,
            services,
            reporter,
            request.CommandLine,
            (cell, _, summary) =>
            {
                int index = first + Array.IndexOf(cells, cell);
                points[cell.Id] = SweepPoint.Of(index, summary);
                FirstMetric metric = FirstMetric.Of(summary.Metric);
                string Total(double value) => Figures.Number(metric.Value(value, summary.EnvironmentSteps));
                reporter.Say(
                    $"{cell.Id} {string.Join(' ', request.Grid.Settings(request.Grid.At(index)))}: {metric.TotalLabel} {Total(summary.TotalRewardSpread.Mean)} ({Total(summary.TotalRewardSpread.Deviation)})"
                );
            }
        );
        string part = request.Shard is { } shard ? $", part {shard.Index} of {shard.Count}" : "";
        reporter.Say(
            $"{request.Record.Study}: {cells.Length} of {request.Grid.Count} points{part}, in {request.Output}"
        );
        using StopSignals? signals = host.Stop is null
            ? new StopSignals(() =>
                reporter.Say("Stopping after this meta-step, with a checkpoint. Once more stops at once.")
            )
            : null;
        return runner.Execute(host.Stop ?? signals!.Token);
    }

    private static int Merge(string[] paths, string? output, bool quiet, TrainingHost host)
    {
        string target =
            output
            ?? (
                paths is [{ } only] && Directory.Exists(Path.Combine(only, SweepPart.Folder))
                    ? only
                    : throw new UsageException(
                        "--output: found none, expected a directory for the joined results, since there is more than one place of parts."
                    )
            );
        (string, SweepPart)[] parts = [.. SweepMerge.Files(paths).Select(file => (file, SweepPart.Read(file)))];
        (StudyRecord sweep, IReadOnlyList<SweepPoint> points) = SweepMerge.Join(parts);
        Grid grid = Grid.Parse(sweep.Grid);
        string configuration = sweep.Cells[StudyRecord.Base].ToJson();
        grid.RequireDisjointSeeds([
            .. points.Select(point =>
                host.Reader.Read(configuration, "study.json", grid.Settings(grid.At(point.Index)))
            ),
        ]);
        using StudyDirectory directory = StudyDirectory.Open(target, sweep);
        Write(target, new SweepTable(grid, points), quiet, host);
        return 0;
    }

    private static void Write(string output, SweepTable table, bool quiet, TrainingHost host)
    {
        string csv = Path.Combine(output, "sweep.csv");
        string ranked = Path.Combine(output, "ranked.txt");
        AtomicFile.WriteText(csv, Text(table.Csv()));
        AtomicFile.WriteText(ranked, Text(table.Ranked()));
        if (!quiet)
        {
            Print(table, host);
            host.Out.WriteLine($"{csv}, {ranked}");
        }
    }

    private static void Print(SweepTable table, TrainingHost host)
    {
        host.Out.WriteLine();
        foreach (string line in table.Ranked())
        {
            host.Out.WriteLine(line);
        }
        host.Out.WriteLine();
    }

    private static string Text(IEnumerable<string> lines) => string.Concat(lines.Select(line => $"{line}\n"));
}
