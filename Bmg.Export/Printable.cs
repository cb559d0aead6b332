using System.Globalization;
using System.Text;

namespace Bmg.Export;

/// <summary>
/// Texts from files and command lines, safe to show: what a terminal would obey, a browser would refuse or a reader could not see stands as
/// its code, as in "\u001b". Of text without such characters nothing is changed.
/// </summary>
public static class Printable
{
    private const string UsesTorchSharp =
        "This application or script uses TorchSharp but doesn't contain a reference to";

    private const string NoNativeLibrary =
        "TorchSharp's native library is missing, or this system cannot load it. An application needs a backend of TorchSharp: dotnet add package "
        + "TorchSharp-cpu --version 0.107.0, or TorchSharp-cuda-linux, or TorchSharp-cuda-windows. Where it refers to Bmg by path rather than to its "
        + "packages, it also needs <Import Project=\"path/to/build/Bmg.targets\" /> in its project file, or in a Directory.Build.targets beside a "
        + "file-based app.";

    /// <summary>The text on one line: line breaks and tabs are written as codes, too.</summary>
    public static string Line(string text) => Escaped(text, keepLines: false);

    /// <summary>The text with its line breaks and tabs.</summary>
    public static string Lines(string text) => Escaped(text, keepLines: true);

    /// <summary>The message of an error: of its cause where it says no more than that a type cannot be used, and without the native frames
    /// that libtorch adds to its own.</summary>
    public static string MessageOf(Exception error)
    {
        ArgumentNullException.ThrowIfNull(error);
        while (error is TypeInitializationException && error.InnerException is { } cause)
        {
            error = cause;
        }
        var message = error.Message;
        // Thirty lines that name a package which may well be there.
        if (error is NotSupportedException && message.StartsWith(UsesTorchSharp, StringComparison.Ordinal))
        {
            return NoNativeLibrary;
        }
        var frames = message.IndexOf("Exception raised from ", StringComparison.Ordinal);
        return frames < 0 ? message : message[..frames].TrimEnd();
    }

    private static string Escaped(string text, bool keepLines)
    {
        ArgumentNullException.ThrowIfNull(text);
        StringBuilder? result = null;
        for (var i = 0; i < text.Length; i++)
        {
            var size = char.IsSurrogatePair(text, i) ? 2 : 1;
            if (size == 1 && IsUnsafe(text[i]) && !(keepLines && text[i] is '\n' or '\r' or '\t'))
            {
                result ??= new StringBuilder(text, 0, i, text.Length + 16);
                result.Append(CultureInfo.InvariantCulture, $"\\u{(int)text[i]:x4}");
            }
            else
            {
                result?.Append(text, i, size);
            }
            i += size - 1;
        }
        return result?.ToString() ?? text;
    }

    // Control characters, halves of surrogate pairs, line separators, what turns the direction of text round, and what is no character.
    private static bool IsUnsafe(char c) =>
        char.GetUnicodeCategory(c)
            is UnicodeCategory.Control
                or UnicodeCategory.Surrogate
                or UnicodeCategory.LineSeparator
                or UnicodeCategory.ParagraphSeparator
        || c
            is '\u061c'
                or '\u200e'
                or '\u200f'
                or >= '\u202a'
                and <= '\u202e'
                or >= '\u2066'
                and <= '\u2069'
                or '\ufeff'
                or '\ufffe'
                or '\uffff';
}
