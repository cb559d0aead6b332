using System.Text.RegularExpressions;

namespace Bmg.Export.CommandLine;

/// <summary>How this process was started, so that what is advised can be pasted.</summary>
public static class ThisProgram
{
    /// <summary>The program as a shell takes it: the path of its executable, or "dotnet" and that of its assembly; from the working directory
    /// where that is shorter.</summary>
    public static string Command { get; } = Of(Environment.ProcessPath, Environment.GetCommandLineArgs());

    /// <summary>A command line of this program.</summary>
    public static string Line(string arguments) => $"{Command} {arguments}";

    /// <summary>A help text whose examples can be pasted: the program stands before each line, indented or behind "Example:", that begins with one of its
    /// commands; names of programs that stand there make way.</summary>
    public static string Pasteable(string help, IEnumerable<string> commands)
    {
        ArgumentNullException.ThrowIfNull(help);
        var names = string.Join('|', commands.Select(Regex.Escape));
        return Regex.Replace(
            help,
            $@"(?m)^(\s+|Examples?: )(?:Bmg\.(?:Export|Training) )?(?=(?:{names})(?:\s|$))",
            match => $"{match.Groups[1].Value}{Command} "
        );
    }

    internal static string Of(string? process, string[] arguments)
    {
        var name = Path.GetFileNameWithoutExtension(process ?? "");
        return name.Length == 0 || name == "dotnet"
            ? $"dotnet {Short(arguments is [var first, ..] ? first : "")}"
            : Short(process!);
    }

    private static string Short(string path)
    {
        var relative = Path.GetRelativePath(Directory.GetCurrentDirectory(), path);
        // A shell looks for a bare name elsewhere.
        var near = Path.GetDirectoryName(relative) is null or "" ? Path.Combine(".", relative) : relative;
        var shorter = near.Length < path.Length ? near : path;
        return shorter.Contains(' ', StringComparison.Ordinal) ? $"\"{shorter}\"" : shorter;
    }
}
