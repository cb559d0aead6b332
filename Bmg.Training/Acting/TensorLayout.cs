using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>A tensor of a checkpoint, all members together.</summary>
/// <param name="Name">Its name in its set.</param>
/// <param name="Type">Type of its elements.</param>
/// <param name="Shape">Its sizes, the population's first.</param>
public sealed record TensorLayout(string Name, ScalarType Type, long[] Shape)
{
    /// <summary>The layout of tensors that there are, for a population of another size.</summary>
    public static TensorLayout[] Of(Params set, long members) =>
        [.. set.Names.Zip(set.Tensors, (name, tensor) => Of(name, tensor.dtype, members, tensor.shape[1..]))];

    /// <summary>A layout from the sizes behind the population's.</summary>
    public static TensorLayout Of(string name, ScalarType type, long members, params long[] rest) =>
        new(name, type, [members, .. rest]);

    /// <inheritdoc/>
    public override string ToString() => $"'{Name}' {Type} [{string.Join(", ", Shape)}]";
}
