using Bmg.Training.Agents;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;
using Bmg.Verify;

namespace Bmg.Training.Verification;

/// <summary>Registered parts as the laws judge them: each alone, among small parts of the library.</summary>
public static class JudgedParts
{
    private static readonly int[] Row = [4];
    private static readonly int[] Image = [2, 4, 4];

    /// <summary>Kinds that the laws judge.</summary>
    public static IReadOnlyList<string> Kinds { get; } =
    [
        AgentKinds.Matching.Name,
        AgentKinds.Target.Name,
        AgentKinds.UpdateRule.Name,
        AgentKinds.Optimizer.Name,
        AgentKinds.Layer.Name,
    ];

    /// <summary>Parts of a catalogue with the settings that they were registered with, in the order of <see cref="Kinds"/>.</summary>
    public static IReadOnlyList<Part> Of(Catalogue catalogue) =>
        [
            .. from kind in Kinds
            from definition in catalogue.Parts(kind)
            select Part.Bound(definition, definition.Defaults),
        ];

    /// <summary>Parts that a configuration names, with its settings.</summary>
    public static IReadOnlyList<Part> Of(RunConfiguration configuration) =>
        [
            .. from kind in Kinds
            from each in UsedPart.Parts(configuration)
            where each.Part.Kind == kind
            select each.Part,
        ];

    /// <summary>Whether a part is somebody's own, rather than the library's.</summary>
    public static bool IsOwn(Part part) =>
        part.Definition?.Origin.Assembly != typeof(JudgedParts).Assembly.GetName().Name;

    /// <summary>A part under judgement. Matching functions are made for means over states and one discrete action; targets for an optimizer
    /// "sgd"; layers stand in a small network, on a row of numbers where they take one and on images where they do not.</summary>
    /// <exception cref="UsageException">The laws judge no parts of its kind, or it cannot be made.</exception>
    public static Subject SubjectOf(Part part)
    {
        try
        {
            return Made(part).Named(part.Name);
        }
        catch (Exception e) when (e is not (UsageException or OperationCanceledException))
        {
            throw new UsageException($"{part.Kind} \"{part.Name}\": threw {e.GetType().Name}: {e.Message}", e);
        }
    }

    private static Subject Made(Part part)
    {
        if (part.Kind == AgentKinds.Matching.Name)
        {
            return Subject.Of(
                part.Make(AgentKinds.Matching)(new MatchingContext(Reduction.Mean, Distributions.Categorical(3)))
            );
        }

        if (part.Kind == AgentKinds.Optimizer.Name)
        {
            return Subject.Of(part.Make(AgentKinds.Optimizer));
        }

        if (part.Kind == AgentKinds.UpdateRule.Name)
        {
            var make = part.Make(AgentKinds.UpdateRule);
            return Subject.Of(
                part.Name,
                lossFunction => make(new UpdateRuleContext(lossFunction, Optimizers.Sgd(0.3)))
            );
        }

        if (part.Kind == AgentKinds.Target.Name)
        {
            var make = part.Make(AgentKinds.Target);
            return Subject.Of(
                part.Name,
                given =>
                    make(
                        new TargetContext
                        {
                            Steps = given.Steps,
                            Optimizer = Optimizers.Sgd(0.3),
                            Loss = given.Loss,
                            PolicyLoss = given.Loss,
                            Descend = (_, optimizer) => UpdateRule.Gradient(given.Loss, optimizer),
                        }
                    )
            );
        }

        if (part.Kind == AgentKinds.Layer.Name)
        {
            var add = part.Make(AgentKinds.Layer);
            var shape = Takes(add, Row) ? Row : Image;
            // What fits neither is refused here, rather than in every case.
            _ = Around(add, part.Name, 2, shape);
            return Subject.OfNetwork(part.Name, (name, actions) => Around(add, name, actions, shape));
        }

        throw new UsageException(
            $"{part.Kind} \"{part.Name}\": found a {part.Kind}, expected a part of a kind that the laws judge: {string.Join(", ", Kinds)}."
        );
    }

    private static bool Takes(AddLayer add, int[] shape)
    {
        try
        {
            _ = Around(add, "policy", 2, shape);
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    /// <summary>A layer after one of the library's that learns, and before one that puts out the policy.</summary>
    private static Network Around(AddLayer add, string name, int actions, int[] shape)
    {
        var start = Network.Build(name, shape);
        var before = shape.Length == 1 ? start.Linear(shape[0]) : start.Convolution(shape[0], 3, 1, 1);
        var after = add(before);
        return (after.Build().OutputShape.Length == 1 ? after : after.Flatten()).Linear(actions).Build();
    }
}
