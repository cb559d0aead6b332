using Bmg.Export.Checkpoints;
using static TorchSharp.torch;

namespace Bmg.Training.Agents;

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
