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
}

/// <summary>theory.json: all that was measured, and with what.</summary>
public sealed record TheorySummary
{
    private static readonly JsonSerializerOptions Json = new(ConfigurationJson.Indented)
    {
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

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

    /// <summary>Carries out studies and the one-step study.</summary>
    /// <param name="configurations">The studies.</param>
    /// <param name="progress">Told what is done, from time to time.</param>
    public static TheorySummary Measure(IReadOnlyList<TheoryConfiguration> configurations, Action<string> progress)
    {
        ArgumentNullException.ThrowIfNull(configurations);
        ArgumentNullException.ThrowIfNull(progress);
        Stopwatch clock = Stopwatch.StartNew();
        TimeSpan said = TimeSpan.Zero;
        List<StudyResult> studies = [];
        foreach (TheoryConfiguration configuration in configurations)
        {
            List<TheoryCell> cells = [.. MetaTraining.Run(configuration, null)];
            IReadOnlyList<TheoryMethod> methods = TheoryMethod.Of(configuration);
            for (int i = 0; i < methods.Count; i++)
            {
                cells.AddRange(MetaTraining.Run(configuration, methods[i]));
                if (clock.Elapsed - said > TimeSpan.FromSeconds(3))
                {
                    said = clock.Elapsed;
                    progress($"{configuration.Name}: {i + 1} of {methods.Count} methods, {clock.Elapsed:m\\:ss}");
                }
            }
            studies.Add(new StudyResult(configuration, cells));
        }
        GainPoint[] gains =
        [
            .. Enum.GetValues<GainForm>()
                .SelectMany(form => Betas.Select(beta => Theory.LocalGain.Measure(GainCase.Ascending, form, beta))),
        ];
        return new TheorySummary
        {
            Seconds = clock.Elapsed.TotalSeconds,
            Provenance = Provenance.Here,
            Studies = studies,
            GainCase = GainCase.Ascending,
            LocalGain = gains,
        };
    }

    /// <summary>Writes theory.json and theory.svg.</summary>
    public void Write(string directory)
    {
        AtomicFile.WriteText(Path.Combine(directory, "theory.json"), JsonSerializer.Serialize(this, Json) + "\n");
        AtomicFile.WriteText(Path.Combine(directory, "theory.svg"), TheoryPicture.Draw(this));
    }
}
