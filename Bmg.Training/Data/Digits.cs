using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.IO.Compression;
using Bmg.Training.Environments;

namespace Bmg.Training.Data;

/// <summary>Handwritten digits of 8 × 8 pixels: "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI Machine Learning
/// Repository, 1998), as scikit-learn ships them.</summary>
public sealed record DigitsSettings
{
    [Description(
        "The file, .csv or .csv.gz, from the folder in which the program runs. A row: 64 pixels, row by row, 0 to 16, then the digit. scikit-learn ships it as sklearn/datasets/data/digits.csv.gz."
    )]
    public string File { get; init; } = "digits.csv.gz";

    [Description("Share of the examples that is the test split; the same for all seeds.")]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double TestShare { get; init; } = 0.2;
}

/// <summary>Reads digits.</summary>
public static class Digits
{
    private const int Pixels = 64;
    private const float Brightest = 16;

    /// <summary>The data set of some settings; pixels from 0 to 1.</summary>
    /// <exception cref="UsageException">The file is missing, or is another.</exception>
    public static ArrayDataSet Read(DigitsSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        List<float[]> inputs = [];
        List<int> classes = [];
        try
        {
            using var file = File.OpenRead(settings.File);
            using Stream plain = settings.File.EndsWith(".gz", StringComparison.OrdinalIgnoreCase)
                ? new GZipStream(file, CompressionMode.Decompress)
                : file;
            using StreamReader reader = new(plain);
            while (reader.ReadLine() is { } line)
            {
                if (line.Length > 0)
                {
                    var (input, digit) = Row(settings.File, inputs.Count + 1, line);
                    inputs.Add(input);
                    classes.Add(digit);
                }
            }
        }
        catch (Exception e)
            when (e is IOException or UnauthorizedAccessException or InvalidDataException or ArgumentException)
        {
            throw new UsageException(
                $"data \"digits\": file: '{settings.File}' cannot be read: {e.Message} Expected the digits of 8 × 8 pixels as CSV, which scikit-learn ships as sklearn/datasets/data/digits.csv.gz.",
                e
            );
        }

        return inputs.Count < 2
            ? throw new UsageException($"{settings.File}: found {inputs.Count} rows, expected two at least.")
            : new ArrayDataSet(
                [.. inputs],
                [.. classes],
                [.. Enumerable.Range(0, 10).Select(i => $"{i}")],
                settings.TestShare
            ).WithInputs([1, 8, 8]);
    }

    private static (float[] Input, int Digit) Row(string file, int row, string line)
    {
        var cells = line.Split(',');
        if (cells.Length != Pixels + 1)
        {
            throw new UsageException(
                $"{file}, row {row}: found {cells.Length} numbers, expected {Pixels + 1}: the pixels and the digit."
            );
        }

        var numbers = new float[cells.Length];
        for (var i = 0; i < cells.Length; i++)
        {
            var most = i < Pixels ? Brightest : 9;
            if (
                !float.TryParse(cells[i], NumberStyles.Float, CultureInfo.InvariantCulture, out numbers[i])
                || !(numbers[i] >= 0 && numbers[i] <= most)
                || (i == Pixels && numbers[i] != MathF.Floor(numbers[i]))
            )
            {
                throw new UsageException(
                    $"{file}, row {row}, column {i + 1}: found \"{cells[i]}\", expected {(i < Pixels ? "a pixel, 0 to 16" : "a digit, 0 to 9")}."
                );
            }
        }

        return ([.. numbers.Take(Pixels).Select(pixel => pixel / Brightest)], (int)numbers[Pixels]);
    }
}
