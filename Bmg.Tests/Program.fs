module Bmg.Tests.Program

open Expecto

[<EntryPoint>]
let main argv =
    runTestsWithCLIArgs [] argv (testList "all" [ ConfigurationTests.tests; RunTests.tests; ExportTests.tests ])
