using Bmg.Examples.OwnRule;
using Bmg.Training.Hosting;

return BmgHost
    .CreateDefault()
    .AddUpdateRule("shrinking", new ShrinkingSettings(), Parts.Shrinking)
    .AddOptimizer("softsign", new SoftsignSettings(), Parts.Softsign)
    .AddTarget("farther", new FartherSettings(), Parts.Farther)
    .AddMatchingFunction("brier", new BrierSettings(), Parts.Brier)
    .Run(args);
