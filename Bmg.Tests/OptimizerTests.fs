/// Optimizers against plain numbers, and against TorchSharp's own.
module Bmg.Tests.OptimizerTests

open System
open Bmg
open Expecto
open TorchSharp
open Bmg.Tests.Tolerances
open Bmg.Tests.Generators

let private scalar (v: float) : Scalar = Scalars.constant v

/// Positions after each of several given gradients, for one number.
let private path (optimizer: Optimizer) (start: float) (gradients: float list) : float[] =
    let mutable x = Params.Single("x", tensor [ 1; 1 ] [| start |])
    let mutable state = Optimizers.init optimizer x

    [|
        for g in gradients do
            let struct (next, nextState) =
                Optimizers.apply optimizer x state (Params.Single("x", tensor [ 1; 1 ] [| g |])) Params.Empty

            x <- next
            state <- nextState
            (numbersOf x)[0]
    |]

let private byHand =
    testList "first steps by hand" [
        scoped "sgd" (fun () ->
            near rounding "x" [| 1.0 - 0.2; 0.8 + 0.1 |] (path (Optimizers.sgd 0.1) 1.0 [ 2.0; -1.0 ]))

        scoped "momentum" (fun () ->
            // m: 2, 0.5·2 − 1 = 0, 0 + 3.
            near rounding "x" [| 0.8; 0.8; 0.5 |] (path (Optimizers.momentum 0.1 0.5) 1.0 [ 2.0; -1.0; 3.0 ]))

        scoped "rmsprop" (fun () ->
            // v: 0.1·4 = 0.4, 0.9·0.4 + 0.1·1 = 0.46.
            let root v = sqrt (v + 1e-16) + 0.01
            let first = 1.0 - 0.1 * 2.0 / root 0.4

            near
                rounding
                "x"
                [| first; first + 0.1 / root 0.46 |]
                (path (Optimizers.rmsProp 0.1 0.9 0.01 1e-16) 1.0 [ 2.0; -1.0 ]))

        scoped "adam" (fun () ->
            // m̂: 2, (0.9·0.2 − 0.1)/0.19; v̂: 4, (0.99·0.04 + 0.01)/0.0199.
            let first = 1.0 - 0.1 * 2.0 / (2.0 + 0.01)
            let second = first - 0.1 * (0.08 / 0.19) / (sqrt (0.0496 / 0.0199) + 0.01)
            near rounding "x" [| first; second |] (path (Optimizers.adam 0.1 0.9 0.99 0.01 1e-16) 1.0 [ 2.0; -1.0 ]))

        scoped "clipping before sgd: each member by its own norm, over all its tensors" (fun () ->
            let optimizer = Optimizers.before (Transformations.clipByGlobalNorm 1.0) (Optimizers.sgd 1.0)

            let x =
                Params.Create([| "a"; "b" |], [| tensor [ 3; 1 ] [| 0; 0; 0 |]; tensor [ 3; 1; 1 ] [| 0; 0; 0 |] |])

            // Norms 5, 0.5 and 0.
            let g =
                Params.Create(
                    [| "a"; "b" |],
                    [| tensor [ 3; 1 ] [| 3; 0.3; 0 |]; tensor [ 3; 1; 1 ] [| 4; 0.4; 0 |] |]
                )

            let struct (next, _) = Optimizers.apply optimizer x (Optimizers.init optimizer x) g Params.Empty
            near rounding "a" [| -0.6; -0.3; 0 |] (numbers next["a"])
            near rounding "b" [| -0.8; -0.4; 0 |] (numbers next["b"]))

        scoped "a learned maximum clips like a constant one, and has a derivative where it clips" (fun () ->
            let optimizer = Optimizers.before (Transformations.clipByLearnedNorm "clip") (Optimizers.sgd 1.0)
            let x = Params.Single("a", tensor [ 3; 2 ] [| 0; 0; 0; 0; 0; 0 |])
            // Norms 5, 0.5 and 0, and a maximum for each member.
            let g = Params.Single("a", tensor [ 3; 2 ] [| 3; 4; 0.3; 0.4; 0; 0 |])
            let clip = (tensor [ 3 ] [| 2; 1; 1 |]).requires_grad_()

            let struct (next, _) =
                Optimizers.apply optimizer x (Optimizers.init optimizer x) g (Params.Single("clip", clip))

            near rounding "x" [| -1.2; -1.6; -0.3; -0.4; 0; 0 |] (numbers (next["a"].detach()))
            let slope = (Gradients.gradient (next["a"].sum [| 1L |]) (Params.Single("clip", clip)) false)["clip"]
            near rounding "by the maximum" [| -7.0 / 5.0; 0; 0 |] (numbers slope))

        test "settings out of range are refused" {
            refuses [ "Optimizers.sgd"; "'learningRate'"; "found -1" ] (fun () -> Optimizers.sgd -1.0 |> ignore)

            refuses [ "Transformations.adam"; "'beta1'"; "found 1" ] (fun () ->
                Optimizers.adam 0.1 1.0 0.9 1e-8 1e-16 |> ignore)

            refuses [ "Transformations.rmsProp"; "'decay'" ] (fun () -> Optimizers.rmsProp 0.1 1.1 1e-8 1e-16 |> ignore)
            refuses [ "Transformations.momentum"; "'decay'" ] (fun () -> Optimizers.momentum 0.1 -0.1 |> ignore)

            refuses [ "Transformations.clipByGlobalNorm"; "'maximum'"; "positive" ] (fun () ->
                Transformations.clipByGlobalNorm 0.0 |> ignore)
        }
    ]

/// 200 steps of ours and of TorchSharp's optimizer on the same losses; what is compared is the way from the start.
let private againstTorch (name: string) (ours: Optimizer) (theirs: seq<Modules.Parameter> -> torch.optim.Optimizer) =
    property 5 name (cases (fun c -> { c with Members = 1 })) (fun case ->
        let steps = 200
        let start = parameters case "x"

        // Bounded below for any case, so that no generated learner runs off to infinity; one parameter stays untouched.
        let pulls = Array.init 5 (fun i -> normalLike (stream case $"pull {i}") 1.0 start)

        let half = scalar 0.5

        let loss (x: Params) (pull: Params) : Tensor =
            x.Names
            |> Seq.filter (fun name -> name <> "unused")
            |> Seq.map (fun name -> x[name].tanh().mul(pull[name]).plus(x[name].squared().mul half).sum())
            |> Seq.reduce (fun a b -> a.plus b)

        let mutable x = Params.clone start
        let mutable state = Optimizers.init ours x

        let own =
            Params.Create(
                Array.ofSeq start.Names,
                start.Tensors
                |> Seq.map (fun t -> new Modules.Parameter(t.clone ()) :> Tensor)
                |> Array.ofSeq
            )

        use optimizer = theirs (own.Tensors |> Seq.map (fun t -> t :?> Modules.Parameter))

        for i in 0 .. steps - 1 do
            use _ = torch.NewDisposeScope()
            let pull = pulls[i % pulls.Length]
            let leaves = Params.leaves x
            let g = Gradients.gradient (loss leaves pull) leaves false
            let struct (next, nextState) = Optimizers.apply ours x state g Params.Empty
            x <- Params.moveToOuterScope next
            state <- Params.moveToOuterScope nextState
            optimizer.zero_grad ()
            (loss own pull).backward()
            optimizer.step () |> ignore

        // TorchSharp leaves out what has no gradient, weight decay included; that ours stays put without decay is a property below.
        let change (p: Params) =
            let touched = Params.only (fun name -> name <> "unused")
            Array.map2 (-) (numbersOf (touched p)) (numbersOf (touched start))

        let expected = change own
        Expect.isGreaterThan (expected |> Array.map abs |> Array.max) 1e-3 "the learner has moved"
        // Ours has 1e-16 inside its roots, theirs has not.
        near
            {
                accumulated with
                    Relative = 1e-6
                    Floor = 1e-9
            }
            "change since the start"
            expected
            (change x))

let private torchs =
    testList "200 steps of TorchSharp's own" [
        againstTorch "sgd" (Optimizers.sgd 0.02) (fun p -> torch.optim.SGD(p, 0.02))
        againstTorch "sgd with momentum" (Optimizers.momentum 0.02 0.8) (fun p ->
            torch.optim.SGD(p, 0.02, momentum = 0.8))
        againstTorch "rmsprop" (Optimizers.rmsProp 0.003 0.95 1e-3 1e-16) (fun p ->
            torch.optim.RMSProp(p, lr = 0.003, alpha = 0.95, eps = 1e-3))
        againstTorch "sgd with nesterov momentum" (Optimizers.nesterov 0.02 0.8) (fun p ->
            torch.optim.SGD(p, 0.02, momentum = 0.8, nesterov = true))
        againstTorch "centered rmsprop" (Optimizers.centeredRmsProp 0.003 0.95 1e-3 1e-16) (fun p ->
            torch.optim.RMSProp(p, lr = 0.003, alpha = 0.95, eps = 1e-3, centered = true))
        againstTorch
            "rmsprop with momentum"
            (Optimizers.after (Transformations.momentum 0.6) (Optimizers.rmsProp 0.003 0.95 1e-3 1e-16))
            (fun p -> torch.optim.RMSProp(p, lr = 0.003, alpha = 0.95, eps = 1e-3, momentum = 0.6))
        againstTorch "adagrad" (Optimizers.adagrad 0.02 1e-3 1e-16) (fun p ->
            torch.optim.Adagrad(p, lr = 0.02, eps = 1e-3))
        againstTorch "adamw" (Optimizers.adamW 0.003 0.9 0.99 1e-4 1e-16 0.05) (fun p ->
            torch.optim.AdamW(p, lr = 0.003, beta1 = 0.9, beta2 = 0.99, eps = 1e-4, weight_decay = 0.05))
        againstTorch "adam" (Optimizers.adam 0.003 0.9 0.99 1e-4 1e-16) (fun p ->
            torch.optim.Adam(p, lr = 0.003, beta1 = 0.9, beta2 = 0.99, eps = 1e-4))
    ]

let private laws =
    testList "every optimizer of the catalog" [
        for entry in Catalog.optimizers do
            property 30 $"{entry.Name}: a learned rate of the same value gives the same steps" (cases id) (fun case ->
                let constant = entry.Value

                let rate =
                    match constant.LearningRate with
                    | Setting.Constant rate -> rate
                    | other -> failtestf "the catalog's rates are constant, found %A" other

                let learned = Optimizers.withLearnedRate "rate" constant

                let walk (optimizer: Optimizer) hyper =
                    let mutable x = parameters case "x"
                    let mutable state = Optimizers.init optimizer x

                    for i in 1..4 do
                        let g = normalLike (stream case $"gradient {i}") 1.0 x
                        let struct (next, nextState) = Optimizers.apply optimizer x state g hyper
                        x <- next
                        state <- nextState

                    numbersOf x

                let expected = walk constant Params.Empty

                for members in [ case.Members; 1 ] do
                    let hyper =
                        Params.Single("rate", torch.full ([| int64 members |], scalar rate, dtype = torch.float64))

                    near rounding "x" expected (walk learned hyper))

            property
                30
                $"{entry.Name}: writes nothing in place, and leaves alone what gets no gradient"
                (cases id)
                (fun case ->
                    let x = parameters case "x"
                    let before = numbersOf x
                    let g = normalLike (stream case "gradient") 1.0 x
                    let untouched = "unused"

                    let g =
                        Params.Create(
                            Array.ofSeq g.Names,
                            Array.init g.Count (fun i ->
                                if g.Names[i] = untouched then
                                    torch.zeros_like g.Tensors[i]
                                else
                                    g.Tensors[i])
                        )

                    let gradient = numbersOf g
                    let first = Optimizers.init entry.Value x
                    let state = first.Tensors |> Seq.map numbers |> Array.concat
                    let struct (next, _) = Optimizers.apply entry.Value x first g Params.Empty
                    near exact "x" before (numbersOf x)
                    near exact "gradient" gradient (numbersOf g)
                    near exact "state" state (first.Tensors |> Seq.map numbers |> Array.concat)
                    near exact untouched (numbers x[untouched]) (numbers next[untouched])
                    Expect.isFalse (agree rounding before (numbersOf next)) "the rest moves")
    ]

let private schedules =
    let factors (schedule: Schedule) (steps: float list) =
        use t = tensor [ steps.Length ] (Array.ofList steps)
        numbers (schedule.Factor.Invoke t)

    testList "schedules" [
        scoped "by their formulas" (fun () ->
            let steps = [ 0.0; 1.0; 5.0; 10.0; 20.0 ]

            let judge schedule formula =
                near rounding "factors" (steps |> List.map formula |> Array.ofList) (factors schedule steps)

            judge (Schedules.constant 0.3) (fun _ -> 0.3)
            judge (Schedules.linear 1.0 0.2 10) (fun t -> 1.0 - 0.8 * min 1.0 (t / 10.0))
            judge (Schedules.exponential 0.9) (fun t -> 0.9 ** t)
            judge (Schedules.cosine 0.1 10) (fun t -> 0.1 + 0.45 * (1.0 + cos (Math.PI * min 1.0 (t / 10.0))))
            judge (Schedules.warmup 4) (fun t -> min 1.0 ((t + 1.0) / 4.0))

            judge (Schedules.product [| Schedules.exponential 0.9; Schedules.warmup 4 |]) (fun t ->
                0.9 ** t * min 1.0 ((t + 1.0) / 4.0)))

        scoped "a schedule counts its steps" (fun () ->
            let optimizer = Optimizers.withSchedule (Schedules.linear 1.0 0.0 4) (Optimizers.sgd 0.5)
            let mutable x = Params.Single("a", tensor [ 2; 1 ] [| 0; 0 |])
            let g = Params.Single("a", tensor [ 2; 1 ] [| 1; -2 |])
            let mutable state = Optimizers.init optimizer x

            for _ in 1..5 do
                let struct (next, nextState) = Optimizers.apply optimizer x state g Params.Empty
                x <- next
                state <- nextState

            // 1 + 0.75 + 0.5 + 0.25 + 0 of half a gradient.
            near rounding "x" [| -1.25; 2.5 |] (numbers x["a"]))

        scoped "weight decay is decoupled from the gradient's preconditioning" (fun () ->
            let x = Params.Single("a", tensor [ 1; 2 ] [| 3; -1 |])
            let g = Params.Single("a", tensor [ 1; 2 ] [| 0; 0 |])
            let optimizer = Optimizers.adamW 0.1 0.9 0.99 1e-8 1e-16 0.5
            let struct (next, _) = Optimizers.apply optimizer x (Optimizers.init optimizer x) g Params.Empty
            near rounding "x" [| 3.0 * 0.95; -0.95 |] (numbers next["a"]))
    ]

let private perTensor =
    testList "rates of their own" [
        property 30 "per tensor and per parameter, all equal, give the steps of one rate" (cases id) (fun case ->
            let x = parameters case "x"
            let g = normalLike (stream case "gradient") 1.0 x
            let plain = Optimizers.momentum 0.2 0.5

            let step (optimizer: Optimizer) hyper =
                let struct (next, _) = Optimizers.apply optimizer x (Optimizers.init optimizer x) g hyper
                numbersOf next

            let expected = step plain Params.Empty
            let learned = Optimizers.withRatePerTensor "rate/" plain

            for seeds in [ seeds case; (seeds case)[..0] ] do
                for meta in
                    [
                        MetaParameters.ratePerTensor "rate/" x 0.2
                        MetaParameters.ratePerParameter "rate/" x 0.2
                    ] do
                    let w = meta.Init.Invoke(seeds, torch.float64, torch.CPU)
                    near rounding meta.Name expected (step learned (meta.Apply.Invoke(w, null))))

        scoped "a rate of the wrong shape is refused by name" (fun () ->
            let x = Params.Single("a", tensor [ 1; 2 ] [| 3; -1 |])
            let learned = Optimizers.withRatePerTensor "rate/" (Optimizers.sgd 0.1)
            let hyper = Params.Single("rate/a", tensor [ 1; 3 ] [| 1; 2; 3 |])

            refuses [ "rate/a"; "[1, 3]" ] (fun () ->
                Optimizers.apply learned x (Optimizers.init learned x) x hyper |> ignore))
    ]

let tests = testList "optimizers" [ byHand; torchs; schedules; perTensor; laws ]
