using Prometheus;
using SandLabX.Entities;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Operator.Metering;

/// <summary>Counts what becomes of guests, at the moment it is on record: once each, by the operator that leads. docs/METRICS.md tells of each.</summary>
public static class NodeCounters
{
    private static readonly Counter s_starts = Metrics.CreateCounter(
        "sandlabx_guest_starts_total", "Guests that began to run.", ["how", "accelerator"]);

    private static readonly Histogram s_stages = Metrics.CreateHistogram(
        "sandlabx_guest_start_seconds",
        "From the decision to start a guest to its first instruction, by stage: pod (until the runner's first statement), disk, qemu, guest; and total.",
        new HistogramConfiguration { LabelNames = ["stage"], Buckets = Histogram.ExponentialBuckets(0.01, 2, 15) });

    private static readonly Counter s_ends = Metrics.CreateCounter("sandlabx_guest_ends_total", "Guests that ended, by reason.", ["reason"]);

    private static readonly Counter s_restarts = Metrics.CreateCounter("sandlabx_guest_restarts_total", "Restarts that nobody asked for.");

    private static readonly Counter s_wipes = Metrics.CreateCounter("sandlabx_disk_wipes_total", "Disks put back to their base, or to one that was kept.");

    private static readonly Counter s_lifetimes = Metrics.CreateCounter("sandlabx_lifetime_ends_total", "Guests that went off by their lifetime, by reason.", ["reason"]);

    /// <summary>Counts what is new in a status that was just written.</summary>
    public static void Count(LabNodeStatus? before, LabNodeStatus after)
    {
        foreach (LabNodeTermination end in NewEnds(before, after))
        {
            s_ends.WithLabels(end.Reason ?? "").Inc();
        }

        s_restarts.Inc(Math.Max(0, (after.Restarts?.Count ?? 0) - (before?.Restarts?.Count ?? 0)));
        if (NodeLifetime.Ended(after.Halted) && after.Halted!.At != before?.Halted?.At)
        {
            s_lifetimes.WithLabels(after.Halted.Reason!).Inc();
        }

        if (after.WipedAt is not null && after.WipedAt != before?.WipedAt)
        {
            s_wipes.Inc();
        }

        if (after.Pod?.Uid is { } pod && pod != before?.Pod?.Uid && after.Phase is NodePhases.Running or NodePhases.Paused)
        {
            s_starts.WithLabels(before?.SavedState is null ? "boot" : "resume", after.Accelerator ?? "unknown").Inc();
            foreach ((string stage, TimeSpan took) in Stages(after.Timeline))
            {
                s_stages.WithLabels(stage).Observe(took.TotalSeconds);
            }
        }
    }

    /// <summary>The ends that are on record now and were not before.</summary>
    internal static IEnumerable<LabNodeTermination> NewEnds(LabNodeStatus? before, LabNodeStatus after) =>
        (after.Terminations ?? []).Where(end => before?.Terminations?.Any(known => known.PodUid == end.PodUid) != true);

    /// <summary>What each stage of a start took; those whose times are known.</summary>
    internal static IEnumerable<(string Stage, TimeSpan Took)> Stages(LabNodeTimeline? times)
    {
        (string Stage, DateTime? From, DateTime? To)[] stages =
        [
            ("pod", times?.Decided, times?.RunnerStarted), ("disk", times?.RunnerStarted, times?.DiskReady), ("qemu", times?.DiskReady, times?.QemuStarted),
            ("guest", times?.QemuStarted, times?.GuestRunning), ("total", times?.Decided, times?.GuestRunning),
        ];
        foreach ((string stage, DateTime? from, DateTime? to) in stages)
        {
            // Two machines' clocks: what can't be is not counted.
            if (to - from is { } took && took >= TimeSpan.Zero)
            {
                yield return (stage, took);
            }
        }
    }
}
