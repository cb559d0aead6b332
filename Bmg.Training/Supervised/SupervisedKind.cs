using Bmg.Training.Agents;
using Bmg.Training.Configuration;
using Bmg.Training.Data;
using Bmg.Training.Experiments;

namespace Bmg.Training.Supervised;

/// <summary>Supervised training: networks that learn from the examples of a data set, and whose learning rate is meta-learned.</summary>
/// <param name="settings">Settings of the experiment.</param>
public sealed class SupervisedKind(SupervisedSettings settings) : IExperimentKind
{
    private const int Block = 1024;

    /// <inheritdoc/>
    public string Unit => Units.Examples;

    /// <inheritdoc/>
    public IEnumerable<BrokenRule> Broken(RunConfiguration configuration)
    {
        var meta = configuration.Meta;
        if (meta.Method != MetaMethod.Fixed && meta.Parameters == MetaParameterKind.Network)
        {
            yield return new BrokenRule(
                "meta.parameters",
                "\"network\"",
                "\"scalar\" with experiment \"supervised\", whose learning rate sees no context"
            );
        }

        var optimizer = settings.Optimizer.Make(AgentKinds.Optimizer);
        if (SupervisedLearners.InitialRate(optimizer) is not { } rate)
        {
            yield return new BrokenRule(
                "experiment.optimizer",
                $"\"{settings.Optimizer.Name}\", whose learning rate is learned",
                "one of a constant learning rate, from which the meta-learned one starts"
            );
        }
        else if (meta.Method != MetaMethod.Fixed)
        {
            var (low, high) = (settings.LearnedRate.Low, settings.LearnedRate.High);
            if (low >= high)
            {
                yield return new BrokenRule(
                    "experiment.learnedRate.high",
                    Text(high),
                    $"more than experiment.learnedRate.low, which is {Text(low)}"
                );
            }
            else if (rate < low || rate > high)
            {
                yield return new BrokenRule(
                    "experiment.optimizer.learningRate",
                    Text(rate),
                    $"a number from experiment.learnedRate.low to .high, {Text(low)} to {Text(high)}"
                );
            }
        }

        var (data, flaw) = Data();
        if (data is null)
        {
            yield return flaw;
            yield break;
        }

        if (settings.HeldOut > 0 && data.Count(DataSplit.Training) < 2)
        {
            yield return new BrokenRule(
                "experiment.heldOut",
                Text(settings.HeldOut),
                "0, since there is but one training example"
            );
        }

        if (meta.Method == MetaMethod.Bmg && !data.Description.HasClasses)
        {
            for (var i = 0; i < configuration.Matching.Functions.Count; i++)
            {
                var function = configuration.Matching.Functions[i].Function;
                var compares = function.Make(AgentKinds.Matching)(
                    new MatchingContext(configuration.Matching.Reduction, Distributions.Categorical(2))
                );
                if (compares.Has(MatchingClaims.ShiftInvariant))
                {
                    yield return new BrokenRule(
                        $"matching.functions.{i}.name",
                        $"\"{function.Name}\", which compares probabilities of classes",
                        "one that compares predicted numbers, as \"logit-l2\" (half the squared difference, KL of Gaussians of variance 1), or parameters, as \"parameter-l2\": the data has targets"
                    );
                }
            }
        }
    }

    /// <inheritdoc/>
    public IEnumerable<MemoryNeed> Needs(RunConfiguration configuration)
    {
        double members = configuration.Members;
        var data = SupervisedLearners.DataOf(settings).Description;
        int[] widths = [data.InputSize, .. settings.Hidden, data.OutputSize];
        var onHost = configuration.Device == DeviceKind.Cpu ? 1 : 0;
        yield return new MemoryNeed(
            "experiment.hidden",
            "members × the largest layer of experiment.hidden",
            members * LayerSizes.Largest(widths) * sizeof(float),
            IsOneTensor: true
        );
        yield return new MemoryNeed(
            "experiment.batchSize",
            "members × experiment.batchSize × the widest of input and experiment.hidden",
            members * settings.BatchSize * widths.Max() * sizeof(float),
            IsOneTensor: true
        );
        // The learner, its gradient, and its parameters after each differentiated step.
        double steps =
            configuration.Meta.Method != MetaMethod.Fixed
            && configuration.Meta.Differentiation == DifferentiationKind.Reverse
                ? settings.InnerSteps
                : 1;
        yield return new MemoryNeed(
            "experiment.hidden",
            "parameters of experiment.hidden × members",
            onHost * members * LayerSizes.Parameters(widths) * (2 + steps) * sizeof(float)
        );
        yield return new MemoryNeed(
            "experiment.batchSize",
            "batches of experiment.batchSize × members",
            onHost * members * settings.BatchSize * widths.Sum(width => (double)width) * sizeof(float)
        );
    }

    /// <inheritdoc/>
    public IExperiment Create(RunConfiguration configuration, DerivedSettings derived, CancellationToken abandon) =>
        new PopulationExperiment(derived, SupervisedLearners.Create(configuration, abandon));

    /// <inheritdoc/>
    public float[]? KnownInputs(RunConfiguration configuration)
    {
        var data = SupervisedLearners.DataOf(settings);
        var split = data.Count(DataSplit.Test) > 0 ? DataSplit.Test : DataSplit.Training;
        var count = Math.Min(Block, data.Count(split));
        var inputs = new float[count * data.Description.InputSize];
        Read(data, split, 0, count, inputs, new float[count * data.Description.LabelSize]);
        return inputs;
    }

    /// <inheritdoc/>
    public IReadOnlyList<Measurement> Judge(
        RunConfiguration configuration,
        int inputs,
        int outputs,
        TrainedNetwork network
    )
    {
        ArgumentNullException.ThrowIfNull(network);
        var data = SupervisedLearners.DataOf(settings);
        var description = data.Description;
        if (inputs != description.InputSize || outputs != description.OutputSize)
        {
            throw new UsageException(
                $"data \"{settings.Data.Name}\": found a network from {inputs} numbers to {outputs}, expected {description.InputSize} and {description.OutputSize}."
            );
        }

        // Without a test split, what there is.
        var (split, name) =
            data.Count(DataSplit.Test) > 0 ? (DataSplit.Test, "test") : (DataSplit.Training, "training");
        double loss = 0,
            right = 0;
        var count = data.Count(split);
        for (var start = 0; start < count; start += Block)
        {
            var rows = Math.Min(Block, count - start);
            var seen = new float[rows * inputs];
            var labels = new float[rows * description.LabelSize];
            var found = new float[rows * outputs];
            Read(data, split, start, rows, seen, labels);
            network(seen, rows, found);
            for (var row = 0; row < rows; row++)
            {
                ReadOnlySpan<float> output = found.AsSpan(row * outputs, outputs);
                if (description.HasClasses)
                {
                    loss -= LogProbability(output, (int)labels[row]);
                    right += Greatest(output) == (int)labels[row] ? 1 : 0;
                }
                else
                {
                    loss += SquaredDistance(output, labels.AsSpan(row * outputs, outputs)) / outputs;
                }
            }
        }

        if (description.HasClasses)
        {
            return [new($"{name} accuracy", right / count), new($"{name} cross-entropy (nats)", loss / count)];
        }

        var (training, _) = SupervisedPopulation.Split(data, settings.HeldOut);
        var variance = SupervisedPopulation.VarianceOf(data, training);
        return
        [
            new($"{name} variance explained", 1 - (loss / count / variance)),
            new($"{name} squared error", loss / count),
        ];
    }

    private (IDataSet? Data, BrokenRule Flaw) Data()
    {
        try
        {
            return (SupervisedLearners.DataOf(settings), default);
        }
        catch (DataException e)
        {
            return (null, new BrokenRule("experiment.data", e.Found, e.Expected));
        }
    }

    private static void Read(IDataSet data, DataSplit split, int first, int count, float[] inputs, float[] labels)
    {
        var (width, numbers) = (data.Description.InputSize, data.Description.LabelSize);
        for (var i = 0; i < count; i++)
        {
            data.Write(split, first + i, inputs.AsSpan(i * width, width), labels.AsSpan(i * numbers, numbers));
        }
    }

    private static double LogProbability(ReadOnlySpan<float> logits, int index)
    {
        double greatest = logits[Greatest(logits)],
            sum = 0;
        foreach (var logit in logits)
        {
            sum += Math.Exp(logit - greatest);
        }

        return logits[index] - greatest - Math.Log(sum);
    }

    private static int Greatest(ReadOnlySpan<float> values)
    {
        var best = 0;
        for (var i = 1; i < values.Length; i++)
        {
            best = values[i] > values[best] ? i : best;
        }

        return best;
    }

    private static double SquaredDistance(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double sum = 0;
        for (var i = 0; i < a.Length; i++)
        {
            sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        }

        return sum;
    }

    private static string Text(double value) => FormattableString.Invariant($"{value}");
}
