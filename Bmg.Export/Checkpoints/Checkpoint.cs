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

    /// <summary>The set of this name.</summary>
    /// <exception cref="CheckpointException">There is none; the message lists those there are.</exception>
    public Params Set(string name) =>
        Sets.TryGetValue(name, out var set)
            ? set
            : throw new CheckpointException(
                $"The checkpoint has no set '{name}'; it holds {string.Join(", ", Sets.Keys)}."
            );

    /// <summary>Disposes every tensor.</summary>
    public void Dispose()
    {
        foreach (var set in Sets.Values)
        {
            ParamsModule.dispose(set);
        }
    }
}
