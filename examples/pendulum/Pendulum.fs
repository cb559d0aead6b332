namespace Bmg.Examples.Pendulum

open System
open System.ComponentModel
open System.ComponentModel.DataAnnotations
open System.IO
open Bmg.Training.Environments

/// Settings of the damped pendulum. The value that is registered holds the defaults.
type DampedPendulumSettings = {
    [<Description("Largest torque to either side. Unit: N·m.")>]
    [<Range(0.01, 100.0)>]
    Torque: float
    [<Description("Part of its speed that the pendulum loses in a second.")>]
    [<Range(0.0, 10.0)>]
    Damping: float
    [<Description("Steps after which an episode is truncated.")>]
    [<Range(1, 1000000)>]
    Steps: int
}

/// A pendulum of 1 kg and 1 m with friction, to swing up and hold upright by one bounded torque. It shows the cosine and the sine of its
/// angle, 0 upright, and its speed in rad/s; a step of 0.05 s earns the cosine of the angle less a hundredth of the squared torque.
type DampedPendulum(settings: DampedPendulumSettings) =
    let interval = 0.05
    let mutable angle = Math.PI
    let mutable speed = 0.0
    let mutable steps = 0

    let description =
        EnvironmentDescription(
            ObservationSpace.Named("cosine", "sine", "speed"),
            ActionSpace.OfBounded(Bounded("torque", float32 -settings.Torque, float32 settings.Torque)),
            Saves = true,
            Ends = true,
            Renders = true
        )

    let observe (observation: Span<float32>) =
        observation[0] <- float32 (cos angle)
        observation[1] <- float32 (sin angle)
        observation[2] <- float32 speed

    interface IEnvironment with
        member _.Description = description

        member _.Reset(random, observation) =
            angle <- Math.PI * (2.0 * random.NextDouble() - 1.0)
            speed <- 0.0
            steps <- 0
            observe observation

        member _.Step(_, action, observation) =
            let torque = float action.Values[0]
            let acceleration = 15.0 * sin angle + 3.0 * torque - settings.Damping * speed
            speed <- Math.Clamp(speed + acceleration * interval, -8.0, 8.0)
            angle <- angle + speed * interval
            steps <- steps + 1
            observe observation
            StepResult(float32 (cos angle - 0.01 * torque * torque), Truncated = (steps >= settings.Steps))

        member _.Save(writer: BinaryWriter) =
            writer.Write angle
            writer.Write speed
            writer.Write steps

        member _.Restore(reader: BinaryReader) =
            angle <- reader.ReadDouble()
            speed <- reader.ReadDouble()
            steps <- reader.ReadInt32()

        member _.Render() =
            $"angle {Math.IEEERemainder(angle, 2.0 * Math.PI) * 180.0 / Math.PI:F0} degrees, speed {speed:F1} rad/s"
