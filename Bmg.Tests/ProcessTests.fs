/// What only a process of its own shows: signals, standard output that is closed or full, and a build while something runs.
module Bmg.Tests.ProcessTests

open System
open System.Diagnostics
open System.IO
open Bmg.Export.Checkpoints
open Bmg.Tests.EndToEndTests
open Expecto

[<Literal>]
let private Hangup = 1

[<Literal>]
let private Terminate = 15

/// Starts something and gathers what it says.
let private run (program: string) (arguments: string list) (directory: string) =
    let info =
        ProcessStartInfo(
            program,
            arguments,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = directory
        )

    match Process.Start info with
    | null -> failtest $"{program} did not start"
    | started -> started

let private ended (what: string) (running: Process) =
    let output = running.StandardOutput.ReadToEndAsync()
    let error = running.StandardError.ReadToEndAsync()

    if not (running.WaitForExit 120000) then
        running.Kill true
        failtest $"{what} did not end"

    running.ExitCode, output.Result, error.Result

/// The line of a shell that runs one of our programs from the tests' own output.
let private commandLine (assembly: string) (arguments: string list) =
    let quoted (text: string) = "'" + text + "'"

    [
        "exec"
        "dotnet"
        "exec"
        "--runtimeconfig"
        quoted (Path.Combine(AppContext.BaseDirectory, "Bmg.Tests.runtimeconfig.json"))
        "--depsfile"
        quoted (Path.Combine(AppContext.BaseDirectory, "Bmg.Tests.deps.json"))
        quoted (Path.Combine(AppContext.BaseDirectory, assembly))
        yield! arguments |> List.map quoted
    ]
    |> String.concat " "

/// Whether a signal is ignored here, and so in every child.
let private ignored (number: int) : bool =
    File.ReadLines "/proc/self/status"
    |> Seq.tryFind (fun line -> line.StartsWith("SigIgn:", StringComparison.Ordinal))
    |> Option.exists (fun line -> Convert.ToUInt64(line.Substring(7).Trim(), 16) >>> (number - 1) &&& 1UL = 1UL)

let private signalTests =
    testList "signals" [
        test "one that arrives as the run ends changes nothing" {
            withScratch (fun directory ->
                let file = Path.Combine(directory, "small.json")
                File.WriteAllText(file, small "fixed")

                for round in 0..3 do
                    let output = Path.Combine(directory, $"run{round}")
                    use running = start [ "train"; file; "--output"; output; "--set"; "environmentSteps=20" ]
                    let error = running.StandardError.ReadToEndAsync()
                    // The last line that it says: from here on it only has to end.
                    let mutable line = running.StandardOutput.ReadLine()

                    while not (isNull line) && not ((nonNull line).StartsWith "policy ") do
                        line <- running.StandardOutput.ReadLine()

                    Threading.Thread.Sleep(3 * round)
                    signal (running.Id, (if round % 2 = 0 then Terminate else Hangup)) |> ignore
                    running.StandardOutput.ReadToEnd() |> ignore
                    Expect.isTrue (running.WaitForExit 30000) "ends"
                    Expect.equal (running.ExitCode, error.Result) (0, "") $"round {round}")
        }

        test "a terminal that goes away leaves a checkpoint" {
            // As nohup has it, for every child.
            if ignored Hangup then
                skiptest "SIGHUP is ignored where the tests run"

            withScratch (fun directory ->
                let file = Path.Combine(directory, "small.json")
                let output = Path.Combine(directory, "run")
                File.WriteAllText(file, small "mg")
                use running = start [ "train"; file; "--output"; output; "--set"; "environmentSteps=10000000" ]
                let metrics = Path.Combine(output, "metrics.jsonl")

                waitFor "training" 60.0 (fun () ->
                    running.HasExited || (File.Exists metrics && FileInfo(metrics).Length > 0L))

                // Whoever listened has gone, too.
                running.StandardOutput.Close()
                signal (running.Id, Hangup) |> ignore
                let error = running.StandardError.ReadToEnd()
                Expect.isTrue (running.WaitForExit 30000) "stops"
                Expect.equal (running.ExitCode, error) (130, "") "the exit code"
                use kept = CheckpointFile.Read(Path.Combine(output, "checkpoints", "latest.safetensors"))
                Expect.isGreaterThan kept.Manifest.EnvironmentSteps 0L "a checkpoint")
        }

        test "a second one ends the process at once" {
            withScratch (fun directory ->
                let file = Path.Combine(directory, "small.json")
                let output = Path.Combine(directory, "run")
                File.WriteAllText(file, small "bmg")

                use running =
                    start [
                        "train"
                        file
                        "--output"
                        output
                        "--set"
                        "learner.targetSteps=100000"
                        "--set"
                        "environmentSteps=10000000"
                    ]

                let checkpoint = Path.Combine(output, "checkpoints", "latest.safetensors")
                waitFor "training" 60.0 (fun () -> running.HasExited || File.Exists checkpoint)
                signal (running.Id, Terminate) |> ignore
                // It says so when it has heeded the first.
                let mutable line = running.StandardOutput.ReadLine()

                while not (isNull line) && not ((nonNull line).StartsWith "Stopping") do
                    line <- running.StandardOutput.ReadLine()

                signal (running.Id, Terminate) |> ignore
                let code, said, error = ended "the run" running
                Expect.equal (code, error) (130, "") said
                Expect.isFalse (said.Contains "Interrupted") "without waiting for anything")
        }

        for setting, where, hasCheckpoint in
            [
                "meta.pretrainingSteps=1000000", "before the first checkpoint", false
                "learner.targetSteps=100000", "within a meta-step", true
            ] do
            test $"with {setting} it stops, says {where}, and how to go on" {
                withScratch (fun directory ->
                    let file = Path.Combine(directory, "small.json")
                    let output = Path.Combine(directory, "run")
                    File.WriteAllText(file, small "bmg")

                    let waited =
                        if hasCheckpoint then
                            Path.Combine(output, "checkpoints", "latest.safetensors")
                        else
                            Path.Combine(output, "run.json")

                    use running =
                        start [
                            "train"
                            file
                            "--output"
                            output
                            "--set"
                            setting
                            "--set"
                            "environmentSteps=10000000"
                        ]

                    waitFor "the start" 60.0 (fun () -> running.HasExited || File.Exists waited)
                    Threading.Thread.Sleep 300
                    signal (running.Id, Terminate) |> ignore
                    let code, said, error = ended "the run" running
                    Expect.equal (code, error) (130, "") said
                    Expect.stringContains said where "where"
                    Expect.stringContains said $"train --resume {output}" "how to go on"

                    if hasCheckpoint then
                        use kept = CheckpointFile.Read waited
                        Expect.equal kept.Manifest.EnvironmentSteps 0L "the checkpoint is what it was")
            }
    ]

let private outputTests =
    testList "standard output" [
        for closing in [ ">&-"; ">/dev/full" ] do
            test $"{closing}: no program works for nobody, and each says why" {
                withScratch (fun directory ->
                    let file = Path.Combine(directory, "small.json")
                    let output = Path.Combine(directory, "run")
                    File.WriteAllText(file, small "fixed")

                    for assembly, arguments in
                        [
                            "Bmg.Training.dll", [ "train"; file; "--output"; output ]
                            "Bmg.Training.dll", [ "schema" ]
                            "Bmg.Export.dll", [ "--help" ]
                        ] do
                        use running = run "sh" [ "-c"; $"{commandLine assembly arguments} {closing}" ] directory
                        let code, _, error = ended assembly running
                        Expect.equal code 1 $"%A{arguments}: {error}"
                        Expect.stringContains error "Standard output cannot be written" $"%A{arguments}"
                        Expect.equal (error.Trim().Split('\n').Length) 1 $"%A{arguments}: one line"

                    Expect.isEmpty (Directory.GetFiles(output, "*", SearchOption.AllDirectories)) "nothing was begun")
            }
    ]

/// A library of many methods, each called for the first time at its own time; the numbers are what changes between two builds.
let private part (shift: int) =
    let methods =
        String.Join(
            "\n",
            [
                for i in 0..1999 -> $"    public static long M{i}(long x) => x %% {i + 7} + {i + shift};"
            ]
        )

    let calls = String.Join("\n", [ for i in 0..1999 -> $"        Part.M{i}," ])

    $"public static class Part\n{{\n{methods}\n    public static readonly System.Func<long, long>[] All =\n    [\n{calls}\n    ];\n}}\n"

let private buildTests =
    testList "builds" [
        test "nothing of ours in an output is a link to another file" {
            match Planting.sources () with
            | null -> skiptest "there are no sources here, so nothing was built here"
            | root ->
                let outputs = Path.Combine(root, "artifacts", "bin")

                if not (Directory.Exists outputs) then
                    skiptest "the outputs are somewhere else"

                use running = run "find" [ outputs; "-type"; "f"; "-name"; "Bmg.*"; "-links"; "+1" ] root
                let code, linked, error = ended "find" running

                Expect.equal
                    (code, linked, error)
                    (0, "", "")
                    "files that a compiler would rewrite under a running process"
        }

        test "a program goes on while what it runs is built anew" {
            match Planting.sources () with
            | null -> skiptest "there are no sources here to build with"
            | root ->
                withScratch (fun directory ->
                    Directory.CreateDirectory(Path.Combine(directory, "build")) |> ignore

                    for name in [ "Directory.Build.props"; "Directory.Build.targets"; "build/Bmg.targets" ] do
                        File.Copy(Path.Combine(root, name), Path.Combine(directory, name))

                    let write (name: string) (text: string) =
                        let path = Path.Combine(directory, name)
                        Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
                        File.WriteAllText(path, text)

                    let project (rest: string) =
                        $"<Project Sdk=\"Microsoft.NET.Sdk\"><PropertyGroup><AnalysisLevel>none</AnalysisLevel><RestorePackagesWithLockFile>false</RestorePackagesWithLockFile>{rest}</Project>"

                    write "Part/Part.csproj" (project "</PropertyGroup>")
                    write "Part/Part.cs" (part 0)

                    write
                        "Whole/Whole.csproj"
                        (project
                            "<OutputType>Exe</OutputType></PropertyGroup><ItemGroup><ProjectReference Include=\"../Part/Part.csproj\" /></ItemGroup>")

                    // Methods are compiled, and their pages read, as they are first called: some before the second build, most after it.
                    write
                        "Whole/Program.cs"
                        """
                        long sum = 0;
                        for (int i = 0; i < Part.All.Length; i++)
                        {
                            if (i == 100)
                            {
                                System.Console.WriteLine("ready");
                                System.Console.ReadLine();
                            }
                            sum += Part.All[i](i);
                        }
                        System.Console.WriteLine(sum);
                        """

                    let build (more: string list) =
                        use building =
                            run
                                "dotnet"
                                ([ "build"; "-c"; "Release"; "--nologo"; "-v"; "q"; "Whole/Whole.csproj" ] @ more)
                                directory

                        let code, output, error = ended "the build" building
                        Expect.equal code 0 (output + error)

                    build []

                    let info =
                        ProcessStartInfo(
                            Path.Combine(directory, "artifacts", "bin", "Whole", "release", "Whole"),
                            RedirectStandardInput = true,
                            RedirectStandardOutput = true,
                            RedirectStandardError = true
                        )

                    use running = nonNull (Process.Start info)
                    Expect.equal (running.StandardOutput.ReadLine()) "ready" "started"
                    write "Part/Part.cs" (part 5)
                    build [ "--no-restore" ]
                    running.StandardInput.WriteLine()
                    let code, output, error = ended "the program" running
                    let sum = List.sum [ for i in 0L .. 1999L -> i % (i + 7L) + i ]

                    Expect.equal
                        (code, output.Trim(), error)
                        (0, string sum, "")
                        "what it was built from when it was started")
        }
    ]

let tests = testSequenced <| testList "processes" [ signalTests; outputTests; buildTests ]
