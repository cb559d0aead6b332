using Bmg.Training.Configuration;

namespace Bmg.Training.Benchmarks;

/// <summary>What <c>bench</c> is asked to do.</summary>
/// <param name="Members">Population sizes to measure.</param>
/// <param name="Seconds">Time for each measurement.</param>
/// <param name="Device">Where tensors live.</param>
/// <param name="Threads">Threads of the tensor library; 0 for all cores.</param>
public sealed record BenchOptions(IReadOnlyList<int> Members, double Seconds, DeviceKind Device, int Threads)
{
    /// <summary>Configurations to measure instead of the library's problems; none for those.</summary>
    public IReadOnlyList<string> Files { get; init; } = [];

    /// <summary>Reads configurations.</summary>
    public required ConfigurationReader Reader { get; init; }
}
