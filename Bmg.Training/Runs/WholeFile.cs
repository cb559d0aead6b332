namespace Bmg.Training.Runs;

/// <summary>Files that are either there whole or as they were before.</summary>
internal static class WholeFile
{
    /// <summary>Writes aside, to the disk, and renames over <paramref name="path"/>.</summary>
    public static void Write(string path, string text)
    {
        string aside = path + ".part";
        try
        {
            using (FileStream stream = new(aside, FileMode.Create, FileAccess.Write))
            {
                stream.Write(System.Text.Encoding.UTF8.GetBytes(text));
                stream.Flush(flushToDisk: true);
            }
            File.Move(aside, path, overwrite: true);
        }
        catch (IOException)
        {
            File.Delete(aside);
            throw;
        }
    }
}
