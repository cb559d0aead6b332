namespace Bmg

open System
open System.ComponentModel
open TorchSharp

/// What a law says of one case.
type Verdict =
    /// It holds.
    | Holds = 0
    /// It does not hold.
    | Fails = 1
    /// The law says nothing of such a thing: one that does not claim to be symmetric need not be.
    | DoesNotApply = 2
    /// The case cannot tell: a kink lies within reach of the finite differences.
    | Rejected = 3

/// How near two rows of numbers must be: |a − b| ≤ `Floor` + `Relative` · the largest entry of either.
[<Struct>]
type Tolerance = {
    /// In words, for a message.
    Name: string
    Relative: float
    Floor: float
} with

    /// The same numbers: not one bit apart.
    static member Exact = {
        Name = "exact"
        Relative = 0.0
        Floor = 0.0
    }

    /// The same float64 arithmetic in another order.
    static member Rounding = {
        Name = "rounding"
        Relative = 1e-12
        Floor = 1e-14
    }

    /// The same float64 arithmetic in another order over many steps, each of which may amplify what the one before left.
    static member Accumulated = {
        Name = "accumulated rounding"
        Relative = 1e-9
        Floor = 1e-12
    }

    /// A derivative in float64 against central differences of fourth order.
    static member Differences = {
        Name = "finite differences"
        Relative = 1e-5
        Floor = 1e-9
    }

/// Numbers under a name, to be pasted into a test.
[<ReferenceEquality>]
type Evidence = { Name: string; Values: float[] }

/// The verdict on one case, with the deviation that led to it.
[<ReferenceEquality>]
type Judgement = {
    Verdict: Verdict
    /// How far what was found is from what was expected: relative to the largest entry where the tolerance is relative, infinite for
    /// NaN, infinity or an error; NaN where nothing was compared.
    Deviation: float
    /// The largest deviation at which the law holds.
    Limit: float
    /// What was compared, and for a failure what was expected and what was found.
    Finding: string
    /// For a failure, the numbers that show it.
    Evidence: Evidence[]
} with

    /// The same with further numbers beside it, where it is a failure.
    member this.Showing(name: string, values: Func<float[]>) : Judgement =
        if this.Verdict = Verdict.Fails then
            {
                this with
                    Evidence =
                        Array.append this.Evidence [|
                            {
                                Name = name
                                Values = values.Invoke()
                            }
                        |]
            }
        else
            this

/// Verdicts from numbers.
[<RequireQualifiedAccess; EditorBrowsable(EditorBrowsableState.Never)>]
module Judgement =

    /// The values of a tensor as float64, row-major.
    let numbers (t: Tensor) : float[] =
        if t.dtype = torch.float64 && t.device_type = DeviceType.CPU && t.is_contiguous () then
            t.data<float>().ToArray()
        else
            use cut = t.detach ()
            use converted = cut.``to`` (torch.float64, torch.CPU)
            use packed = converted.contiguous ()
            packed.data<float>().ToArray()

    /// The values of all tensors of a set, tensor after tensor.
    let numbersOf (p: Params) : float[] =
        p.TensorArray |> Array.map numbers |> Array.concat

    let private undecided (verdict: Verdict) (why: string) : Judgement = {
        Verdict = verdict
        Deviation = nan
        Limit = nan
        Finding = why
        Evidence = [||]
    }

    /// The law says nothing here, and why.
    let doesNotApply (why: string) : Judgement = undecided Verdict.DoesNotApply why

    /// The case cannot tell, and why.
    let rejected (why: string) : Judgement = undecided Verdict.Rejected why

    /// The law fails for a reason that is no number.
    let fails (finding: string) : Judgement = {
        Verdict = Verdict.Fails
        Deviation = infinity
        Limit = 0.0
        Finding = finding
        Evidence = [||]
    }

    /// Holds where `deviation` ≤ `limit`; `finding` is asked only otherwise.
    let within (what: string) (limit: float) (deviation: float) (finding: unit -> string) : Judgement =
        // A NaN is no deviation below any limit.
        let holds = deviation <= limit

        {
            Verdict = (if holds then Verdict.Holds else Verdict.Fails)
            Deviation = (if Double.IsNaN deviation then infinity else deviation)
            Limit = limit
            Finding = (if holds then what else $"{what}: {finding ()}")
            Evidence = [||]
        }

    let private show (v: float) =
        v.ToString("G10", Globalization.CultureInfo.InvariantCulture)

    let private largest (xs: float[]) =
        xs |> Array.fold (fun m x -> max m (abs x)) 0.0

    /// Holds where all numbers are finite.
    let finite (what: string) (values: float[]) : Judgement =
        match values |> Array.tryFindIndex (fun v -> not (Double.IsFinite v)) with
        | None -> within what 0.0 0.0 (fun () -> "")
        | Some i -> fails $"{what}: entry {i} of {values.Length} is {values[i]}"

    let private compare (tolerance: Tolerance) (what: string) (expected: float[]) (actual: float[]) : Judgement =
        if expected.Length <> actual.Length then
            fails $"{what}: expected {expected.Length} numbers, found {actual.Length}"
        else
            let broken =
                Seq.zip expected actual
                |> Seq.tryFindIndex (fun (e, a) -> not (Double.IsFinite e && Double.IsFinite a))

            match broken with
            | Some i ->
                fails
                    $"{what}: entry {i} of {expected.Length}: expected {show expected[i]}, found {show actual[i]}, one of which is no number"
            | None when expected.Length = 0 -> within what 0.0 0.0 (fun () -> "")
            | None ->
                let gaps = Array.map2 (fun (e: float) a -> abs (e - a)) expected actual
                let gap = Array.max gaps

                // |a − b| ≤ floor + relative·size, solved for what the size is multiplied with.
                let deviation =
                    if tolerance.Relative > 0.0 then
                        gap
                        / (tolerance.Floor / tolerance.Relative + max (largest expected) (largest actual))
                    else
                        gap

                let limit =
                    if tolerance.Relative > 0.0 then
                        tolerance.Relative
                    else
                        tolerance.Floor

                within what limit deviation (fun () ->
                    let i = Array.findIndex (fun g -> g = gap) gaps

                    $"entry {i} of {expected.Length}: expected {show expected[i]}, found {show actual[i]}")

    /// Holds where two rows of numbers are finite and as near as the tolerance asks.
    let near (tolerance: Tolerance) (what: string) (expected: float[]) (actual: float[]) : Judgement =
        let judged = compare tolerance what expected actual
        judged.Showing("expected", (fun () -> expected)).Showing("found", (fun () -> actual))

    /// Holds where all numbers are zero, give or take `limit`.
    let zero (limit: float) (what: string) (values: float[]) : Judgement =
        match values |> Array.tryFindIndex (fun v -> not (Double.IsFinite v)) with
        | Some i -> fails $"{what}: entry {i} of {values.Length} is {values[i]}, expected zero"
        | None ->
            let worst = largest values

            within what limit worst (fun () ->
                let i = values |> Array.findIndex (fun v -> abs v = worst)
                $"entry {i} of {values.Length} is {show values[i]}, expected zero")

    /// How far a judgement is from where it would turn: 1 is the limit itself.
    let private pressure (j: Judgement) =
        match j.Verdict with
        | Verdict.Fails -> infinity
        | Verdict.Holds -> if j.Limit > 0.0 then j.Deviation / j.Limit else 0.0
        | _ -> -1.0

    /// The judgement nearest to failing, of several on the same case; the first that fails. Rejected where one was and none fails.
    let worst (judgements: Judgement seq) : Judgement =
        let all = Array.ofSeq judgements

        match all |> Array.tryFind (fun j -> j.Verdict = Verdict.Fails) with
        | Some failure -> failure
        | None ->
            match all |> Array.tryFind (fun j -> j.Verdict = Verdict.Rejected) with
            | Some rejection -> rejection
            | None when all.Length = 0 -> doesNotApply "there is nothing to judge"
            | None -> all |> Array.maxBy pressure

/// Verdicts from numbers: what C# calls.
type Judgement with

    /// <summary>The values of a tensor as float64, row-major.</summary>
    /// <param name="values">Any shape, type and device.</param>
    /// <returns>The values.</returns>
    static member Numbers(values: Tensor) : float[] = Judgement.numbers values

    /// <summary>The values of all tensors of a set, tensor after tensor.</summary>
    /// <param name="values">The set.</param>
    /// <returns>The values.</returns>
    static member NumbersOf(values: Params) : float[] = Judgement.numbersOf values

    /// <summary>The law says nothing here.</summary>
    /// <param name="why">Why not.</param>
    /// <returns>The judgement.</returns>
    static member DoesNotApply(why: string) : Judgement = Judgement.doesNotApply why

    /// <summary>The case cannot tell.</summary>
    /// <param name="why">Why not.</param>
    /// <returns>The judgement.</returns>
    static member Rejected(why: string) : Judgement = Judgement.rejected why

    /// <summary>The law fails for a reason that is no number.</summary>
    /// <param name="finding">The reason.</param>
    /// <returns>The judgement.</returns>
    static member Fails(finding: string) : Judgement = Judgement.fails finding

    /// <summary>Holds where a deviation is within a limit.</summary>
    /// <param name="what">What was compared.</param>
    /// <param name="limit">The largest deviation at which it holds.</param>
    /// <param name="deviation">How far it is off; NaN is beyond any limit.</param>
    /// <param name="finding">What was found; asked only where it fails.</param>
    /// <returns>The judgement.</returns>
    static member Within(what: string, limit: float, deviation: float, finding: Func<string>) : Judgement =
        Judgement.within what limit deviation finding.Invoke

    /// <summary>Holds where all numbers are finite.</summary>
    /// <param name="what">What they are.</param>
    /// <param name="values">The numbers.</param>
    /// <returns>The judgement.</returns>
    static member Finite(what: string, values: float[]) : Judgement = Judgement.finite what values

    /// <summary>Holds where two rows of numbers are finite and as near as a tolerance asks.</summary>
    /// <param name="tolerance">How near.</param>
    /// <param name="what">What they are.</param>
    /// <param name="expected">What they should be.</param>
    /// <param name="actual">What they are found to be.</param>
    /// <returns>The judgement.</returns>
    static member Near(tolerance: Tolerance, what: string, expected: float[], actual: float[]) : Judgement =
        Judgement.near tolerance what expected actual

    /// <summary>Holds where all numbers are zero.</summary>
    /// <param name="limit">Give or take this.</param>
    /// <param name="what">What they are.</param>
    /// <param name="values">The numbers.</param>
    /// <returns>The judgement.</returns>
    static member Zero(limit: float, what: string, values: float[]) : Judgement = Judgement.zero limit what values

    /// <summary>The judgement nearest to failing, of several on the same case; the first that fails.</summary>
    /// <param name="judgements">The judgements.</param>
    /// <returns>One of them.</returns>
    static member Worst(judgements: Judgement seq) : Judgement = Judgement.worst judgements
