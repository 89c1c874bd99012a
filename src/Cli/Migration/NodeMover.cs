using k8s;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Migration;

/// <summary>Moves one node: its disk first, and only when that is whole its LabNode, with the record that it brings along.</summary>
/// <param name="cluster">The target.</param>
/// <param name="wishes">What the user wishes.</param>
/// <param name="disks">Brings disks over.</param>
/// <param name="clock">Dates what has no date.</param>
internal sealed class NodeMover(Cluster cluster, MigrationWishes wishes, DiskMover disks, TimeProvider clock)
{
    /// <summary>Moves it onto its image.</summary>
    /// <param name="node">The node.</param>
    /// <param name="bringing">Gives the image once it is ready; the disk is read meanwhile.</param>
    /// <param name="progress">Told what is being done, and of how many bytes.</param>
    /// <param name="stop">Ends it early; the next run goes on.</param>
    /// <exception cref="CliException">It could not be moved.</exception>
    internal async Task MoveAsync(PlannedNode node, Task<V1Alpha1LabImage> bringing, Action<string, long> progress, CancellationToken stop)
    {
        if (node.Overlay is { Header: { } header } overlay)
        {
            var disk = new DiskShipment(
                node.Name, node.DiskId, overlay.Path, header.BackingName!, header.VirtualSizeBytes, Manifests.ClaimBytes(node), wishes.StorageClass, node.Node.CreatedAt,
                Source: node.Source);
            await disks.MoveAsync(disk, bringing, progress, stop).ConfigureAwait(false);
        }

        V1Alpha1LabImage image = await bringing.ConfigureAwait(false);
        progress("its LabNode", 0);
        await RecordAsync(node, image.Status!.VirtualSizeBytes ?? 0, DiskMover.BackingOf(image), stop).ConfigureAwait(false);
    }

    private async Task RecordAsync(PlannedNode node, long baseVirtualSize, LabNodeBacking backing, CancellationToken stop)
    {
        var key = new ObjectKey(cluster.Namespace, node.Name);
        try
        {
            await cluster.Api.CreateAsync(Manifests.Node(node, cluster.Namespace, wishes, baseVirtualSize), stop).ConfigureAwait(false);
        }
        catch (KubeException e) when (e.Kind == KubeError.AlreadyExists)
        {
            V1Alpha1LabNode? there = await cluster.Api.GetAsync<V1Alpha1LabNode>(key, stop).ConfigureAwait(false);
            if (there is null || MigrationPlanner.MigratedId(there) != node.Node.Id)
            {
                throw new CliException(ExitCodes.Refused, $"LabNode {key} was created meanwhile by something else. Its disk is on claim {DiskClaims.NameOf(node.Name)}; run this again.", e);
            }
        }

        while (true)
        {
            V1Alpha1LabNode seen = await cluster.Api.GetAsync<V1Alpha1LabNode>(key, stop).ConfigureAwait(false)
                ?? throw new CliException(ExitCodes.Failed, $"LabNode {key} was deleted meanwhile.");
            LabNodeStatus status = KubernetesJson.Deserialize<LabNodeStatus>(KubernetesJson.Serialize(seen.Status ?? new LabNodeStatus()));
            Manifests.Record(status, node, backing, clock.GetUtcNow());
            try
            {
                await cluster.Api.PatchStatusAsync(seen, status, stop).ConfigureAwait(false);
                return;
            }
            catch (KubeException e) when (e.Kind == KubeError.Conflict)
            {
                // The operator wrote first.
            }
        }
    }
}
