namespace Bmg.Training.Data;

/// <summary>Data that cannot be made, or is not what it says.</summary>
/// <param name="found">What was found, and where.</param>
/// <param name="expected">What was expected.</param>
/// <param name="cause">What was caught, for the full trace.</param>
public sealed class DataException(string found, string expected, Exception? cause = null)
    : UsageException($"data: found {found}, expected {expected}.", cause)
{
    /// <summary>What was found, and where.</summary>
    public string Found { get; } = found;

    /// <summary>What was expected.</summary>
    public string Expected { get; } = expected;
}
