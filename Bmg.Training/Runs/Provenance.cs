using System.Reflection;
using System.Runtime.InteropServices;
using Bmg.Export;
using TorchSharp;

namespace Bmg.Training.Runs;

/// <summary>What a run was made with.</summary>
/// <param name="Version">Version of this library.</param>
/// <param name="Commit">Git commit that it was built from, where known.</param>
/// <param name="TorchSharp">Version of TorchSharp.</param>
/// <param name="Runtime">.NET runtime.</param>
/// <param name="System">Operating system and architecture.</param>
/// <param name="Instructions">Instructions of the processor that numbers were computed with (see <see cref="InstructionSet"/>); null in files
/// written before that was noted.</param>
public sealed record Provenance(
    string Version,
    string? Commit,
    string TorchSharp,
    string Runtime,
    string System,
    string? Instructions = null
)
{
    /// <summary>This process.</summary>
    public static Provenance Here { get; } = OfThisProcess();

    private static Provenance OfThisProcess()
    {
        string[] version = LibraryVersion.Current.Split('+', 2);
        return new Provenance(
            version[0],
            version.ElementAtOrDefault(1),
            TorchVersion(),
            RuntimeInformation.FrameworkDescription,
            $"{RuntimeInformation.OSDescription}, {RuntimeInformation.ProcessArchitecture}",
            InstructionSet.Here
        );
    }

    private static string TorchVersion() =>
        typeof(torch)
            .Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()
            ?.InformationalVersion.Split('+')[0]
        ?? "unknown";
}
