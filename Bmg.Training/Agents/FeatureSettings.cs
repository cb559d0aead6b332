using System.ComponentModel;

namespace Bmg.Training.Agents;

/// <summary>A feature that is the mean of a rollout's numbers, and perhaps their deviation.</summary>
public sealed record MomentsFeatureSettings
{
    [Description("Whether the deviation over the rollout's steps is a second number.")]
    public bool Deviation { get; init; } = true;
}
