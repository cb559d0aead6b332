namespace Bmg.Training.Supervised;

/// <summary>Examples of every member: inputs [P, B, inputs] float32, and labels, classes [P, B] int64 or numbers [P, B, targets] float32.</summary>
public sealed record Examples(Tensor Inputs, Tensor Labels);

/// <summary>What a step of the learner sees: examples to learn from, and some to be judged on.</summary>
/// <param name="Learned">Examples to learn from.</param>
/// <param name="Judged">Fresh examples that were held out; the others where none are.</param>
public sealed record ExampleBatch(Examples Learned, Examples Judged) : IDisposable
{
    private const string Inputs = "inputs";
    private const string Labels = "labels";
    private const string JudgedInputs = "judgedInputs";
    private const string JudgedLabels = "judgedLabels";

    /// <summary>Its tensors by name, as a checkpoint holds them.</summary>
    public Params ToParams() =>
        ReferenceEquals(Learned, Judged)
            ? Params.Create([Inputs, Labels], [Learned.Inputs, Learned.Labels])
            : Params.Create(
                [Inputs, Labels, JudgedInputs, JudgedLabels],
                [Learned.Inputs, Learned.Labels, Judged.Inputs, Judged.Labels]
            );

    /// <summary>Disposes its tensors.</summary>
    public void Dispose() => ToParams().Dispose();

    /// <summary>What <see cref="ToParams"/> gave.</summary>
    public static ExampleBatch OfParams(Params set)
    {
        ArgumentNullException.ThrowIfNull(set);
        Examples learned = new(set[Inputs], set[Labels]);
        return new ExampleBatch(
            learned,
            set.Contains(JudgedInputs) ? new Examples(set[JudgedInputs], set[JudgedLabels]) : learned
        );
    }
}
