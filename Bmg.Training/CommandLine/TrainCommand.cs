using System.CommandLine;
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
    private const string Quickstart = "paper-configs/quickstart.json";
    private static readonly TimeSpan PlainPace = TimeSpan.FromSeconds(5);

    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string?> file = new("CONFIG")
        {
            Description =
                $"Configuration file, or a registered environment to start with; {Quickstart} where none is given.",
            Arity = ArgumentArity.ZeroOrOne,
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
        Option<int?> members = new("--members")
        {
            Description = "Members of the population, for --set members=….",
            HelpName = "N",
        };
        Option<string?> device = Options.Device("--device", "Where tensors live, for --set device=….");
        Option<bool> quiet = new("--quiet") { Description = "No progress and no summary, errors only." };
        Command command = new(
            "train",
            """
            Trains a population, exports its policy, and writes a report. Ctrl-C checkpoints and stops; a second Ctrl-C stops at once.

            Examples:
              train
              train cartpole
              train paper-configs/two-colors/ac-bmg-reward.json --set learner.targetSteps=16 --output runs/mine
              train --resume runs/mine
            """
        )
        {
            file,
            set,
            output,
            resume,
            members,
            device,
            quiet,
        };
        command.SetAction(parsed =>
        {
            List<string> settings = [.. parsed.GetValue(set) ?? []];
            if (parsed.GetValue(members) is { } count)
            {
                settings.Add($"members={count}");
            }
            if (parsed.GetValue(device) is { } kind)
            {
                settings.Add($"device={kind}");
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
                Reporter(host, parsed.GetValue(quiet))
            )
            {
                Clock = host.Clock,
            };
            string commandLine = string.Join(' ', parsed.Tokens.Select(token => token.Value));
            return parsed.GetValue(resume) is { } path
                ? Resume(path, parsed.GetValue(file), settings, commandLine, services, host)
                : Begin(parsed.GetValue(file), settings, parsed.GetValue(output), commandLine, services, host);
        });
        return command;
    }

    private static int Begin(
        string? file,
        List<string> settings,
        string? output,
        string commandLine,
        RunServices services,
        TrainingHost host
    )
    {
        RunConfiguration configuration = file is null
            ? ReadQuickstart(settings, host)
            : ReadFileOrEnvironment(file, settings, host);
        RequireDevice(configuration);
        MemoryNeeds.Require(configuration, file ?? Quickstart);
        RunDirectory directory = RunDirectory.Create(
            output ?? RunDirectory.DefaultPath(configuration.Name, host.Clock.GetLocalNow())
        );
        return Execute(
            Run.Begin(directory, configuration, commandLine, services),
            directory,
            configuration,
            services,
            host,
            resumed: false
        );
    }

    private static int Resume(
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
        RequireDevice(configuration);
        MemoryNeeds.Require(configuration, file ?? directory.Configuration);
        return Execute(
            Run.Resume(directory, configuration, commandLine, services),
            directory,
            configuration,
            services,
            host,
            resumed: true
        );
    }

    private static int Execute(
        Run run,
        RunDirectory directory,
        RunConfiguration configuration,
        RunServices services,
        TrainingHost host,
        bool resumed
    )
    {
        string again =
            !resumed || File.Exists(directory.Checkpoint)
                ? ""
                : ", from the beginning: it was stopped before its first checkpoint";
        string unit = configuration.Experiment.Make(ExperimentKinds.Experiment).Unit;
        // Somebody who cannot be told anything would wait for nothing; told once, a run goes on whatever becomes of the listener.
        services.Reporter.Say(
            $"{configuration.Name}: {configuration.Members} members, {Figures.Count(configuration.EnvironmentSteps)} {unit} each, in {directory.Root}{again}"
        );
        Action<string> say = services.Reporter.Sturdy().Say;
        using StopSignals? signals = host.Stop is null ? new StopSignals(() => say(StopSignals.Notice)) : null;
        RunOutcome outcome = run.Execute(host.Stop ?? signals!.Token);
        switch (outcome.State)
        {
            case RunState.Finished:
                string report = RunReport.Write(directory);
                foreach (string line in Results(directory, outcome, report, unit))
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
                say($"{what}: train --resume {directory.Root}");
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

    /// <summary>The quickstart of the nearest paper-configs from here upwards; the program's own copy where there is none.</summary>
    private static RunConfiguration ReadQuickstart(List<string> settings, TrainingHost host)
    {
        for (DirectoryInfo? folder = new(Directory.GetCurrentDirectory()); folder is not null; folder = folder.Parent)
        {
            string path = Path.Combine(folder.FullName, Quickstart);
            if (File.Exists(path))
            {
                return host.Reader.ReadFile(Path.GetRelativePath(Directory.GetCurrentDirectory(), path), settings);
            }
        }
        using StreamReader reader = new(typeof(TrainCommand).Assembly.GetManifestResourceStream("quickstart.json")!);
        return host.Reader.Read(reader.ReadToEnd(), Quickstart, settings);
    }

    /// <summary>A configuration file; where there is none of that name and it can be that of an environment, the configuration to start from
    /// with that environment.</summary>
    private static RunConfiguration ReadFileOrEnvironment(string asked, List<string> settings, TrainingHost host)
    {
        if (File.Exists(asked) || asked.IndexOfAny(['/', '\\', '.']) >= 0)
        {
            return host.Reader.ReadFile(asked, settings);
        }
        string[] named = [$"name={asked}", $"environment.name={asked}", .. settings];
        RunConfiguration about = host.Reader.Read("{}", asked, named);
        // Bytes are divided by 255 instead.
        string[] bytes =
            ConfiguredEnvironment.Describe(about).Observation.Kind == ObservationKind.Bytes
                ? ["learner.normalizeObservations=false"]
                : [];
        using StreamReader reader = new(typeof(TrainCommand).Assembly.GetManifestResourceStream("starter.json")!);
        return host.Reader.Read(reader.ReadToEnd(), asked, [.. bytes, .. named]);
    }

    private static void RequireDevice(RunConfiguration configuration)
    {
        if (configuration.Device == DeviceKind.Cuda && !torch.cuda.is_available())
        {
            throw new UsageException(
                "device: found \"cuda\", but this build or this machine has no CUDA. Expected a build with -p:Gpu=true and an NVIDIA driver, or device \"cpu\"."
            );
        }
    }
}
