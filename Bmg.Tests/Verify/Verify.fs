namespace Bmg.Verify

open System
open System.Threading
open Bmg
open TorchSharp

/// How to run the laws.
[<Sealed>]
type VerifyOptions() =
    /// Cases for each part; at least 1. 100 unless set.
    member val Cases = 100 with get, set

    /// Seed of the first case; the others follow one by one, so any case is run alone by its own seed and one case. 1 unless set.
    member val Seed = 1L with get, set

    /// Names of the laws to run; all where it is empty.
    member val Laws: string[] = [||] with get, set

    /// Whether every derivative is rehearsed first, so that an error inside libtorch is a failure in the report rather than the end of the
    /// process. Costs a second backward pass. True unless set: leave it so for functions one does not trust yet.
    member val Rehearse = true with get, set

    /// Called with the number of cases done after each.
    member val Progress: Action<int> = Action<_>(ignore) with get, set

    /// Stops the run after the case at hand.
    member val Cancellation = CancellationToken.None with get, set

/// Judges a matching function, a target bootstrap, an optimizer or an update rule by every law that applies to it, over generated cases.
/// Nothing a judged function does ends the run: what it throws, NaNs, wrong shapes and detached results are failures in the report.
[<AbstractClass; Sealed>]
type Verify private () =

    static let describe (e: exn) =
        match e with
        | :? FaultyFunctionException -> e.Message
        | e -> $"threw {e.GetType().Name}: {e.Message.Split('\n')[0]}"

    static let guarded (judge: unit -> Judgement) : Judgement =
        try
            judge ()
        with
        | :? OperationCanceledException -> reraise ()
        | e -> Judgement.fails (describe e)

    static let judgeSpec (subject: Subject) (law: Law<Rollout>) (spec: CaseSpec) : Judgement =
        use _ = torch.NewDisposeScope()

        guarded (fun () ->
            let trial = Trial(Cases.ofSpec subject spec)
            law.Judge.Invoke trial)

    /// Goes to a smaller case that still fails for as long as there is one.
    static let shrink
        (subject: Subject)
        (law: Law<Rollout>)
        (spec: CaseSpec)
        (seen: Judgement)
        (cancellation: CancellationToken)
        : CaseSpec * Judgement =
        let again = judgeSpec subject law spec

        if again.Verdict <> Verdict.Fails then
            let note = " (and not when the same case was run again: something in it is not fixed by the seed)"

            spec,
            {
                seen with
                    Finding = seen.Finding + note
            }
        else
            let mutable best = spec
            let mutable judgement = again
            let mutable left = 200
            let mutable going = true

            while going && left > 0 && not cancellation.IsCancellationRequested do
                let smaller =
                    CaseSpecs.shrink best
                    |> Seq.map (Cases.fit subject)
                    |> Seq.filter (fun s -> s <> best)
                    |> Seq.truncate left
                    |> Seq.tryPick (fun s ->
                        left <- left - 1
                        let j = judgeSpec subject law s
                        if j.Verdict = Verdict.Fails then Some(s, j) else None)

                match smaller with
                | Some(s, j) ->
                    best <- s
                    judgement <- j
                | None -> going <- false

            best, judgement

    static let pressure (j: Judgement) =
        if j.Limit > 0.0 then j.Deviation / j.Limit
        elif j.Deviation > 0.0 then infinity
        else 0.0

    static let lawsOf (subject: Subject) (names: string[]) : Law<Rollout>[] =
        let all = Laws.all<Rollout>()

        for name in names do
            if all |> Array.forall (fun l -> l.Name <> name) then
                let known = String.Join(", ", all |> Array.map (fun l -> l.Name))
                invalidArg "Laws" $"VerifyOptions.Laws: 'Laws' must be of {known}, found '{name}'."

        all
        |> Array.filter (fun l ->
            l.Parts &&& subject.Kind = subject.Kind
            && (names.Length = 0 || Array.contains l.Name names))

    static let run (subject: Subject) (options: VerifyOptions) : Report =
        if options.Cases < 1 then
            invalidArg "Cases" $"VerifyOptions.Cases: 'Cases' must be at least 1, found {options.Cases}."

        let laws = lawsOf subject options.Laws

        if laws.Length = 0 then
            let asked = String.Join(", ", options.Laws)
            invalidArg "Laws" $"VerifyOptions.Laws: none of {asked} is asked of a {subject.KindName}."

        let count = laws.Length
        let judged, rejected, failed = Array.zeroCreate count, Array.zeroCreate count, Array.zeroCreate count
        let worst: (Judgement * int64) option[] = Array.create count None
        let first: (CaseSpec * Judgement) option[] = Array.create count None
        let notes: string[] = Array.create count ""

        use _ =
            if options.Rehearse then
                Gradients.rehearsed ()
            else
                {
                    new IDisposable with
                        member _.Dispose() = ()
                }

        for i in 0 .. options.Cases - 1 do
            options.Cancellation.ThrowIfCancellationRequested()
            use _ = torch.NewDisposeScope()
            let seed = options.Seed + int64 i
            let spec = Cases.specOfSeed subject seed

            let trial =
                try
                    Ok(Trial(Cases.ofSpec subject spec))
                with e ->
                    Error(describe e)

            for l in 0 .. count - 1 do
                let j =
                    match trial with
                    | Ok trial -> guarded (fun () -> laws[l].Judge.Invoke trial)
                    | Error message -> Judgement.fails message

                match j.Verdict with
                | Verdict.DoesNotApply ->
                    if notes[l] = "" then
                        notes[l] <- j.Finding
                | Verdict.Rejected ->
                    rejected[l] <- rejected[l] + 1
                    notes[l] <- j.Finding
                | verdict ->
                    judged[l] <- judged[l] + 1

                    if verdict = Verdict.Fails then
                        failed[l] <- failed[l] + 1

                        if first[l].IsNone then
                            first[l] <- Some(spec, j)

                    match worst[l] with
                    | Some(w, _) when pressure w >= pressure j -> ()
                    | _ -> worst[l] <- Some(j, seed)

            options.Progress.Invoke(i + 1)

        let cell (l: int) : Cell =
            let law = laws[l]

            let failure: Failure | null =
                match first[l] with
                | None -> null
                | Some(spec, seen) ->
                    let smallest, j = shrink subject law spec seen options.Cancellation

                    {
                        Finding = j.Finding
                        Evidence = j.Evidence
                        Spec = smallest
                        Seed = spec.Seed
                        Cases = failed[l]
                    }

            // A law that nearly every case dodges says nothing.
            let silent = rejected[l] > 0 && 4 * judged[l] < rejected[l]

            {
                Law = law.Name
                Statement = law.Statement
                Verdict =
                    (if failed[l] > 0 || silent then Verdict.Fails
                     elif judged[l] > 0 then Verdict.Holds
                     else Verdict.DoesNotApply)
                Deviation =
                    (match worst[l] with
                     | Some(j, _) -> j.Deviation
                     | None -> nan)
                Limit =
                    (match worst[l] with
                     | Some(j, _) -> j.Limit
                     | None -> nan)
                Seed =
                    (match worst[l] with
                     | Some(_, seed) -> seed
                     | None -> options.Seed)
                Judged = judged[l]
                Rejected = rejected[l]
                Note =
                    (if silent then
                         $"only {judged[l]} cases could be judged, {rejected[l]} could not: {notes[l]}"
                     else
                         notes[l])
                Failure = failure
            }

        {
            Kind = subject.KindName
            Name = subject.Name
            Cells = Array.init count cell
            Cases = options.Cases
            FirstSeed = options.Seed
        }

    /// Every law on a part, with what `Subject` says of it.
    static member Run(subject: Subject, options: VerifyOptions) : Report = run subject options

    /// Every law on a part, over 100 cases.
    static member Run(subject: Subject) : Report = run subject (VerifyOptions())

    /// Every law on a matching function.
    static member Matching(matching: MatchingFunction, options: VerifyOptions) : Report =
        run (Subject.Of matching) options

    /// Every law on a matching function, over 100 cases.
    static member Matching(matching: MatchingFunction) : Report = Verify.Run(Subject.Of matching)

    /// Every law on a target bootstrap, made from what a case has to make it from.
    static member Target
        (name: string, target: Func<TargetIngredients, TargetBootstrap<Rollout>>, options: VerifyOptions)
        : Report =
        run (Subject.Of(name, target)) options

    /// Every law on a target bootstrap, over 100 cases.
    static member Target(name: string, target: Func<TargetIngredients, TargetBootstrap<Rollout>>) : Report =
        Verify.Run(Subject.Of(name, target))

    /// Every law on an optimizer with settings of its own. One that takes some from w: `Subject.Of(optimizer).WithMetaParameters`.
    static member Optimizer(optimizer: Optimizer, options: VerifyOptions) : Report = run (Subject.Of optimizer) options

    /// Every law on an optimizer, over 100 cases.
    static member Optimizer(optimizer: Optimizer) : Report = Verify.Run(Subject.Of optimizer)

    /// Every law on an update rule, as a function of the loss that it descends. One that takes settings from w:
    /// `Subject.Of(name, rule).WithMetaParameters`.
    static member UpdateRule
        (name: string, updateRule: Func<LossFunction<Rollout>, UpdateRule<Rollout>>, options: VerifyOptions)
        : Report =
        run (Subject.Of(name, updateRule)) options

    /// Every law on an update rule, over 100 cases.
    static member UpdateRule(name: string, updateRule: Func<LossFunction<Rollout>, UpdateRule<Rollout>>) : Report =
        Verify.Run(Subject.Of(name, updateRule))

    /// Every law on a layer of one's own, on an input of these axes (without P and B).
    static member Layer(layer: CustomLayer, inputShape: int[], options: VerifyOptions) : Report =
        run (Subject.Of(layer, inputShape)) options

    /// Every law on a layer of one's own, over 100 cases.
    static member Layer(layer: CustomLayer, inputShape: int[]) : Report =
        Verify.Run(Subject.Of(layer, inputShape))

    /// One law on one case, as a report prints it for a failure.
    static member Again(subject: Subject, law: string, spec: string) : Judgement =
        use _ = Gradients.rehearsed ()

        match lawsOf subject [| law |] with
        | [| law |] -> judgeSpec subject law (CaseSpec.Parse spec)
        | _ -> invalidArg "law" $"Verify.Again: 'law' must be one that is asked of a {subject.KindName}, found '{law}'."
