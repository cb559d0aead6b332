using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Bmg.Training.Catalogues;

namespace Bmg.Training.Configuration;

/// <summary>
/// Turns a JSON tree into records and notes every fault on the way, where System.Text.Json would stop at the first. What is expected comes
/// from the records themselves: property types and their attributes.
/// </summary>
/// <param name="source">What to call the tree in messages.</param>
/// <param name="overrides">Values by path that came from the command line, as they were typed.</param>
/// <param name="faults">Where faults go.</param>
/// <param name="asSingle">Whether numbers become float32 in the end, and so must be in range as float32 too, and not 0 unless they are.</param>
/// <param name="catalogue">The parts that there are; null for records without parts.</param>
internal sealed class ConfigurationBinder(
    string source,
    IReadOnlyDictionary<string, string> overrides,
    List<Fault> faults,
    bool asSingle = false,
    Catalogue? catalogue = null
)
{
    private const double LargestExactWhole = 9007199254740992; // 2^53

    /// <summary>Notes a fault at a path, under the name of what set it.</summary>
    public void Fault(string path, string problem)
    {
        string? setting = overrides.Keys.FirstOrDefault(key => Within(key, path) || Within(path, key));
        faults.Add(new Fault(setting is null ? source : $"--set {setting}={overrides[setting]}", path, problem));

        static bool Within(string inner, string outer) =>
            inner == outer || inner.StartsWith($"{outer}.", StringComparison.Ordinal);
    }

    /// <summary>Binds a whole tree; false where a fault keeps it from being a <typeparamref name="T"/>.</summary>
    public bool Bind<T>(JsonNode root, out T value)
        where T : class, new()
    {
        int before = faults.Count;
        value = BindRecord(root, new T(), "") as T ?? new T();
        return faults.Count == before;
    }

    /// <summary>Binds an object: settings that are not given are those of <paramref name="defaults"/>.</summary>
    private object? BindRecord(JsonNode node, object defaults, string path)
    {
        if (node is not JsonObject members)
        {
            return Expected(path, node, "an object, { … }");
        }

        Dictionary<string, PropertyInfo> settings = SettingsRecord.Settings(defaults.GetType());
        (string key, PropertyInfo inlined) = settings.FirstOrDefault(each => PartOf(each.Value)?.Inlined == true);
        Dictionary<PropertyInfo, object?> changes = [];
        JsonObject rest = [];
        if (inlined is not null)
        {
            settings.Remove(key);
        }
        foreach ((string name, JsonNode? value) in members)
        {
            string at = At(path, name);
            if (settings.TryGetValue(name, out PropertyInfo? property))
            {
                if (BindSetting(value, property, property.GetValue(defaults), at) is { } bound)
                {
                    changes[property] = bound;
                }
                else if (value is null)
                {
                    changes[property] = null;
                }
            }
            else if (inlined is not null)
            {
                rest[name] = value?.DeepClone();
            }
            else if (at != ConfigurationJson.SchemaKey)
            {
                Unknown(at, name, settings.Keys);
            }
        }
        if (inlined is not null)
        {
            changes[inlined] = BindPart(rest, PartOf(inlined)!, path, settings.Keys);
        }
        foreach (PropertyInfo property in settings.Values.Where(property => HoldsParts(property.PropertyType)))
        {
            // Parts that a default names are bound like those that a file names; where a file's are at fault, that is said already.
            string name = JsonNamingPolicy.CamelCase.ConvertName(property.Name);
            if (
                !changes.ContainsKey(property)
                && !members.ContainsKey(name)
                && property.GetValue(defaults) is { } initial
            )
            {
                string at = At(path, name);
                JsonNode written = initial is Part part
                    ? ConfigurationJson.WritePart(part, PartOf(property)!.Key)
                    : JsonSerializer.SerializeToNode(initial, property.PropertyType, ConfigurationJson.OneLine)!;
                changes[property] = BindSetting(written, property, initial, at);
            }
        }
        object record = SettingsRecord.With(defaults, changes);
        if (record is IValidatableObject rules)
        {
            foreach (ValidationResult broken in rules.Validate(new ValidationContext(record)))
            {
                string member = broken.MemberNames.FirstOrDefault() ?? "";
                Fault(
                    member.Length == 0 ? path : At(path, JsonNamingPolicy.CamelCase.ConvertName(member)),
                    broken.ErrorMessage ?? "is not valid"
                );
            }
        }
        return record;
    }

    private void Unknown(string path, string key, IEnumerable<string> known)
    {
        string near = Suggestion.Nearest(key, known) is { } hit
            ? $"did you mean \"{hit}\"?"
            : $"known here: {string.Join(", ", known)}";
        Fault(path, $"unknown key, {near}");
    }

    private Part? BindPart(JsonNode node, PartOfAttribute kind, string path, IEnumerable<string> besides)
    {
        if (node is not JsonObject members)
        {
            return (Part?)Expected(path, node, "an object, { … }");
        }
        string name = kind.Default;
        if (members.TryGetPropertyValue(kind.Key, out JsonNode? given))
        {
            if (given?.GetValueKind() != JsonValueKind.String)
            {
                return (Part?)Expected(At(path, kind.Key), given, $"the name of {Article(kind.Kind)}");
            }
            name = given.GetValue<string>();
        }
        if (catalogue?.Find(kind.Kind, name) is not { } definition)
        {
            Fault(At(path, kind.Key), catalogue?.Unknown(kind.Kind, name) ?? "found a part, expected none here");
            return null;
        }
        JsonObject own = [];
        foreach ((string key, JsonNode? value) in members)
        {
            if (key == kind.Key)
            {
                continue;
            }
            if (SettingsRecord.Settings(definition.Defaults.GetType()) is var known && !known.ContainsKey(key))
            {
                Unknown(At(path, key), key, [kind.Key, .. besides, .. known.Keys]);
                continue;
            }
            own[key] = value?.DeepClone();
        }
        return BindRecord(own, definition.Defaults, path) is { } settings ? Part.Bound(definition, settings) : null;
    }

    private static string Article(string noun) => "aeiou".Contains(noun[0]) ? $"an {noun}" : $"a {noun}";

    private static string At(string path, string key) => path.Length == 0 ? key : $"{path}.{key}";

    private static PartOfAttribute? PartOf(PropertyInfo property) => property.GetCustomAttribute<PartOfAttribute>();

    /// <summary>Whether values of a type are parts, or have parts inside.</summary>
    private static bool HoldsParts(Type declared)
    {
        Type type = ConfigurationJson.ElementType(declared) ?? Nullable.GetUnderlyingType(declared) ?? declared;
        return type == typeof(Part)
            || (
                !type.IsPrimitive
                && !type.IsEnum
                && type != typeof(string)
                && SettingsRecord.Settings(type).Values.Any(property => HoldsParts(property.PropertyType))
            );
    }

    private object? BindSetting(JsonNode? node, PropertyInfo property, object? initial, string path)
    {
        if (node is null)
        {
            return ConfigurationJson.MayBeNull(property)
                ? null
                : Expected(path, node, Describe(property.PropertyType, property));
        }

        if (ConfigurationJson.ElementType(property.PropertyType) is not { } element)
        {
            return BindValue(node, property.PropertyType, property, initial, path);
        }

        LengthAttribute? length = property.GetCustomAttribute<LengthAttribute>();
        if (node is not JsonArray items)
        {
            return Expected(path, node, Describe(property.PropertyType, property));
        }

        if (length is not null && (items.Count < length.MinimumLength || items.Count > length.MaximumLength))
        {
            Fault(path, $"found {items.Count} elements, expected {length.MinimumLength} to {length.MaximumLength}");
            return null;
        }

        Array list = Array.CreateInstance(element, items.Count);
        bool whole = true;
        for (int i = 0; i < items.Count; i++)
        {
            string at = $"{path}.{i}";
            object? item = items[i] is { } value
                ? BindValue(value, element, property, null, at)
                : Expected(at, null, Describe(element, property));
            whole &= item is not null;
            list.SetValue(item, i);
        }
        return whole ? list : null;
    }

    private object? BindValue(JsonNode node, Type declared, PropertyInfo property, object? initial, string path)
    {
        Type type = Nullable.GetUnderlyingType(declared) ?? declared;
        if (type == typeof(string))
        {
            return BindText(node, property, path);
        }

        if (type.IsEnum)
        {
            string? found = node.GetValueKind() == JsonValueKind.String ? node.GetValue<string>() : null;
            Dictionary<string, object> values = ConfigurationJson.EnumValues(type);
            return found is not null && values.TryGetValue(found, out object? value)
                ? value
                : Expected(path, node, Describe(type, property));
        }

        if (type == typeof(int) || type == typeof(long) || type == typeof(double))
        {
            return BindNumber(node, type, property, path);
        }

        if (type == typeof(bool))
        {
            return node.GetValueKind() is JsonValueKind.True or JsonValueKind.False
                ? node.GetValue<bool>()
                : Expected(path, node, Describe(type, property));
        }

        if (type == typeof(Part))
        {
            return BindPart(node, PartOf(property)!, path, []);
        }

        return BindRecord(node, initial ?? Activator.CreateInstance(type)!, path);
    }

    private object? BindText(JsonNode node, PropertyInfo property, string path)
    {
        string? text =
            node.GetValueKind() == JsonValueKind.String ? node.GetValue<string>()
            : overrides.TryGetValue(path, out string? typed) ? typed
            : null;
        RegularExpressionAttribute? pattern = property.GetCustomAttribute<RegularExpressionAttribute>();
        bool fits = text is not null && (pattern is null || Fits(text, pattern.Pattern));
        return fits ? text : Expected(path, node, Describe(typeof(string), property));
    }

    /// <summary>Whether the whole of a text matches: to a regular expression, a line break may follow the end.</summary>
    internal static bool Fits(string text, string pattern) =>
        Regex.Match(text, pattern) is { Success: true, Index: 0 } match && match.Length == text.Length;

    private object? BindNumber(JsonNode node, Type type, PropertyInfo property, string path)
    {
        if (node.GetValueKind() != JsonValueKind.Number)
        {
            return Expected(path, node, Describe(type, property));
        }

        // Read from the text, since 1e6 is a whole number too.
        double number = double.Parse(node.ToJsonString(), CultureInfo.InvariantCulture);
        RangeAttribute range = ConfigurationJson.RangeOf(property);
        (double low, double high) = ConfigurationJson.Bounds(range);
        bool whole = type == typeof(double) || (double.IsInteger(number) && Math.Abs(number) <= LargestExactWhole);
        if (!whole || !Inside(number, low, high))
        {
            return Expected(path, node, Describe(type, property));
        }

        if (asSingle && type == typeof(double))
        {
            float single = (float)number;
            if (!Inside(single, (float)low, (float)high) || (single == 0) != (number == 0))
            {
                string becomes = single.ToString(CultureInfo.InvariantCulture);
                return Expected(path, node, $"{Describe(type, property)}, in float32 too, where this is {becomes}");
            }
        }
        return Convert.ChangeType(number, type, CultureInfo.InvariantCulture);

        bool Inside(double value, double least, double most) =>
            (range.MinimumIsExclusive ? value > least : value >= least)
            && (range.MaximumIsExclusive ? value < most : value <= most);
    }

    private object? Expected(string path, JsonNode? node, string expected)
    {
        Fault(path, $"found {Shorten(node?.ToJsonString(ConfigurationJson.OneLine) ?? "null")}, expected {expected}");
        return null;
    }

    private static string Shorten(string text) => text.Length <= 60 ? text : $"{text[..57]}…";

    private static string Describe(Type declared, PropertyInfo property)
    {
        Type type = Nullable.GetUnderlyingType(declared) ?? declared;
        if (ConfigurationJson.ElementType(type) is { } element)
        {
            return $"a list, each element {Describe(element, property)}";
        }

        if (type == typeof(string))
        {
            return property.GetCustomAttribute<RegularExpressionAttribute>() is null
                ? "a text"
                : "a text of letters, digits, '.', '_' and '-' in parts separated by '/'";
        }

        if (type.IsEnum)
        {
            return $"one of {string.Join(", ", ConfigurationJson.EnumValues(type).Keys.Select(name => $"\"{name}\""))}";
        }

        if (type == typeof(bool))
        {
            return "true or false";
        }

        if (type != typeof(int) && type != typeof(long) && type != typeof(double))
        {
            return "an object, { … }";
        }

        RangeAttribute range = ConfigurationJson.RangeOf(property);
        (double low, double high) = ConfigurationJson.Bounds(range);
        string kind = type == typeof(double) ? "a number" : "a whole number";
        string least = range.MinimumIsExclusive ? $"more than {Text(low)}" : $"at least {Text(low)}";
        string most = range.MaximumIsExclusive ? $"less than {Text(high)}" : $"at most {Text(high)}";
        string orNull = ConfigurationJson.MayBeNull(property) ? ", or null" : "";
        return $"{kind}, {least} and {most}{orNull}";
    }

    private static string Text(double value) => value.ToString(CultureInfo.InvariantCulture);
}
