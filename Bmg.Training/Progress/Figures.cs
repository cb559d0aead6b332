using System.Globalization;

namespace Bmg.Training.Progress;

/// <summary>Numbers for people.</summary>
public static class Figures
{
    /// <summary>A count, with a space each three digits.</summary>
    public static string Count(double value) =>
        Math.Round(value).ToString("#,0", CultureInfo.InvariantCulture).Replace(',', ' ');

    /// <summary>A measured number, three to four digits.</summary>
    public static string Number(double value) =>
        double.IsNaN(value) ? "–"
        : Math.Abs(value) >= 1000 ? Count(value)
        : Math.Abs(value) >= 0.001 || value == 0 ? value.ToString("0.###", CultureInfo.InvariantCulture)
        : value.ToString("0.#e+0", CultureInfo.InvariantCulture);

    /// <summary>A length of time: "1:05" is a minute and five seconds, "2:00:00" two hours.</summary>
    public static string Time(TimeSpan time) =>
        time.TotalHours >= 1
            ? string.Create(CultureInfo.InvariantCulture, $"{(long)time.TotalHours}:{time:mm\\:ss}")
            : time.ToString(@"m\:ss", CultureInfo.InvariantCulture);
}
