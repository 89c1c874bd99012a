using System.Collections.Concurrent;
using k8s;
using k8s.Autorest;
using k8s.Models;
using SandLabX.EndToEnd.Support;

namespace SandLabX.EndToEnd.Faults;

/// <summary>Follows all pods of a namespace: no LabNode ever has two that have not ended. Where the API server is struck, it begins anew with what is there then.</summary>
internal sealed class PodAudit : IAsyncDisposable
{
    private readonly Kubernetes _api = Lab.Client();
    private readonly CancellationTokenSource _stop = new();
    private readonly string _space;
    private readonly Task _following;
    private readonly HashSet<string> _seen = [];

    public PodAudit(string space)
    {
        _space = space;
        _following = Task.Run(FollowAsync);
    }

    /// <summary>What must never be.</summary>
    public ConcurrentQueue<string> Doubles { get; } = new();

    /// <summary>How many pods there ever were.</summary>
    public int Pods => _seen.Count;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _following;
        _api.Dispose();
        _stop.Dispose();
    }

    private async Task FollowAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                V1PodList list = await _api.CoreV1.ListNamespacedPodAsync(_space, cancellationToken: _stop.Token);
                var living = new Dictionary<string, HashSet<string>>();
                foreach (V1Pod pod in list.Items)
                {
                    Take(living, pod, gone: false);
                }

                await foreach ((WatchEventType type, V1Pod pod) in _api.CoreV1.WatchListNamespacedPodAsync(
                    _space, resourceVersion: list.Metadata.ResourceVersion, cancellationToken: _stop.Token))
                {
                    Take(living, pod, type == WatchEventType.Deleted);
                }
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is HttpOperationException or HttpRequestException or IOException or OperationCanceledException or KubernetesException)
            {
                // The API server is among what is struck.
                await Task.Delay(200, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private void Take(Dictionary<string, HashSet<string>> living, V1Pod pod, bool gone)
    {
        if (pod.Metadata.Labels?.TryGetValue(Entities.Labels.Node, out string? node) != true)
        {
            return;
        }

        _seen.Add(pod.Metadata.Uid);
        if (!living.TryGetValue(node!, out HashSet<string>? pods))
        {
            living[node!] = pods = [];
        }

        if (gone || pod.Status?.Phase is "Succeeded" or "Failed")
        {
            pods.Remove(pod.Metadata.Uid);
        }
        else if (pods.Add(pod.Metadata.Uid) && pods.Count > 1)
        {
            Doubles.Enqueue($"LabNode {node}: pods {string.Join(" and ", pods)}");
        }
    }
}
