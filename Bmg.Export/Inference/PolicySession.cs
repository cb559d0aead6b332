using System.Text.Json;
using Bmg.Export.Checkpoints;
using Bmg.Export.Onnx;

namespace Bmg.Export.Inference;

/// <summary>What a policy says about a batch of observations. The spans are valid until the session's next run.</summary>
public readonly ref struct PolicyOutputs
{
    /// <summary>Logits, batch × actions, row by row; empty for a network of action values.</summary>
    public ReadOnlySpan<float> Logits { get; init; }

    /// <summary>Probabilities of the actions, batch × actions, row by row; empty for a network of action values.</summary>
    public ReadOnlySpan<float> Probabilities { get; init; }

    /// <summary>Action values, batch × actions, row by row; empty for a policy with probabilities.</summary>
    public ReadOnlySpan<float> ActionValues { get; init; }

    /// <summary>The greedy action of each observation.</summary>
    public ReadOnlySpan<long> Actions { get; init; }

    /// <summary>The value of each observation; empty where the model was exported without it.</summary>
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
    private readonly bool _hasValue;

    /// <summary>Opens a policy given as bytes.</summary>
    /// <param name="onnx">The file's content.</param>
    /// <param name="options">How to run it; on the CPU by default.</param>
    /// <param name="source">What messages call it, its path usually.</param>
    /// <exception cref="OnnxFileException">It is no ONNX model, or no policy that <see cref="PolicyExporter"/> made.</exception>
    /// <exception cref="ProviderUnavailableException">CUDA is asked for and not available.</exception>
    public PolicySession(byte[] onnx, InferenceOptions? options = null, string source = "the model")
    {
        _model = new ModelSession(onnx, options, source);
        try
        {
            var kind = _model.Metadata.GetValueOrDefault(MetadataKeys.Kind);
            if (kind is not (ModelKinds.Policy or ModelKinds.ActionValues))
            {
                throw new OnnxFileException(
                    $"'{source}' is no policy exported by Bmg: its metadata '{MetadataKeys.Kind}' must be '{ModelKinds.Policy}' or '{ModelKinds.ActionValues}', "
                        + $"found {(kind is null ? "none" : $"'{kind}'")}. Its input is '{_model.InputName}', "
                        + $"its outputs are {string.Join(", ", _model.Outputs.Select(o => $"'{o.Name}'"))}."
                );
            }
            Environment = _model.Metadata.GetValueOrDefault(MetadataKeys.Environment, "");
            ObservationLayout = Names(MetadataKeys.InputLayout, source);
            ActionMeanings = Names(MetadataKeys.ActionMeanings, source);
            var actions = ActionMeanings.Count;
            _hasValue = _model.Outputs.Any(output => output.Name == PolicyExporter.Value);
            Kind = kind == ModelKinds.ActionValues ? PolicyKind.Values : PolicyKind.Logits;
            ModelOutput[] expected =
                Kind == PolicyKind.Values
                    ?
                    [
                        new(PolicyExporter.ActionValues, IsInteger: false, actions),
                        new(PolicyExporter.Action, IsInteger: true, 1),
                    ]
                    :
                    [
                        new(PolicyExporter.Logits, IsInteger: false, actions),
                        new(PolicyExporter.Probabilities, IsInteger: false, actions),
                        new(PolicyExporter.Action, IsInteger: true, 1),
                        .. _hasValue
                            ? [new ModelOutput(PolicyExporter.Value, IsInteger: false, 1)]
                            : Array.Empty<ModelOutput>(),
                    ];
            if (
                _model.InputName != PolicyExporter.Observation
                || _model.Features != ObservationLayout.Count
                || !_model.Outputs.SequenceEqual(expected)
            )
            {
                throw new OnnxFileException(
                    $"'{source}' is no policy exported by Bmg: expected input '{PolicyExporter.Observation}' of {ObservationLayout.Count} "
                        + $"and outputs {Describe(expected)}, found '{_model.InputName}' of {_model.Features} and {Describe(_model.Outputs)}."
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
        new(OnnxModel.ReadBytes(path), options, path);

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

    /// <summary>What the policy says about a batch of observations.</summary>
    /// <param name="observations">batch × components numbers, row by row.</param>
    /// <param name="batch">Number of observations, at least one.</param>
    /// <exception cref="ArgumentException">The numbers do not make <paramref name="batch"/> observations.</exception>
    public PolicyOutputs Run(ReadOnlySpan<float> observations, int batch)
    {
        _model.Run(observations, batch);
        if (Kind == PolicyKind.Values)
        {
            return new PolicyOutputs
            {
                ActionValues = _model.Floats(PolicyExporter.ActionValues),
                Actions = _model.Integers(PolicyExporter.Action),
            };
        }
        return new PolicyOutputs
        {
            Logits = _model.Floats(PolicyExporter.Logits),
            Probabilities = _model.Floats(PolicyExporter.Probabilities),
            Actions = _model.Integers(PolicyExporter.Action),
            Values = _hasValue ? _model.Floats(PolicyExporter.Value) : [],
        };
    }

    /// <summary>Frees the session.</summary>
    public void Dispose() => _model.Dispose();

    private string[] Names(string key, string source)
    {
        try
        {
            return JsonSerializer.Deserialize<string[]>(_model.Metadata.GetValueOrDefault(key, "null"))
                ?? throw new OnnxFileException($"'{source}' has no metadata '{key}'.");
        }
        catch (JsonException exception)
        {
            throw new OnnxFileException($"'{source}' has metadata '{key}' that is no list of names.", exception);
        }
    }

    private static string Describe(IEnumerable<ModelOutput> outputs) =>
        string.Join(", ", outputs.Select(o => $"'{o.Name}' {(o.IsInteger ? "int64" : "float32")} of {o.Width}"));
}
