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

    /// <summary>The claim that holds the base image: the one that the disk names, else the image's present one.</summary>
    public V1PersistentVolumeClaim? BackingClaim { get; init; }

    /// <summary>False when no storage class has the name that the claim has or would get (or, for none, when no class is the default).</summary>
    public bool StorageClassKnown { get; init; } = true;

    /// <summary>What the pod's runner says of itself; null while nobody could ask it.</summary>
    public RunnerState? Runner { get; init; }

    /// <summary>The last word of the runner of a pod, heard over its event stream, with that pod's UID.</summary>
    public (string PodUid, TerminationReport Report)? LastWord { get; init; }

    /// <summary>What the API server refused in this very reconcile, when it did.</summary>
    public Refusal? Refusal { get; init; }
}
