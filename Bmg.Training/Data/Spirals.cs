using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Supervised;

namespace Bmg.Training.Data;

/// <summary>Points in the plane on interleaved spirals, one a class.</summary>
public sealed record SpiralsSettings
{
    [Description("Spirals, a class each.")]
    [Range(2, 10)]
    public int Classes { get; init; } = 3;

    [Description("Points to learn from, in turn of each class.")]
    [Range(1, 1_000_000)]
    public int Examples { get; init; } = 1200;

    [Description("Points for the test.")]
    [Range(1, 1_000_000)]
    public int TestExamples { get; init; } = 600;

    [Description("Turns of a spiral from the middle to radius 1.")]
    [Range(0, 10)]
    public double Turns { get; init; } = 1;

    [Description("Deviation of a point from its spiral, in each coordinate.")]
    [Range(0, 1)]
    public double Noise { get; init; } = 0.04;

    [Description("Seed of the points. All members learn from the same.")]
    [Range(0, 9007199254740991.0)]
    public long Seed { get; init; }
}

/// <summary>Makes spirals.</summary>
public static class Spirals
{
    /// <summary>The data set of some settings.</summary>
    public static ArrayDataSet Create(SpiralsSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        string[] names = [.. Enumerable.Range(0, settings.Classes).Select(i => $"spiral {i}")];
        ArrayDataSet Points(int count, string purpose)
        {
            var random = Bmg.Seed.Of(settings.Seed).For(purpose).Generator();
            var inputs = new float[count][];
            var classes = new int[count];
            for (var i = 0; i < count; i++)
            {
                classes[i] = i % settings.Classes;
                // Some way off the middle, where all spirals meet.
                var radius = 0.1 + (0.9 * random.NextDouble());
                var angle = 2 * Math.PI * ((settings.Turns * radius) + ((double)classes[i] / settings.Classes));
                inputs[i] =
                [
                    (float)((radius * Math.Cos(angle)) + (settings.Noise * random.NextNormal())),
                    (float)((radius * Math.Sin(angle)) + (settings.Noise * random.NextNormal())),
                ];
            }

            return new ArrayDataSet(inputs, classes, names, testShare: 0);
        }

        return Points(settings.Examples, "training")
            .WithTest(Points(settings.TestExamples, "test"))
            .WithInputs([2], ["x", "y"]);
    }
}
