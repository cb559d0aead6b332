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

    /// <summary>One value a member, or NaN for each where there are none.</summary>
    public static double[] OrNothing(double[] values, int members) =>
        values.Length == members ? values : Nothing(members);

    /// <summary>The mean over steps, [step][member], of each member.</summary>
    public static double[] MeanOverSteps(double[][] steps, int members)
    {
        var mean = new double[members];
        foreach (var step in steps)
        {
            for (var member = 0; member < members; member++)
            {
                mean[member] += step[member] / steps.Length;
            }
        }

        return mean;
    }

    /// <summary>Frees a state that is superseded by <paramref name="next"/>, but for what the two share.</summary>
    /// <param name="state">The state.</param>
    /// <param name="next">What comes after it; null where nothing does.</param>
    public static void Release<T>(MetaState<T> state, MetaState<T>? next)
    {
        if (next is null)
        {
            state.Dispose();
        }
        else
        {
            state.DisposeExcept(next);
        }
    }

    /// <summary>Consecutive members of a checkpoint's set, on a device, out of every scope: the caller's to dispose.</summary>
    public static Params Own(Checkpoint checkpoint, string set, int first, int members, Device device) =>
        (
            checkpoint
                .Set(set)
                .Map(t =>
                {
                    using var rows = t.narrow(0, first, members);
                    return rows.to(rows.dtype, device, copy: true);
                })
        ).DetachFromScope();
}
