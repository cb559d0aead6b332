/// How near two numbers must be, by name. Errors are judged relative to the largest entry of what is compared, with an absolute floor.
module Bmg.Tests.Tolerances

open Bmg
open Expecto
open TorchSharp

/// The same numbers: not one bit apart.
let exact = Tolerance.Exact

/// The same float64 arithmetic in another order.
let rounding = Tolerance.Rounding

/// The same float64 arithmetic in another order over many steps, each of which may amplify what the one before left.
let accumulated = Tolerance.Accumulated

/// The same float32 arithmetic in another order.
let singlePrecision = {
    Name = "float32 rounding"
    Relative = 2e-6
    Floor = 1e-6
}

/// A derivative in float64 against central differences of fourth order.
let differences = Tolerance.Differences

/// The values of a tensor, row-major.
let numbers (t: Tensor) : float[] = Judgement.numbers t

/// The values of all tensors of a set, tensor after tensor.
let numbersOf (p: Params) : float[] = Judgement.numbersOf p

let private largest (xs: float[]) =
    xs |> Array.fold (fun m x -> max m (abs x)) 0.0

/// The error that the tolerance allows between two rows of numbers.
let allowed (tolerance: Tolerance) (a: float[]) (b: float[]) : float =
    tolerance.Floor + tolerance.Relative * max (largest a) (largest b)

/// Whether two rows of numbers are finite and as near as the tolerance asks.
let agree (tolerance: Tolerance) (a: float[]) (b: float[]) : bool =
    let limit = allowed tolerance a b

    a.Length = b.Length
    && Array.forall2 (fun (x: float) (y: float) -> System.Double.IsFinite x && abs (x - y) <= limit) a b

/// Fails, naming the first entry that is too far off.
let near (tolerance: Tolerance) (what: string) (expected: float[]) (actual: float[]) : unit =
    if expected.Length <> actual.Length then
        failtestf "%s: expected %d numbers, found %d" what expected.Length actual.Length

    if not (agree tolerance expected actual) then
        let limit = allowed tolerance expected actual

        let i =
            Array.zip expected actual
            |> Array.findIndex (fun (e, a) ->
                not (System.Double.IsFinite e && System.Double.IsFinite a && abs (e - a) <= limit))

        failtestf
            "%s: entry %d of %d: expected %.17g, found %.17g; %s allows %.3g"
            what
            i
            expected.Length
            expected[i]
            actual[i]
            tolerance.Name
            limit

/// Fails unless every number is finite.
let finite (what: string) (values: float[]) : unit =
    values
    |> Array.iteri (fun i v ->
        if not (System.Double.IsFinite v) then
            failtestf "%s: entry %d of %d is %g" what i values.Length v)

/// Fails unless every number is zero, give or take `limit`.
let zero (limit: float) (what: string) (values: float[]) : unit =
    values
    |> Array.iteri (fun i v ->
        if not (abs v <= limit) then
            failtestf "%s: entry %d of %d is %.3g, expected zero to within %.3g" what i values.Length v limit)

/// Fails unless `action` throws an ArgumentException whose message has all the parts.
let refuses (parts: string list) (action: unit -> unit) : unit =
    let message =
        try
            action ()
            None
        with :? System.ArgumentException as e ->
            Some e.Message

    match message with
    | None -> failtestf "expected an ArgumentException that says %A, nothing was thrown" parts
    | Some message ->
        for part in parts do
            Expect.stringContains message part "what the message says"

type private Thread() =
    [<System.ThreadStatic; DefaultValue>]
    static val mutable private alone: bool

    static member Settle() =
        if not Thread.alone then
            torch.set_num_threads 1
            Thread.alone <- true

/// The dispose scope of one test. Tests run side by side, each on one native thread: libtorch's number of threads belongs to the calling
/// thread, so each thread is told once.
let scope () : System.IDisposable =
    Thread.Settle()
    torch.NewDisposeScope()

/// A test whose tensors go when it ends.
let scoped (name: string) (body: unit -> unit) : Test =
    testCase name (fun () ->
        use _ = scope ()
        body ())
