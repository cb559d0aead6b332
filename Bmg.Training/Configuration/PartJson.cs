using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Configuration;

/// <summary>Parts in JSON: an object with the part's name and its settings; of an inlined part, among the settings of the record that holds it.
/// What is read this way is not bound.</summary>
internal static class PartJson
{
    /// <summary>Tells the serializer of the parts in a record.</summary>
    public static void Describe(JsonTypeInfo type)
    {
        foreach (JsonPropertyInfo property in type.Properties)
        {
            if (
                property.PropertyType == typeof(Part)
                && property.AttributeProvider is PropertyInfo declared
                && declared.GetCustomAttribute<PartOfAttribute>() is { } kind
            )
            {
                property.CustomConverter = new Converter(kind);
            }
        }
    }

    /// <summary>The property of a record whose part's settings stand among the record's own; null where there is none.</summary>
    public static PropertyInfo? Inlined(Type record) =>
        record.IsClass && record != typeof(string) && ConfigurationJson.ElementType(record) is null
            ? record
                .GetProperties()
                .FirstOrDefault(property => property.GetCustomAttribute<PartOfAttribute>()?.Inlined == true)
            : null;

    /// <summary>A part from the object that holds it.</summary>
    private static Part Read(JsonObject written, PartOfAttribute kind)
    {
        string name = kind.Default;
        if (written.TryGetPropertyValue(kind.Key, out JsonNode? given))
        {
            name =
                given?.GetValueKind() == JsonValueKind.String
                    ? given.GetValue<string>()
                    : throw new JsonException(
                        $"{kind.Key}: found {given?.ToJsonString() ?? "null"}, expected the name of a part"
                    );
            written.Remove(kind.Key);
        }
        return Part.Unbound(kind.Kind, name, written);
    }

    /// <summary>A converter for parts wherever they stand, so that nothing looks into them; properties have their own.</summary>
    public static JsonConverter<Part> Anywhere { get; } = new Converter(new PartOfAttribute("part", ""));

    private sealed class Converter(PartOfAttribute kind) : JsonConverter<Part>
    {
        public override Part? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
            JsonNode.Parse(ref reader) switch
            {
                null => null,
                JsonObject written => PartJson.Read(written, kind),
                _ => throw new JsonException("expected an object, { … }"),
            };

        public override void Write(Utf8JsonWriter writer, Part value, JsonSerializerOptions options) =>
            ConfigurationJson.WritePart(value, kind.Key).WriteTo(writer, options);
    }

    /// <summary>Records whose part's settings stand among their own.</summary>
    public sealed class InliningConverters : JsonConverterFactory
    {
        /// <inheritdoc/>
        public override bool CanConvert(Type typeToConvert) => Inlined(typeToConvert) is not null;

        /// <inheritdoc/>
        public override JsonConverter CreateConverter(Type typeToConvert, JsonSerializerOptions options) =>
            (JsonConverter)Activator.CreateInstance(typeof(InliningConverter<>).MakeGenericType(typeToConvert))!;
    }

    private sealed class InliningConverter<T> : JsonConverter<T>
        where T : class, new()
    {
        private readonly PropertyInfo part = Inlined(typeof(T))!;
        private readonly PartOfAttribute kind = Inlined(typeof(T))!.GetCustomAttribute<PartOfAttribute>()!;

        public override T Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
        {
            JsonObject written =
                JsonNode.Parse(ref reader) as JsonObject ?? throw new JsonException("expected an object, { … }");
            Dictionary<PropertyInfo, object?> changes = [];
            foreach ((string key, PropertyInfo property) in SettingsRecord.Settings(typeof(T)))
            {
                if (property != part && written.Remove(key, out JsonNode? value))
                {
                    changes[property] = value.Deserialize(property.PropertyType, options);
                }
            }
            changes[part] = PartJson.Read(written, kind);
            return (T)SettingsRecord.With(new T(), changes);
        }

        public override void Write(Utf8JsonWriter writer, T value, JsonSerializerOptions options)
        {
            JsonObject all = ConfigurationJson.WritePart((Part)part.GetValue(value)!, kind.Key);
            foreach ((string key, PropertyInfo property) in SettingsRecord.Settings(typeof(T)))
            {
                if (property != part)
                {
                    all[key] = JsonSerializer.SerializeToNode(property.GetValue(value), property.PropertyType, options);
                }
            }
            all.WriteTo(writer, options);
        }
    }
}
