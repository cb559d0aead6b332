/// The environments of a population, played by hand: one stream a member, started as the host starts them.
module Bmg.Tests.Worlds

open System
open System.IO
open Bmg
open Bmg.Training.Acting
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Experiments
open Bmg.Training.Library
open Bmg.Tests.Counting

/// One environment a member, its generator, and what it shows.
type Worlds(make: Seed -> IEnvironment, seeds: Seed seq) =
    let environments = seeds |> Seq.map make |> Array.ofSeq

    let random =
        seeds
        |> Seq.map (fun seed -> (let own = seed.For "environment" in own.Generator()))
        |> Array.ofSeq

    let rows = Array.map2 reset environments random

    member _.Description = environments[0].Description
    member _.Members = environments.Length
    member _.Environment(m: int) = environments[m]
    member _.Random(m: int) = random[m]

    /// What a member shows.
    member _.Observation(m: int) : float32[] = Array.copy rows[m]

    /// One discrete action, in an environment without ends.
    member _.Act(m: int, action: int) : float32 =
        let result, row = act environments[m] random[m] [| action |]
        rows[m] <- row
        result.Reward

    /// Puts a member into a state that its environment saves as these bytes, and that shows this.
    member _.Put(m: int, state: byte[], generator: uint64, row: unit -> float32[]) =
        restore environments[m] state
        random[m].State <- generator
        rows[m] <- row ()

    member world.Observe(m: int, row: Span<float32>) =
        (world.Observation m).AsSpan().CopyTo row

    member _.Changes(after, until) = environments[0].Changes(after, until)

/// Discrete actions of a world.
let choices (world: Worlds) = world.Description.Actions.ChoicesOf 0

/// Numbers of an observation.
let width (world: Worlds) = world.Description.Observation.Size

[<Struct>]
type TwoColorsState = {
    Agent: int
    Blue: int
    Red: int
    Steps: int64
    Random: uint64
}

let twoColors (agent, blue, red, steps, random) : TwoColorsState = {
    Agent = agent
    Blue = blue
    Red = red
    Steps = steps
    Random = random
}

/// Where the three stand, as a network sees it.
let shown (things: int list) : float32[] =
    let row = Array.zeroCreate<float32>(10 * things.Length)

    things
    |> List.iteri (fun i cell ->
        row[10 * i + cell % 5] <- 1f
        row[10 * i + 5 + cell / 5] <- 1f)

    row

/// Two-colors, with its state.
type TwoColors(seeds: Seed seq, respawn: Respawn, period: int64) =
    inherit Worlds((fun _ -> TwoColorsEnvironment(TwoColorsSettings(Respawn = respawn, SwapPeriod = period))), seeds)

    member world.BlueIsGood(m: int) =
        (world.Environment m :?> TwoColorsEnvironment).BlueIsGood

    member world.GetState(m: int) : TwoColorsState =
        use reader = new BinaryReader(new MemoryStream(saved (world.Environment m)))

        {
            Agent = reader.ReadInt32()
            Blue = reader.ReadInt32()
            Red = reader.ReadInt32()
            Steps = reader.ReadInt64()
            Random = (world.Random m).State
        }

    member world.SetState(m: int, state: TwoColorsState) =
        let written =
            bytes (fun w ->
                for cell in [ state.Agent; state.Blue; state.Red ] do
                    w.Write(cell: int)

                w.Write state.Steps)

        world.Put(m, written, state.Random, (fun () -> shown [ state.Agent; state.Blue; state.Red ]))

[<Struct>]
type SwitchingMdpsState = {
    World: int
    Cell: int
    Steps: int64
    Random: uint64
}

/// Switching MDPs, with their state and the worlds behind it.
type SwitchingMdps(seeds: Seed seq, worlds: int, side: int, walls: int, period: int64) =
    inherit Worlds((fun seed -> SwitchingMdps.Make(worlds, side, walls, period, seed)), seeds)

    // Restored to any cell, another of the same seed tells what that cell is.
    let probes =
        seeds
        |> Seq.map (fun seed -> SwitchingMdps.Make(worlds, side, walls, period, seed))
        |> Array.ofSeq

    static member Make(worlds, side, walls, period, seed: Seed) : IEnvironment =
        SwitchingMdpsEnvironment(
            SwitchingMdpsSettings(Worlds = worlds, Side = side, MostWalls = walls, SwapPeriod = period),
            seed
        )

    static member Bytes(world: int, cell: int, steps: int64) =
        bytes (fun w ->
            w.Write world
            w.Write cell
            w.Write steps)

    member world.GetState(m: int) : SwitchingMdpsState =
        use reader = new BinaryReader(new MemoryStream(saved (world.Environment m)))

        {
            World = reader.ReadInt32()
            Cell = reader.ReadInt32()
            Steps = reader.ReadInt64()
            Random = (world.Random m).State
        }

    /// Whether there is a wall in the world whose turn it is.
    member world.IsWall(m: int, cell: int) : bool =
        let lines = ((world.Environment m).Render()).Split '\n'
        lines[cell / side].[cell % side] = '#'

    /// What an action earns on a free cell of the world whose turn it is.
    member world.RewardOf(m: int, cell: int, action: int) : float32 =
        restore probes[m] (SwitchingMdps.Bytes((world.GetState m).World, cell, 0L))
        (fst (act probes[m] (Rng 0UL) [| action |])).Reward

/// The environment of these settings ("environment.name=cartpole").
let environmentOf (settings: string list) : RunConfiguration =
    Reading.reader.Read("{}", "test", settings)

/// Settings of a part that has none.
type NoSettings() = class end

/// An environment of one's own, registered as anybody would.
let ownEnvironment (name: string) (make: Seed -> IEnvironment) : RunConfiguration =
    let catalogue = LibraryParts.Catalogue()
    catalogue.Add(EnvironmentKinds.Environment, name, NoSettings(), (fun _ -> MakeEnvironment make))
    (Resolution.Reader catalogue).Read("{}", "test", [ $"environment.name={name}" ])

/// Environments of one stream each, as a batch; it tells how many it stepped each time, and that it was disposed.
type Batch(environments: IEnvironment[], stepped: int -> unit, ended: unit -> unit) =
    let size = environments[0].Description.Observation.Size
    let begun = ResizeArray<int>()
    let seen = ResizeArray<float32[]>()
    let results = ResizeArray<StepResult>()

    interface IBatchedEnvironment with
        member _.Description = environments[0].Description

        member _.Reset(stream, random, observation) =
            environments[stream].Reset(random, observation)

        member _.Begin(streams, randoms, actions) =
            if begun.Count > 0 then
                failwith "begun twice"

            stepped streams.Length

            for i in 0 .. streams.Length - 1 do
                begun.Add streams[i]
                let observation = Array.zeroCreate size
                results.Add(environments[streams[i]].Step(randoms[i], actions[i], Span observation))
                seen.Add observation

        member _.Complete(observations, given) =
            if begun.Count <> given.Length || observations.Length <> given.Length * size then
                failwith $"expected rows for {begun.Count} streams, found {given.Length}"

            for i in 0 .. begun.Count - 1 do
                given[i] <- results[i]
                seen[i].CopyTo(observations.Slice(i * size, size))

            begun.Clear()
            results.Clear()
            seen.Clear()

        member _.Save(stream, writer) = environments[stream].Save writer
        member _.Restore(stream, reader) = environments[stream].Restore reader
        member _.Mask(stream, allowed) = environments[stream].Mask allowed
        member _.Changes(after, until) = environments[0].Changes(after, until)
        member _.AllObservations() = environments[0].AllObservations()
        member _.Render(stream) = environments[stream].Render()

    interface IDisposable with
        member _.Dispose() = ended ()

/// The environment of a configuration as a batch, under the name "batch", with the same settings besides.
let batchOf (part: RunConfiguration) (stepped: int -> unit) (ended: unit -> unit) : RunConfiguration =
    let catalogue = LibraryParts.Catalogue()

    let make (seeds: System.Collections.Generic.IReadOnlyList<Seed>) =
        new Batch([| for seed in seeds -> ConfiguredEnvironment.Create(part, seed) |], stepped, ended)
        :> IBatchedEnvironment

    catalogue.Add(EnvironmentKinds.Environment, "batch", NoSettings(), (fun _ -> MakeEnvironment.Batched make))
    (Resolution.Reader catalogue).Read("{}", "test", [ "environment.name=batch" ])

/// Two-colors as the host holds it, one copy a member.
let twoColorsStreams (seeds: Seed[]) (period: int64) : Streams =
    new Streams(environmentOf [ $"environment.swapPeriod={period}" ], seeds, 1, 0)
