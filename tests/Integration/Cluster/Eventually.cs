using System.Diagnostics;

namespace SandLabX.Integration.Cluster;

/// <summary>Waits for conditions, never for time.</summary>
public static class Eventually
{
    /// <summary>How long a condition may take before a test fails; generous, since nobody waits longer than it takes.</summary>
    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(180);

    /// <summary>Waits until the condition holds.</summary>
    public static Task BeTrueAsync(Func<bool> condition, string what) => BeTrueAsync(() => Task.FromResult(condition()), what);

    /// <summary>Waits until the condition holds.</summary>
    /// <param name="condition">What must come to hold.</param>
    /// <param name="what">The same in words.</param>
    /// <param name="seen">What to say of the last look when it does not.</param>
    public static async Task BeTrueAsync(Func<Task<bool>> condition, string what, Func<string>? seen = null)
    {
        long began = Stopwatch.GetTimestamp();
        while (!await condition())
        {
            if (Stopwatch.GetElapsedTime(began) > Patience)
            {
                throw new TimeoutException($"Did not happen in {Patience}: {what}\n{seen?.Invoke()}".TrimEnd());
            }

            await Task.Delay(20);
        }
    }
}
