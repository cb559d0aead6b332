using System.Globalization;
using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Bmg.Training.CommandLine;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using Bmg.Training.Progress;
using Spectre.Console;

namespace Bmg.Training.Evaluation;

/// <summary>The body of <c>evaluate</c>.</summary>
public static class EvaluateAction
{
    /// <summary>Plays a run's members, or an exported policy, and prints what they earn.</summary>
    public static int Run(EvaluateOptions options, TextWriter output)
    {
        var isModel = options.Target.EndsWith(".onnx", StringComparison.OrdinalIgnoreCase);
        var (rows, configuration, environmentSteps, engine) = isModel ? PlayModel(options) : PlayRun(options);
        var blueLast = PolicyEvaluation.LastWorldWasBlue(environmentSteps, configuration);
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{options.Target}: reward an environment step over {Figures.Count(options.Steps)} steps, through {engine}"
            )
        );
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn("member");
        table.AddColumn("seed");
        foreach (var world in new[] { "blue +1", "red +1" })
        {
            var mark = world.StartsWith("blue", StringComparison.Ordinal) == blueLast ? " *" : "";
            table.AddColumn(new TableColumn($"{world}{mark}, drawn").RightAligned());
            table.AddColumn(new TableColumn($"{world}{mark}, greedy").RightAligned());
        }

        foreach (var (member, seed, result) in rows)
        {
            table.AddRow(
                member.ToString(CultureInfo.InvariantCulture),
                seed,
                Number(result.BlueSampled),
                Number(result.BlueGreedy),
                Number(result.RedSampled),
                Number(result.RedGreedy)
            );
        }

        var console = AnsiConsole.Create(
            new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(output) }
        );
        console.Profile.Width = 120;
        console.Write(table);
        output.WriteLine(
            "* the world that was learned last. Parameters are frozen, so a policy loses where the colors are swapped."
        );
        return 0;
    }

    private static string Number(double value) => value.ToString("F3", CultureInfo.InvariantCulture);

    private static (
        IReadOnlyList<(int Member, string Seed, EvaluationResult Result)>,
        RunConfiguration,
        long EnvironmentSteps,
        string Engine
    ) PlayRun(EvaluateOptions options)
    {
        using var checkpoint = CheckpointFile.Read(Bmg.Export.Checkpoints.RunDirectory.FindCheckpoint(options.Target));
        var configuration = ConfigurationReader.Read(checkpoint.Manifest.Configuration, options.Target);
        if (!Worlds.Describe(configuration).CanBePlayed)
        {
            throw new UsageException(
                $"{options.Target}: expected a run in the environment 'two-colors', which alone can be played, found one in '{checkpoint.Manifest.Policy.Environment}'."
            );
        }

        var rows = new List<(int, string, EvaluationResult)>();
        var engine = "";
        for (var member = 0; member < checkpoint.Manifest.Seeds.Length; member++)
        {
            using var policy = new TorchPolicy(checkpoint, member);
            engine = policy.Engine;
            rows.Add(
                (
                    member,
                    checkpoint.Manifest.Seeds[member].ToString(CultureInfo.InvariantCulture)
                        + (checkpoint.Manifest.Frozen.Contains(member) ? ", frozen" : ""),
                    PolicyEvaluation.Evaluate(policy, configuration.Environment.Respawn, 0, options.Steps)
                )
            );
        }

        return (rows, configuration, checkpoint.Manifest.EnvironmentSteps, engine);
    }

    private static (
        IReadOnlyList<(int Member, string Seed, EvaluationResult Result)>,
        RunConfiguration,
        long EnvironmentSteps,
        string Engine
    ) PlayModel(EvaluateOptions options)
    {
        var provider = options.Provider == DeviceKind.Cuda ? ExecutionProvider.Cuda : ExecutionProvider.Cpu;
        var session = PolicySession.Load(options.Target, new InferenceOptions(provider));
        using var policy = new OnnxPolicy(session);
        if (session.Environment != TwoColors.Kind.Name)
        {
            throw new OnnxFileException(
                $"{options.Target}: expected a policy for the environment 'two-colors', found one for '{session.Environment}'."
            );
        }

        var metadata = session.Metadata;
        var configuration = ConfigurationReader.Read(metadata[MetadataKeys.Configuration], options.Target);
        return (
            [
                (
                    int.Parse(metadata[MetadataKeys.Member], CultureInfo.InvariantCulture),
                    metadata.GetValueOrDefault(MetadataKeys.Seed, "unknown"),
                    PolicyEvaluation.Evaluate(policy, configuration.Environment.Respawn, 0, options.Steps)
                ),
            ],
            configuration,
            long.Parse(metadata[MetadataKeys.EnvironmentSteps], CultureInfo.InvariantCulture),
            policy.Engine
        );
    }
}
