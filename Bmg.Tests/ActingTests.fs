/// Acting: the plain interpreter of a policy, and the rollouts that are gathered with it.
module Bmg.Tests.ActingTests

open System
open Bmg
open Bmg.Training.Acting
open Bmg.Training.Configuration
open Bmg.Training.Environments
open Bmg.Training.Agents
open Bmg.Training.Experiments
open Bmg.Tests.Worlds
open Expecto
open FsCheck
open TorchSharp
open Bmg.Tests.Tolerances
open Bmg.Tests.Generators

let private single (p: Params) =
    Params.convert torch.float32 torch.CPU p

let private plainPolicy =
    testList "the plain policy is Network.apply" [
        for entry in Catalog.activations do
            property 60 entry.Name (cases (fun c -> { c with Activation = entry.Name })) (fun case ->
                let network = (agent case).Policy
                let x = single (parameters case "x")
                let rng = stream case "observations"
                // One-hot entries and large ones, as well as any.
                let observation () =
                    Array.init case.Features (fun _ ->
                        match rng.Next 3 with
                        | 0 -> 0f
                        | 1 -> 1f
                        | _ -> float32 (3.0 * rng.NextNormal()))

                let rows = Array.init case.Members (fun _ -> observation ())

                let expected =
                    let input =
                        (tensor [ case.Members; 1; case.Features ] (Array.map float (Array.concat rows))).``to``
                            torch.float32

                    numbers (Network.apply network x input) |> Array.chunkBySize case.Actions

                let policy = PlainPolicy network
                let bound = policy.Bind x
                let scratch = Array.zeroCreate<float32>(2 * policy.WidestLayer)

                for m in 0 .. case.Members - 1 do
                    let output = Array.zeroCreate<float32> case.Actions
                    bound.Apply(m, ReadOnlySpan rows[m], Span output, Span scratch)
                    near singlePrecision $"member {m}" expected[m] (Array.map float output)

                GC.KeepAlive x)

        // Widths that fill whole blocks of registers, that do not, and that leave a rest.
        for widths in [ [| 256; 256 |]; [| 64 |]; [| 150; 70 |]; [| 129; 1 |] ] do
            scoped $"hidden layers {widths[0]} and on" (fun () ->
                let network = Network.Mlp("policy", 30, widths, 4, Activation.Relu)
                let seeds = Seed.Population(3L, 2)
                let x = Network.init network Initialization.Uniform seeds torch.float32 torch.CPU
                let rng = Rng 9UL
                let policy = PlainPolicy network
                let bound = policy.Bind x
                let scratch = Array.zeroCreate<float32>(2 * policy.WidestLayer)

                for _ in 1..20 do
                    let observation =
                        Array.init 30 (fun _ -> if rng.Next 2 = 0 then 0f else float32 (rng.NextNormal()))

                    let both = Array.append observation observation |> Array.map float
                    let input = (tensor [ 2; 1; 30 ] both).``to`` torch.float32

                    let expected = numbers (Network.apply network x input) |> Array.chunkBySize 4

                    for m in 0..1 do
                        let output = Array.zeroCreate<float32> 4
                        bound.Apply(m, ReadOnlySpan observation, Span output, Span scratch)
                        near singlePrecision $"member {m}" expected[m] (Array.map float output)

                GC.KeepAlive x)

        scoped "parameters of another type or layout are refused by name" (fun () ->
            let network = Network.Mlp("policy", 2, [||], 3, Activation.Relu)

            let init dtype =
                Network.init network Initialization.Uniform [| Seed.Of 1L |] dtype torch.CPU

            let policy = PlainPolicy network

            refuses [ "PlainPolicy.Bind"; "policy.0.weight"; "float32" ] (fun () ->
                policy.Bind(init torch.float64) |> ignore)

            let x = init torch.float32

            let turned =
                Params.Create(Array.ofSeq x.Names, [| torch.zeros(1L, 3L, 2L).transpose(1L, 2L); x.Tensors[1] |])

            refuses [ "policy.0.weight"; "contiguous" ] (fun () -> policy.Bind turned |> ignore))

        test "a network that it cannot interpret is refused by name and place" {
            let odd = Network.Create("odd", [| 1 |], [| Layer.Activation Activation.Relu; Layer.Linear(1, 1) |])

            Expect.throwsC (fun () -> PlainPolicy odd |> ignore) (fun e ->
                Expect.isTrue (e :? NotSupportedException) "kind of exception"
                Expect.stringContains e.Message "Layer 0 of network 'odd'" "what it says")
        }
    ]

let private twoColorsAgent (hidden: int[]) =
    ActorCritic.Create(
        Network.Mlp("policy", TwoColorsEnvironment.ObservationSize, hidden, 4, Activation.Relu),
        Network.Mlp("value", TwoColorsEnvironment.ObservationSize, hidden, 1, Activation.Relu)
    )

/// A population in its worlds, and who gathers its rollouts.
[<ReferenceEquality>]
type private Stage = {
    World: Streams
    Collector: RolloutCollector
    Agent: ActorCritic
    X: Params
    Context: RecentContext
}

let private length = 16

let private stageAs (plainly: bool) (seeds: Seed[]) =
    let agent = twoColorsAgent [| 8 |]
    let world = twoColorsStreams seeds 50L
    let context = RecentContext(seeds.Length, 3, ContextScaling.Raw)

    {
        World = world
        Collector = RolloutCollector(world, agent, seeds, length, 0.97, context, torch.CPU, plainly)
        Agent = agent
        X = ActorCritic.init agent Initialization.Uniform seeds torch.float32 torch.CPU
        Context = context
    }

let private stage (seeds: Seed[]) = stageAs true seeds

let private withSeeds count name body =
    property count name (cases id) (fun case -> body case (seeds case))

let private rollouts =
    testList "rollouts" [
        withSeeds 40 "are what the worlds did" (fun _ seeds ->
            let s = stage seeds
            let collector = s.Collector
            let replay = TwoColors(seeds, Respawn.Square, 50L)
            let means = Array.init seeds.Length (fun _ -> ResizeArray())

            for round in 1..4 do
                let experience = collector.Collect s.X
                let data = experience.Data

                Expect.equal
                    data.Observations.shape
                    [| int64 seeds.Length; 1L; int64 length + 1L; 30L |]
                    "observations"

                Expect.equal data.Actions.dtype torch.int64 "type of actions"
                let observations = numbers data.Observations |> Array.chunkBySize 30
                let actions = numbers data.Actions |> Array.chunkBySize length
                let rewards = numbers data.Rewards |> Array.chunkBySize length

                for m in 0 .. seeds.Length - 1 do
                    for t in 0..length do
                        near
                            exact
                            "observation"
                            (Array.map float (replay.Observation m))
                            observations[m * (length + 1) + t]

                        if t < length then
                            let reward = replay.Act(m, int actions[m].[t])
                            near exact "reward" [| float reward |] [| rewards[m].[t] |]

                    means[m].Add(Array.average rewards[m])

                    Expect.sequenceEqual
                        (s.World.Observation(m, 0).ToArray())
                        (replay.Observation m)
                        "what it shows afterwards"

                    let after = Array.exactlyOne (s.World.Save m)
                    Expect.equal after.Random (replay.Random m).State "the generator afterwards"

                Expect.equal collector.EnvironmentSteps (int64 (round * length)) "steps"

                let expected =
                    means
                    |> Array.collect (fun m ->
                        Array.append (Array.zeroCreate 3) (m.ToArray())
                        |> Array.rev
                        |> Array.truncate 3
                        |> Array.rev)

                near singlePrecision "context" expected (numbers (nonNull experience.Context))

            near
                singlePrecision
                "sums of rewards"
                (means |> Array.map (fun m -> float length * Seq.sum m))
                (collector.TakeRewards())

            near exact "taken" (Array.zeroCreate seeds.Length) (collector.TakeRewards()))

        withSeeds 20 "tell a rich context the moments of rewards, values and TD errors" (fun _ seeds ->
            let agent = twoColorsAgent [| 8 |]
            let world = twoColorsStreams seeds 50L

            let context = RecentContext(seeds.Length, 2, ContextScaling.Raw, 6)

            let x = ActorCritic.init agent Initialization.Uniform seeds torch.float32 torch.CPU

            let collector = RolloutCollector(world, agent, seeds, length, 0.97, context, torch.CPU, true)

            let moments (values: float[]) =
                let mean = Array.average values
                [| mean; sqrt (Array.averageBy (fun v -> (v - mean) ** 2.0) values) |]

            let mutable before = Array.create seeds.Length (Array.zeroCreate 6)

            for _ in 1..3 do
                use _ = scope ()
                let experience = collector.Collect x

                let values =
                    numbers (ActorCritic.values agent x experience.Data)
                    |> Array.chunkBySize (length + 1)

                let rewards = numbers experience.Data.Rewards |> Array.chunkBySize length

                let now =
                    Array.map2
                        (fun (v: float[]) (r: float[]) ->
                            let errors = Array.init length (fun t -> r[t] + 0.97 * v[t + 1] - v[t])
                            Array.collect moments [| r; v[.. length - 1]; errors |])
                        values
                        rewards

                let expected =
                    Array.map2
                        (fun (a: float[]) (b: float[]) -> Array.collect (fun i -> [| a[i]; b[i] |]) [| 0..5 |])
                        before
                        now
                    |> Array.concat

                near
                    {
                        Name = "float32 moments"
                        Relative = 1e-5
                        Floor = 1e-5
                    }
                    "context"
                    expected
                    (numbers (nonNull experience.Context))

                before <- now)

        withSeeds 30 "of a member do not depend on the population" (fun _ seeds ->
            let seeds = Array.append seeds (Seed.Population(1234L, 2))
            let all = stage seeds
            let collector = all.Collector
            let together = [ for _ in 1..3 -> collector.Collect all.X ]

            for m in 0 .. seeds.Length - 1 do
                let one = stage [| seeds[m] |]
                let own = one.Collector

                for experience in together do
                    let mine = (own.Collect one.X).Data.ToParams()
                    let theirs = Params.ofMember (int64 m) (experience.Data.ToParams())
                    near exact $"member {m}" (numbersOf mine) (numbersOf theirs))

        withSeeds 30 "on a device are the same as on the CPU" (fun _ seeds ->
            let plain, device = stageAs true seeds, stageAs false seeds
            let first = plain.Collector
            let second = device.Collector

            for _ in 1..3 do
                let a, b = first.Collect plain.X, second.Collect device.X
                near exact "rollout" (numbersOf (a.Data.ToParams())) (numbersOf (b.Data.ToParams()))
                near exact "context" (numbers (nonNull a.Context)) (numbers (nonNull b.Context)))

        withSeeds 30 "go on the same after a restore" (fun _ seeds ->
            let s = stage seeds
            let collector = s.Collector
            collector.Collect s.X |> ignore
            let other = stage (Seed.Population(-5L, seeds.Length))
            let restored = other.Collector

            for m in 0 .. seeds.Length - 1 do
                other.World.Restore(m, s.World.Save m)
                other.Context.SetState(m, s.Context.GetState m)

            let states: uint64[][] = Array.init seeds.Length collector.GetActionStates
            restored.Restore(collector.EnvironmentSteps, states)

            for _ in 1..3 do
                let a, b = collector.Collect s.X, restored.Collect s.X
                near exact "rollout" (numbersOf (a.Data.ToParams())) (numbersOf (b.Data.ToParams()))
                near exact "context" (numbers (nonNull a.Context)) (numbers (nonNull b.Context))
                Expect.equal restored.EnvironmentSteps collector.EnvironmentSteps "steps")

        scoped "follow the policy: actions come as often as their probability says" (fun () ->
            // A policy that does not look: weights zero, biases the logarithms of 0.1, 0.2, 0.3 and 0.4; χ² with 3 degrees of freedom.
            for plainly in [ true; false ] do
                let seeds = Seed.Population(21L, 4)
                let s = stageAs plainly seeds
                let collector = s.Collector
                let share = [| 0.1; 0.2; 0.3; 0.4 |]
                let silent = Params.zerosLike s.X

                let logits =
                    (tensor [ 1; 1; 4 ] (Array.map log share)).expand(4L, 1L, 4L).contiguous().``to`` torch.float32

                let x =
                    Params.Create(
                        Array.ofSeq silent.Names,
                        Array.init silent.Count (fun i ->
                            if silent.Names[i] = s.Agent.Policy.BiasName 2 then
                                logits
                            else
                                silent.Tensors[i])
                    )

                let counts = Array.init 4 (fun _ -> Array.zeroCreate 4)

                for _ in 1..100 do
                    numbers (collector.Collect x).Data.Actions
                    |> Array.iteri (fun i a ->
                        let own = counts[i / length]
                        own[int a] <- own[int a] + 1)

                for own in counts do
                    let n = float (Array.sum own)

                    let chi =
                        Array.map2 (fun (c: int) p -> (float c - n * p) ** 2.0 / (n * p)) own share
                        |> Array.sum

                    Expect.isLessThan chi 25.0 "χ²")

        testList "stop at a policy that is not a number, and name the member" [
            for plainly in [ true; false ] do
                scoped (if plainly then "CPU" else "device") (fun () ->
                    let s = stageAs plainly (Seed.Population(0L, 3))
                    let collector = s.Collector
                    collector.Collect s.X |> ignore

                    let broken =
                        Params.map
                            (fun t ->
                                let copy = t.clone ()
                                copy.narrow(0L, 1L, 1L).fill_(Scalars.constant nan) |> ignore
                                copy)
                            s.X

                    let thrown =
                        try
                            collector.Collect broken |> ignore
                            None
                        with :? NumericalFailureException as e ->
                            Some e

                    match thrown with
                    | None -> failtest "nothing was thrown"
                    | Some e ->
                        Expect.equal e.Member 1 "member"
                        Expect.equal e.EnvironmentStep (int64 length) "environment step"
                        Expect.stringContains e.Message "of member 1 (seed " "message")
        ]
    ]

let tests = testList "acting" [ plainPolicy; rollouts ]
