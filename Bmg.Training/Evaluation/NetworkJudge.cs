using Bmg.Export.Checkpoints;
using Bmg.Export.Inference;
using Bmg.Export.Onnx;
using Bmg.Training.Acting;
using Bmg.Training.Configuration;
using Bmg.Training.Experiments;
using static TorchSharp.torch;

namespace Bmg.Training.Evaluation;

/// <summary>What a trained network is worth on data, and what computed it.</summary>
/// <param name="Engine">What computed ("TorchSharp", "ONNX Runtime (cpu)").</param>
/// <param name="Measurements">The numbers.</param>
internal sealed record NetworkJudgement(string Engine, IReadOnlyList<Measurement> Measurements);

/// <summary>Hands trained networks to the experiment that judges them.</summary>
internal static class NetworkJudge
{
    /// <summary>Judges a member of a checkpoint; null where the experiment's networks are played instead.</summary>
    /// <exception cref="CheckpointException">The checkpoint lacks the network's parameters.</exception>
    /// <exception cref="UsageException">It is not a network of this experiment.</exception>
    public static NetworkJudgement? OfMember(RunConfiguration configuration, Checkpoint checkpoint, int member)
    {
        CheckpointContents.RequirePolicy(checkpoint, member);
        var policy = checkpoint.Manifest.Policy;
        var network = policy.Network.ToNetwork();
        var judgements = ExperimentKinds
            .Of(configuration)
            .Judge(
                configuration,
                network.Inputs,
                network.Outputs,
                (inputs, rows, outputs) =>
                {
                    using var scope = NewDisposeScope();
                    using var noGrad = no_grad();
                    var own = checkpoint.Set(policy.ParameterSet).OfMember(member).Convert(ScalarType.Float32, CPU);
                    var input = empty([1, rows, network.Inputs], dtype: ScalarType.Float32);
                    inputs.CopyTo(TensorMemory.Elements<float>(input));
                    TensorMemory.Elements<float>(network.Apply(own, input).contiguous()).CopyTo(outputs);
                }
            );
        return judgements is null ? null : new NetworkJudgement("TorchSharp", judgements);
    }

    /// <summary>Judges an exported network; null where the experiment's networks are played instead.</summary>
    /// <exception cref="UsageException">It is not a network of this experiment.</exception>
    public static NetworkJudgement? OfModel(RunConfiguration configuration, ModelSession session)
    {
        var output = session.Outputs.FirstOrDefault(each =>
            each is { IsInteger: false, Name: PolicyExporter.Logits or PolicyExporter.Predictions }
        );
        var judgements = ExperimentKinds
            .Of(configuration)
            .Judge(
                configuration,
                session.Features,
                output?.Width ?? 0,
                (inputs, rows, outputs) =>
                {
                    if (session.MaskName is { } mask)
                    {
                        throw new OnnxFileException(
                            $"The network takes a mask, '{mask}': found one of {session.MaskWidth} entries, expected '{session.InputName}' alone, since it is judged on data."
                        );
                    }

                    session.Run(inputs, rows);
                    session.Floats(output!.Name).CopyTo(outputs);
                }
            );
        return judgements is null
            ? null
            : new NetworkJudgement(
                $"ONNX Runtime ({(session.Provider == ExecutionProvider.Cuda ? "cuda" : "cpu")})",
                judgements
            );
    }
}
