using k8s.Models;
using SandLabX.Entities;

namespace SandLabX.Cli.Prune;

/// <summary>Finds what nothing uses, and judges whether a claim may go. Pure.</summary>
internal static class LeftoverFinder
{
    /// <summary>What is left over, by namespace and claim.</summary>
    internal static IReadOnlyList<Leftover> Find(
        IReadOnlyList<V1PersistentVolumeClaim> claims, IReadOnlyList<V1Alpha1LabNode> nodes, IReadOnlyList<V1Alpha1LabImage> images, IReadOnlyList<V1Pod> pods) =>
    [
        .. claims.Where(c => WhyNot(c, claims, nodes, images, pods) is null).Select(c => Of(c))
            .Concat(nodes.SelectMany(Kept))
            .OrderBy(l => l.Space, StringComparer.Ordinal).ThenBy(l => l.Claim, StringComparer.Ordinal),
    ];

    /// <summary>Why a claim must stay; null when it may go.</summary>
    internal static string? WhyNot(
        V1PersistentVolumeClaim claim, IReadOnlyList<V1PersistentVolumeClaim> claims, IReadOnlyList<V1Alpha1LabNode> nodes, IReadOnlyList<V1Alpha1LabImage> images, IReadOnlyList<V1Pod> pods)
    {
        string space = claim.Metadata.NamespaceProperty;
        string name = claim.Metadata.Name;
        string? node = Label(claim, Labels.Node);
        string? image = Label(claim, Labels.Image);
        if (Label(claim, Labels.ManagedBy) != Labels.ManagedByValue || (node is null && image is null))
        {
            return "it is not SandLabX's: it lacks the labels of a LabNode's or LabImage's claim";
        }

        if (claim.Metadata.DeletionTimestamp is not null)
        {
            return "it is being deleted already";
        }

        if (nodes.FirstOrDefault(n => n.Metadata.NamespaceProperty == space && (n.Metadata.Name == node || n.Status?.Disk?.Claim == name)) is { } owner)
        {
            return $"it is the disk of LabNode {owner.Metadata.Name}; delete that first (with spec.disk.reclaimPolicy Delete the claim goes with it)";
        }

        // An image's present revision is named by its status; until that is written, by the digest in the claim's name.
        if (images.FirstOrDefault(i => i.Metadata.NamespaceProperty == space && i.Metadata.Name == image) is { } present
            && (present.Status?.Claim is null || present.Status.Claim == name || name == $"labimage-{image}-{Revision(present)}"))
        {
            return $"it holds LabImage {present.Metadata.Name}; delete that first";
        }

        string[] based = [.. claims.Where(c => c.Metadata.NamespaceProperty == space && DiskBases.ClaimsOf(c).Contains(name)).Select(c => c.Metadata.Name)];
        if (based.Length > 0)
        {
            return $"it is the base of {string.Join(", ", based)}: without it those disks can't be read; delete them first";
        }

        return pods.FirstOrDefault(p => p.Metadata.NamespaceProperty == space && p.Status?.Phase is not ("Succeeded" or "Failed")
            && p.Spec.Volumes?.Any(v => v.PersistentVolumeClaim?.ClaimName == name) == true) is { } user
            ? $"pod {user.Metadata.Name} uses it; end that first"
            : null;
    }

    private static Leftover Of(V1PersistentVolumeClaim claim)
    {
        string? node = Label(claim, Labels.Node);
        ResourceQuantity? size = Storage(claim.Status?.Capacity) ?? Storage(claim.Spec?.Resources?.Requests);
        return new Leftover(
            node is null ? LeftoverKind.ImageClaim : LeftoverKind.DiskClaim,
            claim.Metadata.NamespaceProperty, claim.Metadata.Name, claim.Metadata.Uid, size is null ? null : (long)size.ToDecimal(), claim.Metadata.CreationTimestamp,
            node is null ? $"base of LabImage {Label(claim, Labels.Image)}, which is gone or has another revision" : $"disk of LabNode {node}, which is gone; one of that name would find it again");
    }

    private static IEnumerable<Leftover> Kept(V1Alpha1LabNode node) => (node.Status?.Disk?.Kept ?? []).Select(kept => new Leftover(
        LeftoverKind.KeptDisk, node.Metadata.NamespaceProperty, node.Status!.Disk!.Claim ?? "", "", kept.ActualSizeBytes, kept.CreatedAt,
        $"kept disk {kept.Revision} of LabNode {node.Metadata.Name}; goes with the next start after spec.disk.keepWiped is lowered"));

    private static string Revision(V1Alpha1LabImage image) => image.Spec.Sha256.Length >= 12 ? image.Spec.Sha256[..12] : image.Spec.Sha256;

    private static ResourceQuantity? Storage(IDictionary<string, ResourceQuantity>? resources) =>
        resources is not null && resources.TryGetValue("storage", out ResourceQuantity? size) ? size : null;

    private static string? Label(V1PersistentVolumeClaim claim, string name) =>
        claim.Metadata.Labels is { } labels && labels.TryGetValue(name, out string? value) ? value : null;

    private static string? Annotation(V1PersistentVolumeClaim claim, string name) =>
        claim.Metadata.Annotations is { } notes && notes.TryGetValue(name, out string? value) ? value : null;
}
