/// The laws on the library and on the examples, and the runner that judges them: that it names what is wrong.
module Bmg.Tests.VerificationTests

open System
open System.IO
open Bmg
open Bmg.Verify
open Expecto
open FsCheck
open FsCheck.FSharp
open TorchSharp
open Bmg.Tests.Tolerances

let private few (cases: int) = VerifyOptions(Cases = cases, Seed = 1L)

/// One run for a part, and a test for each law that reads it.
let private everyLaw (cases: int) (rehearse: bool) (subject: Subject) : Test =
    let report =
        lazy
            (use _ = scope ()
             Verify.Run(subject, VerifyOptions(Cases = cases, Seed = 1L, Rehearse = rehearse)))

    testList subject.Name [
        for law in Laws.all<Rollout>() do
            if law.Parts &&& subject.Kind = subject.Kind then
                testCase law.Name (fun () ->
                    let cell = report.Value[law.Name]

                    if cell.Verdict = Verdict.Fails then
                        failtestf "%O" report.Value)
    ]

/// Every kind has rows, and laws that do apply: that a row is all "does not apply" would be no verdict.
let private library =
    testList "every law on the library" [
        for kind, subjects in Library.all |> List.ofArray |> List.groupBy (fun s -> s.KindName) do
            testList kind (subjects |> List.map (everyLaw 6 false))
    ]

let private examples =
    let wrong (matching: MatchingFunction) (laws: string list) (says: string) =
        testCase $"{matching.Name} is named as wrong" (fun () ->
            use _ = scope ()
            let report = Verify.Matching(matching, few 10)
            Expect.equal (List.ofArray report.Broken) laws "the laws it breaks"
            let text = string report
            Expect.stringContains text matching.Name "the report's first line"
            Expect.stringContains text says "what the report says"
            Expect.stringContains text "smallest case" "a case to repeat")

    testList "examples" [
        testList "F#" [
            everyLaw 15 true (Subject.Of Bmg.Examples.FSharp.hellinger)
            everyLaw 15 true (Subject.Of("half the way", (fun given -> Bmg.Examples.FSharp.halfway given)))
            everyLaw 15 true (Subject.Of Bmg.Examples.FSharp.squashed)
            everyLaw 15 true Bmg.Examples.FSharp.shrinkingSubject
            everyLaw 15 true Bmg.Examples.FSharp.extragradientSubject
            wrong Bmg.Examples.FSharp.forgetful [ "stops" ] "the gradient of μ by the target"
            wrong Bmg.Examples.FSharp.crossEntropy [ "divergence" ] "μ(z, z)"
        ]
        testList "C#" [
            everyLaw 15 true (Subject.Of Bmg.Examples.CSharp.Hellinger)
            everyLaw 15 true (Subject.Of Bmg.Examples.CSharp.Brier)
            everyLaw 15 true (Subject.Of("half the way", (fun given -> Bmg.Examples.CSharp.Halfway given)))
            everyLaw 15 true (Subject.Of("farther", (fun given -> Bmg.Examples.CSharp.Farther given)))
            everyLaw 15 true (Subject.Of Bmg.Examples.CSharp.Softsign)
            everyLaw 15 true Bmg.Examples.CSharp.ShrinkingSubject
            wrong Bmg.Examples.CSharp.Forgetful [ "stops" ] "the gradient of μ by the target"
            wrong Bmg.Examples.CSharp.Overlap [ "divergence"; "fixed-point" ] "μ(z, z)"
        ]
    ]

let private kl = Matching.kl Reduction.Mean

let private matching (name: string) (compare: Prediction -> Prediction -> Tensor) =
    MatchingFunction.Create(name, MatchingClaims.Divergence, compare)

/// Functions that do what they should not. The run must go on to its end and name the function.
let private badInput =
    let judge (name: string) (subject: unit -> Subject) (says: string list) =
        testCase name (fun () ->
            use _ = scope ()
            let report = Verify.Run(subject (), few 6)
            Expect.isFalse report.Passed "it is wrong"
            let text = string report

            for part in says do
                Expect.stringContains text part "what the report says"

            Expect.equal
                report.Cells.Length
                (Laws.all<Rollout>()
                 |> Array.filter (fun l -> l.Parts &&& (subject ()).Kind = (subject ()).Kind))
                    .Length
                "every law has its verdict")

    let bad name compare =
        fun () -> Subject.Of(matching name compare)

    testList "functions that misbehave" [
        judge "one that throws" (bad "thrower" (fun _ _ -> invalidOp "no such luck")) [
            "matching function 'thrower' threw InvalidOperationException: no such luck"
            "seed="
        ]
        judge
            "one that throws in some cases only"
            (bad "moody" (fun target learner ->
                if learner["logits"].shape[2] = 3L then
                    failwith "three actions"

                kl.Compare.Invoke(target, learner)))
            [ "matching function 'moody' threw"; "three actions"; "actions=3" ]
        judge
            "one of the wrong shape"
            (bad "per state" (fun target learner -> Categorical.kl target.Stopped["logits"] learner["logits"]))
            [ "matching function 'per state'"; "one number a member" ]
        judge
            "one that gives NaN"
            (bad "not a number" (fun target learner -> (kl.Compare.Invoke(target, learner)).mul(Scalars.constant nan)))
            [ "matching function 'not a number'"; "NaN" ]
        judge
            "one that is detached"
            (bad "cut off" (fun target learner -> (kl.Compare.Invoke(target, learner)).detach()))
            [ "matching function 'cut off'"; "detached from the learner" ]
        judge
            "one whose derivative libtorch refuses (it would end the process)"
            (bad "in place" (fun target learner ->
                let root = (learner["logits"].exp()).sqrt()
                // The root's derivative needs the root, which is written over.
                root.mul_ (Scalars.constant 2.0) |> ignore
                Reduction.apply Reduction.Mean (root.minus(target["logits"].detach()).squared())))
            [ "cannot be differentiated" ]
        judge
            "a target of the wrong names"
            (fun () ->
                Subject.Of(
                    "half a learner",
                    fun _ ->
                        TargetBootstrap<Rollout>
                            .Create(
                                "half a learner",
                                fun learner life -> {
                                    Parameters = Params.only (fun n -> n.StartsWith "policy") learner.Parameters
                                    Learner = learner
                                    Evaluation = life.Collect.Invoke learner.Parameters
                                }
                            )
                ))
            [ "target bootstrap 'half a learner' gave back a target named" ]
        judge
            "an optimizer that changes shapes"
            (fun () ->
                Subject.Of {
                    Optimizers.sgd 0.1 with
                        Name = "adds up"
                        Transformation =
                            GradientTransformation.Create(
                                "adds up",
                                (fun _ -> Params.Empty),
                                (fun g s -> {
                                    Direction = g |> Params.map (fun t -> t.sum (0L, keepdim = true))
                                    State = s
                                })
                            )
                })
            [ "optimizer 'adds up' gave back a direction"; "shape" ]
        judge
            "an update rule that forgets its graph"
            (fun () ->
                Subject.Of(
                    "forgetful rule",
                    fun f ->
                        let plain = UpdateRule.gradient f (Optimizers.sgd 0.1)

                        UpdateRule<Rollout>
                            .Create(
                                "forgetful rule",
                                plain.Init,
                                fun l h d _ -> plain.Step.Invoke(l.Detach(), h, d, Differentiation.None)
                            )
                ))
            [ "update rule 'forgetful rule' gave back parameters detached" ]
        judge
            "an optimizer that rolls dice"
            (fun () ->
                Subject.Of {
                    Optimizers.sgd 0.1 with
                        Name = "dice"
                        Transformation =
                            GradientTransformation.Create(
                                "dice",
                                (fun _ -> Params.Empty),
                                (fun g s -> {
                                    Direction = g |> Params.map (fun t -> t.mul (torch.rand_like t))
                                    State = s
                                })
                            )
                })
            [ "once more from the seed" ]
        judge
            "an optimizer that writes in place"
            (fun () ->
                Subject.Of {
                    Optimizers.momentum 0.1 0.5 with
                        Name = "overwriter"
                        Transformation =
                            GradientTransformation.Create(
                                "overwriter",
                                (fun x -> Params.zerosLike x),
                                (fun g m ->
                                    let next =
                                        Params.map2
                                            (fun (g: Tensor) (m: Tensor) ->
                                                m.mul_(Scalars.constant 0.5).add_(g.detach ()))
                                            g
                                            m

                                    { Direction = next; State = next })
                            )
                })
            [ "wrote to 'h/" ]
    ]

let private runner =
    testList "the runner" [
        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 200
            }
            "a case reads back from the line it prints"
            (Prop.forAll (CaseSpecs.arbitrary Cases.companions) (fun spec ->
                Expect.equal (CaseSpec.Parse(string spec)) spec "the case"))

        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 100
            }
            "shrinking ends at the smallest case"
            (Prop.forAll (CaseSpecs.arbitrary Cases.companions) (fun spec ->
                let rec smallest (s: CaseSpec) left =
                    if left = 0 then
                        s
                    else
                        match Seq.tryHead (CaseSpecs.shrink s) with
                        | Some next -> smallest next (left - 1)
                        | None -> s

                Expect.equal
                    (smallest spec 100)
                    {
                        CaseSpec.Least with
                            Seed = spec.Seed
                            InnerSteps = 0
                    }
                    "the end"))

        test "an unreadable case is refused with what was found" {
            refuses [ "CaseSpec.Parse"; "K=many" ] (fun () -> CaseSpec.Parse "seed=1 K=many" |> ignore)
            refuses [ "CaseSpec.Parse"; "colour=red" ] (fun () -> CaseSpec.Parse "colour=red" |> ignore)
        }

        test "unknown laws and impossible numbers of cases are refused" {
            refuses [ "Laws"; "gravity"; "divergence" ] (fun () ->
                Verify.Matching(kl, VerifyOptions(Laws = [| "gravity" |])) |> ignore)

            refuses [ "Cases"; "found 0" ] (fun () -> Verify.Matching(kl, VerifyOptions(Cases = 0)) |> ignore)
        }

        testCase "a failure's line repeats it" (fun () ->
            use _ = scope ()
            let subject = Subject.Of Bmg.Examples.FSharp.crossEntropy
            let report = Verify.Run(subject, few 5)

            match report["divergence"].Failure with
            | null -> failtest "the divergence law should fail"
            | failure ->
                let again = Verify.Again(subject, "divergence", string failure.Spec)
                Expect.equal again.Verdict Verdict.Fails "once more"
                Expect.equal again.Finding failure.Finding "the same finding"

                Expect.equal
                    (failure.Spec.Members, failure.Spec.Hidden, failure.Spec.Steps)
                    (1, [], 1)
                    "the smallest case"

                Expect.isNonEmpty failure.Evidence "numbers to paste")

        testCase "one case alone is the one of its seed" (fun () ->
            use _ = scope ()
            let all = Verify.Matching(kl, VerifyOptions(Cases = 8, Seed = 100L, Laws = [| "differences" |]))
            let cell = all["differences"]

            let one = Verify.Matching(kl, VerifyOptions(Cases = 1, Seed = cell.Seed, Laws = [| "differences" |]))

            Expect.equal one["differences"].Deviation cell.Deviation "the worst deviation")

        test "generated cases cover what they should" {
            let least = [
                "one member", 20.0
                "several members, w of their own", 20.0
                "several members, w shared", 20.0
                "K = 0", 5.0
                "K = 1", 25.0
                "K > 1", 25.0
                "L = 1", 20.0
                "L > 1", 40.0
                "learner that has lived", 30.0
                "networks without hidden layers", 10.0
                "networks with hidden layers", 50.0
                "one state", 10.0
                "several states", 50.0
                "learned learning rate", 30.0
                "optimizer with state", 40.0
                "w through a network of the context", 20.0
                "w reaches the outputs by itself", 30.0
                "target that moves with the learner", 40.0
            ]

            let shares = Coverage.ofSeeds (Library.matchings[0]) 1L 1000

            for label, percent in least do
                let share = shares |> Array.find (fun s -> s.Label = label)
                Expect.isGreaterThan share.Percent percent label
        }
    ]

let private command =
    let run (settings: VerifyCommand.VerifySettings) =
        use output = new StringWriter()
        use error = new StringWriter()
        let code = VerifyCommand.run output error settings
        code, output.ToString(), error.ToString()

    let settings: VerifyCommand.VerifySettings = {
        Laws = [||]
        Only = [||]
        Cases = 2
        Seed = 1L
        Threads = 1
        Csv = null
        Coverage = false
        Rehearse = false
        Details = false
        Examples = false
    }

    testList "verify" [
        test "prints a row for what was asked, with the seed to repeat it" {
            let code, output, _ =
                run {
                    settings with
                        Laws = [| "divergence"; "differences" |]
                        Only = [| "kl"; "sgd" |]
                }

            Expect.equal code 0 "exit code"
            Expect.stringContains output "matching function" "a table a kind"
            Expect.stringContains output "divergence" "columns"
            Expect.stringContains output "holds" "verdicts"
            Expect.stringContains output "#1" "seeds"
            Expect.stringContains output "2 parts, 2 cases each from seed 1" "a summary"
        }

        test "the examples that are wrong are named, and fail the command" {
            let code, output, _ = run { settings with Examples = true }
            Expect.equal code 1 "exit code"

            for name, law in
                [
                    "forgetful-kl", "stops"
                    "cross-entropy", "divergence"
                    "forgetful-brier", "stops"
                    "overlap", "divergence"
                ] do
                Expect.stringContains output $"matching function '{name}': " "the report of a wrong one"
                Expect.stringContains output $"Verify.Again(subject, \"{law}\"" "how to repeat it"

            Expect.stringContains output "15 parts" "all of them"
        }

        test "an unknown law or row is wrong usage, with what there is" {
            let code, _, error = run { settings with Laws = [| "gravity" |] }
            Expect.equal code 2 "exit code"
            Expect.stringContains error "gravity" "what was found"
            Expect.stringContains error "local-gain" "what there is"
            let code, _, error = run { settings with Only = [| "nothing" |] }
            Expect.equal code 2 "exit code"
            Expect.stringContains error "optimizer/adam" "what there is"
        }

        test "writes every cell to a file" {
            let file = FileInfo(Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N") + ".csv"))

            try
                run {
                    settings with
                        Only = [| "kl" |]
                        Csv = file
                }
                |> ignore

                let lines = File.ReadAllLines file.FullName
                Expect.stringStarts lines[0] "kind,name,law,verdict" "a header"
                Expect.isTrue (lines |> Array.exists (fun l -> l.Contains ",fisher,holds,")) "a cell"
            finally
                file.Delete()
        }
    ]

let private faults =
    testList "faults" [
        test "every place to plant one stands exactly once in the sources" {
            match Planting.sources () with
            | null -> skiptest "the sources do not lie above the program"
            | root ->
                for fault in FaultsCommand.all do
                    for edit in fault.Edits do
                        let text = File.ReadAllText(Path.Combine(root, "Bmg.Core", edit.File))

                        Expect.equal
                            (Planting.occurrences text edit.Find)
                            1
                            $"'{fault.Name}' in {edit.File}: places that read so"
        }

        test "so does every place to plant one around Bmg.Core, and there are five of each kind" {
            match Planting.sources () with
            | null -> skiptest "the sources do not lie above the program"
            | root ->
                let misplaced = [
                    for fault in HostFaults.all do
                        let text = File.ReadAllText(Path.Combine(root, fault.Project, fault.File))
                        let found = Planting.occurrences text fault.Find

                        if found <> 1 then
                            $"'{fault.Name}' in {fault.Project}/{fault.File}: {found}"
                ]

                if not misplaced.IsEmpty then
                    failtest ("places that do not read so once:\n" + String.Join("\n", misplaced))

                for fault in HostFaults.all do
                    Expect.notEqual fault.Find fault.Replace $"'{fault.Name}' changes something"
                    Expect.contains HostFaults.kinds fault.Kind $"the kind of '{fault.Name}'"
                    Expect.isNonEmpty fault.Tests $"tests that are tried first on '{fault.Name}'"

            let names = HostFaults.all |> List.map (fun f -> f.Name)
            Expect.equal (List.distinct names) names "names, each once"

            for kind in HostFaults.kinds do
                let count = HostFaults.all |> List.filter (fun f -> f.Kind = kind) |> List.length
                Expect.isGreaterThanOrEqual count 5 kind

            let around = HostFaults.all |> List.filter (fun f -> f.Project <> "Bmg.Core") |> List.length

            Expect.isGreaterThanOrEqual around 40 "faults of Training and Export"
        }

        test "every row that judges a fault is in the library" {
            for fault in FaultsCommand.all do
                for row in fault.Rows do
                    Expect.exists Library.all (fun s -> s.Name.StartsWith row) $"'{fault.Name}' is judged by '{row}'"
        }
    ]

let private ways =
    testList "ways through the steps" [
        testCase "first-order leaves something out after more than one step" (fun () ->
            use _ = scope ()

            let spec = {
                CaseSpec.Least with
                    Seed = 3L
                    Features = 2
                    Hidden = [ 3 ]
                    Steps = 3
                    InnerSteps = 3
                    LearnedRate = true
            }

            let trial = Trial(Cases.ofSpec (Subject.Of kl) spec)

            let through way =
                numbersOf (trial.With(fun l -> l.With way)).Gradient

            let full = through ThroughSteps.Reverse
            Expect.isFalse (agree differences full (through ThroughSteps.FirstOrder)) "three steps, first-order"

            Expect.isFalse
                (agree differences full (through (ThroughSteps.Truncated 1)))
                "three steps, truncated at one"

            near rounding "forward" full (through ThroughSteps.Forward))

        test "a truncation to no step is refused" {
            use _ = scope ()
            let trial = Trial(Cases.ofSpec (Subject.Of kl) { CaseSpec.Least with Seed = 3L })

            refuses [ "truncated"; "found 0" ] (fun () ->
                trial.With(fun l -> l.With(ThroughSteps.Truncated 0)) |> ignore)
        }
    ]

let tests = testList "verification" [ library; examples; badInput; runner; command; faults; ways ]
