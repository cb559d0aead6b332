using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Training.Acting;
using static TorchSharp.torch;

namespace Bmg.Training.Evaluation;

/// <summary>A trained policy, ready to be played: from observations to probabilities.</summary>
public interface IPlayablePolicy : IDisposable
{
    /// <summary>What computes ("TorchSharp", "ONNX Runtime (cpu)").</summary>
    string Engine { get; }

    /// <summary>Writes π(·|s) of a batch; of a network of action values the greedy policy.</summary>
    /// <param name="observations">[batch × observation size]</param>
    /// <param name="batch">Number of observations.</param>
    /// <param name="probabilities">[batch × actions]</param>
    void Probabilities(ReadOnlySpan<float> observations, int batch, Span<float> probabilities);
}

/// <summary>The policy that always takes one action.</summary>
internal static class GreedyPolicy
{
    /// <summary>Writes one-hot rows.</summary>
    public static void Write(ReadOnlySpan<long> actions, Span<float> probabilities)
    {
        probabilities.Clear();
        var width = probabilities.Length / actions.Length;
        for (var row = 0; row < actions.Length; row++)
        {
            probabilities[row * width + (int)actions[row]] = 1;
        }
    }
}

/// <summary>One member of a checkpoint, through TorchSharp.</summary>
public sealed class TorchPolicy : IPlayablePolicy
{
    private readonly Network? _torso;
    private readonly Network _network;
    private readonly PolicyKind _kind;
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
        using var scope = NewDisposeScope();
        _parameters = ParamsModule.detachFromScope(
            ParamsModule.convert(
                ScalarType.Float32,
                CPU,
                ParamsModule.clone(ParamsModule.ofMember(member, checkpoint.Set(policy.ParameterSet)))
            )
        );
    }

    /// <inheritdoc/>
    public string Engine => "TorchSharp";

    /// <inheritdoc/>
    public void Probabilities(ReadOnlySpan<float> observations, int batch, Span<float> probabilities)
    {
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var input = empty([1, batch, (_torso ?? _network).Inputs], dtype: ScalarType.Float32);
        observations.CopyTo(TensorMemory.Elements<float>(input));
        var features = _torso is null ? input : NetworkModule.applyStored(_torso, _parameters, _parameters, input);
        var output = NetworkModule.applyStored(_network, _parameters, _parameters, features);
        if (_kind == PolicyKind.Values)
        {
            GreedyPolicy.Write(output.argmax(-1).data<long>().ToArray(), probabilities);
            return;
        }

        TensorMemory.Elements<float>(Categorical.probabilities(output)).CopyTo(probabilities);
    }

    /// <inheritdoc/>
    public void Dispose() => ParamsModule.dispose(_parameters);
}

/// <summary>An exported policy, through ONNX Runtime.</summary>
public sealed class OnnxPolicy(PolicySession session) : IPlayablePolicy
{
    /// <inheritdoc/>
    public string Engine => $"ONNX Runtime ({(session.Provider == ExecutionProvider.Cuda ? "cuda" : "cpu")})";

    /// <inheritdoc/>
    public void Probabilities(ReadOnlySpan<float> observations, int batch, Span<float> probabilities)
    {
        var outputs = session.Run(observations, batch);
        if (session.Kind == PolicyKind.Values)
        {
            GreedyPolicy.Write(outputs.Actions, probabilities);
            return;
        }

        outputs.Probabilities.CopyTo(probabilities);
    }

    /// <inheritdoc/>
    public void Dispose() => session.Dispose();
}
