using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Bmg.Export;

namespace Bmg.Training.Configuration;

/// <summary>
/// From a file to a JSON object, for all configurations: JSON with comments and trailing commas, no key twice, and text that is text: no half
/// of a surrogate pair, which nothing could write again.
/// </summary>
internal static class ConfigurationText
{
    /// <summary>Bytes of a file that are read at most.</summary>
    public const int MostBytes = 16 << 20;

    private static readonly UTF8Encoding Strict = new(
        encoderShouldEmitUTF8Identifier: false,
        throwOnInvalidBytes: true
    );

    private static readonly JsonDocumentOptions Lenient = new()
    {
        CommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
        AllowDuplicateProperties = false,
    };

    /// <summary>The text of a file, in UTF-8 or with a byte order mark.</summary>
    /// <param name="path">The file.</param>
    /// <param name="kind">What is expected there, as in "a configuration file".</param>
    /// <exception cref="ConfigurationException">It cannot be read, is too long, or is no text.</exception>
    public static string ReadFile(string path, string kind)
    {
        try
        {
            using StreamReader reader = new(new MemoryStream(InputFile.ReadBytes(path, MostBytes)), Strict);
            return reader.ReadToEnd();
        }
        catch (DecoderFallbackException e)
        {
            throw new ConfigurationException(
                [new Fault(path, "", $"not valid JSON: found bytes that are not UTF-8, expected {kind}")],
                e
            );
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string problem =
                Directory.Exists(path) ? $"is a directory, expected {kind}"
                : e is FileNotFoundException or DirectoryNotFoundException ? $"no such file, expected {kind}"
                : $"cannot be read as {kind}: {e.Message}";
            throw new ConfigurationException([new Fault(path, "", problem)], e);
        }
    }

    /// <summary>The object that a text holds.</summary>
    /// <exception cref="ConfigurationException">The text is not JSON, not an object, or holds half of a surrogate pair.</exception>
    public static JsonObject ParseObject(string json, string source)
    {
        try
        {
            return Parse(json) as JsonObject
                ?? throw new ConfigurationException([
                    new Fault(source, "", "expected a JSON object, { … }, around the settings"),
                ]);
        }
        catch (JsonException e)
        {
            string where = e.LineNumber is { } line ? $"line {line + 1}, column {e.BytePositionInLine + 1}: " : "";
            string what = e.Message.Split([" LineNumber:", " Path:"], StringSplitOptions.None)[0];
            throw new ConfigurationException([new Fault(source, "", $"{where}not valid JSON: {what}")], e);
        }
        catch (FormatException e)
        {
            throw new ConfigurationException([new Fault(source, "", e.Message)], e);
        }
    }

    /// <summary>The value that a text holds.</summary>
    /// <exception cref="JsonException">It is not JSON.</exception>
    /// <exception cref="FormatException">It holds half of a surrogate pair.</exception>
    public static JsonNode? Parse(string json)
    {
        byte[] utf8 = Utf8(json);
        RequireWholeCharacters(utf8);
        return JsonNode.Parse(utf8, documentOptions: Lenient);
    }

    /// <summary>The text in UTF-8.</summary>
    /// <exception cref="FormatException">It holds half of a surrogate pair.</exception>
    public static byte[] Utf8(string text)
    {
        try
        {
            return Strict.GetBytes(text);
        }
        catch (EncoderFallbackException e)
        {
            throw new FormatException(
                $"found half of a surrogate pair at character {e.Index + 1}, expected valid Unicode",
                e
            );
        }
    }

    /// <summary>Escapes such as "\ud800" alone are valid JSON, but no text.</summary>
    private static void RequireWholeCharacters(byte[] utf8)
    {
        Utf8JsonReader reader = new(
            utf8,
            new JsonReaderOptions { CommentHandling = Lenient.CommentHandling, AllowTrailingCommas = true }
        );
        while (reader.Read())
        {
            if (reader.TokenType is not (JsonTokenType.PropertyName or JsonTokenType.String))
            {
                continue;
            }
            try
            {
                _ = reader.GetString();
            }
            catch (InvalidOperationException e)
            {
                ReadOnlySpan<byte> before = utf8.AsSpan(0, (int)reader.TokenStartIndex);
                int line = before.Count((byte)'\n') + 1;
                int column = before.Length - before.LastIndexOf((byte)'\n');
                string found = Strict.GetString(reader.ValueSpan);
                throw new FormatException(
                    $"line {line}, column {column}: found half of a surrogate pair in \"{(found.Length <= 60 ? found : $"{found[..57]}…")}\", expected valid Unicode",
                    e
                );
            }
        }
    }
}
