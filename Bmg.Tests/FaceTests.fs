/// What Bmg.Core shows: to C# in C#'s terms, and nothing by accident.
module Bmg.Tests.FaceTests

open System
open System.Collections.Generic
open System.ComponentModel
open System.IO
open System.Reflection
open System.Runtime.CompilerServices
open Expecto
open TorchSharp
open Bmg
open Bmg.Tests.Generators
open Bmg.Tests.Tolerances

/// Set to anything, it makes the test write PublicApi.txt anew instead of comparing: `BMG_APPROVE=1 dotnet run -c Release --project
/// Bmg.Tests -- --filter-test-list face`.
[<Literal>]
let private Approve = "BMG_APPROVE"

let private core = typeof<Params>.Assembly

let private isHidden (provider: MemberInfo) =
    match provider.GetCustomAttribute<EditorBrowsableAttribute>() with
    | null -> false
    | shown -> shown.State = EditorBrowsableState.Never

let rec private isBrowsable (t: Type) =
    not (isHidden t)
    && (match t.DeclaringType with
        | null -> true
        | outer -> isBrowsable outer)

let private isGenerated (m: MemberInfo) =
    not (isNull (m.GetCustomAttribute<CompilerGeneratedAttribute>()))
    || not (isNull (m.GetCustomAttribute<Diagnostics.DebuggerNonUserCodeAttribute>()))

/// What the language adds to a type of its own accord: accessors of properties, comparison, hashing, text.
let private isOfTheLanguage (m: MemberInfo) =
    match m with
    | :? MethodInfo as method ->
        method.IsSpecialName
        || method.Name = "Equals"
        || (method.IsVirtual && isGenerated method)
        || method.GetBaseDefinition().DeclaringType = typeof<obj>
        || (nonNull method.DeclaringType).GetProperties()
           |> Array.exists (fun p -> p.GetAccessors() |> Array.contains method)
    | :? FieldInfo as field -> field.IsSpecialName
    | _ -> false

let private types = core.GetExportedTypes() |> Array.sortBy (fun t -> t.FullName)

let private membersOf (t: Type) : MemberInfo[] =
    t.GetMembers(
        BindingFlags.Public
        ||| BindingFlags.Static
        ||| BindingFlags.Instance
        ||| BindingFlags.DeclaredOnly
    )
    |> Array.filter (fun m -> not (m :? Type) && not (isOfTheLanguage m))

/// Whoever declares a delegate does not choose the names of its methods; nor the tags of a union.
let private isChosen (t: Type) =
    not (typeof<Delegate>.IsAssignableFrom t) && t.Name <> "Tags"

/// What C# is shown.
let private shown: (Type * MemberInfo) list = [
    for t in types do
        if isBrowsable t && isChosen t then
            for m in membersOf t do
                if not (isHidden m) then
                    t, m
]

let rec private within (t: Type) : Type seq =
    seq {
        t

        match t.GetElementType() with
        | null -> ()
        | element -> yield! within element

        for argument in t.GetGenericArguments() do
            yield! within argument
    }

let private signature (m: MemberInfo) : Type list =
    let ofParameters (method: MethodBase) = [
        for p in method.GetParameters() do
            p.ParameterType
    ]

    match m with
    | :? MethodInfo as method -> method.ReturnType :: ofParameters method
    | :? ConstructorInfo as made -> ofParameters made
    | :? PropertyInfo as property -> [
        property.PropertyType
        for p in property.GetIndexParameters() do
            p.ParameterType
      ]
    | :? FieldInfo as field -> [ field.FieldType ]
    | _ -> []

let private isForeign (t: Type) =
    let name = string t.FullName + t.Name

    name.Contains("Microsoft.FSharp", StringComparison.Ordinal)
    || name.Contains("System.Tuple", StringComparison.Ordinal)
    || (t.IsGenericType
        && t.Namespace = "System"
        && t.Name.StartsWith("Tuple`", StringComparison.Ordinal))

let private isPascal (name: string) = Char.IsUpper name[0]

/// A type as it is read: `Func<Params, Tensor>`, `int64[]`.
let rec private told (t: Type) : string =
    if t.IsByRef then
        told (nonNull (t.GetElementType())) + "&"
    elif t.IsArray then
        told (nonNull (t.GetElementType())) + "[]"
    elif t.IsGenericParameter then
        t.Name
    else
        let own = t.Name.Split('`')[0]

        let outer =
            match t.DeclaringType with
            | null -> ""
            | outer when t.Assembly = core -> outer.Name.Split('`')[0] + "."
            | _ -> ""

        match t.GetGenericArguments() with
        | [||] -> outer + own
        | arguments -> outer + own + "<" + String.Join(", ", Array.map told arguments) + ">"

let private line (t: Type) (m: MemberInfo) : string =
    let parameters (ps: ParameterInfo[]) =
        ps
        |> Array.map (fun p -> $"{p.Name}: {told p.ParameterType}" + (if p.IsOptional then " = …" else ""))
        |> String.concat ", "

    let shared (isStatic: bool) = if isStatic then "static " else ""

    match m with
    | :? MethodInfo as method ->
        let generic =
            match method.GetGenericArguments() with
            | [||] -> ""
            | arguments -> "<" + String.Join(", ", Array.map told arguments) + ">"

        $"{told t}: {shared method.IsStatic}{method.Name}{generic}({parameters (method.GetParameters())}): {told method.ReturnType}"
    | :? ConstructorInfo as made -> $"{told t}: new({parameters (made.GetParameters())})"
    | :? PropertyInfo as property ->
        let accessor = property.GetAccessors() |> Array.head

        let index =
            match property.GetIndexParameters() with
            | [||] -> ""
            | ps -> $"[{parameters ps}]"

        let set = if isNull (property.GetSetMethod()) then "" else ", set"
        $"{told t}: {shared accessor.IsStatic}{property.Name}{index}: {told property.PropertyType}{set}"
    | :? FieldInfo as field -> $"{told t}: {shared field.IsStatic}{field.Name}: {told field.FieldType}"
    | m -> $"{told t}: {m.Name}"

/// Every public type and member, those that F# alone is shown as well: a line each, in order.
let private surface () : string[] =
    [|
        for t in types do
            (if isBrowsable t then "" else "F# ") + told t

            if isChosen t then
                for m in membersOf t do
                    let hidden = if isBrowsable t && not (isHidden m) then "" else "F# "
                    hidden + line t m
    |]
    |> Array.distinct
    |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))

let private none (what: string) (found: string seq) =
    let found = List.ofSeq found
    Expect.isEmpty found (what + ":\n" + String.Join("\n", found))

/// f(x) = ‖x‖² under plain descent whose rate, 0.1, is meta-learned: a step takes x to 0.8·x.
let private shrinking (metaObjective: LossFunction<int> -> UpdateRule<int> -> MetaObjective<int>) : MetaLearner<int> =
    let f = LossFunction<int>.Create("squared norm", (fun x _ _ -> Params.squaredNorm x))
    let rule = UpdateRule.gradient f (Optimizers.withLearnedRate "rate" (Optimizers.sgd 1.0))

    MetaLearner<int>
        .Create(
            rule,
            2,
            MetaParameters.boundedScalar "rate" 0.0 1.0 0.1,
            metaObjective f rule,
            Model<int>.Create("x", (fun x _ _ -> x)),
            Optimizers.adam 0.1 0.9 0.999 1e-8 1e-16
        )

let private bootstrapped (f: LossFunction<int>) (rule: UpdateRule<int>) : MetaObjective<int> =
    ignore f
    MetaObjective.Bootstrapped(TargetBootstrap.lookAhead 3 rule LastStepState.Learners, Matching.parameterL2 0.5)

let private firstState (learner: MetaLearner<int>) : MetaState<int> =
    let x = Params.Single("x", torch.ones ([| 2L; 3L |], dtype = torch.float64))
    MetaLearner.init learner x (learner.MetaParameters.Init.Invoke(Seed.Population(0L, 2), torch.float64, torch.CPU))

let private collect (_: Params) (_: Params) : Experience<int> = { Data = 0; Context = null }

let private areDisposed (p: Params) =
    p.Tensors |> Seq.forall (fun t -> t.IsInvalid)

let private owners =
    testList "what owns tensors" [
        test "a meta-gradient tells the learner after K steps from the one that lives on" {
            use _ = scope ()
            let learner = shrinking bootstrapped
            let result = MetaLearner.metaGradient learner (firstState learner) collect
            let after (steps: int) = Array.create 6 (pown 0.8 steps)
            near rounding "x⁽ᴷ⁾" (after 2) (numbersOf result.AfterInnerSteps.Parameters)
            near rounding "x⁽ᴷ⁺ᴸ⁻¹⁾" (after 4) (numbersOf result.NextLearner.Parameters)
            near rounding "x̃" (after 5) (numbersOf result.Target)

            let plain = shrinking (fun f _ -> MetaObjective.MetaGradient f)
            let result = MetaLearner.metaGradient plain (firstState plain) collect
            near rounding "x⁽ᴷ⁾ of a plain one" (after 2) (numbersOf result.AfterInnerSteps.Parameters)
            near rounding "which lives on" (after 2) (numbersOf result.NextLearner.Parameters)

            let still = shrinking (fun _ _ -> MetaObjective.Fixed)
            let result = MetaLearner.metaGradient still (firstState still) collect
            near rounding "x⁽ᴷ⁾ without meta-learning" (after 2) (numbersOf result.AfterInnerSteps.Parameters)
            near rounding "which lives on too" (after 2) (numbersOf result.NextLearner.Parameters)
        }

        test "is disposed in one call" {
            use _ = scope ()
            let learner = shrinking bootstrapped
            let state = firstState learner
            let result = MetaLearner.metaGradient learner state collect
            result.Dispose()

            for p in
                [
                    result.Gradient
                    result.AfterInnerSteps.Parameters
                    result.NextLearner.Parameters
                    result.Target
                    Params.Create([| "μ"; "losses" |], [| nonNull result.MetaObjective; nonNull result.Losses |])
                ] do
                Expect.isTrue (areDisposed p) "of a meta-gradient"

            Expect.isFalse (areDisposed state.Learner.Parameters) "the state is left as it was"
            state.Dispose()

            for p in [ state.Learner.Parameters; state.MetaParameters; state.MetaOptimizer ] do
                Expect.isTrue (areDisposed p) "of a state"

            let rollout =
                Rollout
                    .Create(
                        torch.ones (1L, 3L, 2L),
                        torch.zeros ([| 1L; 2L |], dtype = torch.int64),
                        torch.ones (1L, 2L)
                    )
                    .WithEnds(torch.zeros (1L, 2L), null, null)

            let experience = {
                Data = rollout
                Context = torch.ones (1L, 4L)
            }

            experience.Dispose()
            Expect.isTrue (areDisposed (rollout.ToParams())) "of a rollout"
            Expect.isTrue (nonNull experience.Context).IsInvalid "of its context"
        }

        test "a state that is superseded leaves to the next what both hold" {
            use _ = scope ()

            for learner in [ shrinking (fun _ _ -> MetaObjective.Fixed); shrinking bootstrapped ] do
                let state = firstState learner
                let struct (next, _) = MetaLearner.step learner state collect ignore
                state.DisposeExcept next
                Expect.isTrue (areDisposed state.Learner.Parameters) "the old learner"

                for p in [ next.Learner.Parameters; next.MetaParameters; next.MetaOptimizer ] do
                    Expect.isFalse (areDisposed p) "the next state"

                Expect.equal
                    (areDisposed state.MetaParameters)
                    (not (obj.ReferenceEquals(state.MetaParameters, next.MetaParameters)))
                    "w, where it has moved"

                next.Dispose()
        }
    ]

let tests =
    testList "face" [
        owners

        test "what C# sees has C# names" {
            none "members that do not begin with a capital" [
                for t, m in shown do
                    if not (m :? ConstructorInfo) && not (isPascal m.Name) then
                        line t m
            ]
        }

        test "what C# sees is made of C#'s own types: no functions, lists, options or tuples of F#" {
            none "members with a type of F#'s own" [
                for t, m in shown do
                    if signature m |> Seq.collect within |> Seq.exists isForeign then
                        line t m
            ]
        }

        test "what F# sees takes F#'s functions: no function of a module asks for a delegate" {
            let isModule (t: Type) =
                match t.GetCustomAttribute<CompilationMappingAttribute>() with
                | null -> false
                | mapping ->
                    mapping.SourceConstructFlags &&& SourceConstructFlags.KindMask = SourceConstructFlags.Module

            none "functions of a module that take a delegate" [
                for t in types do
                    if isModule t then
                        for m in membersOf t do
                            match m with
                            | :? MethodInfo as method ->
                                if
                                    method.GetParameters()
                                    |> Array.exists (fun p -> typeof<Delegate>.IsAssignableFrom p.ParameterType)
                                then
                                    line t m
                            | _ -> ()
            ]
        }

        test "C# sees no type named for being a module" {
            none "types" [
                for t in types do
                    if isBrowsable t && t.Name.EndsWith("Module", StringComparison.Ordinal) then
                        told t
            ]
        }

        test "a function that C# may want is a member of a type that it sees" {
            // By the name of the module without its suffix, and in Pascal case; some have a name of their own.
            let own =
                Dictionary(
                    dict [
                        "ParamsModule.prefix", "WithPrefix"
                        "ParamsModule.map", "Map"
                        "NetworkModule.initWith", "Init"
                        "NetworkModule.over", "ApplyOver"
                        "MetaParametersModule.contextualWatched", "Contextual"
                        "MetaParametersModule.contextualManyWatched", "ContextualMany"
                        "ReductionModule.weighted", "ApplyWeighted"
                    ]
                )

            let faces (m: Type) =
                let name = m.Name.Substring(0, m.Name.Length - "Module".Length)

                [
                    for t in types do
                        if isBrowsable t && t.Name.Split('`')[0] = name then
                            t

                    match name with
                    | "Reduction" -> typeof<ReductionExtensions>
                    | "Optimizers" -> typeof<Optimizer>
                    | _ -> ()
                ]

            none "functions without a member" [
                for t in types do
                    if not (isBrowsable t) && t.Name.EndsWith("Module", StringComparison.Ordinal) then
                        let offered = [
                            for face in faces t do
                                for m in membersOf face do
                                    m.Name
                        ]

                        for m in membersOf t do
                            let key = $"{t.Name}.{m.Name}"

                            let wanted =
                                match own.TryGetValue key with
                                | true, name -> name
                                | _ -> string (Char.ToUpperInvariant m.Name[0]) + m.Name.Substring 1

                            if not (m :? FieldInfo) && not (List.contains wanted offered) then
                                key
            ]
        }

        test "nothing in C# calls a module of F#'s own" {
            match Planting.sources () with
            | null -> skiptest "the sources do not lie above the program"
            | root ->
                let modules = [
                    for t in types do
                        if not (isBrowsable t) then
                            t.Name + "."
                ]

                let files (folder: string) (pattern: string) (option: SearchOption) =
                    Directory.EnumerateFiles(Path.Combine(root, folder), pattern, option)

                none "calls" [
                    for file in
                        Seq.concat [
                            files "Bmg.Training" "*.cs" SearchOption.AllDirectories
                            files "Bmg.Export" "*.cs" SearchOption.AllDirectories
                            files "examples" "*.cs" SearchOption.AllDirectories
                            files "Bmg.Tests/Examples" "*.cs" SearchOption.AllDirectories
                            files "" "*.md" SearchOption.TopDirectoryOnly
                            files "docs" "*.md" SearchOption.TopDirectoryOnly
                        ] do
                        if Path.GetFileName file <> "CHANGELOG.md" then
                            let text = File.ReadAllText file

                            for name in modules do
                                if text.Contains(name, StringComparison.Ordinal) then
                                    $"{Path.GetRelativePath(root, file)}: {name}"
                ]
        }

        test "every public member is approved" {
            match Planting.sources () with
            | null -> skiptest "the sources do not lie above the program"
            | root ->
                let path = Path.Combine(root, "Bmg.Tests", "PublicApi.txt")
                let found = surface ()

                if not (String.IsNullOrEmpty(Environment.GetEnvironmentVariable Approve)) then
                    File.WriteAllLines(path, found)

                let approved = if File.Exists path then File.ReadAllLines path else [||]

                let differences = [
                    for line in Array.except approved found do
                        "+ " + line
                    for line in Array.except found approved do
                        "- " + line
                ]

                none
                    $"public members that PublicApi.txt does not tell as they are ({Approve}=1 writes it anew)"
                    differences
        }
    ]
