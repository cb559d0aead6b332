using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>The parameters that a population acted with last, and the step that led to them.</summary>
internal sealed class StepMemory : IDisposable
{
    /// <summary>Name of the set in a checkpoint.</summary>
    public const string Set = "steps";

    private const string Before = "before.";
    private const string Last = "step.";
    private Params _before;
    private Params _step;

    /// <summary>No steps so far from <paramref name="start"/>.</summary>
    public StepMemory(Params start)
    {
        using var noGrad = no_grad();
        _before = start.Clone().DetachFromScope();
        _step = start.ZerosLike().DetachFromScope();
    }

    /// <summary>Cosine of each member's last two steps, the last of which leads to <paramref name="x"/>; 0 where one is nothing.</summary>
    public double[] Take(Params x)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var now = x.Clone();
        var step = now.Subtract(_before);
        var lengths = ParamsModule
            .squaredNorm(step)
            .to(ScalarType.Float64)
            .sqrt()
            .mul(_step.SquaredNorm().to(ScalarType.Float64).sqrt());
        var cosines = step.Dot(_step).to(ScalarType.Float64).div(lengths.clamp_min(1e-300));
        var result = cosines.cpu().data<double>().ToArray();
        Dispose();
        _before = now.DetachFromScope();
        _step = step.DetachFromScope();
        return result;
    }

    /// <summary>Forgets a member's steps: it is frozen, and its last numbers may be anything.</summary>
    public void Forget(int member)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        foreach (var tensor in _before.Tensors.Concat(_step.Tensors))
        {
            tensor[member].zero_();
        }
    }

    /// <summary>All there is to save; these tensors stay this object's own.</summary>
    public Params ToParams() => Params.Merge([_before.WithPrefix(Before), _step.WithPrefix(Last)]);

    /// <summary>Takes over what <see cref="ToParams"/> gave.</summary>
    /// <param name="saved">Out of every scope; this object's own from now on.</param>
    public void Restore(Params saved)
    {
        Dispose();
        _before = saved.Sub(Before);
        _step = saved.Sub(Last);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _before.Dispose();
        _step.Dispose();
    }
}
