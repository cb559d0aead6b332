using System.CommandLine;
using Bmg.Training.Agents;
using Bmg.Training.Benchmarks;

namespace Bmg.Training.CommandLine;

/// <summary><c>bench</c>: how fast this machine trains.</summary>
internal static class BenchCommand
{
    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string[]> files = new("FILE")
        {
            Description = "Configurations to measure as they train, instead of the library's problems.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        Option<int[]> members = new("--members")
        {
            Description = "Population sizes to measure.",
            DefaultValueFactory = _ => [1, 10, 50],
            AllowMultipleArgumentsPerToken = true,
            HelpName = "N …",
        };
        members.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int[]>()?.Any(count => count is < 1 or > 10_000) == true)
            {
                result.AddError("--members: expected whole numbers, at least 1 and at most 10000.");
            }
        });
        Option<double> seconds = new("--seconds")
        {
            Description = "Time for each measurement.",
            DefaultValueFactory = _ => 5,
            HelpName = "S",
        };
        seconds.Between(0.1, 86_400);
        Option<string?> device = Options.Device("--device", "Where tensors live; cpu where none is given.");
        Option<int> threads = new("--threads")
        {
            Description = "Threads of the tensor library; 0 takes all cores.",
            HelpName = "N",
        };
        threads.Between(0, 1024);
        Option<bool> differentiation = new("--differentiation")
        {
            Description =
                "Instead: time and memory of one meta-gradient for each way through K = 1 … 32 steps (reverse, truncated, forward, first-order).",
        };
        Command command = new(
            "bench",
            """
            Measures how fast this machine trains, and what fraction that is of its matrix-multiply peak (actor-critic) or of its memory's
            bandwidth (Q(λ)); and how fast CartPole and the pixel world are. With configurations: how fast those are.

            Example: bench --members 1 10 --seconds 10
            Example: bench paper-configs/cartpole/bmg.json --threads 1
            Example: bench --differentiation
            """
        )
        {
            files,
            members,
            seconds,
            device,
            threads,
            differentiation,
        };
        command.SetAction(parsed =>
            parsed.GetValue(differentiation)
                ? Benchmarks.DifferentiationBenchmark.Run(parsed.GetValue(seconds) / 5, host.Out)
                : host.Bench(
                    new BenchOptions(
                        parsed.GetRequiredValue(members),
                        parsed.GetValue(seconds),
                        Options.DeviceOf(parsed.GetValue(device)),
                        parsed.GetValue(threads)
                    )
                    {
                        Files = parsed.GetValue(files) ?? [],
                        Reader = host.Reader,
                    },
                    host.Out
                )
        );
        return command;
    }
}
