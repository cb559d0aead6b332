using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace Bmg.Training.Acting;

/// <summary>Views of CPU tensors' own memory: no copy between .NET and libtorch.</summary>
internal static class TensorMemory
{
    /// <summary>The elements of a contiguous CPU tensor, row-major, as long as the tensor lives.</summary>
    public static Span<T> Elements<T>(Tensor tensor)
        where T : unmanaged => MemoryMarshal.Cast<byte, T>(tensor.bytes);

    /// <summary>The address of the first element of a contiguous CPU tensor.</summary>
    public static unsafe nint Address(Tensor tensor)
    {
        var bytes = tensor.bytes;
        fixed (byte* first = bytes)
        {
            return (nint)first;
        }
    }
}
