using System.Text.Json;
using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using static TorchSharp.torch;

namespace Bmg.Training.Experiments;

/// <summary>
/// The two-colors study's actor-critic (Flennerhag et al. 2022, section 5.1; Luketina et al. 2022): a population that meta-learns the
/// weight of its entropy term while it acts.
/// </summary>
public sealed class TwoColorsExperiment : IExperiment
{
    private readonly RunConfiguration _configuration;
    private readonly ActorCriticAgent _agent;
    private readonly TwoColors _world;
    private readonly RewardContext? _context;
    private readonly RolloutCollector _collector;
    private readonly Device _device;
    private MetaState<Rollout> _state;
    private Tensor? _lastContext;

    /// <summary>A population at the start of its life.</summary>
    public TwoColorsExperiment(RunConfiguration configuration, DerivedSettings derived)
        : this(configuration, derived, ActorCriticAgent.Create(configuration, derived)) { }

    /// <summary>A population of an agent that was made elsewhere.</summary>
    public TwoColorsExperiment(RunConfiguration configuration, DerivedSettings derived, ActorCriticAgent agent)
    {
        _configuration = configuration;
        Seeds = derived.Seeds;
        _device = configuration.Device == DeviceKind.Cuda ? CUDA : CPU;
        if (get_num_threads() != derived.Threads)
        {
            set_num_threads(derived.Threads);
        }

        _agent = agent;
        Seed[] seeds = [.. derived.Seeds.Select(Seed.Of)];
        _world = new TwoColors(seeds, configuration.Environment.Respawn, configuration.Environment.SwapPeriod);
        _context = _agent.HasContext
            ? new RewardContext(seeds.Length, configuration.Meta.ContextLength, configuration.Meta.ContextScaling)
            : null;
        _collector = new RolloutCollector(
            _world,
            _agent.Networks,
            seeds,
            configuration.Learner.RolloutLength,
            configuration.Learner.Discount,
            _context,
            _device,
            derived.Threads
        );
        _state = MetaLearner.init(
            _agent.MetaLearner,
            ActorCriticModule.init(_agent.Networks, _agent.Initialization, seeds, ScalarType.Float32, _device),
            _agent.MetaLearner.MetaParameters.Init.Invoke(seeds, ScalarType.Float32, _device)
        );
    }

    /// <inheritdoc/>
    public IReadOnlyList<long> Seeds { get; }

    /// <inheritdoc/>
    public long EnvironmentSteps => _collector.EnvironmentSteps;

    /// <summary>Time spent acting so far, in stopwatch ticks.</summary>
    public long ActingTicks => _collector.Ticks;

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
    public IReadOnlyList<long> Changes(long after, long until) => _world.Swaps(after, until);

    /// <inheritdoc/>
    public MetaStepReport Advance()
    {
        var before = _collector.EnvironmentSteps;
        var (next, log) = MetaLearner.step(_agent.MetaLearner, _state, (x, _) => Collect(x), Keep);
        Release(_state, next);
        _state = next;
        double[][] values =
        [
            _collector.TakeRewards(),
            CurrentEntropyWeight(),
            OrNothing(log.Objective),
            OrNothing(log.MetaGradientNorm),
            MeanOverSteps(log.Losses),
        ];
        RequireFinite("the meta-objective", log.Objective);
        RequireFinite("the meta-gradient's norm", log.MetaGradientNorm);
        foreach (var loss in log.Losses)
        {
            RequireFinite("the learner's loss", loss);
        }

        return new MetaStepReport((int)(_collector.EnvironmentSteps - before), values);
    }

    /// <inheritdoc/>
    public void Save(string path, string hostState)
    {
        var members = Enumerable.Range(0, _world.Members);
        var state = new SavedState(
            [.. members.Select(_world.GetState)],
            [.. members.Select(_collector.GetActionState)],
            _context is null ? [] : [.. members.Select(_context.GetState)]
        );
        var sets = new Dictionary<string, Params>
        {
            ["learner"] = _state.Learner.Parameters,
            ["learnerOptimizer"] = _state.Learner.Optimizer,
            ["meta"] = _state.MetaParameters,
            ["metaOptimizer"] = _state.MetaOptimizer,
        };
        if (_state.Pending.IsSome)
        {
            sets["pending"] = _state.Pending.Value.Data.ToParams();
        }

        if (_lastContext is not null)
        {
            sets["context"] = Params.Single("context", _lastContext);
        }

        // Not disposed: the tensors stay the experiment's own.
        var checkpoint = new Checkpoint(Manifest(hostState, JsonSerializer.Serialize(state)), sets);
        CheckpointFile.Write(path, checkpoint);
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
            JsonSerializer.Deserialize<SavedState>(manifest.State)
            ?? throw new CheckpointException($"{path}: expected the state of the worlds, found nothing.");
        Release(_state, null);
        Experience<Rollout>? pending = null;
        _lastContext?.Dispose();
        _lastContext = checkpoint.Sets.ContainsKey("context") ? Own(checkpoint.Set("context"))["context"] : null;
        if (checkpoint.Sets.ContainsKey("pending"))
        {
            var rollout = Rollout.OfParams(Own(checkpoint.Set("pending")));
            rollout.Discounts.Dispose();
            pending = new Experience<Rollout>(
                new Rollout(rollout.Observations, rollout.Actions, rollout.Rewards, _collector.Discounts),
                _lastContext?.alias().DetachFromDisposeScope()
            );
        }

        _state = new MetaState<Rollout>(
            new LearnerState(Own(checkpoint.Set("learner")), Own(checkpoint.Set("learnerOptimizer"))),
            Own(checkpoint.Set("meta")),
            Own(checkpoint.Set("metaOptimizer")),
            pending is null
                ? Microsoft.FSharp.Core.FSharpValueOption<Experience<Rollout>>.None
                : Microsoft.FSharp.Core.FSharpValueOption<Experience<Rollout>>.Some(pending)
        );
        _collector.Restore(manifest.EnvironmentSteps, state.Actions);
        for (var member = 0; member < _world.Members; member++)
        {
            _world.SetState(member, state.Worlds[member]);
            _context?.SetState(member, state.Contexts[member]);
        }

        return manifest.Host;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Release(_state, null);
        _lastContext?.Dispose();
        _collector.Dispose();
    }

    private const string ExperimentName = "two-colors";

    private sealed record SavedState(TwoColorsState[] Worlds, ulong[] Actions, double[][] Contexts);

    private Params Own(Params read) =>
        ParamsModule.detachFromScope(read.Map(t => t.device_type == _device.type ? t.clone() : t.to(_device)));

    private Experience<Rollout> Collect(Params x)
    {
        var experience = _collector.Collect(x);
        if (experience.Context is { } context)
        {
            _lastContext?.Dispose();
            _lastContext = context.alias().DetachFromDisposeScope();
        }

        return experience;
    }

    /// <summary>Takes a rollout that outlives its meta-step out of the meta-step's scope.</summary>
    private static void Keep(Experience<Rollout> experience)
    {
        ParamsModule.detachFromScope(experience.Data.ToParams());
        experience.Context?.DetachFromDisposeScope();
    }

    /// <summary>Frees a state that is superseded by <paramref name="next"/>, but for what the two share.</summary>
    private static void Release(MetaState<Rollout> state, MetaState<Rollout>? next)
    {
        state.Learner.Dispose();
        if (!ReferenceEquals(state.MetaParameters, next?.MetaParameters))
        {
            ParamsModule.dispose(state.MetaParameters);
            ParamsModule.dispose(state.MetaOptimizer);
        }

        if (state.Pending.IsSome)
        {
            // Learned from by now. The discounts are the collector's own, shared by all rollouts.
            var experience = state.Pending.Value;
            experience.Data.Observations.Dispose();
            experience.Data.Actions.Dispose();
            experience.Data.Rewards.Dispose();
            experience.Context?.Dispose();
        }
    }

    /// <summary>The entropy weight that the meta-parameters give in the latest context.</summary>
    private double[] CurrentEntropyWeight()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var hyper = _agent.MetaLearner.MetaParameters.Apply.Invoke(_state.MetaParameters, _lastContext);
        var weights = hyper[ActorCriticModule.EntropyWeight].cpu();
        return [.. weights.data<float>().Select(v => (double)v)];
    }

    private double[] OrNothing(double[] values)
    {
        if (values.Length == _world.Members)
        {
            return values;
        }

        var nothing = new double[_world.Members];
        Array.Fill(nothing, double.NaN);
        return nothing;
    }

    private double[] MeanOverSteps(double[][] losses)
    {
        var mean = new double[_world.Members];
        foreach (var step in losses)
        {
            for (var member = 0; member < mean.Length; member++)
            {
                mean[member] += step[member] / losses.Length;
            }
        }

        return mean;
    }

    private void RequireFinite(string quantity, double[] values)
    {
        var member = Array.FindIndex(values, v => !double.IsFinite(v));
        if (member >= 0)
        {
            throw new NumericalFailureException(quantity, member, EnvironmentSteps, values[member]);
        }
    }

    private CheckpointManifest Manifest(string hostState, string state)
    {
        var network = _agent.MetaLearner.MetaParameters.Network;
        var weight = _configuration.Meta.EntropyWeight;
        return new CheckpointManifest
        {
            LibraryVersion = typeof(MetaState<>).Assembly.GetName().Version?.ToString(3) ?? "unknown",
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
