using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using System.Text.Json.Serialization.Metadata;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Configuration;

/// <summary>The JSON schemas of configurations, made from the records: what an editor needs to complete, explain and check a file.</summary>
public static class ConfigurationSchema
{
    /// <summary>The schema of a run's configuration, as published in paper-configs/schema.json for the library's parts.</summary>
    /// <param name="catalogue">The parts that it can name.</param>
    public static string Text(Catalogue catalogue) =>
        Text(typeof(RunConfiguration), "Configuration of a Bmg run", catalogue);

    /// <summary>The schema of any file that is read into a record.</summary>
    /// <param name="record">The record.</param>
    /// <param name="title">What the file is.</param>
    /// <param name="catalogue">The parts that it can name; null for a record without any.</param>
    public static string Text(Type record, string title, Catalogue? catalogue = null)
    {
        JsonObject schema = Of(record, null, catalogue);
        JsonObject settings = schema["properties"]!.AsObject();
        settings.Insert(0, ConfigurationJson.SchemaKey, new JsonObject { ["type"] = "string" });
        schema.Insert(0, "$schema", "https://json-schema.org/draft/2020-12/schema");
        schema.Insert(1, "title", title);
        return schema.ToJsonString(ConfigurationJson.Indented) + "\n";
    }

    /// <summary>The schema of a record whose defaults are those of an instance, or of a new one.</summary>
    private static JsonObject Of(Type record, object? defaults, Catalogue? catalogue)
    {
        JsonSchemaExporterOptions options = new()
        {
            TreatNullObliviousAsNonNullable = true,
            TransformSchemaNode = (context, node) => Describe(context, node, record, defaults, catalogue),
        };
        return ConfigurationJson.Indented.GetJsonSchemaAsNode(record, options).AsObject();
    }

    /// <summary>One of the parts of a kind, each by its name and with its own settings; <paramref name="besides"/> stand in the same object.</summary>
    private static JsonArray Parts(PartOfAttribute kind, JsonObject? besides, Catalogue? catalogue)
    {
        JsonArray parts = [];
        foreach (PartDefinition part in catalogue?.Parts(kind.Kind) ?? [])
        {
            JsonObject schema = Of(part.Defaults.GetType(), part.Defaults, catalogue);
            JsonObject own = schema["properties"] as JsonObject ?? [];
            JsonObject settings = new() { [kind.Key] = new JsonObject { ["const"] = part.Name } };
            foreach ((string key, JsonNode? value) in (besides ?? []).Concat(own))
            {
                settings[key] = value?.DeepClone();
            }
            JsonObject one = new()
            {
                ["type"] = "object",
                ["properties"] = settings,
                ["additionalProperties"] = false,
            };
            if (part.Name != kind.Default)
            {
                one["required"] = new JsonArray(kind.Key);
            }
            parts.Add(one);
        }
        return parts;
    }

    /// <summary>Whether a record holds the settings of a part of this kind.</summary>
    private static bool IsInside(PartOfAttribute kind, Catalogue? catalogue, Type record) =>
        catalogue?.Parts(kind.Kind).Any(part => part.Defaults.GetType() == record) == true;

    /// <summary>A record whose part's settings stand among its own.</summary>
    private static JsonObject Inlining(Type record, Catalogue? catalogue)
    {
        PropertyInfo inlined = PartJson.Inlined(record)!;
        JsonObject besides = [];
        foreach ((string key, PropertyInfo other) in SettingsRecord.Settings(record))
        {
            if (other != inlined)
            {
                JsonObject own = ConfigurationJson.Indented.GetJsonSchemaAsNode(other.PropertyType).AsObject();
                Annotate(own, other, Activator.CreateInstance(record));
                besides[key] = own;
            }
        }
        return new JsonObject { ["anyOf"] = Parts(inlined.GetCustomAttribute<PartOfAttribute>()!, besides, catalogue) };
    }

    private static JsonNode Describe(
        JsonSchemaExporterContext context,
        JsonNode node,
        Type record,
        object? defaults,
        Catalogue? catalogue
    )
    {
        if (
            context.PropertyInfo?.AttributeProvider is PropertyInfo declared
            && declared.PropertyType == typeof(Part)
            && declared.GetCustomAttribute<PartOfAttribute>() is { } part
        )
        {
            JsonArray parts = Parts(part, null, catalogue);
            if (ConfigurationJson.MayBeNull(declared))
            {
                parts.Add(new JsonObject { ["type"] = "null" });
            }
            JsonObject choice = new() { ["anyOf"] = parts };
            if (declared.GetCustomAttribute<DescriptionAttribute>() is { } meaning)
            {
                choice.Insert(0, "description", meaning.Description);
            }
            return choice;
        }
        if (node is not JsonObject schema)
        {
            return node;
        }
        Require(context.TypeInfo, schema);
        if (context.PropertyInfo?.AttributeProvider is PropertyInfo property)
        {
            Type? element = ConfigurationJson.ElementType(property.PropertyType);
            if (element == typeof(Part) && property.GetCustomAttribute<PartOfAttribute>() is { } kind)
            {
                // A part may hold parts of its own kind: those inside are not described again.
                schema["items"] = IsInside(kind, catalogue, record)
                    ? new JsonObject { ["type"] = "object" }
                    : new JsonObject { ["anyOf"] = Parts(kind, null, catalogue) };
            }
            else if (element is not null && PartJson.Inlined(element) is not null)
            {
                schema["items"] = Inlining(element, catalogue);
            }
            Annotate(
                schema,
                property,
                property.DeclaringType == record && defaults is not null
                    ? defaults
                    : Activator.CreateInstance(property.DeclaringType!)
            );
        }
        return schema;
    }

    /// <summary>What the attributes of a setting say, and its default in a record.</summary>
    private static void Annotate(JsonObject schema, PropertyInfo property, object? record)
    {
        JsonObject numbers = schema["items"] as JsonObject ?? schema;
        if (property.GetCustomAttribute<RangeAttribute>() is { } range)
        {
            (double low, double high) = ConfigurationJson.Bounds(range);
            numbers[range.MinimumIsExclusive ? "exclusiveMinimum" : "minimum"] = low;
            numbers[range.MaximumIsExclusive ? "exclusiveMaximum" : "maximum"] = high;
        }
        if (property.GetCustomAttribute<LengthAttribute>() is { } length)
        {
            schema["minItems"] = length.MinimumLength;
            schema["maxItems"] = length.MaximumLength;
        }
        if (property.GetCustomAttribute<RegularExpressionAttribute>() is { } pattern)
        {
            schema["pattern"] = pattern.Pattern;
        }
        if (property.GetCustomAttribute<DescriptionAttribute>() is { } description)
        {
            schema.Insert(0, "description", description.Description);
        }
        if (!schema.ContainsKey("properties") && property.GetCustomAttribute<RequiredAttribute>() is null)
        {
            object? value = property.GetValue(record);
            schema["default"] = JsonSerializer.SerializeToNode(value, property.PropertyType, ConfigurationJson.OneLine);
        }
    }

    /// <summary>Says which settings of a record have no default.</summary>
    private static void Require(JsonTypeInfo type, JsonObject schema)
    {
        string[] required =
        [
            .. type
                .Properties.Where(property =>
                    property.AttributeProvider?.IsDefined(typeof(RequiredAttribute), inherit: true) == true
                )
                .Select(property => property.Name),
        ];
        if (schema.ContainsKey("properties") && required.Length > 0)
        {
            schema["required"] = new JsonArray([.. required.Select(name => (JsonNode)name)]);
        }
    }
}
