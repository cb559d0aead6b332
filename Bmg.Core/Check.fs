namespace Bmg

open TorchSharp

/// A tensor of libtorch. In comments P is the population (members), T time, B batch, A actions.
type Tensor = torch.Tensor

/// Guards that name the function, the argument, what was expected and what was found.
[<RequireQualifiedAccess>]
module Check =

    /// The shape of `tensor`, as in "[3, 16, 4]".
    let describe (tensor: Tensor) : string =
        "[" + System.String.Join(", ", tensor.shape) + "]"

    /// Throws an ArgumentException that says which argument of which function was wrong, and how.
    let fail (fn: string) (argument: string) (expected: string) (found: string) : 'T =
        invalidArg argument $"{fn}: '{argument}' must be {expected}, found {found}."

    /// Throws an ArgumentException unless `condition` holds.
    let require (fn: string) (argument: string) (expected: string) (found: obj) (condition: bool) : unit =
        if not condition then
            fail fn argument expected (string found)

    /// Throws unless `tensor` has the shape `axes`; −1 stands for any size. `legend` names the axes, as in "[P, T, A]".
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

    /// Throws unless `value` is a finite number in [low, high].
    let range (fn: string) (argument: string) (low: float) (high: float) (value: float) : unit =
        if not (value >= low && value <= high) then
            fail fn argument $"between {low} and {high}" (string value)
