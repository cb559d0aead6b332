namespace Bmg.Training;

/// <summary>"Did you mean …?"</summary>
internal static class Suggestion
{
    /// <summary>The candidate that <paramref name="key"/> was most likely meant to be; null where none is near.</summary>
    public static string? Nearest(string key, IEnumerable<string> candidates)
    {
        string? best = candidates.MinBy(candidate => Distance(key, candidate));
        return best is not null && Distance(key, best) <= Math.Max(2, best.Length / 3) ? best : null;
    }

    /// <summary>Levenshtein's distance, whatever the case of letters.</summary>
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int substitute =
                    diagonal + (char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substitute, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[b.Length];
    }
}
