using Bmg.Training.Configuration;
using Bmg.Training.Environments;

namespace Bmg.Training.Evaluation;

/// <summary>Mean reward an environment step that a policy earns, with its parameters frozen, in each of the two worlds.</summary>
/// <param name="BlueSampled">Blue worth +1, actions drawn from the policy, as in training.</param>
/// <param name="BlueGreedy">Blue worth +1, always the likeliest action.</param>
/// <param name="RedSampled">Red worth +1, actions drawn.</param>
/// <param name="RedGreedy">Red worth +1, likeliest action.</param>
public sealed record EvaluationResult(double BlueSampled, double BlueGreedy, double RedSampled, double RedGreedy);

/// <summary>Plays a frozen policy in two-colors. It cannot relearn, so it earns in the world it learned last and loses in the other.</summary>
public static class PolicyEvaluation
{
    private const int Worlds = 16;

    /// <summary>Plays the policy in both worlds, drawing actions and greedily.</summary>
    /// <param name="policy">What to play.</param>
    /// <param name="respawn">Which squares move when one is collected.</param>
    /// <param name="seed">Of worlds and actions.</param>
    /// <param name="steps">Environment steps of each of the four plays; rounded up to a multiple of 16, for that many worlds side by side.</param>
    public static EvaluationResult Evaluate(IPlayablePolicy policy, Respawn respawn, long seed, long steps)
    {
        double Mean(bool blueIsGood, bool greedy) => Play(policy, respawn, seed, steps, blueIsGood, greedy);
        return new EvaluationResult(Mean(true, false), Mean(true, true), Mean(false, false), Mean(false, true));
    }

    /// <summary>
    /// Whether blue was worth +1 in the world that was learned last. A run's last meta-step may reach beyond its configured length, a few
    /// steps into a world that is not learned by then, so the configured end counts where it is the earlier one.
    /// </summary>
    public static bool LastWorldWasBlue(long environmentSteps, RunConfiguration configuration) =>
        Math.Max(Math.Min(environmentSteps, configuration.EnvironmentSteps) - 1, 0)
            / configuration.Environment.As<TwoColorsSettings>().SwapPeriod
            % 2
        == 0;

    private static double Play(
        IPlayablePolicy policy,
        Respawn respawn,
        long seed,
        long steps,
        bool blueIsGood,
        bool greedy
    )
    {
        var seeds = Seed.Population(seed, Worlds);
        // A period that no play outlasts keeps the world as it is; starting one period in makes red the good color.
        var world = new TwoColors(seeds, respawn, long.MaxValue / 4);
        var actions = Array.ConvertAll(seeds, s => s.For("evaluation").Generator());
        for (var i = 0; !blueIsGood && i < Worlds; i++)
        {
            world.SetState(i, world.GetState(i) with { Steps = long.MaxValue / 4 });
        }

        var observations = new float[Worlds * TwoColors.ObservationSize];
        var probabilities = new float[Worlds * TwoColors.ActionCount];
        var rounds = (steps + Worlds - 1) / Worlds;
        double sum = 0;
        for (long t = 0; t < rounds; t++)
        {
            for (var i = 0; i < Worlds; i++)
            {
                world.Observe(i, observations.AsSpan(i * TwoColors.ObservationSize, TwoColors.ObservationSize));
            }

            policy.Probabilities(observations, Worlds, probabilities);
            for (var i = 0; i < Worlds; i++)
            {
                ReadOnlySpan<float> row = probabilities.AsSpan(i * TwoColors.ActionCount, TwoColors.ActionCount);
                var action = greedy ? ArgMax(row) : Categorical.sample(row, actions[i].NextDouble());
                sum += world.Act(i, action);
            }
        }

        return sum / (rounds * Worlds);
    }

    private static int ArgMax(ReadOnlySpan<float> row)
    {
        var best = 0;
        for (var i = 1; i < row.Length; i++)
        {
            best = row[i] > row[best] ? i : best;
        }

        return best;
    }
}
