using TorchSharp;
using static TorchSharp.torch;

namespace Bmg.Training.Theory;

/// <summary>What a learner's step sees: the noise of this step on ρ(x), [P, n]; null where there is none.</summary>
public sealed record Observation(Tensor? Noise);

/// <summary>
/// A population's loss f(x) = ½‖ρ(x)‖², the negative log-likelihood of a model N(ρ(x), 1) that observes 0; one row a member, so that members
/// differ in their condition number. x is n tensors "x0", "x1", … of shape [P, 1].
/// </summary>
public sealed class Landscape : IDisposable
{
    /// <summary>The least condition number at which Rosenbrock's valley is solved for b; its Hessian has none below 17.94.</summary>
    public const double LeastRosenbrockCondition = 18;

    private const string Residuals = "residuals";

    // Kept for good: the collector may take a scalar that is made in a call while libtorch reads it, the factor 1 of add and sub included.
    private static readonly Scalar Half = 0.5;
    private static readonly Scalar One = 1.0;
    private static readonly Scalar MinusOne = -1.0;
    private readonly ProblemKind _kind;
    private readonly Tensor _scales;

    /// <summary>A population.</summary>
    /// <param name="kind">The loss.</param>
    /// <param name="dimensions">n.</param>
    /// <param name="conditions">κ of each member.</param>
    public Landscape(ProblemKind kind, int dimensions, IReadOnlyList<double> conditions)
    {
        _kind = kind;
        Dimensions = dimensions;
        Scales = [.. conditions.Select(condition => ScalesOf(kind, dimensions, condition))];
        _scales = Rows(Scales);
        Names = [.. Enumerable.Range(0, dimensions).Select(i => $"x{i}")];
    }

    /// <summary>n.</summary>
    public int Dimensions { get; }

    /// <summary>Names of the coordinates' tensors.</summary>
    public string[] Names { get; }

    /// <summary>The loss under a step's noise.</summary>
    public LossFunction<Observation> LossFunction =>
        LossFunction<Observation>.Create(
            _kind == ProblemKind.Quadratic ? "quadratic" : "rosenbrock",
            (x, _, data) => HalfSquare(data.Noise is { } noise ? Plus(ResidualsOf(x), noise) : ResidualsOf(x))
        );

    /// <summary>The model, which puts out ρ(x).</summary>
    public Model<Observation> Model =>
        Model<Observation>.Create("gaussian", (x, _, _) => Params.Single(Residuals, ResidualsOf(x)));

    /// <summary>√(curvature) of each residual, a row a member.</summary>
    private double[][] Scales { get; }

    /// <summary>
    /// KL(N(ρ(x̃), 1) ‖ N(ρ(x), 1)) = ½‖ρ(x̃) − ρ(x)‖². On a quadratic it is ½(x̃ − x)ᵀH(x̃ − x); elsewhere its Hessian at a match is the
    /// Gauss-Newton matrix of f.
    /// </summary>
    public static MatchingFunction GaussianKl { get; } =
        MatchingFunction.Create(
            "gaussian-kl",
            MatchingClaims.Divergence | MatchingClaims.Symmetric | MatchingClaims.RootMetric,
            (target, learner) => HalfSquare(target[Residuals].add(learner[Residuals], MinusOne))
        );

    /// <summary>
    /// ½(x̃ − x)ᵀM(x̃ − x) over all parameters in one row: the KL of the Gaussians N(x, M⁻¹), M [n, n] symmetric and positive semi-definite.
    /// </summary>
    public static MatchingFunction InMetric(Tensor metric)
    {
        ArgumentNullException.ThrowIfNull(metric);
        return MatchingFunction.Create(
            "in-metric",
            MatchingClaims.Divergence | MatchingClaims.Symmetric | MatchingClaims.RootMetric,
            (target, learner) =>
            {
                Tensor d = target.Parameters.Subtract(learner.Parameters).Flatten();
                return Halved(d.mul(d.matmul(metric)).sum(-1L));
            }
        );
    }

    /// <summary>a + b.</summary>
    internal static Tensor Plus(Tensor a, Tensor b) => a.add(b, One);

    /// <summary>½t.</summary>
    internal static Tensor Halved(Tensor t) => t.mul(Half);

    /// <summary>f without noise, one number a member.</summary>
    public double[] Loss(Params x)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable constants = no_grad();
        return HalfSquare(ResidualsOf(x)).data<double>().ToArray();
    }

    /// <summary>
    /// A fresh start, one of the generators for each repetition; members of one repetition start from the same draw, whatever their κ.
    /// On a quadratic every eigenvector holds the same share of the loss on average; in the valley x lies around (−1, 1).
    /// </summary>
    public Params Start(Rng[] repetitions)
    {
        double[][] draws = Draw(repetitions, Dimensions);
        using DisposeScope scope = NewDisposeScope();
        Tensor[] columns =
        [
            .. Enumerable
                .Range(0, Dimensions)
                .Select(i =>
                    Rows([
                        .. Scales.Select<double[], double[]>(
                            (scale, p) =>
                                [
                                    _kind == ProblemKind.Quadratic
                                        ? draws[p % draws.Length][i] / scale[i]
                                        : (i == 0 ? -1 : 1) + (0.1 * draws[p % draws.Length][i]),
                                ]
                        ),
                    ])
                ),
        ];
        return Params.Create(Names, columns).DetachFromScope();
    }

    /// <summary>One step's data.</summary>
    public Observation Observe(double deviation, Rng[] repetitions)
    {
        if (deviation == 0)
        {
            return new Observation(null);
        }
        double[][] draws = Draw(repetitions, Dimensions);
        return new Observation(
            Rows([.. Scales.Select((_, p) => draws[p % draws.Length].Select(draw => deviation * draw).ToArray())])
        );
    }

    /// <inheritdoc/>
    public void Dispose() => _scales.Dispose();

    private static double[][] Draw(Rng[] repetitions, int count) =>
        [.. repetitions.Select(rng => Enumerable.Range(0, count).Select(_ => rng.NextNormal()).ToArray())];

    private static Tensor Rows(double[][] rows)
    {
        using Tensor flat = tensor(rows.SelectMany(row => row).ToArray(), ScalarType.Float64);
        return flat.reshape(rows.Length, rows[0].Length);
    }

    private static Tensor HalfSquare(Tensor rows) => Halved(rows.mul(rows).sum(-1L));

    private Tensor ResidualsOf(Params x) =>
        _kind == ProblemKind.Quadratic
            ? x.Flatten().mul(_scales)
            : cat([x["x0"].neg().add(One, One), x["x1"].add(x["x0"].mul(x["x0"]), MinusOne)], 1L).mul(_scales);

    /// <summary>What each residual is multiplied with, such that the largest curvature (at the minimum) is 1.</summary>
    private static double[] ScalesOf(ProblemKind kind, int dimensions, double condition)
    {
        if (kind == ProblemKind.Quadratic)
        {
            return [.. Enumerable.Range(0, dimensions).Select(i => Math.Pow(condition, -0.5 * i / (dimensions - 1)))];
        }
        // Hessian at (1, 1): [[2 + 8b, −4b], [−4b, 2b]], of trace 2 + 10b and determinant 4b, and trace²/determinant = (1 + κ)²/κ = s.
        double s = (1 + condition) * (1 + condition) / condition;
        double half = (4 * s) - 40;
        double b = (half + Math.Sqrt((half * half) - 1600)) / 200;
        double trace = 2 + (10 * b);
        double largest = trace * condition / (1 + condition);
        return [Math.Sqrt(2 / largest), Math.Sqrt(2 * b / largest)];
    }
}
