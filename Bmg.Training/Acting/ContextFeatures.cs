using System.Numerics.Tensors;
using Bmg.Training.Environments;

namespace Bmg.Training.Acting;

/// <summary>The library's features of contexts, those of CMG (Luketina et al. 2022) and more.</summary>
public static class ContextFeatures
{
    /// <summary>Rewards as the environment gave them.</summary>
    /// <param name="deviation">Whether their deviation is a second number.</param>
    public static IContextFeature Reward(bool deviation) => new Moments("reward", deviation, view => view.Rewards);

    /// <summary>Values of the states acted in.</summary>
    /// <param name="deviation">Whether their deviation is a second number.</param>
    public static IContextFeature Value(bool deviation) => new Moments("value", deviation, view => view.Values);

    /// <summary>One-step TD errors.</summary>
    /// <param name="deviation">Whether their deviation is a second number.</param>
    public static IContextFeature TdError(bool deviation) => new Moments("TD error", deviation, view => view.TdErrors);

    /// <summary>Mean probability of each choice.</summary>
    public static IContextFeature ActionProbabilities { get; } = new Probabilities();

    /// <summary>Cosine of the last two steps.</summary>
    public static IContextFeature StepCosine { get; } = new Cosine();

    /// <summary>What the meta-parameters gave before.</summary>
    public static IContextFeature PreviousHyperParameters { get; } = new Previous();

    private delegate ReadOnlySpan<float> Numbers(ContextView view);

    /// <summary>Mean, and deviation over the steps at hand.</summary>
    private sealed class Moments(string name, bool deviation, Numbers numbers) : IContextFeature
    {
        public IReadOnlyList<string> Names(EnvironmentDescription world, IReadOnlyList<string> hyperParameters) =>
            deviation ? [$"mean {name}", $"{name} deviation"] : [$"mean {name}"];

        public void Write(ContextView view, Span<double> written)
        {
            var values = numbers(view);
            var mean = values.IsEmpty ? 0 : TensorPrimitives.Sum(values) / (double)values.Length;
            written[0] = mean;
            if (deviation)
            {
                var squares = 0.0;
                foreach (var value in values)
                {
                    squares += (value - mean) * (value - mean);
                }

                written[1] = values.IsEmpty ? 0 : Math.Sqrt(squares / values.Length);
            }
        }
    }

    private sealed class Probabilities : IContextFeature
    {
        public IReadOnlyList<string> Names(EnvironmentDescription world, IReadOnlyList<string> hyperParameters) =>
            world.Actions switch
            {
                ActionSpace.Discrete one => [.. one.Names.Select(choice => $"probability of {choice}")],
                ActionSpace.Several several =>
                [
                    .. from action in several.Actions
                    from choice in action.Choices
                    select $"probability of {action.Name}.{choice}",
                ],
                _ => [],
            };

        public string? Lacks(EnvironmentDescription world) =>
            world.Actions is ActionSpace.Continuous ? "discrete actions: numbers have densities" : null;

        public void Write(ContextView view, Span<double> written)
        {
            var probabilities = view.ActionProbabilities;
            for (var i = 0; i < written.Length; i++)
            {
                written[i] = probabilities[i];
            }
        }
    }

    private sealed class Cosine : IContextFeature
    {
        public bool ComparesSteps => true;

        public IReadOnlyList<string> Names(EnvironmentDescription world, IReadOnlyList<string> hyperParameters) =>
            ["cosine of the last two steps"];

        public void Write(ContextView view, Span<double> written) => written[0] = view.StepCosine;
    }

    private sealed class Previous : IContextFeature
    {
        public IReadOnlyList<string> Names(EnvironmentDescription world, IReadOnlyList<string> hyperParameters) =>
            [.. hyperParameters.Select(name => $"previous {name}")];

        public void Write(ContextView view, Span<double> written) => view.HyperParameters.CopyTo(written);
    }
}
