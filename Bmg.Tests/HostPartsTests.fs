/// Parts of one's own in one's own program: who brings them, and whether the laws hold for them.
module Bmg.Tests.HostPartsTests

open System
open System.IO
open System.Reflection
open Bmg
open Bmg.Training
open Bmg.Training.Acting
open Bmg.Training.Agents
open Bmg.Training.CommandLine
open Bmg.Training.Data
open Bmg.Training.Environments
open Bmg.Training.Experiments
open Bmg.Training.Hosting
open Bmg.Training.Library
open Bmg.Tests.Counting
open Bmg.Tests.EndToEndTests
open Bmg.Tests.Worlds
open Expecto
open TorchSharp

let private settings = NoSettings()

let private feature = {
    new IContextFeature with
        member _.Names(_, _) = [| "nothing" |]
        member _.Write(_, numbers) = numbers[0] <- 0.0
}

let private brier (reduction: Reduction) (stop: bool) =
    MatchingFunction.Create(
        "brier",
        MatchingClaims.Divergence,
        fun target learner ->
            let there = (if stop then target.Stopped else target)["logits"]

            Reduction.apply
                reduction
                ((Categorical.probabilities there).minus(Categorical.probabilities learner["logits"]).square().sum(-1L))
    )

/// A program with a part of every kind; wrong ones break a law.
let private program () =
    BmgHost
        .CreateDefault()
        .AddEnvironment("my-environment", settings, Func<_, IEnvironment>(fun _ -> counter honest))
        .AddEnvironment("my-seeded-environment", settings, Func<_, Seed, IEnvironment>(fun _ _ -> counter honest))
        .AddBatchedEnvironment(
            "my-batch",
            settings,
            (fun _ (seeds: System.Collections.Generic.IReadOnlyList<Seed>) ->
                new Batch([| for _ in seeds -> counter honest |], ignore, ignore) :> IBatchedEnvironment)
        )
        .AddWrapper("my-wrapper", settings, (fun _ inner -> inner))
        .AddExperiment("my-experiment", settings, (fun _ -> ReinforcementLearning() :> IExperimentKind))
        .AddData("my-data", settings, (fun _ -> Spirals.Create(SpiralsSettings()) :> IDataSet))
        .AddAgent("my-agent", settings, (fun _ -> ActorCriticKind(ActorCriticSettings()) :> IAgentKind))
        .AddLayer("my-layer", settings, (fun _ network -> network.Linear(3).Activation(Activation.Tanh)))
        .AddOptimizer("my-optimizer", settings, (fun _ -> Optimizers.sgd 0.2))
        .AddUpdateRule(
            "my-rule",
            settings,
            (fun _ (context: UpdateRuleContext) -> UpdateRule.gradient context.Loss context.Optimizer)
        )
        .AddTarget("my-target", settings, (fun _ (context: TargetContext) -> TargetBootstrap.aheadOnly context.Steps))
        .AddMatchingFunction(
            "my-matching",
            settings,
            (fun _ (context: MatchingContext) -> brier context.Reduction true)
        )
        .AddMatchingFunction(
            "my-wrong-one",
            settings,
            (fun _ (context: MatchingContext) -> brier context.Reduction false)
        )
        .AddContextFeature("my-feature", settings, (fun _ -> feature))

let private verify (host: BmgHost) (arguments: string list) : int * string list * string =
    use output = new StringWriter()
    use error = new StringWriter()

    let code =
        TrainingCli.Run(
            Array.ofList ("verify" :: arguments),
            ProgramHost.Create(output, error, catalogue = host.Catalogue)
        )

    code,
    output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)
    |> List.ofArray,
    error.ToString()

let tests =
    testList "parts of one's own" [
        test "every call that registers one says who brings it" {
            let host = program ()

            let own = [
                for kind in host.Catalogue.Kinds do
                    for part in host.Catalogue.Parts kind do
                        if part.Name.StartsWith "my-" then
                            part
            ]

            let calls =
                typeof<BmgHost>.GetMethods(BindingFlags.Public ||| BindingFlags.Instance)
                |> Array.filter (fun m -> m.Name.StartsWith "Add" && m.Name <> "Add")

            Expect.isGreaterThanOrEqual own.Length calls.Length "a part of each kind"

            for part in own do
                Expect.equal
                    part.Origin.Assembly
                    (nonNull (Assembly.GetExecutingAssembly().GetName().Name))
                    $"{part.Kind} {part.Name}"

            for kind in host.Catalogue.Kinds do
                for part in LibraryParts.Catalogue().Parts kind do
                    Expect.equal part.Origin.Assembly "Bmg.Training" $"{part.Kind} {part.Name}"
        }

        test "verify judges one's own, and says what is broken" {
            let host = program ()
            let code, lines, _ = verify host [ "--cases"; "3" ]
            Expect.equal code 1 "one is broken"

            Expect.equal
                [
                    for line in lines do
                        if not (line.StartsWith ' ') then
                            line.Split(": ")[0]
                ]
                [
                    "matching function 'my-matching'"
                    "matching function 'my-wrong-one'"
                    "target bootstrap 'my-target'"
                    "update rule 'my-rule'"
                    "optimizer 'my-optimizer'"
                    "layer 'my-layer'"
                    "6 parts, 3 cases each from seed 1"
                ]
                "judged, in order"

            Expect.exists lines (fun line -> line.Contains "stops" && line.Contains "FAILS") "the law that is broken"
            let good, lines, _ = verify host [ "my-matching"; "optimizer/my-optimizer"; "kl"; "--cases"; "3" ]
            Expect.equal good 0 "by name"
            Expect.stringContains (List.last lines) "3 parts" "three"
        }

        test "verify takes the parts of a configuration, with its settings" {
            withScratch (fun directory ->
                let file = Path.Combine(directory, "a.json")

                File.WriteAllText(
                    file,
                    """{ "learner": { "torso": [{ "name": "my-layer" }], "optimizer": { "name": "my-optimizer" } },
                         "matching": { "functions": [{ "name": "my-wrong-one" }] } }"""
                )

                let judged arguments =
                    let code, lines, error = verify (program ()) (file :: "--cases" :: "2" :: arguments)
                    Expect.equal error "" "errors"

                    code,
                    [
                        for line in lines do
                            if not (line.StartsWith ' ') && line.Contains '\'' then
                                line.Split('\'')[1]
                    ]

                Expect.equal
                    (judged [])
                    (1, [ "my-wrong-one"; "look-ahead"; "gradient"; "my-optimizer"; "my-layer" ])
                    "as it stands"

                Expect.equal
                    (judged [ "--set"; "matching.functions.0.name=kl"; "--law"; "stops" ])
                    (0, [ "kl" ])
                    "changed, one law")
        }

        for arguments, says in
            [
                [ "nobody" ], "found nobody, expected a configuration file or one of matching function/kl"
                [ "--law"; "stop" ], "did you mean stops?"
                [ "my-optimizer"; "--law"; "stops" ], "none of stops is asked"
                [ "--set"; "seed=3" ], "found no configuration file"
                [ "residual" ], "layer \"residual\""
                [ "--cases"; "0" ], "--cases"
            ] do
            test $"verify %A{arguments} is refused in one line" {
                let code, lines, error = verify (program ()) arguments
                Expect.equal (code, lines) (2, []) error
                Expect.stringContains error says "what is wrong"
                Expect.equal (error.TrimEnd().Split('\n').Length) 1 "one line"
            }

        test "an environment of many streams is checked, wrapped, trained and played as one of one stream" {
            withScratch (fun directory ->
                let does arguments =
                    use output = new StringWriter()
                    use error = new StringWriter()

                    let code =
                        TrainingCli.Run(
                            Array.ofList arguments,
                            ProgramHost.Create(output, error, catalogue = (program ()).Catalogue)
                        )

                    Expect.equal (code, error.ToString()) (0, "") $"%A{arguments}: {output}"
                    output.ToString()

                Expect.stringContains
                    (does [ "check-environment"; "my-batch"; "--steps"; "500" ])
                    "nothing is wrong"
                    "check"

                let rewards (name: string) (more: string list) =
                    let file = Path.Combine(directory, name + ".json")
                    let run = Path.Combine(directory, name + String.Join("", more))

                    File.WriteAllText(
                        file,
                        $"""{{ "name": "mine", "members": 3, "environmentSteps": 200, "environment": {{ "name": "{name}" }},
                               "learner": {{ "hidden": [4], "copies": 2, "optimizer": {{ "name": "sgd", "learningRate": 0.001 }} }} }}"""
                    )

                    does ([ "train"; file; "--output"; run; "--quiet" ] @ more) |> ignore

                    does ([ "train"; "--resume"; run; "--quiet"; "--set"; "environmentSteps=400" ])
                    |> ignore

                    Expect.stringContains (does [ "evaluate"; run; "--episodes"; "5" ]) "mean return" "played"

                    use summary =
                        System.Text.Json.JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "summary.json")))

                    summary.RootElement.GetProperty("totalReward").GetRawText()

                for more in [ []; [ "--set"; "wrappers.0.name=time-limit"; "--set"; "wrappers.0.steps=3" ] ] do
                    Expect.equal (rewards "my-batch" more) (rewards "my-environment" more) $"the same numbers %A{more}")
        }

        test "bench measures a configuration of one's own" {
            withScratch (fun directory ->
                let file = Path.Combine(directory, "a.json")

                File.WriteAllText(
                    file,
                    """{ "name": "mine", "members": 2, "environment": { "name": "my-environment" }, "learner": { "hidden": [4] } }"""
                )

                use output = new StringWriter()
                use error = new StringWriter()

                let code =
                    TrainingCli.Run(
                        [| "bench"; file; "--seconds"; "0.1"; "--threads"; "1" |],
                        ProgramHost.Create(output, error, catalogue = (program ()).Catalogue)
                    )

                Expect.equal (code, error.ToString()) (0, "") "exit code"
                let line = output.ToString().Split('\n') |> Array.find (fun line -> line.Contains "mine")
                Expect.stringContains line "environment steps" "what is counted"
                Expect.stringContains line "MB" "memory")
        }

        test "a program without parts of its own judges those of the library" {
            let code, lines, error = verify (BmgHost.CreateDefault()) [ "--cases"; "1"; "--law"; "repeatable" ]
            Expect.equal (code, error) (0, "") "exit code"
            Expect.exists lines (fun line -> line.StartsWith "layer \"residual\"") "one that has no default settings"
            Expect.exists lines (fun line -> line.StartsWith "matching function 'kl'") "kl"
        }
    ]
