using System.Text;

namespace Bmg.Export;

/// <summary>Files that are either whole or not there: written aside, flushed to the disk, then renamed over the old one.</summary>
public static class AtomicFile
{
    /// <summary>
    /// Writes a file through "<paramref name="path"/>.partial" in the same directory. Whatever goes wrong on the way, the file that was there
    /// before is untouched and the partial one is removed; a partial file that a killed process left makes way. A link at either name is
    /// replaced, never followed.
    /// </summary>
    /// <param name="path">The file; its directory must exist.</param>
    /// <param name="write">Writes the content to a seekable, unbuffered stream. What it throws comes through unchanged, unless it is an
    /// <see cref="IOException"/>, which is told again with the path and the free space.</param>
    /// <param name="check">Given the path of the partial file when it is whole and closed; what it throws keeps it from being renamed and
    /// comes through unchanged. Null for no check.</param>
    /// <returns>Size of the file in bytes.</returns>
    /// <exception cref="IOException">The file cannot be written: full disk, missing directory, no permission.</exception>
    public static long Write(string path, Action<Stream> write, Action<string>? check = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        var partial = path + ".partial";
        var begun = false;
        try
        {
            long length;
            MakeWay(partial);
            // Unbuffered, so that closing the file after a failed write has nothing left to fail with.
            using (
                var stream = new FileStream(
                    partial,
                    FileMode.CreateNew,
                    FileAccess.Write,
                    FileShare.None,
                    bufferSize: 0
                )
            )
            {
                begun = true;
                write(stream);
                stream.Flush(flushToDisk: true);
                length = stream.Length;
            }
            check?.Invoke(partial);
            File.Move(partial, path, overwrite: true);
            return length;
        }
        catch (Exception exception)
        {
            // A partial file that could not even be opened is not ours: another process may be writing it.
            if (begun)
            {
                TryDelete(partial);
            }
            if (exception is IOException or UnauthorizedAccessException)
            {
                throw new IOException($"Cannot write '{path}': {exception.Message}{FreeSpace(path)}", exception);
            }
            throw;
        }
    }

    /// <summary>Writes a text, in UTF-8, in the same way.</summary>
    /// <param name="path">The file; its directory must exist.</param>
    /// <param name="text">All of it.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void WriteText(string path, string text) =>
        Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    /// <summary>Removes what lies at the partial file's name: a link itself, or a file that no other process is writing.</summary>
    private static void MakeWay(string partial)
    {
        var file = new FileInfo(partial);
        if (file.LinkTarget is null)
        {
            if (!file.Exists)
            {
                return;
            }
            // Fails while another process writes it.
            new FileStream(partial, FileMode.Open, FileAccess.ReadWrite, FileShare.None, bufferSize: 0).Dispose();
        }
        File.Delete(partial);
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The failure that brought us here is the one to report.
        }
    }

    private static string FreeSpace(string path)
    {
        try
        {
            var directory = Path.GetDirectoryName(Path.GetFullPath(path));
            return directory is null || !Directory.Exists(directory)
                ? ""
                : $" (free space there: {new DriveInfo(directory).AvailableFreeSpace / 1e6:N1} MB)";
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return "";
        }
    }
}
