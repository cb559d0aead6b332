using Bmg.Export.Inference;

namespace Bmg.Examples;

/// <summary>An exported policy in .NET: what docs/policies.md shows.</summary>
public static class Playing
{
    /// <summary>One discrete action.</summary>
    public static string One(float[] observation)
    {
        // region one
        using var policy = PolicySession.Load("policy.onnx");
        var name = policy.ActionMeanings[(int)policy.Run(observation, batch: 1).Actions[0]];
        // endregion
        return name;
    }

    /// <summary>Several discrete actions, some of them not allowed.</summary>
    public static void Several(PolicySession policy, float[] observation, bool[] allowed)
    {
        // region several
        var chosen = policy.Run(observation, allowed, batch: 1).Actions;
        for (var i = 0; i < policy.Choices.Count; i++)
        {
            Console.WriteLine($"{policy.Choices[i].Name}: {policy.Choices[i].Choices[(int)chosen[i]]}");
        }
        // endregion
    }

    /// <summary>Numbers: the likeliest, and drawn.</summary>
    public static (float Likeliest, float Drawn) Numbers(PolicySession policy, float[] observation, float normal)
    {
        // region numbers
        var outputs = policy.Run(observation, batch: 1);
        var torque = outputs.Numbers[0];
        var drawn = policy.Numbers[0].Within(outputs.Means[0] + outputs.Deviations[0] * normal);
        // endregion
        return (torque, drawn);
    }
}
