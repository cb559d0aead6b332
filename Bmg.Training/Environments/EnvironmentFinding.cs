namespace Bmg.Training.Environments;

/// <summary>One thing that is wrong with an environment.</summary>
/// <param name="Rule">What it breaks.</param>
/// <param name="Place">Where: a step, a reset, a part of the description.</param>
/// <param name="Found">What was found there.</param>
/// <param name="Expected">What was expected.</param>
public sealed record EnvironmentFinding(EnvironmentRule Rule, string Place, string Found, string Expected)
{
    /// <summary>Whether it is advice alone: the host can run the environment as it is.</summary>
    public bool IsAdvice { get; init; }

    /// <inheritdoc/>
    public override string ToString() => $"{Place}: found {Found}, expected {Expected}";
}

/// <summary>What a check of an environment found.</summary>
/// <param name="Findings">What is wrong, each thing once, at the first place where it shows.</param>
/// <param name="Checked">What was looked at, a line each.</param>
/// <param name="Steps">Steps that were played.</param>
/// <param name="Episodes">Episodes that ended in them.</param>
public sealed record EnvironmentReport(
    IReadOnlyList<EnvironmentFinding> Findings,
    IReadOnlyList<string> Checked,
    long Steps,
    long Episodes
)
{
    /// <summary>Whether nothing is wrong; advice may stand.</summary>
    public bool Passed => Findings.All(finding => finding.IsAdvice);
}
