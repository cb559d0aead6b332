using Bmg.Export.Checkpoints;
using Bmg.Export.Onnx;
using TorchSharp;

namespace Bmg.Examples;

/// <summary>A torso for a 10 × 10 world of four channels, with a layer of one's own: what docs/networks.md shows.</summary>
public static class PixelNetwork
{
    // region scale
    /// <summary>y = factor·s·x, with one learned number s a member.</summary>
    public static CustomLayer Scale(double factor) =>
        CustomLayer.Create(
            "scale",
            new Dictionary<string, double> { ["factor"] = factor },
            input => input,
            _ => [LayerParameter.Constant("s", [1], 1.0)],
            (parameters, x) =>
            {
                long[] perMember = [x.shape[0], .. Enumerable.Repeat(1L, x.shape.Length - 1)];
                return x.mul(parameters["s"].reshape(perMember)).mul(Scalars.Constant(factor));
            }
        );

    // endregion

    // region torso
    /// <summary>[4, 10, 10] → [32].</summary>
    public static Network Torso() =>
        Network
            .Build("torso", 4, 10, 10)
            .Convolution(16, kernel: 3, stride: 1, padding: 0)
            .LayerNormalization()
            .Activation(Activation.Silu)
            .Then(Layer.NewCustom(Scale(0.5)))
            .Residual(inner => inner.Convolution(16, 3, 1, 1).Activation(Activation.Silu))
            .MaxPooling(kernel: 2, stride: 2)
            .Linear(32)
            .Build();

    // endregion

    // region forms
    /// <summary>How the layer of one's own is read from a file and written as ONNX.</summary>
    public static ExportOptions Options() =>
        new()
        {
            Layers = new CustomLayers().Add("scale", settings => Scale(settings["factor"])),
            Forms = new OnnxForms().Add(
                "scale",
                (site, layer, parameters, input, output) =>
                    new OnnxGraph(
                        [
                            OnnxGraph.Node("Mul", [input, site.Path + ".s"], site.Path + ".product"),
                            OnnxGraph.Node("Mul", [site.Path + ".product", site.Path + ".factor"], output),
                        ],
                        [
                            OnnxGraph.Constant(site.Path + ".s", parameters["s"]),
                            OnnxGraph.Constant(site.Path + ".factor", (float)layer.Settings["factor"]),
                        ]
                    )
            ),
        };
    // endregion
}
