using Prometheus;

namespace SandLabX.Runtime;

/// <summary>What the runtime counts, named as Go's controller-runtime names it, so that its dashboards fit. No label ever holds an object's name.</summary>
internal static class RuntimeMetrics
{
    private static readonly string[] s_controller = ["controller"];
    private static readonly string[] s_queue = ["name"];
    private static readonly string[] s_kind = ["kind"];

    public static readonly Counter Reconciles = Metrics.CreateCounter(
        "controller_runtime_reconcile_total", "Reconciles by how they ended: success, requeue_after, conflict, terminal or error.", ["controller", "result"]);

    public static readonly Counter ReconcileErrors = Metrics.CreateCounter(
        "controller_runtime_reconcile_errors_total", "Reconciles that failed, conflicts not among them.", s_controller);

    public static readonly Histogram ReconcileTime = Metrics.CreateHistogram(
        "controller_runtime_reconcile_time_seconds", "How long reconciles took.",
        new HistogramConfiguration { LabelNames = s_controller, Buckets = Histogram.ExponentialBuckets(0.001, 2.5, 13) });

    public static readonly Gauge ActiveWorkers = Metrics.CreateGauge("controller_runtime_active_workers", "Reconciles that run now.", s_controller);

    public static readonly Gauge QueueDepth = Metrics.CreateGauge("workqueue_depth", "Keys that are due and wait for a worker.", s_queue);

    public static readonly Counter QueueAdds = Metrics.CreateCounter("workqueue_adds_total", "Keys put into the queue.", s_queue);

    public static readonly Counter QueueRetries = Metrics.CreateCounter("workqueue_retries_total", "Retries after a failure.", s_queue);

    public static readonly Histogram QueueTime = Metrics.CreateHistogram(
        "workqueue_queue_duration_seconds", "How long keys waited for a worker.",
        new HistogramConfiguration { LabelNames = s_queue, Buckets = Histogram.ExponentialBuckets(0.0001, 4, 11) });

    public static readonly Gauge LongestRunning = Metrics.CreateGauge(
        "workqueue_longest_running_processor_seconds", "How long the longest running reconcile has been running.", s_queue);

    public static readonly Counter Requests = Metrics.CreateCounter("rest_client_requests_total", "Requests to the API server.", ["code", "method"]);

    public static readonly Gauge Leader = Metrics.CreateGauge("leader_election_master_status", "1 while this process holds the lease.", s_queue);

    public static readonly Counter WatchRestarts = Metrics.CreateCounter(
        "informer_watch_restarts_total", "Watches that ended, by why: closed, gone, error or idle.", ["kind", "reason"]);

    public static readonly Gauge LastEvent = Metrics.CreateGauge("informer_last_event_seconds", "When the last line of a watch came, in seconds since 1970.", s_kind);

    public static readonly Counter Unreadable = Metrics.CreateCounter("informer_unreadable_fields_total", "Fields of objects that could not be read and were left out.", s_kind);

    public static readonly Gauge CachedObjects = Metrics.CreateGauge("informer_objects", "Objects in the cache.", s_kind);

    public static readonly Counter EventsLost = Metrics.CreateCounter("events_lost_total", "Events for people that could not be written.");
}
