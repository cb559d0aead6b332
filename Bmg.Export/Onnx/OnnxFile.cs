namespace Bmg.Export.Onnx;

/// <summary>A model as it was read, checked: the bytes that ONNX Runtime is given, and what they mean.</summary>
/// <param name="Bytes">The content.</param>
/// <param name="Model">The same, parsed.</param>
/// <param name="Source">What messages call it, its path usually.</param>
/// <param name="Folder">Where data lies that is in files of its own; null where there can be none.</param>
internal sealed record OnnxFile(byte[] Bytes, ModelProto Model, string Source, string? Folder)
{
    /// <summary>A model from a file.</summary>
    /// <exception cref="OnnxFileException">It is missing, unreadable, no ONNX model, or broken (see <see cref="OnnxChecks"/>).</exception>
    public static OnnxFile Read(string path) =>
        Of(OnnxModel.ReadBytes(path), path, Path.GetDirectoryName(Path.GetFullPath(path)));

    /// <summary>A model from bytes.</summary>
    /// <exception cref="OnnxFileException">It is no ONNX model, or broken.</exception>
    public static OnnxFile Of(byte[] bytes, string source, string? folder = null)
    {
        var model = OnnxModel.Parse(bytes, source);
        OnnxChecks.Require(model, source, folder);
        return new OnnxFile(bytes, model, source, folder);
    }

    /// <summary>The file's metadata.</summary>
    public ModelMetadata Metadata =>
        new(Source, Model.MetadataProps.ToDictionary(entry => entry.Key, entry => entry.Value, StringComparer.Ordinal));
}
