using System.Diagnostics;
using Microsoft.Extensions.Time.Testing;

namespace SandLabX.Unit.Runtime;

/// <summary>Waits for conditions, never for time.</summary>
internal static class Eventually
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    public static async Task BeTrue(Func<bool> condition, string what)
    {
        long began = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(began) > s_patience)
            {
                throw new TimeoutException($"Did not happen in {s_patience}: {what}");
            }

            await Task.Delay(2);
        }
    }

    /// <summary>Moves a fake clock on in small steps until the condition holds.</summary>
    public static async Task BeTrue(FakeTimeProvider clock, TimeSpan step, Func<bool> condition, string what)
    {
        long began = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(began) > s_patience)
            {
                throw new TimeoutException($"Did not happen in {s_patience}: {what}");
            }

            clock.Advance(step);
            await Task.Delay(1);
        }
    }

    /// <summary>Lets everything that is ready to run do so.</summary>
    public static async Task Settle()
    {
        for (int i = 0; i < 20; i++)
        {
            await Task.Delay(1);
        }
    }
}
