using Bmg.Training.Configuration;

namespace Bmg.Training.Studies;

/// <summary>Which cells have to be run, and which results may be written.</summary>
public static class ReproductionPlan
{
    /// <summary>Whether a cell's result is there: of exactly these settings, with at least these seeds and steps.</summary>
    /// <param name="results">Directory of the results.</param>
    /// <param name="cell">Name of the cell.</param>
    /// <param name="asked">What is asked for.</param>
    /// <param name="replace">Whether a result of other settings may be overwritten.</param>
    /// <exception cref="UsageException">There is a result that must not be overwritten.</exception>
    public static bool IsDone(string results, string cell, RunConfiguration asked, bool replace)
    {
        string path = CellResult.PathOf(results, cell);
        CellResult? there;
        try
        {
            there = CellResult.Read(results, cell);
        }
        catch (UsageException) when (replace)
        {
            return false;
        }
        if (there is null)
        {
            return false;
        }
        if (SettingChanges.Between(there.Configuration, asked) is [{ } change, ..])
        {
            return replace
                ? false
                : throw new UsageException(
                    $"Result {path}: found one of other settings ({change}). Nothing was changed; --replace overwrites it, another --results leaves it."
                );
        }
        if (there.Steps >= asked.EnvironmentSteps && there.Seeds.Count >= asked.Members)
        {
            return true;
        }
        return there.Steps > asked.EnvironmentSteps || there.Seeds.Count > asked.Members
            ? throw new UsageException(
                $"Result {path}: found {there.Steps} steps × {there.Seeds.Count} seeds, one of them more than in the {asked.EnvironmentSteps} × {asked.Members} asked for, which must not overwrite it. Choose another --results."
            )
            : false;
    }
}
