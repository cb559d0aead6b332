module Bmg.Tests.Program

open Expecto

[<EntryPoint>]
let main argv =

    runTestsWithCLIArgs
        []
        argv
        (testList "all" [
            CoreTests.tests
            OptimizerTests.tests
            LawTests.tests
            DescentTests.tests
            EnvironmentTests.tests
            ActingTests.tests
            MemoryTests.tests
            ConfigurationTests.tests
            RunTests.tests
            ExportTests.tests
            EndToEndTests.tests
        ])
