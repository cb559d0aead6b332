using System.Globalization;
using System.Text.RegularExpressions;
using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Reporting;
using Bmg.Training.Runs;
using TorchSharp;

namespace Bmg.Training.Studies;

/// <summary>What a learned meta-network answers to a context.</summary>
/// <param name="Context">"high", "increasing", "zero", "decreasing" or "low".</param>
/// <param name="Values">The meta-parameter, one number a seed.</param>
/// <param name="Mean">Mean over seeds.</param>
/// <param name="Deviation">Sample deviation over seeds.</param>
public sealed record ContextProbe(string Context, double[] Values, double Mean, double Deviation);

/// <summary>
/// Probes the function from context to meta-parameter that was learned, as Luketina et al. 2022 do: with rewards that are high, increasing,
/// zero, decreasing and low. Whatever else the network sees is zero.
/// </summary>
public static partial class ContextProbes
{
    private const double RawReward = 0.25;
    private const double NormalizedReward = 1;

    /// <summary>Contexts, in order: the reward at the oldest and at the newest input, as a fraction of the highest.</summary>
    private static readonly (string Name, double Oldest, double Newest)[] Contexts =
    [
        ("high", 1, 1),
        ("increasing", -1, 1),
        ("zero", 0, 0),
        ("decreasing", 1, -1),
        ("low", -1, -1),
    ];

    /// <summary>Probes the meta-network of a checkpoint; null where there is none, or none that sees rewards.</summary>
    /// <param name="checkpoint">The checkpoint's file.</param>
    /// <param name="scaling">How rewards enter the context.</param>
    /// <param name="frozen">Members that were frozen; their answers are NaN and left out of means.</param>
    /// <exception cref="CheckpointException">The file is missing, or no checkpoint.</exception>
    public static IReadOnlyList<ContextProbe>? Read(
        string checkpoint,
        ContextScaling scaling,
        IReadOnlyList<FrozenMember> frozen
    )
    {
        using Checkpoint read = CheckpointFile.Read(checkpoint);
        CheckpointContents.RequireMetaNetwork(read);
        return read.Manifest.MetaNetwork is { } meta
            ? Of(meta, read.Set(meta.ParameterSet), read.Manifest.Seeds.Length, scaling, frozen)
            : null;
    }

    /// <summary>Probes a meta-network.</summary>
    /// <param name="meta">What it is.</param>
    /// <param name="parameters">Its parameters, for as many members as there are seeds, or for one that serves all.</param>
    /// <param name="seeds">Seeds of the population.</param>
    /// <param name="scaling">How rewards enter the context.</param>
    /// <param name="frozen">Members that were frozen; their answers are NaN and left out of means.</param>
    public static IReadOnlyList<ContextProbe>? Of(
        MetaNetworkDescription meta,
        Params parameters,
        int seeds,
        ContextScaling scaling,
        IReadOnlyList<FrozenMember>? frozen = null
    )
    {
        if (Inputs(meta.InputNames, scaling) is not { } contexts)
        {
            return null;
        }
        Network network = meta.Network.ToNetwork();
        int members = (int)parameters.Members;
        using DisposeScope scope = torch.NewDisposeScope();
        using IDisposable noGradient = torch.no_grad();
        Tensor input = torch
            .tensor(contexts.SelectMany(context => context).ToArray(), [1, contexts.Length, network.Inputs])
            .to(parameters.Tensors[0].dtype)
            .expand(members, -1, -1);
        double[] unit = NetworkModule
            .apply(network, parameters, input)
            .narrow(-1, 0, 1)
            .sigmoid()
            .to(torch.float64)
            .contiguous()
            .data<double>()
            .ToArray();
        return
        [
            .. Contexts.Select(
                (context, i) =>
                {
                    double[] values =
                    [
                        .. Enumerable
                            .Range(0, seeds)
                            .Select(seed =>
                                frozen?.Any(mark => mark.Member == seed) == true
                                    ? double.NaN
                                    : unit[((members == 1 ? 0 : seed) * Contexts.Length) + i]
                            )
                            .Select(share => Digits.Six(meta.Low + ((meta.High - meta.Low) * share))),
                    ];
                    Spread spread = Spread.Of(values);
                    return new ContextProbe(
                        context.Name,
                        values,
                        Digits.Six(spread.Mean),
                        Digits.Six(spread.Deviation)
                    );
                }
            ),
        ];
    }

    /// <summary>[context][input]: what the network is shown; null where none of its inputs is a reward of some time ago.</summary>
    internal static double[][]? Inputs(IReadOnlyList<string> names, ContextScaling scaling)
    {
        int?[] ages =
        [
            .. names.Select(name =>
                PastReward().Match(name) is { Success: true } match
                    ? int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)
                    : (int?)null
            ),
        ];
        if (ages.All(age => age is null))
        {
            return null;
        }
        (int newest, int oldest) = (ages.Min()!.Value, ages.Max()!.Value);
        double high = scaling == ContextScaling.Raw ? RawReward : NormalizedReward;
        return
        [
            .. Contexts.Select(context =>
                ages.Select(age =>
                    {
                        if (age is not { } a)
                        {
                            return 0;
                        }
                        double late = oldest == newest ? 0.5 : (oldest - a) / (double)(oldest - newest);
                        return high * (context.Oldest + (late * (context.Newest - context.Oldest)));
                    })
                    .ToArray()
            ),
        ];
    }

    [GeneratedRegex(@"^(?:mean )?reward, (\d+) (?:rollout|step)s? ago$")]
    private static partial Regex PastReward();
}
