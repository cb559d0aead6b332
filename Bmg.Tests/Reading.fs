/// Configurations that name the library's parts.
module Bmg.Tests.Reading

open Bmg.Training.Acting
open System
open System.Reflection
open Bmg.Training.Catalogues
open Bmg.Training.Agents
open Bmg.Training.Configuration
open Bmg.Training.Experiments
open Bmg.Training.Library

/// The library's parts.
let catalogue = LibraryParts.Catalogue()

/// Reads configurations.
let reader = Resolution.Reader catalogue

/// Reads a published configuration. For data that a user brings other data stands in: the rest must be right without it.
let published (file: string) =
    let brought =
        if file.EndsWith "digits.json" then
            [ """experiment.data={ "name": "spirals" }""" ]
        else
            []

    reader.ReadFile(file, brought)

/// Settings of a configuration's actor-critic.
let actorCritic (configuration: RunConfiguration) =
    configuration.Learner.As<ActorCriticSettings>()

/// Settings of a configuration's Q(λ).
let qLambda (configuration: RunConfiguration) =
    configuration.Learner.As<QLambdaSettings>()

/// A setting of a run: its path, with index 0 for the elements of a list, the property behind it, and what must be set for it to be there:
/// the parts that have it.
[<NoComparison; NoEquality>]
type Setting = {
    Path: string
    Property: PropertyInfo
    Selected: string list
}

/// A place of a part: the path of its name, the kind, the parts that there are, and what must be set for it to be there.
[<NoComparison>]
type Place = {
    Key: string
    Kind: string
    Default: string
    Names: string list
    Above: string list
}

let private inner (declared: Type) : Type =
    match ConfigurationJson.ElementType declared with
    | null ->
        match Nullable.GetUnderlyingType declared with
        | null -> declared
        | inner -> inner
    | element -> element

let private partOf (property: PropertyInfo) : PartOfAttribute option =
    property.GetCustomAttribute<PartOfAttribute>() |> Option.ofObj

let private joined (path: string) (key: string) =
    if path = "" then key else $"{path}.{key}"

/// As `walk`, inside parts of these kinds.
let rec private inside (kinds: string list) (path: string) (selected: string list) (record: Type) =
    let settings, places = ResizeArray<Setting>(), ResizeArray<Place>()

    for KeyValue(name, property) in SettingsRecord.Settings record do
        let at =
            match partOf property with
            | Some kind when kind.Inlined -> path
            | _ -> joined path name

        match partOf property with
        | Some kind ->
            if not kind.Inlined then
                settings.Add {
                    Path = at
                    Property = property
                    Selected = selected
                }

            // Of a list of parts, the first.
            let at =
                if isNull (ConfigurationJson.ElementType property.PropertyType) then
                    at
                else
                    $"{at}.0"

            let parts = List.ofSeq (catalogue.Parts kind.Kind)

            places.Add {
                Key = joined at kind.Key
                Kind = kind.Kind
                Default = kind.Default
                Names = parts |> List.map (fun part -> part.Name)
                Above = selected
            }

            // Parts inside parts of their own kind have the same settings again.
            for part in (if List.contains kind.Kind kinds then [] else parts) do
                let within, below =
                    inside
                        (kind.Kind :: kinds)
                        at
                        (selected
                         @ [
                             $"{joined at kind.Key}={part.Name}"
                             // It has no defaults: some layers must be inside.
                             if part.Name = "residual" then
                                 $"""{at}.layers=[{{ "name": "activation" }}]"""
                         ])
                        (part.Defaults.GetType())

                settings.AddRange within
                places.AddRange below
        | None ->
            settings.Add {
                Path = at
                Property = property
                Selected = selected
            }

            let type' = inner property.PropertyType

            if type'.Assembly = typeof<RunConfiguration>.Assembly && not type'.IsEnum then
                let below =
                    if isNull (ConfigurationJson.ElementType property.PropertyType) then
                        at
                    else
                        $"{at}.0"

                let within, further = inside kinds below selected type'
                settings.AddRange within
                places.AddRange further

    List.ofSeq settings, List.ofSeq places

/// Every setting of a record and of the records and parts inside, as the binder walks them, and every place of a part. Parts inside parts
/// of their own kind are not walked again.
let walk (path: string) (selected: string list) (record: Type) : Setting list * Place list =
    inside [] path selected record
