using System.Text.Json;
using Bmg.Export;
using Bmg.Export.Checkpoints;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using static TorchSharp.torch;

namespace Bmg.Training.Experiments;

/// <summary>
/// The two-colors study's actor-critic (Flennerhag et al. 2022, section 5.1; Luketina et al. 2022): a population that meta-learns the
/// weight of its entropy term while it acts. On the CPU the population is cut into as many parts as there are threads, each of which
/// learns on a thread of its own: members share nothing, so parts need not wait for each other within a meta-step, as the threads of one
/// batched product would.
/// </summary>
public sealed class TwoColorsExperiment : IExperiment
{
    private const string ExperimentName = "two-colors";

    private readonly RunConfiguration _configuration;
    private readonly ActorCriticAgent _agent;
    private readonly Population[] _parts;
    private readonly Lanes _lanes;

    /// <summary>A population at the start of its life.</summary>
    public TwoColorsExperiment(RunConfiguration configuration, DerivedSettings derived)
        : this(configuration, derived, ActorCriticAgent.Create(configuration, derived)) { }

    /// <summary>A population of an agent that was made elsewhere.</summary>
    public TwoColorsExperiment(RunConfiguration configuration, DerivedSettings derived, ActorCriticAgent agent)
    {
        _configuration = configuration;
        _agent = agent;
        Seeds = derived.Seeds;
        var onCpu = configuration.Device == DeviceKind.Cpu;
        var count = onCpu ? Math.Min(derived.Threads, Seeds.Count) : 1;
        _lanes = new Lanes(count);
        _parts = new Population[count];
        OnEachPart(i =>
        {
            // As equal as can be: the first parts take one member more where it does not come out even.
            var first = i * (Seeds.Count / count) + Math.Min(i, Seeds.Count % count);
            var size = Seeds.Count / count + (i < Seeds.Count % count ? 1 : 0);
            _parts[i] = new Population(configuration, agent, [.. Seeds.Skip(first).Take(size)], first);
        });
    }

    /// <inheritdoc/>
    public IReadOnlyList<long> Seeds { get; }

    /// <inheritdoc/>
    public long EnvironmentSteps => _parts[0].EnvironmentSteps;

    /// <summary>Parts that learn side by side.</summary>
    public int Parts => _parts.Length;

    /// <summary>Time that all parts together spent acting so far, in stopwatch ticks.</summary>
    public long ActingTicks => _parts.Sum(p => p.ActingTicks);

    /// <inheritdoc/>
    public IReadOnlyList<Metric> Metrics { get; } =
    [
        new("reward", "reward", "per environment step", Aggregation.PerEnvironmentStep),
        new("entropyWeight", "entropy weight", "", Aggregation.Mean),
        new("mu", "matching function μ", "", Aggregation.Mean),
        new("metaGradientNorm", "meta-gradient norm", "", Aggregation.Mean),
        new("loss", "learner loss", "", Aggregation.Mean),
    ];

    /// <inheritdoc/>
    public IReadOnlyList<long> Changes(long after, long until) => _parts[0].Swaps(after, until);

    /// <inheritdoc/>
    public MetaStepReport Advance()
    {
        var reports = new MetaStepReport[_parts.Length];
        OnEachPart(i => reports[i] = _parts[i].Advance());
        return reports.Length == 1
            ? reports[0]
            : new MetaStepReport(
                reports[0].Steps,
                [.. Enumerable.Range(0, Metrics.Count).Select(m => reports.SelectMany(r => r.Values[m]).ToArray())]
            );
    }

    /// <inheritdoc/>
    public void Save(string path, string hostState)
    {
        using var scope = NewDisposeScope();
        var parts = Array.ConvertAll(_parts, p => p.Tensors());
        var sets = parts[0]
            .Keys.ToDictionary(name => name, name => ParamsModule.concatenate([.. parts.Select(p => p[name])]));
        var state = new PopulationState(
            [.. _parts.SelectMany(p => p.Numbers().Worlds)],
            [.. _parts.SelectMany(p => p.Numbers().Actions)],
            [.. _parts.SelectMany(p => p.Numbers().Contexts)]
        );
        // Not disposed: its tensors belong to the scope.
        CheckpointFile.Write(path, new Checkpoint(Manifest(hostState, JsonSerializer.Serialize(state)), sets));
    }

    /// <inheritdoc/>
    public string Restore(string path)
    {
        using var checkpoint = CheckpointFile.Read(path);
        var manifest = checkpoint.Manifest;
        if (manifest.Experiment != ExperimentName || !manifest.Seeds.SequenceEqual(Seeds))
        {
            throw new CheckpointException(
                $"{path}: expected a checkpoint of '{ExperimentName}' with seeds {string.Join(", ", Seeds)}, found '{manifest.Experiment}' with seeds {string.Join(", ", manifest.Seeds)}."
            );
        }

        var state =
            JsonSerializer.Deserialize<PopulationState>(manifest.State)
            ?? throw new CheckpointException($"{path}: expected the state of the worlds, found nothing.");
        foreach (var part in _parts)
        {
            part.Restore(checkpoint, state);
        }

        return manifest.Host;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var part in _parts)
        {
            part?.Dispose();
        }

        _lanes.Dispose();
    }

    /// <summary>Runs something for every part at the same time, each on one thread from beginning to end.</summary>
    private void OnEachPart(Action<int> action)
    {
        void OneThreaded(int part)
        {
            // Holds for the calling thread alone. Parts are what runs in parallel; within one, threads would only wait for each other.
            if (_configuration.Device == DeviceKind.Cpu && get_num_threads() != 1)
            {
                set_num_threads(1);
            }

            action(part);
        }

        _lanes.Run(OneThreaded);
    }

    private CheckpointManifest Manifest(string hostState, string state)
    {
        var network = _agent.MetaLearner.MetaParameters.Network;
        var weight = _configuration.Meta.EntropyWeight;
        return new CheckpointManifest
        {
            LibraryVersion = Bmg.Export.LibraryVersion.Current,
            Experiment = ExperimentName,
            EnvironmentSteps = EnvironmentSteps,
            Seeds = [.. Seeds],
            Configuration = _configuration.ToJson(),
            Policy = new PolicyDescription
            {
                Environment = ExperimentName,
                Network = NetworkDescription.Of(_agent.Networks.Policy),
                ValueNetwork = NetworkDescription.Of(_agent.Networks.Value),
                ParameterSet = "learner",
                ObservationLayout = [.. TwoColors.ObservationLayout],
                ActionMeanings = [.. TwoColors.ActionMeanings],
            },
            MetaNetwork = network is null
                ? null
                : new MetaNetworkDescription
                {
                    Network = NetworkDescription.Of(network),
                    ParameterSet = "meta",
                    InputNames =
                    [
                        .. Enumerable
                            .Range(0, network.Inputs)
                            .Select(i => $"mean reward, {network.Inputs - i} rollouts ago"),
                    ],
                    OutputName = ActorCriticModule.EntropyWeight,
                    Low = weight.Low,
                    High = weight.High,
                },
            Host = hostState,
            State = state,
        };
    }
}
