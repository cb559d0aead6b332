using System.Collections.Concurrent;
using Bmg.Training.Runs;

namespace Bmg.Training.Reporting;

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

    /// <summary>The mean of the differences of pairs, and half the width of its interval; pairs with a number that is not finite are left
    /// out.</summary>
    public static (double Mean, double HalfWidth) OfPairs(IReadOnlyList<double> here, IReadOnlyList<double> there)
    {
        double[] differences = [.. here.Zip(there, (a, b) => a - b).Where(double.IsFinite)];
        return (Spread.Of(differences).Mean, HalfWidth(differences));
    }

    /// <summary>The difference of the means of two independent samples, and half the width of its interval (Welch), with degrees of freedom
    /// rounded down. NaN for a sample of fewer than two.</summary>
    public static (double Mean, double HalfWidth) OfDifference(IReadOnlyList<double> here, IReadOnlyList<double> there)
    {
        double[] a = [.. here.Where(double.IsFinite)];
        double[] b = [.. there.Where(double.IsFinite)];
        (Spread first, Spread second) = (Spread.Of(a), Spread.Of(b));
        double mean = first.Mean - second.Mean;
        if (a.Length < 2 || b.Length < 2)
        {
            return (mean, double.NaN);
        }
        double u = first.Deviation * first.Deviation / a.Length;
        double v = second.Deviation * second.Deviation / b.Length;
        if (u + v == 0)
        {
            return (mean, 0);
        }
        double freedom = (u + v) * (u + v) / ((u * u / (a.Length - 1)) + (v * v / (b.Length - 1)));
        return (mean, Quantile(Math.Max(1, (int)freedom)) * Math.Sqrt(u + v));
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
