using System.Globalization;
using System.Text.Json;
using Bmg.Export.Checkpoints;

namespace Bmg.Export.Onnx;

/// <summary>Entries of a model's metadata, read: each error names file and key, what was found and what was expected.</summary>
/// <param name="source">What messages call the model, its path usually.</param>
/// <param name="entries">The metadata (see <see cref="MetadataKeys"/>).</param>
public sealed class ModelMetadata(string source, IReadOnlyDictionary<string, string> entries)
{
    /// <summary>What an entry says that is there only where something is so.</summary>
    internal const string True = "true";

    /// <summary>How lists of records are written.</summary>
    internal static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    /// <summary>All entries by key.</summary>
    public IReadOnlyDictionary<string, string> Entries { get; } = entries;

    /// <summary>A text.</summary>
    /// <exception cref="OnnxFileException">There is none.</exception>
    public string Text(string key) =>
        Entries.TryGetValue(key, out var text) ? text : throw Fault(key, "nothing", "a text");

    /// <summary>A whole number of at least 0, and at most <paramref name="most"/>.</summary>
    /// <exception cref="OnnxFileException">There is none, or something else.</exception>
    public long Number(string key, long most = long.MaxValue)
    {
        var expected = string.Create(CultureInfo.InvariantCulture, $"a whole number from 0 to {most}");
        return !Entries.TryGetValue(key, out var text) ? throw Fault(key, "nothing", expected)
            : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number <= most
                ? number
            : throw Fault(key, $"'{Shorten(text)}'", expected);
    }

    /// <summary>A list of names.</summary>
    /// <exception cref="OnnxFileException">There is none, or something else.</exception>
    public IReadOnlyList<string> Names(string key) =>
        List<string>(key, "a list of names in JSON", names => !names.Contains(null), JsonSerializerOptions.Default);

    /// <summary>A list of discrete actions.</summary>
    /// <exception cref="OnnxFileException">There is none, or something else.</exception>
    public IReadOnlyList<ChoiceDescription> Choices(string key) =>
        List<ChoiceDescription>(
            key,
            "a list of names, each with choices, in JSON",
            actions => ChoiceDescription.Flaw(actions) is null,
            Json
        );

    /// <summary>A list of numbers with bounds.</summary>
    /// <exception cref="OnnxFileException">There is none, or something else.</exception>
    public IReadOnlyList<NumberDescription> Bounds(string key) =>
        List<NumberDescription>(
            key,
            "a list of names, each with finite bounds, the lower below the upper, in JSON",
            numbers => NumberDescription.Flaw(numbers) is null,
            Json
        );

    /// <summary>Whether something is so: "true", or no entry.</summary>
    /// <exception cref="OnnxFileException">There is something else.</exception>
    public bool Flag(string key) =>
        Entries.TryGetValue(key, out var text)
        && (text == True ? true : throw Fault(key, $"'{Shorten(text)}'", $"'{True}', or no such entry"));

    private T[] List<T>(string key, string expected, Predicate<T?[]> valid, JsonSerializerOptions options)
        where T : class
    {
        if (!Entries.TryGetValue(key, out var text))
        {
            throw Fault(key, "nothing", expected);
        }
        try
        {
            return JsonSerializer.Deserialize<T[]>(text, options) is { } list && valid(list)
                ? list
                : throw Fault(key, $"'{Shorten(text)}'", expected);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or ArgumentException)
        {
            throw Fault(key, $"'{Shorten(text)}'", expected, exception);
        }
    }

    /// <summary>The error of an entry that is not what it should be.</summary>
    public OnnxFileException Fault(string key, string found, string expected, Exception? cause = null)
    {
        var message = $"'{source}': metadata '{key}': found {found}, expected {expected}.";
        return cause is null ? new OnnxFileException(message) : new OnnxFileException(message, cause);
    }

    private static string Shorten(string text) => text.Length <= 60 ? text : $"{text[..57]}…";
}
