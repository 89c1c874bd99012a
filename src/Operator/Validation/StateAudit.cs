using System.Collections.Immutable;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Operator.Validation;

/// <summary>All that the validation looks at, read at one moment.</summary>
/// <param name="Nodes">All LabNodes.</param>
/// <param name="Images">All LabImages.</param>
/// <param name="Claims">All claims of the product.</param>
/// <param name="Pods">All pods of the product.</param>
public sealed record StateSnapshot(
    IReadOnlyList<V1Alpha1LabNode> Nodes, IReadOnlyList<V1Alpha1LabImage> Images, IReadOnlyList<V1PersistentVolumeClaim> Claims, IReadOnlyList<V1Pod> Pods);

/// <summary>What one LabNode's record is held against.</summary>
/// <param name="Node">The LabNode.</param>
/// <param name="Status">Its record: the one that is written, or about to be.</param>
/// <param name="Claim">The claim of its name.</param>
/// <param name="BackingClaim">The claim that holds its disk's base image.</param>
/// <param name="Pod">The pod of its name.</param>
/// <param name="Rivals">Names of other pods that mount its claim and have not ended.</param>
public sealed record NodeFacts(
    V1Alpha1LabNode Node, LabNodeStatus? Status, V1PersistentVolumeClaim? Claim, V1PersistentVolumeClaim? BackingClaim, V1Pod? Pod, ImmutableArray<string> Rivals);

/// <summary>Holds LabNodes, LabImages, claims and pods against each other. Pure; it decides nothing and repairs nothing.</summary>
public static class StateAudit
{
    /// <summary>All that does not agree.</summary>
    public static ImmutableArray<Finding> Look(StateSnapshot seen)
    {
        Dictionary<ObjectKey, V1Alpha1LabNode> nodes = seen.Nodes.ToDictionary(ObjectKey.Of);
        HashSet<ObjectKey> images = [.. seen.Images.Select(ObjectKey.Of)];
        Dictionary<ObjectKey, V1PersistentVolumeClaim> claims = seen.Claims.ToDictionary(ObjectKey.Of);
        Dictionary<ObjectKey, V1Pod> pods = seen.Pods.ToDictionary(ObjectKey.Of);
        ILookup<ObjectKey, V1Pod> users = seen.Pods.SelectMany(pod => Indexes.ClaimsOf(pod).Select(claim => (claim, pod))).ToLookup(use => use.claim, use => use.pod);
        var findings = ImmutableArray.CreateBuilder<Finding>();
        foreach (V1Alpha1LabNode node in seen.Nodes.Where(node => node.Metadata.DeletionTimestamp is null))
        {
            V1PersistentVolumeClaim? claim = claims.GetValueOrDefault(NodeObjects.ClaimKey(node));
            V1Pod? pod = pods.GetValueOrDefault(NodeObjects.PodKey(node));
            V1PersistentVolumeClaim? backing = claim is not null && Indexes.BackingOf(claim) is { } key ? claims.GetValueOrDefault(key) : null;
            findings.AddRange(OfNode(new NodeFacts(node, node.Status, claim, backing, pod, RivalsOf(node, users[NodeObjects.ClaimKey(node)]))));
        }

        foreach (V1PersistentVolumeClaim claim in seen.Claims)
        {
            if (Indexes.OwnerByLabel(claim.Metadata, Labels.Node) is { } node && !nodes.ContainsKey(node))
            {
                findings.Add(new Finding(Finding.ClaimWithoutNode, "PersistentVolumeClaim", ObjectKey.Of(claim),
                    $"Claim {claim.Metadata.Name} holds the disk of LabNode {node.Name}, which is gone. It is kept, as reclaimPolicy Retain asks: create a LabNode of that name to use the disk again, or delete the claim."));
            }

            if (Indexes.OwnerByLabel(claim.Metadata, Labels.Image) is { } image && !images.Contains(image))
            {
                findings.Add(new Finding(Finding.ClaimWithoutImage, "PersistentVolumeClaim", ObjectKey.Of(claim),
                    $"Claim {claim.Metadata.Name} holds LabImage {image.Name}, which is gone. Create the LabImage again, or delete the claim, if no disk is based on it (annotation {Annotations.BackingClaim})."));
            }
        }

        foreach (V1Pod pod in seen.Pods)
        {
            if (Indexes.OwnerByLabel(pod.Metadata, Labels.Node) is { } node && (!nodes.TryGetValue(node, out V1Alpha1LabNode? owner) || !IsOwnedBy(pod, owner)))
            {
                findings.Add(new Finding(Finding.PodWithoutOwner, "Pod", ObjectKey.Of(pod),
                    $"Pod {pod.Metadata.Name} is labelled as LabNode {node.Name}'s and is not: that LabNode is gone, or another one. Kubernetes removes what a deleted LabNode left; delete the pod if you know that nothing needs it."));
            }

            if (Indexes.OwnerByLabel(pod.Metadata, Labels.Image) is { } image && !images.Contains(image))
            {
                findings.Add(new Finding(Finding.PodWithoutOwner, "Pod", ObjectKey.Of(pod), $"Pod {pod.Metadata.Name} imports LabImage {image.Name}, which is gone. Delete the pod."));
            }
        }

        return findings.ToImmutable();
    }

    /// <summary>What one LabNode's record does not agree with, the worst first.</summary>
    public static IReadOnlyList<Finding> OfNode(NodeFacts facts)
    {
        var findings = new List<Finding>();
        if (facts.Status is not { } status)
        {
            return findings;
        }

        void Add(string kind, string message) => findings.Add(new Finding(kind, "LabNode", ObjectKey.Of(facts.Node), message));

        if (facts.Claim is null && status.Disk is { CreatedAt: not null } lost)
        {
            Add(Finding.ClaimLost, $"Claim {lost.Claim}, which held disk {lost.Id}, is gone. Restore it with its label and annotations.");
        }

        if (facts.Claim is { } claim)
        {
            if (HoldsAnotherDisk(claim, status.Disk))
            {
                Add(Finding.DiskIdMismatch, OtherDisk(claim, status.Disk!.Id));
            }

            if (facts.BackingClaim is null && Indexes.BackingOf(claim) is { } backing)
            {
                Add(Finding.BackingClaimMissing, $"Claim {backing.Name}, which holds the base image of claim {claim.Metadata.Name}, is gone. Import the same bytes again (sha256 in annotation {Annotations.BackingSha256} of the claim) under the LabImage's old name.");
            }

            if (facts.Rivals is { IsDefaultOrEmpty: false } rivals)
            {
                Add(Finding.TwoPodsOneClaim, $"Claim {claim.Metadata.Name} is mounted by {string.Join(", ", rivals)} too. What writes to a disk in use destroys it: end that pod.");
            }
        }

        if (status.Pod is { Uid: { } uid } named && facts.Pod?.Metadata.Uid != uid)
        {
            Add(Finding.StatusNamesGonePod, $"The record names pod {named.Name} (uid {uid}), which is not there.");
        }

        if (status.Disk?.StrayOverlays is { Count: > 0 } strays)
        {
            Add(Finding.StrayOverlay, $"Claim {status.Disk.Claim} holds disks that are not this LabNode's: {string.Join(", ", strays)}. They are left alone and take its room; move or delete them by a pod of your own while the LabNode is stopped, and start it again.");
        }

        return findings;
    }

    /// <summary>Other pods that use a LabNode's claim and have not ended.</summary>
    public static ImmutableArray<string> RivalsOf(V1Alpha1LabNode node, IEnumerable<V1Pod> users) =>
        [.. users.Where(pod => pod.Metadata.Name != NodeObjects.PodKey(node).Name && pod.Status?.Phase is not ("Succeeded" or "Failed")).Select(pod => pod.Metadata.Name).Order(StringComparer.Ordinal)];

    /// <summary>Whether a claim says that it holds another disk than the record, which was made already.</summary>
    public static bool HoldsAnotherDisk(V1PersistentVolumeClaim claim, LabNodeDiskStatus? disk) =>
        disk is { CreatedAt: not null, Id: { } id } && claim.Metadata.Annotations is { } notes && notes.TryGetValue(Annotations.DiskId, out string? noted) && noted != id;

    /// <summary>What is said of such a claim.</summary>
    public static string OtherDisk(V1PersistentVolumeClaim claim, string? id) =>
        $"Claim {claim.Metadata.Name} says that it holds disk {claim.Metadata.Annotations[Annotations.DiskId]} (annotation {Annotations.DiskId}); this LabNode's is {id}. Nothing is started on it, and it is not deleted with the LabNode. "
        + "Bring the right claim or annotation back; to take this disk instead, delete the LabNode and create it again.";

    private static bool IsOwnedBy(V1Pod pod, V1Alpha1LabNode owner) => pod.Metadata.OwnerReferences?.Any(o => o.Controller == true && o.Uid == owner.Metadata.Uid) == true;
}
