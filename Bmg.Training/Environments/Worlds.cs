using Bmg.Training.Configuration;

namespace Bmg.Training.Environments;

/// <summary>The world of a configuration.</summary>
public static class Worlds
{
    /// <summary>What the configured world is.</summary>
    public static WorldDescription Describe(RunConfiguration configuration) => KindOf(configuration).Description;

    /// <summary>Every observation that the configured world can show, row after row; null where there are too many to list.</summary>
    public static float[]? AllObservations(RunConfiguration configuration) => KindOf(configuration).AllObservations();

    /// <summary>The configured worlds, one a seed.</summary>
    public static IWorlds Create(RunConfiguration configuration, IReadOnlyList<Seed> seeds) =>
        KindOf(configuration).Create(seeds);

    /// <summary>The configured kind of world.</summary>
    internal static IWorldKind KindOf(RunConfiguration configuration) =>
        configuration.Environment.Make(EnvironmentKinds.Environment);
}
