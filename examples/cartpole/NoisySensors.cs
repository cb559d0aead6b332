using Bmg.Training.Environments;

namespace Bmg.Examples.CartPole;

/// <summary>An environment whose observations come with normal noise; what happens in it stays as it is.</summary>
/// <param name="inner">The environment.</param>
/// <param name="deviation">Standard deviation of the noise on each number.</param>
public sealed class NoisySensors(IEnvironment inner, double deviation) : EnvironmentWrapper(inner)
{
    /// <inheritdoc/>
    public override void Reset(Rng random, Span<float> observation)
    {
        base.Reset(random, observation);
        Blur(random, observation);
    }

    /// <inheritdoc/>
    public override StepResult Step(Rng random, EnvironmentAction action, Span<float> observation)
    {
        var result = base.Step(random, action, observation);
        Blur(random, observation);
        return result;
    }

    /// <summary>With noise there is no list of all observations.</summary>
    public override float[]? AllObservations() => null;

    private void Blur(Rng random, Span<float> observation)
    {
        foreach (ref var value in observation)
        {
            value += (float)(deviation * random.NextNormal());
        }
    }
}
