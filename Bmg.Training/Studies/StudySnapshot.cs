using Bmg.Training.Progress;

namespace Bmg.Training.Studies;

/// <summary>A study at one moment: immutable, so that any thread may show it.</summary>
/// <param name="Position">Number of the cell under way, from 1.</param>
/// <param name="Cells">All cells, in order.</param>
/// <param name="Current">The run under way; null between runs.</param>
public sealed record StudySnapshot(int Position, IReadOnlyList<CellProgress> Cells, RunSnapshot? Current)
{
    /// <summary>Environment steps of all members of all cells that are done.</summary>
    public long DoneSteps => Cells.Sum(cell => Math.Min(cell.Done, cell.MemberSteps));

    /// <summary>Environment steps of all members of all cells.</summary>
    public long AllSteps => Cells.Sum(cell => cell.MemberSteps);

    /// <summary>Share that is done, 0 to 1.</summary>
    public double Done => AllSteps == 0 ? 0 : DoneSteps / (double)AllSteps;

    /// <summary>"cell 2 of 10, ac-mg".</summary>
    public string Cell => $"cell {Position} of {Cells.Count}, {Cells[Position - 1].Id}";

    /// <summary>The time left for all cells; "estimating" before anything is measured.</summary>
    public string Left => StudyEstimate.Left(Cells) is { } left ? $"{Figures.Time(left)} left" : "estimating";
}
