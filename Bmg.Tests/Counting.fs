/// Environments played by hand, the whole library of them, and one that counts, with hooks to break it.
module Bmg.Tests.Counting

open System
open System.IO
open Bmg
open Bmg.Training.Environments
open Expecto
open FsCheck
open FsCheck.FSharp

let seeds = Arb.fromGen (Gen.choose (0, Int32.MaxValue) |> Gen.map uint64)

// Playing.

let observed (environment: IEnvironment) =
    Array.zeroCreate<float32> environment.Description.Observation.Size

let reset (environment: IEnvironment) (random: Rng) : float32[] =
    let observation = observed environment
    environment.Reset(random, Span observation)
    observation

let act (environment: IEnvironment) (random: Rng) (indices: int[]) : StepResult * float32[] =
    let observation = observed environment

    let result = environment.Step(random, EnvironmentAction.Of(ReadOnlySpan indices), Span observation)

    result, observation

let push (environment: IEnvironment) (random: Rng) (values: float32[]) : StepResult * float32[] =
    let observation = observed environment

    let result = environment.Step(random, EnvironmentAction.Of(ReadOnlySpan values), Span observation)

    result, observation

let masked (environment: IEnvironment) : bool[] =
    let mask = Array.create environment.Description.Actions.MaskSize true
    environment.Mask(Span mask)
    mask

let saved (environment: IEnvironment) : byte[] =
    use stream = new MemoryStream()
    use writer = new BinaryWriter(stream)
    environment.Save writer
    writer.Flush()
    stream.ToArray()

let restore (environment: IEnvironment) (state: byte[]) : unit =
    use reader = new BinaryReader(new MemoryStream(state))
    environment.Restore reader

/// Bytes of some numbers.
let bytes (write: BinaryWriter -> unit) : byte[] =
    use stream = new MemoryStream()
    use writer = new BinaryWriter(stream)
    write writer
    writer.Flush()
    stream.ToArray()

let refuses (parts: string list) (body: unit -> unit) : exn =
    let error = Expect.throwsC body id

    for part in parts do
        Expect.stringContains error.Message part "what it says"

    error

let property count name (arbitrary: Arbitrary<'T>) (body: 'T -> unit) : Test =
    Bmg.Tests.Generators.property count name arbitrary body

// The library, all of it.

let library: (string * (uint64 -> IEnvironment)) list = [
    "two-colors", fun _ -> TwoColorsEnvironment(TwoColorsSettings(SwapPeriod = 7L))
    "two-colors, all placed anew",
    fun _ -> TwoColorsEnvironment(TwoColorsSettings(SwapPeriod = 7L, Respawn = Respawn.All))
    "switching MDPs",
    fun seed ->
        SwitchingMdpsEnvironment(
            SwitchingMdpsSettings(Worlds = 3, Side = 4, MostWalls = 5, SwapPeriod = 5L),
            Seed.Of(int64 (seed % 1000UL))
        )
    "CartPole", fun _ -> CartPole(CartPoleSettings(Steps = 30))
    "pendulum", fun _ -> Pendulum(PendulumSettings(Steps = 20))
    "pixels", fun _ -> Pixels(PixelsSettings(Steps = 40))
    "toggles", fun _ -> Toggles(TogglesSettings(Lamps = 2, Steps = 10))
]

/// Every wrapper with a description, over any environment.
let wrappers: (string * (IEnvironment -> IEnvironment)) list = [
    "time limit", (fun inner -> TimeLimit(inner, 9L))
    "frame stack", (fun inner -> FrameStack(inner, 3))
    "action repeat", (fun inner -> ActionRepeat(inner, 2))
    "sticky actions", (fun inner -> StickyActions(inner, 0.4))
]

// An environment that counts, with hooks to break it.

/// What a counter does; each field can be replaced by something that breaks one rule.
[<NoEquality; NoComparison>]
type Counting = {
    Describe: unit -> EnvironmentDescription
    /// From steps in the episode, steps in all, and the last draw: the observation, or its beginning.
    Observe: int -> int -> float32 -> float32[]
    Reward: int -> float32
    Ends: int -> bool * bool
    Draw: Rng -> float32
    OnReset: Rng -> unit
    OnStep: int -> int -> unit
    Save: BinaryWriter -> int -> int -> float32 -> unit
    Restore: BinaryReader -> int * int * float32
    Mask: int -> bool[]
    Changes: int64 -> int64 -> int64 seq
    Render: int -> string
}

let counterDescription =
    EnvironmentDescription(
        ObservationSpace.Named("at", "total", "draw"),
        ActionSpace.Of("a", "b", "c"),
        Ends = true,
        Saves = true,
        Masks = true,
        Renders = true
    )

/// Episodes of seven steps, the reward is the number of the step in its episode, every third step forbids "c", and the problem changes
/// every five steps.
let honest = {
    Describe = fun () -> counterDescription
    Observe = fun at total draw -> [| float32 at; float32 total; draw |]
    Reward = float32
    Ends = fun at -> at = 7, false
    Draw = fun random -> float32 (random.NextDouble())
    OnReset = ignore
    OnStep =
        fun at action ->
            if action < 0 || action > 2 || (action = 2 && at % 3 = 0) then
                raise (ArgumentOutOfRangeException("action", $"found {action}, expected one that is allowed"))
    Save =
        fun writer at total draw ->
            writer.Write at
            writer.Write total
            writer.Write draw
    Restore =
        fun reader ->
            let at = reader.ReadInt32()
            let total = reader.ReadInt32()

            if at < 0 || at > 7 || total < at then
                raise (ArgumentException $"expected steps in 0 … 7, found {at} of {total}")

            at, total, reader.ReadSingle()
    Mask = fun at -> [| true; true; at % 3 <> 0 |]
    Changes =
        fun after until ->
            seq {
                for count in after / 5L + 1L .. until / 5L do
                    count * 5L
            }
    Render = fun at -> $"at {at}"
}

type Counter(counting: Counting) =
    let mutable at = 0
    let mutable total = 0
    let mutable draw = 0f

    member _.At = at
    member _.Total = total

    interface IEnvironment with
        member _.Description = counting.Describe()

        member _.Reset(random, observation) =
            counting.OnReset random
            at <- 0
            draw <- counting.Draw random
            (counting.Observe at total draw).AsSpan().CopyTo observation

        member _.Step(random, action, observation) =
            counting.OnStep at action.Index
            at <- at + 1
            total <- total + 1
            draw <- counting.Draw random
            (counting.Observe at total draw).AsSpan().CopyTo observation
            let terminated, truncated = counting.Ends at
            StepResult(counting.Reward at, terminated, truncated)

        member _.Save writer = counting.Save writer at total draw

        member _.Restore reader =
            let a, t, d = counting.Restore reader
            at <- a
            total <- t
            draw <- d

        member _.Mask allowed =
            (counting.Mask at).AsSpan().CopyTo allowed

        member _.Changes(after, until) = counting.Changes after until
        member _.Render() = counting.Render at

let counter counting : IEnvironment = Counter counting
