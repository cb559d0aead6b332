using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Configuration;

/// <summary>How configuration records and JSON correspond: names, kinds and ranges of settings, in one place for reader, writer and schema.</summary>
public static class ConfigurationJson
{
    /// <summary>The key at the top by which an editor finds the schema; the reader passes over it.</summary>
    public const string SchemaKey = "$schema";

    private static readonly NullabilityInfoContext Nullability = new();
    private static readonly Lock NullabilityGate = new();

    /// <summary>Camel-case settings, kebab-case choices, indented.</summary>
    public static JsonSerializerOptions Indented { get; } = Options(indented: true);

    /// <summary>The same on one line.</summary>
    public static JsonSerializerOptions OneLine { get; } = Options(indented: false);

    /// <summary>The whole configuration, every setting spelt out, as <see cref="ConfigurationReader"/> reads it.</summary>
    public static string ToJson(this RunConfiguration configuration) =>
        JsonSerializer.Serialize(configuration, Indented) + "\n";

    /// <summary>Reads a document that holds resolved configurations, those of earlier versions too; their parts are not bound.</summary>
    /// <exception cref="JsonException">It is another document.</exception>
    internal static T? Read<T>(string text, JsonSerializerOptions options)
    {
        JsonNode? document = JsonNode.Parse(text);
        EarlierLayout.MendWithin(document);
        return document.Deserialize<T>(options);
    }

    /// <summary>A part as an object: its name under a key, then its settings.</summary>
    internal static JsonObject WritePart(Part part, string key)
    {
        JsonObject written = new() { [key] = part.Name };
        JsonObject settings = part.Settings is { } bound
            ? JsonSerializer.SerializeToNode(bound, bound.GetType(), OneLine)!.AsObject()
            : part.Written ?? [];
        foreach ((string name, JsonNode? value) in settings)
        {
            written[name] = value?.DeepClone();
        }
        return written;
    }

    /// <summary>The settings in which two configurations differ, as "learner.targetSteps: 8, now 16".</summary>
    public static IReadOnlyList<string> Differences(RunConfiguration then, RunConfiguration now)
    {
        List<string> differences = [];
        Compare(
            "",
            JsonSerializer.SerializeToNode(then, OneLine),
            JsonSerializer.SerializeToNode(now, OneLine),
            differences
        );
        return differences;
    }

    /// <summary>The choices of an enum by their JSON name.</summary>
    internal static Dictionary<string, object> EnumValues(Type type) =>
        Enum.GetValues(type)
            .Cast<object>()
            .ToDictionary(value => JsonSerializer.SerializeToElement(value, OneLine).GetString()!);

    /// <summary>How a choice is written in a configuration.</summary>
    internal static string Spell<T>(T choice)
        where T : struct, Enum => JsonSerializer.SerializeToElement(choice, OneLine).GetString()!;

    /// <summary>What a list holds; null where <paramref name="type"/> is no list.</summary>
    internal static Type? ElementType(Type type) =>
        type.IsArray ? type.GetElementType()
        : type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>)
            ? type.GetGenericArguments()[0]
        : null;

    /// <summary>Whether a setting may be null.</summary>
    internal static bool MayBeNull(PropertyInfo property)
    {
        lock (NullabilityGate)
        {
            return Nullability.Create(property).WriteState == NullabilityState.Nullable;
        }
    }

    /// <summary>The range that every numeric setting declares.</summary>
    internal static RangeAttribute RangeOf(PropertyInfo property) =>
        property.GetCustomAttribute<RangeAttribute>()
        ?? throw new InvalidOperationException($"{property.DeclaringType!.Name}.{property.Name} declares no range.");

    /// <summary>The ends of a range.</summary>
    internal static (double Low, double High) Bounds(RangeAttribute range) =>
        (Convert.ToDouble(range.Minimum, null), Convert.ToDouble(range.Maximum, null));

    private static void Compare(string path, JsonNode? then, JsonNode? now, List<string> differences)
    {
        if (then is JsonObject a && now is JsonObject b)
        {
            // Two parts of one kind may have other settings each.
            foreach (string key in a.Select(each => each.Key).Union(b.Select(each => each.Key)))
            {
                Compare(path.Length == 0 ? key : $"{path}.{key}", a[key], b[key], differences);
            }
        }
        else if (!JsonNode.DeepEquals(then, now))
        {
            differences.Add($"{path}: {Text(then)}, now {Text(now)}");
        }
    }

    private static string Text(JsonNode? node) => node?.ToJsonString(OneLine) ?? "null";

    private static JsonSerializerOptions Options(bool indented)
    {
        JsonSerializerOptions options = new()
        {
            PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
            WriteIndented = indented,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
            TypeInfoResolver = new DefaultJsonTypeInfoResolver { Modifiers = { PartJson.Describe } },
            Converters =
            {
                new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower, allowIntegerValues: false),
                new PartJson.InliningConverters(),
                PartJson.Anywhere,
            },
        };
        options.MakeReadOnly();
        return options;
    }
}
