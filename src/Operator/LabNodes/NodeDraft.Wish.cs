using k8s.Models;
using SandLabX.Entities;

namespace SandLabX.Operator.LabNodes;

/// <content>What the spec asks for, held against what is there.</content>
internal sealed partial class NodeDraft
{
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

    /// <summary>The spec asks for a guest that has a pod.</summary>
    public bool IsWishedOn => Seen.Node.Spec.PowerState is PowerStates.Running or PowerStates.Paused;

    /// <summary>What the guest should be now: as spec.powerState says, unless its lifetime has it off. One that is suspended already is left so.</summary>
    public string Wish => !IsWishedOn || !NodeLifetime.Ended(Status.Halted) ? Seen.Node.Spec.PowerState
        : Seen.Node.Spec.Lifetime?.Action == LifetimeActions.Suspend || (Alive is null && Status.SavedState is not null) ? PowerStates.Suspended
        : PowerStates.Stopped;

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

    private static bool Holds(V1PersistentVolumeClaim claim, IDictionary<string, ResourceQuantity>? room, long diskBytes) =>
        room is not null && room.TryGetValue("storage", out ResourceQuantity? storage) && storage.ToDecimal() >= RoomFor(claim, diskBytes);
}
