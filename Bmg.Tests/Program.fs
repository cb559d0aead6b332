module Bmg.Tests.Program

open System
open System.CommandLine
open Expecto

let private suite =
    testList "all" [
        CoreTests.tests
        NetworkTests.tests
        OptimizerTests.tests
        MatchingTests.tests
        Float32Tests.tests
        LawTests.tests
        VerificationTests.tests
        DescentTests.tests
        DistributionTests.tests
        HyperParameterTests.tests
        EnvironmentTests.tests
        EnvironmentLibraryTests.tests
        WrapperTests.tests
        EnvironmentCheckTests.tests
        ActingTests.tests
        QLambdaTests.tests
        SwitchingTests.tests
        MemoryTests.tests
        ConfigurationTests.tests
        RunTests.tests
        ExportTests.tests
        OnnxInputTests.tests
        PolicyKindTests.tests
        InputTests.tests
        EndToEndTests.tests
        ComparisonTests.tests
        SupervisedTests.tests
        MemberNumbersTests.tests
        HostTests.tests
        ProcessTests.tests
        TheoryTests.tests
        StudyTests.tests
        SampleTests.tests
        DocumentTests.tests
        WiringTests.tests
        EffectTests.tests
        SeedTests.tests
        TensorBoardTests.tests
        StudyFaultTests.tests
        StreamTests.tests
        WallsTests.tests
        HostPartsTests.tests
        OutsideTests.tests
        ExampleTests.tests
        FaceTests.tests
    ]

[<EntryPoint>]
let main argv =
    let root =
        RootCommand "Runs the tests, or with a command: judges the library by the laws of meta-updates."

    root.Subcommands.Add(VerifyCommand.create Console.Out Console.Error)
    root.Subcommands.Add(FaultsCommand.create Console.Out Console.Error)

    root.Subcommands.Add(SamplesCommand.create Console.Out Console.Error)

    // Whatever is no command of ours is for Expecto.
    if argv.Length > 0 && root.Subcommands |> Seq.exists (fun c -> c.Name = argv[0]) then
        let parsed = root.Parse argv

        if parsed.Errors.Count > 0 then
            for e in parsed.Errors do
                Console.Error.WriteLine $"error: {e.Message} See {argv[0]} --help."

            2
        else
            parsed.Invoke()
    else
        runTestsWithCLIArgs [] argv suite
