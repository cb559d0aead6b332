/// What the documents show is held to what makes it.
module Bmg.Tests.SampleTests

open System.IO
open Expecto
open Bmg.Training.CommandLine
open Bmg.Training.Runs
open Bmg.Tests.EndToEndTests
open Bmg.Tests.SamplesCommand

/// A document that shows a sample, and what a run makes today.
let private judged
    (instructions: string)
    (write: bool)
    (shown: string list)
    (made: string list)
    : Verdict * string list =
    let result = ref (Holds, [])

    withScratch (fun root ->
        let path = Path.Combine(root, "README.md")

        File.WriteAllLines(
            path,
            [
                "before"
                $"<!-- sample one: a command; Bmg 0.1.0 at abc1234, {instructions} -->"
                "```text"
                yield! shown
                "```"
                "after"
            ]
        )

        let sample = {
            Name = "one"
            Command = "a command"
            Make = fun _ -> Array.ofList made
        }

        let verdict = judge root write (lazy (Array.ofList made)) sample "README.md"
        result.Value <- verdict, List.ofArray (File.ReadAllLines path))

    result.Value

let private here = InstructionSet.Here

/// Whatever the sources' documents show of results is drawn from the files beside them.
let private results =
    testList "the tables in the documents are what their results give today" [
        for study in [ "two-colors"; "cartpole"; "pendulum"; "pixels" ] do
            test study {
                match Planting.sources () with
                | null -> skiptest "the sources do not lie above the program"
                | root when not (Directory.Exists(Path.Combine(root, "docs", "results", study))) ->
                    skiptest $"there are no results of {study}"
                | root ->
                    withScratch (fun directory ->
                        let kept = Path.Combine(root, "docs", "results", study)
                        let drawn = Path.Combine(directory, "drawn")
                        Directory.CreateDirectory drawn |> ignore

                        for file in Directory.GetFiles(kept, "*.json") do
                            File.Copy(file, Path.Combine(drawn, nonNull (Path.GetFileName file)))

                        use output = new StringWriter()
                        use error = new StringWriter()
                        let file = Path.Combine(root, "paper-configs", "studies", study + ".json")

                        let code =
                            TrainingCli.Run(
                                [| "reproduce"; file; "--show"; "--quiet"; "--results"; drawn |],
                                ProgramHost.Create(output, error)
                            )

                        Expect.equal (code, string error) (0, "") "reproduce --show"

                        for name in [ "table.txt"; "table.csv"; "report.html" ] do
                            Expect.equal
                                (File.ReadAllText(Path.Combine(kept, name)))
                                (File.ReadAllText(Path.Combine(drawn, name)))
                                $"docs/results/{study}/{name}, drawn anew by reproduce {study} --show"

                        Expect.stringContains
                            (File.ReadAllText(Path.Combine(root, "docs", "results", "README.md")))
                            ("```\n" + File.ReadAllText(Path.Combine(drawn, "table.txt")).TrimEnd() + "\n```")
                            "docs/results/README.md")
            }
    ]

let tests =
    testList "samples" [
        test "what a run shows today holds, whatever the time it took" {
            let line took =
                $"400 032 environment steps by each member in {took} MB"

            let verdict, _ =
                judged here false [ "seed 1"; line "1:26, 36 855 a second over all; peak memory 536" ] [
                    "seed 1"
                    line "2:00:07, 1 001 a second over all; peak memory 99"
                ]

            Expect.equal verdict Holds "verdict"
        }

        test "a deviation of rounding may differ, what is more than rounding may not" {
            let law deviation seed =
                $"  members  holds  worst deviation {deviation}, allowed 1e-9 (seed {seed}; 63 judged)"

            let verdict shown made =
                fst (judged here false [ shown ] [ made ])

            Expect.equal (verdict (law "4.2e-16" 61) (law "2.3e-15" 7)) Holds "rounding"
            Expect.notEqual (verdict (law "4.2e-16" 61) (law "2.3e-13" 61)) Holds "more than rounding"
            Expect.notEqual (verdict (law "4.2e-13" 61) (law "4.2e-13" 7)) Holds "another seed"
            Expect.notEqual (verdict (law "4.2e-16" 61) (law "0" 61)) Holds "nothing at all"
        }

        test "another number, a line more or less is stale and named" {
            Expect.equal
                (fst (judged here false [ "a"; "b 1" ] [ "a"; "b 2" ]))
                (Stale(5, "b 1", "b 2"))
                "another number"

            Expect.equal (fst (judged here false [ "a" ] [ "a"; "b" ])) (Stale(5, "", "b")) "a line more"
            Expect.equal (fst (judged here false [ "a"; "b" ] [ "a" ])) (Stale(5, "b", "")) "a line less"
        }

        test "what other instructions made is not compared" {
            Expect.equal (fst (judged "other" false [ "a" ] [ "b" ])) (OtherInstructions "other") "verdict"
        }

        test "what is written anew holds, and says with what it was made" {
            let verdict, lines = judged "other" true [ "a"; "b" ] [ "c" ]
            Expect.equal verdict Written "verdict"
            Expect.equal lines[0] "before" "before"
            Expect.stringContains lines[1] here "comment"
            Expect.equal lines[2..] [ "```text"; "c"; "```"; "after" ] "what is shown"
        }

        test "every sample is shown, once in a document" {
            match Planting.sources () with
            | null -> skiptest "the sources do not lie above the program"
            | root ->
                for sample in all do
                    let documents = shownIn root sample
                    Expect.isNonEmpty documents $"documents that show {sample.Name}"
                    Expect.equal (List.distinct documents) documents $"documents that show {sample.Name}"
        }

        test "what the quickstart says at its end is found between its runs and its files" {
            let said = [|
                "one: 2 members, 9 environment steps each, in runs/one"
                "50 %  4 of 9 steps  1 steps/s  0:01 left  reward 1"
                "Exported it."
                ""
                "a sketch"
                ""
                "a table"
                "1"
                ""
                "page  runs/one.html"
            |]

            Expect.equal (SamplesCommand.results said) [ [| "a sketch" |]; [| "a table"; "1" |] ] "paragraphs"
            Expect.throws (fun () -> SamplesCommand.results said[..2] |> ignore) "nothing said"
        }

        results
    ]
