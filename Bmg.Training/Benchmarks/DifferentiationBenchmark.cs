using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Bmg.Training.Environments;
using Bmg.Training.Runs;
using Spectre.Console;
using static TorchSharp.torch;

namespace Bmg.Training.Benchmarks;

/// <summary>
/// <c>bench --differentiation</c>: time and memory of one meta-gradient for each way through K steps, over K, on the networks and rollouts
/// of two-colors (ten members, one meta-learned number, one thread), and how far each is from reverse mode.
/// </summary>
public static partial class DifferentiationBenchmark
{
    private const int ActionCount = 4;
    private const int Members = 10;
    private const int RolloutSteps = 16;
    private static readonly int[] s_innerSteps = [1, 2, 4, 8, 16, 32];

    private static readonly (string Name, ThroughSteps Way)[] s_ways =
    [
        ("reverse", ThroughSteps.Reverse),
        ("truncated at 4", ThroughSteps.NewTruncated(4)),
        ("forward", ThroughSteps.Forward),
        ("first-order", ThroughSteps.FirstOrder),
    ];

    /// <summary>Measures every way at every K and prints a table.</summary>
    /// <param name="seconds">How long to repeat each; three times at least.</param>
    /// <param name="output">Where the table goes.</param>
    public static int Run(double seconds, TextWriter output)
    {
        set_num_threads(1);
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn(new TableColumn("K").RightAligned());
        foreach (var (name, _) in s_ways)
        {
            table.AddColumn(new TableColumn($"{name}\nms").RightAligned());
            table.AddColumn(new TableColumn("\nMB").RightAligned());
            table.AddColumn(new TableColumn("\noff by").RightAligned());
        }

        foreach (var innerSteps in s_innerSteps)
        {
            List<string> row = [innerSteps.ToString(CultureInfo.InvariantCulture)];
            double[]? reverse = null;
            foreach (var (_, way) in s_ways)
            {
                var (milliseconds, bytes, gradient) = Measure(innerSteps, way, seconds);
                reverse ??= gradient;
                row.Add(Text($"{milliseconds:F1}"));
                row.Add(Text($"{bytes / 1e6:F0}"));
                row.Add(Text($"{Distance(reverse, gradient):0.0e0}"));
            }
            table.AddRow([.. row]);
        }

        var console = AnsiConsole.Create(
            new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(output) }
        );
        console.Profile.Width = 140;
        console.Write(table);
        output.WriteLine(
            "ms: the fastest of several meta-gradients, target (L = 1) included. MB: growth of the process's largest resident size during it. off by: largest difference from reverse mode, relative to its largest entry; truncated and first-order leave something out on purpose."
        );
        return 0;
    }

    private static (double Milliseconds, long Bytes, double[] Gradient) Measure(
        int innerSteps,
        ThroughSteps way,
        double seconds
    )
    {
        using var scope = NewDisposeScope();
        var agent = ActorCritic.Create(
            Network.Mlp("policy", TwoColorsEnvironment.ObservationSize, [256, 256], ActionCount, Activation.Relu),
            Network.Mlp("value", TwoColorsEnvironment.ObservationSize, [256, 256], 1, Activation.Relu)
        );
        var seeds = Seed.Population(1, Members);
        var last = UpdateRule.Gradient(agent.PolicyLoss(0), Optimizers.Sgd(0.1));
        var learner = MetaLearner<Rollout>
            .Create(
                UpdateRule.Gradient(agent.Loss(), Optimizers.Sgd(0.1)),
                innerSteps,
                MetaParameters.BoundedScalar(HyperParameters.EntropyWeight, 0, 1, 0.2),
                MetaObjective<Rollout>.NewBootstrapped(
                    TargetBootstrap.LookAhead(1, last, LastStepState.Fresh),
                    Matching.Kl(Reduction.Sum)
                ),
                agent.Model(),
                Optimizers.Adam(1e-4, 0.9, 0.999, 1e-4)
            )
            .With(way);
        var state = learner.Init(
            agent.Init(Initialization.TruncatedNormal, seeds, float32, CPU),
            learner.MetaParameters.Init.Invoke(seeds, float32, CPU)
        );
        try
        {
            Experience<Rollout>[] batches = [.. Enumerable.Range(0, innerSteps + 1).Select(Batch)];
            double[] gradient = [];
            double Once()
            {
                using var inner = NewDisposeScope();
                var next = 0;
                var began = Stopwatch.GetTimestamp();
                var result = learner.MetaGradient(state, (_, _) => batches[next++]);
                gradient = Judgement.NumbersOf(result.Gradient);
                return Stopwatch.GetElapsedTime(began).TotalMilliseconds;
            }

            Once(); // What is compiled and set up at the first call does not count.
            Trim();
            PeakMemory.Reset();
            var before = PeakMemory.Bytes;
            List<double> times = [];
            var start = Stopwatch.GetTimestamp();
            do
            {
                times.Add(Once());
            } while (times.Count < 3 || Stopwatch.GetElapsedTime(start).TotalSeconds < seconds);

            // The fastest: on a shared machine others only ever add to it.
            return (times.Min(), PeakMemory.Bytes - before, gradient);
        }
        finally
        {
            state.Dispose();
        }
    }

    /// <summary>A rollout of any states, actions and rewards, the same for every way.</summary>
    private static Experience<Rollout> Batch(int number)
    {
        var rng = new Rng((ulong)number + 1);
        float[] Draw(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)rng.NextNormal())];
        long[] actions = [.. Enumerable.Range(0, Members * RolloutSteps).Select(_ => (long)rng.Next(ActionCount))];
        var size = TwoColorsEnvironment.ObservationSize;
        return new(
            Rollout.Create(
                tensor(Draw(Members * (RolloutSteps + 1) * size)).reshape(Members, RolloutSteps + 1, size),
                tensor(actions).reshape(Members, RolloutSteps),
                tensor(Draw(Members * RolloutSteps)).reshape(Members, RolloutSteps)
            ),
            null
        );
    }

    private static double Distance(double[] expected, double[] found) =>
        expected.Zip(found, (e, f) => Math.Abs(e - f)).Max() / expected.Max(Math.Abs);

    /// <summary>Gives freed memory back to the system, so that a peak is that of the measurement alone (glibc).</summary>
    private static void Trim()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        try
        {
            _ = MallocTrim(0);
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            // Another C library: the peak may then hold what was freed before.
        }
    }

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int MallocTrim(nint pad);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
