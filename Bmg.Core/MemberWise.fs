namespace Bmg

open TorchSharp

/// Operations that libtorch computes in another way, with other last bits, depending on how many members stand in a tensor, made such that a
/// member's numbers are its own: the same alone and among others. Of what Bmg uses these are all, found by comparing every operation and its
/// derivatives over shapes and populations (AVX2 and AVX-512, one thread); the tests repeat that with whole runs.
[<RequireQualifiedAccess>]
module MemberWise =

    /// A batch of one product goes to the library's single product, which takes a vector's path where an axis is 1 and sums in another
    /// order there than the batched one.
    let private isVector (a: Tensor) (b: Tensor) =
        a.size 1 = 1L || a.size 2 = 1L || b.size 2 = 1L

    /// `multiply`, on members that are two where there is one, which then takes the batched path; where an axis is 1, the second costs
    /// little. A graph has the same nodes for one member and for several: the order in which a derivative's parts add up follows from them.
    let private batched (multiply: (Tensor -> Tensor) -> Tensor) (a: Tensor) (b: Tensor) : Tensor =
        let members = a.size 0

        if isVector a b && (members = 1L || a.requires_grad || b.requires_grad) then
            let several = max 2L members

            (multiply (fun t -> t.expand (several, -1L, -1L))).narrow(0L, 0L, members)
        else
            multiply id

    /// a·b for a population: [P, B, I]·[P, I, O] → [P, B, O].
    let product (a: Tensor) (b: Tensor) : Tensor =
        batched (fun prepared -> (prepared a).bmm(prepared b)) a b

    /// c + a·b for a population, in one native call: c [P, B or 1, O], a [P, B, I], b [P, I, O] → [P, B, O].
    /// TorchSharp's `Tensor.baddbmm` passes its arguments in another order than it documents; this is the one place that knows.
    let productPlus (c: Tensor) (a: Tensor) (b: Tensor) : Tensor =
        batched (fun prepared -> (prepared a).baddbmm(prepared b, prepared c)) a b

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
        else
            let rest = torch.zeros ([| members; Block - own % Block |], dtype = x.dtype, device = x.device)
            let rows = torch.cat ([| x.reshape (members, own); rest |], 1L)
            (f rows).narrow(1L, 0L, own).reshape x.shape

    /// σ(x), [P, …].
    let sigmoid (x: Tensor) : Tensor = inWholeBlocks (fun t -> t.sigmoid ()) x

    /// log σ(x), [P, …]; its second derivative holds a sigmoid.
    let logSigmoid (x: Tensor) : Tensor =
        inWholeBlocks (fun t -> torch.nn.functional.logsigmoid t) x
