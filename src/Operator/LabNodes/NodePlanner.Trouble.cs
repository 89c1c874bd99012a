using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.Validation;

namespace SandLabX.Operator.LabNodes;

/// <content>The cluster's nodes that fail or are drained, and records that do not agree.</content>
public static partial class NodePlanner
{
    /// <summary>
    /// A pod on a node that does not answer: it is waited for, whatever else is asked. What is asked is passed on all the same, so that the guest hears of it when
    /// the node is back. True when that is so.
    /// </summary>
    private static bool HostIsLost(NodeDraft draft, V1Pod pod)
    {
        if (LostHosts.Judge(pod, draft.Seen.ClusterNode, draft.WasLost, draft.Now) is not { } trouble)
        {
            return false;
        }

        if (trouble.Wait is { } wait)
        {
            draft.Again(wait);
            return false;
        }

        if (draft.Seen.Node.Metadata.DeletionTimestamp is null && !draft.IsResumed(pod) && WhyStop(draft, pod) is not null)
        {
            PowerOff(draft, pod);
        }

        draft.Phase(NodePhases.NodeLost);
        draft.Ready(false, NodePhases.NodeLost, trouble.Message);
        return true;
    }

    /// <summary>The claim holds another disk than the one on record. A person decides which is right.</summary>
    private static bool DiskIsAnother(NodeDraft draft)
    {
        if (!draft.ClaimHoldsAnotherDisk)
        {
            return false;
        }

        draft.Phase(NodePhases.Failed);
        draft.Disk(false, Finding.DiskIdMismatch, StateAudit.OtherDisk(draft.Claim!, draft.Status.Disk!.Id));
        draft.ReadyAs(ConditionTypes.DiskReady);
        return true;
    }

    /// <summary>Holds what evictions of the pod are to meet against what its notes say that they do.</summary>
    private static void GuardFromEviction(NodeDraft draft)
    {
        string note = draft.Alive?.Metadata.Annotations?.TryGetValue(Annotations.EvictionPolicy, out string? noted) == true ? noted : "";
        bool wished = draft.Seen.Node.Spec.EvictionPolicy == EvictionPolicies.Block && draft.Seen.Node.Metadata.DeletionTimestamp is null;
        if (draft.Alive is { Metadata.DeletionTimestamp: null } pod && wished != (note.Length > 0))
        {
            draft.Do(wished ? new Intent.GuardPod(pod) : new Intent.UnguardPod(pod));
        }

        if (draft.Alive is not { } guarded || !wished || note.Length == 0)
        {
            draft.Drop(ConditionTypes.EvictionBlocked);
        }
        else if (note.StartsWith(EvictionGuards.Refused, StringComparison.Ordinal))
        {
            draft.Trouble(ConditionTypes.EvictionBlocked, "RefusedByServer",
                $"spec.evictionPolicy is Block, and a drain would stop the guest all the same: {note[EvictionGuards.Refused.Length..]} Set it to Stop; to try again, to Stop and back to Block.");
        }
        else
        {
            draft.Set(ConditionTypes.EvictionBlocked, true, "Guarded",
                $"PodDisruptionBudget {EvictionGuards.NameOf(guarded)} has evictions refused, such as a drain's, as long as the pod is ready. To let one through, set spec.evictionPolicy to Stop, or stop or suspend the guest.");
        }
    }

    /// <summary>Holds the record that is about to be written against claims and pods. What was never wrong is not spoken of.</summary>
    private static void DescribeConsistency(NodeDraft draft)
    {
        if (draft.Seen.Node.Metadata.DeletionTimestamp is not null)
        {
            // What goes, goes piece by piece.
            return;
        }

        var facts = new NodeFacts(draft.Seen.Node, draft.Status, draft.Seen.Claim, draft.Seen.BackingClaim, draft.Seen.Pod, draft.Seen.Rivals);
        IReadOnlyList<Finding> findings = StateAudit.OfNode(facts);
        if (findings.Count > 0)
        {
            draft.Trouble(ConditionTypes.Consistent, findings[0].Kind, string.Join(" ", findings.Select(finding => finding.Message)));
        }
        else if (draft.Status.Conditions!.Any(c => c.Type == ConditionTypes.Consistent))
        {
            draft.Set(ConditionTypes.Consistent, true, "Consistent", "The record, claims and pods agree again.");
        }
    }
}
