using System.CommandLine;
using Bmg.Training.Configuration;
using Bmg.Training.Runs;
using Bmg.Training.Studies;
using Bmg.Training.Supervised;
using Bmg.Training.Theory;

namespace Bmg.Training.CommandLine;

/// <summary><c>schema</c>: the JSON schemas of the files that people write.</summary>
internal static class SchemaCommand
{
    private const string Run = "run";

    /// <summary>Kinds of file: the record that each is read into, and what it is.</summary>
    private static readonly Dictionary<string, (Type Record, string Title)> Kinds = new()
    {
        [Run] = (typeof(RunConfiguration), "Configuration of a Bmg run"),
        ["theory"] = (typeof(TheoryConfiguration), "Configuration of a Bmg theory study"),
        ["study"] = (typeof(StudyDescription), "A published table that Bmg reproduces"),
    };

    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string> kind = new("KIND")
        {
            Description =
                "run: a configuration of train and sweep; theory: one of theory; study: a table of reproduce.",
            DefaultValueFactory = _ => Run,
        };
        Command command = new(
            "schema",
            """
            Prints a JSON schema: every setting with its meaning, range and default.

            Examples:
              schema > paper-configs/schema.json
              schema theory > paper-configs/theory-schema.json
              schema study > paper-configs/study-schema.json
            """
        )
        {
            kind,
        };
        command.SetAction(parsed =>
        {
            string found = parsed.GetRequiredValue(kind);
            (Type record, string title) = Kinds.TryGetValue(found, out (Type, string) known)
                ? known
                : throw new UsageException($"KIND: found {found}, expected {Choices.Say(found, Kinds.Keys)}.");
            host.Out.Write(ConfigurationSchema.Text(record, title, host.Catalogue));
        });
        return command;
    }
}
