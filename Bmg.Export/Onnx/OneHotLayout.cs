namespace Bmg.Export.Onnx;

/// <summary>Observations that are made of one-hot groups, told from the names of their components: "agent.x=0", "agent.x=1", ….</summary>
public static class OneHotLayout
{
    /// <summary>More combinations than this are not listed.</summary>
    public const int Most = 1 << 16;

    /// <summary>
    /// Every observation in which each group has exactly one component at 1, row after row; null where a name has no group, or where there
    /// are more than <see cref="Most"/>. That covers all that an environment can reach, and some that it may not.
    /// </summary>
    /// <param name="layout">Name of each component, "group=value", groups side by side.</param>
    public static float[]? All(IReadOnlyList<string> layout)
    {
        ArgumentNullException.ThrowIfNull(layout);
        var groups = new List<(string Name, int Start, int Size)>();
        for (var i = 0; i < layout.Count; i++)
        {
            var split = layout[i].LastIndexOf('=');
            if (split <= 0)
            {
                return null;
            }

            var name = layout[i][..split];
            if (groups.Count > 0 && groups[^1].Name == name)
            {
                groups[^1] = groups[^1] with { Size = groups[^1].Size + 1 };
            }
            else
            {
                groups.Add((name, i, 1));
            }
        }

        var rows = groups.Aggregate(1L, (product, group) => Math.Min(product * group.Size, Most + 1L));
        if (groups.Count == 0 || rows > Most)
        {
            return null;
        }

        var all = new float[rows * layout.Count];
        for (var row = 0; row < rows; row++)
        {
            var left = row;
            foreach (var (_, start, size) in groups)
            {
                all[row * layout.Count + start + left % size] = 1;
                left /= size;
            }
        }

        return all;
    }
}
