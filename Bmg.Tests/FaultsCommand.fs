/// `faults`: plants faults in a copy of Bmg.Core, one by one, and tells which laws catch each.
module Bmg.Tests.FaultsCommand

open System
open System.CommandLine
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text

/// One place of a source file, and what stands there instead.
type Edit = {
    File: string
    Find: string
    Replace: string
}

/// A fault: what is wrong, where, and the rows of `verify` that have to do with it.
type Fault = {
    Name: string
    Edits: Edit list
    Rows: string list
}

let private edit file find replace = {
    File = file
    Find = find
    Replace = replace
}

let private fault name rows file find replace = {
    Name = name
    Edits = [ edit file find replace ]
    Rows = rows
}

let private learner = "MetaLearner.fs"

/// The faults. Each anchor must stand exactly once in its file; a test says so.
let all: Fault list = [
    {
        Name = "w reaches the target's outputs (missing stop-gradient, in the meta-learner and in μ)"
        Edits = [
            edit
                learner
                "(use _ = torch.no_grad ()
                                 learner.Model.Predict.Invoke(frozen, constantHyper context, data))"
                "(learner.Model.Predict.Invoke(frozen, hyper context, data))"
            edit
                "Matching.fs"
                "Prediction(Params.detach parameters, lazy (Params.detach outputs.Value))"
                "Prediction(parameters, outputs)"
        ]
        Rows = [ "kl" ]
    }
    fault
        "a matching function that does not stop its target (missing stop-gradient)"
        [ "kl" ]
        "Matching.fs"
        "Prediction(Params.detach parameters, lazy (Params.detach outputs.Value))"
        "Prediction(parameters, outputs)"
    fault
        "KL with learner and target swapped"
        [ "kl" ]
        "Matching.fs"
        "Categorical.kl target[\"logits\"] learner[\"logits\"]"
        "Categorical.kl learner[\"logits\"] target[\"logits\"]"
    fault
        "a mean over members for their sum"
        [ "kl" ]
        learner
        "let total = if shared then value.mean () else value"
        "let total = value.mean ()"
    fault
        "a sum over members that share w for their mean"
        [ "kl" ]
        learner
        "let total = if shared then value.mean () else value"
        "let total = if shared then value.sum () else value"
    fault
        "K off by one"
        [ "look-ahead" ]
        learner
        "Reached.ByGraph(graphSteps Differentiation.Full learner.InnerSteps state.Learner)"
        "Reached.ByGraph(graphSteps Differentiation.Full (max 1 (learner.InnerSteps - 1)) state.Learner)"
    fault
        "momentum cut out of the graph"
        [ "momentum" ]
        "Optimizers.fs"
        "{ Direction = next; State = next })"
        "{ Direction = next; State = Params.detach next })"
    fault
        "moments not carried on after a meta-step"
        [ "adam"; "momentum" ]
        learner
        "mu, made.Learner.Detach(), frozen, made.Evaluation, ValueNone"
        "mu, learner.UpdateRule.Init.Invoke(Params.detach made.Learner.Parameters), frozen, made.Evaluation, ValueNone"
    fault
        "an optimizer that keeps its first state"
        [ "nesterov" ]
        "Optimizers.fs"
        "Direction = Params.map2 (fun g m -> g.add (m, d)) g next
                    State = next"
        "Direction = Params.map2 (fun g m -> g.add (m, d)) g next
                    State = m"
    fault
        "an update in place"
        [ "sgd"; "momentum" ]
        "Optimizers.fs"
        "Params.map2 (fun x d -> x.add (d, minus)) x step.Direction"
        "Params.map2 (fun x d -> x.add_ (d, minus)) x step.Direction"
    fault
        "a moment updated in place"
        [ "rmsprop"; "clip(0.4), sgd" ]
        "Optimizers.fs"
        "let next = Params.map2 (fun g v -> v.mul(d).addcmul(g, g, rest)) g v"
        "let next = Params.map2 (fun (g: Tensor) (v: Tensor) -> v.mul_(d).addcmul(g, g, rest)) g v"
    fault
        "Adam's derivative without that of its denominator"
        [ "adam" ]
        "Optimizers.fs"
        "let vHat = v.div (Params.broadcast c2 v)"
        "let vHat = (v.div (Params.broadcast c2 v)).detach ()"
    fault
        "no epsilon inside RMSProp's root"
        [ "rmsprop" ]
        "Optimizers.fs"
        "make \"rmsprop\" learningRate (Transformations.rmsProp decay epsilon 1e-16)"
        "make \"rmsprop\" learningRate (Transformations.rmsProp decay epsilon 0.0)"
    fault
        "clipping by the norm of all members together"
        [ "clip(0.4), sgd" ]
        "Optimizers.fs"
        "let norm = (Params.squaredNorm g).plus(tiny).sqrt()"
        "let norm = (Params.squaredNorm g).sum(0L, keepdim = true).plus(tiny).sqrt()"
    fault
        "the last greedy step kept as the learner's state"
        [ "look-ahead" ]
        "TargetBootstrap.fs"
        "Parameters = target.Learner.Parameters
                        Learner = learner"
        "Parameters = target.Learner.Parameters
                        Learner = { learner with Parameters = Params.clone target.Learner.Parameters }"
    fault
        "the learner's gradient taken for a constant"
        [ "sgd"; "adam" ]
        "UpdateRule.fs"
        "let gradients = Gradients.gradient loss at build"
        "let gradients = Gradients.gradientKeepingGraph loss at"
    fault
        "reverse KL without the derivative of its weights"
        [ "reverse-kl" ]
        "Categorical.fs"
        "(logp.exp().mul(logp.minus logq)).sum -1L"
        "(logp.exp().detach().mul(logp.minus logq)).sum -1L"
    fault
        "a reduction that divides by one too many"
        [ "kl" ]
        "Losses.fs"
        "| Reduction.Mean -> t.flatten(1L).mean [| 1L |]"
        "| Reduction.Mean -> t.flatten(1L).sum(1L).div (Scalars.constant (float (t.flatten(1L).shape[1] + 1L)))"
    fault
        "squared L2 measured from one of its own parameters"
        [ "parameter-l2" ]
        "Matching.fs"
        "(Params.squaredNorm (Params.subtract target.Parameters learner.Parameters)).mul factor"
        "((Params.squaredNorm (Params.subtract target.Parameters learner.Parameters)).plus (Params.squaredNorm learner.Parameters)).mul factor"
    fault
        "forward mode without what w does to μ by itself"
        [ "sgd" ]
        learner
        "Params.add (Params.sub \"w/\" slopes) (Params.unflatten constantW through)"
        "Params.unflatten constantW through"
    fault
        "forward mode without the tangents of the optimizer's state"
        [ "momentum" ]
        learner
        "let along = Params.merge [| tangent; Params.prefix \"w/\" unit |]"
        "let along = Params.merge [| tangent |> Params.mapNamed (fun n t -> if n.StartsWith \"h/\" then torch.zeros_like t else t); Params.prefix \"w/\" unit |]"
    fault
        "truncation one step too short"
        [ "sgd" ]
        learner
        "let last = min steps learner.InnerSteps"
        "let last = min (max 1 (steps - 1)) learner.InnerSteps"
    fault
        "first-order without what w does to the gradient"
        [ "sgd" ]
        "UpdateRule.fs"
        "let loss = objective.Loss.Invoke(at, hyper, data)"
        "let loss = objective.Loss.Invoke(at, (if differentiation = Differentiation.FirstOrder then Params.detach hyper else hyper), data)"
    fault
        "a plain meta-gradient judged a thousandth away from x⁽ᴷ⁾"
        [ "sgd" ]
        learner
        "let loss = outer.Loss.Invoke(x.Parameters, hyper experience.Context, experience.Data)"
        "let loss = outer.Loss.Invoke(x.Parameters |> Params.map (fun t -> t.mul (Scalars.constant 1.001)), hyper experience.Context, experience.Data)"
    fault
        "a pull on w that nobody asked for (weight decay of w)"
        [ "sgd"; "look-ahead" ]
        learner
        "Gradient = gradient
"
        "Gradient = Params.map2 (fun g w -> g.add (w, Scalars.constant 0.01)) gradient constantW
"
    fault
        "noise that no seed fixes"
        [ "look-ahead" ]
        learner
        "let frozen = Params.detach made.Parameters"
        "let frozen = made.Parameters |> Params.map (fun t -> t.detach().add (torch.rand_like t, Scalars.constant 1e-3))"
    fault
        "learned rates handed to the wrong members"
        [ "learned rate" ]
        "Optimizers.fs"
        "let value = hyper[name]
            Params.map"
        "let value = hyper[name].flip 0L
            Params.map"
    fault
        "weight decay that forgets that it depends on x"
        [ "adamw" ]
        "Optimizers.fs"
        "Direction = Params.add g (Settings.scale decay hyper x)"
        "Direction = Params.add g (Settings.scale decay hyper (Params.detach x))"
    fault
        "KL by differences of logarithms alone, below zero in float32"
        [ "kl" ]
        "Categorical.fs"
        "(excess (logp.exp ()) (logq.exp ()) (logq.minus logp)).sum -1L"
        "(logp.exp().mul (logp.minus logq)).sum -1L"
    fault
        "log-probabilities of −∞"
        [ "kl" ]
        "Categorical.fs"
        "(logits.log_softmax -1L).clamp_min minusFar"
        "logits.log_softmax -1L"
    fault
        "steps of a schedule counted in float32"
        [ "sgd, linear" ]
        "Optimizers.fs"
        "State = Params.Single(\"count\", count.plus one)"
        "State = Params.Single(\"count\", (count.plus one).``to`` g.TensorArray[0].dtype)"
]

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

let private run (program: string) (arguments: string seq) (folder: string) : int * string =
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
    child.WaitForExit()
    child.ExitCode, output.ToString()

let private copyFolder (from: string) (into: string) =
    Directory.CreateDirectory into |> ignore

    for file in Directory.GetFiles from do
        File.Copy(file, Path.Combine(into, nonNull (Path.GetFileName file)), true)

/// The outputs of the tests again, by links, but for Bmg.Core.dll and what must stand beside it.
let private linkOutputs (from: string) (into: string) =
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

/// What a fault came to.
type Outcome = {
    Fault: Fault
    /// (law, rows) that fail.
    Caught: (string * string list) list
    /// Why there is no verdict, if so.
    Trouble: string
}

let private judge (root: string) (core: string) (outputs: string) (cases: int) (fault: Fault) : Outcome =
    let folder = Path.Combine(core, "Bmg.Core")
    copyFolder (Path.Combine(root, "Bmg.Core")) folder

    for e in fault.Edits do
        let path = Path.Combine(folder, e.File)
        let text = File.ReadAllText path
        let count = occurrences text e.Find

        if count <> 1 then
            invalidOp
                $"faults: '{fault.Name}': the place to change must stand once in Bmg.Core/{e.File}, found {count} times"

        File.WriteAllText(path, text.Replace(e.Find, e.Replace, StringComparison.Ordinal))

    let trouble text = {
        Fault = fault
        Caught = []
        Trouble = text
    }

    match
        run
            "dotnet"
            [
                "build"
                "-c"
                "Release"
                "-v"
                "q"
                "--nologo"
                // A fault may leave a value unused.
                "-p:TreatWarningsAsErrors=false"
                "-p:MSBuildTreatWarningsAsErrors=false"
                "Bmg.Core.fsproj"
            ]
            core
    with
    | code, log when code <> 0 ->
        let errors =
            log.Split '\n'
            |> Array.filter (fun l -> l.Contains ": error ")
            |> Array.truncate 1

        trouble ("does not compile: " + String.Join(" ", errors))
    | _ ->
        let built = Path.Combine(core, "artifacts", "bin", "Bmg.Core", "release", "Bmg.Core.dll")
        File.Copy(built, Path.Combine(outputs, "Bmg.Core.dll"), true)
        let csv = Path.Combine(core, "verify.csv")
        File.Delete csv

        let arguments = [
            Path.Combine(outputs, "Bmg.Tests.dll")
            "verify"
            "--cases"
            string cases
            "--rehearse"
            "--csv"
            csv
            "--only"
            yield! fault.Rows
        ]

        let _, log = run "dotnet" arguments core

        if not (File.Exists csv) then
            let first = log.Trim().Split('\n') |> Array.head
            trouble $"the judging process ended early: {first}"
        else
            let failed =
                File.ReadAllLines csv
                |> Array.filter (fun l -> l.Contains ",fails,")
                |> Array.map (fun l ->
                    let quote =
                        l.LastIndexOf("\",", l.IndexOf(",fails,", StringComparison.Ordinal), StringComparison.Ordinal)

                    let law = l.Substring(quote + 2).Split(',')[0]
                    let name = l.Substring(l.IndexOf '"' + 1, quote - l.IndexOf '"' - 1)
                    law, name)
                |> List.ofArray

            {
                Fault = fault
                Caught =
                    failed
                    |> List.groupBy fst
                    |> List.map (fun (law, rows) -> law, rows |> List.map snd)
                Trouble = ""
            }

let private describe (o: Outcome) =
    if o.Trouble <> "" then o.Trouble
    elif o.Caught.IsEmpty then "NOT CAUGHT"
    else o.Caught |> List.map fst |> String.concat ", "

let private writeMarkdown (file: FileInfo) (outcomes: Outcome list) (cases: int) =
    use writer = file.CreateText()
    writer.WriteLine $"| planted fault | caught by (of {cases} cases a row) | rows judged |"
    writer.WriteLine "| --- | --- | --- |"

    for o in outcomes do
        writer.WriteLine $"""| {o.Fault.Name} | {describe o} | {String.Join(", ", o.Fault.Rows)} |"""

let private plant
    (output: TextWriter)
    (error: TextWriter)
    (only: string[])
    (cases: int)
    (markdown: FileInfo | null)
    : int =
    let chosen =
        all
        |> List.filter (fun f ->
            only.Length = 0
            || only
               |> Array.exists (fun o -> f.Name.Contains(o, StringComparison.OrdinalIgnoreCase)))

    match sources () with
    | null ->
        error.WriteLine
            "error: faults: the sources of Bmg.Core must lie above the program (a clone, built in place); none were found."

        2
    | _ when chosen.IsEmpty ->
        error.WriteLine
            $"""error: --only: no fault is named so; there are: {String.Join("; ", all |> List.map (fun f -> f.Name))}."""

        2
    | root ->
        // Beside the other outputs: the same file system, and nothing that git sees.
        let scratch = Path.Combine(root, "artifacts", "faults-" + Guid.NewGuid().ToString("N"))

        try
            let core = Path.Combine(scratch, "core")
            let outputs = Path.Combine(scratch, "judge")
            Directory.CreateDirectory core |> ignore

            for file in Directory.GetFiles root do
                let name = nonNull (Path.GetFileName file)

                if
                    name.StartsWith "Directory."
                    || name.StartsWith "Bmg.Core."
                    || name = "global.json"
                then
                    File.Copy(file, Path.Combine(core, name))

            linkOutputs AppContext.BaseDirectory outputs
            let started = Stopwatch.StartNew()

            // Without a fault, the same rows must be whole, or "caught" would say nothing.
            let control =
                judge root core outputs cases {
                    Name = "none"
                    Edits = []
                    Rows = chosen |> List.collect (fun f -> f.Rows) |> List.distinct
                }

            if control.Trouble <> "" || not control.Caught.IsEmpty then
                failwith $"faults: without any fault, the rows should be whole: {describe control}"

            output.WriteLine "       without a fault every law holds on the rows that judge them"
            output.Flush()

            let outcomes =
                chosen
                |> List.mapi (fun i fault ->
                    let outcome = judge root core outputs cases fault
                    let number = $"{i + 1}/{chosen.Length}".PadLeft 5
                    output.WriteLine $"{number}  {fault.Name}"
                    output.WriteLine $"       {describe outcome}"

                    for law, rows in outcome.Caught do
                        output.WriteLine $"""         {law}: {String.Join("; ", rows)}"""

                    output.Flush()
                    outcome)

            let caught = outcomes |> List.filter (fun o -> not o.Caught.IsEmpty) |> List.length

            match markdown with
            | null -> ()
            | file ->
                writeMarkdown file outcomes cases
                output.WriteLine $"Written: {file}"

            let minutes = started.Elapsed.TotalMinutes.ToString("F1", CultureInfo.InvariantCulture)
            output.WriteLine $"\n{caught} of {outcomes.Length} planted faults are caught; {minutes} min"
            if caught = outcomes.Length then 0 else 1
        finally
            if Directory.Exists scratch then
                Directory.Delete(scratch, true)

/// The command.
let create (output: TextWriter) (error: TextWriter) : Command =
    let only =
        Option<string[]>(
            "--only",
            Description = "Only faults with one of these in their names.",
            AllowMultipleArgumentsPerToken = true,
            HelpName = "TEXT …"
        )

    let cases =
        Option<int>("--cases", Description = "Generated cases a row.", DefaultValueFactory = (fun _ -> 20))

    let markdown =
        Option<FileInfo>("--markdown", Description = "Also write the table to this file.", HelpName = "FILE")

    let command =
        Command(
            "faults",
            "Shows that the laws bite: plants faults in a copy of Bmg.Core one by one, builds it and lets verify judge it. Takes about half a minute a fault; nothing in the working tree is changed.\n\nExample: faults --only stop-gradient\nExit code: 0 every fault is caught, 1 one is not, 2 wrong usage."
        )

    command.Options.Add only
    command.Options.Add cases
    command.Options.Add markdown

    command.SetAction(fun parsed ->
        let only =
            match parsed.GetValue only with
            | null -> [||]
            | values -> values

        plant output error only (parsed.GetRequiredValue cases) (parsed.GetValue markdown))

    command
