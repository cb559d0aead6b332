using System.CommandLine;
using System.Text.Json.Nodes;
using Bmg.Export.CommandLine;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using Bmg.Training.Experiments;
using Bmg.Training.Progress;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;
using Bmg.Training.Supervised;
using Spectre.Console;
using TorchSharp;

namespace Bmg.Training.CommandLine;

/// <summary><c>train</c>: a run from its configuration to its report, or on from its last checkpoint.</summary>
internal static class TrainCommand
{
    private static readonly string[] Quickstart = ["quickstart/fixed.json", "quickstart/learned.json"];
    private static readonly TimeSpan PlainPace = TimeSpan.FromSeconds(5);

    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string[]> files = new("CONFIG")
        {
            Description =
                "Configuration file, or a registered environment to start with; several, to compare them; the two of paper-configs/quickstart where none is given.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        Option<string[]> set = new("--set")
        {
            Description = "Change a setting, as in --set learner.targetSteps=16; may be repeated.",
            HelpName = "path=value",
        };
        Option<string?> output = new("--output")
        {
            Description = "Directory of the run; runs/<name>-<date>-<time> where none is given.",
            HelpName = "DIR",
        };
        Option<string?> resume = new("--resume")
        {
            Description =
                "Go on with a run from its last checkpoint, or from the beginning where it was stopped before the first; --set environmentSteps=… lengthens it.",
            HelpName = "RUN",
        };
        Option<string?> start = new("--from")
        {
            Description =
                "Start with what another run, or a checkpoint of it, has learned: its learner's parameters, and its optimizers' and meta-parameters where they fit; without CONFIG, with its configuration.",
            HelpName = "RUN",
        };
        // Each stands for a setting, which says what is wrong with its value.
        (Option<string?> Option, string Setting)[] shorts =
        [
            (Short("--steps", "N", "Length of the run"), "environmentSteps"),
            (Short("--members", "N", "Members of the population"), "members"),
            (Short("--seed", "N", "Seed of the first member"), "seed"),
            (Short("--threads", "N", "Threads of the tensor library"), "threads"),
            (Options.Device("--device", "Where tensors live, for --set device=…."), "device"),
        ];
        Option<long[]> seeds = new("--seeds")
        {
            Description = "Seed of each member, as in --seeds 1 2 3.",
            HelpName = "N",
            AllowMultipleArgumentsPerToken = true,
        };
        Option<bool> quiet = new("--quiet") { Description = "No progress and no summary, errors only." };
        Option<bool> json = new("--json")
        {
            Description = "No progress; at the end the results on standard output, as JSON.",
        };
        Command command = new(
            "train",
            """
            Trains a population, exports its policy, and writes a report. Ctrl-C checkpoints and stops; a second Ctrl-C stops at once.
            Several configurations are trained one after another, and compared. Without any it is the quickstart: a learner of action values whose
            rate of exploration is fixed, and one that learns when to explore by bootstrapped meta-gradients, in a world that changes twice.

            Examples:
              train
              train cartpole
              train paper-configs/two-colors/ac-bmg-reward.json --set learner.targetSteps=16 --output runs/mine
              train paper-configs/cartpole/fixed.json paper-configs/cartpole/bmg.json --seeds 1 2 3 --steps 100000
              train --resume runs/mine
              train --from runs/mine --steps 50000 --set learner.optimizer.learningRate=1e-4
            """
        )
        {
            files,
            set,
            output,
            resume,
            start,
            seeds,
            quiet,
            json,
        };
        foreach ((Option<string?> option, _) in shorts)
        {
            command.Options.Add(option);
        }
        command.SetAction(parsed =>
        {
            List<string> settings = [.. parsed.GetValue(set) ?? []];
            foreach ((Option<string?> option, string setting) in shorts)
            {
                if (parsed.GetValue(option) is { } value)
                {
                    settings.Add($"{setting}={value}");
                }
            }
            if (parsed.GetValue(seeds) is { Length: > 0 } listed)
            {
                settings.Add($"seeds=[{string.Join(',', listed)}]");
            }
            if (parsed.GetValue(resume) is not null && parsed.GetValue(output) is not null)
            {
                throw new UsageException(
                    "--output and --resume exclude each other: a resumed run stays in its directory."
                );
            }

            RunServices services = new(
                host.Reader,
                host.Experiments,
                host.Finish,
                Reporter(host, parsed.GetValue(quiet) || parsed.GetValue(json))
            )
            {
                Clock = host.Clock,
            };
            string commandLine = string.Join(' ', parsed.Tokens.Select(token => token.Value));
            string[] named = parsed.GetValue(files) ?? [];
            string? from = parsed.GetValue(start);
            if (from is not null && (named.Length > 1 || parsed.GetValue(resume) is not null))
            {
                throw new UsageException("--from: found several configurations or --resume, expected one new run.");
            }
            if (from is not null && named.Length == 0)
            {
                named = [RunDirectory.Open(from).Configuration];
            }
            RunDirectory[] runs;
            int code;
            if (parsed.GetValue(resume) is { } path)
            {
                if (named.Length > 1)
                {
                    throw new UsageException("--resume: found several configurations, expected one at most.");
                }
                (code, runs) = TrainSeveral.Is(path)
                    ? TrainSeveral.Resume(path, settings, commandLine, services, host)
                    : Resume(path, named.FirstOrDefault(), settings, commandLine, services, host);
            }
            else
            {
                (code, runs) = named is [var only]
                    ? Begin(only, settings, parsed.GetValue(output), from, commandLine, services, host)
                    : TrainSeveral.Begin(
                        named.Length == 0
                            ? [.. Quickstart.Select(name => ReadQuickstart(name, settings, host))]
                            : [.. named.Select(name => ReadFileOrEnvironment(name, settings, host))],
                        named.Length == 0 ? "quickstart" : "comparison",
                        parsed.GetValue(output),
                        commandLine,
                        services,
                        host
                    );
            }
            if (code == 0 && parsed.GetValue(json))
            {
                host.Out.WriteLine(Json(runs));
            }
            return code;
        });
        return command;

        static Option<string?> Short(string name, string value, string description) =>
            new(name) { Description = $"{description}.", HelpName = value };
    }

    /// <summary>Results of runs, for programs.</summary>
    private static string Json(IEnumerable<RunDirectory> runs) =>
        new JsonObject
        {
            ["runs"] = new JsonArray([
                .. runs.Select(run => new JsonObject
                {
                    ["directory"] = run.Root,
                    ["summary"] = JsonNode.Parse(File.ReadAllText(run.Summary)),
                }),
            ]),
        }.ToJsonString(ConfigurationJson.Indented);

    private static (int Code, RunDirectory[] Runs) Begin(
        string file,
        List<string> settings,
        string? output,
        string? from,
        string commandLine,
        RunServices services,
        TrainingHost host
    )
    {
        string? checkpoint = from is null
            ? null
            : Path.GetFullPath(Export.Checkpoints.RunDirectory.FindCheckpoint(from));
        RunConfiguration configuration = ReadFileOrEnvironment(file, settings, host);
        Require(configuration, file);
        RunDirectory directory = RunDirectory.Create(
            output ?? RunDirectory.DefaultPath(configuration.Name, host.Clock.GetLocalNow())
        );
        return (
            Execute(
                Run.Begin(directory, configuration, commandLine, services, checkpoint),
                directory,
                configuration,
                services,
                host,
                resumed: false,
                again: directory.Root
            ),
            [directory]
        );
    }

    private static (int Code, RunDirectory[] Runs) Resume(
        string path,
        string? file,
        List<string> settings,
        string commandLine,
        RunServices services,
        TrainingHost host
    )
    {
        RunDirectory directory = RunDirectory.Open(path);
        RunConfiguration configuration = host.Reader.ReadFile(file ?? directory.Configuration, settings);
        Require(configuration, file ?? directory.Configuration);
        return (
            Execute(
                Run.Resume(directory, configuration, commandLine, services),
                directory,
                configuration,
                services,
                host,
                resumed: true,
                again: directory.Root
            ),
            [directory]
        );
    }

    /// <summary>Drives a run to its end, and tells of it.</summary>
    /// <param name="run">The run.</param>
    /// <param name="directory">Where it lies.</param>
    /// <param name="configuration">Its settings.</param>
    /// <param name="services">What it needs from outside.</param>
    /// <param name="host">The program.</param>
    /// <param name="resumed">Whether it goes on.</param>
    /// <param name="again">What to resume where it is interrupted.</param>
    /// <param name="brief">Whether it is one of several, which have a table of their own.</param>
    internal static int Execute(
        Run run,
        RunDirectory directory,
        RunConfiguration configuration,
        RunServices services,
        TrainingHost host,
        bool resumed,
        string again,
        bool brief = false
    )
    {
        string afresh =
            !resumed || File.Exists(directory.Checkpoint)
                ? ""
                : ", from the beginning: it was stopped before its first checkpoint";
        string unit = configuration.Experiment.Make(ExperimentKinds.Experiment).Unit;
        // Somebody who cannot be told anything would wait for nothing; told once, a run goes on whatever becomes of the listener.
        services.Reporter.Say(
            $"{configuration.Name}: {configuration.Members} members, {Figures.Count(configuration.EnvironmentSteps)} {unit} each, in {directory.Root}{afresh}"
        );
        Action<string> say = services.Reporter.Sturdy().Say;
        using StopSignals? signals = host.Stop is null ? new StopSignals(() => say(StopSignals.Notice)) : null;
        RunOutcome outcome = run.Execute(host.Stop ?? signals!.Token);
        switch (outcome.State)
        {
            case RunState.Finished:
                string report = RunReport.Write(directory);
                foreach (
                    string line in brief ? Brief(outcome, report, unit) : Results(directory, outcome, report, unit)
                )
                {
                    say(line);
                }
                return 0;
            case RunState.Interrupted:
                string steps = $"{Figures.Count(outcome.EnvironmentSteps)} {unit}";
                string what =
                    !outcome.Abandoned ? $"Interrupted after {steps}, with a checkpoint. To go on"
                    : File.Exists(directory.Checkpoint)
                        ? $"Interrupted within a meta-step, which is given up. To go on from the checkpoint after {steps}"
                    : "Interrupted before the first checkpoint. To start from the beginning";
                say($"{what}: {ThisProgram.Line($"train --resume {again}")}");
                return StopSignals.ExitCode;
            default:
                throw outcome.Failure!;
        }
    }

    private static RunReporter Reporter(TrainingHost host, bool quiet) =>
        quiet ? RunReporter.Silent
        : host.Interactive
            ? LiveReporter.To(AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(host.Out) }))
        : PlainReporter.To(host.Out, PlainPace);

    private static IEnumerable<string> Brief(RunOutcome outcome, string report, string unit)
    {
        RunSummary summary = outcome.Summary!;
        yield return $"{Figures.Count(summary.EnvironmentSteps)} {unit} by each member in {Figures.Time(TimeSpan.FromSeconds(summary.Seconds))}, {Figures.Count(summary.EnvironmentStepsPerSecond)} a second over all: {report}";
        foreach (string line in outcome.Finish!.Lines)
        {
            yield return line;
        }
        yield return "";
    }

    private static IEnumerable<string> Results(RunDirectory directory, RunOutcome outcome, string report, string unit)
    {
        RunSummary summary = outcome.Summary!;
        FirstMetric first = FirstMetric.Of(summary.Metric);
        string last = $"{first.RateLabel}, last tenth";
        int total = Math.Max(16, first.TotalLabel.Length + 2);
        int rate = Math.Max(28, last.Length + 2);
        yield return "";
        int width = Math.Max(8, summary.Seeds.Max(seed => $"  {seed}".Length));
        yield return $"{"member", 8}{"seed".PadLeft(width)}{first.TotalLabel.PadLeft(total)}{last.PadLeft(rate)}";
        for (int i = 0; i < summary.Seeds.Count; i++)
        {
            string name = $"{i, 8}{$"{summary.Seeds[i]}".PadLeft(width)}";
            yield return summary.Frozen.FirstOrDefault(mark => mark.Member == i) is { } frozen
                ? $"{name}  frozen at {Units.One(frozen.Unit)} {Figures.Count(frozen.EnvironmentStep)}: {frozen.Quantity} was not finite"
                : $"{name}{first.Text(summary.TotalReward[i], summary.EnvironmentSteps).PadLeft(total)}{Figures.Number(summary.FinalRewardRate[i]).PadLeft(rate)}";
        }
        yield return $"{"mean".PadLeft(8 + width)}{first.Text(summary.TotalRewardSpread.Mean, summary.EnvironmentSteps).PadLeft(total)}{Figures.Number(summary.FinalRewardRateSpread.Mean).PadLeft(rate)}";
        yield return "";
        yield return $"{Figures.Count(summary.EnvironmentSteps)} {unit} by each member in {Figures.Time(TimeSpan.FromSeconds(summary.Seconds))}, {Figures.Count(summary.EnvironmentStepsPerSecond)} a second over all; peak memory {Figures.Count(summary.PeakMemoryBytes / 1e6)} MB";
        foreach (string line in outcome.Finish!.Lines)
        {
            yield return line;
        }
        yield return "";
        yield return $"report       {report}";
        yield return $"summary      {directory.Summary}";
        yield return $"metrics      {directory.Metrics}, {directory.TensorBoard}";
        yield return $"checkpoint   {directory.Checkpoint}";
        if (summary.Policy is { } policy)
        {
            yield return $"policy       {policy}";
        }
        if (summary.MetaNetwork is { } network)
        {
            yield return $"meta-network {network}";
        }
    }

    /// <summary>A configuration of the nearest paper-configs from here upwards; the program's own copy where there is none.</summary>
    private static RunConfiguration ReadQuickstart(string name, List<string> settings, TrainingHost host)
    {
        for (DirectoryInfo? folder = new(Directory.GetCurrentDirectory()); folder is not null; folder = folder.Parent)
        {
            string path = Path.Combine(folder.FullName, "paper-configs", name);
            if (File.Exists(path))
            {
                return host.Reader.ReadFile(Path.GetRelativePath(Directory.GetCurrentDirectory(), path), settings);
            }
        }
        using StreamReader reader = new(typeof(TrainCommand).Assembly.GetManifestResourceStream(name)!);
        return host.Reader.Read(reader.ReadToEnd(), name, settings);
    }

    /// <summary>A configuration file; where there is none of that name and it can be that of an environment, the configuration to start from
    /// with that environment.</summary>
    private static RunConfiguration ReadFileOrEnvironment(string asked, List<string> settings, TrainingHost host)
    {
        if (File.Exists(asked) || !asked.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
        {
            return host.Reader.ReadFile(asked, settings);
        }
        string[] named =
        [
            $"name={asked}",
            $"description=What train {asked} starts from: an actor-critic whose entropy weight and discount are tuned by bootstrapped meta-gradients.",
            $"environment.name={asked}",
            .. settings,
        ];
        RunConfiguration about = host.Reader.Read("{}", asked, named);
        // Bytes are divided by 255 instead.
        string[] bytes =
            ConfiguredEnvironment.Describe(about).Observation.Kind == ObservationKind.Bytes
                ? ["learner.normalizeObservations=false"]
                : [];
        using StreamReader reader = new(typeof(TrainCommand).Assembly.GetManifestResourceStream("starter.json")!);
        return host.Reader.Read(reader.ReadToEnd(), asked, [.. bytes, .. named]);
    }

    /// <summary>Refuses what this machine cannot run.</summary>
    internal static void Require(RunConfiguration configuration, string source)
    {
        MemoryNeeds.Require(configuration, source);
        if (configuration.Device == DeviceKind.Cuda && !torch.cuda.is_available())
        {
            throw new UsageException(
                "device: found \"cuda\", but this build or this machine has no CUDA. Expected a build with -p:Gpu=true and an NVIDIA driver, or device \"cpu\"."
            );
        }
    }
}
