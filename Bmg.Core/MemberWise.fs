namespace Bmg

open TorchSharp

/// Operations that libtorch computes in another way, with other last bits, depending on how many members stand in a tensor, made such that a
/// member's numbers are its own: the same alone and among others. These are all that were found by comparing the operations that Bmg uses and
/// their derivatives over shapes and populations (AVX2 and AVX-512, one thread); the tests compare whole runs.
[<RequireQualifiedAccess>]
module internal MemberWise =

    // A batch of one product goes to the library's single product, which takes a vector's path where an axis is 1 and sums in another order
    // there than the batched one. Which axis it is that matters differs with what is multiplied, as each function below says.

    /// `multiply`, on members that are two where there is one, which then takes the batched path; where an axis is 1, the second costs
    /// little. A graph has the same nodes for one member and for several: the order in which a derivative's parts add up follows from them.
    let private batched (vector: bool) (a: Tensor) (b: Tensor) (multiply: (Tensor -> Tensor) -> Tensor) : Tensor =
        if vector && (a.size 0 = 1L || a.requires_grad || b.requires_grad) then
            let members = a.size 0
            let several = max 2L members
            (multiply (fun t -> t.expand (several, -1L, -1L))).narrow(0L, 0L, members)
        else
            multiply id

    /// a·b for a population: [P, B, I]·[P, I, O] → [P, B, O]; a is no transpose.
    let product (a: Tensor) (b: Tensor) : Tensor =
        batched (b.size 2 = 1L) a b (fun prepared -> (prepared a).bmm(prepared b))

    /// c + a·b for a population, in one native call: c [P, B or 1, O], a [P, B, I], b [P, I, O] → [P, B, O].
    /// TorchSharp's `Tensor.baddbmm` passes its arguments in another order than it documents; this is the one place that knows.
    let private plus (vector: bool) (c: Tensor) (a: Tensor) (b: Tensor) : Tensor =
        batched vector a b (fun prepared -> (prepared a).baddbmm(prepared b, prepared c))

    /// c + a·b where a and b are no transposes: an affine map, c [P, 1, O], a [P, B, I], b [P, I, O] → [P, B, O].
    let affine (c: Tensor) (a: Tensor) (b: Tensor) : Tensor =
        plus (b.size 2 = 1L || a.size 2 = 1L) c a b

    /// c + aᵀ·b: c [P, I, O], a [P, B, I], b [P, B, O] → [P, I, O].
    let transposedPlus (c: Tensor) (a: Tensor) (b: Tensor) : Tensor =
        plus (b.size 2 = 1L || a.size 1 = 1L || a.size 2 = 1L) c (a.transpose (1L, 2L)) b

    /// Twice the longest vector that libtorch computes with, in numbers: 16 floats of AVX-512.
    [<Literal>]
    let private Block = 32L

    /// `f`, element by element, where libtorch computes the elements beyond the last whole block by another function than those before: every
    /// member is given whole blocks. [P, …]
    let private inWholeBlocks (f: Tensor -> Tensor) (x: Tensor) : Tensor =
        let members = x.size 0
        let own = x.NumberOfElements / members

        if own % Block = 0L then
            f (x.contiguous ())
        elif own = 1L then
            (f (x.reshape(members, 1L).expand(members, Block))).select(1L, 0L).reshape x.shape
        else
            let rest = torch.zeros ([| members; Block - own % Block |], dtype = x.dtype, device = x.device)
            let rows = torch.cat ([| x.reshape (members, own); rest |], 1L)
            (f rows).narrow(1L, 0L, own).reshape x.shape

    /// σ(x), [P, …].
    let sigmoid (x: Tensor) : Tensor = inWholeBlocks (fun t -> t.sigmoid ()) x

    /// log σ(x), [P, …]; its second derivative holds a sigmoid.
    let logSigmoid (x: Tensor) : Tensor =
        inWholeBlocks (fun t -> torch.nn.functional.logsigmoid t) x
