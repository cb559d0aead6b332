using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using Bmg.Export;
using Bmg.Training.Configuration;
using Bmg.Training.Runs;

namespace Bmg.Training.Theory;

/// <summary>What came of one configuration.</summary>
/// <param name="Configuration">The resolved configuration.</param>
/// <param name="Cells">Every method at every condition number; first those whose rates were left as they start.</param>
public sealed record StudyResult(TheoryConfiguration Configuration, IReadOnlyList<TheoryCell> Cells)
{
    /// <summary>The condition number at which the loss is shown by horizon.</summary>
    internal double ShownCondition => Configuration.HorizonsAt ?? Configuration.ConditionNumbers[^1];

    /// <summary>Whether a method is measured.</summary>
    internal bool Has(string method) => Cells.Any(cell => cell.Method == method);
}

/// <summary>theory.json: all that was measured, and with what.</summary>
public sealed record TheorySummary
{
    private static readonly JsonSerializerOptions Json = new(ConfigurationJson.Indented)
    {
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    private static readonly TimeSpan Pace = TimeSpan.FromSeconds(3);

    /// <summary>Rates β of the one-step study.</summary>
    public static IReadOnlyList<double> Betas { get; } =
    [.. Enumerable.Range(0, 13).Select(i => Math.Pow(10, (i / 3.0) - 4))];

    /// <summary>Wall time of everything, in seconds.</summary>
    public required double Seconds { get; init; }

    /// <summary>Versions of what ran it.</summary>
    public required Provenance Provenance { get; init; }

    /// <summary>The studies.</summary>
    public required IReadOnlyList<StudyResult> Studies { get; init; }

    /// <summary>J, H, g and α of the one-step study.</summary>
    public required GainCase GainCase { get; init; }

    /// <summary>What one meta-step did to f, for every form and β.</summary>
    public required IReadOnlyList<GainPoint> LocalGain { get; init; }

    /// <summary>What is not measured yet, since it was asked to stop, or still goes on; null where all is.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyList<string>? Missing { get; init; }

    /// <summary>Carries out studies and the one-step study, or what is missing of them.</summary>
    /// <param name="configurations">The studies.</param>
    /// <param name="progress">Told what is done, from time to time.</param>
    /// <param name="before">What was measured before, of the same studies; null for nothing.</param>
    /// <param name="keep">Handed what there is whenever there is more.</param>
    /// <param name="stop">Asks to stop at the next step, with what is whole by then.</param>
    public static TheorySummary Measure(
        IReadOnlyList<TheoryConfiguration> configurations,
        Action<string> progress,
        TheorySummary? before = null,
        Action<TheorySummary>? keep = null,
        CancellationToken stop = default
    )
    {
        ArgumentNullException.ThrowIfNull(configurations);
        ArgumentNullException.ThrowIfNull(progress);
        Stopwatch clock = Stopwatch.StartNew();
        TimeSpan said = TimeSpan.Zero;
        StudyResult[] studies =
        [
            .. configurations.Select((each, i) => before is null ? new StudyResult(each, []) : before.Studies[i]),
        ];
        IReadOnlyList<GainPoint> gains = before?.LocalGain ?? [];
        int all = configurations.Sum(each => 1 + TheoryMethod.Of(each).Count);
        for (int i = 0; i < studies.Length; i++)
        {
            foreach (TheoryMethod? method in (TheoryMethod?[])[null, .. TheoryMethod.Of(configurations[i])])
            {
                string name = method?.Name ?? TheoryMethod.Untrained;
                if (stop.IsCancellationRequested || studies[i].Has(name))
                {
                    continue;
                }
                if (
                    MetaTraining.Run(configurations[i], method, () => Say(configurations[i].Name, name), stop) is
                    { } cells
                )
                {
                    studies[i] = studies[i] with { Cells = [.. studies[i].Cells, .. cells] };
                    keep?.Invoke(Summary());
                }
            }
        }
        if (gains.Count == 0 && !stop.IsCancellationRequested)
        {
            gains =
            [
                .. Enum.GetValues<GainForm>()
                    .SelectMany(form => Betas.Select(beta => Theory.LocalGain.Measure(GainCase.Ascending, form, beta))),
            ];
        }
        return Summary();

        void Say(string study, string method)
        {
            if (clock.Elapsed - said > Pace)
            {
                said = clock.Elapsed;
                int done = studies.Sum(each => each.Cells.Select(cell => cell.Method).Distinct().Count());
                progress($"{study}: {method}; {done} of {all} methods done, {clock.Elapsed:m\\:ss}");
            }
        }

        TheorySummary Summary()
        {
            string[] missing =
            [
                .. studies.SelectMany(study =>
                    TheoryMethod
                        .Of(study.Configuration)
                        .Select(method => method.Name)
                        .Prepend(TheoryMethod.Untrained)
                        .Where(name => !study.Has(name))
                        .Select(name => $"{study.Configuration.Name}: {name}")
                ),
                .. gains.Count == 0 ? ["one meta-step"] : Array.Empty<string>(),
            ];
            return new TheorySummary
            {
                Seconds = (before?.Seconds ?? 0) + clock.Elapsed.TotalSeconds,
                Provenance = Provenance.Here,
                Studies = [.. studies],
                GainCase = GainCase.Ascending,
                LocalGain = gains,
                Missing = missing.Length > 0 ? missing : null,
            };
        }
    }

    /// <summary>The file in a directory.</summary>
    public static string PathOf(string directory) => Path.Combine(directory, "theory.json");

    /// <summary>Reads what was measured before of the same studies by the same version; null where there is nothing, or something else.</summary>
    /// <exception cref="UsageException">The file cannot be read.</exception>
    public static TheorySummary? Read(string directory, IReadOnlyList<TheoryConfiguration> configurations)
    {
        string path = PathOf(directory);
        try
        {
            TheorySummary? there = File.Exists(path)
                ? JsonSerializer.Deserialize<TheorySummary>(File.ReadAllText(path), Json)
                : null;
            return
                there is not null
                && there.Provenance.Version == Provenance.Here.Version
                && there.Studies.Select(study => Text(study.Configuration)).SequenceEqual(configurations.Select(Text))
                ? there
                : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{path}: cannot be read: {e.Message}", e);
        }
        catch (JsonException)
        {
            return null;
        }

        static string Text(TheoryConfiguration configuration) => JsonSerializer.Serialize(configuration, Json);
    }

    /// <summary>Writes theory.json, and theory.svg of what there is.</summary>
    public void Write(string directory)
    {
        WriteNumbers(directory);
        AtomicFile.WriteText(Path.Combine(directory, "theory.svg"), TheoryPicture.Draw(this));
    }

    /// <summary>Writes theory.json alone.</summary>
    public void WriteNumbers(string directory) =>
        AtomicFile.WriteText(PathOf(directory), JsonSerializer.Serialize(this, Json) + "\n");
}
