using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Configuration;

/// <summary>What becomes of a run when a number of a member is not finite.</summary>
public enum NotFiniteKind
{
    /// <summary>The run ends; the last good checkpoint is kept.</summary>
    Stop,

    /// <summary>The member is frozen with its last good parameters, and the others go on.</summary>
    Freeze,
}

/// <summary>What a run writes, and how often, and what ends it.</summary>
public sealed record RecordingSettings
{
    [Description(
        "A line of metrics after so much of each member, in the unit of environmentSteps, at the end of the meta-step that reaches it."
    )]
    [Range(1, 1e12)]
    public long MetricsEvery { get; init; } = 2000;

    [Description(
        "A checkpoint after so much of each member, in the unit of environmentSteps, at the end of the meta-step that reaches it."
    )]
    [Range(1, 1e12)]
    public long CheckpointEvery { get; init; } = 100_000;

    [Description(
        "Checkpoints that are kept beside the latest one: the last so many, as checkpoints/step-<steps>.safetensors. evaluate and export take such a file in the place of a run."
    )]
    [Range(0, 100_000)]
    public int KeepLast { get; init; }

    [Description(
        "Whether the checkpoint with the best score since the one before it is kept, as checkpoints/best.safetensors: by the return where there are episodes, by the first metric otherwise, a mean over members."
    )]
    public bool KeepBest { get; init; }

    [Description(
        "When a loss, a meta-gradient, a policy or a parameter of a member is not finite: \"stop\" ends the run, \"freeze\" keeps the member as it last was and lets the others go on; it is marked, has no more metrics, and is left out of means and of the choice of whom to export."
    )]
    public NotFiniteKind WhenNotFinite { get; init; } = NotFiniteKind.Stop;
}
