using Bmg.Training.Configuration;

namespace Bmg.Training.Studies;

/// <summary>Finds and reads the file of a study, as strictly as a configuration is read: every fault reported at once.</summary>
public static class StudyReader
{
    private const string Folder = "paper-configs/studies";

    /// <summary>The file of a study: the path itself, or the name of one in the nearest paper-configs from here upwards.</summary>
    /// <exception cref="UsageException">There is none.</exception>
    public static string Find(string study)
    {
        if (File.Exists(study) || study.EndsWith(".json", StringComparison.Ordinal) || study.Contains('/'))
        {
            return study;
        }
        string here = Directory.GetCurrentDirectory();
        for (DirectoryInfo? folder = new(here); folder is not null; folder = folder.Parent)
        {
            string studies = Path.Combine(folder.FullName, Folder);
            if (Directory.Exists(studies))
            {
                string path = Path.Combine(studies, $"{study}.json");
                return File.Exists(path)
                    ? Path.GetRelativePath(here, path)
                    : throw new UsageException(
                        $"STUDY: found {study}, expected {Choices.Say(study, Names(studies))} of {Path.GetRelativePath(here, studies)}, or the path of a study's file."
                    );
            }
        }
        throw new UsageException(
            $"STUDY: found {study}, and no {Folder} from here upwards; expected the path of a study's file."
        );
    }

    /// <summary>The folder that holds paper-configs, when the file of a study lies inside that; null otherwise.</summary>
    public static string? Repository(string file)
    {
        for (
            DirectoryInfo? folder = new FileInfo(Path.GetFullPath(file)).Directory;
            folder is not null;
            folder = folder.Parent
        )
        {
            if (folder.Name == "paper-configs")
            {
                return folder.Parent?.FullName;
            }
        }
        return null;
    }

    /// <summary>Reads a file.</summary>
    /// <exception cref="ConfigurationException">There are faults; the exception carries them all.</exception>
    public static StudyDescription ReadFile(string path) =>
        Read(ConfigurationText.ReadFile(path, "the file of a study"), path);

    /// <summary>Reads a text.</summary>
    /// <param name="json">The study.</param>
    /// <param name="source">What to call it in messages.</param>
    /// <exception cref="ConfigurationException">There are faults; the exception carries them all.</exception>
    public static StudyDescription Read(string json, string source)
    {
        List<Fault> faults = [];
        ConfigurationBinder binder = new(source, new Dictionary<string, string>(), faults);
        if (binder.Bind(ConfigurationText.ParseObject(json, source), out StudyDescription study))
        {
            foreach ((string path, string found, string expected) in Broken(study))
            {
                binder.Fault(path, $"found {found}, expected {expected}");
            }
        }
        return faults.Count == 0 ? study : throw new ConfigurationException(faults);
    }

    /// <summary>What must be there, and hold between settings, beyond the range of each.</summary>
    private static IEnumerable<(string Path, string Found, string Expected)> Broken(StudyDescription study)
    {
        if (!ConfigurationBinder.Fits(study.Name, StudyDescription.IdPattern))
        {
            yield return ("name", "none", "the name of the study");
        }
        if (study.Cells.Count == 0)
        {
            yield return ("cells", "none", "at least one cell");
        }
        for (int i = 0; i < study.Cells.Count; i++)
        {
            CellDescription cell = study.Cells[i];
            if (cell.Id.Length == 0)
            {
                yield return ($"cells.{i}.id", "none", "the name of the cell");
            }
            else if (study.Cells.Take(i).Any(before => before.Id == cell.Id))
            {
                yield return ($"cells.{i}.id", $"\"{cell.Id}\" for the second time", "each name once");
            }
            if (cell.Config.Length == 0)
            {
                yield return ($"cells.{i}.config", "none", "the path of a configuration");
            }
            if (cell.Published is { } published && double.IsNaN(published.Deviation))
            {
                yield return ($"cells.{i}.published.deviation", "none", "a number, more than 0");
            }
        }
    }

    private static IEnumerable<string> Names(string folder) =>
        Directory.GetFiles(folder, "*.json").Select(file => Path.GetFileNameWithoutExtension(file)).Order();
}
