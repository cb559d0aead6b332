using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Environments;

namespace Bmg.Training.Configuration;

/// <summary>The grid worlds: two-colors, and switching MDPs.</summary>
public sealed record EnvironmentSettings
{
    [Description(
        "Two-colors: what is placed anew when a coloured square is collected: \"square\", that square alone (BMG 5.1); \"all\", the agent and both squares (CMG)."
    )]
    public Respawn Respawn { get; init; } = Respawn.Square;

    [Description(
        "Two-colors: the two squares' rewards swap after this many environment steps; switching MDPs: the next world takes its turn. 100 000 in both papers."
    )]
    [Range(1, 1e12)]
    public long SwapPeriod { get; init; } = 100_000;

    [Description(
        "Switching MDPs: N, worlds that take turns. 4 in CMG, so that they come back, or 1000, so that hardly one does."
    )]
    [Range(1, 1_000_000)]
    public int Worlds { get; init; } = 4;

    [Description("Switching MDPs: cells along a side of the grid. CMG does not print it; 10 is ours.")]
    [Range(2, 1000)]
    public int Side { get; init; } = 10;

    [Description(
        "Switching MDPs: walls tried in a world, one after the other; one that would cut off free cells is left out. 15 in CMG."
    )]
    [Range(0, 1000)]
    public int MostWalls { get; init; } = 15;
}
