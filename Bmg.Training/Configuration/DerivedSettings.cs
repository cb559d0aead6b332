namespace Bmg.Training.Configuration;

/// <summary>What follows from a configuration: computed here alone, never given and never written into a configuration file.</summary>
/// <param name="Seeds">Seed of each member: those that are listed, or seed, seed + 1, ….</param>
/// <param name="Threads">Threads of the tensor library on this machine.</param>
public sealed record DerivedSettings(IReadOnlyList<long> Seeds, int Threads)
{
    /// <summary>What follows from <paramref name="configuration"/> on this machine.</summary>
    /// <exception cref="ArgumentException">It lists seeds, but not one for each of its members; one that was read never does.</exception>
    public static DerivedSettings Of(RunConfiguration configuration) =>
        new(SeedsOf(configuration), configuration.Threads > 0 ? configuration.Threads : Environment.ProcessorCount);

    private static IReadOnlyList<long> SeedsOf(RunConfiguration configuration) =>
        configuration.Seeds.Count == 0
            ? [.. Enumerable.Range(0, configuration.Members).Select(i => configuration.Seed + i)]
        : configuration.Seeds.Count == configuration.Members ? configuration.Seeds
        : throw new ArgumentException(
            $"Configuration: found {configuration.Members} members and {configuration.Seeds.Count} seeds, expected a seed for each member.",
            nameof(configuration)
        );
}
