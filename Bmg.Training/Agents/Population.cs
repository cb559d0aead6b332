using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using static TorchSharp.torch;

namespace Bmg.Training.Agents;

/// <summary>Actor-critics that learn in one batch.</summary>
internal sealed class Population : IPopulation
{
    private readonly ActorCriticAgent _agent;
    private readonly int _first;
    private readonly Streams _streams;
    private readonly EpisodeTally _episodes;
    private readonly RecentContext? _context;
    private readonly RolloutCollector _collector;
    private readonly Device _device;
    private readonly MemberGuard _guard;
    private readonly Normalizer? _normalizer;
    private readonly StepMemory? _steps;
    private MetaState<Rollout> _state;
    private Tensor? _lastContext;

    /// <summary>Members at the start of their lives.</summary>
    /// <param name="agent">What they are.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="context">What their meta-networks see; null for nothing.</param>
    /// <param name="first">Index of the first of them in the whole experiment.</param>
    public Population(ActorCriticAgent agent, IReadOnlyList<Seed> seeds, RecentContext? context, int first)
    {
        var configuration = agent.Configuration;
        Seed[] all = [.. seeds];
        _agent = agent;
        _first = first;
        _device = configuration.Device == DeviceKind.Cuda ? CUDA : CPU;
        _streams = new Streams(configuration, seeds, agent.Settings.Copies, first);
        _episodes = new EpisodeTally(_streams);
        _context = context;
        _guard = new MemberGuard(all, first, configuration.Run.WhenNotFinite == NotFiniteKind.Freeze);
        _normalizer =
            agent.Settings.NormalizeObservations || agent.Settings.NormalizeRewards
                ? new Normalizer(
                    seeds.Count,
                    agent.Settings.Copies,
                    agent.World.Observation.Size,
                    agent.Settings.NormalizeObservations,
                    agent.Settings.NormalizeRewards,
                    agent.Settings.Discount
                )
                : null;
        var start = Start(agent, all, _device);
        _steps = agent.Features.Any(feature => feature.ComparesSteps) ? new StepMemory(start) : null;
        _collector = new RolloutCollector(
            _streams,
            agent.Networks,
            seeds,
            agent.Settings.RolloutLength,
            agent.Settings.Discount,
            _context,
            _device
        )
        {
            Stop = agent.Stop,
            Guard = _guard,
            RewardScale = agent.Settings.RewardScale,
            Normalizer = _normalizer,
            Features = agent.Features,
            Steps = _steps,
        };
        _state = agent.MetaLearner.Init(
            start,
            agent.MetaLearner.MetaParameters.Init.Invoke(all, ScalarType.Float32, _device)
        );
    }

    /// <summary>Parameters at the start of their lives.</summary>
    private static Params Start(ActorCriticAgent agent, Seed[] seeds, Device device)
    {
        var x = agent.Networks.Init(agent.Settings.Initialization, seeds, ScalarType.Float32, device);
        if (agent.Settings.PolicyGain != 1)
        {
            using var scope = NewDisposeScope();
            using var noGrad = no_grad();
            var policy = agent.Networks.Policy;
            x[policy.WeightName(policy.Layers.Length - 1)].mul_(agent.Settings.PolicyGain);
        }

        return x;
    }

    /// <inheritdoc/>
    public long EnvironmentSteps => _collector.EnvironmentSteps;

    /// <inheritdoc/>
    public long ActingTicks => _collector.Ticks;

    /// <inheritdoc/>
    public IEnumerable<FrozenMember> Frozen => _guard.Frozen;

    private int Members => _streams.Members;

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => _streams.Changes(after, until);

    /// <inheritdoc/>
    public MetaStepReport Advance()
    {
        var before = EnvironmentSteps;
        var (next, log) = _agent.MetaLearner.Step(_state, Collect, Keep);
        _guard.Check("the meta-objective", log.MetaObjective, EnvironmentSteps);
        _guard.Check("the meta-gradient's norm", log.MetaGradientNorm, EnvironmentSteps);
        foreach (var loss in log.Losses)
        {
            _guard.Check("the learner's loss", loss, EnvironmentSteps);
        }

        _guard.Keep(
            [
                ("the learner", next.Learner.Parameters, _state.Learner.Parameters),
                ("the learner's optimizer", next.Learner.Optimizer, _state.Learner.Optimizer),
                ("the meta-parameters", next.MetaParameters, _state.MetaParameters),
                ("the meta-optimizer", next.MetaOptimizer, _state.MetaOptimizer),
            ],
            EnvironmentSteps
        );
        ForgetContexts();
        Release(_state, next);
        _state = next;
        double[][] values =
        [
            _collector.TakeRewards(),
            .. CurrentHyperParameters(),
            MemberValues.OrNothing(log.MetaObjective, Members),
            MemberValues.OrNothing(log.MetaGradientNorm, Members),
            MemberValues.MeanOverSteps(log.Losses, Members),
            .. _episodes.Take(out var weights),
        ];
        _guard.Silence(values);
        return new MetaStepReport((int)(EnvironmentSteps - before), values) { Weights = weights };
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, Params> Tensors()
    {
        var sets = new Dictionary<string, Params>
        {
            ["learner"] = _state.Learner.Parameters,
            ["learnerOptimizer"] = _state.Learner.Optimizer,
            ["meta"] = _state.MetaParameters,
            ["metaOptimizer"] = _state.MetaOptimizer,
        };
        if (_state.Pending is { } pending)
        {
            sets["pending"] = pending.Data.ToParams();
        }

        if (_lastContext is not null)
        {
            sets["context"] = Params.Single("context", _lastContext);
        }

        if (_normalizer?.Applied is { } applied)
        {
            sets[NormalizationDescription.Set] = applied;
        }

        if (_steps is not null)
        {
            sets[StepMemory.Set] = _steps.ToParams();
        }

        return sets;
    }

    /// <inheritdoc/>
    public PopulationState Numbers()
    {
        var members = Enumerable.Range(0, Members);
        return new PopulationState(
            [.. members.Select(_streams.Save)],
            [.. members.Select(_collector.GetActionStates)],
            _context is null ? [] : [.. members.Select(_context.GetState)],
            [.. _guard.Frozen],
            _normalizer is null ? null : [.. members.Select(_normalizer.Save)]
        );
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorLayout[]> Layout(long members, bool begun)
    {
        var sets = new Dictionary<string, TensorLayout[]>
        {
            ["learner"] = TensorLayout.Of(_state.Learner.Parameters, members),
            ["learnerOptimizer"] = TensorLayout.Of(_state.Learner.Optimizer, members),
            ["meta"] = TensorLayout.Of(_state.MetaParameters, members),
            ["metaOptimizer"] = TensorLayout.Of(_state.MetaOptimizer, members),
        };
        if (begun && _agent.Configuration.Meta.Method == MetaMethod.Mg)
        {
            // The rollout that the outer loss was taken on is the next meta-step's first.
            sets["pending"] = [.. _collector.Layout(members)];
        }

        if (begun && _context is not null)
        {
            sets["context"] = [TensorLayout.Of("context", ScalarType.Float32, members, _context.Size)];
        }

        if (_normalizer?.Applied is { } applied)
        {
            sets[NormalizationDescription.Set] = TensorLayout.Of(applied, members);
        }

        if (_steps is not null)
        {
            sets[StepMemory.Set] = TensorLayout.Of(_steps.ToParams(), members);
        }

        return sets;
    }

    /// <inheritdoc/>
    public void Restore(Checkpoint checkpoint, PopulationState state)
    {
        RequireActions(checkpoint);
        Release(_state, null);
        _lastContext?.Dispose();
        _lastContext = checkpoint.Sets.ContainsKey("context") ? Own(checkpoint, "context")["context"] : null;
        Experience<Rollout>? pending = null;
        if (checkpoint.Sets.ContainsKey("pending"))
        {
            pending = new Experience<Rollout>(
                Rollout.OfParams(Own(checkpoint, "pending")),
                _lastContext?.alias().DetachFromDisposeScope()
            );
        }

        _state = new MetaState<Rollout>(
            new LearnerState(Own(checkpoint, "learner"), Own(checkpoint, "learnerOptimizer")),
            Own(checkpoint, "meta"),
            Own(checkpoint, "metaOptimizer"),
            pending
        );
        _steps?.Restore(Own(checkpoint, StepMemory.Set));
        _collector.Restore(checkpoint.Manifest.EnvironmentSteps, state.Actions.AsSpan(_first, Members));
        for (var member = 0; member < Members; member++)
        {
            _streams.Restore(member, state.Streams[_first + member]);
            _context?.SetState(member, state.Contexts[_first + member]);
            _normalizer?.Restore(
                member,
                state.Normalizers?.ElementAtOrDefault(_first + member),
                Applied(checkpoint, member)
            );
        }

        _guard.Restore(state.Frozen ?? []);
    }

    /// <summary>What a checkpoint says is applied to a member's observations.</summary>
    private (float[] Mean, float[] Scale)? Applied(Checkpoint checkpoint, int member)
    {
        if (_normalizer?.Applied is null)
        {
            return null;
        }

        var set = checkpoint.Set(NormalizationDescription.Set);
        float[] Row(string name)
        {
            using var row = set[name][_first + member];
            return row.data<float>().ToArray();
        }

        return (Row(NormalizationDescription.Mean), Row(NormalizationDescription.Scale));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _streams.Dispose();
        _normalizer?.Dispose();
        _steps?.Dispose();
        Release(_state, null);
        _lastContext?.Dispose();
    }

    /// <summary>Refuses actions that there are none of: they are indices into what the networks put out.</summary>
    private void RequireActions(Checkpoint checkpoint)
    {
        var space = _streams.Description.Actions;
        if (space.DiscreteCount > 0 && checkpoint.Sets.TryGetValue("pending", out var pending))
        {
            var actions = pending["actions"].data<long>().ToArray();
            for (var i = 0; i < actions.Length; i++)
            {
                var count = space.ChoicesOf(i % space.DiscreteCount);
                if (actions[i] < 0 || actions[i] >= count)
                {
                    throw new ArgumentException(
                        $"'pending/actions' has action {actions[i]}, expected 0 … {count - 1}."
                    );
                }
            }
        }
    }

    private Params Own(Checkpoint checkpoint, string set) =>
        MemberValues.Own(checkpoint, set, _first, Members, _device);

    private Experience<Rollout> Collect(Params x, Params w)
    {
        var experience = _agent.MetaNetwork is null ? _collector.Collect(x) : _collector.Collect(x, () => Given(w));
        if (experience.Context is { } context)
        {
            _lastContext?.Dispose();
            _lastContext = context.alias().DetachFromDisposeScope();
        }

        return experience;
    }

    /// <summary>What a frozen member saw last may be as wrong as the rest of it, and a checkpoint holds it; nobody looks at it any more.</summary>
    private void ForgetContexts()
    {
        if (_context is null)
        {
            return;
        }

        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        for (var member = 0; member < Members; member++)
        {
            if (_guard.IsFrozen(member))
            {
                _context.SetState(member, new double[_context.GetState(member).Length]);
                _lastContext?[member].zero_();
                _steps?.Forget(member);
            }
        }
    }

    /// <summary>Takes a rollout that outlives its meta-step out of the meta-step's scope.</summary>
    private static void Keep(Experience<Rollout> experience)
    {
        experience.Data.ToParams().DetachFromScope();
        experience.Context?.DetachFromDisposeScope();
    }

    private static void Release(MetaState<Rollout> state, MetaState<Rollout>? next) =>
        MemberValues.Release(state, next);

    /// <summary>What meta-parameters give in the latest context, [member][hyper-parameter]; before there was one, in one of zeros.</summary>
    private double[][] Given(Params w)
    {
        using var scope = NewDisposeScope();
        var byName = HyperParametersIn(
            w,
            _lastContext ?? zeros([Members, _context!.Size], dtype: ScalarType.Float32, device: _device)
        );
        return [.. Enumerable.Range(0, Members).Select(m => byName.Select(values => values[m]).ToArray())];
    }

    /// <summary>The hyper-parameters that the meta-parameters give in the latest context, in the agent's order.</summary>
    private double[][] CurrentHyperParameters() => HyperParametersIn(_state.MetaParameters, _lastContext);

    /// <summary>What meta-parameters give in a context, [hyper-parameter][member], in the agent's order.</summary>
    private double[][] HyperParametersIn(Params w, Tensor? context)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var hyper = _agent.MetaLearner.MetaParameters.Apply.Invoke(w, context);
        return
        [
            .. _agent.HyperOutputs.Select(each =>
                hyper[each.Name].cpu().data<float>().Select(v => (double)v).ToArray()
            ),
        ];
    }
}
