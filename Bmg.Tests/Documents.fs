/// The documents: the code that they show, taken from files that are compiled, and where their links lead.
module Bmg.Tests.Documents

open System
open System.IO
open System.Text
open System.Text.RegularExpressions

/// Every document, by its path from the root of the sources.
let all (root: string) : string list =
    let under (folder: string) (name: string) =
        let path = Path.Combine(root, folder)

        if Directory.Exists path then
            Directory.GetFiles(path, name, SearchOption.AllDirectories)
            |> Array.map (fun f -> Path.GetRelativePath(root, f).Replace('\\', '/'))
            |> Array.filter (fun f -> not (f.Contains "/bin/") && not (f.Contains "/obj/"))
            |> Array.sort
            |> List.ofArray
        else
            []

    [
        for file in [ "README.md"; "CHANGELOG.md" ] do
            if File.Exists(Path.Combine(root, file)) then
                file
    ]
    @ under "docs" "*.md"
    @ under "examples" "*.md"

/// The lines of a document that are in no block of code, with their places.
let prose (lines: string[]) : (int * string) list =
    let mutable fence = ""

    [
        for i in 0 .. lines.Length - 1 do
            let text = lines[i].TrimStart()

            if fence <> "" then
                if text.TrimEnd() = fence then
                    fence <- ""
            elif text.StartsWith "```" then
                fence <- String.replicate (text.Length - text.TrimStart('`').Length) "`"
            else
                i, lines[i]
    ]

/// Code that a document shows: "<!-- code FILE -->" or "<!-- code FILE#REGION -->" before a block of code.
type Code = {
    Document: string
    /// Lines of the document: of the comment, and the first and the last of the code.
    Comment: int
    First: int
    Last: int
    /// File, from the root of the sources.
    Source: string
    /// What stands between "// region NAME" and "// endregion"; null for the whole file.
    Region: string | null
    Shown: string[]
}

let private marked = Regex @"^<!-- code (?<file>[^#\s]+)(#(?<region>\S+))? -->$"

/// The code that a document shows, from top to bottom.
let code (root: string) (document: string) : Code list =
    let lines = File.ReadAllLines(Path.Combine(root, document))

    [
        for i, line in prose lines do
            let found = marked.Match line

            if found.Success then
                if i + 1 >= lines.Length || not (lines[i + 1].StartsWith "```") then
                    failwith $"{document}, line {i + 1}: no block of code follows"

                let last = Array.FindIndex(lines, i + 2, (fun l -> l.StartsWith "```")) - 1

                if last < i + 1 then
                    failwith $"{document}, line {i + 2}: the block of code has no end"

                {
                    Document = document
                    Comment = i
                    First = i + 2
                    Last = last
                    Source = found.Groups["file"].Value
                    Region =
                        (if found.Groups["region"].Success then
                             found.Groups["region"].Value
                         else
                             null)
                    Shown = lines[i + 2 .. last]
                }
    ]

/// Lines without what all of them are indented by, and without empty ones at both ends.
let private flush (lines: string[]) : string[] =
    let filled = lines |> Array.filter (fun l -> l.Trim() <> "")

    if filled.Length = 0 then
        [||]
    else
        let margin = filled |> Array.map (fun l -> l.Length - l.TrimStart().Length) |> Array.min
        let first = lines |> Array.findIndex (fun l -> l.Trim() <> "")
        let last = lines |> Array.findIndexBack (fun l -> l.Trim() <> "")

        lines[first..last]
        |> Array.map (fun l ->
            if l.Length >= margin then
                l.Substring(margin).TrimEnd()
            else
                "")

/// What a file, or a region of it, holds today.
let excerpt (root: string) (source: string) (region: string | null) : string[] =
    let path = Path.Combine(root, source)

    if not (File.Exists path) then
        failwith $"{source}: there is no such file"

    let lines = File.ReadAllLines path

    match region with
    | null -> flush lines
    | region ->
        let starts =
            lines
            |> Array.indexed
            |> Array.filter (fun (_, l) -> l.Trim() = $"// region {region}")

        match starts with
        | [| start, _ |] ->
            let stop = Array.FindIndex(lines, start, (fun l -> l.Trim() = "// endregion"))

            if stop < 0 then
                failwith $"{source}: region {region} has no end"

            flush lines[start + 1 .. stop - 1]
        | _ -> failwith $"{source}: expected one region {region}, found {starts.Length}"

/// A document's code written anew; whether anything changed.
let refresh (root: string) (document: string) : bool =
    let path = Path.Combine(root, document)
    let mutable lines = File.ReadAllLines path
    let mutable changed = false

    // From the bottom, so that places above stay.
    for block in List.rev (code root document) do
        let made = excerpt root block.Source block.Region

        if made <> block.Shown then
            lines <- Array.concat [ lines[.. block.First - 1]; made; lines[block.Last + 1 ..] ]
            changed <- true

    if changed then
        File.WriteAllLines(path, lines)

    changed

let private inlineCode = Regex @"(`+)[^`].*?\1"

/// Only the address matters, so that a label may hold an image.
let private links = Regex """\]\((?<target>[^)\s]+)(\s+"[^"]*")?\)|\b(href|src)="(?<target>[^"]+)["]"""

/// What GitHub, and the site, make of a heading to link to it.
let anchor (heading: string) : string =
    let plain = Regex.Replace(heading, @"\[([^\]]*)\]\([^)]*\)", "$1")
    let text = StringBuilder()

    for c in plain.Trim().ToLowerInvariant() do
        if Char.IsLetterOrDigit c || c = '-' || c = '_' then
            text.Append c |> ignore
        elif c = ' ' then
            text.Append '-' |> ignore

    text.ToString()

/// The anchors of a document's headings; of equal ones the later are numbered.
let anchors (lines: string[]) : string list =
    let seen = Collections.Generic.Dictionary<string, int>()

    [
        for _, line in prose lines do
            let heading = Regex.Match(line, "^#{1,6} (?<text>.*)$")

            if heading.Success then
                let name = anchor heading.Groups["text"].Value

                match seen.TryGetValue name with
                | true, count ->
                    seen[name] <- count + 1
                    $"{name}-{count}"
                | _ ->
                    seen[name] <- 1
                    name
    ]

/// What is wrong with the links within the sources: where each stands, and why it leads nowhere.
let brokenLinks (root: string) (document: string) : string list =
    let path = Path.Combine(root, document)
    let lines = File.ReadAllLines path

    [
        for i, line in prose lines do
            for found in links.Matches(inlineCode.Replace(line, "")) do
                let target = found.Groups["target"].Value
                let place = $"{document}, line {i + 1}: {target}"

                if not (Regex.IsMatch(target, "^[a-z]+:")) then
                    let file, (heading: string | null) =
                        match target.IndexOf '#' with
                        | -1 -> target, null
                        | at -> target[.. at - 1], target[at + 1 ..]

                    let aim =
                        if file = "" then
                            path
                        else
                            Path.GetFullPath(
                                Path.Combine(nonNull (Path.GetDirectoryName path), Uri.UnescapeDataString file)
                            )

                    if not (File.Exists aim) then
                        if Directory.Exists aim then
                            $"{place}: a folder, which a site cannot show; link a file in it"
                        else
                            $"{place}: there is no such file"
                    elif not (aim.StartsWith(Path.GetFullPath root, StringComparison.Ordinal)) then
                        $"{place}: it leads out of the sources"
                    else
                        match heading with
                        | null -> ()
                        | heading when not (aim.EndsWith ".md") -> $"{place}: only a document has headings ({heading})"
                        | heading ->
                            if not (List.contains heading (anchors (File.ReadAllLines aim))) then
                                $"{place}: it has no such heading"
    ]
