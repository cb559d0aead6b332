using Bmg.Export.Checkpoints;
using Google.Protobuf;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>
/// One function, twice: as an ONNX model and in TorchSharp. <see cref="Parity.ParityCheck"/> compares the two,
/// <see cref="Parity.ModelFile"/> writes the first once they agree.
/// </summary>
public sealed class ExportableModel
{
    private readonly Func<torch.Tensor, torch.Tensor?, IReadOnlyDictionary<string, torch.Tensor>> _evaluate;

    /// <summary>Puts the two side by side; nothing is compared yet.</summary>
    /// <param name="onnx">The model, with one input [batch, …] in float32.</param>
    /// <param name="features">Numbers of an input: the product of its axes but the first.</param>
    /// <param name="evaluate">The same function in TorchSharp, from inputs [batch, features] to outputs by name, [batch, …], in
    /// float32 or int64. It is called under no_grad, inside a dispose scope.</param>
    public ExportableModel(
        ModelProto onnx,
        int features,
        Func<torch.Tensor, IReadOnlyDictionary<string, torch.Tensor>> evaluate
    )
        : this(onnx, features, (inputs, _) => evaluate(inputs))
    {
        ArgumentNullException.ThrowIfNull(evaluate);
    }

    /// <summary>The same with a mask, [batch, choices] bool, where the model has a second input; null where it has none.</summary>
    internal ExportableModel(
        ModelProto onnx,
        int features,
        Func<torch.Tensor, torch.Tensor?, IReadOnlyDictionary<string, torch.Tensor>> evaluate
    )
    {
        ArgumentNullException.ThrowIfNull(onnx);
        Onnx = onnx;
        Features = features;
        _evaluate = evaluate;
    }

    /// <summary>The ONNX model.</summary>
    public ModelProto Onnx { get; }

    /// <summary>Size of an input.</summary>
    public int Features { get; }

    /// <summary>What the outputs mean, where it is a policy.</summary>
    internal PolicyDescription? Policy { get; init; }

    /// <summary>Mean and deviation of each number of an input, where they are known: what inputs drawn to compare are made of.</summary>
    internal (float[] Means, float[] Deviations)? Moments { get; init; }

    /// <summary>Whether it has a second input, a mask.</summary>
    internal bool TakesMask => Policy is { Masked: true } && Onnx.Graph.Input.Count > 1;

    /// <summary>The ONNX file's content.</summary>
    public byte[] ToBytes() => Onnx.ToByteArray();

    /// <summary>Outputs of the TorchSharp side for inputs [batch, features]; the caller's dispose scope owns them.</summary>
    public IReadOnlyDictionary<string, torch.Tensor> Evaluate(torch.Tensor inputs) => Evaluate(inputs, null);

    /// <summary>The same where only some choices are allowed.</summary>
    /// <param name="inputs">Inputs [batch, features].</param>
    /// <param name="mask">Of a policy that takes a mask [batch, choices] bool, true where allowed; null where everything is.</param>
    public IReadOnlyDictionary<string, torch.Tensor> Evaluate(torch.Tensor inputs, torch.Tensor? mask)
    {
        using var noGrad = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var outputs = _evaluate(inputs, mask);
        foreach (var output in outputs.Values)
        {
            output.MoveToOuterDisposeScope();
        }
        return outputs;
    }
}
