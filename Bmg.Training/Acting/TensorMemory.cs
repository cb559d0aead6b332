using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>Views of CPU tensors' own memory: no copy between .NET and libtorch.</summary>
internal static class TensorMemory
{
    /// <summary>The elements of a contiguous CPU tensor, row-major, as long as the tensor lives.</summary>
    /// <exception cref="ArgumentException">The tensor is of another type, elsewhere, or not contiguous.</exception>
    public static Span<T> Elements<T>(Tensor tensor)
        where T : unmanaged
    {
        Require<T>(tensor, "tensor");
        return MemoryMarshal.Cast<byte, T>(tensor.bytes);
    }

    /// <summary>The address of the first of <paramref name="count"/> elements, which are all that the tensor has.</summary>
    /// <param name="tensor">A contiguous CPU tensor.</param>
    /// <param name="name">What to call it in a message.</param>
    /// <param name="count">How many elements will be read or written from that address on.</param>
    /// <exception cref="ArgumentException">The tensor is of another type or size, elsewhere, or not contiguous.</exception>
    public static unsafe nint Address<T>(Tensor tensor, string name, long count)
        where T : unmanaged
    {
        Require<T>(tensor, name);
        if (tensor.NumberOfElements != count)
        {
            throw new ArgumentException(
                $"'{name}' must have {count} elements, found {tensor.NumberOfElements} in [{string.Join(", ", tensor.shape)}]."
            );
        }

        fixed (byte* first = tensor.bytes)
        {
            return (nint)first;
        }
    }

    private static void Require<T>(Tensor tensor, string name)
        where T : unmanaged
    {
        var expected =
            typeof(T) == typeof(float) ? ScalarType.Float32
            : typeof(T) == typeof(long) ? ScalarType.Int64
            : throw new NotSupportedException($"TensorMemory has no tensors of {typeof(T).Name}.");
        if (tensor.dtype != expected || !tensor.is_contiguous() || tensor.device_type != TorchSharp.DeviceType.CPU)
        {
            throw new ArgumentException(
                $"'{name}' must be a contiguous tensor of {expected} on the CPU, found {tensor.dtype} on {tensor.device}{(tensor.is_contiguous() ? "" : ", not contiguous")}."
            );
        }
    }
}
