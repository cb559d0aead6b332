using System.Collections.Concurrent;
using Bmg.Training.Runs;

namespace Bmg.Training.Studies;

/// <summary>The 95 % confidence interval of a mean, by Student's t.</summary>
public static class StudentInterval
{
    private const double Level = 0.95;
    private static readonly ConcurrentDictionary<int, double> Known = new();

    /// <summary>Half the interval's width over the values that are finite, t·s/√n; NaN for fewer than two.</summary>
    public static double HalfWidth(IReadOnlyList<double> values)
    {
        int count = values.Count(double.IsFinite);
        return count < 2 ? double.NaN : Quantile(count - 1) * Spread.Of(values).Deviation / Math.Sqrt(count);
    }

    /// <summary>t with P(|T| &lt; t) = 0.95 for T of Student's distribution.</summary>
    /// <param name="freedom">Degrees of freedom, at least 1.</param>
    public static double Quantile(int freedom) =>
        Known.GetOrAdd(
            freedom,
            static n =>
            {
                (double low, double high) = (0, 20);
                for (int i = 0; i < 60; i++)
                {
                    double middle = (low + high) / 2;
                    (low, high) = Within(middle, n) < Level ? (middle, high) : (low, middle);
                }
                return (low + high) / 2;
            }
        );

    /// <summary>P(|T| &lt; t), by the finite sums that hold for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4).</summary>
    private static double Within(double t, int freedom)
    {
        double angle = Math.Atan(t / Math.Sqrt(freedom));
        (double sine, double cosine) = Math.SinCos(angle);
        bool odd = freedom % 2 == 1;
        double term = odd ? cosine : 1;
        double sum = 0;
        for (int k = odd ? 1 : 0; k <= freedom - 2; k += 2)
        {
            sum += term;
            term *= (k + 1) / (double)(k + 2) * cosine * cosine;
        }
        return odd ? 2 / Math.PI * (angle + (sine * sum)) : sine * sum;
    }
}
