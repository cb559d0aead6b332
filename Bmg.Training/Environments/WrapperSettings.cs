using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Bmg.Training.Environments;

/// <summary>Settings of <see cref="TimeLimit"/>.</summary>
public sealed record TimeLimitSettings
{
    [Description("An episode is truncated after this many steps.")]
    [Range(1, 1e12)]
    public long Steps { get; init; } = 1000;
}

/// <summary>Settings of <see cref="FrameStack"/>.</summary>
public sealed record FrameStackSettings
{
    [Description("The last so many observations are shown together, oldest first; an image's channels are stacked.")]
    [Range(1, 64)]
    public int Frames { get; init; } = 4;
}

/// <summary>Settings of <see cref="ActionRepeat"/>.</summary>
public sealed record ActionRepeatSettings
{
    [Description("Each action is taken so many times; rewards add up.")]
    [Range(1, 64)]
    public int Times { get; init; } = 4;
}

/// <summary>Settings of <see cref="StickyActions"/>.</summary>
public sealed record StickyActionsSettings
{
    [Description(
        "Probability that the last action is taken again in place of the one chosen (Machado et al. 2018: 0.25)."
    )]
    [Range(0, 1, MaximumIsExclusive = true)]
    public double Probability { get; init; } = 0.25;
}
