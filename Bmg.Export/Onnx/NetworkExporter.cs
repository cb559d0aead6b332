using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>
/// ONNX for any network in the description of Bmg.Core, whatever it was trained for: one input, one output.
/// </summary>
/// <example>
/// <code>
/// var model = NetworkExporter.Build(network, parameters, member: 0, "features", "prediction");
/// ModelFile.Write(model, "prediction.onnx");
/// </code>
/// </example>
public static class NetworkExporter
{
    /// <summary>A model with input [batch, …InputShape] and output [batch, …OutputShape], both float32: images are
    /// [batch, channels, height, width].</summary>
    /// <param name="network">The architecture.</param>
    /// <param name="parameters">Its parameters, for a population of P, and the stored statistics of its batch normalisations; they must live as
    /// long as the model is checked.</param>
    /// <param name="member">Which member, 0 … P − 1.</param>
    /// <param name="inputName">Name of the input.</param>
    /// <param name="outputName">Name of the output.</param>
    /// <param name="metadata">Further entries for the file's metadata.</param>
    /// <param name="options">The operator set and the forms of custom layers; null for the lowest, and none.</param>
    /// <exception cref="ArgumentException">There is no such member, a parameter is missing or of another shape, the names are equal, or the
    /// options ask for what there is not.</exception>
    /// <exception cref="NotSupportedException">A layer has no translation to ONNX.</exception>
    public static ExportableModel Build(
        Network network,
        Params parameters,
        int member,
        string inputName,
        string outputName,
        IReadOnlyDictionary<string, string>? metadata = null,
        ExportOptions? options = null
    )
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentException.ThrowIfNullOrEmpty(inputName);
        ArgumentException.ThrowIfNullOrEmpty(outputName);
        if (inputName == outputName)
        {
            throw new ArgumentException(
                $"Input and output must have different names, found '{inputName}' twice.",
                nameof(outputName)
            );
        }
        using var scope = torch.NewDisposeScope();
        var graph = OnnxGraph.OfNetwork(network, OneMember(parameters, member), inputName, outputName, options?.Forms);
        var onnx = OnnxModel.Assemble(
            network.Name,
            graph,
            [OnnxModel.Value(inputName, TensorProto.Types.DataType.Float, Axes(network.InputShape))],
            [OnnxModel.Value(outputName, TensorProto.Types.DataType.Float, Axes(network.OutputShape))],
            new Dictionary<string, string>(metadata ?? new Dictionary<string, string>())
            {
                [MetadataKeys.Kind] = ModelKinds.Network,
            },
            options
        );
        return new ExportableModel(
            onnx,
            network.Inputs,
            x => new Dictionary<string, torch.Tensor>
            {
                [outputName] = Apply(network, OneMember(parameters, member), x),
            }
        );
    }

    /// <summary>Parameters of one member alone, in float32 on the CPU; the caller's dispose scope owns them.</summary>
    internal static Params OneMember(Params parameters, int member)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        if (parameters.Count == 0)
        {
            // A network that learns nothing; one that does names what it lacks.
            return Params.Empty;
        }
        RequireMember(member, parameters.Members);
        return parameters.OfMember(member).Convert(torch.float32, torch.CPU)!;
    }

    /// <summary>Throws an ArgumentException unless <paramref name="member"/> is one of a population of this size.</summary>
    internal static void RequireMember(int member, long members)
    {
        if (member < 0 || member >= members)
        {
            var there =
                members == 0 ? "the population is empty" : $"the population has {members}, numbered 0 to {members - 1}";
            throw new ArgumentException($"There is no member {member}: {there}.");
        }
    }

    /// <summary>The network in TorchSharp for one member, with its stored statistics: [batch, numbers of an input] → [batch, …OutputShape].</summary>
    internal static torch.Tensor Apply(Network network, Params oneMember, torch.Tensor x) =>
        network.ApplyStored(oneMember, oneMember, x.unsqueeze(0)).squeeze(0);

    /// <summary>Axes as ONNX counts them.</summary>
    internal static long[] Axes(int[] shape) => [.. shape.Select(axis => (long)axis)];
}
