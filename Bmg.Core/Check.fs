namespace Bmg

open System.Runtime.CompilerServices
open TorchSharp

/// A tensor of libtorch. In comments P is the population (members), T time, B batch, A actions.
type Tensor = torch.Tensor

/// Numbers as libtorch's scalars. A scalar's native memory goes with its wrapper, and nothing in TorchSharp keeps a wrapper alive while a
/// native call reads it: the collector may take `t.mul(0.5.ToScalar())`'s between the two, and the product is then anything. Each
/// number here is made once and kept, so it is safe to write inline. For numbers without end (a rate that is new at every step), make one,
/// keep it in a variable and dispose it after the call instead.
[<RequireQualifiedAccess>]
module Scalars =

    let private kept = System.Collections.Concurrent.ConcurrentDictionary<float, Scalar>()
    let private make = System.Func<float, Scalar>(fun v -> Scalar.op_Implicit v)

    /// The scalar of this number, kept for the life of the process. Not to be disposed.
    [<CompiledName "Constant">]
    let constant (value: float) : Scalar = kept.GetOrAdd(value, make)

/// Sums, differences and squares without the scalar that TorchSharp's `add`, `sub` and `square` make at every call (the second operand's
/// factor 1, the power 2), which the collector may take while libtorch reads it (see `Scalars`).
[<Extension; AbstractClass; Sealed>]
type Arithmetic private () =

    // Whole numbers, so that tensors of whole numbers can be added as well.
    static let one: Scalar = Scalar.op_Implicit 1L
    static let minusOne: Scalar = Scalar.op_Implicit -1L

    /// t + other, element by element, broadcast.
    [<Extension; CompiledName "Plus">]
    static member plus(t: Tensor, other: Tensor) : Tensor = t.add (other, one)

    /// t + other, element by element.
    [<Extension; CompiledName "Plus">]
    static member plus(t: Tensor, other: Scalar) : Tensor = t.add (other, one)

    /// t − other, element by element, broadcast.
    [<Extension; CompiledName "Minus">]
    static member minus(t: Tensor, other: Tensor) : Tensor = t.add (other, minusOne)

    /// t − other, element by element.
    [<Extension; CompiledName "Minus">]
    static member minus(t: Tensor, other: Scalar) : Tensor = t.add (other, minusOne)

    /// t², element by element; TorchSharp's `square` is a power with a scalar of its own.
    [<Extension; CompiledName "Squared">]
    static member squared(t: Tensor) : Tensor = t.mul t

/// Guards that name the function, the argument, what was expected and what was found.
[<RequireQualifiedAccess>]
module Check =

    /// The shape of `tensor`, as in "[3, 16, 4]".
    [<CompiledName "Describe">]
    let describe (tensor: Tensor) : string =
        "[" + System.String.Join(", ", tensor.shape) + "]"

    /// Throws an ArgumentException that says which argument of which function was wrong, and how.
    [<CompiledName "Fail">]
    let fail (fn: string) (argument: string) (expected: string) (found: string) : 'T =
        invalidArg argument $"{fn}: '{argument}' must be {expected}, found {found}."

    /// Throws an ArgumentException unless `condition` holds.
    [<CompiledName "Require">]
    let require (fn: string) (argument: string) (expected: string) (found: obj) (condition: bool) : unit =
        if not condition then
            fail fn argument expected (string found)

    /// Throws unless `tensor` has the shape `axes`; −1 stands for any size. `legend` names the axes, as in "[P, T, A]".
    [<CompiledName "Shape">]
    let shape (fn: string) (argument: string) (legend: string) (axes: int64[]) (tensor: Tensor) : unit =
        let actual = tensor.shape
        let mutable equal = actual.Length = axes.Length

        if equal then
            for i in 0 .. axes.Length - 1 do
                if axes[i] >= 0L && axes[i] <> actual[i] then
                    equal <- false

        if not equal then
            let wanted =
                axes
                |> Array.map (fun a -> if a < 0L then "any" else string a)
                |> String.concat ", "

            fail fn argument $"of shape {legend} = [{wanted}]" (describe tensor)

    /// Throws unless `value` is a number in [low, high].
    [<CompiledName "Range">]
    let range (fn: string) (argument: string) (low: float) (high: float) (value: float) : unit =
        if not (value >= low && value <= high) then
            fail fn argument $"between {low} and {high}" (string value)
