using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;

namespace Bmg.Training.Environments;

/// <summary>An environment with its settings: makes as many of it as there are streams. Seeds are those of streams, for what belongs to a
/// whole life and is not drawn on the way, such as a set of worlds; chance on the way comes from the generator that
/// <see cref="IEnvironment.Reset"/> and <see cref="IEnvironment.Step"/> are handed.</summary>
public sealed class MakeEnvironment
{
    private MakeEnvironment(Func<Seed, IEnvironment> one, Func<IReadOnlyList<Seed>, IBatchedEnvironment>? together)
    {
        (One, Together) = (one, together);
    }

    /// <summary>Of environments of one stream.</summary>
    public MakeEnvironment(Func<Seed, IEnvironment> one)
        : this(one, null) { }

    /// <summary>A stream by itself.</summary>
    public Func<Seed, IEnvironment> One { get; }

    /// <summary>Streams that step together, one a seed; null where each steps by itself.</summary>
    public Func<IReadOnlyList<Seed>, IBatchedEnvironment>? Together { get; }

    /// <summary>Of environments of many streams.</summary>
    public static MakeEnvironment Batched(Func<IReadOnlyList<Seed>, IBatchedEnvironment> together)
    {
        ArgumentNullException.ThrowIfNull(together);
        return new MakeEnvironment(seed => new StreamOfBatch(together([seed]), 0, owns: true), together);
    }
}

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

    /// <summary>Wrappers: an environment over another.</summary>
    public static PartKind<Func<IEnvironment, IEnvironment>> Wrapper { get; } = new("wrapper", "AddWrapper");
}

/// <summary>The environment of a configuration, wrappers included.</summary>
public static class ConfiguredEnvironment
{
    /// <summary>A stream of it.</summary>
    /// <param name="configuration">Names the environment and its wrappers.</param>
    /// <param name="seed">Of the stream.</param>
    /// <param name="phase">Of an environment of several problems that take turns, the one to stay at; null for all.</param>
    /// <exception cref="EnvironmentException">It cannot be made.</exception>
    public static IEnvironment Create(RunConfiguration configuration, Seed seed, int? phase = null)
    {
        var name = configuration.Environment.Name;
        try
        {
            var made = configuration.Environment.Make(EnvironmentKinds.Environment).One(seed);
            if (phase is { } at && made is IPhasedEnvironment phased)
            {
                made = phased.At(at);
            }

            foreach (var wrapper in configuration.Wrappers)
            {
                name = wrapper.Name;
                made = wrapper.Make(EnvironmentKinds.Wrapper)(made);
            }

            return made;
        }
        catch (Exception e) when (e is not (BmgException or OperationCanceledException))
        {
            throw new EnvironmentException(
                $"environment '{name}': its constructor threw {e.GetType().Name}: {e.Message.TrimEnd('.')}.",
                e
            );
        }
    }

    /// <summary>What it shows and takes.</summary>
    /// <exception cref="EnvironmentException">It cannot be made, or its description cannot be used.</exception>
    public static EnvironmentDescription Describe(RunConfiguration configuration)
    {
        var one = new EnvironmentGuard(
            Create(configuration, Seed.Of(0)),
            configuration.Environment.Name,
            "its description"
        );
        one.Release();
        return one.Description;
    }

    /// <summary>Whether the problem changes within so many steps of a stream.</summary>
    public static bool HasChanged(RunConfiguration configuration, long steps)
    {
        var one = new EnvironmentGuard(
            Create(configuration, Seed.Of(0)),
            configuration.Environment.Name,
            "its changes"
        );
        try
        {
            return one.Changes(0, steps).Any();
        }
        finally
        {
            one.Release();
        }
    }

    /// <summary>Every observation that there can be, row after row; null where there are too many to list.</summary>
    public static float[]? AllObservations(RunConfiguration configuration)
    {
        var one = new EnvironmentGuard(
            Create(configuration, Seed.Of(0)),
            configuration.Environment.Name,
            "its observations"
        );
        var all = one.AllObservations();
        one.Release();
        return all;
    }

    /// <summary>Streams that step together, one a seed; null where each is an environment of its own: of one stream, or wrapped.</summary>
    /// <exception cref="EnvironmentException">They cannot be made.</exception>
    public static IBatchedEnvironment? Together(RunConfiguration configuration, IReadOnlyList<Seed> seeds)
    {
        if (
            configuration.Wrappers.Count > 0
            || configuration.Environment.Make(EnvironmentKinds.Environment).Together is not { } make
        )
        {
            return null;
        }

        try
        {
            return make(seeds);
        }
        catch (Exception e) when (e is not (BmgException or OperationCanceledException))
        {
            throw new EnvironmentException(
                $"environment '{configuration.Environment.Name}': making {seeds.Count} streams threw {e.GetType().Name}: {e.Message.TrimEnd('.')}.",
                e
            );
        }
    }

    /// <summary>The environment itself, without wrappers, where it consists of several problems that take turns; null of any other.</summary>
    public static IPhasedEnvironment? Phased(RunConfiguration configuration) =>
        configuration.Environment.Make(EnvironmentKinds.Environment).One(Seed.Of(0)) as IPhasedEnvironment;
}
