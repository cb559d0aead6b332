/// `verify`: the laws on everything in the library, as a table.
module Bmg.Tests.VerifyCommand

open System
open System.CommandLine
open System.Globalization
open System.IO
open System.Threading
open Bmg
open Bmg.Verify
open TorchSharp

let private culture = CultureInfo.InvariantCulture

let private short (v: float) =
    if v = 0.0 then "0"
    elif Double.IsInfinity v then "inf"
    else v.ToString("0e-0", culture)

/// Three lines of a cell: verdict, deviation, seed.
let private cellText (cell: Cell voption) =
    match cell with
    | ValueNone -> "·", "", ""
    | ValueSome c ->
        match c.Verdict with
        | Verdict.Fails -> "FAILS", short c.Deviation, $"#{c.Seed}"
        | Verdict.Holds ->
            let rejected = if c.Rejected > 0 then $" -{c.Rejected}" else ""
            "holds", short c.Deviation + rejected, $"#{c.Seed}"
        | _ -> "n/a", "", ""

let private pad (width: int) (s: string) =
    if s.Length >= width then s else s.PadRight width

/// Rows of one kind against the laws that are asked of it, in blocks of columns that fit the width.
let private table (output: TextWriter) (width: int) (laws: string list) (reports: Report list) =
    let nameWidth =
        1 + (reports |> List.map (fun r -> r.Name.Length) |> List.max)
        |> max 18
        |> min 44

    let columns =
        laws
        |> List.filter (fun l -> reports |> List.exists (fun r -> r.Cells |> Array.exists (fun c -> c.Law = l)))

    let columnWidth (law: string) = 1 + max 8 law.Length

    let rec blocks (left: string list) =
        match left with
        | [] -> []
        | _ ->
            let mutable room = width - nameWidth - 2

            let block =
                left
                |> List.takeWhile (fun l ->
                    room <- room - columnWidth l
                    room >= 0)

            let block = if block.IsEmpty then [ left.Head ] else block
            block :: blocks (left |> List.skip block.Length)

    for block in blocks columns do
        let row (name: string) (cells: string list) =
            let text = List.map2 (fun l c -> pad (columnWidth l) c) block cells |> String.concat ""

            output.WriteLine(("  " + pad nameWidth name + text).TrimEnd())

        row "" block

        for r in reports do
            let cells =
                block
                |> List.map (fun l ->
                    r.Cells
                    |> Array.tryFind (fun c -> c.Law = l)
                    |> ValueOption.ofOption
                    |> cellText)

            row r.Name (cells |> List.map (fun (a, _, _) -> a))
            row "" (cells |> List.map (fun (_, b, _) -> b))
            row "" (cells |> List.map (fun (_, _, c) -> c))

        output.WriteLine()

let private writeCsv (file: FileInfo) (reports: Report seq) =
    let quote (s: string) = "\"" + s.Replace("\"", "\"\"") + "\""
    use writer = file.CreateText()
    writer.WriteLine "kind,name,law,verdict,deviation,allowed,seed,judged,rejected,note"

    for r in reports do
        for c in r.Cells do
            let number (v: float) = v.ToString("R", culture)

            let verdict =
                match c.Verdict with
                | Verdict.Holds -> "holds"
                | Verdict.Fails -> "fails"
                | _ -> "does not apply"

            writer.WriteLine(
                String.Join(
                    ",",
                    [|
                        r.Kind
                        quote r.Name
                        c.Law
                        verdict
                        number c.Deviation
                        number c.Limit
                        string c.Seed
                        string c.Judged
                        string c.Rejected
                        quote c.Note
                    |]
                )
            )

/// Tells how far a run is: one line that is rewritten on a terminal, a plain line every few seconds elsewhere.
type private Progress(total: int, error: TextWriter, live: bool) =
    let started = Diagnostics.Stopwatch.StartNew()
    let mutable ended = 0
    let mutable told = 0L
    let gate = obj ()

    member _.Advance() =
        let count = Interlocked.Increment &ended
        let now = started.ElapsedMilliseconds

        lock gate (fun () ->
            if now - told >= (if live then 200L else 5000L) then
                told <- now
                let left = float now / float count * float (total - count) / 1000.0
                let text = $"{100.0 * float count / float total:F0} %% of {total} cases, about {left:F0} s left"

                if live then
                    error.Write("\r" + text.PadRight 60)
                else
                    error.WriteLine text)

    member _.Clear() =
        if live then
            error.Write("\r" + String(' ', 60) + "\r")

    member _.Seconds = started.Elapsed.TotalSeconds

[<NoComparison; NoEquality>]
type VerifySettings = {
    Laws: string[]
    Only: string[]
    Cases: int
    Seed: int64
    Threads: int
    Csv: FileInfo | null
    Coverage: bool
    Rehearse: bool
    Details: bool
    /// The examples, those that are wrong on purpose among them, instead of the library.
    Examples: bool
}

/// The examples of both languages.
let private examples: Subject[] = [|
    Subject.Of Bmg.Examples.FSharp.hellinger
    Subject.Of Bmg.Examples.FSharp.forgetful
    Subject.Of Bmg.Examples.FSharp.crossEntropy
    Subject.Of Bmg.Examples.CSharp.Hellinger
    Subject.Of Bmg.Examples.CSharp.Brier
    Subject.Of Bmg.Examples.CSharp.Forgetful
    Subject.Of Bmg.Examples.CSharp.Overlap
    Subject.Of("half the way", (fun given -> Bmg.Examples.FSharp.halfway given))
    Subject.Of("half the way", (fun given -> Bmg.Examples.CSharp.Halfway given))
    Subject.Of("farther", (fun given -> Bmg.Examples.CSharp.Farther given))
    Subject.Of Bmg.Examples.FSharp.squashed
    Subject.Of Bmg.Examples.CSharp.Softsign
    Bmg.Examples.FSharp.shrinkingSubject
    Bmg.Examples.FSharp.extragradientSubject
    Bmg.Examples.CSharp.ShrinkingSubject
|]

/// The rows whose name, kind or both (as in "optimizer/sgd") have one of the texts in them.
let private chosen (all: Subject[]) (only: string[]) =
    if only.Length = 0 then
        all
    else
        let matches (s: Subject) (text: string) =
            let whole = $"{s.KindName}/{s.Name}"

            s.Name.Equals(text, StringComparison.OrdinalIgnoreCase)
            || (not (
                    all
                    |> Array.exists (fun o -> o.Name.Equals(text, StringComparison.OrdinalIgnoreCase))
                )
                && whole.Contains(text, StringComparison.OrdinalIgnoreCase))

        all |> Array.filter (fun s -> only |> Array.exists (matches s))

let private coverage (output: TextWriter) (settings: VerifySettings) (subject: Subject) =
    let count = max 1000 settings.Cases

    output.WriteLine
        $"What {count} generated cases cover ({subject.KindName} '{subject.Name}', seeds from {settings.Seed}):"

    for share in Coverage.ofSeeds subject settings.Seed count do
        output.WriteLine $"  {share.Percent, 3:F0} %%  {share.Label}"

    output.WriteLine()

let run (output: TextWriter) (error: TextWriter) (settings: VerifySettings) : int =
    let all = Laws.all<Rollout>()

    match
        settings.Laws
        |> Array.tryFind (fun l -> all |> Array.forall (fun law -> law.Name <> l))
    with
    | Some unknown ->
        error.WriteLine
            $"""error: --law: expected one of {String.Join(", ", all |> Array.map (fun l -> l.Name))}, found {unknown}."""

        2
    | None ->
        let parts = if settings.Examples then examples else Library.all

        let subjects =
            chosen parts settings.Only
            |> Array.filter (fun s ->
                settings.Laws.Length = 0
                || all
                   |> Array.exists (fun l -> Array.contains l.Name settings.Laws && (l.Parts &&& s.Kind) = s.Kind))

        if subjects.Length = 0 then
            error.WriteLine
                $"""error: --only: nothing of that name is asked about that; there are {String.Join(", ", parts |> Array.map (fun s -> s.KindName + "/" + s.Name))}."""

            2
        else
            if settings.Coverage then
                coverage output settings subjects[0]

            let live = not Console.IsErrorRedirected
            let progress = Progress(subjects.Length * settings.Cases, error, live)
            use stop = new CancellationTokenSource()

            let onCancel =
                ConsoleCancelEventHandler(fun _ e ->
                    if not stop.IsCancellationRequested then
                        e.Cancel <- true
                        stop.Cancel())

            Console.CancelKeyPress.AddHandler onCancel
            let reports: Report option[] = Array.create subjects.Length None
            let mutable next = -1

            let work () =
                torch.set_num_threads 1
                let mutable i = Interlocked.Increment &next

                while i < subjects.Length && not stop.IsCancellationRequested do
                    try
                        reports[i] <-
                            Some(
                                Verify.Run(
                                    subjects[i],
                                    VerifyOptions(
                                        Cases = settings.Cases,
                                        Seed = settings.Seed,
                                        Laws = settings.Laws,
                                        Rehearse = settings.Rehearse,
                                        Progress = (fun _ -> progress.Advance()),
                                        Cancellation = stop.Token
                                    )
                                )
                            )
                    with :? OperationCanceledException ->
                        ()

                    i <- Interlocked.Increment &next

            let threads =
                Array.init (max 1 (min settings.Threads subjects.Length)) (fun _ -> Thread(work, 16 * 1024 * 1024))

            for t in threads do
                t.Start()

            for t in threads do
                t.Join()

            Console.CancelKeyPress.RemoveHandler onCancel
            progress.Clear()
            let finished = reports |> Array.choose id
            let names = all |> Array.map (fun l -> l.Name) |> List.ofArray

            let width =
                if Console.IsOutputRedirected then
                    160
                else
                    try
                        max 80 Console.WindowWidth
                    with _ ->
                        160

            for kind, rows in finished |> List.ofArray |> List.groupBy (fun r -> r.Kind) do
                output.WriteLine kind
                table output width names rows

            let cells = finished |> Array.collect (fun r -> r.Cells)

            let count verdict =
                cells |> Array.filter (fun c -> c.Verdict = verdict) |> Array.length

            output.WriteLine
                "Under each verdict: the worst deviation, relative to what was compared (and -the cases rejected for a kink), and #the seed that gave it."

            for r in finished do
                if settings.Details || not r.Passed then
                    output.WriteLine()
                    output.WriteLine(string r)

            match settings.Csv with
            | null -> ()
            | file ->
                writeCsv file finished
                output.WriteLine $"Written: {file}"

            output.WriteLine(
                $"\n{finished.Length} parts, {settings.Cases} cases each from seed {settings.Seed}: {count Verdict.Holds} laws hold, {count Verdict.Fails} fail, {count Verdict.DoesNotApply} do not apply; {progress.Seconds:F0} s"
            )

            if stop.IsCancellationRequested then
                error.WriteLine
                    $"interrupted: {subjects.Length - finished.Length} of {subjects.Length} parts were not judged"

                130
            elif count Verdict.Fails > 0 then
                1
            else
                0

let private option (name: string) (description: string) (value: 'T) : Option<'T> =
    Option<'T>(name, Description = description, DefaultValueFactory = (fun _ -> value))

let private several (name: string) (description: string) : Option<string[]> =
    Option<string[]>(name, Description = description, AllowMultipleArgumentsPerToken = true, HelpName = "NAME …")

/// The command.
let create (output: TextWriter) (error: TextWriter) : Command =
    let laws =
        several
            "--law"
            ("Only these laws: "
             + String.Join(", ", Laws.all<Rollout>() |> Array.map (fun l -> l.Name))
             + ".")

    let only =
        several "--only" "Only these rows: names as in the table, or parts of KIND/NAME, such as kl or optimizer."

    let cases = option "--cases" "Generated cases for each row." 100

    let seed =
        option "--seed" "Seed of the first case; the others follow one by one. With --cases 1, exactly that case." 1L

    let threads = option "--threads" "Rows judged at a time." Environment.ProcessorCount

    let csv =
        Option<FileInfo>("--csv", Description = "Also write every cell to this file.", HelpName = "FILE")

    let covered = option "--coverage" "First show what the generated cases cover." false

    let rehearse =
        option "--rehearse" "Rehearse each derivative, so that no error inside libtorch can end the process." false

    let examples =
        option
            "--examples"
            "Instead of the library: the examples of the tutorials, those that are wrong on purpose among them."
            false

    let details = option "--details" "A line for each law and row as well." false

    let command =
        Command(
            "verify",
            "Judges the library's matching functions, targets, optimizers, update rules, meta-parameters and layers by every law that applies, over generated cases.\n\nExample: verify --only kl --law differences --cases 1000\nExit code: 0 every law holds, 1 a law is broken, 2 wrong usage, 130 interrupted."
        )

    let atLeast (low: int64) (option: Option<'T>) =
        option.Validators.Add(fun result ->
            if result.Errors |> Seq.isEmpty then
                let value = Convert.ToInt64(result.GetValueOrDefault<'T>(), culture)

                if value < low then
                    result.AddError $"{option.Name}: expected a whole number, at least {low}, found {value}.")

    atLeast 1L cases
    atLeast 0L seed
    atLeast 1L threads

    let options: Option list = [ laws; only; cases; seed; threads; csv; covered; rehearse; details; examples ]

    for o in options do
        command.Options.Add o

    command.SetAction(fun parsed ->
        let texts (o: Option<string[]>) =
            match parsed.GetValue o with
            | null -> [||]
            | values -> values

        run output error {
            Laws = texts laws
            Only = texts only
            Cases = parsed.GetRequiredValue cases
            Seed = parsed.GetRequiredValue seed
            Threads = parsed.GetRequiredValue threads
            Csv = parsed.GetValue csv
            Coverage = parsed.GetRequiredValue covered
            Rehearse = parsed.GetRequiredValue rehearse
            Details = parsed.GetRequiredValue details
            Examples = parsed.GetRequiredValue examples
        })

    command
