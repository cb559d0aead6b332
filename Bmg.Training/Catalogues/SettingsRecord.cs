using System.Reflection;
using System.Text.Json;

namespace Bmg.Training.Catalogues;

/// <summary>
/// What a settings record is to the library: public properties that are set when it is made, by init or by a constructor with a parameter for
/// each, as C# and F# records have them.
/// </summary>
internal static class SettingsRecord
{
    /// <summary>The settings of a record by their JSON name, in the order of declaration.</summary>
    public static Dictionary<string, PropertyInfo> Settings(Type record) =>
        record
            .GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Where(property => property.CanWrite || Parameter(record, property) is not null)
            .Where(property =>
                property.GetCustomAttribute<System.Text.Json.Serialization.JsonExtensionDataAttribute>() is null
            )
            .ToDictionary(property => JsonNamingPolicy.CamelCase.ConvertName(property.Name));

    /// <summary>A record like another with some settings changed.</summary>
    /// <param name="like">The record, which stays as it is.</param>
    /// <param name="changes">New values by property.</param>
    public static object With(object like, IReadOnlyDictionary<PropertyInfo, object?> changes)
    {
        var type = like.GetType();
        if (Maker(type) is { } maker)
        {
            return maker.Invoke([
                .. maker
                    .GetParameters()
                    .Select(parameter =>
                        changes.FirstOrDefault(change => Same(parameter, change.Key)) is { Key: not null } change
                            ? change.Value
                            : type.GetProperties().First(property => Same(parameter, property)).GetValue(like)
                    ),
            ]);
        }

        var made = Activator.CreateInstance(type)!;
        foreach (var property in Settings(type).Values)
        {
            property.SetValue(made, changes.TryGetValue(property, out var value) ? value : property.GetValue(like));
        }

        return made;
    }

    /// <summary>What keeps a type from being a settings record; null where nothing does.</summary>
    public static string? Problem(Type type) =>
        type.GetConstructor(Type.EmptyTypes) is null && Maker(type) is null
            ? $"{type.Name} has no constructor without parameters, nor one with a parameter for each of its properties"
            : null;

    /// <summary>The constructor that takes every property of a record without another way to set them; null where there is one.</summary>
    private static ConstructorInfo? Maker(Type type)
    {
        var properties = type.GetProperties(BindingFlags.Public | BindingFlags.Instance);
        return type.GetConstructor(Type.EmptyTypes) is not null
            ? null
            : type.GetConstructors()
                .FirstOrDefault(constructor =>
                    constructor.GetParameters() is { Length: > 0 } parameters
                    && parameters.All(parameter => properties.Any(property => Same(parameter, property)))
                );
    }

    private static ParameterInfo? Parameter(Type record, PropertyInfo property) =>
        Maker(record)?.GetParameters().FirstOrDefault(parameter => Same(parameter, property));

    private static bool Same(ParameterInfo parameter, PropertyInfo property) =>
        string.Equals(parameter.Name, property.Name, StringComparison.OrdinalIgnoreCase)
        && parameter.ParameterType == property.PropertyType;
}
