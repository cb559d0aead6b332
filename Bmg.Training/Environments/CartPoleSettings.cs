using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Environments;

/// <summary>Settings of CartPole.</summary>
public sealed record CartPoleSettings
{
    [Description("Steps after which an episode is truncated. 500 in Gymnasium's CartPole-v1, 200 in its v0.")]
    [Range(1, 1_000_000_000)]
    public int Steps { get; init; } = 500;
}
