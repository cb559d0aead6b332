#:project ../Bmg.Training/Bmg.Training.csproj
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Bmg.Training.Data;
using Bmg.Training.Hosting;

return BmgHost.CreateDefault().AddData("moons", new MoonsSettings(), Moons).Run(args);

static IDataSet Moons(MoonsSettings settings)
{
    var random = Bmg.Seed.Of(1).Generator();
    float Noisy(double value) => (float)(value + settings.Noise * random.NextNormal());
    var (inputs, classes) = (new float[settings.Examples][], new int[settings.Examples]);
    for (var i = 0; i < inputs.Length; i++)
    {
        classes[i] = i % 2;
        var (sin, cos) = Math.SinCos(Math.PI * random.NextDouble());
        inputs[i] = classes[i] == 0 ? [Noisy(cos), Noisy(sin)] : [Noisy(1 - cos), Noisy(0.5 - sin)];
    }

    return new ArrayDataSet(inputs, classes, ["upper", "lower"]).WithInputs([2], ["x", "y"]);
}

sealed record MoonsSettings(
    [property: Description("Points on both half circles together."), Range(10, 1_000_000)] int Examples = 1000,
    [property: Description("Standard deviation of the noise on each coordinate."), Range(0.0, 1.0)] double Noise = 0.15
);
