using System.Text.Json;
using System.Text.Json.Nodes;
using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using static TorchSharp.torch;

namespace Bmg.Training.Experiments;

/// <summary>
/// Holds a checkpoint against the experiment that is to take it over, before anything of it is used: a file can have been edited, damaged,
/// or be of another run, and what is computed from it reads memory by the sizes that the experiment expects.
/// </summary>
/// <param name="checkpoint">The checkpoint, read from a file.</param>
internal sealed class CheckpointCheck(Checkpoint checkpoint)
{
    /// <summary>Refuses a checkpoint that was made with other settings, but for what a resume may change.</summary>
    public void RequireSettings(RunConfiguration now)
    {
        RunConfiguration then;
        try
        {
            then = Resolution.ReaderOf(now).Read(checkpoint.Manifest.Configuration, "its configuration");
        }
        catch (ConfigurationException e)
        {
            throw Fault($"was made with settings that cannot be read: {e.Faults[0]}", e);
        }

        var differences = ConfigurationJson.Differences(then, ResumeRules.AsBefore(now, then));
        if (differences.Count > 0)
        {
            throw Fault(
                $"was made with other settings than those of the run, which keep it from going on. Found, the checkpoint's first: {string.Join("; ", differences)}. Expected the checkpoint's, except for a larger environmentSteps, threads, run.whenNotFinite, run.keepLast and run.keepBest."
            );
        }
    }

    /// <summary>Refuses a checkpoint that describes other networks, which an export would take from it.</summary>
    public void RequireNetworks(PolicyDescription policy, MetaNetworkDescription? metaNetwork)
    {
        Compare("policy", checkpoint.Manifest.Policy, policy);
        Compare("meta-network", checkpoint.Manifest.MetaNetwork, metaNetwork);

        void Compare<T>(string what, T found, T expected)
        {
            var (there, wanted) = (JsonSerializer.SerializeToNode(found), JsonSerializer.SerializeToNode(expected));
            if (JsonNode.DeepEquals(there, wanted))
            {
                return;
            }

            // The one entry that differs, where both have entries.
            if (there is JsonObject a && wanted is JsonObject b)
            {
                var key = a.Concat(b).First(entry => !JsonNode.DeepEquals(a[entry.Key], b[entry.Key])).Key;
                (what, there, wanted) = ($"{what}.{JsonNamingPolicy.CamelCase.ConvertName(key)}", a[key], b[key]);
            }

            throw Fault(
                $"describes another {what} than the run's. Found {there?.ToJsonString() ?? "none"}, expected {wanted?.ToJsonString() ?? "none"}."
            );
        }
    }

    /// <summary>Refuses sets, names, types or shapes that are not the expected ones, and numbers that are not finite.</summary>
    public void RequireTensors(IReadOnlyDictionary<string, TensorLayout[]> expected)
    {
        if (!checkpoint.Sets.Keys.Order().SequenceEqual(expected.Keys.Order()))
        {
            throw Fault(
                $"holds the sets {string.Join(", ", checkpoint.Sets.Keys)}, expected {string.Join(", ", expected.Keys)}."
            );
        }

        foreach (var (name, layout) in expected)
        {
            var found = TensorLayoutsOf(checkpoint.Set(name));
            for (var i = 0; i < Math.Max(found.Length, layout.Length); i++)
            {
                var there = i < found.Length ? found[i].ToString() : "nothing";
                var wanted = i < layout.Length ? layout[i].ToString() : "nothing";
                if (there != wanted)
                {
                    throw Fault($"holds {there} as tensor {i} of set '{name}', expected {wanted}.");
                }
            }

            checkpoint.RequireFinite(name);
        }
    }

    /// <summary>The numbers beside the tensors, for as many members as there are seeds.</summary>
    /// <param name="hasContext">Whether the members' meta-parameters see a context.</param>
    /// <param name="unit">What the experiment counts, for messages.</param>
    public PopulationState RequireState(bool hasContext, string unit)
    {
        PopulationState? state;
        try
        {
            state = JsonSerializer.Deserialize<PopulationState>(checkpoint.Manifest.State);
        }
        catch (JsonException e)
        {
            throw Fault($"holds a state of the worlds that cannot be read: {e.Message}", e);
        }

        var members = checkpoint.Manifest.Seeds.Length;
        if (checkpoint.Manifest.EnvironmentSteps < 0)
        {
            throw Fault($"has done {checkpoint.Manifest.EnvironmentSteps} {unit}, expected 0 at least.");
        }

        RequireRows("streams", state?.Streams?.Length, members, state?.Streams?.Contains(null!) ?? true);
        RequireRows("actions", state?.Actions?.Length, members, state?.Actions?.Contains(null!) ?? true);
        RequireRows(
            "contexts",
            state?.Contexts?.Length,
            hasContext ? members : 0,
            state?.Contexts?.Contains(null!) ?? true
        );
        return state!;
    }

    /// <summary>Refuses what a part of the experiment refuses, with the file's name.</summary>
    public void Take(Action restore)
    {
        try
        {
            restore();
        }
        catch (ArgumentException e)
        {
            throw Fault($"holds a state that cannot be: {e.Message}", e);
        }
    }

    private void RequireRows(string what, int? found, int expected, bool hasNull)
    {
        if (found != expected || hasNull)
        {
            throw Fault(
                $"holds the {what} of {(found is null ? "no" : found)} members{(found is not null && hasNull ? ", one of them null" : "")}, expected {expected} of them."
            );
        }
    }

    private static TensorLayout[] TensorLayoutsOf(Params set) =>
        [.. set.Names.Zip(set.Tensors, (name, tensor) => new TensorLayout(name, tensor.dtype, tensor.shape))];

    private CheckpointException Fault(string what, Exception? cause = null)
    {
        var message = $"Checkpoint '{checkpoint.Source}' {what}";
        return cause is null ? new CheckpointException(message) : new CheckpointException(message, cause);
    }
}
