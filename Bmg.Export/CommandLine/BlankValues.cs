using System.CommandLine;
using System.CommandLine.Parsing;

namespace Bmg.Export.CommandLine;

/// <summary>Empty values on a command line: what an unset variable of a shell script leaves of <c>--output "$DIR"</c>.</summary>
public static class BlankValues
{
    /// <summary>What to say of the first option or argument whose value is empty or blank; null where there is none.</summary>
    public static string? Complaint(ParseResult parsed)
    {
        ArgumentNullException.ThrowIfNull(parsed);
        foreach (var result in parsed.CommandResult.Children)
        {
            var name = result switch
            {
                OptionResult option => option.Option.Name,
                ArgumentResult argument => argument.Argument.Name,
                _ => "",
            };
            if (name.Length > 0 && result.Tokens.Any(token => string.IsNullOrWhiteSpace(token.Value)))
            {
                return $"{name}: found an empty value, expected one that says something. Is a variable of the shell unset?";
            }
        }
        return null;
    }
}
