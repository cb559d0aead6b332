using System.Globalization;
using Bmg.Export;
using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using Bmg.Training.Progress;
using Bmg.Training.Runs;
using Spectre.Console;

namespace Bmg.Training.Evaluation;

/// <summary>The body of <c>evaluate</c>.</summary>
public static class EvaluateAction
{
    /// <summary>Plays a run's members, or an exported policy, and prints what they earn; judges networks of supervised training on data.</summary>
    public static int Run(EvaluateOptions options, TextWriter output)
    {
        var isModel = options.Target.EndsWith(".onnx", StringComparison.OrdinalIgnoreCase);
        if ((isModel ? JudgeModel(options) : JudgeRun(options)) is [var first, ..] judged)
        {
            output.WriteLine($"{Printable.Line(options.Target)}: judged through {first.Judgement.Engine}");
            var judgements = new Table().Border(TableBorder.Simple);
            judgements.AddColumn("member");
            judgements.AddColumn("seed");
            foreach (var (label, _) in first.Judgement.Measurements)
            {
                judgements.AddColumn(new TableColumn(Markup.Escape(label)).RightAligned());
            }

            foreach (var (member, seed, judgement) in judged)
            {
                judgements.AddRow([
                    member.ToString(CultureInfo.InvariantCulture),
                    seed,
                    .. judgement.Measurements.Select(each => Figures.Number(each.Value)),
                ]);
            }

            Write(judgements, output);
            return 0;
        }

        var (rows, configuration, environmentSteps, engine) = isModel ? PlayModel(options) : PlayRun(options);
        var blueLast = PolicyEvaluation.LastWorldWasBlue(environmentSteps, configuration);
        output.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{Printable.Line(options.Target)}: reward an environment step over {Figures.Count(options.Steps)} steps, through {engine}"
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

        Write(table, output);
        output.WriteLine(
            "* the world that was learned last. Parameters are frozen, so a policy loses where the colors are swapped."
        );
        return 0;
    }

    private static void Write(Table table, TextWriter output)
    {
        var console = AnsiConsole.Create(
            new AnsiConsoleSettings { Ansi = AnsiSupport.No, Out = new AnsiConsoleOutput(output) }
        );
        console.Profile.Width = 120;
        console.Write(table);
    }

    /// <summary>Judges every member of a run; null where its experiment has its networks played instead.</summary>
    private static List<(int Member, string Seed, NetworkJudgement Judgement)>? JudgeRun(EvaluateOptions options)
    {
        using var checkpoint = CheckpointFile.Read(Bmg.Export.Checkpoints.RunDirectory.FindCheckpoint(options.Target));
        var configuration = options.Reader.Read(checkpoint.Manifest.Configuration, options.Target);
        var rows = new List<(int, string, NetworkJudgement)>();
        for (var member = 0; member < checkpoint.Manifest.Seeds.Length; member++)
        {
            if (NetworkJudge.OfMember(configuration, checkpoint, member) is not { } judgement)
            {
                return null;
            }

            rows.Add((member, SeedOf(checkpoint, member), judgement));
        }

        return rows;
    }

    /// <summary>Judges an exported network; null where its experiment has its networks played instead, or it does not say which that is.</summary>
    private static List<(int Member, string Seed, NetworkJudgement Judgement)>? JudgeModel(EvaluateOptions options)
    {
        var provider = options.Provider == DeviceKind.Cuda ? ExecutionProvider.Cuda : ExecutionProvider.Cpu;
        using var session = ModelSession.Load(options.Target, new InferenceOptions(provider));
        var metadata = session.MetadataEntries;
        if (
            metadata.Entries.GetValueOrDefault(MetadataKeys.Kind) is not (ModelKinds.Policy or ModelKinds.Predictions)
            || !metadata.Entries.ContainsKey(MetadataKeys.Configuration)
        )
        {
            return null;
        }

        var configuration = options.Reader.Read(
            metadata.Text(MetadataKeys.Configuration),
            $"{options.Target}: metadata '{MetadataKeys.Configuration}'"
        );
        return NetworkJudge.OfModel(configuration, session) is { } judgement
            ?
            [
                (
                    (int)metadata.Number(MetadataKeys.Member, int.MaxValue),
                    metadata.Number(MetadataKeys.Seed).ToString(CultureInfo.InvariantCulture),
                    judgement
                ),
            ]
            : null;
    }

    private static string SeedOf(Checkpoint checkpoint, int member) =>
        checkpoint.Manifest.Seeds[member].ToString(CultureInfo.InvariantCulture)
        + (checkpoint.Manifest.Frozen.Contains(member) ? ", frozen" : "");

    private static string Number(double value) => value.ToString("F3", CultureInfo.InvariantCulture);

    private static (
        IReadOnlyList<(int Member, string Seed, EvaluationResult Result)>,
        RunConfiguration,
        long EnvironmentSteps,
        string Engine
    ) PlayRun(EvaluateOptions options)
    {
        using var checkpoint = CheckpointFile.Read(Bmg.Export.Checkpoints.RunDirectory.FindCheckpoint(options.Target));
        var configuration = options.Reader.Read(checkpoint.Manifest.Configuration, options.Target);
        var world = Worlds.Describe(configuration);
        if (!world.CanBePlayed)
        {
            throw new UsageException(
                $"{options.Target}: expected a run in the environment 'two-colors', which alone can be played, found one in '{checkpoint.Manifest.Policy.Environment}'."
            );
        }

        CheckpointContents.RequirePolicy(checkpoint);
        var policyOf = checkpoint.Manifest.Policy;
        if (
            policyOf.ObservationLayout.Length != world.ObservationSize
            || policyOf.ActionMeanings.Length != world.ActionCount
        )
        {
            throw new CheckpointException(
                $"{checkpoint.Source}: found a policy from {policyOf.ObservationLayout.Length} observations to {policyOf.ActionMeanings.Length} actions, expected {world.ObservationSize} and {world.ActionCount}, those of '{world.Name}'."
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
                    SeedOf(checkpoint, member),
                    PolicyEvaluation.Evaluate(
                        policy,
                        configuration.Environment.As<TwoColorsSettings>().Respawn,
                        0,
                        options.Steps
                    )
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
        RequireTwoColors(session, options.Target);
        var metadata = session.MetadataEntries;
        var configuration = options.Reader.Read(
            metadata.Text(MetadataKeys.Configuration),
            $"{options.Target}: metadata '{MetadataKeys.Configuration}'"
        );
        var environmentSteps = metadata.Number(MetadataKeys.EnvironmentSteps);
        return (
            [
                (
                    (int)metadata.Number(MetadataKeys.Member, int.MaxValue),
                    metadata.Number(MetadataKeys.Seed).ToString(CultureInfo.InvariantCulture),
                    PolicyEvaluation.Evaluate(
                        policy,
                        configuration.Environment.As<TwoColorsSettings>().Respawn,
                        0,
                        options.Steps
                    )
                ),
            ],
            configuration,
            environmentSteps,
            policy.Engine
        );
    }

    /// <summary>Refuses a policy that sees or does other things than the world shows and takes, or that cannot be drawn from.</summary>
    private static void RequireTwoColors(PolicySession session, string file)
    {
        if (session.Environment != TwoColors.Kind.Name)
        {
            throw new OnnxFileException(
                $"{file}: expected a policy for the environment 'two-colors', found one for '{session.Environment}'."
            );
        }
        var metadata = session.MetadataEntries;
        if (!session.ObservationLayout.SequenceEqual(TwoColors.ObservationLayout))
        {
            throw metadata.Fault(
                MetadataKeys.InputLayout,
                $"{session.ObservationLayout.Count} names",
                $"the {TwoColors.ObservationSize} of 'two-colors', in its order"
            );
        }
        if (!session.ActionMeanings.SequenceEqual(TwoColors.ActionMeanings))
        {
            throw metadata.Fault(
                MetadataKeys.ActionMeanings,
                $"{session.ActionMeanings.Count} names",
                $"the {TwoColors.ActionCount} of 'two-colors', in its order"
            );
        }
        if (session.Kind == PolicyKind.Logits && !session.HasProbabilities)
        {
            throw new OnnxFileException(
                $"'{file}': outputs: found only '{PolicyExporter.Action}', expected '{PolicyExporter.Logits}' or '{PolicyExporter.Probabilities}', from which actions are drawn."
            );
        }
    }
}
