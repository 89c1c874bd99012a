using Microsoft.AspNetCore.Http;

namespace SandLabX.Integration.Cluster;

/// <summary>What can become of a request on its way to an API server and back.</summary>
public enum ApiFault
{
    /// <summary>Nothing: it is passed on.</summary>
    None,

    /// <summary>A watch breaks off in the middle of a line.</summary>
    WatchDropped,

    /// <summary>A watch is closed in order as soon as it is opened.</summary>
    WatchClosed,

    /// <summary>A patch is answered with 409 and not carried out.</summary>
    Conflict,

    /// <summary>A watch is answered with 410: its version is forgotten.</summary>
    Gone,

    /// <summary>A watch that goes well ends with an ERROR event of code 410.</summary>
    GoneInStream,

    /// <summary>429 with Retry-After; not carried out.</summary>
    Throttled,

    /// <summary>500; not carried out.</summary>
    ServerError,

    /// <summary>It is passed on late, and so are the lines of a watch.</summary>
    Slow,

    /// <summary>It is carried out, and its answer is dropped.</summary>
    LostAnswer,

    /// <summary>The whole connection breaks, with all that is under way on it.</summary>
    Reset,
}

/// <summary>Draws faults from a seed, among those that can befall a request.</summary>
internal sealed class FaultDice(int seed, ApiFault[] kinds)
{
    private readonly Lock _lock = new();
#pragma warning disable CA5394 // Chance that can be repeated is what is wanted.
    private readonly Random _random = new(seed);
    private bool _struck;

    /// <summary>What befalls a request.</summary>
    public ApiFault OfRequest(string method, bool watch)
    {
        ApiFault[] possible = [.. kinds.Where(k => k switch
        {
            ApiFault.WatchClosed or ApiFault.Gone => watch,
            ApiFault.WatchDropped or ApiFault.GoneInStream => false,
            ApiFault.Conflict => HttpMethods.IsPatch(method),
            ApiFault.LostAnswer => !watch,
            _ => true,
        })];
        return Draw(possible, k => k switch
        {
            // A watch is opened seldom; a connection that breaks takes five watches with it.
            ApiFault.WatchClosed or ApiFault.Gone => 2,
            ApiFault.Reset => 12,
            ApiFault.Throttled => 8,
            _ => 5,
        });
    }

    /// <summary>What befalls a line of a watch that was let through.</summary>
    public ApiFault OfLine()
    {
        ApiFault[] possible = [.. kinds.Where(k => k is ApiFault.WatchDropped or ApiFault.GoneInStream or ApiFault.Slow)];
        return Draw(possible, _ => 16);
    }

    /// <summary>How late what is slow comes: mostly a little, at times three seconds.</summary>
    public TimeSpan Lateness()
    {
        lock (_lock)
        {
            return TimeSpan.FromSeconds(3 * Math.Pow(_random.NextDouble(), 5));
        }
    }

    /// <summary>One of the faults, or, but for one time in as many as its odds say, none. The first that can strike does.</summary>
    private ApiFault Draw(ApiFault[] possible, Func<ApiFault, int> odds)
    {
        lock (_lock)
        {
            ApiFault drawn = possible.Length > 0 ? possible[_random.Next(possible.Length)] : ApiFault.None;
            if (drawn == ApiFault.None || (_random.Next(odds(drawn)) > 0 && _struck))
            {
                return ApiFault.None;
            }

            _struck = true;
            return drawn;
        }
    }
#pragma warning restore CA5394
}
