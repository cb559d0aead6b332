namespace Bmg.Training.Environments;

/// <summary>What <see cref="EnvironmentCheck"/> looks at.</summary>
public enum EnvironmentRule
{
    /// <summary>Its description is whole, never changes, and is the same for all instances.</summary>
    Description,

    /// <summary>An observation is written to its end, finite, and of whole bytes where it is of bytes.</summary>
    Observation,

    /// <summary>Rewards are finite.</summary>
    Reward,

    /// <summary>An episode is terminated or truncated, not both.</summary>
    Ends,

    /// <summary>Actions outside its space are refused.</summary>
    Actions,

    /// <summary>A mask is written to its end and leaves each action a choice.</summary>
    Mask,

    /// <summary>It can be reset at any time.</summary>
    Reset,

    /// <summary>The same generator and the same actions give the same numbers.</summary>
    Determinism,

    /// <summary>What other instances do has no part in its numbers.</summary>
    Independence,

    /// <summary>A saved stream, restored in a fresh instance, goes on bit for bit.</summary>
    Save,

    /// <summary>Bytes that are no state of its are refused.</summary>
    Restore,

    /// <summary>Changes come in order and within what was asked.</summary>
    Changes,

    /// <summary>It draws some text, and drawing changes nothing.</summary>
    Render,

    /// <summary>It throws nothing when used as it should be.</summary>
    Throws,
}
