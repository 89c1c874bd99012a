using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <content>What stands between a LabNode and its disk, and the start on it.</content>
public static partial class NodePlanner
{
    /// <summary>True when a pod may be started on the disk; else phase and conditions say what is waited for.</summary>
    private static bool DiskCanBeUsed(NodeDraft draft)
    {
        if (ClaimIsLost(draft) || DiskIsAnother(draft))
        {
            return false;
        }

        if (draft.Claim?.Metadata.DeletionTimestamp is not null)
        {
            draft.Phase(NodePhases.WaitingForVolume);
            draft.Disk(false, "ClaimTerminating", $"Claim {draft.Claim.Metadata.Name} is being deleted by something else. Nothing is started on it.");
            draft.ReadyAs(ConditionTypes.DiskReady);
            return false;
        }

        if (!ImageIsThere(draft) || !CdromIsThere(draft) || !HasMemoryForImage(draft))
        {
            return false;
        }

        if (draft.Seen.Node.Spec.Disk.Size is { } size && draft.MakesFreshDisk
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

    /// <summary>A disk that once was and whose claim is gone is a person's business, whether its guest should run or not.</summary>
    private static bool ClaimIsLost(NodeDraft draft)
    {
        if (draft.Claim is not null || draft.Status.Disk is not { CreatedAt: not null } lost)
        {
            return false;
        }

        draft.Phase(NodePhases.Failed);
        draft.Disk(false, "ClaimLost", $"Claim {lost.Claim}, which held disk {lost.Id}, is gone. Restore it (name, label {Labels.Node} and annotations included) and the LabNode goes on; to start over with a fresh disk, delete the LabNode and create it again.");
        draft.ReadyAs(ConditionTypes.DiskReady);
        return true;
    }

    private static bool ImageIsThere(NodeDraft draft)
    {
        if (draft.Claim is { } claim)
        {
            // A disk names its base itself; whatever became of the LabImage since, that claim is what it needs.
            if (NodeBases.Next(draft) is { } wanted)
            {
                if (draft.Seen.Has(wanted))
                {
                    DescribeBase(draft, wanted);
                    return true;
                }

                draft.Phase(NodePhases.WaitingForImage);
                draft.Image(false, "BackingClaimMissing", $"Claim {wanted.Claim}, which holds the base image of {(NodeBases.Restored(draft) is { } kept ? $"kept disk {kept.Revision} on " : "")}claim {claim.Metadata.Name}, is gone. Import the same bytes again (sha256:{wanted.Sha256}) as LabImage {wanted.Image}.");
                draft.ReadyAs(ConditionTypes.ImageReady);
                return false;
            }
        }

        string name = draft.Seen.Node.Spec.Image;
        if (draft.Seen.Image is not { } image)
        {
            draft.Phase(NodePhases.WaitingForImage);
            draft.Image(false, "ImageNotFound", $"spec.image names LabImage {name}, which is not in namespace {draft.Seen.Node.Metadata.NamespaceProperty}. Create it, or name another.");
            draft.ReadyAs(ConditionTypes.ImageReady);
            return false;
        }

        if (DiskBase.Of(image) is not { } present || !draft.Seen.Has(present))
        {
            V1Condition? why = image.Status?.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
            draft.Phase(NodePhases.WaitingForImage);
            draft.Image(false, "ImageNotReady", image.Status?.Phase is ImagePhases.Failed or ImagePhases.BackOff
                ? $"LabImage {name} failed: {why?.Message ?? image.Status.Phase}"
                : $"LabImage {name} is being imported.");
            draft.ReadyAs(ConditionTypes.ImageReady);
            return false;
        }

        draft.Image(true, "Ready", $"{name}, sha256:{present.Sha256}.");
        return true;
    }

    private static void DescribeBase(NodeDraft draft, DiskBase wanted)
    {
        string digest = $"sha256:{wanted.Sha256}";
        bool otherImage = wanted.Image != draft.Seen.Node.Spec.Image;
        bool older = draft.Seen.Image?.Status?.Digest is { } present && present != digest;
        draft.Image(true, otherImage || older ? "PinnedToDisk" : "Ready",
            otherImage ? $"The disk was made on image {wanted.Image} ({digest}) and keeps it; a wipe (spec.disk.revision) makes a disk on image {draft.Seen.Node.Spec.Image}."
            : older ? $"The disk was made on an earlier revision of {wanted.Image} ({digest}) and keeps it; a wipe (spec.disk.revision) makes a disk on the present one."
            : $"{wanted.Image}, {digest}.");
    }

    private static bool CdromIsThere(NodeDraft draft)
    {
        if (draft.Seen.Node.Spec.Cdrom is not { } cdrom || (draft.Seen.CdromImage is { } disc && DiskBase.Of(disc) is not null))
        {
            return true;
        }

        draft.Phase(NodePhases.WaitingForImage);
        if (draft.Seen.CdromImage is { } image)
        {
            V1Condition? why = image.Status?.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
            bool failed = image.Status?.Phase is ImagePhases.Failed or ImagePhases.BackOff;
            draft.Ready(false, "CdromNotReady", failed ? $"LabImage {cdrom.Image}, the disc of spec.cdrom, failed: {why?.Message ?? image.Status!.Phase}" : $"LabImage {cdrom.Image}, the disc of spec.cdrom, is being imported.");
        }
        else
        {
            draft.Ready(false, "CdromNotFound", $"spec.cdrom names LabImage {cdrom.Image}, which is not in namespace {draft.Seen.Node.Metadata.NamespaceProperty}. Create it, name another, or take spec.cdrom away.");
        }

        return false;
    }

    private static bool HasMemoryForImage(NodeDraft draft)
    {
        if (!draft.MakesFreshDisk || draft.Seen.Image?.Spec.Guest.MinMemory is not { } least
            || !Quantities.TryParse(least, out long needed) || Quantities.Parse(draft.Seen.Node.Spec.Memory) >= needed)
        {
            return true;
        }

        draft.Phase(NodePhases.Failed);
        draft.Ready(false, "MemoryBelowImage", $"spec.memory is {draft.Seen.Node.Spec.Memory}, below the {least} that image {draft.Seen.Node.Spec.Image} needs (its guest.minMemory). Raise it.");
        return false;
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
        if (draft.Claim is { } noting && NodeBases.Next(draft) is { } wanted && !NodeBases.IsNoted(noting, wanted))
        {
            draft.Do(NodeBases.Note(noting, wanted));
            draft.Phase(NodePhases.Starting);
            draft.Ready(false, "Wiping", $"The fresh disk is made on {wanted.Image}, sha256:{wanted.Sha256}; claim {noting.Metadata.Name} notes that first.");
            return;
        }

        draft.BeginTimeline();
        if (draft.Status.SavedState is null)
        {
            // A guest that is resumed has not restarted yet; it is asked to once it runs.
            draft.Status.RestartRevision = draft.Seen.Node.Spec.RestartRevision;
        }

        draft.Status.ResetRevision = draft.Seen.Node.Spec.ResetRevision;
        draft.Phase(NodePhases.Starting);
        draft.Disk(null, "Preparing", "The runner makes or checks the overlay.");
        draft.Ready(false, "Starting", draft.Status.SavedState is null ? "The guest is being started." : "The guest is being resumed.");
        V1PersistentVolumeClaim? claim = draft.Claim;
        if (claim is null)
        {
            claim = NodeObjects.Claim(draft.Seen.Node, DiskBase.Of(draft.Seen.Image!)!, draft.WishedDiskBytes ?? draft.ImageVirtualSize!.Value, draft.Options);
            draft.Do(new Intent.CreateClaim(claim));
            draft.DescribeClaim(claim);
            if (!draft.Seen.StorageClassKnown)
            {
                // The claim waits for its class; a pod on top would only wait beside it.
                return;
            }
        }

        if (draft.Seen.Refusal is { OfGrowth: false } refusal)
        {
            // Quota, limit ranges, admission: the server's words are the best there are.
            draft.Phase(NodePhases.Unschedulable);
            draft.Ready(false, "RefusedByServer", RefusalAdvice.Tell(refusal, "spec.memory", "spec.cpus", "spec.disk.size"));
            return;
        }

        if (draft.Seen.Pod is null)
        {
            draft.Do(new Intent.CreatePod(NodeObjects.Pod(
                draft.Seen.Node,
                claim,
                draft.DiskBytesOn(claim),
                KindOfStart(draft),
                draft.Options)));
        }

        GrowClaim(draft);
    }

    /// <summary>A guest that is resumed finds all as it was; what was asked for meanwhile follows once it runs.</summary>
    private static NodeStart KindOfStart(NodeDraft draft)
    {
        LabNodeStatus status = draft.Status;
        bool wipe = draft.WillWipe;
        string? revision = wipe || (status.SavedState is null && status.Disk?.Revision is null) ? draft.Seen.Node.Spec.Disk.Revision : status.Disk?.Revision;
        return new NodeStart(status.Disk?.CreatedAt is not null, status.SavedState, status.RestartRevision, revision, wipe)
        {
            Base = NodeBases.Next(draft),
            Cdrom = draft.Seen is { Node.Spec.Cdrom: not null, CdromImage: { } disc } ? DiskBase.Of(disc) : null,
            FullCheck = status.SavedState is null ? NodeChecks.DueAtStart(draft.Seen.Node.Spec.Disk, status, draft.Now) : null,
        };
    }

    /// <summary>A claim follows a larger disk.size; the API server refuses it where the storage class can't.</summary>
    private static void GrowClaim(NodeDraft draft)
    {
        if (draft.Claim is { } claim && !IsPending(claim) && draft.NeededDiskBytes is { } wish && !NodeDraft.HasRoomFor(claim, wish) && claim.Metadata.DeletionTimestamp is null)
        {
            draft.Do(new Intent.GrowClaim(NodeObjects.ClaimKey(draft.Seen.Node), claim.Metadata.Uid, NodeDraft.RoomFor(claim, wish)));
            if (draft.Seen.Refusal is { OfGrowth: true } refusal)
            {
                draft.Disk(draft.Status.Disk?.CreatedAt is null ? null : true, "GrowthRefused", $"{(draft.WishedDiskBytes is null ? $"Image {draft.Seen.Node.Spec.Image}" : "spec.disk.size")} asks for more than claim {claim.Metadata.Name} has, and the API server refused to enlarge it: {refusal.Message} Use a storage class that allows expansion, or put disk.size back.");
            }
        }
    }

    private static void DescribeGrowth(NodeDraft draft)
    {
        if (draft.Status.Disk is { CreatedAt: not null, VirtualSizeBytes: { } has } && draft.WishedDiskBytes is { } wish && wish > has)
        {
            draft.Disk(true, "Growing", $"spec.disk.size is {draft.Seen.Node.Spec.Disk.Size}, and the disk has {Quantities.Format(has)}: its claim grows first (some drivers do that only while no pod uses it), and the disk follows while the guest runs, or at the next start.");
        }
    }

    /// <summary>A smaller disk.size changes nothing but what is said: the guest goes on with the disk that it has.</summary>
    private static void RefuseToShrink(NodeDraft draft)
    {
        // (A lost node is the greater trouble.)
        if (draft.Status.Phase != NodePhases.NodeLost && draft.Status.Disk is { CreatedAt: not null, VirtualSizeBytes: { } has } && draft.WishedDiskBytes is { } wish && wish < has)
        {
            draft.Ready(false, "SizeBelowDisk", $"spec.disk.size is {draft.Seen.Node.Spec.Disk.Size}, below the {Quantities.Format(has)} that the disk has. A disk never shrinks; put it back.");
        }
    }

    private static bool IsPending(V1PersistentVolumeClaim claim) =>
        string.IsNullOrEmpty(claim.Spec.VolumeName) && claim.Status?.Phase is null or "Pending";
}
