using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>
/// A multi-layer perceptron read straight from its tensors' memory, one observation at a time: the interpreter for acting on the CPU. A
/// member's rollout touches only that member's weights, which then stay in cache, and inputs that are zero (one-hot observations, units
/// that ReLU switched off) cost nothing. Agrees with Network.Apply to rounding; a test holds it to that.
/// </summary>
public sealed class PlainPolicy
{
    private readonly record struct Step(int Inputs, int Outputs, string Weight, string Bias, Activation? After);

    private const string Binding = "PlainPolicy.Bind";

    private readonly Step[] _steps;

    /// <summary>Whether a network is one that it can read: linear layers, each with at most one activation after it.</summary>
    public static bool Reads(Network network)
    {
        try
        {
            _ = new PlainPolicy(network);
            return true;
        }
        catch (NotSupportedException)
        {
            return false;
        }
    }

    /// <summary>Prepares a network's interpretation.</summary>
    public PlainPolicy(Network network)
    {
        Network = network;
        var steps = new List<Step>();
        for (var i = 0; i < network.Layers.Length; i++)
        {
            var index = i;
            network
                .Layers[i]
                .Match<object?>(
                    (inputs, outputs) =>
                    {
                        if (steps.Count > 0 && steps[^1].Outputs != inputs)
                        {
                            throw new NotSupportedException(
                                $"Layer {index} of network '{network.Name}' takes {inputs} features, and the one before gives {steps[^1].Outputs}."
                            );
                        }

                        _ = checked(inputs * outputs);
                        steps.Add(
                            new Step(inputs, outputs, network.WeightName(index), network.BiasName(index), After: null)
                        );
                        return null;
                    },
                    activation =>
                    {
                        if (steps.Count == 0 || steps[^1].After is not null)
                        {
                            throw new NotSupportedException(
                                $"Layer {index} of network '{network.Name}' is an activation that does not follow a linear layer."
                            );
                        }

                        steps[^1] = steps[^1] with { After = activation };
                        return null;
                    },
                    other =>
                        throw new NotSupportedException(
                            $"Layer {index} of network '{network.Name}' is {other}; PlainPolicy does perceptrons alone (see Network.IsPerceptron)."
                        )
                );
        }

        if (steps.Count == 0)
        {
            throw new NotSupportedException($"Network '{network.Name}' has no linear layer, which PlainPolicy needs.");
        }

        _steps = [.. steps];
        WidestLayer = Math.Max(network.Inputs, _steps.Max(s => s.Outputs));
    }

    /// <summary>The description that is interpreted.</summary>
    public Network Network { get; }

    /// <summary>Length that each of the two scratch rows of <see cref="Bound.Apply"/> must have.</summary>
    public int WidestLayer { get; }

    /// <summary>Reads the addresses of the parameters; valid as long as these tensors live.</summary>
    /// <param name="parameters">CPU tensors, float32, contiguous.</param>
    /// <exception cref="ArgumentException">They are not, or not of this network's sizes.</exception>
    public Bound Bind(Params parameters)
    {
        var members = parameters.Members;
        var addresses = new (nint Weight, nint Bias)[_steps.Length];
        for (var i = 0; i < _steps.Length; i++)
        {
            var (inputs, outputs, weight, bias, _) = _steps[i];
            addresses[i] = (
                TensorMemory.Address<float>(parameters[weight], Binding, weight, members * inputs * outputs),
                TensorMemory.Address<float>(parameters[bias], Binding, bias, members * outputs)
            );
        }

        return new Bound(this, addresses, members);
    }

    /// <summary>A network with the memory of its parameters.</summary>
    public readonly struct Bound
    {
        private readonly PlainPolicy _policy;
        private readonly (nint Weight, nint Bias)[] _addresses;
        private readonly long _members;

        internal Bound(PlainPolicy policy, (nint Weight, nint Bias)[] addresses, long members)
        {
            _policy = policy;
            _addresses = addresses;
            _members = members;
        }

        /// <summary>Output of the network for one observation of one member. Safe to call from several threads at once.</summary>
        /// <param name="member">Index along the population axis.</param>
        /// <param name="observation">[O]</param>
        /// <param name="output">[outputs]</param>
        /// <param name="scratch">Twice <see cref="WidestLayer"/> numbers, overwritten.</param>
        /// <exception cref="ArgumentException">There is no such member, or observation or output are of another size.</exception>
        public unsafe void Apply(int member, ReadOnlySpan<float> observation, Span<float> output, Span<float> scratch)
        {
            var steps = _policy._steps;
            if (
                (ulong)member >= (ulong)_members
                || observation.Length != steps[0].Inputs
                || output.Length != steps[^1].Outputs
            )
            {
                throw new ArgumentException(
                    $"PlainPolicy.Apply: expected a member below {_members}, {steps[0].Inputs} numbers in and {steps[^1].Outputs} out, found member {member}, {observation.Length} and {output.Length}."
                );
            }

            var input = observation;
            Span<int> live = stackalloc int[_policy.WidestLayer + 1];
            for (var i = 0; i < steps.Length; i++)
            {
                ref readonly var step = ref steps[i];
                var size = step.Inputs * step.Outputs;
                var weight = new ReadOnlySpan<float>((float*)_addresses[i].Weight + (long)member * size, size);
                var bias = new ReadOnlySpan<float>(
                    (float*)_addresses[i].Bias + (long)member * step.Outputs,
                    step.Outputs
                );
                var result =
                    i == steps.Length - 1 ? output : scratch.Slice((i & 1) * _policy.WidestLayer, step.Outputs);
                var count = 0;
                for (var row = 0; row < input.Length; row++)
                {
                    live[count] = row;
                    count += input[row] != 0 ? 1 : 0;
                }

                Affine(input, live[..count], weight, bias, result);
                if (step.After is { } activation)
                {
                    Activate(activation, result);
                }

                input = result;
            }
        }
    }

    /// <summary>
    /// result = bias + Σ input[row]·weight[row, …] over the rows given. Outputs are taken in blocks that stay in registers while the rows go
    /// by, so each weight is read once and nothing else is.
    /// </summary>
    private static void Affine(
        ReadOnlySpan<float> input,
        ReadOnlySpan<int> rows,
        ReadOnlySpan<float> weight,
        ReadOnlySpan<float> bias,
        Span<float> result
    )
    {
        var lanes = Vector<float>.Count;
        ref var w = ref MemoryMarshal.GetReference(weight);
        ref var b = ref MemoryMarshal.GetReference(bias);
        ref var r = ref MemoryMarshal.GetReference(result);
        var outputs = result.Length;
        var at = 0;
        for (; at + 8 * lanes <= outputs; at += 8 * lanes)
        {
            var y0 = Vector.LoadUnsafe(ref b, (nuint)at);
            var y1 = Vector.LoadUnsafe(ref b, (nuint)(at + lanes));
            var y2 = Vector.LoadUnsafe(ref b, (nuint)(at + 2 * lanes));
            var y3 = Vector.LoadUnsafe(ref b, (nuint)(at + 3 * lanes));
            var y4 = Vector.LoadUnsafe(ref b, (nuint)(at + 4 * lanes));
            var y5 = Vector.LoadUnsafe(ref b, (nuint)(at + 5 * lanes));
            var y6 = Vector.LoadUnsafe(ref b, (nuint)(at + 6 * lanes));
            var y7 = Vector.LoadUnsafe(ref b, (nuint)(at + 7 * lanes));
            foreach (var row in rows)
            {
                var x = new Vector<float>(input[row]);
                ref var from = ref Unsafe.Add(ref w, row * outputs + at);
                y0 = Vector.FusedMultiplyAdd(Vector.LoadUnsafe(ref from), x, y0);
                y1 = Vector.FusedMultiplyAdd(Vector.LoadUnsafe(ref from, (nuint)lanes), x, y1);
                y2 = Vector.FusedMultiplyAdd(Vector.LoadUnsafe(ref from, (nuint)(2 * lanes)), x, y2);
                y3 = Vector.FusedMultiplyAdd(Vector.LoadUnsafe(ref from, (nuint)(3 * lanes)), x, y3);
                y4 = Vector.FusedMultiplyAdd(Vector.LoadUnsafe(ref from, (nuint)(4 * lanes)), x, y4);
                y5 = Vector.FusedMultiplyAdd(Vector.LoadUnsafe(ref from, (nuint)(5 * lanes)), x, y5);
                y6 = Vector.FusedMultiplyAdd(Vector.LoadUnsafe(ref from, (nuint)(6 * lanes)), x, y6);
                y7 = Vector.FusedMultiplyAdd(Vector.LoadUnsafe(ref from, (nuint)(7 * lanes)), x, y7);
            }

            y0.StoreUnsafe(ref r, (nuint)at);
            y1.StoreUnsafe(ref r, (nuint)(at + lanes));
            y2.StoreUnsafe(ref r, (nuint)(at + 2 * lanes));
            y3.StoreUnsafe(ref r, (nuint)(at + 3 * lanes));
            y4.StoreUnsafe(ref r, (nuint)(at + 4 * lanes));
            y5.StoreUnsafe(ref r, (nuint)(at + 5 * lanes));
            y6.StoreUnsafe(ref r, (nuint)(at + 6 * lanes));
            y7.StoreUnsafe(ref r, (nuint)(at + 7 * lanes));
        }

        // What does not fill a block: row by row.
        var rest = result[at..];
        if (rest.IsEmpty)
        {
            return;
        }

        bias[at..].CopyTo(rest);
        foreach (var row in rows)
        {
            TensorPrimitives.MultiplyAdd(weight.Slice(row * outputs + at, rest.Length), input[row], rest, rest);
        }
    }

    private static void Activate(Activation activation, Span<float> x)
    {
        switch (activation)
        {
            case Activation.Relu:
                TensorPrimitives.Max(x, 0f, x);
                break;
            case Activation.Tanh:
                TensorPrimitives.Tanh(x, x);
                break;
            case Activation.Sigmoid:
                TensorPrimitives.Sigmoid(x, x);
                break;
            case Activation.Softplus:
                foreach (ref var v in x)
                {
                    v = v > 20 ? v : MathF.Log(1 + MathF.Exp(v));
                }

                break;
            case Activation.Elu:
                foreach (ref var v in x)
                {
                    v = v > 0 ? v : MathF.Exp(v) - 1;
                }

                break;
            case Activation.LeakyRelu:
                foreach (ref var v in x)
                {
                    v = v > 0 ? v : 0.01f * v;
                }

                break;
            case Activation.Gelu:
                foreach (ref var v in x)
                {
                    v = (float)(v * NormalDistribution(v));
                }

                break;
            case Activation.Silu:
                foreach (ref var v in x)
                {
                    v /= 1 + MathF.Exp(-v);
                }

                break;
            default:
                throw new NotSupportedException($"PlainPolicy has no activation '{activation}'.");
        }
    }

    /// <summary>Φ(x) to 1.2e-7 of itself, by a Chebyshev fit of erfc (Press et al., Numerical Recipes, 6.2).</summary>
    private static double NormalDistribution(double x)
    {
        var z = Math.Abs(x) * Math.Sqrt(0.5);
        var t = 1 / (1 + 0.5 * z);
        ReadOnlySpan<double> fit =
        [
            -1.26551223,
            1.00002368,
            0.37409196,
            0.09678418,
            -0.18628806,
            0.27886807,
            -1.13520398,
            1.48851587,
            -0.82215223,
            0.17087277,
        ];
        var sum = 0.0;
        for (var i = fit.Length - 1; i >= 0; i--)
        {
            sum = sum * t + fit[i];
        }

        var tail = 0.5 * t * Math.Exp(sum - z * z);
        return x >= 0 ? 1 - tail : tail;
    }
}
