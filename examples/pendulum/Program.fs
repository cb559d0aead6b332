module Bmg.Examples.Pendulum.Program

open Bmg.Training.Environments
open Bmg.Training.Hosting

[<EntryPoint>]
let main arguments =
    let settings = {
        Torque = 2.0
        Damping = 0.1
        Steps = 200
    }

    BmgHost
        .CreateDefault()
        .AddEnvironment("damped-pendulum", settings, (fun s -> DampedPendulum s :> IEnvironment))
        .Run(arguments)
