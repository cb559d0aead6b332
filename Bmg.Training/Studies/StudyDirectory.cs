using System.Text.Json;
using Bmg.Export;
using Bmg.Training.Configuration;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>study.json: what the runs of an output directory belong to.</summary>
/// <param name="Study">Name of the study.</param>
/// <param name="Version">Version of the library.</param>
/// <param name="Grid">The grid of a sweep, "key=v1,v2" each; empty for a reproduction.</param>
/// <param name="Cells">Resolved configurations by cell; of a sweep, the one that the grid varies, as "base".</param>
public sealed record StudyRecord(
    string Study,
    string Version,
    IReadOnlyList<string> Grid,
    IReadOnlyDictionary<string, RunConfiguration> Cells
)
{
    /// <summary>Name of the one cell of a sweep's record.</summary>
    public const string Base = "base";

    /// <summary>In what this record and that of now are not of the same study, the first thing that differs; null where they agree.</summary>
    /// <param name="now">What is to be run now; cells that only one of the two has do not matter.</param>
    public string? Conflict(StudyRecord now)
    {
        if (Study != now.Study)
        {
            return $"study {Study}, now {now.Study}";
        }
        if (Version != now.Version)
        {
            return $"library version {Version}, now {now.Version}";
        }
        if (!Grid.SequenceEqual(now.Grid))
        {
            return $"grid {string.Join(' ', Grid)}, now {string.Join(' ', now.Grid)}";
        }
        foreach ((string id, RunConfiguration configuration) in now.Cells)
        {
            if (Cells.TryGetValue(id, out RunConfiguration? then))
            {
                string? change = SettingChanges.First(then, configuration);
                change ??=
                    then.Members == configuration.Members
                        ? null
                        : $"members: {then.Members}, now {configuration.Members}";
                change ??=
                    Grid.Count == 0 || then.EnvironmentSteps == configuration.EnvironmentSteps
                        ? null
                        : $"environmentSteps: {then.EnvironmentSteps}, now {configuration.EnvironmentSteps}";
                if (change is not null)
                {
                    return id == Base ? change : $"{id}: {change}";
                }
            }
        }
        return null;
    }
}

/// <summary>The output directory of a study: study.json and a run directory for each cell.</summary>
public sealed class StudyDirectory : IDisposable
{
    private const string FileName = "study.json";
    private const int Patience = 100; // tries, a tenth of a second apart
    private readonly FileStream claim;

    private StudyDirectory(string root, FileStream claim) => (Root, this.claim) = (root, claim);

    /// <summary>The directory.</summary>
    public string Root { get; }

    /// <summary>Opens or makes the directory for a study, and keeps other processes from doing the same until disposed.</summary>
    /// <param name="path">A directory that does not exist yet, is empty, or is of the same study.</param>
    /// <param name="record">The study; its cells are added to those that are on record.</param>
    /// <param name="part">Several processes may work in one directory, each on its own part; empty where there is one alone.</param>
    /// <exception cref="UsageException">It is of another study, other settings or another version; it is in use, or cannot be written.</exception>
    public static StudyDirectory Open(string path, StudyRecord record, string part = "")
    {
        Check(path, record);
        try
        {
            Directory.CreateDirectory(path);
            FileStream claim = Lock(path, part);
            try
            {
                Enter(path, record);
                ClearRemains(path, part);
                return new StudyDirectory(path, claim);
            }
            catch (Exception)
            {
                claim.Dispose();
                throw;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"Output {path}: cannot be written: {e.Message}", e);
        }
    }

    /// <summary>Refuses a directory that is of another study, and changes nothing.</summary>
    /// <exception cref="UsageException">It is.</exception>
    public static void Check(string path, StudyRecord record)
    {
        OutputDirectory.RequireName(path);
        if (File.Exists(path))
        {
            throw new UsageException($"Output {path}: found a file, expected the directory of a study or none yet.");
        }
        if (Read(path) is { } there)
        {
            if (there.Conflict(record) is { } conflict)
            {
                throw new UsageException(
                    $"Output {path}: found a study with {conflict}. Nothing was changed; choose another --output."
                );
            }
        }
        else if (
            Directory.Exists(path)
            && Directory
                .EnumerateFileSystemEntries(path)
                .Any(entry =>
                    Path.GetFileName(entry) is var name
                    && !name.StartsWith(".lock", StringComparison.Ordinal)
                    && !name.StartsWith(FileName, StringComparison.Ordinal)
                    && !Remains.IsAside(name)
                    && !Remains.IsOfRun(entry)
                )
        )
        {
            throw new UsageException(
                $"Output {path}: found a directory that is not empty and has no {FileName}, expected that of a study or none yet. Choose another --output."
            );
        }
    }

    /// <summary>Deletes what killed processes left; where several work on the same sweep, of files no more than one's own.</summary>
    private static void ClearRemains(string path, string part)
    {
        Remains.Sweep(path);
        string parts = Path.Combine(path, SweepPart.Folder);
        if (part.Length > 0)
        {
            Remains.ClearPartials(parts, $"part-{part}.json.partial");
            return;
        }
        Remains.ClearPartials(path);
        Remains.ClearPartials(parts);
    }

    /// <inheritdoc/>
    public void Dispose() => claim.Dispose();

    private static FileStream Lock(string path, string part)
    {
        try
        {
            string file = Path.Combine(path, part.Length == 0 ? ".lock" : $".lock-{part}");
            InputFile.RequireNoLink(file);
            return new FileStream(
                file,
                FileMode.OpenOrCreate,
                FileAccess.ReadWrite,
                FileShare.None,
                1,
                FileOptions.DeleteOnClose
            );
        }
        catch (IOException e)
        {
            throw new UsageException($"Output {path}: another process works on it: {e.Message}", e);
        }
    }

    /// <summary>Puts the study on record, one process at a time: the parts of a sweep start together.</summary>
    private static void Enter(string path, StudyRecord record)
    {
        using FileStream turn = Turn(path);
        Check(path, record);
        Dictionary<string, RunConfiguration> cells = Read(path) is { } there ? new(there.Cells) : [];
        foreach ((string id, RunConfiguration configuration) in record.Cells)
        {
            cells[id] = configuration;
        }
        Remains.ClearPartials(path, $"{FileName}.partial");
        string text = JsonSerializer.Serialize(record with { Cells = cells }, ConfigurationJson.Indented) + "\n";
        string file = Path.Combine(path, FileName);
        if (!File.Exists(file) || InputFile.ReadText(file) != text)
        {
            AtomicFile.WriteText(file, text);
        }
    }

    /// <summary>Waits for the right to write the record. Its file stays: deleted, two processes could each lock one of their own.</summary>
    private static FileStream Turn(string path)
    {
        string file = Path.Combine(path, ".lock-record");
        InputFile.RequireNoLink(file);
        for (int i = 0; ; i++)
        {
            try
            {
                return new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (i < Patience)
            {
                Thread.Sleep(100);
            }
        }
    }

    private static StudyRecord? Read(string path)
    {
        string file = Path.Combine(path, FileName);
        try
        {
            return File.Exists(file)
                ? ConfigurationJson.Read<StudyRecord>(InputFile.ReadText(file), ConfigurationJson.Indented)
                    ?? throw new JsonException("found null")
                : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{file}: cannot be read: {e.Message}", e);
        }
        catch (JsonException e)
        {
            throw new UsageException($"{file}: not the record of a study: {e.Message.Split('\n')[0]}", e);
        }
    }
}
