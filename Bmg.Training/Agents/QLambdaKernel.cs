using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Bmg.Training.Acting;
using static TorchSharp.torch;

namespace Bmg.Training.Agents;

/// <summary>
/// Peng's Q(λ) with Adam for one member at a time, over plain memory: QLambda.Learner of Bmg.Core written out for a perceptron with ReLU.
/// At a batch of one nearly all time goes into reading and writing the member's state, so one pass over it does everything: gradient (a
/// product of two vectors, never formed), trace, both moments and the weight. Nothing is allocated. Not thread-safe: one kernel a thread.
/// </summary>
internal sealed unsafe class QLambdaKernel
{
    /// <summary>
    /// Gradients, traces and first moments that are no larger than this, 2⁻⁶⁰, are 0: traces and moments of units that are off decay for ever,
    /// into numbers below 10⁻³⁸ with which some processors compute many times slower. No step of such a size changes a weight.
    /// </summary>
    private const float Least = 8.6736174e-19f;

    /// <summary>The same for second moments.</summary>
    private const float LeastSquare = Least * Least;

    private readonly record struct Layer(int Inputs, int Outputs, string Weight, string Bias);

    private readonly Layer[] _layers;
    private readonly double _rate;
    private readonly double _beta1;
    private readonly double _beta2;
    private readonly float _epsilon;
    private readonly float _epsilonRoot;
    private readonly double _decay;
    private readonly float[] _gradient;
    private readonly int[] _live;
    private readonly float[] _delta;
    private readonly float[] _deltaBefore;

    /// <summary>A kernel for learners of one kind.</summary>
    /// <param name="agent">Network and λ; every activation is ReLU.</param>
    /// <param name="adam">The optimizer's settings.</param>
    public QLambdaKernel(QLambda agent, AdamSettings adam)
    {
        var network = agent.Values;
        var layers = new List<Layer>();
        for (var i = 0; i < network.Layers.Length; i++)
        {
            var index = i;
            network
                .Layers[i]
                .Match<object?>(
                    (inputs, outputs) =>
                    {
                        if (layers.Count > 0 && layers[^1].Outputs != inputs)
                        {
                            throw new NotSupportedException(
                                $"QLambdaKernel: layer {index} of network '{network.Name}' takes {inputs} features, and the one before gives {layers[^1].Outputs}."
                            );
                        }

                        _ = checked(inputs * outputs);
                        layers.Add(new Layer(inputs, outputs, network.WeightName(index), network.BiasName(index)));
                        return null;
                    },
                    activation =>
                        activation == Activation.Relu && index % 2 == 1
                            ? null
                            : throw new NotSupportedException(
                                $"QLambdaKernel: layer {index} of network '{network.Name}': expected linear layers with \"relu\" between them, found {activation}."
                            ),
                    other =>
                        throw new NotSupportedException(
                            $"QLambdaKernel: layer {index} of network '{network.Name}': expected linear layers with \"relu\" between them, found {other}."
                        )
                );
        }

        _layers = [.. layers];
        _rate = adam.LearningRate;
        _beta1 = adam.Beta1;
        _beta2 = adam.Beta2;
        _epsilon = (float)adam.Epsilon;
        _epsilonRoot = (float)adam.EpsilonRoot;
        _decay = agent.TraceDecay is Setting.Constant { Item: var decay }
            ? decay
            : throw new NotSupportedException("QLambdaKernel: expected a constant λ, found a learned one.");
        var widest = _layers.Max(l => Math.Max(l.Inputs, l.Outputs));
        // Layers too narrow for whole vectors have their gradient formed after all.
        _gradient = new float[_layers.Max(l => l.Outputs % Vector512<float>.Count == 0 ? 1 : l.Inputs * l.Outputs)];
        _live = new int[widest];
        _delta = new float[widest];
        _deltaBefore = new float[widest];
    }

    /// <summary>Numbers in a member's parameters.</summary>
    public long Parameters => _layers.Sum(l => (long)l.Inputs * l.Outputs + l.Outputs);

    /// <summary>Bytes of a member's whole state: weights, traces and both moments.</summary>
    public long StateBytes => 4 * sizeof(float) * Parameters;

    /// <summary>The addresses of a population's state; valid as long as its tensors live.</summary>
    /// <exception cref="ArgumentException">A tensor is not contiguous float32 on the CPU, or not of this network's sizes.</exception>
    public Memory Bind(LearnerState learner)
    {
        var members = learner.Parameters.Members;
        var tensors = new Block[2 * _layers.Length];
        for (var i = 0; i < _layers.Length; i++)
        {
            var (inputs, outputs, weight, bias) = _layers[i];
            tensors[2 * i] = Of(weight, members * inputs * outputs);
            tensors[2 * i + 1] = Of(bias, members * outputs);
        }

        return new Memory(tensors, Address(learner.Optimizer, "optimizer/count", members), members);

        Block Of(string name, long count) =>
            new(
                Address(learner.Parameters, name, count),
                Address(learner.Optimizer, "trace/" + name, count),
                Address(learner.Optimizer, "optimizer/m/" + name, count),
                Address(learner.Optimizer, "optimizer/v/" + name, count)
            );

        static float* Address(Params set, string name, long count) =>
            (float*)TensorMemory.Address<float>(set[name], "QLambdaKernel.Bind", name, count);
    }

    /// <summary>Action values, keeping what <see cref="Learn"/> needs of the way there.</summary>
    /// <param name="memory">The population's state.</param>
    /// <param name="member">Which member.</param>
    /// <param name="observation">[O]</param>
    /// <param name="pass">Where the way is kept.</param>
    public void Forward(in Memory memory, int member, ReadOnlySpan<float> observation, Pass pass)
    {
        memory.Require(member);
        observation.CopyTo(pass.Values[0]);
        for (var i = 0; i < _layers.Length; i++)
        {
            ref readonly var layer = ref _layers[i];
            var input = pass.Values[i];
            var output = pass.Values[i + 1];
            var count = 0;
            for (var row = 0; row < layer.Inputs; row++)
            {
                _live[count] = row;
                count += input[row] != 0 ? 1 : 0;
            }

            fixed (
                float* x = input,
                    y = output
            )
            fixed (int* live = _live)
            {
                Affine(
                    x,
                    live,
                    count,
                    memory.Tensors[2 * i].X + (long)member * layer.Inputs * layer.Outputs,
                    memory.Tensors[2 * i + 1].X + (long)member * layer.Outputs,
                    y,
                    layer.Outputs,
                    rectify: i < _layers.Length - 1
                );
            }
        }
    }

    /// <summary>Room for one forward pass.</summary>
    public Pass NewPass() => new([new float[_layers[0].Inputs], .. _layers.Select(l => new float[l.Outputs])]);

    /// <summary>
    /// One update of one member from one transition. Reads the state at <paramref name="from"/> and writes the next one to
    /// <paramref name="to"/>, which may be the same memory.
    /// </summary>
    /// <param name="from">The state that <paramref name="pass"/> was made with.</param>
    /// <param name="to">Where the next state goes.</param>
    /// <param name="member">Which member.</param>
    /// <param name="pass">The forward pass at the state acted in.</param>
    /// <param name="action">What was done there.</param>
    /// <param name="reward">What it earned.</param>
    /// <param name="discount">γ, or 0 where an episode terminated.</param>
    /// <param name="bestNext">Greatest action value of the state reached, under the parameters at <paramref name="from"/>.</param>
    /// <param name="ended">Whether an episode ended with the step, in either way: traces are cleared.</param>
    /// <returns>δ′, the error of the action's own value.</returns>
    public float Learn(
        in Memory from,
        in Memory to,
        int member,
        Pass pass,
        int action,
        float reward,
        float discount,
        float bestNext,
        bool ended = false
    )
    {
        from.Require(member);
        to.Require(member);
        var values = pass.Outputs;
        var reached = reward + discount * bestNext;
        var own = reached - values[action];
        var greedy = reached - Max(values);
        var count = from.Count[member] + 1;
        to.Count[member] = count;
        var correction1 = 1 - Math.Pow(_beta1, count);
        var correction2 = 1 - Math.Pow(_beta2, count);
        var step = new Step(
            -own,
            -greedy,
            (float)_beta1,
            (float)(1 - _beta1),
            (float)_beta2,
            (float)(1 - _beta2),
            (float)(1 / correction2),
            (float)(_rate / correction1),
            _epsilon,
            _epsilonRoot,
            ended ? 0 : (float)(_decay * discount)
        );

        float[] delta = _delta,
            before = _deltaBefore;
        delta.AsSpan(0, values.Length).Clear();
        delta[action] = 1;
        for (var i = _layers.Length - 1; i >= 0; i--)
        {
            ref readonly var layer = ref _layers[i];
            var weight = (long)member * layer.Inputs * layer.Outputs;
            var bias = (long)member * layer.Outputs;
            ref readonly var w = ref from.Tensors[2 * i];
            ref readonly var b = ref from.Tensors[2 * i + 1];
            var input = pass.Values[i];
            fixed (
                float* h = input,
                    d = delta,
                    p = before,
                    g = _gradient
            )
            {
                // Before the weight moves: the way back through it.
                if (i > 0)
                {
                    Back(w.X + weight, h, d, p, layer.Inputs, layer.Outputs, i == _layers.Length - 1 ? action : -1);
                }

                if (layer.Outputs % Vector512<float>.Count == 0)
                {
                    Move(step, w, to.Tensors[2 * i], weight, layer.Inputs, layer.Outputs, h, d);
                }
                else
                {
                    for (var row = 0; row < layer.Inputs; row++)
                    {
                        for (var column = 0; column < layer.Outputs; column++)
                        {
                            g[row * layer.Outputs + column] = h[row] * d[column];
                        }
                    }

                    var one = 1f;
                    Move(step, w, to.Tensors[2 * i], weight, 1, layer.Inputs * layer.Outputs, &one, g);
                }

                var unit = 1f;
                Move(step, b, to.Tensors[2 * i + 1], bias, 1, layer.Outputs, &unit, d);
            }

            (delta, before) = (before, delta);
        }

        return own;
    }

    private static float Max(ReadOnlySpan<float> values)
    {
        var best = values[0];
        foreach (var value in values)
        {
            best = value > best ? value : best;
        }

        return best;
    }

    /// <summary>δ of the layer before: ReLU's slope times W·δ, only for units that are on. δ of the last layer is one-hot.</summary>
    private static void Back(float* w, float* h, float* d, float* before, int inputs, int outputs, int only)
    {
        for (var row = 0; row < inputs; row++)
        {
            before[row] =
                h[row] == 0 ? 0
                : only >= 0 ? w[(long)row * outputs + only]
                : Dot(w + (long)row * outputs, d, outputs);
        }
    }

    private static float Dot(float* a, float* b, int length)
    {
        Vector512<float> s0 = Vector512<float>.Zero,
            s1 = s0,
            s2 = s0,
            s3 = s0;
        var i = 0;
        for (; i + 64 <= length; i += 64)
        {
            s0 = Vector512.FusedMultiplyAdd(Vector512.Load(a + i), Vector512.Load(b + i), s0);
            s1 = Vector512.FusedMultiplyAdd(Vector512.Load(a + i + 16), Vector512.Load(b + i + 16), s1);
            s2 = Vector512.FusedMultiplyAdd(Vector512.Load(a + i + 32), Vector512.Load(b + i + 32), s2);
            s3 = Vector512.FusedMultiplyAdd(Vector512.Load(a + i + 48), Vector512.Load(b + i + 48), s3);
        }

        var sum = Vector512.Sum(s0 + s1 + (s2 + s3));
        for (; i < length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    /// <summary>y = b + Σ x[row]·w[row, …] over the rows that are not zero, and where asked for no less than zero.</summary>
    private static void Affine(float* x, int* live, int count, float* w, float* b, float* y, int outputs, bool rectify)
    {
        var at = 0;
        for (; at + 128 <= outputs; at += 128)
        {
            var y0 = Vector512.Load(b + at);
            var y1 = Vector512.Load(b + at + 16);
            var y2 = Vector512.Load(b + at + 32);
            var y3 = Vector512.Load(b + at + 48);
            var y4 = Vector512.Load(b + at + 64);
            var y5 = Vector512.Load(b + at + 80);
            var y6 = Vector512.Load(b + at + 96);
            var y7 = Vector512.Load(b + at + 112);
            for (var i = 0; i < count; i++)
            {
                var value = Vector512.Create(x[live[i]]);
                var row = w + (long)live[i] * outputs + at;
                y0 = Vector512.FusedMultiplyAdd(Vector512.Load(row), value, y0);
                y1 = Vector512.FusedMultiplyAdd(Vector512.Load(row + 16), value, y1);
                y2 = Vector512.FusedMultiplyAdd(Vector512.Load(row + 32), value, y2);
                y3 = Vector512.FusedMultiplyAdd(Vector512.Load(row + 48), value, y3);
                y4 = Vector512.FusedMultiplyAdd(Vector512.Load(row + 64), value, y4);
                y5 = Vector512.FusedMultiplyAdd(Vector512.Load(row + 80), value, y5);
                y6 = Vector512.FusedMultiplyAdd(Vector512.Load(row + 96), value, y6);
                y7 = Vector512.FusedMultiplyAdd(Vector512.Load(row + 112), value, y7);
            }

            var floor = rectify ? Vector512<float>.Zero : Vector512.Create(float.NegativeInfinity);
            Vector512.Max(y0, floor).Store(y + at);
            Vector512.Max(y1, floor).Store(y + at + 16);
            Vector512.Max(y2, floor).Store(y + at + 32);
            Vector512.Max(y3, floor).Store(y + at + 48);
            Vector512.Max(y4, floor).Store(y + at + 64);
            Vector512.Max(y5, floor).Store(y + at + 80);
            Vector512.Max(y6, floor).Store(y + at + 96);
            Vector512.Max(y7, floor).Store(y + at + 112);
        }

        for (; at + 4 <= outputs; at += 4)
        {
            Vector128<float> even = Vector128.Load(b + at),
                odd = Vector128<float>.Zero;
            var i = 0;
            for (; i + 2 <= count; i += 2)
            {
                even = Vector128.FusedMultiplyAdd(
                    Vector128.Load(w + (long)live[i] * outputs + at),
                    Vector128.Create(x[live[i]]),
                    even
                );
                odd = Vector128.FusedMultiplyAdd(
                    Vector128.Load(w + (long)live[i + 1] * outputs + at),
                    Vector128.Create(x[live[i + 1]]),
                    odd
                );
            }

            if (i < count)
            {
                even = Vector128.FusedMultiplyAdd(
                    Vector128.Load(w + (long)live[i] * outputs + at),
                    Vector128.Create(x[live[i]]),
                    even
                );
            }

            var floor = rectify ? Vector128<float>.Zero : Vector128.Create(float.NegativeInfinity);
            Vector128.Max(even + odd, floor).Store(y + at);
        }

        for (; at < outputs; at++)
        {
            var sum = b[at];
            for (var i = 0; i < count; i++)
            {
                sum += w[(long)live[i] * outputs + at] * x[live[i]];
            }

            y[at] = rectify && sum < 0 ? 0 : sum;
        }
    }

    /// <summary>
    /// Moves a tensor's weights, traces and moments, where the network's gradient is the product of a column and a row. Rows whose input is
    /// zero have none, and take the shorter loop. Constants stand in registers: read from memory they would cost more than the arithmetic.
    /// </summary>
    private static void Move(
        in Step step,
        in Block from,
        in Block to,
        long at,
        int rows,
        int columns,
        float* h,
        float* d
    )
    {
        float* x = from.X + at,
            e = from.E + at,
            m = from.M + at,
            v = from.V + at,
            x1 = to.X + at,
            e1 = to.E + at,
            m1 = to.M + at,
            v1 = to.V + at;
        Vector512<float> own = Vector512.Create(step.Own),
            greedy = Vector512.Create(step.Greedy),
            beta1 = Vector512.Create(step.Beta1),
            rest1 = Vector512.Create(step.Rest1),
            beta2 = Vector512.Create(step.Beta2),
            rest2 = Vector512.Create(step.Rest2),
            unbias2 = Vector512.Create(step.Unbias2),
            inside = Vector512.Create(step.EpsilonRoot),
            rate = Vector512.Create(step.Rate),
            epsilon = Vector512.Create(step.Epsilon),
            decay = Vector512.Create(step.Decay),
            least = Vector512.Create(Least),
            leastSquare = Vector512.Create(LeastSquare);
        var whole = columns & ~15;
        for (var row = 0; row < rows; row++)
        {
            nint i = 0;
            if (h[row] == 0)
            {
                for (; i < whole; i += 16)
                {
                    var trace = Vector512.Load(e + i);
                    var gradient = Above(trace * greedy, least);
                    var first = Vector512.FusedMultiplyAdd(Vector512.Load(m + i), beta1, gradient * rest1);
                    var second = Vector512.FusedMultiplyAdd(Vector512.Load(v + i), beta2, gradient * gradient * rest2);
                    var root = Vector512.Sqrt(Vector512.FusedMultiplyAdd(second, unbias2, inside)) + epsilon;
                    (Vector512.Load(x + i) - first * rate / root).Store(x1 + i);
                    Above(trace * decay, least).Store(e1 + i);
                    Above(first, least).Store(m1 + i);
                    Above(second, leastSquare).Store(v1 + i);
                }
            }
            else
            {
                var scale = Vector512.Create(h[row]);
                for (; i < whole; i += 16)
                {
                    var slope = Vector512.Load(d + i) * scale;
                    var trace = Vector512.Load(e + i);
                    var gradient = Above(Vector512.FusedMultiplyAdd(trace, greedy, slope * own), least);
                    var first = Vector512.FusedMultiplyAdd(Vector512.Load(m + i), beta1, gradient * rest1);
                    var second = Vector512.FusedMultiplyAdd(Vector512.Load(v + i), beta2, gradient * gradient * rest2);
                    var root = Vector512.Sqrt(Vector512.FusedMultiplyAdd(second, unbias2, inside)) + epsilon;
                    (Vector512.Load(x + i) - first * rate / root).Store(x1 + i);
                    Above((trace + slope) * decay, least).Store(e1 + i);
                    Above(first, least).Store(m1 + i);
                    Above(second, leastSquare).Store(v1 + i);
                }
            }

            for (; i < columns; i++)
            {
                var slope = d[i] * h[row];
                var trace = e[i];
                e1[i] = Above((trace + slope) * step.Decay, Least);
                Adam(step, step.Greedy * trace + step.Own * slope, x + i, m + i, v + i, x1 + i, m1 + i, v1 + i);
            }

            x += columns;
            e += columns;
            m += columns;
            v += columns;
            x1 += columns;
            e1 += columns;
            m1 += columns;
            v1 += columns;
        }
    }

    /// <summary>Numbers, with 0 for those that are no larger than a bound; NaN stays.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Above(Vector512<float> values, Vector512<float> bound) =>
        Vector512.ConditionalSelect(
            Vector512.LessThanOrEqual(Vector512.Abs(values), bound),
            Vector512<float>.Zero,
            values
        );

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Above(float value, float bound) => MathF.Abs(value) <= bound ? 0 : value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Adam(
        in Step step,
        float gradient,
        float* x,
        float* m,
        float* v,
        float* x1,
        float* m1,
        float* v1
    )
    {
        gradient = Above(gradient, Least);
        var first = *m * step.Beta1 + gradient * step.Rest1;
        var second = *v * step.Beta2 + gradient * gradient * step.Rest2;
        *m1 = Above(first, Least);
        *v1 = Above(second, LeastSquare);
        *x1 = *x - first * step.Rate / (MathF.Sqrt(second * step.Unbias2 + step.EpsilonRoot) + step.Epsilon);
    }

    /// <summary>The layers' inputs and outputs of one forward pass.</summary>
    /// <param name="Values">The observation, each hidden layer after its ReLU, and the action values.</param>
    public sealed record Pass(float[][] Values)
    {
        /// <summary>Action values, [A].</summary>
        public ReadOnlySpan<float> Outputs => Values[^1];

        /// <summary>Greatest action value.</summary>
        public float Best => Max(Outputs);

        /// <summary>The action of the greatest value, the first of several.</summary>
        public int Greedy()
        {
            var values = Outputs;
            var best = 0;
            for (var i = 1; i < values.Length; i++)
            {
                best = values[i] > values[best] ? i : best;
            }

            return best;
        }
    }

    /// <summary>Where a population's tensor of one name lies, members one after the other: weight, trace, first and second moment.</summary>
    internal readonly struct Block(float* x, float* e, float* m, float* v)
    {
        public readonly float* X = x;
        public readonly float* E = e;
        public readonly float* M = m;
        public readonly float* V = v;
    }

    /// <summary>Where a population's state lies.</summary>
    internal readonly struct Memory(Block[] tensors, float* count, long members)
    {
        public readonly Block[] Tensors = tensors;

        /// <summary>Refuses a member that there is no memory of.</summary>
        public void Require(int member)
        {
            if ((ulong)member >= (ulong)members)
            {
                throw new ArgumentOutOfRangeException(nameof(member), member, $"expected a member below {members}");
            }
        }

        /// <summary>Steps that the optimizer has made, [P].</summary>
        public readonly float* Count = count;
    }

    /// <summary>The numbers of one update.</summary>
    private readonly record struct Step(
        float Own,
        float Greedy,
        float Beta1,
        float Rest1,
        float Beta2,
        float Rest2,
        float Unbias2,
        float Rate,
        float Epsilon,
        float EpsilonRoot,
        float Decay
    );
}
