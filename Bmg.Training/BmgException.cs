namespace Bmg.Training;

/// <summary>A foreseen failure: its message names the thing, the place, what was found and what was expected, and is all a user needs.</summary>
/// <param name="message">One line, or one a fault.</param>
/// <param name="cause">What was caught, for the full trace.</param>
public abstract class BmgException(string message, Exception? cause = null) : Exception(message, cause)
{
    /// <summary>Exit code of the process.</summary>
    public abstract int ExitCode { get; }
}

/// <summary>Wrong usage: a command line, a configuration or an input file that cannot be used. Exit code 2.</summary>
public class UsageException(string message, Exception? cause = null) : BmgException(message, cause)
{
    /// <inheritdoc/>
    public override int ExitCode => 2;
}

/// <summary>Something went wrong while doing what was asked: a full disk, a failed check. Exit code 1.</summary>
public class OperationException(string message, Exception? cause = null) : BmgException(message, cause)
{
    /// <inheritdoc/>
    public override int ExitCode => 1;
}
