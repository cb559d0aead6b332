namespace Bmg.Training.Agents;

/// <summary>Sizes of perceptrons by arithmetic, before anything is allocated.</summary>
internal static class LayerSizes
{
    /// <summary>Numbers in all weights and biases.</summary>
    public static double Parameters(int[] widths) => widths.Zip(widths[1..], (i, o) => ((double)i + 1) * o).Sum();

    /// <summary>Numbers in the largest weight.</summary>
    public static double Largest(int[] widths) => widths.Zip(widths[1..], (i, o) => (double)i * o).Max();
}
