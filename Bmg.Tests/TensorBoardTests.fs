/// Event files, read back by TensorFlow's definition: framing, checksums, and no point twice.
module Bmg.Tests.TensorBoardTests

open System
open System.Buffers.Binary
open System.Collections.Generic
open System.IO
open System.Threading
open Bmg.Training.Configuration
open Bmg.Training.Agents
open Bmg.Training.Acting
open Bmg.Training.Experiments
open Bmg.Training.Progress
open Bmg.Training.Runs
open Bmg.Tests.StudyTests
open Expecto
open FsCheck
open FsCheck.FSharp
open Google.Protobuf

/// CRC-32C bit by bit (polynomial 0x1EDC6F41, reflected), masked as TFRecord masks it.
let private maskedCrc (data: byte[]) : uint32 =
    let mutable crc = UInt32.MaxValue

    for each in data do
        crc <- crc ^^^ uint32 each

        for _ in 1..8 do
            crc <-
                if crc &&& 1u = 1u then
                    (crc >>> 1) ^^^ 0x82F63B78u
                else
                    crc >>> 1

    let crc = ~~~crc
    ((crc >>> 15) ||| (crc <<< 17)) + 0xa282ead8u

/// An event: its time, its step, the version that it states, and its points.
[<NoComparison>]
type private Event = {
    Time: float
    Step: int64
    Version: string
    Points: (string * float32) list
}

let private value (bytes: byte[]) : string * float32 =
    let input = new CodedInputStream(bytes)
    let mutable tag, number = "", nanf

    while not input.IsAtEnd do
        match input.ReadTag() >>> 3 with
        | 1u -> tag <- input.ReadString()
        | 2u -> number <- input.ReadFloat()
        | other -> failtest $"field {other} in a value"

    tag, number

let private event (bytes: byte[]) : Event =
    let input = new CodedInputStream(bytes)

    let mutable read = {
        Time = nan
        Step = 0L
        Version = ""
        Points = []
    }

    while not input.IsAtEnd do
        match input.ReadTag() >>> 3 with
        | 1u -> read <- { read with Time = input.ReadDouble() }
        | 2u -> read <- { read with Step = input.ReadInt64() }
        | 3u ->
            read <- {
                read with
                    Version = input.ReadString()
            }
        | 5u ->
            let summary = input.ReadBytes().CreateCodedInput()

            while not summary.IsAtEnd do
                Expect.equal (summary.ReadTag() >>> 3) 1u "a value of a summary"
                let point = value (summary.ReadBytes().ToByteArray())

                read <- {
                    read with
                        Points = read.Points @ [ point ]
                }
        | other -> failtest $"field {other} in an event"

    read

/// The events of a file, its checksums held to their content.
let private events (path: string) : Event list =
    use file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite)
    use reader = new BinaryReader(file)

    [
        while file.Position < file.Length do
            let header = reader.ReadBytes 8
            Expect.equal (reader.ReadUInt32()) (maskedCrc header) "checksum of the length"
            let content = reader.ReadBytes(int (BinaryPrimitives.ReadUInt64LittleEndian header))
            Expect.equal (reader.ReadUInt32()) (maskedCrc content) "checksum of the content"
            event content
    ]

/// Files in the order in which TensorBoard reads them.
let private files (directory: string) =
    Directory.GetFiles directory
    |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))

/// All points of a directory, file after file; each file begins with its version and holds something.
let points (directory: string) = [
    for file in files directory do
        let all = events file
        Expect.equal all.Head.Version "brain.Event:2" "the version comes first"
        Expect.isNonEmpty all.Tail "no empty file"

        for event in all.Tail do
            for tag, number in event.Points do
                tag, event.Step, number
]

let private at (seconds: int64) : TimeProvider = {
    new TimeProvider() with
        override _.GetUtcNow() =
            DateTimeOffset.FromUnixTimeSeconds seconds
}

let private written (directory: string) (clock: TimeProvider) (write: EventWriter -> unit) : EventPosition =
    use writer = new EventWriter(directory, clock)
    write writer
    writer.Position

/// A run of fakes; `kill` ends it in mid-flight.
let private services (clock: TimeProvider) (kill: int64 -> unit) =
    let experiments = {
        new IExperimentFactory with
            member _.Create configuration =
                fake configuration (fun _ steps -> kill steps)
    }

    RunServices(
        Reading.reader,
        experiments,
        FinishRun(fun _ _ _ -> FinishOutcome.Nothing),
        RunReporter.Silent,
        Clock = clock
    )

let private configuration =
    Reading.reader.Read(
        """{ "name": "events", "members": 2, "environmentSteps": 400, "run": { "metricsEvery": 10, "checkpointEvery": 70 } }""",
        "test",
        []
    )

let tests =
    testList "TensorBoard" [
        test "a file's name and times are Unix seconds of the clock, and it appears with its first point" {
            inDirectory (fun root ->
                let directory = Path.Combine(root, "tensorboard")
                use writer = new EventWriter(directory, at 1700000000L)
                Expect.equal writer.Position (EventPosition("", 0L)) "nothing yet"
                Expect.isFalse (Directory.Exists directory) "no file before the first point"
                writer.Write(7L, [| struct ("a", nan) |])
                Expect.isFalse (Directory.Exists directory) "none for what is not finite either"
                writer.Write(7L, [| struct ("a/mean", 0.5); struct ("b", nan); struct ("c", -2.0) |])
                let file = Array.exactlyOne (files directory)

                Expect.equal
                    (Path.GetFileName file)
                    $"events.out.tfevents.1700000000.{Environment.MachineName}.{Environment.ProcessId}.0"
                    "its name"

                let all = events file
                Expect.equal (all |> List.map (fun e -> e.Time)) [ 1700000000.0; 1700000000.0 ] "wall times"
                Expect.equal (points directory) [ "a/mean", 7L, 0.5f; "c", 7L, -2.0f ] "points"

                Expect.equal
                    writer.Position
                    (EventPosition(nonNull (Path.GetFileName file), FileInfo(file).Length))
                    "at once")
        }

        testProperty "steps and values of any size survive"
        <| Prop.forAll
            (Arb.fromGen (Gen.zip (Gen.choose64 (0L, Int64.MaxValue)) (Gen.choose (-1000, 1000))))
            (fun (step, n) ->
                inDirectory (fun root ->
                    let steps = [ step; 2147483648L; 2147483647L + step % 1000000000000L ]

                    written root (at 1L) (fun writer ->
                        for each in steps do
                            writer.Write(each, [| struct ("tag", float n / 8.0) |]))
                    |> ignore

                    Expect.equal (points root) [ for each in steps -> "tag", each, float32 n / 8.0f ] "points"))

        test "a later session's file sorts behind, though the clock went back" {
            inDirectory (fun root ->
                for seconds in [ 1700000000L; 1600000000L; 1700000000L; 1700000500L ] do
                    written root (at seconds) (fun writer -> writer.Write(seconds, [| struct ("tag", 1.0) |]))
                    |> ignore

                Expect.equal
                    (points root |> List.map (fun (_, step, _) -> step))
                    [ 1700000000L; 1600000000L; 1700000000L; 1700000500L ]
                    "in the order of writing")
        }

        test "rewinding cuts what came after, and nothing else" {
            inDirectory (fun root ->
                let write (steps: int64 list) (writer: EventWriter) =
                    for step in steps do
                        writer.Write(step, [| struct ("tag", float step) |])

                written root (at 100L) (write [ 1L; 2L ]) |> ignore
                let position = written root (at 200L) (write [ 3L ])
                use writer = new EventWriter(root, at 300L)
                Expect.equal writer.Position position "where the last session ended"
                write [ 4L; 5L ] writer
                written root (at 400L) (write [ 6L ]) |> ignore
                use again = new EventWriter(root, at 500L)
                again.Rewind position
                Expect.equal (points root |> List.map (fun (_, step, _) -> step)) [ 1L; 2L; 3L ] "the points before"
                again.Rewind(EventPosition("", 0L))
                Expect.isEmpty (files root) "of a checkpoint before any point: none")
        }

        testPropertyWithConfig
            {
                FsCheckConfig.defaultConfig with
                    maxTest = 20
            }
            "however often a run is killed and resumed, no point is there twice or missing, and no file is empty"
        <| Prop.forAll (Arb.fromGen (Gen.listOf (Gen.choose (0, 39)) |> Gen.map (List.truncate 5))) (fun kills ->
            inDirectory (fun root ->
                let directory = RunDirectory.Create(Path.Combine(root, "run"))
                // In another time zone each time, as it were: the clock goes back.
                let mutable session = 0

                let go (kill: int64 -> unit) =
                    session <- session + 1
                    let services = services (at (1700000000L - 3600L * int64 session)) kill

                    let run =
                        if session = 1 then
                            Run.Begin(directory, configuration, "test", services)
                        else
                            Run.Resume(directory, configuration, "test", services)

                    run.Execute CancellationToken.None

                let finished () =
                    session > 0 && (RunRecord.Read directory).State = RunState.Finished

                for kill in kills do
                    if not (finished ()) then
                        go (fun steps ->
                            if steps = 10L * int64 kill then
                                failwith "killed")
                        |> ignore

                if not (finished ()) then
                    Expect.equal (go ignore).State RunState.Finished "the run ends"

                let all = points directory.TensorBoard

                let expected =
                    HashSet [
                        for step in 10L..10L..400L do
                            for metric in [ "reward"; "entropyWeight" ] do
                                for of' in [ "mean"; "member 0 (seed 1)"; "member 1 (seed 2)" ] do
                                    $"{metric}/{of'}", step
                    ]

                let found = all |> List.map (fun (tag, step, _) -> tag, step)
                Expect.equal (List.distinct found) found "no point twice"
                Expect.isTrue (expected.SetEquals found) "every point"
                // The same numbers as metrics.jsonl, in its order.
                let log = MetricsLog.Read(directory.Metrics, (RunRecord.Read directory).Metrics)

                for tag, step, number in all do
                    if tag = "reward/member 1 (seed 2)" then
                        let row = Seq.findIndex ((=) step) log.EnvironmentSteps
                        let rewards = log.Values["reward"]
                        Expect.equal number (float32 rewards[row].[1]) "as in metrics.jsonl"))
    ]
