namespace Bmg.Training.Runs;

/// <summary>What a killed process leaves behind, and how it goes.</summary>
internal static class Remains
{
    private const string Aside = ".remains-";

    /// <summary>What lies in the directory of a run, by the beginning of its name.</summary>
    private static readonly string[] OfRuns =
    [
        ".lock",
        "checkpoints",
        "tensorboard",
        "run.json",
        "metrics.jsonl",
        "report.html",
        "summary.json",
        "policy.onnx",
        "meta-network.onnx",
        "configuration.json.partial",
    ];

    /// <summary>
    /// Removes a directory: set aside first, in one step, then deleted, so that whoever is killed on the way leaves nothing in its place.
    /// What stays of it <see cref="Sweep"/> deletes.
    /// </summary>
    /// <exception cref="IOException">It cannot be moved.</exception>
    public static void Clear(string directory)
    {
        string path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory));
        string aside = Path.Combine(
            Path.GetDirectoryName(path)!,
            $"{Aside}{Path.GetFileName(path)}-{Guid.NewGuid():N}"
        );
        Directory.Move(path, aside);
        Delete(aside);
    }

    /// <summary>Deletes what was set aside in a directory and stayed there.</summary>
    public static void Sweep(string directory)
    {
        foreach (string aside in Directory.GetDirectories(directory, $"{Aside}*"))
        {
            Delete(aside);
        }
    }

    /// <summary>Deletes files that were being written when their process was killed; not those that another process writes now.</summary>
    /// <param name="directory">Where they lie; it need not exist.</param>
    /// <param name="names">Which; all where none are named.</param>
    public static void ClearPartials(string directory, string names = "*.partial")
    {
        foreach (string path in Directory.Exists(directory) ? Directory.GetFiles(directory, names) : [])
        {
            try
            {
                if (new FileInfo(path).LinkTarget is null)
                {
                    new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.None).Dispose();
                }
                File.Delete(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // In use, or not ours to delete; whoever writes the file next overwrites it.
            }
        }
    }

    /// <summary>Whether a directory holds no run, but nothing else either than what a run writes.</summary>
    public static bool IsOfRun(string directory) =>
        Directory.Exists(directory)
        && Directory
            .EnumerateFileSystemEntries(directory)
            .All(entry => OfRuns.Any(name => Path.GetFileName(entry).StartsWith(name, StringComparison.Ordinal)));

    /// <summary>Whether a directory was set aside.</summary>
    public static bool IsAside(string name) => name.StartsWith(Aside, StringComparison.Ordinal);

    private static void Delete(string directory)
    {
        try
        {
            Directory.Delete(directory, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Another process deletes it too, or it cannot be deleted; it is in nobody's way.
        }
    }
}
