namespace Bmg.Training.Configuration;

/// <summary>One thing that is wrong with a configuration.</summary>
/// <param name="Source">The file, or the command-line setting, that holds it.</param>
/// <param name="Path">The setting, as in "learner.targetSteps"; empty for the whole.</param>
/// <param name="Problem">What was found and what was expected.</param>
public sealed record Fault(string Source, string Path, string Problem)
{
    /// <inheritdoc/>
    public override string ToString() => Path.Length == 0 ? $"{Source}: {Problem}" : $"{Source}: {Path}: {Problem}";
}

/// <summary>A configuration with faults, all of them.</summary>
public sealed class ConfigurationException(IReadOnlyList<Fault> faults, Exception? cause = null)
    : UsageException(string.Join(Environment.NewLine, faults), cause)
{
    /// <summary>What is wrong.</summary>
    public IReadOnlyList<Fault> Faults { get; } = faults;
}
