using System.Text.Json;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using SandLabX.Cli.Shell;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>Writes a stopped LabNode into a file.</summary>
internal static class ExportRun
{
    /// <summary>Why a LabNode can't be exported as it is; null when it can. Pure.</summary>
    internal static string? Hindrance(V1Alpha1LabNode node) => node switch
    {
        { Metadata.DeletionTimestamp: not null } => "it is being deleted",
        { Status.SavedState: not null } => $"its guest is suspended, and its memory would be lost; 'kubectl sandlabx stop {node.Metadata.Name}' resumes it and powers it off",
        { Spec.PowerState: not PowerStates.Stopped } or { Status: null } or { Status.Pod: not null } or { Status.Phase: not NodePhases.Stopped } =>
            $"it is {node.Status?.Phase ?? "not seen by the operator yet"}; 'kubectl sandlabx stop {node.Metadata.Name}' stops it",
        { Status.Disk.CreatedAt: null } => "it was never started, so it has no disk; its manifest is all there is of it",
        _ => null,
    };

    /// <summary>Exports it.</summary>
    /// <param name="call">The run of the verb.</param>
    /// <param name="node">The LabNode.</param>
    /// <param name="path">The file.</param>
    /// <param name="includeBase">Whether the base image goes with it.</param>
    /// <param name="settings">What the installation chose.</param>
    /// <param name="patience">How long the pod may take to start.</param>
    internal static async Task<ExportManifest> RunAsync(Call call, V1Alpha1LabNode node, string path, bool includeBase, RunnerSettings settings, TimeSpan patience)
    {
        if (Hindrance(node) is { } hindrance)
        {
            throw new CliException(ExitCodes.Refused, $"{node.Metadata.Name} can't be exported: {hindrance}.");
        }

        LabNodeDiskStatus disk = node.Status!.Disk!;
        LabNodeBacking backing = disk.Backing!;
        await using DiskReader reader = await DiskReader.OpenAsync(call.Cluster, node.Metadata.Name, disk.Id!, backing, settings.Runner, patience, call.Stop).ConfigureAwait(false);
        string overlay = $"{ContractNames.OverlayDirectory}/node_{disk.Id}.qcow2";
        string image = AdoptPods.BackingPath(backing);
        var header = Qcow2Header.Parse(await reader.HeadAsync(overlay, Qcow2Header.Wanted, call.Stop).ConfigureAwait(false));
        if (header?.BackingName != image)
        {
            throw new CliException(ExitCodes.Failed, $"{overlay} stands on {header?.BackingName ?? "nothing that can be read"}, not on {image}. Nothing was exported.");
        }

        V1PersistentVolumeClaim? claim = await call.Cluster.Api.GetAsync<V1PersistentVolumeClaim>(new ObjectKey(call.Cluster.Namespace, disk.Claim!), call.Stop).ConfigureAwait(false);
        OverlayMarker? marker = JsonSerializer.Deserialize(
            await reader.HeadAsync($"{ContractNames.OverlayDirectory}/node_{disk.Id}.json", 65536, call.Stop).ConfigureAwait(false), ContractJson.Default.OverlayMarker);
        var manifest = new ExportManifest
        {
            Format = ExportManifest.Version,
            Node = node.Metadata.Name,
            Spec = (JsonObject)JsonNode.Parse(KubernetesJson.Serialize(node.Spec))!,
            DiskId = disk.Id!,
            Revision = marker?.Revision,
            CreatedAt = marker?.CreatedAt,
            VirtualSizeBytes = header.VirtualSizeBytes,
            Overlay = await reader.DescribeAsync(overlay, call.Stop).ConfigureAwait(false),
            Guest = DiskClaims.GuestOf(claim),
            Image = backing.Image!,
            ImageSha256 = backing.Digest!["sha256:".Length..],
            Base = includeBase ? await reader.DescribeAsync(image, call.Stop).ConfigureAwait(false) : null,
        };
        long total = manifest.Overlay.Bytes + (manifest.Base?.Bytes ?? 0);
        await TransferProgress.RunAsync(call.Out, node.Metadata.Name, total, async told =>
        {
            await ExportFile.WriteAsync(
                path,
                manifest,
                name => name == ExportManifest.OverlayEntry ? reader.Read(overlay, manifest.Overlay.Bytes) : reader.Read(image, manifest.Base!.Bytes),
                (name, read) => told(name == ExportManifest.OverlayEntry ? read : manifest.Overlay.Bytes + read),
                call.Stop).ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
        return manifest;
    }
}
