using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Configuration;

/// <summary>What a run writes, and how often.</summary>
public sealed record RecordingSettings
{
    [Description(
        "A line of metrics after this many environment steps of each member, at the end of the meta-step that reaches it."
    )]
    [Range(1, 1e12)]
    public long MetricsEvery { get; init; } = 2000;

    [Description(
        "A checkpoint after this many environment steps of each member, at the end of the meta-step that reaches it."
    )]
    [Range(1, 1e12)]
    public long CheckpointEvery { get; init; } = 100_000;
}
