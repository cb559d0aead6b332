using System.Globalization;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Google.Protobuf;

namespace Bmg.Export.Parity;

/// <summary>What was written, and how well it agrees with TorchSharp.</summary>
/// <param name="Path">The file.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Parity">The comparison that it passed.</param>
public sealed record ExportResult(string Path, long Bytes, ParityReport Parity)
{
    /// <summary>Inputs on which ONNX Runtime and TorchSharp were compared.</summary>
    public int Observations => Parity.Inputs;

    /// <summary>Largest absolute difference found.</summary>
    public double MaxAbsDifference => Parity.MaxAbsDifference;
}

/// <summary>Exported models on disk. A file is there only if it computes what TorchSharp computes.</summary>
public static class ModelFile
{
    /// <summary>
    /// Compares the model's two sides and, if they agree, writes the ONNX file aside, with what was found in its metadata; compares what lies
    /// on the disk then once more, and renames it over <paramref name="path"/>. Where they differ no file appears, and one that was there
    /// before is untouched.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="path">The file; its directory must exist.</param>
    /// <param name="inputs">Inputs that are compared in any case (see <see cref="ParityCheck"/>); null for random ones only.</param>
    /// <param name="count">Least number of inputs compared.</param>
    /// <param name="tolerance">Largest scaled difference that passes.</param>
    /// <exception cref="ParityException">The two sides differ.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static ExportResult Write(
        ExportableModel model,
        string path,
        float[]? inputs = null,
        int count = ParityCheck.DefaultInputs,
        double tolerance = ParityCheck.DefaultTolerance
    )
    {
        ArgumentNullException.ThrowIfNull(model);
        var report = ParityCheck.Run(model, inputs, count, tolerance: tolerance);
        if (!report.Passed)
        {
            throw new ParityException(report);
        }
        var onnx = model.Onnx.Clone();
        Note(onnx, MetadataKeys.ParityObservations, report.Inputs.ToString(CultureInfo.InvariantCulture));
        Note(
            onnx,
            MetadataKeys.ParityMaxAbsDifference,
            report.MaxAbsDifference.ToString("R", CultureInfo.InvariantCulture)
        );
        var bytes = AtomicFile.Write(
            path,
            onnx.WriteTo,
            written =>
            {
                using var session = ModelSession.Load(written);
                report = ParityCheck.Run(session, model, inputs, count, tolerance: tolerance);
                if (!report.Passed)
                {
                    throw new ParityException(report);
                }
            }
        );
        return new ExportResult(path, bytes, report);
    }

    private static void Note(ModelProto onnx, string key, string value) =>
        onnx.MetadataProps.Add(new StringStringEntryProto { Key = key, Value = value });
}
