using System.Reflection;
using System.Runtime.InteropServices;
using TorchSharp;

namespace Bmg.Training.Runs;

/// <summary>What a run was made with.</summary>
/// <param name="Version">Version of this library.</param>
/// <param name="Commit">Git commit that it was built from, where known.</param>
/// <param name="TorchSharp">Version of TorchSharp.</param>
/// <param name="Runtime">.NET runtime.</param>
/// <param name="System">Operating system and architecture.</param>
public sealed record Provenance(string Version, string? Commit, string TorchSharp, string Runtime, string System)
{
    /// <summary>This process.</summary>
    public static Provenance Here { get; } = OfThisProcess();

    private static Provenance OfThisProcess()
    {
        string[] version = Informational(typeof(Provenance)).Split('+', 2);
        return new Provenance(
            version[0],
            version.ElementAtOrDefault(1),
            Informational(typeof(torch)).Split('+')[0],
            RuntimeInformation.FrameworkDescription,
            $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}"
        );
    }

    private static string Informational(Type type) =>
        type.Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
        ?? type.Assembly.GetName().Version?.ToString()
        ?? "unknown";
}
