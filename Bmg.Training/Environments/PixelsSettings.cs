using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Environments;

/// <summary>Settings of the pixel world.</summary>
public sealed record PixelsSettings
{
    [Description("Chance that what falls is a stone, to be let through, rather than a fruit, to be caught.")]
    [Range(0.0, 1.0)]
    public double Stones { get; init; } = 0.25;

    [Description(
        "Chance that what falls moves sideways, too, one column a row, and is turned back at the edges. With some it is harder: its trail tells its way."
    )]
    [Range(0.0, 1.0)]
    public double Drift { get; init; }

    [Description("Steps after which an episode is truncated.")]
    [Range(1, 1_000_000_000)]
    public int Steps { get; init; } = 500;
}
