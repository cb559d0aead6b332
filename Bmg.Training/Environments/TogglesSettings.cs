using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Environments;

/// <summary>Settings of the toggles.</summary>
public sealed record TogglesSettings
{
    [Description("Lamps of each of the two hands.")]
    [Range(1, 1000)]
    public int Lamps { get; init; } = 3;

    [Description("Steps after which an episode is truncated.")]
    [Range(1, 1_000_000_000)]
    public int Steps { get; init; } = 20;
}
