namespace Bmg.Export.Checkpoints;

/// <summary>
/// Everything that a training run needs to go on, or an exporter to begin: a manifest and named sets of tensors ("learner", "meta", …).
/// </summary>
/// <remarks>
/// Disposing it disposes every tensor. A checkpoint that was read owns its tensors; one that is put together only to be written does not
/// have to be disposed.
/// </remarks>
public sealed class Checkpoint : IDisposable
{
    /// <summary>Puts a checkpoint together; nothing is copied.</summary>
    /// <param name="manifest">What it says about itself.</param>
    /// <param name="sets">Sets by name, in the order in which they are to be written. A set's name is not empty and has no "/".</param>
    /// <exception cref="ArgumentException">A set has no name, or one with "/".</exception>
    public Checkpoint(CheckpointManifest manifest, IReadOnlyDictionary<string, Params> sets)
    {
        ArgumentNullException.ThrowIfNull(manifest);
        ArgumentNullException.ThrowIfNull(sets);
        foreach (var name in sets.Keys)
        {
            if (name.Length == 0 || name.Contains('/', StringComparison.Ordinal))
            {
                throw new ArgumentException(
                    $"Checkpoint: a set's name must not be empty and must not contain '/', found '{name}'.",
                    nameof(sets)
                );
            }
        }
        Manifest = manifest;
        Sets = sets;
    }

    /// <summary>What the checkpoint says about itself.</summary>
    public CheckpointManifest Manifest { get; }

    /// <summary>Sets by name, in order.</summary>
    public IReadOnlyDictionary<string, Params> Sets { get; }

    /// <summary>The file that it was read from; null where it was put together.</summary>
    public string? Source { get; init; }

    /// <summary>The set of this name.</summary>
    /// <exception cref="CheckpointException">There is none; the message lists those there are.</exception>
    public Params Set(string name) =>
        Sets.TryGetValue(name, out var set)
            ? set
            : throw Fault($"has no set '{name}'; it holds {string.Join(", ", Sets.Keys)}.");

    /// <summary>Refuses NaN and infinities in a set.</summary>
    /// <param name="set">Name of the set.</param>
    /// <param name="member">Only this member, where the set has it; all where null.</param>
    /// <exception cref="CheckpointException">There are some, or there is no such set; the message names set, tensor and member.</exception>
    public void RequireFinite(string set, int? member = null)
    {
        var parameters = Set(set);
        using var scope = TorchSharp.torch.NewDisposeScope();
        for (var i = 0; i < parameters.Count; i++)
        {
            var tensor = parameters.Tensors[i];
            if (!tensor.is_floating_point() || tensor.NumberOfElements == 0)
            {
                continue;
            }
            var members = tensor.dim() == 0 ? 1 : tensor.shape[0];
            var rows = tensor.isfinite().reshape(members, -1).all(1).cpu().data<bool>().ToArray();
            for (var row = 0; row < rows.Length; row++)
            {
                if (!rows[row] && (member is null || rows.Length == 1 || row == member))
                {
                    throw Fault(
                        $"holds a number that is not finite in '{set}/{parameters.Names[i]}', member {row}; expected finite ones."
                    );
                }
            }
        }
    }

    /// <summary>What is wrong with this checkpoint, with its file's name.</summary>
    internal CheckpointException Fault(string what, Exception? inner = null)
    {
        var message = $"{(Source is null ? "The checkpoint" : $"Checkpoint '{Source}'")} {what}";
        return inner is null ? new CheckpointException(message) : new CheckpointException(message, inner);
    }

    /// <summary>Disposes every tensor.</summary>
    public void Dispose()
    {
        foreach (var set in Sets.Values)
        {
            set.Dispose();
        }
    }
}
