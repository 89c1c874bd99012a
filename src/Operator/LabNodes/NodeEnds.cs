using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;

namespace SandLabX.Operator.LabNodes;

/// <summary>Reads how a pod's guest ended, and what follows from an end.</summary>
public static class NodeEnds
{
    /// <summary>The pod was removed and nobody saw its guest end.</summary>
    public const string PodLost = "PodLost";

    /// <summary>The cluster ended the pod: evicted, refused by its node, its node restarted.</summary>
    public const string PodFailed = "PodFailed";

    /// <summary>The runner's container was killed before it could say why.</summary>
    public const string RunnerKilled = "RunnerKilled";

    /// <summary>Kept in status: enough to see a pattern, few enough to keep the object small.</summary>
    public const int Kept = 5;

    /// <summary>A run of this length was healthy: whatever ended it, and whatever failed before it, no start waits for it.</summary>
    public static readonly TimeSpan HealthyRun = TimeSpan.FromMinutes(10);

    /// <summary>A run that the cluster ended later than this was a good start: killing a machine must not teach it to wait.</summary>
    private static readonly TimeSpan s_goodStart = TimeSpan.FromSeconds(10);

    /// <summary>What follows from an end while the spec says Running.</summary>
    public enum Verdict
    {
        /// <summary>Start again.</summary>
        Restart,

        /// <summary>Stay off: the guest ended by itself and the restart policy says so.</summary>
        StayOff,

        /// <summary>Stay off until the spec changes: trying again can't help or could harm.</summary>
        AskPerson,
    }

    /// <summary>How this pod's guest ended; null while it has not.</summary>
    /// <param name="pod">The pod.</param>
    /// <param name="now">The end's time where nobody tells it.</param>
    /// <param name="lastWord">What its runner said at its end, where that was heard: it stands in for a termination message that the kubelet lost.</param>
    /// <param name="lostHost">The cluster's node that it is on, when that was lost.</param>
    public static LabNodeTermination? Read(V1Pod pod, DateTimeOffset now, TerminationReport? lastWord = null, string? lostHost = null)
    {
        V1ContainerStateTerminated? ended = RunnerStatus(pod)?.State?.Terminated;
        bool over = pod.Status?.Phase is "Succeeded" or "Failed";
        if (ended is null && !over)
        {
            return null;
        }

        if ((ParseReport(ended?.Message) ?? lastWord) is { } report)
        {
            // The message has no room for as much of the console as the stream has.
            return Told(pod.Metadata.Uid, report with { Console = lastWord?.Console ?? report.Console });
        }

        if (ended is null && lostHost is not null)
        {
            // Newer Kubernetes has the pod fail before it removes it; its container is still told of as the node told last.
            return Lost(pod.Metadata.Uid, now, lostHost);
        }

        var end = new LabNodeTermination { PodUid = pod.Metadata.Uid, At = Instant(ended?.FinishedAt ?? now.UtcDateTime) };
        if (ended?.Reason == "OOMKilled")
        {
            end.Reason = TerminationReasons.OutOfMemory;
            end.ExitCode = ended.ExitCode;
            end.Message = "The kernel killed the container for its memory. Please report this: the pod's limit should have covered it.";
        }
        else if (ended is not null && pod.Status?.Reason is null && ended.Reason != "ContainerStatusUnknown")
        {
            end.Reason = RunnerKilled;
            end.ExitCode = ended.ExitCode;
            end.Message = $"The runner's container ended with code {ended.ExitCode} ({ended.Reason ?? "no reason given"}) before it could say why.";
        }
        else
        {
            end.Reason = PodFailed;
            // A kubelet that lost a container tells of it as a state before the present one.
            V1ContainerStateTerminated? lost = ended ?? RunnerStatus(pod)?.LastState?.Terminated;
            end.Message = $"The cluster ended the pod: {pod.Status?.Reason ?? lost?.Reason ?? "no reason given"}. {pod.Status?.Message ?? lost?.Message}".TrimEnd();
        }

        return end;
    }

    /// <summary>An end as the runner told it.</summary>
    public static LabNodeTermination Told(string podUid, TerminationReport report) => new()
    {
        PodUid = podUid,
        Reason = report.Reason,
        Message = report.Message,
        ExitCode = report.QemuExitCode,
        At = Instant(report.At.UtcDateTime),
        StartedAt = Instant(report.Timeline?.GuestRunning?.UtcDateTime),
        // A guest that was killed before it said anything has none; no field of a status is empty.
        Console = string.IsNullOrEmpty(report.Console) ? null : report.Console,
    };

    /// <summary>The termination report of a runner's container; null when there is none or it can't be read.</summary>
    public static TerminationReport? ParseReport(string? message)
    {
        if (string.IsNullOrEmpty(message) || message[0] != '{')
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize(message, ContractJson.Default.TerminationReport);
        }
        catch (JsonException)
        {
            // Not a report of ours (cut, or written by something else): the caller falls back on Kubernetes' own words.
            return null;
        }
    }

    /// <summary>The end of a pod that was removed before anybody read how it ended.</summary>
    /// <param name="podUid">The pod.</param>
    /// <param name="now">The end's time.</param>
    /// <param name="lostHost">The cluster's node that it was on, when that was lost.</param>
    public static LabNodeTermination Lost(string podUid, DateTimeOffset now, string? lostHost = null) => new()
    {
        PodUid = podUid,
        Reason = lostHost is null ? PodLost : NodePhases.NodeLost,
        Message = lostHost is null
            ? "The pod was removed and nobody saw how its guest ended."
            : $"Node {lostHost} of the cluster was lost, and Kubernetes removed the pod; nobody saw how its guest ended.",
        At = Instant(now.UtcDateTime),
    };

    /// <summary>What follows from an end while the spec says Running.</summary>
    public static Verdict Judge(string reason, string restartPolicy) => reason switch
    {
        TerminationReasons.GuestShutdown => restartPolicy == RestartPolicies.Always ? Verdict.Restart : Verdict.StayOff,
        TerminationReasons.GuestPanicked or TerminationReasons.QemuCrashed =>
            restartPolicy == RestartPolicies.Never ? Verdict.StayOff : Verdict.Restart,
        TerminationReasons.OverlayMissing or TerminationReasons.OverlayCorrupt or TerminationReasons.OverlayChainUnexpected
            or TerminationReasons.BackingMismatch or TerminationReasons.SizeBelowImage or TerminationReasons.InvalidConfiguration
            or TerminationReasons.SavedStateUnusable =>
            Verdict.AskPerson,
        _ => Verdict.Restart,
    };

    /// <summary>True when the disk itself is what the reason is about.</summary>
    public static bool ConcernsDisk(string reason) => reason is TerminationReasons.OverlayMissing or TerminationReasons.OverlayCorrupt
        or TerminationReasons.OverlayChainUnexpected or TerminationReasons.OverlayLocked or TerminationReasons.BackingMissing
        or TerminationReasons.BackingMismatch or TerminationReasons.SizeBelowImage or TerminationReasons.NoSpace;

    /// <summary>Whether the next start waits after this end, and how many starts in a row have failed by then.</summary>
    /// <remarks>
    /// A start failed when its guest never ran, or ran for less than ten minutes and then panicked, or its QEMU crashed or was killed. What ended in order
    /// is no failure, nor is what the cluster did to a guest that had run for a while; but neither proves health, so the count stays.
    /// </remarks>
    /// <param name="end">The end.</param>
    /// <param name="before">How many had failed before.</param>
    public static (bool Failed, int Consecutive) Count(LabNodeTermination end, int before)
    {
        TimeSpan ran = end is { StartedAt: { } started, At: { } at } ? at - started : TimeSpan.Zero;
        bool inOrder = end.Reason is TerminationReasons.GuestShutdown or TerminationReasons.HostShutdown or TerminationReasons.HostPowerOff or TerminationReasons.Suspended;
        bool byCluster = end.Reason is RunnerKilled or PodLost or PodFailed;
        bool nodeLost = end.Reason == NodePhases.NodeLost;
        return ran >= HealthyRun ? (false, 0)
            : inOrder || nodeLost || (byCluster && ran >= s_goodStart) ? (false, before)
            : (true, before + 1);
    }

    /// <summary>The wait before a start after <paramref name="failed"/> failed ones in a row: 10·n² seconds, at most 300, up to a tenth less by jitter so that a class of nodes does not start in step.</summary>
    /// <param name="failed">At least 1.</param>
    /// <param name="seed">What the jitter is drawn from, so that the same observation gives the same plan.</param>
    public static TimeSpan Delay(int failed, string seed)
    {
        double seconds = Math.Min(300, 10.0 * failed * failed);
        uint hash = 2166136261;
        foreach (char c in seed)
        {
            hash = (hash ^ c) * 16777619; // FNV-1a: string.GetHashCode differs from process to process
        }

        return TimeSpan.FromSeconds(seconds * (1 - (hash % 1000 / 10000.0)));
    }

    /// <summary>The runner's container in a pod's status.</summary>
    public static V1ContainerStatus? RunnerStatus(V1Pod pod) =>
        pod.Status?.ContainerStatuses?.FirstOrDefault(c => c.Name == NodeObjects.ContainerName);

    /// <summary>A time as the API gives it back (UTC, microseconds), so that what was written equals what is read.</summary>
    public static DateTime? Instant(DateTime? time) => time is { } t
        ? new DateTime(t.Ticks - (t.Ticks % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc)
        : null;
}
