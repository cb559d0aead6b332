using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Catalogues;
using Bmg.Training.CommandLine;
using Bmg.Training.Data;
using Bmg.Training.Environments;
using Bmg.Training.Experiments;
using Bmg.Training.Library;
using Bmg.Training.Runs;

namespace Bmg.Training.Hosting;

/// <summary>
/// A program that trains: the library's parts and one's own, behind one command line. Parts are registered by name, with an instance of their
/// settings, which are the defaults, and a function from settings to the part; configurations name them, and schemas, checkpoints and reports
/// follow.
/// </summary>
/// <example><code>return BmgHost.CreateDefault().AddMatchingFunction("mine", new MySettings(), s => reduction => ...).Run(args);</code></example>
public sealed class BmgHost
{
    private BmgHost() { }

    /// <summary>The parts that configurations can name.</summary>
    public Catalogue Catalogue { get; } = new();

    /// <summary>A host with the parts of the library.</summary>
    public static BmgHost CreateDefault()
    {
        var host = new BmgHost();
        LibraryParts.AddTo(host.Catalogue);
        return host;
    }

    /// <summary>Registers an environment.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddEnvironment<TSettings>(string name, TSettings defaults, Func<TSettings, IEnvironment> make)
        where TSettings : class =>
        Register(EnvironmentKinds.Environment, name, defaults, s => new MakeEnvironment(_ => make(s)), make);

    /// <summary>Registers an environment that has no settings.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddEnvironment(string name, Func<IEnvironment> make) =>
        Register(EnvironmentKinds.Environment, name, new NoSettings(), _ => new MakeEnvironment(_ => make()), make);

    /// <summary>Registers an environment that is given its stream's seed, for what belongs to its whole life, such as a set of worlds.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddEnvironment<TSettings>(string name, TSettings defaults, Func<TSettings, Seed, IEnvironment> make)
        where TSettings : class =>
        Register(EnvironmentKinds.Environment, name, defaults, s => new MakeEnvironment(seed => make(s, seed)), make);

    /// <summary>Registers an environment of many streams that step together: a native game, or one in another process. It is given the seed of
    /// each stream.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddBatchedEnvironment<TSettings>(
        string name,
        TSettings defaults,
        Func<TSettings, IReadOnlyList<Seed>, IBatchedEnvironment> make
    )
        where TSettings : class =>
        Register(
            EnvironmentKinds.Environment,
            name,
            defaults,
            s => MakeEnvironment.Batched(seeds => make(s, seeds)),
            make
        );

    /// <summary>Registers a wrapper: an environment over another.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddWrapper<TSettings>(
        string name,
        TSettings defaults,
        Func<TSettings, IEnvironment, IEnvironment> wrap
    )
        where TSettings : class =>
        Register(
            EnvironmentKinds.Wrapper,
            name,
            defaults,
            s => new Func<IEnvironment, IEnvironment>(inner => wrap(s, inner)),
            wrap
        );

    /// <summary>Registers an experiment.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddExperiment<TSettings>(string name, TSettings defaults, Func<TSettings, IExperimentKind> make)
        where TSettings : class => Add(ExperimentKinds.Experiment, name, defaults, make);

    /// <summary>Registers a data set. It is made once for each configuration that is read, and every example is looked at.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddData<TSettings>(string name, TSettings defaults, Func<TSettings, IDataSet> make)
        where TSettings : class => Add(DataKinds.Data, name, defaults, make);

    /// <summary>Registers an agent.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddAgent<TSettings>(string name, TSettings defaults, Func<TSettings, IAgentKind> make)
        where TSettings : class => Add(AgentKinds.Agent, name, defaults, make);

    /// <summary>Registers a layer of networks: it adds to a network that is being built.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddLayer<TSettings>(
        string name,
        TSettings defaults,
        Func<TSettings, NetworkBuilder, NetworkBuilder> add
    )
        where TSettings : class =>
        Register(AgentKinds.Layer, name, defaults, s => new AddLayer(network => add(s, network)), add);

    /// <summary>Registers an optimizer of learners.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddOptimizer<TSettings>(string name, TSettings defaults, Func<TSettings, Optimizer> make)
        where TSettings : class => Add(AgentKinds.Optimizer, name, defaults, make);

    /// <summary>Registers an update rule φ.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddUpdateRule<TSettings>(
        string name,
        TSettings defaults,
        Func<TSettings, UpdateRuleContext, UpdateRule<Rollout>> make
    )
        where TSettings : class =>
        Register(AgentKinds.UpdateRule, name, defaults, s => context => make(s, context), make);

    /// <summary>Registers a target bootstrap ξ.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddTarget<TSettings>(
        string name,
        TSettings defaults,
        Func<TSettings, TargetContext, TargetBootstrap<Rollout>> make
    )
        where TSettings : class => Register(AgentKinds.Target, name, defaults, s => context => make(s, context), make);

    /// <summary>Registers a matching function μ; it is given the reduction over states and what the policy's outputs mean.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddMatchingFunction<TSettings>(
        string name,
        TSettings defaults,
        Func<TSettings, MatchingContext, MatchingFunction> make
    )
        where TSettings : class =>
        Register(AgentKinds.Matching, name, defaults, s => context => make(s, context), make);

    /// <summary>Registers a feature of contexts: what a meta-network sees of each rollout.</summary>
    /// <inheritdoc cref="Add{T, TSettings}"/>
    public BmgHost AddContextFeature<TSettings>(string name, TSettings defaults, Func<TSettings, IContextFeature> make)
        where TSettings : class => Add(AgentKinds.Feature, name, defaults, make);

    /// <summary>Registers a part of any kind.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="name">Its name in configurations.</param>
    /// <param name="defaults">Its settings where none are given; a record whose attributes say meaning, range and source.</param>
    /// <param name="make">What it makes of its settings.</param>
    /// <exception cref="ArgumentException">There is one of that name, or the name or the settings cannot be used.</exception>
    public BmgHost Add<T, TSettings>(PartKind<T> kind, string name, TSettings defaults, Func<TSettings, T> make)
        where TSettings : class
    {
        Catalogue.Add(kind, name, defaults, make);
        return this;
    }

    /// <summary>Registers a part made of what was given, whose assembly brings it.</summary>
    private BmgHost Register<T, TSettings>(
        PartKind<T> kind,
        string name,
        TSettings defaults,
        Func<TSettings, T> make,
        Delegate brought
    )
        where TSettings : class
    {
        ArgumentNullException.ThrowIfNull(brought);
        Catalogue.Add(kind, name, defaults, make, brought);
        return this;
    }

    /// <summary>Runs a command line; returns the exit code.</summary>
    public int Run(string[] args) => TrainingCli.Run(args, ProgramHost.Create(catalogue: Catalogue));
}
