using Bmg.Training.Catalogues;

namespace Bmg.Training.Environments;

/// <summary>An environment with its settings: makes as many of it as there are streams.</summary>
/// <param name="seed">Of the stream, for what belongs to its whole life and is not drawn on the way, such as a set of worlds; chance on the
/// way comes from the generator that <see cref="IEnvironment.Reset"/> and <see cref="IEnvironment.Step"/> are handed.</param>
public delegate IEnvironment MakeEnvironment(Seed seed);

/// <summary>Settings of an environment that needs much memory, so that one that cannot fit is refused before it is made.</summary>
public interface IEnvironmentMemory
{
    /// <summary>The setting that makes it large, whose square it grows with, and the bytes of one stream.</summary>
    (string Setting, double Bytes) Memory { get; }
}

/// <summary>The kinds of part that this floor brings.</summary>
public static class EnvironmentKinds
{
    /// <summary>Environments.</summary>
    public static PartKind<MakeEnvironment> Environment { get; } = new("environment", "AddEnvironment");
}

/// <summary>The environment of a configuration.</summary>
public static class ConfiguredEnvironment
{
    /// <summary>A stream of it.</summary>
    /// <exception cref="EnvironmentException">It cannot be made.</exception>
    public static IEnvironment Create(Part environment, Seed seed)
    {
        try
        {
            return environment.Make(EnvironmentKinds.Environment)(seed);
        }
        catch (Exception e) when (e is not (BmgException or OperationCanceledException))
        {
            throw new EnvironmentException(
                $"environment '{environment.Name}': its constructor threw {e.GetType().Name}: {e.Message.TrimEnd('.')}.",
                e
            );
        }
    }

    /// <summary>What it shows and takes.</summary>
    /// <exception cref="EnvironmentException">It cannot be made, or its description cannot be used.</exception>
    public static EnvironmentDescription Describe(Part environment) =>
        new EnvironmentGuard(Create(environment, Seed.Of(0)), environment.Name, "its description").Description;
}
