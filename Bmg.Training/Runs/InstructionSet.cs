using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Bmg.Training.Runs;

/// <summary>
/// The instructions that products and vectors are computed with. libtorch and .NET take the widest that the processor has, and other widths add
/// in another order: the same seeds give the same numbers where this is the same.
/// </summary>
public static class InstructionSet
{
    /// <summary>Variables of the environment by which a user can choose other instructions than the processor's widest.</summary>
    private static readonly string[] Choices =
    [
        "ATEN_CPU_CAPABILITY",
        "MKL_CBWR",
        "MKL_DEBUG_CPU_TYPE",
        "MKL_ENABLE_INSTRUCTIONS",
    ];

    /// <summary>This process's, as in "x64 AVX-512", with the choices that its environment makes.</summary>
    public static string Here { get; } = Describe();

    private static string Describe()
    {
        // The conditions are libtorch's own: AVX-512 with vectors of all lengths, AVX2 with fused products.
        string widest =
            Avx512BW.VL.IsSupported && Avx512DQ.VL.IsSupported && Fma.IsSupported ? " AVX-512"
            : Avx2.IsSupported && Fma.IsSupported ? " AVX2"
            : AdvSimd.IsSupported ? " NEON"
            : "";
        IEnumerable<string> choices = Choices
            .Select(name => (Name: name, Value: Environment.GetEnvironmentVariable(name)))
            .Where(choice => !string.IsNullOrEmpty(choice.Value))
            .Select(choice => $", {choice.Name}={choice.Value}");
        return $"{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}{widest}{string.Concat(choices)}";
    }
}
