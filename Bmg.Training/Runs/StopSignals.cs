using System.Runtime.InteropServices;

namespace Bmg.Training.Runs;

/// <summary>
/// Ctrl-C, SIGTERM and the SIGHUP of a terminal that went away: the first asks for a stop with a checkpoint, the second ends the process at
/// once. From the first of these objects on, the process keeps its handlers to its end: taken away while a signal is on its way, they would
/// leave it to the default, which is to die. After the last command has let go, one more signal is passed over, since the process is about to
/// end by itself, with an exit code that says how the command went; the one after does what it does by default. A signal that the process was
/// started with as ignored, as SIGHUP under nohup, stays ignored.
/// </summary>
public sealed partial class StopSignals : IDisposable
{
    /// <summary>What shells expect of a process that ended on Ctrl-C.</summary>
    public const int ExitCode = 130;

    /// <summary>What to tell the user of the first signal.</summary>
    public const string Notice =
        "Stopping after this meta-step, with a checkpoint; a meta-step that takes long is given up. Once more stops at once.";

    private static readonly Lock Gate = new();
    private static PosixSignalRegistration[] registrations = [];
    private static StopSignals? listener;
    private static bool passedOver;

    // Never disposed: a handler may be about to cancel it. It has no timer, so there is nothing to free.
    private readonly CancellationTokenSource source = new();
    private readonly Action onFirst;
    private bool asked;

    /// <summary>Starts to listen, in the place of whoever listened before.</summary>
    /// <param name="onFirst">Told of the first signal, on another thread; what it throws is nobody's concern.</param>
    public StopSignals(Action onFirst)
    {
        this.onFirst = onFirst;
        lock (Gate)
        {
            listener = this;
            passedOver = false;
            if (registrations.Length == 0)
            {
                registrations =
                [
                    .. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP }.Select(signal =>
                        PosixSignalRegistration.Create(signal, context => context.Cancel = Heed())
                    ),
                ];
            }
        }
    }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => source.Token;

    /// <summary>Lets go of the signals: what was waited for has ended.</summary>
    public void Dispose()
    {
        lock (Gate)
        {
            if (listener == this)
            {
                listener = null;
            }
        }
    }

    /// <summary>A signal has come; returns whether it is to do nothing beyond what is done here.</summary>
    internal static bool Heed()
    {
        StopSignals to;
        lock (Gate)
        {
            if (listener is null)
            {
                bool first = !passedOver;
                passedOver = true;
                return first;
            }
            to = listener;
            if (to.asked)
            {
                EndAtOnce();
            }
            to.asked = true;
        }
        try
        {
            to.source.Cancel();
            to.onFirst();
        }
        catch (Exception)
        {
            // An exception on a signal's thread would end the process, and a terminal that went away cannot be written to.
        }
        return true;
    }

    /// <summary>Ends the process without a goodbye: an orderly exit takes libtorch's globals down under the threads that compute with them.</summary>
    private static void EndAtOnce()
    {
        if (OperatingSystem.IsWindows())
        {
            Environment.Exit(ExitCode);
        }
        ExitNow(ExitCode);
    }

    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void ExitNow(int status);
}
