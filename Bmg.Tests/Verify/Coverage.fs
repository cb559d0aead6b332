namespace Bmg.Verify

open Bmg
open FsCheck
open FsCheck.FSharp

/// What share of generated cases has a feature.
[<ReferenceEquality>]
type Share = {
    Label: string
    /// In per cent.
    Percent: float
}

/// Whether generated cases cover what they should: FsCheck classifies them.
[<RequireQualifiedAccess>]
module Coverage =

    let private labels: (string * (CaseSpec -> bool)) list = [
        "one member", (fun s -> s.Members = 1)
        "several members, w of their own", (fun s -> s.Members > 1 && not s.SharedW)
        "several members, w shared", (fun s -> s.Members > 1 && s.SharedW)
        "K = 0", (fun s -> s.InnerSteps = 0)
        "K = 1", (fun s -> s.InnerSteps = 1)
        "K > 1", (fun s -> s.InnerSteps > 1)
        "L = 1", (fun s -> s.TargetSteps = 1)
        "L > 1", (fun s -> s.TargetSteps > 1)
        "learner that has lived", (fun s -> s.Past > 0)
        "networks without hidden layers", (fun s -> s.Hidden.IsEmpty)
        "networks with hidden layers", (fun s -> not s.Hidden.IsEmpty)
        "one state", (fun s -> s.Steps = 1)
        "several states", (fun s -> s.Steps > 1)
        "learned learning rate", (fun s -> s.LearnedRate)
        "optimizer with state", (fun s -> s.Optimizer <> "sgd")
        "w through a network of the context", (fun s -> s.MetaParameters = "contextual")
        "w reaches the outputs by itself", (fun s -> s.Model = "tempered")
        "target that moves with the learner", (fun s -> s.Target <> "given")
    ]

    /// The shares of each label among the cases of these seeds, for a part.
    let ofSeeds (subject: Subject) (first: int64) (cases: int) : Share[] =
        let percent (label: string) (holds: CaseSpec -> bool) =
            let mutable share = nan

            let runner = {
                new IRunner with
                    member _.OnStartFixture _ = ()
                    member _.OnArguments(_, _, _) = ()
                    member _.OnShrink(_, _) = ()

                    member _.OnFinished(_, result) =
                        match result with
                        | TestResult.Passed(data, _) ->
                            // FsCheck gives whole per cents of each set of labels: with one label there is one set.
                            share <- data.Stamps |> Seq.sumBy (fun (share, _) -> float share)
                        | other -> invalidOp $"Coverage: FsCheck did not classify the cases: {other}"
            }

            let mutable next = first

            let classified () =
                let spec = Cases.specOfSeed subject next
                next <- next + 1L
                Prop.ofTestable true |> Prop.classify (holds spec) label

            Check.One(Config.Quick.WithMaxTest(cases).WithRunner(runner), (fun () -> classified ()))
            share

        labels
        |> List.map (fun (label, holds) -> {
            Label = label
            Percent = percent label holds
        })
        |> Array.ofList
