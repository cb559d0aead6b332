using System.Globalization;
using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Bmg.Export.Parity;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using Bmg.Training.Experiments;
using Bmg.Training.Progress;
using Bmg.Training.Runs;

namespace Bmg.Training.Evaluation;

/// <summary>What follows a finished run: the best member's policy as ONNX, checked against what was trained, and played.</summary>
public static class ExportAndPlay
{
    private const long PlaySteps = 10_000;
    private const int PlayEpisodes = 20;
    private const long MostSteps = 100_000;

    /// <summary>Exports and plays; see <see cref="FinishRun"/>.</summary>
    public static FinishOutcome Finish(
        Runs.RunDirectory run,
        RunConfiguration configuration,
        IReadOnlyList<double> finalRewardRate
    )
    {
        using var checkpoint = CheckpointFile.Read(run.Checkpoint);
        var member = Best(finalRewardRate);
        var policy = ModelFile.Write(
            PolicyExporter.Build(checkpoint, member),
            run.Policy,
            ExperimentKinds.Of(configuration).KnownInputs(configuration)
        );
        NetworkJudgement? judged;
        using (var session = ModelSession.Load(run.Policy))
        {
            judged = NetworkJudge.OfModel(configuration, session);
        }

        var (what, inputs, choices) = judged is null
            ? ("policy", "observations", "greedy actions")
            : ("network", "examples", "classes");
        var lines = new List<string>
        {
            string.Create(
                CultureInfo.InvariantCulture,
                $"Exported the {what} of {checkpoint.Manifest.NameOf(member)} and compared it with TorchSharp on {Figures.Count(policy.Observations)} {inputs}: largest difference {policy.MaxAbsDifference:G2}{(policy.Parity.HasActions ? $", {choices} that differ: {policy.Parity.ActionDisagreements}" : "")}."
            ),
        };
        string? metaNetwork = null;
        if (checkpoint.Manifest.MetaNetwork is not null)
        {
            var exported = ModelFile.Write(MetaNetworkExporter.Build(checkpoint, member), run.MetaNetwork);
            metaNetwork = run.MetaNetwork;
            lines.Add(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Exported its meta-network (context → {checkpoint.Manifest.MetaNetwork.OutputName}), compared on {Figures.Count(exported.Observations)} contexts: largest difference {exported.MaxAbsDifference:G2}."
                )
            );
        }

        if (judged is not null)
        {
            lines.Add($"Judged it in {judged.Engine}: {string.Join(", ", judged.Measurements.Select(Text))}.");
            return new FinishOutcome(run.Policy, metaNetwork, policy.MaxAbsDifference, lines);
        }

        using var played = new OnnxPolicy(PolicySession.Load(run.Policy));
        var (phases, last) = PolicyEvaluation.Phases(
            configuration,
            checkpoint.Manifest.EnvironmentSteps,
            configuration.EnvironmentSteps
        );
        // What plays from the start of a world that has changed since plays another problem than was learned last.
        var sinceChanged =
            phases.Count == 0
            && ConfiguredEnvironment.HasChanged(
                configuration,
                checkpoint.Manifest.EnvironmentSteps / configuration.Learner.Make(AgentKinds.Agent).Copies
            );
        var start = sinceChanged
            ? " from the start of its world, which has changed since (IPhasedEnvironment lets it play the last)"
            : "";
        var mode = new PlayMode(phases.Count > 0 ? last : null, Greedy: false);
        if (ConfiguredEnvironment.Describe(configuration).Ends)
        {
            var result = PolicyEvaluation.Play(played, configuration, mode, 0, MostSteps, PlayEpisodes);
            lines.Add(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Played it in {played.Engine} for {Figures.Count(result.Returns.Count)} episodes{start}: mean return {Figures.Number(result.MeanReturn)}."
                )
            );
        }
        else
        {
            var result = PolicyEvaluation.Play(played, configuration, mode, 0, PlaySteps);
            lines.Add(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Played it in {played.Engine} for {Figures.Count(PlaySteps)} steps{(phases.Count > 0 ? " of the world it learned last" : start)}: reward {result.RewardPerStep:F3} a step."
                )
            );
        }

        return new FinishOutcome(run.Policy, metaNetwork, policy.MaxAbsDifference, lines);
    }

    private static string Text(Measurement measured) => $"{measured.Label} {Figures.Number(measured.Value)}";

    /// <summary>The member that earns most; one that was frozen has no rate and is never the one.</summary>
    private static int Best(IReadOnlyList<double> rates)
    {
        var best = 0;
        for (var i = 1; i < rates.Count; i++)
        {
            best = rates[i] > rates[best] || double.IsNaN(rates[best]) ? i : best;
        }

        return best;
    }
}
