using System.Numerics.Tensors;
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
    private readonly Streams _streams;
    private readonly EpisodeTally _episodes;
    private readonly bool _bytes;
    private readonly float[][] _seen;
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
        _streams = new Streams(configuration, seeds, 1, first);
        _episodes = new EpisodeTally(_streams);
        _bytes = _streams.Description.Observation.Kind == ObservationKind.Bytes;
        _seen = [new float[_streams.Description.Observation.Size], new float[_streams.Description.Observation.Size]];
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
                QLambda.Target(_window).Name,
                (learner, _) =>
                {
                    var (next, aim, experience) = Live(learner);
                    return new Target<Rollout>(aim, next, experience);
                }
            )
        );
        _state = _metaLearner.Init(
            agent.Learner.Init(agent.Settings.Initialization, all, ScalarType.Float32, CPU),
            _metaLearner.MetaParameters.Init.Invoke(all, ScalarType.Float32, CPU)
        );
        _aim = Like(_state.Learner.Parameters);
        _spare = new LearnerState(Like(_state.Learner.Parameters), Like(_state.Learner.Optimizer));
        _inUse = new LearnerState(Like(_state.Learner.Parameters), Like(_state.Learner.Optimizer));

        static Params Like(Params set) => set.Map(t => zeros_like(t)).DetachFromScope();
    }

    /// <inheritdoc/>
    public long EnvironmentSteps { get; private set; }

    /// <inheritdoc/>
    /// <remarks>None: acting and learning take turns at every step and are not told apart.</remarks>
    public long ActingTicks => 0;

    /// <inheritdoc/>
    public IEnumerable<FrozenMember> Frozen => _guard.Frozen;

    /// <summary>Numbers that a meta-step reports beside those of episodes.</summary>
    private const int Reported = 5;

    private int Members => _streams.Members;

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => _streams.Changes(after, until);

    /// <inheritdoc/>
    /// <remarks>
    /// Several meta-steps where they are short: populations wait for each other after every call. No more than the run still needs: a
    /// hundred updates in the next world are enough to unlearn the last.
    /// </remarks>
    public MetaStepReport Advance()
    {
        var left = (_agent.Configuration.EnvironmentSteps - EnvironmentSteps + _window - 1) / _window;
        var rounds = (int)Math.Clamp(left, 1, Math.Max(1, StepsPerReport / _window));
        var values = new double[Reported][];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = new double[Members];
        }

        for (var round = 0; round < rounds; round++)
        {
            var (metaObjective, norm) = MetaStep();
            double[][] found = [_rewards, _epsilons, metaObjective, norm, _losses];
            for (var i = 0; i < found.Length; i++)
            {
                // Rewards add up; of the others the report holds the mean.
                var share = i == 0 ? 1 : 1.0 / rounds;
                for (var member = 0; member < Members; member++)
                {
                    values[i][member] += share * found[i][member];
                }
            }
        }

        double[][] all = [.. values, .. _episodes.Take(out var weights)];
        _guard.Silence(all);
        return new MetaStepReport(rounds * _window, all) { Weights = weights };
    }

    private (double[] MetaObjective, double[] Norm) MetaStep()
    {
        double[] metaObjective,
            norm;
        MetaState<Rollout> next;
        if (_agent.Configuration.Meta.Method == MetaMethod.Fixed)
        {
            using var scope = NewDisposeScope();
            var (learner, _, _) = Live(_state.Learner);
            next = new MetaState<Rollout>(
                new LearnerState(learner.Parameters.DetachFromScope(), learner.Optimizer.DetachFromScope()),
                _state.MetaParameters,
                _state.MetaOptimizer,
                _state.Pending
            );
            metaObjective = norm = MemberValues.Nothing(Members);
        }
        else
        {
            (next, var log) = _metaLearner.Step(
                _state,
                (_, _) => throw new NotSupportedException("The target gathers its own experience."),
                _ => { }
            );
            metaObjective = log.MetaObjective;
            norm = log.MetaGradientNorm;
            _guard.Check("the meta-objective", metaObjective, EnvironmentSteps);
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
        return (metaObjective, norm);
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
            [.. members.Select(_streams.Save)],
            [.. members.Select(m => new[] { _actions[m].State })],
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
            _streams.Restore(member, state.Streams[_first + member]);
            _actions[member].State = state.Actions[_first + member] is [var action]
                ? action
                : throw new ArgumentException(
                    $"QLambdaPopulation: expected one state of an action stream a member, found {state.Actions[_first + member].Length}."
                );
            _context?.SetState(member, state.Contexts[_first + member]);
        }

        _guard.Restore(state.Frozen ?? []);

        Params Own(string set) => MemberValues.Own(checkpoint, set, _first, Members, CPU);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _streams.Dispose();
        _state.Learner.Dispose();
        _state.MetaParameters.Dispose();
        _state.MetaOptimizer.Dispose();
        _aim.Dispose();
        _spare.Dispose();
        _inUse.Dispose();
    }

    /// <summary>Lets every member live L steps, an update after each; see QLambda.Target of Bmg.Core.</summary>
    /// <returns>The learner after L updates, the parameters after L − 1, and the L steps.</returns>
    private (LearnerState Learner, Params Aim, Experience<Rollout> Experience) Live(LearnerState start)
    {
        // Handles of their own on memory that is used in turn: the state that was is read until the one after it is written.
        (_spare, _inUse) = (_inUse, _spare);
        var next = new LearnerState(_inUse.Parameters.Map(t => t.alias()), _inUse.Optimizer.Map(t => t.alias()));
        var aim = _aim.Map(t => t.alias());
        var width = _streams.Description.Observation.Size;
        var observations = zeros([Members, _window + 1, width], dtype: _bytes ? ScalarType.Byte : ScalarType.Float32);
        var actions = zeros([Members, _window], dtype: ScalarType.Int64);
        var rewards = zeros([Members, _window], dtype: ScalarType.Float32);
        var ends = _streams.Description.Ends;
        var terminated = ends ? zeros_like(rewards) : null;
        var truncated = ends ? zeros_like(rewards) : null;
        var valid = ends ? zeros_like(rewards) : null;
        var contexts = _context is null ? null : zeros([Members, _window, _context.Size], dtype: ScalarType.Float32);
        var policy = _metaNetwork?.Bind(_state.MetaParameters);
        var constant = policy is null ? ConstantEpsilon() : [];
        var from = _kernel.Bind(start);
        var to = _kernel.Bind(next);
        var done = TensorMemory.Elements<long>(actions);
        var earned = TensorMemory.Elements<float>(rewards);
        var known = contexts is null ? [] : TensorMemory.Elements<float>(contexts);
        Span<double> features = stackalloc double[3];
        Span<float> raw = stackalloc float[1];
        Span<int> chosen = stackalloc int[1];
        for (var member = 0; member < Members; member++)
        {
            if (_guard.IsFrozen(member))
            {
                // It neither acts nor learns: experience of zeros, and what it was.
                Copy(start.Parameters, next.Parameters, member);
                Copy(start.Optimizer, next.Optimizer, member);
                Copy(start.Parameters, aim, member);
                continue;
            }

            var here = _passes[0];
            var there = _passes[1];
            double epsilons = 0,
                sum = 0,
                loss = 0;
            var lived = 0;
            Note(observations, member, 0);
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
                    var (low, high) = (_agent.HyperOutputs[0].Low, _agent.HyperOutputs[0].High);
                    epsilon = low + (high - low) / (1 + Math.Exp(-raw[0]));
                }
                else
                {
                    epsilon = constant[member];
                }

                epsilons += epsilon;
                if (_streams.HasEnded(member, 0))
                {
                    // Between two episodes: nothing is done and nothing is learned.
                    if (t == 0)
                    {
                        Copy(start.Parameters, next.Parameters, member);
                        Copy(start.Optimizer, next.Optimizer, member);
                    }

                    _ = _streams.Step(member, 0, default);
                    Note(observations, member, t + 1);
                    continue;
                }

                _kernel.Forward(now, member, Seen(member, 0), here);
                var greedy = here.Greedy();
                var value = here.Outputs;
                var action = _actions[member].NextDouble() < epsilon ? _actions[member].Next(value.Length) : greedy;
                chosen[0] = action;
                var result = _streams.Step(member, 0, EnvironmentAction.Of(chosen)).Result;
                Note(observations, member, t + 1);
                _kernel.Forward(now, member, Seen(member, 1), there);
                features[0] = result.Reward;
                features[1] = value[action];
                var error = _kernel.Learn(
                    now,
                    to,
                    member,
                    here,
                    action,
                    result.Reward,
                    result.Terminated ? 0 : _discount,
                    there.Best,
                    result.Ended
                );
                features[2] = error;
                _context?.AddEach(member, features[.._context.Features]);
                var at = member * _window + t;
                done[at] = action;
                earned[at] = result.Reward;
                if (ends)
                {
                    TensorMemory.Elements<float>(valid!)[at] = 1;
                    TensorMemory.Elements<float>(terminated!)[at] = result.Terminated ? 1 : 0;
                    TensorMemory.Elements<float>(truncated!)[at] = result.Truncated ? 1 : 0;
                }

                sum += result.Reward;
                loss += 0.5 * error * error;
                lived++;
            }

            _rewards[member] = sum;
            _epsilons[member] = epsilons / _window;
            _losses[member] = loss / Math.Max(1, lived);
        }

        EnvironmentSteps += _window;
        var rollout = Rollout.Create(observations, actions, rewards);
        return (
            next,
            aim,
            new Experience<Rollout>(ends ? rollout.WithEnds(terminated, truncated, valid) : rollout, contexts)
        );
    }

    /// <summary>Writes what a member's stream shows as the state before a step.</summary>
    private void Note(Tensor observations, int member, int t)
    {
        var now = _streams.Observation(member, 0);
        var at = (member * (_window + 1) + t) * now.Length;
        if (_bytes)
        {
            var row = TensorMemory.Elements<byte>(observations).Slice(at, now.Length);
            for (var i = 0; i < row.Length; i++)
            {
                row[i] = (byte)now[i];
            }
        }
        else
        {
            now.CopyTo(TensorMemory.Elements<float>(observations).Slice(at, now.Length));
        }
    }

    /// <summary>What a member's stream shows, as the network takes it: bytes as 0 to 1.</summary>
    private ReadOnlySpan<float> Seen(int member, int pass)
    {
        var now = _streams.Observation(member, 0);
        if (!_bytes)
        {
            return now;
        }

        TensorPrimitives.Multiply(now, 1f / 255, _seen[pass]);
        return _seen[pass];
    }

    /// <summary>ε of each member where it depends on no context.</summary>
    private double[] ConstantEpsilon()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var hyper = _agent.MetaParameters.Apply.Invoke(_state.MetaParameters, null);
        return [.. hyper[HyperParameters.Epsilon].data<float>().Select(v => (double)v)];
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
        _state.DisposeExcept(next);
        _state = next;
    }
}
