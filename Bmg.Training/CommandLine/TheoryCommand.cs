using System.CommandLine;
using Bmg.Export.CommandLine;
using Bmg.Training.Runs;
using Bmg.Training.Theory;
using TorchSharp;

namespace Bmg.Training.CommandLine;

/// <summary><c>theory</c>: what meta-gradients do on losses whose shape is known.</summary>
internal static class TheoryCommand
{
    private const string Folder = "paper-configs/theory";

    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string[]> files = new("CONFIG")
        {
            Description = $"Configurations of studies; all of {Folder} where none is given.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        Option<string> output = new("--output")
        {
            Description = "Directory for theory.svg and theory.json.",
            Required = true,
            HelpName = "DIR",
        };
        Command command = new(
            "theory",
            """
            Meta-trains learning rates on a quadratic and in Rosenbrock's valley, by plain and by bootstrapped meta-gradients, and draws the
            loss against condition number and horizon; and what one meta-step does to the loss beside what is predicted of it. Ctrl-C stops and
            keeps what is done, and the same command goes on.

            Example: theory --output runs/theory
            """
        )
        {
            files,
            output,
        };
        command.SetAction(parsed =>
        {
            string[] paths = parsed.GetValue(files) is { Length: > 0 } given ? given : Published();
            TheoryConfiguration[] configurations = [.. paths.Select(TheoryReader.ReadFile)];
            string directory = parsed.GetRequiredValue(output);
            OutputDirectory.Prepare(directory, _ => null);
            using IDisposable claim = RunDirectory.LockAt(directory);
            TheorySummary? before = Before(directory, configurations);
            using StopSignals? signals = host.Stop is null
                ? new StopSignals(() =>
                    host.Error.WriteLine("Stopping; what is done is kept. Once more stops at once.")
                )
                : null;
            int threads = torch.get_num_threads();
            TheorySummary summary;
            try
            {
                // Tensors of a hundred numbers: a second thread would only be waited for.
                torch.set_num_threads(1);
                summary = TheorySummary.Measure(
                    configurations,
                    host.Error.WriteLine,
                    before,
                    part => part.WriteNumbers(directory),
                    host.Stop ?? signals!.Token
                );
            }
            finally
            {
                torch.set_num_threads(threads);
            }
            summary.Write(directory);
            foreach (string line in TheoryTable.Lines(summary))
            {
                host.Out.WriteLine(line);
            }
            host.Out.WriteLine();
            if (summary.Missing is { } missing)
            {
                host.Out.WriteLine(
                    $"Interrupted; what is done is kept in {directory}. Missing: {string.Join("; ", missing)}. To go on: {ThisProgram.Line(string.Join(' ', parsed.Tokens.Select(token => token.Value)))}"
                );
                return StopSignals.ExitCode;
            }
            host.Out.WriteLine(Path.Combine(directory, "theory.svg"));
            host.Out.WriteLine(TheorySummary.PathOf(directory));
            return 0;
        });
        return command;
    }

    /// <summary>The studies of the nearest paper-configs from here upwards.</summary>
    private static string[] Published()
    {
        string here = Directory.GetCurrentDirectory();
        for (DirectoryInfo? folder = new(here); folder is not null; folder = folder.Parent)
        {
            string path = Path.Combine(folder.FullName, Folder);
            if (Directory.Exists(path))
            {
                return
                [
                    .. Directory
                        .GetFiles(path, "*.json")
                        .OrderBy(Path.GetFileNameWithoutExtension, StringComparer.Ordinal)
                        .Select(file => Path.GetRelativePath(here, file)),
                ];
            }
        }
        throw new UsageException(
            $"CONFIG: found none and no {Folder} from here upwards, expected a study's configuration."
        );
    }

    /// <summary>What is in the directory of the same configurations; null where it is empty.</summary>
    private static TheorySummary? Before(string path, IReadOnlyList<TheoryConfiguration> configurations)
    {
        Remains.ClearPartials(path);
        return TheorySummary.Read(path, configurations) is { } there ? there
            : Directory.EnumerateFileSystemEntries(path).All(entry => Path.GetFileName(entry) == ".lock") ? null
            : throw new UsageException(
                $"Output {path}: found a directory that is not empty and holds no results of these configurations by this version, expected that or none yet. Choose another --output."
            );
    }
}
