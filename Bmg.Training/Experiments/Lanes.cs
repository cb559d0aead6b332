using System.Runtime.ExceptionServices;

namespace Bmg.Training.Experiments;

/// <summary>
/// Threads that run the parts of one piece of work side by side, the same part always on the same thread: the first on the caller's, each
/// other on one of its own. The allocator keeps what a thread frees for that thread, so parts that wandered over a pool would leave memory
/// behind on every thread they visit.
/// </summary>
internal sealed class Lanes : IDisposable
{
    private readonly Thread[] _threads;
    private readonly Barrier _barrier;
    private readonly Exception?[] _failures;
    private Action<int>? _work;

    /// <summary>Threads for so many parts, the caller's included.</summary>
    public Lanes(int count)
    {
        _failures = new Exception?[count];
        _barrier = new Barrier(count);
        _threads = new Thread[count - 1];
        for (var i = 1; i < count; i++)
        {
            var lane = i;
            _threads[lane - 1] = new Thread(() => Serve(lane)) { IsBackground = true, Name = $"part {lane}" };
            _threads[lane - 1].Start();
        }
    }

    /// <summary>Runs <paramref name="work"/> for every part and returns when all are done. The failure of the first part that failed is thrown
    /// again. Not to be called from several threads at once.</summary>
    public void Run(Action<int> work)
    {
        Array.Clear(_failures);
        _work = work;
        _barrier.SignalAndWait();
        Try(0);
        _barrier.SignalAndWait();
        if (Array.Find(_failures, f => f is not null) is { } failure)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _work = null;
        _barrier.SignalAndWait();
        foreach (var thread in _threads)
        {
            thread.Join();
        }

        _barrier.Dispose();
    }

    private void Serve(int lane)
    {
        while (true)
        {
            _barrier.SignalAndWait();
            if (_work is null)
            {
                return;
            }

            Try(lane);
            _barrier.SignalAndWait();
        }
    }

    private void Try(int lane)
    {
        try
        {
            _work!(lane);
        }
        catch (Exception failure)
        {
            _failures[lane] = failure;
        }
    }
}
