using Bmg.Export.Checkpoints;
using Bmg.Training.Environments;

namespace Bmg.Training.Acting;

/// <summary>An environment's actions as a checkpoint and an exported policy describe them.</summary>
internal static class ActionDescriptions
{
    /// <summary>What a policy over these actions puts out (see <see cref="ActionChoice.DistributionOf"/>).</summary>
    public static PolicyKind KindOf(ActionSpace space) =>
        space switch
        {
            ActionSpace.Several => PolicyKind.SeveralLogits,
            ActionSpace.Continuous => PolicyKind.Gaussian,
            _ => PolicyKind.Logits,
        };

    /// <summary>Several discrete actions; null of anything else.</summary>
    public static ChoiceDescription[]? SeveralOf(ActionSpace space) =>
        space is ActionSpace.Several several ? Of(several) : null;

    /// <summary>Several discrete actions.</summary>
    public static ChoiceDescription[] Of(ActionSpace.Several several) =>
        [.. several.Actions.Select(action => new ChoiceDescription(action.Name, [.. action.Choices]))];

    /// <summary>Numbers; null of anything else.</summary>
    public static NumberDescription[]? NumbersOf(ActionSpace space) =>
        space is ActionSpace.Continuous continuous
            ? [.. continuous.Actions.Select(action => new NumberDescription(action.Name, action.Low, action.High))]
            : null;
}
