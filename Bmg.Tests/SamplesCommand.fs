/// `samples`: makes what the documents show of a run anew, and tells which of it has gone stale.
module Bmg.Tests.SamplesCommand

open System
open System.CommandLine
open System.IO
open System.Text.RegularExpressions
open Bmg
open Bmg.Verify
open Bmg.Tests.Planting
open Bmg.Training.CommandLine
open Bmg.Training.Runs

/// Something that a document shows between "<!-- sample NAME: … -->" and the end of the block of code that follows. It may stand in
/// any document, in several of them too.
[<NoEquality; NoComparison>]
type Sample = {
    Name: string
    /// What a reader types to see the same.
    Command: string
    /// Makes it anew, [lines]; the argument is where the quickstart's output can be read, or nothing.
    Make: FileInfo | null -> string[]
}

/// One run of the quickstart, however often it is shown, [lines].
let private quickstartRun =
    lazy
        (let directory = Path.Combine(Path.GetTempPath(), "bmg-sample-" + Guid.NewGuid().ToString "N")

         try
             use output = new StringWriter()
             use error = new StringWriter()

             let code = TrainingCli.Run([| "train"; "--output"; directory |], ProgramHost.Create(output, error))

             if code <> 0 then
                 failwith $"samples: the quickstart ended with {code}: {error}"

             output.ToString().Split '\n'
         finally
             if Directory.Exists directory then
                 Directory.Delete(directory, true))

/// Lines between empty ones.
let private paragraphs (lines: string[]) : string[] list =
    let mutable found = []
    let mutable current = []

    let close () =
        if not current.IsEmpty then
            found <- Array.ofList (List.rev current) :: found
            current <- []

    for line in lines do
        let line = line.TrimEnd()

        if line = "" then close () else current <- line :: current

    close ()
    List.rev found

/// The heading of a run, and a line of its progress: what follows in the same paragraph differs by machine and by path.
let private running = Regex @"environment steps each, in |steps/s  .* left"

/// What the quickstart says at its end: all paragraphs after those of its runs, but for the last, which names files.
let results (lines: string[]) : string[] list =
    let said =
        paragraphs lines
        |> List.filter (fun p -> not (p |> Array.exists running.IsMatch))

    if said.Length < 2 then
        failwith "samples: the quickstart's output has no results between its runs and its files"

    List.truncate (said.Length - 1) said

let private quickstart (recorded: FileInfo | null) : string[] =
    let lines =
        match recorded with
        | null -> quickstartRun.Value
        | file -> File.ReadAllLines file.FullName

    results lines
    |> List.mapi (fun i p -> if i = 0 then p else Array.append [| "" |] p)
    |> Array.concat

/// A report of the laws; of one that names something broken, its heading and the first law that is.
let private verdict (report: unit -> Report) (_: FileInfo | null) : string[] =
    let lines = (string (report ())).TrimEnd().Split '\n' |> Array.map (fun l -> l.TrimEnd())

    match lines |> Array.tryFindIndex (fun l -> l.TrimStart().StartsWith "once more:") with
    | Some last ->
        let first = lines |> Array.findIndex (fun l -> l.Contains " FAILS ")
        Array.concat [ [| lines[0] |]; lines[first..last]; [| "  …" |] ]
    | None -> lines

/// All that is shown.
let all: Sample list = [
    {
        Name = "quickstart"
        Command = "dotnet run -c Release --project Bmg.Training -- train"
        Make = quickstart
    }
    {
        Name = "verify-holds"
        Command = "Verify.Matching hellinger"
        Make = verdict (fun () -> Verify.Matching Bmg.Examples.FSharp.hellinger)
    }
    {
        Name = "verify-stops"
        Command = "Verify.Matching forgetful"
        Make = verdict (fun () -> Verify.Matching Bmg.Examples.FSharp.forgetful)
    }
    {
        Name = "verify-divergence"
        Command = "Verify.Matching crossEntropy"
        Make = verdict (fun () -> Verify.Matching Bmg.Examples.FSharp.crossEntropy)
    }
]

/// What is the machine's and not the run's: time, speed, memory.
let private machine = Regex @"in [0-9:]+, [0-9 ]+ a second over all; peak memory [0-9 ]+ MB"

/// A deviation of a few units in the last place, and the seed that gave it: one more operation anywhere changes both.
let private rounding = Regex @"worst deviation [0-9.]+e-1[4-9], allowed (\S+) \(seed [0-9]+;"

let private comparable (line: string) =
    rounding.Replace(
        machine.Replace(line, "in T, V a second over all; peak memory M MB"),
        "worst deviation of rounding, allowed $1 (seed S;"
    )

/// The documents that show a sample.
let shownIn (root: string) (sample: Sample) : string list =
    Documents.all root
    |> List.collect (fun document ->
        File.ReadAllLines(Path.Combine(root, document))
        |> Array.filter (fun l -> l.StartsWith $"<!-- sample {sample.Name}:")
        |> Array.map (fun _ -> document)
        |> List.ofArray)

/// Where a sample stands in a document's lines: that of its comment, and the first and last of what it shows.
let private place (lines: string[]) (sample: Sample) : (int * int * int) option =
    lines
    |> Array.tryFindIndex (fun l -> l.StartsWith $"<!-- sample {sample.Name}:")
    |> Option.map (fun comment ->
        let first = comment + 2
        let last = Array.FindIndex(lines, first, (fun l -> l.StartsWith "```")) - 1
        comment, first, last)

/// The comment before a sample: how it was made, with what, on what.
let private comment (sample: Sample) =
    let here = Provenance.Here

    let commit =
        match here.Commit with
        | null -> ""
        | text -> $" at {text[.. min 6 (text.Length - 1)]}"

    $"<!-- sample {sample.Name}: {sample.Command}; Bmg {here.Version}{commit}, {InstructionSet.Here} -->"

/// The instructions that a sample's comment names.
let private instructionsOf (comment: string) =
    let text = comment.Substring(comment.IndexOf("; Bmg ", StringComparison.Ordinal))
    text.Substring(text.IndexOf(", ", StringComparison.Ordinal) + 2).Replace(" -->", "")

/// What came of a sample.
type Verdict =
    | Holds
    | Written
    /// Other instructions add in another order, so that the last digits differ without anything being stale.
    | OtherInstructions of string
    | Stale of line: int * shown: string * made: string

let judge (root: string) (write: bool) (made: Lazy<string[]>) (sample: Sample) (document: string) : Verdict =
    let path = Path.Combine(root, document)
    let lines = File.ReadAllLines path

    match place lines sample with
    | None -> failwith $"samples: {document} shows no sample {sample.Name}"
    | Some(at, first, last) ->
        let shown = lines[first..last]

        if not write && instructionsOf lines[at] <> InstructionSet.Here then
            OtherInstructions(instructionsOf lines[at])
        else
            let made = made.Value
            let longest = max shown.Length made.Length
            let line (text: string[]) i = if i < text.Length then text[i] else ""

            let stale =
                Seq.init longest id
                |> Seq.tryFind (fun i -> comparable (line shown i) <> comparable (line made i))

            match stale with
            | None when not write || instructionsOf lines[at] = InstructionSet.Here -> Holds
            | _ when write ->
                File.WriteAllLines(
                    path,
                    Array.concat [
                        lines[.. at - 1]
                        [| comment sample |]
                        lines[at + 1 .. first - 1]
                        made
                        lines[last + 1 ..]
                    ]
                )

                Written
            | Some i -> Stale(first + i + 1, line shown i, line made i)
            | None -> Holds

/// The code that documents show: whether it is what its files hold, or, to be written, made so. The number of stale blocks that are left.
let private codeBlocks (output: TextWriter) (root: string) (write: bool) : int =
    let mutable stale = 0
    let mutable blocks = 0

    for document in Documents.all root do
        let shown = Documents.code root document
        blocks <- blocks + shown.Length

        if write && Documents.refresh root document then
            output.WriteLine $"{document}: its code written anew"

        for block in Documents.code root document do
            if Documents.excerpt root block.Source block.Region <> block.Shown then
                stale <- stale + 1
                output.WriteLine $"{document}: stale in line {block.First + 1}; samples --code --write makes it anew"

    if stale = 0 then
        output.WriteLine $"{blocks} blocks of code: as their files hold them"

    stale

let private run
    (output: TextWriter)
    (error: TextWriter)
    (only: string[])
    (codeOnly: bool)
    (write: bool)
    (recorded: FileInfo | null)
    =
    let chosen =
        if codeOnly then
            []
        else
            all |> List.filter (fun s -> only.Length = 0 || Array.contains s.Name only)

    match sources () with
    | null ->
        error.WriteLine
            "error: samples: the sources must lie above the program (a clone, built in place); none were found."

        2
    | _ when chosen.IsEmpty && not codeOnly ->
        error.WriteLine
            $"""error: --only: no sample is named so; there are: {String.Join(", ", all |> List.map (fun s -> s.Name))}."""

        2
    | root ->
        let staleCode = if only.Length = 0 then codeBlocks output root write else 0

        let stale = [
            for sample in chosen do
                let made = lazy (sample.Make recorded)

                for document in shownIn root sample do
                    let place = $"{document}, {sample.Name}"

                    match judge root write made sample document with
                    | Holds -> output.WriteLine $"{place}: as a run shows it today"
                    | Written -> output.WriteLine $"{place}: written anew"
                    | OtherInstructions processor ->
                        output.WriteLine
                            $"{place}: skipped, for it was made with {processor} and this is {InstructionSet.Here}"
                    | Stale(line, shown, made) ->
                        output.WriteLine $"{place}: stale in line {line}; samples --write makes it anew"
                        output.WriteLine $"  shown  {shown}"
                        output.WriteLine $"  made   {made}"
                        place
        ]

        if stale.IsEmpty && staleCode = 0 then 0 else 1

/// The command.
let create (output: TextWriter) (error: TextWriter) : Command =
    let only =
        Option<string[]>(
            "--only",
            Description = "Only the samples of these names.",
            AllowMultipleArgumentsPerToken = true,
            HelpName = "NAME …"
        )

    let code =
        Option<bool>(
            "--code",
            Description = "Only the code that is taken from files, which takes no run.",
            DefaultValueFactory = (fun _ -> false)
        )

    let write =
        Option<bool>("--write", Description = "Write what has gone stale anew.", DefaultValueFactory = (fun _ -> false))

    let recorded =
        Option<FileInfo>(
            "--quickstart",
            Description = "The output of a quickstart that ran already, instead of running one.",
            HelpName = "FILE"
        )

    let command =
        Command(
            "samples",
            "Compares the code in the documents with the files that it is taken from, and what they show of runs with runs made anew; time, speed and memory are the machine's and may differ. What was made with other instructions of a processor is skipped by name.\n\nExamples:\n  samples --code --write\n  samples --only quickstart --write\nExit code: 0 all is as it is shown, 1 something is stale, 2 wrong usage."
        )

    command.Options.Add only
    command.Options.Add code
    command.Options.Add write
    command.Options.Add recorded

    command.SetAction(fun parsed ->
        let names =
            match parsed.GetValue only with
            | null -> [||]
            | values -> values

        run
            output
            error
            names
            (parsed.GetRequiredValue code)
            (parsed.GetRequiredValue write)
            (parsed.GetValue recorded))

    command
