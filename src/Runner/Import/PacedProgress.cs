namespace SandLabX.Runner.Import;

/// <summary>How far something is, told no more than once a second while it goes on.</summary>
/// <param name="tell">Told: bytes so far; bytes in all, null when that is not known.</param>
/// <param name="clock">Measures how often.</param>
internal sealed class PacedProgress(Action<long, long?> tell, TimeProvider clock)
{
    private static readonly TimeSpan s_every = TimeSpan.FromSeconds(1);

    private long _told;

    /// <summary>Tells it now: where it begins, and where it ends.</summary>
    internal void Now(long bytes, long? total)
    {
        _told = clock.GetTimestamp();
        tell(bytes, total);
    }

    /// <summary>It goes on; told when the last time is long enough ago.</summary>
    internal void Passes(long bytes, long? total)
    {
        if (clock.GetElapsedTime(_told) >= s_every)
        {
            Now(bytes, total);
        }
    }
}
