using System.Collections.Concurrent;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.Runners;
using SandLabX.Operator.Validation;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabNodes;

/// <summary>Reads all that a decision about a LabNode may look at, from caches that watches keep: no request to the API server.</summary>
public sealed class NodeObserver(
    Cache<V1PersistentVolumeClaim> claims,
    Cache<V1Pod> pods,
    Cache<V1Alpha1LabImage> images,
    Cache<V1Alpha1LabNode> nodes,
    Cache<V1Node> hosts,
    StorageClasses classes,
    RunnerFollower runners)
{
    private readonly ConcurrentDictionary<ObjectKey, V1Pod> _ended = new();

    /// <summary>Which LabNode a pod is about. Keeps the last form of one that ended: when it is gone, its end can still be told.</summary>
    public IEnumerable<ObjectKey> MapPod(V1Pod pod)
    {
        if (NodeEnds.RunnerStatus(pod)?.State?.Terminated is not null)
        {
            _ended[new ObjectKey(pod.Metadata.NamespaceProperty, pod.Metadata.Name)] = pod;
        }

        // One that mounts another's claim is that one's business too.
        return Indexes.OwnerByLabel(pod.Metadata, Labels.Node).AsKeys()
            .Concat(Indexes.ClaimsOf(pod).Select(claims.Get).OfType<V1PersistentVolumeClaim>().SelectMany(claim => Indexes.OwnerByLabel(claim.Metadata, Labels.Node).AsKeys()))
            .Distinct();
    }

    /// <summary>Which LabNodes a node of the cluster is about: all on it while it is not ready, and when it is, those that had counted as lost.</summary>
    public IEnumerable<ObjectKey> MapHost(V1Node host)
    {
        bool ready = host.Status?.Conditions?.Any(c => c is { Type: "Ready", Status: "True" }) == true;
        return pods.ByIndex(Indexes.Host, host.Metadata.Name)
            .SelectMany(pod => Indexes.OwnerByLabel(pod.Metadata, Labels.Node).AsKeys())
            .Where(key => !ready || LostHosts.IsLost(nodes.Get(key)?.Status));
    }

    /// <summary>Which LabNodes a claim is about: its own, and those whose disk is based on it.</summary>
    public IEnumerable<ObjectKey> MapClaim(V1PersistentVolumeClaim claim) => claims
        .ByIndex(Indexes.Backing, new ObjectKey(claim.Metadata.NamespaceProperty, claim.Metadata.Name).ToString())
        .Append(claim)
        .SelectMany(c => Indexes.OwnerByLabel(c.Metadata, Labels.Node).AsKeys());

    /// <summary>Which LabNodes a LabImage is about: those that name it and have not run yet, as others have their base from their claim.</summary>
    public IEnumerable<ObjectKey> MapImage(V1Alpha1LabImage image) => nodes
        .ByIndex(Indexes.ImageOfNode, new ObjectKey(image.Metadata.NamespaceProperty, image.Metadata.Name).ToString())
        .Where(n => n.Status?.Phase != NodePhases.Running)
        .Select(n => new ObjectKey(n.Metadata.NamespaceProperty, n.Metadata.Name));

    /// <summary>Which LabNodes may wait for a storage class.</summary>
    public IEnumerable<ObjectKey> MapStorageClass() => nodes.List()
        .Where(n => n.Status?.Phase == NodePhases.WaitingForVolume)
        .Select(n => new ObjectKey(n.Metadata.NamespaceProperty, n.Metadata.Name));

    /// <summary>What is, for this LabNode.</summary>
    public NodeObservation Observe(V1Alpha1LabNode node)
    {
        string space = node.Metadata.NamespaceProperty;
        V1PersistentVolumeClaim? claim = claims.Get(NodeObjects.ClaimKey(node));
        V1Alpha1LabImage? image = images.Get(new ObjectKey(space, node.Spec.Image));
        V1Pod? pod = pods.Get(NodeObjects.PodKey(node));
        ObjectKey? backing = claim is not null ? Indexes.BackingOf(claim)
            : image?.Status?.Claim is { } name ? new ObjectKey(space, name)
            : null;
        return new NodeObservation
        {
            Node = node,
            Claim = claim,
            Pod = pod,
            GonePod = _ended.GetValueOrDefault(NodeObjects.PodKey(node)),
            Image = image,
            CdromImage = node.Spec.Cdrom is { } cdrom ? images.Get(new ObjectKey(space, cdrom.Image)) : null,
            BackingClaim = backing is { } key ? claims.Get(key) : null,
            BaseClaims = [.. DiskBases.All(claim).Select(each => each.Claim).Append(image?.Status?.Claim).OfType<string>().Distinct()
                .Where(each => claims.Get(new ObjectKey(space, each)) is { Metadata.DeletionTimestamp: null })],
            StorageClassKnown = classes.Knows(claim is null ? node.Spec.Disk.StorageClassName : claim.Spec.StorageClassName),
            ClusterNode = pod?.Spec?.NodeName is { Length: > 0 } host ? hosts.Get(new ObjectKey("", host)) : null,
            Rivals = StateAudit.RivalsOf(node, pods.ByIndex(Indexes.Mounted, NodeObjects.ClaimKey(node).ToString())),
            Runner = pod is null ? null : runners.Follow(pod),
            LastWord = runners.Heard(NodeObjects.PodKey(node)) is { State.End: { } end } heard ? (heard.PodUid, end) : null,
        };
    }

    /// <summary>The LabNode is gone; nothing is kept of it.</summary>
    public void Forget(V1Alpha1LabNode node)
    {
        _ended.TryRemove(NodeObjects.PodKey(node), out _);
        runners.Forget(NodeObjects.PodKey(node));
    }
}
