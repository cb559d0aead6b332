/// Plants the faults of `HostFaults` one by one in copies of the projects, and lets the tests judge each.
module Bmg.Tests.HostJudge

open System
open System.Diagnostics
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open Bmg.Tests.HostFaults
open Bmg.Tests.Planting

/// What a fault came to.
type Verdict = {
    Fault: HostFault
    /// Tests that fail, of those tried; or that the process ended early, or did not end.
    Caught: string list
    /// Whether it took the whole suite.
    BySuite: bool
    /// Why there is no verdict, if so.
    Trouble: string
}

/// What came of some tests.
type private Judgement =
    | Passed of tests: int
    | Failed of names: string list

let private projects = [ "Bmg.Core"; "Bmg.Export"; "Bmg.Training" ]

/// The list of "list" or "list: case".
let private listOf (tests: string) : string = tests.Split(": ", 2)[0]

/// Arguments of the test program for the same.
let private filters (tests: string) : string list =
    match tests.Split(": ", 2) with
    | [| list; case |] -> [ "--filter-test-list"; list; "--filter-test-case"; case ]
    | _ -> [ "--filter-test-list"; tests ]

let private lineOf = Regex(@"(?:ERR|FTL)\] (.+?) (?:failed|errored) in ", RegexOptions.Compiled)
let private summaryOf = Regex(@"EXPECTO! (\d+) tests? run", RegexOptions.Compiled)

/// Runs tests of the outputs, for so many seconds at most.
let private judge (outputs: string) (arguments: string list) (seconds: float) : Judgement =
    let all =
        [ Path.Combine(outputs, "Bmg.Tests.dll"); "--no-spinner"; "--colours"; "0" ]
        @ arguments

    match runFor (TimeSpan.FromSeconds seconds) "dotnet" all outputs with
    | None -> Failed [ $"the tests do not end within {seconds:F0} s" ]
    | Some(code, log) ->
        let failed = [ for m in lineOf.Matches log -> m.Groups[1].Value ]
        let summary = summaryOf.Match log

        if not failed.IsEmpty then
            Failed failed
        elif code <> 0 || not summary.Success then
            let last = log.Trim().Split('\n') |> Array.last
            Failed [ $"the tests' process ends early, with exit code {code}: {last.Trim()}" ]
        else
            Passed(int summary.Groups[1].Value)

/// A tree in which any of the projects builds alone, against the others as they are.
let private copyTree (root: string) (tree: string) =
    Directory.CreateDirectory tree |> ignore

    for file in Directory.GetFiles root do
        let name = nonNull (Path.GetFileName file)

        if
            name.StartsWith "Directory."
            || name.StartsWith "Bmg.Core."
            || name = "global.json"
            || name = ".editorconfig"
        then
            File.Copy(file, Path.Combine(tree, name))

    copyFolder (Path.Combine(root, "build")) (Path.Combine(tree, "build"))

    // Embedded in the training program.
    for embedded in [ "starter.json"; "quickstart/fixed.json"; "quickstart/learned.json" ] do
        let copy = Path.Combine(tree, "paper-configs", embedded)
        Directory.CreateDirectory(nonNull (Path.GetDirectoryName copy)) |> ignore
        File.Copy(Path.Combine(root, "paper-configs", embedded), copy)

    // What the training program refers to, and no fault is planted in.
    copyDeep (Path.Combine(root, "Bmg.Tests", "Verify")) (Path.Combine(tree, "Bmg.Tests", "Verify"))

    for project in projects do
        copyDeep (Path.Combine(root, project)) (Path.Combine(tree, project))

    for project in projects @ [ "Bmg.Verify" ] do
        let built = Path.Combine(tree, "artifacts", "bin", project, "release")
        Directory.CreateDirectory built |> ignore
        File.Copy(Path.Combine(AppContext.BaseDirectory, project + ".dll"), Path.Combine(built, project + ".dll"))

let private fileOf (project: string) =
    if project = "Bmg.Core" then
        "Bmg.Core.fsproj"
    else
        $"{project}/{project}.csproj"

let private errorsOf (log: string) =
    log.Split '\n'
    |> Array.filter (fun l -> l.Contains "error ")
    |> Array.truncate 1
    |> String.concat " "

let private settings = [
    "-p:Configuration=Release"
    "-p:BuildProjectReferences=false"
    "-p:CompileUsingReferenceAssemblies=false"
    "-p:RunAnalyzers=false"
    "-p:EnforceCodeStyleInBuild=false"
    // A fault may leave a value unused.
    "-p:TreatWarningsAsErrors=false"
    "-p:MSBuildTreatWarningsAsErrors=false"
]

/// Restores a project of the tree and tells how it is compiled: into the assembly of this path, or what the compiler says.
let private compiler (tree: string) (project: string) : unit -> Result<string, string> =
    match run "dotnet" [ "restore"; "-v"; "q"; fileOf project ] tree with
    | 0, _ -> ()
    | _, log -> failwith $"faults: {project} cannot be restored: {log.Trim()}"

    let assembly = Path.Combine(tree, "artifacts", "obj", project, "release", project + ".dll")

    if project = "Bmg.Core" then
        fun () ->
            match
                run
                    "dotnet"
                    ([ "build"; "-t:Compile"; "-v"; "q"; "--nologo"; "--no-restore"; fileOf project ]
                     @ settings)
                    tree
            with
            | 0, _ -> Ok assembly
            | _, log -> Error(errorsOf log)
    else
        // The compiler's own command line, asked for once: it and its server take a second or two, where a build takes ten.
        let code, log =
            run
                "dotnet"
                ([
                    "msbuild"
                    fileOf project
                    "-nologo"
                    "-t:Compile"
                    "-p:ProvideCommandLineArgs=true"
                    "-p:SkipCompilerExecution=true"
                    "-getItem:CscCommandLineArgs"
                    "-getProperty:RoslynTargetsPath"
                 ]
                 @ settings)
                tree

        if code <> 0 then
            failwith $"faults: {project} cannot be built: {log.Trim()}"

        use json = JsonDocument.Parse log

        let arguments = [
            for item in json.RootElement.GetProperty("Items").GetProperty("CscCommandLineArgs").EnumerateArray() do
                match item.GetProperty("Identity").GetString() with
                | null
                | "/noconfig" -> ()
                | argument when argument.Contains ' ' && not (argument.Contains '"') -> $"\"{argument}\""
                | argument -> argument
        ]

        if arguments.IsEmpty then
            failwith $"faults: {project}: found no command line of the compiler"

        let response = Path.Combine(tree, project + ".rsp")
        File.WriteAllLines(response, arguments)
        let roslyn = json.RootElement.GetProperty("Properties").GetProperty("RoslynTargetsPath").GetString()
        let csc = Path.Combine(nonNull roslyn, "bincore", "csc.dll")

        fun () ->
            match
                run
                    "dotnet"
                    [ csc; "/noconfig"; "/nologo"; "/shared"; "/keepalive:300"; "@" + response ]
                    (Path.Combine(tree, project))
            with
            | 0, _ -> Ok assembly
            | _, log -> Error(errorsOf log)

let private suiteSeconds = 1800.0

/// Judges each fault and tells what came of it as it goes: the tests that it names first, and where they pass the whole suite, unless that
/// is left out. Throws where the tests do not pass without a fault.
let plant
    (output: TextWriter)
    (root: string)
    (scratch: string)
    (withSuite: bool)
    (chosen: HostFault list)
    (told: Verdict list -> unit)
    : Verdict list =
    let tree = Path.Combine(scratch, "host")
    let outputs = Path.Combine(scratch, "host-judge")
    copyTree root tree
    linkOutputs AppContext.BaseDirectory outputs
    let clock = Stopwatch()

    // Without a fault, the tests tried first must pass, or "caught" would say nothing.
    let lists = chosen |> List.collect (fun f -> f.Tests |> List.map listOf) |> List.distinct

    let seconds =
        Map [
            for list in lists do
                clock.Restart()

                match judge outputs [ "--filter-test-list"; list ] suiteSeconds with
                | Passed 0 -> failwith $"faults: no test list is named '{list}'"
                | Passed tests ->
                    output.WriteLine $"       without a fault, '{list}': {tests} tests pass"
                    output.Flush()
                    list, clock.Elapsed.TotalSeconds
                | Failed names ->
                    let names = String.Join(", ", names)
                    failwith $"faults: without any fault, the tests of '{list}' should pass: {names}"
        ]

    let compilers =
        Map [
            for project in chosen |> List.map (fun f -> f.Project) |> List.distinct do
                project, compiler tree project
        ]

    let verdict (fault: HostFault) : Verdict =
        let result caught suite trouble = {
            Fault = fault
            Caught = caught
            BySuite = suite
            Trouble = trouble
        }

        let path = Path.Combine(tree, fault.Project, fault.File)
        let whole = File.ReadAllText path
        edit fault.Name path fault.Find fault.Replace
        let built = compilers[fault.Project]()
        File.WriteAllText(path, whole)

        match built with
        | Error problem -> result [] false $"does not compile: {problem}"
        | Ok assembly ->
            let name = fault.Project + ".dll"
            File.Copy(assembly, Path.Combine(outputs, name), true)

            try
                let rec first (tests: string list) =
                    match tests with
                    | [] when not withSuite -> result [] false ""
                    | [] ->
                        match judge outputs [] suiteSeconds with
                        | Passed _ -> result [] true ""
                        | Failed names -> result names true ""
                    | next :: others ->
                        match judge outputs (filters next) (60.0 + 10.0 * seconds[listOf next]) with
                        | Passed 0 -> result [] false $"no test is named so: {next}"
                        | Passed _ -> first others
                        | Failed names -> result names false ""

                first fault.Tests
            finally
                File.Copy(Path.Combine(AppContext.BaseDirectory, name), Path.Combine(outputs, name), true)

    let mutable verdicts = []

    for i, fault in List.indexed chosen do
        let v = verdict fault
        verdicts <- verdicts @ [ v ]
        let number = $"{i + 1}/{chosen.Length}".PadLeft 5
        output.WriteLine $"{number}  {fault.Kind}: {fault.Name}"

        output.WriteLine(
            match v with
            | { Trouble = problem } when problem <> "" -> $"       {problem}"
            | { Caught = [] } -> "       NOT CAUGHT"
            | { Caught = first :: others } ->
                let more = if others.IsEmpty then "" else $", and {others.Length} more"
                let how = if v.BySuite then ", which took the whole suite" else ""
                $"       {first}{more}{how}"
        )

        output.Flush()
        told verdicts

    verdicts

/// The table, as Markdown.
let markdown (verdicts: Verdict list) : string list = [
    "| planted fault | of | in | caught by |"
    "| --- | --- | --- | --- |"
    for v in verdicts do
        let by =
            match v.Caught with
            | _ when v.Trouble <> "" -> v.Trouble
            | [] -> "NOT CAUGHT"
            | first :: others ->
                let more = if others.IsEmpty then "" else $", and {others.Length} more"
                let how = if v.BySuite then " (whole suite)" else ""
                (first + more + how).Replace("|", "\\|")

        $"| {v.Fault.Name} | {v.Fault.Kind} | {v.Fault.Project}/{v.Fault.File} | {by} |"
]

/// How many are caught, of each kind and in all.
let summary (verdicts: Verdict list) : string list = [
    for kind in kinds do
        let own = verdicts |> List.filter (fun v -> v.Fault.Kind = kind)

        if not own.IsEmpty then
            let caught = own |> List.filter (fun v -> not v.Caught.IsEmpty) |> List.length
            $"       {kind}: {caught} of {own.Length}"
]
