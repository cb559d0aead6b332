using Bmg.Training.Catalogues;

namespace Bmg.Training.Environments;

/// <summary>A kind of world, with its settings.</summary>
public interface IWorldKind
{
    /// <summary>What such worlds are.</summary>
    WorldDescription Description { get; }

    /// <summary>Worlds, one a seed.</summary>
    IWorlds Create(IReadOnlyList<Seed> seeds);

    /// <summary>Every observation that there can be, row after row; null where there are too many to list.</summary>
    float[]? AllObservations();

    /// <summary>Bytes that a member's world needs, and the setting that makes it large; none where it is small.</summary>
    (string Setting, double Bytes)? Memory => null;
}

/// <summary>The kinds of part that this floor brings.</summary>
public static class EnvironmentKinds
{
    /// <summary>Environments.</summary>
    public static PartKind<IWorldKind> Environment { get; } = new("environment", "AddEnvironment");
}
