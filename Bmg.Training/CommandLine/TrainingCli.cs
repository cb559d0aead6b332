using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using Bmg.Export;
using Bmg.Export.Checkpoints;
using Bmg.Export.CommandLine;
using Bmg.Export.Onnx;
using Bmg.Training.Runs;

namespace Bmg.Training.CommandLine;

/// <summary>
/// The command line. Exit codes: 0 done, 1 something failed on the way, 2 wrong usage, configuration or input, 130 interrupted.
/// </summary>
public static class TrainingCli
{
    private const int Failed = 1;
    private const int WrongUsage = 2;

    /// <summary>Runs a command line; returns the exit code.</summary>
    public static int Run(string[] args, TrainingHost host)
    {
        Option<bool> verbose = new("--verbose")
        {
            Description = "Show the full trace of an error (also with BMG_VERBOSE=1).",
            Recursive = true,
        };
        RootCommand root = new(
            """
            Trains agents that meta-learn, by bootstrapped meta-gradients.

            Examples:
              train
                trains a learner with a fixed rate of exploration and one that learns it, and compares them, in about two minutes
              train cartpole
                starts with a registered environment
              export runs/mine --member 2
                writes any member as ONNX; inspect, check and bench take the file
            """
        )
        {
            TrainCommand.Create(host),
            EvaluateCommand.Create(host),
            CheckEnvironmentCommand.Create(host),
            VerifyCommand.Create(host),
            ReportCommand.Create(host),
            BenchCommand.Create(host),
            SchemaCommand.Create(host),
            TheoryCommand.Create(host),
            ReproduceCommand.Create(host),
            SweepCommand.Create(host),
            verbose,
        };

        // Those that this program has itself stand over them.
        Command[] exported =
        [
            .. ExportCli.Commands.Where(command => root.Subcommands.All(own => own.Name != command.Name)),
        ];
        if (IsOfExport(args, exported))
        {
            return ExportCli.Run(args, host.Out, host.Error);
        }
        foreach (Command command in exported)
        {
            root.Subcommands.Add(command);
        }
        string[] names = [.. root.Subcommands.Select(command => command.Name)];
        foreach (Command command in root.Subcommands.Prepend<Command>(root))
        {
            command.Description = ThisProgram.Pasteable(command.Description ?? "", names);
        }

        ParseResult parsed = root.Parse(
            args.Length == 0 ? ["--help"] : args,
            new ParserConfiguration { ResponseFileTokenReplacer = null }
        );
        if (Complaint(parsed) is { } complaint)
        {
            host.Error.Complain($"error: {Printable.Line(complaint)}");
            return WrongUsage;
        }

        try
        {
            InvocationConfiguration invocation = new()
            {
                Output = host.Out,
                Error = host.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null, // A run listens to signals itself.
            };
            return parsed.Invoke(invocation);
        }
        catch (Exception e)
        {
            Report(e, parsed.GetValue(verbose), host.Error);
            return e switch
            {
                BmgException known => known.ExitCode,
                CheckpointException or OnnxFileException => WrongUsage,
                _ => Failed,
            };
        }
    }

    /// <summary>Whether a command line is one of Bmg.Export's: its commands, and measuring an ONNX file.</summary>
    private static bool IsOfExport(string[] args, Command[] exported) =>
        args is [var name, ..]
        && (
            exported.Any(command => command.Name == name)
            || (name == "bench" && args.Any(arg => arg.EndsWith(".onnx", StringComparison.OrdinalIgnoreCase)))
        );

    /// <summary>Tells of an error: its message, and its trace for those who want it.</summary>
    private static void Report(Exception error, bool verbose, TextWriter output)
    {
        foreach (string line in Printable.MessageOf(error).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            output.Complain($"error: {Printable.Line(line.TrimEnd('\r'))}");
        }
        if (verbose || Environment.GetEnvironmentVariable("BMG_VERBOSE") == "1")
        {
            output.Complain(error.ToString());
        }
    }

    /// <summary>What is wrong with a command line, in a line; null where it can be carried out.</summary>
    private static string? Complaint(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        string help = command is RootCommand ? "See --help." : $"See {command.Name} --help.";
        // The parser takes a misspelt flag for an argument.
        IEnumerable<string> arguments = parsed
            .CommandResult.Children.OfType<ArgumentResult>()
            .SelectMany(a => a.Tokens)
            .Select(t => t.Value);
        string? flag = arguments.Concat(parsed.UnmatchedTokens).FirstOrDefault(token => token.StartsWith('-'));
        if (flag is not null)
        {
            return $"unknown flag {flag}{Hint(flag, command.Options.Select(option => option.Name))} {help}";
        }
        if (BlankValues.Complaint(parsed) is { } blank)
        {
            return $"{blank} {help}";
        }
        if (parsed.Action is not ParseErrorAction)
        {
            return null;
        }
        if (parsed.UnmatchedTokens is [{ } found, ..])
        {
            string kind = command.Subcommands.Count > 0 ? "command" : "argument";
            return $"unknown {kind} {found}{Hint(found, command.Subcommands.Select(subcommand => subcommand.Name))} {help}";
        }
        return $"{string.Join(" ", parsed.Errors.Select(e => e.Message).Distinct())} {help}";
    }

    private static string Hint(string found, IEnumerable<string> known) =>
        Suggestion.Nearest(found, known) is { } near ? $", did you mean {near}?"
        : known.Any() ? $", expected one of {string.Join(", ", known)}."
        : ", expected none more.";
}
