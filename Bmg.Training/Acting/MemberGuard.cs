using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>
/// Watches the members of a part for numbers that are not finite. By default the first such number ends the run. Where members are frozen,
/// it marks its member, and the others go on: members share nothing, so theirs are the numbers of a population without it.
/// </summary>
/// <param name="seeds">Of the part's members.</param>
/// <param name="first">Index of the first of them in the whole experiment.</param>
/// <param name="freezes">Whether a member is frozen, rather than the run ended.</param>
internal sealed class MemberGuard(IReadOnlyList<Seed> seeds, int first, bool freezes)
{
    private readonly FrozenMember?[] _frozen = new FrozenMember?[seeds.Count];
    private int _known;

    /// <summary>What is counted, a plural.</summary>
    public string Unit { get; init; } = Units.EnvironmentSteps;

    /// <summary>Members that are frozen, in order.</summary>
    public IEnumerable<FrozenMember> Frozen => _frozen.OfType<FrozenMember>();

    /// <summary>Whether a member is frozen: it neither acts nor learns.</summary>
    /// <param name="member">Its index in the part.</param>
    public bool IsFrozen(int member) => _frozen[member] is not null;

    /// <summary>Takes note of a number that is not finite.</summary>
    /// <exception cref="NumericalFailureException">Members are not frozen.</exception>
    public void Found(string quantity, int member, long environmentStep, double value)
    {
        if (IsFrozen(member))
        {
            return;
        }
        var seed = (long)seeds[member].Value;
        if (!freezes)
        {
            throw new NumericalFailureException(quantity, first + member, seed, environmentStep, value, Unit);
        }
        _frozen[member] = new FrozenMember(first + member, seed, quantity, environmentStep) { Unit = Unit };
        _known++;
    }

    /// <summary>Looks at a number of each member; of several that are not finite the first counts.</summary>
    /// <exception cref="NumericalFailureException">One is not finite, and members are not frozen.</exception>
    public void Check(string quantity, double[] values, long environmentStep)
    {
        for (var member = 0; member < values.Length; member++)
        {
            if (!double.IsFinite(values[member]))
            {
                Found(quantity, member, environmentStep, values[member]);
            }
        }
    }

    /// <summary>
    /// Freezes those whose new state is not finite, and gives each frozen member the state that it had before. Without freezing, nothing: what
    /// is wrong with a state shows in the next loss.
    /// </summary>
    /// <param name="sets">The new state and the one before it, set by set; a set of the new one may be that of the old one.</param>
    /// <param name="environmentStep">Where it was reached.</param>
    public void Keep(IReadOnlyList<(string Name, Params Next, Params Before)> sets, long environmentStep)
    {
        if (!freezes)
        {
            return;
        }
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        foreach (var (name, next, before) in sets)
        {
            foreach (var tensor in ReferenceEquals(next, before) ? [] : next.Tensors)
            {
                // One look at all members; at each of them where something is wrong.
                if (!tensor.isfinite().all().item<bool>())
                {
                    for (var member = 0; member < seeds.Count; member++)
                    {
                        if (!tensor[member].isfinite().all().item<bool>())
                        {
                            Found(name, member, environmentStep, double.NaN);
                        }
                    }
                }
            }
        }
        if (_known > 0)
        {
            foreach (var (_, next, before) in sets)
            {
                foreach (var name in ReferenceEquals(next, before) ? [] : next.Names)
                {
                    for (var member = 0; member < seeds.Count; member++)
                    {
                        if (IsFrozen(member))
                        {
                            next[name][member].copy_(before[name][member]);
                        }
                    }
                }
            }
        }
    }

    /// <summary>Replaces what frozen members reported, [metric][member], by NaN.</summary>
    public void Silence(double[][] values)
    {
        for (var member = 0; member < seeds.Count && _known > 0; member++)
        {
            foreach (var row in IsFrozen(member) ? values : [])
            {
                row[member] = double.NaN;
            }
        }
    }

    /// <summary>Takes over the part's share of what a checkpoint knows.</summary>
    /// <param name="frozen">Frozen members of the whole experiment.</param>
    public void Restore(IEnumerable<FrozenMember> frozen)
    {
        Array.Clear(_frozen);
        foreach (var mark in frozen.Where(mark => mark.Member >= first && mark.Member < first + seeds.Count))
        {
            _frozen[mark.Member - first] = mark;
        }
        _known = Frozen.Count();
    }
}
