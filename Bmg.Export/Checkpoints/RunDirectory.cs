namespace Bmg.Export.Checkpoints;

/// <summary>Where a run keeps its checkpoint.</summary>
public static class RunDirectory
{
    /// <summary>The newest checkpoint of the run in <paramref name="run"/>: checkpoints/latest.safetensors.</summary>
    public static string LatestCheckpoint(string run) => Path.Combine(run, "checkpoints", "latest.safetensors");

    /// <summary>The checkpoint meant by <paramref name="run"/>, which is a run's directory or a checkpoint itself.</summary>
    /// <exception cref="CheckpointException">There is no such file or directory, or the directory has no checkpoint.</exception>
    public static string FindCheckpoint(string run)
    {
        ArgumentNullException.ThrowIfNull(run);
        if (File.Exists(run))
        {
            return run;
        }
        if (!Directory.Exists(run))
        {
            throw new CheckpointException($"There is no run directory or checkpoint '{run}'.");
        }
        var checkpoint = LatestCheckpoint(run);
        if (File.Exists(checkpoint))
        {
            return checkpoint;
        }
        string[] below = [.. Directory.GetDirectories(run).Where(path => File.Exists(LatestCheckpoint(path))).Order()];
        throw new CheckpointException(
            below.Length > 0
                ? $"'{run}' holds several runs, expected one: {string.Join(", ", below)}."
                : $"Run directory '{run}' has no checkpoint yet: expected '{checkpoint}'."
        );
    }
}
