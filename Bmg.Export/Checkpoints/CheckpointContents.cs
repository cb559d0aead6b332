using TorchSharp;

namespace Bmg.Export.Checkpoints;

/// <summary>
/// Holds what a checkpoint says of its networks against the tensors that it has, before anything is computed: a description is a few
/// numbers in a file, and sizes made up there would be allocated, or read beyond what there is.
/// </summary>
public static class CheckpointContents
{
    /// <summary>Checks the policy's networks, layout and actions, and that its parameters are finite.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="member">Whose parameters must be finite; all members' where null.</param>
    /// <param name="layers">Custom layers that its networks may have; null for none.</param>
    /// <exception cref="CheckpointException">Description and tensors do not agree, or a parameter is not finite.</exception>
    public static void RequirePolicy(Checkpoint checkpoint, int? member = null, CustomLayers? layers = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var manifest = checkpoint.Manifest;
        var policy = manifest.Policy;
        if (!Enum.IsDefined(policy.Kind))
        {
            throw checkpoint.Fault(
                $"has a policy of kind {policy.Kind}, expected {string.Join(", ", Enum.GetNames<PolicyKind>())}."
            );
        }
        Network Described(NetworkDescription description) =>
            Require(checkpoint, description, policy.ParameterSet, manifest.Seeds.Length, shared: false, layers);

        var torso = policy.Torso is { } shared ? Described(shared) : null;
        var network = Described(policy.Network);
        var input = torso?.OutputShape ?? network.InputShape;
        RequireInput(network);
        RequireNames(
            checkpoint,
            policy.ObservationLayout,
            (torso ?? network).Inputs,
            "names in its observation's layout"
        );
        if (network.OutputShape.Length != 1)
        {
            throw checkpoint.Fault(
                $"has a network '{network.Name}' that puts out [{string.Join(", ", network.OutputShape)}], expected a row of numbers."
            );
        }
        if (policy.ActionFlaw(network.Outputs) is { } flaw)
        {
            throw checkpoint.Fault($"has {flaw}.");
        }
        if (policy.ValueNetwork is { } description)
        {
            var value = Described(description);
            RequireInput(value);
            if (value.OutputShape is not [1])
            {
                throw checkpoint.Fault(
                    $"has a value network '{value.Name}' from {value.Inputs} to {value.Outputs}, expected from {network.Inputs} to 1."
                );
            }
        }
        checkpoint.RequireFinite(policy.ParameterSet, member);
        if (policy.Normalization is { } normalization)
        {
            RequireNormalization(checkpoint, normalization, manifest.Seeds.Length, (torso ?? network).Inputs, member);
        }

        void RequireInput(Network head)
        {
            if (!head.InputShape.AsSpan().SequenceEqual(input))
            {
                throw checkpoint.Fault(
                    $"has a network '{head.Name}' that takes [{string.Join(", ", head.InputShape)}], expected [{string.Join(", ", input)}], as "
                        + (torso is null ? "the policy's takes." : $"the torso '{torso.Name}' puts out.")
                );
            }
        }
    }

    private static void RequireNormalization(
        Checkpoint checkpoint,
        NormalizationDescription normalization,
        long members,
        long width,
        int? member
    )
    {
        if (normalization.Flaw is { } flaw)
        {
            throw checkpoint.Fault($"has {flaw}.");
        }
        RequireTensor(checkpoint, NormalizationDescription.Set, NormalizationDescription.Mean, [members, width]);
        RequireTensor(checkpoint, NormalizationDescription.Set, NormalizationDescription.Scale, [members, width]);
        checkpoint.RequireFinite(NormalizationDescription.Set, member);
    }

    /// <summary>Checks the meta-network, where there is one, and that its parameters are finite.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="member">Whose parameters must be finite; all members' where null.</param>
    /// <param name="layers">Custom layers that its network may have; null for none.</param>
    /// <exception cref="CheckpointException">Description and tensors do not agree, or a parameter is not finite.</exception>
    public static void RequireMetaNetwork(Checkpoint checkpoint, int? member = null, CustomLayers? layers = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        if (checkpoint.Manifest.MetaNetwork is not { } meta)
        {
            return;
        }
        var network = Require(
            checkpoint,
            meta.Network,
            meta.ParameterSet,
            checkpoint.Manifest.Seeds.Length,
            true,
            layers
        );
        RequireNames(checkpoint, meta.InputNames, network.Inputs, "names of the meta-network's inputs");
        if (network.OutputShape is not [var outputs] || outputs != meta.Outputs.Count)
        {
            throw checkpoint.Fault(
                $"has a meta-network '{network.Name}' with {network.Outputs} outputs, expected {meta.Outputs.Count}, one a meta-parameter."
            );
        }
        foreach (var output in meta.Outputs)
        {
            if (
                string.IsNullOrEmpty(output.Name)
                || !(double.IsFinite(output.Low) && double.IsFinite(output.High) && output.Low < output.High)
                || meta.Outputs.Count(other => other.Name == output.Name) > 1
            )
            {
                throw checkpoint.Fault(
                    $"has a meta-network '{network.Name}' with an output '{output.Name}' between {output.Low} and {output.High}, expected names, each once, and finite bounds."
                );
            }
        }
        checkpoint.RequireFinite(meta.ParameterSet, member);
    }

    /// <summary>The network described, whose parameters are there, one row of them a member.</summary>
    private static Network Require(
        Checkpoint checkpoint,
        NetworkDescription description,
        string set,
        int members,
        bool shared,
        CustomLayers? layers
    )
    {
        Network network;
        try
        {
            network = description.ToNetwork(layers);
        }
        catch (FormatException exception)
        {
            throw checkpoint.Fault($"has a network that cannot be read: {exception.Message}", exception);
        }
        var parameters = checkpoint.Set(set);
        var population = shared && parameters.Members == 1 ? 1 : members;
        RequireSites(checkpoint, set, network.Sites, population);
        return network;
    }

    private static void RequireSites(Checkpoint checkpoint, string set, LayerSite[] sites, long population)
    {
        foreach (var site in sites)
        {
            foreach (var (name, parameter) in site.ParameterNames.Zip(site.Parameters))
            {
                RequireTensor(checkpoint, set, name, [population, .. parameter.Shape.Select(axis => (long)axis)]);
            }
            if (site.Layer.IsBatchNormalization)
            {
                var (mean, variance) = site.StatisticsNames;
                RequireTensor(checkpoint, set, mean, [population, site.InputShape[0]]);
                RequireTensor(checkpoint, set, variance, [population, site.InputShape[0]]);
            }
            RequireSites(checkpoint, set, site.Inner, population);
            RequireSites(checkpoint, set, site.Shortcut, population);
        }
    }

    private static void RequireTensor(Checkpoint checkpoint, string set, string name, long[] shape)
    {
        var parameters = checkpoint.Set(set);
        var found = parameters.Contains(name) ? parameters[name] : null;
        if (found is null || !found.is_floating_point() || !found.shape.AsSpan().SequenceEqual(shape))
        {
            throw checkpoint.Fault(
                $"has {(found is null ? "no tensor" : $"a tensor of {found.dtype} [{string.Join(", ", found.shape)}] as")} '{set}/{name}', expected one of floating point [{string.Join(", ", shape)}] by what it says of its network and seeds."
            );
        }
    }

    private static void RequireNames(Checkpoint checkpoint, string[] names, int count, string what)
    {
        if (names.Length != count || names.Any(name => name is null))
        {
            throw checkpoint.Fault(
                $"has {names.Length} {what}{(names.Any(name => name is null) ? ", one of them null" : "")}, expected {count} by its network."
            );
        }
    }
}
