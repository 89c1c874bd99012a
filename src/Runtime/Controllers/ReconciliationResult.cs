namespace SandLabX.Runtime;

/// <summary>How a step ended.</summary>
public sealed record ReconciliationResult
{
    private static readonly ReconciliationResult s_success = new() { IsSuccess = true };
    private static readonly ReconciliationResult s_pending = new();

    private ReconciliationResult()
    {
    }

    /// <summary>Whether the work is done; for a finalizer: whether the object may go.</summary>
    public bool IsSuccess { get; private init; }

    /// <summary>When to look again without a change; null waits for a change.</summary>
    public TimeSpan? Delay { get; private init; }

    /// <summary>Nothing more to do until something changes.</summary>
    public static ReconciliationResult Success() => s_success;

    /// <summary>Not finished; a watched change will wake us. A finalizer stays.</summary>
    public static ReconciliationResult Pending() => s_pending;

    /// <summary>Look again after a while, or earlier when something changes; a later step's result replaces this wish. A finalizer stays.</summary>
    /// <param name="delay">The while; at least 1 ms.</param>
    public static ReconciliationResult RequeueAfter(TimeSpan delay) =>
        new() { Delay = delay < TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : delay };
}
