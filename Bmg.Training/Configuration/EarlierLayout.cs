using System.Text.Json;
using System.Text.Json.Nodes;

namespace Bmg.Training.Configuration;

/// <summary>
/// Configurations as they were before parts had names and settings of their own: the environment stood under "experiment", and every
/// environment, agent and optimizer had the settings of all. Files of that time, results of studies among them, are read as they are. Today an
/// object stands under that key.
/// </summary>
internal static class EarlierLayout
{
    private const string Key = "experiment";

    private static readonly Dictionary<string, string[]> Environments = new()
    {
        ["two-colors"] = ["respawn", "swapPeriod"],
        ["switching-mdps"] = ["worlds", "side", "mostWalls", "swapPeriod"],
    };

    private static readonly Dictionary<string, string[]> Optimizers = new()
    {
        ["sgd"] = ["decay", "beta1", "beta2", "epsilon"],
        ["momentum"] = ["beta1", "beta2", "epsilon"],
        ["rmsprop"] = ["beta1", "beta2"],
        ["adam"] = ["decay"],
    };

    /// <summary>Puts a configuration of that layout into today's; others are left alone.</summary>
    /// <returns>What is wrong: where, and what.</returns>
    public static IEnumerable<(string Path, string Problem)> Mend(JsonObject root)
    {
        if (!root.TryGetPropertyValue(Key, out JsonNode? given) || given is JsonObject)
        {
            return [];
        }
        string name = Text(given) ?? "";
        if (!Environments.TryGetValue(name, out string[]? settings))
        {
            root.Remove(Key);
            return
            [
                (
                    Key,
                    $"found {given?.ToJsonString() ?? "null"}, expected an object, {{ \"name\": … }}, that names the experiment; the environment is named by environment.name"
                ),
            ];
        }
        if (root["environment"] is null or JsonObject)
        {
            JsonObject there = root["environment"] as JsonObject ?? [];
            if (Text(there["name"]) is { } other && other != name)
            {
                root.Remove(Key);
                return [(Key, $"found \"{name}\", expected \"{other}\", which environment.name says, or no such key")];
            }
            root.Remove(Key);
            JsonObject environment = new() { ["name"] = name };
            foreach ((string key, JsonNode? value) in there)
            {
                // The settings of the other environment counted for nothing.
                if (key != "name" && (settings.Contains(key) || !Environments.Values.Any(all => all.Contains(key))))
                {
                    environment[key] = value?.DeepClone();
                }
            }
            root["environment"] = environment;
        }
        else
        {
            root.Remove(Key);
        }
        MendLearner(root);
        DropForeign(root["target"]?["optimizer"]);
        return [];
    }

    /// <summary>Mends the configurations inside of a document.</summary>
    public static void MendWithin(JsonNode? document)
    {
        if (document is JsonObject members)
        {
            if (members[Key] is JsonValue && members.ContainsKey("environment"))
            {
                _ = Mend(members);
                return;
            }
            foreach ((_, JsonNode? member) in members)
            {
                MendWithin(member);
            }
        }
        else if (document is JsonArray items)
        {
            foreach (JsonNode? item in items)
            {
                MendWithin(item);
            }
        }
    }

    private static void MendLearner(JsonObject root)
    {
        if (root["learner"] is not JsonObject learner)
        {
            return;
        }
        DropForeign(learner["optimizer"]);
        if (Text(learner["agent"]) != "q-lambda")
        {
            return;
        }
        // What the agent ignored, and what it took one value of.
        learner.Remove("rolloutLength");
        learner.Remove("returns");
        learner.Remove("valueWeight");
        Drop(learner, "activation", value => Text(value) == "relu");
        Drop(learner, "gradientClip", value => value is null);
        bool isFixed = Text((root["meta"] as JsonObject)?["method"]) == "fixed";
        Drop(
            learner,
            "innerSteps",
            value => isFixed || (value?.GetValueKind() == JsonValueKind.Number && value.ToJsonString() == "0")
        );
    }

    private static void DropForeign(JsonNode? optimizer)
    {
        if (optimizer is JsonObject settings)
        {
            foreach (string key in Optimizers.GetValueOrDefault(Text(settings["name"]) ?? "sgd", []))
            {
                settings.Remove(key);
            }
        }
    }

    private static void Drop(JsonObject settings, string key, Func<JsonNode?, bool> condition)
    {
        if (settings.TryGetPropertyValue(key, out JsonNode? value) && condition(value))
        {
            settings.Remove(key);
        }
    }

    private static string? Text(JsonNode? node) =>
        node?.GetValueKind() == JsonValueKind.String ? node.GetValue<string>() : null;
}
