namespace SandLabX.Runtime;

/// <summary>What the probes of a pod should be told.</summary>
public sealed class OperatorHealth
{
    private readonly IReadOnlyList<Informer> _informers;
    private readonly IReadOnlyList<ControllerLoop> _loops;
    private readonly TimeSpan _longestReconcile;

    internal OperatorHealth(IEnumerable<Informer> informers, IEnumerable<ControllerLoop> loops, OperatorSettings settings)
    {
        _informers = [.. informers];
        _loops = [.. loops];

        // A reconcile is cancelled after its timeout; one that runs on ignores its cancellation.
        _longestReconcile = settings.ReconcileTimeout + TimeSpan.FromMinutes(1);
    }

    /// <summary>Whether everything that should run does: no reconcile hangs, every informer's loop turns. That the API server is away does not count: a restart would not help.</summary>
    public bool Live => !Dead().Any();

    /// <summary>Whether every cache is filled. So a process that waits for the lease is ready too.</summary>
    public bool Ready => !Unready().Any();

    /// <summary>In words, why <see cref="Live"/> or <see cref="Ready"/> is false; empty when neither is.</summary>
    public IReadOnlyList<string> Problems => [.. Dead(), .. Unready()];

    private IEnumerable<string> Dead() =>
    [
        .. _informers.Where(i => i.IsStuck).Select(i => $"the informer of {i.Kind} is stuck"),
        .. _loops.Where(l => l.LongestRunning > _longestReconcile).Select(l => $"a reconcile of {l.Name} has been hanging for {l.LongestRunning}"),
    ];

    private IEnumerable<string> Unready() => _informers.Where(i => !i.Synced.IsCompletedSuccessfully).Select(i => $"the cache of {i.Kind} is not filled yet");
}
