using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;
using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Bmg.Export.Parity;

namespace Bmg.Export.CommandLine;

/// <summary>What the command line offers.</summary>
public static class ExportCommands
{
    private const string Policy = "policy";
    private const string Meta = "meta";

    /// <summary>All commands.</summary>
    public static RootCommand Root()
    {
        RootCommand root = new(
            "Turns what a run has learned into ONNX, and checks that it computes the same.\n\n"
                + "Example: Bmg.Export export runs/two-colors --output policy.onnx"
        )
        {
            Export(),
            Inspect(),
            Check(),
            Bench(),
        };
        string[] names = [.. root.Subcommands.Select(command => command.Name)];
        foreach (var command in root.Subcommands.Prepend<Command>(root))
        {
            command.Description = ThisProgram.Pasteable(command.Description ?? "", names);
        }
        return root;
    }

    private static Command Export()
    {
        var run = new Argument<string>("RUN") { Description = "Directory of a run, or a checkpoint file." };
        var member = Whole(
            "--member",
            0,
            "Which member of the population, counted from 0; its seed is printed.",
            least: 0
        );
        var output = new Option<string>("--output", "-o") { Description = "The .onnx file to write.", Required = true };
        var network = new Option<string>("--network")
        {
            Description =
                "What to export: the policy (of a Q-network: its action values), or the meta-network that computes a meta-parameter.",
            DefaultValueFactory = _ => Policy,
        };
        network.AcceptOnlyFromAmong(Policy, Meta);
        var value = new Option<bool>("--value") { Description = "Give the policy's value as an output, too." };
        var opset = new Option<int?>("--opset")
        {
            Description =
                $"Version of ONNX's operators, up to {OnnxVersions.Highest}; the lowest that the graph needs where none is given.",
            HelpName = "number",
        };
        var outputs = new Option<string[]>("--outputs")
        {
            Description =
                "Outputs of the policy, separated by commas, as in logits,action (of numbers: mean, deviation, action); all but the value where none are given. Some engines lack an operator that one of them needs.",
            HelpName = "names",
            CustomParser = result => result.Tokens[0].Value.Split(',', StringSplitOptions.TrimEntries),
        };
        var force = new Option<bool>("--force") { Description = "Replace the output if it exists." };
        var command = new Command(
            "export",
            "Writes the policy of one member as ONNX. It is compared with TorchSharp first; no file appears if they differ.\n\n"
                + "Example: Bmg.Export export runs/two-colors --member 3 --value --output policy.onnx\n"
                + "Example: Bmg.Export export runs/two-colors --outputs logits --opset 15 --output policy.onnx"
        )
        {
            run,
            member,
            output,
            network,
            value,
            opset,
            outputs,
            force,
        };
        command.SetAction(parsed =>
        {
            var path = parsed.GetValue(output)!;
            RequireWritable(path, parsed.GetValue(force));
            var isMeta = parsed.GetValue(network) == Meta;
            // Not given, a list is empty rather than null.
            var chosen = parsed.GetValue(outputs) is { Length: > 0 } names ? names : null;
            if (isMeta && (parsed.GetValue(value) || chosen is not null))
            {
                throw new UsageException(
                    "--value and --outputs go with --network policy; a meta-network has one output."
                );
            }
            if (parsed.GetValue(value) && chosen is not null)
            {
                throw new UsageException("--value goes without --outputs; name 'value' among the outputs instead.");
            }
            var options = new ExportOptions { Opset = parsed.GetValue(opset), Outputs = chosen };
            using var checkpoint = CheckpointFile.Read(RunDirectory.FindCheckpoint(parsed.GetValue(run)!));
            var model = isMeta
                ? MetaNetworkExporter.Build(checkpoint, parsed.GetValue(member), options)
                : PolicyExporter.Build(checkpoint, parsed.GetValue(member), parsed.GetValue(value), options);
            var result = ModelFile.Write(model, path, isMeta ? null : Reachable(checkpoint));
            parsed.InvocationConfiguration.Output.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"Wrote {Printable.Line(result.Path)} ({result.Bytes:N0} bytes, opset {model.Onnx.OpsetImport[0].Version}, IR version {model.Onnx.IrVersion}), of {checkpoint.Manifest.NameOf(parsed.GetValue(member))}. ONNX Runtime against TorchSharp: {result.Parity}."
                )
            );
            return ExportCli.Success;
        });
        return command;
    }

    /// <summary>Every observation there can be, where the layout tells; null otherwise.</summary>
    private static float[]? Reachable(Checkpoint checkpoint) =>
        OneHotLayout.All(checkpoint.Manifest.Policy.ObservationLayout);

    private static Command Inspect()
    {
        var file = OnnxFile();
        var command = new Command(
            "inspect",
            "Shows inputs, outputs, operators and metadata of any ONNX file.\n\nExample: Bmg.Export inspect policy.onnx"
        )
        {
            file,
        };
        command.SetAction(parsed =>
        {
            Reports.Inspection(OnnxModel.Read(parsed.GetValue(file)!), parsed.InvocationConfiguration.Output);
            return ExportCli.Success;
        });
        return command;
    }

    private static Command Check()
    {
        var file = OnnxFile();
        var run = new Option<string>("--against")
        {
            Description = "Directory of the run that it was exported from, or a checkpoint file.",
            HelpName = "RUN",
            Required = true,
        };
        var observations = Whole(
            "--observations",
            ParityCheck.DefaultInputs,
            "Compare at least so many; where every observation there can be is fewer, random ones are added.",
            least: 1
        );
        var command = new Command(
            "check",
            "Compares an exported file with the run that it comes from: on every observation there can be, where its components are\n"
                + "one-hot and not too many, otherwise on random ones.\n\n"
                + "Example: Bmg.Export check policy.onnx --against runs/two-colors"
        )
        {
            file,
            run,
            observations,
        };
        command.SetAction(parsed =>
        {
            var path = parsed.GetValue(file)!;
            using var session = ModelSession.Load(path);
            using var checkpoint = CheckpointFile.Read(RunDirectory.FindCheckpoint(parsed.GetValue(run)!));
            var reference = Reference(session, path, checkpoint);
            ParityReport report;
            try
            {
                report = ParityCheck.Run(
                    session,
                    reference,
                    ModelKinds.IsPolicy(session.Metadata.GetValueOrDefault(MetadataKeys.Kind))
                        ? Reachable(checkpoint)
                        : null,
                    parsed.GetValue(observations)
                );
            }
            catch (OnnxFileException exception) when (!exception.Message.Contains(path, StringComparison.Ordinal))
            {
                throw new OnnxFileException($"'{path}': {exception.Message}", exception);
            }
            Reports.Parity(report, parsed.InvocationConfiguration.Output);
            if (report.Passed)
            {
                return ExportCli.Success;
            }
            var steps = session.Metadata.GetValueOrDefault(MetadataKeys.EnvironmentSteps, "unknown");
            var now = checkpoint.Manifest.EnvironmentSteps.ToString(CultureInfo.InvariantCulture);
            parsed.InvocationConfiguration.Error.WriteLine(
                Printable.Line(
                    $"'{path}' does not compute what the checkpoint computes for {Subject(session, checkpoint)}"
                        + (
                            steps == now
                                ? "."
                                : $": it was exported at environment step {steps}, the checkpoint is of {now}."
                        )
                )
            );
            return ExportCli.Failure;
        });
        return command;
    }

    private static Command Bench()
    {
        var file = OnnxFile();
        var provider = new Option<string>("--provider")
        {
            Description = "Where to compute.",
            DefaultValueFactory = _ => "cpu",
        };
        provider.AcceptOnlyFromAmong("cpu", "cuda");
        var fallback = new Option<bool>("--allow-fallback")
        {
            Description = "Use the CPU where CUDA is not available, instead of failing.",
        };
        int[] standardSizes = [1, 64, 1024];
        var batches = new Option<int[]>("--batch")
        {
            Description = $"Batch sizes, separated by commas; {string.Join(',', standardSizes)} by default.",
            HelpName = "sizes",
            CustomParser = result =>
                [
                    .. result
                        .Tokens[0]
                        .Value.Split(',')
                        .Select(size =>
                            ParseNumber<int>(
                                result,
                                size,
                                "each size of --batch",
                                n => n > 0,
                                "a positive whole number"
                            )
                        ),
                ],
        };
        var seconds = Number(
            "--seconds",
            1.0,
            "How long to measure each batch size.",
            s => s is > 0 and <= 3600,
            "above 0 and at most 3600"
        );
        var threads = Whole("--threads", 0, "Threads on the CPU; 0 lets ONNX Runtime choose.", least: 0, most: 1024);
        var command = new Command(
            "bench",
            "Measures how fast a file runs: latency, and observations a second.\n\n"
                + "Example: Bmg.Export bench policy.onnx --provider cpu --batch 1,64,1024"
        )
        {
            file,
            provider,
            fallback,
            batches,
            seconds,
            threads,
        };
        command.SetAction(parsed =>
        {
            var options = new InferenceOptions(
                parsed.GetValue(provider) == "cuda" ? ExecutionProvider.Cuda : ExecutionProvider.Cpu,
                parsed.GetValue(fallback),
                parsed.GetValue(threads)
            );
            using var session = ModelSession.Load(parsed.GetValue(file)!, options);
            var duration = TimeSpan.FromSeconds(parsed.GetValue(seconds));
            var sizes = parsed.GetValue(batches) ?? standardSizes;
            foreach (var batch in sizes)
            {
                RequireFits(session, batch);
            }
            var timings = sizes.Select(batch => Benchmark.Measure(session, batch, duration));
            Reports.Timings(session.Provider, [.. timings], parsed.InvocationConfiguration.Output);
            return ExportCli.Success;
        });
        return command;
    }

    private static Argument<string> OnnxFile() => new("FILE") { Description = "An .onnx file." };

    /// <summary>Refuses a batch whose inputs and outputs would not fit into memory, before it is made.</summary>
    private static void RequireFits(ModelSession session, int batch)
    {
        // Inputs twice: those measured with, and the session's own.
        var row =
            2L * (session.Features * sizeof(float) + session.MaskWidth)
            + session.Outputs.Sum(o => o.Width * (o.IsInteger ? 8L : 4L));
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        var most = Math.Min(session.LargestBatch, memory / row);
        if (batch > most)
        {
            throw new UsageException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"--batch: found {batch}, which takes {(decimal)row * batch / 1_000_000_000:0.#} GB in rows of {session.Features} numbers, expected at most {most}."
                )
            );
        }
    }

    private static Option<int> Whole(
        string name,
        int standard,
        string description,
        int least,
        int most = int.MaxValue
    ) =>
        Number(
            name,
            standard,
            description,
            n => n >= least && n <= most,
            most == int.MaxValue ? $"a whole number of at least {least}" : $"a whole number from {least} to {most}"
        );

    private static Option<T> Number<T>(string name, T standard, string description, Predicate<T> valid, string range)
        where T : struct, INumber<T> =>
        new(name)
        {
            Description = description,
            HelpName = "number",
            DefaultValueFactory = _ => standard,
            CustomParser = result => ParseNumber(result, result.Tokens[0].Value, name, valid, range),
        };

    private static T ParseNumber<T>(ArgumentResult result, string text, string name, Predicate<T> valid, string range)
        where T : struct, INumber<T>
    {
        if (T.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && valid(number))
        {
            return number;
        }
        result.AddError($"{name} must be {range}, found '{text}'.");
        return default;
    }

    /// <summary>The member that a file says it is of.</summary>
    private static string Subject(ModelSession session, Checkpoint checkpoint) =>
        checkpoint.Manifest.NameOf(int.Parse(session.Metadata[MetadataKeys.Member], CultureInfo.InvariantCulture));

    // What the file should compute, built anew from the checkpoint by what the file says about itself.
    private static ExportableModel Reference(ModelSession session, string path, Checkpoint checkpoint)
    {
        var kind = session.Metadata.GetValueOrDefault(MetadataKeys.Kind);
        if (
            !(ModelKinds.IsExported(kind) || kind == ModelKinds.MetaNetwork)
            || !int.TryParse(
                session.Metadata.GetValueOrDefault(MetadataKeys.Member),
                NumberStyles.None,
                CultureInfo.InvariantCulture,
                out var member
            )
        )
        {
            throw new OnnxFileException(
                $"'{path}' was not exported from a run: expected metadata '{MetadataKeys.Kind}' ("
                    + $"{string.Join(", ", ModelKinds.Exported)} or {ModelKinds.MetaNetwork}) and '{MetadataKeys.Member}', found "
                    + (session.Metadata.Count == 0 ? "none." : $"{string.Join(", ", session.Metadata.Keys)}.")
            );
        }
        // Whichever outputs the file has: each is compared.
        var options = new ExportOptions { Outputs = [.. session.Outputs.Select(o => o.Name)] };
        try
        {
            return ModelKinds.IsExported(kind)
                ? PolicyExporter.Build(checkpoint, member, options: options)
                : MetaNetworkExporter.Build(checkpoint, member, options);
        }
        catch (ArgumentException exception)
        {
            throw new OnnxFileException($"'{path}' does not fit the checkpoint: {exception.Message}", exception);
        }
    }

    private static void RequireWritable(string path, bool force)
    {
        if (Directory.Exists(path))
        {
            throw new UsageException($"Output '{path}' is a directory; give the name of a file.");
        }
        if (File.Exists(path) && !force)
        {
            throw new UsageException($"Output '{path}' exists already; give --force to replace it.");
        }
        var directory = Path.GetDirectoryName(Path.GetFullPath(path));
        if (!Directory.Exists(directory))
        {
            throw new UsageException($"Directory '{directory}' of output '{path}' does not exist.");
        }
    }
}
