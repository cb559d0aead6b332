using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Examples.CartPole;

/// <summary>Settings of CartPole with noisy sensors.</summary>
public sealed record NoisyCartPoleSettings
{
    [Description("Steps after which an episode is truncated.")]
    [Range(1, 1_000_000)]
    public int Steps { get; init; } = 500;

    [Description("Standard deviation of the noise on each number of the observation, in that number's unit.")]
    [Range(0, 10)]
    public double Noise { get; init; } = 0.01;
}
