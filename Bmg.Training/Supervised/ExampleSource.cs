using Bmg.Training.Acting;
using Bmg.Training.Data;
using static TorchSharp.torch;

namespace Bmg.Training.Supervised;

/// <summary>Batches of examples for the members of a part, each member's in an order of its own.</summary>
internal sealed class ExampleSource
{
    private readonly IDataSet _data;
    private readonly ExampleOrder[] _orders;
    private readonly int _batchSize;
    private readonly Device _device;
    private readonly float[] _label;

    /// <summary>A source at its start.</summary>
    /// <param name="data">The data, checked.</param>
    /// <param name="examples">Which of its training examples.</param>
    /// <param name="purpose">What for: the order follows from it, and from the member's seed.</param>
    /// <param name="seeds">One a member.</param>
    /// <param name="batchSize">Examples in a batch.</param>
    /// <param name="device">Where batches are needed.</param>
    public ExampleSource(
        IDataSet data,
        int[] examples,
        string purpose,
        IReadOnlyList<Seed> seeds,
        int batchSize,
        Device device
    )
    {
        _data = data;
        _orders = [.. seeds.Select(seed => new ExampleOrder(examples, seed.For(purpose)))];
        _batchSize = batchSize;
        _device = device;
        _label = new float[data.Description.LabelSize];
    }

    /// <summary>Examples that each member has had; a state to go on from.</summary>
    public long Drawn
    {
        get => _orders[0].Drawn;
        set
        {
            foreach (var order in _orders)
            {
                order.Drawn = value;
            }
        }
    }

    /// <summary>The next batch; its tensors belong to the current dispose scope.</summary>
    public Examples Next()
    {
        var description = _data.Description;
        var (members, width, numbers) = (_orders.Length, description.InputSize, description.LabelSize);
        var inputs = empty([members, _batchSize, width], dtype: ScalarType.Float32);
        var labels = description.HasClasses
            ? empty([members, _batchSize], dtype: ScalarType.Int64)
            : empty([members, _batchSize, numbers], dtype: ScalarType.Float32);
        var seen = TensorMemory.Elements<float>(inputs);
        for (var i = 0; i < members * _batchSize; i++)
        {
            _data.Write(
                DataSplit.Training,
                _orders[i / _batchSize].Next(),
                seen.Slice(i * width, width),
                description.HasClasses ? _label : TensorMemory.Elements<float>(labels).Slice(i * numbers, numbers)
            );
            if (description.HasClasses)
            {
                TensorMemory.Elements<long>(labels)[i] = (long)_label[0];
            }
        }

        return new Examples(inputs.to(_device), labels.to(_device));
    }
}
