using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Schema;

namespace Bmg.Training.Configuration;

/// <summary>The JSON schema of configurations, made from the records: what an editor needs to complete, explain and check a file.</summary>
public static class ConfigurationSchema
{
    /// <summary>The schema as published in paper-configs/schema.json.</summary>
    public static string Text()
    {
        JsonSchemaExporterOptions options = new()
        {
            TreatNullObliviousAsNonNullable = true,
            TransformSchemaNode = Describe,
        };
        JsonObject schema = ConfigurationJson
            .Indented.GetJsonSchemaAsNode(typeof(RunConfiguration), options)
            .AsObject();
        JsonObject settings = schema["properties"]!.AsObject();
        settings.Insert(0, ConfigurationJson.SchemaKey, new JsonObject { ["type"] = "string" });
        schema.Insert(0, "$schema", "https://json-schema.org/draft/2020-12/schema");
        schema.Insert(1, "title", "Configuration of a Bmg run");
        return schema.ToJsonString(ConfigurationJson.Indented) + "\n";
    }

    private static JsonNode Describe(JsonSchemaExporterContext context, JsonNode node)
    {
        if (context.PropertyInfo?.AttributeProvider is not PropertyInfo property || node is not JsonObject schema)
        {
            return node;
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
        if (!schema.ContainsKey("properties"))
        {
            object? value = property.GetValue(Activator.CreateInstance(property.DeclaringType!));
            schema["default"] = JsonSerializer.SerializeToNode(value, property.PropertyType, ConfigurationJson.OneLine);
        }
        return schema;
    }
}
