using System.Globalization;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <summary>When a LabNode's disk is checked in full, in what pod when no guest is to start, and what a check says of the disk. Pure.</summary>
public static class NodeChecks
{
    /// <summary>The disk is sound, or its leaks harm nothing.</summary>
    public const string Checked = "Checked";

    /// <summary>The last check found room that belongs to nothing.</summary>
    public const string OverlayLeaks = "OverlayLeaks";

    /// <summary>The last check led to a repair.</summary>
    public const string Repaired = "Repaired";

    /// <summary>No check has told anything of the disk yet.</summary>
    public const string NotChecked = "NotChecked";

    /// <summary>A pod without a guest checks the disk.</summary>
    public const string Checking = "Checking";

    /// <summary>A full check waits for the guest's next start.</summary>
    public const string CheckDue = "CheckDue";

    /// <summary>A check whose pod ended before it could tell anything is tried again after this; no watch tells when what was in its way is gone.</summary>
    private static readonly TimeSpan s_again = TimeSpan.FromMinutes(5);

    /// <summary>When the next full check is due: not later than now when it is; null when there will be none.</summary>
    /// <param name="wish">What the spec says of the disk.</param>
    /// <param name="status">What is known of it.</param>
    public static DateTime? DueAt(LabNodeDisk wish, LabNodeStatus status)
    {
        if (status.Disk is not { CreatedAt: { } made } disk)
        {
            return null;
        }

        DateTime? due = IsAsked(wish, disk) ? DateTime.UnixEpoch
            : wish.CheckEveryHours is { } hours ? Latest(made, status.WipedAt, disk.FullCheckAt).AddHours(hours)
            : null;
        return due is { } at && disk.LastCheck is { Kind: DiskCheckKinds.Full, Result: DiskCheckResults.NotDone, At: { } tried } ? Latest(at, tried + s_again) : due;
    }

    /// <summary>The full check that a start carries out, by its name; null for none.</summary>
    public static string? DueAtStart(LabNodeDisk wish, LabNodeStatus status, DateTimeOffset now) =>
        DueAt(wish, status) <= now.UtcDateTime ? (IsAsked(wish, status.Disk!) ? wish.CheckRevision! : "") : null;

    /// <summary>Whether a pod of a LabNode runs no guest and only checks its disk.</summary>
    public static bool IsCheck(V1Pod pod) => NodeObjects.WasMadeFor(pod, Annotations.Task, Annotations.DiskCheckTask);

    /// <summary>The pod that checks the disk of <paramref name="claim"/>. It has the name of the guest's, so that there is one at a time.</summary>
    public static V1Pod Pod(V1Alpha1LabNode node, V1PersistentVolumeClaim claim, string fullCheck, OperatorOptions options)
    {
        V1Pod pod = NodeObjects.Pod(node, claim, null, new NodeStart(true, null, null, null, false) { FullCheck = fullCheck, CheckOnly = true }, options);
        pod.Metadata.Annotations[Annotations.Task] = Annotations.DiskCheckTask;

        // qemu-img takes 10 MiB for the tables of a full disk of 100 GiB, and 17 for 500; what it copies goes through the page cache, which gives way.
        pod.Spec.Containers[0].Resources = new V1ResourceRequirements
        {
            Requests = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("100m"), ["memory"] = new("64Mi") },
            Limits = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("1"), ["memory"] = new("256Mi") },
        };
        return pod;
    }

    /// <summary>What the condition DiskHealthy says after this check; null for Unknown.</summary>
    public static (bool? IsHealthy, string Reason, string Message) Verdict(LabNodeDiskCheck? check)
    {
        string told = check is null ? "" : string.Create(CultureInfo.InvariantCulture, $"{check.Kind} check at {check.At:u}: {check.Message}");
        return check?.Result switch
        {
            DiskCheckResults.Clean => (true, Checked, told),
            DiskCheckResults.Leaks => (true, OverlayLeaks, $"{told} To give them back, set spec.disk.repair to Leaks and change spec.disk.checkRevision."),
            DiskCheckResults.Repaired => (true, Repaired, told),
            DiskCheckResults.Corrupt => (false, TerminationReasons.OverlayCorrupt, told),
            null => (null, NotChecked, "The disk is checked before its guest's next start."),
            _ => (null, NotChecked, told),
        };
    }

    /// <summary>A check as it is put on record.</summary>
    public static LabNodeDiskCheck Note(DiskCheckReport report, string podUid) => new()
    {
        At = NodeEnds.Instant(report.At.UtcDateTime),
        Kind = report.Kind,
        Result = report.Result,
        Revision = string.IsNullOrEmpty(report.Revision) ? null : report.Revision,
        Leaks = report.Leaks,
        Corruptions = report.Corruptions,
        Message = report.Message,
        PodUid = podUid,
    };

    /// <summary>The event that tells of a check; null for one that nobody asked for and that found nothing to tell.</summary>
    public static Intent.Announce? Event(LabNodeDiskCheck check) => check.Result switch
    {
        DiskCheckResults.Repaired => new(false, "DiskRepaired", check.Message!),
        DiskCheckResults.Corrupt => new(true, TerminationReasons.OverlayCorrupt, check.Message!),
        _ when check.Kind != DiskCheckKinds.Full => null,
        DiskCheckResults.Clean => new(false, "DiskChecked", check.Message!),
        DiskCheckResults.Leaks => new(false, OverlayLeaks, check.Message!),
        _ => new(true, "DiskCheckFailed", check.Message!),
    };

    private static bool IsAsked(LabNodeDisk wish, LabNodeDiskStatus disk) => wish.CheckRevision is { Length: > 0 } asked && asked != disk.CheckRevision;

    private static DateTime Latest(params ReadOnlySpan<DateTime?> times)
    {
        DateTime latest = DateTime.UnixEpoch;
        foreach (DateTime? time in times)
        {
            latest = time > latest ? time.Value : latest;
        }

        return latest;
    }
}
