using Bmg.Training.Configuration;

namespace Bmg.Training.Evaluation;

/// <summary>What <c>evaluate</c> is asked to do.</summary>
/// <param name="Target">A run's directory, or an .onnx file.</param>
/// <param name="Steps">Environment steps of each member to play; null for 10 000, or for 100 episodes where there are episodes.</param>
/// <param name="Provider">Where an .onnx file is run.</param>
public sealed record EvaluateOptions(string Target, long? Steps, DeviceKind Provider)
{
    /// <summary>Reads configurations.</summary>
    public required ConfigurationReader Reader { get; init; }

    /// <summary>Episodes of each member to play; null for what <see cref="Steps"/> says.</summary>
    public int? Episodes { get; init; }

    /// <summary>Whether to draw an episode of the first member as text.</summary>
    public bool Render { get; init; }

    /// <summary>Whether to print results as JSON alone.</summary>
    public bool Json { get; init; }

    /// <summary>Told how far it is, a line each, where there is somebody to be told.</summary>
    public Action<string>? Progress { get; init; }
}
