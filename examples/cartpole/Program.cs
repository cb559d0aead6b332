using Bmg.Examples.CartPole;
using Bmg.Training.Environments;
using Bmg.Training.Hosting;

return BmgHost.CreateDefault().AddEnvironment("noisy-cartpole", new NoisyCartPoleSettings(), NoisyCartPole).Run(args);

static IEnvironment NoisyCartPole(NoisyCartPoleSettings settings) =>
    new NoisySensors(new CartPole(new CartPoleSettings { Steps = settings.Steps }), settings.Noise);
