using Bmg.Training.Configuration;

namespace Bmg.Training.Studies;

/// <summary>A setting and the values it is to take.</summary>
/// <param name="Key">Path of the setting, as in "learner.targetSteps".</param>
/// <param name="Values">JSON or bare strings, as they are typed for --set.</param>
public sealed record GridAxis(string Key, IReadOnlyList<string> Values)
{
    /// <summary>As it is typed.</summary>
    public override string ToString() => $"{Key}={string.Join(',', Values)}";
}

/// <summary>A point of a grid.</summary>
/// <param name="Index">Its place, from 0; the last setting changes fastest.</param>
/// <param name="Values">A value of each axis.</param>
public sealed record GridPoint(int Index, IReadOnlyList<string> Values);

/// <summary>The product of some settings' values.</summary>
/// <param name="Axes">The settings, at least one.</param>
public sealed record Grid(IReadOnlyList<GridAxis> Axes)
{
    private const int MostPoints = 100_000;
    private const int MostSuggested = 8;

    /// <summary>How many points there are.</summary>
    public int Count => Axes.Aggregate(1, (product, axis) => product * axis.Values.Count);

    /// <summary>The axes as they are typed.</summary>
    public IReadOnlyList<string> Text => [.. Axes.Select(axis => axis.ToString())];

    /// <summary>Reads "key=v1,v2" each.</summary>
    /// <exception cref="UsageException">There is none, or one without values, or a key or value stands twice.</exception>
    public static Grid Parse(IReadOnlyList<string> entries)
    {
        if (entries.Count == 0)
        {
            throw new UsageException(
                "--grid: found none, expected at least one key=v1,v2, as in learner.targetSteps=8,16."
            );
        }
        List<GridAxis> axes = [];
        foreach (string entry in entries)
        {
            int equals = entry.IndexOf('=', StringComparison.Ordinal);
            string key = equals < 0 ? "" : entry[..equals].Trim();
            if (key.Length == 0)
            {
                throw new UsageException($"--grid {entry}: expected key=v1,v2, as in learner.targetSteps=8,16.");
            }
            string[] values = [.. Split(entry[(equals + 1)..])];
            if (values.Any(string.IsNullOrEmpty))
            {
                string found = values.Length == 1 ? "no values" : "an empty value";
                throw new UsageException($"--grid {entry}: found {found}, expected key=v1,v2.");
            }
            if (values.GroupBy(value => value).FirstOrDefault(same => same.Count() > 1) is { } twice)
            {
                throw new UsageException($"--grid {entry}: found value {twice.Key} twice, expected each once.");
            }
            if (axes.Any(axis => axis.Key == key))
            {
                throw new UsageException($"--grid {entry}: found key {key} for the second time, expected each once.");
            }
            axes.Add(new GridAxis(key, values));
        }
        double count = axes.Aggregate(1.0, (product, axis) => product * axis.Values.Count);
        return count <= MostPoints
            ? new Grid(axes)
            : throw new UsageException($"--grid: found {count:0} points, expected at most {MostPoints}.");
    }

    /// <summary>Refuses points that differ in their seeds alone and share some: they would be ranked as more learners than there are.</summary>
    /// <param name="configurations">Of all points, in order.</param>
    /// <exception cref="UsageException">There are such points.</exception>
    public void RequireDisjointSeeds(IReadOnlyList<RunConfiguration> configurations)
    {
        string? overlap = StudySeeds.Overlap([
            .. configurations.Select((each, i) => ($"{Id(i)} ({string.Join(' ', Settings(At(i)))})", each)),
        ]);
        if (overlap is not null)
        {
            throw new UsageException(
                $"--grid: points {overlap}. Expected seeds that no two such points share{Suggestion(configurations)}."
            );
        }
    }

    /// <summary>", as in seed=1,9,17,25": the values of an axis of seeds with which points of as many members each do not overlap.</summary>
    private string Suggestion(IReadOnlyList<RunConfiguration> configurations)
    {
        long members = configurations.Max(each => each.Members);
        long first = configurations.Min(each => each.Seed);
        return Axes.FirstOrDefault(axis => axis.Key == "seed") is not { } seeds ? ""
            : configurations.Any(each => each.Seeds.Count > 0) ? ""
            : $", as in seed={string.Join(',', Enumerable.Range(0, Math.Min(seeds.Values.Count, MostSuggested)).Select(i => first + (i * members)))}{(seeds.Values.Count > MostSuggested ? ",…" : "")}";
    }

    /// <summary>Splits at commas that stand in no brackets and no quotes; parts come without the blanks around them.</summary>
    public static IReadOnlyList<string> Split(string text)
    {
        List<string> parts = [];
        int start = 0;
        int depth = 0;
        bool quoted = false;
        for (int i = 0; i < text.Length; i++)
        {
            switch (text[i])
            {
                case '\\' when quoted:
                    i++;
                    break;
                case '"':
                    quoted = !quoted;
                    break;
                case '[' or '{' when !quoted:
                    depth++;
                    break;
                case ']' or '}' when !quoted:
                    depth--;
                    break;
                case ',' when !quoted && depth <= 0:
                    parts.Add(text[start..i].Trim());
                    start = i + 1;
                    break;
                default:
                    break;
            }
        }
        parts.Add(text[start..].Trim());
        return parts;
    }

    /// <summary>A point by its place.</summary>
    public GridPoint At(int index)
    {
        string[] values = new string[Axes.Count];
        int rest = index;
        for (int axis = Axes.Count - 1; axis >= 0; axis--)
        {
            IReadOnlyList<string> all = Axes[axis].Values;
            values[axis] = all[rest % all.Count];
            rest /= all.Count;
        }
        return new GridPoint(index, values);
    }

    /// <summary>A point's name: its place from 1, with zeros in front.</summary>
    public string Id(int index) => $"{index + 1}".PadLeft(Math.Max(4, $"{Count}".Length), '0');

    /// <summary>A point's settings, "key=value" each.</summary>
    public IEnumerable<string> Settings(GridPoint point) =>
        Axes.Zip(point.Values, (axis, value) => $"{axis.Key}={value}");
}
