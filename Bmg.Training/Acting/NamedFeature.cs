using Bmg.Training.Environments;

namespace Bmg.Training.Acting;

/// <summary>A feature of a context with the name that it has in messages, and its numbers.</summary>
internal sealed class NamedFeature
{
    private readonly string _name;
    private readonly IContextFeature _feature;

    /// <summary>Asks a feature for its numbers.</summary>
    /// <param name="name">Its name in the configuration.</param>
    /// <param name="feature">The feature.</param>
    /// <param name="world">Where the members learn.</param>
    /// <param name="hyperParameters">Names of the hyper-parameters that are learned, in order.</param>
    public NamedFeature(
        string name,
        IContextFeature feature,
        EnvironmentDescription world,
        IReadOnlyList<string> hyperParameters
    )
    {
        (_name, _feature, Names) = (name, feature, feature.Names(world, hyperParameters));
    }

    /// <summary>What each of its numbers is.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>How many there are.</summary>
    public int Count => Names.Count;

    /// <summary>Its name in messages.</summary>
    public string Name => _name;

    /// <summary>Whether it was named, so that what it writes is looked at; what is wrong with rewards and values shows elsewhere.</summary>
    public bool IsNamed { get; private init; } = true;

    /// <summary>Whether it needs the learners' last steps.</summary>
    public bool ComparesSteps => _feature.ComparesSteps;

    /// <summary>The contexts that have names of their own: the mean reward, or means and deviations of reward, value and TD error (CMG).</summary>
    public static IReadOnlyList<NamedFeature> OfRewards(bool rich, EnvironmentDescription world)
    {
        IContextFeature[] features = rich
            ? [ContextFeatures.Reward(true), ContextFeatures.Value(true), ContextFeatures.TdError(true)]
            : [ContextFeatures.Reward(false)];
        return
        [
            .. features.Select(feature => new NamedFeature(rich ? "rich" : "reward", feature, world, [])
            {
                IsNamed = false,
            }),
        ];
    }

    /// <summary>Writes its numbers of one member.</summary>
    /// <exception cref="ContextFeatureException">It throws.</exception>
    public void Write(ContextView view, Span<double> numbers)
    {
        try
        {
            _feature.Write(view, numbers);
        }
        catch (Exception e) when (e is not (BmgException or OperationCanceledException))
        {
            throw new ContextFeatureException(
                $"Context feature \"{_name}\", member {view.Member}: threw {e.GetType().Name}: {e.Message}",
                e
            );
        }
    }
}
