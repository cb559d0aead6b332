using Bmg.Export.Checkpoints;
using static TorchSharp.torch;

namespace Bmg.Training.Experiments;

/// <summary>What populations do with one value, or one row of a tensor, a member.</summary>
internal static class MemberValues
{
    /// <summary>NaN for every member: there is nothing to report.</summary>
    public static double[] Nothing(int members)
    {
        var nothing = new double[members];
        Array.Fill(nothing, double.NaN);
        return nothing;
    }

    /// <summary>Refuses NaN and infinities, naming the member.</summary>
    /// <exception cref="NumericalFailureException">A value is not finite.</exception>
    public static void RequireFinite(string quantity, double[] values, long environmentSteps)
    {
        var member = Array.FindIndex(values, v => !double.IsFinite(v));
        if (member >= 0)
        {
            throw new NumericalFailureException(quantity, member, environmentSteps, values[member]);
        }
    }

    /// <summary>Consecutive members of a checkpoint's set, on a device, out of every scope: the caller's to dispose.</summary>
    public static Params Own(Checkpoint checkpoint, string set, int first, int members, Device device) =>
        ParamsModule.detachFromScope(
            checkpoint
                .Set(set)
                .Map(t =>
                {
                    using var rows = t.narrow(0, first, members);
                    return rows.to(rows.dtype, device, copy: true);
                })
        );
}
