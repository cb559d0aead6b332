using System.Text.Json;
using Bmg.Export;
using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Catalogues;
using Bmg.Training.Configuration;
using static TorchSharp.torch;

namespace Bmg.Training.Experiments;

/// <summary>
/// A population of members that meta-learn while they learn. On the CPU the population is cut into as many parts as there are threads, each of
/// which learns on a thread of its own: members share nothing, so parts need not wait for each other within a meta-step, as the threads of
/// one batched product would.
/// </summary>
public sealed class PopulationExperiment : IExperiment
{
    private readonly ILearners _learners;
    private readonly IPopulation[] _parts;
    private readonly Lanes _lanes;

    /// <summary>A population of agents at the start of its life.</summary>
    /// <param name="configuration">Settings, validated.</param>
    /// <param name="derived">What follows from them.</param>
    /// <param name="stop">Ends set-up, or a meta-step under way, with an OperationCanceledException; nothing can be saved from there on.</param>
    public PopulationExperiment(
        RunConfiguration configuration,
        DerivedSettings derived,
        CancellationToken stop = default
    )
        : this(derived, Agent.Create(configuration, stop)) { }

    /// <summary>A population of learners that were made elsewhere, at the start of its life.</summary>
    public PopulationExperiment(DerivedSettings derived, ILearners learners)
    {
        _learners = learners;
        Seeds = derived.Seeds;
        var onCpu = learners.Configuration.Device == DeviceKind.Cpu;
        var count = onCpu ? Math.Min(derived.Threads, Seeds.Count) : 1;
        _lanes = new Lanes(count);
        _parts = new IPopulation[count];
        try
        {
            OnEachPart(i =>
            {
                // As equal as can be: the first parts take one member more where it does not come out even.
                var first = i * (Seeds.Count / count) + Math.Min(i, Seeds.Count % count);
                var size = Seeds.Count / count + (i < Seeds.Count % count ? 1 : 0);
                _parts[i] = learners.CreatePopulation([.. Seeds.Skip(first).Take(size).Select(Seed.Of)], first);
            });
        }
        catch (Exception)
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<long> Seeds { get; }

    /// <inheritdoc/>
    public string Unit => _learners.Unit;

    /// <inheritdoc/>
    public long EnvironmentSteps => _parts[0].EnvironmentSteps;

    /// <inheritdoc/>
    public IReadOnlyList<FrozenMember> Frozen => [.. _parts.SelectMany(p => p.Frozen)];

    /// <summary>Parts that learn side by side.</summary>
    public int Parts => _parts.Length;

    /// <summary>Time that all parts together spent acting so far, in stopwatch ticks.</summary>
    public long ActingTicks => _parts.Sum(p => p.ActingTicks);

    /// <inheritdoc/>
    public IReadOnlyList<Metric> Metrics => _learners.Metrics;

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => _parts[0].Changes(after, until);

    /// <inheritdoc/>
    public MetaStepReport Advance()
    {
        var reports = new MetaStepReport[_parts.Length];
        OnEachPart(i => reports[i] = _parts[i].Advance());
        if (Frozen is { Count: > 0 } frozen && frozen.Count == Seeds.Count)
        {
            throw NumericalFailureException.OfAll(frozen);
        }

        return reports.Length == 1
            ? reports[0]
            : new MetaStepReport(
                reports[0].Steps,
                [.. Enumerable.Range(0, Metrics.Count).Select(m => reports.SelectMany(r => r.Values[m]).ToArray())]
            )
            {
                Weights = reports[0].Weights is null ? null : [.. reports.SelectMany(r => r.Weights!)],
            };
    }

    /// <inheritdoc/>
    public void Save(string path, string hostState)
    {
        using var scope = NewDisposeScope();
        var parts = Array.ConvertAll(_parts, p => p.Tensors());
        var sets = parts[0]
            .Keys.ToDictionary(name => name, name => Params.Concatenate([.. parts.Select(p => p[name])]));
        var state = new PopulationState(
            [.. _parts.SelectMany(p => p.Numbers().Streams)],
            [.. _parts.SelectMany(p => p.Numbers().Actions)],
            [.. _parts.SelectMany(p => p.Numbers().Contexts)],
            [.. Frozen],
            // None of those that normalise nothing.
            _parts
                .Select(p => p.Numbers().Normalizers)
                .Aggregate((all, next) => all is null ? next : [.. all, .. next!])
        );
        // Not disposed: its tensors belong to the scope.
        CheckpointFile.Write(path, new Checkpoint(Manifest(hostState, JsonSerializer.Serialize(state)), sets));
    }

    /// <inheritdoc/>
    public string Restore(string path)
    {
        using var checkpoint = CheckpointFile.Read(path);
        var manifest = checkpoint.Manifest;
        if (manifest.Experiment != _learners.Subject || !manifest.Seeds.SequenceEqual(Seeds))
        {
            throw new CheckpointException(
                $"{path}: expected a checkpoint of '{_learners.Subject}' with seeds {string.Join(", ", Seeds)}, found '{manifest.Experiment}' with seeds {string.Join(", ", manifest.Seeds)}."
            );
        }

        var check = new CheckpointCheck(checkpoint);
        check.RequireSettings(_learners.Configuration);
        check.RequireNetworks(_learners.Policy, _learners.ContextNetwork);
        check.RequireTensors(_parts[0].Layout(Seeds.Count, manifest.EnvironmentSteps > 0));
        var state = check.RequireState(_learners.HasContext, Unit);
        foreach (var part in _parts)
        {
            check.Take(() => part.Restore(checkpoint, state));
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
            if (_learners.Configuration.Device == DeviceKind.Cpu && get_num_threads() != 1)
            {
                set_num_threads(1);
            }

            action(part);
        }

        _lanes.Run(OneThreaded);
    }

    private CheckpointManifest Manifest(string hostState, string state)
    {
        return new CheckpointManifest
        {
            LibraryVersion = Bmg.Export.LibraryVersion.Current,
            Experiment = _learners.Subject,
            EnvironmentSteps = EnvironmentSteps,
            Seeds = [.. Seeds],
            Frozen = [.. Frozen.Select(mark => mark.Member)],
            Configuration = _learners.Configuration.ToJson(),
            Parts = [.. UsedPart.Of(_learners.Configuration).Select(part => part.ToString())],
            Policy = _learners.Policy,
            MetaNetwork = _learners.ContextNetwork,
            Host = hostState,
            State = state,
        };
    }
}
