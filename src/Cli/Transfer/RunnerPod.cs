using System.Text.Json;
using k8s.Models;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>A pod of the runner's that this program makes for a while, or that the operator made: how it is, and what was its last word.</summary>
internal static class RunnerPod
{
    private const int MaxAway = 120;
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan s_away = TimeSpan.FromSeconds(1);

    /// <summary>Makes it, unless the very same one is there and not over; another one of the name is removed first, if it was made here.</summary>
    /// <exception cref="CliException">The name belongs to something else.</exception>
    internal static async Task<V1Pod> EnsureAsync(Cluster cluster, V1Pod wish, CancellationToken stop)
    {
        var key = new ObjectKey(wish.Metadata.NamespaceProperty, wish.Metadata.Name);
        while (true)
        {
            V1Pod? there = await cluster.Api.GetAsync<V1Pod>(key, stop).ConfigureAwait(false);
            if (there is null)
            {
                try
                {
                    return await cluster.Api.CreateAsync(wish, stop).ConfigureAwait(false);
                }
                catch (KubeException e) when (e.Kind == KubeError.AlreadyExists)
                {
                    continue;
                }
            }

            if (there.Metadata.Annotations?.TryGetValue(Annotations.TransferHash, out string? made) != true)
            {
                throw new CliException(ExitCodes.Refused, $"Pod {key} is there and was not made by this program. Delete it, if it is of no use.");
            }

            if (made == wish.Metadata.Annotations[Annotations.TransferHash] && there.Metadata.DeletionTimestamp is null && End(there) is null)
            {
                return there;
            }

            await DeleteAsync(cluster, there, stop).ConfigureAwait(false);
            await Task.Delay(s_look, stop).ConfigureAwait(false);
        }
    }

    /// <summary>Removes it; that it is gone already counts as done.</summary>
    internal static Task DeleteAsync(Cluster cluster, V1Pod pod, CancellationToken stop) =>
        cluster.Api.DeleteAsync<V1Pod>(new ObjectKey(pod.Metadata.NamespaceProperty, pod.Metadata.Name), pod.Metadata.Uid, null, stop);

    /// <summary>Waits until it runs, or is over.</summary>
    /// <exception cref="CliException">It does not come to run in time; the cluster's words say why.</exception>
    internal static async Task<V1Pod> StartedAsync(Cluster cluster, V1Pod pod, TimeSpan limit, CancellationToken stop)
    {
        using var soon = CancellationTokenSource.CreateLinkedTokenSource(stop);
        soon.CancelAfter(limit);
        V1Pod? seen = pod;
        try
        {
            while (true)
            {
                seen = await LookAsync(cluster, pod, soon.Token).ConfigureAwait(false)
                    ?? throw new CliException(ExitCodes.Failed, $"Pod {pod.Metadata.Name} was deleted by something else.");
                if (seen.Status?.Phase == "Running" || End(seen) is not null)
                {
                    return seen;
                }

                await Task.Delay(s_look, soon.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new CliException(ExitCodes.Failed, $"Pod {pod.Metadata.Name} did not start within {KubectlDurations.Write(limit)}: {Hindrance(seen)}");
        }
    }

    /// <summary>Waits until it is over; its last word.</summary>
    internal static async Task<TerminationReport> EndedAsync(Cluster cluster, V1Pod pod, CancellationToken stop)
    {
        while (true)
        {
            V1Pod? seen = await LookAsync(cluster, pod, stop).ConfigureAwait(false);
            if (seen is null || End(seen) is not null)
            {
                return (seen is null ? null : End(seen)) ?? Lost(pod);
            }

            await Task.Delay(s_look, stop).ConfigureAwait(false);
        }
    }

    /// <summary>Whether this very pod is there and not over.</summary>
    internal static async Task<bool> LivesAsync(Cluster cluster, V1Pod pod, CancellationToken stop) =>
        await LookAsync(cluster, pod, stop).ConfigureAwait(false) is { } seen && End(seen) is null;

    /// <summary>This very pod as it is now; null when it is gone.</summary>
    internal static Task<V1Pod?> LookAsync(Cluster cluster, V1Pod pod, CancellationToken stop) => PatientlyAsync(
        async () => await cluster.Api.GetAsync<V1Pod>(ObjectKey.Of(pod), stop).ConfigureAwait(false) is { } seen && seen.Metadata.Uid == pod.Metadata.Uid ? seen : null, stop);

    /// <summary>Writes an annotation of it; one that is gone, or over, has no use for it.</summary>
    internal static async Task AnnotateAsync(Cluster cluster, V1Pod pod, string annotation, string value, CancellationToken stop)
    {
        var annotations = new Dictionary<string, string?> { [annotation] = value };
        while (await LivesAsync(cluster, pod, stop).ConfigureAwait(false))
        {
            try
            {
                await PatientlyAsync(async () => await cluster.Api.AnnotateAsync<V1Pod>(ObjectKey.Of(pod), pod.Metadata.Uid, annotations, null, stop).ConfigureAwait(false), stop).ConfigureAwait(false);
                return;
            }
            catch (KubeException e) when (e.Kind is KubeError.NotFound or KubeError.Conflict)
            {
                await Task.Delay(s_look, stop).ConfigureAwait(false);
            }
        }
    }

    private static async Task<V1Pod?> PatientlyAsync(Func<Task<V1Pod?>> ask, CancellationToken stop)
    {
        for (int away = 0; ; away++)
        {
            try
            {
                return await ask().ConfigureAwait(false);
            }
            catch (KubeException e) when (e.Kind is KubeError.Transient or KubeError.Throttled && away < MaxAway)
            {
                // An API server that restarts is back within a minute or two; the pod knows nothing of it.
                await Task.Delay(s_away, stop).ConfigureAwait(false);
            }
        }
    }

    /// <summary>A pod's last word; null when it is not over.</summary>
    internal static TerminationReport? End(V1Pod pod)
    {
        V1ContainerStateTerminated? ended = pod.Status?.ContainerStatuses?.FirstOrDefault(c => c.Name == RunnerPods.ContainerName)?.State?.Terminated;
        if (ended is null)
        {
            return pod.Status?.Phase is "Failed" or "Succeeded" ? Lost(pod) : null;
        }

        try
        {
            return JsonSerializer.Deserialize(ended.Message ?? "", ContractJson.Default.TerminationReport) ?? Lost(pod);
        }
        catch (JsonException)
        {
            return Lost(pod);
        }
    }

    private static TerminationReport Lost(V1Pod pod) => new()
    {
        Reason = TerminationReasons.InternalError,
        Message = $"Pod {pod.Metadata.Name} ended without a word: {pod.Status?.Reason ?? "nobody knows why"} {pod.Status?.Message}".TrimEnd(),
        At = DateTimeOffset.UtcNow,
    };

    private static string Hindrance(V1Pod? pod)
    {
        V1ContainerStateWaiting? waiting = pod?.Status?.ContainerStatuses?.FirstOrDefault()?.State?.Waiting;
        V1PodCondition? unscheduled = pod?.Status?.Conditions?.FirstOrDefault(c => c is { Type: "PodScheduled", Status: "False" });
        return unscheduled is not null ? $"{unscheduled.Reason}: {unscheduled.Message}"
            : waiting is not null ? $"{waiting.Reason} {waiting.Message}".TrimEnd()
            : "the cluster does not say why; kubectl describe pod tells more.";
    }
}
