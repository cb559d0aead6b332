namespace Bmg.Training.Environments;

/// <summary>An environment broke its word while it ran. Exit code 1.</summary>
/// <param name="message">The environment, the stream, the step, what was found and what was expected.</param>
/// <param name="cause">What it threw.</param>
public sealed class EnvironmentException(string message, Exception? cause = null) : OperationException(message, cause);
