/// `faults`: plants faults one by one, in a copy of Bmg.Core and in copies of what stands around it, and tells which laws and which tests
/// catch each.
module Bmg.Tests.FaultsCommand

open System
open System.CommandLine
open System.Diagnostics
open System.Globalization
open System.IO
open Bmg.Tests.Planting

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
        "mu, made.Learner.Detach(), frozen, made.Evaluation, null"
        "mu, learner.UpdateRule.Init.Invoke(Params.detach made.Learner.Parameters), frozen, made.Evaluation, null"
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
        "make \"rmsprop\" learningRate (Transformations.rmsProp decay epsilon epsilonInRoot)"
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
        "let loss = lossFunction.Loss.Invoke(at, hyper, data)"
        "let loss = lossFunction.Loss.Invoke(at, (if differentiation = Differentiation.FirstOrder then Params.detach hyper else hyper), data)"
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
        Planting.edit fault.Name (Path.Combine(folder, e.File)) e.Find e.Replace

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

let private markdown (outcomes: Outcome list) (cases: int) : string list = [
    $"| planted fault | caught by (of {cases} cases a row) | rows judged |"
    "| --- | --- | --- |"
    for o in outcomes do
        $"""| {o.Fault.Name} | {describe o} | {String.Join(", ", o.Fault.Rows)} |"""
]

/// Judges each fault of Bmg.Core by the laws.
let private plantCore
    (output: TextWriter)
    (root: string)
    (scratch: string)
    (cases: int)
    (chosen: Fault list)
    : Outcome list =
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

    copyFolder (Path.Combine(root, "build")) (Path.Combine(core, "build"))
    linkOutputs AppContext.BaseDirectory outputs

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

/// What is asked for.
[<NoComparison>]
type private Request = {
    /// Part of the faults' names; all where there are none.
    Only: string[]
    Core: bool
    Host: bool
    Cases: int
    WithSuite: bool
    Markdown: FileInfo | null
}

let private plant (output: TextWriter) (error: TextWriter) (request: Request) : int =
    let asked (name: string) =
        request.Only.Length = 0
        || request.Only
           |> Array.exists (fun o -> name.Contains(o, StringComparison.OrdinalIgnoreCase))

    let core =
        if request.Core then
            all |> List.filter (fun f -> asked f.Name)
        else
            []

    let host =
        if request.Host then
            HostFaults.all
            |> List.filter (fun f -> asked f.Name || (request.Only.Length > 0 && asked f.Kind))
        else
            []

    match sources () with
    | null ->
        error.WriteLine
            "error: faults: the sources of the library must lie above the program (a clone, built in place); none were found."

        2
    | _ when core.IsEmpty && host.IsEmpty ->
        let names =
            (all |> List.map (fun f -> f.Name))
            @ (HostFaults.all |> List.map (fun f -> f.Name))

        error.WriteLine $"""error: --only: no fault is named so; there are: {String.Join("; ", names)}."""
        2
    | root ->
        // Beside the other outputs: the same file system, and nothing that git sees.
        let scratch = Path.Combine(root, "artifacts", "faults-" + Guid.NewGuid().ToString("N"))
        let started = Stopwatch.StartNew()

        try
            Directory.CreateDirectory scratch |> ignore

            let outcomes =
                if core.IsEmpty then
                    []
                else
                    plantCore output root scratch request.Cases core

            /// What is known so far: a long run that is cut off leaves its table.
            let write (verdicts: HostJudge.Verdict list) =
                match request.Markdown with
                | null -> ()
                | file ->
                    let lines = [
                        if not outcomes.IsEmpty then
                            yield! markdown outcomes request.Cases
                        if not outcomes.IsEmpty && not verdicts.IsEmpty then
                            ""
                        if not verdicts.IsEmpty then
                            yield! HostJudge.markdown verdicts
                    ]

                    File.WriteAllLines(file.FullName, lines)

            write []

            let verdicts =
                if host.IsEmpty then
                    []
                else
                    HostJudge.plant output root scratch request.WithSuite host write

            match request.Markdown with
            | null -> ()
            | file -> output.WriteLine $"Written: {file}"

            let inCore = outcomes |> List.filter (fun o -> not o.Caught.IsEmpty) |> List.length
            let inHost = verdicts |> List.filter (fun v -> not v.Caught.IsEmpty) |> List.length
            output.WriteLine()

            if not outcomes.IsEmpty then
                output.WriteLine $"       by the laws: {inCore} of {outcomes.Length}"

            for line in HostJudge.summary verdicts do
                output.WriteLine line

            let caught, planted = inCore + inHost, outcomes.Length + verdicts.Length
            let minutes = started.Elapsed.TotalMinutes.ToString("F1", CultureInfo.InvariantCulture)
            let share = (100.0 * float caught / float planted).ToString("0.#", CultureInfo.InvariantCulture)
            output.WriteLine $"{caught} of {planted} planted faults are caught, {share} %%; {minutes} min"
            if caught = planted then 0 else 1
        finally
            if Directory.Exists scratch then
                Directory.Delete(scratch, true)

/// The command.
let create (output: TextWriter) (error: TextWriter) : Command =
    let only =
        Option<string[]>(
            "--only",
            Description = "Only faults with one of these in their names, or of one of these kinds.",
            AllowMultipleArgumentsPerToken = true,
            HelpName = "TEXT …"
        )

    let cases =
        Option<int>("--cases", Description = "Generated cases a row.", DefaultValueFactory = (fun _ -> 20))

    let list =
        Option<string>(
            "--list",
            Description =
                "core: faults of Bmg.Core, judged by the laws; host: faults of what stands around it, judged by the tests; both where none is given.",
            HelpName = "core|host"
        )

    list.AcceptOnlyFromAmong("core", "host") |> ignore

    let withoutSuite =
        Option<bool>(
            "--without-suite",
            Description = "Do not try what survives its own tests on the whole suite.",
            DefaultValueFactory = (fun _ -> false)
        )

    let markdown =
        Option<FileInfo>("--markdown", Description = "Also write the table to this file.", HelpName = "FILE")

    let command =
        Command(
            "faults",
            "Shows that laws and tests bite: plants faults one by one in copies of Bmg.Core, Bmg.Training and Bmg.Export, builds each and lets verify or the tests judge it. Takes about half a minute a fault; what survives the tests that it names takes the whole suite. Nothing in the working tree is changed.\n\nExamples:\n  faults --list core --only stop-gradient\n  faults --list host --only resume evaluation\nExit code: 0 every fault is caught, 1 one is not, 2 wrong usage."
        )

    command.Options.Add only
    command.Options.Add list
    command.Options.Add cases
    command.Options.Add withoutSuite
    command.Options.Add markdown

    command.SetAction(fun parsed ->
        let list = parsed.GetValue list

        plant output error {
            Only =
                (match parsed.GetValue only with
                 | null -> [||]
                 | values -> values)
            Core = list <> "host"
            Host = list <> "core"
            Cases = parsed.GetRequiredValue cases
            WithSuite = not (parsed.GetRequiredValue withoutSuite)
            Markdown = parsed.GetValue markdown
        })

    command
