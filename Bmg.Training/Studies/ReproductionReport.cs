using System.Globalization;
using System.Text;
using Bmg.Training.Reporting;

namespace Bmg.Training.Studies;

/// <summary>A reproduction in one page that needs nothing else: the table, learning curves, what happens around swaps, and probes.</summary>
public static class ReproductionReport
{
    /// <summary>The page.</summary>
    public static string Page(Reproduction reproduction)
    {
        StudyDescription study = reproduction.Study;
        string title = study.Title.Length > 0 ? study.Title : study.Name;
        StringBuilder page = ReportPage.Open(title, E(title));
        page.Append(CultureInfo.InvariantCulture, $"<p>{E(study.Description)}</p>\n");
        ReportPage.Table(page, reproduction.Cells());
        foreach (string note in reproduction.Notes())
        {
            page.Append(CultureInfo.InvariantCulture, $"<p>{E(note)}</p>\n");
        }
        foreach (IGrouping<string, ReproductionRow> group in reproduction.Rows.GroupBy(row => row.Cell.Group))
        {
            Group(page, group.Key, [.. group]);
        }
        if (reproduction.ProbeCells() is { Count: > 1 } probes)
        {
            page.Append("<h2>Answers of the meta-networks to contexts, mean (deviation) over seeds</h2>\n");
            ReportPage.Table(page, probes);
        }
        return page.Append("</body>\n</html>\n").ToString();
    }

    private static void Group(StringBuilder page, string name, ReproductionRow[] rows)
    {
        // A cell keeps its colour through all plots.
        (CellResult Result, int Colour)[] results =
        [
            .. rows.Select((row, i) => (row.Result, i))
                .Where(row => row.Result is not null)
                .Select(row => (row.Result!, row.i)),
        ];
        if (results.Length == 0)
        {
            return;
        }
        page.Append(CultureInfo.InvariantCulture, $"<h2>{E(name.Length > 0 ? name : "Learning curves")}</h2>\n");
        string exploration = string.Join(
            ", ",
            results.Select(cell => cell.Result.Exploration).OfType<string>().Distinct().Select(Label)
        );
        double end = results.Max(cell => (double)cell.Result.Steps);
        const string steps = "environment steps of each seed";
        const string band = "mean and 95 % interval over seeds";
        bool episodes = results.Any(cell => cell.Result.HasEpisodes);
        page.Append(
            LinesChart.Draw(
                $"{(episodes ? "Return of an episode" : "Reward a step")}, {band}",
                episodes ? "return" : "reward a step",
                steps,
                Lines(r => r.Learning, c => c.Reward),
                0,
                end
            )
        );
        page.Append(
            LinesChart.Draw(
                $"Exploration, {band}",
                exploration,
                steps,
                Lines(r => r.Learning, c => c.Exploration),
                0,
                end
            )
        );

        Curves[] around = [.. results.Select(cell => cell.Result.AroundSwaps).OfType<Curves>()];
        if (around.Length > 0)
        {
            (double first, double last) = (around.Min(c => c.Steps[0]), around.Max(c => c.Steps[^1]));
            const string after = "environment steps after a swap";
            string which = $"around the swaps of the last half, {band}";
            page.Append(
                LinesChart.Draw(
                    $"Reward a step {which}",
                    "reward a step",
                    after,
                    Lines(r => r.AroundSwaps, c => c.Reward),
                    first,
                    last,
                    marks: [0]
                )
            );
            page.Append(
                LinesChart.Draw(
                    $"Exploration {which}",
                    exploration,
                    after,
                    Lines(r => r.AroundSwaps, c => c.Exploration),
                    first,
                    last,
                    marks: [0]
                )
            );
        }

        ChartLine[] probes =
        [
            .. results
                .Where(cell => cell.Result.Probes is not null)
                .Select(cell => new ChartLine(
                    Name(cell.Result),
                    [.. cell.Result.Probes!.Select((_, i) => (double)i)],
                    new Curve(
                        [.. cell.Result.Probes!.Select(probe => probe.Mean)],
                        [.. cell.Result.Probes!.Select(probe => probe.Deviation)]
                    ),
                    cell.Colour
                )),
        ];
        if (probes.Length > 0)
        {
            string[] contexts =
            [
                .. results.First(cell => cell.Result.Probes is not null).Result.Probes!.Select(p => p.Context),
            ];
            page.Append(
                LinesChart.Draw(
                    "The learned function of the context, mean and deviation over seeds",
                    exploration,
                    "context",
                    probes,
                    -0.5,
                    contexts.Length - 0.5,
                    contexts
                )
            );
        }

        ChartLine[] Lines(Func<CellResult, Curves?> curves, Func<Curves, Curve?> curve) =>
            [
                .. results
                    .Where(cell => curves(cell.Result) is { } all && curve(all) is not null)
                    .Select(cell => new ChartLine(
                        Name(cell.Result),
                        curves(cell.Result)!.Steps,
                        curve(curves(cell.Result)!)!,
                        cell.Colour
                    )),
            ];
    }

    private static string Name(CellResult result) =>
        result.Label.Length > 0 ? $"{result.Cell}: {result.Label}" : result.Cell;

    private static string Label(string metric) =>
        metric switch
        {
            "entropyWeight" => "entropy weight",
            "epsilon" => "ε",
            _ => metric,
        };

    private static string E(string text) => ReportPage.E(text);
}
