/// The way from a setting to the part that it makes: every setting of every configuration has a test that its effect is the one described.
/// Settings are walked by reflection, as the binder walks them: one without a test fails the suite, and so does a test of one that is gone.
module Bmg.Tests.WiringTests

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Text.Json
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Training
open Bmg.Training.Acting
open Bmg.Training.Catalogues
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Agents
open Bmg.Training.Experiments
open Bmg.Training.Progress
open Bmg.Training.Runs
open Bmg.Training.Studies
open Bmg.Training.Theory
open Bmg.Tests.Lives
open Bmg.Tests.Tolerances
open Bmg.Tests.Worlds
open Expecto
open TorchSharp

// ---------------------------------------------------------------------------------------------------------------- the table's form

/// A test of a setting: its path, or "path=choice" for one that names a choice.
[<NoEquality; NoComparison>]
type private Effect = { Key: string; Body: unit -> unit }

let private effect key body = { Key = key; Body = body }

/// Every key that must have a test: the settings of a record and of the records and parts inside, an element of a list under index 0, and
/// each choice of a setting or of a place of a part that is one.
let private keys (record: Type) : string list =
    let settings, places = Reading.walk "" [] record

    [
        for place in places do
            for name in place.Names do
                $"{place.Key}={name}"

        for setting in settings do
            let property = setting.Property

            let declared =
                match Nullable.GetUnderlyingType property.PropertyType with
                | null -> property.PropertyType
                | inner -> inner

            let choices (type': Type) =
                if type'.IsEnum then
                    List.ofSeq (ConfigurationJson.EnumValues(type').Keys)
                else
                    []

            match ConfigurationJson.ElementType declared with
            | null when property.IsDefined(typeof<PartOfAttribute>, false) ->
                if ConfigurationJson.MayBeNull property then
                    setting.Path
            | null when declared.IsEnum ->
                for choice in choices declared do
                    $"{setting.Path}={choice}"
            | null when
                declared.Assembly = typeof<RunConfiguration>.Assembly
                && not (ConfigurationJson.MayBeNull property)
                ->
                ()
            | null -> setting.Path
            | element when element.IsEnum ->
                for choice in choices element do
                    $"{setting.Path}={choice}"
            | _ -> setting.Path
    ]

/// The tests of a table, and one that they cover the record's settings, no more and no fewer.
let private covering (name: string) (record: Type) (effects: Effect list) : Test =
    testList name [
        test "every setting has a test of its effect" {
            let there = keys record |> Set.ofList
            let tested = effects |> List.map (fun e -> e.Key) |> Set.ofList

            Expect.isEmpty
                (Set.difference there tested)
                $"settings without a test of their effect, add an entry to WiringTests.fs: %A{Set.toList (Set.difference there tested)}"

            Expect.isEmpty (Set.difference tested there) "tests of settings that are gone"
        }

        for key, same in effects |> List.groupBy (fun e -> e.Key) do
            for i, e in List.indexed same do
                testCase (if i = 0 then key else $"{key}, {i + 1}") e.Body
    ]

// ---------------------------------------------------------------------------------------------------------------- lives

/// What both agents' base configurations say.
let private baseText (learner: string) =
    $"""{{
      "name": "wiring", "seed": 7, "members": 2, "threads": 1, "environmentSteps": 20,
      "environment": {{ "swapPeriod": 30 }},
      "learner": {{ "hidden": [7, 5], "discount": 0.8, "traceDecay": 0.6, {learner} }},
      "meta": {{ "method": "bmg", "parameters": "scalar", "hidden": [6], "activation": "tanh", "pretrainingSteps": 3,
                 "contextLength": 3, "learningRate": 0.2, "beta1": 0.6, "beta2": 0.85, "epsilon": 1e-3,
                 "entropyWeight": {{ "initial": 0.3, "low": 0.1, "high": 0.9 }},
                 "exploration": {{ "initial": 0.5, "low": 0.2, "high": 0.9 }} }}
    }}"""

let private criticText =
    baseText
        """ "activation": "tanh", "returns": "lambda", "rolloutLength": 4, "valueWeight": 0.7, "innerSteps": 2, "targetSteps": 3,
            "optimizer": { "name": "adam", "learningRate": 0.05, "beta1": 0.7, "beta2": 0.9, "epsilon": 1e-2 } """

let private valuesText =
    baseText
        """ "agent": "q-lambda", "targetSteps": 4,
            "optimizer": { "name": "adam", "learningRate": 0.05, "beta1": 0.7, "beta2": 0.9, "epsilon": 1e-2 } """

/// The same by hand.
let private critic: Life = {
    Seeds = [ 7L; 8L ]
    World = fun seeds -> TwoColors(seeds, Respawn.Square, 30L)
    OfValues = false
    Hidden = [ 7; 5 ]
    Activation = Activation.Tanh
    Initialization = Initialization.TruncatedNormal
    RolloutLength = 4
    Copies = 1
    RewardScale = 1.0
    NormalizeObservations = false
    NormalizeRewards = false
    PolicyGain = 1.0
    Discount = 0.8
    TraceDecay = 0.6
    ValueWeight = 0.7
    Optimizer = Optimizers.adam 0.05 0.7 0.9 1e-2 1e-16
    InnerSteps = 2
    TargetSteps = 3
    LastIsWhole = false
    LastOptimizer = None
    Matching = Matching.kl Reduction.Sum
    Method = Bootstrapped
    OuterEntropyWeight = 0.0
    Through = ThroughSteps.Reverse
    Weight = Number
    Initial = 0.3
    Low = 0.1
    High = 0.9
    MetaHidden = [ 6 ]
    MetaActivation = Activation.Tanh
    PretrainingSteps = 3
    Seen = Rewards
    ContextLength = 3
    ContextScaling = ContextScaling.Raw
    MetaOptimizer = Optimizers.adam 0.2 0.6 0.85 1e-3 1e-16
    // Three meta-steps of K + L rollouts each.
    Steps = 60
}

let private qLambda: Life = {
    critic with
        OfValues = true
        Activation = Activation.Relu
        InnerSteps = 0
        TargetSteps = 4
        Matching = QLambda.greedyKl Reduction.Sum
        Initial = 0.5
        Low = 0.2
        High = 0.9
        Steps = 20
}

/// A learner to start from: its configuration, and its life by hand.
[<NoEquality; NoComparison>]
type private Start = {
    Text: string
    Overrides: string list
    Life: Life
}

let private from text life = {
    Text = text
    Overrides = []
    Life = life
}

/// The same with other settings.
let private given (overrides: string list) (edit: Life -> Life) (start: Start) = {
    start with
        Overrides = start.Overrides @ overrides
        Life = edit start.Life
}

let private anActorCritic = from criticText critic
let private aQLambda = from valuesText qLambda

let private configured (start: Start) (overrides: string list) =
    Reading.reader.Read(start.Text, "test", start.Overrides @ overrides)

let private inDirectory (body: string -> 'T) : 'T =
    let path = Directory.CreateTempSubdirectory("bmg-wiring-").FullName

    try
        body path
    finally
        Directory.Delete(path, true)

let private saved (experiment: IExperiment) (body: Checkpoint -> 'T) : 'T =
    inDirectory (fun folder ->
        let path = Path.Combine(folder, "a.safetensors")
        experiment.Save(path, "")
        use checkpoint = CheckpointFile.Read path
        body checkpoint)

/// What the configuration itself lives, as long as the life by hand.
let private lived (configuration: RunConfiguration) (steps: int) : Lived =
    use _ = scope ()
    use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)
    let mutable report = [||]

    while experiment.EnvironmentSteps < int64 steps do
        report <- (experiment.Advance()).Values

    saved experiment (fun checkpoint -> {
        Tensors = [
            for set in [ "learner"; "learnerOptimizer"; "meta"; "metaOptimizer" ] do
                let p = checkpoint.Set set

                for i in 0 .. p.Count - 1 do
                    (set, p.Names[i]), numbers p.Tensors[i]
        ]
        Reports = report
    })

/// float32 steps of an optimizer, in another order, over a short life.
let private shortLife = {
    Name = "a short float32 life"
    Relative = 1e-3
    Floor = 1e-6
}

/// Values that are there; NaN stands for what is not.
let private there (row: float[]) =
    row |> Array.filter (fun v -> not (Double.IsNaN v))

let private alike (expected: Lived) (found: Lived) =
    Expect.equal (List.map fst found.Tensors) (List.map fst expected.Tensors) "names of the tensors"

    for ((set, name), a), (_, b) in List.zip expected.Tensors found.Tensors do
        near shortLife $"{set}/{name}" a b

    for i, metric in List.indexed [ "reward"; "hyper-parameter"; "μ"; "meta-gradient norm"; "loss" ] do
        near shortLife $"reported {metric}" (there expected.Reports[i]) (there found.Reports[i])

/// Whether two lives are farther apart than rounding could bring them.
let private apart (a: Lived) (b: Lived) : bool =
    let wide = {
        shortLife with
            Relative = 3.0 * shortLife.Relative
            Floor = 3.0 * shortLife.Floor
    }

    List.map fst a.Tensors <> List.map fst b.Tensors
    || List.exists2 (fun (_, x) (_, y) -> not (agree wide x y)) a.Tensors b.Tensors
    || Array.exists2 (fun x y -> not (agree wide (there x) (there y))) a.Reports b.Reports

/// A setting under several values, JSON each, and what each makes of the life: every one is lived as by hand, and no two are alike.
let private values (path: string) (start: Start) (cases: (string * (Life -> Life)) list) () =
    let expected = cases |> List.map (fun (_, edit) -> live (edit start.Life))

    for (i, a), (j, b) in List.allPairs (List.indexed expected) (List.indexed expected) do
        if i < j then
            Expect.isTrue (apart a b) $"{path}: {fst cases[i]} and {fst cases[j]} make a difference"

    for (value, edit), life in List.zip cases expected do
        let configuration = configured start [ $"{path}={value}" ]

        try
            alike life (lived configuration (edit start.Life).Steps)
        with e ->
            failtest $"{path}={value}: {e.Message}"

let private numeric path start cases = effect path (values path start cases)

/// The choices of a setting, each against the next.
let private choices (path: string) (start: Start) (cases: (string * (Life -> Life)) list) : Effect list =
    cases
    |> List.mapi (fun i (value, edit) ->
        effect $"{path}={value}" (values path start [ value, edit; cases[(i + 1) % cases.Length] ]))

// ---------------------------------------------------------------------------------------------------------------- the learner and its parts

let private network =
    given [ "meta.parameters=network"; "meta.context=reward" ] (fun l -> { l with Weight = Contextual })

let private rich =
    given [ "meta.parameters=network"; "meta.context=rich" ] (fun l -> {
        l with
            Weight = Contextual
            Seen = Rich
    })

let private plainGradient = given [ "meta.method=mg" ] (fun l -> { l with Method = PlainGradient })

let private someMdps =
    """{ "name": "switching-mdps", "swapPeriod": 30, "side": 4, "mostWalls": 3, "worlds": 3 }"""

/// The parts that a place can hold, each written whole against the next.
let private parts (path: string) (start: Start) (cases: (string * string * (Life -> Life)) list) : Effect list =
    let written = cases |> List.map (fun (_, json, edit) -> json, edit)

    cases
    |> List.mapi (fun i (name, _, _) ->
        effect $"{path}.name={name}" (values path start [ written[i]; written[(i + 1) % written.Length] ]))

let private switching =
    given [ $"environment={someMdps}" ] (fun l -> {
        l with
            World = fun seeds -> SwitchingMdps(seeds, 3, 4, 3, 30L)
    })

let private learnerSgd rate =
    given [ $"""learner.optimizer={{ "name": "sgd", "learningRate": {rate} }}""" ] (fun l -> {
        l with
            Optimizer = Optimizers.sgd rate
    })

let private optimizer o (l: Life) = { l with Optimizer = o }
let private last o (l: Life) = { l with LastOptimizer = o }
let private metaOptimizer o (l: Life) = { l with MetaOptimizer = o }
let private matching m (l: Life) = { l with Matching = m }

/// The target's last step with an optimizer of its own.
let private ownLast name =
    anActorCritic
    |> given
        [
            $"target.optimizer.name={name}"
            "target.optimizer.learningRate=0.3"
            if name = "rmsprop" || name = "adam" then
                "target.optimizer.epsilon=1e-2"
        ]
        id

let private worldOf (world: Seed[] -> Worlds) (l: Life) = { l with World = world }

let private twoColors respawn period : Life -> Life =
    worldOf (fun seeds -> TwoColors(seeds, respawn, period))

let private mdps worlds side walls period : Life -> Life =
    worldOf (fun seeds -> SwitchingMdps(seeds, worlds, side, walls, period))

let private steps (count: int) (l: Life) = { l with Steps = count }

let private rmsProp = """{ "name": "rmsprop", "learningRate": 0.05, "decay": 0.75, "epsilon": 1e-2 }"""

// ---------------------------------------------------------------------------------------------------------------- environments with episodes

/// The environment of some settings, as a run makes it, and a generator.
let private played (settings: string list) : IEnvironment * Rng =
    ConfiguredEnvironment.Create(environmentOf settings, Seed.Of 3L), Rng 3UL

/// Steps of an episode in which nothing is done that ends it early, and how it ended.
let private lasting
    (environment: IEnvironment, random: Rng)
    (choose: float32[] -> float32[] -> StepResult * float32[])
    =
    let mutable observation = Counting.reset environment random
    let mutable before = observation
    let mutable result = StepResult()
    let mutable count = 0

    while not result.Ended do
        let next, seen = choose before observation
        before <- observation
        observation <- seen
        result <- next
        count <- count + 1

    count, result

/// A pole held up for a while, a pendulum let be, fruit let be caught, hands that rest.
let private limits = [
    "cartpole",
    fun (environment: IEnvironment, random: Rng) ->
        lasting (environment, random) (fun _ o ->
            Counting.act environment random [| (if o[2] + o[3] > 0f then 1 else 0) |])
    "pendulum",
    fun (environment, random) -> lasting (environment, random) (fun _ _ -> Counting.push environment random [| 0f |])
    "pixels",
    fun (environment, random) -> lasting (environment, random) (fun _ _ -> Counting.act environment random [| 0 |])
    "toggles",
    fun (environment, random) -> lasting (environment, random) (fun _ _ -> Counting.act environment random [| 0; 0 |])
]

/// What is drawn on a channel of the pixel world's picture, row and column each.
let private drawn (channel: int) (picture: float32[]) = [
    for cell in 0..99 do
        if picture[100 * channel + cell] <> 0f then
            cell / 10, cell % 10
]

let private episodic = [
    for name, play in limits do
        effect $"environment.name={name}" (fun () ->
            let environment, _ = played [ $"environment.name={name}" ]

            let expected: EnvironmentDescription =
                match name with
                | "cartpole" -> (CartPole(CartPoleSettings()) :> IEnvironment).Description
                | "pendulum" -> (Pendulum(PendulumSettings()) :> IEnvironment).Description
                | "pixels" -> (Pixels(PixelsSettings()) :> IEnvironment).Description
                | _ -> (Toggles(TogglesSettings()) :> IEnvironment).Description

            Expect.equal environment.Description expected "what it shows and takes")

        // At most eight: the first thing lands in the pixel world at its ninth step, and may end the episode.
        effect "environment.steps" (fun () ->
            for steps in [ 1; 5; 8 ] do
                let count, result = play (played [ $"environment.name={name}"; $"environment.steps={steps}" ])

                Expect.equal count steps $"{name}: steps of an episode"
                Expect.equal (result.Terminated, result.Truncated) (false, true) $"{name}: cut off")

    effect "environment.gravity" (fun () ->
        for gravity in [ 0.0; 10.0; 25.0 ] do
            let environment, random = played [ "environment.name=pendulum"; $"environment.gravity={gravity}" ]

            let start = Counting.reset environment random
            let _, next = Counting.push environment random [| 0f |]
            // A rod of 1 m and 1 kg on its end: θ″ = 3·g/(2·l)·sin θ, for 0.05 s.
            let expected = float start[2] + 0.05 * 1.5 * gravity * float start[1]
            near singlePrecision $"speed at {gravity} m/s²" [| max -8.0 (min 8.0 expected) |] [| float next[2] |])

    effect "environment.stones" (fun () ->
        for stones, share in [ 0.0, 0.0; 0.5, 0.5; 1.0, 1.0 ] do
            let environment, random = played [ "environment.name=pixels"; $"environment.stones={stones}" ]

            let fallen = [ for _ in 1..400 -> drawn 2 (Counting.reset environment random) <> [] ]
            let found = float (List.length (List.filter id fallen)) / 400.0
            // Five standard deviations of one half over 400 draws.
            Expect.isLessThanOrEqual (abs (found - share)) (if share = 0.5 then 0.125 else 0.0) $"stones at {stones}")

    effect "environment.drift" (fun () ->
        for drift, share in [ 0.0, 0.0; 0.5, 0.5; 1.0, 1.0 ] do
            let environment, random =
                played [
                    "environment.name=pixels"
                    "environment.stones=0"
                    $"environment.drift={drift}"
                ]

            let moved = [
                for _ in 1..400 do
                    let before = drawn 1 (Counting.reset environment random) |> List.exactlyOne |> snd
                    let _, seen = Counting.act environment random [| 0 |]
                    let after = drawn 1 seen |> List.exactlyOne |> snd
                    Expect.isLessThanOrEqual (abs (after - before)) 1 "one column at most"
                    after <> before
            ]

            let found = float (List.length (List.filter id moved)) / 400.0
            Expect.isLessThanOrEqual (abs (found - share)) (if share = 0.5 then 0.125 else 0.0) $"drift at {drift}")

    effect "environment.lamps" (fun () ->
        for lamps in [ 1; 3; 5 ] do
            let environment, _ = played [ "environment.name=toggles"; $"environment.lamps={lamps}" ]
            let actions = environment.Description.Actions

            Expect.equal
                (environment.Description.Observation.Size, [ for a in 0..1 -> actions.ChoicesOf a ])
                (4 * lamps, [ lamps + 1; lamps + 1 ])
                "lamps and switches shown, and a choice more than lamps of each hand")
]

// ---------------------------------------------------------------------------------------------------------------- wrappers

let private wrapperEffects = [
    effect "wrappers" (fun () ->
        let settings = [
            "environment.name=pendulum"
            """wrappers=[{ "name": "frame-stack", "frames": 2 }, { "name": "time-limit", "steps": 3 }]"""
        ]

        let environment, random = played settings
        Expect.equal environment.Description.Observation.Size 6 "two observations"

        let count, _ = lasting (environment, random) (fun _ _ -> Counting.push environment random [| 0f |])

        Expect.equal count 3 "steps of an episode")

    for key in [ "wrappers.0.name=frame-stack"; "wrappers.0.frames" ] do
        effect key (fun () ->
            for frames in [ 1; 2; 5 ] do
                let environment, _ =
                    played [
                        "environment.name=pendulum"
                        "wrappers.0.name=frame-stack"
                        $"wrappers.0.frames={frames}"
                    ]

                Expect.equal environment.Description.Observation.Size (3 * frames) $"{frames} frames of three numbers")

    for key in [ "wrappers.0.name=time-limit"; "wrappers.0.steps" ] do
        effect key (fun () ->
            for steps in [ 1; 3; 7 ] do
                let environment, random =
                    played [
                        "environment.name=pendulum"
                        "wrappers.0.name=time-limit"
                        $"wrappers.0.steps={steps}"
                    ]

                let count, result =
                    lasting (environment, random) (fun _ _ -> Counting.push environment random [| 0f |])

                Expect.equal count steps "steps of an episode"
                Expect.equal (result.Terminated, result.Truncated) (false, true) "cut off")

    for key in [ "wrappers.0.name=action-repeat"; "wrappers.0.times" ] do
        effect key (fun () ->
            for times in [ 1; 2; 4 ] do
                let environment, random =
                    played [
                        "environment.name=pendulum"
                        "environment.steps=8"
                        "wrappers.0.name=action-repeat"
                        $"wrappers.0.times={times}"
                    ]

                let count, _ = lasting (environment, random) (fun _ _ -> Counting.push environment random [| 0f |])

                Expect.equal count (8 / times) "actions of an episode of eight steps")

    for key in [ "wrappers.0.name=sticky-actions"; "wrappers.0.probability" ] do
        effect key (fun () ->
            for probability in [ 0.0; 0.5; 0.9 ] do
                let environment, random =
                    played [
                        "environment.name=cartpole"
                        "wrappers.0.name=sticky-actions"
                        $"wrappers.0.probability={probability}"
                    ]

                // A push to the right right after one to the left: the cart gains speed to the right unless the left one sticks.
                let stuck = [
                    for _ in 1..400 do
                        Counting.reset environment random |> ignore
                        let _, before = Counting.act environment random [| 0 |]
                        let _, after = Counting.act environment random [| 1 |]
                        after[1] < before[1]
                ]

                let found = float (List.length (List.filter id stuck)) / 400.0
                // Five standard deviations of a share over 400 draws.
                let deviation = sqrt (probability * (1.0 - probability) / 400.0)
                Expect.isLessThanOrEqual (abs (found - probability)) (5.0 * deviation) $"stuck at {probability}")
]

// ---------------------------------------------------------------------------------------------------------------- layers

/// The networks of an actor-critic that looks at the pixel world.
let private networksOf (settings: string list) : ActorCritic =
    let configuration = environmentOf ("environment.name=pixels" :: settings)
    ActorCriticAgent.NetworksOf(ConfiguredEnvironment.Describe configuration, Reading.actorCritic configuration)

let private torsoOf (settings: string list) (build: NetworkBuilder -> NetworkBuilder) () =
    let expected = (build (Network.Build("torso", 4, 10, 10))).Build()
    let found = nonNull (networksOf settings).Torso
    Expect.equal found.Layers expected.Layers "layers"
    Expect.equal found.OutputShape expected.OutputShape "what comes out"

let private torso (cases: (string * (NetworkBuilder -> NetworkBuilder)) list) () =
    for json, build in cases do
        torsoOf [ $"learner.torso=[{json}]" ] build ()

let private layerEffects = [
    effect
        "learner.torso"
        (torso [
            """{ "name": "convolution", "channels": 3 }, { "name": "activation", "function": "elu" }, { "name": "flatten" }""",
            (fun n -> n.Convolution(3, 3, 1, 0).Activation(Activation.Elu).Flatten())
        ])
    effect "learner.sharedTorso" (fun () ->
        let of' shared =
            networksOf [ "learner.torso.0.name=flatten"; $"learner.sharedTorso={shared}" ]

        let together, apart = of' "true", of' "false"
        Expect.equal (nonNull together.Torso).Layers.Length 1 "one torso for both"
        Expect.isNull apart.Torso "none"

        for mine, shared in [ apart.Policy, together.Policy; apart.Value, together.Value ] do
            Expect.equal
                (List.ofSeq mine.Layers)
                (Layer.Flatten :: List.ofSeq shared.Layers)
                "each network begins with the torso's layers")

    for key in [ "learner.torso.0.name=linear"; "learner.torso.0.units" ] do
        effect
            key
            (torso [
                """{ "name": "linear", "units": 5 }""", (fun n -> n.Linear 5)
                """{ "name": "linear", "units": 9 }""", (fun n -> n.Linear 9)
            ])

    for key in
        [
            "learner.torso.0.name=convolution"
            "learner.torso.0.channels"
            "learner.torso.0.kernel"
            "learner.torso.0.stride"
            "learner.torso.0.padding"
        ] do
        effect
            key
            (torso [
                """{ "name": "convolution", "channels": 5, "kernel": 2, "stride": 3, "padding": 1 }""",
                (fun n -> n.Convolution(5, 2, 3, 1))
                """{ "name": "convolution", "channels": 2, "kernel": 5, "stride": 1, "padding": 3 }""",
                (fun n -> n.Convolution(2, 5, 1, 3))
            ])

    for key in
        [
            "learner.torso.0.name=max-pooling"
            "learner.torso.0.kernel"
            "learner.torso.0.stride"
        ] do
        effect
            key
            (torso [
                """{ "name": "max-pooling", "kernel": 3, "stride": 2 }""", (fun n -> n.MaxPooling(3, 2))
                """{ "name": "max-pooling", "kernel": 2, "stride": 4 }""", (fun n -> n.MaxPooling(2, 4))
            ])

    for key in
        [
            "learner.torso.0.name=average-pooling"
            "learner.torso.0.kernel"
            "learner.torso.0.stride"
        ] do
        effect
            key
            (torso [
                """{ "name": "average-pooling", "kernel": 3, "stride": 2 }""", (fun n -> n.AveragePooling(3, 2))
                """{ "name": "average-pooling", "kernel": 2, "stride": 4 }""", (fun n -> n.AveragePooling(2, 4))
            ])

    for name, activation in
        [
            "relu", Activation.Relu
            "tanh", Activation.Tanh
            "sigmoid", Activation.Sigmoid
            "softplus", Activation.Softplus
            "elu", Activation.Elu
            "leaky-relu", Activation.LeakyRelu
            "gelu", Activation.Gelu
            "silu", Activation.Silu
        ] do
        for key in [ "learner.torso.0.name=activation"; $"learner.torso.0.function={name}" ] do
            effect
                key
                (torso [
                    $"""{{ "name": "activation", "function": "{name}" }}""", (fun n -> n.Activation activation)
                ])

    effect "learner.torso.0.name=flatten" (torso [ """{ "name": "flatten" }""", (fun n -> n.Flatten()) ])
    effect
        "learner.torso.0.name=layer-normalization"
        (torso [ """{ "name": "layer-normalization" }""", (fun n -> n.LayerNormalization()) ])

    for key in [ "learner.torso.0.name=residual"; "learner.torso.0.layers" ] do
        effect
            key
            (torso [
                """{ "name": "residual", "layers": [{ "name": "convolution", "channels": 4, "padding": 1 }, { "name": "activation" }] }""",
                (fun n -> n.Residual(fun inner -> inner.Convolution(4, 3, 1, 1).Activation Activation.Relu))
            ])

    // Each keeps the shape [4, 10, 10], or that of [400] after a flattening.
    for name, json, build in
        [
            "activation",
            """{ "name": "activation", "function": "tanh" }""",
            (fun (n: NetworkBuilder) -> n.Activation Activation.Tanh)
            "convolution",
            """{ "name": "convolution", "channels": 4, "kernel": 1 }""",
            (fun n -> n.Convolution(4, 1, 1, 0))
            "max-pooling", """{ "name": "max-pooling", "kernel": 1, "stride": 1 }""", (fun n -> n.MaxPooling(1, 1))
            "average-pooling",
            """{ "name": "average-pooling", "kernel": 1, "stride": 1 }""",
            (fun n -> n.AveragePooling(1, 1))
            "layer-normalization", """{ "name": "layer-normalization" }""", (fun n -> n.LayerNormalization())
            "residual",
            """{ "name": "residual", "layers": [{ "name": "activation" }] }""",
            (fun n -> n.Residual(fun inner -> inner.Activation Activation.Relu))
        ] do
        effect
            $"learner.torso.0.layers.0.name={name}"
            (torso [
                $"""{{ "name": "residual", "layers": [{json}] }}""", (fun n -> n.Residual(fun inner -> build inner))
            ])

    for name, json, build in
        [
            "linear", """{ "name": "linear", "units": 400 }""", (fun (n: NetworkBuilder) -> n.Linear 400)
            "flatten", """{ "name": "flatten" }""", (fun n -> n.Flatten())
        ] do
        effect
            $"learner.torso.0.layers.0.name={name}"
            (torso [
                $"""{{ "name": "flatten" }}, {{ "name": "residual", "layers": [{json}] }}""",
                (fun n -> n.Flatten().Residual(fun inner -> build inner))
            ])
]

// ---------------------------------------------------------------------------------------------------------------- hyper-parameters by name

/// Names and bounds of what is learned.
let private learnedOf (overrides: string list) : (string * float * float) list =
    let configuration = configured anActorCritic overrides
    use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)

    [
        for metric in experiment.Metrics do
            match Option.ofNullable metric.Bounds with
            | Some struct (low, high) -> metric.Name, low, high
            | None -> ()
    ]

let private byName (name: string) (low: float) (high: float) =
    $"""{{ "name": "{name}", "low": {low}, "high": {high} }}"""

let private hyperParameterEffects = [
    for key in
        [
            "meta.hyperParameters"
            "meta.hyperParameters.0.name"
            "meta.hyperParameters.0.low"
            "meta.hyperParameters.0.high"
        ] do
        effect key (fun () ->
            for name, low, high in
                [
                    "discount", 0.25, 0.875
                    "traceDecay", 0.5, 1.0
                    "valueWeight", 0.0, 4.0
                    "learningRate", 0.03125, 0.5
                    "gradientClip", 0.25, 2.0
                ] do
                Expect.equal
                    (learnedOf [
                        // The value loss moves what the policy stands on alone.
                        "learner.torso.0.name=linear"
                        "learner.gradientClip=0.5"
                        "meta.hyperParameters=[" + byName name low high + "]"
                    ])
                    [ "entropyWeight", 0.1, 0.9; name, low, high ]
                    "names and bounds")

    effect "meta.entropyWeight.learned" (fun () ->
        let both learned =
            learnedOf [
                "meta.hyperParameters=[" + byName "discount" 0.25 0.875 + "]"
                $"meta.entropyWeight.learned={learned}"
            ]

        Expect.equal (both "true") [ "entropyWeight", 0.1, 0.9; "discount", 0.25, 0.875 ] "two"
        Expect.equal (both "false") [ "discount", 0.25, 0.875 ] "one")

    effect "meta.hyperParameters.0.divided" (fun () ->
        let norm divided =
            let configuration =
                configured anActorCritic [
                    "meta.entropyWeight.learned=false"
                    """learner.optimizer={ "name": "sgd", "learningRate": 0.125 }"""
                    "meta.hyperParameters.0.name=learningRate"
                    "meta.hyperParameters.0.low=0.03125"
                    "meta.hyperParameters.0.high=0.5"
                    $"meta.hyperParameters.0.divided={divided}"
                ]

            use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)

            let at =
                experiment.Metrics
                |> Seq.findIndex (fun metric -> metric.Name = "metaGradientNorm")

            (experiment.Advance()).Values[at]

        // ∂α/∂w is α where w = ln α, and 1 where the gradient is divided by α.
        near shortLife "norms" (norm "false") (norm "true" |> Array.map (fun n -> 0.125 * n)))
]

/// Contexts of features by name: how many numbers of each rollout, and what they are.
let private featureEffects = [
    let start =
        anActorCritic
        |> given [ "meta.parameters=network" ] (fun l -> {
            l with
                Weight = Contextual
                Steps = 60
        })

    let cases = [
        "reward", """{ "name": "reward" }""", 2
        "value", """{ "name": "value" }""", 2
        "td-error", """{ "name": "td-error" }""", 2
        "action-probabilities", """{ "name": "action-probabilities" }""", 4
        "step-cosine", """{ "name": "step-cosine" }""", 1
        "previous-hyper-parameters", """{ "name": "previous-hyper-parameters" }""", 1
    ]

    let seen named (l: Life) = { l with Seen = Named named }

    for i, (name, json, count) in List.indexed cases do
        let next, nextJson, nextCount = cases[(i + 1) % cases.Length]

        effect
            $"meta.features.0.name={name}"
            (values "meta.features" start [
                $"[{json}]", seen [ name, count ]
                $"[{nextJson}, {json}]", seen [ next, nextCount; name, count ]
            ])

    numeric "meta.features" start [
        """[{ "name": "value" }]""", seen [ "value", 2 ]
        "[" + String.Join(", ", [ for _, json, _ in cases -> json ]) + "]",
        seen [ for name, _, count in cases -> name, count ]
    ]

    for name in [ "reward"; "value"; "td-error" ] do
        numeric "meta.features.0.deviation" (start |> given [ $"meta.features.0.name={name}" ] id) [
            "true", seen [ name, 2 ]
            "false", seen [ name, 1 ]
        ]
]

let private learnerEffects = [
    yield! wrapperEffects
    yield! layerEffects
    yield! hyperParameterEffects
    yield! featureEffects

    for start in [ anActorCritic; rich anActorCritic ] do
        numeric "learner.rewardScale" (start |> given [] (steps 60)) [
            "1", id
            "0.25", (fun l -> { l with RewardScale = 0.25 })
        ]

    for start in [ anActorCritic; rich anActorCritic; plainGradient anActorCritic ] do
        numeric "learner.normalizeObservations" (start |> given [] (steps 60)) [
            "false", id
            "true", (fun l -> { l with NormalizeObservations = true })
        ]

        numeric
            "learner.normalizeRewards"
            (start
             |> given [ "learner.copies=2" ] (fun l -> { l with Copies = 2; Steps = 60 }))
            [ "false", id; "true", (fun l -> { l with NormalizeRewards = true }) ]

    numeric "learner.policyGain" anActorCritic [ "1", id; "0.01", (fun l -> { l with PolicyGain = 0.01 }) ]

    yield!
        parts "environment" anActorCritic [
            "two-colors", """{ "swapPeriod": 30 }""", twoColors Respawn.Square 30L
            "switching-mdps", someMdps, mdps 3 4 3 30L
        ]
    yield!
        parts "environment" aQLambda [
            "two-colors", """{ "swapPeriod": 30 }""", twoColors Respawn.Square 30L
            "switching-mdps", someMdps, mdps 3 4 3 30L
        ]
    yield!
        choices "environment.respawn" (anActorCritic |> given [] (steps 200)) [
            "square", twoColors Respawn.Square 30L
            "all", twoColors Respawn.All 30L
        ]
    for start in
        [
            anActorCritic |> given [] (steps 200)
            aQLambda |> given [ "environmentSteps=200" ] (steps 200)
        ] do
        numeric "environment.swapPeriod" start [ "3", twoColors Respawn.Square 3L; "30", twoColors Respawn.Square 30L ]
    for start in [ anActorCritic; aQLambda ] do
        let start = switching start
        numeric "environment.swapPeriod" start [ "3", mdps 3 4 3 3L; "30", mdps 3 4 3 30L ]

        numeric "environment.worlds" (start |> given [ "environment.swapPeriod=3" ] id) [
            "1", mdps 1 4 3 3L
            "3", mdps 3 4 3 3L
            "8", mdps 8 4 3 3L
        ]

        numeric "environment.side" start [ "3", mdps 3 3 3 30L; "4", mdps 3 4 3 30L ]
        numeric "environment.mostWalls" start [ "0", mdps 3 4 0 30L; "3", mdps 3 4 3 30L; "6", mdps 3 4 6 30L ]

    for start in
        [
            anActorCritic
            rich anActorCritic
            network anActorCritic
            plainGradient anActorCritic
        ] do
        numeric "learner.copies" (start |> given [] (steps 30)) [
            "1", id
            "2", (fun l -> { l with Copies = 2 })
            "3", (fun l -> { l with Copies = 3 })
        ]

    yield! episodic

    numeric "seed" anActorCritic [ "7", id; "19", (fun l -> { l with Seeds = [ 19L; 20L ] }) ]
    numeric "seed" aQLambda [ "7", id; "19", (fun l -> { l with Seeds = [ 19L; 20L ] }) ]
    effect "seeds" (fun () ->
        let listed = Reading.reader.Read("{}", "test", [ "seeds=[3, 99]" ])
        let derived = DerivedSettings.Of listed
        Expect.equal (List.ofSeq derived.Seeds, listed.Members, listed.Seed) ([ 3L; 99L ], 2, 3L) "seeds and members"
        use experiment = new PopulationExperiment(listed, derived)
        Expect.equal (List.ofSeq experiment.Seeds) [ 3L; 99L ] "the population's")
    for start in [ anActorCritic; aQLambda ] do
        numeric "members" start [
            "1", (fun l -> { l with Seeds = [ 7L ] })
            "2", id
            "3", (fun l -> { l with Seeds = [ 7L; 8L; 9L ] })
        ]

    effect "learner.agent=actor-critic" (fun () ->
        alike (live critic) (lived (configured anActorCritic [ "learner.agent=actor-critic" ]) critic.Steps))
    effect "learner.agent=q-lambda" (fun () ->
        alike (live qLambda) (lived (configured aQLambda [ "learner.agent=q-lambda" ]) qLambda.Steps))
    for start in [ anActorCritic; aQLambda ] do
        numeric "learner.hidden" start [
            "[]", (fun l -> { l with Hidden = [] })
            "[7, 5]", id
            "[5, 7]", (fun l -> { l with Hidden = [ 5; 7 ] })
        ]
    yield!
        choices "learner.activation" anActorCritic [
            "relu", (fun l -> { l with Activation = Activation.Relu })
            "tanh", (fun l -> { l with Activation = Activation.Tanh })
            "sigmoid",
            (fun l -> {
                l with
                    Activation = Activation.Sigmoid
            })
            "softplus",
            (fun l -> {
                l with
                    Activation = Activation.Softplus
            })
            "elu", (fun l -> { l with Activation = Activation.Elu })
            "leaky-relu",
            (fun l -> {
                l with
                    Activation = Activation.LeakyRelu
            })
            "gelu", (fun l -> { l with Activation = Activation.Gelu })
            "silu", (fun l -> { l with Activation = Activation.Silu })
        ]
    for start in [ anActorCritic; aQLambda; network anActorCritic; network aQLambda ] do
        yield!
            choices "learner.initialization" start [
                "truncated-normal",
                (fun l -> {
                    l with
                        Initialization = Initialization.TruncatedNormal
                })
                "uniform",
                (fun l -> {
                    l with
                        Initialization = Initialization.Uniform
                })
                "orthogonal",
                (fun l -> {
                    l with
                        Initialization = Initialization.Orthogonal
                })
                "sparse",
                (fun l -> {
                    l with
                        Initialization = Initialization.Sparse
                })
            ]
    numeric "learner.rolloutLength" anActorCritic [ "4", id; "6", (fun l -> { l with RolloutLength = 6; Steps = 90 }) ]
    for start in [ anActorCritic; aQLambda; rich anActorCritic; rich aQLambda ] do
        numeric "learner.discount" start [ "0.8", id; "0.3", (fun l -> { l with Discount = 0.3 }) ]
    yield!
        choices "learner.returns" anActorCritic [
            "td", (fun l -> { l with TraceDecay = 0.0 })
            "lambda", (fun l -> { l with TraceDecay = 0.6 })
        ]
    for start in [ anActorCritic; aQLambda ] do
        numeric "learner.traceDecay" start [ "0.6", id; "0.2", (fun l -> { l with TraceDecay = 0.2 }) ]
    for start in [ anActorCritic; learnerSgd 0.2 anActorCritic ] do
        numeric "learner.valueWeight" start [ "0.7", id; "2.5", (fun l -> { l with ValueWeight = 2.5 }) ]

    yield!
        parts "learner.optimizer" anActorCritic [
            "sgd", """{ "name": "sgd", "learningRate": 0.05 }""", optimizer (Optimizers.sgd 0.05)
            "momentum",
            """{ "name": "momentum", "learningRate": 0.05, "decay": 0.75 }""",
            optimizer (Optimizers.momentum 0.05 0.75)
            "rmsprop", rmsProp, optimizer (Optimizers.rmsProp 0.05 0.75 1e-2 1e-16)
            "adam",
            """{ "name": "adam", "learningRate": 0.05, "beta1": 0.7, "beta2": 0.9, "epsilon": 1e-2 }""",
            optimizer (Optimizers.adam 0.05 0.7 0.9 1e-2 1e-16)
        ]

    // There is one of each: what they are is said by their parts.
    yield! [
        for key, json in
            [
                "learner.updateRule.name=gradient", """learner.updateRule={ "name": "gradient" }"""
                "target.name=look-ahead", """target={ "name": "look-ahead" }"""
            ] do
            effect key (fun () -> alike (live critic) (lived (configured anActorCritic [ json ]) critic.Steps))
    ]
    for start in [ anActorCritic; aQLambda ] do
        numeric "learner.optimizer.learningRate" start [
            "0.05", id
            "0.02", optimizer (Optimizers.adam 0.02 0.7 0.9 1e-2 1e-16)
        ]

        numeric "learner.optimizer.beta1" start [
            "0.7", id
            "0.2", optimizer (Optimizers.adam 0.05 0.2 0.9 1e-2 1e-16)
        ]

        numeric "learner.optimizer.beta2" start [
            "0.9", id
            "0.4", optimizer (Optimizers.adam 0.05 0.7 0.4 1e-2 1e-16)
        ]

        numeric "learner.optimizer.epsilon" start [
            "0.01", id
            "0.2", optimizer (Optimizers.adam 0.05 0.7 0.9 0.2 1e-16)
        ]

        numeric "learner.optimizer.epsilonRoot" start [
            "1e-16", id
            "0.04", optimizer (Optimizers.adam 0.05 0.7 0.9 1e-2 0.04)
        ]
    for name, make in
        [
            "momentum", (fun decay -> Optimizers.momentum 0.05 decay)
            "rmsprop", (fun decay -> Optimizers.rmsProp 0.05 decay 1e-2 1e-16)
        ] do
        let given' =
            anActorCritic
            |> given [ $"""learner.optimizer={{ "name": "{name}", "learningRate": 0.05 }}""" ] id

        let given' =
            if name = "rmsprop" then
                given' |> given [ "learner.optimizer.epsilon=1e-2" ] id
            else
                given'

        numeric "learner.optimizer.decay" given' [ "0.75", optimizer (make 0.75); "0.3", optimizer (make 0.3) ]
    numeric "learner.optimizer.epsilon" (anActorCritic |> given [ $"learner.optimizer={rmsProp}" ] id) [
        "0.01", optimizer (Optimizers.rmsProp 0.05 0.75 0.01 1e-16)
        "0.2", optimizer (Optimizers.rmsProp 0.05 0.75 0.2 1e-16)
    ]
    numeric "learner.optimizer.epsilonRoot" (anActorCritic |> given [ $"learner.optimizer={rmsProp}" ] id) [
        "1e-16", optimizer (Optimizers.rmsProp 0.05 0.75 0.01 1e-16)
        "0.04", optimizer (Optimizers.rmsProp 0.05 0.75 0.01 0.04)
    ]
    for rate, make, start in
        [
            0.2, Optimizers.sgd, learnerSgd 0.2 anActorCritic
            0.05, (fun rate -> Optimizers.adam rate 0.7 0.9 1e-2 1e-16), anActorCritic
        ] do
        let clipped (norm: float) =
            optimizer (Optimizers.before (Transformations.clipByGlobalNorm norm) (make rate))

        numeric "learner.gradientClip" start [ "null", id; "0.1", clipped 0.1; "0.02", clipped 0.02 ]

    numeric "learner.innerSteps" anActorCritic [
        "1", (fun l -> { l with InnerSteps = 1; Steps = 48 })
        "2", id
        "3", (fun l -> { l with InnerSteps = 3; Steps = 72 })
    ]
    numeric "learner.targetSteps" anActorCritic [
        "1", (fun l -> { l with TargetSteps = 1; Steps = 36 })
        "3", id
        "4", (fun l -> { l with TargetSteps = 4; Steps = 72 })
    ]
    numeric "learner.targetSteps" aQLambda [
        "1", (fun l -> { l with TargetSteps = 1 })
        "4", id
        "5", (fun l -> { l with TargetSteps = 5 })
    ]
    // K and L counted: K steps with a graph and L − 1 without under φ, one under the target's last rule.
    for key, k, l in [ "learner.innerSteps", 3, 2; "learner.targetSteps", 1, 5 ] do
        effect key (fun () ->
            use _ = scope ()
            let configuration = configured anActorCritic [ $"learner.innerSteps={k}"; $"learner.targetSteps={l}" ]
            let rules = ResizeArray<string * ResizeArray<Differentiation>>()

            let around (rule: UpdateRule<Rollout>) =
                let calls = ResizeArray<Differentiation>()
                rules.Add(rule.Name, calls)

                UpdateRule<Rollout>
                    .Create(
                        rule.Name,
                        rule.Init,
                        (fun learner hyper data differentiation ->
                            calls.Add differentiation
                            rule.Step.Invoke(learner, hyper, data, differentiation))
                    )

            let agent = ActorCriticAgent.Create(configuration, around)
            use experiment = new PopulationExperiment(DerivedSettings.Of configuration, agent)
            experiment.Advance() |> ignore
            Expect.equal rules.Count 2 "φ, and the target's last rule"

            let count (calls: ResizeArray<Differentiation>) kind =
                calls |> Seq.filter ((=) kind) |> Seq.length

            let own, lastRule = snd rules[0], snd rules[1]
            Expect.equal (count own Differentiation.Full) k "steps of φ with a graph"
            Expect.equal (count own Differentiation.None) (l - 1) "steps of φ without one"
            Expect.sequenceEqual lastRule [ Differentiation.None ] "the last step")
]

let private targetEffects = [
    for start in
        [
            anActorCritic
            learnerSgd 0.2 anActorCritic
            ownLast "sgd" |> given [] (last (Some(Optimizers.sgd 0.3)))
        ] do
        yield!
            choices "target.loss" start [
                "policy", (fun l -> { l with LastIsWhole = false })
                "full", (fun l -> { l with LastIsWhole = true })
            ]
    // Its own optimizer starts from a first state; without one the learner's goes on, with its state and its clip.
    let adam =
        "{ \"name\": \"adam\", \"learningRate\": 0.05, \"beta1\": 0.7, \"beta2\": 0.9, \"epsilon\": 1e-2 }"

    numeric "target.optimizer" anActorCritic [
        "null", last None
        adam, last (Some(Optimizers.adam 0.05 0.7 0.9 1e-2 1e-16))
        "{ \"name\": \"sgd\", \"learningRate\": 0.3 }", last (Some(Optimizers.sgd 0.3))
    ]

    let clipped = Optimizers.before (Transformations.clipByGlobalNorm 0.05) (Optimizers.sgd 0.5)

    numeric
        "target.optimizer"
        (learnerSgd 0.5 anActorCritic
         |> given [ "learner.gradientClip=0.05" ] (optimizer clipped))
        [
            "null", last None
            "{ \"name\": \"sgd\", \"learningRate\": 0.5 }", last (Some(Optimizers.sgd 0.5))
        ]

    yield!
        parts "target.optimizer" anActorCritic [
            "sgd", """{ "name": "sgd", "learningRate": 0.3 }""", last (Some(Optimizers.sgd 0.3))
            "rmsprop",
            """{ "name": "rmsprop", "learningRate": 0.3, "decay": 0.75, "epsilon": 1e-2 }""",
            last (Some(Optimizers.rmsProp 0.3 0.75 1e-2 1e-16))
            "adam",
            """{ "name": "adam", "learningRate": 0.3, "epsilon": 1e-2 }""",
            last (Some(Optimizers.adam 0.3 0.9 0.999 1e-2 1e-16))
        ]
    // The first step of momentum is one of plain descent: only its name tells.
    effect "target.optimizer.name=momentum" (fun () ->
        let start =
            ownLast "momentum"
            |> given [ "target.optimizer.decay=0.75" ] (last (Some(Optimizers.momentum 0.3 0.75)))

        values
            "target.optimizer"
            anActorCritic
            [
                """{ "name": "momentum", "learningRate": 0.3, "decay": 0.75 }""",
                last (Some(Optimizers.momentum 0.3 0.75))
                """{ "name": "adam", "learningRate": 0.3, "epsilon": 1e-2 }""",
                last (Some(Optimizers.adam 0.3 0.9 0.999 1e-2 1e-16))
            ]
            ()

        let configuration = configured start []
        let names = ResizeArray<string>()

        ActorCriticAgent.Create(
            configuration,
            (fun (rule: UpdateRule<Rollout>) ->
                names.Add rule.Name
                rule)
        )
        |> ignore

        Expect.contains names "momentum on policy loss" "the target's last rule")

    numeric "target.optimizer.learningRate" (ownLast "sgd") [
        "0.3", last (Some(Optimizers.sgd 0.3))
        "0.9", last (Some(Optimizers.sgd 0.9))
    ]

    numeric "target.optimizer.decay" (ownLast "rmsprop") [
        "0.75", last (Some(Optimizers.rmsProp 0.3 0.75 1e-2 1e-16))
        "0.3", last (Some(Optimizers.rmsProp 0.3 0.3 1e-2 1e-16))
    ]

    numeric "target.optimizer.epsilon" (ownLast "adam") [
        "0.01", last (Some(Optimizers.adam 0.3 0.9 0.999 0.01 1e-16))
        "0.3", last (Some(Optimizers.adam 0.3 0.9 0.999 0.3 1e-16))
    ]

    for name, make in
        [
            "rmsprop", (fun inRoot -> Optimizers.rmsProp 0.3 0.9 1e-2 inRoot)
            "adam", (fun inRoot -> Optimizers.adam 0.3 0.9 0.999 1e-2 inRoot)
        ] do
        numeric "target.optimizer.epsilonRoot" (ownLast name) [
            "1e-16", last (Some(make 1e-16))
            "0.09", last (Some(make 0.09))
        ]
    // A first step of Adam is the same under every β: what is built says which it has.
    for key, overrides, name in
        [
            "target.optimizer.beta1", [ "target.optimizer.beta1=0.31" ], "adam(0.31, 0.999)"
            "target.optimizer.beta2", [ "target.optimizer.beta2=0.62" ], "adam(0.9, 0.62)"
        ] do
        effect key (fun () ->
            let configuration = configured (ownLast "adam") overrides
            let own = nonNull (configuration.Target.As<LookAheadSettings>().Optimizer)
            let found = own.Make AgentKinds.Optimizer
            Expect.equal found.Transformation.Name name "the moments' decays")
]

let private matchingEffects = [
    let kinds: (string * (Reduction -> MatchingFunction)) list = [
        "kl", Matching.kl
        "reverse-kl", Matching.reverseKl
        "parameter-l2", (fun _ -> Matching.parameterL2 0.5)
        "jensen-shannon", Matching.jensenShannon
        "jeffreys", Matching.jeffreys
        "squared-hellinger", Matching.squaredHellinger
        "logit-l2", Matching.logitL2
        "fisher-quadratic", Matching.fisherQuadratic
    ]

    // The target's last step is a long one, so that no two measures of its distance agree.
    let far =
        ownLast "sgd"
        |> given [ "target.optimizer.learningRate=5" ] (last (Some(Optimizers.sgd 5.0)))

    yield! choices "matching.functions.0.name" far [ for name, make in kinds -> name, matching (make Reduction.Sum) ]

    yield!
        choices "matching.functions.0.name" (far |> given [ "matching.reduction=mean" ] id) [
            for name, make in kinds -> name, matching (make Reduction.Mean)
        ]

    numeric "matching.functions.0.weight" anActorCritic [
        "1", id
        "0.25", matching (Matching.weightedSum [| 0.25 |] [| Matching.kl Reduction.Sum |])
    ]

    numeric "matching.functions" anActorCritic [
        "[{ \"name\": \"kl\" }]", id
        "[{ \"name\": \"kl\", \"weight\": 0.5 }, { \"name\": \"parameter-l2\", \"weight\": 3 }]",
        matching (Matching.weightedSum [| 0.5; 3.0 |] [| Matching.kl Reduction.Sum; Matching.parameterL2 0.5 |])
        "[{ \"name\": \"kl\", \"weight\": 3 }, { \"name\": \"parameter-l2\", \"weight\": 0.5 }]",
        matching (Matching.weightedSum [| 3.0; 0.5 |] [| Matching.kl Reduction.Sum; Matching.parameterL2 0.5 |])
    ]

    yield!
        choices "matching.reduction" anActorCritic [
            "sum", matching (Matching.kl Reduction.Sum)
            "mean", matching (Matching.kl Reduction.Mean)
        ]

    yield!
        choices "matching.reduction" aQLambda [
            "sum", matching (QLambda.greedyKl Reduction.Sum)
            "mean", matching (QLambda.greedyKl Reduction.Mean)
        ]
]

let private metaEffects = [
    yield!
        choices "meta.method" anActorCritic [
            "bmg", (fun l -> { l with Method = Bootstrapped })
            "mg", (fun l -> { l with Method = PlainGradient })
            "fixed", (fun l -> { l with Method = Nothing })
        ]
    yield!
        choices "meta.method" aQLambda [
            "bmg", (fun l -> { l with Method = Bootstrapped })
            "fixed", (fun l -> { l with Method = Nothing })
        ]
    for start in [ anActorCritic; plainGradient anActorCritic; aQLambda ] do
        yield!
            choices "meta.parameters" (start |> given [ "meta.context=reward" ] id) [
                "scalar", (fun l -> { l with Weight = Number })
                "network", (fun l -> { l with Weight = Contextual })
            ]
    for start in [ network anActorCritic; network aQLambda ] do
        numeric "meta.hidden" start [
            "[]", (fun l -> { l with MetaHidden = [] })
            "[6]", id
            "[3, 4]", (fun l -> { l with MetaHidden = [ 3; 4 ] })
        ]

        yield!
            choices "meta.activation" start [
                "relu",
                (fun l -> {
                    l with
                        MetaActivation = Activation.Relu
                })
                "tanh",
                (fun l -> {
                    l with
                        MetaActivation = Activation.Tanh
                })
                "sigmoid",
                (fun l -> {
                    l with
                        MetaActivation = Activation.Sigmoid
                })
                "softplus",
                (fun l -> {
                    l with
                        MetaActivation = Activation.Softplus
                })
                "elu",
                (fun l -> {
                    l with
                        MetaActivation = Activation.Elu
                })
                "leaky-relu",
                (fun l -> {
                    l with
                        MetaActivation = Activation.LeakyRelu
                })
                "gelu",
                (fun l -> {
                    l with
                        MetaActivation = Activation.Gelu
                })
                "silu",
                (fun l -> {
                    l with
                        MetaActivation = Activation.Silu
                })
            ]

        numeric "meta.pretrainingSteps" start [
            "0", (fun l -> { l with PretrainingSteps = 0 })
            "3", id
            "9", (fun l -> { l with PretrainingSteps = 9 })
        ]

        numeric "meta.contextLength" start [
            "1", (fun l -> { l with ContextLength = 1 })
            "3", id
            "5", (fun l -> { l with ContextLength = 5 })
        ]

        yield!
            choices "meta.contextScaling" start [
                "raw",
                (fun l -> {
                    l with
                        ContextScaling = ContextScaling.Raw
                })
                "normalized",
                (fun l -> {
                    l with
                        ContextScaling = ContextScaling.Normalized
                })
            ]

        yield!
            choices "meta.context" start [
                "reward", (fun l -> { l with Seen = Rewards })
                "rich", (fun l -> { l with Seen = Rich })
            ]
    effect "meta.context=none" (fun () ->
        for start in [ anActorCritic; aQLambda ] do
            let configuration = configured start [ "meta.context=none" ]
            let agent = Agent.Create(configuration)
            Expect.isEmpty agent.ContextFeatures "a context"
            Expect.isNull (box agent.MetaNetwork) "a meta-network"
            alike (live start.Life) (lived configuration start.Life.Steps))

    let deep =
        given [ "learner.innerSteps=3" ] (fun l -> { l with InnerSteps = 3; Steps = 72 }) anActorCritic

    for choice, through in
        [
            "reverse", ThroughSteps.Reverse
            "truncated", ThroughSteps.Truncated 2
            "forward", ThroughSteps.Forward
            "first-order", ThroughSteps.FirstOrder
        ] do
        effect $"meta.differentiation={choice}" (fun () ->
            let start = deep |> given [ "meta.truncateAfter=2" ] id
            let configuration = configured start [ $"meta.differentiation={choice}" ]
            // Forward mode gives the numbers of reverse mode: which one was made is asked for, too.
            let agent = ActorCriticAgent.Create(configuration, null)
            Expect.equal agent.MetaLearner.Through through "through"

            alike (live { start.Life with Through = through }) (lived configuration start.Life.Steps))

    effect
        "meta.differentiation=truncated"
        (values "meta.differentiation" deep [
            "reverse", id
            "truncated",
            (fun l -> {
                l with
                    Through = ThroughSteps.Truncated 1
            })
            "first-order",
            (fun l -> {
                l with
                    Through = ThroughSteps.FirstOrder
            })
        ])

    numeric "meta.truncateAfter" (deep |> given [ "meta.differentiation=truncated" ] id) [
        "1",
        (fun l -> {
            l with
                Through = ThroughSteps.Truncated 1
        })
        "2",
        (fun l -> {
            l with
                Through = ThroughSteps.Truncated 2
        })
    ]

    // Bounds and start: of a number, of a network, and of a weight that is not learned.
    for path, starts in
        [
            "meta.entropyWeight", [ anActorCritic; network anActorCritic ]
            "meta.exploration", [ aQLambda; network aQLambda ]
        ] do
        for start in starts do
            numeric $"{path}.initial" start [
                "0.3", (fun l -> { l with Initial = 0.3 })
                "0.7", (fun l -> { l with Initial = 0.7 })
            ]

            numeric $"{path}.low" start [
                "0", (fun l -> { l with Low = 0.0 })
                "0.25", (fun l -> { l with Low = 0.25 })
            ]

            numeric $"{path}.high" start [
                "0.6", (fun l -> { l with High = 0.6 })
                "1", (fun l -> { l with High = 1.0 })
            ]

        numeric
            $"{path}.initial"
            (starts.Head
             |> given [ "meta.method=fixed" ] (fun l -> { l with Method = Nothing }))
            [
                "0.4", (fun l -> { l with Initial = 0.4 })
                "0.7", (fun l -> { l with Initial = 0.7 })
            ]

    for start in
        [
            anActorCritic
            network anActorCritic
            plainGradient anActorCritic
            aQLambda
            network aQLambda
        ] do
        numeric "meta.learningRate" start [
            "0.2", id
            "0.05", metaOptimizer (Optimizers.adam 0.05 0.6 0.85 1e-3 1e-16)
        ]

        numeric "meta.beta1" start [ "0.6", id; "0.1", metaOptimizer (Optimizers.adam 0.2 0.1 0.85 1e-3 1e-16) ]
        numeric "meta.beta2" start [ "0.85", id; "0.3", metaOptimizer (Optimizers.adam 0.2 0.6 0.3 1e-3 1e-16) ]
        numeric "meta.epsilon" start [ "0.001", id; "0.5", metaOptimizer (Optimizers.adam 0.2 0.6 0.85 0.5 1e-16) ]

        let clipped (norm: float) =
            metaOptimizer (
                Optimizers.before (Transformations.clipByGlobalNorm norm) (Optimizers.adam 0.2 0.6 0.85 1e-3 1e-16)
            )

        numeric "meta.gradientClip" start [ "null", id; "0.0003", clipped 0.0003; "0.0001", clipped 0.0001 ]

    numeric "meta.outerEntropyWeight" (plainGradient anActorCritic) [
        "0", id
        "0.4", (fun l -> { l with OuterEntropyWeight = 0.4 })
    ]
]

// ---------------------------------------------------------------------------------------------------------------- the run around it

/// Carries out a command line; exit code, output, errors.
let private command (arguments: string list) =
    use output = new StringWriter()
    use error = new StringWriter()
    let code = TrainingCli.Run(List.toArray arguments, ProgramHost.Create(output, error))
    code, output.ToString(), error.ToString()

/// Who is frozen after the second member's numbers have become too large to go on with.
let private burst (choice: string) : (int * int64) list =
    use _ = scope ()
    let configuration = configured anActorCritic [ $"run.whenNotFinite={choice}" ]
    let agent = Agent.Create(configuration)
    use population = agent.CreatePopulation([| Seed.Of 7L; Seed.Of 8L |], 0)

    let sets = population.Tensors()

    for tensor in sets["learner"].Tensors do
        use _ = torch.no_grad ()
        tensor[1L].fill_(Scalars.constant 1e38) |> ignore

    for _ in 1..3 do
        population.Advance() |> ignore

    [ for mark in population.Frozen -> mark.Member, mark.Seed ]

/// Meta-steps of 7 environment steps, and nothing learned.
let private brief =
    """{
  "name": "brief", "members": 1, "seed": 3, "threads": 1, "environmentSteps": 100,
  "learner": { "hidden": [4], "rolloutLength": 7, "innerSteps": 1 }, "meta": { "method": "fixed" } }"""

/// Carries out a run of its own, noting when it saves; (steps of each line of metrics, steps of each checkpoint, steps at the end).
let private ran (overrides: string list) : int64 list * int64 list * int64 =
    inDirectory (fun folder ->
        let configuration = Reading.reader.Read(brief, "test", overrides)
        let saves = ResizeArray<int64>()

        let noting (inner: IExperiment) = {
            new IExperiment with
                member _.Seeds = inner.Seeds
                member _.EnvironmentSteps = inner.EnvironmentSteps
                member _.Metrics = inner.Metrics
                member _.Changes(after, until) = inner.Changes(after, until)
                member _.Advance() = inner.Advance()

                member _.Save(path, host) =
                    saves.Add inner.EnvironmentSteps
                    inner.Save(path, host)

                member _.Restore path = inner.Restore path
                member _.Dispose() = inner.Dispose()
        }

        let factory = {
            new IExperimentFactory with
                member _.Create configuration =
                    noting (ExperimentFactory().Create configuration)
        }

        let services =
            RunServices(Reading.reader, factory, FinishRun(fun _ _ _ -> FinishOutcome.Nothing), RunReporter.Silent)

        let directory = RunDirectory.Create(Path.Combine(folder, "run"))

        let outcome =
            Run.Begin(directory, configuration, "test", services).Execute(Threading.CancellationToken.None)

        Expect.equal outcome.State RunState.Finished (string outcome.Failure)
        let log = MetricsLog.Read(directory.Metrics, (RunRecord.Read directory).Metrics)
        List.ofSeq log.EnvironmentSteps, List.ofSeq saves, outcome.EnvironmentSteps)

let private runEffects = [
    effect "name" (fun () ->
        let now = DateTimeOffset(2031, 2, 3, 4, 5, 6, TimeSpan.Zero)
        Expect.equal (RunDirectory.DefaultPath("a/b", now)) (Path.Combine("runs", "a/b-20310203-040506")) "directory"

        // The program itself, started elsewhere.
        inDirectory (fun folder ->
            let here = AppContext.BaseDirectory
            File.WriteAllText(Path.Combine(folder, "brief.json"), brief)

            let start =
                ProcessStartInfo(
                    "dotnet",
                    [
                        "exec"
                        "--runtimeconfig"
                        Path.Combine(here, "Bmg.Tests.runtimeconfig.json")
                        "--depsfile"
                        Path.Combine(here, "Bmg.Tests.deps.json")
                        Path.Combine(here, "Bmg.Training.dll")
                        "train"
                        "brief.json"
                        "--set"
                        "name=group/mine"
                        "--set"
                        "environmentSteps=7"
                    ],
                    WorkingDirectory = folder,
                    RedirectStandardOutput = true,
                    RedirectStandardError = true
                )

            use child = nonNull (Process.Start start)
            let output, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
            child.WaitForExit()
            Expect.equal child.ExitCode 0 (output.Result + error.Result)

            match Directory.GetDirectories(Path.Combine(folder, "runs", "group")) with
            | [| made |] ->
                Expect.isMatch (Path.GetFileName made) @"^mine-\d{8}-\d{6}$" "name, date and time"
                Expect.isTrue (File.Exists(Path.Combine(made, "configuration.json"))) "a run"
            | other -> failtestf "expected one directory, found %A" other))
    effect "description" (fun () ->
        inDirectory (fun folder ->
            let file, run = Path.Combine(folder, "a.json"), Path.Combine(folder, "run")
            File.WriteAllText(file, brief)

            let code, _, error =
                command [
                    "train"
                    file
                    "--output"
                    run
                    "--set"
                    "description=why it was run"
                    "--set"
                    "environmentSteps=7"
                    "--quiet"
                ]

            Expect.equal (code, error) (0, "") "train"

            Expect.stringContains
                (File.ReadAllText(Path.Combine(run, "report.html")))
                "<p>why it was run</p>"
                "report"))
    effect "environmentSteps" (fun () ->
        for length, stop in [ 50, 56L; 56, 56L; 57, 63L ] do
            let _, _, ended = ran [ $"environmentSteps={length}" ]
            Expect.equal ended stop $"the end of the meta-step that reaches {length}")
    effect "run.metricsEvery" (fun () ->
        let lines, _, _ = ran [ "run.metricsEvery=20" ]
        Expect.equal lines [ 21L; 42L; 63L; 84L; 105L ] "every 20 steps, at the end of the meta-step that reaches them"
        let lines, _, _ = ran [ "run.metricsEvery=50" ]
        Expect.equal lines [ 56L; 105L ] "every 50 steps")
    effect "run.checkpointEvery" (fun () ->
        let _, saves, _ = ran [ "run.checkpointEvery=30" ]
        Expect.equal saves [ 0L; 35L; 63L; 91L; 105L ] "at the start, every 30 steps, and at the end"
        let _, saves, _ = ran [ "run.checkpointEvery=1000" ]
        Expect.equal saves [ 0L; 105L ] "at the start and at the end")
    let kept (folder: string) (settings: string list) =
        let file, run = Path.Combine(folder, "a.json"), Path.Combine(folder, Guid.NewGuid().ToString "N")
        File.WriteAllText(file, brief)

        let all =
            [ "environmentSteps=105"; "run.checkpointEvery=30"; "run.metricsEvery=7" ]
            @ settings
            |> List.collect (fun setting -> [ "--set"; setting ])

        let code, _, error = command ([ "train"; file; "--output"; run; "--quiet" ] @ all)
        Expect.equal (code, error) (0, "") "train"

        run,
        Directory.GetFiles(Path.Combine(run, "checkpoints"))
        |> Array.map (fun path -> nonNull (Path.GetFileName path))
        |> Array.sort
        |> List.ofArray

    effect "run.keepLast" (fun () ->
        inDirectory (fun folder ->
            let _, none = kept folder []
            Expect.equal none [ "latest.safetensors" ] "the latest alone"
            let run, two = kept folder [ "run.keepLast=2" ]

            Expect.equal
                two
                [
                    "latest.safetensors"
                    "step-000000000091.safetensors"
                    "step-000000000105.safetensors"
                ]
                "and the last two"

            let file = Path.Combine(run, "checkpoints", "step-000000000091.safetensors")
            use checkpoint = CheckpointFile.Read file
            Expect.equal checkpoint.Manifest.EnvironmentSteps 91L "what it says"
            let code, _, error = command [ "evaluate"; file; "--steps"; "20" ]
            Expect.equal (code, error) (0, "") "it can be played"))

    effect "run.keepBest" (fun () ->
        inDirectory (fun folder ->
            let run, files = kept folder [ "run.keepBest=true"; "seed=3" ]
            Expect.equal files [ "best.safetensors"; "latest.safetensors" ] "the best and the latest"
            use best = CheckpointFile.Read(Path.Combine(run, "checkpoints", "best.safetensors"))

            let rewards =
                File.ReadAllLines(Path.Combine(run, "metrics.jsonl"))
                |> Array.map (fun line ->
                    use json = JsonDocument.Parse line

                    json.RootElement.GetProperty("environmentSteps").GetInt64(),
                    [
                        for v in json.RootElement.GetProperty("reward").EnumerateArray() -> v.GetDouble()
                    ]
                    |> List.average)

            // Checkpoints are at 35, 63, 91 and 105; each is judged by the intervals since the one before.
            let score (from: int64, until: int64) =
                rewards
                |> Array.filter (fun (at, _) -> at > from && at <= until)
                |> Array.averageBy snd

            let _, expected =
                [ 0L, 35L; 35L, 63L; 63L, 91L; 91L, 105L ]
                |> List.maxBy (fun span -> score span, -fst span)

            Expect.equal
                best.Manifest.EnvironmentSteps
                expected
                "the one with the greatest reward since the one before"))

    effect "run.whenNotFinite=stop" (fun () ->
        Expect.throwsT<NumericalFailureException> (fun () -> burst "stop" |> ignore) "the run ends")

    effect "run.whenNotFinite=freeze" (fun () ->
        Expect.equal (burst "freeze") [ 1, 8L ] "the member and its seed; the other goes on")

    effect "threads" (fun () ->
        for threads, parts in [ 1, 1; 2, 2; 3, 3; 4, 3; 0, min 3 Environment.ProcessorCount ] do
            let configuration = configured anActorCritic [ $"threads={threads}"; "members=3" ]
            let derived = DerivedSettings.Of configuration

            Expect.equal
                derived.Threads
                (if threads = 0 then Environment.ProcessorCount else threads)
                "threads of the library"

            use experiment = new PopulationExperiment(configuration, derived)
            Expect.equal experiment.Parts parts $"parts with threads={threads}")

    effect "device=cpu" (fun () ->
        use _ = scope ()
        let configuration = configured anActorCritic [ "device=cpu" ]

        use population = Agent.Create(configuration).CreatePopulation([| Seed.Of 7L |], 0)

        for set in population.Tensors().Values do
            for t in set.Tensors do
                Expect.equal t.device_type DeviceType.CPU "where a tensor lives")

    effect "device=cuda" (fun () ->
        if torch.cuda.is_available () then
            use _ = scope ()
            let configuration = configured anActorCritic [ "device=cuda" ]

            use population = Agent.Create(configuration).CreatePopulation([| Seed.Of 7L |], 0)

            for t in population.Tensors().["learner"].Tensors do
                Expect.equal t.device_type DeviceType.CUDA "where a tensor lives"
        else
            inDirectory (fun folder ->
                let file, run = Path.Combine(folder, "a.json"), Path.Combine(folder, "run")
                File.WriteAllText(file, brief)
                let code, _, error = command [ "train"; file; "--output"; run; "--set"; "device=cuda" ]
                Expect.equal code 2 "exit code"
                Expect.stringContains error "device: found \"cuda\"" "what is wrong"
                Expect.isFalse (Directory.Exists run) "nothing is left behind"))
]

let private runConfiguration =
    covering
        "run"
        typeof<RunConfiguration>
        (learnerEffects
         @ targetEffects
         @ matchingEffects
         @ metaEffects
         @ runEffects
         @ [ for key, body in SupervisedTests.effects -> effect key body ])

// ---------------------------------------------------------------------------------------------------------------- theory

/// A theory study by hand.
[<ReferenceEquality>]
type private Study = {
    Problem: ProblemKind
    Dimensions: int
    Conditions: float list
    Horizons: int list
    Noise: float
    InnerSteps: int
    /// (name, L, μ) in the order of the results; a plain meta-gradient has none.
    Methods: (string * (int * MatchingFunction) option) list
    MetaSteps: int
    LearnerSteps: int
    PerCoordinate: bool
    Initial: float
    Low: float
    High: float
    MetaOptimizer: Optimizer
    FirstSeed: int64
    Seeds: int
}

let private l2 = Matching.parameterL2 0.5
let private kl = Landscape.GaussianKl

let private theoryText =
    """{ "name": "small", "problem": "quadratic", "dimensions": 3, "conditionNumbers": [4, 20], "horizons": [1, 3], "noise": 0.3,
         "innerSteps": 2, "targetSteps": [1, 3], "matching": ["l2", "kl"], "metaSteps": 6, "learnerSteps": 5, "seed": 5, "seeds": 2,
         "rate": { "kind": "one", "initial": 0.2, "low": 0.1, "high": 1.5 }, "meta": { "optimizer": "sgd", "learningRate": 0.4 } }"""

let private smallStudy: Study = {
    Problem = ProblemKind.Quadratic
    Dimensions = 3
    Conditions = [ 4.0; 20.0 ]
    Horizons = [ 1; 3 ]
    Noise = 0.3
    InnerSteps = 2
    Methods = [
        "MG", None
        "BMG, L = 1, L2", Some(1, l2)
        "BMG, L = 3, L2", Some(3, l2)
        "BMG, L = 1, KL", Some(1, kl)
        "BMG, L = 3, KL", Some(3, kl)
    ]
    MetaSteps = 6
    LearnerSteps = 5
    PerCoordinate = false
    Initial = 0.2
    Low = 0.1
    High = 1.5
    MetaOptimizer = Optimizers.sgd 0.4
    FirstSeed = 5L
    Seeds = 2
}

/// Name, rates and losses of each cell, by hand.
let private studied (study: Study) : (string * float[]) list = [
    use _ = scope ()

    let conditions = [|
        for c in study.Conditions do
            yield! Array.replicate study.Seeds c
    |]

    use landscape = new Landscape(study.Problem, study.Dimensions, conditions)
    let seeds = Seed.Population(study.FirstSeed, study.Seeds)

    let generators (purpose: string) =
        seeds |> Array.map (fun s -> (let s = s.For purpose in s.Generator()))

    let bounded name =
        MetaParameters.boundedScalar name study.Low study.High study.Initial

    let rates, descent =
        if study.PerCoordinate then
            MetaParameters.merge [| for name in landscape.Names -> bounded ("each/" + name) |],
            Optimizers.withRatePerTensor "each/" (Optimizers.sgd 1.0)
        else
            bounded "all", Optimizers.withLearnedRate "all" (Optimizers.sgd 1.0)

    let rule = UpdateRule.gradient landscape.LossFunction descent

    for name, method in study.Methods do
        let metaObjective, livesOn =
            match method with
            | None -> MetaObjective.MetaGradient landscape.LossFunction, study.InnerSteps
            | Some(l, matching) ->
                MetaObjective.Bootstrapped(TargetBootstrap.lookAhead l rule LastStepState.Fresh, matching),
                study.InnerSteps + l - 1

        let meta =
            MetaLearner<Observation>
                .Create(rule, study.InnerSteps, rates, metaObjective, landscape.Model, study.MetaOptimizer)

        let starts, noise = generators "start", generators "noise"

        let mutable state =
            MetaLearner.init
                meta
                (landscape.Start starts)
                (rates.Init.Invoke(Array.map Seed.Of [| for _ in conditions -> 0L |], torch.float64, torch.CPU))

        let mutable age = 0

        for _ in 1 .. study.MetaSteps do
            if age >= study.LearnerSteps then
                age <- 0

                state <- {
                    state with
                        Learner = rule.Init.Invoke(landscape.Start starts)
                }

            let struct (next, _) =
                MetaLearner.step
                    meta
                    state
                    (fun _ _ -> {
                        Data = landscape.Observe(study.Noise, noise)
                        Context = null
                    })
                    (fun pending ->
                        match pending.Data.Noise with
                        | null -> ()
                        | noise -> noise.DetachFromDisposeScope() |> ignore)

            state <- next
            age <- age + livesOn

        let hyper = rates.Apply.Invoke(state.MetaParameters, null)
        let found = hyper.Tensors |> Seq.map numbers |> Array.ofSeq
        let fresh = generators "evaluation noise"
        let mutable learner = rule.Init.Invoke(landscape.Start(generators "evaluation"))
        let before = landscape.Loss learner.Parameters

        let after = [|
            for step in 1 .. List.last study.Horizons do
                let seen = landscape.Observe(study.Noise, fresh)
                learner <- (rule.Step.Invoke(learner, hyper, seen, Differentiation.None)).Learner

                if List.contains step study.Horizons then
                    Array.map2 (/) (landscape.Loss learner.Parameters) before
        |]

        for k in 0 .. study.Conditions.Length - 1 do
            let members = [ k * study.Seeds .. (k + 1) * study.Seeds - 1 ]

            name,
            [|
                for m in members do
                    for rate in found do
                        yield rate[m]
                for row in after do
                    let losses = [ for m in members -> row[m] ]
                    yield! [ exp (losses |> List.averageBy log); List.min losses; List.max losses ]
            |]
]

/// The same from a configuration.
let private studiedBy (configuration: TheoryConfiguration) : (string * float[]) list =
    let run method =
        use _ = scope ()
        nonNull (MetaTraining.Run(configuration, method, ignore, Threading.CancellationToken.None))

    [
        for method in TheoryMethod.Of configuration do
            for cell in run method do
                cell.Method,
                [|
                    for rates in cell.Rates do
                        yield! rates
                    for h in 0 .. cell.Loss.Length - 1 do
                        yield! [ cell.Loss[h]; cell.Lowest[h]; cell.Highest[h] ]
                |]
    ]

let private theoryOf (overrides: string) =
    let root = nonNull (Text.Json.Nodes.JsonNode.Parse theoryText)
    let changes = nonNull (Text.Json.Nodes.JsonNode.Parse overrides)

    let rec merge (into: Text.Json.Nodes.JsonObject) (from: Text.Json.Nodes.JsonObject) =
        for KeyValue(key, value) in List.ofSeq from do
            match value, into[key] with
            | (:? Text.Json.Nodes.JsonObject as inner), (:? Text.Json.Nodes.JsonObject as there) -> merge there inner
            | null, _ -> into[key] <- null
            | value, _ -> into[key] <- value.DeepClone()

    merge (root.AsObject()) (changes.AsObject())
    TheoryReader.Read(root.ToJsonString(), "test")

/// A setting of a theory study under some values, each with what it makes of the study; no two alike.
let private theory key (cases: (string * (Study -> Study)) list) =
    effect key (fun () ->
        let expected = cases |> List.map (fun (_, edit) -> studied (edit smallStudy))

        for (i, a), (j, b) in List.allPairs (List.indexed expected) (List.indexed expected) do
            if i < j then
                Expect.isFalse
                    (List.map fst a = List.map fst b
                     && List.forall2 (fun (_, x) (_, y) -> agree accumulated x y) a b)
                    $"{fst cases[i]} and {fst cases[j]} make a difference"

        for (change, _), cells in List.zip cases expected do
            let found = studiedBy (theoryOf change)
            Expect.equal (List.map fst found) (List.map fst cells) $"{change}: methods"

            for (name, a), (_, b) in List.zip cells found do
                near accumulated $"{change}: {name}" a b)

let private linesOf (change: string) =
    let summary = TheorySummary.Measure([| theoryOf change |], ignore)
    TheoryTable.Lines summary |> List.ofSeq

let private theoryEffects = [
    effect "name" (fun () ->
        Expect.exists
            (linesOf """{ "name": "mine" }""")
            (fun l -> l.StartsWith "mine: f after 3 steps")
            "the table's title")
    effect "description" (fun () ->
        inDirectory (fun folder ->
            let summary = TheorySummary.Measure([| theoryOf """{ "description": "why it was run" }""" |], ignore)
            summary.Write folder

            Expect.stringContains
                (File.ReadAllText(Path.Combine(folder, "theory.json")))
                "\"description\": \"why it was run\""
                "theory.json"))
    theory "problem=quadratic" [ "{}", id ]
    theory "problem=rosenbrock" [
        """{ "problem": "rosenbrock", "dimensions": 2, "conditionNumbers": [18, 40] }""",
        (fun s -> {
            s with
                Problem = ProblemKind.Rosenbrock
                Dimensions = 2
                Conditions = [ 18.0; 40.0 ]
        })
        """{ "dimensions": 2, "conditionNumbers": [18, 40] }""",
        (fun s -> {
            s with
                Dimensions = 2
                Conditions = [ 18.0; 40.0 ]
        })
    ]
    theory "dimensions" [ "{}", id; """{ "dimensions": 4 }""", (fun s -> { s with Dimensions = 4 }) ]
    theory "conditionNumbers" [
        "{}", id
        """{ "conditionNumbers": [2] }""", (fun s -> { s with Conditions = [ 2.0 ] })
    ]
    theory "horizons" [
        "{}", id
        """{ "horizons": [2, 5] }""", (fun s -> { s with Horizons = [ 2; 5 ] })
    ]
    effect "horizonsAt" (fun () ->
        Expect.exists (linesOf """{ "horizonsAt": 4 }""") (fun l -> l = "small: the same at κ = 4 by steps") "given"

        Expect.exists
            (linesOf """{ "horizonsAt": null }""")
            (fun l -> l = "small: the same at κ = 20 by steps")
            "the last"

        let row change =
            linesOf change
            |> List.skipWhile (fun l -> not (l.StartsWith "small: the same"))
            |> List.find (fun l -> l.StartsWith "MG")

        Expect.notEqual (row """{ "horizonsAt": 4 }""") (row """{ "horizonsAt": 20 }""") "numbers of another κ")
    theory "noise" [
        "{}", id
        """{ "noise": 0 }""", (fun s -> { s with Noise = 0.0 })
        """{ "noise": 1.5 }""", (fun s -> { s with Noise = 1.5 })
    ]
    theory "innerSteps" [ "{}", id; """{ "innerSteps": 1 }""", (fun s -> { s with InnerSteps = 1 }) ]
    theory "targetSteps" [
        "{}", id
        """{ "targetSteps": [2] }""",
        (fun s -> {
            s with
                Methods = [ "MG", None; "BMG, L = 2, L2", Some(2, l2); "BMG, L = 2, KL", Some(2, kl) ]
        })
    ]
    for key, text, matching in [ "matching=l2", "L2", l2; "matching=kl", "KL", kl ] do
        let choice = text.ToLowerInvariant()

        theory key [
            $"{{ \"matching\": [\"{choice}\"] }}",
            (fun s -> {
                s with
                    Methods = [
                        "MG", None
                        $"BMG, L = 1, {text}", Some(1, matching)
                        $"BMG, L = 3, {text}", Some(3, matching)
                    ]
            })
            "{}", id
        ]
    theory "metaSteps" [ "{}", id; """{ "metaSteps": 3 }""", (fun s -> { s with MetaSteps = 3 }) ]
    theory "learnerSteps" [
        "{}", id
        """{ "learnerSteps": 2 }""", (fun s -> { s with LearnerSteps = 2 })
        """{ "learnerSteps": 50 }""", (fun s -> { s with LearnerSteps = 50 })
    ]
    for key in [ "rate.kind=one"; "rate.kind=per-coordinate" ] do
        theory key [
            """{ "rate": { "kind": "one" } }""", id
            """{ "rate": { "kind": "per-coordinate" } }""", (fun s -> { s with PerCoordinate = true })
        ]
    theory "rate.initial" [
        "{}", id
        """{ "rate": { "initial": 0.6 } }""", (fun s -> { s with Initial = 0.6 })
    ]
    theory "rate.low" [ "{}", id; """{ "rate": { "low": 0 } }""", (fun s -> { s with Low = 0.0 }) ]
    theory "rate.high" [
        "{}", id
        """{ "rate": { "high": 0.8 } }""", (fun s -> { s with High = 0.8 })
    ]
    let sgd, adam = "meta.optimizer=sgd", "meta.optimizer=adam"

    for key in [ sgd; adam ] do
        theory key [
            """{ "meta": { "optimizer": "sgd" } }""", id
            """{ "meta": { "optimizer": "adam" } }""",
            (fun s -> {
                s with
                    MetaOptimizer = Optimizers.adam 0.4 0.9 0.999 1e-8 1e-16
            })
        ]

    theory "meta.learningRate" [
        "{}", id
        """{ "meta": { "learningRate": 0.1 } }""",
        (fun s -> {
            s with
                MetaOptimizer = Optimizers.sgd 0.1
        })
        """{ "meta": { "optimizer": "adam", "learningRate": 0.1 } }""",
        (fun s -> {
            s with
                MetaOptimizer = Optimizers.adam 0.1 0.9 0.999 1e-8 1e-16
        })
    ]

    theory "seed" [ "{}", id; """{ "seed": 11 }""", (fun s -> { s with FirstSeed = 11L }) ]

    theory "seeds" [
        """{ "seeds": 1 }""", (fun s -> { s with Seeds = 1 })
        "{}", id
        """{ "seeds": 3 }""", (fun s -> { s with Seeds = 3 })
    ]
]

/// The table's numbers are those of the cells.
let private theoryTables =
    test "theory's table shows each cell in its place" {
        let summary = TheorySummary.Measure([| theoryOf "{}" |], ignore)
        let lines = TheoryTable.Lines summary |> List.ofSeq

        let words (line: string) =
            line.Substring(22).Split(' ', StringSplitOptions.RemoveEmptyEntries)

        let rowOf (title: string) (name: string) =
            lines
            |> List.skipWhile (fun l -> not (l.StartsWith title))
            |> List.find (fun l -> l.StartsWith(name.PadRight 22))
            |> words

        let shown (value: float) =
            if abs value >= 0.001 && abs value < 1e6 then
                value.ToString("G4", Globalization.CultureInfo.InvariantCulture)
            else
                value.ToString("0.0e+0", Globalization.CultureInfo.InvariantCulture)

        for name, cells in summary.Studies[0].Cells |> Seq.groupBy (fun c -> c.Method) do
            let cells = Array.ofSeq cells
            let last = cells |> Array.map (fun c -> shown c.Loss[1])
            Expect.equal (rowOf "small: f after 3 steps" name) last $"{name}: after the last horizon, by κ"
            let byStep = cells[1].Loss |> Array.map shown
            Expect.equal (rowOf "small: the same at κ = 20" name) byStep $"{name}: at the last κ, by horizon"

            let rates =
                cells
                |> Array.map (fun c -> c.Rates |> Array.averageBy (fun r -> r[0]) |> shown)

            Expect.equal (rowOf "small: rates found" name) rates $"{name}: rates by κ"
    }

let private theoryConfiguration =
    testList "theory's own" [ covering "theory" typeof<TheoryConfiguration> theoryEffects; theoryTables ]

// ---------------------------------------------------------------------------------------------------------------- studies

/// What `reproduce` made of one study, in which every setting is another than its default.
[<NoComparison>]
type private Reproduced = {
    Printed: string
    Folders: string list
    Report: string
    /// By cell and column.
    Table: Map<string, Map<string, string>>
    Results: Map<string, CellResult>
}

let private reproduced =
    lazy
        (inDirectory (fun folder ->
            let file name = Path.Combine(folder, name)
            Directory.CreateDirectory(file "configs") |> ignore
            File.WriteAllText(file "configs/first.json", brief)
            File.WriteAllText(file "configs/second.json", brief.Replace("\"seed\": 3", "\"seed\": 40"))

            File.WriteAllText(
                file "study.json",
                """{ "name": "tiny", "title": "Tiny title", "description": "Tiny description", "source": "Tiny source, table 1",
                     "unit": "dozens", "unitSize": 12, "fullSteps": 140, "fullSeeds": 2, "cells": [
                       { "id": "one", "label": "label of one", "group": "group A", "config": "configs/first.json",
                         "published": { "mean": 2.5, "deviation": 0.25 } },
                       { "id": "two", "label": "label of two", "group": "group B", "config": "configs/second.json" } ] }"""
            )

            let code, printed, error =
                command [
                    "reproduce"
                    file "study.json"
                    "--output"
                    file "out"
                    "--results"
                    file "results"
                ]

            Expect.equal (code, error) (0, "") printed

            let rows =
                File.ReadAllLines(file "results/table.csv")
                |> Array.map (fun line -> line.Split ',')

            {
                Printed = printed
                Folders =
                    Directory.GetDirectories(file "out")
                    |> Array.map (Path.GetFileName >> nonNull)
                    |> List.ofArray
                Report = File.ReadAllText(file "results/report.html")
                Table = Map [ for row in rows[1..] -> row[0], Map(Array.zip rows[0] row) ]
                Results =
                    Map [
                        for cell in [ "one"; "two" ] -> cell, nonNull (CellResult.Read(file "results", cell))
                    ]
            }))

let private number (text: string) =
    Double.Parse(text, Globalization.CultureInfo.InvariantCulture)

let private studyEffects = [
    effect "name" (fun () -> Expect.equal reproduced.Value.Results["one"].Study "tiny" "the results' study")
    effect "title" (fun () ->
        Expect.stringContains reproduced.Value.Printed "Tiny title" "above the table"
        Expect.stringContains reproduced.Value.Report "<h1>Tiny title</h1>" "above the report")
    effect "description" (fun () ->
        Expect.stringContains reproduced.Value.Report "<p>Tiny description</p>" "in the report")
    effect "source" (fun () ->
        Expect.stringContains reproduced.Value.Printed "published in: Tiny source, table 1" "below the table")
    effect "unit" (fun () ->
        Expect.stringContains reproduced.Value.Printed "published, ours: dozens, " "below the table")
    effect "unitSize" (fun () ->
        let result, row = reproduced.Value.Results["one"], reproduced.Value.Table["one"]
        let mean = Seq.average result.TotalReward / 12.0
        // The table has six digits.
        let six = { absolute = 0.0; relative = 1e-5 }
        Expect.floatClose six (number row["mean"]) mean "the mean in dozens"
        let deviation = abs (result.TotalReward[0] - result.TotalReward[1]) / sqrt 2.0 / 12.0
        Expect.floatClose six (number row["deviation"]) deviation "the deviation in dozens")
    effect "fullSteps" (fun () ->
        Expect.equal reproduced.Value.Results["one"].Steps 140L "steps run"
        Expect.equal (reproduced.Value.Table["one"]["short"]) "no" "as long as the published ones")
    effect "fullSeeds" (fun () -> Expect.sequenceEqual reproduced.Value.Results["one"].Seeds [ 3L; 4L ] "seeds run")
    effect "cells" (fun () ->
        Expect.equal (reproduced.Value.Table |> Map.keys |> List.ofSeq) [ "one"; "two" ] "rows of the table")
    effect "cells.0.id" (fun () ->
        Expect.containsAll reproduced.Value.Folders [ "one"; "two" ] "directories of the runs")
    effect "cells.0.label" (fun () ->
        Expect.equal (reproduced.Value.Table["two"]["label"]) "label of two" "in the table"
        Expect.stringContains reproduced.Value.Report "one: label of one" "in the plots' legends")
    effect "cells.0.group" (fun () ->
        Expect.stringContains reproduced.Value.Report "<h2>group A</h2>" "a heading of plots"
        Expect.stringContains reproduced.Value.Report "<h2>group B</h2>" "a heading of plots")
    effect "cells.0.config" (fun () ->
        Expect.sequenceEqual reproduced.Value.Results["two"].Seeds [ 40L; 41L ] "seeds of the second configuration"
        Expect.equal (reproduced.Value.Table["two"]["config"]) "configs/second.json" "in the table")
    effect "cells.0.published" (fun () ->
        Expect.equal (reproduced.Value.Table["one"]["published_mean"]) "2.5" "given"
        Expect.equal (reproduced.Value.Table["two"]["published_mean"]) "" "none")
    effect "cells.0.published.mean" (fun () ->
        Expect.equal (reproduced.Value.Table["one"]["published_mean"]) "2.5" "in the table")
    effect "cells.0.published.deviation" (fun () ->
        let row = reproduced.Value.Table["one"]
        Expect.equal row["published_deviation"] "0.25" "in the table"

        Expect.floatClose
            Accuracy.medium
            (number row["difference"])
            ((number row["mean"] - 2.5) / 0.25)
            "in published deviations")
]

let private studyDescription = covering "study" typeof<StudyDescription> studyEffects

let tests = testList "wiring" [ runConfiguration; theoryConfiguration; studyDescription ]
