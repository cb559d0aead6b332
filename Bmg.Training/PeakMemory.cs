using System.Diagnostics;
using System.Globalization;

namespace Bmg.Training;

/// <summary>The largest resident size of this process.</summary>
public static class PeakMemory
{
    /// <summary>Bytes, since the start of the process or the last <see cref="Reset"/>.</summary>
    public static long Bytes
    {
        get
        {
            try
            {
                foreach (var line in File.ReadLines("/proc/self/status"))
                {
                    if (line.StartsWith("VmHWM:", StringComparison.Ordinal))
                    {
                        return 1024
                            * long.Parse(
                                line["VmHWM:".Length..].Replace("kB", "", StringComparison.Ordinal),
                                CultureInfo.InvariantCulture
                            );
                    }
                }
            }
            catch (IOException)
            {
                // No such file: not Linux.
            }

            return Process.GetCurrentProcess().PeakWorkingSet64;
        }
    }

    /// <summary>Starts a new peak from the present size, where the system allows it (Linux).</summary>
    public static void Reset()
    {
        GC.Collect();
        try
        {
            File.WriteAllText("/proc/self/clear_refs", "5");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The peak then is that of the whole process.
        }
    }
}
