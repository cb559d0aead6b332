using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Schema;
using System.Text.Json.Serialization.Metadata;

namespace Bmg.Training.Configuration;

/// <summary>The JSON schemas of configurations, made from the records: what an editor needs to complete, explain and check a file.</summary>
public static class ConfigurationSchema
{
    /// <summary>The schema as published in paper-configs/schema.json.</summary>
    public static string Text() => Text(typeof(RunConfiguration), "Configuration of a Bmg run");

    /// <summary>The schema of any file that is read into a record.</summary>
    /// <param name="record">The record.</param>
    /// <param name="title">What the file is.</param>
    public static string Text(Type record, string title)
    {
        JsonSchemaExporterOptions options = new()
        {
            TreatNullObliviousAsNonNullable = true,
            TransformSchemaNode = Describe,
        };
        JsonObject schema = ConfigurationJson.Indented.GetJsonSchemaAsNode(record, options).AsObject();
        JsonObject settings = schema["properties"]!.AsObject();
        settings.Insert(0, ConfigurationJson.SchemaKey, new JsonObject { ["type"] = "string" });
        schema.Insert(0, "$schema", "https://json-schema.org/draft/2020-12/schema");
        schema.Insert(1, "title", title);
        return schema.ToJsonString(ConfigurationJson.Indented) + "\n";
    }

    private static JsonNode Describe(JsonSchemaExporterContext context, JsonNode node)
    {
        if (node is not JsonObject schema)
        {
            return node;
        }
        Require(context.TypeInfo, schema);
        if (context.PropertyInfo?.AttributeProvider is not PropertyInfo property)
        {
            return schema;
        }

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
            object? value = property.GetValue(Activator.CreateInstance(property.DeclaringType!));
            schema["default"] = JsonSerializer.SerializeToNode(value, property.PropertyType, ConfigurationJson.OneLine);
        }
        return schema;
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
