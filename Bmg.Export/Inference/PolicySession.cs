using Bmg.Export.Checkpoints;
using Bmg.Export.Onnx;

namespace Bmg.Export.Inference;

/// <summary>What a policy says about a batch of observations. The spans are valid until the session's next run.</summary>
public readonly ref struct PolicyOutputs
{
    /// <summary>Logits, batch × actions, row by row; empty where the model does not give them.</summary>
    public ReadOnlySpan<float> Logits { get; init; }

    /// <summary>Probabilities of the actions, batch × actions, row by row, from the logits where the model gives only these; empty where it
    /// gives neither.</summary>
    public ReadOnlySpan<float> Probabilities { get; init; }

    /// <summary>Action values, batch × actions, row by row; empty for a policy with probabilities, and where the model does not give them.</summary>
    public ReadOnlySpan<float> ActionValues { get; init; }

    /// <summary>The greedy action of each observation, 0 … actions − 1: what the model says, or else the first of the greatest logits,
    /// probabilities or action values.</summary>
    public ReadOnlySpan<long> Actions { get; init; }

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
/// </example>
public sealed class PolicySession : IDisposable
{
    private readonly ModelSession _model;
    private readonly string _source;
    private readonly HashSet<string> _outputs;
    private float[] _probabilities = [];
    private long[] _actions = [];

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
            if (kind is not (ModelKinds.Policy or ModelKinds.ActionValues))
            {
                throw new OnnxFileException(
                    $"'{source}' is no policy exported by Bmg: metadata '{MetadataKeys.Kind}': found {(kind is null ? "none" : $"'{kind}'")}, "
                        + $"expected '{ModelKinds.Policy}' or '{ModelKinds.ActionValues}'. Its input is '{_model.InputName}', "
                        + $"its outputs are {string.Join(", ", _model.Outputs.Select(o => $"'{o.Name}'"))}."
                );
            }
            Environment = _model.Metadata.GetValueOrDefault(MetadataKeys.Environment, "");
            ObservationLayout = MetadataEntries.Names(MetadataKeys.InputLayout);
            ActionMeanings = MetadataEntries.Names(MetadataKeys.ActionMeanings);
            Kind = kind == ModelKinds.ActionValues ? PolicyKind.Values : PolicyKind.Logits;
            var actions = ActionMeanings.Count;
            string[] rows =
                Kind == PolicyKind.Values
                    ? [PolicyExporter.ActionValues]
                    : [PolicyExporter.Logits, PolicyExporter.Probabilities];
            ModelOutput[] choice =
            [
                .. rows.Select(name => new ModelOutput(name, IsInteger: false, actions)),
                new ModelOutput(PolicyExporter.Action, IsInteger: true, 1),
            ];
            ModelOutput[] known =
                Kind == PolicyKind.Values
                    ? choice
                    : [.. choice, new ModelOutput(PolicyExporter.Value, IsInteger: false, 1)];
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

    /// <summary>What each action means, in order.</summary>
    public IReadOnlyList<string> ActionMeanings { get; }

    /// <summary>All of the file's metadata (see <see cref="MetadataKeys"/>).</summary>
    public IReadOnlyDictionary<string, string> Metadata => _model.Metadata;

    /// <summary>The same, to be read entry by entry.</summary>
    public ModelMetadata MetadataEntries => _model.MetadataEntries;

    /// <summary>Whether it says how likely actions are, and not only which is the best.</summary>
    public bool HasProbabilities => Has(PolicyExporter.Logits) || Has(PolicyExporter.Probabilities);

    /// <summary>What the policy says about a batch of observations.</summary>
    /// <param name="observations">batch × components numbers, row by row.</param>
    /// <param name="batch">Number of observations, at least one.</param>
    /// <exception cref="ArgumentException">The numbers do not make <paramref name="batch"/> observations.</exception>
    /// <exception cref="OnnxFileException">What the model gives is no policy: numbers that are not finite, or an action that there is not.</exception>
    public PolicyOutputs Run(ReadOnlySpan<float> observations, int batch)
    {
        _model.Run(observations, batch);
        var logits = Floats(PolicyExporter.Logits);
        var probabilities = Floats(PolicyExporter.Probabilities);
        var actionValues = Floats(PolicyExporter.ActionValues);
        if (probabilities.Length == 0 && logits.Length > 0)
        {
            probabilities = Softmax(logits);
        }
        return new PolicyOutputs
        {
            Logits = logits,
            Probabilities = probabilities,
            ActionValues = actionValues,
            Actions = Has(PolicyExporter.Action)
                ? Known(_model.Integers(PolicyExporter.Action))
                : Greatest(
                    logits.Length > 0 ? logits
                        : probabilities.Length > 0 ? probabilities
                        : actionValues,
                    batch
                ),
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

    private ReadOnlySpan<long> Known(ReadOnlySpan<long> actions)
    {
        foreach (var action in actions)
        {
            if (action < 0 || action >= ActionMeanings.Count)
            {
                throw new OnnxFileException(
                    $"'{_source}': output '{PolicyExporter.Action}': found {action}, expected 0 to {ActionMeanings.Count - 1}."
                );
            }
        }
        return actions;
    }

    private float[] Softmax(ReadOnlySpan<float> logits)
    {
        Fit(ref _probabilities, logits.Length);
        var width = ActionMeanings.Count;
        for (var row = 0; row < logits.Length; row += width)
        {
            var greatest = logits[row];
            for (var i = 1; i < width; i++)
            {
                greatest = Math.Max(greatest, logits[row + i]);
            }
            var sum = 0f;
            for (var i = 0; i < width; i++)
            {
                sum += _probabilities[row + i] = MathF.Exp(logits[row + i] - greatest);
            }
            for (var i = 0; i < width; i++)
            {
                _probabilities[row + i] /= sum;
            }
        }
        return _probabilities;
    }

    private long[] Greatest(ReadOnlySpan<float> numbers, int batch)
    {
        Fit(ref _actions, batch);
        var width = ActionMeanings.Count;
        for (var row = 0; row < batch; row++)
        {
            var best = 0;
            for (var i = 1; i < width; i++)
            {
                best = numbers[row * width + i] > numbers[row * width + best] ? i : best;
            }
            _actions[row] = best;
        }
        return _actions;
    }

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
