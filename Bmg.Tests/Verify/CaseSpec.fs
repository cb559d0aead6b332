namespace Bmg.Verify

open System
open System.Globalization
open FsCheck
open FsCheck.FSharp

/// A case as plain data: all tensors follow from it. It prints as one line and is read back from it, so that a failing case can be pasted
/// into a test.
type CaseSpec = {
    /// Parameters, data, directions: everything drawn at random.
    Seed: int64
    /// P
    Members: int
    Features: int
    Hidden: int list
    Actions: int
    /// T
    Steps: int
    /// Steps that the learner has lived before the case begins.
    Past: int
    /// K
    InnerSteps: int
    /// L
    TargetSteps: int
    /// The parts beside the one under judgement, by their names in `Ingredients`.
    Activation: string
    Optimizer: string
    LearnedRate: bool
    Matching: string
    Target: string
    Model: string
    MetaParameters: string
    /// Whether one w serves all members.
    SharedW: bool
} with

    /// The smallest case there is, which shrinking aims at.
    static member Least = {
        Seed = 0L
        Members = 1
        Features = 1
        Hidden = []
        Actions = 2
        Steps = 1
        Past = 0
        InnerSteps = 1
        TargetSteps = 1
        Activation = "tanh"
        Optimizer = "sgd"
        LearnedRate = false
        Matching = "kl"
        Target = "look-ahead"
        Model = "policy"
        MetaParameters = "scalar"
        SharedW = false
    }

    member private this.Fields: (string * string)[] =
        let number (v: int) = v.ToString CultureInfo.InvariantCulture

        [|
            "seed", this.Seed.ToString CultureInfo.InvariantCulture
            "members", number this.Members
            "features", number this.Features
            "hidden", (this.Hidden |> List.map number |> String.concat ",")
            "actions", number this.Actions
            "steps", number this.Steps
            "past", number this.Past
            "K", number this.InnerSteps
            "L", number this.TargetSteps
            "activation", this.Activation
            "optimizer", this.Optimizer
            "learnedRate", string this.LearnedRate
            "matching", this.Matching
            "target", this.Target
            "model", this.Model
            "w", this.MetaParameters
            "sharedW", string this.SharedW
        |]

    /// One line of name=value; what is as in the smallest case is left out.
    override this.ToString() =
        Array.zip this.Fields CaseSpec.Least.Fields
        |> Array.filter (fun ((name, value), (_, least)) -> name = "seed" || value <> least)
        |> Array.map (fun ((name, value), _) -> $"{name}={value}")
        |> String.concat " "

    /// Reads what `ToString` wrote. An ArgumentException names a part that it cannot read.
    static member Parse(line: string) : CaseSpec =
        let fail found =
            invalidArg
                "line"
                $"CaseSpec.Parse: 'line' must be made of name=value, as a report prints them; found '{found}'."

        let whole (text: string) (value: string) =
            match Int64.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) with
            | true, v -> v
            | _ -> fail text

        let small text value =
            match whole text value with
            | v when v >= 0L && v <= 10_000L -> int v
            | _ -> fail text

        line.Split(' ', StringSplitOptions.RemoveEmptyEntries)
        |> Array.fold
            (fun spec text ->
                match text.Split('=', 2) with
                | [| name; value |] ->
                    match name with
                    | "seed" -> { spec with Seed = whole text value }
                    | "members" -> { spec with Members = small text value }
                    | "features" -> {
                        spec with
                            Features = small text value
                      }
                    | "hidden" ->
                        let widths = value.Split(',', StringSplitOptions.RemoveEmptyEntries)

                        {
                            spec with
                                Hidden = widths |> Array.map (small text) |> List.ofArray
                        }
                    | "actions" -> { spec with Actions = small text value }
                    | "steps" -> { spec with Steps = small text value }
                    | "past" -> { spec with Past = small text value }
                    | "K" -> {
                        spec with
                            InnerSteps = small text value
                      }
                    | "L" -> {
                        spec with
                            TargetSteps = small text value
                      }
                    | "activation" -> { spec with Activation = value }
                    | "optimizer" -> { spec with Optimizer = value }
                    | "learnedRate" -> {
                        spec with
                            LearnedRate = (value = "True")
                      }
                    | "matching" -> { spec with Matching = value }
                    | "target" -> { spec with Target = value }
                    | "model" -> { spec with Model = value }
                    | "w" -> { spec with MetaParameters = value }
                    | "sharedW" -> { spec with SharedW = (value = "True") }
                    | _ -> fail text
                | _ -> fail text)
            CaseSpec.Least

/// Generating and shrinking cases, with FsCheck.
[<RequireQualifiedAccess>]
module CaseSpecs =

    /// Names of the parts that may stand beside the one under judgement.
    type Companions = {
        Activations: string list
        Optimizers: string list
        Matchings: string list
        Targets: string list
        Models: string list
        MetaParameters: string list
    }

    let private generator (companions: Companions) : Gen<CaseSpec> =
        gen {
            let! members = Gen.choose (1, 3)
            let! features = Gen.choose (1, 3)
            let! depth = Gen.elements [ 0; 0; 1; 1; 1; 2 ]
            let! hidden = Gen.listOfLength depth (Gen.choose (1, 3))
            let! actions = Gen.choose (2, 4)
            let! steps = Gen.choose (1, 4)
            // Weighted towards short lives: what a law needs is seen there as well, and sooner.
            let number weighted =
                Gen.frequency (weighted |> List.map (fun (weight, n: int) -> weight, Gen.constant n))

            let! past = number [ 4, 0; 2, 1; 1, 2 ]
            let! inner = number [ 1, 0; 5, 1; 4, 2; 1, 3 ]
            let! ahead = number [ 5, 1; 4, 2; 1, 3 ]
            let! activation = Gen.elements companions.Activations
            let! optimizer = Gen.elements companions.Optimizers
            let! learned = Gen.elements [ false; true ]
            let! matching = Gen.elements companions.Matchings
            let! target = Gen.elements companions.Targets
            let! model = Gen.elements companions.Models
            let! meta = Gen.elements companions.MetaParameters
            let! shared = Gen.elements [ false; true ]

            return {
                Seed = 0L
                Members = members
                Features = features
                Hidden = hidden
                Actions = actions
                Steps = steps
                Past = past
                InnerSteps = inner
                TargetSteps = ahead
                Activation = activation
                Optimizer = optimizer
                LearnedRate = learned
                Matching = matching
                Target = target
                Model = model
                MetaParameters = meta
                SharedW = shared
            }
        }

    /// The case of a seed: always the same.
    let ofSeed (companions: Companions) (seed: int64) : CaseSpec =
        let drawn = Gen.sampleWithSeed (Rnd(uint64 seed)) 10 1 (generator companions) |> Seq.head

        { drawn with Seed = seed }

    /// Smaller cases, the most daring first.
    let shrink (c: CaseSpec) : CaseSpec seq =
        let fewer low value =
            Seq.distinct [ low; value - 1 ] |> Seq.filter (fun v -> v >= low && v < value)

        let simpler simplest value =
            if value = simplest then
                Seq.empty
            else
                Seq.singleton simplest

        let least = CaseSpec.Least

        seq {
            for v in fewer 1 c.Members -> { c with Members = v }

            if not c.Hidden.IsEmpty then
                yield { c with Hidden = [] }
                yield { c with Hidden = c.Hidden.Tail }

            for v in fewer 0 c.Past -> { c with Past = v }
            for v in fewer 0 c.InnerSteps -> { c with InnerSteps = v }
            for v in fewer 1 c.TargetSteps -> { c with TargetSteps = v }
            for v in fewer 1 c.Steps -> { c with Steps = v }
            for v in fewer 1 c.Features -> { c with Features = v }
            for v in fewer 2 c.Actions -> { c with Actions = v }
            for v in simpler least.LearnedRate c.LearnedRate -> { c with LearnedRate = v }
            for v in simpler least.Optimizer c.Optimizer -> { c with Optimizer = v }
            for v in simpler least.Matching c.Matching -> { c with Matching = v }
            for v in simpler least.Target c.Target -> { c with Target = v }
            for v in simpler least.Model c.Model -> { c with Model = v }
            for v in simpler least.MetaParameters c.MetaParameters -> { c with MetaParameters = v }
            for v in simpler least.SharedW c.SharedW -> { c with SharedW = v }
            for v in simpler least.Activation c.Activation -> { c with Activation = v }
        }

    /// As an FsCheck arbitrary, for properties of one's own.
    let arbitrary (companions: Companions) : Arbitrary<CaseSpec> =
        Arb.fromGenShrink (
            gen {
                let! spec = generator companions
                let! seed = Gen.choose (0, 999_999)
                return { spec with Seed = int64 seed }
            },
            shrink
        )
