using Bmg.Training.Agents;

namespace Bmg.Training.Studies;

/// <summary>How far a cell is.</summary>
/// <param name="Id">Name of the cell.</param>
/// <param name="Agent">Cells of the same agent take about as long a step.</param>
/// <param name="MemberSteps">Environment steps of all members that are to be done.</param>
/// <param name="Done">Of these, done.</param>
/// <param name="SessionSteps">Environment steps of all members that this process has done.</param>
/// <param name="SessionSeconds">Training time that they took.</param>
public sealed record CellProgress(
    string Id,
    string Agent,
    long MemberSteps,
    long Done,
    long SessionSteps = 0,
    double SessionSeconds = 0
)
{
    /// <summary>Seconds a step of one member, as measured in this session; null where it was not.</summary>
    public double? SecondsAStep => SessionSteps > 0 && SessionSeconds > 0 ? SessionSeconds / SessionSteps : null;
}

/// <summary>How long a study still takes.</summary>
public static class StudyEstimate
{
    /// <summary>
    /// Time left, at the speed that this session measured: of the cell itself, else the mean over cells of the same agent, else the mean over
    /// all cells. Null while nothing is measured.
    /// </summary>
    public static TimeSpan? Left(IReadOnlyList<CellProgress> cells)
    {
        CellProgress[] measured = [.. cells.Where(cell => cell.SecondsAStep is not null)];
        if (measured.Length == 0)
        {
            return null;
        }
        double seconds = 0;
        foreach (CellProgress cell in cells)
        {
            CellProgress[] alike = [.. measured.Where(other => other.Agent == cell.Agent)];
            double pace =
                cell.SecondsAStep ?? (alike.Length > 0 ? alike : measured).Average(other => other.SecondsAStep!.Value);
            seconds += Math.Max(0, cell.MemberSteps - cell.Done) * pace;
        }
        return TimeSpan.FromSeconds(Math.Min(1e9, seconds));
    }
}
