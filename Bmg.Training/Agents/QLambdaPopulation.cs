using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Environments;
using static TorchSharp.torch;

namespace Bmg.Training.Agents;

/// <summary>
/// Q(λ) learners. The meta-learner is Bmg.Core's; its target bootstrap lets each member live its L steps on its own, while its state is in
/// cache, through <see cref="QLambdaKernel"/>. Tests hold it to the plain parts of Bmg.Core, step for step.
/// </summary>
internal sealed class QLambdaPopulation : IPopulation
{
    private const int StepsPerReport = 256;
    private const int StepsBetweenLooks = 1024;

    private readonly QLambdaAgent _agent;
    private readonly MetaLearner<Rollout> _metaLearner;
    private readonly int _first;
    private readonly int _window;
    private readonly float _discount;
    private readonly IWorlds _world;
    private readonly RecentContext? _context;
    private readonly PlainPolicy? _metaNetwork;
    private readonly float[] _scratch;
    private readonly Rng[] _actions;
    private readonly QLambdaKernel _kernel;
    private readonly QLambdaKernel.Pass[] _passes;
    private readonly double[] _rewards;
    private readonly double[] _epsilons;
    private readonly double[] _losses;
    private readonly Params _aim;
    private readonly MemberGuard _guard;
    private LearnerState _spare;
    private LearnerState _inUse;
    private MetaState<Rollout> _state;

    /// <summary>Members at the start of their lives.</summary>
    /// <param name="agent">What they are.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="context">What their meta-networks see; null for nothing.</param>
    /// <param name="first">Index of the first of them in the whole experiment.</param>
    public QLambdaPopulation(QLambdaAgent agent, IReadOnlyList<Seed> seeds, RecentContext? context, int first)
    {
        var configuration = agent.Configuration;
        Seed[] all = [.. seeds];
        _agent = agent;
        _first = first;
        _guard = new MemberGuard(all, first, configuration.Run.WhenNotFinite == NotFiniteKind.Freeze);
        _window = agent.Settings.TargetSteps;
        _discount = (float)agent.Settings.Discount;
        _world = Worlds.Create(configuration, seeds);
        _context = context;
        _metaNetwork = agent.MetaNetwork is { } network ? new PlainPolicy(network) : null;
        _scratch = new float[_metaNetwork is null ? 0 : 2 * _metaNetwork.WidestLayer];
        _actions = [.. seeds.Select(s => s.For("actions").Generator())];
        _kernel = new QLambdaKernel(agent.Learner, agent.Settings.Optimizer.As<AdamSettings>());
        _passes = [_kernel.NewPass(), _kernel.NewPass()];
        _rewards = new double[all.Length];
        _epsilons = new double[all.Length];
        _losses = new double[all.Length];
        _metaLearner = agent.MetaLearnerWith(
            TargetBootstrap<Rollout>.Create(
                QLambdaModule.target(_window).Name,
                (learner, _) =>
                {
                    var (next, aim, experience) = Live(learner);
                    return new Target<Rollout>(aim, next, experience);
                }
            )
        );
        _state = MetaLearner.init(
            _metaLearner,
            QLambdaModule.init(agent.Learner, agent.Settings.Initialization, all, ScalarType.Float32, CPU),
            _metaLearner.MetaParameters.Init.Invoke(all, ScalarType.Float32, CPU)
        );
        _aim = Like(_state.Learner.Parameters);
        _spare = new LearnerState(Like(_state.Learner.Parameters), Like(_state.Learner.Optimizer));
        _inUse = new LearnerState(Like(_state.Learner.Parameters), Like(_state.Learner.Optimizer));

        static Params Like(Params set) => ParamsModule.detachFromScope(set.Map(t => zeros_like(t)));
    }

    /// <inheritdoc/>
    public long EnvironmentSteps { get; private set; }

    /// <inheritdoc/>
    /// <remarks>None: acting and learning take turns at every step and are not told apart.</remarks>
    public long ActingTicks => 0;

    /// <inheritdoc/>
    public IEnumerable<FrozenMember> Frozen => _guard.Frozen;

    private int Members => _world.Members;

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => _world.Changes(after, until);

    /// <inheritdoc/>
    /// <remarks>
    /// Several meta-steps where they are short: populations wait for each other after every call. No more than the run still needs: a
    /// hundred updates in the next world are enough to unlearn the last.
    /// </remarks>
    public MetaStepReport Advance()
    {
        var left = (_agent.Configuration.EnvironmentSteps - EnvironmentSteps + _window - 1) / _window;
        var rounds = (int)Math.Clamp(left, 1, Math.Max(1, StepsPerReport / _window));
        var values = new double[_agent.Metrics.Count][];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = new double[Members];
        }

        for (var round = 0; round < rounds; round++)
        {
            var (objective, norm) = MetaStep();
            double[][] all = [_rewards, _epsilons, objective, norm, _losses];
            for (var i = 0; i < all.Length; i++)
            {
                // Rewards add up; of the others the report holds the mean.
                var share = i == 0 ? 1 : 1.0 / rounds;
                for (var member = 0; member < Members; member++)
                {
                    values[i][member] += share * all[i][member];
                }
            }
        }

        _guard.Silence(values);
        return new MetaStepReport(rounds * _window, values);
    }

    private (double[] Objective, double[] Norm) MetaStep()
    {
        double[] objective,
            norm;
        MetaState<Rollout> next;
        if (_agent.Configuration.Meta.Method == MetaMethod.Fixed)
        {
            using var scope = NewDisposeScope();
            var (learner, _, _) = Live(_state.Learner);
            next = new MetaState<Rollout>(
                new LearnerState(
                    ParamsModule.detachFromScope(learner.Parameters),
                    ParamsModule.detachFromScope(learner.Optimizer)
                ),
                _state.MetaParameters,
                _state.MetaOptimizer,
                _state.Pending
            );
            objective = norm = MemberValues.Nothing(Members);
        }
        else
        {
            (next, var log) = MetaLearner.step(
                _metaLearner,
                _state,
                (_, _) => throw new NotSupportedException("The target gathers its own experience."),
                _ => { }
            );
            objective = log.Objective;
            norm = log.MetaGradientNorm;
            _guard.Check("the meta-objective", objective, EnvironmentSteps);
            _guard.Check("the meta-gradient's norm", norm, EnvironmentSteps);
        }

        _guard.Check("the learner's loss", _losses, EnvironmentSteps);
        _guard.Keep(
            [
                ("the learner", next.Learner.Parameters, _state.Learner.Parameters),
                ("the learner's optimizer", next.Learner.Optimizer, _state.Learner.Optimizer),
                ("the meta-parameters", next.MetaParameters, _state.MetaParameters),
                ("the meta-optimizer", next.MetaOptimizer, _state.MetaOptimizer),
            ],
            EnvironmentSteps
        );
        for (var member = 0; member < Members && _context is not null; member++)
        {
            if (_guard.IsFrozen(member))
            {
                // What it saw last may be as wrong as the rest of it, and a checkpoint holds it; nobody looks at it any more.
                _context.SetState(member, new double[_context.GetState(member).Length]);
            }
        }

        Replace(next);
        return (objective, norm);
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, Params> Tensors() =>
        new Dictionary<string, Params>
        {
            ["learner"] = _state.Learner.Parameters,
            ["learnerOptimizer"] = _state.Learner.Optimizer,
            ["meta"] = _state.MetaParameters,
            ["metaOptimizer"] = _state.MetaOptimizer,
        };

    /// <inheritdoc/>
    public PopulationState Numbers()
    {
        var members = Enumerable.Range(0, Members);
        return new PopulationState(
            [.. members.Select(_world.SaveMember)],
            [.. members.Select(m => _actions[m].State)],
            _context is null ? [] : [.. members.Select(_context.GetState)],
            [.. _guard.Frozen]
        );
    }

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, TensorLayout[]> Layout(long members, bool begun) =>
        Tensors().ToDictionary(set => set.Key, set => TensorLayout.Of(set.Value, members));

    /// <inheritdoc/>
    public void Restore(Checkpoint checkpoint, PopulationState state)
    {
        Replace(
            new MetaState<Rollout>(
                new LearnerState(Own("learner"), Own("learnerOptimizer")),
                Own("meta"),
                Own("metaOptimizer"),
                _state.Pending
            )
        );
        EnvironmentSteps = checkpoint.Manifest.EnvironmentSteps;
        for (var member = 0; member < Members; member++)
        {
            _world.RestoreMember(member, state.Worlds[_first + member]);
            _actions[member].State = state.Actions[_first + member];
            _context?.SetState(member, state.Contexts[_first + member]);
        }

        _guard.Restore(state.Frozen ?? []);

        Params Own(string set) => MemberValues.Own(checkpoint, set, _first, Members, CPU);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _state.Learner.Dispose();
        ParamsModule.dispose(_state.MetaParameters);
        ParamsModule.dispose(_state.MetaOptimizer);
        ParamsModule.dispose(_aim);
        _spare.Dispose();
        _inUse.Dispose();
    }

    /// <summary>Lets every member live L steps, an update after each; see QLambda.target of Bmg.Core.</summary>
    /// <returns>The learner after L updates, the parameters after L − 1, and the L steps.</returns>
    private (LearnerState Learner, Params Aim, Experience<Rollout> Experience) Live(LearnerState start)
    {
        // Handles of their own on memory that is used in turn: the state that was is read until the one after it is written.
        (_spare, _inUse) = (_inUse, _spare);
        var next = new LearnerState(_inUse.Parameters.Map(t => t.alias()), _inUse.Optimizer.Map(t => t.alias()));
        var aim = _aim.Map(t => t.alias());
        var width = _world.Description.ObservationSize;
        var observations = empty([Members, _window + 1, width], dtype: ScalarType.Float32);
        var actions = empty([Members, _window], dtype: ScalarType.Int64);
        var rewards = empty([Members, _window], dtype: ScalarType.Float32);
        var contexts = _context is null ? null : empty([Members, _window, _context.Size], dtype: ScalarType.Float32);
        var policy = _metaNetwork?.Bind(_state.MetaParameters);
        var constant = policy is null ? ConstantEpsilon() : [];
        var from = _kernel.Bind(start);
        var to = _kernel.Bind(next);
        var seen = TensorMemory.Elements<float>(observations);
        var done = TensorMemory.Elements<long>(actions);
        var earned = TensorMemory.Elements<float>(rewards);
        var known = contexts is null ? [] : TensorMemory.Elements<float>(contexts);
        Span<double> features = stackalloc double[3];
        Span<float> raw = stackalloc float[1];
        for (var member = 0; member < Members; member++)
        {
            var here = _passes[0];
            var there = _passes[1];
            double epsilons = 0,
                sum = 0,
                loss = 0;
            var rows = seen.Slice(member * (_window + 1) * width, (_window + 1) * width);
            if (_guard.IsFrozen(member))
            {
                // It neither acts nor learns: experience of zeros, and what it was.
                rows.Clear();
                done.Slice(member * _window, _window).Clear();
                earned.Slice(member * _window, _window).Clear();
                (
                    _context is null ? [] : known.Slice(member * _window * _context.Size, _window * _context.Size)
                ).Clear();
                Copy(start.Parameters, next.Parameters, member);
                Copy(start.Optimizer, next.Optimizer, member);
                Copy(start.Parameters, aim, member);
                continue;
            }

            _world.Observe(member, rows[..width]);
            for (var t = 0; t < _window; t++)
            {
                if (t % StepsBetweenLooks == 0)
                {
                    _agent.Stop.ThrowIfCancellationRequested();
                }

                // The first step goes from the learner that was to a new one, which later steps change in place.
                var now = t == 0 ? from : to;
                if (t == _window - 1)
                {
                    Copy(t == 0 ? start.Parameters : next.Parameters, aim, member);
                }

                double epsilon;
                if (policy is { } bound)
                {
                    var context = known.Slice((member * _window + t) * _context!.Size, _context.Size);
                    _context.Write(member, context);
                    bound.Apply(member, context, raw, _scratch);
                    var (low, high) = _agent.Bounds;
                    epsilon = low + (high - low) / (1 + Math.Exp(-raw[0]));
                }
                else
                {
                    epsilon = constant[member];
                }

                _kernel.Forward(now, member, rows.Slice(t * width, width), here);
                var greedy = here.Greedy();
                var value = here.Outputs;
                var action = _actions[member].NextDouble() < epsilon ? _actions[member].Next(value.Length) : greedy;
                var reward = _world.Act(member, action);
                var reached = rows.Slice((t + 1) * width, width);
                _world.Observe(member, reached);
                _kernel.Forward(now, member, reached, there);
                features[0] = reward;
                features[1] = value[action];
                var error = _kernel.Learn(now, to, member, here, action, reward, _discount, there.Best);
                features[2] = error;
                _context?.AddEach(member, features[.._context.Features]);
                done[member * _window + t] = action;
                earned[member * _window + t] = reward;
                epsilons += epsilon;
                sum += reward;
                loss += 0.5 * error * error;
            }

            _rewards[member] = sum;
            _epsilons[member] = epsilons / _window;
            _losses[member] = loss / _window;
        }

        EnvironmentSteps += _window;
        return (next, aim, new Experience<Rollout>(Rollout.Create(observations, actions, rewards), contexts));
    }

    /// <summary>ε of each member where it depends on no context.</summary>
    private double[] ConstantEpsilon()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var hyper = _agent.MetaParameters.Apply.Invoke(_state.MetaParameters, null);
        return [.. hyper[QLambdaModule.Epsilon].data<float>().Select(v => (double)v)];
    }

    /// <summary>Copies one member's parameters.</summary>
    private static void Copy(Params source, Params goal, int member)
    {
        foreach (var name in source.Names)
        {
            var from = TensorMemory.Elements<float>(source[name]);
            var size = from.Length / (int)source.Members;
            from.Slice(member * size, size).CopyTo(TensorMemory.Elements<float>(goal[name]).Slice(member * size, size));
        }
    }

    /// <summary>Takes the place of the state, freeing what the new one does not share.</summary>
    private void Replace(MetaState<Rollout> next)
    {
        _state.Learner.Dispose();
        if (!ReferenceEquals(_state.MetaParameters, next.MetaParameters))
        {
            ParamsModule.dispose(_state.MetaParameters);
            ParamsModule.dispose(_state.MetaOptimizer);
        }

        _state = next;
    }
}
