using System.Collections.Immutable;
using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.Validation;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabNodes;

/// <summary>The plan in the making: the next status and the intents, with the words in which the planner writes them. Lives for one call of the planner.</summary>
internal sealed partial class NodeDraft
{
    private readonly List<Intent> _intents = [];
    private readonly LabNodeStatus _before;
    private TimeSpan? _again;
    private bool _released;
    private bool _settled;

    public NodeDraft(NodeObservation seen, OperatorOptions options, DateTimeOffset now)
    {
        Seen = seen;
        Options = options;
        Now = now;
        _before = seen.Node.Status ?? new LabNodeStatus();
        Status = Copy(_before);
        Status.ObservedGeneration = seen.Node.Metadata.Generation;
        Status.Conditions ??= [];
        Claim = seen.Claim is { } claim && IsNodesClaim(claim) ? claim : null;
        Alive = seen.Pod is { } pod && Owns(pod) && pod.Status?.Phase is not ("Succeeded" or "Failed") ? pod : null;
        if (Claim is not null && !ClaimHoldsAnotherDisk)
        {
            DescribeClaim(Claim);
        }
    }

    public NodeObservation Seen { get; }

    public OperatorOptions Options { get; }

    public DateTimeOffset Now { get; }

    /// <summary>The next status.</summary>
    public LabNodeStatus Status { get; }

    /// <summary>The claim, when it is this LabNode's.</summary>
    public V1PersistentVolumeClaim? Claim { get; }

    /// <summary>The pod, when it is this LabNode's and has not ended.</summary>
    public V1Pod? Alive { get; }

    /// <summary>What the disk is based on, as its claim says.</summary>
    public LabNodeBacking? Backing => Status.Disk?.Backing;

    /// <summary>The size that the spec asks for, in bytes; null for the image's.</summary>
    public long? WishedDiskBytes => Quantities.TryParse(Seen.Node.Spec.Disk.Size, out long bytes) ? bytes : null;

    /// <summary>The size that the claim should have room for: the wish, or that of a fresh disk on an image that may be larger now; null when there is nothing to see to.</summary>
    public long? NeededDiskBytes => WishedDiskBytes ?? (WillWipe && MakesFreshDisk ? ImageVirtualSize : null);

    /// <summary>The size that the runner is told: the wish, where the claim has room for it. A claim that was made for less is not promised more.</summary>
    public long? DiskBytesOn(V1PersistentVolumeClaim claim) => WishedDiskBytes is { } wish && HasRoomFor(claim, wish) ? wish : null;

    /// <summary>Whether a claim was asked to hold a disk of this size.</summary>
    public static bool HasRoomFor(V1PersistentVolumeClaim claim, long diskBytes) => Holds(claim, claim.Spec.Resources?.Requests, diskBytes);

    /// <summary>What a claim must hold for a disk of this size, beside the bases that are copied onto it.</summary>
    public static long RoomFor(V1PersistentVolumeClaim claim, long diskBytes) => NodeObjects.ClaimBytes(diskBytes + DiskBases.CopiesOn(claim));

    /// <summary>The size that the disk can grow to while its guest runs: the wish, once the claim has been given the room; null when there is nothing to grow.</summary>
    public long? GrowableTo =>
        WishedDiskBytes is { } wish && Status.Disk is { CreatedAt: not null, VirtualSizeBytes: { } has } && wish > has
        && Claim is { } claim && Holds(claim, claim.Status?.Capacity, wish)
            ? wish
            : null;

    /// <summary>The virtual size of the image a new disk would get, in bytes.</summary>
    public long? ImageVirtualSize => Seen.Image?.Status?.VirtualSizeBytes;

    public bool Owns(V1Pod pod) => pod.Metadata.OwnerReferences?.Any(o => o.Controller == true && o.Uid == Seen.Node.Metadata.Uid) == true;

    /// <summary>The claim says that it holds another disk than the one on record, which was made already.</summary>
    public bool ClaimHoldsAnotherDisk => Claim is not null && StateAudit.HoldsAnotherDisk(Claim, _before.Disk);

    /// <summary>The cluster's node of the pod was lost when this was last looked at.</summary>
    public bool WasLost => LostHosts.IsLost(_before);

    /// <summary>The cluster's node that the pod on record was on, where that was lost.</summary>
    private string? LostHost => WasLost ? _before.Pod?.Node : null;

    /// <summary>Since when the guest is being stopped; now, when it was not.</summary>
    public DateTimeOffset StoppingSince =>
        _before.Phase == NodePhases.Stopping && _before.Conditions?.FirstOrDefault(c => c is { Type: ConditionTypes.Ready, Status: "False" })?.LastTransitionTime is { } since
            ? new DateTimeOffset(since, TimeSpan.Zero)
            : Now;

    /// <summary>The spec asks for a guest that has a pod.</summary>
    public bool IsWishedOn => Seen.Node.Spec.PowerState is PowerStates.Running or PowerStates.Paused;

    /// <summary>What the guest should be now: as spec.powerState says, unless its lifetime has it off. One that is suspended already is left so.</summary>
    public string Wish => !IsWishedOn || !NodeLifetime.Ended(Status.Halted) ? Seen.Node.Spec.PowerState
        : Seen.Node.Spec.Lifetime?.Action == LifetimeActions.Suspend || (Alive is null && Status.SavedState is not null) ? PowerStates.Suspended
        : PowerStates.Stopped;

    /// <summary>The guest is on record as one that runs, or stands, in the pod that is there.</summary>
    public bool GuestRuns => Alive is not null && Status.Pod?.Uid == Alive.Metadata.Uid;

    public void Do(Intent intent) => _intents.Add(intent);

    /// <summary>Look again after this time; the shortest that was asked for counts.</summary>
    public void Again(TimeSpan after) => _again = _again < after ? _again : after;

    public void Release()
    {
        _released = true;
        Ready(false, "Released", "Nothing is left to do; the LabNode goes.");
    }

    public void Phase(string phase) => Status.Phase = phase;

    public void Ready(bool is_, string reason, string message) => Set(ConditionTypes.Ready, is_, reason, message);

    /// <summary>Sets a condition that is not always there.</summary>
    public void Set(string type, bool is_, string reason, string message) => Set(type, (bool?)is_, reason, message);

    /// <summary>Sets such a condition to False; people hear of a new reason, unless it is told already.</summary>
    public void Trouble(string type, string reason, string message)
    {
        V1Condition? was = _before.Conditions?.FirstOrDefault(c => c.Type == type);
        Set(type, (bool?)false, reason, message);
        bool told = _intents.OfType<Intent.Announce>().Any(a => a.Reason == reason) || Status.Conditions!.Any(c => c.Type == ConditionTypes.Ready && c.Reason == reason);
        if ((was?.Status != "False" || was.Reason != reason) && !told)
        {
            Do(new Intent.Announce(true, reason, message));
        }
    }

    /// <summary>Takes such a condition away.</summary>
    public void Drop(string type)
    {
        if (Status.Conditions!.FirstOrDefault(c => c.Type == type) is { } condition)
        {
            Status.Conditions!.Remove(condition);
        }
    }

    public void Image(bool? is_, string reason, string message) => Set(ConditionTypes.ImageReady, is_, reason, message);

    public void Disk(bool? is_, string reason, string message) => Set(ConditionTypes.DiskReady, is_, reason, message);

    /// <summary>Not ready, for the reason of another condition.</summary>
    public void ReadyAs(string type)
    {
        V1Condition cause = Status.Conditions!.First(c => c.Type == type);
        Ready(false, cause.Reason, cause.Message);
    }

    public void DeletePod(V1Pod pod)
    {
        if (pod.Metadata.DeletionTimestamp is null)
        {
            Do(new Intent.DeletePod(NodeObjects.PodKey(Seen.Node), pod.Metadata.Uid));
        }
    }

    /// <summary>Deletes a claim with whatever it holds, or <paramref name="unchanged"/> only: one that is still as it was observed.</summary>
    public void DeleteClaim(V1PersistentVolumeClaim claim, bool unchanged = false)
    {
        if (claim.Metadata.DeletionTimestamp is null)
        {
            Do(new Intent.DeleteClaim(NodeObjects.ClaimKey(Seen.Node), claim.Metadata.Uid, unchanged ? claim.Metadata.ResourceVersion : null));
        }
    }

    /// <summary>A changed spec deserves a fresh try at once.</summary>
    public void ForgetOldTroubleWhenSpecChanged()
    {
        if (_before.ObservedGeneration == Seen.Node.Metadata.Generation)
        {
            return;
        }

        if (Status.Halted is { } halt && halt.Generation != Seen.Node.Metadata.Generation && !NodeLifetime.Ended(halt))
        {
            Status.Halted = null;
        }

        if (Status.Restarts is { } restarts)
        {
            restarts.Consecutive = 0;
            restarts.NextAt = null;
        }
    }

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
        if (news)
        {
            Status.StartedAt = Status.Timeline?.GuestRunning ?? NodeEnds.Instant(Now.UtcDateTime);
            bool resumed = _before.SavedState is not null;
            Do(new Intent.Announce(false, resumed ? "Resumed" : "Started", $"The guest {(resumed ? "goes on where it was suspended," : "runs")} on {pod.Spec?.NodeName} ({Status.Accelerator ?? "accelerator not known yet"})."));
        }

        if (phase == NodePhases.Running)
        {
            ForgetFailuresOnceHealthy();
        }
    }

    /// <summary>Another disk is asked for than the one that is there. A disk that nobody has called anything yet takes the spec's name.</summary>
    public bool WipeIsAsked => Seen.Node.Spec.Disk.Revision is { Length: > 0 } wish && Status.Disk?.Revision is { } present && present != wish;

    /// <summary>The next start lets the present disk give way to another one. (A guest that is suspended is resumed on its own first.)</summary>
    public bool WillWipe => WipeIsAsked && Status.SavedState is null;

    /// <summary>The next start makes a disk: the first one, or a fresh one in place of the present one.</summary>
    public bool MakesFreshDisk => Status.Disk?.CreatedAt is null || (WillWipe && NodeBases.Restored(this) is null);

    /// <summary>The spec asks for a restart that the start of this pod was not.</summary>
    public bool RestartIsAskedOf(V1Pod pod) => !NodeObjects.WasMadeFor(pod, Annotations.RestartRevision, Seen.Node.Spec.RestartRevision);

    /// <summary>The spec asks for a disk that this pod was not made for.</summary>
    public bool WipeIsAskedOf(V1Pod pod) => WipeIsAsked && !NodeObjects.WasMadeFor(pod, Annotations.DiskRevision, Seen.Node.Spec.Disk.Revision);

    /// <summary>The guest is resumed: its pod is on the way, and what was saved still counts.</summary>
    public bool IsResumed(V1Pod pod) => Status.SavedState is not null && Status.Pod?.Uid != pod.Metadata.Uid;

    /// <summary>A reset of a suspended guest: its memory is given up. The runner does the same when it sees the revision.</summary>
    public void ForgetSavedStateWhenReset()
    {
        if (Alive is null && Status.SavedState is not null && (Seen.Node.Spec.ResetRevision ?? "") != (Status.ResetRevision ?? ""))
        {
            Status.SavedState = null;
            Do(new Intent.Announce(false, "SavedStateDiscarded", "spec.resetRevision changed: the suspended guest's memory is given up, and the next start boots from its disk."));
        }
    }

    /// <summary>No guest runs, so none lacks anything.</summary>
    public void NoRestartRequired()
    {
        if (Status.Conditions!.Any(c => c.Type == ConditionTypes.RestartRequired))
        {
            Set(ConditionTypes.RestartRequired, false, "NotRunning", "No guest runs; the next start applies the spec.");
        }
    }

    public Plan<LabNodeStatus> Build()
    {
        if (Status.Conditions!.All(c => c.Type != ConditionTypes.Ready))
        {
            Ready(false, "Pending", "Nothing is decided yet.");
        }

        // One rule for all trouble: when Ready begins to be false for a new reason that is not a step on the way, people hear of it.
        V1Condition ready = Status.Conditions!.First(c => c.Type == ConditionTypes.Ready);
        V1Condition? was = _before.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
        bool told = _intents.OfType<Intent.Announce>().Any(a => a.Reason == ready.Reason);
        if (ready.Status == "False" && ready.Reason != was?.Reason && !told && !s_steps.Contains(ready.Reason))
        {
            Do(new Intent.Announce(true, ready.Reason, ready.Message));
        }

        return new Plan<LabNodeStatus>(Status, [.. _intents], _again, _released);
    }

    private static readonly ImmutableHashSet<string> s_steps =
        ["Pending", "Starting", "StoppingGuest", "GuestEnding", "DeletingClaim", "Released", "ImageNotReady", "VolumePending", "CdromNotReady", "ReplacingClaim", "ReplacingPod", "Restarting", "Pausing", "Resuming", "Suspending", "Wiping", "CheckingDisk", "CopyingImage"];

    private static bool Holds(V1PersistentVolumeClaim claim, IDictionary<string, ResourceQuantity>? room, long diskBytes) =>
        room is not null && room.TryGetValue("storage", out ResourceQuantity? storage) && storage.ToDecimal() >= RoomFor(claim, diskBytes);

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
            if (_before.Phase != NodePhases.Running || NodeEnds.RunnerStatus(pod)?.State?.Terminated is not null)
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

    private void Set(string type, bool? is_, string reason, string message) => Conditions.Set(
        Status.Conditions!, type, is_ switch { true => "True", false => "False", null => "Unknown" }, reason, message, Seen.Node.Metadata.Generation, Now);

    private bool IsNodesClaim(V1PersistentVolumeClaim claim) =>
        claim.Metadata.Labels is { } labels && labels.TryGetValue(Labels.Node, out string? node) && node == Seen.Node.Metadata.Name
        && claim.Metadata.Annotations is { } notes && notes.ContainsKey(Annotations.DiskId) && DiskBases.Present(claim) is not null;

    // Through JSON: the observation is shared with the cache and must stay as it is.
    private static LabNodeStatus Copy(LabNodeStatus status) => JsonSerializer.Deserialize<LabNodeStatus>(JsonSerializer.Serialize(status))!;
}
