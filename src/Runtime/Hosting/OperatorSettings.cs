namespace SandLabX.Runtime;

/// <summary>What an operator can choose about its runtime.</summary>
public sealed class OperatorSettings
{
    /// <summary>Name of the operator: of its lease (<c>&lt;name&gt;-leader</c>), of its writes' field manager, of its events' source and in the server's audit log.</summary>
    public string Name { get; set; } = "operator";

    /// <summary>The operator's own namespace, where its lease lives.</summary>
    public string Namespace { get; set; } = "default";

    /// <summary>The one namespace that is watched; null or empty for all.</summary>
    public string? WatchNamespace { get; set; }

    /// <summary>Whether only the holder of a lease works; the others keep their caches warm. Default true.</summary>
    public bool LeaderElection { get; set; } = true;

    /// <summary>How long others wait for a silent holder. Default 15 s, more than <see cref="RenewDeadline"/>.</summary>
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a holder works on without a renewal. Default 10 s, at least twice <see cref="RetryPeriod"/>.</summary>
    public TimeSpan RenewDeadline { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Time between renewals, and between tries to become the holder. Default 2 s.</summary>
    public TimeSpan RetryPeriod { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Who this process is in the lease; unique for each process. Default machine (pod) name and a random part.</summary>
    public string Identity { get; set; } = $"{Environment.MachineName}_{Guid.NewGuid():N}";

    /// <summary>How often every object is looked at without a change, give or take 10 %. Default 10 h.</summary>
    public TimeSpan ResyncPeriod { get; set; } = TimeSpan.FromHours(10);

    /// <summary>How long one reconcile may take before it is cancelled and counted as failed. Default 5 min.</summary>
    public TimeSpan ReconcileTimeout { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>How long running reconciles may go on once the process was asked to end. Default 10 s; the host's own shutdown timeout must be longer.</summary>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Requests a second to the API server in the long run, watches included. Default 200: the server's own fairness guards it since 1.20, so this only
    /// keeps a bug of ours from being a flood, and must not be what a thousand LabNodes wait for.
    /// </summary>
    public int RequestsPerSecond { get; set; } = 200;

    /// <summary>Requests that may be sent at once after a calm time. Default 400.</summary>
    public int RequestBurst { get; set; } = 400;

    /// <summary>How long a connection to the server may take, its TLS handshake included. Default 5 s: half of <see cref="RenewDeadline"/>, so that a renewal is tried again in time.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>Time without a word from the server after which it is pinged. Default 20 s: the library's own pings show a dead link after three and a half minutes.</summary>
    public TimeSpan PingDelay { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>Time after which an unanswered ping means that the link is dead. Default 10 s.</summary>
    public TimeSpan PingTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Refuses times that do not fit each other.</summary>
    internal void Validate()
    {
        if (RenewDeadline >= LeaseDuration || RetryPeriod * 2 > RenewDeadline || RetryPeriod <= TimeSpan.Zero)
        {
            throw new ArgumentException(
                $"The lease needs RetryPeriod ({RetryPeriod}) at most half of RenewDeadline ({RenewDeadline}), and that less than LeaseDuration ({LeaseDuration}).");
        }
    }
}
