using System.Text;

namespace Bmg.Export;

/// <summary>The process's standard output and standard error, as programs of this library write to them.</summary>
public static class StandardOutput
{
    private static readonly Lazy<TextWriter> Named = new(() =>
    {
        // In Console.Out's place, so that who asks whether a writer is the terminal's still finds that it is.
        Console.SetOut(new Guarded(Console.Out));
        return Console.Out;
    });

    /// <summary>
    /// Standard output. A write that fails is an <see cref="IOException"/> that says so by name: the file that "no space left on device" is
    /// about has no other. The first use puts it in the place of <see cref="Console.Out"/>. A pipe that nobody reads any more takes
    /// everything in silence, as always in .NET.
    /// </summary>
    public static TextWriter Writer => Named.Value;

    /// <summary>Says a line on standard error; where that cannot be written there is nobody left to tell.</summary>
    public static void Complain(this TextWriter error, string line)
    {
        ArgumentNullException.ThrowIfNull(error);
        try
        {
            error.WriteLine(line);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            // The exit code says that something is wrong.
        }
    }

    private sealed class Guarded(TextWriter inner) : TextWriter(inner.FormatProvider)
    {
        public override Encoding Encoding => inner.Encoding;

        public override void Write(char value) => Try(() => inner.Write(value));

        public override void Write(char[] buffer, int index, int count) => Try(() => inner.Write(buffer, index, count));

        public override void Write(string? value) => Try(() => inner.Write(value));

        public override void WriteLine(string? value) => Try(() => inner.WriteLine(value));

        public override void Flush() => Try(inner.Flush);

        private static void Try(Action write)
        {
            try
            {
                write();
            }
            // A closed standard output is one that may not be written.
            catch (Exception e) when (e is IOException or UnauthorizedAccessException or ObjectDisposedException)
            {
                throw new IOException($"Standard output cannot be written: {e.Message}", e);
            }
        }
    }
}
