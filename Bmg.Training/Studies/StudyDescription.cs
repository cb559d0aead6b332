using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Studies;

/// <summary>A published number: mean and deviation over seeds, in the study's unit.</summary>
public sealed record PublishedNumber
{
    [Description("Mean over seeds, in the study's unit.")]
    [Range(-1e300, 1e300)]
    public double Mean { get; init; }

    [Description("Deviation over seeds, in the study's unit.")]
    [Range(0, 1e300, MinimumIsExclusive = true)]
    [Required]
    public double Deviation { get; init; } = double.NaN;
}

/// <summary>One cell of a published table: a run configuration and the number that stands there.</summary>
public sealed record CellDescription
{
    [Description("Short name: of the run's directory and of the result's file.")]
    [RegularExpression(StudyDescription.IdPattern)]
    [Required]
    public string Id { get; init; } = "";

    [Description("What the cell is, for tables and plots.")]
    public string Label { get; init; } = "";

    [Description("Cells of the same group are drawn into one plot.")]
    public string Group { get; init; } = "";

    [Description("The run's configuration, relative to the study's file.")]
    [Required]
    public string Config { get; init; } = "";

    [Description("What was published; null where nothing was.")]
    public PublishedNumber? Published { get; init; }
}

/// <summary>A published table: what it is, and the runs that make it.</summary>
public sealed record StudyDescription
{
    /// <summary>What names of studies and cells may look like.</summary>
    public const string IdPattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)";

    [Description("Name of the study, as in \"two-colors\".")]
    [RegularExpression(IdPattern)]
    [Required]
    public string Name { get; init; } = "";

    [Description("Title of its table and report.")]
    public string Title { get; init; } = "";

    [Description("What it is about, in a sentence or two.")]
    public string Description { get; init; } = "";

    [Description("Where the published numbers stand.")]
    public string Source { get; init; } = "";

    [Description("Unit of the published numbers.")]
    public string Unit { get; init; } = "total reward";

    [Description("The unit's size in rewards: 1e6 where totals are published in millions.")]
    [Range(0, 1e300, MinimumIsExclusive = true)]
    public double UnitSize { get; init; } = 1;

    [Description("Length of the published runs. Unit: environment steps of each member.")]
    [Range(1, 1e12)]
    public long FullSteps { get; init; } = 10_000_000;

    [Description("Seeds of the published runs.")]
    [Range(1, 10000)]
    public int FullSeeds { get; init; } = 10;

    [Description("The cells of the table, in order.")]
    [Length(1, 1000)]
    [Required]
    public IReadOnlyList<CellDescription> Cells { get; init; } = [];
}
