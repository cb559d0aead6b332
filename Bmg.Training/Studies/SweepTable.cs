using Bmg.Export;
using Bmg.Training.Progress;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>The results of a sweep as CSV and as a ranked table.</summary>
/// <param name="Grid">The grid.</param>
/// <param name="Points">Its points, or some of them, in the order of the grid.</param>
public sealed record SweepTable(Grid Grid, IReadOnlyList<SweepPoint> Points)
{
    /// <summary>A row a point.</summary>
    public IEnumerable<string> Csv()
    {
        yield return TextTable.Csv([
            "point",
            .. Grid.Axes.Select(axis => axis.Key),
            "seeds",
            "steps",
            "mean_total",
            "deviation",
            "interval95",
            "final_rate",
            "seconds",
            "commit",
            "problem",
            "frozen",
        ]);
        foreach (SweepPoint point in Points)
        {
            Spread? total = point.Problem is null ? Spread.Of(point.TotalReward) : null;
            yield return TextTable.Csv([
                Grid.Id(point.Index),
                .. Grid.At(point.Index).Values,
                $"{point.Seeds}",
                $"{point.Steps}",
                TextTable.Csv(total?.Mean),
                TextTable.Csv(total?.Deviation),
                TextTable.Csv(StudentInterval.HalfWidth(point.TotalReward)),
                TextTable.Csv(total is null ? null : Spread.Of(point.FinalRewardRate).Mean),
                TextTable.Csv(point.Seconds),
                point.Commit ?? "",
                point.Problem ?? "",
                $"{point.Frozen.Count}",
            ]);
        }
    }

    /// <summary>Best mean total first; points without numbers last.</summary>
    public IEnumerable<string> Ranked()
    {
        FirstMetric first = FirstMetric.Of(Points.FirstOrDefault(point => point.Problem is null)?.Metric);
        List<string[]> rows =
        [
            [
                "rank",
                "point",
                .. Grid.Axes.Select(axis => axis.Key),
                first.TotalLabel,
                "± 95 %",
                "deviation",
                $"{first.RateLabel} (last tenth)",
                "seeds",
                "steps",
            ],
        ];
        IOrderedEnumerable<SweepPoint> ranked = Points
            .Where(point => point.Problem is null)
            .OrderByDescending(point => Spread.Of(point.TotalReward).Mean);
        foreach (SweepPoint point in ranked)
        {
            double[] totals = [.. point.TotalReward.Select(total => first.Value(total, point.Steps))];
            Spread total = Spread.Of(totals);
            rows.Add([
                $"{rows.Count}",
                Grid.Id(point.Index),
                .. Grid.At(point.Index).Values,
                Figures.Number(total.Mean),
                Figures.Number(StudentInterval.HalfWidth(totals)),
                Figures.Number(total.Deviation),
                Figures.Number(Spread.Of(point.FinalRewardRate).Mean),
                point.Frozen.Count == 0 ? $"{point.Seeds}" : $"{point.Seeds - point.Frozen.Count} of {point.Seeds}",
                Figures.Count(point.Steps),
            ]);
        }
        foreach (SweepPoint point in Points.Where(point => point.Problem is not null))
        {
            rows.Add([
                "–",
                Grid.Id(point.Index),
                .. Grid.At(point.Index).Values,
                "failed",
                "",
                "",
                "",
                $"{point.Seeds}",
                Figures.Count(point.Steps),
            ]);
        }
        foreach (string line in TextTable.Lines(rows))
        {
            yield return line;
        }
        foreach (SweepPoint point in Points.Where(point => point.Frozen.Count > 0))
        {
            yield return $"{Grid.Id(point.Index)}: {point.Seeds - point.Frozen.Count} of {point.Seeds} seeds, the others are left out: {string.Join("; ", point.Frozen)}";
        }
        foreach (SweepPoint point in Points.Where(point => point.Problem is not null))
        {
            yield return $"{Grid.Id(point.Index)} failed: {Printable.Line(point.Problem!)}";
        }
    }
}
