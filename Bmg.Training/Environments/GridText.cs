using System.Text;

namespace Bmg.Training.Environments;

/// <summary>Grids as text.</summary>
internal static class GridText
{
    /// <summary>A line a row, each ended.</summary>
    /// <param name="width">Cells of a row.</param>
    /// <param name="height">Rows.</param>
    /// <param name="symbol">What stands for a cell, row · width + column.</param>
    public static string Draw(int width, int height, Func<int, char> symbol)
    {
        var text = new StringBuilder((width + 1) * height);
        for (var cell = 0; cell < width * height; cell++)
        {
            text.Append(symbol(cell));
            if (cell % width == width - 1)
            {
                text.Append('\n');
            }
        }

        return text.ToString();
    }
}
