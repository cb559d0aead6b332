using Bmg.Examples;
using Bmg.Verify;

// Not below Bmg, where Verify would be the namespace.
namespace Mine;

/// <summary>Every law on parts of one's own, in C#.</summary>
public static class Judging
{
    /// <summary>Prints what the laws say of each.</summary>
    public static void Judge()
    {
        // region judge-matching
        Console.WriteLine(Verify.Matching(CSharp.Hellinger));
        // endregion
        // region judge-target
        Console.WriteLine(Verify.Target("half the way", CSharp.Halfway));
        // endregion
        // region judge-rule
        Console.WriteLine(Verify.Run(CSharp.ShrinkingSubject));
        // endregion
        // region judge-optimizer
        Console.WriteLine(Verify.Optimizer(CSharp.Softsign));
        // endregion
        // region judge-options
        Console.WriteLine(Verify.Matching(CSharp.Brier, new VerifyOptions { Cases = 50, Seed = 1 }));
        // endregion
    }
}
