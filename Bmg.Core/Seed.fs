namespace Bmg

/// A pseudo-random generator of 64 bits of state (SplitMix64; Steele, Lea and Flood, OOPSLA 2014): small enough that an environment or
/// a member owns one and a checkpoint stores it as one number. Not for cryptography.
[<Sealed>]
type Rng(state: uint64) =
    let mutable state = state

    static member internal Mix(z: uint64) : uint64 =
        let z = (z ^^^ (z >>> 30)) * 0xBF58476D1CE4E5B9UL
        let z = (z ^^^ (z >>> 27)) * 0x94D049BB133111EBUL
        z ^^^ (z >>> 31)

    /// All there is to save and restore.
    member _.State
        with get () = state
        and set (value: uint64) = state <- value

    /// 64 random bits.
    member _.NextUInt64() : uint64 =
        state <- state + 0x9E3779B97F4A7C15UL
        Rng.Mix state

    /// Uniform in [0, 1), with 53 random bits.
    member this.NextDouble() : float =
        float (this.NextUInt64() >>> 11) * (1.0 / 9007199254740992.0)

    /// Uniform over 0 … bound − 1, without bias (Lemire's multiplication with rejection).
    member this.Next(bound: int) : int =
        Check.require "Rng.Next" "bound" "positive" bound (bound > 0)
        let bound = uint64 bound
        let threshold = (0UL - bound) % bound
        let mutable low = 0UL
        let mutable high = System.Math.BigMul(this.NextUInt64(), bound, &low)

        while low < threshold do
            high <- System.Math.BigMul(this.NextUInt64(), bound, &low)

        int high

    /// Standard normal (Box-Muller; the second of the pair is not kept, so that the state stays one number).
    member this.NextNormal() : float =
        let u = 1.0 - this.NextDouble()
        sqrt (-2.0 * log u) * cos (2.0 * System.Math.PI * this.NextDouble())

/// A seed that splits. A member's stream for a purpose depends on the member's own seed and the purpose alone, never on how many
/// members there are, so a population of P is the same P learners that run one by one.
[<Struct>]
type Seed = {
    Value: uint64
} with

    /// The seed for a purpose ("network", "actions", "environment", …). FNV-1a over the name, then mixed.
    member this.For(purpose: string) : Seed =
        let mutable hash = 0xCBF29CE484222325UL

        for c in purpose do
            hash <- (hash ^^^ uint64 c) * 0x100000001B3UL

        {
            Value = Rng.Mix(Rng.Mix(this.Value + 0x9E3779B97F4A7C15UL) ^^^ hash)
        }

    /// A fresh generator that starts from this seed.
    member this.Generator() : Rng = Rng this.Value

    /// The seed with this number.
    static member Of(number: int64) : Seed = { Value = uint64 number }

    /// Seeds of `members` members: first, first + 1, ….
    static member Population(first: int64, members: int) : Seed[] =
        Array.init members (fun i -> Seed.Of(first + int64 i))
