namespace Bmg

open TorchSharp

/// Images of a population as one batch: [B, P·C, H, W], a member's channels side by side. One grouped convolution then serves all members; it is
/// by far the fastest way there is on a CPU. Everything is differentiable any number of times.
///
/// A member's numbers here agree with those that it has alone to rounding, and not bit for bit as in perceptrons: how libtorch sums in a
/// convolution follows from the number of groups.
[<RequireQualifiedAccess>]
module internal Spatial =

    /// [P, B, C, H, W] → [B, P·C, H, W].
    let enter (x: Tensor) : Tensor =
        x.permute(1L, 0L, 2L, 3L, 4L).reshape(x.size 1, x.size 0 * x.size 2, x.size 3, x.size 4)

    /// [B, P·C, H, W] → [P, B, C, H, W].
    let leave (members: int64) (x: Tensor) : Tensor =
        x.reshape(x.size 0, members, x.size 1 / members, x.size 2, x.size 3).permute(1L, 0L, 2L, 3L, 4L).contiguous()

    /// [B, P·C, H, W] → [P, B, C·H·W].
    let flatten (members: int64) (x: Tensor) : Tensor =
        x.reshape(x.size 0, members, -1L).transpose(0L, 1L).contiguous()

    /// Cross-correlation of every member with its own weight [P, C′, C, k, k] and bias [P, C′].
    let convolution (stride: int64) (padding: int64) (weight: Tensor) (bias: Tensor) (x: Tensor) : Tensor =
        torch.nn.functional.conv2d (
            x,
            weight.flatten (0L, 1L),
            bias.flatten (),
            strides = [| stride; stride |],
            padding = [| padding; padding |],
            groups = weight.size 0
        )

    let maxPooling (kernel: int64) (stride: int64) (x: Tensor) : Tensor =
        torch.nn.functional.max_pool2d (x, [| kernel; kernel |], strides = [| stride; stride |])

    let averagePooling (kernel: int64) (stride: int64) (x: Tensor) : Tensor =
        torch.nn.functional.avg_pool2d (x, [| kernel; kernel |], stride = [| stride; stride |])

/// Normalisation of a population's features. In images, batch normalisation takes libtorch's own operation, one channel a member and channel;
/// features without height and width, and inputs one by one, are written out, over rows that lie side by side: a member's numbers are then its
/// own.
[<RequireQualifiedAccess>]
module internal Normalization =

    /// What is added to a variance, as in ONNX and PyTorch.
    [<Literal>]
    let Epsilon = 1e-5

    let private rootOfInverse (variance: Tensor) =
        variance.plus(Scalars.constant Epsilon).rsqrt()

    /// (x − mean)/√(variance + ε)·weight + bias along the last axis.
    let private alongRows (weight: Tensor) (bias: Tensor) (rows: Tensor) : Tensor =
        let centred = rows.minus (rows.mean ([| -1L |], true))
        let variance = centred.squared().mean([| -1L |], true)
        bias.addcmul (centred.mul (rootOfInverse variance), weight, Scalars.constant 1.0)

    /// Mean and variance of each channel over the batch, [P, C] each; the variance is the one that normalises (divided by the count).
    let statistics (isSpatial: bool) (members: int64) (x: Tensor) : struct (Tensor * Tensor) =
        let rows =
            if isSpatial then
                x.transpose(0L, 1L).flatten(1L).reshape(members, x.size 1 / members, -1L)
            else
                x.transpose(1L, 2L).contiguous()

        struct (rows.mean [| -1L |], rows.var (-1L, unbiased = false))

    /// Batch normalisation by the batch's own statistics, weight and bias [P, C].
    let batch (isSpatial: bool) (weight: Tensor) (bias: Tensor) (x: Tensor) : Tensor =
        if isSpatial then
            // TorchSharp asks for running statistics in any case: these are written to and forgotten.
            let unused () =
                torch.zeros ([| x.size 1 |], dtype = x.dtype, device = x.device)

            torch.nn.functional.batch_norm (
                x,
                unused (),
                unused (),
                weight.flatten (),
                bias.flatten (),
                training = true,
                momentum = 0.0,
                eps = Epsilon
            )
        else
            let rows = x.transpose(1L, 2L).contiguous()
            (alongRows (weight.unsqueeze -1L) (bias.unsqueeze -1L) rows).transpose(1L, 2L).contiguous()

    /// Batch normalisation by given statistics, [P, C] each.
    let stored
        (isSpatial: bool)
        (weight: Tensor)
        (bias: Tensor)
        (mean: Tensor)
        (variance: Tensor)
        (x: Tensor)
        : Tensor =
        if isSpatial then
            torch.nn.functional.batch_norm (
                x,
                mean.flatten (),
                variance.flatten (),
                weight.flatten (),
                bias.flatten (),
                training = false,
                momentum = 0.0,
                eps = Epsilon
            )
        else
            let unit = (x.minus (mean.unsqueeze 1L)).mul((rootOfInverse variance).unsqueeze 1L)
            (bias.unsqueeze 1L).addcmul(unit, weight.unsqueeze 1L, Scalars.constant 1.0)

    /// Layer normalisation over all axes of each input of each member, weight and bias [P, …].
    let layer (isSpatial: bool) (weight: Tensor) (bias: Tensor) (x: Tensor) : Tensor =
        // One row an input and member: [B, P, features] of images, [P, B, features] otherwise.
        let rows =
            if isSpatial then
                x.reshape (x.size 0, weight.size 0, -1L)
            else
                x.flatten 2L

        let own (t: Tensor) =
            (t.flatten 1L).unsqueeze(if isSpatial then 0L else 1L)

        (alongRows (own weight) (own bias) rows).reshape x.shape
