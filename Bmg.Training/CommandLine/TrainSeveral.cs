using System.Text.Json;
using Bmg.Export;
using Bmg.Export.CommandLine;
using Bmg.Training.Configuration;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;

namespace Bmg.Training.CommandLine;

/// <summary>
/// <c>train</c> of several configurations: a directory with one run a configuration, trained one after another, and their comparison. Its list
/// of runs and their configurations are written first, so that it can go on from wherever it was stopped.
/// </summary>
internal static class TrainSeveral
{
    private const string ListName = "comparison.json";
    private const int Columns = 100;

    /// <summary>Whether a directory is that of several runs.</summary>
    public static bool Is(string path) => File.Exists(Path.Combine(path, ListName));

    /// <summary>Trains configurations.</summary>
    /// <param name="configurations">Validated.</param>
    /// <param name="name">Of the directory, where none is given.</param>
    /// <param name="output">The directory; null for one below runs/.</param>
    /// <param name="commandLine">For the records.</param>
    /// <param name="services">What runs need from outside.</param>
    /// <param name="host">The program.</param>
    public static (int Code, RunDirectory[] Runs) Begin(
        IReadOnlyList<RunConfiguration> configurations,
        string name,
        string? output,
        string commandLine,
        RunServices services,
        TrainingHost host
    )
    {
        foreach (RunConfiguration configuration in configurations)
        {
            TrainCommand.Require(configuration, configuration.Name);
        }
        string root = output ?? RunDirectory.DefaultPath(name, host.Clock.GetLocalNow());
        OutputDirectory.Prepare(
            root,
            path =>
                Is(path)
                    ? $"Choose another --output, or go on: {ThisProgram.Line($"train --resume {path}")}"
                    : "Choose another --output."
        );
        string[] names = [.. Names([.. configurations.Select(configuration => configuration.Name)])];
        for (int i = 0; i < names.Length; i++)
        {
            AtomicFile.WriteText(ConfigurationOf(root, names[i]), configurations[i].ToJson());
        }
        AtomicFile.WriteText(Path.Combine(root, ListName), JsonSerializer.Serialize(names, ConfigurationJson.Indented));
        return Train(root, names, [], commandLine, services, host);
    }

    /// <summary>Goes on with what was stopped.</summary>
    /// <exception cref="UsageException">The directory is damaged.</exception>
    public static (int Code, RunDirectory[] Runs) Resume(
        string root,
        List<string> settings,
        string commandLine,
        RunServices services,
        TrainingHost host
    )
    {
        return Train(root, NamesIn(root), settings, commandLine, services, host);
    }

    /// <summary>The directories of the runs in a directory of several, in their order.</summary>
    /// <exception cref="UsageException">The directory is damaged.</exception>
    public static IEnumerable<string> RunsIn(string root) => NamesIn(root).Select(name => Path.Combine(root, name));

    private static string[] NamesIn(string root)
    {
        string list = Path.Combine(root, ListName);
        try
        {
            string[] names = JsonSerializer.Deserialize<string[]>(InputFile.ReadText(list)) ?? [];
            return names.Length >= 2 && names.All(name => name is not null && name.AsSpan().IndexOfAny('/', '\\') < 0)
                ? names
                : throw new JsonException("expected the names of two directories or more");
        }
        catch (JsonException e)
        {
            throw new UsageException($"{list}: not a list of runs: {e.Message}", e);
        }
    }

    private static (int Code, RunDirectory[] Runs) Train(
        string root,
        string[] names,
        List<string> settings,
        string commandLine,
        RunServices services,
        TrainingHost host
    )
    {
        List<RunDirectory> runs = [];
        foreach (string name in names)
        {
            string path = Path.Combine(root, name);
            bool begun = RunDirectory.IsRun(path);
            RunDirectory directory = begun ? RunDirectory.Open(path) : RunDirectory.Create(path);
            RunConfiguration configuration = host.Reader.ReadFile(
                begun ? directory.Configuration : ConfigurationOf(root, name),
                settings
            );
            runs.Add(directory);
            if (
                begun
                && RunRecord.Read(directory) is { State: RunState.Finished } record
                && record.EnvironmentSteps >= configuration.EnvironmentSteps
                && RunSummary.Read(directory) is not null
            )
            {
                services.Reporter.Say($"{configuration.Name}: complete, in {directory.Root}");
                continue;
            }
            int code = TrainCommand.Execute(
                begun
                    ? Run.Resume(directory, configuration, commandLine, services)
                    : Run.Begin(directory, configuration, commandLine, services),
                directory,
                configuration,
                services,
                host,
                resumed: begun,
                again: root,
                brief: true
            );
            if (code != 0)
            {
                return (code, []);
            }
        }
        Compare(root, runs, services.Reporter.Sturdy().Say);
        return (0, [.. runs]);
    }

    private static void Compare(string root, IReadOnlyList<RunDirectory> runs, Action<string> say)
    {
        RunComparison comparison = RunComparison.Of(runs);
        string page = Path.Combine(root, "comparison.html");
        string picture = Path.Combine(root, "comparison.svg");
        AtomicFile.WriteText(page, comparison.Page());
        AtomicFile.WriteText(picture, comparison.Figure());
        foreach (string line in comparison.Sketch(Columns))
        {
            say(line);
        }
        say("");
        foreach (string line in comparison.Table())
        {
            say(line);
        }
        say("");
        say($"comparison   {page}");
        say($"picture      {picture}");
    }

    private static string ConfigurationOf(string root, string name) => Path.Combine(root, $"{name}.json");

    /// <summary>Directories of runs: the last parts of their names, with numbers where these are the same.</summary>
    private static IEnumerable<string> Names(IReadOnlyList<string> names)
    {
        string[] last = [.. names.Select(name => name[(name.LastIndexOf('/') + 1)..])];
        return last.Distinct().Count() == last.Length && !last.Contains("comparison")
            ? last
            : last.Select((name, i) => $"{i + 1}-{name}");
    }
}
