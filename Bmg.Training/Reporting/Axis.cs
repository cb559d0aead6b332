using System.Globalization;

namespace Bmg.Training.Reporting;

/// <summary>An axis: what it spans, whether by ratio, and where its ticks are.</summary>
/// <param name="From">Value at its start.</param>
/// <param name="To">Value at its end.</param>
/// <param name="Logarithmic">Equal distances are equal ratios.</param>
/// <param name="Ticks">Values with a label.</param>
/// <param name="Scale">Labels show values divided by this.</param>
public sealed record Axis(double From, double To, bool Logarithmic, IReadOnlyList<double> Ticks, double Scale = 1)
{
    /// <summary>A linear axis that spans exactly from one value to another, with ticks at round numbers.</summary>
    public static Axis Exact(double from, double to, int ticks, double scale = 1)
    {
        to = to > from ? to : from + 1;
        double step = RoundStep((to - from) / scale / ticks) * scale;
        int first = (int)Math.Ceiling((from / step) - 1e-9);
        int last = (int)Math.Floor((to / step) + 1e-9);
        return new Axis(from, to, false, [.. Enumerable.Range(first, last - first + 1).Select(i => i * step)], scale);
    }

    /// <summary>An axis for values of all kinds: linear, or logarithmic where positive values span decades; ends are round.</summary>
    /// <param name="line">Values that matter most: they decide between linear and logarithmic.</param>
    /// <param name="all">All values to be seen.</param>
    /// <param name="ticks">About how many ticks.</param>
    public static Axis Around(IEnumerable<double> line, IEnumerable<double> all, int ticks)
    {
        double[] sorted = [.. line.Where(double.IsFinite).Order()];
        double[] seen = [.. all.Where(double.IsFinite), .. sorted];
        if (seen.Length == 0)
        {
            return Exact(0, 1, ticks);
        }

        (double low, double high) = (seen.Min(), seen.Max());
        const double decadesApart = 50;
        if (
            low > 0
            && sorted[(int)(0.95 * (sorted.Length - 1))] > decadesApart * sorted[(int)(0.05 * (sorted.Length - 1))]
        )
        {
            int bottom = (int)Math.Floor(Math.Log10(low));
            int top = (int)Math.Ceiling(Math.Log10(high));
            int every = Math.Max(1, (int)Math.Ceiling((top - bottom) / (double)ticks));
            IEnumerable<double> decades = Enumerable
                .Range(bottom, top - bottom + 1)
                .Where(k => (k - bottom) % every == 0)
                .Select(k => Math.Pow(10, k));
            return new Axis(Math.Pow(10, bottom), Math.Pow(10, top), true, [.. decades]);
        }

        double margin = high > low ? 0 : Math.Max(1e-9, Math.Abs(high) * 0.1);
        double step = RoundStep((high - low + (2 * margin)) / ticks);
        return Exact(Math.Floor((low - margin) / step) * step, Math.Ceiling((high + margin) / step) * step, ticks);
    }

    /// <summary>Where a value lies: 0 at the start, 1 at the end.</summary>
    public double Place(double value) =>
        Logarithmic ? Math.Log(value / From) / Math.Log(To / From) : (value - From) / (To - From);

    /// <summary>A tick's label.</summary>
    public string Label(double tick)
    {
        double value = tick / Scale;
        double step = Ticks.Count > 1 ? Math.Abs(Ticks[1] - Ticks[0]) / Scale : 1;
        if (Logarithmic)
        {
            return value is >= 0.001 and < 1e5
                ? value.ToString("0.###", CultureInfo.InvariantCulture)
                : value.ToString("0e+0", CultureInfo.InvariantCulture);
        }
        // A narrow range around a number of usual size: as many digits as tell its ticks apart.
        if (step < 1e-4 && !(Ticks.Max(Math.Abs) / Scale >= 1e-2 && step >= 1e-9))
        {
            return Math.Abs(value) < step / 2 ? "0" : value.ToString("0.##e+0", CultureInfo.InvariantCulture);
        }
        int digits = Math.Max(0, -(int)Math.Floor(Math.Log10(step) + 1e-9));
        string text = value.ToString($"#,0.{new string('0', digits)}", CultureInfo.InvariantCulture).Replace(',', ' ');
        return text.TrimStart('-').All(c => c is '0' or '.') ? text.TrimStart('-') : text.Replace('-', '−');
    }

    /// <summary>1, 2 or 5 times a power of ten, at least <paramref name="raw"/>.</summary>
    private static double RoundStep(double raw)
    {
        double power = Math.Pow(10, Math.Floor(Math.Log10(raw)));
        double lead = raw / power;
        return power
            * (
                lead <= 1.0000001 ? 1
                : lead <= 2 ? 2
                : lead <= 5 ? 5
                : 10
            );
    }
}
