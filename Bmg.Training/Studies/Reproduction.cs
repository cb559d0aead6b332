using System.Globalization;
using Bmg.Training.Configuration;
using Bmg.Training.Progress;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>A row of the table: a cell and what there is of it.</summary>
/// <param name="Cell">The cell.</param>
/// <param name="Result">Its result; null where it was not run.</param>
/// <param name="Change">The first setting in which the result differs from the configuration of today; null where none does.</param>
public sealed record ReproductionRow(CellDescription Cell, CellResult? Result, string? Change = null);

/// <summary>A published table beside what was measured, as text and as CSV.</summary>
/// <param name="Study">The study.</param>
/// <param name="Rows">All cells, in order.</param>
public sealed record Reproduction(StudyDescription Study, IReadOnlyList<ReproductionRow> Rows)
{
    private const int ShownCommit = 7;

    /// <summary>Reads the results that there are.</summary>
    /// <param name="study">The study.</param>
    /// <param name="results">Directory of the results.</param>
    /// <param name="configurations">The configurations of today, of the cells where they are known.</param>
    /// <exception cref="UsageException">A file is no result.</exception>
    public static Reproduction Read(
        StudyDescription study,
        string results,
        IReadOnlyDictionary<string, RunConfiguration> configurations
    ) =>
        new(
            study,
            [
                .. study.Cells.Select(cell =>
                {
                    CellResult? result = CellResult.Read(results, cell.Id);
                    string? change =
                        result is not null && configurations.TryGetValue(cell.Id, out RunConfiguration? now)
                            ? SettingChanges.First(result.Configuration, now)
                            : null;
                    return new ReproductionRow(cell, result, change);
                }),
            ]
        );

    /// <summary>Whether a result is of runs as long as the published ones; only such are compared by their total.</summary>
    /// <remarks>The last meta-step may reach a little farther.</remarks>
    public bool IsFull(CellResult result) =>
        !IsShort(result) && result.Steps - Study.FullSteps <= Study.FullSteps / 1000;

    private bool IsShort(CellResult result) => result.Steps < Study.FullSteps;

    /// <summary>Whether its results are returns of episodes.</summary>
    public bool HasEpisodes => Rows.Any(row => row.Result?.HasEpisodes == true);

    /// <summary>Whether there is a published number to compare with.</summary>
    public bool HasPublished => Rows.Any(row => row.Cell.Published is not null);

    /// <summary>Total reward, or mean return, in the study's unit, mean and deviation over seeds.</summary>
    public Spread Total(CellResult result)
    {
        Spread total = Spread.Of(result.TotalReward);
        return new Spread(total.Mean / Study.UnitSize, total.Deviation / Study.UnitSize);
    }

    /// <summary>Measured less published mean, in published deviations; null where nothing was published or the run is short.</summary>
    public double? Difference(ReproductionRow row) =>
        row is { Result: { } result, Cell.Published: { } published } && IsFull(result)
            ? (Total(result).Mean - published.Mean) / published.Deviation
            : null;

    /// <summary>The rows as text, headings first.</summary>
    public IReadOnlyList<string[]> Cells()
    {
        List<string[]> rows =
        [
            [
                "cell",
                "published",
                "ours",
                "± 95 %",
                "difference",
                "steps × seeds",
                HasEpisodes ? "mean return (last tenth)" : "reward a step (last tenth)",
                "time",
                "commit",
            ],
        ];
        string[] compared = ["published", "difference"];
        int[] dropped = HasPublished ? [] : [.. compared.Select(name => Array.IndexOf(rows[0], name))];
        foreach (ReproductionRow row in Rows)
        {
            string published = row.Cell.Published is { } number ? Text(number.Mean, number.Deviation) : "–";
            if (row.Result is not { } result)
            {
                rows.Add([row.Cell.Id, published, "not run", "", "", "", "", "", ""]);
                continue;
            }
            Spread total = Total(result);
            Spread rate = Spread.Of(result.FinalRewardRate);
            bool full = IsFull(result);
            rows.Add([
                row.Cell.Id + (row.Change is null ? "" : " *"),
                published,
                full
                    ? Text(total.Mean, total.Deviation)
                    : $"{Short(total.Mean)} ({Short(total.Deviation)}){(result.HasEpisodes ? "" : $" = {Figures.Number(total.Mean * Study.UnitSize / result.Steps)} a step")}",
                Figures.Number(StudentInterval.HalfWidth(result.TotalReward) / Study.UnitSize),
                IsShort(result) ? "short"
                : !full ? "longer"
                : Difference(row) is { } difference ? difference.ToString("+0.0;-0.0;0.0", CultureInfo.InvariantCulture)
                : "–",
                $"{Figures.Count(result.Steps)} × {Seeds(result)}",
                $"{Figures.Number(rate.Mean)} ({Figures.Number(rate.Deviation)})",
                Figures.Time(TimeSpan.FromSeconds(result.Seconds)),
                result.Commit is { } commit ? commit[..Math.Min(ShownCommit, commit.Length)] : "unknown",
            ]);
        }
        return [.. rows.Select(row => row.Where((_, column) => !dropped.Contains(column)).ToArray())];
    }

    /// <summary>The table and the answers of the meta-networks, a line each.</summary>
    public IEnumerable<string> Lines()
    {
        yield return Study.Title.Length > 0 ? Study.Title : Study.Name;
        yield return "";
        foreach (string line in TextTable.Lines(Cells()))
        {
            yield return line;
        }
        yield return "";
        foreach (string note in Notes())
        {
            yield return note;
        }
        if (ProbeCells() is { Count: > 1 } probes)
        {
            yield return "";
            yield return "what the meta-networks answer to contexts, mean (deviation) over seeds:";
            foreach (string line in TextTable.Lines(probes))
            {
                yield return line;
            }
        }
    }

    /// <summary>What a reader of the table must know.</summary>
    public IEnumerable<string> Notes()
    {
        yield return !HasPublished
            ? $"ours: {Study.Unit}, mean (deviation over seeds). ± 95 %: half-width of the 95 % interval of our mean (Student)."
            : $"published, ours: {Study.Unit}, mean (deviation over seeds). ± 95 %: half-width of the 95 % interval of our mean (Student). difference: in published deviations. short, longer: fewer or more than {Figures.Count(Study.FullSteps)} steps, and no total to compare.";
        if (Study.Source.Length > 0)
        {
            yield return $"published in: {Study.Source}";
        }
        foreach (ReproductionRow row in Rows)
        {
            if (row.Result is { Frozen.Count: > 0 } result)
            {
                yield return $"{row.Cell.Id}: {Seeds(result)}, the others are left out: {string.Join("; ", result.Frozen)}";
            }
        }
        foreach (ReproductionRow row in Rows.Where(row => row.Change is not null))
        {
            yield return $"* {row.Cell.Id}: the result is of other settings than those of today: {row.Change}";
        }
    }

    /// <summary>The answers of the meta-networks as text, headings first; only those where there are none.</summary>
    public IReadOnlyList<string[]> ProbeCells()
    {
        List<string[]> rows = [];
        foreach (ReproductionRow row in Rows)
        {
            if (row.Result?.Probes is { } probes)
            {
                if (rows.Count == 0)
                {
                    rows.Add(["cell", .. probes.Select(probe => probe.Context)]);
                }
                rows.Add([
                    row.Cell.Id,
                    .. probes.Select(probe => $"{Figures.Number(probe.Mean)} ({Figures.Number(probe.Deviation)})"),
                ]);
            }
        }
        return rows;
    }

    /// <summary>The table as CSV, all digits there are; totals in the study's unit.</summary>
    public IEnumerable<string> Csv()
    {
        yield return TextTable.Csv([
            "cell",
            "label",
            "published_mean",
            "published_deviation",
            "mean",
            "deviation",
            "interval95",
            "difference",
            "short",
            "steps",
            "seeds",
            "reward_per_step",
            "final_rate",
            "final_rate_deviation",
            "seconds",
            "steps_per_second",
            "version",
            "commit",
            "config",
            "frozen",
        ]);
        foreach (ReproductionRow row in Rows)
        {
            CellResult? result = row.Result;
            Spread? total = result is null ? null : Total(result);
            Spread? rate = result is null ? null : Spread.Of(result.FinalRewardRate);
            yield return TextTable.Csv([
                row.Cell.Id,
                row.Cell.Label,
                TextTable.Csv(row.Cell.Published?.Mean),
                TextTable.Csv(row.Cell.Published?.Deviation),
                TextTable.Csv(total?.Mean),
                TextTable.Csv(total?.Deviation),
                TextTable.Csv(result is null ? null : StudentInterval.HalfWidth(result.TotalReward) / Study.UnitSize),
                TextTable.Csv(Difference(row)),
                result is null ? ""
                : IsShort(result) ? "yes"
                : "no",
                result is null ? "" : $"{result.Steps}",
                result is null ? "" : $"{result.Seeds.Count}",
                TextTable.Csv(total?.Mean * Study.UnitSize / result?.Steps),
                TextTable.Csv(rate?.Mean),
                TextTable.Csv(rate?.Deviation),
                TextTable.Csv(result?.Seconds),
                TextTable.Csv(result?.StepsPerSecond),
                result?.Version ?? "",
                result?.Commit ?? "",
                row.Cell.Config,
                result is null ? "" : $"{result.Frozen.Count}",
            ]);
        }
    }

    /// <summary>How many seeds a row is over, and of how many where some were frozen.</summary>
    private static string Seeds(CellResult result) =>
        result.Frozen.Count == 0
            ? $"{result.Seeds.Count}"
            : $"{result.Seeds.Count - result.Frozen.Count} of {result.Seeds.Count} seeds";

    private static string Text(double mean, double deviation) =>
        string.Create(CultureInfo.InvariantCulture, $"{mean:0.00} ({deviation:0.00})");

    private static string Short(double value) => value.ToString("0.####", CultureInfo.InvariantCulture);
}
