using System.Collections.Immutable;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;

namespace SandLabX.Operator.LabImages;

/// <summary>All that a decision about a LabImage may look at, read at one moment.</summary>
public sealed record ImageObservation
{
    /// <summary>The LabImage, its present status included.</summary>
    public required V1Alpha1LabImage Image { get; init; }

    /// <summary>The claims that carry this image's label, of all revisions.</summary>
    public ImmutableArray<V1PersistentVolumeClaim> Claims { get; init; } = [];

    /// <summary>The pods that carry this image's label, of all revisions.</summary>
    public ImmutableArray<V1Pod> Pods { get; init; } = [];

    /// <summary>Names of this image's claims that a disk is based on, each with the names of the disks' claims.</summary>
    public ImmutableDictionary<string, ImmutableArray<string>> Users { get; init; } = ImmutableDictionary<string, ImmutableArray<string>>.Empty;

    /// <summary>False when no storage class has the name that the claim has or would get (or, for none, when no class is the default).</summary>
    public bool StorageClassKnown { get; init; } = true;

    /// <summary>What the import of the present revision says of itself; null while nobody could ask it.</summary>
    public RunnerState? Runner { get; init; }

    /// <summary>What the API server refused in this very reconcile, when it did.</summary>
    public Refusal? Refusal { get; init; }
}
