using k8s.Models;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>How objects of the cluster are found by what they are about.</summary>
public static class Indexes
{
    /// <summary>Index of disks' claims by the claims that hold base images of theirs.</summary>
    public const string Backing = "backing";

    /// <summary>Index of claims and pods by the LabImage whose label they carry.</summary>
    public const string Image = "image";

    /// <summary>Index of LabNodes by the LabImages that their spec names.</summary>
    public const string ImageOfNode = "image-of-node";

    /// <summary>Index of pods by the cluster's node that they are on.</summary>
    public const string Host = "host";

    /// <summary>Index of pods by the claims that they mount.</summary>
    public const string Mounted = "mounted";

    /// <summary>The value of <see cref="Host"/> for one pod; none before it has a place.</summary>
    public static IEnumerable<string> HostOf(V1Pod pod) => string.IsNullOrEmpty(pod.Spec?.NodeName) ? [] : [pod.Spec.NodeName];

    /// <summary>The claims that a pod mounts.</summary>
    public static IEnumerable<ObjectKey> ClaimsOf(V1Pod pod) => (pod.Spec?.Volumes ?? [])
        .Select(volume => volume.PersistentVolumeClaim?.ClaimName)
        .OfType<string>()
        .Select(name => new ObjectKey(pod.Metadata.NamespaceProperty, name));

    /// <summary>The values of <see cref="ImageOfNode"/> for one LabNode.</summary>
    public static IEnumerable<string> ImageOf(V1Alpha1LabNode node) => ((string?[])[node.Spec.Image, node.Spec.Cdrom?.Image])
        .OfType<string>().Distinct().Select(image => new ObjectKey(node.Metadata.NamespaceProperty, image).ToString());

    /// <summary>The claim that holds the base image of a claim's present disk; null for any other claim, and where a container image does.</summary>
    public static ObjectKey? BackingOf(V1PersistentVolumeClaim claim) =>
        DiskBases.Present(claim)?.Claim is { } holder ? new ObjectKey(claim.Metadata.NamespaceProperty, holder) : null;

    /// <summary>The claims that hold base images of a claim's disks, kept ones included.</summary>
    public static IEnumerable<ObjectKey> BackingsOf(V1PersistentVolumeClaim claim) =>
        DiskBases.ClaimsOf(claim).Select(name => new ObjectKey(claim.Metadata.NamespaceProperty, name));

    /// <summary>The owner that an object's label names, in the object's namespace; null when it has none.</summary>
    public static ObjectKey? OwnerByLabel(V1ObjectMeta meta, string label) =>
        meta.Labels is { } labels && labels.TryGetValue(label, out string? name) ? new ObjectKey(meta.NamespaceProperty, name) : null;

    /// <summary>One key or none, as index functions and watches want it.</summary>
    public static IEnumerable<ObjectKey> AsKeys(this ObjectKey? key) => key is { } k ? [k] : [];

    /// <summary>One index value or none.</summary>
    public static IEnumerable<string> AsValues(this ObjectKey? key) => key is { } k ? [k.ToString()] : [];
}
