using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Environments;

/// <summary>Grid worlds that take turns (CMG).</summary>
public sealed record SwitchingMdpsSettings : IEnvironmentMemory, IValidatableObject
{
    [Description("The next world takes its turn after this many environment steps. 100 000 in CMG.")]
    [Range(1, 1e12)]
    public long SwapPeriod { get; init; } = 100_000;

    [Description("N, worlds that take turns. 4 in CMG, so that they come back, or 1000, so that hardly one does.")]
    [Range(1, 1_000_000)]
    public int Worlds { get; init; } = 4;

    [Description("Cells along a side of the grid. CMG does not print it; 10 is ours.")]
    [Range(2, 1000)]
    public int Side { get; init; } = 10;

    [Description(
        "Walls tried in a world, one after the other; one that would cut off free cells is left out. 15 in CMG."
    )]
    [Range(0, 1000)]
    public int MostWalls { get; init; } = 15;

    (string Setting, double Bytes) IEnvironmentMemory.Memory =>
        (
            "environment.side",
            (double)Side * Side * (SwitchingMdpsEnvironment.ActionCount * sizeof(float) + sizeof(bool))
        );

    IEnumerable<ValidationResult> IValidatableObject.Validate(ValidationContext validationContext)
    {
        if (MostWalls > Side * Side - 2)
        {
            yield return new ValidationResult(
                $"found {MostWalls}, expected at most {Side * Side - 2}, two fewer than there are cells",
                [nameof(MostWalls)]
            );
        }
    }
}
