namespace Bmg.Training.Progress;

/// <summary>How a run tells its user what happens.</summary>
/// <param name="Say">Says a line that stays.</param>
/// <param name="Watch">Shows the latest snapshot again and again until the run ends; called on a thread that has nothing else to do.</param>
public sealed record RunReporter(Action<string> Say, Action<Func<RunSnapshot>, Task> Watch)
{
    /// <summary>Says nothing.</summary>
    public static RunReporter Silent { get; } = new(_ => { }, (_, run) => Await(run));

    /// <summary>The same, but a line that cannot be said, on a terminal that went away or a full disk, is no reason to lose a run.</summary>
    public RunReporter Sturdy() =>
        this with
        {
            Say = line =>
            {
                try
                {
                    Say(line);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException or ObjectDisposedException)
                {
                    // The results are in files.
                }
            },
        };

    /// <summary>Waits for the run; how it ended is for others to look at.</summary>
    internal static bool Await(Task run, TimeSpan? atMost = null) =>
        Task.WhenAny(run, Task.Delay(atMost ?? Timeout.InfiniteTimeSpan)).GetAwaiter().GetResult() == run;
}
