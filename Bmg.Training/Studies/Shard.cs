using System.Globalization;

namespace Bmg.Training.Studies;

/// <summary>One of several parts of a grid.</summary>
/// <param name="Index">Which, from 1.</param>
/// <param name="Count">Of how many.</param>
public sealed record Shard(int Index, int Count)
{
    /// <summary>The whole.</summary>
    public static Shard Whole { get; } = new(1, 1);

    /// <summary>Reads "i/n".</summary>
    /// <exception cref="UsageException">It is not that, or not 1 ≤ i ≤ n.</exception>
    public static Shard Parse(string text)
    {
        string[] parts = text.Split('/');
        return
            parts.Length == 2
            && int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int index)
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            && index >= 1
            && index <= count
            ? new Shard(index, count)
            : throw new UsageException($"--shard: found {text}, expected i/n with 1 ≤ i ≤ n, as in 2/8.");
    }

    /// <summary>The points that are its own, of so many: neighbours; parts differ by one point at most.</summary>
    public IEnumerable<int> Of(int points)
    {
        int start = (int)((Index - 1) * (long)points / Count);
        int end = (int)(Index * (long)points / Count);
        return Enumerable.Range(start, end - start);
    }
}
