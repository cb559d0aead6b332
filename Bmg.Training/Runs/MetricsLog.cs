using System.Text.Json;
using Bmg.Training.Agents;

namespace Bmg.Training.Runs;

/// <summary>metrics.jsonl, read.</summary>
/// <param name="EnvironmentSteps">Of each member, at the end of each interval.</param>
/// <param name="Values">By metric: [interval][member], NaN where there was no value.</param>
public sealed record MetricsLog(
    IReadOnlyList<long> EnvironmentSteps,
    IReadOnlyDictionary<string, IReadOnlyList<double[]>> Values
)
{
    /// <summary>Environment steps of each member at the end of the last interval.</summary>
    public long End => EnvironmentSteps.Count == 0 ? 0 : EnvironmentSteps[^1];

    /// <summary>Reads the metrics of a run, under way or not; a torn last line is passed over.</summary>
    /// <exception cref="UsageException">The file is missing or is something else.</exception>
    public static MetricsLog Read(string path, IReadOnlyList<Metric> metrics)
    {
        List<long> steps = [];
        Dictionary<string, List<double[]>> values = metrics.ToDictionary(
            metric => metric.Name,
            _ => new List<double[]>()
        );
        int number = 0;
        try
        {
            string text = File.Exists(path) ? ReadShared(path) : "";
            foreach (
                string line in text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries)
            )
            {
                number++;
                using JsonDocument json = JsonDocument.Parse(line);
                steps.Add(json.RootElement.GetProperty("environmentSteps").GetInt64());
                foreach (Metric metric in metrics)
                {
                    values[metric.Name]
                        .Add([.. json.RootElement.GetProperty(metric.Name).EnumerateArray().Select(Number)]);
                }
            }
        }
        catch (Exception e)
            when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new UsageException($"{path}: line {number}: not a line of metrics: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{path}: cannot be read: {e.Message}", e);
        }
        return new MetricsLog(
            steps,
            values.ToDictionary(pair => pair.Key, pair => (IReadOnlyList<double[]>)pair.Value)
        );
    }

    /// <summary>Mean of a metric over the intervals that end after <paramref name="from"/>, weighted by their steps: one number a member.</summary>
    public IReadOnlyList<double> MeanSince(string metric, double from)
    {
        IReadOnlyList<double[]> rows = Values[metric];
        int members = rows.Count == 0 ? 0 : rows[0].Length;
        double[] sums = new double[members];
        double[] weights = new double[members];
        for (int i = 0; i < rows.Count; i++)
        {
            if (EnvironmentSteps[i] > from)
            {
                double steps = EnvironmentSteps[i] - (i == 0 ? 0 : EnvironmentSteps[i - 1]);
                for (int member = 0; member < members; member++)
                {
                    // An interval without a value, in which no episode ended say, does not count.
                    if (!double.IsNaN(rows[i][member]))
                    {
                        sums[member] += steps * rows[i][member];
                        weights[member] += steps;
                    }
                }
            }
        }
        return [.. sums.Zip(weights, (sum, weight) => sum / weight)];
    }

    private static double Number(JsonElement value) =>
        value.ValueKind == JsonValueKind.Null ? double.NaN : value.GetDouble();

    private static string ReadShared(string path)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }
}
