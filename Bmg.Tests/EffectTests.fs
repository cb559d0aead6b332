/// What comes out at the end of the way: reports, exports, evaluations, curves and tables, each against numbers that were found without it.
module Bmg.Tests.EffectTests

open System
open System.Collections.Generic
open System.IO
open System.Xml.Linq
open Bmg
open Bmg.Export.Checkpoints
open Bmg.Export.Inference
open Bmg.Export.Onnx
open Bmg.Export.Parity
open Bmg.Tests.Tolerances
open Bmg.Training.Acting
open Bmg.Training.CommandLine
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Evaluation
open Bmg.Training.Agents
open Bmg.Training.Experiments
open Bmg.Training.Progress
open Bmg.Training.Reporting
open Bmg.Training.Runs
open Bmg.Training.Studies
open Bmg.Tests.Worlds
open Expecto
open TorchSharp

let private inDirectory (body: string -> 'T) : 'T =
    let path = Directory.CreateTempSubdirectory("bmg-effects-").FullName

    try
        body path
    finally
        Directory.Delete(path, true)

/// Three members whose networks and bounds are unlike any default.
let private text (agent: string) =
    let learner =
        if agent = "q-lambda" then
            """ "agent": "q-lambda", "targetSteps": 4, "optimizer": { "name": "adam", "learningRate": 0.02 } """
        else
            """ "rolloutLength": 4, "targetSteps": 2 """

    $"""{{ "name": "effects", "members": 3, "seed": 5, "threads": 1, "environmentSteps": 120, "environment": {{ "swapPeriod": 50 }},
           "learner": {{ "hidden": [6], {learner} }},
           "meta": {{ "parameters": "network", "context": "rich", "contextLength": 2, "hidden": [5], "pretrainingSteps": 2,
                      "learningRate": 0.05, "entropyWeight": {{ "initial": 0.5, "low": 0.2, "high": 0.9 }},
                      "exploration": {{ "initial": 0.3, "low": 0.1, "high": 0.6 }} }},
           "run": {{ "metricsEvery": 40 }} }}"""

let private agents = [ "actor-critic"; "q-lambda" ]

let private settings (agent: string) =
    Reading.reader.Read(text agent, "test", [])

let private trained (configuration: RunConfiguration) (path: string) =
    use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)

    for _ in 1..3 do
        experiment.Advance() |> ignore

    experiment.Save(path, "{}")

let private floats (t: Tensor) =
    t.detach().contiguous().data<float32>().ToArray()

/// The hyper-parameter that is learned.
let private name (made: Agent) : string = (Seq.exactlyOne made.HyperOutputs).Name

let private reports =
    testList "reports" [
        scoped "the meta-gradient's norm is the root of the sum of its squares" (fun () ->
            for parameters in [ "scalar"; "network" ] do
                let configuration =
                    Reading.reader.Read(
                        text "actor-critic",
                        "test",
                        [ $"meta.parameters={parameters}"; "learner.innerSteps=2" ]
                    )

                let agent = ActorCriticAgent.Create(configuration, null)
                let seeds = Seed.Population(5L, 3)

                let collected () =
                    let world = new Streams(configuration, seeds, 1, 0)

                    let context =
                        if agent.ContextFeatures.Count = 0 then
                            null
                        else
                            RecentContext(3, 2, ContextScaling.Raw, agent.ContextFeatures.Count)

                    let collector = RolloutCollector(world, agent.Networks, seeds, 4, 0.99, context, torch.CPU)
                    fun (x: Params) (_: Params) -> collector.Collect x

                let state =
                    MetaLearner.init
                        agent.MetaLearner
                        (ActorCritic.init agent.Networks Initialization.Uniform seeds torch.float32 torch.CPU)
                        (agent.MetaLearner.MetaParameters.Init.Invoke(seeds, torch.float32, torch.CPU))

                let gradient = (MetaLearner.metaGradient agent.MetaLearner state (collected ())).Gradient

                let expected = [|
                    for m in 0..2 ->
                        sqrt (
                            Seq.sum [
                                for t in gradient.Tensors do
                                    for v in numbers t[m] -> v * v
                            ]
                        )
                |]

                let struct (_, log) = MetaLearner.step agent.MetaLearner state (collected ()) ignore

                near singlePrecision "norm" expected log.MetaGradientNorm
                Expect.isTrue (expected |> Array.forall (fun n -> n > 0.0)) "there is something to measure")

        test "each metric is named, has a label and a unit, and is condensed as it must be" {
            let told agent =
                (Agent.Create(settings agent)).Metrics
                |> Seq.map (fun m -> m.Name, m.Unit, m.Aggregation)
                |> List.ofSeq

            Expect.equal
                (told "actor-critic")
                [
                    "reward", "per environment step", Aggregation.PerEnvironmentStep
                    "entropyWeight", "", Aggregation.Mean
                    "mu", "", Aggregation.Mean
                    "metaGradientNorm", "", Aggregation.Mean
                    "loss", "", Aggregation.Mean
                ]
                "actor-critic"

            Expect.equal
                (told "q-lambda")
                [
                    "reward", "per environment step", Aggregation.PerEnvironmentStep
                    "epsilon", "", Aggregation.Mean
                    "mu", "nats", Aggregation.Mean
                    "metaGradientNorm", "", Aggregation.Mean
                    "loss", "", Aggregation.Mean
                ]
                "Q(λ)"
        }
    ]

// ---------------------------------------------------------------------------------------------------------------- exports

let private exports =
    testList "exports" [
        for agent in agents do
            scoped $"an exported meta-network gives what the meta-parameters of training give: {agent}" (fun () ->
                inDirectory (fun folder ->
                    let configuration = settings agent
                    let path = Path.Combine(folder, "a.safetensors")
                    trained configuration path
                    use checkpoint = CheckpointFile.Read path
                    let made = Agent.Create(configuration)

                    let parameters =
                        match made with
                        | :? ActorCriticAgent as a -> a.MetaLearner.MetaParameters
                        | :? QLambdaAgent as q -> q.MetaParameters
                        | other -> failtestf "%A" other

                    let low, high =
                        if agent = "q-lambda" then
                            configuration.Meta.Exploration.Low, configuration.Meta.Exploration.High
                        else
                            configuration.Meta.EntropyWeight.Low, configuration.Meta.EntropyWeight.High

                    let description = nonNull checkpoint.Manifest.MetaNetwork
                    Expect.equal (description.Low, description.High) (low, high) "bounds in the checkpoint"
                    Expect.equal description.OutputName (name made) "the hyper-parameter's name"
                    let size = parameters.ContextSize
                    let rng = Rng 3UL
                    let contexts = Array.init (7 * size) (fun _ -> float32 (4.0 * rng.NextNormal()))

                    for m in 0..2 do
                        // The same contexts for every member.
                        let all = torch.tensor(contexts).reshape(1L, 7L, int64 size).expand(3L, -1L, -1L).contiguous()
                        let expected = parameters.Apply.Invoke(checkpoint.Set "meta", all)[name made]
                        use session = new ModelSession(MetaNetworkExporter.Build(checkpoint, m).ToBytes())
                        session.Run(ReadOnlySpan contexts, 7)

                        near
                            singlePrecision
                            $"member {m}"
                            (numbers expected[m])
                            (session.Floats(name made).ToArray() |> Array.map float)))

            scoped $"the export's reference is the meta-parameters', whatever the graph says: {agent}" (fun () ->
                inDirectory (fun folder ->
                    let path = Path.Combine(folder, "a.safetensors")
                    trained (settings agent) path
                    use checkpoint = CheckpointFile.Read path
                    let description = nonNull checkpoint.Manifest.MetaNetwork
                    let network = description.Network.ToNetwork()

                    let parameters =
                        MetaParameters.contextual
                            description.OutputName
                            network
                            description.Low
                            description.High
                            (0.5 * (description.Low + description.High))
                            Initialization.Uniform
                            0

                    let model = MetaNetworkExporter.Build(checkpoint, 1)
                    let x = torch.randn (5L, int64 network.Inputs)

                    let expected =
                        parameters.Apply.Invoke(Params.ofMember 1L (checkpoint.Set "meta"), x)[description.OutputName]

                    near exact "reference" (numbers expected) (numbers ((model.Evaluate x)[description.OutputName]))))

        scoped "probes give what the meta-parameters of training give" (fun () ->
            inDirectory (fun folder ->
                for agent in agents do
                    let configuration = settings agent
                    let path = Path.Combine(folder, $"{agent}.safetensors")
                    trained configuration path
                    use checkpoint = CheckpointFile.Read path
                    let made = Agent.Create(configuration)

                    let parameters =
                        match made with
                        | :? ActorCriticAgent as a -> a.MetaLearner.MetaParameters
                        | :? QLambdaAgent as q -> q.MetaParameters
                        | other -> failtestf "%A" other

                    for scaling in [ ContextScaling.Raw; ContextScaling.Normalized ] do
                        let probes = nonNull (ContextProbes.Read(path, scaling, [||]))
                        let contexts = nonNull (ContextProbes.Inputs(made.ContextNames(), scaling))

                        for probe, context in Seq.zip probes contexts do
                            let same = torch.tensor(Array.map float32 context).reshape(1L, -1L).expand(3L, -1L)
                            let expected = parameters.Apply.Invoke(checkpoint.Set "meta", same)[name made]
                            // A result has six digits.
                            let six = {
                                Name = "six digits"
                                Relative = 1e-5
                                Floor = 0.0
                            }

                            near six $"{agent}: {probe.Context}" (numbers expected) probe.Values))

        test "a context's names are in its order" {
            for agent, unit in [ "actor-critic", "rollouts"; "q-lambda", "steps" ] do
                let made = Agent.Create(settings agent)
                let features = made.ContextFeatures.Count
                let context = RecentContext(1, 2, ContextScaling.Raw, features)

                // Feature f, a rollouts ago: 10·f + a.
                for ago in [ 2; 1 ] do
                    let values = Array.init features (fun f -> float (10 * f + ago))
                    context.AddEach(0, ReadOnlySpan<float> values)

                let written = Array.zeroCreate<float32> context.Size
                context.Write(0, Span<float32> written)

                let expected = [
                    for v in written -> $"{made.ContextFeatures[int v / 10]}, {int v % 10} {unit} ago"
                ]

                Expect.equal (List.ofSeq (made.ContextNames())) expected "names"
        }

        for agent in agents do
            scoped $"what follows a run is the best member's: {agent}" (fun () ->
                inDirectory (fun folder ->
                    let configuration = settings agent
                    let run = RunDirectory.Create(Path.Combine(folder, "run"))
                    trained configuration run.Checkpoint
                    use checkpoint = CheckpointFile.Read run.Checkpoint

                    for rates, best in [ [| 0.1; 0.4; 0.2 |], 1; [| -0.1; -0.4; -0.2 |], 0; [| 0.1; 0.2; 0.3 |], 2 ] do
                        let outcome = ExportAndPlay.Finish(run, configuration, rates)
                        use policy = PolicySession.Load run.Policy
                        Expect.equal policy.Metadata[MetadataKeys.Member] (string best) "the policy's member"
                        Expect.equal policy.Metadata[MetadataKeys.Seed] (string (5 + best)) "its seed"

                        Expect.exists
                            outcome.Lines
                            (fun l -> l.Contains $"the policy of member {best}")
                            "what is said"

                        let observations = Array.sub (TwoColorsEnvironment.AllObservations()) 0 (30 * 8)
                        let outputs = policy.Run(ReadOnlySpan observations, 8)

                        let found =
                            (if agent = "q-lambda" then
                                 outputs.ActionValues
                             else
                                 outputs.Logits)
                                .ToArray()

                        let network = checkpoint.Manifest.Policy.Network.ToNetwork()

                        let expected =
                            Network.apply
                                network
                                (Params.ofMember (int64 best) (checkpoint.Set "learner"))
                                (torch.tensor(observations).reshape(1L, 8L, 30L))

                        near singlePrecision "its outputs" (numbers expected) (found |> Array.map float)
                        use meta = ModelSession.Load run.MetaNetwork
                        Expect.equal meta.Metadata[MetadataKeys.Member] (string best) "the meta-network's member"))
    ]

// ---------------------------------------------------------------------------------------------------------------- evaluation

/// Prefers a way to the blue square, and is not sure.
type private Seeker() =
    interface IPlayablePolicy with
        member _.Engine = "by hand"

        member _.Outputs(observations, batch, raw) =
            for i in 0 .. batch - 1 do
                let row = observations.Slice(30 * i, 30).ToArray()

                let at start =
                    Array.IndexOf(row, 1.0f, start, 5) - start

                let x, y, bx, by = at 0, at 5, at 10, at 15

                let best =
                    if bx < x then 2
                    elif bx > x then 3
                    elif by < y then 0
                    else 1

                for a in 0..3 do
                    raw[4 * i + a] <- MathF.Log(if a = best then 0.55f else 0.15f)

        member _.Dispose() = ()

/// Probabilities from logits, in float64.
let private softmax (raw: float32[]) : float[] =
    let raised = raw |> Array.map (float >> exp)
    raised |> Array.map (fun v -> v / Array.sum raised)

/// Reward a step of a policy in sixteen worlds side by side, by hand.
let private played (policy: IPlayablePolicy) (respawn: Respawn) (blueIsGood: bool) (greedy: bool) (steps: int) : float =
    let seeds = Seed.Population(0L, 16)
    // Blue is worth +1 before the first swap, red after it.
    let period = 1_000_000_000L
    let world = TwoColors(seeds, respawn, period)
    let draws = seeds |> Array.map (fun s -> (let s = s.For "evaluation" in s.Generator()))

    if not blueIsGood then
        for m in 0..15 do
            let state = world.GetState m
            world.SetState(m, { state with Steps = period })

    let mutable sum = 0.0

    for _ in 1 .. steps / 16 do
        for m in 0..15 do
            let raw = Array.zeroCreate<float32> 4
            policy.Outputs(ReadOnlySpan(world.Observation m), 1, Span raw)

            let action =
                if greedy then
                    Array.IndexOf(raw, Array.max raw)
                else
                    Categorical.sample (ReadOnlySpan(Array.map float32 (softmax raw)), draws[m].NextDouble())

            sum <- sum + float (world.Act(m, action))

    sum / float (steps / 16 * 16)

let private evaluation =
    testList "evaluation" [
        test "four plays: both worlds, drawn and greedy" {
            use policy = new Seeker() :> IPlayablePolicy

            for respawn in [ Respawn.Square; Respawn.All ] do
                let environment = environmentOf [ $"environment.respawn={respawn.ToString().ToLowerInvariant()}" ]
                let modes = List.ofSeq (PolicyEvaluation.Modes environment)

                Expect.equal
                    modes
                    [ PlayMode(0, false); PlayMode(0, true); PlayMode(1, false); PlayMode(1, true) ]
                    "both worlds, drawn and greedy"

                let results = [|
                    for mode in modes -> PolicyEvaluation.Play(policy, environment, mode, 0L, 1600L)
                |]

                Expect.all results (fun r -> r.Returns.Count = 0) "no episodes"

                let expected = [|
                    for blue, greedy in [ true, false; true, true; false, false; false, true ] ->
                        played policy respawn blue greedy 1600
                |]

                let rates = results |> Array.map _.RewardPerStep
                near rounding "drawn and greedy where blue is good, then where red is" expected rates
                Expect.isGreaterThan rates[1] (rates[0] + 0.02) "to be sure earns more"
                Expect.isLessThan rates[3] (rates[2] - 0.02) "and loses more"
        }

        for agent in agents do
            scoped $"a policy to be played gives its network's probabilities, through either engine: {agent}" (fun () ->
                inDirectory (fun folder ->
                    let configuration = settings agent
                    let path, onnx = Path.Combine(folder, "a.safetensors"), Path.Combine(folder, "a.onnx")
                    trained configuration path
                    use checkpoint = CheckpointFile.Read path
                    let network = checkpoint.Manifest.Policy.Network.ToNetwork()
                    let all = TwoColorsEnvironment.AllObservations()
                    // Some of each region: where the greedy action differs.
                    let rows = [| for i in 0..99 -> Array.sub all (30 * 137 * i) 30 |] |> Array.concat

                    for m in 0..2 do
                        let outputs =
                            Network.apply
                                network
                                (Params.ofMember (int64 m) (checkpoint.Set "learner"))
                                (torch.tensor(rows).reshape(1L, 100L, 30L))

                        let expected =
                            numbers outputs
                            |> Array.chunkBySize 4
                            |> Array.collect (fun row ->
                                if agent = "q-lambda" then
                                    let best = Array.IndexOf(row, Array.max row)
                                    Array.init 4 (fun a -> if a = best then 1.0 else 0.0)
                                else
                                    let total = row |> Array.sumBy exp
                                    row |> Array.map (fun v -> exp v / total))

                        ModelFile.Write(PolicyExporter.Build(checkpoint, m), onnx) |> ignore

                        for make in
                            [
                                (fun () -> new TorchPolicy(checkpoint, m) :> IPlayablePolicy)
                                (fun () -> new OnnxPolicy(PolicySession.Load onnx) :> IPlayablePolicy)
                            ] do
                            use policy = make ()
                            let found = Array.zeroCreate<float32> 400
                            policy.Outputs(ReadOnlySpan rows, 100, Span found)

                            near
                                singlePrecision
                                $"{policy.Engine}, member {m}"
                                expected
                                (found |> Array.chunkBySize 4 |> Array.collect softmax)))

        test "the world that was learned last" {
            let environment = environmentOf [ "environment.swapPeriod=100" ]

            for steps, length, blue in
                [
                    0L, 1000, true
                    1L, 1000, true
                    100L, 1000, true
                    101L, 1000, false
                    200L, 1000, false
                    201L, 1000, true
                    301L, 1000, false
                    // The last meta-step reached a little into a world that is not learned.
                    105L, 100, true
                    205L, 200, false
                ] do
                let struct (names, last) = PolicyEvaluation.Phases(environment, steps, length)
                Expect.sequenceEqual names [ "blue +1"; "red +1" ] "worlds"
                Expect.equal last (if blue then 0 else 1) $"after {steps} steps of {length}"
        }

        test "the world that was learned last, of several copies: each has a share of the steps" {
            let environment = environmentOf [ "environment.swapPeriod=100"; "learner.copies=4" ]

            for steps, blue in [ 400L, true; 404L, false; 800L, false; 804L, true ] do
                let struct (_, last) = PolicyEvaluation.Phases(environment, steps, 10_000)
                Expect.equal last (if blue then 0 else 1) $"after {steps} steps"
        }

        for agent in agents do
            scoped $"evaluate prints each member's plays in their columns: {agent}" (fun () ->
                inDirectory (fun folder ->
                    let configuration = settings agent
                    let run = RunDirectory.Create(Path.Combine(folder, "run"))
                    trained configuration run.Checkpoint
                    use output = new StringWriter()

                    EvaluateAction.Run(
                        EvaluateOptions(run.Root, 160L, DeviceKind.Cpu, Reader = Reading.reader),
                        output
                    )
                    |> ignore

                    let lines = output.ToString().Split '\n'
                    use checkpoint = CheckpointFile.Read run.Checkpoint

                    // What is learned last: steps done, or asked for where that is less.
                    let last =
                        if (min checkpoint.Manifest.EnvironmentSteps 120L - 1L) / 50L % 2L = 0L then
                            "blue +1 *, drawn", "red +1, drawn"
                        else
                            "blue +1, drawn", "red +1 *, drawn"

                    let heading = lines |> Array.find (fun l -> l.Contains "member")

                    for part in [ fst last; snd last ] do
                        Expect.stringContains heading part "the mark"

                    Expect.isLessThan (heading.IndexOf "blue") (heading.IndexOf "red") "blue first"
                    Expect.isLessThan (heading.IndexOf "drawn") (heading.IndexOf "greedy") "drawn first"

                    for m in 0..2 do
                        let found =
                            lines
                            |> Array.pick (fun line ->
                                let words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)

                                if words.Length = 6 && words[0] = string m then
                                    Some words[1..]
                                else
                                    None)

                        use policy = new TorchPolicy(checkpoint, m)

                        let expected = [|
                            yield string checkpoint.Manifest.Seeds[m]

                            for blue, greedy in [ true, false; true, true; false, false; false, true ] do
                                let reward: float = played policy Respawn.Square blue greedy 160
                                yield reward.ToString("F3", Globalization.CultureInfo.InvariantCulture)
                        |]

                        Expect.equal found expected $"member {m}"

                    // What a finished run says of its best member's play is of the world that it learned last, drawn.
                    let outcome = ExportAndPlay.Finish(run, configuration, [| 0.0; 1.0; 0.0 |])
                    use best = new TorchPolicy(checkpoint, 1)

                    let reward = played best Respawn.Square ((fst last).Contains '*') false 10_000

                    let said = reward.ToString("F3", Globalization.CultureInfo.InvariantCulture)
                    Expect.exists outcome.Lines (fun l -> l.EndsWith $"reward {said} a step.") "its play"))
    ]

// ---------------------------------------------------------------------------------------------------------------- curves and tables

let private log (steps: int64 list) (values: (string * float[] list) list) : MetricsLog =
    let all = Dictionary<string, IReadOnlyList<float[]>>()

    for name, rows in values do
        all[name] <- Array.ofList rows

    MetricsLog(Array.ofList steps, all)

let private tables =
    testList "tables" [
        test "the final rate weighs intervals by their steps, and counts those that end after" {
            let log = log [ 10L; 30L; 90L ] [ "reward", [ [| 1.0; 7.0 |]; [| 2.0; 1.0 |]; [| 4.0; -1.0 |] ] ]
            Expect.equal (List.ofSeq (log.MeanSince("reward", 10.0))) [ 3.5; -0.5 ] "20 steps of 2, 60 of 4"
            Expect.equal (List.ofSeq (log.MeanSince("reward", 9.0))) [ 290.0 / 90.0; 30.0 / 90.0 ] "all"
        }

        test "a spread is the mean and the sample deviation" {
            let spread = Spread.Of [| 1.0; 2.0; 6.0 |]
            Expect.equal (spread.Mean, spread.Deviation) (3.0, sqrt 7.0) "(4 + 1 + 9) / 2"
            Expect.equal (Spread.Of [| 4.0 |]).Deviation 0.0 "one value"
        }

        test "a series keeps steps, mean, extremes and deviation of each point" {
            let series = Series.Of(log [ 10L; 30L ] [ "x", [ [| 1.0; 2.0; 6.0 |]; [| nan; 5.0; 9.0 |] ] ], "x")

            Expect.equal series.X [| 10.0; 30.0 |] "steps"
            Expect.equal series.Mean [| 3.0; 7.0 |] "means of what there is"
            Expect.equal series.Low [| 1.0; 5.0 |] "smallest"
            Expect.equal series.High [| 6.0; 9.0 |] "largest"
            near rounding "deviations" [| sqrt 7.0; sqrt 8.0 |] series.Deviation
            Expect.equal series.Members 3 "members"
        }

        test "a chart draws larger values higher, later steps farther right, and its marks in their places" {
            let series =
                Series.Of(log [ 100L; 200L; 300L ] [ "x", [ [| 1.0; 1.5 |]; [| 3.0; 3.5 |]; [| 2.0; 2.5 |] ] ], "x")

            let svg =
                SvgChart.Inline(Chart("title", "unit", series, [| 150L |], 400.0))
                |> XElement.Parse

            let named (name: string) =
                svg.Descendants() |> Seq.filter (fun e -> e.Name.LocalName = name)

            let text (e: XElement) (name: string) =
                match e.Attribute(XName.Get name) with
                | null -> ""
                | a -> a.Value

            let number (e: XElement) name =
                Double.Parse(text e name, Globalization.CultureInfo.InvariantCulture)

            let path = named "path" |> Seq.find (fun e -> text e "class" = "mean")

            let points =
                (text path "d").Substring(1).Split 'L'
                |> Array.map (fun p ->
                    p.Split ' '
                    |> Array.map (fun v -> Double.Parse(v, Globalization.CultureInfo.InvariantCulture)))

            let plot = named "rect" |> Seq.find (fun e -> text e "class" = "plot")

            let place steps =
                number plot "x" + number plot "width" * steps / 400.0

            for point, steps in Seq.zip points [ 100.0; 200.0; 300.0 ] do
                Expect.floatClose { absolute = 0.11; relative = 0.0 } point[0] (place steps) $"at {steps} steps"

            // Linear, from 1.25 to 3.25 by way of 2.25: the middle value lies halfway.
            Expect.isLessThan points[1].[1] points[2].[1] "the largest on top"
            Expect.isLessThan points[2].[1] points[0].[1] "the smallest below"

            Expect.floatClose
                { absolute = 0.2; relative = 0.0 }
                points[2].[1]
                ((points[0].[1] + points[1].[1]) / 2.0)
                "halfway"

            let mark = named "line" |> Seq.find (fun e -> text e "class" = "mark")
            Expect.floatClose { absolute = 0.11; relative = 0.0 } (number mark "x1") (place 150.0) "the mark"

            let heights cls =
                (named "path"
                 |> Seq.find (fun e -> text e "class" = cls)
                 |> fun e -> (text e "d").TrimEnd('Z').Substring(1).Split 'L')
                |> Array.map (fun p -> float (p.Split(' ')[1]))

            let band = heights "range"

            Expect.isTrue
                (Array.forall2 (fun (h: float) (p: float[]) -> h < p[1]) band[..2] points)
                "the largest above the mean"

            Expect.isTrue
                (Array.forall2 (fun (h: float) (p: float[]) -> h > p[1]) (Array.rev band[3..]) points)
                "the smallest below it"
        }

        test "a run's report and its last words hold each member's numbers beside its seed" {
            inDirectory (fun folder ->
                let file, run = Path.Combine(folder, "a.json"), Path.Combine(folder, "run")
                File.WriteAllText(file, text "actor-critic")
                use output = new StringWriter()
                use error = new StringWriter()

                let code = TrainingCli.Run([| "train"; file; "--output"; run |], ProgramHost.Create(output, error))

                Expect.equal (code, error.ToString()) (0, "") (output.ToString())
                let directory = RunDirectory.Open run
                let page = File.ReadAllText directory.Report
                let log = MetricsLog.Read(directory.Metrics, (RunRecord.Read directory).Metrics)

                let steps = [|
                    for i in 0 .. log.EnvironmentSteps.Count - 1 ->
                        float (log.EnvironmentSteps[i] - (if i = 0 then 0L else log.EnvironmentSteps[i - 1]))
                |]

                let reward = log.Values["reward"]

                let totals = [|
                    for m in 0..2 -> Seq.sum (Seq.mapi (fun i (row: float[]) -> steps[i] * row[m]) reward)
                |]
                // The last tenth of 120 steps lies in the last interval.
                let rates = reward[reward.Count - 1]

                for m in 0..2 do
                    let row =
                        $"<tr><td>{m}</td><td>{5 + m}</td><td>{Figures.Count totals[m]}</td><td>{Figures.Number rates[m]}</td></tr>"

                    Expect.stringContains page row "a row of the report"
                    let words = [| string (5 + m); Figures.Count totals[m]; Figures.Number rates[m] |]

                    Expect.exists
                        (output.ToString().Split '\n')
                        (fun line ->
                            let found =
                                line.Split("  ", StringSplitOptions.RemoveEmptyEntries)
                                |> Array.map (fun w -> w.Trim())

                            found.Length >= 4
                            && found[0] = string m
                            && found[1] = words[0]
                            && found[found.Length - 2] = words[1]
                            && found[found.Length - 1] = words[2])
                        $"a line of the summary: {words}"

                let mean, deviation = let spread = Spread.Of totals in spread.Mean, spread.Deviation

                Expect.stringContains page $"{Figures.Count mean} ± {Figures.Count deviation}" "mean and deviation"
                Expect.stringContains page "seeds</td><td>5, 6, 7<" "seeds"
                let summary = nonNull (RunSummary.Read directory)
                near singlePrecision "totals" totals (Array.ofSeq summary.TotalReward)
                near rounding "final rates" rates (Array.ofSeq summary.FinalRewardRate)
                let all = float summary.EnvironmentSteps * 3.0 / summary.Seconds
                Expect.floatClose Accuracy.high summary.EnvironmentStepsPerSecond all "steps of all members a second"
                // Lines of metrics are what the members earned.
                Expect.equal (Seq.last log.EnvironmentSteps) summary.EnvironmentSteps "to the end")
        }

        test "an interval's line gives a reward a step" {
            // Two-colors pays −0.04 for a step that collects nothing: no rate leaves [−1, 1].
            inDirectory (fun folder ->
                let configuration = settings "q-lambda"
                let directory = RunDirectory.Create(Path.Combine(folder, "run"))

                let services =
                    RunServices(
                        Reading.reader,
                        ExperimentFactory(),
                        FinishRun(fun _ _ _ -> FinishOutcome.Nothing),
                        RunReporter.Silent
                    )

                let outcome =
                    Run.Begin(directory, configuration, "test", services).Execute(Threading.CancellationToken.None)

                let log = MetricsLog.Read(directory.Metrics, (RunRecord.Read directory).Metrics)
                let summary = nonNull outcome.Summary

                for m in 0..2 do
                    let rate = summary.TotalReward[m] / float summary.EnvironmentSteps
                    let line = Seq.head log.Values["reward"]
                    Expect.floatClose Accuracy.high line[m] rate "one interval, the whole run")
        }

        test "a learning curve is over seeds, at the middle of its intervals" {
            let log =
                log [ 10L; 30L ] [
                    "reward", [ [| 1.0; 3.0 |]; [| 5.0; 6.0 |] ]
                    "entropyWeight", [ [| 0.25; 0.75 |]; [| 0.5; 1.0 |] ]
                ]

            let curves = CurveReader.Learning(log, "reward", "entropyWeight")
            Expect.equal curves.Steps [| 5.0; 20.0 |] "middles"
            Expect.equal curves.Reward.Mean [| 2.0; 5.5 |] "means over seeds"
            let t = 12.7062
            Expect.floatClose { absolute = 0.0; relative = 1e-4 } curves.Reward.HalfWidth[0] t "t·√2/√2"
            Expect.equal (nonNull curves.Exploration).Mean [| 0.5; 0.75 |] "exploration"
        }
    ]

// ---------------------------------------------------------------------------------------------------------------- what is carried on

/// A clock that ticks a second each time it is read.
type private Ticking() =
    inherit TimeProvider()
    let mutable now = 0L

    override _.TimestampFrequency = 1L

    override _.GetTimestamp() =
        now <- now + 1L
        now

let private carried =
    testList "carried on" [
        test "a member that fails is named by its place in the whole population, in whatever part it is" {
            let configured (first: int) (members: int) =
                Reading.reader.Read(
                    text "actor-critic",
                    "test",
                    [
                        $"seed={first}"
                        $"members={members}"
                        $"threads={members}"
                        "learner.optimizer.name=sgd"
                        "learner.optimizer.learningRate=300"
                        "environmentSteps=100000"
                    ]
                )

            /// Meta-steps to the failure, and who fails.
            let failing (configuration: RunConfiguration) =
                use experiment = new PopulationExperiment(configuration, DerivedSettings.Of configuration)

                let rec advance count =
                    if count > 400 then
                        count, -1
                    else
                        try
                            experiment.Advance() |> ignore
                            Ok()
                        with :? NumericalFailureException as e ->
                            Error e.Member
                        |> function
                            | Ok() -> advance (count + 1)
                            | Error m -> count, m

                advance 0

            // Three neighbours of whom the first is not the first to fail.
            let first, expected =
                Seq.initInfinite (fun i -> 3 * i + 1)
                |> Seq.truncate 20
                |> Seq.pick (fun first ->
                    let alone = [ for i in 0..2 -> fst (failing (configured (first + i) 1)) ]
                    let soonest = List.min alone
                    let who = List.findIndex ((=) soonest) alone
                    if who > 0 && soonest <= 400 then Some(first, who) else None)

            Expect.equal (snd (failing (configured first 3))) expected "who failed"
        }

        test "a resumed run goes on with its time, its rewards and its open interval" {
            inDirectory (fun folder ->
                let configuration =
                    Reading.reader.Read(
                        text "actor-critic",
                        "test",
                        [ "run.metricsEvery=1000"; "run.checkpointEvery=1000"; "meta.method=fixed" ]
                    )

                let execute (start: RunServices -> Run) (after: int) =
                    use stop = new Threading.CancellationTokenSource()
                    let mutable advances = 0

                    let counting (inner: IExperiment) = {
                        new IExperiment with
                            member _.Seeds = inner.Seeds
                            member _.EnvironmentSteps = inner.EnvironmentSteps
                            member _.Metrics = inner.Metrics
                            member _.Changes(after, until) = inner.Changes(after, until)

                            member _.Advance() =
                                advances <- advances + 1

                                if advances = after then
                                    stop.Cancel()

                                inner.Advance()

                            member _.Save(path, host) = inner.Save(path, host)
                            member _.Restore path = inner.Restore path
                            member _.Dispose() = inner.Dispose()
                    }

                    let factory = {
                        new IExperimentFactory with
                            member _.Create configuration =
                                counting (ExperimentFactory().Create configuration)
                    }

                    let services =
                        RunServices(
                            Reading.reader,
                            factory,
                            FinishRun(fun _ _ _ -> FinishOutcome.Nothing),
                            RunReporter.Silent,
                            Clock = Ticking()
                        )

                    (start services).Execute stop.Token

                let whole = RunDirectory.Create(Path.Combine(folder, "whole"))
                let straight = execute (fun s -> Run.Begin(whole, configuration, "test", s)) -1
                let parts = RunDirectory.Create(Path.Combine(folder, "parts"))
                let first = execute (fun s -> Run.Begin(parts, configuration, "test", s)) 10
                Expect.equal first.State RunState.Interrupted (string first.Failure)
                let second = execute (fun s -> Run.Resume(parts, configuration, "test", s)) -1
                let a, b = nonNull straight.Summary, nonNull second.Summary
                Expect.sequenceEqual b.TotalReward a.TotalReward "total rewards"
                Expect.sequenceEqual b.FinalRewardRate a.FinalRewardRate "the one interval, of the whole run"

                // A tick or two for each meta-step, of the first part as of the second.
                Expect.isGreaterThan b.Seconds (0.75 * a.Seconds) "seconds of both parts")
        }

        test "a restored experiment knows how many steps it has done" {
            for agent in agents do
                inDirectory (fun folder ->
                    let configuration = settings agent
                    let path = Path.Combine(folder, "a.safetensors")
                    use straight = new PopulationExperiment(configuration, DerivedSettings.Of configuration)
                    straight.Advance() |> ignore
                    straight.Save(path, "")
                    use restored = new PopulationExperiment(configuration, DerivedSettings.Of configuration)
                    restored.Restore path |> ignore
                    Expect.isGreaterThan straight.EnvironmentSteps 0L "some are done"
                    Expect.equal restored.EnvironmentSteps straight.EnvironmentSteps $"{agent}: at once"
                    straight.Advance() |> ignore
                    restored.Advance() |> ignore
                    Expect.equal restored.EnvironmentSteps straight.EnvironmentSteps $"{agent}: and later")
        }

        test "a parity check compares every input that it counts" {
            let network = Network.Mlp("net", 2, [||], 1, Activation.Relu)
            let x = Network.init network Initialization.Uniform [| Seed.Of 1L |] torch.float32 torch.CPU
            let model = NetworkExporter.Build(network, x, 0, "x", "y")
            let inputs = Array.zeroCreate<float32>(2 * 3000)

            // The reference is off wherever the first feature is 7.
            let off =
                ExportableModel(
                    model.Onnx,
                    2,
                    fun input ->
                        let outputs = Dictionary(model.Evaluate input)
                        let marked = input.narrow(1L, 0L, 1L).eq(torch.tensor 7.0f).``to`` torch.float32
                        outputs["y"] <- outputs["y"].plus marked
                        outputs :> IReadOnlyDictionary<_, _>
                )

            for row in [ 0; 1023; 1024; 1500; 2047; 2048; 2999 ] do
                let given = Array.copy inputs
                given[2 * row] <- 7.0f
                let report = ParityCheck.Run(off, given)
                Expect.equal report.Inputs 3000 "inputs"
                Expect.isFalse report.Passed $"the one that is off is row {row}"
        }

        test "a parity check keeps the largest difference, wherever it is" {
            let network = Network.Mlp("net", 2, [||], 1, Activation.Relu)
            let x = Network.init network Initialization.Uniform [| Seed.Of 1L |] torch.float32 torch.CPU
            let model = NetworkExporter.Build(network, x, 0, "x", "y")

            // The reference is off at the first row alone.
            let off =
                ExportableModel(
                    model.Onnx,
                    2,
                    fun input ->
                        let outputs = Dictionary(model.Evaluate input)
                        let push = torch.zeros_like outputs["y"]
                        push[0].fill_(Scalars.constant 0.5) |> ignore
                        outputs["y"] <- outputs["y"].plus push
                        outputs :> IReadOnlyDictionary<_, _>
                )

            let report = ParityCheck.Run(off, count = 20)
            Expect.isFalse report.Passed "one row of twenty"
            Expect.floatClose Accuracy.low report.MaxAbsDifference 0.5 "the difference"
        }
    ]

let tests = testList "effects" [ reports; exports; evaluation; tables; carried ]
