using System.Diagnostics.CodeAnalysis;
using System.Text.Json.Nodes;

namespace Bmg.Training.Catalogues;

/// <summary>
/// A part of a configuration: which one of its kind, and its settings. What was read with a catalogue is bound: its settings are an instance of
/// the record that the part was registered with. What was read without one, from the record of a run say, keeps them as they stand there.
/// </summary>
public sealed record Part
{
    private Part(string kind, string name) => (Kind, Name) = (kind, name);

    /// <summary>Its kind ("environment").</summary>
    public string Kind { get; }

    /// <summary>Its name in the catalogue ("two-colors").</summary>
    public string Name { get; }

    /// <summary>Its settings; null of a part that is not bound.</summary>
    public object? Settings => Definition is null ? null : _settings;

    /// <summary>What it was registered as; null of a part that is not bound.</summary>
    public PartDefinition? Definition { get; private init; }

    /// <summary>Its settings as they were written, without its name; null of a part that is bound.</summary>
    internal JsonObject? Written { get; private init; }

    private object? _settings { get; init; }

    /// <summary>A registered part with settings of its own.</summary>
    public static Part Bound(PartDefinition definition, object settings) =>
        new(definition.Kind, definition.Name) { Definition = definition, _settings = settings };

    /// <summary>A part whose settings are not known, or are those of its registration: the default of a configuration.</summary>
    public static Part Unbound(string kind, string name, JsonObject? written = null) =>
        new(kind, name) { Written = written };

    /// <summary>The same part with other settings.</summary>
    public Part With(object settings) => this with { _settings = settings };

    /// <summary>What it makes of its settings.</summary>
    /// <exception cref="InvalidOperationException">It is of another kind, or not bound: a mistake of the caller.</exception>
    public T Make<T>(PartKind<T> kind) =>
        Kind == kind.Name && Definition?.Make(Settings!) is T made
            ? made
            : throw new InvalidOperationException(
                $"Part.Make: expected {kind.Name} that makes {typeof(T).Name}, found {Kind} \"{Name}\"{(Definition is null ? ", which is not bound" : "")}."
            );

    /// <summary>Its settings, as the record that they are.</summary>
    /// <exception cref="InvalidOperationException">They are of another record, or it is not bound: a mistake of the caller.</exception>
    public T As<T>()
        where T : class => TryAs(out T? settings) ? settings : throw Mismatch<T>();

    /// <summary>Its settings, where they are of this record.</summary>
    public bool TryAs<T>([NotNullWhen(true)] out T? settings)
        where T : class
    {
        settings = Settings as T;
        return settings is not null;
    }

    private InvalidOperationException Mismatch<T>() =>
        new(
            $"Part.As: expected {Kind} \"{Name}\" with settings of {typeof(T).Name}, found {(Settings is null ? "none that are bound" : Settings.GetType().Name)}."
        );
}
