namespace Bmg.Export.Onnx;

/// <summary>An ONNX file that is missing, broken, or not of the kind asked for. The message names the file, what was found and what was
/// expected.</summary>
public sealed class OnnxFileException : Exception
{
    /// <summary>With a message that says which file and what is wrong.</summary>
    public OnnxFileException(string message)
        : base(message) { }

    /// <summary>With the error underneath.</summary>
    public OnnxFileException(string message, Exception inner)
        : base(message, inner) { }
}
