using System.Diagnostics;
using System.Globalization;
using Bmg.Training.Configuration;
using Bmg.Training.Experiments;
using Bmg.Training.Progress;
using Bmg.Training.Runs;
using Spectre.Console;
using static TorchSharp.torch;

namespace Bmg.Training.Benchmarks;

/// <summary>The body of <c>bench</c>.</summary>
public static class BenchAction
{
    private static readonly (int InnerSteps, int TargetSteps)[] s_horizons = [(1, 8), (7, 9)];

    /// <summary>Measures the matrix peak, then training at each population and horizon, then memory at L = 1 and L = 16, then Q(λ) against memory's
    /// bandwidth.</summary>
    public static int Run(BenchOptions options, TextWriter output)
    {
        if (options.Files.Count > 0)
        {
            WriteProblems(
                options.Files.Select(file => options.Reader.ReadFile(file, Settings(options))),
                options,
                output
            );
            return 0;
        }

        var device = options.Device == DeviceKind.Cuda ? CUDA : CPU;
        var threads = options.Threads > 0 ? options.Threads : Environment.ProcessorCount;
        foreach (var members in options.Members)
        {
            foreach (var (inner, target) in s_horizons)
            {
                MemoryNeeds.Require(
                    TrainingBenchmark.Configuration(
                        options.Reader,
                        members,
                        inner,
                        target,
                        options.Device,
                        options.Threads
                    ),
                    $"--members {members}"
                );
            }
        }

        // First, while the process is fresh: what the allocator keeps from larger populations would hide the difference.
        var shortTarget = TrainingBenchmark.Measure(
            options.Reader,
            10,
            1,
            1,
            options.Seconds / 2,
            options.Device,
            options.Threads
        );
        var longTarget = TrainingBenchmark.Measure(
            options.Reader,
            10,
            1,
            16,
            options.Seconds / 2,
            options.Device,
            options.Threads
        );
        var (before, shape) = MatrixPeak.Measure(device, threads);
        var measurements = new List<TrainingMeasurement>();
        foreach (var members in options.Members)
        {
            foreach (var (inner, target) in s_horizons)
            {
                measurements.Add(
                    TrainingBenchmark.Measure(
                        options.Reader,
                        members,
                        inner,
                        target,
                        options.Seconds,
                        options.Device,
                        options.Threads
                    )
                );
            }
        }

        // Machines drift: the peak is measured on both sides of the training, and the better one counts.
        var (after, shapeAfter) = MatrixPeak.Measure(device, threads);
        var peak = Math.Max(before, after);
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"float32 matrix-multiply peak: {peak / 1e9:F0} GFLOP/s ({(before > after ? shape : shapeAfter)}; {threads} threads, {device.type.ToString().ToLowerInvariant()}; before training {before / 1e9:F0}, after {after / 1e9:F0})"
            )
        );
        var table = new Table().Border(TableBorder.Simple);
        foreach (
            var column in new[]
            {
                "P",
                "K",
                "L",
                "env. steps/s",
                "ms/meta-step",
                "acting",
                "learning",
                "meta",
                "MFLOP/step",
                "GFLOP/s",
                "of peak",
                "peak memory",
            }
        )
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }

        foreach (var m in measurements)
        {
            table.AddRow(
                Text($"{m.Members}"),
                Text($"{m.InnerSteps}"),
                Text($"{m.TargetSteps}"),
                Figures.Count(m.StepsPerSecond),
                Text($"{m.MillisecondsPerMetaStep:F2}"),
                Text($"{100 * m.ActingShare:F0} %"),
                Text($"{100 * m.LearningShare:F0} %"),
                Text($"{100 * m.MetaShare:F0} %"),
                Text($"{m.OperationsPerStep / 1e6:F2}"),
                Text($"{m.OperationsPerSecond / 1e9:F1}"),
                Text($"{m.OperationsPerSecond / peak:F3}"),
                Text($"{m.PeakMemoryBytes / 1e6:N0} MB")
            );
        }

        var console = AnsiConsole.Create(
            new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(output) }
        );
        console.Profile.Width = 140;
        console.Write(table);
        output.WriteLine(
            "MFLOP/step: multiply-adds × 2 of the linear layers alone, for one environment step of one member."
        );
        output.WriteLine(
            Text(
                $"Peak memory at P = 10, K = 1: {shortTarget.PeakMemoryBytes / 1e6:N0} MB with L = 1, {longTarget.PeakMemoryBytes / 1e6:N0} MB with L = 16 ({100.0 * (longTarget.PeakMemoryBytes - shortTarget.PeakMemoryBytes) / shortTarget.PeakMemoryBytes:+0.0;-0.0} %)."
            )
        );
        WriteQLambda(options, threads, console, output);
        output.WriteLine();
        WriteProblems(
            new[] { ProblemBenchmark.CartPole, ProblemBenchmark.Pixels }.Select(text =>
                options.Reader.Read(text, "bench", Settings(options))
            ),
            options,
            output
        );
        using var process = Process.GetCurrentProcess();
        output.WriteLine(
            Text(
                $"Start of the process to the end of its first meta-step (P = 10, the meta-network's pre-training included): {(shortTarget.FirstStep - process.StartTime).TotalSeconds:F1} s."
            )
        );
        return 0;
    }

    private static string[] Settings(BenchOptions options) =>
        [
            .. options.Threads > 0 ? [$"threads={options.Threads}"] : Array.Empty<string>(),
            .. options.Device == DeviceKind.Cuda
                ? [$"device={ConfigurationJson.Spell(options.Device)}"]
                : Array.Empty<string>(),
        ];

    /// <summary>Configurations, each as it trains.</summary>
    private static void WriteProblems(
        IEnumerable<RunConfiguration> configurations,
        BenchOptions options,
        TextWriter output
    )
    {
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn(new TableColumn("configuration"));
        foreach (var column in new[] { "P", "counts", "a second", "ms/meta-step", "acting", "peak memory" })
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }

        foreach (var configuration in configurations)
        {
            var m = ProblemBenchmark.Measure(configuration, options.Seconds);
            table.AddRow(
                Markup.Escape(m.Name),
                Text($"{m.Members}"),
                m.Unit,
                Figures.Count(m.StepsPerSecond),
                Text($"{m.MillisecondsPerMetaStep:F2}"),
                m.ActingShare is { } share ? Text($"{100 * share:F0} %") : "–",
                Text($"{m.PeakMemoryBytes / 1e6:N0} MB")
            );
        }

        var console = AnsiConsole.Create(
            new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(output) }
        );
        console.Profile.Width = 140;
        console.Write(table);
    }

    /// <summary>Q(λ): how close its updates come to what memory gives, both measured here.</summary>
    private static void WriteQLambda(BenchOptions options, int threads, IAnsiConsole console, TextWriter output)
    {
        if (options.Device != DeviceKind.Cpu)
        {
            return;
        }

        var stateBytes = QLambdaBenchmark.Measure(options.Reader, 1, QLambdaBenchmark.TargetSteps, 0.1, 1).StateBytes;
        var before = MemoryTriad.Measure(stateBytes, threads, 1);
        QLambdaMeasurement[] measurements =
        [
            .. options.Members.Select(members =>
                QLambdaBenchmark.Measure(
                    options.Reader,
                    members,
                    QLambdaBenchmark.TargetSteps,
                    options.Seconds,
                    options.Threads
                )
            ),
        ];
        var bandwidth = Math.Max(before, MemoryTriad.Measure(stateBytes, threads, 1));
        output.WriteLine();
        output.WriteLine(
            Text(
                $"triad over arrays of one Q(λ) member's state, {stateBytes / 1e6:F2} MB each: {bandwidth / 1e9:F1} GB/s ({threads} threads)"
            )
        );
        var table = new Table().Border(TableBorder.Simple);
        foreach (var column in new[] { "P", "L", "env. steps/s", "MB/update", "GB/s", "of triad", "peak memory" })
        {
            table.AddColumn(new TableColumn(column).RightAligned());
        }

        foreach (var m in measurements)
        {
            table.AddRow(
                Text($"{m.Members}"),
                Text($"{m.TargetSteps}"),
                Figures.Count(m.StepsPerSecond),
                Text($"{m.BytesPerStep / 1e6:F2}"),
                Text($"{m.BytesPerSecond / 1e9:F1}"),
                // Fewer members than threads leave threads without work, and the machine's bandwidth with them.
                Text($"{m.BytesPerSecond / bandwidth:F3}"),
                Text($"{m.PeakMemoryBytes / 1e6:N0} MB")
            );
        }

        console.Write(table);
        output.WriteLine(
            "MB/update: weights, traces and both moments, read once and written once; forward and backward passes are not counted."
        );
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
