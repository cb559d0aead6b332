using Bmg.Export.Checkpoints;
using Bmg.Export.Onnx;

namespace Bmg.Export.Inference;

/// <summary>What a policy says about a batch of observations. The spans are valid until the session's next run.</summary>
public readonly ref struct PolicyOutputs
{
    /// <summary>Logits, batch × actions, row by row, whatever a mask says; of several actions the choices of the first, then of the second,
    /// …; empty where the model does not give them.</summary>
    public ReadOnlySpan<float> Logits { get; init; }

    /// <summary>Probabilities of the actions, batch × actions, row by row, from the logits where the model gives only these; of several
    /// actions those of each add up to 1; empty where it gives neither.</summary>
    public ReadOnlySpan<float> Probabilities { get; init; }

    /// <summary>Action values, batch × actions, row by row; empty for a policy with probabilities, and where the model does not give them.</summary>
    public ReadOnlySpan<float> ActionValues { get; init; }

    /// <summary>The greedy action of each observation, 0 … actions − 1: what the model says, or else the first of the greatest logits,
    /// probabilities or action values. Of several actions batch × actions, row by row, the choice of each. Empty where actions are
    /// numbers.</summary>
    public ReadOnlySpan<long> Actions { get; init; }

    /// <summary>Where actions are numbers: the means, batch × numbers, row by row, in the policy's own range, in which −1 and 1 are the
    /// bounds; empty where the model does not give them.</summary>
    public ReadOnlySpan<float> Means { get; init; }

    /// <summary>Where actions are numbers: the deviations, batch × numbers, row by row, in the policy's own range; empty where the model does
    /// not give them.</summary>
    public ReadOnlySpan<float> Deviations { get; init; }

    /// <summary>Where actions are numbers: the likeliest ones within the bounds, batch × numbers, row by row, what the model says or else from
    /// the means; empty for discrete actions.</summary>
    public ReadOnlySpan<float> Numbers { get; init; }

    /// <summary>The value of each observation; empty where the model does not give it.</summary>
    public ReadOnlySpan<float> Values { get; init; }
}

/// <summary>Runs an exported policy. Not thread-safe; its buffers are reused as long as the batch size stays the same.</summary>
/// <example>
/// <code>
/// using var policy = PolicySession.Load("policy.onnx");
/// var outputs = policy.Run(observation, batch: 1);
/// var action = policy.ActionMeanings[(int)outputs.Actions[0]];
/// </code>
/// Several actions at once, some of them not always allowed:
/// <code>
/// var outputs = policy.Run(observation, allowed, batch: 1);
/// for (var i = 0; i &lt; policy.Choices.Count; i++)
/// {
///     Console.WriteLine($"{policy.Choices[i].Name}: {policy.Choices[i].Choices[(int)outputs.Actions[i]]}");
/// }
/// </code>
/// Numbers, the likeliest and drawn:
/// <code>
/// var outputs = policy.Run(observation, batch: 1);
/// var torque = outputs.Numbers[0];
/// var drawn = policy.Numbers[0].Within(outputs.Means[0] + outputs.Deviations[0] * normal);
/// </code>
/// </example>
public sealed class PolicySession : IDisposable
{
    private readonly ModelSession _model;
    private readonly string _source;
    private readonly HashSet<string> _outputs;
    private readonly int[] _choices;
    private float[] _probabilities = [];
    private long[] _actions = [];
    private float[] _numbers = [];

    /// <summary>Opens a policy given as bytes.</summary>
    /// <param name="onnx">The file's content.</param>
    /// <param name="options">How to run it; on the CPU by default.</param>
    /// <param name="source">What messages call it, its path usually.</param>
    /// <exception cref="OnnxFileException">It is no ONNX model, or no policy that <see cref="PolicyExporter"/> made.</exception>
    /// <exception cref="ProviderUnavailableException">CUDA is asked for and not available.</exception>
    public PolicySession(byte[] onnx, InferenceOptions? options = null, string source = "the model")
        : this(new ModelSession(onnx, options, source), source) { }

    private PolicySession(ModelSession model, string source)
    {
        _model = model;
        _source = source;
        try
        {
            var kind = _model.Metadata.GetValueOrDefault(MetadataKeys.Kind);
            if (!ModelKinds.IsPolicy(kind))
            {
                throw new OnnxFileException(
                    $"'{source}' is no policy exported by Bmg: metadata '{MetadataKeys.Kind}': found {(kind is null ? "none" : $"'{kind}'")}, "
                        + $"expected {string.Join(", ", ModelKinds.Policies.Select(each => $"'{each}'"))}. Its input is '{_model.InputName}', "
                        + $"its outputs are {string.Join(", ", _model.Outputs.Select(o => $"'{o.Name}'"))}."
                );
            }
            Environment = _model.Metadata.GetValueOrDefault(MetadataKeys.Environment, "");
            ObservationLayout = MetadataEntries.Names(MetadataKeys.InputLayout);
            ActionMeanings = MetadataEntries.Names(MetadataKeys.ActionMeanings);
            Kind = kind switch
            {
                ModelKinds.ActionValues => PolicyKind.Values,
                ModelKinds.SeveralActions => PolicyKind.SeveralLogits,
                ModelKinds.NumberActions => PolicyKind.Gaussian,
                _ => PolicyKind.Logits,
            };
            var isGaussian = Kind == PolicyKind.Gaussian;
            var isSeveral = Kind == PolicyKind.SeveralLogits;
            Numbers = isGaussian ? MetadataEntries.Bounds(MetadataKeys.ActionBounds) : [];
            Choices =
                isGaussian ? []
                : isSeveral ? MetadataEntries.Choices(MetadataKeys.ActionChoices)
                : [new ChoiceDescription("", [.. ActionMeanings])];
            TakesMask = MetadataEntries.Flag(MetadataKeys.Masked);
            _choices = [.. Choices.Select(action => action.Choices.Length)];
            var meanings =
                isGaussian ? [.. Numbers.Select(number => number.Name)]
                : isSeveral ? ChoiceDescription.Meanings(Choices)
                : ActionMeanings;
            if (!ActionMeanings.SequenceEqual(meanings))
            {
                throw MetadataEntries.Fault(
                    MetadataKeys.ActionMeanings,
                    $"{ActionMeanings.Count} names",
                    $"the {meanings.Count} that '{(isGaussian ? MetadataKeys.ActionBounds : MetadataKeys.ActionChoices)}' gives, in its order"
                );
            }
            var actions = ActionMeanings.Count;
            string[] rows = Kind switch
            {
                PolicyKind.Values => [PolicyExporter.ActionValues],
                PolicyKind.Gaussian => [PolicyExporter.Mean],
                _ => [PolicyExporter.Logits, PolicyExporter.Probabilities],
            };
            ModelOutput[] choice =
            [
                .. rows.Select(name => new ModelOutput(name, IsInteger: false, actions)),
                new ModelOutput(PolicyExporter.Action, !isGaussian, isGaussian ? actions : _choices.Length),
            ];
            ModelOutput[] known =
            [
                .. choice,
                .. isGaussian ? new[] { new ModelOutput(PolicyExporter.Deviation, IsInteger: false, actions) } : [],
                .. Kind == PolicyKind.Values
                    ? Array.Empty<ModelOutput>()
                    : [new ModelOutput(PolicyExporter.Value, IsInteger: false, 1)],
            ];
            var takesMask = TakesMask && Kind is PolicyKind.Logits or PolicyKind.SeveralLogits;
            if (TakesMask != takesMask || (_model.MaskName is not null && !IsMask()))
            {
                throw new OnnxFileException(
                    $"'{source}' is no policy exported by Bmg: expected an input '{PolicyExporter.Mask}' of {actions} only where there are logits "
                        + $"and metadata '{MetadataKeys.Masked}' says so, found '{_model.MaskName ?? "none"}' of {_model.MaskWidth} "
                        + $"and metadata {(TakesMask ? $"'{ModelMetadata.True}'" : "none")}."
                );
            }
            _outputs = [.. _model.Outputs.Select(output => output.Name)];
            if (
                _model.InputName != PolicyExporter.Observation
                || _model.Features != ObservationLayout.Count
                || !_model.Outputs.All(known.Contains)
                || !_model.Outputs.Any(choice.Contains)
            )
            {
                throw new OnnxFileException(
                    $"'{source}' is no policy exported by Bmg: expected input '{PolicyExporter.Observation}' of {ObservationLayout.Count} "
                        + $"and outputs out of {Describe(known)}, at least one of the first {choice.Length}, "
                        + $"found '{_model.InputName}' of {_model.Features} and {Describe(_model.Outputs)}."
                );
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private bool IsMask() =>
        TakesMask && _model.MaskName == PolicyExporter.Mask && _model.MaskWidth == ActionMeanings.Count;

    /// <summary>Opens a policy from a file; errors as those of the constructor.</summary>
    public static PolicySession Load(string path, InferenceOptions? options = null) =>
        new(ModelSession.Load(path, options), path);

    /// <summary>Where it computes: what was asked for, unless a fallback was allowed.</summary>
    public ExecutionProvider Provider => _model.Provider;

    /// <summary>What the network puts out.</summary>
    public PolicyKind Kind { get; }

    /// <summary>Name of the environment that the policy was trained in.</summary>
    public string Environment { get; }

    /// <summary>Name of each component of an observation, in order.</summary>
    public IReadOnlyList<string> ObservationLayout { get; }

    /// <summary>What each action means, in order: each choice of one discrete action, each choice of each of several, as in "steer.left",
    /// each number.</summary>
    public IReadOnlyList<string> ActionMeanings { get; }

    /// <summary>The discrete actions and their choices: one without a name where there is one alone; none where actions are numbers.</summary>
    public IReadOnlyList<ChoiceDescription> Choices { get; }

    /// <summary>The actions that are numbers, with their bounds; none where actions are discrete.</summary>
    public IReadOnlyList<NumberDescription> Numbers { get; }

    /// <summary>Whether some choices are not always allowed, so that <see cref="Run(ReadOnlySpan{float}, ReadOnlySpan{bool}, int)"/> has to be
    /// told which are.</summary>
    public bool TakesMask { get; }

    /// <summary>All of the file's metadata (see <see cref="MetadataKeys"/>).</summary>
    public IReadOnlyDictionary<string, string> Metadata => _model.Metadata;

    /// <summary>The same, to be read entry by entry.</summary>
    public ModelMetadata MetadataEntries => _model.MetadataEntries;

    /// <summary>Whether it says how likely actions are, and not only which is the best.</summary>
    public bool HasProbabilities =>
        Kind == PolicyKind.Gaussian
            ? Has(PolicyExporter.Mean) && Has(PolicyExporter.Deviation)
            : Has(PolicyExporter.Logits) || Has(PolicyExporter.Probabilities);

    /// <summary>What the policy says about a batch of observations.</summary>
    /// <param name="observations">batch × components numbers, row by row.</param>
    /// <param name="batch">Number of observations, at least one.</param>
    /// <exception cref="ArgumentException">The numbers do not make <paramref name="batch"/> observations, or the policy takes a mask.</exception>
    /// <exception cref="OnnxFileException">What the model gives is no policy: numbers that are not finite, or an action that there is not.</exception>
    public PolicyOutputs Run(ReadOnlySpan<float> observations, int batch) => Run(observations, [], batch);

    /// <summary>The same where some choices are not allowed: their probability is 0, and no action is one of them.</summary>
    /// <param name="observations">batch × components numbers, row by row.</param>
    /// <param name="allowed">batch × choices of all actions, row by row, in the order of <see cref="ActionMeanings"/>; at least one of each
    /// action is allowed. Empty for a policy that takes no mask.</param>
    /// <param name="batch">Number of observations, at least one.</param>
    /// <exception cref="ArgumentException">The numbers do not make <paramref name="batch"/> observations; or the mask has another size, leaves an
    /// action without a choice, or is one that the policy does not take.</exception>
    /// <exception cref="OnnxFileException">What the model gives is no policy: numbers that are not finite, or an action that there is not or that
    /// is not allowed.</exception>
    public PolicyOutputs Run(ReadOnlySpan<float> observations, ReadOnlySpan<bool> allowed, int batch)
    {
        RequireMask(allowed, batch);
        _model.Run(observations, _model.MaskName is null ? [] : allowed, batch);
        var logits = Floats(PolicyExporter.Logits);
        var probabilities = Floats(PolicyExporter.Probabilities);
        var actionValues = Floats(PolicyExporter.ActionValues);
        var means = Floats(PolicyExporter.Mean);
        if (probabilities.Length == 0 && logits.Length > 0)
        {
            probabilities = Softmax(logits, allowed);
        }
        var isGaussian = Kind == PolicyKind.Gaussian;
        return new PolicyOutputs
        {
            Logits = logits,
            Probabilities = probabilities,
            ActionValues = actionValues,
            Actions =
                isGaussian ? []
                : Has(PolicyExporter.Action) ? Known(_model.Integers(PolicyExporter.Action), allowed)
                : Greatest(
                    logits.Length > 0 ? logits
                        : probabilities.Length > 0 ? probabilities
                        : actionValues,
                    allowed,
                    batch
                ),
            Means = means,
            Deviations = Floats(PolicyExporter.Deviation),
            Numbers =
                !isGaussian ? []
                : Has(PolicyExporter.Action) ? Within(Floats(PolicyExporter.Action))
                : Stretched(means),
            Values = Floats(PolicyExporter.Value),
        };
    }

    /// <summary>Frees the session.</summary>
    public void Dispose() => _model.Dispose();

    private bool Has(string output) => _outputs.Contains(output);

    private ReadOnlySpan<float> Floats(string output)
    {
        if (!Has(output))
        {
            return [];
        }
        var numbers = _model.Floats(output);
        foreach (var number in numbers)
        {
            if (!float.IsFinite(number))
            {
                throw new OnnxFileException(
                    $"'{_source}': output '{output}': found {number}, expected finite numbers."
                );
            }
        }
        return numbers;
    }

    private void RequireMask(ReadOnlySpan<bool> allowed, int batch)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batch);
        var expected = TakesMask ? (long)batch * ActionMeanings.Count : 0;
        if (allowed.Length != expected)
        {
            throw new ArgumentException(
                TakesMask
                    ? $"'{_source}': what is allowed of {batch} observations must hold {expected} entries ({ActionMeanings.Count} a row), found {allowed.Length}."
                    : $"'{_source}' takes no mask, found one of {allowed.Length} entries.",
                nameof(allowed)
            );
        }
        for (int first = 0, i = 0; first < allowed.Length; first += _choices[i], i = (i + 1) % _choices.Length)
        {
            if (!allowed.Slice(first, _choices[i]).Contains(true))
            {
                throw new ArgumentException(
                    $"'{_source}': what is allowed: found no choice of action {i} ('{Choices[i].Name}') in row {first / ActionMeanings.Count}, expected at least one.",
                    nameof(allowed)
                );
            }
        }
    }

    private ReadOnlySpan<long> Known(ReadOnlySpan<long> actions, ReadOnlySpan<bool> allowed)
    {
        var first = 0;
        for (var i = 0; i < actions.Length; i++)
        {
            var choices = _choices[i % _choices.Length];
            if (actions[i] < 0 || actions[i] >= choices)
            {
                throw new OnnxFileException(
                    $"'{_source}': output '{PolicyExporter.Action}': found {actions[i]}, expected 0 to {choices - 1}."
                );
            }
            if (allowed.Length > 0 && !allowed[first + (int)actions[i]])
            {
                throw new OnnxFileException(
                    $"'{_source}': output '{PolicyExporter.Action}': found {actions[i]}, expected one that is allowed."
                );
            }
            first += choices;
        }
        return actions;
    }

    private ReadOnlySpan<float> Within(ReadOnlySpan<float> numbers)
    {
        for (var i = 0; i < numbers.Length; i++)
        {
            var (name, low, high) = Numbers[i % Numbers.Count];
            if (!(numbers[i] >= low && numbers[i] <= high))
            {
                throw new OnnxFileException(
                    $"'{_source}': output '{PolicyExporter.Action}': found {numbers[i]} as '{name}', expected {low} to {high}."
                );
            }
        }
        return numbers;
    }

    private float[] Stretched(ReadOnlySpan<float> means)
    {
        Fit(ref _numbers, means.Length);
        for (var i = 0; i < means.Length; i++)
        {
            _numbers[i] = Numbers[i % Numbers.Count].Within(means[i]);
        }
        return _numbers;
    }

    /// <summary>Softmax of each action of each row, over what is allowed.</summary>
    private float[] Softmax(ReadOnlySpan<float> logits, ReadOnlySpan<bool> allowed)
    {
        Fit(ref _probabilities, logits.Length);
        for (int first = 0, i = 0; first < logits.Length; first += _choices[i], i = (i + 1) % _choices.Length)
        {
            var greatest = float.NegativeInfinity;
            for (var j = first; j < first + _choices[i]; j++)
            {
                greatest = IsAllowed(allowed, j) ? Math.Max(greatest, logits[j]) : greatest;
            }
            var sum = 0f;
            for (var j = first; j < first + _choices[i]; j++)
            {
                sum += _probabilities[j] = IsAllowed(allowed, j) ? MathF.Exp(logits[j] - greatest) : 0;
            }
            for (var j = first; j < first + _choices[i]; j++)
            {
                _probabilities[j] /= sum;
            }
        }
        return _probabilities;
    }

    /// <summary>The first of the greatest numbers of each action of each row, over what is allowed.</summary>
    private long[] Greatest(ReadOnlySpan<float> numbers, ReadOnlySpan<bool> allowed, int batch)
    {
        Fit(ref _actions, batch * _choices.Length);
        var first = 0;
        for (var i = 0; i < _actions.Length; i++)
        {
            var (best, choices) = (-1, _choices[i % _choices.Length]);
            for (var j = 0; j < choices; j++)
            {
                best =
                    IsAllowed(allowed, first + j) && (best < 0 || numbers[first + j] > numbers[first + best])
                        ? j
                        : best;
            }
            _actions[i] = best;
            first += choices;
        }
        return _actions;
    }

    private static bool IsAllowed(ReadOnlySpan<bool> allowed, int choice) => allowed.Length == 0 || allowed[choice];

    private static void Fit<T>(ref T[] buffer, int length)
    {
        if (buffer.Length != length)
        {
            buffer = new T[length];
        }
    }

    private static string Describe(IEnumerable<ModelOutput> outputs) =>
        string.Join(", ", outputs.Select(o => $"'{o.Name}' {(o.IsInteger ? "int64" : "float32")} of {o.Width}"));
}
