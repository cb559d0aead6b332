using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Environments;

/// <summary>Settings of two-colors.</summary>
public sealed record TwoColorsSettings
{
    [Description(
        "What is placed anew when a coloured square is collected: \"square\", that square alone (BMG 5.1); \"all\", the agent and both squares (CMG)."
    )]
    public Respawn Respawn { get; init; } = Respawn.Square;

    [Description("The two squares' rewards swap after this many environment steps. 100 000 in both papers.")]
    [Range(1, 1e12)]
    public long SwapPeriod { get; init; } = 100_000;
}
