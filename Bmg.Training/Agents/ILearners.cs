using Bmg.Export.Checkpoints;
using Bmg.Training.Configuration;

namespace Bmg.Training.Agents;

/// <summary>What the members of a population are: how they start, and what a checkpoint says of them.</summary>
public interface ILearners
{
    /// <summary>Settings, validated.</summary>
    RunConfiguration Configuration { get; }

    /// <summary>Name of what is learned: of an environment, or of a data set.</summary>
    string Subject { get; }

    /// <summary>What they count, a plural (see <see cref="Units"/>).</summary>
    string Unit { get; }

    /// <summary>What a meta-step reports; the first is what members are judged by, the more the better.</summary>
    IReadOnlyList<Metric> Metrics { get; }

    /// <summary>What of a member is exported.</summary>
    PolicyDescription Policy { get; }

    /// <summary>The network from context to a hyper-parameter; null where there is none.</summary>
    MetaNetworkDescription? ContextNetwork { get; }

    /// <summary>Whether each member has a context that a checkpoint holds.</summary>
    bool HasContext { get; }

    /// <summary>Members at the start of their lives.</summary>
    /// <param name="seeds">One a member.</param>
    /// <param name="first">Index of the first of them in the whole experiment.</param>
    IPopulation CreatePopulation(IReadOnlyList<Seed> seeds, int first);
}
