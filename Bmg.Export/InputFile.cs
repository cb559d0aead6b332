namespace Bmg.Export;

/// <summary>Files that somebody else wrote: read up to a limit, and never through a link where a file of our own is expected.</summary>
public static class InputFile
{
    /// <summary>Bytes that are read at most of what does not say how long it is: a device, or a pipe.</summary>
    public const int MostOfStream = 64 << 20;

    /// <summary>Bytes of a text that are read at most: more than any record or table of results has.</summary>
    public const int MostOfText = 256 << 20;

    /// <summary>The whole content of a file, or of a device or pipe that ends.</summary>
    /// <param name="path">The file.</param>
    /// <param name="most">Bytes that are read at most.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="IOException">It cannot be read, or holds more than <paramref name="most"/> bytes.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be read, or is a directory.</exception>
    public static byte[] ReadBytes(string path, int most)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(most);
        if (string.IsNullOrEmpty(path) || path.Contains('\0', StringComparison.Ordinal))
        {
            throw new FileNotFoundException($"There is no file '{path}'.", path);
        }
        using var stream = new FileStream(
            path,
            FileMode.Open,
            FileAccess.Read,
            FileShare.ReadWrite | FileShare.Delete,
            bufferSize: 0
        );
        // A device says that it has no length, or cannot say.
        var length = stream.CanSeek ? stream.Length : 0;
        if (length > most)
        {
            throw TooLong(most);
        }
        most = length == 0 ? Math.Min(most, MostOfStream) : most;
        using var content = new MemoryStream((int)length);
        var block = new byte[1 << 16];
        for (int read; (read = stream.Read(block)) > 0; )
        {
            if (content.Length + read > most)
            {
                throw TooLong(most);
            }
            content.Write(block, 0, read);
        }
        return content.Length == content.Capacity ? content.GetBuffer() : content.ToArray();
    }

    /// <summary>A file of text, in UTF-8 or with a byte order mark; errors as those of <see cref="ReadBytes"/>.</summary>
    /// <param name="path">The file.</param>
    /// <param name="most">Bytes that are read at most.</param>
    public static string ReadText(string path, int most = MostOfText)
    {
        using var reader = new StreamReader(new MemoryStream(ReadBytes(path, most)));
        return reader.ReadToEnd();
    }

    /// <summary>Refuses a symbolic link at a place where a file of our own is about to be opened for writing.</summary>
    /// <exception cref="IOException">There is a link.</exception>
    public static void RequireNoLink(string path)
    {
        if (new FileInfo(path).LinkTarget is { } target)
        {
            throw new IOException($"'{path}' is a symbolic link to '{target}', expected a file or none.");
        }
    }

    private static IOException TooLong(int most) =>
        new(FormattableString.Invariant($"it holds more than {most:N0} bytes, the most that is read."));
}
