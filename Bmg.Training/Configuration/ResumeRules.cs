namespace Bmg.Training.Configuration;

/// <summary>What may differ between a run and one that goes on from its checkpoint: its length, which may grow, its threads,
/// what becomes of members whose numbers stop being finite, and which checkpoints are kept.</summary>
public static class ResumeRules
{
    /// <summary>A configuration with what may differ set to what it was, so that what still differs may not.</summary>
    /// <param name="now">With what the run is to go on.</param>
    /// <param name="then">With what it was made.</param>
    public static RunConfiguration AsBefore(RunConfiguration now, RunConfiguration then) =>
        now with
        {
            EnvironmentSteps = Math.Min(now.EnvironmentSteps, then.EnvironmentSteps),
            Threads = then.Threads,
            Run = now.Run with
            {
                WhenNotFinite = then.Run.WhenNotFinite,
                KeepLast = then.Run.KeepLast,
                KeepBest = then.Run.KeepBest,
            },
        };
}
