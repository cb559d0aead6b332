/// An environment of one's own, in F#: what docs/tutorials/environment.md shows. examples/corridor.cs is the same in C#.
module Bmg.Examples.FSharpCorridor

// region corridor
open System
open System.ComponentModel
open System.ComponentModel.DataAnnotations
open System.IO
open Bmg.Training.Environments
open Bmg.Training.Hosting

type CorridorSettings = {
    [<Description("Cells to the exit.")>]
    [<Range(1, 1000)>]
    Length: int
}

type Corridor(settings: CorridorSettings) =
    let mutable at = 0

    let description =
        EnvironmentDescription(
            ObservationSpace.Named "position",
            ActionSpace.Of("left", "right"),
            Saves = true,
            Ends = true
        )

    interface IEnvironment with
        member _.Description = description

        member _.Reset(_, observation) =
            at <- 0
            observation[0] <- 0f

        member _.Step(_, action, observation) =
            at <- max 0 (at + (if action.Index = 1 then 1 else -1))
            observation[0] <- float32 at / float32 settings.Length

            if at = settings.Length then
                StepResult(1f, Terminated = true)
            else
                StepResult -0.01f

        member _.Save(writer: BinaryWriter) = writer.Write at
        member _.Restore(reader: BinaryReader) = at <- reader.ReadInt32()

let host () =
    BmgHost.CreateDefault().AddEnvironment("corridor", { Length = 10 }, (fun s -> Corridor s :> IEnvironment))

let main (arguments: string[]) = host().Run arguments
// endregion
