using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Training.Acting;
using static TorchSharp.torch;

namespace Bmg.Training.Evaluation;

/// <summary>A trained policy, ready to be played: from observations to a policy's raw outputs.</summary>
public interface IPlayablePolicy : IDisposable
{
    /// <summary>What computes ("TorchSharp", "ONNX Runtime (cpu)").</summary>
    string Engine { get; }

    /// <summary>Writes the raw outputs of a batch: of a categorical policy logits up to a constant, of a network of action values 0 for the
    /// action of the greatest and −∞ for the others, of numbers means and then logarithms of deviations.</summary>
    /// <param name="observations">[batch × observation size], bytes as 0 to 1</param>
    /// <param name="batch">Number of observations.</param>
    /// <param name="raw">[batch × outputs]</param>
    void Outputs(ReadOnlySpan<float> observations, int batch, Span<float> raw);

    /// <summary>The same where some choices are not allowed; whoever chooses from these outputs leaves them out in any case.</summary>
    /// <param name="observations">[batch × observation size], bytes as 0 to 1</param>
    /// <param name="allowed">[batch × choices of all actions]</param>
    /// <param name="batch">Number of observations.</param>
    /// <param name="raw">[batch × outputs]</param>
    void Outputs(ReadOnlySpan<float> observations, ReadOnlySpan<bool> allowed, int batch, Span<float> raw) =>
        Outputs(observations, batch, raw);
}

/// <summary>The policy that always takes one action.</summary>
internal static class GreedyPolicy
{
    /// <summary>Writes rows of logits that allow one action.</summary>
    public static void Write(ReadOnlySpan<long> actions, Span<float> raw)
    {
        raw.Fill(float.NegativeInfinity);
        var width = raw.Length / actions.Length;
        for (var row = 0; row < actions.Length; row++)
        {
            raw[row * width + (int)actions[row]] = 0;
        }
    }
}

/// <summary>One member of a checkpoint, through TorchSharp.</summary>
public sealed class TorchPolicy : IPlayablePolicy
{
    private readonly Network? _torso;
    private readonly Network _network;
    private readonly PolicyKind _kind;
    private readonly NormalizationDescription? _normalization;
    private readonly Params _parameters;

    /// <summary>Takes a copy of one member's parameters.</summary>
    /// <exception cref="CheckpointException">The checkpoint lacks the policy's parameters, or has some that are not finite.</exception>
    public TorchPolicy(Checkpoint checkpoint, int member)
    {
        CheckpointContents.RequirePolicy(checkpoint, member);
        var policy = checkpoint.Manifest.Policy;
        _torso = policy.Torso?.ToNetwork();
        _network = policy.Network.ToNetwork();
        _kind = policy.Kind;
        _normalization = policy.Normalization;
        var all = _normalization is null
            ? checkpoint.Set(policy.ParameterSet)
            : Params.Merge([checkpoint.Set(policy.ParameterSet), checkpoint.Set(NormalizationDescription.Set)]);
        using var scope = NewDisposeScope();
        _parameters = all.OfMember(member).Clone().Convert(ScalarType.Float32, CPU).DetachFromScope();
    }

    /// <inheritdoc/>
    public string Engine => "TorchSharp";

    /// <inheritdoc/>
    public void Outputs(ReadOnlySpan<float> observations, int batch, Span<float> raw)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var input = empty([1, batch, observations.Length / batch], dtype: ScalarType.Float32);
        observations.CopyTo(TensorMemory.Elements<float>(input));
        input = _normalization?.Apply(_parameters, input) ?? input;
        var features = _torso is null ? input : _torso.ApplyStored(_parameters, _parameters, input);
        var output = _network.ApplyStored(_parameters, _parameters, features);
        if (_kind == PolicyKind.Values)
        {
            GreedyPolicy.Write(output.argmax(-1).data<long>().ToArray(), raw);
            return;
        }

        TensorMemory.Elements<float>(output.contiguous()).CopyTo(raw);
    }

    /// <inheritdoc/>
    public void Dispose() => _parameters.Dispose();
}

/// <summary>An exported policy, through ONNX Runtime.</summary>
public sealed class OnnxPolicy(PolicySession session) : IPlayablePolicy
{
    /// <inheritdoc/>
    public string Engine => $"ONNX Runtime ({(session.Provider == ExecutionProvider.Cuda ? "cuda" : "cpu")})";

    /// <inheritdoc/>
    public void Outputs(ReadOnlySpan<float> observations, int batch, Span<float> raw) =>
        Outputs(observations, [], batch, raw);

    /// <inheritdoc/>
    public void Outputs(ReadOnlySpan<float> observations, ReadOnlySpan<bool> allowed, int batch, Span<float> raw)
    {
        var outputs = session.Run(observations, allowed, batch);
        if (session.Kind == PolicyKind.Values)
        {
            GreedyPolicy.Write(outputs.Actions, raw);
            return;
        }

        if (session.Kind == PolicyKind.Gaussian)
        {
            var actions = session.Numbers.Count;
            for (var i = 0; i < outputs.Means.Length; i++)
            {
                var mean = i / actions * 2 * actions + i % actions;
                raw[mean] = outputs.Means[i];
                raw[mean + actions] = MathF.Log(outputs.Deviations[i]);
            }

            return;
        }

        // Logits up to a constant, of each action.
        for (var i = 0; i < raw.Length; i++)
        {
            raw[i] = MathF.Log(outputs.Probabilities[i]);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => session.Dispose();
}
