using System.CommandLine;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using Bmg.Training.Supervised;

namespace Bmg.Training.CommandLine;

/// <summary><c>check-environment</c>: says what is wrong with an environment.</summary>
internal static class CheckEnvironmentCommand
{
    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string> name = new("NAME")
        {
            Description = "A registered environment, or a configuration file that names one.",
        };
        Option<string[]> set = new("--set")
        {
            Description = "Change a setting, as in --set environment.length=12; may be repeated.",
            HelpName = "path=value",
        };
        Option<int> steps = new("--steps")
        {
            Description = "Steps to play.",
            DefaultValueFactory = _ => 5000,
            HelpName = "N",
        };
        steps.Between(1, 100_000_000);
        Option<long> seed = new("--seed") { Description = "Seed of chance and of the actions.", HelpName = "N" };
        Command command = new(
            "check-environment",
            """
            Plays an environment with random actions and says what is wrong with it: shapes, ranges, determinism under a seed, saving and
            restoring, ends of episodes, masks, actions that are none of its own. Exit code 1 where it finds something.

            Examples:
              check-environment cartpole
              check-environment corridor --set environment.length=12 --steps 20000
            """
        )
        {
            name,
            set,
            steps,
            seed,
        };
        command.SetAction(parsed =>
        {
            string asked = parsed.GetRequiredValue(name);
            string[] settings = parsed.GetValue(set) ?? [];
            RunConfiguration configuration = File.Exists(asked)
                ? host.Reader.ReadFile(asked, settings)
                : host.Reader.Read("{}", "check-environment", [$"environment.name={asked}", .. settings]);
            EnvironmentReport report = EnvironmentCheck.Run(
                () => ConfiguredEnvironment.Create(configuration, Seed.Of(parsed.GetValue(seed))),
                parsed.GetValue(steps),
                Seed.Of(parsed.GetValue(seed))
            );
            foreach (string line in report.Checked)
            {
                host.Out.WriteLine($"checked  {line}");
            }
            foreach (EnvironmentFinding finding in report.Findings)
            {
                host.Out.WriteLine($"{(finding.IsAdvice ? "advice " : "WRONG  ")}  {finding}");
            }
            host.Out.WriteLine(
                report.Passed
                    ? $"{configuration.Environment.Name}: nothing is wrong with it."
                    : $"{configuration.Environment.Name}: {report.Findings.Count(finding => !finding.IsAdvice)} things are wrong with it."
            );
            return report.Passed ? 0 : 1;
        });
        return command;
    }
}
