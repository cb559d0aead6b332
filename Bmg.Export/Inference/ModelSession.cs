using Bmg.Export.Onnx;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using ModelMetadata = Bmg.Export.Onnx.ModelMetadata;

namespace Bmg.Export.Inference;

/// <summary>An output of a <see cref="ModelSession"/>.</summary>
/// <param name="Name">Its name.</param>
/// <param name="IsInteger">Whether it is int64; otherwise it is float32.</param>
/// <param name="Width">Numbers a row: 1 for [batch], W for [batch, W], the product of the axes after the first for more.</param>
public sealed record ModelOutput(string Name, bool IsInteger, int Width);

/// <summary>
/// Runs an ONNX model of one input [batch, features] float32, or [batch, channels, height, width] and the like, and outputs [batch],
/// [batch, width] or of more axes, float32 or int64: every model that this library exports, and many others. Inputs and outputs are handed
/// over as plain rows, the last axis running fastest. There may be a second input [batch, width] bool, a mask. Buffers are reused as long as the batch size stays the same. Not thread-safe.
/// </summary>
public sealed class ModelSession : IDisposable
{
    private readonly string _source;
    private readonly InferenceSession _session;
    private readonly RunOptions _run = new();
    private readonly string[] _inputNames;
    private readonly string? _mask;
    private readonly string[] _outputNames;
    private readonly Array[] _results;
    private readonly OrtValue[] _inputValues;
    private readonly OrtValue[] _outputValues;
    private float[] _inputs = [];
    private bool[] _allowed = [];
    private int _batch;

    /// <summary>Opens a model given as bytes.</summary>
    /// <param name="onnx">The file's content.</param>
    /// <param name="options">How to run it; on the CPU by default.</param>
    /// <param name="source">What messages call it, its path usually.</param>
    /// <exception cref="OnnxFileException">It is no ONNX model, or has other inputs or outputs.</exception>
    /// <exception cref="ProviderUnavailableException">CUDA is asked for and not available.</exception>
    public ModelSession(byte[] onnx, InferenceOptions? options = null, string source = "the model")
        : this(OnnxFile.Of(onnx, source), options) { }

    private ModelSession(OnnxFile file, InferenceOptions? options)
    {
        _source = file.Source;
        MetadataEntries = file.Metadata;
        (_session, Provider) = Sessions.Create(file, options ?? new InferenceOptions());
        try
        {
            (InputName, InputShape, Features, _mask, MaskWidth) = Input();
            // Of the session, which knows the types; in the file's order.
            Outputs =
            [
                .. file.Model.Graph.Output.Select(value => Output(value.Name, _session.OutputMetadata[value.Name])),
            ];
        }
        catch (Exception exception)
        {
            Dispose();
            if (exception is OnnxFileException)
            {
                throw;
            }
            throw new OnnxFileException(
                $"ONNX Runtime cannot tell inputs and outputs of '{_source}': {Sessions.OneLine(exception)}",
                exception
            );
        }
        _inputNames = _mask is null ? [InputName] : [InputName, _mask];
        _inputValues = new OrtValue[_inputNames.Length];
        _outputNames = [.. Outputs.Select(output => output.Name)];
        _outputValues = new OrtValue[Outputs.Count];
        _results = new Array[Outputs.Count];
    }

    /// <summary>Opens a model from a file, with data that lies in files of its own beside it; errors as those of the constructor.</summary>
    public static ModelSession Load(string path, InferenceOptions? options = null) => new(OnnxFile.Read(path), options);

    /// <summary>Where it computes: what was asked for, unless a fallback was allowed.</summary>
    public ExecutionProvider Provider { get; }

    /// <summary>Name of the input.</summary>
    public string InputName { get; }

    /// <summary>Numbers a row of the input: the product of <see cref="InputShape"/>.</summary>
    public int Features { get; }

    /// <summary>Axes of the input after the first, as in [features] or [channels, height, width].</summary>
    public IReadOnlyList<int> InputShape { get; }

    /// <summary>Entries a row of the second input, a mask; 0 where there is none.</summary>
    public int MaskWidth { get; }

    /// <summary>Name of the second input, a mask; null where there is none.</summary>
    public string? MaskName => _mask;

    /// <summary>The outputs, in the file's order.</summary>
    public IReadOnlyList<ModelOutput> Outputs { get; }

    /// <summary>The file's own metadata (see <see cref="MetadataKeys"/>).</summary>
    public IReadOnlyDictionary<string, string> Metadata => MetadataEntries.Entries;

    /// <summary>The same, to be read entry by entry.</summary>
    public ModelMetadata MetadataEntries { get; }

    /// <summary>Rows that a run can have at most: what fits into the arrays that hold inputs and outputs.</summary>
    public int LargestBatch =>
        Array.MaxLength / Outputs.Select(output => output.Width).Append(Features).Append(MaskWidth).Max();

    /// <summary>Computes all outputs; read them with <see cref="Floats"/> and <see cref="Integers"/> before the next run.</summary>
    /// <param name="inputs">batch × Features numbers, row by row.</param>
    /// <param name="batch">Number of rows, at least one.</param>
    /// <exception cref="ArgumentException">The numbers do not make <paramref name="batch"/> rows, or these are too many; or the model takes a
    /// mask.</exception>
    public void Run(ReadOnlySpan<float> inputs, int batch) => Run(inputs, [], batch);

    /// <summary>The same for a model with a mask.</summary>
    /// <param name="inputs">batch × Features numbers, row by row.</param>
    /// <param name="mask">batch × MaskWidth entries, row by row.</param>
    /// <param name="batch">Number of rows, at least one.</param>
    /// <exception cref="ArgumentException">Numbers or entries do not make <paramref name="batch"/> rows, or these are too many.</exception>
    public void Run(ReadOnlySpan<float> inputs, ReadOnlySpan<bool> mask, int batch)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batch);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(batch, LargestBatch);
        if (inputs.Length != (long)batch * Features)
        {
            throw new ArgumentException(
                $"'{InputName}' of {batch} rows must hold {(long)batch * Features} numbers ({Features} a row), found {inputs.Length}.",
                nameof(inputs)
            );
        }
        if (mask.Length != (long)batch * MaskWidth)
        {
            throw new ArgumentException(
                _mask is null
                    ? $"'{_source}' takes no mask, found one of {mask.Length} entries."
                    : $"'{_mask}' of {batch} rows must hold {(long)batch * MaskWidth} entries ({MaskWidth} a row), found {mask.Length}.",
                nameof(mask)
            );
        }
        if (batch != _batch)
        {
            Allocate(batch);
        }
        inputs.CopyTo(_inputs);
        mask.CopyTo(_allowed);
        try
        {
            _session.Run(_run, _inputNames, _inputValues, _outputNames, _outputValues);
        }
        catch (OnnxRuntimeException exception)
        {
            throw new OnnxFileException(
                $"ONNX Runtime cannot run '{_source}': {Sessions.OneLine(exception)}",
                exception
            );
        }
    }

    /// <summary>A float32 output of the last run, batch × Width numbers, row by row; valid until the next run.</summary>
    /// <exception cref="ArgumentException">There is no such output.</exception>
    public ReadOnlySpan<float> Floats(string output) => Result<float>(output);

    /// <summary>An int64 output of the last run, batch × Width numbers, row by row; valid until the next run.</summary>
    /// <exception cref="ArgumentException">There is no such output.</exception>
    public ReadOnlySpan<long> Integers(string output) => Result<long>(output);

    /// <summary>Frees the session.</summary>
    public void Dispose()
    {
        Free();
        _run.Dispose();
        _session.Dispose();
    }

    private T[] Result<T>(string output) =>
        Array.IndexOf(_outputNames, output) is var i and >= 0 && _results[i] is T[] values
            ? values
            : throw new ArgumentException(
                $"'{_source}' has no {typeof(T).Name} results '{output}'"
                    + (
                        _batch == 0 ? ": it has not been run." : $"; its outputs are {string.Join(", ", _outputNames)}."
                    ),
                nameof(output)
            );

    private void Allocate(int batch)
    {
        Free();
        _inputs = new float[batch * Features];
        _inputValues[0] = OrtValue.CreateTensorValueFromMemory(
            _inputs,
            [batch, .. InputShape.Select(axis => (long)axis)]
        );
        if (_mask is not null)
        {
            _allowed = new bool[batch * MaskWidth];
            _inputValues[1] = OrtValue.CreateTensorValueFromMemory(_allowed, [batch, MaskWidth]);
        }
        for (var i = 0; i < Outputs.Count; i++)
        {
            var (name, isInteger, width) = Outputs[i];
            long[] shape = [batch, .. _session.OutputMetadata[name].Dimensions.Skip(1).Select(axis => (long)axis)];
            if (isInteger)
            {
                var values = new long[batch * width];
                (_results[i], _outputValues[i]) = (values, OrtValue.CreateTensorValueFromMemory(values, shape));
            }
            else
            {
                var values = new float[batch * width];
                (_results[i], _outputValues[i]) = (values, OrtValue.CreateTensorValueFromMemory(values, shape));
            }
        }
        _batch = batch;
    }

    private void Free()
    {
        _batch = 0;
        foreach (var value in (_inputValues ?? []).Concat(_outputValues ?? []))
        {
            value?.Dispose();
        }
    }

    private (string Name, int[] Shape, int Features, string? Mask, int MaskWidth) Input()
    {
        var inputs = _session.InputMetadata;
        var masks = inputs
            .Where(input => input.Value is { IsTensor: true, ElementDataType: TensorElementType.Bool })
            .ToArray();
        var (mask, width) = masks is [{ Key: var second, Value: { Dimensions: [-1, _] } entries }]
            ? (second, Width(entries) ?? 0)
            : (null, 0);
        return
            inputs.Count == masks.Length + 1
            && masks.Length <= 1
            && (masks.Length == 0 || width > 0)
            && inputs.Single(input => !masks.Contains(input))
                is { Key: var name, Value: { IsTensor: true, ElementDataType: TensorElementType.Float } value }
            && value.Dimensions is [-1, _, ..]
            && Width(value) is { } features
            ? (name, value.Dimensions[1..], features, mask, width)
            : throw new OnnxFileException(
                $"'{_source}' must have one input [batch, features] in float32 with an open batch axis, or [batch, channels, height, width] and the like, and at most a second [batch, width] in bool, found {Describe(inputs)}."
            );
    }

    private ModelOutput Output(string name, NodeMetadata value)
    {
        var isInteger = value.IsTensor && value.ElementDataType == TensorElementType.Int64;
        var isFloat = value.IsTensor && value.ElementDataType == TensorElementType.Float;
        return (isInteger || isFloat) && value.Dimensions is [-1, ..] && Width(value) is { } width
            ? new ModelOutput(name, isInteger, width)
            : throw new OnnxFileException(
                $"'{_source}' must have outputs [batch] or [batch, width] in float32 or int64, found {Describe(_session.OutputMetadata)}."
            );
    }

    /// <summary>Numbers a row; null where an axis after the first is open, or they are more than an array can hold.</summary>
    private static int? Width(NodeMetadata value)
    {
        var width = 1L;
        foreach (var axis in value.Dimensions.Skip(1))
        {
            width *= axis;
            if (axis <= 0 || width > Array.MaxLength)
            {
                return null;
            }
        }
        return (int)width;
    }

    private static string Describe(IReadOnlyDictionary<string, NodeMetadata> values) =>
        string.Join(
            ", ",
            values.Select(entry =>
                entry.Value.IsTensor
                    ? $"'{entry.Key}' [{string.Join(", ", entry.Value.Dimensions.Select(d => d < 0 ? "open" : $"{d}"))}] {entry.Value.ElementDataType}"
                    : $"'{entry.Key}' {entry.Value.OnnxValueType}"
            )
        );
}
