using Bmg.Export.Onnx;
using Microsoft.ML.OnnxRuntime;

namespace Bmg.Export.Inference;

/// <summary>The one place that makes sessions of ONNX Runtime.</summary>
internal static class Sessions
{
    private static readonly Lock Gate = new();

    public static (InferenceSession Session, ExecutionProvider Provider) Create(OnnxFile file, InferenceOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(options.Threads);
        QuietRuntime();
        if (options.Provider == ExecutionProvider.Cuda)
        {
            try
            {
                using var cuda = Settings(file, options);
                AppendCuda(cuda);
                return (Open(file, cuda), ExecutionProvider.Cuda);
            }
            catch (ProviderUnavailableException) when (options.AllowFallback)
            {
                // Allowed by the caller: go on with the CPU.
            }
        }
        using var cpu = Settings(file, options);
        return (Open(file, cpu), ExecutionProvider.Cpu);
    }

    private static SessionOptions Settings(OnnxFile file, InferenceOptions options)
    {
        var settings = new SessionOptions
        {
            IntraOpNumThreads = options.Threads,
            InterOpNumThreads = 1,
            LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL,
        };
        if (file.Folder is { } folder)
        {
            // Data in files of its own lies beside the model, not where the process runs.
            settings.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", folder);
        }
        return settings;
    }

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

    private static InferenceSession Open(OnnxFile file, SessionOptions settings)
    {
        try
        {
            return new InferenceSession(file.Bytes, settings);
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            throw new OnnxFileException($"ONNX Runtime cannot load '{file.Source}': {OneLine(exception)}", exception);
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
