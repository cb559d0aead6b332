using System.CommandLine;
using Bmg.Training.Configuration;

namespace Bmg.Training.CommandLine;

/// <summary><c>schema</c>: the JSON schema of configurations.</summary>
internal static class SchemaCommand
{
    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Command command = new(
            "schema",
            """
            Prints the JSON schema of configurations: every setting with its meaning, range and default.

            Example: schema > paper-configs/schema.json
            """
        );
        command.SetAction(_ => host.Out.Write(ConfigurationSchema.Text()));
        return command;
    }
}
