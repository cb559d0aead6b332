using System.Text.Json;
using Bmg.Export.Checkpoints;
using Bmg.Training.Acting;
using Bmg.Training.Agents;

namespace Bmg.Training.Experiments;

/// <summary>
/// Starts an experiment with what another run has learned: a checkpoint of the experiment's own start, with the other's parameters in their
/// places. The world, its chance and the count of steps are those of a new run.
/// </summary>
internal static class WarmStart
{
    private const string Learner = "learner";
    private static readonly string[] Taken =
    [
        Learner,
        "learnerOptimizer",
        "meta",
        "metaOptimizer",
        NormalizationDescription.Set,
    ];

    /// <summary>Takes the learner's parameters, and of its optimizer, the meta-parameters, their optimizer and the normalisation what fits;
    /// returns what that is, for people.</summary>
    /// <param name="experiment">At its start.</param>
    /// <param name="from">A checkpoint of as many members.</param>
    /// <param name="scratch">A file that may be written, and is gone afterwards.</param>
    /// <exception cref="CheckpointException">It cannot be read, has another number of members, or its learner has other networks.</exception>
    public static string Take(IExperiment experiment, string from, string scratch)
    {
        try
        {
            experiment.Save(scratch, "");
            using (Checkpoint own = CheckpointFile.Read(scratch))
            using (Checkpoint other = CheckpointFile.Read(from))
            {
                int members = own.Manifest.Seeds.Length;
                if (other.Manifest.Seeds.Length != members)
                {
                    throw new CheckpointException(
                        $"Checkpoint '{from}' holds {other.Manifest.Seeds.Length} members, expected {members}, as the run that starts from it."
                    );
                }
                RequireLearner(own, other, from);
                string[] taken = [.. Taken.Where(set => Fits(own, other, set))];
                foreach (string set in taken)
                {
                    other.RequireFinite(set);
                }
                Dictionary<string, Params> sets = own.Sets.ToDictionary(
                    set => set.Key,
                    set => taken.Contains(set.Key) ? other.Set(set.Key) : set.Value
                );
                PopulationState state = JsonSerializer.Deserialize<PopulationState>(own.Manifest.State)!;
                if (
                    taken.Contains(NormalizationDescription.Set)
                    && JsonSerializer.Deserialize<PopulationState>(other.Manifest.State) is { Normalizers: { } moments }
                )
                {
                    state = state with { Normalizers = moments };
                }
                // Not disposed: its tensors are those of the two.
                CheckpointFile.Write(
                    scratch,
                    new Checkpoint(own.Manifest with { State = JsonSerializer.Serialize(state) }, sets)
                );
                experiment.Restore(scratch);
                string[] afresh = [.. own.Sets.Keys.Where(set => Taken.Contains(set) && !taken.Contains(set))];
                return $"{string.Join(", ", taken)}{(afresh.Length == 0 ? "" : $"; afresh: {string.Join(", ", afresh)}")}";
            }
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"Checkpoint '{from}' holds a state that cannot be read: {e.Message}", e);
        }
        finally
        {
            File.Delete(scratch);
        }
    }

    private static void RequireLearner(Checkpoint own, Checkpoint other, string from)
    {
        string[] expected = Layout(own, Learner);
        string[] found = Layout(other, Learner);
        for (int i = 0; i < Math.Max(expected.Length, found.Length); i++)
        {
            string there = found.ElementAtOrDefault(i) ?? "nothing";
            string wanted = expected.ElementAtOrDefault(i) ?? "nothing";
            if (there != wanted)
            {
                throw new CheckpointException(
                    $"Checkpoint '{from}' holds {there} as tensor {i} of the learner, expected {wanted}: a run starts from one with the same networks."
                );
            }
        }
    }

    private static bool Fits(Checkpoint own, Checkpoint other, string set) =>
        own.Sets.ContainsKey(set) && other.Sets.ContainsKey(set) && Layout(own, set).SequenceEqual(Layout(other, set));

    private static string[] Layout(Checkpoint checkpoint, string set) =>
        [
            .. checkpoint
                .Set(set)
                .Names.Zip(
                    checkpoint.Set(set).Tensors,
                    (name, tensor) => new TensorLayout(name, tensor.dtype, tensor.shape).ToString()
                ),
        ];
}
