using System.CommandLine;
using Bmg.Training.Configuration;

namespace Bmg.Training.CommandLine;

/// <summary>Options that several commands have.</summary>
internal static class Options
{
    /// <summary>cpu or cuda.</summary>
    public static Option<string?> Device(string name, string description)
    {
        Option<string?> option = new(name) { Description = description, HelpName = "cpu|cuda" };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: not ("cpu" or "cuda") } token, ..])
            {
                result.AddError($"{name}: found {token.Value}, expected cpu or cuda.");
            }
        });
        return option;
    }

    /// <summary>What was chosen; the processor where nothing was.</summary>
    public static DeviceKind DeviceOf(string? value) => value == "cuda" ? DeviceKind.Cuda : DeviceKind.Cpu;

    /// <summary>Refuses numbers below a limit.</summary>
    public static void AtLeast<T>(this Option<T> option, T least)
        where T : IComparable<T> =>
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count > 0 && result.GetValueOrDefault<T>() is { } value && value.CompareTo(least) < 0)
            {
                result.AddError($"{option.Name}: found {value}, expected at least {least}.");
            }
        });

    /// <summary>Refuses numbers outside of a range, where one is given.</summary>
    public static void Between<T>(this Option<T?> option, T least, T most)
        where T : struct, IComparable<T> =>
        option.Validators.Add(result =>
        {
            if (
                result.Tokens.Count > 0
                && result.GetValueOrDefault<T?>() is { } value
                && (value.CompareTo(least) < 0 || value.CompareTo(most) > 0)
            )
            {
                result.AddError(
                    FormattableString.Invariant(
                        $"{option.Name}: found {value}, expected at least {least} and at most {most}."
                    )
                );
            }
        });

    /// <summary>Refuses numbers outside of a range.</summary>
    public static void Between<T>(this Option<T> option, T least, T most)
        where T : IComparable<T> =>
        option.Validators.Add(result =>
        {
            if (
                result.Tokens.Count > 0
                && result.GetValueOrDefault<T>() is { } value
                && (value.CompareTo(least) < 0 || value.CompareTo(most) > 0)
            )
            {
                result.AddError(
                    FormattableString.Invariant(
                        $"{option.Name}: found {value}, expected at least {least} and at most {most}."
                    )
                );
            }
        });
}
