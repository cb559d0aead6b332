namespace Bmg.Training.Agents;

/// <summary>The update rule that steps down the gradient of the learner's loss under its optimizer; it has no settings.</summary>
public sealed record GradientSettings;
