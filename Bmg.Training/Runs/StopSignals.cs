using System.Runtime.InteropServices;

namespace Bmg.Training.Runs;

/// <summary>Ctrl-C and SIGTERM: the first asks for a stop with a checkpoint, the second ends the process at once.</summary>
public sealed class StopSignals : IDisposable
{
    /// <summary>What shells expect of a process that ended on Ctrl-C.</summary>
    public const int ExitCode = 130;

    private readonly CancellationTokenSource source = new();
    private readonly PosixSignalRegistration[] registrations;

    /// <summary>Starts to listen.</summary>
    /// <param name="onFirst">Told of the first signal, on another thread.</param>
    public StopSignals(Action onFirst)
    {
        registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle),
            PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle),
        ];

        void Handle(PosixSignalContext context)
        {
            context.Cancel = true;
            if (source.IsCancellationRequested)
            {
                Environment.Exit(ExitCode);
            }
            source.Cancel();
            onFirst();
        }
    }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => source.Token;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in registrations)
        {
            registration.Dispose();
        }
        source.Dispose();
    }
}
