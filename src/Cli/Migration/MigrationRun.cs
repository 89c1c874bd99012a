using System.Collections.Concurrent;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Migration;

/// <summary>Carries a plan out: the nodes a few at a time, and each base once, when the first node needs it. What fails stops itself alone.</summary>
/// <param name="cluster">The target.</param>
/// <param name="wishes">What the user wishes.</param>
/// <param name="settings">What the installation chose.</param>
/// <param name="patience">How long a pod may take to start.</param>
/// <param name="clock">Measures waits.</param>
internal sealed class MigrationRun(Cluster cluster, MigrationWishes wishes, RunnerSettings settings, TimeSpan patience, TimeProvider clock)
{
    /// <summary>What the target namespace has.</summary>
    internal static async Task<ClusterFacts> LookAsync(Cluster cluster, CancellationToken stop)
    {
        IReadOnlyList<k8s.Models.V1PersistentVolumeClaim> claims = await cluster.Api.ListAsync<k8s.Models.V1PersistentVolumeClaim>(cluster.Namespace, null, stop).ConfigureAwait(false);
        return new ClusterFacts(
            await cluster.Api.ListAsync<V1Alpha1LabNode>(cluster.Namespace, null, stop).ConfigureAwait(false),
            [.. claims.Select(c => new ClaimFacts(c.Metadata.Name, c.Metadata.Annotations?.TryGetValue(Annotations.DiskId, out string? id) == true ? id : null))],
            await cluster.Api.ListAsync<V1Alpha1LabImage>(cluster.Namespace, null, stop).ConfigureAwait(false));
    }

    /// <summary>Moves all that is planned; gives how each node's move ended.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="parallel">How many at a time.</param>
    /// <param name="progress">Shows how far it is.</param>
    /// <param name="stop">Ends it early.</param>
    internal async Task<IReadOnlyList<NodeOutcome>> MoveAsync(MigrationPlan plan, int parallel, MoveProgress progress, CancellationToken stop)
    {
        var images = new ImageMover(cluster, wishes.StorageClass, patience, clock);
        var nodes = new NodeMover(cluster, wishes, new DiskMover(cluster, settings, patience, clock), clock);
        var outcomes = new ConcurrentBag<NodeOutcome>();
        var bases = plan.Images.ToDictionary(image => image.Name, image => new Lazy<Task<V1Alpha1LabImage>>(() => BringAsync(images, image, progress, stop)), StringComparer.Ordinal);
        try
        {
            await Parallel.ForEachAsync(plan.Nodes, new ParallelOptions { MaxDegreeOfParallelism = parallel, CancellationToken = stop }, async (node, end) =>
            {
                Action<string, long> told = progress.Begin(node.Name, node.Overlay?.Bytes ?? 0);
                string? fault = null;
                try
                {
                    await nodes.MoveAsync(node, bases[node.Image].Value, told, end).ConfigureAwait(false);
                }
                catch (Exception e) when (!stop.IsCancellationRequested && IsOfOne(e))
                {
                    fault = Failures.Tell(e).Message;
                }

                told(fault is null ? "moved" : "failed", node.Overlay?.Bytes ?? 0);
                outcomes.Add(new NodeOutcome(node, fault));
            }).ConfigureAwait(false);
        }
        finally
        {
            // One whose only node failed by itself goes on to its end, for the next run.
            Task begun = Task.WhenAll(bases.Values.Where(each => each.IsValueCreated).Select(each => each.Value));
            await begun.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return [.. outcomes.OrderBy(o => o.Node.Name, StringComparer.Ordinal)];
    }

    private static async Task<V1Alpha1LabImage> BringAsync(ImageMover images, PlannedImage image, MoveProgress progress, CancellationToken stop)
    {
        try
        {
            return await images.MoveAsync(image, progress.Begin($"image {image.Name}", image.Base.Bytes), stop).ConfigureAwait(false);
        }
        catch (Exception e) when (!stop.IsCancellationRequested && IsOfOne(e))
        {
            throw new CliException(ExitCodes.Failed, $"its image could not be brought over: {Failures.Tell(e).Message}", e);
        }
    }

    /// <summary>Whether it says something of one node or image; anything else is a fault of this program.</summary>
    private static bool IsOfOne(Exception e) => e is CliException or KubeException or IOException or UnauthorizedAccessException or HttpRequestException;
}
