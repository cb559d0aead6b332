/// What planting faults takes: the sources, copies of them, and programs to build and to judge them.
module Bmg.Tests.Planting

open System
open System.Diagnostics
open System.IO
open System.Text

/// The folder that holds Bmg.sln, above the program; null where it runs without its sources.
let sources () : string | null =
    let rec up (folder: DirectoryInfo | null) =
        match folder with
        | null -> null
        | folder when File.Exists(Path.Combine(folder.FullName, "Bmg.sln")) -> folder.FullName
        | folder -> up folder.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

/// How often a text stands in another.
let occurrences (text: string) (find: string) : int =
    let mutable count = 0
    let mutable at = text.IndexOf(find, StringComparison.Ordinal)

    while at >= 0 do
        count <- count + 1
        at <- text.IndexOf(find, at + 1, StringComparison.Ordinal)

    count

/// Runs a program for so long at most; exit code, and output and errors together, or nothing where it had to be ended.
let runFor (limit: TimeSpan) (program: string) (arguments: string seq) (folder: string) : (int * string) option =
    let start =
        ProcessStartInfo(
            program,
            arguments,
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true
        )

    use child = nonNull (Process.Start start)
    let output = StringBuilder()
    let gate = obj ()

    let add (line: string | null) =
        match line with
        | null -> ()
        | line -> lock gate (fun () -> output.AppendLine line |> ignore)

    child.OutputDataReceived.Add(fun e -> add e.Data)
    child.ErrorDataReceived.Add(fun e -> add e.Data)
    child.BeginOutputReadLine()
    child.BeginErrorReadLine()

    if child.WaitForExit limit then
        // Until all that it wrote is read.
        child.WaitForExit()
        Some(child.ExitCode, lock gate (fun () -> output.ToString()))
    else
        child.Kill(entireProcessTree = true)
        None

/// Runs a program to its end; exit code, and output and errors together.
let run (program: string) (arguments: string seq) (folder: string) : int * string =
    runFor Threading.Timeout.InfiniteTimeSpan program arguments folder |> Option.get

/// Copies the files of a folder, not of those inside.
let copyFolder (from: string) (into: string) =
    Directory.CreateDirectory into |> ignore

    for file in Directory.GetFiles from do
        File.Copy(file, Path.Combine(into, nonNull (Path.GetFileName file)), true)

/// Copies a folder with all that is in it.
let rec copyDeep (from: string) (into: string) =
    copyFolder from into

    for folder in Directory.GetDirectories from do
        copyDeep folder (Path.Combine(into, nonNull (Path.GetFileName folder)))

/// The outputs of the tests again, by links, but for the assemblies of ours, which are copies: some will be replaced.
let linkOutputs (from: string) (into: string) =
    Directory.CreateDirectory into |> ignore

    for entry in Directory.GetFileSystemEntries from do
        let name = nonNull (Path.GetFileName entry)
        let target = Path.Combine(into, name)

        if name.StartsWith("Bmg.", StringComparison.Ordinal) then
            if File.Exists entry then
                File.Copy(entry, target, true)
        elif Directory.Exists entry then
            Directory.CreateSymbolicLink(target, entry) |> ignore
        else
            File.CreateSymbolicLink(target, entry) |> ignore

/// Puts `replace` in the place of `find`, which must stand exactly once in the file.
let edit (fault: string) (path: string) (find: string) (replace: string) : unit =
    let text = File.ReadAllText path
    let count = occurrences text find

    if count <> 1 then
        invalidOp $"faults: '{fault}': the place to change must stand once in {path}, found {count} times"

    File.WriteAllText(path, text.Replace(find, replace, StringComparison.Ordinal))
