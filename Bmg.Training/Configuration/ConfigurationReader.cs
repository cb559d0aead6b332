using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Configuration;

/// <summary>Reads configurations: JSON with comments and trailing commas, settings of the command line on top, every fault reported at once.</summary>
/// <param name="catalogue">The parts that a configuration can name.</param>
/// <param name="rules">What must hold between parts that are each right by themselves: where, what was found, what was expected.</param>
public sealed class ConfigurationReader(
    Catalogue catalogue,
    Func<RunConfiguration, IEnumerable<(string Path, string Found, string Expected)>> rules
)
{
    private const int DeepestPath = 64;

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="settings">Settings on top, each "path=value" with value as JSON or a bare string.</param>
    /// <exception cref="ConfigurationException">There are faults; the exception carries them all.</exception>
    public RunConfiguration ReadFile(string path, params IEnumerable<string> settings) =>
        Read(ConfigurationText.ReadFile(path, "a configuration file"), path, settings);

    /// <summary>Reads a text.</summary>
    /// <param name="json">The configuration.</param>
    /// <param name="source">What to call it in messages.</param>
    /// <param name="settings">Settings on top, each "path=value" with value as JSON or a bare string.</param>
    /// <exception cref="ConfigurationException">There are faults; the exception carries them all.</exception>
    public RunConfiguration Read(string json, string source, params IEnumerable<string> settings)
    {
        JsonNode root = ConfigurationText.ParseObject(json, source);
        List<Fault> faults = [];
        Dictionary<string, string> overrides = [];
        foreach (string setting in settings)
        {
            Overlay(root, setting, overrides, faults);
        }

        PutSeedsFirst(root.AsObject(), overrides);
        foreach ((string path, string problem) in EarlierLayout.Mend(root.AsObject()))
        {
            faults.Add(new Fault(source, path, problem));
        }
        ConfigurationBinder binder = new(source, overrides, faults, asSingle: true, catalogue);
        if (binder.Bind(root, out RunConfiguration configuration) && faults.Count == 0)
        {
            configuration = WithListedSeeds(configuration, root.AsObject());
            foreach (
                (string path, string found, string expected) in ConfigurationRules
                    .Broken(configuration)
                    .Concat(rules(configuration))
            )
            {
                binder.Fault(path, $"found {found}, expected {expected}");
            }
        }
        return faults.Count == 0 ? configuration : throw new ConfigurationException(faults);
    }

    /// <summary>Reads a configuration that was written resolved, without knowing its parts: for records and reports.</summary>
    /// <exception cref="ConfigurationException">It is none.</exception>
    public static RunConfiguration ReadResolved(string path)
    {
        JsonObject root = ConfigurationText.ParseObject(ConfigurationText.ReadFile(path, "a configuration file"), path);
        try
        {
            _ = EarlierLayout.Mend(root);
            root.Remove(ConfigurationJson.SchemaKey);
            return root.Deserialize<RunConfiguration>(ConfigurationJson.OneLine)!;
        }
        catch (JsonException e)
        {
            throw new ConfigurationException([new Fault(path, "", e.Message.Split('\n')[0])], e);
        }
    }

    /// <summary>Seeds that the command line lists stand over the seed and the members of the file, as they stand over the file's list.</summary>
    private static void PutSeedsFirst(JsonObject root, Dictionary<string, string> overrides)
    {
        if (overrides.Keys.Any(key => key == "seeds" || key.StartsWith("seeds.", StringComparison.Ordinal)))
        {
            foreach (string key in (string[])["seed", "members"])
            {
                if (!overrides.ContainsKey(key) && root["seeds"] is JsonArray { Count: > 0 })
                {
                    root.Remove(key);
                }
            }
        }
    }

    /// <summary>Seeds that are listed determine seed and members where these are not given.</summary>
    private static RunConfiguration WithListedSeeds(RunConfiguration configuration, JsonObject root) =>
        configuration.Seeds is not [var first, ..] seeds
            ? configuration
            : configuration with
            {
                Seed = root.ContainsKey("seed") ? configuration.Seed : first,
                Members = root.ContainsKey("members") ? configuration.Members : seeds.Count,
            };

    /// <summary>Puts "a.b=value" into the tree, making the objects (and default lists) on the way; an index stands for an element of a list, or
    /// for one more at its end.</summary>
    private void Overlay(JsonNode root, string setting, Dictionary<string, string> overrides, List<Fault> faults)
    {
        string source = $"--set {setting}";
        int equals = setting.IndexOf('=', StringComparison.Ordinal);
        string path = equals < 0 ? "" : setting[..equals].Trim();
        string[] parts = path.Split('.');
        if (parts.Any(string.IsNullOrWhiteSpace) || parts.Length > DeepestPath)
        {
            faults.Add(new Fault(source, "", "expected path=value, as in learner.targetSteps=16"));
            return;
        }

        string text = setting[(equals + 1)..];
        JsonNode? given;
        try
        {
            given = Value(setting, text);
        }
        catch (FormatException e)
        {
            faults.Add(new Fault(source, path, e.Message));
            return;
        }
        JsonNode? node = root;
        JsonNode? initial = Initial(root);
        for (int i = 0; i < parts.Length; i++)
        {
            string part = parts[i];
            string problem = node switch
            {
                JsonObject => "",
                // One past the last adds an element.
                JsonArray list when int.TryParse(part, out int index) && index >= 0 && index <= list.Count => "",
                JsonArray list => $"found \"{part}\", expected an index up to {list.Count}",
                _ => $"found {node!.ToJsonString()}, which has no settings inside",
            };
            if (problem.Length > 0)
            {
                faults.Add(new Fault(source, string.Join('.', parts[..i]), problem));
                return;
            }
            initial = initial is JsonObject known ? known[part] : null;
            node =
                i == parts.Length - 1
                    ? Put(node!, part, given)
                    : Get(node!, part)
                        ?? Put(
                            node!,
                            part,
                            initial is JsonArray ? initial.DeepClone()
                                : parts[i + 1] == "0" ? new JsonArray()
                                : new JsonObject()
                        );
        }
        overrides[path] = text;
    }

    /// <summary>All settings at their defaults, of the parts that a configuration names.</summary>
    private JsonNode? Initial(JsonNode root)
    {
        JsonNode? initial = JsonSerializer.SerializeToNode(new RunConfiguration(), ConfigurationJson.OneLine);
        foreach ((string key, PropertyInfo property) in SettingsRecord.Settings(typeof(RunConfiguration)))
        {
            if (property.GetCustomAttribute<PartOfAttribute>() is { } kind)
            {
                string name =
                    (root[key] as JsonObject)?[kind.Key] is JsonValue given && given.TryGetValue(out string? text)
                        ? text
                        : kind.Default;
                initial![key] = catalogue.Find(kind.Kind, name) is { } definition
                    ? JsonSerializer.SerializeToNode(
                        definition.Defaults,
                        definition.Defaults.GetType(),
                        ConfigurationJson.OneLine
                    )
                    : new JsonObject();
            }
        }
        return initial;
    }

    private static JsonNode? Get(JsonNode parent, string key) =>
        parent is JsonArray list ? (Index(key) < list.Count ? list[Index(key)] : null) : parent[key];

    private static JsonNode? Put(JsonNode parent, string key, JsonNode? value)
    {
        if (parent is JsonArray list)
        {
            if (Index(key) == list.Count)
            {
                list.Add(value);
            }
            else
            {
                list[Index(key)] = value;
            }
        }
        else
        {
            parent[key] = value;
        }
        return value;
    }

    private static int Index(string key) => int.Parse(key, CultureInfo.InvariantCulture);

    /// <summary>What a setting is given: JSON, or else the bare text.</summary>
    private static JsonNode? Value(string setting, string text)
    {
        _ = ConfigurationText.Utf8(setting); // Its path is text as well as its value.
        try
        {
            return ConfigurationText.Parse(text);
        }
        catch (JsonException)
        {
            return JsonValue.Create(text);
        }
    }
}
