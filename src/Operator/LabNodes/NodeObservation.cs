using System.Collections.Immutable;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabNodes;

/// <summary>All that a decision about a LabNode may look at, read at one moment.</summary>
public sealed record NodeObservation
{
    /// <summary>The LabNode, its present status included.</summary>
    public required V1Alpha1LabNode Node { get; init; }

    /// <summary>The claim that has the name of the node's claim, whoever made it.</summary>
    public V1PersistentVolumeClaim? Claim { get; init; }

    /// <summary>The pod that has the name of the node's pod, whoever made it.</summary>
    public V1Pod? Pod { get; init; }

    /// <summary>The last form in which the pod that the status names was seen, when that pod is gone.</summary>
    public V1Pod? GonePod { get; init; }

    /// <summary>The LabImage that the spec names.</summary>
    public V1Alpha1LabImage? Image { get; init; }

    /// <summary>The LabImage that <c>spec.cdrom</c> names.</summary>
    public V1Alpha1LabImage? CdromImage { get; init; }

    /// <summary>The claim that holds the base image: the one that the disk names, else the image's present one.</summary>
    public V1PersistentVolumeClaim? BackingClaim { get; init; }

    /// <summary>Names of those claims that are there and stay, among all that hold bases of the disk's claim and the image's present revision.</summary>
    public ImmutableHashSet<string> BaseClaims { get; init; } = [];

    /// <summary>Whether what holds a base is there. A container image is the registry's business: the kubelet says when it can't have it.</summary>
    public bool Has(DiskBase wanted) => wanted.Claim is not { } name || BackingClaim?.Metadata.Name == name || BaseClaims.Contains(name);

    /// <summary>False when no storage class has the name that the claim has or would get (or, for none, when no class is the default).</summary>
    public bool StorageClassKnown { get; init; } = true;

    /// <summary>What the pod's runner says of itself; null while nobody could ask it.</summary>
    public RunnerState? Runner { get; init; }

    /// <summary>The last word of the runner of a pod, heard over its event stream, with that pod's UID.</summary>
    public (string PodUid, TerminationReport Report)? LastWord { get; init; }

    /// <summary>The cluster's node that the pod is on; null when it has no place, or there is no node of that name.</summary>
    public V1Node? ClusterNode { get; init; }

    /// <summary>Names of other pods that mount the claim and have not ended.</summary>
    public ImmutableArray<string> Rivals { get; init; } = [];

    /// <summary>What the API server refused in this very reconcile, when it did.</summary>
    public Refusal? Refusal { get; init; }
}
