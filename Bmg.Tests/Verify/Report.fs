namespace Bmg.Verify

open System
open System.Globalization
open System.Text
open Bmg

/// A law broken, by the smallest case that breaks it.
[<ReferenceEquality>]
type Failure = {
    /// What was compared, what was expected and what was found, in the smallest case.
    Finding: string
    /// The numbers that show it.
    Evidence: Evidence[]
    /// The smallest case found.
    Spec: CaseSpec
    /// The seed of the case that was shrunk.
    Seed: int64
    /// How many of the cases break the law.
    Cases: int
}

/// What one law says of one part, over all cases.
[<ReferenceEquality>]
type Cell = {
    Law: string
    Statement: string
    Verdict: Verdict
    /// The deviation that came nearest to its limit, or went farthest beyond.
    Deviation: float
    /// What that deviation may be at most.
    Limit: float
    /// Seed of the case with that deviation.
    Seed: int64
    /// Cases judged.
    Judged: int
    /// Cases that could not tell, for a kink within reach of the differences, say.
    Rejected: int
    /// Why the law does not apply, or why cases were rejected, where that is so.
    Note: string
    Failure: Failure | null
}

/// Numbers as they are printed and pasted.
[<RequireQualifiedAccess>]
module internal Show =

    let private culture = CultureInfo.InvariantCulture

    let short (v: float) =
        if v = 0.0 then "0"
        elif Double.IsInfinity v then "∞"
        else v.ToString("0.#e-0", culture)

    let exact (v: float) =
        if Double.IsNaN v then "nan"
        elif Double.IsPositiveInfinity v then "infinity"
        elif Double.IsNegativeInfinity v then "-infinity"
        else v.ToString("R", culture)

    /// As an array of F#; longer ones are cut.
    let values (values: float[]) =
        let most = 16

        let shown =
            values
            |> Seq.truncate most
            |> Seq.map (fun v ->
                let text = exact v

                if Double.IsFinite v && not (text.Contains '.' || text.Contains 'E') then
                    text + ".0"
                else
                    text)
            |> String.concat "; "

        if values.Length > most then
            $"[| {shown} (* … {values.Length} in all *) |]"
        else
            $"[| {shown} |]"

/// What the laws say of one part.
[<ReferenceEquality>]
type Report = {
    Kind: string
    Name: string
    Cells: Cell[]
    /// Cases that were generated.
    Cases: int
    /// Seed of the first; the others follow one by one.
    FirstSeed: int64
} with

    /// The cell of a law.
    member this.Item
        with get (law: string): Cell =
            match this.Cells |> Array.tryFind (fun c -> c.Law = law) with
            | Some cell -> cell
            | None ->
                let known = String.Join(", ", this.Cells |> Array.map (fun c -> c.Law))
                invalidArg "law" $"Report.Item: 'law' must be one of {known}, found '{law}'."

    /// The laws that were broken.
    member this.Broken: string[] =
        this.Cells
        |> Array.filter (fun c -> c.Verdict = Verdict.Fails)
        |> Array.map (fun c -> c.Law)

    /// Whether no law was broken.
    member this.Passed: bool = this.Broken.Length = 0

    /// A line a law, and for each that was broken the smallest case, in numbers to paste.
    override this.ToString() =
        let text = StringBuilder()
        let line (s: string) = text.Append(s).Append('\n') |> ignore
        let last = this.FirstSeed + int64 this.Cases - 1L

        line
            $"""{this.Kind} '{this.Name}': {(if this.Passed then
                                                 "every law that applies holds"
                                             else
                                                 $"{this.Broken.Length} law(s) broken")} ({this.Cases} cases, seeds {this.FirstSeed} to {last})"""

        for c in this.Cells do
            let name = c.Law.PadRight 14

            match c.Verdict with
            | Verdict.Fails ->
                match c.Failure with
                | null -> line $"  {name} FAILS           {c.Note}"
                | failure ->
                    line
                        $"  {name} FAILS           in {failure.Cases} of {c.Judged} cases; worst deviation {Show.short c.Deviation}, allowed {Show.short c.Limit} (seed {c.Seed})"

                    line $"      the law: {c.Statement}"
                    line $"      {failure.Finding}"
                    line $"      smallest case (from seed {failure.Seed}): \"{failure.Spec}\""

                    for e in failure.Evidence do
                        line $"        {e.Name} = {Show.values e.Values}"

                    line $"      once more: Verify.Again(subject, \"{c.Law}\", \"{failure.Spec}\")"
            | Verdict.Holds ->
                let rejected = if c.Rejected > 0 then $", {c.Rejected} rejected" else ""

                line
                    $"  {name} holds           worst deviation {Show.short c.Deviation}, allowed {Show.short c.Limit} (seed {c.Seed}; {c.Judged} judged{rejected})"
            | _ -> line $"  {name} does not apply  {c.Note}"

        text.ToString().TrimEnd('\n')
