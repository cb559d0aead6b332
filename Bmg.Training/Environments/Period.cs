namespace Bmg.Training.Environments;

/// <summary>Worlds that change every so many steps.</summary>
internal static class Period
{
    /// <summary>The multiples of a period after the first step named and up to the second.</summary>
    public static IReadOnlyList<long> Ends(long period, long after, long until)
    {
        var ends = new List<long>();
        for (var at = (after / period + 1) * period; at <= until; at += period)
        {
            ends.Add(at);
        }

        return ends;
    }
}
