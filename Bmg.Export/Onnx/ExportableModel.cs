using Google.Protobuf;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>
/// One function, twice: as an ONNX model and in TorchSharp. <see cref="Parity.ParityCheck"/> compares the two,
/// <see cref="Parity.ModelFile"/> writes the first once they agree.
/// </summary>
public sealed class ExportableModel
{
    private readonly Func<torch.Tensor, IReadOnlyDictionary<string, torch.Tensor>> _evaluate;

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
    {
        ArgumentNullException.ThrowIfNull(onnx);
        ArgumentNullException.ThrowIfNull(evaluate);
        Onnx = onnx;
        Features = features;
        _evaluate = evaluate;
    }

    /// <summary>The ONNX model.</summary>
    public ModelProto Onnx { get; }

    /// <summary>Size of an input.</summary>
    public int Features { get; }

    /// <summary>The ONNX file's content.</summary>
    public byte[] ToBytes() => Onnx.ToByteArray();

    /// <summary>Outputs of the TorchSharp side for inputs [batch, features]; the caller's dispose scope owns them.</summary>
    public IReadOnlyDictionary<string, torch.Tensor> Evaluate(torch.Tensor inputs)
    {
        using var noGrad = torch.no_grad();
        using var scope = torch.NewDisposeScope();
        var outputs = _evaluate(inputs);
        foreach (var output in outputs.Values)
        {
            output.MoveToOuterDisposeScope();
        }
        return outputs;
    }
}
