using Bmg.Training.Agents;
using Bmg.Training.Configuration;

namespace Bmg.Training.Experiments;

/// <summary>
/// What a configuration needs of memory, by arithmetic on its sizes alone, before anything is allocated: what is alive at the same time in
/// any case, so that nothing is refused that would fit.
/// </summary>
internal static class MemoryNeeds
{
    /// <summary>Bytes that one tensor may have: what a checkpoint holds of each.</summary>
    public const double LargestTensor = int.MaxValue;

    /// <summary>Tensors that would be larger than any may be.</summary>
    public static IEnumerable<(string Path, string Found, string Expected)> BrokenSizes(RunConfiguration configuration)
    {
        foreach (MemoryNeed tensor in All(configuration).Where(need => need.IsOneTensor))
        {
            if (tensor.Bytes > LargestTensor)
            {
                yield return (
                    tensor.Setting,
                    $"{tensor.Product}, a tensor of {Bytes(tensor.Bytes)}",
                    $"at most {Bytes(LargestTensor)} a tensor"
                );
            }
        }
    }

    /// <summary>Refuses a configuration that cannot fit into this machine's memory.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="source">The file that holds them, for the message.</param>
    /// <param name="available">Bytes there are; null for what this process may use.</param>
    /// <exception cref="ConfigurationException">It needs more; the message names the settings and the bytes.</exception>
    public static void Require(RunConfiguration configuration, string source, double? available = null)
    {
        double most = available ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        MemoryNeed[] needs =
        [
            .. All(configuration).Where(need => !need.IsOneTensor).OrderByDescending(need => need.Bytes),
        ];
        double total = needs.Sum(need => need.Bytes);
        if (total <= most)
        {
            return;
        }
        string largest = string.Join(
            "; ",
            needs.TakeWhile(need => need.Bytes >= total / 10).Select(need => $"{need.Product}: {Bytes(need.Bytes)}")
        );
        throw new ConfigurationException([
            new Fault(
                source,
                needs[0].Setting,
                $"found sizes that need at least {Bytes(total)} of memory ({largest}), expected at most {Bytes(most)}, which this machine has"
            ),
        ]);
    }

    private static IEnumerable<MemoryNeed> All(RunConfiguration configuration) =>
        ExperimentKinds.Of(configuration).Needs(configuration);

    private static string Bytes(double bytes) =>
        bytes < 1e9
            ? FormattableString.Invariant($"{bytes / 1e6:0.#} MB")
            : FormattableString.Invariant($"{bytes / 1e9:0.#} GB");
}
