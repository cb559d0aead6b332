/// What a policy's raw outputs mean: closed forms against sums, integrals and draws; derivatives; masks; the edges of float32.
module Bmg.Tests.DistributionTests

open System
open Bmg
open Bmg.Tests.Generators
open Bmg.Tests.Tolerances
open Expecto
open FsCheck
open TorchSharp

let private scalar (v: float) : Scalar = Scalars.constant v

let private all: Distribution list = [
    Distributions.categorical 4
    Distributions.categorical 1
    Distributions.categoricals [| 3; 2; 1 |]
    Distributions.gaussian 1
    Distributions.gaussian 3
]

/// Rows of raw outputs, [P, B, O].
let private raw (rng: Rng) (d: Distribution) (states: int) = normal rng [ 2; states; d.Outputs ]

/// Actions that a distribution could give, [2, B] or [2, B, k].
let private actions (rng: Rng) (d: Distribution) (states: int) : Tensor =
    let row = Array.create d.Outputs 0.1f
    let action = Array.zeroCreate<float32> d.ActionSize

    let drawn = [|
        for _ in 1 .. 2 * states do
            d.Draw.Invoke(Span(Array.copy row), rng, Span action) |> ignore
            yield! action |> Array.map float
    |]

    let shape =
        if d.HasActionAxis then
            [ 2; states; d.ActionSize ]
        else
            [ 2; states ]

    (tensor shape drawn).``to``(if d.IsDiscrete then torch.int64 else torch.float64)

/// Which choices are allowed, [2, B, O]: at least the first of each action.
let private allowed (rng: Rng) (d: Distribution) (states: int) =
    let starts =
        if d.Name.StartsWith "categoricals" then
            [ 0; 3; 5 ]
        else
            [ 0 ]

    tensor [ 2; states; d.Outputs ] [|
        for _ in 1 .. 2 * states do
            for o in 0 .. d.Outputs - 1 ->
                if List.contains o starts || rng.Next 2 = 0 then
                    1.0
                else
                    0.0
    |]

/// Divergences that a distribution has, by name.
let private divergences (d: Distribution) : (string * Func<Tensor, Tensor, Tensor>) list = [
    "KL", d.Kl
    "Jeffreys", d.Jeffreys
    match d.JensenShannon with
    | null -> ()
    | f -> "Jensen-Shannon", f
    match d.SquaredHellinger with
    | null -> ()
    | f -> "Hellinger", f
]

/// Everything of a distribution that is a function of raw outputs, one number a state.
let private functions (rng: Rng) (d: Distribution) (states: int) (mask: Tensor -> Tensor) =
    let chosen =
        if d.IsDiscrete then
            (actions rng d states).mul(scalar 0.0)
        else
            actions rng d states

    let other = mask (raw rng d states)

    [
        "log-probability",
        (fun z -> d.LogProbability.Invoke(z, chosen.``to`` (if d.IsDiscrete then torch.int64 else z.dtype)))
        "entropy", (fun z -> d.Entropy.Invoke z)

        for name, f in divergences d do
            name + ", first", (fun (z: Tensor) -> f.Invoke(z, other.``to`` z.dtype))
            name + ", second", (fun (z: Tensor) -> f.Invoke(other.``to`` z.dtype, z))
    ]

let private seeded (count: int) (name: string) (body: Rng -> unit) =
    testPropertyWithConfig
        {
            FsCheckConfig.defaultConfig with
                maxTest = count
        }
        name
        (fun (seed: NonNegativeInt) ->
            use _ = scope ()
            body (Rng(uint64 seed.Get)))

/// ∇ and H·v of Σ f at z, by autograd.
let private derivatives (f: Tensor -> Tensor) (z: Tensor) (v: Tensor) =
    let x = Params.leaves (Params.Single("z", z))
    let slope = Gradients.gradient ((f x["z"]).sum()) x true
    let along = (slope["z"].mul v).sum()

    let curve =
        if along.requires_grad then
            (Gradients.gradient along x false)["z"]
        else
            torch.zeros_like z

    slope["z"].detach(), curve

let private agreesWithDifferences (name: string) (f: Tensor -> Tensor) (rng: Rng) (z: Tensor) (free: Tensor) =
    let v = (normal rng (z.shape |> Array.map int |> List.ofArray)).mul free
    let slope, curve = derivatives f z v
    let h = 3e-4

    let differences4 (g: Tensor -> float[]) =
        let at (k: float) = g (z.add (v, scalar (k * h)))
        let a, b, c, d = at -2.0, at -1.0, at 1.0, at 2.0
        Array.init a.Length (fun i -> (a[i] - 8.0 * b[i] + 8.0 * c[i] - d[i]) / (12.0 * h))

    near differences $"{name}: ∇·v" (differences4 (fun z -> [| Array.sum (numbers (f z)) |])) [|
        Array.sum (numbers (slope.mul v))
    |]

    near differences $"{name}: H·v" (differences4 (fun z -> numbers (fst (derivatives f z v)))) (numbers curve)

let private smooth =
    testList "are twice differentiable: derivatives agree with finite differences" [
        for d in all do
            seeded 15 d.Name (fun rng ->
                let z = raw rng d 2

                for name, f in functions rng d 2 id do
                    agreesWithDifferences name f rng z (torch.ones_like z))

            if d.IsDiscrete then
                seeded 15 $"{d.Name}, masked" (fun rng ->
                    let mask = allowed rng d 2
                    let masked (z: Tensor) = Distributions.masked d z mask
                    let z = raw rng d 2

                    for name, f in functions rng d 2 masked do
                        agreesWithDifferences name (masked >> f) rng z mask
                        let slope, _ = derivatives (masked >> f) z (torch.ones_like z)
                        zero 0.0 $"{name}: ∇ where masked" (numbers (slope.mul (mask.neg().add(scalar 1.0)))))

            scoped $"{d.Name}, at a match" (fun () ->
                let rng = Rng 5UL
                let z = raw rng d 2

                for name, f in divergences d do
                    agreesWithDifferences name (fun x -> f.Invoke(z, x)) rng z (torch.ones_like z))
    ]

/// Every action of a discrete distribution, as rows of indices.
let rec private joint (choices: int list) : int list list =
    match choices with
    | [] -> [ [] ]
    | n :: rest -> [
        for a in 0 .. n - 1 do
            for others in joint rest -> a :: others
      ]

let private byHand =
    testList "closed forms" [
        for d, choices in
            [
                Distributions.categorical 4, [ 4 ]
                Distributions.categoricals [| 3; 2; 1 |], [ 3; 2; 1 ]
            ] do
            seeded 30 $"{d.Name}: sums over every action there is" (fun rng ->
                let p, q = normal rng [ 1; 1; d.Outputs ], normal rng [ 1; 1; d.Outputs ]
                let every = joint choices

                let logs (z: Tensor) = [|
                    for action in every ->
                        let a = torch.tensor (action |> List.map int64 |> Array.ofList)

                        let a =
                            if d.HasActionAxis then
                                a.reshape (1L, 1L, -1L)
                            else
                                a.reshape (1L, 1L)

                        (numbers (d.LogProbability.Invoke(z, a)))[0]
                |]

                let logp, logq = logs p, logs q
                near rounding "probabilities" [| 1.0 |] [| logp |> Array.sumBy exp |]
                let expected f = Array.map2 f logp logq |> Array.sum

                let is name value (found: Tensor) =
                    near rounding name [| value |] (numbers found)

                is "entropy" (expected (fun a _ -> -(exp a * a))) (d.Entropy.Invoke p)
                is "KL" (expected (fun a b -> exp a * (a - b))) (d.Kl.Invoke(p, q))
                is "Jeffreys" (expected (fun a b -> (exp a - exp b) * (a - b))) (d.Jeffreys.Invoke(p, q))

                match d.SquaredHellinger with
                | null -> failtest "no Hellinger distance"
                | f -> is "Hellinger" (1.0 - expected (fun a b -> exp (0.5 * (a + b)))) (f.Invoke(p, q)))

        seeded 20 "gaussian(1): integrals" (fun rng ->
            let d = Distributions.gaussian 1
            let draw () = [| rng.NextNormal(); 0.5 * rng.NextNormal() |]
            let p, q = draw (), draw ()
            let count, least, step = 80_001, -40.0, 1e-3
            let grid = tensor [ 1; count; 1 ] (Array.init count (fun i -> least + step * float i))

            let logs (z: float[]) =
                numbers (d.LogProbability.Invoke((tensor [ 1; 1; 2 ] z).expand(1L, int64 count, 2L), grid))

            let logp, logq = logs p, logs q

            let expected f =
                step * (Array.map2 f logp logq |> Array.sum)

            let near name value (found: Tensor) =
                near differences name [| value |] (numbers found)

            let p, q = tensor [ 1; 1; 2 ] p, tensor [ 1; 1; 2 ] q
            Tolerances.near differences "density" [| 1.0 |] [| expected (fun a _ -> exp a) |]
            near "entropy" (expected (fun a _ -> -(exp a * a))) (d.Entropy.Invoke p)
            near "KL" (expected (fun a b -> exp a * (a - b))) (d.Kl.Invoke(p, q))
            near "Jeffreys" (expected (fun a b -> (exp a - exp b) * (a - b))) (d.Jeffreys.Invoke(p, q))

            match d.SquaredHellinger with
            | null -> failtest "no Hellinger distance"
            | f -> near "Hellinger" (1.0 - expected (fun a b -> exp (0.5 * (a + b)))) (f.Invoke(p, q)))

        scoped "gaussian(2) by hand" (fun () ->
            // Means 1 and 0, deviations 1 and 2, at (2, 2): −½ − ½ − log 2 − log 2π.
            let d = Distributions.gaussian 2
            let z = tensor [ 1; 1; 4 ] [| 1.0; 0.0; 0.0; log 2.0 |]
            let a = tensor [ 1; 1; 2 ] [| 2.0; 2.0 |]
            near rounding "log π" [| -1.0 - log 2.0 - log (2.0 * Math.PI) |] (numbers (d.LogProbability.Invoke(z, a)))
            near rounding "entropy" [| log 2.0 + log (2.0 * Math.PI) + 1.0 |] (numbers (d.Entropy.Invoke z)))

        for d in all do
            seeded
                20
                $"{d.Name}: independent parts add up, and nothing is below zero or off zero at a match"
                (fun rng ->
                    for dtype in [ torch.float32; torch.float64 ] do
                        let z = (raw rng d 3).``to`` dtype

                        for name, f in divergences d do
                            near exact $"{name} at a match" (Array.zeroCreate 6) (numbers (f.Invoke(z, z.clone ())))

                            for distance in [ 1e-7; 1e-4; 1e-1; 3.0 ] do
                                let other = z.add (raw rng d 3, scalar distance)
                                let value = numbers (f.Invoke(z, other.``to`` dtype))
                                Expect.isGreaterThanOrEqual (Array.min value) 0.0 $"{name}, {distance} apart")
    ]

let private masks =
    testList "masks" [
        for d in all |> List.filter (fun d -> d.IsDiscrete) do
            seeded 20 $"{d.Name}: what is not allowed has probability 0 and is never drawn" (fun rng ->
                let mask = allowed rng d 3
                let z = Distributions.masked d (raw rng d 3) mask
                finite "entropy" (numbers (d.Entropy.Invoke z))
                let rows = numbers z |> Array.chunkBySize d.Outputs
                let may = numbers mask |> Array.chunkBySize d.Outputs
                let action = Array.zeroCreate<float32> d.ActionSize
                let starts = if d.HasActionAxis then [| 0; 3; 5 |] else [| 0 |]

                for row, may in Array.zip rows may do
                    for _ in 1..20 do
                        let plain = row |> Array.map (fun v -> if Double.IsInfinity v then 0f else float32 v)
                        Distributions.mask (Span plain, ReadOnlySpan(may |> Array.map (fun m -> m > 0.0)))
                        let greedy = Array.zeroCreate<float32> d.ActionSize
                        d.Greedy.Invoke(ReadOnlySpan plain, Span greedy)
                        let logp = d.Draw.Invoke(Span plain, rng, Span action)
                        Expect.isTrue (Double.IsFinite logp) "log-probability"

                        for a in [ action; greedy ] do
                            for i in 0 .. d.ActionSize - 1 do
                                Expect.equal may[starts[i] + int a[i]] 1.0 "allowed")

        scoped "a state with a single allowed action has entropy 0, and no derivative is NaN" (fun () ->
            for dtype in [ torch.float32; torch.float64 ] do
                let d = Distributions.categorical 3
                let z = (tensor [ 1; 1; 3 ] [| 0.3; -2.0; 5.0 |]).``to`` dtype
                let mask = tensor [ 1; 1; 3 ] [| 0.0; 1.0; 0.0 |]

                let entropy (z: Tensor) =
                    d.Entropy.Invoke(Distributions.masked d z mask)

                near exact "entropy" [| 0.0 |] (numbers (entropy z))
                let slope, curve = derivatives entropy z (torch.ones_like z)
                near exact "∇" (Array.zeroCreate 3) (numbers slope)
                near exact "H·v" (Array.zeroCreate 3) (numbers curve))

        scoped "continuous actions have none" (fun () ->
            let z = torch.zeros (1L, 1L, 2L)

            refuses [ "Distributions.masked"; "discrete"; "gaussian(1)" ] (fun () ->
                Distributions.masked (Distributions.gaussian 1) z z |> ignore))

        scoped "a mask of another length is refused" (fun () ->
            refuses [ "Distributions.mask"; "'allowed'"; "3"; "2" ] (fun () ->
                Distributions.mask (Span(Array.zeroCreate<float32> 3), ReadOnlySpan(Array.create 2 true))))
    ]

let private extremes =
    testList "are finite for raw outputs of any size, in float32 and in float64" [
        for d in all do
            for dtype in [ torch.float32; torch.float64 ] do
                scoped $"{d.Name}, {dtype}" (fun () ->
                    let rng = Rng 3UL

                    for size in [ 0.0; 30.0; 1e4; 3e38 ] do
                        let z = (raw rng d 4).sign().mul(scalar size).``to`` dtype
                        let v = (raw rng d 4).``to`` dtype

                        for name, f in functions rng d 4 (fun t -> t.sign().mul(scalar size)) do
                            let slope, curve = derivatives f z v
                            finite $"{name} of ±{size}" (numbers (f z))
                            finite $"∇ {name} of ±{size}" (numbers slope)
                            finite $"H·v {name} of ±{size}" (numbers curve))
    ]

let private draws =
    testList "draws" [
        for d in all do
            seeded 20 $"{d.Name}: tell the log-probability that the definition gives, the same for one seed" (fun rng ->
                let row = Array.init d.Outputs (fun _ -> float32 (rng.NextNormal()))
                let state = rng.State
                let action = Array.zeroCreate<float32> d.ActionSize
                let logp = d.Draw.Invoke(Span(Array.copy row), rng, Span action)
                let again = Array.zeroCreate<float32> d.ActionSize
                d.Draw.Invoke(Span(Array.copy row), Rng state, Span again) |> ignore
                Expect.equal again action "one seed, one action"
                let z = tensor [ 1; 1; d.Outputs ] (Array.map float row)
                let a = tensor [ 1; 1; d.ActionSize ] (Array.map float action)
                let a = if d.HasActionAxis then a else a.squeeze -1L
                let a = if d.IsDiscrete then a.``to`` torch.int64 else a
                near singlePrecision "log π" (numbers (d.LogProbability.Invoke(z, a))) [| logp |])

        scoped "a Gaussian's have its mean and deviation" (fun () ->
            let d = Distributions.gaussian 1
            let rng = Rng 1UL
            let action = Array.zeroCreate<float32> 1

            let drawn =
                Array.init 20_000 (fun _ ->
                    d.Draw.Invoke(Span [| 2.0f; -1.0f |], rng, Span action) |> ignore
                    float action[0])

            let mean = Array.average drawn
            let deviation = sqrt (drawn |> Array.averageBy (fun a -> (a - mean) ** 2.0))
            // Five standard errors.
            Expect.isLessThan (abs (mean - 2.0)) (5.0 * exp -1.0 / sqrt 20_000.0) "mean"
            Expect.isLessThan (abs (deviation - exp -1.0)) (5.0 * exp -1.0 / sqrt 40_000.0) "deviation")

        scoped "greedy actions are the most probable" (fun () ->
            let greedy (d: Distribution) (row: float32[]) =
                let action = Array.zeroCreate<float32> d.ActionSize
                d.Greedy.Invoke(ReadOnlySpan row, Span action)
                action

            Expect.equal (greedy (Distributions.categorical 3) [| 1f; 4f; 4f |]) [| 1f |] "the first of equals"

            Expect.equal
                (greedy (Distributions.categoricals [| 2; 3 |]) [| 0f; 1f; 5f; 2f; 3f |])
                [| 1f; 0f |]
                "of each"

            Expect.equal (greedy (Distributions.gaussian 2) [| 0.5f; -3f; 9f; 9f |]) [| 0.5f; -3f |] "the means")
    ]

let private prediction (output: string) (z: Tensor) =
    let outputs = Params.Single(output, z)
    Prediction(outputs, lazy outputs)

let private matching =
    testList "matching functions" [
        for d in all do
            seeded 10 $"of {d.Name} are its divergences over the states" (fun rng ->
                let p, q = raw rng d 3, raw rng d 3

                let compare (mu: MatchingFunction) =
                    numbers (mu.Compare.Invoke(prediction d.Output p, prediction d.Output q))

                let mean (t: Tensor) = numbers (t.mean [| 1L |])
                near rounding "kl" (mean (d.Kl.Invoke(p, q))) (compare (Matching.klOf d Reduction.Mean))
                near rounding "reverse" (mean (d.Kl.Invoke(q, p))) (compare (Matching.reverseKlOf d Reduction.Mean))

                near
                    rounding
                    "jeffreys"
                    (mean (d.Jeffreys.Invoke(p, q)))
                    (compare (Matching.jeffreysOf d Reduction.Mean))

                match d.SquaredHellinger with
                | null -> ()
                | f ->
                    near
                        rounding
                        "hellinger"
                        (mean (f.Invoke(p, q)))
                        (compare (Matching.squaredHellingerOf d Reduction.Mean)))

        scoped "a divergence without a closed form is refused by name" (fun () ->
            for d in [ Distributions.gaussian 2; Distributions.categoricals [| 2; 2 |] ] do
                refuses [ "Matching.jensenShannonOf"; "closed form"; d.Name ] (fun () ->
                    Matching.jensenShannonOf d Reduction.Mean |> ignore))

        seeded 20 "count valid states alone" (fun rng ->
            let z, x = normal rng [ 2; 4; 3 ], normal rng [ 2; 4; 3 ]
            let valid = tensor [ 2; 4 ] [| 1.0; 0.0; 1.0; 0.0; 0.0; 0.0; 0.0; 0.0 |]

            let side (t: Tensor) =
                let outputs = Params.Create([| "logits"; "valid" |], [| t; valid |])
                Prediction(outputs, lazy outputs)

            for mu in [ Matching.kl; Matching.reverseKl; Matching.jeffreys; Matching.logitL2 ] do
                let each =
                    numbers (
                        (mu Reduction.Sum)
                            .Compare.Invoke(
                                prediction "logits" (z.reshape (8L, 1L, 3L)),
                                prediction "logits" (x.reshape (8L, 1L, 3L))
                            )
                    )

                let found reduction =
                    numbers ((mu reduction).Compare.Invoke(side z, side x))

                near rounding "sum" [| each[0] + each[2]; 0.0 |] (found Reduction.Sum)
                near rounding "mean" [| 0.5 * (each[0] + each[2]); 0.0 |] (found Reduction.Mean))
    ]

let tests = testList "distributions" [ smooth; byHand; masks; extremes; draws; matching ]
