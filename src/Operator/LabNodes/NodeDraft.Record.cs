using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <content>What is put on record of the claim, of the pod, and of how a guest began and ended.</content>
internal sealed partial class NodeDraft
{
    /// <summary>The cluster's node that the pod on record was on, where that was lost.</summary>
    private string? LostHost => WasLost ? _before.Pod?.Node : null;

    /// <summary>Puts on record how a guest ended, once a pod, and decides what follows.</summary>
    public void RecordEnd()
    {
        LabNodeTermination? end = null;
        if (Seen.Pod is { } check && Owns(check) && NodeChecks.IsCheck(check))
        {
            RecordCheck(check);
        }
        else if (Seen.Pod is { } pod && Owns(pod))
        {
            end = NodeEnds.Read(pod, Now, LastWordOf(pod.Metadata.Uid), LostHost);
        }

        if (end is null && Status.Pod?.Uid is { } uid && uid != Seen.Pod?.Metadata.Uid)
        {
            end = Seen.GonePod is { } gone && gone.Metadata.Uid == uid ? NodeEnds.Read(gone, Now, LastWordOf(uid), LostHost) : null;
            end ??= LastWordOf(uid) is { } word ? NodeEnds.Told(uid, word) : NodeEnds.Lost(uid, Now, LostHost);
        }

        if (end is null)
        {
            return;
        }

        Status.Pod = null;
        if (Status.Terminations?.Any(t => t.PodUid == end.PodUid) == true)
        {
            return;
        }

        V1Pod? ended = Seen.Pod?.Metadata.Uid == end.PodUid ? Seen.Pod : Seen.GonePod?.Metadata.Uid == end.PodUid ? Seen.GonePod : null;
        TakeReport(ended, end.PodUid!);
        end.StartedAt ??= end.PodUid == _before.Pod?.Uid ? _before.StartedAt : null;
        Status.Terminations = [end, .. (Status.Terminations ?? []).Take(NodeEnds.Kept - 1)];
        Status.StoppedAt = end.At;
        bool asked = Wish is PowerStates.Stopped or PowerStates.Suspended || end.Reason == TerminationReasons.Suspended || Seen.Node.Metadata.DeletionTimestamp is not null
            || (ended is not null && (NodeObjects.WasToldToPowerOff(ended) || RestartIsAskedOf(ended) || WipeIsAskedOf(ended)));
        string reason = end.Reason!;
        bool bad = reason is not (TerminationReasons.GuestShutdown or TerminationReasons.HostShutdown or TerminationReasons.Suspended);
        Do(new Intent.Announce(bad, reason, end.Message!));
        if (asked && reason != TerminationReasons.SavedStateUnusable)
        {
            return;
        }

        // A disk on another base than was believed: its runner told on which, and the next start gives it that.
        bool mended = _settled && reason is TerminationReasons.BackingMismatch or TerminationReasons.OverlayChainUnexpected;
        NodeEnds.Verdict verdict = mended ? NodeEnds.Verdict.Restart : NodeEnds.Judge(reason, Seen.Node.Spec.RestartPolicy);
        if (verdict != NodeEnds.Verdict.Restart)
        {
            Status.Halted = new LabNodeHalt { Reason = reason, Generation = Seen.Node.Metadata.Generation ?? 0, At = end.At };
            return;
        }

        Status.Restarts ??= new LabNodeRestarts();
        Status.Restarts.Count++;
        (bool failed, Status.Restarts.Consecutive) = NodeEnds.Count(end, Status.Restarts.Consecutive);
        Status.Restarts.NextAt = failed ? NodeEnds.Instant((Now + NodeEnds.Delay(Status.Restarts.Consecutive, end.PodUid!)).UtcDateTime) : null;
    }

    /// <summary>A start is decided: its clock begins. A start that is tried again keeps its first time.</summary>
    public void BeginTimeline()
    {
        Status.Restarts?.NextAt = null;
        Status.Reboots = null;
        if (_before.Phase != NodePhases.Starting || Status.Timeline is not { RunnerStarted: null, GuestRunning: null })
        {
            Status.Timeline = new LabNodeTimeline { Decided = NodeEnds.Instant(Now.UtcDateTime) };
        }
    }

    public void DescribeClaim(V1PersistentVolumeClaim claim)
    {
        IDictionary<string, string> notes = claim.Metadata.Annotations;
        Status.Disk ??= new LabNodeDiskStatus();
        Status.Disk.Claim = claim.Metadata.Name;
        Status.Disk.Id = notes[Annotations.DiskId];
        Status.Disk.Backing = DiskBases.Present(claim)!.ToBacking();
        Status.OverlayPath = NodeObjects.OverlayPath(notes[Annotations.DiskId]);
    }

    public void DescribePod(V1Pod pod) => Status.Pod = new LabNodePodStatus
    {
        Name = pod.Metadata.Name,
        Uid = pod.Metadata.Uid,
        Node = pod.Spec?.NodeName,
        Ip = pod.Status?.PodIP,
    };

    /// <summary>What a runner that lives told.</summary>
    public void TakeRunner(V1Pod pod, RunnerState runner)
    {
        // It lets go of a saved state before its guest goes on.
        Status.SavedState = null;
        Status.RunnerVersion = runner.RunnerVersion ?? Status.RunnerVersion;
        Status.QemuVersion = runner.QemuVersion ?? Status.QemuVersion;
        Take(pod, runner.Disk, runner.Accelerator, runner.Timeline);
        TakeCheck(runner.Check, pod.Metadata.Uid);
        TakeReboots(runner);
        Status.ResetRevision = string.IsNullOrEmpty(runner.ResetRevision) ? null : runner.ResetRevision;
    }

    /// <summary>The guest is there, in this phase; whether that is what was asked for is said by the condition Ready.</summary>
    public void MarkRunning(V1Pod pod, string phase = NodePhases.Running)
    {
        bool news = _before.Pod?.Uid != pod.Metadata.Uid;
        Phase(phase);
        DescribePod(pod);
        Disk(true, "OverlayReady", $"{Status.OverlayPath} on claim {Claim?.Metadata.Name}.");
        Ready(true, "Running", "The guest runs.");
        bool outdated = pod.Metadata.Annotations is { } notes && notes.TryGetValue(Annotations.StartHash, out string? hash) && hash.Split('.')[0] != NodeObjects.StartHash(Seen.Node, Options).Split('.')[0];
        Set(ConditionTypes.RestartRequired, outdated, outdated ? "SpecChanged" : "UpToDate", outdated
            ? "cpus, memory, accelerator, gracePeriodSeconds, cloudInit or cdrom changed since the guest started; the next start applies it. Change spec.restartRevision to restart now."
            : "The guest has what the spec says.");
        Status.StartedAt = Status.Timeline?.GuestRunning ?? (news ? NodeEnds.Instant(Now.UtcDateTime) : Status.StartedAt);
        if (news)
        {
            bool resumed = _before.SavedState is not null;
            Do(new Intent.Announce(false, resumed ? "Resumed" : "Started", $"The guest {(resumed ? "goes on where it was suspended," : "runs")} on {pod.Spec?.NodeName} ({Status.Accelerator ?? "accelerator not known yet"})."));
        }

        if (phase == NodePhases.Running)
        {
            ForgetFailuresOnceHealthy();
        }
    }

    private TerminationReport? LastWordOf(string podUid) => Seen.LastWord is { } word && word.PodUid == podUid ? word.Report : null;

    private void TakeReport(V1Pod? pod, string uid)
    {
        TerminationReport? report = (pod is null ? null : NodeEnds.ParseReport(NodeEnds.RunnerStatus(pod)?.State?.Terminated?.Message)) ?? LastWordOf(uid);
        if (report?.SavedState is { } saved)
        {
            Status.SavedState = new LabNodeSavedState { At = NodeEnds.Instant(saved.At.UtcDateTime), SizeBytes = saved.Bytes, Cpus = saved.Cpus, MemoryBytes = saved.MemoryBytes };
        }
        else if (report?.Timeline?.GuestRunning is not null)
        {
            Status.SavedState = null;
        }

        if (report is not null && pod is not null)
        {
            Take(pod, report.Disk, report.Accelerator, report.Timeline);
        }

        TakeCheck(report?.Check, uid, endTells: report?.Reason == TerminationReasons.OverlayCorrupt);
    }

    private void Take(V1Pod pod, DiskReport? disk, AcceleratorReport? accelerator, StartTimeline? timeline)
    {
        if (disk is not null && Status.Disk is { } known)
        {
            known.CreatedAt ??= NodeEnds.Instant(timeline?.DiskReady?.UtcDateTime ?? Now.UtcDateTime);
            known.VirtualSizeBytes = disk.VirtualSizeBytes;
            known.Revision = disk.Revision ?? known.Revision;
            known.Kept = disk.Kept?.Select(kept => new LabNodeKeptDisk
            {
                Revision = kept.Revision,
                Damaged = kept.Damaged ? true : null,
                CreatedAt = NodeEnds.Instant(kept.CreatedAt?.UtcDateTime),
                ActualSizeBytes = kept.ActualSizeBytes,
                Backing = NodeBases.OfKept(Claim, disk, kept),
            }).ToList();
            if (Claim is not null && NodeBases.Settle(Claim, disk, WipeIsAsked ? Seen.Node.Spec.Disk.Revision : null) is { } note)
            {
                Do(note);
                _settled = true;
            }

            if (NodeEnds.Instant(disk.WipedAt?.UtcDateTime) is { } wipedAt && wipedAt != Status.WipedAt)
            {
                Status.WipedAt = wipedAt;
                (known.LastCheck, known.FullCheckAt) = (null, null);
                Do(new Intent.Announce(false, "Wiped", $"The guest has disk {known.Revision}; kept: {(known.Kept is null ? "none" : string.Join(", ", known.Kept.Select(kept => kept.Revision)))}."));
            }

            known.StrayOverlays = disk.Strays is null ? null : [.. disk.Strays];

            // The overlay grows all the time; it is noted at a start and at an end, so that an idle node writes nothing.
            // A guest can count as running, by its pod's readiness, before its runner is first heard: that is a start too.
            bool firstHeard = _before.Timeline?.GuestRunning is null && timeline?.GuestRunning is not null;
            if (firstHeard || _before.Phase != NodePhases.Running || NodeEnds.RunnerStatus(pod)?.State?.Terminated is not null)
            {
                known.ActualSizeBytes = disk.ActualSizeBytes;
            }
        }

        if (accelerator is not null)
        {
            Status.Accelerator = accelerator.Name;
            Set(ConditionTypes.Accelerated, accelerator.Name == Accelerators.Kvm, accelerator.Reason, accelerator.Message);
        }

        if (timeline is not null)
        {
            Status.Timeline = new LabNodeTimeline
            {
                Decided = Status.Timeline?.Decided,
                PodCreated = pod.Metadata.CreationTimestamp,
                PodScheduled = pod.Status?.Conditions?.FirstOrDefault(c => c is { Type: "PodScheduled", Status: "True" })?.LastTransitionTime,
                RunnerStarted = NodeEnds.Instant(timeline.RunnerStarted?.UtcDateTime),
                DiskReady = NodeEnds.Instant(timeline.DiskReady?.UtcDateTime),
                QemuStarted = NodeEnds.Instant(timeline.QemuStarted?.UtcDateTime),
                GuestRunning = NodeEnds.Instant(timeline.GuestRunning?.UtcDateTime),
            };
        }
    }
}
