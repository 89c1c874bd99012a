using System.Globalization;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Migration;

/// <summary>What a plan becomes in the cluster, as pure functions of it.</summary>
internal static class Manifests
{
    /// <summary>The LabImage of a base; its bytes are uploaded, unless the cluster reads them by itself.</summary>
    internal static V1Alpha1LabImage Image(PlannedImage image, string space, string? storageClass) => new()
    {
        Metadata = new V1ObjectMeta { Name = image.Name, NamespaceProperty = space },
        Spec = new LabImageSpec
        {
            Source = image.Source is { } file
                ? new LabImageSource { Claim = new LabImageClaim { Name = file.Claim, Path = file.Path } }
                : new LabImageSource { Upload = new LabImageUpload() },
            Sha256 = image.Base.Sha256,
            Guest = image.Guest ?? new LabImageGuest(),
            // The file, and a file system's own needs.
            Storage = new LabImageStorage { Size = Quantities.Format(DiskClaims.Bytes(image.Base.Bytes)), StorageClassName = storageClass },
        },
    };

    /// <summary>The claim of a node's disk, just as the operator makes one. The guest booted by a BIOS and has its users: cloud-init must not take it for a new machine.</summary>
    internal static V1PersistentVolumeClaim Claim(PlannedNode node, LabNodeBacking backing, string space, MigrationWishes wishes, string accessMode) => DiskClaims.Make(
        new ObjectKey(space, DiskClaims.NameOf(node.Name)), node.Name, node.DiskId, DiskBase.Of(backing, new LabImageGuest()), wishes.StorageClass, accessMode, ClaimBytes(node));

    /// <summary>What the claim asks for: room for the whole disk, and for the file as it is.</summary>
    internal static long ClaimBytes(PlannedNode node) => DiskClaims.Bytes(Math.Max(node.Overlay!.Header!.VirtualSizeBytes, node.Overlay.Bytes));

    /// <summary>The LabNode; stopped.</summary>
    internal static V1Alpha1LabNode Node(PlannedNode node, string space, MigrationWishes wishes, long baseVirtualSize)
    {
        var notes = new Dictionary<string, string>
        {
            [Annotations.MigratedId] = node.Node.Id,
            [Annotations.MigratedName] = node.Node.Name,
            [Annotations.MigratedOsType] = node.Node.OsType,
        };
        if (node.Node.CreatedAt is { } created)
        {
            notes[Annotations.MigratedCreatedAt] = created.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);
        }

        long? size = node.Overlay?.Header!.VirtualSizeBytes;
        return new V1Alpha1LabNode
        {
            Metadata = new V1ObjectMeta { Name = node.Name, NamespaceProperty = space, Annotations = notes },
            Spec = new LabNodeSpec
            {
                Image = node.Image,
                PowerState = PowerStates.Stopped,
                Cpus = node.Node.Cpus,
                Memory = Quantities.Format(node.Node.MemoryMiB * Quantities.MiB),
                Disk = new LabNodeDisk { Size = size is { } bytes && bytes != baseVirtualSize ? Quantities.Format(bytes) : null, StorageClassName = wishes.StorageClass },
            },
        };
    }

    /// <summary>The record that the node brings along, put into its status. With a disk, that it was made: from then on a missing one is an error, never a fresh disk.</summary>
    internal static void Record(LabNodeStatus status, PlannedNode node, LabNodeBacking? backing, DateTimeOffset now)
    {
        status.StartedAt = node.Node.StartedAt?.UtcDateTime;
        status.StoppedAt = node.Node.StoppedAt?.UtcDateTime;
        status.WipedAt = node.Node.WipedAt?.UtcDateTime;
        if (node.Overlay is null)
        {
            return;
        }

        status.OverlayPath = $"{ContractNames.OverlayDirectory}/node_{node.DiskId}.qcow2";
        status.Disk ??= new LabNodeDiskStatus();
        status.Disk.Claim = DiskClaims.NameOf(node.Name);
        status.Disk.Id = node.DiskId;
        status.Disk.VirtualSizeBytes = node.Overlay.Header!.VirtualSizeBytes;
        status.Disk.CreatedAt = (node.Node.CreatedAt ?? now).UtcDateTime;
        status.Disk.Backing = backing;
    }
}
