using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Environments;

/// <summary>Which squares move when the agent steps on one.</summary>
public enum Respawn
{
    /// <summary>The collected square moves to a random free cell (Flennerhag et al. 2022).</summary>
    Square,

    /// <summary>The agent and both squares are placed anew (Luketina et al. 2022).</summary>
    All,
}

/// <summary>The two-colors grid world (BMG 5.1; CMG).</summary>
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
