using System.Collections.Concurrent;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Migration;

/// <summary>Carries a plan out: each base once, then the nodes on it, a few at a time. What fails stops itself alone.</summary>
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
        var limits = new ParallelOptions { MaxDegreeOfParallelism = parallel, CancellationToken = stop };
        var ready = new ConcurrentDictionary<string, (V1Alpha1LabImage? Image, string? Fault)>(StringComparer.Ordinal);
        await Parallel.ForEachAsync(plan.Images, limits, async (image, end) =>
            ready[image.Name] = await TryAsync(() => images.MoveAsync(image, progress.Begin($"image {image.Name}", image.Base.Bytes), end), end).ConfigureAwait(false)).ConfigureAwait(false);
        await Parallel.ForEachAsync(plan.Nodes, limits, async (node, end) =>
        {
            (V1Alpha1LabImage? image, string? fault) = ready[node.Image];
            if (image is not null)
            {
                Action<string, long> told = progress.Begin(node.Name, node.Overlay?.Bytes ?? 0);
                (_, fault) = await TryAsync(
                    async () =>
                    {
                        await nodes.MoveAsync(node, image, told, end).ConfigureAwait(false);
                        return node;
                    },
                    end).ConfigureAwait(false);
                told(fault is null ? "moved" : "failed", node.Overlay?.Bytes ?? 0);
            }
            else
            {
                fault = $"its image could not be brought over: {fault}";
            }

            outcomes.Add(new NodeOutcome(node, fault));
        }).ConfigureAwait(false);
        return [.. outcomes.OrderBy(o => o.Node.Name, StringComparer.Ordinal)];
    }

    private static async Task<(T? Value, string? Fault)> TryAsync<T>(Func<Task<T>> work, CancellationToken stop)
        where T : class
    {
        try
        {
            return (await work().ConfigureAwait(false), null);
        }
        catch (Exception e) when (!stop.IsCancellationRequested && e is (CliException or KubeException or IOException or UnauthorizedAccessException or HttpRequestException))
        {
            return (null, Failures.Tell(e).Message);
        }
    }
}
