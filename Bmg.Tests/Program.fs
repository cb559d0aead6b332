module Bmg.Tests.Program

open Expecto
open TorchSharp

[<EntryPoint>]
let main argv =
    // Tests run in parallel; one native thread each.
    torch.set_num_threads 1

    runTestsWithCLIArgs
        []
        argv
        (testList "all" [
            CoreTests.tests
            OptimizerTests.tests
            LawTests.tests
            EnvironmentTests.tests
            ActingTests.tests
            MemoryTests.tests
            ConfigurationTests.tests
            RunTests.tests
            ExportTests.tests
            EndToEndTests.tests
        ])
