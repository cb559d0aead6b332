namespace Bmg.Training.Environments;

/// <summary>Worlds that change every so many steps.</summary>
internal static class Period
{
    /// <summary>The multiples of a period after the first step named and up to the second.</summary>
    public static IEnumerable<long> Ends(long period, long after, long until)
    {
        for (var count = after / period + 1; count <= until / period; count++)
        {
            yield return count * period;
        }
    }
}
