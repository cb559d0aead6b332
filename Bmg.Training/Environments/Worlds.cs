using Bmg.Export.Onnx;
using Bmg.Training.Configuration;

namespace Bmg.Training.Environments;

/// <summary>The kinds of world there are: the one place where settings become one.</summary>
public static class Worlds
{
    /// <summary>What the configured world is.</summary>
    public static WorldDescription Describe(RunConfiguration configuration) =>
        configuration.Experiment switch
        {
            ExperimentKind.TwoColors => TwoColors.Kind,
            ExperimentKind.SwitchingMdps => SwitchingMdps.Describe(configuration.Environment.Side),
            _ => throw new NotSupportedException($"experiment '{configuration.Experiment}'"),
        };

    /// <summary>Every observation that the configured world can show, row after row; null where there are too many to list.</summary>
    public static float[]? AllObservations(RunConfiguration configuration) =>
        configuration.Experiment switch
        {
            ExperimentKind.TwoColors => TwoColors.AllObservations(),
            _ => OneHotLayout.All(Describe(configuration).ObservationLayout),
        };

    /// <summary>The configured worlds, one a seed.</summary>
    public static IWorlds Create(RunConfiguration configuration, IReadOnlyList<Seed> seeds) =>
        configuration.Experiment switch
        {
            ExperimentKind.TwoColors => new TwoColors(
                seeds,
                configuration.Environment.Respawn,
                configuration.Environment.SwapPeriod
            ),
            ExperimentKind.SwitchingMdps => new SwitchingMdps(
                seeds,
                configuration.Environment.Worlds,
                configuration.Environment.Side,
                configuration.Environment.MostWalls,
                configuration.Environment.SwapPeriod
            ),
            _ => throw new NotSupportedException($"experiment '{configuration.Experiment}'"),
        };
}
