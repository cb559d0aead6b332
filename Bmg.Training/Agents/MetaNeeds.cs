using Bmg.Training.Configuration;

namespace Bmg.Training.Agents;

/// <summary>Memory of meta-parameters and their context.</summary>
internal static class MetaNeeds
{
    /// <summary>What they need; see <see cref="MemoryNeed"/>.</summary>
    /// <param name="configuration">Settings.</param>
    /// <param name="featuresOfRich">Numbers of the context "rich", or of the features that are named, a rollout or step.</param>
    public static IEnumerable<MemoryNeed> Of(RunConfiguration configuration, int featuresOfRich)
    {
        double members = configuration.Members;
        double context = ContextSize(configuration.Meta, featuresOfRich);
        double onHost = configuration.Device == DeviceKind.Cpu ? 1 : 0;
        if (context > 0)
        {
            int[] widths = [(int)context, .. configuration.Meta.Hidden, 1];
            yield return new MemoryNeed(
                "meta.hidden",
                "members × the largest layer of meta.contextLength and meta.hidden",
                members * LayerSizes.Largest(widths) * sizeof(float),
                IsOneTensor: true
            );
            // w and Adam's two moments.
            yield return new MemoryNeed(
                "meta.hidden",
                "parameters of meta.contextLength and meta.hidden × members",
                onHost * members * LayerSizes.Parameters(widths) * 3 * sizeof(float)
            );
        }

        yield return new MemoryNeed(
            "meta.contextLength",
            "meta.contextLength × members",
            members * context * sizeof(double)
        );
    }

    /// <summary>Numbers in a member's context: contextLength times the most features there can be is below 2³¹.</summary>
    public static double ContextSize(MetaSettings meta, int featuresOfRich)
    {
        if (meta.Method == MetaMethod.Fixed || meta.Parameters != MetaParameterKind.Network)
        {
            return 0;
        }

        var features =
            meta.Features.Count > 0 ? featuresOfRich
            : meta.Context == ContextKind.Reward ? 1
            : meta.Context == ContextKind.None ? 0
            : featuresOfRich;
        return (double)features * meta.ContextLength;
    }
}
