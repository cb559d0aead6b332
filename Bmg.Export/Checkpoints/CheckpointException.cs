namespace Bmg.Export.Checkpoints;

/// <summary>A checkpoint that is missing, broken, or not one of ours. The message names the file and what is wrong with it.</summary>
public sealed class CheckpointException : Exception
{
    /// <summary>With a message that says which file and what is wrong.</summary>
    public CheckpointException(string message)
        : base(message) { }

    /// <summary>With the error underneath.</summary>
    public CheckpointException(string message, Exception inner)
        : base(message, inner) { }
}
