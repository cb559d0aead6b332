/// Streams of experience with episodes: what rollouts hold of them, copies, saved streams, and environments that break their word in a run.
module Bmg.Tests.StreamTests

open System
open System.IO
open System.Text.Json
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Training
open Bmg.Training.Acting
open Bmg.Training.Agents
open Bmg.Training.Catalogues
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Experiments
open Bmg.Training.Library
open Bmg.Tests.Counting
open Bmg.Tests.Tolerances
open Bmg.Tests.Worlds
open Expecto
open FsCheck
open FsCheck.FSharp
open TorchSharp

/// Environments with short episodes that end both ways, masks, bytes, several actions and bounded ones; two that never end.
let private kinds: (string * RunConfiguration) list = [
    "two-colors", environmentOf [ "environment.swapPeriod=7" ]
    "switching-mdps",
    environmentOf [
        "environment.name=switching-mdps"
        "environment.side=4"
        "environment.mostWalls=4"
        "environment.swapPeriod=5"
    ]
    "cartpole", environmentOf [ "environment.name=cartpole"; "environment.steps=11" ]
    "pendulum", environmentOf [ "environment.name=pendulum"; "environment.steps=6" ]
    "pixels", environmentOf [ "environment.name=pixels"; "environment.steps=12" ]
    "toggles", environmentOf [ "environment.name=toggles"; "environment.steps=5"; "environment.lamps=2" ]
    "counter", ownEnvironment "counter" (fun _ -> counter honest)
]

[<NoComparison>]
type private Case = {
    Name: string
    Seed: int64
    Members: int
    Copies: int
    Length: int
    Plainly: bool
}

let private cases =
    Arb.fromGen (
        gen {
            let! name, _ = Gen.elements kinds
            let! seed = Gen.choose (0, 1_000_000)
            let! members = Gen.choose (1, 3)
            let! copies = Gen.choose (1, 3)
            let! length = Gen.choose (1, 17)
            let! plainly = Gen.elements [ true; false ]

            return {
                Name = name
                Seed = int64 seed
                Members = members
                Copies = copies
                Length = length
                Plainly = plainly
            }
        }
    )

let private partOf (case: Case) : RunConfiguration =
    kinds |> List.find (fun (name, _) -> name = case.Name) |> snd

let private describe (part: RunConfiguration) = ConfiguredEnvironment.Describe part

/// A small learner for an environment.
let private agentFor (description: EnvironmentDescription) =
    let distribution = ActionChoice.DistributionOf description.Actions
    let size = description.Observation.Size

    ActorCritic
        .Create(
            Network.Mlp("policy", size, [| 6 |], distribution.Outputs, Activation.Relu),
            Network.Mlp("value", size, [| 6 |], 1, Activation.Relu)
        )
        .WithDistribution
        distribution

let private init (agent: ActorCritic) (seeds: Seed[]) =
    ActorCritic.init agent Initialization.Uniform seeds torch.float32 torch.CPU

let private collector (agent: ActorCritic) (streams: Streams) (seeds: Seed[]) (context: RecentContext | null) case =
    RolloutCollector(streams, agent, seeds, case.Length, 0.9, context, torch.CPU, case.Plainly)

/// The seed of a member's copy.
let private seedOf (seed: Seed) (copy: int) =
    if copy = 0 then seed else seed.For $"copy {copy}"

/// One stream by hand: what it shows, and whether its episode is over.
type private Hand(part: RunConfiguration, seed: Seed) =
    let environment = ConfiguredEnvironment.Create(part, seed)
    let random = let own = seed.For "environment" in own.Generator()
    let mutable observation = reset environment random
    let mutable over = false

    member _.Observation = observation
    member _.Over = over

    member _.Mask =
        if over then
            Array.create environment.Description.Actions.MaskSize true
        else
            masked environment

    /// Acts as a learner's action says, or begins the next episode: none then.
    member _.Act(drawn: float[]) : StepResult option =
        if over then
            observation <- reset environment random
            over <- false
            None
        else
            let result, next =
                match environment.Description.Actions with
                | :? ActionSpace.Continuous as space ->
                    let bounded (number: float) (bounds: Bounded) =
                        let share = (max -1.0f (min 1.0f (float32 number)) + 1.0f) / 2.0f
                        max bounds.Low (min bounds.High (bounds.Low + (bounds.High - bounds.Low) * share))

                    push environment random (Array.map2 bounded drawn (Array.ofSeq space.Actions))
                | _ -> act environment random (Array.map int drawn)

            observation <- next
            over <- result.Ended
            Some result

/// The numbers of a tensor that is there, 0 of one that is not.
let private orNothing (size: int) (t: Tensor | null) =
    match t with
    | null -> Array.zeroCreate size
    | t -> numbers (t.``to`` torch.float32)

/// float32 rounding of a difference, divided by a deviation that may be small.
let private divided = {
    Name = "float32 rounding over a deviation"
    Relative = 1e-5
    Floor = 1e-4
}

let private rollouts =
    testList "rollouts" [
        property 120 "hold what happened in every stream, ends, masks, bytes and bounds" cases (fun case ->
            use _ = scope ()
            let part = partOf case
            let description = describe part
            let seeds = Seed.Population(case.Seed, case.Members)
            let agent = agentFor description
            let streams = new Streams(part, seeds, case.Copies, 0)
            let ended = ResizeArray<int * float * int64>()
            streams.EpisodeEnded <- fun m sum count -> ended.Add((m, sum, count))
            let context = RecentContext(case.Members, 2, ContextScaling.Raw)
            let collector = collector agent streams seeds context case
            let x = init agent seeds

            let hands = [|
                for seed in seeds do
                    for copy in 0 .. case.Copies - 1 -> Hand(part, seedOf seed copy)
            |]

            let width, length = description.Observation.Size, case.Length
            let actions = max 1 (agent.Distribution.ActionSize)
            let choices = description.Actions.MaskSize
            let running = Array.create hands.Length (0.0, 0L)
            let expectedEnds = ResizeArray<int * float * int64>()
            let means = Array.init case.Members (fun _ -> ResizeArray<float>())

            for round in 1..3 do
                let experience = collector.Collect x
                let data = experience.Data
                let rows = hands.Length

                let shape (inner: int64 list) =
                    Array.ofList (int64 case.Members :: int64 case.Copies :: inner)

                Expect.equal data.Observations.shape (shape [ int64 length + 1L; int64 width ]) "observations"

                Expect.equal
                    data.Observations.dtype
                    (if description.Observation.Kind = ObservationKind.Bytes then
                         torch.uint8
                     else
                         torch.float32)
                    "their type"

                Expect.equal (isNull data.Valid) (not description.Ends) "validity where there are ends"
                Expect.equal (isNull data.Mask) (not description.Masks) "masks where there are any"

                let chunks size (values: float[]) = Array.chunkBySize size values
                let observed = chunks width (numbers (data.Observations.``to`` torch.float32))
                let drawn = chunks actions (numbers data.Actions)
                let rewards = numbers data.Rewards
                let terminated = orNothing (rows * length) data.Terminated
                let truncated = orNothing (rows * length) data.Truncated

                let valid =
                    if isNull data.Valid then
                        Array.create (rows * length) 1.0
                    else
                        orNothing 0 data.Valid

                let masks =
                    if isNull data.Mask then
                        [||]
                    else
                        chunks choices (orNothing 0 data.Mask)

                for row in 0 .. rows - 1 do
                    let hand = hands[row]

                    let shows t =
                        let at = row * (length + 1) + t
                        near exact $"row {row}, step {t}: observation" (Array.map float hand.Observation) observed[at]

                        if description.Masks then
                            near
                                exact
                                $"row {row}, step {t}: mask"
                                (hand.Mask |> Array.map (fun a -> if a then 1.0 else 0.0))
                                masks[at]

                    shows 0

                    for t in 0 .. length - 1 do
                        let at = row * length + t

                        match hand.Act drawn[at] with
                        | None ->
                            near
                                exact
                                $"row {row}, step {t}: nothing between two episodes"
                                (Array.zeroCreate (4 + actions))
                                [| valid[at]; rewards[at]; terminated[at]; truncated[at]; yield! drawn[at] |]
                        | Some result ->
                            let flag told = if told then 1.0 else 0.0

                            near exact $"row {row}, step {t}: what happened" [|
                                1.0
                                float result.Reward
                                flag result.Terminated
                                flag result.Truncated
                            |] [| valid[at]; rewards[at]; terminated[at]; truncated[at] |]

                            let sum, count = running[row]
                            running[row] <- (sum + float result.Reward, count + 1L)

                            if result.Ended then
                                let sum, count = running[row]
                                expectedEnds.Add((row / case.Copies, sum, count))
                                running[row] <- (0.0, 0L)

                        shows (t + 1)

                for m in 0 .. case.Members - 1 do
                    let own = [| m * case.Copies * length .. (m + 1) * case.Copies * length - 1 |]
                    let steps = own |> Array.sumBy (fun at -> valid[at])
                    means[m].Add((own |> Array.sumBy (fun at -> rewards[at])) / max 1.0 steps)

                near
                    singlePrecision
                    "context: the mean over steps that happened"
                    (means
                     |> Array.collect (fun own ->
                         Array.append (Array.zeroCreate 2) (own.ToArray())
                         |> Array.rev
                         |> Array.truncate 2
                         |> Array.rev))
                    (numbers (nonNull experience.Context))

                Expect.equal
                    collector.EnvironmentSteps
                    (int64 (round * length * case.Copies))
                    "steps of a member, copies together"

            Expect.equal (List.sort (List.ofSeq ended)) (List.sort (List.ofSeq expectedEnds)) "episodes told")

        property 60 "are the same acted plainly and on a device" cases (fun case ->
            use _ = scope ()
            let part = partOf case
            let seeds = Seed.Population(case.Seed, case.Members)
            let agent = agentFor (describe part)
            let x = init agent seeds

            let both =
                [ true; false ]
                |> List.map (fun plainly ->
                    let streams = new Streams(part, seeds, case.Copies, 0)
                    collector agent streams seeds null { case with Plainly = plainly })

            for _ in 1..3 do
                match both |> List.map (fun c -> (c.Collect x).Data.ToParams()) with
                | [ a; b ] ->
                    Expect.sequenceEqual a.Names b.Names "tensors"
                    // A Gaussian's draws differ where its means do, in their last digits.
                    near singlePrecision "rollout" (numbersOf a) (numbersOf b)
                | _ -> ())

        property 60 "normalised are what was seen before them, and rewards by what was seen by them" cases (fun case ->
            use _ = scope ()
            let part = partOf case
            let description = describe part

            if description.Observation.Kind <> ObservationKind.Bytes then
                let seeds = Seed.Population(case.Seed, case.Members)
                let agent = agentFor description
                let width, length = description.Observation.Size, case.Length

                // Acting on observations that mean nothing draws the same as acting on their numbers.
                let x = (init agent seeds).Map(fun t -> torch.zeros_like t)
                let plain = collector agent (new Streams(part, seeds, case.Copies, 0)) seeds null case

                use normalizer = new Normalizer(case.Members, case.Copies, width, true, true, 0.9)

                let normalized =
                    RolloutCollector(
                        new Streams(part, seeds, case.Copies, 0),
                        agent,
                        seeds,
                        length,
                        0.9,
                        null,
                        torch.CPU,
                        case.Plainly,
                        Normalizer = normalizer
                    )

                let seen = Array.init case.Members (fun _ -> ResizeArray<float[]>())
                let sums = Array.zeroCreate<float>(case.Members * case.Copies)
                let allSums = Array.init case.Members (fun _ -> ResizeArray<float>())

                let deviation (xs: float seq) =
                    let mean = Seq.average xs
                    sqrt (1e-8 + (xs |> Seq.averageBy (fun v -> (v - mean) ** 2.0)))

                let held = max -10.0 >> min 10.0

                for round in 1..4 do
                    let raw, found = (plain.Collect x).Data, (normalized.Collect x).Data
                    let own = case.Copies * (length + 1)
                    let rows = numbers raw.Observations |> Array.chunkBySize width
                    let shown = numbers found.Observations |> Array.chunkBySize width

                    for m in 0 .. case.Members - 1 do
                        let columns =
                            if seen[m].Count = 0 then
                                [||]
                            else
                                seen[m].ToArray() |> Array.transpose

                        for i in m * own .. (m + 1) * own - 1 do
                            let expected =
                                if seen[m].Count < 2 then
                                    rows[i] |> Array.map held
                                else
                                    Array.map2
                                        // The mean that is applied, and exported, is a float32: over a deviation of 1e-4 its rounding
                                        // alone would move the quotient by 3e-4.
                                        (fun o column ->
                                            held ((o - float (float32 (Array.average column))) / deviation column))
                                        rows[i]
                                        columns

                            near divided $"seed {case.Seed}, round {round}: observation" expected shown[i]

                        for i in m * own .. (m + 1) * own - 1 do
                            if (i - m * own) % (length + 1) < length then
                                seen[m].Add rows[i]

                    let size = case.Members * case.Copies * length
                    let rewards, scaled = numbers raw.Rewards, numbers found.Rewards
                    let flags (t: Tensor | null) = orNothing size t
                    let ends = Array.map2 (+) (flags raw.Terminated) (flags raw.Truncated)

                    let valid =
                        if isNull raw.Valid then
                            Array.create size 1.0
                        else
                            flags raw.Valid

                    for i in 0 .. size - 1 do
                        if valid[i] > 0.0 then
                            let row = i / length
                            sums[row] <- 0.9 * sums[row] + rewards[i]
                            allSums[row / case.Copies].Add sums[row]

                            if ends[i] > 0.0 then
                                sums[row] <- 0.0

                    for i in 0 .. size - 1 do
                        let all = allSums[i / length / case.Copies]
                        let by = if all.Count < 2 then 1.0 else deviation all

                        near divided $"seed {case.Seed}, round {round}: reward" [| held (rewards[i] / by) |] [|
                            scaled[i]
                        |])

        property 120 "are the same of streams that step together" cases (fun case ->
            use _ = scope ()
            let part = partOf case
            let seeds = Seed.Population(case.Seed, case.Members)
            let agent = agentFor (describe part)
            let x = init agent seeds
            let counts = ResizeArray<int>()
            let ended = ref 0
            let together = batchOf part counts.Add (fun () -> ended.Value <- ended.Value + 1)
            use alone = new Streams(part, seeds, case.Copies, 0)
            let rows = case.Members * case.Copies
            // Some were made to be described.
            ended.Value <- 0

            do
                use batch = new Streams(together, seeds, case.Copies, 0)
                let plain, collector = collector agent alone seeds null case, collector agent batch seeds null case

                for round in 1..3 do
                    counts.Clear()
                    let expected = (plain.Collect x).Data.ToParams()
                    let found = (collector.Collect x).Data.ToParams()
                    Expect.sequenceEqual found.Names expected.Names "tensors"

                    let tolerance = if case.Plainly then exact else singlePrecision
                    near tolerance $"round {round}" (numbersOf expected) (numbersOf found)
                    Expect.isLessThanOrEqual counts.Count case.Length "a call for all streams at a step"
                    Expect.isTrue (counts |> Seq.forall (fun n -> n <= rows)) "streams that act"

                    let valid =
                        if expected.Contains "valid" then
                            int (Array.sum (numbers expected["valid"]))
                        else
                            rows * case.Length

                    Expect.equal (Seq.sum counts) valid "steps in all"

                // Saved, and restored into a batch of its own.
                use other = new Streams(together, seeds, case.Copies, 0)

                if (describe part).Saves then
                    for m in 0 .. case.Members - 1 do
                        other.Restore(m, batch.Save m)

                        for copy in 0 .. case.Copies - 1 do
                            Expect.sequenceEqual
                                (other.Observation(m, copy).ToArray())
                                (batch.Observation(m, copy).ToArray())
                                "what it showed"

            Expect.equal ended.Value 2 "both are disposed")

        test "a batch that throws or gives what it must not is named" {
            for what, says in
                [
                    "throws", "environment 'batch', 4 streams together, step 1: threw Exception: no luck"
                    "gives NaN", "environment 'batch', member 0 (seed 1), copy 0, step 1: reward: found NaN"
                ] do
                let part = environmentOf [ "environment.name=cartpole" ]
                let catalogue = LibraryParts.Catalogue()

                let make (seeds: Collections.Generic.IReadOnlyList<Seed>) =
                    let inner = [| for seed in seeds -> ConfiguredEnvironment.Create(part, seed) |]

                    let environments =
                        if what = "throws" then
                            inner
                        else
                            inner
                            |> Array.map (fun each -> {
                                new EnvironmentWrapper(each) with
                                    override _.Step(random, action, observation) =
                                        each.Step(random, action, observation) |> ignore
                                        StepResult nanf
                            })
                            |> Array.map (fun each -> each :> IEnvironment)

                    let stepped _ =
                        if what = "throws" then
                            failwith "no luck"

                    new Batch(environments, stepped, ignore) :> IBatchedEnvironment

                catalogue.Add(
                    EnvironmentKinds.Environment,
                    "batch",
                    NoSettings(),
                    (fun _ -> MakeEnvironment.Batched make)
                )

                let settings =
                    (Resolution.Reader catalogue)
                        .Read("{}", "test", [ "environment.name=batch"; "members=2"; "learner.copies=2"; "threads=1" ])

                use experiment = new PopulationExperiment(settings, DerivedSettings.Of settings)

                try
                    experiment.Advance() |> ignore
                    failtest "nothing was raised"
                with :? EnvironmentException as e ->
                    Expect.stringContains e.Message says what
        }

        property 60 "a feature of one's own sees what happened" cases (fun case ->
            use _ = scope ()
            let part = partOf case
            let description = describe part
            let seeds = Seed.Population(case.Seed, case.Members)
            let agent = agentFor description
            let seen = ResizeArray<float[]>()

            let feature = {
                new IContextFeature with
                    member _.Names(_, _) = [| "number" |]

                    member _.Write(view, numbers) =
                        seen.Add [|
                            float view.Member
                            yield! Seq.map float (view.Rewards.ToArray())
                            yield! Seq.map float (view.Values.ToArray())
                            yield! Seq.map float (view.TdErrors.ToArray())

                            for i in 0 .. view.Rewards.Length - 1 do
                                yield! Seq.map float (view.Observation(i).ToArray())
                        |]

                        numbers[0] <- float view.Rewards.Length
            }

            let streams = new Streams(part, seeds, case.Copies, 0)
            let context = RecentContext(case.Members, 1, ContextScaling.Raw)
            let named = NamedFeature("mine", feature, description, [||])

            let collector =
                RolloutCollector(
                    streams,
                    agent,
                    seeds,
                    case.Length,
                    0.9,
                    context,
                    torch.CPU,
                    case.Plainly,
                    Features = [| named |]
                )

            let x = init agent seeds

            for _ in 1..3 do
                seen.Clear()
                let experience = collector.Collect x
                let data = experience.Data
                let size = case.Copies * case.Length
                let values = numbers (ActorCritic.values agent x data)

                let observations =
                    let raw = numbers (data.Observations.``to`` torch.float32)

                    (if description.Observation.Kind = ObservationKind.Bytes then
                         raw |> Array.map (fun b -> b / 255.0)
                     else
                         raw)
                    |> Array.chunkBySize description.Observation.Size

                let rewards = numbers data.Rewards
                let flags (t: Tensor | null) = orNothing (case.Members * size) t

                let valid =
                    if isNull data.Valid then
                        Array.create (case.Members * size) 1.0
                    else
                        flags data.Valid

                let terminated = flags data.Terminated
                Expect.equal seen.Count case.Members "once for each member"

                for m in 0 .. case.Members - 1 do
                    let steps = [| m * size .. (m + 1) * size - 1 |] |> Array.filter (fun i -> valid[i] > 0.0)

                    /// The state before a step, among all T + 1 of its stream.
                    let at i =
                        i / case.Length * (case.Length + 1) + i % case.Length

                    let next i =
                        if terminated[i] > 0.0 then 0.0 else 0.9 * values[at i + 1]

                    near
                        singlePrecision
                        $"member {m}"
                        (Array.concat [
                            [| float m |]
                            steps |> Array.map (fun i -> rewards[i])
                            steps |> Array.map (fun i -> values[at i])
                            steps |> Array.map (fun i -> rewards[i] + next i - values[at i])
                            steps |> Array.collect (fun i -> observations[at i])
                        ])
                        seen[m]

                near
                    exact
                    "its number is the context"
                    [|
                        for m in 0 .. case.Members - 1 -> Array.sum valid[m * size .. (m + 1) * size - 1]
                    |]
                    (numbers (nonNull experience.Context)))

        for what, says in
            [
                "throws", "threw Exception: no luck"
                "writes NaN", "NaN"
                "compares steps unsaid", "ComparesSteps is true"
                "writes too many", "threw IndexOutOfRangeException"
            ] do
            testCase $"a feature that {what} is named" (fun () ->
                let catalogue = Bmg.Training.Library.LibraryParts.Catalogue()

                let feature = {
                    new IContextFeature with
                        member _.Names(_, _) = [| "number" |]

                        member _.Write(view, numbers) =
                            match what with
                            | "throws" -> failwith "no luck"
                            | "writes NaN" -> numbers[0] <- nan
                            | "compares steps unsaid" -> numbers[0] <- view.StepCosine
                            | _ -> numbers[1] <- 0.0
                }

                catalogue.Add(AgentKinds.Feature, "mine", NoSettings(), (fun _ -> feature))

                let settings =
                    (Resolution.Reader catalogue)
                        .Read("{}", "test", [ "meta.parameters=network"; "meta.features.0.name=mine"; "members=2" ])

                use experiment = new PopulationExperiment(settings, DerivedSettings.Of settings)

                try
                    experiment.Advance() |> ignore
                    failtest "nothing was raised"
                with e when not (e :? AssertException) ->
                    Expect.stringContains e.Message says "what"
                    Expect.stringContains (e.Message.ToLowerInvariant()) "context feature \"mine\"" "which"
                    Expect.stringContains e.Message "member 0" "whose")

        property 60 "copies are streams of their own seeds, a member's alone" cases (fun case ->
            use _ = scope ()
            let part = partOf case
            let agent = agentFor (describe part)
            let seed = Seed.Of case.Seed
            let x = init agent [| seed |]
            let copies = collector agent (new Streams(part, [| seed |], case.Copies, 0)) [| seed |] null case
            let own = [| for copy in 0 .. case.Copies - 1 -> seedOf seed copy |]

            let alone = [|
                for s in own -> collector agent (new Streams(part, [| s |], 1, 0)) [| s |] null case
            |]

            for _ in 1..2 do
                let together = (copies.Collect x).Data.ToParams()

                for copy in 0 .. case.Copies - 1 do
                    let one = (alone[copy].Collect x).Data.ToParams()

                    for i in 0 .. one.Count - 1 do
                        near
                            exact
                            $"copy {copy}: {one.Names[i]}"
                            (numbers (one.Tensors[i].``to`` torch.float32))
                            (numbers (together.Tensors[i].[0L, int64 copy].contiguous().``to`` torch.float32)))

        testCase "a bounded action beyond its range is clipped for the environment, and stays for the learner"
        <| fun () ->
            let taken = ResizeArray<float32>()

            let part =
                ownEnvironment "push" (fun _ -> {
                    new IEnvironment with
                        member _.Description =
                            EnvironmentDescription(
                                ObservationSpace.Named "nothing",
                                ActionSpace.OfBounded(Bounded("push", -2f, 6f))
                            )

                        member _.Reset(_, observation) = observation.Clear()

                        member _.Step(_, action, observation) =
                            observation.Clear()
                            taken.Add action.Values[0]
                            StepResult action.Values[0]
                })

            use _ = scope ()
            let seeds = [| Seed.Of 4L |]
            let agent = agentFor (describe part)

            let case = {
                Name = "push"
                Seed = 4L
                Members = 1
                Copies = 1
                Length = 200
                Plainly = true
            }

            let data =
                ((collector agent (new Streams(part, seeds, 1, 0)) seeds null case).Collect(init agent seeds)).Data

            let drawn = numbers data.Actions
            Expect.exists drawn (fun a -> a > 1.0) "some beyond the upper end"
            Expect.exists drawn (fun a -> a < -1.0) "some beyond the lower end"
            // −2 … 6: four times the action, from 2.
            near
                singlePrecision
                "stretched and clipped"
                (drawn |> Array.map (fun a -> 2.0 + 4.0 * max -1.0 (min 1.0 a)))
                (taken |> Seq.map float |> Array.ofSeq)

            near exact "its reward" (taken |> Seq.map float |> Array.ofSeq) (numbers data.Rewards)
    ]

/// A step of a stream, at random among what is allowed.
let private step (streams: Streams) (random: Rng) (m: int) (copy: int) : StreamStep =
    let space = streams.Description.Actions

    match space with
    | :? ActionSpace.Continuous as bounded ->
        let values =
            bounded.Actions
            |> Seq.map (fun b -> b.Low + (b.High - b.Low) * float32 (random.NextDouble()))
            |> Array.ofSeq

        streams.Step(m, copy, EnvironmentAction.Of(ReadOnlySpan<float32> values))
    | _ ->
        let mask = Array.create space.MaskSize true
        streams.Mask(m, copy, Span mask)
        let mutable first = 0

        let indices = [|
            for a in 0 .. space.DiscreteCount - 1 do
                let choices = space.ChoicesOf a

                let allowed = [|
                    for c in 0 .. choices - 1 do
                        if mask[first + c] then
                            c
                |]

                first <- first + choices
                allowed[random.Next allowed.Length]
        |]

        streams.Step(m, copy, EnvironmentAction.Of(ReadOnlySpan<int> indices))

let private savedStreams =
    testList "a stream saved" [
        property 120 "in the middle of an episode, or between two, goes on bit for bit" cases (fun case ->
            let part = partOf case
            let seeds = Seed.Population(case.Seed, case.Members)
            let first = new Streams(part, seeds, case.Copies, 0)
            let random = Rng(uint64 case.Seed)

            for _ in 1 .. random.Next 30 do
                for m in 0 .. case.Members - 1 do
                    for copy in 0 .. case.Copies - 1 do
                        step first random m copy |> ignore

            // Of other seeds, so that nothing is right by chance; switching MDPs are what their seed says.
            let second = new Streams(part, seeds, case.Copies, 0)

            for m in 0 .. case.Members - 1 do
                for copy in 0 .. case.Copies - 1 do
                    for _ in 1 .. random.Next 5 do
                        step second random m copy |> ignore

                // As a checkpoint holds it.
                let text = JsonSerializer.Serialize(first.Save m)
                second.Restore(m, nonNull (JsonSerializer.Deserialize<StreamState[]> text))

            let told = [ for _ in 1..2 -> ResizeArray<int * float * int64>() ]
            first.EpisodeEnded <- fun m sum count -> told[0].Add((m, sum, count))
            second.EpisodeEnded <- fun m sum count -> told[1].Add((m, sum, count))

            for _ in 1..30 do
                for m in 0 .. case.Members - 1 do
                    for copy in 0 .. case.Copies - 1 do
                        Expect.equal (second.HasEnded(m, copy)) (first.HasEnded(m, copy)) "between episodes"
                        let state = random.State
                        let a = step first random m copy
                        random.State <- state
                        Expect.equal (step second random m copy) a "a step"

                        Expect.sequenceEqual
                            (second.Observation(m, copy).ToArray())
                            (first.Observation(m, copy).ToArray())
                            "what it shows"

            Expect.sequenceEqual told[1] told[0] "episodes that ended, as long and as good"

            for m in 0 .. case.Members - 1 do
                Expect.equal
                    (JsonSerializer.Serialize(second.Save m))
                    (JsonSerializer.Serialize(first.Save m))
                    "what it saves")

        property 60 "of an environment that cannot be saved begins an episode, with its own chance" seeds (fun seed ->
            let silent = {
                honest with
                    Describe =
                        fun () ->
                            EnvironmentDescription(
                                counterDescription.Observation,
                                counterDescription.Actions,
                                Ends = true
                            )
                    Save = fun _ _ _ _ -> failwith "it cannot be saved"
                    OnStep = fun _ _ -> ()
            }

            let part = ownEnvironment "silent" (fun _ -> counter silent)

            let start () =
                new Streams(part, [| Seed.Of(int64 seed) |], 1, 0)

            let first, second = start (), start ()
            let random = Rng seed
            let count = random.Next 20

            for _ in 1..count do
                step first random 0 0 |> ignore

            let state = Array.exactlyOne (first.Save 0)
            Expect.isNull state.State "no state"
            second.Restore(0, [| state |])
            let chance = Rng state.Random
            let fresh = counter silent
            let shown = reset fresh chance
            Expect.sequenceEqual (second.Observation(0, 0).ToArray()) shown "the first observation of an episode"
            Expect.isFalse (second.HasEnded(0, 0)) "that runs"
            let after = Array.exactlyOne (second.Save 0)
            Expect.equal (after.Steps, after.Return, after.Length) (int64 count, 0.0, 0L) "steps are kept"
            Expect.equal after.Random chance.State "and the generator goes on")

        testCase "as another is refused, whatever is wrong with it"
        <| fun () ->
            let make () =
                new Streams(environmentOf [ "environment.name=cartpole" ], [| Seed.Of 1L |], 2, 0)

            let streams = make ()
            let whole = streams.Save 0

            for name, broken in
                [
                    "a copy less", [| whole[0] |]
                    "null for a copy", [| whole[0]; Unchecked.defaultof<StreamState> |]
                    "a short observation",
                    [| whole[0]; StreamState(0UL, 0L, false, [| 0f |], 0.0, 0L, whole[1].State) |]
                    "no observation",
                    [|
                        whole[0]
                        StreamState(0UL, 0L, false, Unchecked.defaultof<float32[]>, 0.0, 0L, whole[1].State)
                    |]
                    "NaN observed",
                    [|
                        whole[0]
                        StreamState(0UL, 0L, false, [| 0f; 0f; nanf; 0f |], 0.0, 0L, whole[1].State)
                    |]
                    "steps below zero",
                    [|
                        whole[0]
                        StreamState(0UL, -1L, false, whole[1].Observation, 0.0, 0L, whole[1].State)
                    |]
                    "an infinite return",
                    [|
                        whole[0]
                        StreamState(0UL, 0L, false, whole[1].Observation, infinity, 0L, whole[1].State)
                    |]
                    "no state", [| whole[0]; StreamState(0UL, 0L, false, whole[1].Observation, 0.0, 0L, null) |]
                    "half a state",
                    [|
                        whole[0]
                        StreamState(0UL, 0L, false, whole[1].Observation, 0.0, 0L, (nonNull whole[1].State)[..20])
                    |]
                ] do
                try
                    refuses [ "Streams: " ] (fun () -> (make ()).Restore(0, broken))
                with e ->
                    failtest $"{name}: {e.Message}"
    ]

let private between =
    testList "a step between episodes" [
        testCase "is no transition: nothing happened, all is allowed, and the next episode is shown"
        <| fun () ->
            let streams = new Streams(ownEnvironment "counter" (fun _ -> counter honest), [| Seed.Of 2L |], 1, 0)
            let random = Rng 9UL

            for episode in 1..3 do
                for at in 1..7 do
                    let expected = StreamStep(true, StepResult(float32 at, (at = 7), false))
                    Expect.equal (step streams random 0 0) expected $"episode {episode}, step {at}"

                Expect.isTrue (streams.HasEnded(0, 0)) "over"
                Expect.equal (streams.Observation(0, 0).[0]) 7f "the last observation of the episode stays"
                let mask = Array.create 3 false
                streams.Mask(0, 0, Span mask)
                Expect.all mask id "everything is allowed, whatever the environment would say"
                Expect.equal (step streams random 0 0) (StreamStep(false, StepResult())) "no step"
                Expect.equal (streams.Observation(0, 0).[0]) 0f "the first of the next"
                Expect.isFalse (streams.HasEnded(0, 0)) "that runs"

        testCase "changes are told in steps of all copies together"
        <| fun () ->
            let streams n =
                new Streams(environmentOf [ "environment.swapPeriod=10" ], [| Seed.Of 2L |], n, 0)

            Expect.sequenceEqual ((streams 1).Changes(0L, 30L)) [ 10L; 20L; 30L ] "one copy"
            Expect.sequenceEqual ((streams 3).Changes(0L, 95L)) [ 30L; 60L; 90L ] "three"
    ]

// ------------------------------------------------------------------------------------------------------------- broken words in a run

let private program (catalogue: Catalogue) (arguments: string list) : int * string * string =
    use output = new StringWriter()
    use error = new StringWriter()

    let code =
        TrainingCli.Run(
            Array.ofList arguments,
            ProgramHost.Create(output, error, Threading.CancellationToken.None, catalogue)
        )

    code, output.ToString(), error.ToString()

let private configuration =
    """{
      "name": "own", "members": 2, "environmentSteps": 600, "seed": 11, "threads": 1,
      "environment": { "name": "own" },
      "learner": { "copies": 2, "hidden": [6], "rolloutLength": 5, "innerSteps": 1, "targetSteps": 2 },
      "meta": { "parameters": "scalar" },
      "run": { "metricsEvery": 40, "checkpointEvery": 40 }
    }"""

let private ownCatalogue (make: Seed -> IEnvironment) =
    let catalogue = LibraryParts.Catalogue()
    catalogue.Add(EnvironmentKinds.Environment, "own", NoSettings(), (fun _ -> MakeEnvironment make))
    catalogue

/// Where the second copy of the second member breaks: its 100th step.
let private brokenStep = 100

let private faulty: (string * Counting * string) list =
    let free = { honest with OnStep = fun _ _ -> () }
    let at total = total = brokenStep

    [
        "throws",
        {
            free with
                Observe =
                    fun at' total draw ->
                        if at total then
                            failwith "it broke"

                        honest.Observe at' total draw
        },
        "Step threw Exception: it broke"
        "shows NaN",
        {
            free with
                Observe = fun at' total draw -> [| float32 at'; float32 total; (if at total then nanf else draw) |]
        },
        "Step: observation, number 2 (draw): found NaN, expected a finite number"
        "writes more than it says",
        {
            free with
                Observe =
                    fun at' total draw ->
                        if at total then
                            Array.zeroCreate 4
                        else
                            honest.Observe at' total draw
        },
        "Step threw ArgumentException"
    ]

let private runs =
    testList "an environment that breaks its word in a run" [
        let fails name (make: unit -> IEnvironment) (message: string) =
            testCase name
            <| fun () ->
                EndToEndTests.withScratch (fun folder ->
                    let culprit = seedOf (Seed.Of 12L) 1

                    let broken (seed: Seed) : IEnvironment =
                        if seed.Value = culprit.Value then
                            make ()
                        else
                            counter { honest with OnStep = fun _ _ -> () }

                    let file, output = Path.Combine(folder, "own.json"), Path.Combine(folder, "run")
                    File.WriteAllText(file, configuration)
                    let code, _, error = program (ownCatalogue broken) [ "train"; file; "--output"; output ]
                    Expect.equal code 1 $"exit code: {error}"

                    let line =
                        error.Split('\n', StringSplitOptions.RemoveEmptyEntries)
                        |> Array.filter _.StartsWith("error:")
                        |> Array.exactlyOne

                    for part in [ "environment 'own', member 1 (seed 12), copy 1, step "; message ] do
                        Expect.stringContains line part "the message"

                    use checkpoint = CheckpointFile.Read(RunDirectory.FindCheckpoint output)
                    Expect.isGreaterThan checkpoint.Manifest.EnvironmentSteps 0L "a checkpoint is kept"

                    // Mended, the run goes on from there to its end.
                    let mended _ : IEnvironment =
                        counter { honest with OnStep = fun _ _ -> () }

                    let code, _, error = program (ownCatalogue mended) [ "train"; "--resume"; output ]
                    Expect.equal code 0 $"mended, it goes on: {error}")

        for name, counting, message in faulty do
            fails name (fun () -> counter counting) $"step {brokenStep}: {message}"

        let counted (body: int -> Counting) : unit -> IEnvironment =
            fun () ->
                let total = ref 0

                counter {
                    body 0 with
                        OnStep = fun _ _ -> total.Value <- total.Value + 1
                        Reward = fun at -> (body total.Value).Reward at
                        Ends = fun at -> (body total.Value).Ends at
                        Describe = fun () -> (body total.Value).Describe()
                }

        fails
            "earns what is no number"
            (counted (fun total ->
                if total = brokenStep then
                    { honest with Reward = fun _ -> nanf }
                else
                    honest))
            $"step {brokenStep}: reward: found NaN, expected a finite number"

        fails
            "changes its description"
            (counted (fun total ->
                if total >= brokenStep then
                    {
                        honest with
                            Describe =
                                fun () ->
                                    EnvironmentDescription(
                                        ObservationSpace.Named("at", "total", "other"),
                                        counterDescription.Actions,
                                        Ends = true,
                                        Saves = true,
                                        Masks = true,
                                        Renders = true
                                    )
                    }
                else
                    honest))
            $"step {brokenStep}: description, observation's names: found at, total, other"

        testCase "ends without saying so"
        <| fun () ->
            EndToEndTests.withScratch (fun folder ->
                let make _ : IEnvironment =
                    counter {
                        honest with
                            Describe =
                                fun () ->
                                    EnvironmentDescription(
                                        counterDescription.Observation,
                                        counterDescription.Actions,
                                        Saves = true
                                    )
                            OnStep = fun _ _ -> ()
                    }

                let file = Path.Combine(folder, "own.json")
                File.WriteAllText(file, configuration)

                let code, _, error =
                    program (ownCatalogue make) [ "train"; file; "--output"; Path.Combine(folder, "run") ]

                Expect.equal code 1 $"exit code: {error}"

                Expect.stringContains
                    error
                    "environment 'own', member 0 (seed 11), copy 0, step 7: Step: found the end of an episode, expected none"
                    "the message")

        testCase "cannot be made"
        <| fun () ->
            EndToEndTests.withScratch (fun folder ->
                let make _ : IEnvironment = failwith "no such level."
                let file = Path.Combine(folder, "own.json")
                File.WriteAllText(file, configuration)

                let code, _, error =
                    program (ownCatalogue make) [ "train"; file; "--output"; Path.Combine(folder, "run") ]

                Expect.equal code 1 $"exit code: {error}"

                Expect.stringContains
                    error
                    "environment 'own': its constructor threw Exception: no such level."
                    "the message")
    ]

let tests = testList "streams" [ rollouts; savedStreams; between; runs ]
