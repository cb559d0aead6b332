/// Meta-gradients on losses of known shape: law 5 as numbers, the losses themselves, and the command.
module Bmg.Tests.TheoryTests

open System
open System.IO
open System.Text.Json
open Bmg
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Theory
open Bmg.Tests.Tolerances
open Expecto
open FsCheck
open TorchSharp

let private property name (body: NonNegativeInt -> unit) =
    testPropertyWithConfig
        {
            FsCheckConfig.defaultConfig with
                maxTest = 100
        }
        name
        body

/// J, H and g of up to four parameters and three meta-parameters; H positive definite.
let private draw (seed: int64) : GainCase =
    let rng = Rng(uint64 seed)
    let n, m = 1 + rng.Next 4, 1 + rng.Next 3

    let matrix rows columns =
        Array.init rows (fun _ -> Array.init columns (fun _ -> rng.NextNormal()))

    let root = matrix n n

    let hessian =
        Array.init n (fun i ->
            Array.init n (fun j -> Array.fold2 (fun s a b -> s + a * b) (if i = j then 0.1 else 0.0) root[i] root[j]))

    GainCase(matrix n m, hessian, Array.init n (fun _ -> rng.NextNormal()), 0.01 + rng.NextDouble())

/// f is quadratic, so Δf = aβ + bβ² without a rest, and two measurements give a.
let private slope (case: GainCase) (form: GainForm) : float =
    let beta = 1e-2
    let whole = LocalGain.Measure(case, form, beta).Measured
    let half = LocalGain.Measure(case, form, beta / 2.0).Measured
    (4.0 * half - whole) / beta

let private predicted (case: GainCase) (form: GainForm) : float =
    LocalGain.Measure(case, form, 1.0).Predicted

let private forms = Enum.GetValues<GainForm>() |> List.ofArray

let private localGain =
    testList "one meta-step" [
        scoped "ascends under KL with a plain gradient step" (fun () ->
            let case = GainCase.Ascending

            // −β(Jᵀg)(JᵀαHg) = −β · ½ · α(1 − 5)
            near rounding "the prediction" [| 2.0 * case.StepSize |] [| predicted case GainForm.KlPlain |]

            let errors = [|
                for beta in [ 1e-1; 1e-2; 1e-3; 1e-4 ] do
                    let point = LocalGain.Measure(case, GainForm.KlPlain, beta)
                    Expect.isGreaterThan point.Measured 0.0 $"f goes up at β = {beta}"
                    abs (point.Measured / point.Predicted - 1.0)
            |]

            for larger, smaller in Array.pairwise errors do
                Expect.isLessThan smaller (larger / 9.0) "the prediction's error falls as β does"

            Expect.isLessThan errors[3] 1e-3 "the prediction's error at the smallest β")

        scoped "descends there under the other three" (fun () ->
            for form in forms |> List.except [ GainForm.KlPlain ] do
                let point = LocalGain.Measure(GainCase.Ascending, form, 1e-3)
                Expect.isLessThan point.Measured 0.0 (string form)
                Expect.isLessThan point.Predicted 0.0 (string form))

        for form in forms do
            property $"does to first order what is predicted: {form}" (fun seed ->
                use _ = scope ()
                let case = draw (int64 seed.Get)
                near accumulated "Δf/β" [| predicted case form |] [| slope case form |])

        for form in forms |> List.except [ GainForm.KlPlain ] do
            property $"does not ascend: {form}" (fun seed ->
                use _ = scope ()
                let case = draw (int64 seed.Get)
                let size = abs (predicted case form)
                Expect.isLessThanOrEqual (slope case form) (1e-9 * size + 1e-12) "measured"
                Expect.isLessThanOrEqual (predicted case form) (1e-12 * size + 1e-14) "predicted")

        scoped "ascends under KL with a plain gradient step in some generated cases too" (fun () ->
            let ascents = [
                for seed in 1L .. 100L do
                    slope (draw seed) GainForm.KlPlain > 1e-6
            ]

            Expect.contains ascents true "an ascent"
            Expect.contains ascents false "no ascent")
    ]

/// x of one member from plain numbers.
let private at (values: float[]) =
    Params.Create(
        values |> Array.mapi (fun i _ -> $"x{i}"),
        values |> Array.map (fun v -> torch.tensor([| v |]).reshape(1L, 1L))
    )

let private hessian (landscape: Landscape) (x: float[]) : float[][] =
    Array.init x.Length (fun i ->
        let unit = Array.init x.Length (fun j -> if i = j then 1.0 else 0.0)

        Gradients.hessianVector
            (fun x -> landscape.LossFunction.Loss.Invoke(x, Params.Empty, Observation null))
            (at x)
            (at unit)
        |> numbersOf)

let private landscapes =
    testList "losses" [
        for kind in Enum.GetValues<ProblemKind>() do
            scoped $"{kind}: eigenvalues at the minimum are 1 and 1/κ" (fun () ->
                for condition in [ 20.0; 300.0; 2500.0 ] do
                    use landscape = new Landscape(kind, 2, [| condition |])
                    let minimum = if kind = ProblemKind.Quadratic then 0.0 else 1.0
                    let h = hessian landscape [| minimum; minimum |]
                    let trace, determinant = h[0][0] + h[1][1], h[0][0] * h[1][1] - h[0][1] * h[1][0]
                    near accumulated "trace" [| 1.0 + 1.0 / condition |] [| trace |]
                    near accumulated "determinant" [| 1.0 / condition |] [| determinant |]
                    zero 1e-15 "the loss at the minimum" (landscape.Loss(at [| minimum; minimum |])))

        scoped "on a quadratic the KL is the distance in the metric of its Hessian" (fun () ->
            use landscape = new Landscape(ProblemKind.Quadratic, 3, [| 50.0 |])
            let target, learner = at [| 0.3; -1.0; 2.0 |], at [| 1.5; 0.25; -0.5 |]
            let metric = torch.tensor(hessian landscape [| 0.0; 0.0; 0.0 |] |> Array.concat).reshape(3L, 3L)

            let compare (matching: MatchingFunction) =
                let side x =
                    Prediction(x, lazy landscape.Model.Predict.Invoke(x, Params.Empty, Observation null))

                numbers (matching.Compare.Invoke(side target, side learner))

            near rounding "μ" (compare (Landscape.InMetric metric)) (compare Landscape.GaussianKl))
    ]

let private faults (json: string) : string list =
    try
        TheoryReader.Read(json, "file.json") |> ignore
        []
    with :? ConfigurationException as e ->
        e.Faults |> Seq.map string |> List.ofSeq

let private published =
    let rec search (folder: DirectoryInfo | null) =
        match folder with
        | null -> failtest "no paper-configs above the tests"
        | folder ->
            let here = Path.Combine(folder.FullName, "paper-configs", "theory")
            if Directory.Exists here then here else search folder.Parent

    search (DirectoryInfo AppContext.BaseDirectory)

let private configurations =
    testList "configurations" [
        for file in Directory.GetFiles(published, "*.json") do
            test $"{Path.GetFileName file} is valid" {
                let configuration = TheoryReader.ReadFile file

                Expect.equal
                    configuration.Name
                    ("theory/" + Path.GetFileNameWithoutExtension(Path.GetFileName file))
                    "the name is the file's"
            }

        for json, expected in
            [
                """{ "metaStep": 3 }""", """file.json: metaStep: unknown key, did you mean "metaSteps"?"""
                """{ "rate": { "hi": 3 } }""", "file.json: rate.hi: unknown key, "
                """{ "innerSteps": 0 }""",
                "file.json: innerSteps: found 0, expected a whole number, at least 1 and at most 1000"
                """{ "problem": "saddle" }""", """file.json: problem: found "saddle", expected one of "quadratic", """
                """{ "horizons": [4, 4] }""", "file.json: horizons.1: found 4, expected more than the one before, 4"
                """{ "rate": { "initial": 2 } }""",
                "file.json: rate.initial: found 2, expected a number between rate.low and rate.high, 0 and 2"
                """{ "problem": "rosenbrock", "conditionNumbers": [2] }""",
                "file.json: conditionNumbers.0: found 2, expected at least 18"
                """{ "problem": "rosenbrock", "dimensions": 3, "conditionNumbers": [20] }""",
                "file.json: dimensions: found 3, expected 2"
                """{ "horizonsAt": 5 }""", "file.json: horizonsAt: found 5, expected one of conditionNumbers, or null"
                """{ "matching": ["kl", "kl"] }""",
                "file.json: matching: found a matching function twice, expected each once"
            ] do
            test $"refused: {json}" {
                match faults json with
                | [ fault ] -> Expect.stringStarts fault expected "file, path, value and expectation"
                | other -> failtestf "expected one fault, found %A" other
            }
    ]

let private withScratch (body: string -> unit) =
    let path = Path.Combine(Path.GetTempPath(), "bmg-" + Guid.NewGuid().ToString "N")
    Directory.CreateDirectory path |> ignore

    try
        body path
    finally
        Directory.Delete(path, true)

let private run (args: string list) : int * string * string =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = TrainingCli.Run(Array.ofList args, ProgramHost.Create(output, error))
    code, output.ToString(), error.ToString()

let private tiny (problem: string) (rates: string) (noise: float) =
    $"""{{ "name": "tiny", "problem": "{problem}", "conditionNumbers": [20, 100], "horizons": [1, 3], "targetSteps": [1, 2], "metaSteps": 5,
          "learnerSteps": 4, "innerSteps": 2, "seeds": 2, "noise": {noise}, "rate": {{ "kind": "{rates}" }}, "meta": {{ "optimizer": "sgd" }} }}"""

let private command =
    testList "command" [
        test "a tiny study runs to its end" {
            withScratch (fun folder ->
                let file name = Path.Combine(folder, name)
                File.WriteAllText(file "a.json", tiny "quadratic" "one" 0.1)
                File.WriteAllText(file "b.json", tiny "rosenbrock" "per-coordinate" 0.0)

                let code, output, error = run [ "theory"; file "a.json"; file "b.json"; "--output"; file "out" ]
                Expect.equal (code, error) (0, "") "the exit code, and no error"
                Expect.stringContains output "BMG, L = 2, KL" "a row of the table"
                Expect.stringContains output "KL, ξ = x − αH⁻¹g" "a row of the local gains"

                let svg = File.ReadAllText(Path.Combine(file "out", "theory.svg"))
                Expect.isNotNull (Xml.Linq.XDocument.Parse svg).Root "the picture is XML"

                use json = JsonDocument.Parse(File.ReadAllText(Path.Combine(file "out", "theory.json")))
                let studies = json.RootElement.GetProperty "studies"
                Expect.equal (studies.GetArrayLength()) 2 "studies"

                for study in studies.EnumerateArray() do
                    let cells = study.GetProperty "cells"
                    Expect.equal (cells.GetArrayLength()) (2 * 6) "six methods, two condition numbers"

                    for cell in cells.EnumerateArray() do
                        for loss in cell.GetProperty("loss").EnumerateArray() do
                            Expect.isTrue (Double.IsFinite(loss.GetDouble())) "a finite loss"

                let code, _, error = run [ "theory"; file "a.json"; "--output"; file "out" ]
                Expect.equal code 2 "the exit code for a directory that is not empty"
                Expect.stringContains error "not empty" "what is wrong"
                Expect.hasLength (error.TrimEnd().Split '\n') 1 "one line")
        }

        test "meta-training moves the rates, alike in every run, and none of it where nothing is learned" {
            let configuration = TheoryReader.Read(tiny "quadratic" "one" 0.1, "test")
            let once = TheorySummary.Measure([| configuration |], ignore)
            let again = TheorySummary.Measure([| configuration |], ignore)

            for a, b in Seq.zip once.Studies[0].Cells again.Studies[0].Cells do
                near
                    exact
                    a.Method
                    (Array.concat [ a.Loss; a.Lowest; a.Highest ])
                    (Array.concat [ b.Loss; b.Lowest; b.Highest ])

                let rates = Array.concat a.Rates

                if a.Method = "untrained" then
                    near rounding a.Method [| 0.1; 0.1 |] rates
                else
                    Expect.isTrue (rates |> Array.forall (fun r -> r > 0.1)) $"{a.Method} found larger rates: {rates}"
        }

        test "wrong input is told in one line" {
            withScratch (fun folder ->
                let file name = Path.Combine(folder, name)
                File.WriteAllText(file "a.json", """{ "seedz": 1 }""")

                for config, expected in [ "a.json", "seedz: unknown key"; "none.json", "no such file" ] do
                    let code, output, error = run [ "theory"; file config; "--output"; file "out" ]
                    Expect.equal (code, output) (2, "") "the exit code"
                    Expect.stringStarts error $"error: {file config}: {expected}" "file and fault"
                    Expect.hasLength (error.TrimEnd().Split '\n') 1 "one line"
                    Expect.isFalse (Directory.Exists(file "out")) "nothing is left behind")
        }
    ]

let tests = testList "theory" [ localGain; landscapes; configurations; command ]
