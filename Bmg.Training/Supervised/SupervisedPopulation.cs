using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Data;
using static TorchSharp.torch;

namespace Bmg.Training.Supervised;

/// <summary>Networks that learn from examples in one batch.</summary>
internal sealed class SupervisedPopulation : IPopulation
{
    // Of whom examples are held out is no member's own: members are compared on the same ones.
    private const long HeldOutSeed = 0;

    private readonly SupervisedLearners _learners;
    private readonly int _first;
    private readonly int _members;
    private readonly Device _device;
    private readonly MemberGuard _guard;
    private readonly ExampleSource _training;
    private readonly ExampleSource? _heldOut;
    private readonly ExampleSource _watched;
    private readonly double _variance;
    private MetaState<ExampleBatch> _state;

    /// <summary>Members at the start of their lives.</summary>
    /// <param name="learners">What they are.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="first">Index of the first of them in the whole experiment.</param>
    public SupervisedPopulation(SupervisedLearners learners, IReadOnlyList<Seed> seeds, int first)
    {
        var configuration = learners.Configuration;
        Seed[] all = [.. seeds];
        _learners = learners;
        _first = first;
        _members = all.Length;
        _device = configuration.Device == DeviceKind.Cuda ? CUDA : CPU;
        _guard = new MemberGuard(all, first, configuration.Run.WhenNotFinite == NotFiniteKind.Freeze)
        {
            Unit = learners.Unit,
        };
        var (training, heldOut) = Split(learners.Data, learners.Settings.HeldOut);
        _training = Source(training, "examples");
        _heldOut = heldOut.Length > 0 ? Source(heldOut, "held-out examples") : null;
        _watched = Source(heldOut.Length > 0 ? heldOut : training, "watched examples");
        _variance = VarianceOf(learners.Data, training);
        _state = learners.MetaLearner.Init(
            learners.Network.Init(learners.Settings.Initialization, all, ScalarType.Float32, _device),
            learners.MetaLearner.MetaParameters.Init.Invoke(all, ScalarType.Float32, _device)
        );

        ExampleSource Source(int[] examples, string purpose) =>
            new(learners.Data, examples, purpose, all, learners.Settings.BatchSize, _device);
    }

    /// <inheritdoc/>
    public long EnvironmentSteps => _training.Drawn;

    /// <inheritdoc/>
    /// <remarks>None: nobody acts.</remarks>
    public long ActingTicks => 0;

    /// <inheritdoc/>
    public IEnumerable<FrozenMember> Frozen => _guard.Frozen;

    /// <inheritdoc/>
    public IEnumerable<long> Changes(long after, long until) => [];

    /// <inheritdoc/>
    public MetaStepReport Advance()
    {
        var before = EnvironmentSteps;
        var (next, log) = _learners.MetaLearner.Step(_state, (_, _) => Collect(), Keep);
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
        Release(next);
        _state = next;
        double[][] values =
        [
            Watch(),
            Rates(),
            MemberValues.OrNothing(log.MetaObjective, _members),
            MemberValues.OrNothing(log.MetaGradientNorm, _members),
            MemberValues.MeanOverSteps(log.Losses, _members),
        ];
        _guard.Silence(values);
        return new MetaStepReport((int)(EnvironmentSteps - before), values);
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

        return sets;
    }

    /// <inheritdoc/>
    /// <remarks>Of a member, in place of the states of its action streams: how many examples it has had of each source.</remarks>
    public PopulationState Numbers() =>
        new(
            [.. Enumerable.Range(0, _members).Select(_ => Array.Empty<StreamState>())],
            [
                .. Enumerable
                    .Range(0, _members)
                    .Select(_ =>
                        new[] { (ulong)_training.Drawn, (ulong)(_heldOut?.Drawn ?? 0), (ulong)_watched.Drawn }
                    ),
            ],
            [],
            [.. _guard.Frozen]
        );

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
        if (begun && _learners.Configuration.Meta.Method == MetaMethod.Mg)
        {
            // The batch beside which the outer loss was taken is the next meta-step's first.
            var (size, description) = (_learners.Settings.BatchSize, _learners.Data.Description);
            sets["pending"] =
            [
                .. from prefix in _heldOut is null ? (string[])[""] : ["", "judged"]
                from layout in (TensorLayout[])
                    [
                        TensorLayout.Of(
                            Named(prefix, "inputs"),
                            ScalarType.Float32,
                            members,
                            size,
                            description.InputSize
                        ),
                        description.HasClasses
                            ? TensorLayout.Of(Named(prefix, "labels"), ScalarType.Int64, members, size)
                            : TensorLayout.Of(
                                Named(prefix, "labels"),
                                ScalarType.Float32,
                                members,
                                size,
                                description.LabelSize
                            ),
                    ]
                select layout,
            ];
        }

        return sets;

        static string Named(string prefix, string name) =>
            prefix.Length == 0 ? name : $"{prefix}{char.ToUpperInvariant(name[0])}{name[1..]}";
    }

    /// <inheritdoc/>
    public void Restore(Checkpoint checkpoint, PopulationState state)
    {
        var steps = checkpoint.Manifest.EnvironmentSteps;
        long[] drawn = Array.ConvertAll(state.Actions[_first], count => unchecked((long)count));
        for (var member = _first; member < _first + _members; member++)
        {
            if (!state.Actions[member].AsSpan().SequenceEqual(state.Actions[_first]))
            {
                throw new ArgumentException(
                    $"member {member} has had [{string.Join(", ", state.Actions[member])}] examples, expected [{string.Join(", ", drawn)}], as member {_first}."
                );
            }
        }

        if (drawn is not [var training, >= 0, >= 0] || training != steps)
        {
            throw new ArgumentException(
                $"members have had [{string.Join(", ", drawn)}] examples, expected three counts of 0 at least, the first {steps}."
            );
        }

        RequireLabels(checkpoint);
        Release(null);
        var pending = checkpoint.Sets.ContainsKey("pending")
            ? new Experience<ExampleBatch>(ExampleBatch.OfParams(Own("pending")), null)
            : null;
        _state = new MetaState<ExampleBatch>(
            new LearnerState(Own("learner"), Own("learnerOptimizer")),
            Own("meta"),
            Own("metaOptimizer"),
            pending
        );
        _training.Drawn = drawn[0];
        if (_heldOut is not null)
        {
            _heldOut.Drawn = drawn[1];
        }

        _watched.Drawn = drawn[2];
        _guard.Restore(state.Frozen ?? []);

        Params Own(string set) => MemberValues.Own(checkpoint, set, _first, _members, _device);
    }

    /// <inheritdoc/>
    public void Dispose() => Release(null);

    /// <summary>Which training examples are learned from and which are held out, at least one of each where any are held out.</summary>
    internal static (int[] Training, int[] HeldOut) Split(IDataSet data, double share)
    {
        var count = data.Count(DataSplit.Training);
        var heldOut = share > 0 ? Math.Clamp((int)Math.Round(count * share), 1, count - 1) : 0;
        var order = ExampleOrder.Shuffled(count, Seed.Of(HeldOutSeed).For("held out"));
        return (order[heldOut..], order[..heldOut]);
    }

    /// <summary>Refuses classes that there are none of: they are indices into what the network puts out.</summary>
    private void RequireLabels(Checkpoint checkpoint)
    {
        if (!_learners.Data.Description.HasClasses || !checkpoint.Sets.TryGetValue("pending", out var pending))
        {
            return;
        }

        var count = _learners.Data.Description.Classes.Count;
        foreach (var name in pending.Names.Where(name => pending[name].dtype == ScalarType.Int64))
        {
            var classes = pending[name].data<long>().ToArray();
            var wrong = Array.FindIndex(classes, each => each < 0 || each >= count);
            if (wrong >= 0)
            {
                throw new ArgumentException($"'pending/{name}' has class {classes[wrong]}, expected 0 … {count - 1}.");
            }
        }
    }

    private Experience<ExampleBatch> Collect()
    {
        _learners.Stop.ThrowIfCancellationRequested();
        var learned = _training.Next();
        return new Experience<ExampleBatch>(new ExampleBatch(learned, _heldOut?.Next() ?? learned), null);
    }

    /// <summary>Takes a batch that outlives its meta-step out of the meta-step's scope.</summary>
    private static void Keep(Experience<ExampleBatch> experience) => experience.Data.ToParams().DetachFromScope();

    private void Release(MetaState<ExampleBatch>? next) => MemberValues.Release(_state, next);

    /// <summary>How well each member does on a batch: the share of classes that it gets right, or of the variance that it explains.</summary>
    private double[] Watch()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var examples = _watched.Next();
        if (_learners.Data.Description.HasClasses)
        {
            var outputs = _learners.Network.Apply(_state.Learner.Parameters, examples.Inputs);
            return Doubles(outputs.argmax(-1).eq(examples.Labels).to(ScalarType.Float64).mean([1]));
        }

        var loss = _learners.Loss(_state.Learner.Parameters, examples);
        return [.. Doubles(loss.to(ScalarType.Float64)).Select(half => 1 - (2 * half / _variance))];
    }

    private double[] Rates()
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var hyper = _learners.MetaLearner.MetaParameters.Apply.Invoke(_state.MetaParameters, null);
        return Doubles(hyper[HyperParameters.LearningRate].to(ScalarType.Float64));
    }

    private static double[] Doubles(Tensor values) => values.cpu().data<double>().ToArray();

    /// <summary>Variance of the targets, the mean over them; 1 where they are constant, or classes.</summary>
    internal static double VarianceOf(IDataSet data, int[] examples)
    {
        if (data.Description.HasClasses)
        {
            return 1;
        }

        var input = new float[data.Description.InputSize];
        var label = new float[data.Description.LabelSize];
        double total = 0;
        var (sums, squares) = (new double[label.Length], new double[label.Length]);
        foreach (var example in examples)
        {
            data.Write(DataSplit.Training, example, input, label);
            for (var i = 0; i < label.Length; i++)
            {
                sums[i] += label[i];
                squares[i] += (double)label[i] * label[i];
            }
        }

        for (var i = 0; i < label.Length; i++)
        {
            var mean = sums[i] / examples.Length;
            total += (squares[i] / examples.Length) - (mean * mean);
        }

        return total > 0 ? total / label.Length : 1;
    }
}
