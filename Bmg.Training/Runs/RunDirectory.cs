using System.Globalization;
using Bmg.Export.CommandLine;

namespace Bmg.Training.Runs;

/// <summary>Where everything of a run lies.</summary>
public sealed class RunDirectory
{
    private const string ConfigurationName = "configuration.json";

    private RunDirectory(string path) => Root = path;

    /// <summary>The directory itself, as it was named.</summary>
    public string Root { get; }

    /// <summary>The resolved configuration.</summary>
    public string Configuration => Path.Combine(Root, ConfigurationName);

    /// <summary>Where, when and how the run went (<see cref="RunRecord"/>).</summary>
    public string Record => Path.Combine(Root, "run.json");

    /// <summary>One line of JSON for each interval.</summary>
    public string Metrics => Path.Combine(Root, "metrics.jsonl");

    /// <summary>TensorBoard's event files.</summary>
    public string TensorBoard => Path.Combine(Root, "tensorboard");

    /// <summary>The last good checkpoint.</summary>
    public string Checkpoint => Export.Checkpoints.RunDirectory.LatestCheckpoint(Root);

    /// <summary>The checkpoint with the best score, where it is kept.</summary>
    public string BestCheckpoint => Path.Combine(Path.GetDirectoryName(Checkpoint)!, "best.safetensors");

    /// <summary>A checkpoint that is kept beside the latest.</summary>
    public string CheckpointAt(long steps) =>
        Path.Combine(
            Path.GetDirectoryName(Checkpoint)!,
            string.Create(CultureInfo.InvariantCulture, $"step-{steps:D12}.safetensors")
        );

    /// <summary>Checkpoints that are kept beside the latest, oldest first.</summary>
    public IEnumerable<string> KeptCheckpoints =>
        Directory
            .EnumerateFiles(Path.GetDirectoryName(Checkpoint)!, "step-*.safetensors")
            .Order(StringComparer.Ordinal);

    /// <summary>The exported policy.</summary>
    public string Policy => Path.Combine(Root, "policy.onnx");

    /// <summary>The exported meta-network, where the run has one.</summary>
    public string MetaNetwork => Path.Combine(Root, "meta-network.onnx");

    /// <summary>The report for a browser.</summary>
    public string Report => Path.Combine(Root, "report.html");

    /// <summary>The results.</summary>
    public string Summary => Path.Combine(Root, "summary.json");

    /// <summary>"runs/{name}-{date}-{time}", the name of a run that was given none.</summary>
    public static string DefaultPath(string name, DateTimeOffset now) =>
        Path.Combine("runs", $"{name}-{now.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture)}");

    /// <summary>Makes a new directory.</summary>
    /// <param name="path">A directory that does not exist yet, is empty, or holds only what a start leaves behind that is killed at once.</param>
    /// <exception cref="UsageException">There is something already, or the place cannot be written.</exception>
    public static RunDirectory Create(string path)
    {
        OutputDirectory.Prepare(path, Instead);
        try
        {
            RunDirectory directory = new(path);
            Directory.CreateDirectory(Path.GetDirectoryName(directory.Checkpoint)!);
            Directory.CreateDirectory(directory.TensorBoard);
            return directory;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"Output {path}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Whether a directory is that of a run: the configuration is what is written first.</summary>
    internal static bool IsRun(string path) => File.Exists(Path.Combine(path, ConfigurationName));

    /// <summary>Opens the directory of a run.</summary>
    /// <exception cref="UsageException">It is none.</exception>
    public static RunDirectory Open(string path)
    {
        OutputDirectory.RequireName(path, "Run");
        string found =
            File.Exists(path) ? "a file"
            : !Directory.Exists(path) ? "nothing"
            : !File.Exists(Path.Combine(path, ConfigurationName)) ? $"a directory without {ConfigurationName}"
            : "";
        return found.Length == 0
            ? new RunDirectory(path)
            : throw new UsageException($"Run {path}: found {found}, expected the directory of a run.");
    }

    /// <summary>Removes what killed processes left of files half written. To be called under the lock.</summary>
    internal void ClearPartials()
    {
        Remains.ClearPartials(Root);
        Remains.ClearPartials(Path.GetDirectoryName(Checkpoint)!);
    }

    /// <summary>What to do where a run cannot be started; null where it can.</summary>
    private static string? Instead(string path)
    {
        RunDirectory there = new(path);
        return File.Exists(there.Checkpoint) && File.Exists(there.Configuration)
                ? $"Choose another --output, or go on: {ThisProgram.Line($"train --resume {path}")}"
            : File.Exists(there.Configuration)
                ? $"It has a run that was stopped before its first checkpoint, which starts from the beginning with {ThisProgram.Line($"train --resume {path}")}; or choose another --output."
            : IsBare(path) ? null
            : "Choose another --output.";
    }

    /// <summary>Whether a directory holds only what a start makes before it writes a configuration.</summary>
    private static bool IsBare(string path) =>
        Directory
            .EnumerateFileSystemEntries(path)
            .All(entry =>
                Directory.Exists(entry)
                    ? Path.GetFileName(entry) is "checkpoints" or "tensorboard"
                        && Directory.EnumerateFileSystemEntries(entry).All(IsPartial)
                    : Path.GetFileName(entry) == ".lock" || IsPartial(entry)
            );

    private static bool IsPartial(string file) => file.EndsWith(".partial", StringComparison.Ordinal);

    /// <summary>Keeps other processes from writing here, until disposed.</summary>
    /// <exception cref="UsageException">Another process does.</exception>
    public IDisposable Lock() => LockAt(Root);

    /// <summary>The same for a directory that need not be a run's yet.</summary>
    internal static IDisposable LockAt(string root)
    {
        try
        {
            string path = Path.Combine(root, ".lock");
            Export.InputFile.RequireNoLink(path);
            return new FileStream(
                path,
                FileMode.OpenOrCreate,
                FileAccess.ReadWrite,
                FileShare.None,
                1,
                FileOptions.DeleteOnClose
            );
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"Run {root}: another process writes to it, or it cannot be written: {e.Message}",
                e
            );
        }
    }
}
