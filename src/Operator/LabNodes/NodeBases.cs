using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <summary>
/// On which base image a start's disk stands, and what the claim notes of that. Pure. A disk keeps its base for life; a fresh one, which a wipe makes, is
/// based on what the LabImage is then. The claim names a base before a disk is made on it and for as long as one stands on it, so that the base stays.
/// </summary>
internal static class NodeBases
{
    /// <summary>The base of the disk that the next start is to run on; null when it is not there.</summary>
    public static DiskBase? Next(NodeDraft draft)
    {
        DiskBase? present = DiskBases.Present(draft.Claim);
        if (!draft.WillWipe || present is null)
        {
            return present;
        }

        IReadOnlyList<DiskBase> others = DiskBases.Others(draft.Claim);
        if (Restored(draft) is { } kept)
        {
            return kept.Backing is null ? present : others.FirstOrDefault(other => other.Is(kept.Backing)) ?? present;
        }

        // What was noted for this very wipe stays: the disk may be made by now, and nobody has heard of it.
        string wish = draft.Seen.Node.Spec.Disk.Revision!;
        if (others.FirstOrDefault(other => other.For == wish && draft.Seen.Has(other)) is { } noted)
        {
            return noted;
        }

        DiskBase? fresh = draft.Seen.Image is { } image ? DiskBase.Of(image) : present.Image == draft.Seen.Node.Spec.Image ? present : null;
        return fresh is not null && draft.Seen.Has(fresh) ? fresh with { For = wish } : null;
    }

    /// <summary>The kept disk that a wipe brings back; null when it makes a fresh one, or none is due.</summary>
    public static LabNodeKeptDisk? Restored(NodeDraft draft) =>
        draft.WillWipe ? draft.Status.Disk?.Kept?.FirstOrDefault(kept => kept.Revision == draft.Seen.Node.Spec.Disk.Revision) : null;

    /// <summary>Whether the claim names a base already; when not, it is to, before any disk is made on it.</summary>
    public static bool IsNoted(V1PersistentVolumeClaim claim, DiskBase wanted) => DiskBases.All(claim).Contains(wanted);

    /// <summary>Has a base noted on the claim.</summary>
    public static Intent Note(V1PersistentVolumeClaim claim, DiskBase wanted) =>
        Write(claim, DiskBases.Present(claim)!, [.. DiskBases.Others(claim).Where(other => other.For != wanted.For), wanted]);

    /// <summary>What the claim should note once the runner told on what its disks stand; null when it does.</summary>
    /// <param name="claim">The claim.</param>
    /// <param name="disk">What the runner told.</param>
    /// <param name="wish">The revision of the disk that a wipe is still to make; null for none.</param>
    public static Intent? Settle(V1PersistentVolumeClaim claim, DiskReport disk, string? wish)
    {
        DiskBase[] all = [.. DiskBases.All(claim)];
        DiskBase? found = all.FirstOrDefault(each => each.For is not null && each.For == disk.Revision && IsBaseOf(each, disk.Backing)) ?? all.FirstOrDefault(each => IsBaseOf(each, disk.Backing));
        if (found is null || claim.Metadata.DeletionTimestamp is not null)
        {
            return null;
        }

        // A copy that is told of is on this very claim, and its image's is needed no more.
        DiskBase now = found with { For = null, Claim = found.CopyBytes is null ? found.Claim : claim.Metadata.Name };
        DiskBase[] others = [.. all
            .Select(each => each.For == wish ? each : each with { For = null })
            .Where(each => each.For is not null || (!IsBaseOf(each, disk.Backing) && disk.Kept?.Any(kept => IsBaseOf(each, kept.Backing)) == true))
            .Distinct()];
        return now == all[0] && others.SequenceEqual(all.Skip(1)) ? null : Write(claim, now, others);
    }

    /// <summary>The base of a kept disk, as statuses tell it; null when it is that of the present disk, or nothing is known of it.</summary>
    public static LabNodeBacking? OfKept(V1PersistentVolumeClaim? claim, DiskReport disk, KeptDisk kept) =>
        kept.Backing == disk.Backing ? null : DiskBases.All(claim).FirstOrDefault(each => IsBaseOf(each, kept.Backing))?.ToBacking();

    private static bool IsBaseOf(DiskBase wanted, BackingReport? told) =>
        told is not null && told.Path == wanted.Path && told.Sha256.Equals(wanted.Sha256, StringComparison.OrdinalIgnoreCase);

    private static Intent.NoteOnClaim Write(V1PersistentVolumeClaim claim, DiskBase present, DiskBase[] others) =>
        new(new Runtime.ObjectKey(claim.Metadata.NamespaceProperty, claim.Metadata.Name), claim.Metadata.Uid, claim.Metadata.ResourceVersion, DiskBases.Notes(present, others));
}
