using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Evaluation;

/// <summary>How a policy is played.</summary>
/// <param name="Phase">The problem of several that take turns, by index; null where there is one.</param>
/// <param name="Greedy">Whether it always takes the likeliest action, rather than drawing from the policy as in training.</param>
public sealed record PlayMode(int? Phase, bool Greedy);

/// <summary>What a policy earned.</summary>
/// <param name="RewardPerStep">Mean reward of a step.</param>
/// <param name="Returns">Sum of rewards of each episode that ended, in order of ends; none in an environment without episodes.</param>
public sealed record PlayResult(double RewardPerStep, IReadOnlyList<double> Returns)
{
    /// <summary>Mean return of the episodes; NaN of none.</summary>
    public double MeanReturn => Returns.Count > 0 ? Returns.Average() : double.NaN;
}

/// <summary>Plays a policy with its parameters frozen in the environment that a configuration names, in fresh streams side by side.</summary>
public static class PolicyEvaluation
{
    private const int Side = 16;

    /// <summary>The ways in which a policy can be played in an environment, drawing first.</summary>
    public static IReadOnlyList<PlayMode> Modes(RunConfiguration configuration) =>
        ConfiguredEnvironment.Phased(configuration) is { } phased
            ?
            [
                .. from phase in Enumerable.Range(0, phased.Phases.Count)
                from greedy in new[] { false, true }
                select new PlayMode(phase, greedy),
            ]
            : [new PlayMode(null, false), new PlayMode(null, true)];

    /// <summary>Names of an environment's problems that take turns, and which of them was learned last; none where there is one alone.</summary>
    /// <param name="configuration">Names the environment.</param>
    /// <param name="environmentSteps">Steps that were done.</param>
    /// <param name="configured">Steps that were asked for: a run's last meta-step may reach beyond them, a few steps into a problem that is not
    /// learned by then, so that the end that was asked for counts where it is the earlier one.</param>
    public static (IReadOnlyList<string> Names, int Last) Phases(
        RunConfiguration configuration,
        long environmentSteps,
        long configured
    ) =>
        ConfiguredEnvironment.Phased(configuration) is { } phased
            // A stream has a share of its member's steps.
            ? (
                phased.Phases,
                phased.PhaseAt(
                    Math.Max(Math.Min(environmentSteps, configured) - 1, 0)
                        / configuration.Learner.Make(AgentKinds.Agent).Copies
                )
            )
            : ([], 0);

    /// <summary>Plays.</summary>
    /// <param name="policy">What to play.</param>
    /// <param name="configuration">Names the environment.</param>
    /// <param name="mode">How.</param>
    /// <param name="seed">Of environments and actions.</param>
    /// <param name="steps">Environment steps; rounded up to a multiple of 16, for that many streams side by side. Where episodes are asked
    /// for, the most there may be.</param>
    /// <param name="episodes">Episodes to play to their ends; null to play steps.</param>
    /// <param name="watch">Shown the first stream's text after each of its steps; null for nobody.</param>
    /// <param name="stop">Ends the play early, with an OperationCanceledException.</param>
    public static PlayResult Play(
        IPlayablePolicy policy,
        RunConfiguration configuration,
        PlayMode mode,
        long seed,
        long steps,
        int? episodes = null,
        Action<string>? watch = null,
        CancellationToken stop = default
    )
    {
        var side = watch is null ? Math.Min(Side, episodes ?? Side) : 1;
        var seeds = Seed.Population(seed, side);
        var worlds = Array.ConvertAll(seeds, s => Make(configuration, mode, s));
        try
        {
            return Play(policy, worlds, seeds, mode, steps, episodes, watch, stop);
        }
        finally
        {
            Array.ForEach(worlds, world => world.Release());
        }
    }

    private static PlayResult Play(
        IPlayablePolicy policy,
        EnvironmentGuard[] worlds,
        Seed[] seeds,
        PlayMode mode,
        long steps,
        int? episodes,
        Action<string>? watch,
        CancellationToken stop
    )
    {
        var side = worlds.Length;
        var random = Array.ConvertAll(seeds, s => s.For("environment").Generator());
        var draws = Array.ConvertAll(seeds, s => s.For("evaluation").Generator());
        var description = worlds[0].Description;
        var size = description.Observation.Size;
        var isBytes = description.Observation.Kind == ObservationKind.Bytes;
        var choice = new ActionChoice(description, ActionChoice.DistributionOf(description.Actions));
        var outputs = ActionChoice.DistributionOf(description.Actions).Outputs;
        var observations = new float[side * size];
        var seen = new float[side * size];
        var raw = new float[side * outputs];
        var masked = choice.Allowed.Length;
        var allowed = new bool[side * masked];
        var sums = new double[side];
        // Of each stream so many episodes, so that short ones do not count for more than long ones.
        var left = Enumerable
            .Range(0, side)
            .Select(i => (episodes ?? 0) / side + (i < (episodes ?? 0) % side ? 1 : 0))
            .ToArray();
        var returns = new List<double>();
        for (var i = 0; i < side; i++)
        {
            worlds[i].Reset(random[i], observations.AsSpan(i * size, size));
        }

        var rounds = (steps + side - 1) / side;
        double sum = 0;
        long played = 0;
        for (long t = 0; t < rounds && (episodes is null || left.Any(n => n > 0)); t++)
        {
            stop.ThrowIfCancellationRequested();
            for (var i = 0; i < seen.Length; i++)
            {
                seen[i] = isBytes ? observations[i] * (1f / 255) : observations[i];
            }

            for (var i = 0; i < allowed.Length; i += masked)
            {
                worlds[i / masked].Mask(allowed.AsSpan(i, masked));
            }

            policy.Outputs(seen, allowed, side, raw);
            for (var i = 0; i < side; i++)
            {
                if (episodes is not null && left[i] == 0)
                {
                    continue;
                }

                allowed.AsSpan(i * masked, masked).CopyTo(choice.Allowed);
                choice.Choose(raw.AsSpan(i * outputs, outputs), mode.Greedy ? null : draws[i]);
                var observation = observations.AsSpan(i * size, size);
                var result = worlds[i].Step(random[i], choice.Action, observation);
                sum += result.Reward;
                sums[i] += result.Reward;
                played++;
                if (i == 0)
                {
                    watch?.Invoke(worlds[i].Render());
                }

                if (result.Ended)
                {
                    returns.Add(sums[i]);
                    sums[i] = 0;
                    left[i]--;
                    worlds[i].Reset(random[i], observation);
                }
            }
        }

        return new PlayResult(sum / played, returns);
    }

    private static EnvironmentGuard Make(RunConfiguration configuration, PlayMode mode, Seed seed) =>
        new(
            ConfiguredEnvironment.Create(configuration, seed, mode.Phase),
            configuration.Environment.Name,
            "evaluation"
        );
}
