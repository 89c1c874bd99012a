using System.Globalization;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <content>What a pod that lives tells, and what is wished of it.</content>
public static partial class NodePlanner
{
    /// <summary>How long a pod may be without a node before people are told: binding a fresh claim takes a second or two.</summary>
    private static readonly TimeSpan s_schedulingPatience = TimeSpan.FromSeconds(5);

    /// <summary>How long a ready pod's runner may be silent before the readiness alone is believed.</summary>
    private static readonly TimeSpan s_runnerPatience = TimeSpan.FromSeconds(3);

    /// <summary>How long beyond its grace period a guest may take to end after it was wished off: what a kubelet takes to show the wish, and QEMU to flush.</summary>
    private static readonly TimeSpan s_wishPatience = TimeSpan.FromSeconds(15);

    private static void Live(NodeDraft draft, V1Pod pod)
    {
        if (draft.Wish == PowerStates.Suspended && string.IsNullOrEmpty(pod.Spec?.NodeName))
        {
            // No guest, no memory to save.
            draft.DeletePod(pod);
            StayOffAsAsked(draft);
            return;
        }

        if (HostIsLost(draft, pod))
        {
            return;
        }

        // Nothing is asked of a guest before it has its memory back.
        bool resumed = draft.IsResumed(pod) && pod.Metadata.DeletionTimestamp is null;
        if ((!resumed && Stop(draft, pod)) || ReplacePendingClaim(draft) || ReplaceOutdatedPod(draft, pod))
        {
            return;
        }

        // What the runner told may be what makes it due.
        Watch(draft, pod);
        if (!draft.IsResumed(pod))
        {
            Stop(draft, pod);
        }
    }

    /// <summary>Ends a pod that lives and should not; true when that is under way.</summary>
    private static bool Stop(NodeDraft draft, V1Pod pod)
    {
        if (WhyStop(draft, pod) is not { } why)
        {
            return false;
        }

        PowerOff(draft, pod);
        draft.Phase(NodePhases.Stopping);
        draft.Ready(false, why.Reason, why.Message);
        return true;
    }

    /// <summary>Why a pod that lives should not, or is on its way out already; null when it should live.</summary>
    private static (string Reason, string Message)? WhyStop(NodeDraft draft, V1Pod pod)
    {
        LabNodeSpec spec = draft.Seen.Node.Spec;
        string grace = $"its plug is pulled after {spec.GracePeriodSeconds} s";
        return draft.Wish == PowerStates.Stopped && draft.IsWishedOn ? ("StoppingGuest", $"Its lifetime ended ({draft.Status.Halted?.Reason}): the guest is asked to power off; {grace}.")
            : spec.PowerState == PowerStates.Stopped ? ("StoppingGuest", $"The guest is asked to power off; {grace}.")
            : draft.RestartIsAskedOf(pod)
                ? ("Restarting", $"spec.restartRevision changed: the guest is asked to power off and starts again; {grace}.")
            : draft.WipeIsAskedOf(pod)
                ? ("Wiping", $"spec.disk.revision changed: the guest is asked to power off and starts on another disk; {grace}. The present disk, {draft.Status.Disk?.Revision}, {(spec.Disk.KeepWiped > 0 ? "is kept" : "is deleted then, as spec.disk.keepWiped asks")}.")
            : pod.Metadata.DeletionTimestamp is not null ? ("StoppingGuest", "Something else deleted the pod; what the spec asks for goes on when it is gone.")
            : NodeObjects.WasToldToPowerOff(pod) ? ("StoppingGuest", "The guest was asked to power off; what the spec asks for goes on when it has.")
            : null;
    }

    /// <summary>
    /// A guest that runs is wished off: its pod ends by itself and stays until its end is on record, even if the operator is away just then. A pod that has
    /// no guest yet, or does not heed the wish, is deleted; its runner then gets SIGTERM, which means the same.
    /// </summary>
    private static void PowerOff(NodeDraft draft, V1Pod pod)
    {
        TimeSpan left = draft.StoppingSince + TimeSpan.FromSeconds(draft.Seen.Node.Spec.GracePeriodSeconds) + s_wishPatience - draft.Now;
        if (draft.Status.Pod?.Uid != pod.Metadata.Uid || !NodeObjects.HearsWishes(pod) || left <= TimeSpan.Zero)
        {
            draft.DeletePod(pod);
            return;
        }

        draft.Again(left);
        if (!NodeObjects.WasToldToPowerOff(pod))
        {
            draft.Do(new Intent.WishOfPod(NodeObjects.PodKey(draft.Seen.Node), pod.Metadata.Uid, new Dictionary<string, string> { [Annotations.PowerWish] = PowerWishes.Off }));
        }
    }

    /// <summary>Holds what the guest does against what is asked of it.</summary>
    private static void DescribePower(NodeDraft draft, V1Pod pod, string phase)
    {
        string wish = draft.Wish;
        if (phase == NodePhases.Paused && wish == PowerStates.Paused)
        {
            draft.Ready(true, "Paused", "Paused, as spec.powerState asks.");
        }
        else if (phase == NodePhases.Paused)
        {
            draft.Ready(false, "Resuming", "The guest is told to go on.");
        }
        else if (wish == PowerStates.Paused)
        {
            draft.Ready(false, "Pausing", "The guest is told to stand.");
        }
        else if (wish == PowerStates.Suspended && !NodeObjects.HearsWishes(pod))
        {
            draft.Ready(false, "SuspendFailed", "The guest's pod was made by an earlier version, which can't suspend it. Change spec.restartRevision first.");
        }
        else if (wish == PowerStates.Suspended && draft.Seen.Runner?.SaveError is { } error)
        {
            draft.Ready(false, "SuspendFailed", error);
        }
        else if (wish == PowerStates.Suspended)
        {
            draft.Ready(false, "Suspending", "The guest is told to stand while its memory is saved.");
        }
    }

    /// <summary>A pod that never got to start anything is made anew when the spec was corrected since; one that started keeps what it has until its guest ends. True when that is under way.</summary>
    private static bool ReplaceOutdatedPod(NodeDraft draft, V1Pod pod)
    {
        V1ContainerStateWaiting? waiting = NodeEnds.RunnerStatus(pod)?.State?.Waiting;
        bool started = !string.IsNullOrEmpty(pod.Spec?.NodeName) && waiting?.Reason is null or "ContainerCreating" or "PodInitializing";
        bool outdated = pod.Metadata.Annotations is { } notes && notes.TryGetValue(Annotations.StartHash, out string? hash)
            && hash != NodeObjects.StartHash(draft.Seen.Node, draft.Options, draft.Status.SavedState);
        if (started || !outdated)
        {
            return false;
        }

        draft.DeletePod(pod);
        draft.Phase(NodePhases.Starting);
        draft.Ready(false, "ReplacingPod", "The pod had not started anything yet; it is made anew as the spec is now.");
        return true;
    }

    /// <summary>A pod that lives and should: tells how far it is.</summary>
    private static void Watch(NodeDraft draft, V1Pod pod)
    {
        RunnerState? runner = draft.Seen.Runner;
        var wishes = new Dictionary<string, string>(NodeObjects.Wishes(draft.Seen.Node.Spec, draft.Wish));
        if (draft.GrowableTo is { } size)
        {
            wishes[Annotations.SizeWish] = size.ToString(CultureInfo.InvariantCulture);
        }

        if (NodeObjects.HearsWishes(pod) && !wishes.All(w => NodeObjects.WasMadeFor(pod, w.Key, w.Value)))
        {
            draft.Do(new Intent.WishOfPod(NodeObjects.PodKey(draft.Seen.Node), pod.Metadata.Uid, wishes));
        }

        if (runner?.Phase is RunnerPhases.Running or RunnerPhases.Paused)
        {
            // Only now: what a runner told on the way would cost a status write a step.
            draft.TakeRunner(pod, runner);
        }

        bool wasRunning = (draft.WasLost || draft.Status.Phase is NodePhases.Running or NodePhases.Paused or NodePhases.Suspending) && draft.Status.Pod?.Uid == pod.Metadata.Uid;
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
            GrowClaim(draft);
            string refused = draft.Seen.Refusal is { OfGrowth: true } refusal ? $" The API server refused to enlarge it: {refusal.Message}" : "";
            draft.Phase(NodePhases.Paused);
            draft.Disk(false, error.NoSpace ? TerminationReasons.NoSpace : "IoError", error.NoSpace
                ? $"Claim {draft.Claim?.Metadata.Name} is full; the guest is paused and loses nothing. Raise spec.disk.size, which enlarges the claim, or make room on it; the guest then goes on by itself.{refused}"
                : $"The guest's disk failed: {error.Message}. The guest is paused and loses nothing; what failed is tried again every 30 s. Mend the volume.");
            draft.ReadyAs(ConditionTypes.DiskReady);
            draft.DescribePod(pod);
            return;
        }

        if (runner is null && wasRunning)
        {
            // Nobody can ask it just now: what was true stays on record.
            string was = draft.WasLost ? NodePhases.Running : draft.Status.Phase!;
            draft.MarkRunning(pod, was);
            DescribePower(draft, pod, was);
            return;
        }

        if (runner?.Phase is RunnerPhases.Running or RunnerPhases.Paused || (runner is null && podReady))
        {
            string phase = runner?.Phase == RunnerPhases.Paused ? NodePhases.Paused : NodePhases.Running;
            draft.MarkRunning(pod, phase);
            DescribePower(draft, pod, phase);
            DescribeGrowth(draft);
            GrowClaim(draft);
            return;
        }

        if (runner?.Phase == RunnerPhases.Saving)
        {
            draft.Phase(NodePhases.Suspending);
            draft.Ready(false, "Suspending", "The guest stands while its memory is saved.");
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
        else if (runner?.Phase == RunnerPhases.Copying)
        {
            draft.Ready(false, "CopyingImage", "The base image is being copied onto the LabNode's claim, as spec.delivery of its LabImage asks; the guest starts when that is done.");
        }
        else if (runner?.Phase == RunnerPhases.Checking)
        {
            draft.Ready(false, "CheckingDisk", "The disk is being checked, or a copy of it repaired; the guest starts when that is done.");
        }
        else
        {
            draft.Ready(false, "Starting", "The guest is being started.");
        }
    }
}
