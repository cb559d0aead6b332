namespace Bmg.Training.Runs;

/// <summary>Where something is to be written: one place for what is refused there.</summary>
internal static class OutputDirectory
{
    /// <summary>Refuses a name that is empty or blank, which would mean the current directory.</summary>
    /// <exception cref="UsageException">It is.</exception>
    public static void RequireName(string path, string what = "Output")
    {
        if (string.IsNullOrWhiteSpace(path))
        {
            throw new UsageException(
                $"{what}: found an empty name, expected a directory. Is a variable of the shell unset?"
            );
        }
    }

    /// <summary>Makes a directory that does not exist yet, or is empty.</summary>
    /// <param name="path">The directory.</param>
    /// <param name="advice">Given what there is that is not empty: what to do instead; null where it may be taken all the same.</param>
    /// <exception cref="UsageException">There is something already, or the place cannot be written.</exception>
    public static void Prepare(string path, Func<string, string?> advice)
    {
        RequireName(path);
        if (File.Exists(path))
        {
            throw new UsageException($"Output {path}: found a file, expected a directory that does not exist yet.");
        }
        try
        {
            if (
                Directory.Exists(path)
                && Directory.EnumerateFileSystemEntries(path).Any()
                && advice(path) is { } instead
            )
            {
                throw new UsageException(
                    $"Output {path}: found a directory that is not empty, expected none yet. {instead}"
                );
            }
            Directory.CreateDirectory(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"Output {path}: cannot be written: {e.Message}", e);
        }
    }
}
