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
        Require<T>(tensor, "TensorMemory.Elements", "tensor");
        return MemoryMarshal.Cast<byte, T>(tensor.bytes);
    }

    /// <summary>The address of the first of <paramref name="count"/> elements, which are all that the tensor has.</summary>
    /// <param name="tensor">A contiguous CPU tensor.</param>
    /// <param name="caller">Who asks, for a message.</param>
    /// <param name="name">What the tensor is called.</param>
    /// <param name="count">How many elements will be read or written from that address on.</param>
    /// <exception cref="ArgumentException">The tensor is of another type or size, elsewhere, or not contiguous.</exception>
    public static unsafe nint Address<T>(Tensor tensor, string caller, string name, long count)
        where T : unmanaged
    {
        Require<T>(tensor, caller, name);
        if (tensor.NumberOfElements != count)
        {
            throw new ArgumentException(
                $"{caller}: '{name}' must have {count} elements, found {tensor.NumberOfElements} in [{string.Join(", ", tensor.shape)}]."
            );
        }

        fixed (byte* first = tensor.bytes)
        {
            return (nint)first;
        }
    }

    private static void Require<T>(Tensor tensor, string caller, string name)
        where T : unmanaged
    {
        var (expected, word) =
            typeof(T) == typeof(float) ? (ScalarType.Float32, "float32")
            : typeof(T) == typeof(long) ? (ScalarType.Int64, "int64")
            : typeof(T) == typeof(byte) ? (ScalarType.Byte, "uint8")
            : throw new NotSupportedException($"TensorMemory has no tensors of {typeof(T).Name}.");
        if (tensor.dtype != expected || !tensor.is_contiguous() || tensor.device_type != TorchSharp.DeviceType.CPU)
        {
            throw new ArgumentException(
                $"{caller}: '{name}' must be a contiguous {word} tensor on the CPU, found {tensor.dtype} on {tensor.device}{(tensor.is_contiguous() ? "" : ", not contiguous")}."
            );
        }
    }
}
