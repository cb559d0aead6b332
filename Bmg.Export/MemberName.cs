namespace Bmg.Export;

/// <summary>How a member of a population is named: members count from 0, and whoever reads of one wants to know its seed.</summary>
public static class MemberName
{
    /// <summary>As in "member 5 (seed 6)".</summary>
    /// <param name="member">Its index, from 0.</param>
    /// <param name="seed">Its seed.</param>
    public static string Of(int member, long seed) => FormattableString.Invariant($"member {member} (seed {seed})");
}
