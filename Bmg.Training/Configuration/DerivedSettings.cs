namespace Bmg.Training.Configuration;

/// <summary>What follows from a configuration: computed here alone, never given and never written into a configuration file.</summary>
/// <param name="Seeds">Seed of each member: seed, seed + 1, ….</param>
/// <param name="Threads">Threads of the tensor library on this machine.</param>
/// <param name="TargetOptimizer">Optimizer of the target's last step.</param>
public sealed record DerivedSettings(IReadOnlyList<long> Seeds, int Threads, OptimizerSettings TargetOptimizer)
{
    /// <summary>What follows from <paramref name="configuration"/> on this machine.</summary>
    public static DerivedSettings Of(RunConfiguration configuration) =>
        new(
            [.. Enumerable.Range(0, configuration.Members).Select(i => configuration.Seed + i)],
            configuration.Threads > 0 ? configuration.Threads : Environment.ProcessorCount,
            configuration.Target.Optimizer ?? configuration.Learner.Optimizer
        );
}
