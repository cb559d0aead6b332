/// Projects outside this tree, C# and F#, that reference ours by path.
module Bmg.Tests.OutsideTests

open System
open System.IO
open Bmg.Tests.EndToEndTests
open Expecto

let private run (program: string) (arguments: string list) (folder: string) =
    match Planting.runFor (TimeSpan.FromMinutes 5.0) program arguments folder with
    | Some(code, output) -> code, output
    | None -> failtest $"{program} %A{arguments} did not end"

let private succeeded (program: string) (arguments: string list) (folder: string) =
    let code, output = run program arguments folder
    Expect.equal code 0 $"{program} %A{arguments}: {output}"
    output.Trim()

/// As a user writes it: a reference by path, and the one import.
let private project (root: string) (sources: string) =
    $"""<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
  </PropertyGroup>
  <ItemGroup>
    {sources}
    <ProjectReference Include="{root}/Bmg.Training/Bmg.Training.csproj" />
  </ItemGroup>
  <Import Project="{root}/build/Bmg.targets" />
</Project>
"""

let private csharp =
    """
    using TorchSharp;

    using var learned = torch.ones(3, requires_grad: true);
    var gradient = torch.autograd.grad([learned.pow(3).sum()], [learned], create_graph: true, retain_graph: true)[0];
    System.Console.WriteLine(torch.autograd.grad([gradient.sum()], [learned])[0].sum().item<float>());
    """

let private fsharp =
    """module Mine

open Bmg
open TorchSharp

let members = Seed.Population(1L, 3)
printfn "%g" (torch.ones(int64 members.Length).sum().item<float32>())
"""

let tests =
    testSequenced
    <| testList "outside" [
        test "a project elsewhere builds, runs and publishes, in C# and F#, by one import" {
            match Planting.sources () with
            | null -> skiptest "there are no sources here to refer to"
            | root ->
                let configuration = DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')).Name

                if not (Directory.Exists(Path.Combine(root, "artifacts", "bin", "Bmg.Training", configuration))) then
                    skiptest "the outputs are somewhere else"

                withScratch (fun directory ->
                    for language, sources, program, text in
                        [
                            "cs", "", "Program.cs", csharp
                            "fs", "<Compile Include=\"Program.fs\" />", "Program.fs", fsharp
                        ] do
                        let folder = Path.Combine(directory, language)
                        Directory.CreateDirectory folder |> ignore
                        File.WriteAllText(Path.Combine(folder, $"Mine.{language}proj"), project root sources)
                        File.WriteAllText(Path.Combine(folder, program), text)

                        // What it refers to is built already, and may be what these tests run from.
                        let options = [
                            "-c"
                            configuration
                            "--nologo"
                            "-v"
                            "q"
                            "-p:BuildProjectReferences=false"
                            "-p:NuGetAudit=false"
                        ]

                        let expected = if language = "cs" then "18" else "3"
                        succeeded "dotnet" ("build" :: options) folder |> ignore
                        let output = Path.Combine(folder, "bin", configuration, "net10.0")
                        Expect.equal (succeeded (Path.Combine(output, "Mine")) [] folder) expected "built"

                        Expect.equal
                            (Directory.GetDirectories(Path.Combine(output, "runtimes"))
                             |> Array.map Path.GetFileName)
                            [|
                                $"linux-{Runtime.InteropServices.RuntimeInformation.OSArchitecture}".ToLowerInvariant()
                            |]
                            "natives of one platform"

                        succeeded "dotnet" ([ "publish"; "--no-build"; "-o"; "published" ] @ options) folder
                        |> ignore

                        Expect.equal
                            (succeeded (Path.Combine(folder, "published", "Mine")) [] folder)
                            expected
                            "published")
        }

        test "where the native library cannot be loaded, the message says what the project needs" {
            let loading =
                NotSupportedException
                    "This application or script uses TorchSharp but doesn't contain a reference to libtorch-cpu-linux-x64.\n\nTrace"

            let first =
                TypeInitializationException("Bmg.Scalars", TypeInitializationException("TorchSharp.torch", loading))

            let message = Bmg.Export.Printable.MessageOf first
            Expect.stringContains message "dotnet add package TorchSharp-cpu" "the backend"
            Expect.stringContains message "build/Bmg.targets" "the import"
            Expect.isFalse (message.Contains '\n') "one line"

            Expect.equal
                (Bmg.Export.Printable.MessageOf(
                    TypeInitializationException("Some.Type", InvalidOperationException "why")
                ))
                "why"
                "the cause of a type that cannot be used"
        }
    ]
