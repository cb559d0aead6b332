using System.CommandLine;
using Bmg.Training.Catalogues;
using Bmg.Training.Runs;
using Bmg.Training.Verification;
using Bmg.Verify;

namespace Bmg.Training.CommandLine;

/// <summary><c>verify</c>: holds the parts of this program to the laws of meta-updates.</summary>
internal static class VerifyCommand
{
    /// <summary>The command.</summary>
    public static Command Create(TrainingHost host)
    {
        Argument<string[]> names = new("PART")
        {
            Description =
                "Names of parts, as in brier or optimizer/softsign, or a configuration file, whose parts are judged with its settings. This program's own parts where none are given; the library's where it has none.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        Option<string[]> laws = new("--law")
        {
            Description = $"Only these laws: {string.Join(", ", Laws.All<Rollout>().Select(law => law.Name))}.",
            AllowMultipleArgumentsPerToken = true,
            HelpName = "NAME …",
        };
        Option<string[]> set = new("--set")
        {
            Description =
                "Change a setting of the configuration file, as in --set matching.functions.0.scale=2; may be repeated.",
            HelpName = "path=value",
        };
        Option<int> cases = new("--cases")
        {
            Description = "Generated cases for each part.",
            DefaultValueFactory = _ => 100,
            HelpName = "N",
        };
        cases.Between(1, 1_000_000);
        Option<long> seed = new("--seed")
        {
            Description = "Seed of the first case; the others follow one by one.",
            DefaultValueFactory = _ => 1,
            HelpName = "N",
        };
        Command command = new(
            "verify",
            """
            Judges matching functions, targets, update rules, optimizers and layers by every law of meta-updates that applies to them, over
            generated cases: derivatives against finite differences, targets that are constants, members that are independent, and more. What
            is broken is shown in the smallest case that breaks it. Exit code 1 where a law is broken.

            Examples:
              verify
              verify brier --cases 1000
              verify own-rule.json --law differences members
            """
        )
        {
            names,
            laws,
            set,
            cases,
            seed,
        };
        command.SetAction(parsed =>
            Run(
                host,
                parsed.GetValue(names) ?? [],
                parsed.GetValue(set) ?? [],
                new VerifyOptions
                {
                    Cases = parsed.GetValue(cases),
                    Seed = parsed.GetValue(seed),
                    Laws = parsed.GetValue(laws) ?? [],
                }
            )
        );
        return command;
    }

    private static int Run(TrainingHost host, string[] names, string[] settings, VerifyOptions options)
    {
        string[] known = [.. Laws.All<Rollout>().Select(law => law.Name)];
        if (options.Laws.FirstOrDefault(law => !known.Contains(law)) is { } unknown)
        {
            throw new UsageException(
                $"--law: found {unknown}, {(Suggestion.Nearest(unknown, known) is { } near ? $"did you mean {near}? Expected" : "expected")} one of {string.Join(", ", known)}."
            );
        }

        Part[] parts = Chosen(host, names, settings);
        var judged = new List<(Part Part, Subject Subject)>();
        foreach (Part part in parts)
        {
            try
            {
                Subject subject = JudgedParts.SubjectOf(part);
                if (options.Laws.Length == 0 || AreAsked(options.Laws, subject))
                {
                    judged.Add((part, subject));
                }
            }
            catch (UsageException e) when (names.Length == 0)
            {
                host.Out.WriteLine(
                    $"{e.Message}\n  not judged with the settings that it was registered with; a configuration file gives it others\n"
                );
            }
        }

        if (judged.Count == 0)
        {
            throw new UsageException(
                options.Laws.Length > 0
                    ? $"--law: none of {string.Join(", ", options.Laws)} is asked of these parts."
                    : $"verify: found no part to judge, expected one of a kind that the laws judge: {string.Join(", ", JudgedParts.Kinds)}."
            );
        }

        using StopSignals? signals = host.Stop is null
            ? new StopSignals(() => host.Error.WriteLine("Stopping after this case. Once more stops at once."))
            : null;
        options.Cancellation = host.Stop ?? signals!.Token;
        int broken = 0,
            done = 0;
        foreach ((Part part, Subject subject) in judged)
        {
            Report report;
            try
            {
                report = Verify.Verify.Run(subject, options);
            }
            catch (OperationCanceledException)
            {
                host.Error.WriteLine($"interrupted: {judged.Count - done} of {judged.Count} parts were not judged");
                return StopSignals.ExitCode;
            }

            done++;
            broken += report.Passed ? 0 : 1;
            host.Out.WriteLine(report.ToString());
            host.Out.WriteLine(
                $"  from {part.Definition!.Origin.Assembly} {part.Definition.Origin.Version.Split('+')[0]}\n"
            );
        }

        host.Out.WriteLine(
            $"{done} parts, {options.Cases} cases each from seed {options.Seed}: {(broken == 0 ? "every law that applies holds" : $"{broken} break a law")}."
        );
        return broken == 0 ? 0 : 1;
    }

    private static bool AreAsked(string[] laws, Subject subject) =>
        Laws.All<Rollout>().Any(law => laws.Contains(law.Name) && (law.Parts & subject.Kind) == subject.Kind);

    private static Part[] Chosen(TrainingHost host, string[] names, string[] settings)
    {
        if (names.FirstOrDefault(File.Exists) is { } file)
        {
            if (names.Length > 1)
            {
                throw new UsageException(
                    $"PART: found {names.Length}, expected one configuration file, or names of parts."
                );
            }

            return [.. JudgedParts.Of(host.Reader.ReadFile(file, settings))];
        }

        if (settings.Length > 0)
        {
            throw new UsageException("--set: found no configuration file, expected one whose settings it changes.");
        }

        IReadOnlyList<Part> all = JudgedParts.Of(host.Catalogue);
        if (names.Length == 0)
        {
            Part[] own = [.. all.Where(JudgedParts.IsOwn)];
            return own.Length > 0 ? own : [.. all];
        }

        return
        [
            .. names.SelectMany(name =>
            {
                Part[] there = [.. all.Where(part => part.Name == name || $"{part.Kind}/{part.Name}" == name)];
                return there.Length > 0
                    ? there
                    : throw new UsageException(
                        $"PART: found {name}, expected a configuration file or one of {string.Join(", ", all.Select(part => $"{part.Kind}/{part.Name}"))}."
                    );
            }),
        ];
    }
}
