using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <summary>Decides about a LabNode. Pure: the same observation at the same time gives the same plan.</summary>
/// <remarks>
/// The order of the questions is the design: first what ended is put on record, then deletion, then what stands in the way of the disk,
/// then power. Each answer sets the phase and the conditions, and leaves either an intent, a time to look again, or a reason to wait.
/// </remarks>
public static partial class NodePlanner
{
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
        else if (SpecIsUsable(draft) && NamesAreOurs(draft) && !EndLifetime(draft))
        {
            Power(draft);
            RefuseToShrink(draft);
            DescribeHealth(draft);
            TellLifetime(draft);
        }

        GuardFromEviction(draft);
        DescribeConsistency(draft);
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
            if (draft.Alive is not null && HostIsLost(draft, pod))
            {
                draft.Phase(NodePhases.Deleting);
            }

            return;
        }

        if (draft.Claim is { } claim && seen.Node.Spec.Disk.ReclaimPolicy == ReclaimPolicies.Delete && !draft.ClaimHoldsAnotherDisk)
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
            : NodeMedia.WhatIsWrong(spec) is { } media
                ? media
            : spec.PowerState is not (PowerStates.Running or PowerStates.Stopped or PowerStates.Paused or PowerStates.Suspended)
                ? $"spec.powerState is \"{spec.PowerState}\", which this version does not know; give Running, Stopped, Paused or Suspended."
            : NodeLifetime.Wrong(spec.Lifetime);
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
        if (draft.Alive is { } alive)
        {
            if (NodeChecks.IsCheck(alive))
            {
                WatchCheck(draft, alive);
            }
            else
            {
                Live(draft, alive);
            }

            return;
        }

        if (draft.Seen.Pod is { } ended)
        {
            // An ended pod is only a name in the way: its end is on record, so it can go.
            draft.DeletePod(ended);
        }

        draft.ForgetSavedStateWhenReset();
        if (WishesOff(draft))
        {
            StayOffAsAsked(draft);
            return;
        }

        // From here on the guest is to run; one that is to be stopped is resumed first, so that it powers off in order.
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

    /// <summary>Whether there is to be no guest. One that is to be stopped while it is suspended is resumed first.</summary>
    private static bool WishesOff(NodeDraft draft) =>
        draft.Wish is PowerStates.Suspended || (draft.Wish is PowerStates.Stopped && draft.Status.SavedState is null);

    private static void StayOffAsAsked(NodeDraft draft)
    {
        if (draft.Status.SavedState is { } saved)
        {
            draft.Phase(NodePhases.Suspended);
            draft.Ready(true, "Suspended", $"Suspended, as spec.powerState asks; {Quantities.Format(saved.SizeBytes ?? 0)} of memory and devices are on the claim.");
        }
        else
        {
            draft.Phase(NodePhases.Stopped);
            bool suspend = draft.Seen.Node.Spec.PowerState == PowerStates.Suspended;
            draft.Ready(true, suspend ? "NothingToSuspend" : "Stopped", suspend ? "No guest ran, so no memory is saved; Running boots it from its disk." : "Stopped, as spec.powerState asks.");
        }

        if (draft.IsWishedOn && draft.Status.Halted is { } halt)
        {
            DescribeEndedLifetime(draft, halt);
        }

        draft.NoRestartRequired();
        if (draft.Claim is null && draft.Status.Disk is null)
        {
            draft.Disk(null, "NotMadeYet", "The disk is made at the first start.");
        }

        if (ClaimIsLost(draft))
        {
            return;
        }

        if (draft.Status.Conditions!.Any(c => c is { Type: ConditionTypes.DiskReady, Reason: "ClaimLost" }))
        {
            draft.Disk(null, "NotChecked", $"Claim {draft.Claim?.Metadata.Name} is back; its disk is checked at the next start.");
        }

        GrowClaim(draft);
        CheckWhileOff(draft);
    }

    private static void StayOff(NodeDraft draft, LabNodeHalt halt)
    {
        LabNodeTermination? last = draft.Status.Terminations?.FirstOrDefault();
        if (halt.Reason == TerminationReasons.GuestShutdown)
        {
            draft.Phase(NodePhases.Stopped);
            draft.Ready(true, halt.Reason, $"The guest powered itself off, and spec.restartPolicy is {draft.Seen.Node.Spec.RestartPolicy}. Set spec.powerState to Stopped and back to Running to start it.");
            CheckWhileOff(draft);
            return;
        }

        draft.Phase(NodePhases.Failed);
        draft.Ready(false, halt.Reason!, $"{last?.Message} It stays off until the spec changes.".TrimStart());
        if (NodeEnds.ConcernsDisk(halt.Reason!))
        {
            draft.Disk(false, halt.Reason!, last?.Message ?? halt.Reason!);
        }
    }
}
