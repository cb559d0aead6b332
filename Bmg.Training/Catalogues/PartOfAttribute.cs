namespace Bmg.Training.Catalogues;

/// <summary>Of which kind the part is that a setting holds, or each part of its list.</summary>
/// <param name="kind">Name of the kind ("environment").</param>
/// <param name="default">Name of the part where none is given.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class PartOfAttribute(string kind, string @default) : Attribute
{
    /// <summary>Name of the kind.</summary>
    public string Kind { get; } = kind;

    /// <summary>Name of the part where none is given.</summary>
    public string Default { get; } = @default;

    /// <summary>The key that names the part in JSON.</summary>
    public string Key { get; init; } = "name";

    /// <summary>Whether the part's settings stand in the same JSON object as the other settings of the record that holds it.</summary>
    public bool Inlined { get; init; }
}
