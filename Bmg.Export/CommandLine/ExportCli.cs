using System.CommandLine;
using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Bmg.Export.Parity;

namespace Bmg.Export.CommandLine;

/// <summary>The command line as a function.</summary>
public static class ExportCli
{
    /// <summary>Everything went well.</summary>
    public const int Success = 0;

    /// <summary>A check failed, or the machine did not let us: full disk, no GPU.</summary>
    public const int Failure = 1;

    /// <summary>A wrong command, flag or file.</summary>
    public const int WrongUsage = 2;

    /// <summary>The commands, for a program that has them among its own.</summary>
    public static IEnumerable<Command> Commands => ExportCommands.Root().Subcommands;

    /// <summary>Runs one command line. An error is one line on <paramref name="error"/>.</summary>
    /// <param name="args">The arguments, without the program's name; none is as "--help".</param>
    /// <param name="output">Where results go; the console by default.</param>
    /// <param name="error">Where errors go; the console by default.</param>
    /// <returns>The exit code: 0, 1 for a failed check or operation, 2 for wrong usage or input.</returns>
    public static int Run(string[] args, TextWriter? output = null, TextWriter? error = null)
    {
        ArgumentNullException.ThrowIfNull(args);
        output ??= StandardOutput.Writer;
        error ??= Console.Error;
        int Fail(int code, string message)
        {
            var line = string.Join(' ', message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
            error.Complain(Printable.Line(line));
            return code;
        }

        try
        {
            var parsed = ExportCommands
                .Root()
                .Parse(
                    args.Length == 0 ? ["--help"] : args,
                    new ParserConfiguration { ResponseFileTokenReplacer = null }
                );
            if (BlankValues.Complaint(parsed) is { } blank)
            {
                return Fail(WrongUsage, blank);
            }
            if (parsed.Errors.Count > 0)
            {
                // What was not understood says more than what is missing because of it.
                var fault =
                    parsed.Errors.FirstOrDefault(e => parsed.UnmatchedTokens.Any(t => e.Message.Contains($"'{t}'")))
                    ?? parsed.Errors[0];
                return Fail(WrongUsage, $"{fault.Message} (--help says what there is)");
            }
            return parsed.Invoke(
                new InvocationConfiguration
                {
                    Output = output,
                    Error = error,
                    EnableDefaultExceptionHandler = false,
                }
            );
        }
        catch (Exception exception)
            when (exception
                    is UsageException
                        or CheckpointException
                        or OnnxFileException
                        or FormatException
                        or NotSupportedException
            )
        {
            return Fail(WrongUsage, exception.Message);
        }
        catch (ArgumentException exception)
        {
            return Fail(WrongUsage, WithoutParameterName(exception));
        }
        catch (Exception exception) when (exception is ParityException or ProviderUnavailableException or IOException)
        {
            return Fail(Failure, exception.Message);
        }
        catch (Exception exception)
        {
            return Fail(Failure, $"Unexpected {exception.GetType().Name}: {Printable.MessageOf(exception)}");
        }
    }

    private static string WithoutParameterName(ArgumentException exception) =>
        exception.Message.Replace($" (Parameter '{exception.ParamName}')", "", StringComparison.Ordinal);
}
