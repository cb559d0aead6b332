namespace Bmg.Export.Inference;

/// <summary>Where ONNX Runtime computes.</summary>
public enum ExecutionProvider
{
    /// <summary>On the processor.</summary>
    Cpu,

    /// <summary>On an NVIDIA GPU; needs a build with -p:Gpu=true and the CUDA libraries.</summary>
    Cuda,
}

/// <summary>How a model is run.</summary>
/// <param name="Provider">Where it computes.</param>
/// <param name="AllowFallback">Whether the CPU may stand in where CUDA is asked for and not available.</param>
/// <param name="Threads">Threads for one operator on the CPU; 0 leaves the choice to ONNX Runtime.</param>
public sealed record InferenceOptions(
    ExecutionProvider Provider = ExecutionProvider.Cpu,
    bool AllowFallback = false,
    int Threads = 0
);

/// <summary>The execution provider asked for is not available. The message says what to do.</summary>
public sealed class ProviderUnavailableException(string message, Exception inner) : Exception(message, inner);
