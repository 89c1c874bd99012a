using System.Text.Json;
using k8s;
using k8s.Models;
using SandLabX.Cli.Migration;
using SandLabX.Cli.Shell;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>Makes a LabNode of an exported file: its image where it is missing, its disk, and then itself, stopped.</summary>
/// <param name="call">The run of the verb.</param>
/// <param name="settings">What the installation chose.</param>
/// <param name="storageClass">Storage class of the claims; null for the cluster's default.</param>
/// <param name="patience">How long a pod may take to start.</param>
internal sealed class ImportRun(Call call, RunnerSettings settings, string? storageClass, TimeSpan patience)
{
    /// <summary>Imports it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="name">Name of the LabNode; null for the one that it had.</param>
    /// <param name="scratch">A folder with room for what is in the file.</param>
    /// <returns>Name of the LabNode.</returns>
    internal async Task<string> RunAsync(string path, string? name, string scratch)
    {
        ExportManifest manifest = await ExportFile.ReadManifestAsync(path, call.Stop).ConfigureAwait(false);
        name ??= manifest.Node;
        var key = new ObjectKey(call.Cluster.Namespace, name);
        if (await call.Cluster.Api.GetAsync<V1Alpha1LabNode>(key, call.Stop).ConfigureAwait(false) is not null)
        {
            throw new CliException(ExitCodes.Refused, $"LabNode {key} is there already. --name gives another name.");
        }

        V1Alpha1LabNode node = Node(manifest, key);
        V1Alpha1LabImage? image = await FindImageAsync(manifest).ConfigureAwait(false);
        long needed = manifest.Overlay.Bytes + (image is null ? manifest.Base!.Bytes : 0);
        long room = new DriveInfo(Path.GetFullPath(scratch)).AvailableFreeSpace;
        if (room < needed)
        {
            throw new CliException(ExitCodes.Failed, $"{scratch} has room for {Sizes.Write(room)}, and what is in the file takes {Sizes.Write(needed)}. --scratch names another folder.");
        }

        string folder = Directory.CreateDirectory(Path.Combine(scratch, $".sandlabx-import-{Guid.NewGuid():N}")).FullName;
        try
        {
            await UnpackAsync(path, folder, manifest, image is null).ConfigureAwait(false);
            return await BringAsync(manifest, node, image, folder).ConfigureAwait(false);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private async Task<string> BringAsync(ExportManifest manifest, V1Alpha1LabNode node, V1Alpha1LabImage? image, string folder)
    {
        string name = node.Metadata.Name;
        Qcow2Header header = Header(Path.Combine(folder, ExportManifest.OverlayEntry), manifest);
        await MoveProgress.RunAsync(call.Out, TimeProvider.System, async progress =>
        {
            if (image is null)
            {
                PlannedImage planned = await PlannedAsync(manifest, Path.Combine(folder, ExportManifest.BaseEntry)).ConfigureAwait(false);
                image = await new ImageMover(call.Cluster, storageClass, patience, TimeProvider.System)
                    .MoveAsync(planned, progress.Begin($"image {planned.Name}", planned.Base.Bytes), call.Stop).ConfigureAwait(false);
            }

            var disk = new DiskShipment(
                name, manifest.DiskId, Path.Combine(folder, ExportManifest.OverlayEntry), header.BackingName!, manifest.VirtualSizeBytes,
                DiskClaims.Bytes(Math.Max(manifest.VirtualSizeBytes, manifest.Overlay.Bytes)), storageClass, manifest.CreatedAt, manifest.Revision ?? "", manifest.Guest);
            await new DiskMover(call.Cluster, settings, patience, TimeProvider.System)
                .MoveAsync(disk, Task.FromResult(image), progress.Begin(name, manifest.Overlay.Bytes), call.Stop).ConfigureAwait(false);
        }).ConfigureAwait(false);
        node.Spec.Image = image!.Metadata.Name;
        await call.Cluster.Api.CreateAsync(node, call.Stop).ConfigureAwait(false);
        return name;
    }

    private Task<bool> UnpackAsync(string path, string folder, ExportManifest manifest, bool withBase) => TransferProgress.RunAsync(
        call.Out, "unpacking", manifest.Overlay.Bytes + (withBase ? manifest.Base!.Bytes : 0), async told =>
        {
            await ExportFile.UnpackAsync(
                path, folder, withBase, (name, read) => told(name == ExportManifest.OverlayEntry ? read : manifest.Overlay.Bytes + read), call.Stop).ConfigureAwait(false);
            return true;
        });

    /// <summary>The LabImage of the very base, by its digest alone; null when the file brings it.</summary>
    private async Task<V1Alpha1LabImage?> FindImageAsync(ExportManifest manifest)
    {
        IReadOnlyList<V1Alpha1LabImage> all = await call.Cluster.Api.ListAsync<V1Alpha1LabImage>(call.Cluster.Namespace, null, call.Stop).ConfigureAwait(false);
        V1Alpha1LabImage? found = all.FirstOrDefault(i => i.Metadata.DeletionTimestamp is null && (i.Spec.Sha256 == manifest.ImageSha256 || i.Spec.Sha256 == manifest.Base?.Sha256));
        if (found is { Status.Phase: not ImagePhases.Ready } or { Status: null })
        {
            throw new CliException(ExitCodes.Refused, $"LabImage {found.Metadata.Name} is the disk's image, and is {found.Status?.Phase ?? "new"}. Wait until it is Ready, or mend it ('kubectl describe labimage {found.Metadata.Name}').");
        }

        return found is null && manifest.Base is null
            ? throw new CliException(ExitCodes.NotFound, $"The disk stands on an image with sha256 {manifest.ImageSha256} (LabImage {manifest.Image} where it comes from), which namespace {call.Cluster.Namespace} does not have, and the file does not bring it. Import that image as a LabImage, or export again with --include-base.")
            : found;
    }

    /// <summary>The image that the file brings, as a plan for it.</summary>
    private async Task<PlannedImage> PlannedAsync(ExportManifest manifest, string path)
    {
        IReadOnlyList<V1Alpha1LabImage> all = await call.Cluster.Api.ListAsync<V1Alpha1LabImage>(call.Cluster.Namespace, null, call.Stop).ConfigureAwait(false);
        string name = new SafeNames(all.Select(i => i.Metadata.Name)).Give(manifest.Image, "base");
        return new PlannedImage(name, new BaseFacts(ExportManifest.BaseEntry, path, manifest.Base!.Bytes, default, null, manifest.Base.Sha256), Exists: false, manifest.Guest);
    }

    /// <summary>The LabNode as the file tells of it; what this version does not know is left out.</summary>
    private V1Alpha1LabNode Node(ExportManifest manifest, ObjectKey key)
    {
        try
        {
            LabNodeSpec spec = KubernetesJson.Deserialize<LabNodeSpec>(manifest.Spec.ToJsonString());
            spec.PowerState = PowerStates.Stopped;
            spec.Disk ??= new LabNodeDisk();
            spec.Disk.StorageClassName = storageClass;
            return new V1Alpha1LabNode { Metadata = new V1ObjectMeta { Name = key.Name, NamespaceProperty = key.Namespace }, Spec = spec };
        }
        catch (JsonException e)
        {
            throw new CliException(ExitCodes.Usage, $"The spec in the file can't be read: {e.Message}", e);
        }
    }

    private static Qcow2Header Header(string overlay, ExportManifest manifest) =>
        Qcow2Header.Parse(Qcow2Header.ReadStart(overlay)) is { BackingName: not null } header && header.VirtualSizeBytes == manifest.VirtualSizeBytes
            ? header
            : throw new CliException(ExitCodes.Usage, "The overlay in the file is no qcow2 overlay of the size that the manifest tells of.");
}
