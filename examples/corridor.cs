#:project ../Bmg.Training/Bmg.Training.csproj
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Environments;
using Bmg.Training.Hosting;

return BmgHost.CreateDefault().AddEnvironment("corridor", new CorridorSettings(), s => new Corridor(s)).Run(args);

sealed record CorridorSettings([property: Description("Cells to the exit."), Range(1, 1000)] int Length = 10);

sealed class Corridor(CorridorSettings settings) : IEnvironment
{
    private int _at;

    public EnvironmentDescription Description { get; } =
        new(ObservationSpace.Named("position"), ActionSpace.Of("left", "right")) { Saves = true, Ends = true };

    public void Reset(Bmg.Rng random, Span<float> observation) => observation[0] = _at = 0;

    public StepResult Step(Bmg.Rng random, EnvironmentAction action, Span<float> observation)
    {
        _at = Math.Max(0, _at + (action.Index == 1 ? 1 : -1));
        observation[0] = (float)_at / settings.Length;
        return _at == settings.Length ? new StepResult(1, Terminated: true) : new StepResult(-0.01f);
    }

    public void Save(BinaryWriter writer) => writer.Write(_at);

    public void Restore(BinaryReader reader) => _at = reader.ReadInt32();
}
