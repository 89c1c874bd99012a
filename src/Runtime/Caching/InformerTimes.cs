namespace SandLabX.Runtime;

/// <summary>The times an informer keeps; tests shorten them.</summary>
internal sealed record InformerTimes
{
    /// <summary>Objects a page of a list.</summary>
    public int PageSize { get; init; } = 500;

    /// <summary>How long a watch lasts at least, by the server's will; a random time up to twice this is asked for, so that watches do not end together.</summary>
    public TimeSpan WatchTimeout { get; init; } = TimeSpan.FromSeconds(300);

    /// <summary>How much longer than asked for a silent watch is believed in.</summary>
    public TimeSpan IdleGrace { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long the server may take to begin its answer.</summary>
    public TimeSpan OpenTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Time between two starts of a watch, at least.</summary>
    public TimeSpan BetweenWatches { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>First wait after a failure.</summary>
    public TimeSpan FirstBackoff { get; init; } = TimeSpan.FromSeconds(0.8);

    /// <summary>Longest wait after a failure.</summary>
    public TimeSpan LastBackoff { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>After this long without a failure the next wait is the first one again.</summary>
    public TimeSpan Healthy { get; init; } = TimeSpan.FromMinutes(2);
}
