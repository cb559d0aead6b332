using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Catalogues;
using Bmg.Training.Environments;

namespace Bmg.Training.Agents;

/// <summary>Adds a layer, or several, to a network that is being built.</summary>
public delegate NetworkBuilder AddLayer(NetworkBuilder network);

/// <summary>A linear layer.</summary>
public sealed record LinearSettings
{
    [Description("Outputs.")]
    [Range(1, 65536)]
    public int Units { get; init; } = 128;
}

/// <summary>A convolution over images, channels first.</summary>
public sealed record ConvolutionSettings
{
    [Description("Output channels.")]
    [Range(1, 4096)]
    public int Channels { get; init; } = 16;

    [Description("Side of the kernel, in pixels.")]
    [Range(1, 64)]
    public int Kernel { get; init; } = 3;

    [Description("Pixels from one place of the kernel to the next.")]
    [Range(1, 64)]
    public int Stride { get; init; } = 1;

    [Description("Rows and columns of zeros around the image.")]
    [Range(0, 64)]
    public int Padding { get; init; }
}

/// <summary>Pooling over images.</summary>
public sealed record PoolingSettings
{
    [Description("Side of the window, in pixels.")]
    [Range(1, 64)]
    public int Kernel { get; init; } = 2;

    [Description("Pixels from one window to the next.")]
    [Range(1, 64)]
    public int Stride { get; init; } = 2;
}

/// <summary>A non-linearity.</summary>
public sealed record ActivationSettings
{
    [Description("Which.")]
    public Activation Function { get; init; } = Activation.Relu;
}

/// <summary>Layers whose output is added to their input, which has the same shape.</summary>
public sealed record ResidualSettings
{
    [Description("The layers inside, in order.")]
    [PartOf("layer", "linear")]
    [Length(1, 64)]
    public IReadOnlyList<Part> Layers { get; init; } = [];
}
