namespace Bmg.Training.Data;

/// <summary>The order in which examples come: each once an epoch, every epoch in an order of its own, which follows from the seed and the
/// epoch alone. All there is to save is how many have come.</summary>
/// <param name="examples">The examples, by index.</param>
/// <param name="seed">Of the order.</param>
internal sealed class ExampleOrder(int[] examples, Seed seed)
{
    private int[] _order = [];
    private long _epoch = -1;

    /// <summary>Examples that have come so far.</summary>
    public long Drawn { get; set; }

    /// <summary>The next example.</summary>
    public int Next()
    {
        var epoch = Drawn / examples.Length;
        if (epoch != _epoch)
        {
            _order = Shuffled(examples.Length, seed.For(FormattableString.Invariant($"epoch {epoch}")));
            _epoch = epoch;
        }

        return examples[_order[Drawn++ % examples.Length]];
    }

    /// <summary>0 … count − 1 in an order that is drawn from a seed (Fisher and Yates).</summary>
    public static int[] Shuffled(int count, Seed seed)
    {
        int[] order = [.. Enumerable.Range(0, count)];
        var random = seed.Generator();
        for (var i = count - 1; i > 0; i--)
        {
            var j = random.Next(i + 1);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }
}
