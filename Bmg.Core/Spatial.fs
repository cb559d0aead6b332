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

/// Normalisation of a population's features.
[<RequireQualifiedAccess>]
module internal Normalization =

    /// What is added to a variance, as in ONNX and PyTorch.
    [<Literal>]
    let Epsilon = 1e-5

    /// Channels as the second axis, one a member and channel: [P, B, C] → [B, P·C]; images have them there.
    let private channels (isSpatial: bool) (x: Tensor) : Tensor =
        if isSpatial then
            x
        else
            x.transpose(0L, 1L).reshape(x.size 1, -1L)

    let private back (isSpatial: bool) (members: int64) (y: Tensor) : Tensor =
        if isSpatial then y else Spatial.flatten members y

    /// Mean and variance of each channel over the batch, [P, C] each; the variance is the one that normalises (divided by the count).
    let statistics (isSpatial: bool) (members: int64) (x: Tensor) : struct (Tensor * Tensor) =
        let rows = channels isSpatial x
        let perChannel = rows.transpose(0L, 1L).flatten 1L
        let shape (t: Tensor) = t.reshape (members, -1L)
        struct (shape (perChannel.mean [| 1L |]), shape (perChannel.var (1L, unbiased = false)))

    /// Batch normalisation by the batch's own statistics, weight and bias [P, C].
    let batch (isSpatial: bool) (weight: Tensor) (bias: Tensor) (x: Tensor) : Tensor =
        let rows = channels isSpatial x
        // TorchSharp asks for running statistics in any case: these are written to and forgotten.
        let unused () =
            torch.zeros ([| rows.size 1 |], dtype = x.dtype, device = x.device)

        torch.nn.functional.batch_norm (
            rows,
            unused (),
            unused (),
            weight.flatten (),
            bias.flatten (),
            training = true,
            momentum = 0.0,
            eps = Epsilon
        )
        |> back isSpatial (weight.size 0)

    /// Batch normalisation by given statistics, [P, C] each.
    let stored
        (isSpatial: bool)
        (weight: Tensor)
        (bias: Tensor)
        (mean: Tensor)
        (variance: Tensor)
        (x: Tensor)
        : Tensor =
        torch.nn.functional.batch_norm (
            channels isSpatial x,
            mean.flatten (),
            variance.flatten (),
            weight.flatten (),
            bias.flatten (),
            training = false,
            momentum = 0.0,
            eps = Epsilon
        )
        |> back isSpatial (weight.size 0)

    /// Layer normalisation over all axes of each input of each member, weight and bias [P, …].
    let layer (isSpatial: bool) (weight: Tensor) (bias: Tensor) (x: Tensor) : Tensor =
        let members = weight.size 0
        // One row an input and member: [B, P, features] of images, [P, B, features] otherwise.
        let rows =
            if isSpatial then
                x.reshape (x.size 0, members, -1L)
            else
                x.flatten 2L

        let own (t: Tensor) =
            (t.flatten 1L).unsqueeze(if isSpatial then 0L else 1L)

        let centred = rows.minus (rows.mean ([| -1L |], true))
        let variance = centred.squared().mean([| -1L |], true)
        let unit = centred.mul (variance.plus(Scalars.constant Epsilon).rsqrt())
        (own bias).addcmul(unit, own weight, Scalars.constant 1.0).reshape x.shape
