/// The documents: their code is compiled and run, their links lead somewhere, their commands name files that there are.
module Bmg.Tests.DocumentTests

open System
open System.IO
open System.Text.RegularExpressions
open Bmg
open Bmg.Examples.FSharpCorridor
open Bmg.Training.CommandLine
open Bmg.Training.Environments
open Bmg.Tests.EndToEndTests
open Expecto

let private onSources (body: string -> unit) =
    match Planting.sources () with
    | null -> skiptest "the sources do not lie above the program"
    | root -> body root

/// A folder with a document of these lines.
let private withDocument (lines: string list) (body: string -> unit) =
    withScratch (fun root ->
        File.WriteAllLines(Path.Combine(root, "README.md"), lines)
        body root)

/// Both languages of a tutorial, in the order in which they stand.
let private languages (root: string) (document: string) =
    Documents.code root document
    |> List.map (fun block -> File.ReadAllLines(Path.Combine(root, document))[block.Comment + 1])

let private front =
    testList "as they are" [
        test "the README takes at most 150 lines" {
            onSources (fun root ->
                Expect.isLessThanOrEqual (File.ReadAllLines(Path.Combine(root, "README.md"))).Length 150 "lines")
        }

        test "every link within the sources leads to a file, and to a heading where it names one" {
            onSources (fun root ->
                match Documents.all root |> List.collect (Documents.brokenLinks root) with
                | [] -> ()
                | broken -> failtest (String.Join("\n", broken)))
        }

        test "every page is in the site's navigation" {
            onSources (fun root ->
                let navigation = File.ReadAllText(Path.Combine(root, "docs", "toc.yml"))

                for document in Documents.all root do
                    if document.StartsWith "docs/" && not (document.StartsWith "docs/site/") then
                        Expect.stringContains navigation $"href: {document.Substring 5}" document)
        }

        test "the code that is shown is what its files hold" {
            onSources (fun root ->
                let blocks = Documents.all root |> List.collect (Documents.code root)
                Expect.isGreaterThanOrEqual blocks.Length 30 "blocks taken from files"

                for block in blocks do
                    Expect.equal
                        (String.Join("\n", block.Shown))
                        (String.Join("\n", Documents.excerpt root block.Source block.Region))
                        $"{block.Document}, line {block.First + 1}; samples --code --write makes it anew")
        }

        test "no code is shown that is not taken from a file" {
            onSources (fun root ->
                for document in Documents.all root do
                    let lines = File.ReadAllLines(Path.Combine(root, document))
                    let taken = Documents.code root document |> List.map (fun block -> block.Comment + 1)

                    for i in 0 .. lines.Length - 1 do
                        if Regex.IsMatch(lines[i], "^```(fsharp|csharp)") then
                            Expect.contains taken i $"{document}, line {i + 1}")
        }

        test "tutorials show both languages" {
            onSources (fun root ->
                for name in [ "matching-function"; "update-rule"; "environment"; "target" ] do
                    let shown = languages root $"docs/tutorials/{name}.md"
                    Expect.equal (List.truncate 2 shown) [ "```fsharp"; "```csharp" ] $"the first two blocks of {name}")
        }

        test "commands name configurations that there are" {
            onSources (fun root ->
                for document in Documents.all root do
                    let text = File.ReadAllText(Path.Combine(root, document))

                    for block in Regex.Matches(text, "```(console|sh)\n(?<text>.*?)\n```", RegexOptions.Singleline) do
                        for word in Regex.Matches(block.Groups["text"].Value, @"\b(paper-configs|examples)/[\w./-]+") do
                            let path = Path.Combine(root, word.Value)
                            Expect.isTrue (File.Exists path || Directory.Exists path) $"{document}: {word.Value}")
        }
    ]

let private judged =
    testList "what is judged" [
        test "links that lead nowhere are named" {
            withDocument
                [
                    "# One heading, *two*"
                    "[a](#one-heading-two) [b](#none) [c](LICENSE) [d](README.md#one-heading-two)"
                    "[e](https://example.org/x) `[f](nowhere)` <a href=\"gone.md\">g</a>"
                    "```text"
                    "[h](in-code.md)"
                    "```"
                    "[i](docs) [j](README.md#two)"
                ]
                (fun root ->
                    Directory.CreateDirectory(Path.Combine(root, "docs")) |> ignore

                    let broken = Documents.brokenLinks root "README.md"
                    Expect.equal broken.Length 5 $"%A{broken}"

                    for text, found in
                        List.zip [ "line 2: #none"; "line 2: LICENSE"; "line 3: gone.md"; "folder"; "#two" ] broken do
                        Expect.stringContains found text "what is named")
        }

        test "equal headings have anchors of their own" {
            Expect.equal
                (Documents.anchors [| "# A b"; "## a B"; "```"; "# no"; "```"; "### `code` & [c](d.md)" |])
                [ "a-b"; "a-b-1"; "code--c" ]
                "anchors"
        }

        test "stale code is written anew, from a region or a whole file" {
            withDocument
                [
                    "<!-- code mine.fs#one -->"
                    "```fsharp"
                    "stale"
                    "```"
                    "between"
                    "<!-- code mine.fs -->"
                    "```fsharp"
                    "```"
                ]
                (fun root ->
                    let source = [
                        "let f () ="
                        "    // region one"
                        "    1"
                        ""
                        "        + 2"
                        "    // endregion"
                    ]

                    File.WriteAllLines(Path.Combine(root, "mine.fs"), source)
                    Expect.isTrue (Documents.refresh root "README.md") "changed"

                    Expect.equal
                        (List.ofArray (File.ReadAllLines(Path.Combine(root, "README.md"))))
                        ([
                            "<!-- code mine.fs#one -->"
                            "```fsharp"
                            "1"
                            ""
                            "    + 2"
                            "```"
                            "between"
                         ]
                         @ [ "<!-- code mine.fs -->"; "```fsharp" ]
                         @ source
                         @ [ "```" ])
                        "what is shown"

                    Expect.isFalse (Documents.refresh root "README.md") "once more changes nothing")
        }

        test "a region that is not there, twice there or without an end is refused" {
            withScratch (fun root ->
                File.WriteAllLines(
                    Path.Combine(root, "mine.fs"),
                    [
                        "// region twice"
                        "// endregion"
                        "// region twice"
                        "// endregion"
                        "// region open"
                    ]
                )

                for region in [ "none"; "twice"; "open" ] do
                    Expect.throws (fun () -> Documents.excerpt root "mine.fs" region |> ignore) region

                Expect.throws (fun () -> Documents.excerpt root "yours.fs" null |> ignore) "no file")
        }
    ]

let private corridor =
    testList "the corridor in F#" [
        test "the checker finds nothing wrong" {
            let report = EnvironmentCheck.Run((fun () -> Corridor { Length = 10 }), 500, Seed.Of 1L)

            Expect.isTrue report.Passed $"%A{List.ofSeq report.Findings}"
        }

        test "it trains with the configuration of the one in C#" {
            onSources (fun root ->
                withScratch (fun directory ->
                    use output = new StringWriter()
                    use error = new StringWriter()

                    let code =
                        TrainingCli.Run(
                            [|
                                "train"
                                Path.Combine(root, "examples", "corridor.json")
                                "--output"
                                Path.Combine(directory, "run")
                                "--set"
                                "environmentSteps=600"
                                "--set"
                                "environment.length=5"
                            |],
                            ProgramHost.Create(output, error, catalogue = (host ()).Catalogue)
                        )

                    Expect.equal (code, string error) (0, "") $"{output}"
                    Expect.isTrue (File.Exists(Path.Combine(directory, "run", "policy.onnx"))) "a policy"))
        }
    ]

let tests = testList "documents" [ front; judged; corridor ]
