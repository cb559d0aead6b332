using Bmg.Training.Configuration;

namespace Bmg.Training.Evaluation;

/// <summary>What <c>evaluate</c> is asked to do.</summary>
/// <param name="Target">A run's directory, or an .onnx file.</param>
/// <param name="Steps">Environment steps of each member to play.</param>
/// <param name="Provider">Where an .onnx file is run.</param>
public sealed record EvaluateOptions(string Target, long Steps, DeviceKind Provider)
{
    /// <summary>Reads configurations.</summary>
    public required ConfigurationReader Reader { get; init; }
}
