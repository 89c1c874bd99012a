using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <content>Full checks of the disk, and what is said of its health.</content>
public static partial class NodePlanner
{
    /// <summary>Makes the pod that checks the disk of a guest that is off, when that is due.</summary>
    private static void CheckWhileOff(NodeDraft draft)
    {
        NodeObservation seen = draft.Seen;
        if (draft.Status.SavedState is null && seen is { Pod: null, Refusal: null or { OfGrowth: true } }
            && draft.Claim is { Metadata.DeletionTimestamp: null } claim && !IsPending(claim) && DiskBases.Present(claim) is { } stands && seen.Has(stands)
            && NodeChecks.DueAtStart(seen.Node.Spec.Disk, draft.Status, draft.Now) is { } check)
        {
            draft.Do(new Intent.CreatePod(NodeChecks.Pod(seen.Node, claim, check, draft.Options)));
        }
    }

    /// <summary>A pod that checks the disk lives. A guest that is to run meanwhile waits for it: the check has begun, and would be done before the start anyway.</summary>
    private static void WatchCheck(NodeDraft draft, V1Pod pod)
    {
        if (WishesOff(draft))
        {
            StayOffAsAsked(draft);
            return;
        }

        if (draft.Status.Halted is { } halt)
        {
            StayOff(draft, halt);
            return;
        }

        if (NodeEnds.RunnerStatus(pod)?.State?.Running is null)
        {
            draft.DeletePod(pod);
        }

        draft.Phase(NodePhases.Starting);
        draft.Ready(false, "CheckingDisk", "The disk is being checked; the guest starts when that is done.");
    }

    /// <summary>The scheduler's words about a pod that it has found no node for, once they are no matter of a moment; else nothing.</summary>
    private static string WhyNotPlaced(NodeDraft draft)
    {
        if (draft.Alive is not { Metadata.CreationTimestamp: { } created } pod || pod.Status?.Conditions?.FirstOrDefault(c => c is { Type: "PodScheduled", Status: "False" }) is not { } scheduled)
        {
            return "";
        }

        TimeSpan left = created + s_schedulingPatience - draft.Now.UtcDateTime;
        if (left > TimeSpan.Zero)
        {
            draft.Again(left);
            return "";
        }

        return $" It has found no node so far: {scheduled.Message}";
    }

    private static void DescribeHealth(NodeDraft draft)
    {
        if (draft.Status.Disk is not { CreatedAt: not null } disk)
        {
            return;
        }

        (bool? healthy, string reason, string message) = NodeChecks.Verdict(disk.LastCheck);
        DateTime? due = NodeChecks.DueAt(draft.Seen.Node.Spec.Disk, draft.Status);
        if (draft.ChecksDisk)
        {
            (reason, message) = (NodeChecks.Checking, $"A pod without a guest checks the disk.{WhyNotPlaced(draft)} {message}");
        }
        else if (due > draft.Now.UtcDateTime)
        {
            draft.Again(due.Value - draft.Now.UtcDateTime);
        }
        else if (due is not null)
        {
            (reason, message) = (NodeChecks.CheckDue, draft.Seen.Refusal is { OfGrowth: false } refusal
                ? $"A full check is due, and the API server refused to {refusal.What}: {refusal.Message} {message}"
                : $"A full check is due. It is done before the guest boots the next time, as a disk in use can't be checked truthfully; spec.restartRevision brings that on. {message}");
        }

        draft.Health(healthy, reason, message.TrimEnd());
    }
}
