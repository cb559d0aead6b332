using System.Diagnostics;
using Bmg.Export.Inference;

namespace Bmg.Export.CommandLine;

/// <summary>Time that one batch size takes.</summary>
/// <param name="Batch">Observations a run.</param>
/// <param name="Runs">Runs measured.</param>
/// <param name="Median">Median latency of a run.</param>
/// <param name="Percentile99">Latency that 99 runs in 100 stay within.</param>
/// <param name="ObservationsPerSecond">Throughput over the whole measurement.</param>
internal sealed record Timing(
    int Batch,
    int Runs,
    TimeSpan Median,
    TimeSpan Percentile99,
    double ObservationsPerSecond
);

internal static class Benchmark
{
    /// <summary>Runs the model on random inputs, a mask allowing everything, for <paramref name="duration"/>, after a tenth of it as warm-up.</summary>
    public static Timing Measure(ModelSession session, int batch, TimeSpan duration)
    {
        var random = Seed.Of(batch).Generator()!;
        var inputs = new float[checked(batch * session.Features)];
        for (var i = 0; i < inputs.Length; i++)
        {
            inputs[i] = (float)random.NextNormal();
        }
        var mask = new bool[checked(batch * session.MaskWidth)];
        mask.AsSpan().Fill(true);
        Repeat(session, inputs, mask, batch, duration / 10);
        var latencies = Repeat(session, inputs, mask, batch, duration);
        latencies.Sort();
        return new Timing(
            batch,
            latencies.Count,
            latencies[latencies.Count / 2],
            latencies[(int)(0.99 * (latencies.Count - 1))],
            (double)batch * latencies.Count / latencies.Sum(latency => latency.TotalSeconds)
        );
    }

    private static List<TimeSpan> Repeat(
        ModelSession session,
        float[] inputs,
        bool[] mask,
        int batch,
        TimeSpan duration
    )
    {
        var latencies = new List<TimeSpan>();
        var start = Stopwatch.GetTimestamp();
        do
        {
            var before = Stopwatch.GetTimestamp();
            session.Run(inputs, mask, batch);
            latencies.Add(Stopwatch.GetElapsedTime(before));
        } while (Stopwatch.GetElapsedTime(start) < duration);
        return latencies;
    }
}
