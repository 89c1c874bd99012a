using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Entities;

/// <summary>The claims that hold disks. A LabNode finds its disk by them, so whoever makes one (the operator; who moves a disk in) makes it here.</summary>
public static class DiskClaims
{
    /// <summary>Name of a LabNode's claim. Fixed, so that a LabNode of the same name finds its disk again.</summary>
    public static string NameOf(string node) => "labnode-" + node;

    /// <summary>What the claim asks for: the disk, 6 % for the file system's and the image's own tables, and 128 MiB; in whole MiB.</summary>
    public static long Bytes(long diskBytes)
    {
        long needed = diskBytes + (diskBytes / 100 * 6) + (128 * Quantities.MiB);
        return (needed + Quantities.MiB - 1) / Quantities.MiB * Quantities.MiB;
    }

    /// <summary>The labels of what belongs to a LabNode.</summary>
    public static Dictionary<string, string> NodeLabels(string node) => new()
    {
        [Labels.ManagedBy] = Labels.ManagedByValue,
        [Labels.Node] = node,
    };

    /// <summary>What the guest of a disk's claim needs, as far as the claim notes it.</summary>
    public static LabImageGuest GuestOf(V1PersistentVolumeClaim? claim) => DiskBases.Present(claim) is { } noted
        ? new LabImageGuest { Firmware = noted.Firmware, CloudInit = noted.CloudInit }
        : new LabImageGuest();

    /// <summary>The claim of a disk.</summary>
    /// <param name="key">Its namespace and name.</param>
    /// <param name="node">Name of its LabNode.</param>
    /// <param name="diskId">The disk's id.</param>
    /// <param name="backing">The base image.</param>
    /// <param name="storageClass">Its storage class; null for the cluster's default.</param>
    /// <param name="accessMode">Its access mode.</param>
    /// <param name="bytes">Its size.</param>
    public static V1PersistentVolumeClaim Make(ObjectKey key, string node, string diskId, DiskBase backing, string? storageClass, string accessMode, long bytes) => new()
    {
        ApiVersion = "v1",
        Kind = "PersistentVolumeClaim",
        Metadata = new V1ObjectMeta
        {
            Name = key.Name,
            NamespaceProperty = key.Namespace,
            Labels = NodeLabels(node),
            // No owner reference: garbage collection must never reach a disk. The finalizer deletes it, when asked, by UID.
            Annotations = DiskBases.Notes(backing, []).Where(note => note.Value is not null).Select(note => KeyValuePair.Create(note.Key, note.Value!))
                .Prepend(KeyValuePair.Create(Annotations.DiskId, diskId)).ToDictionary(),
        },
        Spec = new V1PersistentVolumeClaimSpec
        {
            AccessModes = [accessMode],
            StorageClassName = storageClass,
            Resources = new V1VolumeResourceRequirements
            {
                Requests = new Dictionary<string, ResourceQuantity> { ["storage"] = new(Quantities.Format(bytes)) },
            },
        },
    };
}
