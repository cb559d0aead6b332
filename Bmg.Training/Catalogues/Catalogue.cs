using System.Reflection;

namespace Bmg.Training.Catalogues;

/// <summary>A kind of part: what its parts make, and how users come by more of them.</summary>
/// <typeparam name="T">What a part of this kind makes of its settings.</typeparam>
/// <param name="Name">What the kind is called ("environment").</param>
/// <param name="Registration">The call that adds a part of this kind ("AddEnvironment").</param>
public sealed record PartKind<T>(string Name, string Registration);

/// <summary>The assembly that brings a part.</summary>
/// <param name="Assembly">Its name.</param>
/// <param name="Version">Its version.</param>
public sealed record PartOrigin(string Assembly, string Version);

/// <summary>A registered part.</summary>
/// <param name="Kind">Name of its kind.</param>
/// <param name="Name">Its own name.</param>
/// <param name="Defaults">Its settings where none are given.</param>
/// <param name="Origin">Who brings it.</param>
public sealed record PartDefinition(string Kind, string Name, object Defaults, PartOrigin Origin)
{
    /// <summary>The catalogue that it is in.</summary>
    public required Catalogue Catalogue { get; init; }

    internal Func<object, object> Make { get; init; } = _ => throw new InvalidOperationException("not registered");
}

/// <summary>
/// The parts that there are, by kind and name. The library's own are registered by the same calls as a user's; nothing here knows one of them.
/// </summary>
public sealed class Catalogue
{
    private readonly Dictionary<string, KindOfPart> _kinds = [];

    /// <summary>Registers a part.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="name">Its name in configurations: letters, digits, '.', '_' and '-'.</param>
    /// <param name="defaults">Its settings where none are given: a record whose properties carry their meaning, range and source as
    /// attributes. Numbers have a [Range].</param>
    /// <param name="make">What it makes of its settings.</param>
    /// <exception cref="ArgumentException">There is one of that name, or the name or the settings cannot be used.</exception>
    public void Add<T, TSettings>(PartKind<T> kind, string name, TSettings defaults, Func<TSettings, T> make)
        where TSettings : class => Add(kind, name, defaults, make, make);

    /// <summary>Registers a part that somebody made of another function.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="name">What a configuration calls it.</param>
    /// <param name="defaults">Its settings as they are where a configuration says nothing.</param>
    /// <param name="make">What it makes of its settings.</param>
    /// <param name="brought">The function that was given, whose assembly brings the part.</param>
    internal void Add<T, TSettings>(
        PartKind<T> kind,
        string name,
        TSettings defaults,
        Func<TSettings, T> make,
        Delegate brought
    )
        where TSettings : class
    {
        ArgumentNullException.ThrowIfNull(kind);
        ArgumentNullException.ThrowIfNull(defaults);
        ArgumentNullException.ThrowIfNull(make);
        ArgumentNullException.ThrowIfNull(brought);
        if (string.IsNullOrEmpty(name) || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-'))
        {
            throw new ArgumentException(
                $"{kind.Registration}: found the name \"{name}\", expected letters, digits, '.', '_' and '-'.",
                nameof(name)
            );
        }

        var parts = Of(kind);
        if (parts.Definitions.TryGetValue(name, out var there))
        {
            throw new ArgumentException(
                $"{kind.Registration}: there is {kind.Name} \"{name}\" already, from {there.Origin.Assembly}. Expected another name.",
                nameof(name)
            );
        }

        // The most derived type decides: a caller may hold the settings as a base of theirs.
        if (SettingsRecord.Problem(defaults.GetType()) is { } problem)
        {
            throw new ArgumentException($"{kind.Registration} \"{name}\": {problem}.", nameof(defaults));
        }

        parts.Definitions.Add(
            name,
            new PartDefinition(kind.Name, name, defaults, OriginOf(brought.Method.Module.Assembly))
            {
                Catalogue = this,
                Make = settings => make((TSettings)settings)!,
            }
        );
    }

    /// <summary>Kinds that have a part.</summary>
    public IReadOnlyList<string> Kinds => [.. _kinds.Keys];

    /// <summary>Parts of a kind, in the order in which they were registered.</summary>
    public IReadOnlyList<PartDefinition> Parts(string kind) =>
        _kinds.TryGetValue(kind, out var parts) ? [.. parts.Definitions.Values] : [];

    /// <summary>A part by name; null where there is none.</summary>
    public PartDefinition? Find(string kind, string name) =>
        _kinds.TryGetValue(kind, out var parts) && parts.Definitions.TryGetValue(name, out var each) ? each : null;

    /// <summary>What to say of a name that is not registered: the nearest one, or all, and how to add one.</summary>
    public string Unknown(string kind, string name)
    {
        string[] names = [.. Parts(kind).Select(part => part.Name)];
        var near = Suggestion.Nearest(name, names) is { } hit ? $"did you mean \"{hit}\"? " : "";
        var known = names.Length > 0 ? string.Join(", ", names.Select(each => $"\"{each}\"")) : "none";
        var add = _kinds.TryGetValue(kind, out var parts) ? $"; {parts.Registration} registers one of your own" : "";
        return $"found \"{name}\", which is not registered in this program: {near}Known: {known}{add}";
    }

    private KindOfPart Of<T>(PartKind<T> kind)
    {
        if (!_kinds.TryGetValue(kind.Name, out var parts))
        {
            parts = new KindOfPart(typeof(T), kind.Registration, []);
            _kinds.Add(kind.Name, parts);
        }

        return parts.Product == typeof(T)
            ? parts
            : throw new ArgumentException(
                $"Catalogue: found kind \"{kind.Name}\" of {typeof(T).Name}, expected {parts.Product.Name}, which its parts make."
            );
    }

    private static PartOrigin OriginOf(Assembly assembly) =>
        new(
            assembly.GetName().Name ?? "unknown",
            assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
                ?? $"{assembly.GetName().Version}"
        );

    private sealed record KindOfPart(Type Product, string Registration, Dictionary<string, PartDefinition> Definitions);
}
