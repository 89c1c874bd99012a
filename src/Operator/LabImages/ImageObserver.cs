using System.Collections.Immutable;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.Runners;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabImages;

/// <summary>Reads all that a decision about a LabImage may look at, from caches that watches keep: no request to the API server.</summary>
public sealed class ImageObserver(
    Cache<V1PersistentVolumeClaim> claims,
    Cache<V1Pod> pods,
    Cache<V1Alpha1LabImage> images,
    StorageClasses classes,
    RunnerFollower runners)
{
    /// <summary>Which LabImages a claim is about: its own, or those that its disks are based on.</summary>
    public IEnumerable<ObjectKey> MapClaim(V1PersistentVolumeClaim claim) => Indexes.BackingsOf(claim).Select(claims.Get).OfType<V1PersistentVolumeClaim>().Append(claim)
        .SelectMany(holder => Indexes.OwnerByLabel(holder.Metadata, Labels.Image).AsKeys()).Distinct();

    /// <summary>Which LabImages may wait for a storage class.</summary>
    public IEnumerable<ObjectKey> MapStorageClass() => images.List()
        .Where(i => i.Status?.Phase == ImagePhases.Pending)
        .Select(i => new ObjectKey(i.Metadata.NamespaceProperty, i.Metadata.Name));

    /// <summary>What is, for this LabImage.</summary>
    public ImageObservation Observe(V1Alpha1LabImage image)
    {
        var key = new ObjectKey(image.Metadata.NamespaceProperty, image.Metadata.Name);
        ImmutableArray<V1PersistentVolumeClaim> own = [.. claims.ByIndex(Indexes.Image, key.ToString())];
        ImmutableArray<V1Pod> imports = [.. pods.ByIndex(Indexes.Image, key.ToString())];
        V1PersistentVolumeClaim? present = own.FirstOrDefault(c => c.Metadata.Name == ImageObjects.Key(image).Name);
        // An import that ended is told by its pod alone: one whose end a kubelet lost is tried again.
        V1Pod? pod = imports.FirstOrDefault(p => p.Metadata.Name == ImageObjects.Key(image).Name);
        if (pod?.Status?.Phase is null or "Succeeded" or "Failed")
        {
            runners.Forget(ImageObjects.Key(image));
        }

        return new ImageObservation
        {
            Image = image,
            Claims = own,
            Pods = imports,
            Users = own
                .Select(c => (c.Metadata.Name, Users: UsersOf(c)))
                .Where(c => !c.Users.IsEmpty)
                .ToImmutableDictionary(c => c.Name, c => c.Users),
            StorageClassKnown = classes.Knows(present is null ? image.Spec.Storage.StorageClassName : present.Spec.StorageClassName),
            Runner = pod?.Status?.Phase is null or "Succeeded" or "Failed" ? null : runners.Follow(pod),
        };
    }

    private ImmutableArray<string> UsersOf(V1PersistentVolumeClaim claim) =>
        [.. claims.ByIndex(Indexes.Backing, new ObjectKey(claim.Metadata.NamespaceProperty, claim.Metadata.Name).ToString()).Select(u => u.Metadata.Name)];
}
