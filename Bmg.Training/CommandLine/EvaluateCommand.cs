using System.CommandLine;
using Bmg.Training.Evaluation;

namespace Bmg.Training.CommandLine;

/// <summary><c>evaluate</c>: plays a policy.</summary>
internal static class EvaluateCommand
{
    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string> target = new("RUN_OR_ONNX")
        {
            Description =
                "A run's directory, played through TorchSharp, or an .onnx file, played through ONNX Runtime.",
        };
        Option<long> steps = new("--steps")
        {
            Description = "Environment steps to play; what has a test split is judged on all of it.",
            DefaultValueFactory = _ => 10_000,
            HelpName = "N",
        };
        steps.Between(1, 1_000_000_000_000);
        Option<string?> provider = Options.Device(
            "--provider",
            "Where ONNX Runtime runs an .onnx file; cpu where none is given."
        );
        Command command = new(
            "evaluate",
            """
            Plays a trained policy in its environment and prints its returns; judges a network of supervised training on the test split.

            Examples:
              evaluate runs/mine
              evaluate runs/mine/policy.onnx --steps 100000
            """
        )
        {
            target,
            steps,
            provider,
        };
        command.SetAction(parsed =>
            host.Evaluate(
                new EvaluateOptions(
                    parsed.GetRequiredValue(target),
                    parsed.GetValue(steps),
                    Options.DeviceOf(parsed.GetValue(provider))
                )
                {
                    Reader = host.Reader,
                },
                host.Out
            )
        );
        return command;
    }
}
