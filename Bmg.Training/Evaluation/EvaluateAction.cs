using System.Globalization;
using System.Text.Json.Nodes;
using Bmg.Export;
using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using Bmg.Training.Progress;
using Bmg.Training.Runs;
using Spectre.Console;

namespace Bmg.Training.Evaluation;

/// <summary>The body of <c>evaluate</c>.</summary>
public static class EvaluateAction
{
    private const long MostSteps = 10_000;
    private const long MostStepsForEpisodes = 1_000_000_000_000;
    private const int MostEpisodes = 100;
    private const int MostRendered = 200;

    /// <summary>Someone to be played.</summary>
    private sealed record Player(int Member, string Seed, Func<IPlayablePolicy> Policy);

    /// <summary>Who is to be played, and where.</summary>
    private sealed record Players(
        IReadOnlyList<Player> All,
        RunConfiguration Configuration,
        long EnvironmentSteps,
        PolicySession? Session
    );

    /// <summary>Plays a run's members, or an exported policy, and prints what they earn.</summary>
    public static int Run(EvaluateOptions options, TextWriter output)
    {
        var isModel = options.Target.EndsWith(".onnx", StringComparison.OrdinalIgnoreCase);
        if ((isModel ? JudgeModel(options) : JudgeRun(options)) is [var first, ..] judged)
        {
            if (options.Json)
            {
                Write(
                    output,
                    options,
                    first.Judgement.Engine,
                    "measurements",
                    judged.Select(row =>
                        Result(
                            row.Member,
                            row.Seed,
                            row.Judgement.Measurements.Select(each => new JsonObject
                            {
                                ["label"] = each.Label,
                                ["value"] = Finite(each.Value),
                            })
                        )
                    )
                );
                return 0;
            }

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

        using var checkpoint = isModel
            ? null
            : CheckpointFile.Read(Bmg.Export.Checkpoints.RunDirectory.FindCheckpoint(options.Target));
        var players = checkpoint is null ? OfModel(options) : OfRun(options, checkpoint);
        var environment = players.Configuration.Environment;
        var description = ConfiguredEnvironment.Describe(players.Configuration);
        if (options.Render && !description.Renders)
        {
            throw new UsageException(
                $"--render: found environment '{environment.Name}', which draws no text; expected one whose description says Renders."
            );
        }

        if (options.Episodes is not null && !description.Ends)
        {
            throw new UsageException(
                $"--episodes: found environment '{environment.Name}', which has no episodes; expected --steps."
            );
        }

        int? episodes = options.Episodes ?? (description.Ends && options.Steps is null ? MostEpisodes : null);
        var steps = episodes is null ? options.Steps ?? MostSteps : MostStepsForEpisodes;
        var modes = PolicyEvaluation.Modes(players.Configuration);
        var rows = new List<(Player Player, PlayResult[] Results)>();
        var engine = "";
        foreach (var player in players.All)
        {
            using var policy = player.Policy();
            engine = policy.Engine;
            if (options.Render && rows.Count == 0)
            {
                Draw(policy, players, output);
            }

            options.Progress?.Invoke(
                $"playing {MemberName.Of(player.Member, 0).Split(" (")[0]}, {rows.Count + 1} of {players.All.Count}"
            );
            rows.Add(
                (
                    player,
                    [
                        .. modes.Select(mode =>
                            PolicyEvaluation.Play(policy, players.Configuration, mode, 0, steps, episodes)
                        ),
                    ]
                )
            );
        }

        if (options.Json)
        {
            var (names, _) = PolicyEvaluation.Phases(
                players.Configuration,
                players.EnvironmentSteps,
                players.Configuration.EnvironmentSteps
            );
            Write(
                output,
                options,
                engine,
                episodes is null ? "rewardPerStep" : "meanReturn",
                rows.Select(row =>
                    Result(
                        row.Player.Member,
                        row.Player.Seed,
                        modes.Zip(
                            row.Results,
                            (mode, result) =>
                                new JsonObject
                                {
                                    ["phase"] = mode.Phase is { } at ? names[at] : null,
                                    ["greedy"] = mode.Greedy,
                                    ["value"] = Finite(episodes is null ? result.RewardPerStep : result.MeanReturn),
                                    ["returns"] = new JsonArray([
                                        .. result.Returns.Select(value => (JsonNode?)Finite(value)),
                                    ]),
                                }
                        )
                    )
                )
            );
            return 0;
        }

        var what = episodes is { } count
            ? $"mean return of {Figures.Count(count)} episodes"
            : $"reward an environment step over {Figures.Count(steps)} steps";
        output.WriteLine(
            string.Create(CultureInfo.InvariantCulture, $"{Printable.Line(options.Target)}: {what}, through {engine}")
        );
        var (phases, last) = PolicyEvaluation.Phases(
            players.Configuration,
            players.EnvironmentSteps,
            players.Configuration.EnvironmentSteps
        );
        var table = new Table().Border(TableBorder.Simple);
        table.AddColumn("member");
        table.AddColumn("seed");
        foreach (var mode in modes)
        {
            var how = mode.Greedy ? "greedy" : "drawn";
            var name = mode.Phase is { } phase ? $"{phases[phase]}{(phase == last ? " *" : "")}, {how}" : how;
            table.AddColumn(new TableColumn(Markup.Escape(name)).RightAligned());
        }

        foreach (var (player, results) in rows)
        {
            table.AddRow([
                player.Member.ToString(CultureInfo.InvariantCulture),
                player.Seed,
                .. results.Select(result =>
                    episodes is null
                        ? result.RewardPerStep.ToString("F3", CultureInfo.InvariantCulture)
                        : Figures.Number(result.MeanReturn)
                ),
            ]);
        }

        Write(table, output);
        if (phases.Count > 0)
        {
            output.WriteLine(
                environment.TryAs<TwoColorsSettings>(out _)
                    ? "* the world that was learned last. Parameters are frozen, so a policy loses where the colors are swapped."
                    : "* the problem that was learned last. Parameters are frozen, so a policy may lose in another."
            );
        }

        return 0;
    }

    private static void Write(
        TextWriter output,
        EvaluateOptions options,
        string engine,
        string what,
        IEnumerable<JsonNode> members
    ) =>
        output.WriteLine(
            new JsonObject
            {
                ["target"] = options.Target,
                ["engine"] = engine,
                ["what"] = what,
                ["members"] = new JsonArray([.. members]),
            }.ToJsonString(ConfigurationJson.Indented)
        );

    private static JsonObject Result(int member, string seed, IEnumerable<JsonObject> results) =>
        new()
        {
            ["member"] = member,
            ["seed"] = seed,
            ["results"] = new JsonArray([.. results]),
        };

    /// <summary>JSON has no NaN.</summary>
    private static JsonValue? Finite(double value) => double.IsFinite(value) ? JsonValue.Create(value) : null;

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

    /// <summary>Draws the first steps of a greedy play.</summary>
    private static void Draw(IPlayablePolicy policy, Players players, TextWriter output)
    {
        var step = 0;
        PolicyEvaluation.Play(
            policy,
            players.Configuration,
            new PlayMode(null, true),
            seed: 0,
            MostRendered,
            episodes: ConfiguredEnvironment.Describe(players.Configuration).Ends ? 1 : null,
            watch: text => output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"step {++step}\n{text}\n"))
        );
    }

    private static Players OfRun(EvaluateOptions options, Checkpoint checkpoint)
    {
        var configuration = options.Reader.Read(checkpoint.Manifest.Configuration, options.Target);
        var description = ConfiguredEnvironment.Describe(configuration);
        CheckpointContents.RequirePolicy(checkpoint);
        var policyOf = checkpoint.Manifest.Policy;
        var outputs = ActionChoice.DistributionOf(description.Actions).Outputs;
        if (
            !Plays(policyOf.Kind, description.Actions)
            || policyOf.Masked != description.Masks
            || !Same(policyOf.Several, ActionDescriptions.SeveralOf(description.Actions))
            || !Same(policyOf.Numbers, ActionDescriptions.NumbersOf(description.Actions))
        )
        {
            throw new CheckpointException(
                $"{checkpoint.Source}: found a policy over {policyOf.ActionMeanings.Length} actions of kind {policyOf.Kind}{(policyOf.Masked ? " with a mask" : "")}, expected one over {description.Actions}{(description.Masks ? ", with a mask" : "")}, as '{configuration.Environment.Name}' takes."
            );
        }

        if (
            policyOf.ObservationLayout.Length != description.Observation.Size
            || policyOf.Network.ToNetwork().Outputs != outputs
        )
        {
            throw new CheckpointException(
                $"{checkpoint.Source}: found a policy from {policyOf.ObservationLayout.Length} observations to {policyOf.Network.ToNetwork().Outputs} outputs, expected {description.Observation.Size} and {outputs}, those of '{configuration.Environment.Name}'."
            );
        }

        return new Players(
            [
                .. checkpoint.Manifest.Seeds.Select(
                    (seed, member) =>
                        new Player(member, SeedOf(checkpoint, member), () => new TorchPolicy(checkpoint, member))
                ),
            ],
            configuration,
            checkpoint.Manifest.EnvironmentSteps,
            null
        );
    }

    /// <summary>Whether a policy of a kind acts in such a space; action values stand for one discrete action, too.</summary>
    private static bool Plays(PolicyKind kind, ActionSpace space) =>
        ActionDescriptions.KindOf(space) is var own
        && (kind == own || (kind == PolicyKind.Values && own == PolicyKind.Logits));

    private static bool Same<T>(IReadOnlyList<T>? found, IReadOnlyList<T>? expected) =>
        found is null || expected is null ? found is null && expected is null : found.SequenceEqual(expected);

    private static Players OfModel(EvaluateOptions options)
    {
        var provider = options.Provider == DeviceKind.Cuda ? ExecutionProvider.Cuda : ExecutionProvider.Cpu;
        var session = PolicySession.Load(options.Target, new InferenceOptions(provider));
        try
        {
            var metadata = session.MetadataEntries;
            var configuration = options.Reader.Read(
                metadata.Text(MetadataKeys.Configuration),
                $"{options.Target}: metadata '{MetadataKeys.Configuration}'"
            );
            RequireEnvironment(session, configuration, options.Target);
            return new Players(
                [
                    new Player(
                        (int)metadata.Number(MetadataKeys.Member, int.MaxValue),
                        metadata.Number(MetadataKeys.Seed).ToString(CultureInfo.InvariantCulture),
                        () => new OnnxPolicy(session)
                    ),
                ],
                configuration,
                metadata.Number(MetadataKeys.EnvironmentSteps),
                session
            );
        }
        catch (Exception)
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>Refuses a policy that sees or does other things than the environment shows and takes, or that cannot be drawn from.</summary>
    private static void RequireEnvironment(PolicySession session, RunConfiguration configuration, string file)
    {
        var name = configuration.Environment.Name;
        var description = ConfiguredEnvironment.Describe(configuration);
        if (session.Environment != name)
        {
            throw new OnnxFileException(
                $"{file}: expected a policy for the environment '{name}', which its configuration names, found one for '{session.Environment}'."
            );
        }

        var metadata = session.MetadataEntries;
        var names = description.Observation.Names;
        if (
            session.ObservationLayout.Count != description.Observation.Size
            || (names.Count > 0 && !session.ObservationLayout.SequenceEqual(names))
        )
        {
            throw metadata.Fault(
                MetadataKeys.InputLayout,
                $"{session.ObservationLayout.Count} names",
                $"the {description.Observation.Size} of '{name}', in its order"
            );
        }

        if (description.Actions is ActionSpace.Discrete one && !session.ActionMeanings.SequenceEqual(one.Names))
        {
            throw metadata.Fault(
                MetadataKeys.ActionMeanings,
                $"{session.ActionMeanings.Count} names",
                $"the {one.Names.Count} of '{name}', in its order"
            );
        }

        if (!Plays(session.Kind, description.Actions))
        {
            throw metadata.Fault(
                MetadataKeys.Kind,
                $"'{metadata.Text(MetadataKeys.Kind)}'",
                $"the kind of a policy whose actions are {description.Actions}, as '{name}' takes"
            );
        }

        if (ActionDescriptions.SeveralOf(description.Actions) is { } several && !session.Choices.SequenceEqual(several))
        {
            throw metadata.Fault(
                MetadataKeys.ActionChoices,
                $"{session.Choices.Count} actions with {session.ActionMeanings.Count} choices",
                $"those of '{name}', in its order"
            );
        }

        if (ActionDescriptions.NumbersOf(description.Actions) is { } numbers && !session.Numbers.SequenceEqual(numbers))
        {
            throw metadata.Fault(
                MetadataKeys.ActionBounds,
                string.Join("; ", session.Numbers.Select(n => $"{n.Name} in {n.Low} … {n.High}")),
                $"{description.Actions}, as '{name}' takes"
            );
        }

        if (session.TakesMask != description.Masks)
        {
            throw metadata.Fault(
                MetadataKeys.Masked,
                session.TakesMask ? "a policy that takes a mask" : "a policy that takes no mask",
                session.TakesMask ? $"one without, since '{name}' has none" : $"one with, since '{name}' has one"
            );
        }

        if (session.Kind != PolicyKind.Values && !session.HasProbabilities)
        {
            throw new OnnxFileException(
                session.Kind == PolicyKind.Gaussian
                    ? $"'{file}': outputs: found no '{PolicyExporter.Mean}' with '{PolicyExporter.Deviation}', expected both, from which actions are drawn."
                    : $"'{file}': outputs: found only '{PolicyExporter.Action}', expected '{PolicyExporter.Logits}' or '{PolicyExporter.Probabilities}', from which actions are drawn."
            );
        }
    }
}
