using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Environments;

/// <summary>Settings of the pendulum.</summary>
public sealed record PendulumSettings
{
    [Description("Steps after which an episode is truncated; there is no other end. 200 in Gymnasium's Pendulum-v1.")]
    [Range(1, 1_000_000_000)]
    public int Steps { get; init; } = 200;

    [Description("Gravity, m/s². 10 in Gymnasium's Pendulum-v1.")]
    [Range(0.0, 1000.0)]
    public double Gravity { get; init; } = 10;
}
