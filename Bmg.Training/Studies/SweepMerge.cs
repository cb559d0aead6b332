using Bmg.Training.Catalogues;

namespace Bmg.Training.Studies;

/// <summary>Joins the parts of a sweep.</summary>
public static class SweepMerge
{
    private const int MostNamed = 5;

    /// <summary>The part files meant by directories of sweeps, folders of parts, and files.</summary>
    /// <exception cref="UsageException">One holds none.</exception>
    public static IReadOnlyList<string> Files(IEnumerable<string> paths)
    {
        List<string> files = [];
        foreach (string path in paths)
        {
            if (File.Exists(path))
            {
                files.Add(path);
                continue;
            }
            string folder = Path.Combine(path, SweepPart.Folder);
            folder = Directory.Exists(folder) ? folder : path;
            string[] found = Directory.Exists(folder) ? Directory.GetFiles(folder, "part-*-of-*.json") : [];
            if (found.Length == 0)
            {
                throw new UsageException(
                    $"--merge {path}: found {(Directory.Exists(path) ? "a directory without parts" : "nothing")}, expected the directory of a sweep with {SweepPart.Folder}/part-i-of-n.json, or such a file."
                );
            }
            files.AddRange(found.Order(StringComparer.Ordinal));
        }
        return files;
    }

    /// <summary>Joins parts into the whole.</summary>
    /// <param name="parts">Parts with their files, at least one.</param>
    /// <returns>The sweep, and its points in the order of the grid.</returns>
    /// <exception cref="UsageException">They are of different sweeps, overlap, or leave something out.</exception>
    public static (StudyRecord Sweep, IReadOnlyList<SweepPoint> Points) Join(
        IReadOnlyList<(string File, SweepPart Part)> parts
    )
    {
        (string firstFile, SweepPart first) = parts[0];
        Grid grid = Grid.Parse(first.Sweep.Grid);
        SweepPoint?[] points = new SweepPoint?[grid.Count];
        string[] from = new string[grid.Count];
        foreach ((string file, SweepPart part) in parts)
        {
            if (first.Sweep.Conflict(part.Sweep) is { } conflict)
            {
                throw new UsageException(
                    $"Part {file}: of another sweep than {firstFile}, {conflict.Replace(", now ", "; here ")}. Expected parts of one sweep."
                );
            }
            foreach (SweepPoint point in part.Points)
            {
                if (point.Index < 0 || point.Index >= grid.Count)
                {
                    throw new UsageException(
                        $"Part {file}: found point {point.Index + 1}, expected one of the grid's {grid.Count}."
                    );
                }
                if (points[point.Index] is not null)
                {
                    throw new UsageException(
                        $"Part {file}: found point {Name(grid, point.Index)}, which is in {from[point.Index]} too; expected each once."
                    );
                }
                points[point.Index] = point;
                from[point.Index] = file;
            }
        }
        int[] missing = [.. Enumerable.Range(0, grid.Count).Where(i => points[i] is null)];
        if (missing.Length > 0)
        {
            string more = missing.Length > MostNamed ? ", …" : "";
            throw new UsageException(
                $"--merge: {missing.Length} of {grid.Count} points are missing, {string.Join(", ", missing.Take(MostNamed).Select(i => Name(grid, i)))}{more}; expected the parts of all shards."
            );
        }
        return (first.Sweep, [.. points.Select(point => point!)]);
    }

    private static string Name(Grid grid, int index) =>
        $"{grid.Id(index)} ({string.Join(' ', grid.Settings(grid.At(index)))})";
}
