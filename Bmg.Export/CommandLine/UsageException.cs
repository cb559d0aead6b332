namespace Bmg.Export.CommandLine;

/// <summary>The command line asks for something that cannot be done as asked.</summary>
internal sealed class UsageException(string message) : Exception(message);
