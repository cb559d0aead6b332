using System.Globalization;
using System.Text.Json;

namespace Bmg.Export.Onnx;

/// <summary>Entries of a model's metadata, read: each error names file and key, what was found and what was expected.</summary>
/// <param name="source">What messages call the model, its path usually.</param>
/// <param name="entries">The metadata (see <see cref="MetadataKeys"/>).</param>
public sealed class ModelMetadata(string source, IReadOnlyDictionary<string, string> entries)
{
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
    public IReadOnlyList<string> Names(string key)
    {
        const string Expected = "a list of names in JSON";
        if (!Entries.TryGetValue(key, out var text))
        {
            throw Fault(key, "nothing", Expected);
        }
        try
        {
            return JsonSerializer.Deserialize<string[]>(text) is { } names && !names.Contains(null)
                ? names
                : throw Fault(key, $"'{Shorten(text)}'", Expected);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or ArgumentException)
        {
            throw Fault(key, $"'{Shorten(text)}'", Expected, exception);
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
