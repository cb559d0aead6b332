using System.Diagnostics;
using static TorchSharp.torch;

namespace Bmg.Training.Benchmarks;

/// <summary>The machine's float32 matrix-multiply peak, as the tensor library reaches it.</summary>
public static class MatrixPeak
{
    private static readonly (int Batch, int M, int K, int N)[] s_shapes =
    [
        (1, 1024, 1024, 1024),
        (1, 2048, 2048, 2048),
        (10, 256, 256, 256),
        (10, 512, 512, 512),
        (50, 256, 256, 256),
    ];

    /// <summary>Multiply-adds × 2 a second: the best of several shapes, plain and batched, each the median of its repeats.</summary>
    /// <param name="device">Where to multiply.</param>
    /// <param name="threads">Threads of the tensor library.</param>
    /// <param name="repeats">Products a shape.</param>
    /// <returns>The peak, and the shape that reached it.</returns>
    public static (double OperationsPerSecond, string Shape) Measure(Device device, int threads, int repeats = 15)
    {
        set_num_threads(threads); // Holds for this thread; training on it may have changed it.
        var best = (OperationsPerSecond: 0.0, Shape: "");
        using var noGrad = no_grad();
        foreach (var (batch, m, k, n) in s_shapes)
        {
            using var scope = NewDisposeScope();
            var a = ones([batch, m, k], dtype: ScalarType.Float32, device: device);
            var b = ones([batch, k, n], dtype: ScalarType.Float32, device: device);
            var seconds = new double[repeats];
            for (var i = -2; i < repeats; i++)
            {
                var start = Stopwatch.GetTimestamp();
                using (batch == 1 ? mm(a[0], b[0]) : bmm(a, b))
                {
                    Synchronize(device);
                    if (i >= 0)
                    {
                        seconds[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
                    }
                }
            }

            Array.Sort(seconds);
            var rate = 2.0 * batch * m * k * n / seconds[repeats / 2];
            if (rate > best.OperationsPerSecond)
            {
                best = (rate, batch == 1 ? $"{m}×{k} by {k}×{n}" : $"{batch} of {m}×{k} by {k}×{n}");
            }
        }

        return best;
    }

    private static void Synchronize(Device device)
    {
        if (device.type == TorchSharp.DeviceType.CUDA)
        {
            cuda.synchronize(device);
        }
    }
}
