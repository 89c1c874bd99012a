using k8s.Models;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>How objects of the cluster are found by what they are about.</summary>
public static class Indexes
{
    /// <summary>Index of disks' claims by the claim that holds their base image.</summary>
    public const string Backing = "backing";

    /// <summary>Index of claims and pods by the LabImage whose label they carry.</summary>
    public const string Image = "image";

    /// <summary>Index of LabNodes by the LabImage that their spec names.</summary>
    public const string ImageOfNode = "image-of-node";

    /// <summary>The values of <see cref="ImageOfNode"/> for one LabNode.</summary>
    public static IEnumerable<string> ImageOf(V1Alpha1LabNode node) => [new ObjectKey(node.Metadata.NamespaceProperty, node.Spec.Image).ToString()];

    /// <summary>The claim that holds the base image of a disk's claim; null for any other claim.</summary>
    public static ObjectKey? BackingOf(V1PersistentVolumeClaim claim) =>
        claim.Metadata.Annotations is { } notes && notes.TryGetValue(Annotations.BackingClaim, out string? backing)
            ? new ObjectKey(claim.Metadata.NamespaceProperty, backing)
            : null;

    /// <summary>The owner that an object's label names, in the object's namespace; null when it has none.</summary>
    public static ObjectKey? OwnerByLabel(V1ObjectMeta meta, string label) =>
        meta.Labels is { } labels && labels.TryGetValue(label, out string? name) ? new ObjectKey(meta.NamespaceProperty, name) : null;

    /// <summary>One key or none, as index functions and watches want it.</summary>
    public static IEnumerable<ObjectKey> AsKeys(this ObjectKey? key) => key is { } k ? [k] : [];

    /// <summary>One index value or none.</summary>
    public static IEnumerable<string> AsValues(this ObjectKey? key) => key is { } k ? [k.ToString()] : [];
}
