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
    /// <exception cref="CheckpointException">Description and tensors do not agree, or a parameter is not finite.</exception>
    public static void RequirePolicy(Checkpoint checkpoint, int? member = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var manifest = checkpoint.Manifest;
        var policy = manifest.Policy;
        if (!Enum.IsDefined(policy.Kind))
        {
            throw checkpoint.Fault($"has a policy of kind {policy.Kind}, expected logits, values or predictions.");
        }
        var network = Require(checkpoint, policy.Network, policy.ParameterSet, manifest.Seeds.Length, shared: false);
        RequireNames(checkpoint, policy.ObservationLayout, network.Inputs, "names in its observation's layout");
        RequireNames(checkpoint, policy.ActionMeanings, network.Outputs, "meanings of its actions");
        if (policy.ValueNetwork is { } description)
        {
            var value = Require(checkpoint, description, policy.ParameterSet, manifest.Seeds.Length, shared: false);
            if (value.Inputs != network.Inputs || value.Outputs != 1)
            {
                throw checkpoint.Fault(
                    $"has a value network '{value.Name}' from {value.Inputs} to {value.Outputs}, expected from {network.Inputs} to 1."
                );
            }
        }
        checkpoint.RequireFinite(policy.ParameterSet, member);
    }

    /// <summary>Checks the meta-network, where there is one, and that its parameters are finite.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="member">Whose parameters must be finite; all members' where null.</param>
    /// <exception cref="CheckpointException">Description and tensors do not agree, or a parameter is not finite.</exception>
    public static void RequireMetaNetwork(Checkpoint checkpoint, int? member = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        if (checkpoint.Manifest.MetaNetwork is not { } meta)
        {
            return;
        }
        var network = Require(checkpoint, meta.Network, meta.ParameterSet, checkpoint.Manifest.Seeds.Length, true);
        RequireNames(checkpoint, meta.InputNames, network.Inputs, "names of the meta-network's inputs");
        if (network.Outputs != 1 || !(double.IsFinite(meta.Low) && double.IsFinite(meta.High) && meta.Low < meta.High))
        {
            throw checkpoint.Fault(
                $"has a meta-network '{network.Name}' with {network.Outputs} outputs between {meta.Low} and {meta.High}, expected one between finite bounds."
            );
        }
        checkpoint.RequireFinite(meta.ParameterSet, member);
    }

    /// <summary>The network described, whose parameters are there, one row of them a member.</summary>
    private static Network Require(
        Checkpoint checkpoint,
        NetworkDescription description,
        string set,
        int members,
        bool shared
    )
    {
        Network network;
        try
        {
            if (description.Layers.Any(layer => layer is null))
            {
                throw new FormatException($"Network '{description.Name}' has a layer that is null.");
            }
            network = description.ToNetwork();
        }
        catch (FormatException exception)
        {
            throw checkpoint.Fault($"has a network that cannot be read: {exception.Message}", exception);
        }
        var parameters = checkpoint.Set(set);
        var population = shared && parameters.Members == 1 ? 1 : members;
        int? before = null;
        for (var i = 0; i < network.Layers.Length; i++)
        {
            var layer = i;
            network
                .Layers[i]
                .Match<object?>(
                    (inputs, outputs) =>
                    {
                        if (before is { } width && width != inputs)
                        {
                            throw checkpoint.Fault(
                                $"has a network '{network.Name}' whose layer {layer} takes {inputs} features, expected the {width} of the layer before."
                            );
                        }
                        before = outputs;
                        RequireTensor(checkpoint, set, network.WeightName(layer), [population, inputs, outputs]);
                        RequireTensor(checkpoint, set, network.BiasName(layer), [population, 1, outputs]);
                        return null;
                    },
                    _ => null
                );
        }
        return before is null
            ? throw checkpoint.Fault($"has a network '{network.Name}' without a linear layer, expected one at least.")
            : network;
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
