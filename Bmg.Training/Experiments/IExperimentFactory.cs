using Bmg.Training.Configuration;

namespace Bmg.Training.Experiments;

/// <summary>Makes the experiment that a configuration describes.</summary>
public interface IExperimentFactory
{
    /// <summary>Called on the thread that will drive the experiment; sets the tensor library's threads and device too.</summary>
    IExperiment Create(RunConfiguration configuration);

    /// <summary>The same for an experiment that can be given up while it is made, or within a meta-step.</summary>
    /// <param name="configuration">What to make.</param>
    /// <param name="abandon">Asks for an OperationCanceledException as soon as can be; of an experiment that threw one, nothing is saved. Where
    /// it is not heeded, as by default, whoever asked waits.</param>
    IExperiment Create(RunConfiguration configuration, CancellationToken abandon) => Create(configuration);
}
