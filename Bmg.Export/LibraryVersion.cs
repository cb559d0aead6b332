using System.Reflection;

namespace Bmg.Export;

/// <summary>Which Bmg wrote a file.</summary>
public static class LibraryVersion
{
    /// <summary>Version of this library, as in "0.1.0" or, from a build inside its repository, "0.1.0+commit".</summary>
    public static string Current { get; } =
        typeof(LibraryVersion)
            .Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()
            ?.InformationalVersion
        ?? "unknown";
}
