namespace SandLabX.Runtime;

/// <summary>Ever longer waits, with jitter so that many do not return at once; short again after a healthy while.</summary>
internal sealed class Backoff(TimeSpan first, TimeSpan last, TimeSpan healthy, TimeProvider clock)
{
    private int _failures;
    private long _lastFailure;

    /// <summary>How long to wait after a failure that happened now: half to all of the present step.</summary>
    public TimeSpan Next()
    {
        long now = clock.GetTimestamp();
        if (_failures > 0 && clock.GetElapsedTime(_lastFailure, now) > Step() + healthy)
        {
            _failures = 0;
        }

        _lastFailure = now;
        TimeSpan step = Step();
        _failures++;
#pragma warning disable CA5394 // Jitter is no secret.
        return step * (0.5 + (Random.Shared.NextDouble() / 2));
#pragma warning restore CA5394
    }

    private TimeSpan Step() => Exponential(first, last, _failures);

    /// <summary><paramref name="first"/> doubled <paramref name="times"/> times, at most <paramref name="last"/>.</summary>
    public static TimeSpan Exponential(TimeSpan first, TimeSpan last, int times) =>
        TimeSpan.FromTicks((long)Math.Min(last.Ticks, first.Ticks * Math.Pow(2, Math.Min(times, 60))));
}
