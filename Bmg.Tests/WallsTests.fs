/// The floors of the house: of two namespaces of an assembly, at most one refers to the other, directly or by way of more.
module Bmg.Tests.WallsTests

open System.Collections.Generic
open Mono.Cecil
open Expecto

/// The namespace of a type, or of the type around it.
let rec private namespaceOf (type': TypeReference) : string =
    match type'.DeclaringType with
    | null -> type'.Namespace
    | outer -> namespaceOf outer

/// Every type that a type names: what it is made of, its elements and its arguments.
let rec private named (type': TypeReference | null) : TypeReference list =
    match type' with
    | null -> []
    | :? GenericInstanceType as made -> named made.ElementType @ List.collect named (List.ofSeq made.GenericArguments)
    | :? TypeSpecification as made -> named made.ElementType
    | :? GenericParameter -> []
    | plain -> [ plain ]

let private ofMember (reference: MemberReference) : TypeReference list =
    let declaring = named reference.DeclaringType

    match reference with
    | :? GenericInstanceMethod as method ->
        declaring
        @ named method.ReturnType
        @ List.collect named (List.ofSeq method.GenericArguments)
        @ [
            for p in method.Parameters do
                yield! named p.ParameterType
        ]
    | :? MethodReference as method ->
        declaring
        @ named method.ReturnType
        @ [
            for p in method.Parameters do
                yield! named p.ParameterType
        ]
    | :? FieldReference as field -> declaring @ named field.FieldType
    | _ -> declaring

let private attributes (provider: ICustomAttributeProvider) = [
    for attribute in provider.CustomAttributes do
        yield! named attribute.AttributeType
]

/// All types that a type refers to: its bases, signatures, attributes and bodies.
let private references (type': TypeDefinition) : TypeReference list = [
    yield! named type'.BaseType
    yield! attributes type'

    for i in type'.Interfaces do
        yield! named i.InterfaceType

    for parameter in type'.GenericParameters do
        for c in parameter.Constraints do
            yield! named c.ConstraintType

    for field in type'.Fields do
        yield! named field.FieldType
        yield! attributes field

    for property in type'.Properties do
        yield! attributes property

    for method in type'.Methods do
        yield! named method.ReturnType
        yield! attributes method

        for p in method.Parameters do
            yield! named p.ParameterType

        if method.HasBody then
            for variable in method.Body.Variables do
                yield! named variable.VariableType

            for instruction in method.Body.Instructions do
                match instruction.Operand with
                | :? TypeReference as t -> yield! named t
                | :? MemberReference as m -> yield! ofMember m
                | _ -> ()
]

let rec private withNested (type': TypeDefinition) : TypeDefinition list =
    type' :: List.collect withNested (List.ofSeq type'.NestedTypes)

/// For each namespace those of the same assembly that it refers to, with a type and what it names as evidence.
let private graph (file: string) : IDictionary<string, Map<string, string>> =
    use assembly = AssemblyDefinition.ReadAssembly file
    let edges = Dictionary<string, Map<string, string>>()

    for type' in assembly.MainModule.Types |> Seq.collect withNested do
        let from = namespaceOf type'

        for target in references type' do
            let onto = namespaceOf target

            let inside =
                match target.Scope with
                | :? ModuleDefinition -> true
                | _ -> false

            if inside && onto <> from && onto <> "" && from <> "" then
                let known =
                    match edges.TryGetValue from with
                    | true, known -> known
                    | _ -> Map.empty

                edges[from] <-
                    known
                    |> Map.change onto (fun e -> Some(defaultArg e $"{type'.FullName} names {target.FullName}"))

    edges

/// The namespaces of a circle, in order; none where there is none.
let private circle (edges: IDictionary<string, Map<string, string>>) : string list =
    let finished = HashSet<string>()

    let rec visit (path: string list) (node: string) : string list =
        if List.contains node path then
            node :: (path |> List.takeWhile (fun n -> n <> node)) @ [ node ]
        elif finished.Contains node then
            []
        else
            let below =
                match edges.TryGetValue node with
                | true, onto -> onto |> Map.toSeq |> Seq.map fst
                | _ -> Seq.empty

            match
                below
                |> Seq.tryPick (fun next -> Some(visit (node :: path) next) |> Option.filter (not << List.isEmpty))
            with
            | Some found -> found
            | None ->
                finished.Add node |> ignore
                []

    edges.Keys
    |> Seq.tryPick (fun node -> Some(visit [] node) |> Option.filter (not << List.isEmpty))
    |> Option.defaultValue []

let tests =
    testList "walls" [
        for name, type' in
            [
                "Bmg.Training", typeof<Bmg.Training.BmgException>
                "Bmg.Export", typeof<Bmg.Export.LibraryVersion>
            ] do
            test $"no circle between the namespaces of {name}" {
                let edges = graph type'.Assembly.Location

                match List.rev (circle edges) with
                | [] -> ()
                | path ->
                    let steps =
                        List.pairwise path
                        |> List.map (fun (a, b) -> $"{a} → {b}: {edges[a][b]}")
                        |> String.concat "\n"

                    failtest $"a circle:\n{steps}"
            }

        test "a circle is found" {
            let edges =
                dict [
                    "a", Map.ofList [ "b", "" ]
                    "b", Map.ofList [ "c", ""; "d", "" ]
                    "d", Map.ofList [ "b", "" ]
                ]

            Expect.equal (Set.ofList (circle edges)) (Set.ofList [ "b"; "d" ]) "the namespaces in it"

            Expect.isEmpty
                (circle (dict [ "a", Map.ofList [ "b", ""; "c", "" ]; "b", Map.ofList [ "c", "" ] ]))
                "no circle"
        }
    ]
