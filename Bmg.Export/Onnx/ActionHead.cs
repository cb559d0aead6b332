using System.Globalization;
using Bmg.Export.Checkpoints;
using TorchSharp;

namespace Bmg.Export.Onnx;

/// <summary>From a policy's raw outputs to what its model puts out, in ONNX and in TorchSharp; one for each <see cref="PolicyKind"/>.</summary>
internal abstract class ActionHead
{
    /// <summary>Which kind of model it makes.</summary>
    public abstract string Kind { get; }

    /// <summary>Name of the raw outputs in the graph.</summary>
    public abstract string Raw { get; }

    /// <summary>What the model can put out, the value excepted.</summary>
    public abstract IReadOnlyList<ValueInfoProto> Outputs { get; }

    /// <summary>A graph that ends with the raw outputs, and what follows from them.</summary>
    public abstract OnnxGraph After(OnnxGraph graph);

    /// <summary>The same in TorchSharp, output by output.</summary>
    /// <param name="raw">Raw outputs [batch, outputs].</param>
    /// <param name="mask">What is allowed, [batch, choices] bool; null where everything is.</param>
    public abstract Dictionary<string, torch.Tensor> Evaluate(torch.Tensor raw, torch.Tensor? mask);

    /// <summary>The one for a policy.</summary>
    public static ActionHead Of(PolicyDescription policy) =>
        policy.Kind switch
        {
            PolicyKind.Values => new Values(policy.ActionMeanings.Length),
            PolicyKind.Predictions => new Predictions(policy.ActionMeanings.Length),
            PolicyKind.Logits => new Logits(policy.ActionMeanings.Length, policy.Masked),
            PolicyKind.SeveralLogits => new Several(policy.Choices, policy.Masked),
            PolicyKind.Gaussian => new Gaussian(policy.Numbers!),
            _ => throw new ArgumentException($"There is no policy of kind {policy.Kind}."),
        };

    private static ValueInfoProto Floats(string name, int width) =>
        OnnxModel.Value(name, TensorProto.Types.DataType.Float, width);

    private static ValueInfoProto Integers(string name, params long[] axes) =>
        OnnxModel.Value(name, TensorProto.Types.DataType.Int64, axes);

    /// <summary>Columns of a value [batch, columns], from one up to before another.</summary>
    private static OnnxGraph Slice(OnnxGraph graph, string from, string to, int start, int end)
    {
        var (first, after, axes) = (to + ".start", to + ".end", to + ".axes");
        return graph.Then(
            OnnxGraph.Node("Slice", [from, first, after, axes], to),
            OnnxGraph.Constant(first, [start]),
            OnnxGraph.Constant(after, [end]),
            OnnxGraph.Constant(axes, [1L])
        );
    }

    /// <summary>Logits in which what is not allowed is −∞, and their name; those themselves where there is no mask.</summary>
    private static (OnnxGraph Graph, string Name) Allowed(OnnxGraph graph, bool masked)
    {
        if (!masked)
        {
            return (graph, PolicyExporter.Logits);
        }
        const string Name = "logits.allowed";
        const string Never = "logits.never";
        return (
            graph.Then(
                OnnxGraph.Node("Where", [PolicyExporter.Mask, PolicyExporter.Logits, Never], Name),
                OnnxGraph.Constant(Never, float.NegativeInfinity)
            ),
            Name
        );
    }

    private static torch.Tensor Allowed(torch.Tensor raw, torch.Tensor? mask) =>
        mask is null ? raw : raw.masked_fill(mask.logical_not(), float.NegativeInfinity);

    private sealed class Values(int actions) : ActionHead
    {
        public override string Kind => ModelKinds.ActionValues;

        public override string Raw => PolicyExporter.ActionValues;

        public override IReadOnlyList<ValueInfoProto> Outputs =>
            [Floats(Raw, actions), Integers(PolicyExporter.Action)];

        public override OnnxGraph After(OnnxGraph graph) =>
            graph.Then(OnnxGraph.Node("ArgMax", [Raw], PolicyExporter.Action, ("axis", 1), ("keepdims", 0)));

        public override Dictionary<string, torch.Tensor> Evaluate(torch.Tensor raw, torch.Tensor? mask) =>
            new() { [Raw] = raw, [PolicyExporter.Action] = raw.argmax(-1) };
    }

    private sealed class Predictions(int numbers) : ActionHead
    {
        public override string Kind => ModelKinds.Predictions;

        public override string Raw => PolicyExporter.Predictions;

        public override IReadOnlyList<ValueInfoProto> Outputs => [Floats(Raw, numbers)];

        public override OnnxGraph After(OnnxGraph graph) => graph;

        public override Dictionary<string, torch.Tensor> Evaluate(torch.Tensor raw, torch.Tensor? mask) =>
            new() { [Raw] = raw };
    }

    private sealed class Logits(int actions, bool masked) : ActionHead
    {
        public override string Kind => ModelKinds.Policy;

        public override string Raw => PolicyExporter.Logits;

        public override IReadOnlyList<ValueInfoProto> Outputs =>
            [Floats(Raw, actions), Floats(PolicyExporter.Probabilities, actions), Integers(PolicyExporter.Action)];

        public override OnnxGraph After(OnnxGraph graph)
        {
            (graph, var logits) = Allowed(graph, masked);
            return graph
                .Then(OnnxGraph.Node("Softmax", [logits], PolicyExporter.Probabilities, ("axis", 1)))
                .Then(OnnxGraph.Node("ArgMax", [logits], PolicyExporter.Action, ("axis", 1), ("keepdims", 0)));
        }

        public override Dictionary<string, torch.Tensor> Evaluate(torch.Tensor raw, torch.Tensor? mask)
        {
            var logits = Allowed(raw, mask);
            return new()
            {
                [Raw] = raw,
                [PolicyExporter.Action] = logits.argmax(-1),
                [PolicyExporter.Probabilities] = Categorical.Probabilities(logits),
            };
        }
    }

    private sealed class Several(int[] choices, bool masked) : ActionHead
    {
        private readonly int _all = choices.Sum();

        public override string Kind => ModelKinds.SeveralActions;

        public override string Raw => PolicyExporter.Logits;

        public override IReadOnlyList<ValueInfoProto> Outputs =>
            [
                Floats(Raw, _all),
                Floats(PolicyExporter.Probabilities, _all),
                Integers(PolicyExporter.Action, choices.Length),
            ];

        public override OnnxGraph After(OnnxGraph graph)
        {
            (graph, var logits) = Allowed(graph, masked);
            var (probabilities, actions) = (new List<string>(), new List<string>());
            var start = 0;
            for (var i = 0; i < choices.Length; i++)
            {
                var own = string.Create(CultureInfo.InvariantCulture, $"action.{i}.logits");
                probabilities.Add(string.Create(CultureInfo.InvariantCulture, $"action.{i}.probabilities"));
                actions.Add(string.Create(CultureInfo.InvariantCulture, $"action.{i}.choice"));
                graph = Slice(graph, logits, own, start, start + choices[i])
                    .Then(OnnxGraph.Node("Softmax", [own], probabilities[i], ("axis", 1)))
                    .Then(OnnxGraph.Node("ArgMax", [own], actions[i], ("axis", 1), ("keepdims", 1)));
                start += choices[i];
            }
            return graph
                .Then(OnnxGraph.Node("Concat", probabilities, PolicyExporter.Probabilities, ("axis", 1)))
                .Then(OnnxGraph.Node("Concat", actions, PolicyExporter.Action, ("axis", 1)));
        }

        public override Dictionary<string, torch.Tensor> Evaluate(torch.Tensor raw, torch.Tensor? mask)
        {
            var logits = Allowed(raw, mask);
            var (probabilities, actions) = (new List<torch.Tensor>(), new List<torch.Tensor>());
            var start = 0L;
            foreach (var own in choices)
            {
                var part = logits.narrow(-1, start, own);
                probabilities.Add(Categorical.Probabilities(part));
                actions.Add(part.argmax(-1, true));
                start += own;
            }
            return new()
            {
                [Raw] = raw,
                [PolicyExporter.Probabilities] = torch.cat(probabilities, -1),
                [PolicyExporter.Action] = torch.cat(actions, -1),
            };
        }
    }

    private sealed class Gaussian(NumberDescription[] numbers) : ActionHead
    {
        private const float Widest = (float)Distributions.MostLogDeviation;

        private readonly int _actions = numbers.Length;
        private readonly float[] _low = [.. numbers.Select(number => number.Low)];
        private readonly float[] _high = [.. numbers.Select(number => number.High)];
        private readonly float[] _range = [.. numbers.Select(number => number.High - number.Low)];

        public override string Kind => ModelKinds.NumberActions;

        public override string Raw => "means.logDeviations";

        public override IReadOnlyList<ValueInfoProto> Outputs =>
            [
                Floats(PolicyExporter.Mean, _actions),
                Floats(PolicyExporter.Deviation, _actions),
                Floats(PolicyExporter.Action, _actions),
            ];

        // The arithmetic of NumberDescription.Stretch, operation by operation.
        public override OnnxGraph After(OnnxGraph graph)
        {
            graph = Slice(graph, Raw, PolicyExporter.Mean, 0, _actions);
            graph = Slice(graph, Raw, "deviation.logarithm", _actions, 2 * _actions);
            graph = Scalar("Max", "deviation.logarithm", "deviation.least", -Widest);
            graph = Scalar("Min", "deviation.least", "deviation.most", Widest);
            graph = graph.Then(OnnxGraph.Node("Exp", ["deviation.most"], PolicyExporter.Deviation));
            graph = Scalar("Max", PolicyExporter.Mean, "action.least", -1);
            graph = Scalar("Min", "action.least", "action.most", 1);
            graph = Scalar("Add", "action.most", "action.shifted", 1);
            graph = Scalar("Mul", "action.shifted", "action.share", 0.5f);
            graph = Row("Mul", "action.share", "action.scaled", _range);
            graph = Row("Add", "action.scaled", "action.stretched", _low);
            graph = Row("Max", "action.stretched", "action.low", _low);
            return Row("Min", "action.low", PolicyExporter.Action, _high);

            OnnxGraph Scalar(string type, string from, string to, float by) =>
                graph.Then(OnnxGraph.Node(type, [from, to + ".by"], to), OnnxGraph.Constant(to + ".by", by));

            OnnxGraph Row(string type, string from, string to, float[] by)
            {
                using var scope = torch.NewDisposeScope();
                return graph.Then(
                    OnnxGraph.Node(type, [from, to + ".by"], to),
                    OnnxGraph.Constant(to + ".by", torch.tensor(by))
                );
            }
        }

        public override Dictionary<string, torch.Tensor> Evaluate(torch.Tensor raw, torch.Tensor? mask)
        {
            var mean = raw.narrow(-1, 0, _actions);
            var (low, high) = (torch.tensor(_low), torch.tensor(_high));
            var share = mean.clamp(-1, 1).add(1).mul(0.5f);
            return new()
            {
                [PolicyExporter.Mean] = mean,
                [PolicyExporter.Deviation] = raw.narrow(-1, _actions, _actions).clamp(-Widest, Widest).exp(),
                [PolicyExporter.Action] = share.mul(torch.tensor(_range)).add(low).maximum(low).minimum(high),
            };
        }
    }
}
