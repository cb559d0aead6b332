using System.Globalization;

namespace Bmg.Training.Theory;

/// <summary>The numbers of a summary, for people.</summary>
internal static class TheoryTable
{
    private const int NameWidth = 22;
    private const int NumberWidth = 10;

    /// <summary>All tables of what is measured, line by line.</summary>
    public static IEnumerable<string> Lines(TheorySummary summary)
    {
        foreach (StudyResult study in summary.Studies.Where(study => study.Cells.Count > 0))
        {
            TheoryConfiguration configuration = study.Configuration;
            IGrouping<string, TheoryCell>[] methods = [.. study.Cells.GroupBy(cell => cell.Method)];
            string of = $"a fraction of f at the start, geometric mean of {configuration.Seeds} seeds";
            yield return $"{configuration.Name}: f after {configuration.Horizons[^1]} steps under the rates found, {of}";
            yield return Row("κ", configuration.ConditionNumbers.Select(c => Number(c)));
            foreach (IGrouping<string, TheoryCell> method in methods)
            {
                yield return Row(method.Key, method.Select(cell => Number(cell.Loss[^1])));
            }
            yield return "";
            yield return $"{configuration.Name}: the same at κ = {Number(study.ShownCondition)} by steps";
            yield return Row("steps", configuration.Horizons.Select(h => Number(h)));
            foreach (IGrouping<string, TheoryCell> method in methods)
            {
                yield return Row(
                    method.Key,
                    method.Single(cell => cell.ConditionNumber == study.ShownCondition).Loss.Select(Number)
                );
            }
            yield return "";
            yield return $"{configuration.Name}: rates found, mean over seeds{(configuration.Rate.Kind == RateKind.One ? "" : "; first and last coordinate")}";
            yield return Row("κ", configuration.ConditionNumbers.Select(c => Number(c)));
            foreach (IGrouping<string, TheoryCell> method in methods)
            {
                yield return Row(method.Key, method.Select(cell => Mean(cell, 0)));
                if (configuration.Rate.Kind == RateKind.PerCoordinate)
                {
                    yield return Row("", method.Select(cell => Mean(cell, cell.Rates[0].Length - 1)));
                }
            }
            yield return "";
        }
        if (summary.LocalGain.Count == 0)
        {
            yield break;
        }
        yield return "one meta-step: Δf/β as law 5 predicts it, and measured";
        double[] shown = [.. TheorySummary.Betas.Where((_, i) => i % 3 == 0)];
        yield return Row("β", shown.Select(Number).Prepend("predicted"));
        foreach (IGrouping<GainForm, GainPoint> form in summary.LocalGain.GroupBy(point => point.Form))
        {
            yield return Row(
                NameOf(form.Key),
                form.Where(point => shown.Contains(point.Beta))
                    .Select(point => Number(point.Measured / point.Beta))
                    .Prepend(Number(form.First().Predicted / form.First().Beta))
            );
        }
    }

    /// <summary>A form's name.</summary>
    public static string NameOf(GainForm form) =>
        form switch
        {
            GainForm.KlPlain => "KL, ξ = x − αg",
            GainForm.L2Plain => "L2, ξ = x − αg",
            GainForm.KlNatural => "KL, ξ = x − αH⁻¹g",
            GainForm.KlThroughJacobian => "KL, ξ = x − αJJᵀg",
            _ => throw new NotSupportedException($"form '{form}'"),
        };

    private static string Mean(TheoryCell cell, int rate) => Number(cell.Rates.Average(rates => rates[rate]));

    private static string Row(string name, IEnumerable<string> numbers) =>
        name.PadRight(NameWidth) + string.Concat(numbers.Select(number => number.PadLeft(NumberWidth)));

    private static string Number(double value) =>
        value == 0 || (Math.Abs(value) >= 0.001 && Math.Abs(value) < 1e6)
            ? value.ToString("G4", CultureInfo.InvariantCulture)
            : value.ToString("0.0e+0", CultureInfo.InvariantCulture);
}
