namespace Bmg.Training.Benchmarks;

/// <summary>
/// Multiply-adds × 2 of the linear layers in one meta-step, for one environment step of one member. Nothing else is counted: no
/// activations, no losses, no optimizer.
/// </summary>
/// <param name="Acting">Policy forward.</param>
/// <param name="Learning">Policy and value forward, weight and input gradients (no input gradient for the first layer).</param>
/// <param name="Meta">μ, and the vector-Jacobian products back through the K steps.</param>
public readonly record struct OperationCount(double Acting, double Learning, double Meta)
{
    /// <summary>All of it.</summary>
    public double Total => Acting + Learning + Meta;

    /// <summary>The count for an actor-critic, K differentiated steps and a target of L.</summary>
    public static OperationCount Of(ActorCritic agent, int innerSteps, int targetSteps)
    {
        double policy = agent.Policy.Operations,
            value = agent.Value.Operations;
        double policyInputs = policy - FirstLayer(agent.Policy),
            valueInputs = value - FirstLayer(agent.Value);
        var rollouts = innerSteps + targetSteps;
        // A step: forward, weight gradients, input gradients of both networks. The target's last step leaves the value network alone
        // but for its forward pass.
        var step = 2 * policy + policyInputs + 2 * value + valueInputs;
        var last = 2 * policy + policyInputs + value;
        // μ runs the policy under both parameters and back through one. Through the first of the K steps only the way from the
        // weight gradients to the logits' gradient leads to w; through each later one the whole Hessian-vector product does.
        var mu = 3 * policy + policyInputs;
        var firstStep = policy + policyInputs;
        var laterStep = 2 * policy + 2 * policyInputs + policy + policyInputs;
        var meta = mu + firstStep + (innerSteps - 1) * laterStep;
        return new OperationCount(policy, ((rollouts - 1) * step + last) / rollouts, meta / rollouts);
    }

    private static double FirstLayer(Network network) =>
        network.Layers[0].Match((inputs, outputs) => 2.0 * inputs * outputs, _ => 0.0, _ => 0.0);
}
