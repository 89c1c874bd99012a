using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <summary>Decides about a LabNode. Pure: the same observation at the same time gives the same plan.</summary>
/// <remarks>
/// The order of the questions is the design: first what ended is put on record, then deletion, then what stands in the way of the disk,
/// then power. Each answer sets the phase and the conditions, and leaves either an intent, a time to look again, or a reason to wait.
/// </remarks>
public static class NodePlanner
{
    /// <summary>How long a pod may be without a node before people are told: binding a fresh claim takes a second or two.</summary>
    private static readonly TimeSpan s_schedulingPatience = TimeSpan.FromSeconds(5);

    /// <summary>How long a ready pod's runner may be silent before the readiness alone is believed.</summary>
    private static readonly TimeSpan s_runnerPatience = TimeSpan.FromSeconds(3);

    /// <summary>The plan for one observation.</summary>
    /// <param name="seen">What is.</param>
    /// <param name="options">The installation's choices.</param>
    /// <param name="now">The present time; every deadline is held against it.</param>
    public static Plan<LabNodeStatus> Plan(NodeObservation seen, OperatorOptions options, DateTimeOffset now)
    {
        var draft = new NodeDraft(seen, options, now);
        draft.RecordEnd();
        draft.ForgetOldTroubleWhenSpecChanged();
        if (seen.Node.Metadata.DeletionTimestamp is not null)
        {
            Delete(draft);
        }
        else if (SpecIsUsable(draft) && NamesAreOurs(draft))
        {
            Power(draft);
        }

        return draft.Build();
    }

    private static void Delete(NodeDraft draft)
    {
        NodeObservation seen = draft.Seen;
        draft.Phase(NodePhases.Deleting);
        if (seen.Pod is { } pod && draft.Owns(pod))
        {
            draft.DeletePod(pod);
            draft.Ready(false, "StoppingGuest", "The guest is asked to power off; then the LabNode goes.");
            return;
        }

        if (draft.Claim is { } claim && seen.Node.Spec.Disk.ReclaimPolicy == ReclaimPolicies.Delete)
        {
            draft.DeleteClaim(claim);
            draft.Ready(false, "DeletingClaim", $"Claim {claim.Metadata.Name} is being deleted, as spec.disk.reclaimPolicy asks; it goes once no pod uses it.");
            return;
        }

        draft.Release();
    }

    private static bool SpecIsUsable(NodeDraft draft)
    {
        LabNodeSpec spec = draft.Seen.Node.Spec;
        string? wrong =
            draft.Seen.Node.Metadata.Name.Length > NodeObjects.MaxNameLength
                ? $"metadata.name has {draft.Seen.Node.Metadata.Name.Length} characters; a LabNode's name has at most {NodeObjects.MaxNameLength}, as its pod's and claim's are made from it. Create it under a shorter name."
            : !Quantities.TryParse(spec.Memory, out long memory) || memory < 16 * Quantities.MiB
                ? $"spec.memory is \"{spec.Memory}\"; give a quantity of at least 16Mi, such as 1Gi."
            : spec.Disk.Size is { } size && !Quantities.TryParse(size, out _)
                ? $"spec.disk.size is \"{size}\"; give a quantity such as 20Gi."
            : spec.PowerState is not (PowerStates.Running or PowerStates.Stopped)
                ? $"spec.powerState is \"{spec.PowerState}\", which this version does not know; give Running or Stopped."
            : null;
        if (wrong is null)
        {
            return true;
        }

        // A guest that runs is left alone: a wrong edit must not stop it.
        draft.Phase(draft.Alive is null ? NodePhases.Failed : draft.Status.Phase ?? NodePhases.Pending);
        draft.Ready(false, "InvalidSpec", wrong);
        return false;
    }

    private static bool NamesAreOurs(NodeDraft draft)
    {
        if (draft.Seen.Pod is { } pod && !draft.Owns(pod))
        {
            draft.Phase(NodePhases.Pending);
            draft.Ready(false, "PodNameTaken", $"Pod {pod.Metadata.Name} belongs to something else (or to a deleted LabNode of this name, and is still going). It is waited for; delete it or rename the LabNode.");
            return false;
        }

        if (draft.Seen.Claim is { } claim && draft.Claim is null)
        {
            draft.Phase(NodePhases.WaitingForVolume);
            draft.Disk(false, "ClaimNameTaken", $"Claim {claim.Metadata.Name} exists and is not this LabNode's (it lacks label {Labels.Node} or annotation {Annotations.DiskId}). It is left alone; rename the LabNode or the claim.");
            draft.ReadyAs(ConditionTypes.DiskReady);
            return false;
        }

        return true;
    }

    private static void Power(NodeDraft draft)
    {
        bool run = draft.Seen.Node.Spec.PowerState == PowerStates.Running;
        if (draft.Seen.Pod is { } pod)
        {
            // An ended pod is only a name in the way: its end is on record, so it can go.
            if (draft.Alive is null)
            {
                draft.DeletePod(pod);
            }
            else if (pod.Metadata.DeletionTimestamp is not null || !run)
            {
                draft.DeletePod(pod);
                draft.Phase(NodePhases.Stopping);
                draft.Ready(false, "StoppingGuest", run
                    ? "Something else deleted the pod; the guest starts again when it is gone."
                    : $"The guest is asked to power off; its plug is pulled after {draft.Seen.Node.Spec.GracePeriodSeconds} s.");
                return;
            }
            else
            {
                if (!ReplacePendingClaim(draft) && !ReplaceOutdatedPod(draft, pod))
                {
                    Watch(draft, pod);
                }

                return;
            }
        }

        if (!run)
        {
            draft.Phase(NodePhases.Stopped);
            draft.Ready(true, "Stopped", "Stopped, as spec.powerState asks.");
            DescribeDisk(draft);
            return;
        }

        if (draft.Status.Halted is { } halt)
        {
            StayOff(draft, halt);
            return;
        }

        if (!DiskCanBeUsed(draft))
        {
            return;
        }

        if (draft.Status.Restarts?.NextAt is { } next && next > draft.Now.UtcDateTime)
        {
            LabNodeTermination? last = draft.Status.Terminations?.FirstOrDefault();
            draft.Phase(NodePhases.BackOff);
            draft.Ready(false, last?.Reason ?? "BackOff", $"{last?.Message} Start {draft.Status.Restarts.Consecutive} in a row that failed; the next comes at {next:HH:mm:ss}Z.".TrimStart());
            draft.Again(next - draft.Now.UtcDateTime);
            return;
        }

        Start(draft);
    }

    private static void StayOff(NodeDraft draft, LabNodeHalt halt)
    {
        LabNodeTermination? last = draft.Status.Terminations?.FirstOrDefault();
        if (halt.Reason == TerminationReasons.GuestShutdown)
        {
            draft.Phase(NodePhases.Stopped);
            draft.Ready(true, halt.Reason, $"The guest powered itself off, and spec.restartPolicy is {draft.Seen.Node.Spec.RestartPolicy}. Set spec.powerState to Stopped and back to Running to start it.");
            return;
        }

        draft.Phase(NodePhases.Failed);
        draft.Ready(false, halt.Reason!, $"{last?.Message} It stays off until the spec changes.".TrimStart());
        if (NodeEnds.ConcernsDisk(halt.Reason!))
        {
            draft.Disk(false, halt.Reason!, last?.Message ?? halt.Reason!);
        }
    }

    /// <summary>True when a pod may be started on the disk; else phase and conditions say what is waited for.</summary>
    private static bool DiskCanBeUsed(NodeDraft draft)
    {
        if (draft.Claim is null && draft.Status.Disk is { CreatedAt: not null } lost)
        {
            draft.Phase(NodePhases.Failed);
            draft.Disk(false, "ClaimLost", $"Claim {lost.Claim}, which held disk {lost.Id}, is gone. Restore it (name, label {Labels.Node} and annotations included) and the LabNode goes on; to start over with a fresh disk, delete the LabNode and create it again.");
            draft.ReadyAs(ConditionTypes.DiskReady);
            return false;
        }

        if (draft.Claim?.Metadata.DeletionTimestamp is not null)
        {
            draft.Phase(NodePhases.WaitingForVolume);
            draft.Disk(false, "ClaimTerminating", $"Claim {draft.Claim.Metadata.Name} is being deleted by something else. Nothing is started on it.");
            draft.ReadyAs(ConditionTypes.DiskReady);
            return false;
        }

        if (!ImageIsThere(draft))
        {
            return false;
        }

        if (draft.Seen.Node.Spec.Disk.Size is { } size && draft.Status.Disk?.CreatedAt is null
            && draft.ImageVirtualSize is { } least && Quantities.TryParse(size, out long wish) && wish < least)
        {
            draft.Phase(NodePhases.Failed);
            draft.Disk(false, TerminationReasons.SizeBelowImage, $"spec.disk.size is {size}, below the {Quantities.Format(least)} that image {draft.Seen.Node.Spec.Image} needs. Raise it to {Quantities.Format(least)} or more, or leave it out.");
            draft.ReadyAs(ConditionTypes.DiskReady);
            return false;
        }

        if (ReplacePendingClaim(draft))
        {
            return false;
        }

        if (draft.Claim is { } claim && IsPending(claim) && !draft.Seen.StorageClassKnown)
        {
            DescribeUnknownClass(draft);
            return false;
        }

        return true;
    }

    private static bool ImageIsThere(NodeDraft draft)
    {
        if (draft.Claim is { } claim)
        {
            // The disk names its base itself; whatever became of the LabImage since, that claim is what it needs.
            if (draft.Seen.BackingClaim is not null)
            {
                bool pinned = draft.Backing!.Image != draft.Seen.Node.Spec.Image;
                draft.Image(true, pinned ? "PinnedToDisk" : "Ready", pinned
                    ? $"The disk was made on image {draft.Backing.Image} and keeps it; spec.image is for a new disk."
                    : $"{draft.Backing.Image}, {draft.Backing.Digest}.");
                return true;
            }

            draft.Phase(NodePhases.WaitingForImage);
            draft.Image(false, "BackingClaimMissing", $"Claim {draft.Backing!.Claim}, which holds the base image of claim {claim.Metadata.Name}, is gone. Import the same bytes again ({draft.Backing.Digest}) as LabImage {draft.Backing.Image}.");
            draft.ReadyAs(ConditionTypes.ImageReady);
            return false;
        }

        string name = draft.Seen.Node.Spec.Image;
        if (draft.Seen.Image is not { } image)
        {
            draft.Phase(NodePhases.WaitingForImage);
            draft.Image(false, "ImageNotFound", $"spec.image names LabImage {name}, which is not in namespace {draft.Seen.Node.Metadata.NamespaceProperty}. Create it, or name another.");
            draft.ReadyAs(ConditionTypes.ImageReady);
            return false;
        }

        if (image.Status is not { Phase: ImagePhases.Ready, Claim: not null, Digest: not null, VirtualSizeBytes: not null } || draft.Seen.BackingClaim is null)
        {
            V1Condition? why = image.Status?.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
            draft.Phase(NodePhases.WaitingForImage);
            draft.Image(false, "ImageNotReady", image.Status?.Phase is ImagePhases.Failed or ImagePhases.BackOff
                ? $"LabImage {name} failed: {why?.Message ?? image.Status.Phase}"
                : $"LabImage {name} is being imported.");
            draft.ReadyAs(ConditionTypes.ImageReady);
            return false;
        }

        draft.Image(true, "Ready", $"{name}, {image.Status.Digest}.");
        return true;
    }

    /// <summary>A claim that was never bound holds nothing: when the spec was corrected since, it is made anew. True when that is under way.</summary>
    private static bool ReplacePendingClaim(NodeDraft draft)
    {
        if (draft.Claim is not { } claim || !IsPending(claim) || draft.Status.Disk?.CreatedAt is not null)
        {
            return false;
        }

        if (!string.IsNullOrEmpty(draft.Alive?.Spec?.NodeName))
        {
            // A pod gets its node once its claims are bound: the claim is only seen late, and a guest may run on it.
            return false;
        }

        LabNodeDisk wish = draft.Seen.Node.Spec.Disk;
        bool otherClass = wish.StorageClassName is not null && wish.StorageClassName != claim.Spec.StorageClassName;
        bool dropped = wish.StorageClassName is null && !draft.Seen.StorageClassKnown && !string.IsNullOrEmpty(claim.Spec.StorageClassName);
        if (!otherClass && !dropped)
        {
            return false;
        }

        if (draft.Alive is { } pod)
        {
            draft.DeletePod(pod);
        }
        else if (draft.Seen.Pod is null)
        {
            draft.DeleteClaim(claim, unchanged: true);
        }

        draft.Phase(NodePhases.WaitingForVolume);
        draft.Disk(false, "ReplacingClaim", $"Claim {claim.Metadata.Name} was never bound; it is made anew with the storage class that the spec names now.");
        draft.ReadyAs(ConditionTypes.DiskReady);
        return true;
    }

    /// <summary>A pod that never got to start anything is made anew when the spec was corrected since; one that started keeps what it has until its guest ends. True when that is under way.</summary>
    private static bool ReplaceOutdatedPod(NodeDraft draft, V1Pod pod)
    {
        V1ContainerStateWaiting? waiting = NodeEnds.RunnerStatus(pod)?.State?.Waiting;
        bool started = !string.IsNullOrEmpty(pod.Spec?.NodeName) && waiting?.Reason is null or "ContainerCreating" or "PodInitializing";
        bool outdated = pod.Metadata.Annotations is { } notes && notes.TryGetValue(Annotations.StartHash, out string? hash)
            && hash != NodeObjects.StartHash(draft.Seen.Node, draft.Options);
        if (started || !outdated)
        {
            return false;
        }

        draft.DeletePod(pod);
        draft.Phase(NodePhases.Starting);
        draft.Ready(false, "ReplacingPod", "The pod had not started anything yet; it is made anew as the spec is now.");
        return true;
    }

    private static void DescribeUnknownClass(NodeDraft draft)
    {
        string? name = draft.Claim!.Spec.StorageClassName;
        draft.Phase(NodePhases.WaitingForVolume);
        draft.Disk(false, string.IsNullOrEmpty(name) ? "NoDefaultStorageClass" : "StorageClassNotFound", string.IsNullOrEmpty(name)
            ? "spec.disk.storageClassName is not set and the cluster has no default storage class. Name a class, or mark one as the default."
            : $"spec.disk.storageClassName names {name}, which the cluster does not have. Name one of `kubectl get storageclass`, or create it.");
        draft.ReadyAs(ConditionTypes.DiskReady);
    }

    private static void Start(NodeDraft draft)
    {
        draft.BeginTimeline();
        draft.Phase(NodePhases.Starting);
        draft.Disk(null, "Preparing", "The runner makes or checks the overlay.");
        draft.Ready(false, "Starting", "The guest is being started.");
        V1PersistentVolumeClaim? claim = draft.Claim;
        if (claim is null)
        {
            LabImageStatus image = draft.Seen.Image!.Status!;
            var backing = new LabNodeBacking { Image = draft.Seen.Node.Spec.Image, Claim = image.Claim, Digest = image.Digest };
            claim = NodeObjects.Claim(draft.Seen.Node, backing, draft.WishedDiskBytes ?? image.VirtualSizeBytes!.Value, draft.Options);
            draft.Do(new Intent.CreateClaim(claim));
            draft.DescribeClaim(claim);
            if (!draft.Seen.StorageClassKnown)
            {
                // The claim waits for its class; a pod on top would only wait beside it.
                return;
            }
        }

        if (draft.Seen.Refusal is { } refusal)
        {
            // Quota, limit ranges, admission: the server's words are the best there are.
            draft.Phase(NodePhases.Unschedulable);
            draft.Ready(false, "RefusedByServer", $"The API server refused to {refusal.What}: {refusal.Message}");
            return;
        }

        if (draft.Seen.Pod is null)
        {
            draft.Do(new Intent.CreatePod(NodeObjects.Pod(
                draft.Seen.Node, claim, draft.DiskBytesOn(claim), draft.Status.Disk?.CreatedAt is not null, draft.Options)));
        }
    }

    /// <summary>A pod that lives and should: tells how far it is.</summary>
    private static void Watch(NodeDraft draft, V1Pod pod)
    {
        RunnerState? runner = draft.Seen.Runner;
        if (runner?.Phase is RunnerPhases.Running or RunnerPhases.Paused)
        {
            // Only now: what a runner told on the way would cost a status write a step.
            draft.TakeRunner(pod, runner);
        }

        bool wasRunning = draft.Status.Phase is NodePhases.Running or NodePhases.Paused && draft.Status.Pod?.Uid == pod.Metadata.Uid;
        V1PodCondition? ready = pod.Status?.Conditions?.FirstOrDefault(c => c is { Type: "Ready", Status: "True" });
        bool podReady = ready is not null;
        if (runner is null && !wasRunning && ready?.LastTransitionTime is { } since && since + s_runnerPatience > draft.Now.UtcDateTime)
        {
            // The runner itself tells more than the pod's readiness, a moment later.
            draft.Again(since + s_runnerPatience - draft.Now.UtcDateTime);
            podReady = false;
        }

        if (runner is { Phase: RunnerPhases.Paused, IoError: { } error })
        {
            draft.Phase(NodePhases.Paused);
            draft.Disk(false, error.NoSpace ? TerminationReasons.NoSpace : "IoError", error.NoSpace
                ? $"Claim {draft.Claim?.Metadata.Name} is full; the guest is paused and loses nothing. Make room on the claim."
                : $"The guest's disk failed: {error.Message}. The guest is paused.");
            draft.ReadyAs(ConditionTypes.DiskReady);
            draft.DescribePod(pod);
            return;
        }

        if (runner?.Phase is RunnerPhases.Running or RunnerPhases.Paused || (runner is null && (podReady || wasRunning)))
        {
            draft.MarkRunning(pod);
            return;
        }

        if (runner?.Phase is RunnerPhases.ShuttingDown or RunnerPhases.Ended)
        {
            draft.Phase(NodePhases.Stopping);
            draft.Ready(false, "GuestEnding", "The guest ends; how is known when its pod has ended.");
            return;
        }

        V1PodCondition? scheduled = pod.Status?.Conditions?.FirstOrDefault(c => c.Type == "PodScheduled");
        if (scheduled is { Status: "False" } && pod.Metadata.CreationTimestamp is { } created && created + s_schedulingPatience > draft.Now.UtcDateTime)
        {
            // The scheduler says so of every pod whose claim is being bound: a status, and an event, that would be wrong a moment later.
            draft.Again(created + s_schedulingPatience - draft.Now.UtcDateTime);
        }
        else if (scheduled is { Status: "False" })
        {
            if (draft.Claim is { } claim && IsPending(claim) && !draft.Seen.StorageClassKnown)
            {
                DescribeUnknownClass(draft);
                return;
            }

            // A claim that waits for its first consumer is pending whatever the scheduler misses: its words say what that is.
            bool volume = draft.Claim is { } c && IsPending(c) && scheduled.Message?.Contains("volume", StringComparison.OrdinalIgnoreCase) != false;
            draft.Phase(volume ? NodePhases.WaitingForVolume : NodePhases.Unschedulable);
            draft.Ready(false, volume ? "VolumePending" : "Unschedulable", scheduled.Message ?? "The scheduler found no place for the pod.");
            return;
        }

        draft.Phase(NodePhases.Starting);
        V1ContainerStateWaiting? waiting = NodeEnds.RunnerStatus(pod)?.State?.Waiting;
        if (waiting?.Reason is not null and not ("ContainerCreating" or "PodInitializing"))
        {
            draft.Ready(false, waiting.Reason, waiting.Message ?? "The kubelet can't start the runner's container.");
        }
        else if (runner?.Phase == RunnerPhases.WaitingForLock)
        {
            draft.Ready(false, TerminationReasons.OverlayLocked, "Another process still holds the overlay; the runner waits for it.");
        }
        else
        {
            draft.Ready(false, "Starting", "The guest is being started.");
        }
    }

    /// <summary>A stopped node whose claim can't be bound says so before anybody starts it.</summary>
    private static void DescribeDisk(NodeDraft draft)
    {
        if (draft.Claim is null && draft.Status.Disk is null)
        {
            draft.Disk(null, "NotMadeYet", "The disk is made at the first start.");
        }
    }

    private static bool IsPending(V1PersistentVolumeClaim claim) =>
        string.IsNullOrEmpty(claim.Spec.VolumeName) && claim.Status?.Phase is null or "Pending";
}
