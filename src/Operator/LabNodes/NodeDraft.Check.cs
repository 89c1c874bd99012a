using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <content>What is put on record of checks, of reboots and of health.</content>
internal sealed partial class NodeDraft
{
    /// <summary>Reboots are told at most this often: a guest may do nothing else.</summary>
    private static readonly TimeSpan s_rebootsTold = TimeSpan.FromMinutes(1);

    /// <summary>Whether a pod without a guest checks the disk, or is about to.</summary>
    public bool ChecksDisk => (Alive is { } pod && NodeChecks.IsCheck(pod)) || _intents.OfType<Intent.CreatePod>().Any(create => NodeChecks.IsCheck(create.Pod));

    public void Health(bool? is_, string reason, string message) => Set(ConditionTypes.DiskHealthy, is_, reason, message);

    /// <summary>Puts on record what a pod that only checked the disk found. It is no guest's end, and nothing follows from it but for the disk.</summary>
    private void RecordCheck(V1Pod pod)
    {
        if (Status.Disk is not { } disk || disk.LastCheck?.PodUid == pod.Metadata.Uid || NodeEnds.Read(pod, Now, LastWordOf(pod.Metadata.Uid)) is not { } end)
        {
            return;
        }

        TerminationReport? report = NodeEnds.ParseReport(NodeEnds.RunnerStatus(pod)?.State?.Terminated?.Message) ?? LastWordOf(pod.Metadata.Uid);
        if (report?.Check is { } check)
        {
            Take(pod, report.Disk, null, null);
            TakeCheck(check, pod.Metadata.Uid);
            return;
        }

        // It is still due, and tried again later.
        string? told = disk.LastCheck?.Message;
        disk.LastCheck = new LabNodeDiskCheck { At = end.At, Kind = DiskCheckKinds.Full, Result = DiskCheckResults.NotDone, Message = $"{end.Reason}: {end.Message}", PodUid = end.PodUid };
        if (disk.LastCheck.Message != told && NodeChecks.Event(disk.LastCheck) is { } tell)
        {
            Do(tell);
        }
    }

    /// <summary>Takes what a check found, once.</summary>
    /// <param name="report">What the runner told.</param>
    /// <param name="podUid">Its pod.</param>
    /// <param name="endTells">Whether an end that is put on record with it tells people the same.</param>
    private void TakeCheck(DiskCheckReport? report, string podUid, bool endTells = false)
    {
        if (report is null || Status.Disk is not { } disk)
        {
            return;
        }

        LabNodeDiskCheck check = NodeChecks.Note(report, podUid);
        if ((disk.LastCheck?.PodUid, disk.LastCheck?.At) == (check.PodUid, check.At))
        {
            return;
        }

        disk.LastCheck = check;
        disk.CheckRevision = check.Revision ?? disk.CheckRevision;
        if (check.Kind == DiskCheckKinds.Full)
        {
            disk.FullCheckAt = check.At;
        }

        if (!endTells && NodeChecks.Event(check) is { } tell)
        {
            Do(tell);
        }
    }

    /// <summary>Notes the reboots of a guest that runs.</summary>
    private void TakeReboots(RunnerState runner)
    {
        if (runner.Reboots <= (Status.Reboots?.Count ?? 0))
        {
            return;
        }

        if (Status.Reboots?.LastAt + s_rebootsTold - Now.UtcDateTime is { Ticks: > 0 } left)
        {
            Again(left);
            return;
        }

        Status.Reboots = new LabNodeReboots { Count = runner.Reboots, LastAt = NodeEnds.Instant(runner.RebootedAt?.UtcDateTime ?? Now.UtcDateTime) };
        Do(new Intent.Announce(false, "Rebooted", $"The guest rebooted by itself, in its pod; {runner.Reboots} times since it was started or resumed."));
    }

    /// <summary>What failed before a run of ten minutes counts no more.</summary>
    private void ForgetFailuresOnceHealthy()
    {
        if (Status.Restarts is not { Consecutive: > 0 } restarts || Status.StartedAt is not { } since)
        {
            return;
        }

        TimeSpan left = since + NodeEnds.HealthyRun - Now.UtcDateTime;
        if (left > TimeSpan.Zero)
        {
            Again(left);
            return;
        }

        restarts.Consecutive = 0;
    }
}
