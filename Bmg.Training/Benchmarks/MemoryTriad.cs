using System.Diagnostics;
using System.Numerics.Tensors;
using System.Runtime.Intrinsics;

namespace Bmg.Training.Benchmarks;

/// <summary>The machine's bandwidth over arrays of a given size: a = b + s·c, as McCalpin's STREAM has it.</summary>
public static class MemoryTriad
{
    /// <summary>Bytes a second, read and written, all threads together; each has three arrays of its own.</summary>
    /// <param name="bytes">Size of each array.</param>
    /// <param name="threads">Threads at work.</param>
    /// <param name="seconds">How long to measure.</param>
    public static double Measure(long bytes, int threads, double seconds)
    {
        var rates = new double[threads];
        using var start = new Barrier(threads);
        Thread[] all =
        [
            .. Enumerable
                .Range(0, threads)
                .Select(i => new Thread(() => rates[i] = OfOneThread((int)(bytes / sizeof(float)), seconds, start))),
        ];
        foreach (var thread in all)
        {
            thread.Start();
        }

        foreach (var thread in all)
        {
            thread.Join();
        }

        return rates.Sum();
    }

    private static unsafe double OfOneThread(int length, double seconds, Barrier start)
    {
        float[] a = new float[length],
            b = new float[length],
            c = new float[length];
        TensorPrimitives.Add<float>(b, 1, b);
        TensorPrimitives.Add<float>(c, 2, c);
        Pass(a, b, c);
        start.SignalAndWait();
        long passes = 0;
        var began = Stopwatch.GetTimestamp();
        double elapsed;
        do
        {
            for (var i = 0; i < 16; i++)
            {
                Pass(a, b, c);
            }

            passes += 16;
            elapsed = Stopwatch.GetElapsedTime(began).TotalSeconds;
        } while (elapsed < seconds);

        return passes * 3.0 * sizeof(float) * length / elapsed;
    }

    private static unsafe void Pass(float[] a, float[] b, float[] c)
    {
        var scale = Vector512.Create(0.5f);
        fixed (
            float* x = a,
                y = b,
                z = c
        )
        {
            for (var i = 0; i + 16 <= a.Length; i += 16)
            {
                Vector512.FusedMultiplyAdd(Vector512.Load(z + i), scale, Vector512.Load(y + i)).Store(x + i);
            }
        }
    }
}
