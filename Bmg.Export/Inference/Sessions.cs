using Bmg.Export.Onnx;
using Microsoft.ML.OnnxRuntime;

namespace Bmg.Export.Inference;

/// <summary>The one place that makes sessions of ONNX Runtime.</summary>
internal static class Sessions
{
    private static readonly Lock Gate = new();

    public static (InferenceSession Session, ExecutionProvider Provider) Create(
        byte[] onnx,
        string source,
        InferenceOptions options
    )
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.Threads);
        QuietRuntime();
        if (options.Provider == ExecutionProvider.Cuda)
        {
            try
            {
                using var cuda = Settings(options);
                AppendCuda(cuda);
                return (Open(onnx, source, cuda), ExecutionProvider.Cuda);
            }
            catch (ProviderUnavailableException) when (options.AllowFallback)
            {
                // Allowed by the caller: go on with the CPU.
            }
        }
        using var cpu = Settings(options);
        return (Open(onnx, source, cpu), ExecutionProvider.Cpu);
    }

    private static SessionOptions Settings(InferenceOptions options) =>
        new()
        {
            IntraOpNumThreads = options.Threads,
            InterOpNumThreads = 1,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };

    private static void AppendCuda(SessionOptions settings)
    {
        try
        {
            using var cuda = new OrtCUDAProviderOptions();
            // Full float32 products, as on the CPU where the parity check runs; the default rounds factors to 10 bits (TF32).
            cuda.UpdateOptions(new Dictionary<string, string> { ["use_tf32"] = "0" });
            settings.AppendExecutionProvider_CUDA(cuda);
        }
        catch (Exception exception)
            when (exception is OnnxRuntimeException or EntryPointNotFoundException or DllNotFoundException)
        {
            var built = OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider");
            throw new ProviderUnavailableException(
                built
                    ? "CUDA is not available: ONNX Runtime could not load its CUDA provider. "
                        + "Install the CUDA 12 libraries and cuDNN 9 where the loader finds them, and check the GPU with nvidia-smi. "
                        + $"ONNX Runtime says: {OneLine(exception)}"
                    : "CUDA is not available: this build has ONNX Runtime for the CPU only. Build with -p:Gpu=true, "
                        + "or ask for the cpu provider.",
                exception
            );
        }
    }

    private static InferenceSession Open(byte[] onnx, string source, SessionOptions settings)
    {
        try
        {
            return new InferenceSession(onnx, settings);
        }
        catch (OnnxRuntimeException exception)
        {
            throw new OnnxFileException($"ONNX Runtime cannot load '{source}': {OneLine(exception)}", exception);
        }
    }

    /// <summary>An error of ONNX Runtime without its line breaks.</summary>
    public static string OneLine(Exception exception) =>
        string.Join(
            ' ',
            exception.Message.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
        );

    // ONNX Runtime writes warnings to stderr by default, such as about GPUs it does not find. What matters comes as an exception.
    private static void QuietRuntime()
    {
        lock (Gate)
        {
            if (!OrtEnv.IsCreated)
            {
                var environment = new EnvironmentCreationOptions
                {
                    logId = "Bmg",
                    logLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
                };
                OrtEnv.CreateInstanceWithOptions(ref environment);
            }
        }
    }
}
