using TorchSharp;
using static TorchSharp.torch;

namespace Bmg.Training.Theory;

/// <summary>A matching function with a target, as law 5 tells them apart.</summary>
public enum GainForm
{
    /// <summary>KL, i.e. ½(x̃ − x)ᵀH(x̃ − x), with the plain gradient step ξ = x − αg: may ascend.</summary>
    KlPlain,

    /// <summary>½‖x̃ − x‖² with ξ = x − αg.</summary>
    L2Plain,

    /// <summary>KL with a natural-gradient step, ξ = x − αH⁻¹g.</summary>
    KlNatural,

    /// <summary>KL with ξ = x − αJJᵀg, the step that w itself could bring about.</summary>
    KlThroughJacobian,
}

/// <summary>
/// Everything that decides what one meta-step does: x = Jw, f(x) = gᵀx + ½xᵀHx, w = 0. So x⁽ᴷ⁾ = 0 and ∇f = g there, and H is both the
/// Hessian of f and the metric of the KL.
/// </summary>
/// <param name="Jacobian">J, n rows of m numbers.</param>
/// <param name="Hessian">H, n rows of n numbers; symmetric and positive definite.</param>
/// <param name="Gradient">g, n numbers.</param>
/// <param name="StepSize">α of the target's step.</param>
public sealed record GainCase(double[][] Jacobian, double[][] Hessian, double[] Gradient, double StepSize)
{
    /// <summary>KL with a plain step goes up: J = (1, −½), H = diag(1, 10), g = (1, 1).</summary>
    public static GainCase Ascending { get; } =
        new(
            [
                [1],
                [-0.5],
            ],
            [
                [1, 0],
                [0, 10],
            ],
            [1, 1],
            0.1
        );
}

/// <summary>What one meta-step of rate β did to f, beside what law 5 says of it to first order.</summary>
/// <param name="Form">μ and ξ.</param>
/// <param name="Beta">β.</param>
/// <param name="Predicted">−β(Jᵀg)·(Jᵀ∇ₓμ), from the matrices alone.</param>
/// <param name="Measured">f after a step of the meta-learner, minus f before.</param>
public sealed record GainPoint(GainForm Form, double Beta, double Predicted, double Measured);

/// <summary>The local gain of one meta-step, predicted and measured.</summary>
public static class LocalGain
{
    private sealed record Nothing;

    /// <summary>One meta-step of the meta-learner.</summary>
    public static GainPoint Measure(GainCase subject, GainForm form, double beta)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor jacobian = Matrix(subject.Jacobian);
        Tensor hessian = Matrix(subject.Hessian);
        Tensor gradient = tensor(subject.Gradient, ScalarType.Float64);
        Tensor identity = eye(subject.Gradient.Length, dtype: ScalarType.Float64);
        Tensor along = form switch
        {
            GainForm.KlNatural => linalg.inv(hessian),
            GainForm.KlThroughJacobian => jacobian.matmul(jacobian.t()),
            _ => identity,
        };
        Tensor metric = form == GainForm.L2Plain ? identity : hessian;

        LossFunction<Nothing> loss = LossFunction<Nothing>.Create(
            "f",
            (x, _, _) =>
                Landscape.Plus(x["x"].matmul(gradient), Landscape.Halved(x["x"].matmul(hessian).mul(x["x"]).sum(-1L)))
        );
        MetaLearner<Nothing> learner = MetaLearner<Nothing>.Create(
            MoveBy(jacobian),
            1,
            MetaParameters.RatePerParameter("", Params.Single("w", zeros(1, subject.Jacobian[0].Length)), 0),
            MetaObjective<Nothing>.NewBootstrapped(
                TargetBootstrap.LookAhead(
                    1,
                    UpdateRule.Gradient(loss, Optimizers.Sgd(subject.StepSize).After(Along(along))),
                    LastStepState.Fresh
                ),
                Landscape.InMetric(metric)
            ),
            Model<Nothing>.Create("none", (x, _, _) => x),
            Optimizers.Sgd(beta)
        );

        MetaState<Nothing> state = learner.Init(
            Params.Single("x", zeros(1, subject.Gradient.Length, dtype: ScalarType.Float64)),
            learner.MetaParameters.Init.Invoke([default], ScalarType.Float64, CPU)
        );
        Nothing data = new();
        (MetaState<Nothing> next, _) = learner.Step(state, (_, _) => new Experience<Nothing>(data, null), _ => { });
        double[] w = next.MetaParameters["w"].data<double>().ToArray();
        foreach (MetaState<Nothing> each in new[] { state, next })
        {
            each.Dispose();
        }
        return new GainPoint(form, beta, Predict(subject, Rows(along), Rows(metric), beta), LossAt(subject, w));
    }

    /// <summary>x ← x + Jw.</summary>
    private static UpdateRule<Nothing> MoveBy(Tensor jacobian) =>
        UpdateRule<Nothing>.Create(
            "x + Jw",
            x => new LearnerState(x, Params.Empty),
            (learner, hyper, _, _) =>
            {
                Tensor moved = Landscape.Plus(learner.Parameters["x"], hyper["w"].matmul(jacobian.t()));
                return new UpdateStep(
                    new LearnerState(Params.Single("x", moved), Params.Empty),
                    zeros(1, dtype: ScalarType.Float64)
                );
            }
        );

    /// <summary>The direction M·gradient.</summary>
    private static GradientTransformation Along(Tensor matrix) =>
        GradientTransformation.Create(
            "along",
            _ => Params.Empty,
            (gradients, state) => new TransformationStep(gradients.Map(g => g.matmul(matrix.t())), state)
        );

    /// <summary>Law 5 in plain numbers: −β(Jᵀg)·(Jᵀ∇ₓμ) with ∇ₓμ = αM·(direction of ξ).</summary>
    private static double Predict(GainCase subject, double[][] along, double[][] metric, double beta)
    {
        double[] slope = [.. Times(metric, Times(along, subject.Gradient)).Select(v => subject.StepSize * v)];
        double[] a = TransposedTimes(subject.Jacobian, subject.Gradient);
        double[] b = TransposedTimes(subject.Jacobian, slope);
        return -beta * Dot(a, b);
    }

    /// <summary>f(Jw); f(0) = 0.</summary>
    private static double LossAt(GainCase subject, double[] w)
    {
        double[] x = Times(subject.Jacobian, w);
        return Dot(subject.Gradient, x) + (0.5 * Dot(x, Times(subject.Hessian, x)));
    }

    private static Tensor Matrix(double[][] rows) =>
        tensor(rows.SelectMany(row => row).ToArray(), ScalarType.Float64).reshape(rows.Length, rows[0].Length);

    private static double[][] Rows(Tensor matrix) =>
        [.. matrix.contiguous().data<double>().ToArray().Chunk((int)matrix.shape[1])];

    private static double[] Times(double[][] matrix, double[] vector) => [.. matrix.Select(row => Dot(row, vector))];

    private static double[] TransposedTimes(double[][] matrix, double[] vector) =>
        [.. Enumerable.Range(0, matrix[0].Length).Select(j => matrix.Zip(vector, (row, v) => row[j] * v).Sum())];

    private static double Dot(double[] a, double[] b) => a.Zip(b, (x, y) => x * y).Sum();
}
