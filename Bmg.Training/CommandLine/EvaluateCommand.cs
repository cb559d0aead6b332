using System.CommandLine;
using Bmg.Training.Evaluation;
using Bmg.Training.Supervised;

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
        Option<long?> steps = new("--steps")
        {
            Description =
                "Environment steps to play; 10 000 where there are no episodes; what has a test split is judged on all of it.",
            HelpName = "N",
        };
        steps.Between(1, 1_000_000_000_000);
        Option<int?> episodes = new("--episodes")
        {
            Description = "Episodes to play to their ends; 100 where there are episodes and no --steps.",
            HelpName = "N",
        };
        episodes.Between(1, 1_000_000);
        Option<bool> render = new("--render")
        {
            Description = "Draw an episode of the first member as text, where the environment draws itself.",
        };
        Option<string?> provider = Options.Device(
            "--provider",
            "Where ONNX Runtime runs an .onnx file; cpu where none is given."
        );
        Option<bool> json = new("--json") { Description = "Results on standard output as JSON, and nothing else." };
        Command command = new(
            "evaluate",
            """
            Plays a trained policy in its environment and prints its returns; judges a network of supervised training on the test split.

            Examples:
              evaluate runs/mine
              evaluate runs/mine/policy.onnx --steps 100000
              evaluate runs/cartpole --episodes 100 --render
            """
        )
        {
            target,
            steps,
            episodes,
            render,
            provider,
            json,
        };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(json) && parsed.GetValue(render))
            {
                throw new UsageException("--json and --render exclude each other: both write to standard output.");
            }
            return host.Evaluate(
                new EvaluateOptions(
                    parsed.GetRequiredValue(target),
                    parsed.GetValue(steps),
                    Options.DeviceOf(parsed.GetValue(provider))
                )
                {
                    Reader = host.Reader,
                    Episodes = parsed.GetValue(episodes),
                    Render = parsed.GetValue(render),
                    Json = parsed.GetValue(json),
                    Progress = host.Interactive ? host.Error.WriteLine : null,
                },
                host.Out
            );
        });
        return command;
    }
}
